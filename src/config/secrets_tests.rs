//! Secrets of sources as they are written, and what is said of them.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use super::tests::{merge, problem};
use super::webhooks::{Concern, WebhookSettings};

fn at(text: &str) -> pointsman_actors::time::Timestamp {
    pointsman_actors::time::Timestamp::from_rfc3339(text).unwrap()
}

fn github(file: &str, environment: &[(&str, &str)]) -> WebhookSettings {
    merge(file, environment).unwrap().1.webhooks.remove(0)
}

fn written(directory: &Path, name: &str, text: &str, mode: u32) -> String {
    let path = directory.join(name);
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_secret_is_a_text_or_a_table_with_its_place_and_its_time() {
    let directory = tempfile::tempdir().unwrap();
    let file = written(directory.path(), "file", "in a file\n", 0o600);
    written(directory.path(), "hook", "in a credential", 0o400);
    let toml = format!(
        "[webhooks.github]\nsecret = \"plain\"\nsecrets = [\n  \"listed\",\n  {{ name = \"2026-12\", value = \"new\", \
         from = \"2026-12-01T00:00:00Z\", until = 2027-01-01T01:00:00+01:00 }},\n  {{ file = \"{file}\" }},\n  \
         {{ credential = \"hook\" }},\n]\n"
    );
    let settings = github(&toml, &[("CREDENTIALS_DIRECTORY", directory.path().to_str().unwrap())]);
    let found: Vec<(&str, &str)> =
        settings.secrets.iter().map(|secret| (secret.name.as_str(), secret.text.expose())).collect();
    assert_eq!(
        found,
        [
            ("secret", "plain"),
            ("secrets[0]", "listed"),
            ("2026-12", "new"),
            ("secrets[2]", "in a file"),
            ("secrets[3]", "in a credential")
        ]
    );
    let window = settings.secrets[2].validity;
    assert_eq!((window.from, window.until), (Some(at("2026-12-01T00:00:00Z")), Some(at("2027-01-01T00:00:00Z"))));
    let tables = "[[webhooks.github.secrets]]\nvalue = \"a\"\n[[webhooks.github.secrets]]\nvalue = \"b\"\n";
    assert_eq!(github(tables, &[]).secrets.len(), 2, "a list may be written as tables");
}

#[test]
fn what_is_wrong_with_a_secret_is_said_with_its_line_and_without_it() {
    let check = |secrets: &str, expect: &str| {
        let found = problem(&format!("[webhooks.github]\nsecrets = [\n  \"fine\",\n  {secrets}\n]\n"), &[]);
        assert_eq!(found, format!("webhooks.github.secrets[1]{expect}"), "{secrets}");
        assert!(!found.contains("hunter2"), "{found}");
    };
    let one = "(config.toml, line 4): give exactly one of `value`, `file` and `credential`";
    check("{ value = \"hunter2\", file = \"x\" }", &format!(" {one}"));
    check("{ name = \"x\" }", &format!(" {one}"));
    check(
        "{ value = \"hunter2\",\n until = \"tomorrow\" }",
        ".until (config.toml, line 5): give a point in time with its zone, such as \"2026-12-01T00:00:00Z\"",
    );
    check(
        "{ value = \"hunter2\", until = 2026-12-01 }",
        ".until (config.toml, line 4): give a point in time with its zone, such as \"2026-12-01T00:00:00Z\"",
    );
    check(
        "{ value = \"hunter2\", from = \"2026-12-01T00:00:00Z\", until = \"2026-12-01T00:00:00Z\" }",
        ".until (config.toml, line 4): it must be later than `from`; the secret would never count",
    );
    check(
        "{ value = \"hunter2\", untill = \"2026-12-01T00:00:00Z\" }",
        ".untill (config.toml, line 4): unknown key; did you mean `until`?",
    );
    check("{ value = 7 }", ".value (config.toml, line 4): give a text in quotes");
    check("{ value = \" \" }", " (config.toml, line 4): it is blank; anybody could sign with it");
    check("\"\"", " (config.toml, line 4): it is blank; anybody could sign with it");
    check(
        "{ name = \"a b\", value = \"hunter2\" }",
        ".name (config.toml, line 4): a secret's name has letters, digits, `-`, `_` and `.` only, and no more than 40",
    );
    check(
        "{ name = \"secrets[0]\", value = \"hunter2\" }",
        ".name (config.toml, line 4): a secret's name has letters, digits, `-`, `_` and `.` only, and no more than 40",
    );
    check(
        "{ credential = \"../hunter\" }",
        ".credential (config.toml, line 4): give the name of a credential, without a path",
    );
    check(
        "{ credential = \"hook\" }",
        ".credential (config.toml, line 4): there are no credentials: CREDENTIALS_DIRECTORY is not set, \
         which systemd does for a service with LoadCredential=",
    );
    check(
        "{ file = \"/no/such/file\" }",
        ".file (config.toml, line 4): `/no/such/file` cannot be read: No such file or directory (os error 2)",
    );
    check(
        "7",
        " (config.toml, line 4): give a list of texts, or of tables such as { name = \"2026-12\", file = \"…\", \
         until = \"2027-01-01T00:00:00Z\" }",
    );
    let twice = "[webhooks.github]\nsecrets = [{ name = \"a\", value = \"x\" }, { name = \"a\", value = \"y\" }]";
    assert!(problem(twice, &[]).contains("another secret of the source is called `a` already"));
    assert_eq!(
        problem("", &[("CODEGEN_WEBHOOK_SECRETS", "fine whsec_!")]),
        "webhooks.codegen.secrets[1] (environment, CODEGEN_WEBHOOK_SECRETS): a secret that begins with `whsec_` goes on \
         in base64; was it copied whole?"
    );
    assert!(problem("", &[("GITHUB_WEBHOOK_SECRET", "  ")]).contains("it is blank"));
}

#[test]
fn a_file_that_everybody_can_read_is_warned_of() {
    let directory = tempfile::tempdir().unwrap();
    let (open, closed) = (
        written(directory.path(), "open", "the secret of an open file", 0o644),
        written(directory.path(), "closed", "the secret of a closed file", 0o640),
    );
    let file = format!("[webhooks.github]\nsecret_file = \"{closed}\"\nsecrets = [{{ file = \"{open}\" }}]");
    let (_, settings) = merge(&file, &[("LINEAR_WEBHOOK_SECRET_FILE", &open)]).unwrap();
    let warnings: Vec<String> = settings.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            format!(
                "webhooks.github.secrets[0].file (config.toml, line 3): everybody on this machine can read \
                 `{open}`; chmod o-r"
            ),
            format!(
                "webhooks.linear.secret_file (environment, LINEAR_WEBHOOK_SECRET_FILE): everybody on this machine can \
                 read `{open}`; chmod o-r"
            ),
        ]
    );
}

#[test]
fn a_source_whose_secrets_end_soon_is_a_concern() {
    let day = Duration::from_secs(86_400);
    let check = |secrets: &str, expect: Option<Concern>| {
        let settings = github(&format!("[webhooks.github]\nsecrets = [{secrets}]"), &[]);
        assert_eq!(settings.concern(at("2026-12-01T00:00:00Z")), expect, "{secrets}");
    };
    let until = |day: u32| format!("{{ value = \"x\", until = \"2026-12-{day:02}T00:00:00Z\" }}");
    let from = |day: u32| format!("{{ value = \"y\", from = \"2026-12-{day:02}T00:00:00Z\" }}");
    check("\"x\"", None);
    check(&until(8), Some(Concern::AllExpire(7 * day)));
    check(&until(9), None);
    check(&format!("{}, {}", until(3), until(4)), Some(Concern::AllExpire(3 * day)));
    check(&format!("{}, \"y\"", until(3)), None);
    check(&format!("{}, {}", until(3), from(3)), None);
    check(&format!("{}, {}", until(3), from(4)), Some(Concern::AllExpire(2 * day)));
    check(&until(1), Some(Concern::NoneValid));
    check(&from(2), Some(Concern::NoneValid));
}
