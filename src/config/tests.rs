//! What is accepted, what wins, and what is said about mistakes.

use super::merged::variables;
use super::value::{Kind, Unit};
use super::*;

pub(super) fn merge(file: &str, environment: &[(&str, &str)]) -> Result<(Merged, Settings), String> {
    let environment = environment.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    let (merged, mut problems) = Merged::merge((DEFAULT_FILE, file), &environment, &[]);
    match Settings::check(&merged, 2, &mut problems) {
        Some(settings) => Ok((merged, settings)),
        None => Err(ConfigErrors(problems).to_string()),
    }
}

pub(super) fn problem(file: &str, environment: &[(&str, &str)]) -> String {
    let all = merge(file, environment).err().expect("a problem");
    all.lines().skip(1).map(str::trim).collect::<Vec<_>>().join(" | ")
}

#[test]
fn an_empty_directory_with_a_secret_is_enough() {
    let (_, settings) = merge("", &[("GITHUB_WEBHOOK_SECRET", "s")]).unwrap();
    assert_eq!(settings.listen.to_string(), "0.0.0.0:3000");
    assert_eq!(settings.backend, settings::Backend::Sled);
    let [github] = &settings.webhooks[..] else { panic!("one source") };
    assert_eq!((github.name.as_str(), github.path.as_str(), github.max_body), ("github", "/webhooks/github", 25 << 20));
    assert_eq!(settings.occurrence_window, Some(std::time::Duration::from_secs(300)));
}

#[test]
fn every_variable_reaches_its_key() {
    for key in keys::KEYS {
        for variable in key.variables {
            let text = match key.kind {
                Kind::Count => "7",
                Kind::Ratio => "0.25",
                Kind::Flag => "true",
                Kind::Span(Unit::Written) => "7s",
                Kind::Span(_) => "7",
                Kind::Size => "7MiB",
                Kind::Choice(choices) => choices[0],
                Kind::Text | Kind::Secret | Kind::Secrets | Kind::List => "127.0.0.1",
            };
            let environment = [((*variable).to_owned(), text.to_owned())].into();
            let (merged, problems) = Merged::merge((DEFAULT_FILE, ""), &environment, &[]);
            assert_eq!(problems, [], "{variable}");
            let origin = &merged.entry(key.path).unwrap().origin;
            assert_eq!(*origin, merged::Origin::Variable((*variable).to_owned()));
        }
    }
    for source in ["GITHUB", "LINEAR", "CODEGEN", "CLAUDE_CODE"] {
        assert!(variables().contains(&format!("{source}_WEBHOOK_SECRET")), "{source}");
    }
}

#[test]
fn the_environment_wins_over_the_file() {
    let file = "[server]\nport = 4000\nread_timeout = \"3s\"";
    let (merged, settings) = merge(file, &[("WEBHOOK_PORT", "5000"), ("PORT", "6000"), ("LOG_LEVEL", "")]).unwrap();
    assert_eq!((settings.listen.port(), settings.read_timeout.as_secs()), (5000, 3));
    assert_eq!(merged.entry("server.read_timeout").unwrap().origin.to_string(), "config.toml, line 3");
    assert_eq!(settings.log_level, "info", "an empty variable is unset");
}

