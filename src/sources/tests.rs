//! Who is believed, and what is understood.

use std::time::Duration;

use bytes::Bytes;
use pointsman_actors::event::{Delivery, Facts, Headers, Reading, SourceName};
use pointsman_actors::refusal::Refusal;
use pointsman_actors::time::Timestamp;
use pointsman_actors::validator::port::{Proof, Source};

use super::{Keyring, Secret, SourceSettings, build};

const NOW: Timestamp = Timestamp::from_millis(1_614_265_330_000);
const SECRET: &str = "It's a Secret to Everybody";

fn source(name: &str, secrets: &[&str]) -> std::sync::Arc<dyn Source> {
    build(SourceSettings {
        name: SourceName::new(name),
        secrets: Keyring::of(secrets),
        events: Vec::new(),
        timestamp_tolerance: Duration::from_secs(if name == "linear" { 60 } else { 300 }),
        allow_unsigned: false,
    })
    .unwrap()
}

fn delivery(name: &str, headers: &[(&str, &str)], body: &[u8]) -> Delivery {
    let headers: Headers = [("content-type", "application/json")].iter().chain(headers).copied().collect();
    Delivery {
        source: SourceName::new(name),
        headers,
        body: Bytes::copy_from_slice(body),
        peer: None,
        received_at: NOW,
    }
}

/// As intake does it: what headers tell, then proof, then reading.
fn take(source: &dyn Source, delivery: &Delivery) -> Result<Reading, Refusal> {
    source.inspect(&delivery.headers)?;
    source.authenticate(delivery, delivery.received_at)?;
    source.read(delivery)
}

fn signed(secret: &str, body: &[u8]) -> String {
    hex::encode(Secret::new(secret).sign(body))
}

fn github(event: &str, hook: &str, body: &str) -> Reading {
    let signature = format!("sha256={}", signed(SECRET, body.as_bytes()));
    let headers = [
        ("x-hub-signature-256", &*signature),
        ("x-github-event", event),
        ("x-github-delivery", "g"),
        ("x-github-hook-id", hook),
    ];
    take(&*source("github", &[SECRET]), &delivery("github", &headers, body.as_bytes())).unwrap()
}

fn linear(body: &str) -> Result<Reading, Refusal> {
    let code = signed("l", body.as_bytes());
    take(&*source("linear", &["l"]), &delivery("linear", &[("linear-signature", &code)], body.as_bytes()))
}

const STANDARD_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const STANDARD_BODY: &[u8] = br#"{"test": 2432232314}"#;

fn standard(signature: &str, at: Timestamp) -> Result<Reading, Refusal> {
    let headers = [
        ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
        ("webhook-timestamp", "1614265330"),
        ("webhook-signature", signature),
    ];
    let mut delivery = delivery("codegen", &headers, STANDARD_BODY);
    delivery.received_at = at;
    take(&*source("codegen", &[STANDARD_SECRET]), &delivery)
}

#[test]
fn githubs_own_vector_is_right() {
    // docs.github.com, "Validating webhook deliveries", testing the webhook payload validation.
    let code = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    let headers =
        [("x-hub-signature-256", &*format!("sha256={code}")), ("x-github-event", "push"), ("x-github-delivery", "g")];
    let delivery = delivery("github", &headers, b"Hello, World!");
    assert_eq!(source("github", &[SECRET]).authenticate(&delivery, NOW), Ok(Proof(Some(0))));
    assert_eq!(take(&*source("github", &[SECRET]), &delivery).unwrap_err(), Refusal::NotJson, "proved, but not JSON");
    assert_eq!(source("github", &["other"]).authenticate(&delivery, NOW), Err(Refusal::SignatureInvalid));
    assert_eq!(source("github", &["other", SECRET]).authenticate(&delivery, NOW), Ok(Proof(Some(1))), "any will do");
}

