//! `parse_linear_requirements`: reads what a ticket asks for, and where. Changes nothing outside.

use pointsman_actors::executor::failure::{ErrorClass, Failure};
use pointsman_actors::executor::port::{
    Accepts, Action, ActionInfo, Attempt, EffectClass, OnDoubt, Outcome, Parameter, Success, Working,
};
use pointsman_actors::time::Timestamp;
use serde::Serialize;

use super::issue_text::{self, Task};
use super::named_in_text as named;
use super::{Door, ISSUE, LINEAR, done};
use crate::actions::bounded;
use crate::actions::with::With;
use crate::integrations::linear::issue::{Issue, Person};

static INFO: ActionInfo = ActionInfo {
    name: "parse_linear_requirements",
    class: EffectClass::Pure,
    on_doubt: OnDoubt::Repeat,
    parameters: &[
        ISSUE,
        Parameter { name: "default_repository", accepts: Accepts::OptionalText, default: NOTHING },
        // The name of the state that it was moved to, and when, as Linear dates it: whether that was a move of ours.
        Parameter { name: "moved_to", accepts: Accepts::OptionalText, default: NOTHING },
        Parameter { name: "moved_at", accepts: Accepts::OptionalText, default: NOTHING },
    ],
    timeout: None,
    waits: None,
    services: &[LINEAR],
};

const NOTHING: Option<&str> = Some("");

/// Most bytes of a description that later steps see.
const LONGEST_DESCRIPTION: usize = 64 << 10;

/// The action.
pub struct ParseLinearRequirements(pub(super) Door);

impl Action for ParseLinearRequirements {
    fn info(&self) -> &'static ActionInfo {
        &INFO
    }

    fn unavailable(&self) -> Option<String> {
        self.0.unavailable()
    }

    fn execute(&self, attempt: Attempt) -> Working<Outcome> {
        let door = self.0.clone();
        Box::pin(async move { parse(&door, &attempt).await })
    }
}

async fn parse(door: &Door, attempt: &Attempt) -> Result<Success, Failure> {
    let with = With(&attempt.with);
    let (id, default) = (with.text("issue")?, with.text_or_empty("default_repository")?);
    if !default.is_empty() && named::whole_repository(&default).is_none() {
        let message = format!("with.default_repository: `{default}` is not a repository, such as owner/name");
        return Err(Failure::new(ErrorClass::Validation, message));
    }
    let (linear, moved_to) = (door.open()?, with.text_or_empty("moved_to")?);
    let moved_at = Timestamp::from_rfc3339(&with.text_or_empty("moved_at")?);
    let issue = linear.issue(&id).await?;
    let moved_by_us = moved_at.is_some_and(|at| linear.has_moved(&issue.id, &moved_to, at));
    done(&Requirements { moved_by_us, ..Requirements::of(issue, &default) })
}

/// What later steps see.
#[derive(Debug, PartialEq, Serialize)]
struct Requirements {
    /// Linear's id.
    id: String,
    /// What people call it.
    issue: String,
    /// Where people see it.
    url: String,
    /// Its title.
    title: String,
    /// What it is about, in a paragraph; the title when nobody has written one.
    summary: String,
    /// As it was written, up to 64 KiB.
    description: String,
    /// What is to be done.
    tasks: Vec<Task>,
    /// When it is done.
    acceptance_criteria: Vec<String>,
    /// `owner/name`.
    repository: Option<String>,
    /// The branch that the ticket names, or that Linear suggests.
    branch: String,
    /// Names of its labels.
    labels: Vec<String>,
    /// Points of the team's scale.
    points: Option<f64>,
    /// Hours that the text names.
    hours: Option<f64>,
    /// Addresses of pull requests, from its text and from what is attached.
    pull_requests: Vec<String>,
    /// Those that we or Codegen have attached: they are for it.
    known_pull_requests: Vec<String>,
    /// 0 none, 1 urgent, 2 high, 3 medium, 4 low.
    priority: f64,
    /// Name of its state.
    state: String,
    /// Type of its state.
    state_type: String,
    /// Whether it is completed, canceled or a duplicate.
    is_over: bool,
    /// Key of its team.
    team: Option<String>,
    /// Name of its project.
    project: Option<String>,
    /// Who does it.
    assignee: Option<Person>,
    /// The agent that it is delegated to.
    delegate: Option<Person>,
    /// Whether one of the two is Codegen.
    is_codegens: bool,
    /// Whether the move that the step is about was one of ours.
    moved_by_us: bool,
}

