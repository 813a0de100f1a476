//! From a signed pull request to a status and a message, whatever goes wrong on the way.

use pointsman_sandbox::claude::Plan;
use pointsman_sandbox::{Call, Fault, FaultKind};

use crate::server::until;
use crate::site::{REPOSITORY, Site, words};

fn is_status(call: &Call) -> bool {
    call.service == "github" && call.method == "POST" && call.path.contains("/statuses/")
}

#[actix::test]
async fn a_pull_request_of_codegen_is_validated() {
    let site = Site::start("").await;
    let answer = site.open_pull(12, "a1").await;
    let id = site.run_of(&answer).await;
    let run = site.until(&id, "succeeded").await;
    assert_eq!(
        words(&run),
        [
            "begun",
            "delay delayed",
            "delay succeeded",
            "validate_pr attempted",
            "validate_pr noted",
            "validate_pr noted",
            "validate_pr succeeded",
            "update_pr_status attempted",
            "update_pr_status succeeded",
            "send_notification attempted",
            "send_notification noted",
            "send_notification succeeded",
            "ended",
        ]
    );
    assert_eq!((run["workflow"].as_str(), run["subject"].as_str()), (Some("pr_validation"), Some("acme/shop#12")));
    let statuses = site.world().statuses(REPOSITORY, "a1");
    let [status] = &statuses[..] else { panic!("one status, not {statuses:?}") };
    assert_eq!((status.state.as_str(), status.context.as_str()), ("success", "pointsman/validation"));
    assert_eq!(status.description, "Passed, score 92 of 100, 0 issues");
    let told = site.world().notifications();
    assert_eq!(told, ["acme/shop#12 (Cache the token): Passed, score 92 of 100, 0 issues"]);
    let event = site.server.get(&format!("/api/v1/events/{}", answer.body["eventId"].as_str().unwrap())).await.body;
    assert_eq!((event["status"].as_str(), event["runs"][0].as_str()), (Some("started"), Some(id.as_str())));
    // What is written can be read before it is flushed; counted is only what is.
    until("the run to be counted", async || {
        let counted = &site.server.get("/metrics").await.body["workflows"];
        (counted["runsSucceeded"].as_u64(), counted["successRate"].as_f64()) == (Some(1), Some(1.0))
    })
    .await;
}

