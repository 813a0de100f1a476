//! `run_command`: runs a program that the operator has listed, or a script if he allows scripts. What it does is
//! its own affair, so an attempt in doubt is not repeated unless the definition says that it may be.

use std::sync::Arc;
use std::time::Duration;

use pointsman_actors::executor::failure::{ErrorClass, Failure};
use pointsman_actors::executor::port::{
    Accepts, Action, ActionInfo, Attempt, Effect, EffectClass, Misfit, OnDoubt, Outcome, Parameter, Success, Working,
    Written,
};
use serde_json::{Value as Json, json};

use super::named_secrets::EMPTY;
use super::with::With;
use super::{bounded, named_secrets};
use crate::integrations::commands::{Commands, LIMITS, Order, Work};
use crate::integrations::program::{self, Said};
use crate::integrations::secrets::Secrets;

static INFO: ActionInfo = ActionInfo {
    name: "run_command",
    class: EffectClass::Once,
    on_doubt: OnDoubt::Park,
    parameters: &[
        Parameter { name: "program", accepts: Accepts::OptionalText, default: Some("") },
        Parameter { name: "arguments", accepts: Accepts::ListOf(&Accepts::OptionalText), default: Some("{{ [] }}") },
        Parameter { name: "shell", accepts: Accepts::Flag, default: Some("false") },
        Parameter { name: "script", accepts: Accepts::OptionalText, default: Some("") },
        Parameter { name: "stdin", accepts: Accepts::OptionalText, default: Some("") },
        Parameter { name: "environment", accepts: Accepts::TableOf(&Accepts::OptionalText), default: Some(EMPTY) },
        named_secrets::parameter("secret_environment"),
        Parameter { name: "expect", accepts: Accepts::ListOf(&Accepts::Number), default: Some("{{ [] }}") },
        Parameter { name: "effect", accepts: Accepts::OneOf(&EFFECTS), default: Some("once") },
    ],
    timeout: None,
    waits: None,
    services: &[],
};

static EFFECTS: [&str; 3] = ["pure", "idempotent", "once"];

/// Of an attempt's time this is kept for ending a program that does not end by itself.
const RESERVE: Duration = Duration::from_secs(10);

/// Most bytes of complaints that a failure shows, the last ones.
const LONGEST_COMPLAINT: usize = 1_000;

/// The action.
pub struct RunCommand {
    commands: Arc<Commands>,
    secrets: Secrets,
}

impl RunCommand {
    /// Runs these.
    pub fn new(commands: Arc<Commands>, secrets: Secrets) -> Self {
        Self { commands, secrets }
    }
}

impl Action for RunCommand {
    fn info(&self) -> &'static ActionInfo {
        &INFO
    }

    fn unavailable(&self) -> Option<String> {
        self.commands.unavailable()
    }

    fn lacks(&self, written: &Written) -> Option<String> {
        let work = || {
            let program = written.fixed_text("program").filter(|_| !is_shell(written));
            let script = written.fixed_text("script").filter(|_| is_shell(written));
            self.commands.lacks(program.map(Work::Program).or(script.map(Work::Script))?)
        };
        let secrets = || named_secrets::lacks(&self.secrets, written, "secret_environment");
        self.unavailable().or_else(work).or_else(secrets)
    }

    fn examine(&self, written: &Written) -> Result<Effect, Vec<Misfit>> {
        let misfits = misfits(written);
        if !misfits.is_empty() {
            return Err(misfits);
        }
        Ok(match written.fixed_text("effect") {
            Some("pure") => EffectClass::Pure,
            Some("idempotent") => EffectClass::Idempotent,
            _ => EffectClass::Once,
        }
        .into())
    }

    fn execute(&self, attempt: Attempt) -> Working<Outcome> {
        let (commands, secrets) = (Arc::clone(&self.commands), self.secrets.clone());
        Box::pin(async move { run(&commands, &secrets, &attempt).await })
    }

    fn clean_up(&self, notes: Vec<Json>) -> Working<()> {
        Box::pin(program::clean_up(notes))
    }
}

