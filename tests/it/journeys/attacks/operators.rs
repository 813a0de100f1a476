//! Attacks on the operator API.

use pointsman::access::token::TokenHash;

use super::wire::Request;
use super::{Row, row, try_all};
use crate::server::{TOKEN, TestServer};

/// A token that may look, one that may work, and one whose time is over.
fn tokens() -> String {
    let table = |name: &str, scope: &str, more: &str| {
        let hash = TokenHash::of(&format!("psm_{name}")).written();
        format!("[admin.tokens.{name}]\nhash = \"{hash}\"\nscopes = [\"{scope}\"]\n{more}\n")
    };
    let past = "expires = \"2020-01-01T00:00:00Z\"";
    format!("{}{}{}", table("look", "read", ""), table("work", "operate", ""), table("past", "admin", past))
}

fn guesses() -> Vec<Row> {
    let runs = || Request::new("GET", "/api/v1/runs");
    let with = |value: &str| runs().with("authorization", value);
    vec![
        row("no token", &runs(), &[401], "unauthorized"),
        row("an empty token", &with("Bearer "), &[401], ""),
        row("a guess", &with("Bearer admin"), &[401], "invalid_token"),
        row("a token whose time is over", &with("Bearer psm_past"), &[401], "invalid_token"),
        row(
            "the hash of a token",
            &with(&format!("Bearer {}", TokenHash::of("psm_look").written())),
            &[401],
            "invalid_token",
        ),
        row("another scheme", &with("Basic cHNtX2xvb2s6"), &[401], "unauthorized"),
        row("no scheme", &with("psm_look"), &[401], "unauthorized"),
        row("a token and more", &with("Bearer psm_look, psm_work"), &[401], "invalid_token"),
        row("a token that is no text", &runs().with("authorization", b"Bearer \xff"), &[401], ""),
        row("in the query", &runs().to("/api/v1/runs?token=psm_look&access_token=psm_look"), &[401], "unauthorized"),
        row("as a cookie", &runs().with("cookie", "token=psm_look; session=psm_look"), &[401], "unauthorized"),
        row("in another header", &runs().with("x-api-key", "psm_look"), &[401], "unauthorized"),
        row("a long one", &with(&format!("Bearer {}", "a".repeat(60_000))), &[401], "invalid_token"),
        row("two, the first is wrong", &with("Bearer guess").with("authorization", "Bearer psm_look"), &[401], ""),
    ]
}

fn ways_around() -> Vec<Row> {
    let open = |target: &str| Request::new("GET", target);
    let as_look = |method: &str, target: &str| {
        Request::new(method, target).with("authorization", "Bearer psm_look").carrying(b"{}")
    };
    let as_work = |target: &str| Request::new("POST", target).with("authorization", "Bearer psm_work").carrying(b"{}");
    vec![
        row("an escaped letter", &open("/api/v1/%72uns"), &[401], "unauthorized"),
        row("an escaped slash", &open("/api%2fv1/runs"), &[404], "not_found"),
        row("up from an open path", &open("/health/../api/v1/runs"), &[404], "not_found"),
        row("up within it", &open("/api/v1/x/../runs"), &[401], "unauthorized"),
        row("two slashes", &open("//api/v1/runs"), &[404], "not_found"),
        row("a slash at the end", &open("/api/v1/runs/"), &[401], "unauthorized"),
        row("a path that there is not", &open("/api/v1/secrets/all"), &[401], "unauthorized"),
        row(
            "OPTIONS, as browsers ask before",
            &Request::new("OPTIONS", "/api/v1/runs").with("origin", "https://evil.example"),
            &[401],
            "unauthorized",
        ),
        row("HEAD", &Request::new("HEAD", "/api/v1/runs"), &[401], ""),
        row("a method that nobody knows", &as_look("FROB", "/api/v1/runs"), &[403], "insufficient_scope"),
        row("to do where one may look", &as_look("POST", "/api/v1/reload"), &[403], "insufficient_scope"),
        row("to rule where one may do", &as_work("/api/v1/reload"), &[403], "insufficient_scope"),
        row("the same with an escaped letter", &as_work("/api/v1/%72eload"), &[403], "insufficient_scope"),
        row(
            "the method in a header",
            &as_look("GET", "/api/v1/reload").with("x-http-method-override", "POST"),
            &[405],
            "",
        ),
        row("a body that is no JSON", &as_work("/api/v1/events/replay").carrying(b"{"), &[400], ""),
        row("a body with an unknown key", &as_work("/api/v1/events/replay").carrying(b"{\"filtre\":{}}"), &[400], ""),
        row("a huge body", &as_work("/api/v1/events/replay").set("content-length", "999999999"), &[413], ""),
        row("a huge limit", &as_look("GET", "/api/v1/runs?limit=99999999999999999999"), &[400], ""),
        row("an id with quotes", &as_look("GET", "/api/v1/runs/%27%20OR%201=1"), &[400], ""),
        row("a filter with a zero byte", &as_look("GET", "/api/v1/events?subject=%00"), &[200], ""),
    ]
}

/// What a page in an operator's browser can have it send: simple requests (Fetch, "CORS-safelisted"), with whatever the
/// browser keeps for us, which is nothing.
fn from_a_page() -> Vec<Row> {
    let page = |kind: &str| {
        let request = Request::new("POST", "/api/v1/dead-letters/redrive").with("origin", "https://evil.example");
        request.with("sec-fetch-site", "cross-site").with("content-type", kind).carrying(b"{}")
    };
    vec![
        row("a form", &page("application/x-www-form-urlencoded"), &[401], "unauthorized"),
        row("plain text that is JSON", &page("text/plain"), &[401], "unauthorized"),
        row("a form with files", &page("multipart/form-data; boundary=x"), &[401], "unauthorized"),
        row("to have it reload", &page("text/plain").to("/api/v1/reload"), &[401], "unauthorized"),
    ]
}

#[actix::test]
async fn nobody_gets_in_without_a_token_of_ours() {
    let server = TestServer::start(&format!("[admin]\nmax_failures = 1000\n{}", tokens())).await;
    try_all(&server, guesses()).await;
    try_all(&server, ways_around()).await;
    try_all(&server, from_a_page()).await;
    let audit = server.get("/api/v1/audit").await.body;
    let deeds: Vec<&str> = audit["items"].as_array().unwrap().iter().map(|it| it["status"].as_str().unwrap()).collect();
    assert!(deeds.iter().all(|status| *status == "refused"), "nobody did anything: {audit}");
}

#[actix::test]
async fn whoever_guesses_on_is_told_less_and_keeps_nobody_out() {
    let server = TestServer::start(&format!("[admin]\nmax_failures = 3\n{}", tokens())).await;
    let with = |token: &str| Request::new("GET", "/api/v1/runs").with("authorization", format!("Bearer {token}"));
    let rows = vec![
        row("the first guess", &with("a"), &[401], "invalid_token"),
        row("the second", &with("b"), &[401], "invalid_token"),
        row("the third", &with("c"), &[401], "invalid_token"),
        row("the fourth", &with("d"), &[429], "locked_out"),
        row("from elsewhere, as it says", &with("d").with("x-forwarded-for", "203.0.113.7"), &[429], "locked_out"),
        row("a token whose time is over", &with("psm_past"), &[429], "locked_out"),
        row("whoever belongs", &with(TOKEN), &[200], ""),
    ];
    try_all(&server, rows).await;
}
