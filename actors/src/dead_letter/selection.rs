//! Which dead letters are redriven when many are asked for. Pure.

use super::letter::{Body, Letter, LetterId};

/// What a request for many has taken, or would take.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Selection {
    /// Those that are redriven.
    pub taken: Vec<Letter>,
    /// Those that wait to be redriven already.
    pub waiting: Vec<LetterId>,
    /// Those that are not, and why.
    pub refused: Vec<(LetterId, String)>,
    /// Whether there were more than were asked for.
    pub more: bool,
}

impl Selection {
    /// How many were looked at.
    pub fn number(&self) -> usize {
        self.taken.len() + self.waiting.len() + self.refused.len()
    }

    /// Looks at one more, and why it cannot be redriven because of others.
    pub fn add(&mut self, letter: Letter, obstacle: Option<String>) {
        let id = letter.place().id;
        match &letter.body {
            _ if letter.mark.asked_at.is_some() => self.waiting.push(id),
            Body::Run(run) if run.1.in_doubt => {
                let why = "nobody knows whether an attempt of it had its effect; decide about that first";
                self.refused.push((id, why.to_owned()));
            }
            _ => match obstacle {
                Some(why) => self.refused.push((id, why)),
                None => self.taken.push(letter),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::letter::Mark;
    use super::*;
    use crate::ids::{EventId, RunId};
    use crate::run::{RunHead, RunRecord, RunStatus};
    use crate::time::Timestamp;

    fn letter(number: u8, mark: Mark, in_doubt: bool) -> Letter {
        let at = Timestamp::from_millis(1);
        let record = RunRecord {
            id: RunId::from_bytes([number; 16]),
            workflow: "w".into(),
            definition: "d".into(),
            event: EventId::first_at(at),
            route: "r".into(),
            generation: 0,
            priority: 5,
            subject: None,
            fair_key: None,
            input: serde_json::Map::new(),
            started_at: at,
            seen: None,
            parent: None,
            begins_at: None,
        };
        let head = RunHead { status: RunStatus::Failed, in_doubt, ..RunHead::queued(at) };
        Letter { since: at, mark, body: Body::Run(Box::new((record, head))) }
    }

    #[test]
    fn nothing_is_taken_twice_and_nothing_that_is_in_doubt() {
        let mut selection = Selection::default();
        selection.add(letter(1, Mark::default(), false), None);
        selection.add(letter(2, Mark { asked_at: Some(Timestamp::default()), refused: None }, false), None);
        selection.add(letter(3, Mark::default(), true), None);
        selection.add(letter(4, Mark { asked_at: None, refused: Some("in doubt".into()) }, false), None);
        selection.add(letter(5, Mark::default(), false), Some("of another one".into()));
        let ids =
            |numbers: &[u8]| numbers.iter().map(|n| LetterId::Run(RunId::from_bytes([*n; 16]))).collect::<Vec<_>>();
        let taken: Vec<LetterId> = selection.taken.iter().map(|letter| letter.place().id).collect();
        assert_eq!((taken, &selection.waiting, selection.number()), (ids(&[1, 4]), &ids(&[2]), 5));
        assert!(selection.refused[0].0 == ids(&[3])[0] && selection.refused[0].1.contains("decide about that first"));
        assert_eq!(selection.refused[1], (ids(&[5])[0], "of another one".to_owned()));
    }
}
