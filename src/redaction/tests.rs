//! Every shape is found wherever it stands, nothing else is touched, and what is left is JSON.

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;

fn redaction(entries: &[&str]) -> Redaction {
    Redaction::read(&entries.iter().map(|entry| (*entry).to_owned()).collect::<Vec<_>>()).unwrap()
}

/// An example of each shape. None is a secret: they are put together here, so that nobody who looks for some finds them.
fn examples() -> Vec<(&'static str, String)> {
    let of = |length: usize| "aB3dE5gH".chars().cycle().take(length).collect::<String>();
    let upper = "ABCDEFGH".repeat(2);
    let pem = |kind: &str| format!("-----BEGIN {kind}-----\nMIIE{}\n{}\n-----END {kind}-----", of(60), of(20));
    let jwt = format!("eyJ{}.eyJ{}.{}", of(20), of(30), of(43));
    vec![
        ("github-token", format!("ghp_{}", of(36))),
        ("github-token", format!("gho_{}", of(36))),
        ("github-token", format!("ghs_17_{jwt}")),
        ("github-token", format!("github_pat_{}_{}", of(22), of(59))),
        ("gitlab-token", format!("glpat-{}", of(20))),
        ("slack-token", format!("xoxb-{}-{}", "1".repeat(12), of(24))),
        ("slack-token", format!("xoxe.xoxp-1-{}", of(60))),
        ("slack-webhook", format!("hooks.slack.com/services/T{0}/B{0}/{1}", "0A".repeat(4), of(24))),
        ("discord-webhook", format!("discord.com/api/webhooks/{}/{}", "7".repeat(18), of(68))),
        ("aws-key-id", format!("AKIA{upper}")),
        ("aws-key-id", format!("ASIA{upper}")),
        ("private-key", pem("RSA PRIVATE KEY")),
        ("private-key", pem("PRIVATE KEY")),
        ("private-key", pem("OPENSSH PRIVATE KEY")),
        ("private-key", pem("PGP PRIVATE KEY BLOCK")),
        ("anthropic-key", format!("sk-ant-api03-{}", of(90))),
        ("openai-key", format!("sk-proj-{}", of(100))),
        ("openai-key", format!("sk-{}", of(48))),
        ("stripe-key", format!("sk_live_{}", of(24))),
        ("stripe-key", format!("rk_test_{}", of(24))),
        ("linear-key", format!("lin_api_{}", of(40))),
        ("linear-key", format!("lin_wh_{}", of(20))),
        ("npm-token", format!("npm_{}", of(36))),
        ("pypi-token", format!("pypi-AgEIcHlwaS5vcmc{}", of(100))),
        ("google-key", format!("AIza{}", of(35))),
        ("webhook-secret", format!("whsec_{}=", of(43))),
        ("pointsman-token", format!("psm_{}", of(43))),
    ]
}

#[test]
fn every_shape_is_found_by_its_name_and_by_known() {
    let known = redaction(&["known"]);
    for (name, example) in examples() {
        for around in ["", " ", "\"", "TOKEN=", "https://u:", "\n", "é", ">"] {
            let text = format!("{around}{example} {around}");
            for redaction in [&known, &redaction(&[name])] {
                let (made, count) = redaction.text(&text).unwrap_or_else(|| panic!("{name} in {text}"));
                assert!(made.contains(&format!("[redacted {name}]")) && count == 1, "{made}");
                assert!(!made.contains("aB3dE5gH") && !made.contains("ABCDEFGH"), "{made}");
            }
        }
    }
    let shapes: std::collections::BTreeSet<&str> = examples().into_iter().map(|(name, _)| name).collect();
    let all = SHAPES.iter().filter(|shape| shape.is_known).map(|shape| shape.name);
    assert_eq!(
        all.filter(|name| !shapes.contains(name)).collect::<Vec<_>>(),
        Vec::<&str>::new(),
        "each has an example"
    );
}

#[test]
fn what_only_looks_a_little_like_one_stays() {
    let known = redaction(&["known"]);
    for text in [
        "ghp_short",
        "task-abcdefghijklmnopqrstuvwxyzabcdefghijklmnop",
        "codegen/sk-fix-the-login-page-once-and-for-all-please",
        "MAKIAABCDEFGHIJKLMNOP",
        "-----BEGIN PUBLIC KEY-----\nMIIE\n-----END PUBLIC KEY-----",
        "a49758e1d2f49ab48e2e8aa2d7b2c0b3b9b4b1a0",
        "0b6f9a52-7a5b-4c55-9d5f-0d6d7a1f3f52",
        "https://hooks.slack.com/",
        "npm_config_registry=https://registry.npmjs.org/",
    ] {
        assert_eq!(known.text(text), None, "{text}");
    }
    let (made, _) = known.text("cut off: -----BEGIN RSA PRIVATE KEY-----\nMIIE").unwrap();
    assert_eq!(made, "cut off: [redacted private-key]");
    let jwt = format!("eyJ{0}.eyJ{0}.{0}", "a".repeat(20));
    assert_eq!(known.text(&jwt), None, "many are no secrets");
    assert_eq!(redaction(&["jwt"]).text(&jwt).unwrap().0, "[redacted jwt]");
}

