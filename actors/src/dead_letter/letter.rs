//! The vocabulary of dead letters: what failed for good, and what operators want of it. A part of that of
//! [`crate::store`]; nothing is decided here.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::event::Event;
use crate::ids::{EventId, NotAnId, RunId};
use crate::run::{RunHead, RunRecord};
use crate::store::Counts;
use crate::time::Timestamp;

/// Names a dead letter: it is a run or an event, and has its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(untagged)]
pub enum LetterId {
    /// A run that failed or ran out of time.
    Run(RunId),
    /// An event that could not be routed.
    Event(EventId),
}

impl fmt::Display for LetterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Run(run) => run.fmt(f),
            Self::Event(event) => event.fmt(f),
        }
    }
}

impl FromStr for LetterId {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        if text.starts_with("evt_") { text.parse().map(Self::Event) } else { text.parse().map(Self::Run) }
    }
}

/// The place of a dead letter in their list, which is in the order in which they failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Since when it is one.
    pub since: Timestamp,
    /// Its id.
    pub id: LetterId,
}

/// What operators want of a dead letter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Since when it is to be redriven.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_at: Option<Timestamp>,
    /// Why it was not, when that was tried last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// A dead letter.
#[derive(Clone, Debug, PartialEq)]
pub struct Letter {
    /// Since when it is one.
    pub since: Timestamp,
    /// What operators want of it.
    pub mark: Mark,
    /// What failed.
    pub body: Body,
}

/// What failed.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// A run, without its journal.
    Run(Box<(RunRecord, RunHead)>),
    /// An event, without its payload.
    Event(Box<Event>),
}

impl Letter {
    /// Its place in the list.
    pub fn place(&self) -> Place {
        let id = match &self.body {
            Body::Run(run) => LetterId::Run(run.0.id),
            Body::Event(event) => LetterId::Event(event.meta.id),
        };
        Place { since: self.since, id }
    }

    /// Whether it is to be redriven, and is the same as was at this place of the list: one that was redriven since, and
    /// has failed again, is not.
    pub fn is_asked_for_at(&self, place: Place) -> bool {
        self.place() == place && self.mark.asked_at.is_some()
    }

    /// Why it failed, in words.
    pub fn reason(&self) -> &str {
        match &self.body {
            Body::Run(run) => run.1.reason.as_deref().unwrap_or_default(),
            Body::Event(event) => match &event.verdict {
                crate::event::Verdict::DeadLettered { reason, .. } => reason,
                _ => "",
            },
        }
    }

    /// Whether trying it is what does harm.
    pub fn is_poison(&self) -> bool {
        match &self.body {
            Body::Run(run) => run.1.poison,
            Body::Event(event) => matches!(event.verdict, crate::event::Verdict::DeadLettered { poison: true, .. }),
        }
    }

    /// The status of what failed.
    pub fn status(&self) -> &'static str {
        match &self.body {
            Body::Run(run) => run.1.status.name(),
            Body::Event(event) => event.status(),
        }
    }

    /// What it is about.
    pub fn subject(&self) -> Option<&str> {
        match &self.body {
            Body::Run(run) => run.0.subject.as_deref(),
            Body::Event(event) => event.meta.facts.subject.as_deref(),
        }
    }
}

/// Which dead letters to list.
#[derive(Clone, Debug, Default)]
pub struct LetterQuery {
    /// Only runs, or only events.
    pub runs: Option<bool>,
    /// Runs of this workflow.
    pub workflow: Option<String>,
    /// Events of this source.
    pub source: Option<String>,
    /// With this status.
    pub status: Option<String>,
    /// About this subject.
    pub subject: Option<String>,
    /// Only poison, or none.
    pub poison: Option<bool>,
    /// Whose reason contains this, whatever its case.
    pub text: Option<String>,
    /// Dead since this point or later.
    pub since: Option<Timestamp>,
    /// Dead before this point.
    pub until: Option<Timestamp>,
    /// At most so many.
    pub limit: usize,
    /// Only those before this one in the list.
    pub before: Option<Place>,
}

