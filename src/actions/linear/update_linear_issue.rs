//! `update_linear_issue`: moves a ticket to a state of a type, with a comment and a link to a pull request if
//! wanted. Teams name their states as they like; types are Linear's. Doing it again is as doing it once.

use pointsman_actors::executor::failure::{ErrorClass, Failure};
use pointsman_actors::executor::port::{
    Accepts, Action, ActionInfo, Attempt, EffectClass, OnDoubt, Outcome, Parameter, Success, Working,
};
use serde::Serialize;

use super::{Door, ISSUE, LINEAR, done};
use crate::actions::with::With;
use crate::integrations::linear::issue::{Standing, State};
use crate::integrations::linear::{Linear, Link};

static INFO: ActionInfo = ActionInfo {
    name: "update_linear_issue",
    class: EffectClass::Keyed,
    on_doubt: OnDoubt::Repeat,
    parameters: &[
        ISSUE,
        Parameter { name: "state_type", accepts: Accepts::OneOf(&TYPES), default: None },
        Parameter { name: "force", accepts: Accepts::Flag, default: Some("{{ false }}") },
        Parameter { name: "comment", accepts: Accepts::OptionalText, default: Some("") },
        Parameter { name: "pull_request", accepts: Accepts::OptionalText, default: Some("") },
        Parameter { name: "pull_request_title", accepts: Accepts::OptionalText, default: Some("") },
    ],
    timeout: None,
    waits: None,
    services: &[LINEAR],
};

/// The types of states that a ticket can be moved to.
static TYPES: [&str; 6] = ["triage", "backlog", "unstarted", "started", "completed", "canceled"];

/// The action.
pub struct UpdateLinearIssue(pub(super) Door);

impl Action for UpdateLinearIssue {
    fn info(&self) -> &'static ActionInfo {
        &INFO
    }

    fn unavailable(&self) -> Option<String> {
        self.0.unavailable()
    }

    fn execute(&self, attempt: Attempt) -> Working<Outcome> {
        let door = self.0.clone();
        Box::pin(async move { update(door.open()?, &attempt).await })
    }
}

/// What becomes of the state of a ticket.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Course<'a> {
    /// It stands there already; among states of one type people have chosen theirs.
    Stays,
    /// It is over, and is not taken up again without being told to.
    Over,
    /// It goes there.
    Goes(&'a State),
    /// Its team has no such state.
    Nowhere,
}

/// What becomes of the state of a ticket that is to be of this type. Pure.
fn course<'a>(standing: &'a Standing, wanted: &str, force: bool) -> Course<'a> {
    if standing.state.kind == wanted {
        return Course::Stays;
    }
    if standing.state.is_over() && !force {
        return Course::Over;
    }
    let first = standing.team.as_ref().and_then(|team| team.states.nodes.first());
    first.map_or(Course::Nowhere, Course::Goes)
}

async fn update(linear: &Linear, attempt: &Attempt) -> Result<Success, Failure> {
    let with = With(&attempt.with);
    let (issue, wanted) = (with.text("issue")?, with.text("state_type")?);
    if !TYPES.contains(&wanted.as_str()) {
        return Err(wrong(format!("with.state_type: `{wanted}` is none of {}", TYPES.join(", "))));
    }
    let standing = linear.standing(&issue, &wanted).await?;
    let course = course(&standing, &wanted, with.flag("force"));
    let now = match course {
        Course::Nowhere => {
            let team = standing.team.as_ref().map_or("no team", |team| team.key.as_str());
            return Err(wrong(format!("{} ({team}) has no state of the type `{wanted}`", standing.identifier)));
        }
        Course::Goes(state) => {
            linear.move_issue(&standing.id, state, &attempt.key).await?;
            state
        }
        Course::Stays | Course::Over => &standing.state,
    };
    let (comment_id, attachment_id) = add(linear, &standing, &with, &attempt.key).await?;
    done(&Updated {
        id: &standing.id,
        issue: &standing.identifier,
        url: &standing.url,
        changed: matches!(course, Course::Goes(_)),
        kept: (course == Course::Over).then(|| format!("it is {} and is not taken up again", standing.state.kind)),
        state: &now.name,
        state_type: &now.kind,
        previous_state: &standing.state.name,
        comment_id,
        attachment_id,
    })
}

/// What later steps see.
#[derive(Serialize)]
struct Updated<'a> {
    /// Linear's id of the ticket.
    id: &'a str,
    /// What people call it.
    issue: &'a str,
    /// Where people see it.
    url: &'a str,
    /// Whether its state was changed.
    changed: bool,
    /// Why it was not, when it is not where it was to go.
    kept: Option<String>,
    /// The name of its state now.
    state: &'a str,
    /// The type of that.
    state_type: &'a str,
    /// The name of its state before.
    previous_state: &'a str,
    /// The comment that was written.
    comment_id: Option<String>,
    /// The link that was attached.
    attachment_id: Option<String>,
}

/// Adds what the step wants to be said and linked; gives their ids.
async fn add(
    linear: &Linear,
    standing: &Standing,
    with: &With<'_>,
    key: &str,
) -> Result<(Option<String>, Option<String>), Failure> {
    let (comment, url) = (with.text_or_empty("comment")?, with.text_or_empty("pull_request")?);
    let mut ids = (None, None);
    if !comment.is_empty() {
        ids.0 = Some(linear.comment(&standing.id, &comment, None, &format!("{key}/comment")).await?.id);
    }
    if !url.is_empty() {
        let title = with.text_or_empty("pull_request_title")?;
        let title = if title.is_empty() { url.as_str() } else { &title };
        ids.1 = Some(linear.link(&Link { issue: &standing.id, url: &url, title }, key).await?.id);
    }
    Ok(ids)
}

fn wrong(message: String) -> Failure {
    Failure::new(ErrorClass::Validation, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::integrations::linear::issue::{Nodes, TeamStates};

    fn state(name: &str, kind: &str) -> State {
        State { id: name.into(), name: name.into(), kind: kind.into(), position: 0.0 }
    }

    #[test]
    fn a_ticket_that_is_over_is_not_taken_up_again() {
        let check = |stands: &str, wanted: &str, force: bool, expect: Option<Course<'_>>| {
            let team = TeamStates { key: "ENG".into(), states: Nodes { nodes: vec![state("First", wanted)] } };
            let [id, identifier, url] = ["i", "ENG-1", "u"].map(str::to_owned);
            let standing = Standing { id, identifier, url, state: state("Now", stands), team: Some(team) };
            let first = state("First", wanted);
            let expect = expect.unwrap_or(Course::Goes(&first));
            assert_eq!(course(&standing, wanted, force), expect, "{stands} to {wanted}, {force}");
        };
        check("backlog", "started", false, None);
        check("started", "started", false, Some(Course::Stays));
        check("started", "completed", false, None);
        check("started", "unstarted", false, None);
        check("completed", "completed", true, Some(Course::Stays));
        for over in ["completed", "canceled", "duplicate"] {
            check(over, "started", false, Some(Course::Over));
            check(over, "started", true, None);
        }
        check("canceled", "completed", false, Some(Course::Over));
    }

    #[test]
    fn a_team_without_such_a_state_is_named() {
        let [id, identifier, url] = ["i", "ENG-1", "u"].map(str::to_owned);
        let standing = Standing { id, identifier, url, state: state("Now", "backlog"), team: None };
        assert_eq!(course(&standing, "started", false), Course::Nowhere);
    }
}