#[test]
fn json_stays_as_it_is_around_what_is_taken_out() {
    let token = format!("ghp_{}", "a".repeat(36));
    let check = |text: &str, expect: &str, count: u32| {
        assert_eq!(redaction(&["known"]).json(text), Some((expect.to_owned(), count)), "{text}");
    };
    check(
        &format!("{{ \"n\": 1.50,\n\"t\":\"a {token} b\" }}"),
        "{ \"n\": 1.50,\n\"t\":\"a [redacted github-token] b\" }",
        1,
    );
    check(&format!("[\"{token}\",\"\\n{token}\"]"), "[\"[redacted github-token]\",\"\\n[redacted github-token]\"]", 2);
    let escaped = token.replace('g', "\\u0067").replace('_', "\\u005F");
    check(&format!("[\"{escaped}\"]"), "[\"[redacted github-token]\"]", 1);
    check(&format!("{{\"{token}\":1}}"), "{\"[redacted github-token]\":1}", 1);
    let slashes = format!("https:\\/\\/hooks.slack.com\\/services\\/T0\\/B0\\/{}", "x".repeat(20));
    check(&format!("[\"{slashes}\"]"), "[\"https://[redacted slack-webhook]\"]", 1);
    check(&format!("[\"\\ud800 {token}\"]"), "[\"\u{fffd} [redacted github-token]\"]", 1);
    assert_eq!(redaction(&["known"]).json("{\"a\":\"\\ud800\"}"), None, "what is not touched stays as it was");
}

#[test]
fn expressions_and_pointers_take_out_what_they_name() {
    let own = redaction(&["re:ACME-[0-9]{4,12}", "json:/client_payload/password", "json:/rows/*/pin"]);
    let text =
        r#"{"client_payload":{"password":{"deep":1},"user":"u"},"rows":[{"pin":1},{"pin":"2"}],"n":"x ACME-12345"}"#;
    let (made, count) = own.json(text).unwrap();
    assert_eq!(
        made,
        r#"{"client_payload":{"password":"[redacted]","user":"u"},"rows":[{"pin":"[redacted]"},{"pin":"[redacted]"}],"n":"x [redacted]"}"#
    );
    assert_eq!(count, 4);
    assert_eq!(own.json(&made), None, "once is enough");
}

#[test]
fn what_cannot_be_used_is_named() {
    let check = |entry: &str, expect: &str| {
        let wrong = Redaction::read(&[entry.to_owned()]).unwrap_err().join(" ");
        assert!(wrong.starts_with(&format!("`{entry}`")) && wrong.contains(expect), "{wrong}");
    };
    check("github", "there are known, github-token,");
    check("re:[", "not an expression");
    check("re:a*", "matches where nothing stands");
    check("re:(?:[a-z]{1000}){1000}", "too large");
    check("json:client_payload", "not a JSON pointer");
    assert!(Redaction::read(&[]).unwrap().is_none());
    assert!(!redaction(&["known"]).is_none());
}

/// Texts with and without secrets, at whatever depth.
fn payloads() -> impl Strategy<Value = Json> {
    let secrets: Vec<String> = examples().into_iter().map(|(_, example)| example).collect();
    let secret = proptest::sample::select(secrets);
    let text = prop_oneof![
        ".{0,12}".prop_map(|text: String| text),
        (".{0,6}", secret, ".{0,6}").prop_map(|(before, secret, after)| format!("{before} {secret} {after}")),
    ];
    let leaf = prop_oneof![text.prop_map(Json::from), any::<i64>().prop_map(Json::from), Just(Json::Null)];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
            prop::collection::btree_map("[a-z\"\\\\]{1,4}", inner, 0..4).prop_map(|members| json!(members)),
        ]
    })
}

/// The same text with every letter of its strings escaped, as some encoders write.
fn escaped(text: &str) -> String {
    strings::rewrite(text, strings::Which::All, |said| Some(said.to_owned())).map_or_else(
        || text.to_owned(),
        |text| {
            let letter = |letter: char| match letter {
                'h' | '_' | '-' => format!("\\u{:04x}", u32::from(letter)),
                other => other.to_string(),
            };
            // Outside of strings there is none of these letters but the sign of a number.
            let (mut made, mut inside, mut after) = (String::new(), false, false);
            for each in text.chars() {
                if each == '"' && !after {
                    inside = !inside;
                }
                made.push_str(&if inside && !after { letter(each) } else { each.to_string() });
                after = each == '\\' && !after;
            }
            made
        },
    )
}

proptest! {
    #[test]
    fn what_is_left_is_json_without_a_known_shape_and_twice_is_once(payload in payloads()) {
        let known = redaction(&["known"]);
        for text in [payload.to_string(), serde_json::to_string_pretty(&payload).unwrap(), escaped(&payload.to_string())] {
            prop_assert_eq!(&serde_json::from_str::<Json>(&text).unwrap(), &payload);
            let made = known.json(&text).map_or_else(|| text.clone(), |(made, _)| made);
            let read: Json = serde_json::from_str(&made).unwrap();
            prop_assert_eq!(known.json(&made), None);
            prop_assert!(!read.to_string().contains("aB3dE5gH"), "{}", made);
        }
    }
}
