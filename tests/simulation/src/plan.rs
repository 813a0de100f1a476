//! What a seed decides beforehand: the pull requests and their heads, what is delivered when and how often, and
//! what goes wrong at which time. What goes wrong in a call is drawn when it is made, by the odds that stand here.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use pointsman_actors::time::Timestamp;
use serde_json::{Value as Json, json};

/// When the world begins: a Monday in 2026.
pub const EPOCH: i64 = 1_767_600_000_000;

/// Everything that a seed decides beforehand. Times count from the beginning of the world.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The pull requests.
    pub pulls: Vec<PullPlan>,
    /// What is delivered. Place in here is what `Sending::delivery` names.
    pub deliveries: Vec<DeliveryPlan>,
    /// Each time that a delivery is sent; repeated until it is answered with success.
    pub sendings: Vec<Sending>,
    /// Runs that may be at work at once.
    pub slots: usize,
    /// Whether failing services are given a rest.
    pub circuits: bool,
    /// What goes wrong in calls.
    pub odds: Odds,
    /// Services that are down for a while.
    pub outages: Vec<Outage>,
    /// What happens at a time.
    pub moments: Vec<(Duration, Moment)>,
    /// The process dies when it comes to the point of this number.
    pub deaths: BTreeSet<u64>,
    /// From then on nothing goes wrong any more.
    pub calm_at: Duration,
}

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
pub struct DeliveryPlan {
    /// GitHub's id of it.
    pub id: String,
    /// The hook that sends it.
    pub hook: &'static str,
    /// Which pull request, by its place.
    pub pull: usize,
    /// Which of its heads, by its place.
    pub head: usize,
    /// The body.
    pub body: Bytes,
}

/// A delivery on its way.
#[derive(Clone, Copy, Debug)]
pub struct Sending {
    /// Which, by its place.
    pub delivery: usize,
    /// When it is sent first.
    pub at: Duration,
}

/// How often what goes wrong in a call, of a thousand.
#[derive(Clone, Copy, Debug, Default)]
pub struct Odds {
    /// A commit whose fate nobody is told.
    pub commit: u32,
    /// A read that fails.
    pub read: u32,
    /// A call of a service that does not end well.
    pub call: u32,
    /// A judgement that finds the change bad, which is nothing wrong.
    pub bad_change: u32,
    /// A judgement that takes minutes, not seconds.
    pub slow: u32,
}

/// A service that is down.
#[derive(Clone, Copy, Debug)]
pub struct Outage {
    /// Which.
    pub service: &'static str,
    /// From when …
    pub from: Duration,
    /// … until when.
    pub until: Duration,
}

/// Something that happens at a time.
#[derive(Clone, Copy, Debug)]
pub enum Moment {
    /// The server's clock is set by so many milliseconds.
    Jump(i64),
    /// A component falls with its next message in hand: which, of those there are.
    Fall(usize),
    /// The process dies.
    Death,
    /// The process is asked to end, and is started again.
    Restart,
}

/// The services.
pub const SERVICES: [&str; 3] = ["github", "claude_code", "slack"];

/// What kinds of things go wrong under a seed. Few at once go deep, all at once go wide.
struct Mood {
    lost_commits: bool,
    bad_reads: bool,
    bad_calls: bool,
    outages: bool,
    deaths: bool,
    falls: bool,
    jumps: bool,
    disorder: bool,
    repeats: bool,
}

impl Mood {
    fn of(rng: &mut Rng) -> Self {
        Self {
            lost_commits: rng.u32(..100) < 50,
            bad_reads: rng.u32(..100) < 30,
            bad_calls: rng.u32(..100) < 60,
            outages: rng.u32(..100) < 25,
            deaths: rng.u32(..100) < 60,
            falls: rng.u32(..100) < 40,
            jumps: rng.u32(..100) < 30,
            disorder: rng.u32(..100) < 75,
            repeats: rng.u32(..100) < 60,
        }
    }
}

