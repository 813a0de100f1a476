//! Runs as the operator API shows them, and what their journals say.

use std::collections::BTreeMap;

use serde_json::Value;

/// An entry of a journal.
#[derive(Clone, Copy)]
pub struct Entry<'a>(&'a Value);

/// The journal of a run.
pub fn entries(run: &Value) -> impl Iterator<Item = Entry<'_>> {
    run["journal"].as_array().into_iter().flatten().map(Entry)
}

/// A text of a value; empty when it has none of this name.
pub fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

/// A time of a value, in milliseconds since the Unix epoch.
pub fn millis(value: &Value, pointer: &str) -> Option<i64> {
    let at = chrono::DateTime::parse_from_rfc3339(value.pointer(pointer)?.as_str()?).ok()?;
    Some(at.timestamp_millis())
}

/// Whether nothing more happens to a run by itself.
pub fn is_over(run: &Value) -> bool {
    matches!(text(run, "status"), "succeeded" | "failed" | "timed_out" | "cancelled" | "superseded")
}

impl<'a> Entry<'a> {
    /// What it says: `attempted`, `succeeded`, …
    pub fn what(self) -> &'a str {
        text(self.0, "entry")
    }

    /// The step that it is about.
    pub fn step(self) -> &'a str {
        text(self.0, "step")
    }

    /// A text of it.
    pub fn text(self, name: &str) -> &'a str {
        text(self.0, name)
    }

    /// When it was written, in milliseconds since the Unix epoch.
    pub fn at(self) -> i64 {
        millis(self.0, "/at").unwrap_or_default()
    }

    /// The time to which this points.
    pub fn millis(self, pointer: &str) -> Option<i64> {
        millis(self.0, pointer)
    }

    /// The value to which this points.
    pub fn value(self, pointer: &str) -> Option<&'a Value> {
        self.0.pointer(pointer)
    }

    /// The steps that it has done again, if it is a restart.
    pub fn done_again(self) -> impl Iterator<Item = &'a str> {
        self.0["steps"].as_array().into_iter().flatten().filter_map(Value::as_str)
    }
}

/// What a run does while nothing of it is at work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Idle {
    /// It waits to be called back.
    Wait,
    /// It pauses because a step says so.
    Pause,
    /// It pauses before the next attempt.
    Retry,
}

impl Idle {
    /// What such times are called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Wait => "waits",
            Self::Pause => "pauses",
            Self::Retry => "pauses before another attempt",
        }
    }
}

/// When a run was idle, and what for: from and to, in milliseconds since the Unix epoch.
pub fn idle(run: &Value) -> Vec<(Idle, i64, i64)> {
    let (mut since, mut found): (BTreeMap<&str, (Idle, i64)>, Vec<_>) = Default::default();
    for entry in entries(run) {
        if let Some((idle, from)) = since.remove(entry.step()) {
            found.push((idle, from, entry.at()));
        }
        let idle = match entry.what() {
            "waiting" => Some(Idle::Wait),
            "delayed" => Some(Idle::Pause),
            "failed" if entry.value("/retry_at").is_some() => Some(Idle::Retry),
            _ => None,
        };
        since.extend(idle.map(|idle| (entry.step(), (idle, entry.at()))));
    }
    found
}

/// What a journal says of the attempts with one key: those of a step in a generation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tried {
    /// How many.
    pub attempts: usize,
    /// When the first of them was written down.
    pub first_at: i64,
    /// When their success was.
    pub done_at: Option<i64>,
}

/// What journals say of attempts, by key.
pub fn tried<'a>(runs: impl IntoIterator<Item = &'a Value>) -> BTreeMap<&'a str, Tried> {
    let mut tried: BTreeMap<&str, Tried> = BTreeMap::new();
    for run in runs {
        let mut key_of: BTreeMap<&str, &str> = BTreeMap::new();
        for entry in entries(run) {
            match entry.what() {
                "attempted" => {
                    let key = entry.text("key");
                    key_of.insert(entry.step(), key);
                    let tried = tried.entry(key).or_insert_with(|| Tried { first_at: entry.at(), ..Tried::default() });
                    tried.attempts += 1;
                }
                "succeeded" => {
                    if let Some(tried) = key_of.get(entry.step()).and_then(|key| tried.get_mut(key)) {
                        tried.done_at = Some(entry.at());
                    }
                }
                _ => {}
            }
        }
    }
    tried
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn idle_times_end_with_what_comes_next_of_their_step() {
        let at = |second: u32| format!("2026-01-05T10:00:{second:02}.000Z");
        let entry = |second, what: &str, step: &str| json!({"at": at(second), "entry": what, "step": step});
        let mut failed = entry(2, "failed", "b");
        failed["retry_at"] = at(3).into();
        let journal = [
            entry(0, "delayed", "a"),
            entry(1, "succeeded", "a"),
            failed,
            entry(5, "attempted", "b"),
            entry(6, "failed", "b"),
            entry(7, "waiting", "c"),
            entry(9, "failed", "c"),
        ];
        let first = millis(&journal[0], "/at").unwrap();
        let spans = idle(&json!({ "journal": journal }));
        let seconds = |(idle, from, to): &(Idle, i64, i64)| (*idle, (from - first) / 1_000, (to - first) / 1_000);
        let expect = [(Idle::Pause, 0, 1), (Idle::Retry, 2, 5), (Idle::Wait, 7, 9)];
        assert_eq!(spans.iter().map(seconds).collect::<Vec<_>>(), expect);
    }
}