#[test]
fn mistakes_are_named_with_place_value_reason_and_remedy() {
    let check = |file: &str, environment: &[(&str, &str)], expect: &str| assert_eq!(problem(file, environment), expect);
    check(
        "",
        &[("EVENT_QUEUE_MAX_SIZE", "abc")],
        "event_queue.max_size (environment, EVENT_QUEUE_MAX_SIZE): `abc`: not a whole number; give a count such as 10000",
    );
    check("[server]\nprot = 1", &[], "server.prot (config.toml, line 2): unknown key; did you mean `server.port`?");
    check(
        "",
        &[("POINTSMAN_DATADIR", "x")],
        "POINTSMAN_DATADIR (environment, POINTSMAN_DATADIR): unknown variable; did you mean `POINTSMAN_DATA_DIR`?",
    );
    check(
        "[server]\nread_timeout = 5",
        &[],
        "server.read_timeout (config.toml, line 2): `5`: give a span of time with its unit, such as \"500ms\", \"5s\", \"10m\", \"2h\" or \"3d\"",
    );
    check(
        "[webhooks.github]\nenabled = true",
        &[],
        "webhooks.github.enabled (config.toml, line 2): the source has no secret; set `webhooks.github.secret` or GITHUB_WEBHOOK_SECRET",
    );
    check(
        "[webhooks.github]\nallow_unsigned = true",
        &[],
        "webhooks.github.allow_unsigned (config.toml, line 2): only on a loopback address; set `server.host` to 127.0.0.1, or give the source a secret",
    );
    check(
        "[webhooks.gitlab]\nsecret = \"x\"",
        &[],
        "webhooks.gitlab (config.toml, line 1): unknown key; did you mean `webhooks.github`?; a source of your own says `kind = \"generic\"`",
    );
    check("server = ", &[], "(file) (config.toml, line 1): string values must be quoted, expected literal string");
    check("[server]\nport = 1\nport = 2", &[], "(file) (config.toml, line 3): duplicate key `port`");
    check(
        "",
        &[("EVENT_STORE_BACKEND", "redis")],
        "event_store.backend (environment, EVENT_STORE_BACKEND): `redis` is not part of this version; use sled or memory",
    );
    check(
        "[rate_limiter]\nslow_down_delay = \"61s\"",
        &[],
        "rate_limiter.slow_down_delay (config.toml, line 2): at most 1m: nobody waits longer for an answer, and whoever has gone is not noticed",
    );
    check(
        "[event_store]\nmax_events = 0",
        &[],
        "event_store.max_events (config.toml, line 2): must be at least 1; leave it unset for no limit",
    );
    check(
        "[webhooks.github]\nmax_requests = 0",
        &[("GITHUB_WEBHOOK_SECRET", "s")],
        "webhooks.github.max_requests (config.toml, line 2): must be at least 1; leave it unset for no limit",
    );
    check(
        "",
        &[("EVENT_STORE_RETENTION_DAYS", "0")],
        "event_store.retention (environment, EVENT_STORE_RETENTION_DAYS): must be longer than nothing",
    );
}

#[test]
fn a_file_is_named_as_it_was_given() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("other.toml");
    let flags = Flags { file: Some(file.clone()), values: Vec::new() };
    let load = || load(&BTreeMap::new(), &flags, 2);
    let said = load().err().unwrap().to_string();
    assert!(said.contains(&format!("(file) ({}): cannot be read", file.display())), "{said}");
    std::fs::write(&file, "[server]\nprot = 1").unwrap();
    let said = load().err().unwrap().to_string();
    assert!(said.contains(&format!("server.prot ({}, line 2): unknown key", file.display())), "{said}");
    std::fs::write(&file, "[server]\nport = 1").unwrap();
    let listing = load().unwrap().merged.listing();
    let port = listing.into_iter().find(|(key, ..)| key == "server.port").unwrap();
    assert_eq!((port.1.as_str(), port.2), ("1", format!("{}, line 2", file.display())));
}

#[test]
fn named_tokens_have_tables_that_are_listed_without_their_hash() {
    let hash = format!("sha256:{}", "ab".repeat(32));
    let file = format!(
        "[admin.tokens.ci]\nhash = \"{hash}\"\nscopes = [\"read\", \"operate\"]\nexpires = \"2020-01-01T00:00:00Z\""
    );
    let (merged, settings) = merge(&file, &[]).unwrap();
    let token = &settings.tokens[0];
    assert_eq!((format!("{:?}", token.known), token.known.hash.written()), ("ci (operate)".to_owned(), hash.clone()));
    let end = token.known.expires.unwrap();
    assert_eq!(token.warning(end.minus(std::time::Duration::from_millis(1))), None);
    let warning = "admin.tokens.ci.expires (config.toml, line 4): its time was over at 2020-01-01T00:00:00.000Z; this token opens nothing";
    assert_eq!(token.warning(end).unwrap(), warning);
    assert!(merged.listing().iter().all(|(_, value, _)| !value.contains("abab")));
    assert!(!format!("{settings:?}").contains("abab"));
}

