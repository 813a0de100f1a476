//! GitHub, Claude Code and Slack, as far as the product's actions call them: they answer, refuse, do what they were asked and
//! say that they failed, or say nothing. What they did stands in the ledger.

use std::sync::Arc;
use std::time::Duration;

use pointsman::actions::ports::{Channel, Judge, PullRequests};
use pointsman::actions::send_notification::Named;
use pointsman::integrations::claude_code::Question;
use pointsman::integrations::github::{Diff, Pull, Status};
use pointsman::integrations::notifications::{Message, Undelivered};
use pointsman::integrations::verdict::{Issue, Judgement, Verdict};
use pointsman_actors::executor::failure::{ErrorClass, Failure};
use pointsman_actors::executor::port::{
    Action, ActionInfo, Answer, Attempt, EffectClass, Inquiry, OnDoubt, Outcome, Polling, Success, WaitInfo, Working,
};
use serde_json::{Value as Json, json};

use crate::world::World;

/// All of them.
pub struct Services(pub World);

/// How a call ends.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Course {
    /// It is done, and answered.
    Fine,
    /// It is refused.
    Refused(ErrorClass),
    /// It never arrives.
    Unreachable,
    /// It is done, and answered with an error.
    DoneButFailed,
    /// It is done, and the connection breaks.
    DoneAndCut,
    /// It is not done, and nobody answers.
    Silent,
    /// It is done, and nobody answers.
    DoneAndSilent,
}

/// What is refused at once, and may be asked for again.
const REFUSALS: [ErrorClass; 4] =
    [ErrorClass::RateLimit, ErrorClass::ServiceUnavailable, ErrorClass::NotFound, ErrorClass::Network];

/// A change that left the process and has not arrived. If nobody waits for it any more, it may arrive all the same, then or
/// never: what arrives much later than whoever sent it has given up nobody could guard against.
struct OnTheWire<'a, F: FnMut()> {
    world: &'a World,
    arrives: F,
    is_over: bool,
}

impl<'a, F: FnMut()> OnTheWire<'a, F> {
    fn new(world: &'a World, arrives: F, changes: bool) -> Self {
        world.state().wires += usize::from(changes);
        Self { world, arrives, is_over: !changes }
    }

    /// Whoever waits for it knows what became of it. Says whether that was open.
    fn end(&mut self) -> bool {
        let was_open = !std::mem::replace(&mut self.is_over, true);
        self.world.state().wires -= usize::from(was_open);
        was_open
    }
}

impl<F: FnMut()> Drop for OnTheWire<'_, F> {
    fn drop(&mut self) {
        if self.end() && self.world.chance(500) {
            (self.arrives)();
        }
    }
}

impl Services {
    fn course(&self, service: &str) -> Course {
        let world = &self.0;
        let at = world.at();
        if world.plan().outages.iter().any(|outage| outage.service == service && outage.from <= at && at < outage.until)
        {
            return Course::Refused(ErrorClass::ServiceUnavailable);
        }
        let odds = if world.is_calm() { 0 } else { world.plan().odds.call };
        if !world.chance(odds) {
            return Course::Fine;
        }
        let rng = &mut world.state().rng;
        match rng.u32(..10) {
            0..4 => Course::Refused(REFUSALS[rng.usize(..REFUSALS.len())]),
            4 => Course::Unreachable,
            5 | 6 => Course::DoneButFailed,
            7 => Course::DoneAndCut,
            8 => Course::Silent,
            _ => Course::DoneAndSilent,
        }
    }

    /// A call to `service` that does `effect`. Whether it `changes` anything is what a broken connection leaves in doubt.
    pub(crate) async fn call(
        &self,
        service: &'static str,
        (what, takes): (&str, u64),
        changes: bool,
        mut effect: impl FnMut(),
    ) -> Result<(), Failure> {
        let world = &self.0;
        world.point("before a call").await;
        let course = self.course(service);
        world.tell(format_args!("call {service} {what}: {course:?}"));
        let way = world.pause(takes / 2 + 1);
        let mut wire = OnTheWire::new(world, &mut effect, changes);
        let arrival = async {
            tokio::time::sleep(way).await;
            world.live().await;
        };
        tokio::select! {
            biased;
            () = arrival => { wire.end(); }
            () = world.cut_off() => {
                drop(wire);
                return std::future::pending().await;
            }
        }
        let doubt = |failure: Failure| if changes { failure.in_doubt() } else { failure };
        match course {
            Course::Refused(class) => return Err(refused(class)),
            Course::Unreachable => return Err(Failure::new(ErrorClass::Network, "no connection")),
            Course::Silent => return std::future::pending().await,
            Course::Fine | Course::DoneButFailed | Course::DoneAndCut | Course::DoneAndSilent => (wire.arrives)(),
        }
        drop(wire);
        world.point("after an effect").await;
        tokio::time::sleep(world.pause(takes / 2 + 1)).await;
        world.live().await;
        match course {
            Course::DoneButFailed => Err(doubt(Failure::new(ErrorClass::ServiceUnavailable, "500"))),
            Course::DoneAndCut => Err(doubt(Failure::new(ErrorClass::Network, "the connection broke"))),
            Course::DoneAndSilent => std::future::pending().await,
            _ => Ok(()),
        }
    }
}

fn refused(class: ErrorClass) -> Failure {
    let failure = Failure::new(class, "refused");
    if class == ErrorClass::RateLimit { failure.retry_after(Duration::from_secs(20)) } else { failure }
}

