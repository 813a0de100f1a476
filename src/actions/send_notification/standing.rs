//! What earlier attempts have noted of each target. Pure.

use std::collections::BTreeMap;

use pointsman_actors::executor::port::Earlier;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// A note of an attempt about one target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// The target.
    pub target: String,
    /// What has become of the message.
    #[serde(flatten)]
    pub is: Is,
}

/// What has become of a message to a target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Is {
    /// It is about to leave.
    Leaving,
    /// It was taken.
    Sent,
    /// Nobody knows.
    InDoubt {
        /// Why.
        why: String,
    },
    /// It was not taken.
    NotSent,
}

impl Note {
    /// As it is written down.
    pub fn written(target: &str, is: Is) -> Json {
        serde_json::to_value(Self { target: target.to_owned(), is }).unwrap_or_default()
    }
}

/// Where a message stands that is not to be sent, or not again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settled {
    /// It was taken.
    Sent,
    /// Nobody knows, and nobody has ruled that it is sent again.
    InDoubt(String),
}

/// The targets that nothing is sent to any more, by what attempts have noted. A message that was about to leave and of which
/// no more is known is in doubt; to a target that recognises repetitions (`is_keyed`) that is sent again.
pub fn settled(earlier: &Earlier, is_keyed: impl Fn(&str) -> bool) -> BTreeMap<String, Settled> {
    let mut settled = BTreeMap::new();
    for (place, note) in earlier.notes.iter().enumerate() {
        let Ok(Note { target, is }) = serde_json::from_value(note.clone()) else { continue };
        let doubt = match is {
            Is::Sent => {
                settled.insert(target, Settled::Sent);
                continue;
            }
            Is::NotSent => None,
            Is::Leaving => Some("the attempt was cut off before it was known whether the message was taken".to_owned()),
            Is::InDoubt { why } => Some(why),
        };
        match doubt.filter(|_| place >= earlier.ruled && !is_keyed(&target)) {
            Some(why) => _ = settled.insert(target, Settled::InDoubt(why)),
            None => _ = settled.remove(&target),
        }
    }
    settled
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_taken_is_not_sent_again_and_what_is_in_doubt_only_when_somebody_says_so() {
        let (leaving, sent, not_sent) = (Is::Leaving, Is::Sent, Is::NotSent);
        let doubt = Is::InDoubt { why: "x".into() };
        let check = |notes: &[&Is], ruled: usize, is_keyed: bool, expect: Option<&str>| {
            let notes: Vec<Json> = notes.iter().map(|is| Note::written("ops", (*is).clone())).collect();
            let settled = settled(&Earlier { notes, ruled }, |_| is_keyed);
            let found = settled.get("ops").map(|settled| match settled {
                Settled::Sent => "sent",
                Settled::InDoubt(why) => why,
            });
            assert_eq!(found.map(|found| found.chars().take(15).collect()), expect.map(str::to_owned), "{settled:?}");
        };
        check(&[], 0, false, None);
        check(&[&leaving], 0, false, Some("the attempt was"));
        check(&[&leaving], 1, false, None);
        check(&[&leaving], 0, true, None);
        check(&[&leaving, &sent], 0, false, Some("sent"));
        check(&[&leaving, &sent], 2, true, Some("sent"));
        check(&[&leaving, &not_sent], 0, false, None);
        check(&[&leaving, &doubt], 0, false, Some("x"));
        check(&[&leaving, &doubt], 2, false, None);
        check(&[&leaving, &doubt, &leaving], 2, false, Some("the attempt was"));
        check(&[&leaving, &doubt, &leaving, &not_sent], 2, false, None);
    }

    #[test]
    fn targets_do_not_mix_and_other_notes_are_none() {
        let notes = vec![
            json!({ "process": { "pid": 7 } }),
            Note::written("ops", Is::Sent),
            Note::written("dev", Is::Leaving),
            Note::written("dev", Is::NotSent),
        ];
        let settled = settled(&Earlier { notes, ruled: 0 }, |_| false);
        assert_eq!(settled, BTreeMap::from([("ops".to_owned(), Settled::Sent)]));
    }
}
