//! `send_notification`: tells the team, in as many places as a step names. What one of them has taken is not sent there
//! again, whatever becomes of the others and of this process: each message is noted before it leaves.

mod standing;
mod sum;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use pointsman_actors::executor::failure::{ErrorClass, Failure};
use pointsman_actors::executor::outages::observed;
use pointsman_actors::executor::port::{
    Accepts, Action, ActionInfo, Attempt, Effect, EffectClass, Misfit, OnDoubt, Outcome, Parameter, Part, Passage,
    Success, Working, Written,
};
use serde_json::{Value as Json, json};

use super::ports::Channel;
use super::with::With;
use crate::integrations::notifications::message::LONGEST_LINK;
use crate::integrations::notifications::{Level, Message, Target, TargetSettings, Undelivered};
use crate::integrations::web;
use standing::{Is, Note, Settled, settled};
use sum::{Became, outcome, service};

static INFO: ActionInfo = ActionInfo {
    name: "send_notification",
    class: EffectClass::Once,
    on_doubt: OnDoubt::AssumeDone,
    parameters: &[
        Parameter { name: "text", accepts: Accepts::Text, default: None },
        Parameter { name: "targets", accepts: Accepts::Anything, default: Some("{{ [] }}") },
        Parameter { name: "level", accepts: Accepts::OneOf(&LEVELS), default: Some("") },
        Parameter { name: "link", accepts: Accepts::OptionalText, default: Some("") },
    ],
    timeout: None,
    waits: None,
    // Those of its parts are its own affair.
    services: &[],
};

static LEVELS: [&str; 5] = ["", Level::Info.name(), Level::Success.name(), Level::Warning.name(), Level::Error.name()];

/// Of an attempt's time this is kept for saying what became of it.
const RESERVE: Duration = Duration::from_secs(5);

/// What there is to do when there is nobody to tell.
const NOBODY: &str =
    "no notification target is configured; set SLACK_WEBHOOK_URL, or add integrations.notifications.<name>";

/// A target, as steps name it.
pub struct Named<C> {
    /// The name.
    pub name: String,
    /// Whether it is told what names no target.
    pub is_default: bool,
    /// The hash of what is configured of it.
    pub configuration: u64,
    /// The way there.
    pub channel: C,
}

/// The action.
pub struct SendNotification<C = Target> {
    targets: Arc<[Named<Arc<C>>]>,
}

impl SendNotification {
    /// To the targets of the configuration.
    pub fn to(targets: &[(TargetSettings, Arc<Target>)]) -> Self {
        let named = |(settings, target): &(TargetSettings, Arc<Target>)| Named {
            name: settings.name.clone(),
            is_default: settings.is_default,
            configuration: settings.hash(),
            channel: Arc::clone(target),
        };
        Self::new(targets.iter().map(named).collect())
    }
}

impl<C> SendNotification<C> {
    /// To these targets; without one nobody is told, and the step says so.
    pub fn new(targets: Vec<Named<Arc<C>>>) -> Self {
        Self { targets: targets.into() }
    }

    /// Why a step cannot tell the target of this name, if it cannot.
    fn lacks_target(&self, name: &str) -> Option<String> {
        if self.targets.iter().any(|target| target.name == name) {
            return None;
        }
        let names: Vec<&str> = self.targets.iter().map(|target| target.name.as_str()).collect();
        let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        Some(format!("there is no notification target `{name}`; there are {names} (integrations.notifications)"))
    }

    /// Those that are to be told: by their place.
    fn chosen(&self, names: &[String]) -> Result<Vec<usize>, Failure> {
        if let Some(lacks) = names.iter().find_map(|name| self.lacks_target(name)) {
            return Err(Failure::new(ErrorClass::Validation, format!("with.targets: {lacks}")));
        }
        let is_chosen = |target: &Named<_>| match names {
            [] => target.is_default,
            names => names.contains(&target.name),
        };
        let all = self.targets.iter().enumerate();
        Ok(all.filter(|(_, target)| is_chosen(target)).map(|(place, _)| place).collect())
    }
}

