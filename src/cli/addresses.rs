//! What operators are told of who may deliver, by address.

use crate::addresses::ranges::Current;
use crate::config::Settings;
use crate::config::webhooks::WebhookSettings;

/// Who may deliver to the sources that do not let everybody: the source, and the rule in words.
pub(super) fn rules(settings: &Settings, github: Option<&Current>) -> Vec<(String, String)> {
    let ranges = github.map(|github| github.get().in_words());
    let guarded = settings.webhooks.iter().filter(|source| !source.addresses.is_open());
    let remark = if settings.proxies.trusted.is_empty() {
        "; behind a proxy everything would be refused: name it in `server.trusted_proxies`"
    } else {
        ""
    };
    guarded
        .map(|source| (source.name.clone(), format!("only from {}{remark}", networks(source, ranges.as_deref()))))
        .collect()
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
    use crate::config::Merged;

    #[test]
    fn a_rule_says_who_is_let_in_and_what_a_proxy_needs() {
        let check = |toml: &str, expect: &[(&str, &str)]| {
            let secrets = ["GITHUB", "LINEAR"].map(|source| (format!("{source}_WEBHOOK_SECRET"), "s".to_owned()));
            let (merged, mut problems) = Merged::merge(toml, &BTreeMap::from(secrets), &[]);
            let settings = Settings::check(&merged, 1, &mut problems).unwrap();
            let rules = rules(&settings, Some(&Current::new(Ranges::built_in())));
            let shown: Vec<(&str, &str)> =
                rules.iter().map(|(source, rule)| (source.as_str(), rule.as_str())).collect();
            assert_eq!(shown, expect, "{toml}");
        };
        check("", &[]);
        let proxy = "[server]\ntrusted_proxies = [\"10.0.0.1\"]\n";
        let both = "[webhooks.github]\naddresses = [\"10.0.0.0/8\", \"github\"]";
        check(
            &format!("{proxy}{both}"),
            &[("github", "only from 10.0.0.0/8, 6 ranges of GitHub, built in of 2026-11-23T00:00:00.000Z")],
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