#[test]
fn mistakes_about_tokens_are_named_with_their_place_and_without_their_hash() {
    let hash = format!("hash = \"sha256:{}\"", "ab".repeat(32));
    let check = |table: &str, expect: &str| {
        let said = problem(&format!("[admin.tokens.ci]\n{table}"), &[]);
        assert_eq!(said, format!("admin.tokens.ci{expect}"));
    };
    let read = "scopes = [\"read\"]";
    check(read, ".hash (config.toml, line 1): it is missing; `pointsman tokens new NAME` prints one");
    check(
        &format!("{read}\nhash = \"psm_hunter2\""),
        ".hash (config.toml, line 3): this is a token, not its hash; if others could read it here, make another one",
    );
    check(
        &format!("{read}\nhash = \"hunter2\""),
        ".hash (config.toml, line 3): not a hash; give `sha256:` and 64 hexadecimal digits, as `pointsman tokens new` prints them",
    );
    check(&format!("{read}\nhash = 7"), ".hash (config.toml, line 3): give a text in quotes");
    let missing = "it is missing or empty; there are read, operate, admin";
    check(&hash, &format!(".scopes (config.toml, line 1): {missing}"));
    check(&format!("{hash}\nscopes = []"), &format!(".scopes (config.toml, line 1): {missing}"));
    check(
        &format!("{hash}\nscopes = [\"reed\", \"read\"]"),
        ".scopes (config.toml, line 3): there is no scope `reed`; there are read, operate, admin",
    );
    check(
        &format!("{hash}\n{read}\nexpires = \"soon\""),
        ".expires (config.toml, line 4): `soon` is not a time; write it like 2027-01-01T00:00:00Z",
    );
    check(
        &format!("{hash}\n{read}\nscope = 1"),
        ".scope (config.toml, line 4): unknown key; did you mean `admin.tokens.ci.scopes`?",
    );
    check(
        &format!("{hash}\n{read}\n[admin.tokens.ci2]\n{hash}\n{read}"),
        "2.hash (config.toml, line 5): it is that of `ci`; nobody would know who it is",
    );
    let named = |name: &str| problem(&format!("[admin.tokens.{name}]\n{hash}\n{read}"), &[]);
    assert!(named("admin").contains("`admin` is the one of `admin.token`"), "{}", named("admin"));
    assert!(named("Her").contains("small letters"), "{}", named("Her"));
    assert!(problem("[admin]\nmax_failures = 0", &[]).contains("must be at least 1"));
    assert!(problem("[admin]\nfailure_window = \"0s\"", &[]).contains("longer than nothing"));
}

#[test]
fn targets_of_notifications_have_tables_and_variables() {
    let file = "[integrations.notifications.dev]\nkind = \"discord\"\ndefault = false\n\
                [integrations.notifications.ops-2]\nkind = \"slack\"\nurl = \"https://h/x\"";
    let environment = [
        ("POINTSMAN_NOTIFY_DEV_URL", "https://h/hunter2"),
        ("SLACK_WEBHOOK_URL", "https://h/s"),
        ("POINTSMAN_NOTIFY_OPS_2_URL", ""),
    ];
    let (merged, settings) = merge(file, &environment).unwrap();
    let targets = &settings.integrations.notifications;
    let shown: Vec<(&str, &str, bool)> =
        targets.iter().map(|target| (target.name.as_str(), target.kind.name(), target.is_default)).collect();
    assert_eq!(shown, [("dev", "discord", false), ("ops-2", "slack", true), ("slack", "slack", true)]);
    assert!(merged.listing().iter().all(|(_, value, _)| !value.contains("hunter2")));
}

