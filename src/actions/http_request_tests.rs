//! What is checked before a call, what it carries, and what an answer means.

use std::sync::Arc;
use std::time::Duration;

use pointsman_actors::executor::port::{Earlier, Notebook, Unwatched};
use pointsman_actors::ids::{EventId, RunId};
use pointsman_actors::time::{SystemClock, Timestamp};

use super::*;

/// What a definition writes, with the defaults of the action.
fn written(with: &Json) -> Written {
    let mut with: std::collections::BTreeMap<String, Json> = serde_json::from_value(with.clone()).unwrap();
    for parameter in INFO.parameters {
        if let Some(default) = parameter.default {
            with.entry(parameter.name.to_owned()).or_insert_with(|| default.into());
        }
    }
    Written::new(with)
}

fn secrets() -> Secrets {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("deploy"), "Bearer hunter2\n").unwrap();
    Secrets::read(directory.path()).unwrap()
}

fn action() -> HttpRequest {
    HttpRequest::new(Arc::new(Web::new(&[])), secrets(), Arc::new(SystemClock::new()))
}

fn examine(with: &Json) -> Result<Effect, String> {
    let said = |misfit: &Misfit| format!("{}: {}", misfit.key, misfit.reason);
    let all = |misfits: Vec<Misfit>| misfits.iter().map(said).collect::<Vec<_>>().join(" | ");
    action().examine(&written(with)).map_err(all)
}

/// The request of a step that writes `as_written` and hands over `with`.
fn request(as_written: &Json, with: &Json) -> Result<Request, Failure> {
    let mut filled = json!({
        "method": "GET", "headers": {}, "secret_headers": {}, "body": null, "expect": [], "effect": BY_METHOD,
        "idempotency_header": "Idempotency-Key",
    });
    for part in [as_written, with] {
        filled.as_object_mut().unwrap().extend(part.as_object().unwrap().clone());
    }
    let attempt = Attempt {
        run: RunId::derive("w", EventId::first_at(Timestamp::from_millis(1)), "r", 0),
        step: "call".into(),
        number: 1,
        serial: 1,
        key: "the key".into(),
        with: filled.as_object().unwrap().clone(),
        written: written(as_written),
        timeout: Duration::from_secs(5),
        notebook: Notebook::new(Arc::new(|_| Box::pin(std::future::ready(Ok(()))))),
        earlier: Earlier::default(),
        circuits: Arc::new(Unwatched),
    };
    Request::of(&attempt, &secrets())
}

#[test]
fn the_method_or_the_definition_says_whether_it_may_be_repeated() {
    let check = |method: &str, effect: &str, class: EffectClass, on_doubt: OnDoubt| {
        let with = json!({"url": "https://h/", "method": method, "effect": effect});
        assert_eq!(examine(&with), Ok(Effect { class, on_doubt }), "{method} {effect}");
    };
    check("GET", BY_METHOD, EffectClass::Pure, OnDoubt::Repeat);
    check("HEAD", BY_METHOD, EffectClass::Pure, OnDoubt::Repeat);
    check("PUT", BY_METHOD, EffectClass::Idempotent, OnDoubt::Repeat);
    check("DELETE", BY_METHOD, EffectClass::Idempotent, OnDoubt::Repeat);
    check("POST", BY_METHOD, EffectClass::Once, OnDoubt::Park);
    check("PATCH", BY_METHOD, EffectClass::Once, OnDoubt::Park);
    check("POST", "keyed", EffectClass::Keyed, OnDoubt::Repeat);
    check("POST", "idempotent", EffectClass::Idempotent, OnDoubt::Repeat);
    check("POST", "pure", EffectClass::Pure, OnDoubt::Repeat);
    check("GET", "once", EffectClass::Once, OnDoubt::Park);
}

