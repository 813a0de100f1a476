//! Where those go one after the other who would be told that they come too often if they could not prove who they are.
//!
//! A delivery passes several components, and waits at each of them for all others that are on their way on its thread. A flood of hundreds of
//! connections would so make each step of a signed delivery as long as all of the flood. In the lane only a few of the flood are
//! on their way at once, and the others wait once, in the order in which they came.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Deliveries of the lane that are on their way at once, on one worker. Each is at work or waits for a component, so that a
/// few keep the thread busy when nobody else does.
const AT_A_TIME: usize = 4;

/// The lane of one HTTP worker.
#[derive(Clone, Debug)]
pub struct Lane(Arc<Semaphore>);

/// A turn in the lane. It ends when it is dropped: when its sender has proved who it is, is refused, or is waited for.
#[derive(Debug)]
pub struct Turn {
    _place: OwnedSemaphorePermit,
}

impl Default for Lane {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(AT_A_TIME)))
    }
}

impl Lane {
    /// Waits for a turn. The lane is never closed; if it were, nobody would wait.
    pub async fn turn(&self) -> Option<Turn> {
        Arc::clone(&self.0).acquire_owned().await.ok().map(|place| Turn { _place: place })
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn a_few_go_at_a_time_in_the_order_in_which_they_came() {
        let lane = Lane::default();
        let turn = || lane.turn().now_or_never().flatten();
        let mut turns: Vec<Turn> = (0..AT_A_TIME).filter_map(|_| turn()).collect();
        assert_eq!(turns.len(), AT_A_TIME);
        let mut first = Box::pin(lane.turn());
        let mut second = Box::pin(lane.turn());
        assert!((&mut first).now_or_never().is_none() && (&mut second).now_or_never().is_none());
        drop(turns.pop());
        assert!((&mut second).now_or_never().is_none() && turn().is_none());
        assert!((&mut first).now_or_never().is_some());
    }
}
