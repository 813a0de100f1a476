//! Attacks that have the server call where only it can reach: a payload names a machine, or a machine that may be called
//! sends on to one that may not.

use pointsman_sandbox::Sandbox;
use serde_json::{Value, json};

use crate::server::{TestServer, until};
use crate::site::environment;

/// A push has an address called that its payload names; a ping one that is written out, and is sent on to where it says.
fn workflows(sandbox: &Sandbox) -> String {
    let workflow = |event: &str, url: &str| {
        format!(
            "[workflows.{event}]\ntimeout = \"1m\"\n[[workflows.{event}.steps]]\nname = \"call\"\naction = \"http_request\"\n\
             retry = {{ max_attempts = 1 }}\nwith = {{ url = \"{url}\" }}\n\
             [[routes]]\nname = \"{event}\"\nsource = \"github\"\nevent = \"{event}\"\nworkflow = \"{event}\"\n\
             input = {{ to = \"payload.to\" }}\n"
        )
    };
    let sent_on = format!("{}/echo/to?{{{{ input.to }}}}", sandbox.url());
    format!("{}{}", workflow("push", "{{ input.to }}"), workflow("create", &sent_on))
}

/// Why the call that an event asks for was not made.
async fn refused(server: &TestServer, event: &str, to: &str) -> String {
    let body = json!({ "to": to, "repository": { "full_name": "acme/shop" } }).to_string();
    let answer = server.github(event, &format!("{event} {to}"), "1", body.as_bytes()).await;
    let id = answer.body["eventId"].as_str().unwrap();
    let status = server.get(&format!("/api/v1/events/{id}/status")).await;
    let run = status.body["runs"][0].as_str().unwrap_or_else(|| panic!("{to}: {}", status.body)).to_owned();
    let mut shown = Value::Null;
    until(&format!("the call of {to} to end"), async || {
        shown = server.get(&format!("/api/v1/runs/{run}")).await.body;
        matches!(shown["status"].as_str(), Some("failed" | "succeeded" | "needs_decision" | "timed_out"))
    })
    .await;
    assert_eq!(shown["status"], "failed", "{to}: {shown:#}");
    shown["reason"].as_str().unwrap_or_default().to_owned()
}

#[actix::test]
async fn nothing_that_strangers_say_leads_inside() {
    let sandbox = Sandbox::start(0).await.unwrap();
    let port = sandbox.url().rsplit(':').next().unwrap().to_owned();
    let toml = workflows(&sandbox);
    let server = TestServer::start_with(tempfile::tempdir().unwrap(), &toml, environment(&sandbox)).await;
    let not_public = "is not a public address";
    let no_address = "it is not an address that can be called";
    for (to, expected) in [
        ("http://127.0.0.1:PORT/echo/x", not_public),
        ("http://127.1:PORT/echo/x", not_public),
        ("http://2130706433:PORT/echo/x", not_public),
        ("http://0x7f000001:PORT/echo/x", not_public),
        ("http://0177.0.0.1:PORT/echo/x", not_public),
        ("http://0:PORT/echo/x", not_public),
        ("http://[::1]:PORT/echo/x", not_public),
        ("http://[::ffff:7f00:1]:PORT/echo/x", not_public),
        ("http://[64:ff9b::7f00:1]:PORT/echo/x", not_public),
        ("http://169.254.169.254/latest/meta-data/", not_public),
        ("http://[fd00:ec2::254]/latest/meta-data/", not_public),
        // A name that leads here, as any name of an attacker's may.
        ("http://localhost:PORT/echo/x", not_public),
        ("http://LOCALHOST:PORT/echo/x", not_public),
        ("http://public.example@127.0.0.1:PORT/echo/x", not_public),
        ("http://127.0.0.1:PORT\\@public.example/echo/x", not_public),
        ("http://１２７.0.0.1:PORT/echo/x", not_public),
        ("file:///etc/passwd", no_address),
        ("gopher://127.0.0.1:PORT/_GET", no_address),
        ("//127.0.0.1:PORT/echo/x", no_address),
        ("/echo/x", no_address),
    ] {
        let reason = refused(&server, "push", &to.replace("PORT", &port)).await;
        assert!(reason.contains(expected), "{to}: {reason}");
    }
    let reached = |sandbox: &Sandbox| sandbox.world().ledger().iter().filter(|call| call.service == "echo").count();
    assert_eq!(reached(&sandbox), 0);
    for (number, to) in [
        "http://localhost:PORT/echo/inside",
        "http://[::1]:PORT/echo/inside",
        "http://169.254.169.254/latest/meta-data/",
    ]
    .into_iter()
    .enumerate()
    {
        let reason = refused(&server, "create", &to.replace("PORT", &port)).await;
        assert!(reason.contains(not_public), "{to}: {reason}");
        assert_eq!(reached(&sandbox), number + 1, "only what is written out was called: {to}");
    }
}