#[test]
fn mistakes_about_targets_are_named_with_their_place() {
    let check = |table: &str, environment: &[(&str, &str)], expect: &str| {
        let said = problem(&format!("[integrations.notifications.ops]\n{table}"), environment);
        assert_eq!(said, expect);
    };
    let url = "url = \"https://h/x\"";
    let key = "integrations.notifications.ops";
    let line = |number: u32| format!("(config.toml, line {number})");
    check(url, &[], &format!("{key}.kind {}: it is missing; give slack, discord or webhook", line(1)));
    check(
        &format!("kind = \"discrod\"\n{url}"),
        &[],
        &format!("{key}.kind {}: `\"discrod\"`: must be one of slack, discord, webhook", line(2)),
    );
    let missing = "it is missing; set this, `url_file` or POINTSMAN_NOTIFY_OPS_URL";
    check("kind = \"slack\"", &[], &format!("{key}.url {}: {missing}", line(1)));
    check("kind = \"slack\"\nurl = \"\"", &[], &format!("{key}.url {}: {missing}", line(1)));
    check(
        "kind = \"slack\"\nurl = \"hunter2\"",
        &[],
        &format!("{key}.url {}: it is not an address that can be called; it begins with https:// or http://", line(3)),
    );
    check(
        &format!("kind = \"webhook\"\n{url}"),
        &[],
        &format!(
            "{key}.secret {}: a webhook is signed; set this, `secret_file` or POINTSMAN_NOTIFY_OPS_SECRET",
            line(1)
        ),
    );
    check(
        &format!("kind = \"webhook\"\n{url}"),
        &[("POINTSMAN_NOTIFY_OPS_SECRET", "whsec_hunter2")],
        &format!(
            "{key}.secret (environment, POINTSMAN_NOTIFY_OPS_SECRET): it is `whsec_` and the base64 of 24 to 64 bytes; was it copied whole?"
        ),
    );
    check(
        &format!("kind = \"slack\"\n{url}\nsecret = \"x\""),
        &[],
        &format!("{key}.secret {}: only a webhook is signed; leave it out", line(4)),
    );
    check(
        &format!("kind = \"slack\"\nulr = \"x\"\n{url}"),
        &[],
        &format!("{key}.ulr {}: unknown key; did you mean `{key}.url`?", line(3)),
    );
    check(
        &format!("kind = \"slack\"\n{url}"),
        &[("POINTSMAN_NOTIFY_OPPS_URL", "x")],
        "POINTSMAN_NOTIFY_OPPS_URL (environment, POINTSMAN_NOTIFY_OPPS_URL): unknown variable; did you mean `POINTSMAN_NOTIFY_OPS_URL`?",
    );
    let named = |name: &str| {
        problem(
            &format!("[integrations.notifications.{name}]\nkind = \"slack\"\n{url}"),
            &[("SLACK_WEBHOOK_URL", "https://h/s")],
        )
    };
    assert!(named("slack").contains("line 1): `slack` is the target of integrations.slack.webhook_url already"));
    assert!(named("Ops").contains("line 1): a target's name has small letters, digits, `-` and `_` only"));
    let near = problem("[integrations.notification.ops]\nkind = \"slack\"", &[]);
    assert!(near.contains("did you mean `integrations.notifications`?"), "{near}");
}

#[test]
fn where_a_table_belongs_it_is_said_how_to_write_one() {
    let check = |file: &str, expect: &str| assert_eq!(problem(file, &[]), expect);
    let each = |section: &str, name: &str| format!("it has a table for each name, such as `[{section}.{name}]`");
    for (section, name) in [
        ("admin.tokens", "ci"),
        ("integrations.notifications", "ops"),
        ("webhooks", "github"),
        ("workflows", "nightly"),
    ] {
        let said = format!("{section} (config.toml, line 1): {}", each(section, name));
        check(&format!("[[{section}]]\nname = \"x\""), &said);
        check(&format!("{section} = 1"), &said);
    }
    for section in ["admin.tokens.ci", "webhooks.shop", "webhooks.github", "server"] {
        let said = format!("{section} (config.toml, line 1): it is a single table: `[{section}]`");
        check(&format!("[[{section}]]\nname = \"x\""), &said);
    }
    let nameless = problem("[admin.tokens]\nhash = \"x\"", &[]);
    assert!(nameless.starts_with("admin.tokens.hash (config.toml, line 2): unknown key"), "{nameless}");
}

#[test]
fn two_mistakes_are_both_named() {
    let both = problem("[server]\nport = 70000\nhost = \"nowhere\"", &[]);
    assert!(
        both.contains("server.port (config.toml, line 2)") && both.contains("server.host (config.toml, line 3)"),
        "{both}"
    );
}

#[test]
fn what_is_kept_is_bounded_by_age_and_only_when_asked_by_number() {
    let kept = |environment: &[(&str, &str)]| {
        let (_, settings) = merge("", environment).unwrap();
        (settings.retention.as_secs() / 86_400, settings.max_events)
    };
    assert_eq!(kept(&[]), (30, None));
    assert_eq!(kept(&[("EVENT_STORE_RETENTION_DAYS", "7"), ("EVENT_STORE_MAX_EVENTS", "100000")]), (7, Some(100_000)));
}

