//! GitHub's deliveries come from the networks that GitHub names: what it names is asked for, kept, and in force, whatever is down.

use pointsman::addresses::kept::FILE;
use pointsman_actors::address_book::actor::RenewNow;
use pointsman_sandbox::{Call, Fault, FaultKind, World};
use serde_json::{Value, json};

use crate::server::{Environment, TestServer, sign, until};
use crate::site::environment;

/// Behind a proxy on loopback, that says whose requests it hands on.
const GITHUB_ONLY: &str =
    "[server]\ntrusted_proxies = [\"127.0.0.0/8\"]\n[webhooks.github]\naddresses = [\"github\", \"10.0.0.0/8\"]\n";

/// Documentation's own networks (RFC 5737, RFC 3849).
const FIRST: [&str; 2] = ["203.0.113.0/24", "2001:db8::/32"];
const FROM_FIRST: &str = "203.0.113.9";
const SECOND: [&str; 1] = ["198.51.100.0/24"];
const FROM_SECOND: &str = "198.51.100.9";
/// In the list that is built in.
const FROM_BUILT_IN: &str = "192.30.252.7";

struct Guarded {
    sandbox: pointsman_sandbox::Sandbox,
    server: TestServer,
}

impl Guarded {
    async fn start(happens: impl FnOnce(&World), toml: &str) -> Self {
        let sandbox = pointsman_sandbox::Sandbox::start(0).await.unwrap();
        sandbox.world().put_hook_ranges(&FIRST);
        happens(sandbox.world());
        let server = TestServer::start_with(tempfile::tempdir().unwrap(), toml, environment(&sandbox)).await;
        Self { sandbox, server }
    }

    fn world(&self) -> &World {
        self.sandbox.world()
    }

    async fn known(&self) -> Value {
        self.server.get("/metrics").await.body["addresses"]["github"].clone()
    }

    async fn until_known(&self, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        until(what, async || holds(&self.known().await)).await;
        self.known().await
    }

    /// The status of a signed delivery that came from this address.
    async fn from(&self, address: &str) -> u16 {
        self.post_from("github", address).await.0
    }

    async fn post_from(&self, source: &str, address: &str) -> (u16, Value) {
        let body = b"{}";
        let delivery = uuid::Uuid::new_v4().to_string();
        let headers = [
            ("x-forwarded-for", address),
            ("content-type", "application/json"),
            ("x-github-event", "push"),
            ("x-github-delivery", &delivery),
            ("x-hub-signature-256", &sign(body)),
            ("x-codegen-signature", &sign(body)),
        ];
        let answer = self.server.post(&format!("/webhooks/{source}"), &headers, body.to_vec()).await;
        (answer.status, answer.body)
    }

    /// Has GitHub asked, and waits until it has answered so.
    async fn renew(&self, status: u16) {
        let before = asked(self.world()).len();
        self.server.tree().work.address_book.offer(RenewNow).unwrap();
        let is_it = |call: &&Call| call.status == Some(status);
        until("GitHub to answer", async || asked(self.world()).get(before).as_ref().is_some_and(is_it)).await;
    }
}

/// Every time that GitHub was asked from where it delivers.
fn asked(world: &World) -> Vec<Call> {
    world.ledger().into_iter().filter(|call| call.service == "github" && call.path == "/meta").collect()
}

fn is_from(origin: &'static str) -> impl Fn(&Value) -> bool {
    move |known| known["from"] == origin
}

fn is_down(world: &World) {
    let (service, path_contains) = ("github".to_owned(), Some("/meta".to_owned()));
    world.plan(Fault { service, method: None, path_contains, times: 1_000, kind: FaultKind::Refuse(503) });
}

#[actix::test]
async fn who_is_let_in_follows_what_github_names() {
    let site = Guarded::start(|_| (), GITHUB_ONLY).await;
    let known = site.until_known("GitHub to be asked", is_from("github")).await;
    assert_eq!((&known["ranges"], &known["failing"]), (&json!(2), &Value::Null));
    assert_eq!(known["fetchedAt"], known["confirmedAt"]);
    for (address, expect) in [
        (FROM_FIRST, 200),
        ("2001:db8::7", 200),
        ("::ffff:203.0.113.7", 200),
        ("10.1.2.3", 200),
        (FROM_SECOND, 403),
        (FROM_BUILT_IN, 403),
        ("2001:db9::7", 403),
    ] {
        assert_eq!(site.from(address).await, expect, "{address}");
    }
    let (_, refused) = site.post_from("github", FROM_SECOND).await;
    assert_eq!(refused["error"], "address_not_allowed");
    assert!(refused["message"].as_str().unwrap().contains("server.trusted_proxies"), "{refused}");
    assert_eq!(site.post_from("codegen", FROM_SECOND).await.0, 200, "the other sources have lists of their own");

    site.renew(304).await;
    let confirmed = site.until_known("it to be confirmed", |now| now["confirmedAt"] != known["confirmedAt"]).await;
    assert_eq!(confirmed["fetchedAt"], known["fetchedAt"], "nothing has changed");
    assert_eq!(site.from(FROM_FIRST).await, 200);

    site.world().put_hook_ranges(&SECOND);
    site.renew(200).await;
    site.until_known("the new list to be in force", |known| known["ranges"] == 1).await;
    assert_eq!((site.from(FROM_FIRST).await, site.from(FROM_SECOND).await), (403, 200));
}

