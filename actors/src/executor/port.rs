//! What the executor needs from outside: the actions that steps name.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};

use super::failure::{ErrorClass, Failure};
pub use super::parameter::{Accepts, Misfit, Parameter, Written};
use crate::event::{Event, EventMeta};
use crate::ids::RunId;
use crate::time::Timestamp;

/// What may be done about an attempt of which nobody knows whether its effect happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EffectClass {
    /// It changes nothing outside: it is repeated.
    Pure,
    /// Doing it twice is as doing it once: it is repeated.
    Idempotent,
    /// The provider recognises the key of the step: it is repeated with the same key.
    Keyed,
    /// It leaves a mark that can be [looked for](Action::look): it is, after a while, and repeated when it has not
    /// happened.
    Probe,
    /// It must never happen twice.
    Once,
}

/// What a step says of attempts in doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnDoubt {
    /// Do it again.
    Repeat,
    /// Stop and let an operator decide.
    Park,
    /// Take it as done, and mark it so.
    AssumeDone,
}

/// What doing a step again would do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effect {
    /// Its class.
    pub class: EffectClass,
    /// What happens in doubt when the step does not say.
    pub on_doubt: OnDoubt,
}

impl From<EffectClass> for Effect {
    /// With what usually happens in doubt: what may be repeated is, anything else waits for an operator.
    fn from(class: EffectClass) -> Self {
        let on_doubt = if class == EffectClass::Once { OnDoubt::Park } else { OnDoubt::Repeat };
        Self { class, on_doubt }
    }
}

/// What is known of an action before it runs.
#[derive(Debug)]
pub struct ActionInfo {
    /// The name that steps write.
    pub name: &'static str,
    /// Its effect class, unless what a step writes decides ([`Action::examine`]).
    pub class: EffectClass,
    /// What happens in doubt when the step does not say.
    pub on_doubt: OnDoubt,
    /// What it takes.
    pub parameters: &'static [Parameter],
    /// Time for one attempt when neither step nor configuration says.
    pub timeout: Option<Duration>,
    /// What it is called back by, if it is done only then.
    pub waits: Option<WaitInfo>,
    /// The services that it calls. When one of them is not well it is not attempted.
    pub services: &'static [&'static str],
}

/// What calls an action back.
#[derive(Debug)]
pub struct WaitInfo {
    /// The kind of the keys, such as `codegen:run`.
    pub kind: &'static str,
    /// The source of the events.
    pub source: &'static str,
    /// Their type.
    pub event: &'static str,
    /// Their actions; none for any.
    pub actions: &'static [&'static str],
}

/// How often it is asked whether what an attempt has begun is done, as long as nobody calls back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Polling {
    /// Pause before the first question. It is doubled after each.
    pub first: Duration,
    /// Longest pause.
    pub most: Duration,
}

/// A question whether what an attempt has begun is done.
#[derive(Clone, Debug, PartialEq)]
pub struct Inquiry {
    /// The run.
    pub run: RunId,
    /// The step.
    pub step: String,
    /// The keys that the attempt gave.
    pub keys: Vec<String>,
    /// What else it gave.
    pub output: Json,
}

/// What asking gave: what a callback would have said, nothing as long as it is at work, or why nobody could be asked.
pub type Answer = Result<Option<Outcome>, Failure>;

/// What an attempt gave.
#[derive(Clone, Debug, PartialEq)]
pub enum Success {
    /// It did what it should; later steps see this as `steps.<name>.output`.
    Done(Json),
    /// It did what it should, and the step is done when it is called back under one of these keys. Only of an
    /// action that [declares](ActionInfo::waits) that.
    Waiting {
        /// The keys, such as `codegen:run:17`.
        keys: Vec<String>,
        /// What is known so far.
        output: Json,
    },
    /// What the run speaks about is no longer the newest: the run ends as superseded, and nothing was done.
    Superseded(String),
    /// It was looked for, and has not happened.
    Absent,
    /// All was done that could be, and of a part of it nobody knows whether it has happened: what follows is the step's
    /// `on_doubt`. Only of an action that [goes on](Action::resumes) from its notes.
    InDoubt {
        /// What later steps see if that is taken as done.
        output: Json,
        /// What nobody knows, in words.
        why: String,
    },
}

/// What an attempt ends with.
pub type Outcome = Result<Success, Failure>;

/// An attempt at work.
pub type Working<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// One try at a step.
#[derive(Clone)]
pub struct Attempt {
    /// The run.
    pub run: RunId,
    /// The step.
    pub step: String,
    /// 1 for the first.
    pub number: u32,
    /// Where its entry stands in the run's journal: no other attempt of the run has the same.
    pub serial: u32,
    /// The same for every attempt of the step: sent along, or left as a mark, so that a repetition can
    /// be recognised.
    pub key: String,
    /// What the step hands over, with all parameters of the action in it.
    pub with: Map<String, Json>,
    /// The same as its definition writes it.
    pub written: Written,
    /// How long it may take; when it is over the attempt is dropped.
    pub timeout: Duration,
    /// Where it writes down what must be found after a crash.
    pub notebook: Notebook,
    /// What the attempts before it wrote down.
    pub earlier: Earlier,
    /// The circuits of the [parts](Action::parts) of its work.
    pub circuits: Arc<dyn Circuits>,
}

/// What the attempts at a step wrote down that was not done since then.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Earlier {
    /// Their notes, in order.
    pub notes: Vec<Json>,
    /// An operator knows so many of them, and has ruled that what is in doubt by them has not happened, or is done again.
    pub ruled: usize,
}

