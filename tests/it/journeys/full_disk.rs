//! A full disk is 503 and not ready; with room again it goes on without a restart, and so do runs.
//!
//! The small file system is a tmpfs of the test's own, in a mount namespace that it makes with
//! `unshare`, where an ordinary user may mount. The test runs itself there.

use std::process::Command;

use crate::server::until;
use crate::site::Site;

const INSIDE: &str = "POINTSMAN_IT_SMALL_DISK";

#[test]
fn a_full_disk_is_refused_and_recovered_from() {
    if let Some(directory) = std::env::var_os(INSIDE) {
        return actix_rt::System::new().block_on(on_a_small_disk(directory.to_str().unwrap()));
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    let test = "journeys::full_disk::a_full_disk_is_refused_and_recovered_from";
    let inside = format!("mount -t tmpfs -o size=48m small {path} && exec \"$0\" --exact {test} --nocapture");
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", &inside])
        .arg(std::env::current_exe().unwrap())
        .env(INSIDE, path)
        .output()
        .expect("unshare of util-linux");
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

async fn on_a_small_disk(directory: &str) {
    let directory = tempfile::tempdir_in(directory).unwrap();
    let ballast = directory.path().parent().unwrap().join("ballast");
    let site = Site::start_in(directory, "", &[]).await;
    let server = &site.server;
    site.world().state().claude.delay_ms = 300;
    let mut runs = Vec::new();
    for number in 1..=3 {
        let answer = site.open_pull(number, &format!("sha{number}")).await;
        runs.push(site.run_of(&answer).await);
    }
    site.world().wait_for_calls(3, |call| call.service == "claude").await.unwrap();
    let mut acknowledged = Vec::new();
    assert_eq!(server.github("push", "first", "1", b"{}").await.status, 200);
    acknowledged.push("first".to_owned());
    fill(&ballast);
    let noise: String = (0..200_000_u64).map(|n| char::from(b'a' + ((n * n + n / 7) % 26) as u8)).collect();
    let mut n = 0;
    until("the disk to be full", async || {
        n += 1;
        let delivery = format!("full-{n}");
        let body = format!("{{\"n\":{n},\"noise\":\"{noise}\"}}");
        let answer = server.github("push", &delivery, "1", body.as_bytes()).await;
        assert!(answer.status == 200 || answer.status == 503, "{answer:?}");
        if answer.status == 200 {
            acknowledged.push(delivery);
        }
        answer.status == 503
    })
    .await;
    let ready = server.get("/health/ready").await;
    assert_eq!(ready.status, 503, "{ready:?}");
    let refused = server.github("push", "refused", "1", b"{}").await;
    assert_eq!(
        (refused.status, refused.body["error"].as_str(), refused.retry_after.as_deref()),
        (503, Some("store_unavailable"), Some("5"))
    );
    std::fs::remove_file(&ballast).unwrap();
    until("the log to write again", async || server.get("/health/ready").await.status == 200).await;
    assert_eq!(server.github("push", "after", "1", b"{}").await.status, 200);
    for delivery in &acknowledged {
        let again = server.github("push", delivery, "1", b"{}").await;
        assert_eq!(again.body["status"], "duplicate", "{delivery} was acknowledged and is there: {again:?}");
    }
    for run in &runs {
        site.until(run, "succeeded").await;
    }
    assert_eq!(site.world().notifications().len(), 3, "once each, whatever could not be written down");
}

/// Takes all room but a little.
fn fill(ballast: &std::path::Path) {
    use std::io::Write;
    let mut file = std::fs::File::create(ballast).unwrap();
    while file.write_all(&[0; 64 << 10]).is_ok() {}
    let full = file.metadata().unwrap().len();
    file.set_len(full.saturating_sub(2 << 20)).unwrap();
}
