//! Something that happens to a run together with whoever waits until it is durable. Everybody who waits is
//! told something: that it is, why it cannot be, or that nobody knows.

use tokio::sync::oneshot;

use super::command::Command;
use super::decide::Happening;
use super::failure::{ErrorClass, Failure};
use super::messages::Refused;

/// Something that happened, and who waits until it is durable.
pub(super) struct Task {
    pub(super) happening: Happening,
    /// The operator who said so, where one did.
    pub(super) by: Option<String>,
    pub(super) reply: Option<Reply>,
}

/// Who waits until something is durable.
pub(super) enum Reply {
    /// An attempt, for its note.
    Note(oneshot::Sender<Result<(), Failure>>),
    /// An operator.
    Control(oneshot::Sender<Result<(), Refused>>),
}

impl Reply {
    pub(super) fn durable(self) {
        match self {
            Self::Note(reply) => _ = reply.send(Ok(())),
            Self::Control(reply) => _ = reply.send(Ok(())),
        }
    }

    /// Nothing had to be written down.
    pub(super) fn unchanged(self, refusal: Option<String>) {
        match self {
            Self::Note(reply) => {
                let gone = Failure::new(ErrorClass::Temporary, "the attempt is not in flight any more");
                let _ = reply.send(Err(gone));
            }
            Self::Control(reply) => _ = reply.send(refusal.map_or(Ok(()), |why| Err(Refused::NotPossible(why)))),
        }
    }

    /// The run is read again, and nobody knows yet what is in its journal.
    pub(super) fn unknown(self, why: &str) {
        match self {
            Self::Note(reply) => _ = reply.send(Err(Failure::new(ErrorClass::Temporary, why))),
            Self::Control(reply) => _ = reply.send(Err(Refused::Unknown(why.to_owned()))),
        }
    }
}

impl Task {
    /// Nobody can be told of it.
    pub(super) fn lost(self, why: &str) {
        if let Some(reply) = self.reply {
            reply.unchanged(Some(why.to_owned()));
        }
    }

    /// It is durable.
    pub(super) fn done(self) {
        if let Some(reply) = self.reply {
            reply.durable();
        }
    }

    /// Nobody knows whether it is.
    pub(super) fn unknown(self, why: &str) {
        if let Some(reply) = self.reply {
            reply.unknown(why);
        }
    }

    /// The reason, if an operator ends the run.
    pub(super) fn cancels(&self) -> Option<String> {
        match &self.happening {
            Happening::Told(Command::Cancel { reason }) => Some(reason.clone()),
            _ => None,
        }
    }

    /// Whether an operator has the run begun again.
    pub(super) fn begins_again(&self) -> bool {
        matches!(self.happening, Happening::Told(Command::Restart { .. } | Command::Redrive { .. }))
    }
}

impl From<Happening> for Task {
    fn from(happening: Happening) -> Self {
        Self { happening, by: None, reply: None }
    }
}