/// A service that is called in a part of an action's work only. What cannot be done there does not keep the rest from
/// being done: the action looks at its circuit itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The service.
    pub service: String,
    /// The hash of what is configured of it: one that was disabled is called again when that is another.
    pub configuration: u64,
}

/// Whether a service may be called now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Passage {
    /// It may.
    Passes,
    /// It is given a rest.
    Rests {
        /// Until then, or somewhat longer.
        until: Timestamp,
    },
    /// It is called no more.
    Disabled {
        /// Why, in words.
        reason: String,
    },
}

/// The circuits of services that an attempt calls one by one.
pub trait Circuits: Send + Sync {
    /// Whether this one may be called. Whoever may, calls it and says how that [ended](Self::ended).
    fn enter(&self, service: &str) -> Passage;

    /// How a call of it has ended: whether it has failed, or that nothing can be said.
    fn ended(&self, service: &str, failed: Option<bool>) -> Working<()>;

    /// It has said that it will never answer as it is configured.
    fn disable(&self, service: &str, reason: String) -> Working<()>;
}

/// Circuits that nobody watches: every call passes.
pub struct Unwatched;

impl Circuits for Unwatched {
    fn enter(&self, _: &str) -> Passage {
        Passage::Passes
    }

    fn ended(&self, _: &str, _: Option<bool>) -> Working<()> {
        Box::pin(std::future::ready(()))
    }

    fn disable(&self, _: &str, _: String) -> Working<()> {
        Box::pin(std::future::ready(()))
    }
}

/// Makes a note of the attempt durable.
pub type TakeNote = dyn Fn(Json) -> Working<Result<(), Failure>> + Send + Sync;

/// Where an attempt writes down what must be found after a crash, such as a process that it started.
#[derive(Clone)]
pub struct Notebook(Arc<TakeNote>);

impl Notebook {
    /// A notebook whose notes are taken by `take`.
    pub fn new(take: Arc<TakeNote>) -> Self {
        Self(take)
    }

    /// Writes `note` down. It is durable when this returns.
    pub async fn note(&self, note: Json) -> Result<(), Failure> {
        (self.0)(note).await
    }
}

/// Something that a step can do.
pub trait Action: Send + Sync + 'static {
    /// What is known of it.
    fn info(&self) -> &'static ActionInfo;

    /// Why it cannot be used as this process is configured, in words.
    fn unavailable(&self) -> Option<String> {
        None
    }

    /// Why a step that writes this cannot be used as this process is configured, in words.
    fn lacks(&self, written: &Written) -> Option<String> {
        let _ = written;
        self.unavailable()
    }

    /// What doing such a step again would do, or all that is wrong with what it writes beyond the kinds of
    /// its parameters. What it says must follow from `written` alone: a run is pinned to that, and not to the
    /// configuration.
    fn examine(&self, written: &Written) -> Result<Effect, Vec<Misfit>> {
        let _ = written;
        let ActionInfo { class, on_doubt, .. } = *self.info();
        Ok(Effect { class, on_doubt })
    }

    /// Does it. Dropping the future ends the work, and with it every process that it started.
    fn execute(&self, attempt: Attempt) -> Working<Outcome>;

    /// Looks whether the effect of this attempt has happened, of which nobody knows: what it gave then, or
    /// [`Success::Absent`]. Only of the class [`EffectClass::Probe`]. Changes nothing.
    fn look(&self, attempt: Attempt) -> Working<Outcome> {
        let message = format!("`{}` cannot look whether it has happened", attempt.step);
        Box::pin(std::future::ready(Err(Failure::new(ErrorClass::Internal, message))))
    }

    /// Whether what is interrupted goes on from the [notes](Attempt::earlier) of the attempts before: each part of it that
    /// has left stands there, and none of them is done again. Then an attempt that was cut off, or whose time was up, is
    /// made again, also of the class [`EffectClass::Once`], and it is the action that says what is
    /// [in doubt](Success::InDoubt).
    fn resumes(&self) -> bool {
        false
    }

    /// The services that it calls in parts of its work only, as this process is configured.
    fn parts(&self) -> Vec<Part> {
        Vec::new()
    }

    /// How long after an attempt its effect can be seen, if it has happened.
    fn settles(&self) -> Duration {
        Duration::from_secs(5)
    }

    /// What a callback says of the step of which an attempt gave `output`, null when that is not known: by default that it
    /// is done, with what the event tells.
    fn called(&self, event: &Event, output: &Json) -> Outcome {
        let _ = output;
        Ok(Success::Done(callback_output(event)))
    }

    /// How often it [is asked](Self::poll) whether what an attempt has begun is done; by default never, and only its
    /// callback ends it.
    fn polling(&self) -> Option<Polling> {
        None
    }

    /// Asks whether what an attempt has begun is done. Only of an action that [says how often](Self::polling). Changes
    /// nothing; when nobody can be asked it is asked later.
    fn poll(&self, inquiry: Inquiry) -> Working<Answer> {
        let message = format!("`{}` cannot ask whether it is done", inquiry.step);
        Box::pin(std::future::ready(Err(Failure::new(ErrorClass::Internal, message))))
    }

    /// Ends what an attempt of a former process may have left running, by the notes that it made.
    fn clean_up(&self, notes: Vec<Json>) -> Working<()> {
        let _ = notes;
        Box::pin(std::future::ready(()))
    }
}

/// What later steps see of an event that called back.
pub fn callback_output(event: &Event) -> Json {
    let EventMeta { id, source, facts, .. } = &event.meta;
    json!({ "event": id, "source": source, "type": facts.event_type, "action": facts.action, "facts": facts })
}

/// The actions by name.
pub type Actions = Arc<BTreeMap<&'static str, Arc<dyn Action>>>;
