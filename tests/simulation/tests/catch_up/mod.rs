//! What does not come although it is asked for, on virtual time: days pass in a moment.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use pointsman_actors::catch_up::actor::{Mode, Plan};
use pointsman_actors::catch_up::missed::Attempt;
use pointsman_actors::catch_up::port::{AttemptsPage, Carried, Deliveries, Said};
use pointsman_actors::catch_up::watched::Watched;
use pointsman_actors::event::{Headers, SourceName};
use pointsman_actors::executor::failure::{ErrorClass, Failure};
use pointsman_actors::store::Store;
use pointsman_actors::time::Timestamp;
use tokio::time::Instant;

use crate::stage::{CuedStore, Props, Stage, play, until};

const EVERY: Duration = Duration::from_secs(300);
const HOUR: Duration = Duration::from_secs(3_600);

/// When every scene begins.
const EPOCH: Timestamp = Timestamp::from_millis(1_800_000_000_000);

/// A provider that does as it is asked, and whose deliveries never come.
struct Vain {
    source: SourceName,
    attempts: Vec<Attempt>,
    asked: Mutex<Vec<(Instant, u64)>>,
    /// What the next calls fail with.
    failures: Mutex<Vec<Failure>>,
}

impl Vain {
    /// With a delivery that failed so long ago, for each of these.
    fn with(ago: &[Duration]) -> Arc<Self> {
        let attempt = |(id, ago): (u64, &Duration)| Attempt {
            id,
            guid: format!("guid-{id}"),
            at: EPOCH.minus(*ago),
            redelivery: false,
            delivered: false,
        };
        let attempts = (0..).zip(ago).map(attempt).collect();
        Arc::new(Self {
            source: SourceName::new("github"),
            attempts,
            asked: Mutex::default(),
            failures: Mutex::default(),
        })
    }

    fn ask<T: Send + 'static>(&self, attempt: Option<u64>, answer: T) -> Said<T> {
        let failure = self.failures.lock().unwrap().pop();
        if failure.is_none() {
            self.asked.lock().unwrap().extend(attempt.map(|attempt| (Instant::now(), attempt)));
        }
        Box::pin(async move { failure.map_or(Ok(answer), Err) })
    }

    fn asked(&self) -> Vec<(Instant, u64)> {
        self.asked.lock().unwrap().clone()
    }

    /// The whole minutes between the times at which it was asked.
    fn pauses(&self) -> Vec<u64> {
        self.asked().windows(2).map(|pair| pair[1].0.duration_since(pair[0].0).as_secs() / 60).collect()
    }
}

impl Deliveries for Vain {
    fn source(&self) -> &SourceName {
        &self.source
    }

    fn hooks(&self) -> Vec<String> {
        vec!["h".to_owned()]
    }

    fn page(&self, _: &str, _: Option<&str>) -> Said<AttemptsPage> {
        self.ask(None, AttemptsPage { items: self.attempts.clone(), next: None })
    }

    fn redeliver(&self, _: &str, attempt: u64) -> Said<()> {
        self.ask(Some(attempt), ())
    }

    fn fetch(&self, _: &str, attempt: u64) -> Said<Carried> {
        self.ask(Some(attempt), Carried { headers: Headers::default(), body: "{}".into() })
    }
}

async fn stage(store: Arc<CuedStore>, provider: &Arc<Vain>, mode: Mode) -> Stage {
    let deliveries = Arc::clone(provider) as Arc<dyn Deliveries>;
    let props = Props { catch_up: Plan::Watch { deliveries, mode, every: EVERY }, ..Props::default() };
    let stage = Stage::set_on(store, &[], props).await;
    stage.tree.start_worker(0);
    stage
}

impl Stage {
    fn watched(&self) -> Watched {
        self.tree.watches.all().pop().map(|(_, watched)| watched).unwrap_or_default()
    }
}

#[test]
fn what_does_not_come_is_asked_for_less_and_less_often_and_then_given_up_until_the_next_start() {
    play(async {
        let provider = Vain::with(&[HOUR]);
        let first = stage(CuedStore::new(), &provider, Mode::Redeliver).await;
        tokio::time::sleep(HOUR * 48).await;
        assert_eq!(provider.pauses(), [10, 20, 40, 80, 160, 320, 360, 360, 360]);
        let Watched { missed, requested, waiting, given_up, taken_in, failing, .. } = first.watched();
        assert_eq!((missed, requested, waiting, given_up, taken_in, failing), (1, 10, 1, 1, 0, None));
        let [kept] = &first.store.checkpoints().await.unwrap()[..] else { panic!("one checkpoint") };
        assert_eq!((kept.missed[0].guid.as_str(), kept.missed[0].tries), ("guid-0", 10));
        let second = stage(Arc::clone(&first.store), &provider, Mode::Redeliver).await;
        until("it to look", async || second.watched().looks > 0).await;
        assert_eq!((second.watched().requested, provider.asked().len()), (1, 11), "once more, and at once");
    });
}

#[test]
fn what_becomes_too_old_before_it_comes_is_lost_and_counted() {
    play(async {
        let provider = Vain::with(&[HOUR * 71, HOUR]);
        let stage = stage(CuedStore::new(), &provider, Mode::Redeliver).await;
        tokio::time::sleep(HOUR).await;
        let Watched { missed, lost, waiting, .. } = stage.watched();
        assert_eq!((missed, lost, waiting), (2, 1, 1));
        let of_it = provider.asked().into_iter().filter(|(_, attempt)| *attempt == 0).count();
        assert_eq!(of_it, 3, "it was asked for as long as there was time");
    });
}

#[test]
fn what_may_pass_is_tried_again_soon_and_what_will_not_at_the_next_look() {
    play(async {
        let provider = Vain::with(&[HOUR, HOUR]);
        let fails = |class, text: &str| provider.failures.lock().unwrap().push(Failure::new(class, text));
        fails(ErrorClass::Temporary, "try again");
        let scene = stage(CuedStore::new(), &provider, Mode::Redeliver).await;
        until("it to say so", async || scene.watched().failing == Some("temporary: try again".to_owned())).await;
        let began = Instant::now();
        until("it to look", async || scene.watched().looks == 1).await;
        assert!(began.elapsed() <= Duration::from_secs(2), "what may pass is tried again soon");
        assert_eq!((provider.asked().len(), scene.watched().failing), (2, None));
        tokio::time::sleep(EVERY).await;
        fails(ErrorClass::Authorization, "not allowed");
        until("it to say so", async || scene.watched().failing.is_some()).await;
        assert_eq!(scene.watched().failing.as_deref(), Some("authorization: not allowed"));
        let looks = scene.watched().looks;
        tokio::time::sleep(EVERY - Duration::from_secs(1)).await;
        assert_eq!(scene.watched().looks, looks, "nobody asks sooner than usual for what will not pass");
    });
}

#[test]
fn what_this_server_does_not_take_is_tried_as_often_as_what_does_not_come() {
    play(async {
        // No source is on here.
        let provider = Vain::with(&[HOUR, HOUR]);
        let stage = stage(CuedStore::new(), &provider, Mode::Ingest).await;
        until("it to look", async || stage.watched().looks == 1).await;
        let watched = stage.watched();
        assert_eq!((watched.taken_in, watched.waiting), (0, 2));
        assert!(watched.failing.unwrap().contains("no such webhook source"));
        tokio::time::sleep(HOUR * 48).await;
        assert_eq!((provider.asked().len(), stage.watched().given_up), (20, 2));
    });
}