#[actix::test]
async fn claude_sees_the_diff_and_none_of_our_secrets() {
    let site = Site::start_with("", &[("ANTHROPIC_API_KEY", "for-claude")]).await;
    let answer = site.open_pull(12, "a1").await;
    site.until(&site.run_of(&answer).await, "succeeded").await;
    let ledger = site.world().ledger();
    let call = ledger.iter().find(|call| call.service == "claude").unwrap();
    assert!(call.body["prompt"].as_str().unwrap().contains("+fn new() {}"));
    let names: Vec<&str> = call.body["env"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    assert!(names.contains(&"ANTHROPIC_API_KEY"), "{names:?}");
    let ours = |name: &&str| {
        name.starts_with("GITHUB")
            || name.starts_with("SLACK")
            || name.contains("SECRET")
            || (name.starts_with("POINTSMAN") && *name != "POINTSMAN_ATTEMPT")
    };
    assert!(!names.iter().any(ours), "{names:?}");
}

#[actix::test]
async fn a_bad_pull_request_gets_a_bad_status() {
    let site = Site::start("").await;
    site.put_pull(12, "a1", "+ sandbox:fail\n");
    let answer = site.tell("ready_for_review", 12, ("a1", None), "2026-01-05T10:00:00Z").await;
    let run = site.until(&site.run_of(&answer).await, "succeeded").await;
    assert!(run["journal"].to_string().contains("\"passed\":false"));
    assert_eq!(site.world().statuses(REPOSITORY, "a1")[0].state, "failure");
    assert!(site.world().notifications()[0].contains("Did not pass"));
}

#[actix::test]
async fn what_may_pass_is_tried_again_and_what_was_done_is_repeated_only_if_it_may_be() {
    let site = Site::start("").await;
    let world = site.world();
    world.plan_once("github", "GET", "/pulls/", FaultKind::Refuse(502));
    world.plan_once("github", "POST", "/statuses/", FaultKind::DropAfter);
    world.plan_once("github", "POST", "/statuses/", FaultKind::RateLimit(1));
    world.plan_once("slack", "POST", "", FaultKind::DropAfter);
    let answer = site.open_pull(12, "a1").await;
    let run = site.until(&site.run_of(&answer).await, "succeeded").await;
    let words = words(&run);
    let count = |word: &str| words.iter().filter(|said| *said == word).count();
    assert_eq!((count("validate_pr attempted"), count("validate_pr failed")), (2, 1), "{words:?}");
    assert_eq!((count("update_pr_status attempted"), count("update_pr_status failed")), (3, 2), "{words:?}");
    assert_eq!(count("send_notification attempted"), 1, "what must never happen twice is not sent again");
    assert!(run["journal"].to_string().contains("\"assumed\":true"), "and it is marked");
    assert_eq!(world.notifications().len(), 1);
    let statuses = world.statuses(REPOSITORY, "a1");
    assert!(statuses.iter().all(|status| status.state == statuses[0].state) && statuses.len() == 2, "{statuses:?}");
    let keys: Vec<Option<String>> = world.ledger().into_iter().filter(is_status).map(|call| call.key).collect();
    assert!(keys.len() == 3 && keys.iter().all(|key| *key == keys[0] && key.is_some()), "{keys:?}");
}

#[actix::test]
async fn what_cannot_get_better_fails_and_says_why() {
    let site = Site::start_with("", &[("GITHUB_TOKEN", "not-the-token")]).await;
    let answer = site.open_pull(12, "a1").await;
    let run = site.until(&site.run_of(&answer).await, "failed").await;
    let reason = run["reason"].as_str().unwrap();
    assert!(reason.contains("authentication") && reason.contains("the token in GITHUB_TOKEN was refused"), "{reason}");
    assert!(!run.to_string().contains("not-the-token"));
    let listed = site.server.get("/api/v1/runs?status=failed").await.body;
    assert_eq!(listed["items"][0]["id"], run["id"]);
}

#[actix::test]
async fn every_call_of_github_names_its_version_and_its_caller() {
    let site = Site::start("").await;
    let answer = site.open_pull(12, "a1").await;
    site.until(&site.run_of(&answer).await, "succeeded").await;
    let calls: Vec<Call> = site.world().ledger().into_iter().filter(|call| call.service == "github").collect();
    assert!(calls.len() >= 4, "{calls:?}");
    for call in calls {
        let says = |name: &str| call.headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str());
        assert_eq!(says("x-github-api-version"), Some("2022-11-28"));
        assert!(says("user-agent").unwrap().starts_with("pointsman/"));
        let accept = says("accept").unwrap();
        assert!(["application/vnd.github+json", "application/vnd.github.diff"].contains(&accept), "{accept}");
    }
}

#[actix::test]
async fn a_message_that_was_sent_elsewhere_has_told_nobody() {
    let site = Site::start("").await;
    site.world().plan_once("slack", "POST", "", FaultKind::Redirect);
    let answer = site.open_pull(12, "a1").await;
    let run = site.until(&site.run_of(&answer).await, "failed").await;
    assert!(run["reason"].as_str().unwrap().contains("Slack answered 302"), "{run:#}");
    assert!(site.world().notifications().is_empty());
}

#[actix::test]
async fn a_program_that_is_no_claude_fails_the_run_and_is_named() {
    let site = Site::start("").await;
    site.world().state().claude_next.push(Plan { stdout: Some("Welcome!".into()), ..Plan::default() });
    let answer = site.open_pull(12, "a1").await;
    let run = site.until(&site.run_of(&answer).await, "failed").await;
    assert!(run["reason"].as_str().unwrap().contains("is not JSON: `Welcome!`"), "{run:#}");
    let status = site.world().statuses(REPOSITORY, "a1").remove(0);
    assert_eq!(status.state, "error", "nobody waits for a verdict that does not come");
    assert!(status.description.starts_with("Could not be validated: "), "{status:?}");
    let told = site.world().notifications();
    assert!(told[0].starts_with("acme/shop#12 could not be validated: ") && told.len() == 1, "{told:?}");
}

