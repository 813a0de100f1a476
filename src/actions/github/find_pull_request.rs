//! `find_pull_request`: which of the linked pull requests of a repository is open, and is for a ticket. People link to what a
//! ticket only talks about as well; and what an agent has opened just now, nobody has linked yet, so that of a ticket it is also
//! looked among all that are open. Changes nothing outside.

use pointsman_actors::executor::failure::{ErrorClass, Failure};
use pointsman_actors::executor::port::{
    Accepts, Action, ActionInfo, Attempt, EffectClass, OnDoubt, Outcome, Parameter, Working,
};
use serde::Serialize;

use super::super::with::With;
use super::create_github_pr::number_in;
use super::{Client, SERVICES, done};
use crate::integrations::github::{GitHub, Pull};
use crate::sources::is_codegens_branch;
use crate::sources::ticket::is_for;

static INFO: ActionInfo = ActionInfo {
    name: "find_pull_request",
    class: EffectClass::Pure,
    on_doubt: OnDoubt::Repeat,
    parameters: &[
        // Nothing is found where no repository is named.
        Parameter { name: "repository", accepts: Accepts::OptionalText, default: Some("{{ input.repository }}") },
        // Links to others are passed over.
        Parameter { name: "urls", accepts: Accepts::ListOf(&Accepts::Text), default: None },
        // Only a pull request that names it is for it; empty for any.
        Parameter { name: "ticket", accepts: Accepts::OptionalText, default: Some("") },
        // These are for it, whatever they name.
        Parameter { name: "known", accepts: Accepts::ListOf(&Accepts::Text), default: Some("{{ [] }}") },
    ],
    timeout: None,
    waits: None,
    services: SERVICES,
};

/// Most links that are followed, those that are known first.
const MOST: usize = 10;

/// The action.
pub struct FindPullRequest(pub Client);

/// What later steps see; nothing when none is open.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
struct Output {
    /// Its number.
    number: Option<u64>,
    /// Its page.
    url: Option<String>,
    /// Its branch.
    head_ref: Option<String>,
    /// Commit at its head.
    head_sha: Option<String>,
    /// Whether its branch is one of Codegen's, in the repository itself: nobody else's is pushed to.
    is_codegens: bool,
}

impl Output {
    fn of(pull: Pull, repository: &str) -> Self {
        let Pull { number, html_url, head_ref, head_sha, head_repository, .. } = pull;
        let is_here = head_repository.is_some_and(|head| head.eq_ignore_ascii_case(repository));
        Self {
            number: Some(number),
            url: Some(html_url),
            is_codegens: is_here && is_codegens_branch(&head_ref),
            head_ref: Some(head_ref),
            head_sha: Some(head_sha),
        }
    }
}

/// Which pull requests are looked for.
struct Wanted {
    repository: String,
    ticket: String,
    known: Vec<u64>,
}

impl Wanted {
    fn is(&self, pull: &Pull) -> bool {
        let Pull { number, title, body, head_ref, state, .. } = pull;
        let is_its =
            || self.ticket.is_empty() || self.known.contains(number) || is_for(&self.ticket, title, body, head_ref);
        state == "open" && is_its()
    }
}

impl Action for FindPullRequest {
    fn info(&self) -> &'static ActionInfo {
        &INFO
    }

    fn unavailable(&self) -> Option<String> {
        self.0.unavailable()
    }

    fn execute(&self, attempt: Attempt) -> Working<Outcome> {
        let github = self.0.clone();
        Box::pin(async move {
            let with = With(&attempt.with);
            let repository = with.text_or_empty("repository")?;
            let numbers = |name: &str| -> Vec<u64> {
                with.texts(name).iter().filter_map(|url| number_in(url, &repository)).collect()
            };
            let (mut linked, known) = (numbers("urls"), numbers("known"));
            linked.sort_by_key(|number| !known.contains(number));
            linked.truncate(MOST);
            let wanted = Wanted { ticket: with.text_or_empty("ticket")?, known, repository };
            let found = open_one(github.get()?, &wanted, linked).await?;
            match found {
                None if !wanted.ticket.is_empty() && !wanted.repository.is_empty() => {
                    done(&unlinked(github.get()?, &wanted).await?.unwrap_or_default())
                }
                found => done(&found.unwrap_or_default()),
            }
        })
    }
}

/// The newest one of Codegen's that names the ticket; else the newest.
async fn unlinked(github: &GitHub, wanted: &Wanted) -> Result<Option<Output>, Failure> {
    let pulls = match github.open_pulls(&wanted.repository).await {
        // A ticket may name a repository that there is not.
        Err(failure) if failure.class == ErrorClass::NotFound => Vec::new(),
        pulls => pulls?,
    };
    let found = pulls.into_iter().filter(|pull| wanted.is(pull)).map(|pull| Output::of(pull, &wanted.repository));
    Ok(found.min_by_key(|output| !output.is_codegens))
}

/// The first one of Codegen's; else the first.
async fn open_one(github: &GitHub, wanted: &Wanted, linked: Vec<u64>) -> Result<Option<Output>, Failure> {
    let mut found = None;
    for number in linked {
        match github.pull(&wanted.repository, number).await {
            Ok(pull) if wanted.is(&pull) => match Output::of(pull, &wanted.repository) {
                codegens @ Output { is_codegens: true, .. } => return Ok(Some(codegens)),
                other => found = found.or(Some(other)),
            },
            Ok(_) => {}
            // A link may lead nowhere.
            Err(failure) if failure.class == ErrorClass::NotFound => {}
            Err(failure) => return Err(failure),
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pull_request_is_found_if_it_is_open_and_for_the_ticket_and_codegens_by_its_branch() {
        let pull = Pull {
            number: 7,
            title: "ENG-45: cache".into(),
            head_ref: "codegen/cache".into(),
            head_repository: Some("Acme/Shop".into()),
            state: "open".into(),
            ..Pull::default()
        };
        let wanted = |ticket: &str, known: &[u64]| Wanted {
            repository: "acme/shop".into(),
            ticket: ticket.into(),
            known: known.to_vec(),
        };
        assert!(wanted("ENG-45", &[]).is(&pull) && wanted("", &[]).is(&pull) && wanted("ENG-4", &[7]).is(&pull));
        assert!(!wanted("ENG-4", &[8]).is(&pull));
        assert!(!wanted("ENG-45", &[7]).is(&Pull { state: "closed".into(), ..pull.clone() }));
        let is_codegens = |pull: Pull| Output::of(pull, "acme/shop").is_codegens;
        assert!(is_codegens(pull.clone()));
        for other in [
            Pull { head_ref: "ada/cache".into(), ..pull.clone() },
            Pull { head_repository: Some("fork/shop".into()), ..pull.clone() },
            Pull { head_repository: None, ..pull },
        ] {
            assert!(!is_codegens(other.clone()), "{other:?}");
        }
    }
}