#[test]
fn secrets_are_never_shown() {
    let environment = [
        ("GITHUB_WEBHOOK_SECRET", "hunter2"),
        ("GITHUB_WEBHOOK_SECRETS", "hunter2 hunter2"),
        ("GITHUB_TOKEN", "hunter2"),
        ("REDIS_URL", "redis://:hunter2@x"),
    ];
    let (merged, settings) =
        merge("[admin]\ntoken = \"hunter2 and hunter2 and hunter2 and hunter2\"", &environment).unwrap();
    let shown = format!("{:?} {settings:?}", merged.listing());
    assert!(!shown.contains("hunter2"), "{shown}");
    assert_eq!(settings.webhooks[0].secrets.len(), 3);
    assert!(!problem("[admin]\ntoken = [\"hunter2\"]", &[]).contains("hunter2"));
}

#[test]
fn addresses_that_are_shown_hold_no_credentials() {
    let variables = ["GITHUB_API_URL", "LINEAR_API_URL", "LINEAR_OAUTH_URL", "CODEGEN_API_URL", "CLAUDE_CODE_API_URL"];
    for variable in variables {
        for user in ["hunter2", "user:hunter2", ":hunter2"] {
            let said = problem("", &[(variable, &format!("https://{user}@localhost/x"))]);
            assert!(said.contains(&format!("environment, {variable}): it holds a user or a password")), "{said}");
            assert!(!said.contains("hunter2"), "{said}");
        }
    }
    let (merged, _) = merge("", &[("SLACK_WEBHOOK_URL", "https://user:hunter2@h/s")]).unwrap();
    assert!(merged.listing().iter().all(|(_, value, _)| !value.contains("hunter2")), "one that is hidden may");
}

#[test]
fn nothing_may_be_called_or_run_that_is_not_named() {
    let (_, settings) = merge("", &[]).unwrap();
    let generic = settings.integrations.generic;
    assert!(generic.commands.is_empty() && !generic.allow_shell && generic.allow_private_addresses.is_empty());
    let file = "[workflow]\ncommands = [\"git\", \"/usr/bin/make\"]\nallow_private_addresses = [\"10.0.0.0/8\"]";
    let (_, settings) = merge(file, &[("POINTSMAN_ALLOW_SHELL", "true")]).unwrap();
    let generic = settings.integrations.generic;
    assert_eq!((generic.commands.len(), generic.allow_shell), (2, true));
    assert_eq!(generic.allow_private_addresses, ["10.0.0.0/8".parse().unwrap()]);
    let check = |file: &str, expect: &str| assert!(problem(file, &[]).contains(expect), "{}", problem(file, &[]));
    check(
        "[workflow]\ncommands = [\"bin/x\"]",
        "workflow.commands (config.toml, line 2): `bin/x` is neither a name nor an absolute path",
    );
    check("[workflow]\nallow_private_addresses = [\"home\"]", "`home` is not a network");
    check(
        "[workflow]\nsecrets_dir = \"/no/such/place\"",
        "workflow.secrets_dir (config.toml, line 2): `/no/such/place` cannot be read",
    );
}

#[test]
fn the_sample_file_is_the_table() {
    assert_eq!(
        include_str!("../../config.toml"),
        sample(),
        "write it anew: cargo run -- check --print-sample > config.toml"
    );
    let (from_sample, problems) = Merged::merge((DEFAULT_FILE, &sample()), &BTreeMap::new(), &[]);
    let (from_nothing, _) = Merged::merge((DEFAULT_FILE, ""), &BTreeMap::new(), &[]);
    assert_eq!(problems, []);
    let values = |merged: &Merged| merged.listing().into_iter().map(|(key, value, _)| (key, value)).collect::<Vec<_>>();
    assert_eq!(values(&from_sample), values(&from_nothing));
}