#[actix::test]
async fn a_change_that_is_too_large_to_be_seen_whole_does_not_pass() {
    let site = Site::start("").await;
    site.put_pull(12, "a1", &"+fn enormous() {}\n".repeat(30_000));
    let answer = site.tell("opened", 12, ("a1", None), "2026-01-05T10:00:00Z").await;
    site.until(&site.run_of(&answer).await, "succeeded").await;
    let status = site.world().statuses(REPOSITORY, "a1").remove(0);
    assert_eq!(status.state, "error");
    assert!(status.description.starts_with("Too large to be judged whole"), "{status:?}");
}

#[actix::test]
async fn a_diff_that_is_too_large_is_read_by_its_files() {
    let site = Site::start("").await;
    site.put_pull(12, "a1", "+fn enormous() {}\n");
    site.world().state().pulls.values_mut().for_each(|pull| pull.diff_too_large = true);
    let answer = site.tell("opened", 12, ("a1", None), "2026-01-05T10:00:00Z").await;
    site.until(&site.run_of(&answer).await, "succeeded").await;
    let ledger = site.world().ledger();
    let prompt =
        ledger.iter().find(|call| call.service == "claude").unwrap().body["prompt"].as_str().unwrap().to_owned();
    assert!(prompt.contains("diff --git a/src/lib.rs") && prompt.contains("+fn enormous() {}"));
}

#[actix::test]
async fn a_run_goes_on_where_the_process_ended() {
    let site = Site::start("").await;
    site.world().state().claude_next.push(Plan { delay_ms: 120_000, leaves_a_child: true, ..Plan::default() });
    let answer = site.open_pull(12, "a1").await;
    let id = site.run_of(&answer).await;
    site.world().wait_for_calls(1, |call| call.service == "claude").await.unwrap();
    let group = site.run(&id).await["journal"].to_string();
    let site = site.restart().await;
    let run = site.until(&id, "succeeded").await;
    let words = words(&run);
    assert!(words.contains(&"validate_pr interrupted".to_owned()), "{words:?}");
    assert_eq!(words.iter().filter(|word| *word == "delay succeeded").count(), 1, "what was done is not done again");
    assert_eq!(site.world().statuses(REPOSITORY, "a1").len(), 1);
    assert_eq!(site.world().notifications().len(), 1);
    let pid = group.split("\"pid\":").nth(1).and_then(|rest| rest.split([',', '}']).next()).unwrap().parse().unwrap();
    assert_eq!(pointsman::integrations::process::members(pid).count(), 0, "nothing of the old attempt is left");
}

#[actix::test]
async fn a_pause_survives_the_process_and_is_not_shortened() {
    let site = Site::start_with("", &[("GITHUB_HANDLER_PR_VALIDATION_DELAY", "1500")]).await;
    let answer = site.open_pull(12, "a1").await;
    let id = site.run_of(&answer).await;
    let run = site.until(&id, "waiting").await;
    let until = run["wakeAt"].as_str().unwrap().to_owned();
    let site = site.restart().await;
    let run = site.until(&id, "succeeded").await;
    let entry =
        |word: &str| run["journal"].as_array().unwrap().iter().find(|entry| entry["entry"] == word).unwrap().clone();
    assert_eq!(entry("delayed")["until"].as_str(), Some(until.as_str()), "it is the same pause");
    assert!(entry("succeeded")["at"].as_str().unwrap() >= until.as_str(), "never early");
    assert!(run["delayedMs"].as_u64().unwrap() >= 1_500);
}

#[actix::test]
async fn a_newer_head_takes_the_place_of_an_older_one() {
    let site = Site::start("").await;
    site.world().state().claude_next.push(Plan { delay_ms: 2_500, ..Plan::default() });
    let answer = site.open_pull(12, "a1").await;
    let older = site.run_of(&answer).await;
    site.world().wait_for_calls(1, |call| call.service == "claude").await.unwrap();
    site.world().push_head(REPOSITORY, 12, "b2");
    let newer = site.tell("synchronize", 12, ("b2", Some("a1")), "2026-01-05T10:00:09Z").await;
    let newer = site.run_of(&newer).await;
    let newer = site.until(&newer, "succeeded").await;
    let older = site.until(&older, "superseded").await;
    assert_eq!(older["reason"].as_str(), Some(format!("superseded by {}", newer["id"].as_str().unwrap()).as_str()));
    let last: Vec<String> = words(&older).into_iter().rev().take(3).rev().collect();
    assert_eq!(last, ["supersede_asked", "validate_pr succeeded", "ended"], "the attempt in flight ends first");
    let at = |run: &serde_json::Value, place: usize| run["journal"][place]["at"].as_str().unwrap().to_owned();
    assert!(at(&newer, 0) >= at(&older, words(&older).len() - 1), "and the newer one begins after it");
    assert_eq!(site.world().statuses(REPOSITORY, "a1"), []);
    assert_eq!(site.world().statuses(REPOSITORY, "b2").len(), 1);
}

