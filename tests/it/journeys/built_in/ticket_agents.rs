//! When an agent works for a ticket, and when none does: not in pull requests of others, not because of what we ourselves have done,
//! not for a ticket that Codegen has no more, and not beside another one.

use pointsman_sandbox::{Fault, FaultKind, PullRequest};
use serde_json::{Value, json};

use super::pull_requests::pushed;
use super::sessions::{created as session_created, last, prompted, said, with_session};
use super::task::{DESCRIPTION, ticket};
use super::tickets::{assigned, at_work, changed, moved, state, told_since, unassigned};
use super::{connected, of_ticket};
use crate::journeys::codegen::call_back;
use crate::journeys::linear::send;
use crate::server::until;
use crate::site::Site;

/// A site where the ticket links to pull request 12, which is this one.
async fn linked(pull: PullRequest) -> Site {
    let site = connected(&[]).await;
    site.put_ticket("In Progress", &format!("{DESCRIPTION}\n\nhttps://github.com/acme/shop/pull/12"));
    site.world().put_pull(pull);
    site
}

/// The last comment at the ticket.
fn comment(site: &Site) -> String {
    site.world().state().linear.comments.last().map(|comment| comment.body.clone()).unwrap_or_default()
}

/// The prompts of all agent runs, oldest first.
fn prompts(site: &Site) -> Vec<String> {
    site.world().agent_runs().into_iter().flat_map(|run| run.prompts).collect()
}

#[actix::test]
async fn a_pull_request_that_a_ticket_only_talks_about_is_not_touched() {
    let about = PullRequest { title: "Like ENG-451".into(), body: "See ENG-45.".into(), ..of_ticket(12) };
    let site = linked(about).await;
    let answer = send(&site, changed("11:00")).await;
    site.until(&site.run_of(&answer).await, "waiting").await;
    let prompts = prompts(&site);
    assert!(matches!(&*prompts, [one] if one.starts_with("Work on the ticket ENG-45")), "{prompts:?}");
    // Nor is it told that the ticket is over.
    let before = site.told().len();
    let answer = send(&site, moved("Done", "completed", "2026-01-05T12:00:00.000Z")).await;
    site.until(&site.run_of(&answer).await, "succeeded").await;
    let looked = [
        r#"linear Issue {"id":"issue-45"}"#,
        "github GET /repos/acme/shop/pulls/12",
        "github GET /repos/acme/shop/pulls?state=open&per_page=100",
    ];
    assert_eq!(told_since(&site, before), looked);
}

#[actix::test]
async fn into_somebody_elses_branch_no_agent_pushes() {
    let of_ada = PullRequest { head_ref: "ada/eng-45-cache".into(), author: "ada".into(), ..of_ticket(12) };
    let of_fork = PullRequest { head_repository: Some("mallory/shop".into()), ..of_ticket(12) };
    for pull in [of_ada, of_fork] {
        let site = linked(pull).await;
        let answer = send(&site, changed("11:00")).await;
        site.until(&site.run_of(&answer).await, "succeeded").await;
        assert_eq!(
            site.told(),
            [
                r#"linear Issue {"id":"issue-45"}"#,
                "github GET /repos/acme/shop/pulls/12",
                r#"linear CommentCreate {"input":{"body":"[#12](https://github.com/acme/shop/pull/12) is open for this ticket and is not Codegen's: Codegen was not asked to change it.","id":"ID","issueId":"issue-45","parentId":null}}"#,
                "slack: ENG-45 (Cache the token): Codegen was not asked; the ticket says why",
            ]
        );
        site.world().state().linear.open_session("session-1", "issue-45");
        let answer = send(&site, prompted("2026-01-05T12:00:00.000Z", "Measure it, too.")).await;
        let (session, _) = site.session_runs(&answer).await;
        site.until(&session, "succeeded").await;
        let expect = "[#12](https://github.com/acme/shop/pull/12) is open for this ticket and is not Codegen's: Codegen does not change it. Close it before Codegen begins anew.";
        assert_eq!((last(&site), site.world().agent_runs().len()), (said("response", expect), 0));
    }
}

#[actix::test]
async fn of_two_pull_requests_codegens_own_is_changed() {
    let site = linked(PullRequest { head_ref: "ada/eng-45-cache".into(), ..of_ticket(12) }).await;
    let links = "https://github.com/acme/shop/pull/12 https://github.com/acme/shop/pull/13";
    site.put_ticket("In Progress", &format!("{DESCRIPTION}\n\n{links}"));
    site.world().put_pull(of_ticket(13));
    let answer = send(&site, changed("11:00")).await;
    site.until(&site.run_of(&answer).await, "waiting").await;
    let prompts = prompts(&site);
    assert!(matches!(&*prompts, [one] if one.starts_with("Work on the pull request acme/shop#13")), "{prompts:?}");
}

