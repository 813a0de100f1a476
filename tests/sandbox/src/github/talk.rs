//! Comments and reviews.

use std::collections::BTreeSet;

use serde_json::{Value as Json, json};

use super::forge::{Comment, Review, WHO};
use super::{DOCUMENTATION, Place, error, find, invalid, paged};
use crate::server::{Reply, Request};
use crate::world::{PullRequest, State};

/// Longest text of a comment or a review.
const LONGEST_BODY: usize = 65_536;

/// Writes a comment on an issue or a pull request.
pub fn comment(state: &mut State, place: &Place, body: &Json) -> Reply {
    if find(state, place).is_none() {
        return error(404, "Not Found");
    }
    let Some(text) = body["body"].as_str().filter(|text| !text.trim().is_empty()) else {
        return invalid(&json!({"resource": "IssueComment", "field": "data", "code": "missing_field"}));
    };
    if text.chars().count() > LONGEST_BODY {
        let message = "body is too long (maximum is 65536 characters)";
        return invalid(
            &json!({"resource": "IssueComment", "field": "data", "code": "unprocessable", "message": message}),
        );
    }
    let id = state.forge.next_id();
    let (repository, number) = (place.repository.clone(), place.number);
    let comment = Comment { repository, number, id, body: text.to_owned() };
    let reply = Reply::json(201, shown(&comment));
    state.forge.comments.push(comment);
    reply
}

/// The comments of an issue or a pull request.
pub fn comments(state: &State, place: &Place, request: &Request) -> Reply {
    if find(state, place).is_none() {
        return error(404, "Not Found");
    }
    let is_its = |comment: &&Comment| comment.repository == place.repository && comment.number == place.number;
    paged(request, state.forge.comments.iter().filter(is_its).map(shown).collect())
}

fn shown(comment: &Comment) -> Json {
    let Comment { repository, number, id, body } = comment;
    json!({
        "id": id, "body": body, "user": {"login": WHO, "type": "Bot"},
        "html_url": format!("https://github.com/{repository}/pull/{number}#issuecomment-{id}"),
        "created_at": "2026-01-05T10:00:00Z", "updated_at": "2026-01-05T10:00:00Z",
    })
}

/// Posts a review; one comment that is nowhere in the diff refuses it whole.
pub fn review(state: &mut State, place: &Place, body: &Json) -> Reply {
    let Some(pull) = find(state, place) else { return error(404, "Not Found") };
    let text = body["body"].as_str().unwrap_or_default();
    let verdict = match body["event"].as_str() {
        Some("APPROVE") => "APPROVED",
        Some("REQUEST_CHANGES") => "CHANGES_REQUESTED",
        Some("COMMENT") => "COMMENTED",
        None => "PENDING",
        Some(_) => return refused("Variable $event of type PullRequestReviewEvent was provided invalid value"),
    };
    if text.is_empty() && ["CHANGES_REQUESTED", "COMMENTED"].contains(&verdict) {
        return refused("Review body can't be blank");
    }
    if text.chars().count() > LONGEST_BODY {
        return refused("Body is too long (maximum is 65536 characters)");
    }
    if pull.author == WHO && verdict == "APPROVED" {
        return refused("Can not approve your own pull request");
    }
    if pull.author == WHO && verdict == "CHANGES_REQUESTED" {
        return refused("Can not request changes on your own pull request");
    }
    let commit = body["commit_id"].as_str().unwrap_or(&pull.head_sha).to_owned();
    if !pull.heads.contains(&commit) {
        return refused("No commit found for the pull request");
    }
    let comments: Vec<Json> = body["comments"].as_array().cloned().unwrap_or_default();
    if comments.iter().any(|comment| comment["body"].as_str().is_none_or(str::is_empty)) {
        return refused("Pull request review thread body can't be blank");
    }
    if comments.iter().any(|comment| !is_in(pull, comment)) {
        return refused("Pull request review thread line must be part of the diff");
    }
    let id = state.forge.next_id();
    let (repository, number) = (place.repository.clone(), place.number);
    let (state_of_it, text) = (verdict.to_owned(), text.to_owned());
    let review = Review { repository, number, id, state: state_of_it, body: text, commit_id: commit, comments };
    let reply = Reply::json(200, review_shown(&review));
    state.forge.reviews.push(review);
    reply
}

/// The reviews of a pull request.
pub fn reviews(state: &State, place: &Place, request: &Request) -> Reply {
    if find(state, place).is_none() {
        return error(404, "Not Found");
    }
    let is_its = |review: &&Review| review.repository == place.repository && review.number == place.number;
    paged(request, state.forge.reviews.iter().filter(is_its).map(review_shown).collect())
}

fn review_shown(review: &Review) -> Json {
    let Review { repository, number, id, state, body, commit_id, .. } = review;
    json!({
        "id": id, "body": body, "state": state, "commit_id": commit_id, "user": {"login": WHO, "type": "Bot"},
        "html_url": format!("https://github.com/{repository}/pull/{number}#pullrequestreview-{id}"),
    })
}

/// A refusal as the endpoint of reviews words it: errors are texts there.
fn refused(why: &str) -> Reply {
    let body = json!({"message": "Unprocessable Entity", "errors": [why], "documentation_url": DOCUMENTATION, "status": "422"});
    Reply::json(422, body)
}

fn is_in(pull: &PullRequest, comment: &Json) -> bool {
    let patch = pull.files.iter().find(|file| file["filename"] == comment["path"]);
    let lines = patch.and_then(|file| file["patch"].as_str()).map(lines_after).unwrap_or_default();
    comment["side"] != "LEFT" && comment["line"].as_u64().is_some_and(|line| lines.contains(&line))
}

/// The lines that a patch shows as they are after it.
fn lines_after(patch: &str) -> BTreeSet<u64> {
    let (mut lines, mut at) = (BTreeSet::new(), 0_u64);
    for line in patch.lines() {
        match line.bytes().next() {
            Some(b'@') => {
                let after = line.split('+').nth(1).unwrap_or_default();
                let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
                at = digits.parse().unwrap_or_default();
            }
            Some(b'-' | b'\\') => {}
            _ => {
                lines.insert(at);
                at += 1;
            }
        }
    }
    lines
}
