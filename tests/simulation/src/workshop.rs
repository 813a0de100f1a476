//! A service that makes things: what is made with the same key is made once, what is signed is signed as often as it is asked,
//! and of what is published it can be seen after a while that it is. What was made can be unmade.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use pointsman_actors::executor::failure::{ErrorClass, Failure};
use pointsman_actors::executor::port::{
    Accepts, Action, ActionInfo, Attempt, EffectClass, OnDoubt, Outcome, Parameter, Success, Working,
};
use serde_json::json;

use crate::plan::Moment;
use crate::services::Services;
use crate::world::World;

/// So long after an attempt its effect can be seen, and always sooner.
const SETTLES: Duration = Duration::from_secs(5);

/// What there is, and what there was.
#[derive(Default)]
pub struct Shelf {
    /// When what was made with a key can be seen.
    made: BTreeMap<String, Duration>,
    /// What was unmade.
    unmade: BTreeSet<String>,
}

impl Shelf {
    /// Whether something was made with this key, whoever sees it.
    pub fn has(&self, key: &str) -> bool {
        self.made.contains_key(key)
    }

    /// Whether it was unmade.
    pub fn has_unmade(&self, key: &str) -> bool {
        self.unmade.contains(key)
    }

    /// Something is made. Says what must not be.
    fn make(&mut self, key: &str, class: EffectClass, seen_at: Duration) -> Result<(), String> {
        if self.has_unmade(key) {
            return Err(format!("{key} is made, and was unmade before"));
        }
        if self.has(key) && class != EffectClass::Keyed {
            return Err(format!("{key} is made twice"));
        }
        self.made.entry(key.to_owned()).or_insert(seen_at);
        Ok(())
    }

    fn unmake(&mut self, key: &str) -> Result<(), String> {
        self.unmade.insert(key.to_owned());
        if self.has(key) { Ok(()) } else { Err(format!("{key} is unmade, and was never made")) }
    }
}

/// Something that it does.
pub struct Craft {
    services: Arc<Services>,
    info: &'static ActionInfo,
}

/// All that it does.
pub fn crafts(services: &Arc<Services>) -> impl Iterator<Item = Arc<dyn Action>> {
    let craft = |info| Arc::new(Craft { services: Arc::clone(services), info }) as Arc<dyn Action>;
    [&MAKE, &SIGN, &PUBLISH, &UNMAKE].into_iter().map(craft)
}

const fn info(name: &'static str, class: EffectClass, on_doubt: OnDoubt) -> ActionInfo {
    ActionInfo { name, class, on_doubt, parameters: &[], timeout: None, waits: None, services: &["workshop"] }
}

static MAKE: ActionInfo = info("make", EffectClass::Keyed, OnDoubt::Repeat);
static SIGN: ActionInfo = info("sign", EffectClass::Once, OnDoubt::Park);
static PUBLISH: ActionInfo = info("publish", EffectClass::Probe, OnDoubt::Repeat);
static UNMAKE: ActionInfo = ActionInfo {
    parameters: &[Parameter { name: "of", accepts: Accepts::Text, default: None }],
    ..info("unmake", EffectClass::Idempotent, OnDoubt::Repeat)
};

impl Craft {
    /// What is asked for arrives.
    fn arrives(&self, key: &str, of: Option<&str>) {
        let world = &self.services.0;
        world.tell(format_args!("{} {}", self.info.name, of.unwrap_or(key)));
        let done = {
            let seen_at = world.at() + seen_after(world);
            let shelf = &mut world.state().ledger.shelf;
            match of {
                Some(of) => shelf.unmake(of),
                None => shelf.make(key, self.info.class, seen_at),
            }
        };
        if let Err(what) = done {
            world.wrong(what);
        }
    }
}

/// When it can be seen that something was made. A clock that is set makes a while as short as it likes.
fn seen_after(world: &World) -> Duration {
    let jumps = world.plan().moments.iter().any(|(_, moment)| matches!(moment, Moment::Jump(_)));
    if jumps { Duration::ZERO } else { world.pause(4_500) }
}

impl Action for Craft {
    fn info(&self) -> &'static ActionInfo {
        self.info
    }

    fn execute(&self, attempt: Attempt) -> Working<Outcome> {
        let craft = Self { services: Arc::clone(&self.services), info: self.info };
        Box::pin(async move {
            let (world, name) = (&craft.services.0, craft.info.name);
            if !world.is_calm() && world.chance(world.plan().odds.call / 8) {
                return Err(Failure::new(ErrorClass::Validation, "nobody can do that"));
            }
            let of = attempt.with.get("of").and_then(|of| of.as_str());
            let call = craft.services.call("workshop", (name, 3_000), true, || craft.arrives(&attempt.key, of));
            call.await?;
            Ok(Success::Done(json!({ "key": attempt.key })))
        })
    }

    fn look(&self, attempt: Attempt) -> Working<Outcome> {
        let services = Arc::clone(&self.services);
        Box::pin(async move {
            services.call("workshop", ("look", 1_000), false, || {}).await?;
            let world = &services.0;
            let at = world.at();
            let is_seen = world.state().ledger.shelf.made.get(&attempt.key).is_some_and(|seen_at| *seen_at <= at);
            Ok(if is_seen { Success::Done(json!({ "key": attempt.key })) } else { Success::Absent })
        })
    }

    fn settles(&self) -> Duration {
        SETTLES
    }
}