fn is_shell(written: &Written) -> bool {
    written.fixed("shell").is_some_and(|shell| *shell == Json::Bool(true) || shell == "true")
}

/// What is wrong with what is written out, beyond its kinds.
fn misfits(written: &Written) -> Vec<Misfit> {
    let mut found: Vec<Misfit> = named_secrets::misfit(written, "secret_environment").into_iter().collect();
    let mut wrong = |key: &str, reason: &str| found.push(Misfit::new(key, reason));
    for name in ["effect", "shell"].into_iter().filter(|name| written.fixed(name).is_none()) {
        wrong(name, "write it out: what may be done follows from it");
    }
    let is_given = |name: &str| written.get(name).is_some_and(|value| value != "");
    match is_shell(written) {
        true if is_given("program") => wrong("program", "with `shell` it is `script` that is run"),
        true if !is_given("script") => wrong("script", "`shell` needs this"),
        false if is_given("script") => wrong("script", "a script is run with `shell = true`"),
        false if !is_given("program") => wrong("program", "`run_command` needs this, or `shell` and `script`"),
        _ => {}
    }
    if written.get("script").is_some() && written.fixed("script").is_none() {
        let reason = "what a template gives would be taken for a part of the script; hand it over in `arguments`, \
                      where it is \"$1\", or in `environment`";
        wrong("script", reason);
    }
    for table in ["environment", "secret_environment"] {
        for (name, _) in written.get(table).and_then(Json::as_object).into_iter().flatten() {
            if !is_variable(name) {
                wrong(&format!("{table}.{name}"), "a variable has letters, digits and underscores only");
            }
        }
    }
    found
}

/// Others a shell would not hand on.
fn is_variable(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

async fn run(commands: &Commands, secrets: &Secrets, attempt: &Attempt) -> Result<Success, Failure> {
    let with = With(&attempt.with);
    let (program, script) = (with.text_or_empty("program")?, with.text_or_empty("script")?);
    let mut environment = with.table("environment");
    let named = named_secrets::read(secrets, &with, "secret_environment")?;
    environment.extend(named.into_iter().map(|(name, secret)| (name, secret.expose().to_owned())));
    let (arguments, expected) = (with.texts("arguments"), with.numbers("expect")?);
    let (stdin, mark) = (with.text_or_empty("stdin")?, format!("{}/{}", attempt.run, attempt.serial));
    let said = commands.run(Order {
        work: if with.flag("shell") { Work::Script(&script) } else { Work::Program(&program) },
        arguments: &arguments,
        environment: &environment,
        stdin: &stdin,
        mark: &mark,
        notebook: &attempt.notebook,
        limit: attempt.timeout.saturating_sub(RESERVE).max(attempt.timeout / 2),
    });
    judge(&said.await?, &expected, secrets)
}

/// Whether a program ended as it should, and what later steps see of it.
fn judge(said: &Said, expected: &[i32], secrets: &Secrets) -> Result<Success, Failure> {
    let stderr = secrets.hide(&bounded::last(&said.stderr, LIMITS.stderr));
    let complaint = bounded::last(stderr.trim().as_bytes(), LONGEST_COMPLAINT);
    let complaint = if complaint.is_empty() { String::new() } else { format!(": {complaint}") };
    let Some(code) = said.code else {
        let message = format!("a signal ended it{complaint}");
        return Err(Failure::new(ErrorClass::Temporary, message).in_doubt());
    };
    let is_expected = if expected.is_empty() { code == 0 } else { expected.contains(&code) };
    if !is_expected {
        return Err(Failure::new(ErrorClass::Validation, format!("it ended with exit code {code}{complaint}")));
    }
    let stdout = secrets.hide(&bounded::first(&said.stdout, LIMITS.stdout));
    Ok(Success::Done(json!({ "exit_code": code, "stdout": stdout, "stderr": stderr, "truncated": said.cut })))
}

#[cfg(test)]
#[path = "run_command_tests.rs"]
mod tests;
