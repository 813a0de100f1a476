//! Every point at which a process can end, and every pair of them: canonical workflows are driven over a
//! store that knows what is written from what is flushed, against a provider that keeps a ledger. The
//! process ends at the point, what was not flushed is gone, and the next one goes on to the end.
//!
//! Points lie before a write, between write and flush, between flush and effect, and between an effect and
//! the record of its outcome.

mod process;
mod stories;
mod world;

use stories::{Canonical, stories};
use world::{World, check};

/// How many points a story has when nothing ends early.
fn points(story: &Canonical) -> usize {
    let mut world = World::new(story, &[]);
    world.come_to_rest();
    check(&world);
    world.points
}

#[test]
fn every_point_leads_to_the_same_end() {
    let mut covered = 0;
    for story in stories() {
        for point in 1..=points(&story) {
            let mut world = World::new(&story, &[point]);
            world.come_to_rest();
            check(&world);
            covered += 1;
        }
    }
    println!("{covered} single points");
    assert!(covered > 300, "{covered}");
}

#[test]
fn every_pair_of_points_leads_to_the_same_end() {
    let mut covered = 0;
    for story in stories() {
        // After a crash there are more points than without: a second one may lie anywhere among them.
        let most = 2 * points(&story) + 8;
        for first in 1..=most {
            for second in first + 1..=most {
                let mut world = World::new(&story, &[first, second]);
                world.come_to_rest();
                check(&world);
                covered += 1;
            }
        }
    }
    println!("{covered} pairs");
    assert!(covered > 10_000, "{covered}");
}
