//! What the end of the former process says of the attempts that were in flight. Pure: the open runs in, the
//! suspect out.

use crate::ids::RunId;
use crate::store::OpenRun;

/// The attempt that was the only one in flight when the former process died.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suspect {
    /// Its run.
    run: RunId,
    /// How long the journal of that was: the entries of later attempts lie behind it.
    revision: u32,
}

impl Suspect {
    /// Looks at the open runs as the former process has left them. A process that was asked to end has not died,
    /// whatever it was doing: then nobody is to blame, and this is not asked.
    pub fn among<'a>(open: impl IntoIterator<Item = &'a OpenRun>) -> Option<Self> {
        let mut flying = open.into_iter().filter(|open| open.in_flight);
        let only = flying.next()?;
        flying.next().is_none().then_some(Self { run: only.run.id, revision: only.revision })
    }

    /// Whether it is this attempt.
    pub fn is(self, run: RunId, serial: u32) -> bool {
        self.run == run && serial < self.revision
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::RunRef;
    use crate::time::Timestamp;

    fn open(number: u8, in_flight: bool) -> OpenRun {
        let run = RunRef { started_at: Timestamp::default(), id: RunId::from_bytes([number; 16]) };
        OpenRun { run, workflow: "w".into(), definition: "d".into(), wake: None, in_flight, revision: 4 }
    }

    #[test]
    fn only_who_was_alone_is_suspected() {
        let check = |open: &[OpenRun], expect: Option<u8>| {
            assert_eq!(Suspect::among(open).map(|suspect| suspect.run), expect.map(|n| RunId::from_bytes([n; 16])));
        };
        check(&[], None);
        check(&[open(1, false), open(2, false)], None);
        check(&[open(1, false), open(2, true), open(3, false)], Some(2));
        check(&[open(1, true), open(2, true)], None);
    }

    #[test]
    fn a_later_attempt_of_the_same_run_is_not_meant() {
        let suspect = Suspect::among(&[open(1, true)]).unwrap();
        assert!(suspect.is(RunId::from_bytes([1; 16]), 3));
        assert!(!suspect.is(RunId::from_bytes([1; 16]), 4));
        assert!(!suspect.is(RunId::from_bytes([2; 16]), 3));
    }
}