impl Plan {
    /// The plan of a seed.
    pub fn of(rng: &mut Rng) -> Self {
        let mood = Mood::of(rng);
        let calm_at = secs(rng.u64(120..900));
        let (mut pulls, mut deliveries, mut sendings) = (Vec::new(), Vec::new(), Vec::new());
        for number in 0..rng.u64(1..=4) {
            let (pull, bodies) = pull(rng, number + 1, calm_at);
            for (head, body) in bodies.into_iter().enumerate() {
                deliver(rng, (&mood, &pull), (pulls.len(), head), &body, (&mut deliveries, &mut sendings));
            }
            pulls.push(pull);
        }
        Self {
            pulls,
            deliveries,
            sendings,
            slots: rng.usize(1..=4),
            circuits: rng.bool(),
            odds: Odds {
                commit: if mood.lost_commits { rng.u32(2..40) } else { 0 },
                read: if mood.bad_reads { rng.u32(2..30) } else { 0 },
                call: if mood.bad_calls { rng.u32(10..400) } else { 0 },
                bad_change: rng.u32(0..300),
                slow: rng.u32(0..300),
            },
            outages: if mood.outages {
                (0..rng.u32(1..=2)).map(|_| outage(rng, calm_at)).collect()
            } else {
                Vec::new()
            },
            moments: moments(rng, &mood, calm_at),
            deaths: if mood.deaths { (0..rng.u32(0..=3)).map(|_| rng.u64(1..400)).collect() } else { BTreeSet::new() },
            calm_at,
        }
    }
}

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn outage(rng: &mut Rng, calm_at: Duration) -> Outage {
    let from = secs(rng.u64(..calm_at.as_secs()));
    let until = (from + secs(rng.u64(5..300))).min(calm_at);
    Outage { service: SERVICES[rng.usize(..SERVICES.len())], from, until }
}

fn moments(rng: &mut Rng, mood: &Mood, calm_at: Duration) -> Vec<(Duration, Moment)> {
    let mut moments = Vec::new();
    let mut happens = |rng: &mut Rng, moment| {
        let at = Duration::from_millis(rng.u64(..u64::try_from(calm_at.as_millis()).unwrap()));
        moments.push((at, moment));
    };
    if mood.deaths {
        (0..rng.u32(0..=2)).for_each(|_| happens(rng, Moment::Death));
        (0..rng.u32(0..=1)).for_each(|_| happens(rng, Moment::Restart));
    }
    if mood.falls {
        (0..rng.u32(1..=4)).for_each(|_| {
            let which = rng.usize(..64);
            happens(rng, Moment::Fall(which));
        });
    }
    if mood.jumps {
        (0..rng.u32(1..=3)).for_each(|_| {
            let most = [2_000, 60_000, 3_600_000][rng.usize(..3)];
            let by = rng.i64(-most..=most);
            happens(rng, Moment::Jump(by));
        });
    }
    moments.sort_by_key(|(at, _)| *at);
    moments
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
        let what = json!({ "action": action, "number": number,
            "pull_request": { "id": 1_000 + number, "number": number, "title": "Change", "body": "", "draft": draft,
                "updated_at": seconds_of(at),
                "user": { "login": if is_codegen { "codegen-sh[bot]" } else { "someone" } },
                "head": { "ref": if is_codegen { "codegen/change" } else { "change" }, "sha": sha, "repo": { "full_name": repository } },
                "base": { "ref": "main", "repo": { "full_name": repository } } },
            "repository": { "full_name": repository }, "sender": { "login": "someone" } });
        let mut what = what;
        if action == "synchronize" {
            what["before"] = json!(before);
            what["after"] = json!(sha);
        }
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

fn deliver(
    rng: &mut Rng,
    (mood, pull): (&Mood, &PullPlan),
    (number, head): (usize, usize),
    body: &Json,
    (deliveries, sendings): (&mut Vec<DeliveryPlan>, &mut Vec<Sending>),
) {
    let happened = pull.heads[head].at;
    let hooks = if mood.repeats && rng.u32(..100) < 15 { 2 } else { 1 };
    for hook in ["1", "2"].into_iter().take(hooks) {
        let id = format!("{:016x}", rng.u64(..));
        let late = match rng.u32(..100) {
            0..60 => Duration::from_millis(rng.u64(50..1_500)),
            60..85 if mood.disorder => secs(rng.u64(1..20)),
            _ if mood.disorder => secs(rng.u64(20..400)),
            _ => Duration::from_millis(100),
        };
        let times = if mood.repeats && rng.u32(..100) < 30 { rng.u32(2..=3) } else { 1 };
        for time in 0..times {
            let later = if time == 0 || rng.bool() { 0 } else { rng.u64(..90_000) };
            sendings.push(Sending { delivery: deliveries.len(), at: happened + late + Duration::from_millis(later) });
        }
        let body = Bytes::from(body.to_string());
        deliveries.push(DeliveryPlan { id, hook, pull: number, head, body });
    }
}
