//! The sandbox's Codegen is one that Codegen's own client can talk to.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "all of this is a test")]

use std::path::Path;
use std::process::Command;

use pointsman_sandbox::codegen::Plan;
use pointsman_sandbox::{Sandbox, TOKEN};

#[actix_web::test]
async fn codegens_own_client_can_talk_to_it() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = here.join("../../target/fixtures/codegen-client/bin/python");
    assert!(python.exists(), "{} is missing; run scripts/test, which fetches it", python.display());
    let sandbox = Sandbox::start(0).await.unwrap();
    sandbox.world().state().codegen.plan = Plan { after_polls: Some(2), limits: true, ..Plan::default() };
    let url = format!("{}/codegen", sandbox.url());
    let run = move || {
        let mut client = Command::new(python);
        client.arg(here.join("tests/codegen_client.py")).args([&url, TOKEN]).env("NO_PROXY", "127.0.0.1").output()
    };
    let ran = tokio::task::spawn_blocking(run).await.unwrap().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    assert_eq!(sandbox.world().agent_runs().len(), 10);
}
