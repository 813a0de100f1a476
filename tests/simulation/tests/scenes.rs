//! Scenes that once went wrong, each set up exactly and on virtual time.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs, reason = "all of this is a test")]

mod stage;

use pointsman_actors::run::What;

use crate::stage::{Fate, Props, Stage, play};

const ONCE: &str = r#"steps = [{ name = "a", action = "send" }]"#;

#[test]
fn an_attempt_that_never_left_is_known_as_long_as_nobody_could_write_that_down() {
    play(async {
        let stage = Stage::set(&[("w", ONCE)], Props::default()).await;
        stage.store.cue(|entry| matches!(entry.what, What::Attempted { .. }), Fate::FailsAndIsThere);
        stage.store.cue(|entry| matches!(entry.what, What::Interrupted { .. }), Fate::Fails);
        let run = stage.start("w", 1).await;
        stage.until(run, "ended").await;
        let expect = ["begun", "a attempted", "a interrupted", "a attempted", "a succeeded", "ended"];
        assert_eq!(stage.words(run).await, expect);
        assert_eq!((stage.store.to_come(), stage.provider.calls("a")), (0, 1));
    });
}