impl Requirements {
    fn of(issue: Issue, default_repository: &str) -> Self {
        let repository = repository(&issue);
        let default = Some(default_repository.to_owned()).filter(|default| !default.is_empty());
        let description = issue.description.unwrap_or_default();
        let reading = issue_text::read(&description);
        let text = format!("{}\n{description}", issue.title);
        let is_codegens = [&issue.assignee, &issue.delegate].into_iter().flatten().any(Person::is_codegen);
        let attachments = &issue.attachments.nodes;
        let attached: Vec<&str> = attachments.iter().map(|attached| attached.url.as_str()).collect();
        let known = attachments.iter().filter(|attached| attached.is_ours()).map(|attached| attached.url.as_str());
        let known = named::pull_requests(&known.collect::<Vec<_>>().join("\n"));
        Self {
            summary: if reading.summary.is_empty() { issue.title.clone() } else { reading.summary },
            tasks: reading.tasks,
            acceptance_criteria: reading.acceptance_criteria,
            repository: repository.or(default),
            branch: named::on_its_line(&description, &["branch"]).unwrap_or(issue.branch_name),
            hours: named::hours(&text),
            pull_requests: named::pull_requests(&format!("{text}\n{}", attached.join("\n"))),
            known_pull_requests: known,
            moved_by_us: false,
            is_over: issue.state.is_over(),
            is_codegens,
            description: bounded::first(description.as_bytes(), LONGEST_DESCRIPTION),
            labels: issue.labels.nodes.into_iter().map(|label| label.name).collect(),
            points: issue.estimate,
            priority: issue.priority,
            state: issue.state.name,
            state_type: issue.state.kind,
            team: issue.team.map(|team| team.key),
            project: issue.project.map(|project| project.name),
            id: issue.id,
            issue: issue.identifier,
            url: issue.url,
            title: issue.title,
            assignee: issue.assignee,
            delegate: issue.delegate,
        }
    }
}

