//! Who is believed at a source that the configuration describes, and what is understood.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use pointsman_actors::event::{Delivery, Headers, Reading, SourceName};
use pointsman_actors::expression::Expression;
use pointsman_actors::refusal::Refusal;
use pointsman_actors::time::Timestamp;
use pointsman_actors::validator::port::Source;

use super::{Algorithm, Encoding, Generic, Keyring, Recipe, Scheme, Secret, SourceSettings, StandardHeaders};

const NOW: Timestamp = Timestamp::from_millis(1_614_265_330_000);
const SECRET: &str = "It's a Secret to Everybody";
const BODY: &[u8] = br#"{"id":7,"type":"order"}"#;

fn expression(text: &str) -> Expression {
    Expression::compile(text, &|name: &str| name.starts_with("payload") || name.starts_with("headers")).unwrap()
}

fn recipe(scheme: Scheme) -> Recipe {
    let expressions = ["payload.type", "payload.missing.deep", "headers['X-Id']", "payload"].map(expression);
    let [event_type, action, delivery_id, subject] = expressions.map(Some);
    let correlation_keys = vec![expression("'order:' ~ payload.id"), expression("'customer:' ~ payload.customer.id")];
    let headers = vec!["X-Id".to_owned()];
    Recipe { scheme, event_type, action, delivery_id, subject, correlation_keys, timestamp: None, headers }
}

fn source(recipe: Recipe) -> Generic {
    source_with(&["another", SECRET], recipe)
}

fn source_with(secrets: &[&str], recipe: Recipe) -> Generic {
    let settings = SourceSettings {
        name: SourceName::new("shop"),
        secrets: Keyring::of(secrets),
        events: Vec::new(),
        timestamp_tolerance: Duration::from_secs(300),
        allow_unsigned: false,
    };
    Generic::new(settings, Arc::new(recipe))
}

fn take(source: &Generic, headers: &[(&str, &str)], body: &[u8]) -> Result<Reading, Refusal> {
    let headers: Headers = [("content-type", "application/json")].iter().chain(headers).copied().collect();
    let (source_name, body) = (SourceName::new("shop"), Bytes::copy_from_slice(body));
    let delivery = Delivery { source: source_name, headers, body, peer: None, received_at: NOW };
    source.inspect(&delivery.headers)?;
    source.authenticate(&delivery, NOW)?;
    source.read(&delivery)
}

fn hmac(algorithm: Algorithm, encoding: Encoding, prefix: &str) -> Scheme {
    Scheme::Hmac { header: "x-signature".into(), prefix: prefix.into(), algorithm, encoding }
}

