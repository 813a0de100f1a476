//! What is delivered: what GitHub says of pull requests and pushes, and how Codegen calls back.

use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use pointsman_actors::time::Timestamp;
use serde_json::{Value as Json, json};

use crate::plan::{EPOCH, Mood, secs};

/// A pull request.
#[derive(Clone, Debug)]
pub struct PullPlan {
    /// `owner/name`.
    pub repository: String,
    /// Its number, of which there is only one in the world.
    pub number: u64,
    /// What is said about its head, in the order in which it happened.
    pub heads: Vec<Head>,
}

/// Something that happened to a pull request.
#[derive(Clone, Debug)]
pub struct Head {
    /// When.
    pub at: Duration,
    /// Its head from then on.
    pub sha: String,
    /// Whether it starts a run.
    pub counts: bool,
}

/// A webhook delivery.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Whose it is.
    pub source: &'static str,
    /// GitHub's name of the event.
    pub event: &'static str,
    /// The sender's id of it.
    pub id: String,
    /// The hook that sends it.
    pub hook: &'static str,
    /// What it says.
    pub says: Says,
    /// The body.
    pub body: Bytes,
}

/// What a delivery says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Says {
    /// A pull request has this head; both by their place.
    Head(usize, usize),
    /// Something is to be generated.
    Asked,
    /// A run of one of the stories is to begin.
    Story,
    /// What was asked for under this number is generated.
    Generated(u64),
}

/// A delivery on its way.
#[derive(Clone, Copy, Debug)]
pub struct Sending {
    /// Which, by its place.
    pub delivery: usize,
    /// When it is sent first.
    pub at: Duration,
}

/// What is sent.
#[derive(Clone, Debug, Default)]
pub struct Mail {
    /// The deliveries.
    pub deliveries: Vec<Delivery>,
    /// Each time that one is sent; repeated until it is answered with success.
    pub sendings: Vec<Sending>,
}

impl Mail {
    /// Sends a delivery of something that happened at `happened`, perhaps late and perhaps several times.
    fn deliver(&mut self, rng: &mut Rng, mood: &Mood, happened: Duration, delivery: Delivery) {
        let late = match rng.u32(..100) {
            0..60 => Duration::from_millis(rng.u64(50..1_500)),
            60..85 if mood.disorder => secs(rng.u64(1..20)),
            _ if mood.disorder => secs(rng.u64(20..400)),
            _ => Duration::from_millis(100),
        };
        let times = if mood.repeats && rng.u32(..100) < 30 { rng.u32(2..=3) } else { 1 };
        for time in 0..times {
            let later = if time == 0 || rng.bool() { 0 } else { rng.u64(..90_000) };
            let at = happened + late + Duration::from_millis(later);
            self.sendings.push(Sending { delivery: self.deliveries.len(), at });
        }
        self.deliveries.push(delivery);
    }

    /// A pull request that is opened then, of which is told at once.
    pub fn opens(&mut self, number: u64, at: Duration) -> PullPlan {
        let (repository, sha) = ("octo/api".to_owned(), format!("{number:040x}"));
        let body = body(("opened", number, &repository), (&sha, at), (true, false), None);
        let (id, body) = (format!("opened-{number}"), Bytes::from(body.to_string()));
        self.sendings.push(Sending { delivery: self.deliveries.len(), at });
        let says = Says::Head(usize::try_from(number).unwrap() - 1, 0);
        self.deliveries.push(Delivery { source: "github", event: "pull_request", id, hook: "1", says, body });
        PullPlan { repository, number, heads: vec![Head { at, sha, counts: true }] }
    }

    /// Pull requests, and what is pushed to them.
    pub fn pull(&mut self, rng: &mut Rng, mood: &Mood, number: u64, calm_at: Duration) -> PullPlan {
        let (pull, bodies) = pull(rng, number, calm_at);
        for (head, body) in bodies.into_iter().enumerate() {
            let hooks = if mood.repeats && rng.u32(..100) < 15 { 2 } else { 1 };
            for hook in ["1", "2"].into_iter().take(hooks) {
                let says = Says::Head(usize::try_from(number).unwrap() - 1, head);
                let (id, body) = (format!("{:016x}", rng.u64(..)), Bytes::from(body.to_string()));
                let delivery = Delivery { source: "github", event: "pull_request", id, hook, says, body };
                self.deliver(rng, mood, pull.heads[head].at, delivery);
            }
        }
        pull
    }

    /// Somebody wants a run of a story.
    pub fn tell(&mut self, rng: &mut Rng, mood: &Mood, (story, number): (&str, u64), calm_at: Duration) {
        let pause = ["500ms", "3s", "20s", "60s", "68s"][rng.usize(..5)];
        let (topic, deep) = (["moon", "sun"][rng.usize(..2)], rng.bool());
        let payload = json!({ "number": number, "pause": pause, "deep": deep, "topic": topic });
        let body = json!({ "action": story, "branch": "main", "client_payload": payload,
            "repository": { "full_name": "octo/api" }, "sender": { "login": "someone" } });
        let (id, body) = (format!("{:016x}", rng.u64(..)), Bytes::from(body.to_string()));
        let at = if rng.bool() { secs(rng.u64(..calm_at.as_secs())) } else { secs(rng.u64(..60)) };
        let delivery =
            Delivery { source: "github", event: "repository_dispatch", id, hook: "1", says: Says::Story, body };
        self.deliver(rng, mood, at, delivery);
    }

