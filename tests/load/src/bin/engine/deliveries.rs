//! Signed pushes, each of which starts one run.

use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::ensure;
use futures_util::{StreamExt, TryStreamExt};
use pointsman_load::signature;
use serde_json::json;

/// Requests at a time: as many as the benchmark of intake has.
const AT_ONCE: usize = 64;

/// Repositories that the pushes come from, so that taking turns is part of what is measured.
const REPOSITORIES: u32 = 8;

/// No delivery id comes twice.
static NUMBER: AtomicU64 = AtomicU64::new(0);

/// Sends `number` pushes to `branch`. When this returns all are acknowledged.
pub async fn push(base: &str, branch: &str, number: u32) -> anyhow::Result<()> {
    let http = reqwest::Client::builder().no_proxy().build()?;
    let pushes = (0..number).map(|each| send(&http, base, branch, each % REPOSITORIES));
    futures_util::stream::iter(pushes).buffer_unordered(AT_ONCE).try_collect().await
}

async fn send(http: &reqwest::Client, base: &str, branch: &str, repository: u32) -> anyhow::Result<()> {
    let body = json!({
        "ref": format!("refs/heads/{branch}"), "before": "0".repeat(40), "after": "1".repeat(40),
        "repository": {"id": repository, "full_name": format!("acme/shop-{repository}"), "default_branch": "main"},
        "pusher": {"name": "octocat"}, "sender": {"login": "octocat", "type": "User"},
    })
    .to_string();
    let request = http
        .post(format!("{base}/webhooks/github"))
        .header("content-type", "application/json")
        .header("x-github-event", "push")
        .header("x-github-delivery", format!("engine-{}", NUMBER.fetch_add(1, Ordering::Relaxed)))
        .header("x-hub-signature-256", signature(body.as_bytes())?);
    let answer = request.body(body).send().await?;
    ensure!(answer.status() == 200, "a delivery was answered with {}", answer.status());
    // Read to its end, so that the connection is used again.
    answer.bytes().await?;
    Ok(())
}