#[test]
fn codes_of_every_kind_are_taken_as_they_are_written_and_in_no_other_way() {
    for algorithm in [Algorithm::Sha1, Algorithm::Sha256, Algorithm::Sha512] {
        for (encoding, prefix) in [(Encoding::Hex, ""), (Encoding::Hex, "v1="), (Encoding::Base64, "")] {
            let source = source(recipe(hmac(algorithm, encoding, prefix)));
            let written = |code: &[u8]| match encoding {
                Encoding::Hex => format!("{prefix}{}", hex::encode(code)),
                Encoding::Base64 => {
                    use base64::Engine;
                    format!("{prefix}{}", base64::engine::general_purpose::STANDARD.encode(code))
                }
            };
            let code = Secret::new(SECRET).sign_with(algorithm, BODY);
            let right = written(&code);
            let proved = |text: &str| take(&source, &[("x-signature", text)], BODY).map(|_| ());
            let case = format!("{algorithm:?} {encoding:?} {prefix}");
            assert_eq!(code.len(), algorithm.length(), "{case}");
            assert_eq!(proved(&right), Ok(()), "{case}");
            for bit in 0..code.len() * 8 {
                let mut flipped = code.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(proved(&written(&flipped)), Err(Refusal::SignatureInvalid), "{case}, bit {bit}");
            }
            let short = written(&code[1..]);
            let long = written(&[&code[..], &[0]].concat());
            let forged = written(&Secret::new("").sign_with(algorithm, BODY));
            let unpadded = right.trim_end_matches('=').to_owned() + "A";
            let wrong = [&*short, &long, &forged, &unpadded, prefix, "", "ü", "sha256=", "====", "v1=v1="];
            for wrong in wrong.into_iter().map(str::to_owned).chain([
                right.to_uppercase(),
                format!("{right}, {right}"),
                format!("x{right}"),
            ]) {
                assert_eq!(proved(&wrong), Err(Refusal::SignatureInvalid), "{case}: {wrong}");
            }
            let changed = take(&source, &[("x-signature", &right)], br#"{"id":8,"type":"order"}"#);
            assert_eq!(changed.unwrap_err(), Refusal::SignatureInvalid, "{case}");
            let twice = take(&source, &[("x-signature", &right), ("x-signature", &right)], BODY);
            assert_eq!(twice.unwrap_err(), Refusal::SignatureInvalid, "{case}");
            assert_eq!(take(&source, &[], BODY).unwrap_err(), Refusal::SignatureMissing, "{case}");
        }
    }
}

#[test]
fn codes_are_those_of_the_published_vectors() {
    // RFC 2202 and RFC 4231, the second case of each.
    let check = |algorithm, expect: &str| {
        assert_eq!(hex::encode(Secret::new("Jefe").sign_with(algorithm, b"what do ya want for nothing?")), expect);
    };
    check(Algorithm::Sha1, "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79");
    check(Algorithm::Sha256, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    check(
        Algorithm::Sha512,
        "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b\
         636e070a38bce737",
    );
}

#[test]
fn a_token_is_the_secret_itself_after_its_prefix() {
    let check = |prefix: &str, given: &str, expect: Result<(), Refusal>| {
        let scheme = Scheme::Token { header: "x-token".into(), prefix: prefix.into() };
        let taken = take(&source(recipe(scheme)), &[("x-token", given)], BODY).map(|_| ());
        assert_eq!(taken, expect, "{prefix:?} {given:?}");
    };
    check("", SECRET, Ok(()));
    check("", "another", Ok(()));
    check("Bearer ", &format!("Bearer {SECRET}"), Ok(()));
    let refused = Err(Refusal::SignatureInvalid);
    for wrong in ["Bearer", "Bearer ", "", SECRET, "bearer x", &format!("Bearer {SECRET}x"), "Bearer ü"] {
        check("Bearer ", wrong, refused);
    }
    for wrong in ["", &SECRET.to_uppercase(), &SECRET[1..], &format!("{SECRET},{SECRET}")] {
        check("", wrong, refused);
    }
}

#[test]
fn what_expressions_cannot_give_refuses_nothing() {
    let source = source(recipe(hmac(Algorithm::Sha256, Encoding::Hex, "")));
    let read = |body: &[u8], id: Option<&str>| {
        let code = hex::encode(Secret::new(SECRET).sign(body));
        let id = id.map(|id| ("x-id", id));
        let headers: Vec<(&str, &str)> = [("x-signature", code.as_str())].into_iter().chain(id).collect();
        take(&source, &headers, body)
    };
    let reading = read(BODY, Some("d1")).unwrap();
    let facts = reading.facts;
    assert_eq!((facts.event_type.as_str(), facts.action, facts.subject), ("order", None, None));
    assert_eq!((reading.delivery_id.as_str(), facts.correlation_keys), ("d1", vec!["shop:order:7".to_owned()]));
    assert_eq!(
        reading.headers,
        [("content-type".to_owned(), "application/json".to_owned()), ("x-id".to_owned(), "d1".to_owned())]
    );
    for body in ["{}", "[]", "null", "7", r#"{"type":{"a":1}}"#, r#"{"type":""}"#, r#"{"type":null}"#] {
        let reading = read(body.as_bytes(), None).unwrap();
        assert_eq!(reading.facts.event_type, "shop", "{body}");
        assert_eq!(reading.delivery_id, super::body_hash(body.as_bytes()), "{body}");
        assert_eq!(reading.facts.correlation_keys, Vec::<String>::new(), "{body}");
    }
    assert_eq!(read(b"not json", None).unwrap_err(), Refusal::NotJson);
    assert_eq!(read(b"{\"a\":\"\xff\"}", None).unwrap_err(), Refusal::NotJson);
}

#[test]
fn a_signed_point_in_time_must_be_there_and_near() {
    let mut recipe = recipe(hmac(Algorithm::Sha256, Encoding::Hex, ""));
    recipe.timestamp = Some(expression("payload.at"));
    let source = source(recipe);
    let check = |at: &str, expect: Result<(), Refusal>| {
        let body = format!(r#"{{"at":{at}}}"#);
        let code = hex::encode(Secret::new(SECRET).sign(body.as_bytes()));
        assert_eq!(take(&source, &[("x-signature", &code)], body.as_bytes()).map(|_| ()), expect, "{at}");
    };
    let seconds = |offset: i64| (NOW.seconds() + offset).to_string();
    check(&seconds(0), Ok(()));
    check(&seconds(300), Ok(()));
    check(&format!("\"{}\"", seconds(-300)), Ok(()));
    check(&NOW.millis().to_string(), Ok(()));
    check(&format!("\"{NOW}\""), Ok(()));
    check(&seconds(301), Err(Refusal::TimestampOutsideTolerance));
    check(&seconds(-301), Err(Refusal::TimestampOutsideTolerance));
    for wrong in ["null", "\"\"", "\"yesterday\"", "[]", "true", "1e300"] {
        check(wrong, Err(Refusal::TimestampInvalid));
    }
}

#[test]
fn standard_webhooks_may_have_the_names_of_svix() {
    let signed = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
    let source = |names| {
        let recipe = Recipe { delivery_id: None, ..recipe(Scheme::Standard(names)) };
        source_with(&["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"], recipe)
    };
    let headers = |start: &str, signature: &str| {
        [("id", "msg_p5jXN8AQM9LWM0D4loKWxJek"), ("timestamp", "1614265330"), ("signature", signature)]
            .map(|(name, value)| (format!("{start}-{name}"), value.to_owned()))
    };
    let taken = |names, start: &str, signature: &str| {
        let headers = headers(start, signature);
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (&**name, &**value)).collect();
        take(&source(names), &headers, br#"{"test": 2432232314}"#).map(|reading| reading.delivery_id)
    };
    let id = || Ok("msg_p5jXN8AQM9LWM0D4loKWxJek".to_owned());
    assert_eq!(taken(StandardHeaders::SVIX, "svix", signed), id());
    assert_eq!(taken(StandardHeaders::WEBHOOK, "webhook", signed), id());
    assert_eq!(taken(StandardHeaders::SVIX, "webhook", signed), Err(Refusal::SignatureMissing));
    assert_eq!(taken(StandardHeaders::SVIX, "svix", &signed.replace("g0", "h0")), Err(Refusal::SignatureInvalid));
}