#[actix::test]
async fn a_late_older_head_takes_nobodys_place() {
    let site = Site::start_with("", &[("GITHUB_HANDLER_PR_VALIDATION_DELAY", "700")]).await;
    site.put_pull(12, "a1", "+x\n");
    site.world().push_head(REPOSITORY, 12, "b2");
    let newer = site.tell("synchronize", 12, ("b2", Some("a1")), "2026-01-05T10:00:09Z").await;
    let newer = site.run_of(&newer).await;
    let older = site.tell("opened", 12, ("a1", None), "2026-01-05T10:00:00Z").await;
    let older = site.run_of(&older).await;
    let run = site.until(&older, "superseded").await;
    assert_eq!(
        (words(&run), run["reason"].as_str()),
        (vec!["ended".to_owned()], Some(format!("superseded by {newer}").as_str()))
    );
    site.until(&newer, "succeeded").await;
    assert_eq!(site.world().statuses(REPOSITORY, "a1"), []);
}

#[actix::test]
async fn nothing_is_said_about_a_head_that_is_old() {
    let site = Site::start("").await;
    site.world().plan_once("claude", "POST", "", FaultKind::Delay(200));
    let answer = site.open_pull(12, "a1").await;
    let id = site.run_of(&answer).await;
    site.world().wait_for_calls(1, |call| call.service == "claude").await.unwrap();
    // GitHub's word about the push has not come yet.
    site.world().push_head(REPOSITORY, 12, "b2");
    let run = site.until(&id, "superseded").await;
    assert_eq!(run["reason"].as_str(), Some("the head of acme/shop#12 is now b2, not a1"));
    assert_eq!(site.world().statuses(REPOSITORY, "a1"), []);
    assert_eq!(site.world().notifications(), Vec::<String>::new());
}

#[actix::test]
async fn only_so_many_runs_are_at_work_at_once() {
    let site = Site::start("[workflow]\nmax_concurrent = 2").await;
    site.world().state().claude.delay_ms = 100;
    let mut runs = Vec::new();
    for number in 1..=8 {
        let answer = site.open_pull(number, &format!("sha{number}")).await;
        runs.push(site.run_of(&answer).await);
    }
    for run in &runs {
        site.until(run, "succeeded").await;
    }
    let mut at_work: Vec<(String, i32)> = Vec::new();
    for id in &runs {
        for entry in site.run(id).await["journal"].as_array().unwrap() {
            let at = entry["at"].as_str().unwrap().to_owned();
            match (entry["step"].as_str(), entry["entry"].as_str().unwrap()) {
                (Some("validate_pr"), "attempted") => at_work.push((at, 1)),
                (Some("validate_pr"), "succeeded") => at_work.push((at, -1)),
                _ => {}
            }
        }
    }
    at_work.sort();
    let most = at_work
        .iter()
        .scan(0, |now, (_, change)| {
            *now += change;
            Some(*now)
        })
        .max();
    assert!(most <= Some(2), "{at_work:?}");
}

#[actix::test]
async fn a_workflow_that_cannot_run_says_so_in_the_verdict() {
    for (variable, value, expect) in [
        ("GITHUB_TOKEN", "", "GitHub is not configured; set GITHUB_TOKEN"),
        ("CLAUDE_CODE_COMMAND", "/no/claude", "the command `/no/claude` was not found"),
    ] {
        let site = Site::start_with("", &[(variable, value)]).await;
        let answer = site.open_pull(12, "a1").await;
        let event = answer.body["eventId"].as_str().unwrap();
        let status = site.server.get(&format!("/api/v1/events/{event}/status")).await.body;
        let reason = status["verdict"]["reason"].as_str().unwrap();
        assert_eq!(status["status"], "unrouted");
        assert!(reason.starts_with("workflow `pr_validation` is unavailable") && reason.contains(expect), "{reason}");
    }
}

