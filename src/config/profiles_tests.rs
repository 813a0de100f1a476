//! What each profile sets, who chooses it, and what overrides it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::merged::Merged;
use super::settings::{Backend, Settings};
use super::tests::{merge, problem};
use super::{DEFAULT_FILE, keys, profiles};

const SECRETS: [(&str, &str); 2] =
    [("GITHUB_WEBHOOK_SECRET", "the secret of GitHub"), ("LINEAR_WEBHOOK_SECRET", "the secret of Linear")];

fn with(more: &[(&'static str, &'static str)]) -> Vec<(&'static str, &'static str)> {
    SECRETS.into_iter().chain(more.iter().copied()).collect()
}

fn of(profile: &'static str) -> (Merged, Settings) {
    merge("", &with(&[("POINTSMAN_PROFILE", profile)])).unwrap()
}

#[test]
fn whoever_chooses_none_has_our_defaults() {
    let (merged, settings) = merge("", &SECRETS).unwrap();
    assert_eq!((merged.profile.is_none(), settings.listen.port(), settings.log_level.as_str()), (true, 3000, "info"));
    assert!(merged.listing().iter().all(|(_, _, origin)| !origin.starts_with("profile")));
}

#[test]
fn every_value_of_a_profile_is_that_of_a_key_and_shows_where_it_comes_from() {
    for name in profiles::NAMES {
        let (merged, settings) = of(name);
        let (profile, origin) = merged.profile.clone().unwrap();
        assert_eq!(origin.to_string(), "environment, POINTSMAN_PROFILE");
        assert!(!profile.values.is_empty());
        for (path, text) in profile.values {
            let entry = merged.entry(path).unwrap();
            assert_eq!(entry.origin.to_string(), format!("profile {name}"), "{path}");
            let default = keys::KEYS.iter().find(|key| key.path == *path).unwrap().default;
            assert_ne!(default, *text, "{path} would be so anyway");
        }
        assert_eq!(settings.backend, Backend::Sled, "whatever the profile");
    }
}

#[test]
fn development_says_much_and_keeps_little() {
    let (_, settings) = of("development");
    assert_eq!((settings.listen.port(), settings.log_level.as_str()), (3001, "debug"));
    assert_eq!((settings.max_backlog, settings.max_events), (1_000, Some(10_000)));
    assert_eq!(settings.retention, Duration::from_secs(7 * 86_400));
}

#[test]
fn testing_is_small_and_fast() {
    let (_, settings) = of("testing");
    assert_eq!((settings.listen.port(), settings.max_backlog, settings.max_concurrent), (0, 100, 2));
    let defaults = settings.workflow_defaults;
    assert_eq!((defaults.run_timeout.as_str(), defaults.step_timeout.as_str()), ("10000ms", "5000ms"));
    let retry = defaults.retry;
    assert_eq!(retry.max_attempts, Some(2), "one, and one again");
    assert_eq!((retry.base_delay.as_deref(), retry.max_delay.as_deref()), (Some("100ms"), Some("1000ms")));
}

#[test]
fn production_takes_more_and_lets_githubs_deliveries_in_from_github() {
    let (_, settings) = of("production");
    assert_eq!((settings.listen.port(), settings.log_level.as_str()), (8080, "warn"));
    assert_eq!((settings.max_backlog, settings.max_concurrent, settings.max_events), (50_000, 50, None));
    assert_eq!(settings.retention, Duration::from_secs(90 * 86_400));
    assert_eq!(settings.circuits.unwrap().threshold, 10);
    assert_eq!(settings.rate_limits.unwrap().per_address, 500);
    let [github, linear] = &settings.webhooks[..] else { panic!("two sources") };
    assert!(github.addresses.github && github.addresses.networks.is_empty());
    assert!(linear.addresses.is_open(), "nobody is listed for it");
    let (_, settings) = merge("", &with(&[("NODE_ENV", "production"), ("PORT", "5000")])).unwrap();
    assert_eq!(settings.listen.port(), 5000, "as platforms set it");
}

