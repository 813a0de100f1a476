//! Whether an agent may be set to work on a pull request now, by what GitHub says of that and Codegen of the agents that
//! there were. Pure.
//!
//! Two agents that push to one branch destroy each other's work, whoever has begun them: one that is at work is waited for. It
//! is not taken over, because what it was asked for is something else.

use pointsman_actors::executor::failure::{ErrorClass, Failure};

use crate::actions::pull_request::short;
use crate::integrations::codegen::{AgentRun, Listed};
use crate::integrations::github::Pull;

/// What is to be begun.
#[derive(Clone, Debug, Default)]
pub(super) struct Plan {
    /// `owner/name`.
    pub repository: String,
    /// Number of the pull request.
    pub number: u64,
    /// What it is counted by; without it all agent runs for the pull request are.
    pub purpose: Option<String>,
    /// The head that it is about, if it is about one.
    pub head: Option<String>,
    /// So many agent runs may be begun; 0 for any number.
    pub at_most: u64,
}

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// It is begun.
    Now,
    /// This one comes to its end first.
    After(Box<AgentRun>),
}

/// What there is to be done at a pull request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// It is open, and Codegen can push to it.
    Open,
    /// What was to be mended is not what it ends with any more, in words.
    Old(String),
}

impl Plan {
    /// What the agent runs for the pull request have as their subject.
    pub fn subject(&self) -> String {
        format!("{}#{}", self.repository, self.number)
    }

    /// Whether agents that have ended count.
    pub fn looks_back(&self) -> bool {
        self.at_most > 0 || self.head.is_some()
    }

    /// Whether anything can be done at the pull request as it is now.
    pub fn place(&self, pull: &Pull) -> Result<Place, Failure> {
        let subject = self.subject();
        if pull.state != "open" {
            let reason = format!("{subject} is {}", if pull.merged { "merged" } else { "closed" });
            return if self.head.is_some() {
                Ok(Place::Old(reason))
            } else {
                Err(refused(format!("{reason}; no agent works on it any more")))
            };
        }
        match &pull.head_repository {
            None => return Err(refused(format!("the repository that {subject} comes from is gone"))),
            Some(other) if !other.eq_ignore_ascii_case(&self.repository) => {
                let repository = &self.repository;
                let message =
                    format!("{subject} comes from {other}, and Codegen pushes to branches of {repository} only");
                return Err(refused(message));
            }
            Some(_) => {}
        }
        let moved = self.head.as_ref().filter(|head| !head.eq_ignore_ascii_case(&pull.head_sha));
        Ok(moved.map_or(Place::Open, |head| {
            Place::Old(format!("the head of {subject} is now {}, not {}", short(&pull.head_sha), short(head)))
        }))
    }

    /// Whether it is our turn after these agent runs, newest first. Those of the run `own` of ours are not held against a
    /// head: an operator may have it done again.
    pub fn turn(&self, listed: &[Listed], own: &str) -> Result<Turn, Failure> {
        let subject = self.subject();
        let works_on = |run: &&Listed| run.is_for(&subject) || run.has_opened(&self.repository, self.number);
        if let Some(other) = listed.iter().filter(works_on).find(|run| run.is_at_work) {
            return Ok(Turn::After(Box::new(other.run.clone())));
        }
        let is_like = |run: &&Listed| {
            run.is_for(&subject) && self.purpose.as_ref().is_none_or(|own| run.about.purpose.as_ref() == Some(own))
        };
        let is_own = |run: &&Listed| run.key.as_ref().is_some_and(|key| key.starts_with(own));
        let about_head = |run: &&Listed| self.head.is_some() && run.about.head == self.head;
        if let Some(earlier) = listed.iter().filter(is_like).find(|run| about_head(run) && !is_own(run)) {
            let head = short(self.head.as_deref().unwrap_or_default());
            let (id, at) = (earlier.run.run_id, earlier.run.web_url.as_deref().unwrap_or_default());
            let message =
                format!("the agent run {id} has left {subject} at {head}, as it was; it needs a person; {at}");
            return Err(refused(message));
        }
        if self.at_most > 0 && listed.iter().filter(is_like).count() as u64 >= self.at_most {
            let most = self.at_most;
            return Err(refused(format!(
                "{most} agent runs were begun for {subject}, and no more are; it needs a person"
            )));
        }
        Ok(Turn::Now)
    }
}