/// The repository that a ticket is about: what a line says, what a label says, what is linked first, what is
/// attached first, or what project or team are called.
fn repository(issue: &Issue) -> Option<String> {
    let description = issue.description.as_deref().unwrap_or_default();
    let line = named::on_its_line(description, &["repo", "repository"]);
    let of_line = line.and_then(|line| named::linked_repository(&line).or_else(|| named::repository_in(&line)));
    let labels = || issue.labels.nodes.iter().map(|label| label.name.trim());
    let of_label = || labels().find_map(|label| named::whole_repository(label.strip_prefix("repo:").unwrap_or(label)));
    let linked = || named::linked_repository(description).or_else(|| named::linked_repository(&issue.title));
    let attached = || issue.attachments.nodes.iter().find_map(|attached| named::linked_repository(&attached.url));
    let names = || [issue.project.as_ref().map(|project| &project.name), issue.team.as_ref().map(|team| &team.name)];
    let of_name = || names().into_iter().flatten().find_map(|name| named::whole_repository(name));
    of_line.or_else(of_label).or_else(linked).or_else(attached).or_else(of_name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::integrations::linear::issue::{Attachment, Creator, Named, State};

    fn issue(description: &str) -> Issue {
        let description = Some(description.to_owned());
        Issue { title: "Cache the token (2h)".into(), branch_name: "ada/eng-1".into(), description, ..Issue::default() }
    }

    #[test]
    fn a_repository_is_found_by_what_says_it_most_clearly() {
        let named = |name: &str| Named { id: name.into(), name: name.into() };
        let check = |change: fn(&mut Issue, fn(&str) -> Named), description: &str, expect: Option<&str>| {
            let mut issue = issue(description);
            change(&mut issue, |name| Named { id: name.into(), name: name.into() });
            assert_eq!(repository(&issue).as_deref(), expect, "{description}");
        };
        let label = |issue: &mut Issue, named: fn(&str) -> Named| {
            issue.labels.nodes = vec![named("Bug"), named("repo:a/label")]
        };
        check(|_, _| (), "nothing", None);
        check(label, "https://github.com/a/link\nrepo: a/line", Some("a/line"));
        check(|_, _| (), "Repository: https://github.com/a/line/issues", Some("a/line"));
        check(label, "https://github.com/a/link", Some("a/label"));
        check(|_, _| (), "https://github.com/a/link", Some("a/link"));
        check(|issue, named| issue.project = Some(named("a/project")), "https://github.com/a/link", Some("a/link"));
        check(|issue, named| issue.project = Some(named("a/project")), "", Some("a/project"));
        check(|issue, named| issue.project = Some(named("Web / Mobile")), "", None);
        let mut attached = issue("");
        let url = "https://github.com/a/attached/pull/3".to_owned();
        attached.attachments.nodes = vec![Attachment { url, ..Attachment::default() }];
        attached.project = Some(named("a/project"));
        assert_eq!(repository(&attached).as_deref(), Some("a/attached"));
        assert_eq!(Requirements::of(attached, "").pull_requests, ["https://github.com/a/attached/pull/3"]);
    }

    #[test]
    fn what_we_or_codegen_have_attached_is_for_the_ticket() {
        let attached = |number: u8, creator: Option<(&str, bool)>| {
            let creator = creator.map(|(name, is_me)| Creator { name: name.into(), is_me, ..Creator::default() });
            Attachment { url: format!("https://github.com/a/b/pull/{number}"), creator, ..Attachment::default() }
        };
        let mut issue = issue("");
        let by = [Some(("Ada", false)), None, Some(("Ada", true)), Some(("Codegen", false))];
        issue.attachments.nodes = (1..).zip(by).map(|(number, by)| attached(number, by)).collect();
        let read = Requirements::of(issue, "");
        assert_eq!(read.pull_requests.len(), 4);
        assert_eq!(read.known_pull_requests, ["https://github.com/a/b/pull/3", "https://github.com/a/b/pull/4"]);
    }

    #[test]
    fn whose_a_ticket_is_and_whether_it_is_over_is_said_as_of_now() {
        let somebody = |name: &str, email: &str| {
            Some(Person { id: name.into(), name: name.into(), email: Some(email.to_owned()) })
        };
        let ada = || somebody("Ada", "ada@example.com");
        let check = |assignee, delegate, expect: bool| {
            let read = Requirements::of(Issue { assignee, delegate, ..issue("") }, "");
            assert_eq!(read.is_codegens, expect, "{read:?}");
        };
        check(ada(), None, false);
        check(ada(), somebody("Codegen", "x@linear.app"), true);
        check(somebody("Bot", "bot@codegen.com"), None, true);
        check(None, somebody("Bot", "bot@codegen.com"), true);
        for (kind, expect) in [("completed", true), ("canceled", true), ("duplicate", true), ("started", false)] {
            let state = State { kind: kind.into(), ..State::default() };
            assert_eq!(Requirements::of(Issue { state, ..issue("") }, "").is_over, expect, "{kind}");
        }
    }

    #[test]
    fn what_a_ticket_does_not_say_is_what_is_usual() {
        let plain = Requirements::of(issue(""), "acme/shop");
        assert_eq!((plain.summary.as_str(), plain.branch.as_str()), ("Cache the token (2h)", "ada/eng-1"));
        assert_eq!((plain.repository.as_deref(), plain.hours), (Some("acme/shop"), Some(2.0)));
        let said = Requirements::of(issue("Why.\n\nbranch: `fix/token`\n\n- [ ] do\n\nrepo: acme/api"), "acme/shop");
        assert_eq!((said.summary.as_str(), said.branch.as_str()), ("Why.", "fix/token"));
        assert_eq!((said.repository.as_deref(), said.tasks.len()), (Some("acme/api"), 1));
    }
}
