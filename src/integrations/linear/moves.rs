//! Which tickets we ourselves have moved. Linear tells us of that as of any other move, with a personal key as one of the key's
//! owner: a workflow that goes by moves would take its own for a person's wish. By whoever has moved one it could not be told:
//! the owner of the key may move tickets by hand as well, and wants that followed. Pure.
//!
//! The moves are forgotten with the process. Then the run that has moved the ticket is taken up again, and goes on for it.

use std::collections::VecDeque;
use std::time::Duration;

use pointsman_actors::time::Timestamp;

/// Most moves that are remembered. Linear tells of each within seconds, and a run may wait for its turn for hours.
const MOST: usize = 1_000;

/// How far our clock, when we ask for a move, and Linear's, when it is made, may be apart: a minute, as for its webhooks, and the
/// time of the call.
const APART: Duration = Duration::from_secs(120);

/// What we have moved.
#[derive(Default)]
pub struct Moves(VecDeque<Move>);

struct Move {
    issue: String,
    state: String,
    at: Timestamp,
}

impl Moves {
    /// A ticket, by Linear's id, is about to be moved to the state of this name.
    pub fn note(&mut self, issue: &str, state: &str, now: Timestamp) {
        if self.0.len() >= MOST {
            self.0.pop_front();
        }
        self.0.push_back(Move { issue: issue.to_owned(), state: state.to_owned(), at: now });
    }

    /// Whether the move that Linear dates so is one of ours.
    pub fn has(&self, issue: &str, state: &str, at: Timestamp) -> bool {
        self.0.iter().any(|ours| ours.issue == issue && ours.state == state && ours.at.distance(at) <= APART)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_move_is_ours_by_ticket_state_and_time() {
        let at = |seconds: i64| Timestamp::from_millis(1_700_000_000_000 + seconds * 1_000);
        let mut moves = Moves::default();
        moves.note("i", "In Progress", at(0));
        for (issue, state, seconds, expect) in [
            ("i", "In Progress", 1, true),
            ("i", "In Progress", -119, true),
            ("i", "In Progress", 121, false),
            ("i", "In Progress", -121, false),
            ("i", "Todo", 1, false),
            ("other", "In Progress", 1, false),
        ] {
            assert_eq!(moves.has(issue, state, at(seconds)), expect, "{issue} {state} {seconds}");
        }
        for number in 0..MOST {
            moves.note(&format!("i{number}"), "Todo", at(0));
        }
        assert!(!moves.has("i", "In Progress", at(1)) && moves.has("i0", "Todo", at(0)));
    }
}