impl PullRequests for Services {
    async fn pull(&self, _: &str, number: u64) -> Result<Pull, Failure> {
        self.call("github", ("pull", 400), false, || {}).await?;
        let at = self.0.at();
        let pull = self.0.plan().pulls.iter().find(|pull| pull.number == number);
        let head = pull.and_then(|pull| pull.heads.iter().rev().find(|head| head.at <= at));
        let head = head.ok_or_else(|| Failure::new(ErrorClass::NotFound, "there is no such pull request"))?;
        let (title, body) = ("Change".to_owned(), String::new());
        Ok(Pull { head_sha: head.sha.clone(), title, body, base_ref: "main".to_owned(), ..Pull::default() })
    }

    async fn diff(&self, _: &str, _: u64) -> Result<Diff, Failure> {
        self.call("github", ("diff", 400), false, || {}).await?;
        Ok(Diff { text: "+x\n".to_owned(), is_whole: true })
    }

    async fn set_status(&self, repository: &str, sha: &str, status: &Status, key: &str) -> Result<Json, Failure> {
        let world = &self.0;
        let set = || {
            world.tell(format_args!("status {repository}@{} {} by {key}", &sha[..7], status.state));
            let mut state = world.state();
            let at = state.at();
            state.ledger.statuses.push((at, repository.to_owned(), sha.to_owned(), status.state.clone()));
        };
        self.call("github", ("status", 600), true, set).await?;
        Ok(json!({ "id": 1 }))
    }
}

impl Judge for Services {
    fn unavailable(&self) -> Option<String> {
        None
    }

    async fn judge(&self, question: Question<'_>) -> Result<Verdict, Failure> {
        let world = &self.0;
        question.notebook.note(json!({ "mark": question.mark })).await?;
        let odds = world.plan().odds;
        let takes = if world.chance(odds.slow) { 400_000 } else { 20_000 };
        let judging = self.call("claude_code", ("judge", takes), false, || {});
        let timed_out = |_| Failure::new(ErrorClass::Timeout, "it was not done in time");
        tokio::time::timeout(question.limit, judging).await.map_err(timed_out)??;
        let is_bad = world.chance(odds.bad_change);
        let issue = || Issue { severity: "high".into(), message: "x".into(), file: None, line: None };
        Ok(Verdict {
            verdict: if is_bad { Judgement::Fail } else { Judgement::Pass },
            score: 50,
            issues: is_bad.then(issue).into_iter().collect(),
        })
    }
}

/// Has Codegen generate something, and is called back when that is there.
pub struct Generate(pub Arc<Services>);

static GENERATE: ActionInfo = ActionInfo {
    name: "generate",
    class: EffectClass::Keyed,
    on_doubt: OnDoubt::Repeat,
    parameters: &[],
    timeout: None,
    waits: Some(WaitInfo { kind: "codegen:run", source: "codegen", event: "generation", actions: &[] }),
    services: &["codegen"],
};

impl Action for Generate {
    fn info(&self) -> &'static ActionInfo {
        &GENERATE
    }

    fn execute(&self, attempt: Attempt) -> Working<Outcome> {
        let services = Arc::clone(&self.0);
        Box::pin(async move {
            let world = &services.0;
            services.call("codegen", ("generate", 2_000), true, || _ = world.generate(&attempt.key)).await?;
            let number = world.generate(&attempt.key);
            Ok(Success::Waiting { keys: vec![format!("codegen:run:{number}")], output: json!({ "number": number }) })
        })
    }

    fn polling(&self) -> Option<Polling> {
        Some(Polling { first: Duration::from_secs(10), most: Duration::from_secs(60) })
    }

    fn poll(&self, inquiry: Inquiry) -> Working<Answer> {
        let services = Arc::clone(&self.0);
        Box::pin(async move {
            services.call("codegen", ("ask", 400), false, || {}).await?;
            let number = inquiry.output.get("number").and_then(Json::as_u64).unwrap_or_default();
            let is_done = services.0.is_generated(number);
            Ok(is_done.then(|| Ok(Success::Done(json!({ "number": number })))))
        })
    }
}

/// Where people read. What is posted there stands in the ledger below its name.
pub struct Desk {
    /// Its name.
    pub name: &'static str,
    /// Where it is.
    pub services: Arc<Services>,
    /// Whether it is gone for good when it is not found.
    pub ends: bool,
}

impl Desk {
    /// The same on every process.
    pub fn named(self) -> Named<Arc<Self>> {
        Named { name: self.name.to_owned(), is_default: true, configuration: 1, channel: Arc::new(self) }
    }
}

impl Channel for Desk {
    async fn post(&self, message: &Message, limit: Duration) -> Result<(), Undelivered> {
        let posting = tokio::time::timeout(limit, self.services.post(self.name, &message.key));
        match posting.await {
            Ok(Err(failure)) if self.ends && failure.class == ErrorClass::NotFound => {
                Err(Undelivered::Gone("it is gone".to_owned()))
            }
            Ok(posted) => Ok(posted?),
            Err(_) => Err(Failure::new(ErrorClass::Timeout, "nobody answered").in_doubt().into()),
        }
    }
}

impl Services {
    async fn post(&self, desk: &str, key: &str) -> Result<(), Failure> {
        let world = &self.0;
        let posted = || {
            world.tell(format_args!("posted at {desk} by {key}"));
            let times = {
                let mut state = world.state();
                let times = state.ledger.posts.entry(format!("{desk}/{key}")).or_default();
                *times += 1;
                *times
            };
            if times > 1 {
                world.wrong(format!("{key} was posted {times} times at {desk}"));
            }
        };
        self.call("slack", ("post", 800), true, posted).await
    }
}
