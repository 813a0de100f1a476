//! Sources that the configuration describes: what is taken, and what is said about mistakes.

use super::tests::{merge, problem};

#[test]
fn a_source_of_ones_own_takes_a_few_lines() {
    let file = "[webhooks.shop]\nkind = \"generic\"\nscheme = \"hmac\"\nheader = \"X-Signature\"\n\
                event_type = \"headers['x-topic']\"\n[webhooks.off]\nkind = \"generic\"\nscheme = \"token\"\nheader = \"x\"";
    let (_, settings) = merge(file, &[("SHOP_WEBHOOK_SECRET", "hunter2")]).unwrap();
    let [shop] = &settings.webhooks[..] else { panic!("one source has a secret") };
    assert_eq!((shop.name.as_str(), shop.path.as_str(), shop.max_body), ("shop", "/webhooks/shop", 25 << 20));
    assert_eq!(shop.recipe.as_ref().unwrap().headers, ["x-topic"]);
    assert_eq!(settings.sources, ["github", "linear", "codegen", "claude-code", "off", "shop"]);
    assert!(!format!("{settings:?}").contains("hunter2"));
}

#[test]
fn what_cannot_be_used_is_named_with_its_key_and_line() {
    let check = |lines: &str, expect: &str| {
        let file = format!("[webhooks.shop]\nkind = \"generic\"\nsecret = \"s\"\n{lines}");
        assert_eq!(problem(&file, &[]), expect, "{lines}");
    };
    let hmac = "scheme = \"hmac\"\nheader = \"x-s\"\n";
    check("", "webhooks.shop.scheme (config.toml, line 1): it is missing; give standard, hmac or token");
    check(
        "scheme = \"hmac\"",
        "webhooks.shop.header (config.toml, line 1): it is missing; give the header that proves a delivery",
    );
    check(
        "scheme = \"hnac\"",
        "webhooks.shop.scheme (config.toml, line 4): `\"hnac\"`: must be one of standard, hmac, token",
    );
    check(
        &format!("{hmac}event_typ = \"payload.type\""),
        "webhooks.shop.event_typ (config.toml, line 6): unknown key; did you mean `webhooks.shop.event_type`?",
    );
    check(
        &format!("{hmac}event_type = \"payload.type ==\""),
        "webhooks.shop.event_type (config.toml, line 6): `payload.type ==`: syntax error: unexpected end of \
         input, expected expression; an expression sees `payload` and `headers['…']`",
    );
    check(
        &format!("{hmac}subject = \"body.type\""),
        "webhooks.shop.subject (config.toml, line 6): `body.type`: `body.type` is not known here; an expression \
         sees `payload` and `headers['…']`",
    );
    check(
        &format!("{hmac}correlation_keys = [\"headers\"]"),
        "webhooks.shop.correlation_keys (config.toml, line 6): `headers`: write out which header, such as \
         `headers['x-event']`",
    );
    for header in ["X-S", "authorization"] {
        check(
            &format!("{hmac}subject = \"headers['{header}']\""),
            &format!(
                "webhooks.shop (config.toml, line 1): an expression names the header `{header}`, which is what \
                 proves a delivery"
            ),
        );
    }
    check(
        &format!("{hmac}timestamp = \"headers['x-at']\""),
        "webhooks.shop.timestamp (config.toml, line 6): headers are not signed; take it from `payload`",
    );
    check(
        "scheme = \"token\"\nheader = \"x\"\ntimestamp = \"payload.at\"",
        "webhooks.shop.timestamp (config.toml, line 6): only an HMAC signs one; leave it out",
    );
    check(
        "scheme = \"token\"\nheader = \"x\"\nalgorithm = \"sha1\"",
        "webhooks.shop.algorithm (config.toml, line 6): the scheme `token` has none; leave it out",
    );
    check(
        "scheme = \"standard\"\nheader = \"x-s\"",
        "webhooks.shop.header (config.toml, line 5): must be webhook-signature or svix-signature",
    );
    check(
        "scheme = \"token\"\nheader = \"content-type\"",
        "webhooks.shop.header (config.toml, line 5): `content-type` cannot be it; give a name such as x-signature",
    );
}

#[test]
fn names_are_told_from_mistakes() {
    assert_eq!(
        problem("[webhooks.githb]\nsecret = \"s\"", &[]),
        "webhooks.githb (config.toml, line 1): unknown key; did you mean `webhooks.github`?; a source of your own \
         says `kind = \"generic\"`"
    );
    assert!(problem("[webhooks.github]\nkind = \"generic\"", &[]).starts_with("webhooks.github.kind "));
    let named = |name: &str| format!("[webhooks.{name}]\nkind = \"generic\"\nscheme = \"token\"\nheader = \"x\"");
    assert!(problem(&named("Shop"), &[]).contains("small letters, digits and `-` only"));
    let kind = problem("[webhooks.shop]\nkind = \"genric\"\nscheme = \"token\"\nheader = \"x\"", &[]);
    assert!(kind.contains("must be one of generic"), "{kind}");
}
