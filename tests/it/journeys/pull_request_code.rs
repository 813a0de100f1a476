//! What Claude Code gets to see of the code around a change.

use std::path::Path;

use pointsman_sandbox::github::tarballs::{Packed, top};
use pointsman_sandbox::{Call, FaultKind};
use serde_json::{Value, json};

use crate::site::{REPOSITORY, Site, output, words};

impl Site {
    /// The one call of `claude` so far.
    pub fn asked(&self) -> Value {
        let mut calls: Vec<Call> = self.world().ledger();
        calls.retain(|call| call.service == "claude");
        let [call] = calls.try_into().unwrap();
        call.body
    }

    async fn validated(&self) -> Value {
        let answer = self.open_pull(12, "a1").await;
        self.until(&self.run_of(&answer).await, "succeeded").await
    }
}

#[actix::test]
async fn the_files_of_the_head_are_there_to_be_read_and_gone_afterwards() {
    let site = Site::start("").await;
    let run = site.validated().await;
    let asked = site.asked();
    assert_eq!(asked["files"], json!(["file 600 README.md", "directory 700 src", "file 600 src/lib.rs"]));
    assert_eq!((asked["tools"].as_str(), asked["restricted"].as_bool()), (Some("Read,Grep,Glob"), Some(true)));
    assert!(asked["prompt"].as_str().unwrap().contains("in your working directory"));
    let seen = output(&run, "validate_pr");
    assert_eq!((&seen["code"], &seen["code_left_out"]), (&json!("whole"), &json!(0)));
    let calls: Vec<String> = site.world().ledger().into_iter().map(|call| call.service + " " + &call.path).collect();
    assert!(calls.contains(&"github /repos/acme/shop/tarball/a1".to_owned()), "{calls:?}");
    // That host refuses whoever shows it a credential of GitHub.
    assert!(calls.contains(&"codeload /acme/shop/legacy.tar.gz/a1?token=x".to_owned()), "{calls:?}");
    let place = Path::new(asked["place"].as_str().unwrap());
    assert!(place.ends_with("code") && !place.parent().unwrap().exists(), "{place:?}");
}

#[actix::test]
async fn a_fork_is_read_through_the_repository_that_it_goes_to() {
    let site = Site::start("").await;
    site.put_pull(12, "f1", "+x\n");
    site.world().state().pulls.values_mut().for_each(|pull| pull.head_repository = Some("somebody/shop".into()));
    let answer = site.tell("opened", 12, ("f1", None), "2026-01-05T10:00:00Z").await;
    let run = site.until(&site.run_of(&answer).await, "succeeded").await;
    assert_eq!(output(&run, "validate_pr")["code"], "whole");
}

#[actix::test]
async fn who_wants_only_the_diff_to_be_seen_says_so() {
    let site = Site::start("[integrations.claude_code]\ncode = \"diff\"").await;
    let run = site.validated().await;
    let asked = site.asked();
    assert_eq!((&asked["files"], &asked["tools"]), (&json!([]), &json!("")));
    assert!(!asked["prompt"].as_str().unwrap().contains("working directory"));
    assert_eq!(output(&run, "validate_pr")["code"], "unread");
    assert!(!site.world().ledger().iter().any(|call| call.path.contains("tarball")));
}

/// Bytes that no compression makes fewer.
fn noise(count: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let next = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 32).to_le_bytes()
    });
    next.flat_map(|bytes| [bytes[0], bytes[1], bytes[2], bytes[3]]).take(count).collect()
}

#[actix::test]
async fn what_cannot_be_used_leaves_the_diff_and_the_result_says_so() {
    let check = async |says: &str, prepare: &dyn Fn(&Site)| {
        let site = Site::start("").await;
        prepare(&site);
        let run = site.validated().await;
        let (asked, seen) = (site.asked(), output(&run, "validate_pr"));
        assert_eq!((&asked["files"], &asked["tools"]), (&json!([]), &json!("")), "{says}");
        assert_eq!((seen["code"].as_str(), seen["passed"].as_bool()), (Some(says), Some(true)));
        assert_eq!(words(&run).iter().filter(|word| *word == "validate_pr attempted").count(), 1, "{says}");
    };
    let put = |site: &Site, packed: Packed| site.world().put_tarball(REPOSITORY, "a1", packed.finished());
    let first = || Packed::default().file(&format!("{}/first.rs", top(REPOSITORY, "a1")), "x");
    let long = "x".repeat(100_000);
    check("too large", &|site| put(site, first().entry(tar::EntryType::XHeader, ("x", ""), long.as_bytes()))).await;
    check("too large", &|site| put(site, first().entry(tar::EntryType::Regular, ("top/noise", ""), &noise(65 << 20))))
        .await;
    check("unusable", &|site| put(site, first().file("top/../../evil", "x"))).await;
    check("unusable", &|site| site.world().put_tarball(REPOSITORY, "a1", b"<html>".to_vec())).await;
    check("unavailable", &|site| site.world().plan_once("github", "GET", "/tarball/", FaultKind::Refuse(404))).await;
    check("unavailable", &|site| site.world().plan_once("codeload", "GET", "", FaultKind::Refuse(403))).await;
}

#[actix::test]
async fn what_may_come_later_is_fetched_again() {
    for fault in [FaultKind::Refuse(503), FaultKind::DropAfter, FaultKind::DropBefore] {
        let site = Site::start("").await;
        site.world().plan_once("codeload", "GET", "", fault);
        let run = site.validated().await;
        assert_eq!(words(&run).iter().filter(|word| *word == "validate_pr attempted").count(), 2, "{fault:?}");
        assert_eq!(output(&run, "validate_pr")["code"], "whole", "{fault:?}");
    }
}
