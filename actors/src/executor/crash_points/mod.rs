//! Every point at which a process can end, and every pair of them: canonical workflows are driven over a
//! store of which only what is flushed outlives a process, against a provider that keeps a ledger. The
//! process ends at the point, and the next one goes on to the end.
//!
//! Points lie between a decision and its flush, between flush and effect, between an effect and the arrival
//! of its outcome, and between an intake and whoever is told of it.

mod parts;
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
    assert!(covered > 250, "{covered}");
}

#[test]
fn every_pair_of_points_leads_to_the_same_end() {
    let mut covered = 0;
    for story in stories() {
        for first in 1..=points(&story) {
            // After a crash there are other points than without: the second one may lie anywhere among them.
            for second in first + 1.. {
                let mut world = World::new(&story, &[first, second]);
                world.come_to_rest();
                check(&world);
                if world.fired < 2 {
                    break;
                }
                covered += 1;
            }
        }
    }
    println!("{covered} pairs");
    assert!(covered > 3_000, "{covered}");
}