impl LetterQuery {
    /// Whether one at this place lies where the list looks.
    pub fn in_range(&self, place: Place) -> bool {
        self.since.is_none_or(|since| place.since >= since)
            && self.until.is_none_or(|until| place.since < until)
            && self.before.is_none_or(|before| place < before)
            && self.runs.is_none_or(|runs| runs == matches!(place.id, LetterId::Run(_)))
    }

    /// Whether this is one of those asked for.
    pub fn matches(&self, letter: &Letter) -> bool {
        let (workflow, source) = match &letter.body {
            Body::Run(run) => (Some(run.0.workflow.as_str()), None),
            Body::Event(event) => (None, Some(event.meta.source.as_str())),
        };
        let is =
            |wanted: &Option<String>, has: Option<&str>| wanted.as_deref().is_none_or(|wanted| has == Some(wanted));
        self.in_range(letter.place())
            && is(&self.workflow, workflow)
            && is(&self.source, source)
            && is(&self.status, Some(letter.status()))
            && is(&self.subject, letter.subject())
            && self.poison.is_none_or(|poison| poison == letter.is_poison())
            && self.text.as_ref().is_none_or(|text| letter.reason().to_lowercase().contains(&text.to_lowercase()))
    }
}

/// What operators do with marks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MarkChange {
    /// It is to be redriven. One that is already stays in its place.
    Ask {
        /// Since when.
        at: Timestamp,
    },
    /// It could not be, and is not tried again.
    Refuse {
        /// Why, in words.
        reason: String,
    },
}

impl Mark {
    /// The same after a change; counts what waits to be redriven.
    #[must_use]
    pub fn after(mut self, change: &MarkChange, counts: &mut Counts) -> Self {
        counts.redrives = counts.redrives.saturating_sub(u64::from(self.asked_at.is_some()));
        match change {
            MarkChange::Ask { at } => {
                self.asked_at.get_or_insert(*at);
                self.refused = None;
            }
            MarkChange::Refuse { reason } => {
                self.asked_at = None;
                self.refused = Some(reason.clone());
            }
        }
        counts.redrives += u64::from(self.asked_at.is_some());
        self
    }
}

impl Counts {
    /// Something became a dead letter.
    pub fn letter_put(&mut self) {
        self.dead_letters += 1;
    }

    /// Something with this mark is a dead letter no more.
    pub fn letter_taken(&mut self, mark: &Mark) {
        self.dead_letters = self.dead_letters.saturating_sub(1);
        self.redrives = self.redrives.saturating_sub(u64::from(mark.asked_at.is_some()));
    }

    /// A run went from one head to another: counts what operators made of a dead letter.
    pub fn letter_of_run_moved(&mut self, from: &RunHead, to: &RunHead) {
        if from.dead_since().is_some() && to.dead_since().is_none() {
            let place = if to.status.is_end() { &mut self.dismissed } else { &mut self.redriven };
            *place += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_is_named_by_what_failed() {
        let run = LetterId::Run(RunId::from_bytes([7; 16]));
        let event = LetterId::Event(EventId::first_at(Timestamp::from_millis(7)));
        for id in [run, event] {
            assert_eq!(id.to_string().parse(), Ok(id));
            assert_eq!(serde_json::to_value(id).unwrap(), id.to_string());
        }
        assert!("wait_x".parse::<LetterId>().is_err());
    }

    #[test]
    fn what_waits_to_be_redriven_is_counted_once() {
        let mut counts = Counts::default();
        let at = Timestamp::from_millis;
        let asked = Mark::default().after(&MarkChange::Ask { at: at(1) }, &mut counts);
        let asked = asked.after(&MarkChange::Ask { at: at(2) }, &mut counts);
        assert_eq!((asked.asked_at, counts.redrives), (Some(at(1)), 1));
        let refused = asked.after(&MarkChange::Refuse { reason: "in doubt".into() }, &mut counts);
        assert_eq!((refused.asked_at, refused.refused.as_deref(), counts.redrives), (None, Some("in doubt"), 0));
        let again = refused.after(&MarkChange::Ask { at: at(3) }, &mut counts);
        assert_eq!((again.refused, counts.redrives), (None, 1));
    }
}