impl<C: Channel> Action for SendNotification<C> {
    fn info(&self) -> &'static ActionInfo {
        &INFO
    }

    fn lacks(&self, written: &Written) -> Option<String> {
        let names = names_of(written.fixed("targets")?).ok()?;
        names.iter().find_map(|name| self.lacks_target(name))
    }

    fn examine(&self, written: &Written) -> Result<Effect, Vec<Misfit>> {
        let mut misfits = Vec::new();
        if let Some(Err(reason)) = written.fixed("targets").map(names_of) {
            misfits.push(Misfit::new("targets", reason));
        }
        if let Some(Err(reason)) = written.fixed_text("link").map(link_of) {
            misfits.push(Misfit::new("link", reason));
        }
        let ActionInfo { class, on_doubt, .. } = INFO;
        if misfits.is_empty() { Ok(Effect { class, on_doubt }) } else { Err(misfits) }
    }

    fn resumes(&self) -> bool {
        true
    }

    fn parts(&self) -> Vec<Part> {
        let part = |target: &Named<_>| Part { service: service(&target.name), configuration: target.configuration };
        self.targets.iter().map(part).collect()
    }

    fn execute(&self, attempt: Attempt) -> Working<Outcome> {
        let this = Self { targets: Arc::clone(&self.targets) };
        Box::pin(async move {
            let message = message(&attempt)?;
            let wrong = |reason| Failure::new(ErrorClass::Validation, format!("with.targets: {reason}"));
            let names = names_of(attempt.with.get("targets").unwrap_or(&Json::Null)).map_err(wrong)?;
            let chosen = this.chosen(&names)?;
            if chosen.is_empty() {
                let reason = if this.targets.is_empty() {
                    NOBODY
                } else {
                    "no target is a default one, and the step names none"
                };
                return Ok(Success::Done(json!({ "sent": false, "reason": reason, "targets": {} })));
            }
            this.tell(&chosen, &message, &attempt).await
        })
    }
}

impl<C: Channel> SendNotification<C> {
    /// Tells all that are left, at the same time: none of them waits for another.
    async fn tell(&self, chosen: &[usize], message: &Message, attempt: &Attempt) -> Outcome {
        let is_keyed = |name: &str| self.targets.iter().any(|target| target.name == name && target.channel.is_keyed());
        let before = settled(&attempt.earlier, is_keyed);
        let chosen: Vec<&Named<Arc<C>>> = chosen.iter().filter_map(|place| self.targets.get(*place)).collect();
        let left = chosen.iter().filter(|target| !before.contains_key(&target.name)).count();
        let each = chosen.into_iter().map(|target| {
            let before = before.get(&target.name).cloned();
            async move {
                let became = match before {
                    Some(Settled::Sent) => Became::Sent,
                    Some(Settled::InDoubt(why)) => Became::InDoubt(why),
                    None => Telling { target, message, attempt, is_last: left == 1 }.tell().await,
                };
                (target.name.clone(), became)
            }
        });
        outcome(&join_all(each).await)
    }
}

/// A message on its way to one target.
struct Telling<'a, C> {
    target: &'a Named<Arc<C>>,
    message: &'a Message,
    attempt: &'a Attempt,
    /// Whether nobody else is left to be told: what becomes of it is then what becomes of the step.
    is_last: bool,
}