#[test]
fn the_vector_of_standard_webhooks_is_right() {
    let right = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
    let wrong = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OA=";
    let check = |signature: &str, at, expect: Result<(), Refusal>| {
        assert_eq!(standard(signature, at).map(|_| ()), expect, "{signature} at {at}");
    };
    let seconds = |seconds: i64| Timestamp::from_millis((1_614_265_330 + seconds) * 1000);
    check(right, NOW, Ok(()));
    check(&format!("{wrong} {right}"), NOW, Ok(()));
    check(&format!("v1a,xyz {right} v2,abc"), NOW, Ok(()));
    check(wrong, NOW, Err(Refusal::SignatureInvalid));
    check(&right.replace("v1,", "v2,"), NOW, Err(Refusal::SignatureInvalid));
    check(right, seconds(299), Ok(()));
    check(right, seconds(-299), Ok(()));
    check(right, seconds(301), Err(Refusal::TimestampOutsideTolerance));
    check(right, seconds(-301), Err(Refusal::TimestampOutsideTolerance));
    assert_eq!(standard(right, NOW).unwrap().delivery_id, "msg_p5jXN8AQM9LWM0D4loKWxJek");
}

#[test]
fn one_flipped_bit_is_refused_by_every_source() {
    let body = format!(r#"{{"webhookTimestamp":{},"x":1}}"#, NOW.millis());
    let body = body.as_bytes();
    for (name, header, prefix) in [
        ("github", "x-hub-signature-256", "sha256="),
        ("linear", "linear-signature", ""),
        ("codegen", "x-codegen-signature", "sha256="),
        ("claude-code", "x-claude-signature", "sha256="),
    ] {
        let source = source(name, &["s"]);
        let proved = |signature: &str, body: &[u8]| {
            let headers = [(header, signature), ("x-github-event", "push"), ("x-github-delivery", "g")];
            take(&*source, &delivery(name, &headers, body)).map(|_| ())
        };
        let code = signed("s", body);
        let signature = format!("{prefix}{code}");
        assert_eq!(proved(&signature, body), Ok(()), "{name}");
        for bit in 0..body.len() * 8 {
            let mut flipped = body.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(proved(&signature, &flipped), Err(Refusal::SignatureInvalid), "{name}, bit {bit} of the body");
        }
        for bit in 0..256 {
            let mut flipped = hex::decode(&code).unwrap();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let flipped = format!("{prefix}{}", hex::encode(flipped));
            assert_eq!(proved(&flipped, body), Err(Refusal::SignatureInvalid), "{name}, bit {bit} of the signature");
        }
        for wrong in [signature.to_uppercase(), format!("sha1={code}"), code[1..].to_owned(), String::new()] {
            assert!(proved(&wrong, body).is_err(), "{name}: {wrong}");
        }
        let unsigned = take(&*source, &delivery(name, &[], body)).unwrap_err();
        assert_eq!(unsigned, Refusal::SignatureMissing, "{name}");
        let twice =
            [(header, &*signature), (header, &*signature), ("x-github-event", "push"), ("x-github-delivery", "g")];
        assert_eq!(take(&*source, &delivery(name, &twice, body)).unwrap_err(), Refusal::SignatureInvalid, "{name}");
    }
}

#[test]
fn linears_signed_timestamp_must_be_near() {
    let check = |timestamp: &str, expect: Result<(), Refusal>| {
        let body = format!(r#"{{"type":"Issue","action":"update","webhookTimestamp":{timestamp}}}"#);
        assert_eq!(linear(&body).map(|_| ()), expect, "{timestamp}");
    };
    let millis = |seconds: i64| (NOW.millis() + seconds * 1000).to_string();
    check(&millis(0), Ok(()));
    check(&millis(59), Ok(()));
    check(&millis(-59), Ok(()));
    check(&millis(61), Err(Refusal::TimestampOutsideTolerance));
    check(&millis(-61), Err(Refusal::TimestampOutsideTolerance));
    check(&NOW.seconds().to_string(), Err(Refusal::TimestampOutsideTolerance));
    check(&format!("\"{}\"", millis(0)), Err(Refusal::TimestampInvalid));
    check("null", Err(Refusal::TimestampInvalid));
    assert_eq!(linear("{}").unwrap_err(), Refusal::TimestampInvalid);
}

#[test]
fn claude_code_takes_a_bearer_token() {
    let check = |authorization: &str, expect: Result<(), Refusal>| {
        let delivery = delivery("claude-code", &[("authorization", authorization)], br#"{"hook_event_name":"Stop"}"#);
        assert_eq!(
            take(&*source("claude-code", &["token", "older"]), &delivery).map(|_| ()),
            expect,
            "{authorization}"
        );
    };
    check("Bearer token", Ok(()));
    check("bearer older", Ok(()));
    check("Bearer Token", Err(Refusal::SignatureInvalid));
    check("Basic token", Err(Refusal::SignatureInvalid));
    check("token", Err(Refusal::SignatureInvalid));
}

#[test]
fn headers_that_the_protocol_requires_are_named() {
    let body = b"{}";
    let signature = format!("sha256={}", signed(SECRET, body));
    let check = |headers: &[(&str, &str)], expect| {
        let headers: Vec<_> = [("x-hub-signature-256", &*signature)].iter().chain(headers).copied().collect();
        assert_eq!(take(&*source("github", &[SECRET]), &delivery("github", &headers, body)).unwrap_err(), expect);
    };
    check(&[], Refusal::BadHeader("x-github-event"));
    check(&[("x-github-event", "push")], Refusal::BadHeader("x-github-delivery"));
    check(&[("x-github-event", "push"), ("x-github-delivery", "")], Refusal::BadHeader("x-github-delivery"));
    let both = [("x-github-event", "push"), ("x-github-delivery", "a"), ("x-github-delivery", "b")];
    check(&both, Refusal::BadHeader("x-github-delivery"));
    check(
        &[("x-github-event", "push"), ("x-github-delivery", "a"), ("content-type", "text/xml")],
        Refusal::BadHeader("content-type"),
    );
}

#[test]
fn content_types_are_json_or_githubs_form() {
    let check = |content_type: &str, body: &str, expect: Result<&str, Refusal>| {
        let signature = format!("sha256={}", signed(SECRET, body.as_bytes()));
        let pairs = [
            ("content-type", content_type),
            ("x-hub-signature-256", &*signature),
            ("x-github-event", "push"),
            ("x-github-delivery", "g"),
        ];
        let delivery = Delivery { headers: pairs.into_iter().collect(), ..delivery("github", &[], body.as_bytes()) };
        let payload = take(&*source("github", &[SECRET]), &delivery)
            .map(|reading| String::from_utf8(reading.payload.to_vec()).unwrap());
        assert_eq!(payload, expect.map(str::to_owned), "{content_type} {body}");
    };
    check("application/json; charset=utf-8", "{}", Ok("{}"));
    check("application/vnd.github+json", "{}", Ok("{}"));
    check("text/plain", "{}", Err(Refusal::WrongContentType));
    let form = "application/x-www-form-urlencoded";
    check(form, "payload=%7B%22a%22%3A%22b+c%22%7D", Ok(r#"{"a":"b c"}"#));
    check(form, "other=1", Err(Refusal::BadForm));
    check(form, "payload=%7B%7D&payload=%7B%7D", Err(Refusal::BadForm));
    check(form, "payload=%FF", Err(Refusal::BadForm));
    check(form, "payload=%7B", Err(Refusal::NotJson));
}

fn pull_request(change: impl FnOnce(&mut serde_json::Value)) -> String {
    let mut payload: serde_json::Value =
        serde_json::from_str(include_str!("../cli/samples/pull_request.json")).unwrap();
    change(&mut payload);
    payload.to_string()
}

fn facts(change: impl FnOnce(&mut serde_json::Value)) -> Facts {
    github("pull_request", "1", &pull_request(change)).facts
}

#[test]
fn a_pull_request_is_understood() {
    let facts = facts(|_| ());
    assert_eq!((facts.event_type.as_str(), facts.action.as_deref()), ("pull_request", Some("opened")));
    assert_eq!(facts.subject.as_deref(), Some("acme/shop#12"));
    assert_eq!(facts.fair_key.as_deref(), Some("acme/shop"));
    assert_eq!(facts.linear_ticket.as_deref(), Some("ENG-45"));
    assert_eq!((facts.is_codegen_pr, facts.same_repository, facts.sender_is_bot), (true, Some(true), true));
    assert_eq!(facts.correlation_keys[0], "github:pr:acme/shop#12");
    let order = facts.head_order.unwrap();
    assert_eq!((order.updated_at.as_str(), order.after), ("2026-01-05T10:00:00Z", facts.head_sha));
}

#[test]
fn a_pull_request_of_codegen_is_known_by_author_branch_title_or_body() {
    let check = |login: &str, branch: &str, title: &str, body: &str, expect: bool| {
        let facts = facts(|payload| {
            payload["pull_request"]["user"]["login"] = login.into();
            payload["pull_request"]["head"]["ref"] = branch.into();
            payload["pull_request"]["title"] = title.into();
            payload["pull_request"]["body"] = body.into();
        });
        assert_eq!(facts.is_codegen_pr, expect, "{login} {branch} {title} {body}");
    };
    check("ada", "main", "fix", "text", false);
    check("Codegen-sh[bot]", "main", "fix", "", true);
    check("ada", "codegen/x", "fix", "", true);
    check("ada", "codegen-x", "fix", "", true);
    check("ada", "my-codegen-x", "fix", "", false);
    check("ada", "main", "From CodeGen", "", true);
    check("ada", "main", "fix", "thanks @Codegen", true);
    check("ada", "main", "fix", "codegen did it", false);
}

#[test]
fn missing_and_mistyped_fields_give_fewer_facts() {
    let odd = facts(|payload| {
        payload["action"] = 5.into();
        payload["pull_request"] = "x".into();
        payload["repository"] = serde_json::json!([1]);
    });
    assert_eq!((odd.action, odd.pr_number, odd.subject), (None, None, None));
    let fork = facts(|payload| payload["pull_request"]["head"]["repo"] = serde_json::Value::Null);
    assert_eq!(fork.same_repository, Some(false));
    for body in
        ["[]", "5", r#"{"action":"a","action":"b"}"#, &format!("{}{}", "[".repeat(100_000), "]".repeat(100_000))]
    {
        assert_eq!(github("pull_request", "1", body).facts.event_type, "pull_request");
    }
}

#[test]
fn pushes_tags_and_comments_are_told_apart() {
    let push = github("push", "1", r#"{"ref":"refs/heads/codegen/eng-9-x","before":"a","after":"b","repository":{"full_name":"o/r","default_branch":"main"}}"#).facts;
    assert_eq!((push.subject.as_deref(), push.head_sha.as_deref()), (Some("o/r@codegen/eng-9-x"), Some("b")));
    assert_eq!((push.linear_ticket.as_deref(), &push.more["ref_type"]), (Some("ENG-9"), &"branch".into()));
    let deleted =
        github("push", "1", r#"{"ref":"refs/tags/v1","deleted":true,"after":"000","repository":{"full_name":"o/r"}}"#)
            .facts;
    assert_eq!(
        (deleted.head_sha, &deleted.more["ref_type"], &deleted.more["deleted"]),
        (None, &"tag".into(), &true.into())
    );
    let comment = |issue: &str| {
        github("issue_comment", "1", &format!(r#"{{"action":"created","issue":{issue},"comment":{{"id":3,"body":"hey @codegen"}},"repository":{{"full_name":"o/r"}}}}"#)).facts
    };
    let on_pull = comment(r#"{"number":7,"pull_request":{"url":"x"}}"#);
    assert_eq!(
        (on_pull.pr_number, &on_pull.more["mentions_codegen"], &on_pull.more["comment_id"]),
        (Some(7), &true.into(), &3.into())
    );
    let on_issue = comment(r#"{"number":7}"#);
    assert_eq!((on_issue.pr_number, on_issue.subject.as_deref()), (None, Some("o/r#7")));
    let run = github("workflow_run", "1", r#"{"action":"completed","workflow_run":{"id":9,"run_attempt":2,"conclusion":"startup_failure","head_branch":"b","head_sha":"s","pull_requests":[{"number":4}]},"repository":{"full_name":"o/r"}}"#).facts;
    assert_eq!(
        (run.pr_number, run.conclusion.as_deref(), &run.more["run_attempt"]),
        (Some(4), Some("startup_failure"), &2.into())
    );
}

#[test]
fn linear_events_are_named_as_linear_means_them() {
    let body = |inner: &str| format!(r#"{{"webhookTimestamp":{},{inner}}}"#, NOW.millis());
    let kind = |inner: &str| {
        let facts = linear(&body(inner)).unwrap().facts;
        format!("{}.{}", facts.event_type, facts.action.unwrap_or_default())
    };
    assert_eq!(kind(r#""type":"Issue","action":"update""#), "issue.update");
    assert_eq!(kind(r#""type":"Comment","action":"create""#), "comment.create");
    assert_eq!(kind(r#""type":"AgentSessionEvent","action":"prompted""#), "agent_session.prompted");
    assert_eq!(kind(r#""type":"IssueSLA","action":"set""#), "issue_sla.set");
    let issue = |data: &str, from: &str| {
        linear(&body(&format!(
            r#""type":"Issue","action":"update","data":{{"id":"u","identifier":"ENG-45",{data}}},"updatedFrom":{from}"#
        )))
        .unwrap()
        .facts
    };
    let delegated =
        issue(r#""delegate":{"name":"Codegen"},"assignee":{"name":"Ada"}"#, r#"{"delegateId":null,"updatedAt":"x"}"#);
    assert_eq!(
        (delegated.assigned_to_codegen, delegated.assignee.as_deref(), delegated.delegate.as_deref()),
        (true, Some("Ada"), Some("Codegen"))
    );
    assert_eq!(delegated.changes.keys().collect::<Vec<_>>(), ["delegateId", "updatedAt"], "by presence of the key");
    assert_eq!(delegated.changes["delegateId"], serde_json::Value::Null);
    assert!(issue(r#""assignee":{"email":"bot@codegen.com"}"#, "{}").assigned_to_codegen);
    assert!(!issue(r#""assignee":{"name":"Ada"}"#, "5").assigned_to_codegen);
    assert_eq!((delegated.subject.as_deref(), delegated.linear_ticket.as_deref()), (Some("ENG-45"), Some("ENG-45")));
    assert_eq!(delegated.correlation_keys, ["linear:issue:u"]);
}

#[test]
fn a_session_of_an_agent_says_who_asks_for_what() {
    let read = |inner: &str| {
        let body = format!(r#"{{"webhookTimestamp":{},"type":"AgentSessionEvent",{inner}}}"#, NOW.millis());
        linear(&body).unwrap().facts
    };
    let session = r#""id":"s1","status":"pending","creator":{"name":"Ada"},"issue":{"id":"i","identifier":"ENG-45","title":"Cache","team":{"key":"ENG"}}"#;
    let opened = read(&format!(r#""action":"created","agentSession":{{{session},"comment":{{"body":"@bot do"}}}}"#));
    assert_eq!((opened.event_type.as_str(), opened.subject.as_deref()), ("agent_session", Some("ENG-45")));
    assert_eq!((&opened.more["agent_session_id"], &opened.more["prompt"]), (&"s1".into(), &"@bot do".into()));
    assert_eq!((opened.author.as_deref(), &opened.more["agent_session_status"]), (Some("Ada"), &"pending".into()));
    assert_eq!(opened.correlation_keys, ["linear:issue:i", "linear:agent_session:s1"]);
    let prompted = read(&format!(
        r#""action":"prompted","agentSession":{{{session},"comment":{{"body":"@bot do"}}}},"agentActivity":{{"id":"a","signal":"stop","content":{{"type":"prompt","body":"No, stop."}}}}"#
    ));
    assert_eq!((&prompted.more["prompt"], &prompted.more["signal"]), (&"No, stop.".into(), &"stop".into()));
    assert_eq!(prompted.more["agent_activity_type"], "prompt");
    let marker = r#""comment":{"body":"This thread is for an agent session with codegen."}"#;
    let of_app = r#""appUserId":"u","createdAt":"2026-01-05T10:00:00Z""#;
    let by_linear = read(&format!(r#""action":"created",{of_app},"agentSession":{{{session},{marker}}}"#));
    assert_eq!(by_linear.more.get("prompt"), None, "Linear has written that");
    let more = |name: &str| by_linear.more[name].as_str().unwrap();
    assert_eq!((more("app_user_id"), more("created_at")), ("u", "2026-01-05T10:00:00Z"));
    let delegated = read(&format!(r#""action":"created","agentSession":{{{session}}}"#));
    assert!(!delegated.more.contains_key("prompt") && !delegated.more.contains_key("signal"));
}

#[test]
fn who_had_an_issue_before_is_said_when_it_is_known() {
    let more = |action: &str, data: &str, from: &str| {
        let body = format!(
            r#"{{"webhookTimestamp":{},"type":"Issue","action":"{action}","data":{{"id":"u"{data}}},"updatedFrom":{from}}}"#,
            NOW.millis()
        );
        linear(&body).unwrap().facts.more
    };
    let check = |action: &str, data: &str, from: &str, was: Option<bool>, change: Option<&str>| {
        let more = more(action, data, from);
        let said = more.get("was_assigned_to_codegen").map(|was| was.as_bool().unwrap());
        let changed = more.get("delegate_change").map(|change| change.as_str().unwrap());
        assert_eq!((said, changed), (was, change), "{action} {data} {from}");
    };
    const CODEGEN: &str = r#","delegate":{"name":"Codegen"}"#;
    const ADA: &str = r#","delegate":{"name":"Ada"}"#;
    check("create", CODEGEN, "null", Some(false), None);
    check("update", CODEGEN, r#"{"delegateId":null}"#, Some(false), Some("added"));
    check("update", CODEGEN, r#"{"title":"x"}"#, Some(true), None);
    check("update", "", r#"{"title":"x"}"#, Some(false), None);
    check("update", "", r#"{"delegateId":"somebody"}"#, None, Some("removed"));
    check("update", ADA, r#"{"delegateId":"somebody"}"#, None, Some("replaced"));
    check("update", r#","assignee":{"name":"Codegen"}"#, r#"{"delegateId":"somebody"}"#, Some(true), Some("removed"));
    check("remove", CODEGEN, "null", Some(true), None);
    let assigned = more("update", r#","assignee":{"name":"Ada"}"#, r#"{"assigneeId":null}"#);
    assert_eq!((&assigned["assignee_change"], &assigned["was_assigned_to_codegen"]), (&"added".into(), &false.into()));
}

#[test]
fn callbacks_carry_the_keys_that_waits_know() {
    let read = |name: &str, header: &str, body: &str| {
        let signature = format!("sha256={}", signed("s", body.as_bytes()));
        take(&*source(name, &["s"]), &delivery(name, &[(header, &signature)], body.as_bytes())).unwrap()
    };
    let codegen = read(
        "codegen",
        "x-codegen-signature",
        r#"{"event_type":"generation.failed","event_id":"e","data":{"task_id":"t","agent_run_id":17}}"#,
    );
    assert_eq!(
        (codegen.facts.event_type.as_str(), codegen.facts.action.as_deref(), codegen.delivery_id.as_str()),
        ("generation", Some("failed"), "e")
    );
    assert_eq!(codegen.facts.correlation_keys, ["codegen:run:t", "codegen:run:17"]);
    let stop = read(
        "claude-code",
        "x-claude-signature",
        r#"{"hook_event_name":"StopFailure","session_id":"s1","prompt_id":"p1"}"#,
    );
    assert_eq!((stop.facts.event_type.as_str(), stop.delivery_id.len()), ("stop_failure", 64), "hooks have no id");
    assert_eq!(stop.facts.correlation_keys, ["claude:session:s1"]);
    let failed = r#"{"event_type":"validation.failed","data":{"validation_id":7,"error":"full"}}"#;
    let failed = read("claude-code", "x-claude-signature", failed).facts;
    assert_eq!((failed.correlation_keys[0].as_str(), &failed.more["error"]), ("claude:validation:7", &"full".into()));
    let numbered = read("codegen", "x-codegen-signature", r#"{"data":{"task_id":7,"generation_id":"g"}}"#);
    assert_eq!(numbered.facts.correlation_keys, ["codegen:run:7", "codegen:run:g"]);
    let unnamed = read("codegen", "x-codegen-signature", "{}");
    assert_eq!(unnamed.delivery_id.len(), 64, "the hash of the body");
}

#[test]
fn one_occurrence_through_two_hooks_has_one_fingerprint_and_real_repeats_do_not() {
    let print = |event: &str, body: &str| github(event, "1", body).fingerprint.unwrap();
    let opened = pull_request(|_| ());
    let through_organisation = pull_request(|payload| payload["organization"] = serde_json::json!({"login": "acme"}));
    assert_eq!(print("pull_request", &opened), print("pull_request", &through_organisation));
    let repeats: [(&str, serde_json::Value); 5] = [
        ("/action", "closed".into()),
        ("/pull_request/updated_at", "2026-01-05T10:00:01Z".into()),
        ("/pull_request/head/sha", "other".into()),
        ("/pull_request/id", 9.into()),
        ("/repository/full_name", "acme/other".into()),
    ];
    for (pointer, value) in repeats {
        let repeat = pull_request(|payload| *payload.pointer_mut(pointer).unwrap() = value);
        assert_ne!(print("pull_request", &opened), print("pull_request", &repeat), "{pointer}");
    }
    let labelled = |label: &str| pull_request(|payload| payload["label"] = serde_json::json!({"name": label}));
    assert_ne!(print("pull_request", &labelled("a")), print("pull_request", &labelled("b")));
    assert_ne!(
        print("star", r#"{"repository":{"full_name":"o/r"},"a":1}"#),
        print("star", r#"{"repository":{"full_name":"o/r"},"a":2}"#)
    );
}

#[test]
fn what_a_source_does_not_list_is_ignored_with_the_reason() {
    let settings = |events: &[&str]| SourceSettings {
        name: SourceName::new("github"),
        secrets: Keyring::default(),
        events: events.iter().map(|event| (*event).to_owned()).collect(),
        timestamp_tolerance: Duration::ZERO,
        allow_unsigned: true,
    };
    let facts = Facts { event_type: "pull_request".into(), action: Some("opened".into()), ..Facts::default() };
    for listing in [&[][..], &["*"], &["push", "pull_request"], &["pull_request.opened"]] {
        assert_eq!(settings(listing).ignores(&facts), None, "{listing:?}");
    }
    let reason = settings(&["push", "pull_request.closed"]).ignores(&facts);
    assert_eq!(reason.as_deref(), Some("`webhooks.github.events` does not list `pull_request.opened`"));
}

#[test]
fn nothing_prints_a_secret_and_only_listed_headers_are_kept() {
    let settings = SourceSettings {
        name: SourceName::new("github"),
        secrets: Keyring::of(&["hunter2"]),
        events: Vec::new(),
        timestamp_tolerance: Duration::ZERO,
        allow_unsigned: false,
    };
    assert!(!format!("{settings:?}").contains("hunter2"));
    let kept = github("ping", "7", "{}").headers;
    let names: Vec<&str> = kept.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["x-github-delivery", "x-github-event", "x-github-hook-id", "content-type"]);
    assert!(github("ping", "7", "{}").ignored.is_some());
}
