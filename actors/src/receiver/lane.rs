//! Where those go one after the other who would be told that they come too often if they could not prove who they are.
//!
//! A delivery passes several components, and waits at each of them for all others that are on their way on its thread. A flood of hundreds of
//! connections would so make each step of a signed delivery as long as all of the flood. In the lane only a few of the flood are
//! on their way at once, and the others wait once, in the order in which they came.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::refusal::Refusal;

/// Deliveries of a lane that are on their way at once. Each is at work or waits for a component, so that a few keep the thread busy
/// when nobody else does.
const AT_A_TIME: usize = 4;

/// Deliveries that wait for a turn at most, in all lanes. A connection on which requests come before the answers to those before them can
/// hold 200 KB; a lane deals with tens of thousands of them in a second.
const MOST_WAITING: usize = 2_048;

/// The lanes of all HTTP workers.
#[derive(Clone, Debug, Default)]
pub struct Lanes {
    waiting: Arc<AtomicUsize>,
}

/// The lane of one HTTP worker.
#[derive(Clone, Debug)]
pub struct Lane {
    turns: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
}

/// A turn in the lane. It ends when it is dropped: when its sender has proved who it is, is refused, or is waited for.
#[derive(Debug)]
pub struct Turn {
    _place: OwnedSemaphorePermit,
}

impl Lanes {
    /// Another lane.
    pub fn lane(&self) -> Lane {
        Lane { turns: Arc::new(Semaphore::new(AT_A_TIME)), waiting: Arc::clone(&self.waiting) }
    }
}

impl Lane {
    /// Waits for a turn; not when too many do already.
    pub async fn turn(&self) -> Result<Turn, Refusal> {
        if let Ok(place) = Arc::clone(&self.turns).try_acquire_owned() {
            return Ok(Turn { _place: place });
        }
        let _waits = Waits::among(&self.waiting).ok_or(Refusal::Overloaded)?;
        // A lane is never closed.
        let place = Arc::clone(&self.turns).acquire_owned().await.map_err(|_| Refusal::Overloaded)?;
        Ok(Turn { _place: place })
    }
}

/// One of those who wait, as long as it does.
struct Waits<'a>(&'a AtomicUsize);

impl<'a> Waits<'a> {
    fn among(waiting: &'a AtomicUsize) -> Option<Self> {
        let another = |number: usize| (number < MOST_WAITING).then_some(number + 1);
        waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, another).ok()?;
        Some(Self(waiting))
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn a_few_go_at_a_time_in_the_order_in_which_they_came() {
        let lane = Lanes::default().lane();
        let turn = || lane.turn().now_or_never();
        let mut turns: Vec<Turn> = (0..AT_A_TIME).map(|_| turn().unwrap().unwrap()).collect();
        let (mut first, mut second) = (Box::pin(lane.turn()), Box::pin(lane.turn()));
        assert!((&mut first).now_or_never().is_none() && (&mut second).now_or_never().is_none());
        drop(turns.pop());
        assert!((&mut second).now_or_never().is_none() && turn().is_none());
        assert!((&mut first).now_or_never().is_some());
    }

    #[test]
    fn only_so_many_wait_and_whoever_gives_up_makes_room() {
        let lanes = Lanes::default();
        let (lane, other) = (lanes.lane(), lanes.lane());
        let _turns: Vec<_> =
            (0..AT_A_TIME).map(|_| (lane.turn().now_or_never(), other.turn().now_or_never())).collect();
        let mut waiting: Vec<_> = (0..MOST_WAITING).map(|_| Box::pin(lane.turn())).collect();
        assert!(waiting.iter_mut().all(|waits| waits.now_or_never().is_none()));
        assert_eq!(other.turn().now_or_never().unwrap().unwrap_err(), Refusal::Overloaded);
        waiting.pop();
        assert!(other.turn().now_or_never().is_none());
    }
}