impl<C: Channel> Telling<'_, C> {
    async fn tell(&self) -> Became {
        let service = service(&self.target.name);
        let circuits = &self.attempt.circuits;
        match circuits.enter(&service) {
            Passage::Passes => {}
            Passage::Rests { until } => return Became::Rests(until),
            Passage::Disabled { reason } => return Became::Disabled(reason),
        }
        if let Err(failure) = self.let_out().await {
            circuits.ended(&service, None).await;
            return Became::Failed(failure);
        }
        let limit = self.attempt.timeout.saturating_sub(RESERVE).max(self.attempt.timeout / 2);
        match self.target.channel.post(self.message, limit).await {
            Ok(()) => {
                circuits.ended(&service, Some(false)).await;
                self.note_unless_last(Is::Sent).await;
                Became::Sent
            }
            Err(Undelivered::Gone(why)) => {
                circuits.disable(&service, why.clone()).await;
                self.note_unless_last(Is::NotSent).await;
                Became::Disabled(why)
            }
            Err(Undelivered::Failed(failure)) => {
                let failed = observed(&[&service], &Err(failure.clone())).first().map(|(_, failed)| *failed);
                circuits.ended(&service, failed).await;
                self.failed(failure).await
            }
        }
    }

    /// Waits for its turn, and writes down that the message leaves.
    async fn let_out(&self) -> Result<(), Failure> {
        self.target.channel.admit().await?;
        self.attempt.notebook.note(Note::written(&self.target.name, Is::Leaving)).await
    }

    async fn failed(&self, failure: Failure) -> Became {
        if failure.in_doubt && !self.target.channel.is_keyed() {
            let why = failure.to_string();
            self.note(Is::InDoubt { why: why.clone() }).await;
            return Became::InDoubt(why);
        }
        self.note(Is::NotSent).await;
        Became::Failed(Failure { in_doubt: false, ..failure })
    }

    /// If nobody else is left, what the step ends with says it at once.
    async fn note_unless_last(&self, is: Is) {
        if !self.is_last {
            self.note(is).await;
        }
    }

    /// One that cannot be written down leaves the message in doubt, which is never sent twice.
    async fn note(&self, is: Is) {
        let _ = self.attempt.notebook.note(Note::written(&self.target.name, is)).await;
    }
}

fn message(attempt: &Attempt) -> Result<Message, Failure> {
    let with = With(&attempt.with);
    let link = with.text_or_empty("link")?;
    let wrong = |reason| Failure::new(ErrorClass::Validation, format!("with.link: {reason}"));
    Ok(Message {
        text: with.text("text")?,
        level: Level::read(&with.text_or_empty("level")?),
        link: link_of(&link).map_err(wrong)?,
        run: attempt.run.to_string(),
        step: attempt.step.clone(),
        key: attempt.key.clone(),
    })
}

/// The names that a step gives: a list, or a text with commas between them.
fn names_of(value: &Json) -> Result<Vec<String>, String> {
    let expected = || "expected a list of names, or a text with commas between them".to_owned();
    match value {
        Json::Null => Ok(Vec::new()),
        Json::String(text) => {
            Ok(text.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect())
        }
        Json::Array(items) => items.iter().map(|item| item.as_str().map(str::to_owned).ok_or_else(expected)).collect(),
        _ => Err(expected()),
    }
}

/// The address of a link; none when it is empty.
fn link_of(text: &str) -> Result<Option<String>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let url = web::address(text)?;
    if url.as_str().len() > LONGEST_LINK {
        return Err(format!("it is longer than {LONGEST_LINK} characters"));
    }
    Ok(Some(url.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_named_in_two_ways() {
        let check = |value: Json, expect: Option<&[&str]>| {
            let found = names_of(&value).ok();
            assert_eq!(
                found.as_deref().map(|names| names.iter().map(String::as_str).collect()),
                expect.map(<[_]>::to_vec)
            );
        };
        check(json!(["ops", "dev"]), Some(&["ops", "dev"]));
        check(json!("ops, dev,"), Some(&["ops", "dev"]));
        check(json!(""), Some(&[]));
        check(Json::Null, Some(&[]));
        check(json!([7]), None);
        check(json!({ "a": 1 }), None);
    }

    #[test]
    fn a_link_is_an_address_or_none() {
        assert_eq!(link_of(""), Ok(None));
        assert_eq!(link_of("https://h.example/x y"), Ok(Some("https://h.example/x%20y".to_owned())));
        assert!(link_of("javascript:alert(1)").is_err());
        assert!(link_of(&format!("https://h.example/{}", "x".repeat(2_000))).unwrap_err().contains("longer than"));
    }
}
