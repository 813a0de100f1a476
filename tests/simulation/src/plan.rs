//! What a seed decides beforehand: the pull requests and their heads, what is delivered when and how often, and
//! what goes wrong at which time. What goes wrong in a call is drawn when it is made, by the odds that stand here.

use std::collections::BTreeSet;
use std::time::Duration;

use fastrand::Rng;

use crate::deliveries::{Mail, PullPlan};

/// When the world begins: a Monday in 2026.
pub const EPOCH: i64 = 1_767_600_000_000;

/// Everything that a seed decides beforehand. Times count from the beginning of the world.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The pull requests.
    pub pulls: Vec<PullPlan>,
    /// What is delivered, apart from callbacks.
    pub mail: Mail,
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
    /// The next commit fails.
    Cut,
    /// An operator pauses an open run, which of them, for so long.
    Pause(usize, Duration),
    /// An operator cancels an open run, which of those that may be cancelled.
    Cancel(usize),
}

/// The services.
pub const SERVICES: [&str; 5] = ["github", "claude_code", "slack", "codegen", "workshop"];

/// The stories beside the product's own workflow, each with the most runs of it that somebody wants.
const STORIES: [(&str, u64); 3] = [("family", 4), ("graph", 3), ("publication", 3)];

/// What kinds of things go wrong under a seed. Few at once go deep, all at once go wide.
pub struct Mood {
    lost_commits: bool,
    bad_reads: bool,
    bad_calls: bool,
    outages: bool,
    deaths: bool,
    falls: bool,
    jumps: bool,
    operators: bool,
    /// Deliveries overtake each other.
    pub disorder: bool,
    /// Deliveries come several times.
    pub repeats: bool,
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
            operators: rng.u32(..100) < 30,
            disorder: rng.u32(..100) < 75,
            repeats: rng.u32(..100) < 60,
        }
    }
}

impl Plan {
    /// Pull requests that are opened at these times, and nothing goes wrong but this.
    pub fn still(opened: &[Duration], moments: Vec<(Duration, Moment)>, calm_at: Duration) -> Self {
        let mut mail = Mail::default();
        let pulls = (1..).zip(opened).map(|(number, at)| mail.opens(number, *at)).collect();
        let (odds, outages, deaths) = (Odds::default(), Vec::new(), BTreeSet::new());
        Self { pulls, mail, slots: 1, circuits: false, odds, outages, moments, deaths, calm_at }
    }

    /// The plan of a seed.
    pub fn of(rng: &mut Rng) -> Self {
        let mood = Mood::of(rng);
        let calm_at = secs(rng.u64(120..900));
        let mut mail = Mail::default();
        let stories: Vec<_> = STORIES.into_iter().filter(|_| rng.u32(..100) < 30).collect();
        // About as much happens in any world.
        let number = if stories.is_empty() { rng.u64(1..=4) } else { rng.u64(0..=2) };
        let pulls = (1..=number).map(|number| mail.pull(rng, &mood, number, calm_at)).collect();
        let asked = if rng.u32(..100) < 40 { rng.u64(1..=5) } else { 0 };
        (0..asked).for_each(|number| mail.ask(rng, &mood, number, calm_at));
        for (story, most) in stories {
            (0..rng.u64(1..=most)).for_each(|number| mail.tell(rng, &mood, (story, number), calm_at));
        }
        Self {
            pulls,
            mail,
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

/// So many seconds.
pub const fn secs(seconds: u64) -> Duration {
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
    if mood.operators {
        (0..rng.u32(1..=8)).for_each(|_| {
            let pause = Moment::Pause(rng.usize(..16), secs(rng.u64(1..200)));
            happens(rng, pause);
        });
        (0..rng.u32(0..=4)).for_each(|_| {
            let cancel = Moment::Cancel(rng.usize(..16));
            happens(rng, cancel);
        });
    }
    moments.sort_by_key(|(at, _)| *at);
    moments
}
