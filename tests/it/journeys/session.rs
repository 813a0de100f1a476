//! A browser signs in, looks, acts and signs out; and what a page of somebody else gets out of it, which is nothing.

use pointsman::access::token::TokenHash;
use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::server::{TOKEN, TestServer};

fn tokens() -> String {
    let table = |name: &str, scope: &str| {
        let hash = TokenHash::of(&format!("psm_{name}")).written();
        format!("[admin.tokens.{name}]\nhash = \"{hash}\"\nscopes = [\"{scope}\"]\n")
    };
    format!("{}{}", table("look", "read"), table("work", "operate"))
}

/// A browser that has signed in.
struct Browser<'a> {
    server: &'a TestServer,
    cookie: String,
    word: String,
}

fn header(answer: &Response, name: &str) -> String {
    answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
}

/// The form is sent as a browser sends it, which follows nothing by itself here.
async fn sign_in(server: &TestServer, token: &str, more: &[(&str, &str)]) -> Response {
    let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let mut request = client.post(server.url("/session")).header("content-type", "application/x-www-form-urlencoded");
    for (name, value) in more {
        request = request.header(*name, *value);
    }
    request.body(format!("token={token}")).send().await.unwrap()
}

impl<'a> Browser<'a> {
    async fn signed_in(server: &'a TestServer, token: &str) -> Self {
        let answer = sign_in(server, token, &[]).await;
        assert_eq!((answer.status().as_u16(), &*header(&answer, "location")), (303, "/"));
        let cookie = header(&answer, "set-cookie").split(';').next().unwrap().to_owned();
        let mut browser = Self { server, cookie, word: String::new() };
        browser.word = browser.ask("GET", "/api/v1/session", &[]).await.1["csrfToken"].as_str().unwrap().to_owned();
        browser
    }

    async fn ask(&self, method: &str, path: &str, more: &[(&str, &str)]) -> (u16, Value) {
        let request = self.server.http.request(Method::from_bytes(method.as_bytes()).unwrap(), self.server.url(path));
        let mut request = request.header("cookie", &self.cookie);
        for (name, value) in more {
            request = request.header(*name, *value);
        }
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        (status, serde_json::from_str(&answer.text().await.unwrap()).unwrap_or_default())
    }

    async fn act(&self, path: &str) -> (u16, Value) {
        let (status, body) = self.ask("POST", path, &[("x-csrf-token", &self.word)]).await;
        (status, body["error"].clone())
    }
}

/// Who has done what, as the trail has it, newest first.
async fn deeds(server: &TestServer) -> Vec<String> {
    let audit = server.get("/api/v1/audit").await.body;
    let deed = |item: &Value| format!("{} {}", item["operator"].as_str().unwrap(), item["action"].as_str().unwrap());
    audit["items"].as_array().unwrap().iter().map(deed).collect()
}

const RESET: &str = "/api/v1/breakers/nobody/reset";

#[actix::test]
async fn whoever_signs_in_can_do_what_the_token_can_until_the_end() {
    let server = TestServer::start(&tokens()).await;
    let work = Browser::signed_in(&server, "psm_work").await;
    assert_eq!(work.ask("GET", "/api/v1/runs", &[]).await.0, 200);
    assert_eq!(work.act(RESET).await, (404, json!("not_found")), "it was let in");
    assert_eq!(work.act("/api/v1/reload").await, (403, json!("insufficient_scope")));
    let audit = server.get("/api/v1/audit").await.body;
    assert_eq!(audit["items"][0]["operator"], "work");
    assert_eq!(deeds(&server).await[2], "work POST /session", "nor is it hidden who comes and goes");
    let look = Browser::signed_in(&server, "psm_look").await;
    assert_eq!(look.act(RESET).await, (403, json!("insufficient_scope")));
    assert_eq!(look.ask("POST", "/session/end", &[]).await.0, 403);
    assert_eq!(look.act("/session/end").await.0, 200);
    assert_eq!(deeds(&server).await[0], "look POST /session/end");
    assert_eq!(
        look.ask("GET", "/api/v1/runs", &[]).await,
        (401, json!({"success": false, "error": "no_session", "message": "this session is over; sign in again"}))
    );
    // A token that is taken out takes its sessions along.
    let without = tokens().split("[admin.tokens.work]").next().unwrap().to_owned();
    assert_eq!(server.reload(&without).await.status, 200);
    assert_eq!(work.ask("GET", "/api/v1/runs", &[]).await.0, 401);
    let admin = Browser::signed_in(&server, &TOKEN.replace(' ', "+")).await;
    assert_eq!(admin.act("/api/v1/reload").await.0, 200);
    let server = server.restart_as_it_was().await;
    let after =
        server.http.get(server.url("/api/v1/runs")).header("cookie", "pointsman_session=x").send().await.unwrap();
    assert_eq!(after.status(), 401);
}

