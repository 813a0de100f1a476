//! Attacks on the webhook paths.

use super::wire::Request;
use super::{Row, row, try_all};
use crate::server::{SECRET, TestServer, sign};

const UNLIMITED: &str = "[validator]\nrate_limiting = false\n";

/// The signature of GitHub's delivery in `Request::github`.
fn right() -> String {
    sign(br#"{"ref":"refs/heads/main"}"#)
}

fn signatures() -> Vec<Row> {
    let with = |signature: &str| Request::github("s").set("x-hub-signature-256", signature);
    let (right, hex) = (right(), right().trim_start_matches("sha256=").to_owned());
    let wrong = sign(b"something else");
    let flipped = format!("{}{}", &right[..right.len() - 1], if right.ends_with('0') { '1' } else { '0' });
    let unsigned = Request::github("s").without("x-hub-signature-256");
    vec![
        row("no signature", &unsigned, &[401], "signature_missing"),
        row("an empty signature", &with(""), &[401], "signature_invalid"),
        row("the signature of another body", &with(&wrong), &[401], "signature_invalid"),
        row("one digit is wrong", &with(&flipped), &[401], "signature_invalid"),
        row("a prefix of the signature", &with(&right[..right.len() - 2]), &[401], "signature_invalid"),
        row("the signature and more", &with(&format!("{right}00")), &[401], "signature_invalid"),
        row("no algorithm", &with(&hex), &[401], "signature_invalid"),
        row("another algorithm", &with(&format!("sha512={hex}")), &[401], "signature_invalid"),
        row("no algorithm is `none`", &with("none="), &[401], "signature_invalid"),
        row("the algorithm twice", &with(&format!("sha256={right}")), &[401], "signature_invalid"),
        row("capital digits", &with(&right.to_uppercase().replace("SHA", "sha")), &[401], "signature_invalid"),
        row("a blank within", &with(&right.replacen('=', "= ", 1)), &[401], "signature_invalid"),
        row(
            "a byte that is no text",
            &unsigned.clone().with("x-hub-signature-256", b"sha256=\xff\xfe"),
            &[401],
            "signature_invalid",
        ),
        row(
            "two signatures, the first is right",
            &with(&right).with("x-hub-signature-256", &wrong),
            &[401],
            "signature_invalid",
        ),
        row(
            "two signatures, the second is right",
            &with(&wrong).with("x-hub-signature-256", &right),
            &[401],
            "signature_invalid",
        ),
        row("two in one header", &with(&format!("{wrong},{right}")), &[401], "signature_invalid"),
        row(
            "SHA-1 alone",
            &unsigned.clone().with("x-hub-signature", format!("sha1={}", &hex[..40])),
            &[401],
            "signature_missing",
        ),
        row(
            "the secret itself",
            &unsigned.clone().with("authorization", format!("Bearer {SECRET}x")),
            &[401],
            "signature_missing",
        ),
        row("the body is not the signed one", &Request::github("s").carrying(b"{}"), &[401], "signature_invalid"),
        row(
            "a line end more",
            &Request::github("s").carrying(b"{\"ref\":\"refs/heads/main\"}\n"),
            &[401],
            "signature_invalid",
        ),
        row("signed for another source", &Request::github("s").to("/webhooks/linear"), &[401], "signature_missing"),
        row(
            "a bearer's scheme where the source has none",
            &unsigned.clone().to("/webhooks/codegen").with("authorization", "Bearer x"),
            &[401],
            "signature_missing",
        ),
        row(
            "Standard Webhooks without an id",
            &unsigned
                .to("/webhooks/codegen")
                .with("webhook-timestamp", "1767225600")
                .with("webhook-signature", format!("v1,{}", "A".repeat(44))),
            &[400],
            "bad_header",
        ),
    ]
}

fn smuggling() -> Vec<Row> {
    let good = || Request::github("m");
    let body = br#"{"ref":"refs/heads/main"}"#;
    let second = Request::github("smuggled").bytes();
    let chunked = |chunks: &[u8]| good().in_chunks(chunks);
    let mut hidden = good().without("content-length").with("content-length", "0").without("connection");
    hidden.body = second.clone();
    let mut both = chunked(b"0\r\n\r\n").with("content-length", "5");
    both.body.extend(&second);
    vec![
        row("the length twice", &good().with("content-length", "25"), &[400], ""),
        row("two lengths", &good().with("content-length", "5"), &[400], ""),
        row("two lengths in one", &good().set("content-length", "25, 25"), &[400], ""),
        row("a negative length", &good().set("content-length", "-1"), &[400], ""),
        row("a length with a sign", &good().set("content-length", "+25"), &[400], ""),
        row("a length in hexadecimal", &good().set("content-length", "0x19"), &[400], ""),
        row("a length that no number holds", &good().set("content-length", "99999999999999999999"), &[400], ""),
        row("a length and chunks", &both, &[400], ""),
        row("chunks of another kind", &good().with("transfer-encoding", "xchunked"), &[400], ""),
        row(
            "chunked twice",
            &good().without("content-length").with("transfer-encoding", "chunked, chunked"),
            &[400],
            "",
        ),
        row("chunked within HTTP/1.0", &Request { version: "HTTP/1.0", ..chunked(b"0\r\n\r\n") }, &[400], ""),
        row("a chunk whose length is none", &chunked(b"zz\r\nx\r\n0\r\n\r\n"), &[], ""),
        row("a chunk whose length no number holds", &chunked(b"ffffffffffffffffff\r\nx\r\n0\r\n\r\n"), &[], ""),
        row("the end of the chunks never comes", &chunked(b"19\r\n{\"ref\""), &[400], ""),
        row("a second delivery behind the first", &hidden, &[401], "signature_invalid"),
        row("a header that goes on in the next line", &good().with("x-a", "b\r\n c"), &[400], ""),
        row("a blank before the colon", &good().with("x-a ", "b"), &[400], ""),
        row("a name that is none", &good().with("x\u{0}a", "b"), &[400], ""),
        row("a zero byte in a value", &good().with("x-a", b"b\0c"), &[400], ""),
        row("a line end in a value", &good().with("x-a", b"b\rc"), &[400], ""),
        row("a header without a colon", &good().with("x-a", "b\r\nnothing"), &[400], ""),
        row("the event twice", &good().with("x-github-event", "ping"), &[400], "bad_header"),
        row("the delivery's id twice", &good().with("x-github-delivery", "other"), &[400], "bad_header"),
        row("the content type twice", &good().with("content-type", "text/plain"), &[400], "bad_header"),
        row("two hosts", &good().with("host", "evil.example"), &[400], ""),
        row("a hundred headers", &(0..100).fold(good(), |all, n| all.with(&format!("x-{n}"), "y")), &[431], ""),
        row("a head of 200 KiB", &good().with("x-a", "y".repeat(200 << 10)), &[431], ""),
        row("a target of 100 KiB", &good().to(&format!("/{}", "a".repeat(100 << 10))), &[400], ""),
        row("a version that there is not", &Request { version: "HTTP/9.9", ..good() }, &[400], ""),
        row("the preface of HTTP/2", &Request { version: "HTTP/2.0", ..Request::new("PRI", "*") }, &[400], ""),
        Row {
            name: "no HTTP at all",
            bytes: b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc".to_vec(),
            statuses: &[400],
            code: "",
        },
        Row { name: "nothing", bytes: Vec::new(), statuses: &[], code: "" },
        row("an absolute target", &good().to("http://evil.example/webhooks/github"), &[200], ""),
        row(
            "what is unsigned in a trailer",
            &chunked(&[b"19\r\n", &body[..], b"\r\n0\r\nx-hub-signature-256: x\r\n\r\n"].concat()),
            &[200],
            "",
        ),
    ]
}

fn bodies() -> Vec<Row> {
    let signed = |body: &[u8]| Request::github("b").signed(body);
    let typed = |kind: &str| Request::github("b").set("content-type", kind);
    let form = |body: &str| signed(body.as_bytes()).set("content-type", "application/x-www-form-urlencoded");
    let utf16: Vec<u8> = "{\"ref\":1}".encode_utf16().flat_map(u16::to_be_bytes).collect();
    vec![
        row("nothing, signed", &signed(b""), &[400], "invalid_json"),
        row("half of an object", &signed(b"{\"ref\":"), &[400], "invalid_json"),
        row("more after the end", &signed(b"{}{}"), &[400], "invalid_json"),
        row("a number that is none", &signed(b"{\"a\":NaN}"), &[400], "invalid_json"),
        row("a comment", &signed(b"{/* a */}"), &[400], "invalid_json"),
        row("no UTF-8", &signed(b"{\"a\":\"\xc3\x28\"}"), &[400], "invalid_json"),
        row("UTF-16", &signed(&utf16), &[400], "invalid_json"),
        row("a byte order mark", &signed(b"\xef\xbb\xbf{}"), &[400], "invalid_json"),
        row("a zero byte", &signed(b"{}\0"), &[400], "invalid_json"),
        row(
            "compressed",
            &signed(b"\x1f\x8b\x08\0\0\0\0\0\0\x03\xab\xae\x05\0C\xbf\xa6\xa3\x02\0\0\0")
                .with("content-encoding", "gzip"),
            &[400],
            "invalid_json",
        ),
        row("plain text", &typed("text/plain"), &[415], "unsupported_content_type"),
        row("no content type", &Request::github("b").without("content-type"), &[415], "unsupported_content_type"),
        row("several parts", &typed("multipart/form-data; boundary=x"), &[415], "unsupported_content_type"),
        row("a type that begins like JSON", &typed("application/jsonx"), &[415], "unsupported_content_type"),
        row("a form without payload", &form("a=1"), &[400], "invalid_form"),
        row("a form with two payloads", &form("payload=%7B%7D&payload=%7B%22a%22%3A1%7D"), &[400], "invalid_form"),
        row("a form that is not encoded properly", &form("payload=%7B%zz%7D"), &[400], ""),
        row("a form whose payload is no JSON", &form("payload=a"), &[400], "invalid_json"),
        row(
            "larger than the source takes",
            &Request::github("b").set("content-length", "26214401"),
            &[413],
            "body_too_large",
        ),
        row("it ends before it should", &Request::github("b").set("content-length", "99"), &[400], ""),
    ]
}

fn paths() -> Vec<Row> {
    let to = |target: &str| Request::github("p").to(target);
    vec![
        row("a blank source", &to("/webhooks/"), &[404], "unknown_source"),
        row("a source that there is not", &to("/webhooks/gitlab"), &[404], "unknown_source"),
        row("a slash at the end", &to("/webhooks/github/"), &[404], "unknown_source"),
        row("two slashes", &to("//webhooks/github"), &[404], "not_found"),
        row("up and down again", &to("/webhooks/../webhooks/github"), &[404], "unknown_source"),
        row("an escaped letter", &to("/webhooks/%67ithub"), &[404], "unknown_source"),
        row("an escaped slash", &to("/webhooks%2fgithub"), &[404], "not_found"),
        row("a zero byte at the end", &to("/webhooks/github%00"), &[404], "unknown_source"),
        row("a parameter of the path", &to("/webhooks/github;a=b"), &[404], "unknown_source"),
        row("capital letters", &to("/Webhooks/GitHub"), &[404], "not_found"),
        row("a bare word", &to("webhooks/github"), &[400], ""),
        row("a GET", &Request::new("GET", "/webhooks/github"), &[405], "method_not_allowed"),
        row("a PUT", &to("/webhooks/github").by("PUT"), &[405], "method_not_allowed"),
        row(
            "another method in a header",
            &Request::new("GET", "/webhooks/github").with("x-http-method-override", "POST"),
            &[405],
            "method_not_allowed",
        ),
        row("a method in small letters", &to("/webhooks/github").by("post"), &[405], "method_not_allowed"),
        row(
            "TRACE, which would show headers",
            &Request::new("TRACE", "/webhooks/github").with("x-secret", "s"),
            &[405],
            "method_not_allowed",
        ),
        row("CONNECT, as to a proxy", &Request::new("CONNECT", "evil.example:443"), &[404], ""),
    ]
}

#[actix::test]
async fn whoever_has_not_signed_it_properly_delivers_nothing() {
    let server = TestServer::start(UNLIMITED).await;
    try_all(&server, signatures()).await;
    assert_eq!(server.events_stored().await, 1, "only what came afterwards");
}

#[actix::test]
async fn no_request_is_read_as_another_than_it_is() {
    let server = TestServer::start(UNLIMITED).await;
    try_all(&server, smuggling()).await;
    let events = server.get("/api/v1/events").await.body.to_string();
    // What is there by right: what came with a target that names another host, and what came afterwards.
    assert_eq!(server.events_stored().await, 2, "{events}");
    assert!(!events.contains("smuggled"), "{events}");
}

#[actix::test]
async fn what_is_no_delivery_is_refused_by_what_it_is() {
    let server = TestServer::start(UNLIMITED).await;
    try_all(&server, bodies()).await;
    try_all(&server, paths()).await;
    assert_eq!(server.events_stored().await, 1, "only what came afterwards");
}

#[actix::test]
async fn what_was_delivered_once_is_not_delivered_again() {
    let server = TestServer::start(UNLIMITED).await;
    let old = br#"{"type":"Issue","action":"update","webhookTimestamp":1700000000000,"data":{"id":"i"}}"#;
    let linear = |body: &[u8]| {
        let signature = sign(body).trim_start_matches("sha256=").to_owned();
        let linear = Request::new("POST", "/webhooks/linear").with("content-type", "application/json");
        linear.with("linear-delivery", "l").with("linear-signature", signature).carrying(body)
    };
    let timeless = br#"{"type":"Issue","action":"update","data":{"id":"i"}}"#;
    let rows = vec![
        row("the first time", &Request::github("once"), &[200], ""),
        row("the same once more", &Request::github("once"), &[200], ""),
        row("its id on another body", &Request::github("once").signed(b"{\"other\":1}"), &[200], ""),
        row("a signed time that is long past", &linear(old), &[401], "timestamp_outside_tolerance"),
        row("no signed time where there has to be one", &linear(timeless), &[401], "timestamp_invalid"),
    ];
    try_all(&server, rows).await;
    assert_eq!(server.events_stored().await, 2, "once, and what came afterwards");
}

#[actix::test]
async fn nobody_is_believed_about_whom_he_hands_on() {
    let listed = |more: &str| format!("{UNLIMITED}[webhooks.github]\naddresses = [\"192.0.2.0/24\"]\n{more}");
    let claims = |name: &str, value: &str| Request::github("a").with(name, value);
    let server = TestServer::start(&listed("")).await;
    let strangers = vec![
        row("from where nobody may", &Request::github("a"), &[403], "address_not_allowed"),
        row("a stranger's X-Forwarded-For", &claims("x-forwarded-for", "192.0.2.1"), &[403], "address_not_allowed"),
        row("a stranger's Forwarded", &claims("forwarded", "for=192.0.2.1"), &[403], "address_not_allowed"),
        row("a stranger's X-Real-IP", &claims("x-real-ip", "192.0.2.1"), &[403], "address_not_allowed"),
        row("a stranger's True-Client-IP", &claims("true-client-ip", "192.0.2.1"), &[403], "address_not_allowed"),
    ];
    refuse_all(&server, strangers).await;
    let server = TestServer::start(&listed("[server]\ntrusted_proxies = [\"127.0.0.1\"]\n")).await;
    let through_proxy = vec![
        row(
            "what stood there before the proxy",
            &claims("x-forwarded-for", "192.0.2.1, 203.0.113.9"),
            &[403],
            "address_not_allowed",
        ),
        row(
            "the header that the proxy does not write",
            &claims("forwarded", "for=192.0.2.1"),
            &[403],
            "address_not_allowed",
        ),
        row(
            "in two lines",
            &claims("x-forwarded-for", "192.0.2.1").with("x-forwarded-for", "203.0.113.9"),
            &[403],
            "address_not_allowed",
        ),
        row("no address", &claims("x-forwarded-for", "192.0.2.1, unknown"), &[403], "address_not_allowed"),
    ];
    refuse_all(&server, through_proxy).await;
}

#[actix::test]
async fn what_is_unsigned_comes_from_this_machine_alone() {
    let server =
        TestServer::start("[validator]\nrate_limiting = false\n[webhooks.github]\nallow_unsigned = true\n").await;
    let unsigned = Request::github("u").without("x-hub-signature-256").set("host", "localhost:3000");
    let evil = unsigned.clone().set("host", "evil.example");
    let refused = |name, request: &Request| row(name, request, &[403], "address_not_allowed");
    let rows = vec![
        refused("a page of another name that leads here", &evil),
        refused("the same, handed on for this machine as it says", &evil.clone().with("x-forwarded-host", "localhost")),
        refused("what a proxy hands on, by X-Real-IP", &unsigned.clone().with("x-real-ip", "203.0.113.9")),
        refused("by X-Forwarded-Proto alone", &unsigned.clone().with("x-forwarded-proto", "https")),
        refused("by Via", &unsigned.clone().with("via", "1.1 proxy")),
        refused("another name in the target", &unsigned.clone().to("http://evil.example/webhooks/github")),
        refused("a name that begins like ours", &unsigned.clone().set("host", "localhost.evil.example")),
        refused("a name that begins with an address", &unsigned.clone().set("host", "127.0.0.1.evil.example")),
    ];
    refuse_all(&server, rows).await;
    for host in ["localhost", "127.0.0.1:3000", "[::1]:3000"] {
        super::try_rows(&server, vec![row("this machine", &unsigned.clone().set("host", host), &[200], "")]).await;
    }
}

#[actix::test]
async fn whoever_proves_nothing_has_one_request_for_each_connection() {
    let server = TestServer::start(UNLIMITED).await;
    let (wrong, right) = (Request::github("w").set("x-hub-signature-256", "sha256=00"), Request::github("r"));
    let after = |first: &Request| [first.bytes(), right.bytes(), wrong.bytes(), right.bytes()].concat();
    let rows = vec![
        Row { name: "sent ahead of an answer", bytes: after(&wrong), statuses: &[401], code: "" },
        Row { name: "after something that is right", bytes: after(&right), statuses: &[200, 200, 401, 200], code: "" },
    ];
    super::try_rows(&server, rows).await;
}

async fn refuse_all(server: &TestServer, rows: Vec<Row>) {
    super::try_rows(server, rows).await;
    assert_eq!(server.events_stored().await, 0);
}