#[actix::test]
async fn without_a_channel_nobody_is_told_and_the_step_says_so() {
    let site = Site::start_with("", &[("SLACK_WEBHOOK_URL", "")]).await;
    let answer = site.open_pull(12, "a1").await;
    let run = site.until(&site.run_of(&answer).await, "succeeded").await;
    assert!(run["journal"].to_string().contains("set SLACK_WEBHOOK_URL"));
}

#[actix::test]
async fn other_pull_requests_are_left_alone() {
    let site = Site::start("").await;
    let body = br#"{"action":"opened","number":1,"pull_request":{"number":1,"title":"By hand","user":{"login":"ada"},"head":{"ref":"fix","sha":"a"}},"repository":{"full_name":"acme/shop"}}"#;
    let answer = site.server.github("pull_request", "d", "1", body).await;
    let event = answer.body["eventId"].as_str().unwrap();
    let status = site.server.get(&format!("/api/v1/events/{event}/status")).await.body;
    assert_eq!(status["verdict"]["reason"], "the condition does not hold of: codegen-pr-opened");
}

#[actix::test]
async fn a_status_of_ours_that_comes_back_starts_nothing() {
    let site = Site::start("").await;
    let hook = pointsman_sandbox::world::Hook {
        url: site.server.url("/webhooks/github"),
        secret: crate::server::SECRET.into(),
    };
    site.world().state().hook = Some(hook);
    site.world().plan(Fault {
        service: "github".into(),
        method: Some("POST".into()),
        path_contains: None,
        times: 1,
        kind: FaultKind::CallbackFirst,
    });
    let answer = site.open_pull(12, "a1").await;
    site.until(&site.run_of(&answer).await, "succeeded").await;
    let events = site.server.get("/api/v1/events?type=status").await.body;
    assert_eq!(
        (events["items"].as_array().map(Vec::len), events["items"][0]["status"].as_str()),
        (Some(1), Some("unrouted"))
    );
    assert_eq!(site.server.get("/api/v1/runs").await.body["items"].as_array().map(Vec::len), Some(1));
}

#[actix::test]
async fn runs_are_listed_and_a_wrong_parameter_is_named() {
    let site = Site::start("").await;
    let mut ids = Vec::new();
    for number in 1..=5 {
        let answer = site.open_pull(number, &format!("sha{number}")).await;
        ids.push(site.run_of(&answer).await);
    }
    for id in &ids {
        site.until(id, "succeeded").await;
    }
    let list = async |query: &str| site.server.get(&format!("/api/v1/runs?{query}")).await.body;
    let first = list("limit=3").await;
    let cursor = first["nextCursor"].as_str().unwrap();
    let rest = list(&format!("limit=3&cursor={cursor}")).await;
    let of = |page: &serde_json::Value| {
        page["items"].as_array().unwrap().iter().map(|run| run["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let mut seen = [of(&first), of(&rest)].concat();
    seen.reverse();
    assert_eq!((seen, rest["nextCursor"].is_null()), (ids.clone(), true));
    assert_eq!(of(&list("subject=acme/shop%233").await), [ids[2].clone()]);
    assert_eq!(of(&list("workflow=other").await), Vec::<String>::new());
    let event = site.run(&ids[1]).await["event"].as_str().unwrap().to_owned();
    assert_eq!(of(&list(&format!("event={event}")).await), [ids[1].clone()]);
    for (query, code) in [("status=done", 400), ("event=x", 400), ("cursor=x", 400), ("since=x", 400), ("color=x", 400)]
    {
        assert_eq!(site.server.get(&format!("/api/v1/runs?{query}")).await.status, code, "{query}");
    }
    assert_eq!(site.server.get("/api/v1/runs/nonsense").await.status, 400);
    assert_eq!(site.server.get(&format!("/api/v1/runs/run_{}", "0".repeat(32))).await.status, 404);
}