#[test]
fn behind_a_proxy_on_this_machine_the_profile_shuts_nobody_out() {
    let check = |more: &[(&'static str, &'static str)], guarded: bool, warned: bool| {
        let variables = with(&[&[("POINTSMAN_PROFILE", "production"), ("WEBHOOK_HOST", "127.0.0.1")], more].concat());
        let (_, settings) = merge("", &variables).unwrap();
        assert_eq!(settings.webhooks[0].addresses.github, guarded, "{more:?}");
        let warnings: Vec<String> = settings.warnings.iter().map(ToString::to_string).collect();
        let is_it = |warning: &String| warning.starts_with("validator.ip_whitelist (profile production)");
        assert_eq!(warnings.iter().any(is_it), warned, "{warnings:?}");
    };
    check(&[], false, true);
    check(&[("POINTSMAN_TRUSTED_PROXIES", "127.0.0.1")], true, false);
    // Whoever says it in so many words means it.
    check(&[("WEBHOOK_VALIDATOR_IP_WHITELIST", "true")], true, false);
    check(&[("WEBHOOK_VALIDATOR_IP_WHITELIST", "false")], false, false);
}

#[test]
fn file_environment_and_flags_override_a_profile() {
    let file = "profile = \"production\"\n[server]\nport = 4000\n[workflow]\nmax_concurrent = 7";
    let port = |file: &str, more: &[(&'static str, &'static str)], flags: &[(&'static str, &str, String)]| {
        let environment: BTreeMap<String, String> =
            more.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        let (merged, problems) = Merged::merge((DEFAULT_FILE, file), &environment, flags);
        assert_eq!(problems, []);
        merged
            .listing()
            .into_iter()
            .find(|(path, ..)| path == "server.port")
            .map(|(_, value, origin)| (value, origin))
            .unwrap()
    };
    let expect = |value: &str, origin: &str| (value.to_owned(), origin.to_owned());
    assert_eq!(port("profile = \"production\"", &[], &[]), expect("8080", "profile production"));
    assert_eq!(port(file, &[], &[]), expect("4000", "config.toml, line 3"));
    assert_eq!(port(file, &[("WEBHOOK_PORT", "5000")], &[]), expect("5000", "environment, WEBHOOK_PORT"));
    let flag = [("--port", "server.port", "6000".to_owned())];
    assert_eq!(port(file, &[("WEBHOOK_PORT", "5000")], &flag), expect("6000", "command line, --port"));
    let (_, settings) = merge(file, &SECRETS).unwrap();
    assert_eq!((settings.max_concurrent, settings.max_backlog), (7, 50_000));
}

#[test]
fn our_own_variable_comes_first_then_the_file_then_that_of_node() {
    let check = |file: &str, more: &[(&'static str, &'static str)], expect: Option<(&str, &str)>| {
        let (merged, settings) = merge(file, &with(more)).unwrap();
        let chosen = merged.profile.map(|(profile, origin)| (profile.name, origin.to_string()));
        assert_eq!(chosen.as_ref().map(|(name, origin)| (*name, origin.as_str())), expect, "{file} {more:?}");
        settings
    };
    let node = ("NODE_ENV", "production");
    let file = "profile = \"testing\"";
    check(file, &[node, ("POINTSMAN_PROFILE", "development")], Some(("development", "environment, POINTSMAN_PROFILE")));
    check(file, &[node], Some(("testing", "config.toml, line 1")));
    check("", &[node], Some(("production", "environment, NODE_ENV")));
    check("", &[node, ("POINTSMAN_PROFILE", "")], Some(("production", "environment, NODE_ENV")));
    let settings = check("", &[("NODE_ENV", "staging")], None);
    let warning = "profile (environment, NODE_ENV): `staging` is no profile, so it is not looked at; there are development, testing, production";
    assert_eq!(settings.warnings.iter().map(ToString::to_string).collect::<Vec<_>>(), [warning]);
    // Where ours says it, nobody looks at the other.
    assert!(check(file, &[("NODE_ENV", "staging")], Some(("testing", "config.toml, line 1"))).warnings.is_empty());
}

#[test]
fn a_profile_that_there_is_not_is_an_error_that_names_the_nearest() {
    let check = |text: &'static str, expect: &str| {
        let said = problem("", &[("POINTSMAN_PROFILE", text)]);
        let reason = format!(
            "profile (environment, POINTSMAN_PROFILE): `{text}`: must be one of development, testing, production{expect}"
        );
        assert_eq!(said, reason);
    };
    check("prod", "; did you mean `production`?");
    check("PRODUCTION", "; did you mean `production`?");
    check("dev", "; did you mean `development`?");
    check("test", "; did you mean `testing`?");
    check("produktion", "; did you mean `production`?");
    check("x", "");
    let said = problem("profile = \"prod\"", &[("NODE_ENV", "testing")]);
    assert_eq!(
        said,
        "profile (config.toml, line 1): `\"prod\"`: must be one of development, testing, production; did you mean `production`?"
    );
    assert!(problem("profile = 7", &[]).contains("give a text in quotes"));
}
