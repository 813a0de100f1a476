//! What operators are told of who may deliver, by address.

use crate::addresses::ranges::CurrentRanges;
use crate::config::Settings;
use crate::config::webhooks::WebhookSettings;

/// Who may deliver to a source.
pub(super) struct Rule {
    /// The source.
    pub source: String,
    /// The rule in words.
    pub said: String,
    /// Whether nobody has asked for it in so many words, and it would refuse everything behind a proxy.
    pub is_trap: bool,
}

/// Who may deliver to the sources that do not let everybody.
pub(super) fn rules(settings: &Settings, github: Option<&CurrentRanges>) -> Vec<Rule> {
    let ranges = github.map(|github| github.get().in_words());
    let guarded = settings.webhooks.iter().filter(|source| !source.addresses.is_open());
    let has_no_proxy = settings.proxies.trusted.is_empty();
    let remark = if has_no_proxy {
        "; behind a proxy everything would be refused: name it in `server.trusted_proxies`"
    } else {
        ""
    };
    let rule = |source: &WebhookSettings| {
        let said = format!("only from {}{remark}", networks(source, ranges.as_deref()));
        Rule { source: source.name.clone(), said, is_trap: has_no_proxy && source.addresses.is_profiles }
    };
    guarded.map(rule).collect()
}

fn networks(source: &WebhookSettings, ranges: Option<&str>) -> String {
    let listed = source.addresses.networks.iter().map(ToString::to_string);
    let github = ranges.filter(|_| source.addresses.github).map(str::to_owned);
    listed.chain(github).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::addresses::ranges::Ranges;
    use crate::config::{DEFAULT_FILE, Merged};

    #[test]
    fn a_rule_says_who_is_let_in_and_what_a_proxy_needs() {
        let check = |toml: &str, expect: &[(&str, &str)]| {
            let secrets = ["GITHUB", "LINEAR"].map(|source| (format!("{source}_WEBHOOK_SECRET"), "s".to_owned()));
            let (merged, mut problems) = Merged::merge((DEFAULT_FILE, toml), &BTreeMap::from(secrets), &[]);
            let settings = Settings::check(&merged, 1, &mut problems).unwrap();
            let rules = rules(&settings, Some(&CurrentRanges::new(Ranges::built_in())));
            let shown: Vec<(&str, &str)> =
                rules.iter().map(|rule| (rule.source.as_str(), rule.said.as_str())).collect();
            assert_eq!(shown, expect, "{toml}");
        };
        check("", &[]);
        let trap = |profile: &str, proxies: &str| {
            let variables = [
                ("GITHUB_WEBHOOK_SECRET", "s"),
                ("POINTSMAN_PROFILE", profile),
                ("POINTSMAN_TRUSTED_PROXIES", proxies),
            ];
            let variables = variables.map(|(name, text)| (name.to_owned(), text.to_owned()));
            let (merged, mut problems) = Merged::merge(
                (DEFAULT_FILE, "[validator]\nip_whitelist = true"),
                &BTreeMap::from(variables.clone()),
                &[],
            );
            let asked = Settings::check(&merged, 1, &mut problems).unwrap();
            let (merged, mut problems) = Merged::merge((DEFAULT_FILE, ""), &BTreeMap::from(variables), &[]);
            let settings = Settings::check(&merged, 1, &mut problems).unwrap();
            let github = CurrentRanges::new(Ranges::built_in());
            [asked, settings].map(|settings| rules(&settings, Some(&github)).iter().any(|rule| rule.is_trap))
        };
        assert_eq!(trap("production", ""), [false, true], "who asks for it knows of it");
        assert_eq!(trap("production", "10.0.0.1"), [false, false]);
        let proxy = "[server]\ntrusted_proxies = [\"10.0.0.1\"]\n";
        let both = "[webhooks.github]\naddresses = [\"10.0.0.0/8\", \"github\"]";
        check(
            &format!("{proxy}{both}"),
            &[("github", "only from 10.0.0.0/8, 6 ranges of GitHub (built in, as of 2026-11-23T00:00:00.000Z)")],
        );
        check(
            "[webhooks.linear]\naddresses = [\"35.231.147.226\"]",
            &[(
                "linear",
                "only from 35.231.147.226/32; behind a proxy everything would be refused: name it in `server.trusted_proxies`",
            )],
        );
    }
}