#[actix::test]
async fn a_task_waits_for_what_takes_the_ticket_away_and_then_begins() {
    let site = connected(&[]).await;
    site.put_ticket("Todo", DESCRIPTION);
    let (service, path_contains) = ("linear".to_owned(), Some("#CommentCreate".to_owned()));
    let refused = Fault { service, method: None, path_contains, times: u32::MAX, kind: FaultKind::RateLimit(1) };
    site.world().plan(refused);
    site.give_ticket_to(None);
    let answer = send(&site, unassigned("user-codegen")).await;
    let runs = site.until_runs(&answer, 2).await;
    // It is given back at once.
    site.give_ticket_to(Some("Codegen"));
    let given = assigned(json!({"data": {"updatedAt": "2026-01-05T11:00:01.000Z"}}));
    let answer = send(&site, given).await;
    let task = site.runs_of(&answer).await.into_iter().find(|(workflow, _)| workflow == "codegen_task").unwrap().1;
    site.until(&task, "queued").await;
    site.world().state().faults.clear();
    site.until(&runs[1].1, "succeeded").await;
    site.until(&task, "waiting").await;
    assert_eq!(site.world().agent_runs().len(), 1);
}

#[actix::test]
async fn what_a_program_gives_to_codegen_and_moves_at_once_begins_once() {
    let site = connected(&[]).await;
    site.put_ticket("Todo", DESCRIPTION);
    for (kind, at) in [("integration", "2026-01-05T10:00:00.000Z"), ("user", "2026-01-05T10:00:01.000Z")] {
        let both = assigned(json!({
            "actor": {"type": kind}, "data": {"updatedAt": at}, "updatedFrom": {"stateId": "state-backlog"},
        }));
        let runs = site.runs_of(&send(&site, both).await).await;
        let workflows: Vec<&str> = runs.iter().map(|(workflow, _)| workflow.as_str()).collect();
        assert_eq!(workflows, ["codegen_assigned", "codegen_task"], "{kind}");
    }
}

