//! An agent run as a list shows it: with what it was given to keep, and when it was begun. Pure.
//!
//! Rules: docs.codegen.com, "API reference": a list is ordered by `created_at`, newest first. Of what form that is, nothing is
//! documented; what other clients show is `2025-10-07 12:00:00` and ISO 8601, mostly without a zone.

use std::time::Duration;

use pointsman_actors::time::Timestamp;
use serde_json::Value as Json;

use super::agent_run::{AgentRun, Standing, pull_number};
use super::{About, LONGEST_WORK};

/// The field of a run's metadata that holds our key.
pub(super) const KEY: &str = "pointsman_key";

/// The field that holds what a run works on.
pub(super) const SUBJECT: &str = "pointsman_subject";

/// The field that holds what it was begun for.
pub(super) const PURPOSE: &str = "pointsman_purpose";

/// The field that holds the commit that it began with.
pub(super) const HEAD: &str = "pointsman_head";

/// Times are told without a zone: they may be meant so much earlier or later.
const ZONES: Duration = Duration::from_secs(14 * 3_600);

/// An agent run of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The run.
    pub run: AgentRun,
    /// The key of ours that it carries.
    pub key: Option<String>,
    /// What it is about.
    pub about: About,
    /// When it was begun, if it says so.
    pub created_at: Option<Timestamp>,
    /// Whether it is at work. What has been for longer than any agent works is not: a state that nobody knows the name of counts
    /// as work, and could be the last.
    pub is_at_work: bool,
    /// The addresses of the pull requests that it has opened.
    pub pulls: Vec<String>,
}

impl Listed {
    /// Reads one; nothing if it has no number.
    pub fn read(json: &Json, now: Timestamp) -> Option<Self> {
        let run = AgentRun::read(json)?;
        let created_at = json.get("created_at").and_then(Json::as_str).and_then(time);
        let kept = |name: &str| json.get("metadata")?.get(name)?.as_str().map(str::to_owned);
        let pulls = json.get("github_pull_requests").and_then(Json::as_array).into_iter().flatten();
        let pulls = pulls.filter_map(|pull| pull.get("url")?.as_str().map(str::to_owned)).collect();
        Some(Self {
            is_at_work: run.standing() == Standing::AtWork
                && (run.says_that_it_works() || is_since(created_at, now.minus(LONGEST_WORK))),
            run,
            key: kept(KEY),
            about: About { subject: kept(SUBJECT), purpose: kept(PURPOSE), head: kept(HEAD) },
            created_at,
            pulls,
        })
    }

    /// Whether it was begun for `subject`. People write names of repositories in letters of either case.
    pub fn is_for(&self, subject: &str) -> bool {
        self.about.subject.as_deref().is_some_and(|its| its.eq_ignore_ascii_case(subject))
    }

    /// Whether it has opened this pull request.
    pub fn has_opened(&self, repository: &str, number: u64) -> bool {
        let is_it = |url: &String| {
            let of = url.split_once("/pull/").map_or("", |(of, _)| of).to_lowercase();
            pull_number(url) == Some(number) && of.ends_with(&format!("/{}", repository.to_lowercase()))
        };
        self.pulls.iter().any(is_it)
    }

    /// Whether it may be that it was begun since then, or works still.
    pub(super) fn is_since(&self, since: Timestamp) -> bool {
        self.is_at_work || is_since(self.created_at, since)
    }
}

fn is_since(created_at: Option<Timestamp>, since: Timestamp) -> bool {
    created_at.is_none_or(|at| at >= since.minus(ZONES))
}

/// Reads a time, in UTC unless it says otherwise.
fn time(text: &str) -> Option<Timestamp> {
    let text = text.trim().replacen(' ', "T", 1);
    Timestamp::from_rfc3339(&text).or_else(|| Timestamp::from_rfc3339(&format!("{text}Z")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn times_are_read_in_every_form_that_was_seen() {
        let expect = Timestamp::from_rfc3339("2026-01-05T10:00:00Z");
        let forms = ["2026-01-05 10:00:00", "2026-01-05T10:00:00", "2026-01-05T10:00:00Z", "2026-01-05T12:00:00+02:00"];
        for form in forms {
            assert_eq!(time(form), expect, "{form}");
        }
        assert_eq!(time("2026-01-05 10:00:00.250000"), expect.map(|at| at.plus(Duration::from_millis(250))));
        assert_eq!(time("yesterday"), None);
    }

    #[test]
    fn what_was_left_behind_long_ago_is_not_at_work() {
        let check = |status: &str, created_at: Json, expect: bool| {
            let run = json!({ "id": 1, "status": status, "created_at": created_at });
            let now = Timestamp::from_rfc3339("2026-01-05T10:00:00Z").unwrap();
            assert_eq!(Listed::read(&run, now).unwrap().is_at_work, expect, "{run}");
        };
        check("ACTIVE", json!("2026-01-05 09:00:00"), true);
        check("PAUSED", json!("2026-01-04 09:00:00"), true);
        check("PAUSED", json!("2026-01-03 09:00:00"), false);
        check("ACTIVE", json!("2026-01-03 09:00:00"), true);
        check("COMPLETE", json!("2026-01-05 09:00:00"), false);
        check("ACTIVE", Json::Null, true);
    }

    #[test]
    fn a_run_has_opened_what_it_names_by_address() {
        let pulls =
            json!([{ "url": "https://github.com/Acme/shop/pull/12" }, { "url": "https://github.com/acme/web/pull/3" }]);
        let metadata = json!({ "pointsman_subject": "Acme/shop#7" });
        let run = json!({ "id": 1, "github_pull_requests": pulls, "metadata": metadata });
        let run = Listed::read(&run, Timestamp::from_millis(0)).unwrap();
        let opened = |repository: &str, number| run.has_opened(repository, number);
        assert!(opened("acme/shop", 12) && opened("acme/web", 3));
        assert!(run.is_for("acme/shop#7") && !run.is_for("acme/shop#12"));
        assert!(!opened("acme/shop", 1) && !opened("acme/shop", 3) && !opened("e/shop", 12));
    }
}