#[test]
fn what_can_be_known_before_is_refused_before() {
    let check = |with: Json, expect: &str| {
        let said = examine(&with).map_or_else(|said| said, |_| "fine".to_owned());
        assert!(said.contains(expect) && !said.contains("hunter2"), "{with}: {said}");
    };
    check(json!({"url": "https://h/{{ input.x }}"}), "fine");
    check(json!({"url": "{{ input.url }}"}), "fine");
    check(json!({"url": "ftp://hunter2@h/"}), "url: it is not an address that can be called");
    check(json!({"url": "h/hunter2"}), "url: it is not an address");
    check(json!({"url": "h/{{ input.x }}"}), "url: it is not an address");
    check(json!({"url": "ftp://h/{{ input.x }}"}), "url: it is not an address");
    check(json!({"url": "ftp://{{ input.x }}"}), "url: it is not an address");
    check(json!({"url": "https://a b/{{ input.x }}"}), "url: it is not an address");
    check(json!({"url": "HTTP://{{ input.x }}"}), "fine");
    check(json!({"url": "http{{ input.s }}://h"}), "fine");
    check(json!({"url": "https://h/", "method": "{{ input.m }}"}), "method: write it out");
    check(json!({"url": "https://h/", "effect": "{{ input.e }}"}), "effect: write it out");
    check(json!({"url": "https://h/", "effect": "keyed"}), "effect: nothing is sent by which a repetition");
    let unkeyed = json!({"url": "https://h/", "method": "POST", "effect": "keyed", "idempotency_header": ""});
    check(unkeyed, "effect: nothing is sent");
    check(json!({"url": "https://h/", "headers": {"a b": "x"}}), "headers.a b: there is no header of such a name");
    check(json!({"url": "https://h/", "headers": {"Host": "x"}}), "headers.Host: this header is not a step's to set");
    check(json!({"url": "https://h/", "headers": {"x": "hunter2\n"}}), "headers.x: its value has characters");
    check(json!({"url": "https://h/", "headers": {"x": "{{ input.x }}\n"}}), "fine");
    check(json!({"url": "https://h/", "expect": [99]}), "expect: `99` is no status");
    let secret = json!({"authorization": "deploy"});
    check(json!({"url": "https://h/{{ input.x }}", "secret_headers": secret}), "fine");
    check(json!({"url": "https://{{ input.x }}/", "secret_headers": secret}), "secret_headers: a secret goes only to");
    let open = json!({"url": "https://h/", "secret_headers": {"authorization": "{{ input.x }}"}});
    check(open, "secret_headers: write it out");
}

#[test]
fn a_secret_that_there_is_not_makes_the_step_unavailable() {
    let lacks = |name: &str| action().lacks(&written(&json!({"url": "https://h/", "secret_headers": {"x": name}})));
    assert_eq!(lacks("deploy"), None);
    assert_eq!(lacks("other").unwrap(), "there is no secret `other`; put it into workflow.secrets_dir");
    assert_eq!(action().lacks(&written(&json!({"url": "https://h/"}))), None);
}

#[test]
fn only_a_host_that_is_written_out_is_the_operators_word() {
    let check = |url: &str, expect: Option<&str>| assert_eq!(written_origin(url).as_deref(), expect, "{url}");
    check("http://127.0.0.1:8080/a/{{ input.x }}", Some("http://127.0.0.1:8080"));
    check("https://User:Pass@Host.example?q={{ input.x }}", Some("https://host.example"));
    check("https://host.example#{{ input.x }}", Some("https://host.example"));
    check("https://host.example", Some("https://host.example"));
    check("https://host.example{{ input.x }}", None);
    check("https://host.example:{{ input.x }}/", None);
    check("https://{{ input.x }}@host.example/", None);
    check("{{ input.x }}https://host.example/", None);
    check("https://good{# / #}.example/", None);
    check("{% if input.x %}https://host.example/{% endif %}", None);
    check("{{ input.x }}", None);
    check("file:///etc/passwd", None);
}

#[test]
fn a_request_carries_what_the_step_says_and_a_key() {
    let headers = |with: Json| {
        let request = request(&with, &json!({})).unwrap();
        let shown = |(name, value): (&HeaderName, &HeaderValue)| format!("{name}: {}", value.to_str().unwrap());
        let mut headers: Vec<String> = request.headers.iter().map(shown).collect();
        headers.sort();
        (headers, request.body.map(|body| String::from_utf8(body.to_vec()).unwrap()))
    };
    assert_eq!(headers(json!({"url": "https://h/"})), (vec![], None));
    let (sent, body) = headers(json!({"url": "https://h/", "method": "POST", "body": {"a": [1]}}));
    assert_eq!(sent, ["content-type: application/json", "idempotency-key: the key"]);
    assert_eq!(body.unwrap(), "{\"a\":[1]}");
    let with = json!({
        "url": "https://h/", "method": "PUT", "body": "x", "idempotency_header": "X-Key",
        "headers": {"Content-Type": "text/csv", "n": 1}, "secret_headers": {"authorization": "deploy"},
    });
    let (sent, body) = headers(with);
    assert_eq!(sent, ["authorization: Bearer hunter2", "content-type: text/csv", "n: 1", "x-key: the key"]);
    assert_eq!(body.unwrap(), "x");
    let (sent, _) = headers(json!({"url": "https://h/", "method": "DELETE", "idempotency_header": ""}));
    assert_eq!(sent, Vec::<String>::new());
}