fn refused(message: String) -> Failure {
    Failure::new(ErrorClass::Validation, message)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;
    use pointsman_actors::time::Timestamp;

    fn plan() -> Plan {
        Plan { repository: "acme/shop".into(), number: 12, ..Plan::default() }
    }

    fn mending(head: &str) -> Plan {
        Plan { purpose: Some("mend".into()), head: Some(head.into()), at_most: 2, ..plan() }
    }

    #[test]
    fn agents_work_on_what_is_open_and_in_reach() {
        let open = Pull {
            state: "open".into(),
            head_sha: "a1".into(),
            head_repository: Some("Acme/shop".into()),
            ..Pull::default()
        };
        let closed = Pull { state: "closed".into(), ..open.clone() };
        let check = |plan: &Plan, pull: &Pull, expect: Result<Option<&str>, &str>| {
            let found = match plan.place(pull) {
                Ok(Place::Open) => Ok(None),
                Ok(Place::Old(reason)) => Ok(Some(reason)),
                Err(failure) => Err(failure.message),
            };
            assert_eq!(found, expect.map(|reason| reason.map(str::to_owned)).map_err(str::to_owned), "{pull:?}");
        };
        check(&plan(), &open, Ok(None));
        check(&mending("A1"), &open, Ok(None));
        check(&mending("a0"), &open, Ok(Some("the head of acme/shop#12 is now a1, not a0")));
        check(&plan(), &closed, Err("acme/shop#12 is closed; no agent works on it any more"));
        check(&mending("a1"), &closed, Ok(Some("acme/shop#12 is closed")));
        check(&mending("a1"), &Pull { merged: true, ..closed }, Ok(Some("acme/shop#12 is merged")));
        let fork = Pull { head_repository: Some("mallory/shop".into()), ..open.clone() };
        let reach = "acme/shop#12 comes from mallory/shop, and Codegen pushes to branches of acme/shop only";
        check(&plan(), &fork, Err(reach));
        check(&mending("a1"), &fork, Err(reach));
        let gone = "the repository that acme/shop#12 comes from is gone";
        check(&plan(), &Pull { head_repository: None, ..open }, Err(gone));
    }

    fn listed(id: u64, status: &str, metadata: Json) -> Listed {
        let url = "https://github.com/acme/shop/pull/13";
        let run = json!({ "id": id, "status": status, "metadata": metadata, "github_pull_requests": [{ "url": url }] });
        Listed::read(&run, Timestamp::from_millis(0)).unwrap()
    }

    fn about(purpose: &str, head: &str) -> Json {
        let key = format!("run_{head}/fix");
        json!({ "pointsman_key": key, "pointsman_subject": "acme/shop#12", "pointsman_purpose": purpose, "pointsman_head": head })
    }

    fn refusal(turn: Result<Turn, Failure>) -> Option<String> {
        turn.err().map(|failure| failure.message)
    }

    #[test]
    fn whoever_is_at_work_on_it_is_waited_for_whatever_for() {
        let after = |plan: &Plan, listed: &[Listed]| match plan.turn(listed, "run_x/") {
            Ok(Turn::After(run)) => Some(run.run_id),
            Ok(Turn::Now) => None,
            Err(failure) => panic!("{failure}"),
        };
        assert_eq!(after(&plan(), &[listed(1, "ACTIVE", about("", "a0"))]), Some(1));
        assert_eq!(
            after(&mending("a1"), &[listed(1, "ACTIVE", json!({ "pointsman_subject": "acme/shop#12" }))]),
            Some(1)
        );
        assert_eq!(after(&plan(), &[listed(1, "COMPLETE", about("", "a0"))]), None);
        let of_ticket = [listed(1, "ACTIVE", json!({ "pointsman_subject": "ENG-45" }))];
        assert_eq!(after(&plan(), &of_ticket), None);
        assert_eq!(after(&Plan { number: 13, ..plan() }, &of_ticket), Some(1), "it has opened that one");
    }

    #[test]
    fn only_agents_with_the_same_purpose_count() {
        let others = [listed(3, "COMPLETE", about("ask", "a0")), listed(2, "FAILED", about("mend", "a0"))];
        assert_eq!(mending("a1").turn(&others, "run_x/"), Ok(Turn::Now));
        let mended = [listed(3, "COMPLETE", about("mend", "b0")), listed(2, "FAILED", about("mend", "a0"))];
        let most = "2 agent runs were begun for acme/shop#12, and no more are; it needs a person";
        assert_eq!(refusal(mending("a1").turn(&mended, "run_x/")).as_deref(), Some(most));
        let any = Plan { at_most: 2, ..plan() };
        assert_eq!(refusal(any.turn(&others, "run_x/")).as_deref(), Some(most), "without a purpose all count");
        assert_eq!(plan().turn(&mended, "run_x/"), Ok(Turn::Now));
    }

    #[test]
    fn no_two_agents_are_begun_for_one_head_unless_somebody_wants_that() {
        let before = [listed(2, "FAILED", about("mend", "a1"))];
        let refused = refusal(mending("a1").turn(&before, "run_x/")).unwrap();
        assert!(refused.starts_with("the agent run 2 has left acme/shop#12 at a1, as it was"), "{refused}");
        assert_eq!(mending("a1").turn(&before, "run_a1/"), Ok(Turn::Now), "an operator has had it done again");
        assert_eq!(mending("a2").turn(&before, "run_x/"), Ok(Turn::Now));
        assert_eq!(plan().turn(&before, "run_x/"), Ok(Turn::Now));
    }
}