#[test]
fn an_app_has_an_id_and_one_key() {
    let key = pointsman_sandbox::github::app::KEY;
    let (_, settings) = merge("", &[("GITHUB_APP_ID", "7"), ("GITHUB_APP_PRIVATE_KEY", key)]).unwrap();
    assert_eq!(format!("{:?}", settings.integrations.github_app), "Some(AppCredential { id: \"7\", key: *** })");
    let check = |environment: &[(&str, &str)], expect: &str| {
        let found = problem("", environment);
        assert!(found.contains(expect) && !found.contains("hunter2"), "{found}");
    };
    check(&[("GITHUB_APP_ID", "7")], "set GITHUB_APP_PRIVATE_KEY or GITHUB_APP_PRIVATE_KEY_FILE, too");
    check(&[("GITHUB_APP_PRIVATE_KEY", key)], "set GITHUB_APP_ID, too");
    check(&[("GITHUB_APP_ID", "7"), ("GITHUB_APP_PRIVATE_KEY", "hunter2")], "it is no private key in PEM");
    check(&[("GITHUB_APP_ID", "7"), ("GITHUB_APP_PRIVATE_KEY_FILE", "/no/key")], "`/no/key` cannot be read");
    let twice = [("GITHUB_APP_ID", "7"), ("GITHUB_APP_PRIVATE_KEY", key), ("GITHUB_APP_PRIVATE_KEY_FILE", "/no/key")];
    check(&twice, "the key is given twice");
}

#[test]
fn an_agent_is_on_this_machine_unless_somebody_answers_for_more() {
    let agent = |file: &str, url: &str| {
        let merged = merge(file, &[("CLAUDE_CODE_API_URL", url)]);
        merged.map(|(_, settings)| settings.integrations.agent_api.map(|agent| agent.url))
    };
    assert_eq!(agent("", ""), Ok(None));
    for here in ["http://127.0.0.1:3284", "http://localhost:3284/", "http://[::1]:3284", "http://[::ffff:127.0.0.1]:1"]
    {
        assert_eq!(agent("", here), Ok(Some(here.to_owned())));
    }
    let anywhere = "[integrations.claude_code]\nallow_remote_api = true";
    for elsewhere in ["http://10.0.0.7:3284", "https://agent.internal", "http://0.0.0.0:3284"] {
        let said = agent("", elsewhere).unwrap_err();
        assert!(said.contains("not on this machine") && said.contains("allow_remote_api"), "{said}");
        assert_eq!(agent(anywhere, elsewhere), Ok(Some(elsewhere.to_owned())));
    }
    let disguised = agent("", "http://127.0.0.1@evil.example").unwrap_err();
    assert!(disguised.contains("not on this machine") && disguised.contains("before the host"), "{disguised}");
    assert!(agent(anywhere, "agent:3284").unwrap_err().contains("not an address that can be called"));
    assert!(
        agent("[integrations.claude_code]\npoll_interval = \"0s\"", "").unwrap_err().contains("longer than nothing")
    );
}

#[test]
fn linear_is_shown_a_key_or_an_app() {
    let app = [("LINEAR_CLIENT_ID", "c"), ("LINEAR_CLIENT_SECRET", "hunter2"), ("LINEAR_REFRESH_TOKEN", "hunter2r")];
    let (_, settings) = merge("", &app).unwrap();
    let shown = format!("{:?}", settings.integrations.linear);
    assert!(shown.starts_with("Some(App(OAuthSettings {") && !shown.contains("hunter2"), "{shown}");
    let check = |environment: &[(&str, &str)], expect: &str| {
        let found = problem("", environment);
        assert!(found.contains(expect) && !found.contains("hunter2"), "{found}");
    };
    check(&[app[0]], "set LINEAR_CLIENT_SECRET or LINEAR_CLIENT_SECRET_FILE, too");
    check(&[app[1]], "set LINEAR_CLIENT_ID, too");
    check(&[app[2]], "set LINEAR_CLIENT_ID, too");
    check(&[app[0], app[1], ("LINEAR_API_KEY", "hunter2")], "leave LINEAR_API_KEY or LINEAR_CLIENT_ID out");
    check(&[app[0], app[1], ("LINEAR_CLIENT_SECRET_FILE", "/no/file")], "it is given twice");
    check(&[app[0], ("LINEAR_CLIENT_SECRET_FILE", "/no/file")], "`/no/file` cannot be read");
}