#[actix::test]
async fn a_page_of_somebody_else_does_nothing_with_a_session() {
    let server = TestServer::start(&tokens()).await;
    let (one, other) = (Browser::signed_in(&server, "psm_work").await, Browser::signed_in(&server, "psm_work").await);
    for word in ["", "guess", &other.word, &one.cookie] {
        let (status, body) = one.ask("POST", RESET, &[("x-csrf-token", word)]).await;
        assert_eq!((status, &body["error"]), (403, &json!("csrf")), "{word}");
    }
    for (name, value) in [("x-http-method-override", "GET"), ("content-type", "text/plain"), ("origin", "null")] {
        assert_eq!(one.ask("POST", RESET, &[(name, value)]).await.0, 403, "{name}");
    }
    // Whoever shows a token as well is judged by that alone.
    assert_eq!(one.ask("GET", "/api/v1/runs", &[("authorization", "Bearer guess")]).await.0, 401);
    let counted = server.get("/metrics").await.body["operators"].clone();
    assert_eq!((&counted["csrf"], &counted["invalid_token"]), (&json!(7), &json!(1)));
    assert_eq!(deeds(&server).await, ["work POST /session", "work POST /session"], "nothing else was done");
    // A form of our own is known by what browsers say, whatever a policy has them leave out of `Origin`.
    for more in [&[("sec-fetch-site", "same-origin"), ("origin", "null")][..], &[("sec-fetch-site", "none")], &[]] {
        assert_eq!(sign_in(&server, "psm_look", more).await.status().as_u16(), 303, "{more:?}");
    }
    // Nor does it sign anybody in.
    for more in [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("origin", "https://evil.example"),
        ("origin", "null"),
    ] {
        let answer = sign_in(&server, "psm_look", &[more]).await;
        assert_eq!((answer.status().as_u16(), &*header(&answer, "set-cookie")), (403, ""), "{more:?}");
    }
}

#[actix::test]
async fn a_cookie_is_for_browsers_alone_and_guesses_are_counted() {
    let server = TestServer::start(&format!("[admin]\nmax_failures = 2\n{}", tokens())).await;
    let cookie = header(&sign_in(&server, "psm_look", &[]).await, "set-cookie");
    for part in ["pointsman_session=", "HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=43200"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert!(!cookie.contains("Secure") && !cookie.contains("look"), "on this machine itself: {cookie}");
    let away = sign_in(&server, "psm_look", &[("host", "pointsman.example")]).await;
    assert!(header(&away, "set-cookie").contains("Secure"));
    for expected in [401, 401, 429] {
        let answer = sign_in(&server, "guess", &[]).await;
        assert_eq!(!header(&answer, "retry-after").is_empty(), expected == 429);
        let (status, set) = (answer.status().as_u16(), header(&answer, "set-cookie"));
        let page = answer.text().await.unwrap();
        assert_eq!((status, &*set, page.contains("That token opens nothing")), (expected, "", true), "{page}");
        assert!(!page.contains("guess"));
    }
}

#[actix::test]
async fn pages_run_nothing_that_is_not_ours() {
    let server = TestServer::start(&tokens()).await;
    let page = server.http.get(server.url("/")).send().await.unwrap();
    let policy = header(&page, "content-security-policy");
    for part in
        ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "form-action 'self'", "base-uri 'none'"]
    {
        assert!(policy.contains(part), "{policy}");
    }
    assert!(!policy.contains("unsafe") && !policy.contains('*'), "{policy}");
    assert_eq!(
        (header(&page, "cache-control"), header(&page, "x-content-type-options")),
        ("no-store".into(), "nosniff".into())
    );
    let text = page.text().await.unwrap();
    assert!(text.contains("<form") && !text.contains("<script") && !text.contains("style="), "{text}");
    let look = Browser::signed_in(&server, "psm_look").await;
    let inside =
        server.http.get(server.url("/")).header("cookie", &look.cookie).send().await.unwrap().text().await.unwrap();
    assert!(
        inside.contains("/assets/overview.js") && !inside.contains("<script>") && !inside.contains("onclick"),
        "{inside}"
    );
    for (path, kind) in [("/assets/overview.js", "text/javascript"), ("/assets/style.css", "text/css")] {
        let asset = server.http.get(server.url(path)).send().await.unwrap();
        assert!(asset.status() == 200 && header(&asset, "content-type").starts_with(kind), "{path}");
    }
    let api = server.http.get(server.url("/api/v1/runs")).bearer_auth(TOKEN).send().await.unwrap();
    assert_eq!(header(&api, "content-security-policy"), "default-src 'none'; frame-ancestors 'none'");
    assert_eq!(header(&api, "cache-control"), "no-store");
}
