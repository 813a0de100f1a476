//! Sources as they are configured: where they are called, by whom, and how old a delivery may be.

use super::tests::merge;

#[test]
fn unsigned_sources_are_for_loopback_only() {
    let (_, settings) = merge("[server]\nhost = \"127.0.0.1\"\n[webhooks.github]\nallow_unsigned = true", &[]).unwrap();
    assert!(settings.webhooks[0].allow_unsigned);
}

#[test]
fn a_source_has_a_path_that_clients_send() {
    let merged = |path: &str| {
        let file = format!("[webhooks.github]\npath = '{path}'");
        merge(&file, &[("GITHUB_WEBHOOK_SECRET", "s")]).map(|(_, settings)| settings.webhooks[0].path.clone())
    };
    for path in ["/a", "/a/", "/a/b", "/a.b/..c", "/sessions", "/webhooks/github"] {
        assert_eq!(merged(path), Ok(path.to_owned()));
    }
    let dots = ["/.", "/..", "/./x", "/a/.", "/a/./", "/a/../session"];
    let empty = ["/", "//", "//x", "/a//b", "/a//"];
    let others = ["a", "/a b", "/a?b", "/a%2e", "/{a}", "/a\\b", "/session", "/api/v1"];
    for path in dots.into_iter().chain(empty).chain(others) {
        let said = merged(path).unwrap_err();
        assert!(said.contains("cannot be used; give a path such as /webhooks/github"), "{path}: {said}");
    }
}

#[test]
fn tolerances_follow_the_provider_unless_set() {
    let secrets = [("LINEAR_WEBHOOK_SECRET", "s"), ("CODEGEN_WEBHOOK_SECRET", "s")];
    let seconds = |file: &str, environment: &[(&str, &str)]| {
        let (_, settings) = merge(file, &[&secrets, environment].concat()).unwrap();
        settings.webhooks.iter().map(|source| source.timestamp_tolerance.as_secs()).collect::<Vec<_>>()
    };
    assert_eq!(seconds("", &[]), [60, 300]);
    assert_eq!(seconds("", &[("WEBHOOK_VALIDATOR_TIMESTAMP_TOLERANCE", "90")]), [90, 90]);
    assert_eq!(seconds("[webhooks.linear]\ntimestamp_tolerance = \"2m\"", &[]), [120, 300]);
}

#[test]
fn whoever_switches_timestamps_off_is_told_that_they_are_checked() {
    let warnings = |text: &str| {
        let (_, settings) = merge("", &[("WEBHOOK_VALIDATOR_TIMESTAMP", text)]).unwrap();
        settings.warnings.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert!(warnings("true").is_empty() && warnings("").is_empty());
    let warnings = warnings("false");
    let [warning] = &warnings[..] else { panic!("one warning: {warnings:?}") };
    let place = "validator.timestamp (environment, WEBHOOK_VALIDATOR_TIMESTAMP): it has no effect";
    assert!(warning.starts_with(place) && warning.contains("`webhooks.<source>.timestamp_tolerance`"), "{warning}");
}