#[actix::test]
async fn what_is_no_list_is_not_taken() {
    let site = Guarded::start(|_| (), GITHUB_ONLY).await;
    site.until_known("GitHub to be asked", is_from("github")).await;
    for (absurd, expect) in [(&[][..], "no range"), (&["0.0.0.0/0"][..], "wider"), (&["hooks"][..], "not a range")] {
        site.world().put_hook_ranges(absurd);
        site.renew(200).await;
        let says_so = |known: &Value| known["failing"].as_str().is_some_and(|failing| failing.contains(expect));
        site.until_known("it to be refused", says_so).await;
        assert_eq!((site.from(FROM_FIRST).await, site.from(FROM_SECOND).await), (200, 403), "{absurd:?}");
    }
    site.world().put_hook_ranges(&FIRST);
    site.renew(304).await;
    site.until_known("it to be well again", |known| known["failing"].is_null()).await;
}

#[actix::test]
async fn the_last_list_holds_while_github_is_down() {
    let site = Guarded::start(|_| (), GITHUB_ONLY).await;
    site.until_known("GitHub to be asked", is_from("github")).await;
    is_down(site.world());
    let site = Guarded { server: site.server.restart_as_it_was().await, ..site };
    let known = site.until_known("GitHub to be down", |known| known["failing"].is_string()).await;
    assert_eq!((&known["from"], &known["confirmedAt"]), (&json!("kept"), &Value::Null));
    assert_eq!((site.from(FROM_FIRST).await, site.from(FROM_BUILT_IN).await), (200, 403));
    // It is back, and what was kept is still so.
    site.world().state().faults.clear();
    site.renew(304).await;
    site.until_known("it to be confirmed", is_from("github")).await;
    let Guarded { server, sandbox } = site;
    // What another API has named says nothing of this one.
    let other = |kept: &std::path::Path| {
        let file = kept.join(FILE);
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, text.replace(&format!("{}/github", sandbox.url()), "https://api.github.com")).unwrap();
        is_down(sandbox.world());
    };
    let server = server.restart_after(GITHUB_ONLY, other).await;
    let site = Guarded { server, sandbox };
    site.until_known("GitHub to be down", |known| known["failing"].is_string()).await;
    assert_eq!((site.from(FROM_FIRST).await, site.from(FROM_BUILT_IN).await), (403, 200));
}

#[actix::test]
async fn what_is_built_in_holds_until_github_was_asked() {
    let site = Guarded::start(is_down, GITHUB_ONLY).await;
    let known = site.until_known("GitHub to be down", |known| known["failing"].is_string()).await;
    assert_eq!((&known["from"], &known["fetchedAt"]), (&json!("built-in"), &json!("2026-11-23T00:00:00.000Z")));
    assert_eq!((site.from(FROM_BUILT_IN).await, site.from(FROM_FIRST).await), (200, 403));
}

#[actix::test]
async fn a_token_that_has_run_out_is_left_out() {
    let sandbox = pointsman_sandbox::Sandbox::start(0).await.unwrap();
    sandbox.world().put_hook_ranges(&FIRST);
    let mut variables: Environment = environment(&sandbox);
    variables.push(("GITHUB_TOKEN", "ghp_hunter2".to_owned()));
    let server = TestServer::start_with(tempfile::tempdir().unwrap(), GITHUB_ONLY, variables).await;
    let site = Guarded { sandbox, server };
    site.until_known("GitHub to be asked", is_from("github")).await;
    let statuses: Vec<_> = asked(site.world()).into_iter().map(|call| call.status).collect();
    assert_eq!(statuses, [Some(401), Some(200)]);
}

#[actix::test]
async fn the_variables_of_the_original_mean_githubs_own_ranges() {
    let proxies = "[server]\ntrusted_proxies = [\"127.0.0.0/8\"]\n[validator]\nip_whitelist = true\n";
    let site = Guarded::start(|_| (), proxies).await;
    site.until_known("GitHub to be asked", is_from("github")).await;
    assert_eq!((site.from(FROM_FIRST).await, site.from(FROM_SECOND).await), (200, 403));
    assert_eq!(site.post_from("codegen", FROM_SECOND).await.0, 200, "nobody is listed for it");
    let listed = format!("{proxies}allowed_ips = [\"198.51.100.9\"]\n");
    let site = Guarded { server: site.server.restart_after(&listed, |_| ()).await, ..site };
    let (first, second) =
        (site.post_from("codegen", FROM_FIRST).await.0, site.post_from("codegen", FROM_SECOND).await.0);
    assert_eq!((first, second), (403, 200));
    assert_eq!(site.from(FROM_SECOND).await, 403, "GitHub has its own");
}

#[actix::test]
async fn a_reload_has_githubs_ranges_asked_for() {
    let site = Guarded::start(|_| (), "[server]\ntrusted_proxies = [\"127.0.0.0/8\"]\n").await;
    assert_eq!((site.from(FROM_SECOND).await, asked(site.world()).len()), (200, 0));
    assert_eq!(site.server.reload(GITHUB_ONLY).await.status, 200);
    site.until_known("GitHub to be asked", is_from("github")).await;
    assert_eq!((site.from(FROM_FIRST).await, site.from(FROM_SECOND).await), (200, 403));
}

#[actix::test]
async fn nobody_is_asked_where_nobody_goes_by_it() {
    let site = Guarded::start(|_| (), "[webhooks.github]\naddresses = [\"127.0.0.1\"]\n").await;
    assert_eq!(site.from(FROM_FIRST).await, 200);
    site.server.tree().work.address_book.offer(RenewNow).unwrap();
    assert_eq!(site.known().await, Value::Null);
    let Guarded { mut server, sandbox } = site;
    server.server.take().unwrap().stop().await;
    assert_eq!(asked(sandbox.world()).len(), 0);
    assert!(!server.directory.path().join(FILE).exists());
}