#[test]
fn what_templates_gave_is_checked_and_named_without_its_value() {
    let open = json!({"url": "{{ input.url }}", "headers": "{{ input.headers }}", "secret_headers": EMPTY});
    let check = |with: Json, expect: &str| {
        let failure = request(&open, &with).err().unwrap();
        assert!(failure.message.contains(expect) && !failure.message.contains("hunter2"), "{failure}");
        assert_eq!((failure.class, failure.in_doubt), (ErrorClass::Validation, false));
    };
    check(json!({"url": "gopher://hunter2/"}), "with.url: it is not an address that can be called");
    check(json!({"url": "https://h/", "headers": {"x": "hunter2\r\nhost: y"}}), "with.headers.x: its value has");
    check(json!({"url": "https://h/", "headers": {"host": "hunter2"}}), "with.headers.host: this header is not");
    check(json!({"url": "https://h/", "headers": {}, "secret_headers": {"x": "deploy"}}), "a secret goes only to");
    check(json!({"url": "https://h/", "headers": {}, "expect": [70_000]}), "with.expect: expected smaller numbers");
}

fn answer(status: u16, kind: &str, body: &str) -> Answer {
    let mut headers = HeaderMap::new();
    for (name, value) in [("content-type", kind), ("set-cookie", "hunter2"), ("etag", "\"1\"")] {
        headers.insert(name, value.parse().unwrap());
    }
    Answer { status, headers, body: body.to_owned().into(), cut: false }
}

#[test]
fn later_steps_see_json_as_it_is_and_listed_headers_only() {
    let check = |kind: &str, body: &str, expect: Json| {
        let output = output(&answer(200, kind, body));
        assert_eq!(output["body"], expect, "{kind} {body}");
        assert_eq!(output["headers"], json!({"content-type": kind, "etag": "\"1\""}));
        assert_eq!((&output["status"], &output["truncated"]), (&json!(200), &json!(false)));
    };
    check("application/json; charset=utf-8", "{\"a\": 1}", json!({"a": 1}));
    check("application/problem+json", "7", json!(7));
    check("application/json", "{", json!("{"));
    check("text/plain", "[1]", json!([1]));
    check("text/plain", "7", json!("7"));
    let cut = Answer { cut: true, ..answer(200, "application/json", "[]") };
    assert_eq!((&output(&cut)["body"], &output(&cut)["truncated"]), (&json!("[]"), &json!(true)));
    let long = answer(200, "text/plain", &"ü".repeat(LARGEST_ANSWER));
    assert!(output(&long)["body"].as_str().unwrap().len() <= LARGEST_ANSWER);
}

#[test]
fn the_expected_answers_are_the_definitions_word() {
    let judge = |expect: Json, status| {
        let with = json!({"url": "https://h/", "method": "POST", "expect": expect});
        request(&with, &json!({})).unwrap().judge(&answer(status, "text/plain", ""), &secrets(), 0)
    };
    assert!(
        judge(json!([]), 204).is_ok() && judge(json!([404, "409"]), 409).is_ok() && judge(json!([302]), 302).is_ok()
    );
    let failure = judge(json!([201]), 200).unwrap_err();
    assert_eq!((failure.class, failure.in_doubt), (ErrorClass::Validation, true), "it was done, and what was it?");
    let refused = judge(json!([]), 404).unwrap_err();
    assert_eq!((refused.class, refused.in_doubt), (ErrorClass::NotFound, false));
}

#[test]
fn a_failure_says_nothing_that_was_sent() {
    let with = json!({
        "url": "https://user:passw0rd@h:8443/services/T0/B0?token=s3cret&x=1", "method": "POST",
        "headers": {"x-api-key": "apikey-1"}, "secret_headers": {"authorization": "deploy"},
    });
    let request = request(&with, &json!({})).unwrap();
    let body = "no user with passw0rd, s3cret, apikey-1, hunter2 at /services/T0/B0?token=s3cret&x=1; it rains";
    let failure = request.judge(&answer(403, "text/plain", body), &secrets(), 0).unwrap_err();
    let expect = "POST https://h:8443: answered 403: no *** with ***, ***, ***, *** at ***?***; it rains";
    assert_eq!(failure.message, expect);
    assert!(!format!("{:?}", request.headers).contains("apikey-1"), "nor does what is logged of a request");
    let Ok(Success::Done(output)) = request.judge(&answer(200, "text/plain", body), &secrets(), 0) else {
        panic!("it was fine");
    };
    let seen = output["body"].as_str().unwrap();
    assert!(!seen.contains("hunter2") && seen.contains("apikey-1"), "a secret is in no output: {seen}");
}