#[actix::test]
async fn that_we_have_moved_a_ticket_ourselves_begins_nothing() {
    let site = connected(&[]).await;
    site.put_ticket("Todo", DESCRIPTION);
    site.world().plan_once("codegen", "POST", "/agent/run", FaultKind::Refuse(402));
    let answer = send(&site, ticket("create", json!({}))).await;
    site.until(&site.run_of(&answer).await, "failed").await;
    let before = site.told().len();
    // With a personal key it is its owner who has moved it. Nothing goes on for the ticket any more.
    let in_progress = |at: &str| moved("In Progress", "started", at);
    let ours = in_progress(&crate::journeys::linear::now());
    let answer = send(&site, ours).await;
    site.until(&site.run_of(&answer).await, "succeeded").await;
    assert_eq!(told_since(&site, before), [r#"linear Issue {"id":"issue-45"}"#]);
    // At another time it was the owner by hand.
    let answer = send(&site, in_progress("2026-01-05T12:00:00.000Z")).await;
    site.until(&site.run_of(&answer).await, "waiting").await;
    assert_eq!(site.world().agent_runs().len(), 1);
}

#[actix::test]
async fn that_a_push_of_codegen_has_started_a_ticket_begins_nothing() {
    let site = connected(&[]).await;
    site.put_ticket("Todo", DESCRIPTION);
    let answer = site.github("push", &pushed("refs/heads/codegen/eng-45-cache", json!({}))).await;
    site.until(&site.run_of(&answer).await, "succeeded").await;
    let before = site.told().len();
    let answer = send(&site, moved("In Progress", "started", &crate::journeys::linear::now())).await;
    site.until(&site.run_of(&answer).await, "succeeded").await;
    assert_eq!(told_since(&site, before), [r#"linear Issue {"id":"issue-45"}"#]);
}

#[actix::test]
async fn no_agent_works_on_a_ticket_that_is_not_codegens_any_more() {
    let site = connected(&[]).await;
    site.put_ticket("In Progress", DESCRIPTION);
    for issue in &mut site.world().state().linear.issues {
        (issue.delegate, issue.assignee) = (None, Some("Ada".into()));
    }
    for event in [ticket("create", json!({})), changed("11:00")] {
        let before = site.told().len();
        let answer = send(&site, event).await;
        site.until(&site.run_of(&answer).await, "succeeded").await;
        assert_eq!(told_since(&site, before), [r#"linear Issue {"id":"issue-45"}"#]);
    }
}

#[actix::test]
async fn no_agent_is_begun_in_a_session_of_a_ticket_that_is_over() {
    let site = with_session(&format!("{DESCRIPTION}\n\nhttps://github.com/acme/shop/pull/12"), &[]).await;
    for issue in &mut site.world().state().linear.issues {
        issue.state = "Done".into();
    }
    site.world().put_pull(of_ticket(12));
    for event in [session_created(), prompted("2026-01-05T12:00:00.000Z", "Measure it, too.")] {
        let answer = send(&site, event).await;
        let (session, _) = site.session_runs(&answer).await;
        site.until(&session, "succeeded").await;
        let expect = "Codegen was not asked, because the ticket is Done. Open it again, and say so here.";
        assert_eq!((last(&site), site.world().agent_runs().len()), (said("response", expect), 0));
    }
}

/// What an agent is told to do in the pull request that the one before it has opened.
fn follows(text: &str) -> impl Fn(&String) -> bool + '_ {
    move |prompt| prompt.starts_with("Work on the pull request acme/shop#1,") && prompt.contains(text)
}

#[actix::test]
async fn however_often_a_ticket_changes_one_agent_works_at_a_time_and_the_next_follows_the_last_text() {
    let (site, task) = at_work().await;
    let mut before = task;
    for (at, text) in [("11:00", "It is never logged"), ("11:10", "It is never stored"), ("11:20", "It is encrypted")] {
        site.put_ticket("In Progress", &format!("{DESCRIPTION}\n- [ ] {text}"));
        let answer = send(&site, changed(at)).await;
        let id = site.run_of(&answer).await;
        site.until(&before, "superseded").await;
        site.until(&id, "waiting").await;
        before = id;
    }
    assert_eq!(site.world().agent_runs().len(), 1);
    let ledger = site.told().len();
    site.world().end_agent_run(1, "COMPLETE", "It is done.");
    call_back(&site, 1).await;
    until("the next agent", async || site.world().agent_runs().len() == 2).await;
    assert!(follows("It is encrypted")(&prompts(&site)[1]), "{:?}", prompts(&site));
    site.until(&before, "waiting").await;
    site.world().end_agent_run(2, "COMPLETE", "It is done.");
    call_back(&site, 2).await;
    site.until(&before, "succeeded").await;
    let mut told = told_since(&site, ledger);
    told.retain(|line| !line.starts_with("codegen POST"));
    assert_eq!(
        told,
        [
            "github GET /repos/acme/shop/pulls/1",
            r#"linear IssueStates {"id":"issue-45","type":"started"}"#,
            r##"linear AttachmentLinkGitHubPR {"issueId":"issue-45","title":"#1 Cache the token","url":"https://github.com/acme/shop/pull/1"}"##,
            "github GET /repos/acme/shop/pulls/1",
            "codegen GET /v1/organizations/323/agent/runs?skip=0&limit=100",
            r#"linear CommentCreate {"input":{"body":"Codegen has changed [#1](https://github.com/acme/shop/pull/1) after what this asks for now.","id":"ID","issueId":"issue-45","parentId":null}}"#,
            "slack: ENG-45 (Cache the token): Codegen has changed https://github.com/acme/shop/pull/1 after what the ticket asks for now",
        ]
    );
    // While it changes its pull request, another change waits for that.
    let answer = send(&site, changed("12:00")).await;
    let third = site.run_of(&answer).await;
    site.until(&third, "waiting").await;
    let answer = send(&site, changed("12:10")).await;
    let fourth = site.run_of(&answer).await;
    site.until(&third, "superseded").await;
    site.until(&fourth, "waiting").await;
    assert_eq!(site.world().agent_runs().len(), 3);
}

#[actix::test]
async fn after_an_agent_that_has_failed_one_begins_anew_with_the_text_as_it_is_now() {
    let (site, _) = at_work().await;
    site.put_ticket("In Progress", &format!("{DESCRIPTION}\n- [ ] It is never logged"));
    let answer = send(&site, changed("11:00")).await;
    let id = site.run_of(&answer).await;
    site.until(&id, "waiting").await;
    site.world().end_agent_run(1, "FAILED", "There are no tests.");
    call_back(&site, 1).await;
    until("the next agent", async || site.world().agent_runs().len() == 2).await;
    let prompts = prompts(&site);
    assert!(prompts[1].starts_with("Work on the ticket ENG-45") && prompts[1].contains("It is never logged"));
    site.until(&id, "waiting").await;
    site.world().end_agent_run(2, "COMPLETE", "It is done.");
    call_back(&site, 2).await;
    site.until(&id, "succeeded").await;
    assert_eq!(comment(&site), "Codegen has opened [#1](https://github.com/acme/shop/pull/1).");
}

#[actix::test]
async fn a_ticket_that_is_given_back_takes_over_the_agent_that_is_at_work() {
    let (site, task) = at_work().await;
    site.give_ticket_to(None);
    let answer = send(&site, unassigned("user-codegen")).await;
    site.until(&task, "superseded").await;
    for (_, run) in site.until_runs(&answer, 2).await {
        site.until(&run, "succeeded").await;
    }
    site.give_ticket_to(Some("Codegen"));
    let given = assigned(json!({"data": {"updatedAt": "2026-01-05T11:30:00.000Z"}}));
    let answer = send(&site, given).await;
    let runs = site.runs_of(&answer).await;
    site.until(&runs[1].1, "waiting").await;
    assert_eq!(site.world().agent_runs().len(), 1);
    site.world().end_agent_run(1, "COMPLETE", "It is done.");
    call_back(&site, 1).await;
    site.until(&runs[1].1, "succeeded").await;
    assert_eq!(comment(&site), "Codegen has opened [#1](https://github.com/acme/shop/pull/1).");
}

#[actix::test]
async fn a_ticket_that_is_given_back_before_anybody_looked_is_not_withdrawn() {
    let (site, task) = at_work().await;
    let before = site.told().len();
    let answer = send(&site, unassigned("user-codegen")).await;
    site.until(&site.run_of(&answer).await, "succeeded").await;
    let given = assigned(json!({"data": {"updatedAt": "2026-01-05T11:00:01.000Z"}}));
    let answer = send(&site, given).await;
    let runs = site.runs_of(&answer).await;
    site.until(&runs[1].1, "superseded").await;
    site.until(&task, "waiting").await;
    let told = told_since(&site, before);
    assert!(!told.iter().any(|line| line.contains("Codegen has this no more")), "{told:?}");
}

#[actix::test]
async fn what_an_agent_has_opened_and_nobody_has_linked_is_found() {
    let (site, task) = at_work().await;
    // It has ended, and nobody was told yet.
    site.world().end_agent_run(1, "COMPLETE", "It is done.");
    for pull in site.world().state().pulls.values_mut() {
        pull.title = "ENG-45: cache the token".into();
    }
    let answer = send(&site, changed("11:00")).await;
    site.until(&task, "superseded").await;
    until("the next agent", async || site.world().agent_runs().len() == 2).await;
    assert!(prompts(&site)[1].contains("Work on the pull request acme/shop#1"), "{:?}", prompts(&site));
    site.until(&site.run_of(&answer).await, "waiting").await;
}

#[actix::test]
async fn an_agent_that_seems_to_be_at_work_for_ever_keeps_nobody_from_beginning() {
    let (site, task) = at_work().await;
    for run in &mut site.world().state().codegen.runs {
        (run.status, run.created_at) = ("PAUSED".into(), "2026-01-01 00:00:00".into());
    }
    let answer = send(&site, changed("11:00")).await;
    site.until(&task, "superseded").await;
    site.until(&site.run_of(&answer).await, "waiting").await;
    assert_eq!(site.world().agent_runs().len(), 2);
}

#[actix::test]
async fn a_ticket_that_is_delegated_to_our_app_has_its_session_say_that_it_begins() {
    let site = connected(&[("LINEAR_HANDLER_APP_USER_ID", "user-codegen")]).await;
    let backlog = |more: Value| {
        let mut all = json!({"data": {"state": state("Backlog", "backlog")}});
        super::change(&mut all, more);
        assigned(all)
    };
    let why = site.why_not(&send(&site, backlog(json!({}))).await).await;
    assert!(why.starts_with("the condition does not hold of: "), "{why}");
    let of_other =
        json!({"delegate": {"id": "user-other", "name": "Codegen"}, "updatedAt": "2026-01-05T11:00:00.000Z"});
    let other = backlog(json!({"data": of_other}));
    assert_eq!(site.runs_of(&send(&site, other).await).await[0].0, "codegen_assigned");
}