    /// Somebody asks for something to be generated.
    pub fn ask(&mut self, rng: &mut Rng, mood: &Mood, number: u64, calm_at: Duration) {
        let branch = ["refs/heads/one", "refs/heads/two"][rng.usize(..2)];
        let body = json!({ "ref": branch, "before": sha(rng), "after": sha(rng), "number": number,
            "repository": { "full_name": "octo/api" }, "sender": { "login": "someone" } });
        let (id, body) = (format!("{:016x}", rng.u64(..)), Bytes::from(body.to_string()));
        let at = if rng.bool() { secs(rng.u64(..calm_at.as_secs())) } else { secs(rng.u64(..40)) };
        let delivery = Delivery { source: "github", event: "push", id, hook: "1", says: Says::Asked, body };
        self.deliver(rng, mood, at, delivery);
    }
}

/// Codegen says that what it was asked for under this number is there.
pub fn generated(number: u64, at: Duration) -> Delivery {
    let id = format!("generated-{number}");
    let body = json!({ "event_type": "generation.complete", "event_id": id, "timestamp": seconds_of(at),
        "data": { "run_id": number } });
    let body = Bytes::from(body.to_string());
    Delivery { source: "codegen", event: "", id, hook: "", says: Says::Generated(number), body }
}

/// A pull request with what GitHub says of it, one body for each of its heads.
fn pull(rng: &mut Rng, number: u64, calm_at: Duration) -> (PullPlan, Vec<Json>) {
    let repository = format!("octo/{}", ["api", "web"][rng.usize(..2)]);
    let (is_codegen, mut draft) = (rng.u32(..100) < 90, rng.u32(..100) < 15);
    let (mut heads, mut bodies): (Vec<Head>, Vec<Json>) = (Vec::new(), Vec::new());
    let mut at = secs(rng.u64(..60));
    let (pushes, mut was_ready) = (rng.usize(0..=5), false);
    for push in 0..=pushes {
        let before = heads.last().map(|head| head.sha.clone());
        let is_ready = before.is_some() && !was_ready && (draft && push == pushes || rng.u32(..100) < 10);
        was_ready |= is_ready;
        draft = draft && !is_ready && pushes > 0;
        let taken_back =
            heads.len().checked_sub(2).map(|place| heads[place].sha.clone()).filter(|sha| Some(sha) != before.as_ref());
        let (action, sha) = match (&before, taken_back) {
            (None, _) => ("opened", sha(rng)),
            (Some(same), _) if is_ready => ("ready_for_review", same.clone()),
            // Somebody takes back what was pushed last. What happens to it within the same second nobody could tell apart.
            (Some(_), Some(former)) if rng.u32(..100) < 8 => {
                at = secs(at.as_secs() + 1);
                ("synchronize", former)
            }
            (Some(_), _) => ("synchronize", sha(rng)),
        };
        let before = before.filter(|_| action == "synchronize");
        let what = body((action, number, &repository), (&sha, at), (is_codegen, draft), before);
        bodies.push(what);
        heads.push(Head { at, sha, counts: is_codegen && !draft });
        at += match rng.u32(..100) {
            0..35 => Duration::from_millis(rng.u64(1..1_000)),
            35..60 => secs(rng.u64(1..10)),
            _ => secs(rng.u64(10..180)),
        };
        if at >= calm_at && !draft {
            break;
        }
    }
    (PullPlan { repository, number, heads }, bodies)
}

/// How a time reads in GitHub's payloads: in whole seconds.
fn seconds_of(at: Duration) -> String {
    let at = Timestamp::from_millis(EPOCH).plus(secs(at.as_secs()));
    at.to_rfc3339().replace(".000Z", "Z")
}

fn sha(rng: &mut Rng) -> String {
    format!("{:032x}{:08x}", rng.u128(..), rng.u32(..))
}

fn body(
    (action, number, repository): (&str, u64, &str),
    (sha, at): (&str, Duration),
    (is_codegen, draft): (bool, bool),
    before: Option<String>,
) -> Json {
    let (login, branch) = if is_codegen { ("codegen-sh[bot]", "codegen/change") } else { ("someone", "change") };
    let mut body = json!({ "action": action, "number": number,
        "pull_request": { "id": 1_000 + number, "number": number, "title": "Change", "body": "", "draft": draft,
            "updated_at": seconds_of(at), "user": { "login": login },
            "head": { "ref": branch, "sha": sha, "repo": { "full_name": repository } },
            "base": { "ref": "main", "repo": { "full_name": repository } } },
        "repository": { "full_name": repository }, "sender": { "login": "someone" } });
    if let Some(before) = before {
        body["before"] = before.into();
        body["after"] = sha.into();
    }
    body
}
