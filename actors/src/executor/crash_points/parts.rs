//! An attempt of an action that goes on from its notes: two parts, each noted before it leaves and when it is known what
//! became of it. The process may end before and after each note, and after each effect.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value as Json, json};

use super::process::Process;
use super::stories::Plan;
use super::world::{Call, Crash, World};
use crate::executor::decide::{Execute, Happening};
use crate::executor::failure::{ErrorClass, Failure};
use crate::executor::port::{Earlier, Outcome, Success};
use crate::ids::RunId;
use crate::run::{Entry, What};

const PARTS: [&str; 2] = ["x", "y"];

/// Makes it.
pub fn work(process: &mut Process, world: &mut World<'_>, number: usize, execute: &Execute) -> Result<Outcome, Crash> {
    let earlier = process.progress[&number].earlier(&execute.step);
    let mut parts = known(&earlier);
    for part in PARTS {
        if parts.contains_key(part) {
            continue;
        }
        let note = |process: &mut Process, world: &mut World<'_>, is: &str| {
            let noted = Happening::Noted(execute.serial, json!({ "part": part, "is": is }));
            process.happens(world, number, &noted)
        };
        note(process, world, "leaving")?;
        let (run, of) = (world.image[number].0.id, format!("{}#{part}", execute.step));
        let is_same =
            |call: &&Call| call.run == run && call.step == execute.step && call.key.ends_with(&of[of.len() - 2..]);
        let restarted = world.image[number].1.iter().any(|entry| matches!(entry.what, What::Restarted { .. }));
        let plan = match world.plan_of(&of, world.calls.iter().filter(is_same).count()) {
            Plan::FineSinceRestart if !restarted => Plan::Refused(ErrorClass::NotFound),
            plan => plan,
        };
        let is_noted = |entry: &Entry| matches!(&entry.what, What::Noted { note, .. } if note["part"] == part);
        assert!(world.image[number].1.iter().any(is_noted), "{part} leaves and is not noted");
        let (step, key) = (execute.step.clone(), format!("{}#{part}", execute.key));
        let executed = !matches!(plan, Plan::Refused(_) | Plan::Lost);
        world.calls.push(Call { run, step, key, executed, at: world.now, plan });
        world.point()?; // the effect has happened, nobody has written down what came of it
        let is = match plan {
            Plan::Refused(class) => return note(process, world, "refused").map(|()| Err(Failure::new(class, part))),
            Plan::Unanswered | Plan::Lost => "in doubt",
            _ => "done",
        };
        note(process, world, is)?;
        parts.insert(part.to_owned(), is.to_owned());
    }
    let output = json!(parts);
    let in_doubt = parts.values().any(|is| is != "done");
    Ok(if in_doubt { Ok(Success::InDoubt { output, why: "by plan".into() }) } else { Ok(Success::Done(output)) })
}

/// The parts that are not done again: those that are done, and those that nobody knows of and nobody has ruled about.
fn known(earlier: &Earlier) -> BTreeMap<String, String> {
    let text = |note: &Json, name: &str| note[name].as_str().unwrap().to_owned();
    let mut parts = BTreeMap::new();
    for (place, note) in earlier.notes.iter().enumerate() {
        match text(note, "is").as_str() {
            "done" => parts.insert(text(note, "part"), "done".to_owned()),
            "leaving" | "in doubt" if place >= earlier.ruled => parts.insert(text(note, "part"), "in doubt".to_owned()),
            _ => parts.remove(&text(note, "part")),
        };
    }
    parts
}

/// What must hold of a step that is done: whatever it says is done has happened.
pub fn check(world: &World<'_>, run: RunId, step: &str, output: &Json) {
    let happened: BTreeSet<&str> = world
        .calls
        .iter()
        .filter(|call| call.run == run && call.step == step && call.executed)
        .filter_map(|call| Some(call.key.split_once('#')?.1))
        .collect();
    for part in PARTS {
        let says = output.get(part).and_then(Json::as_str);
        let is_so = says != Some("done") || happened.contains(part);
        assert!(is_so, "{} {:?}: {step} says that {part} is done", world.story.name, world.crashes);
        assert!(says.is_some() || output.get("ok").is_some(), "{}: {part} was forgotten", world.story.name);
    }
}

/// A refusal that may pass.
pub const PASSES: Plan = Plan::Refused(ErrorClass::Network);
