//! The drawing and the table are one.

use super::*;
use crate::supervisor::Thread;

/// The names and threads of the drawing at the head of this file, top to bottom.
fn drawn() -> Vec<(String, String)> {
    include_str!("tree.rs")
        .lines()
        .take_while(|line| line.starts_with("//!"))
        .filter_map(|line| line.strip_prefix("//! ├── ").or(line.strip_prefix("//! └── ")))
        .filter_map(|line| line.split_once(' '))
        .map(|(name, rest)| (name.to_owned(), rest.trim().to_owned()))
        .collect()
}

#[test]
fn the_drawing_is_the_table() {
    let drawn = drawn();
    let names: Vec<&str> = drawn.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, TABLE.iter().map(|row| row.component).collect::<Vec<_>>());
    for ((name, text), row) in drawn.iter().zip(&TABLE) {
        let place = match row.thread {
            Thread::HttpWorker => "on every HTTP worker",
            Thread::Committer => "on the committer thread",
            Thread::Work => "on the work thread",
        };
        assert!(text.starts_with(place), "{name} is drawn {text}, and stands {place}");
    }
}

#[test]
fn every_component_has_one_row() {
    for each in &TABLE {
        assert_eq!(row(each.component), Some(each));
        assert!(each.capacity > 0 && each.restart.intensity > 0 && !each.meaning.is_empty());
    }
}
