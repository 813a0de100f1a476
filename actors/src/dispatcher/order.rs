//! Which of two runs of a group is newer, by what their definition orders them by. Pure.

use std::cmp::Ordering;

use serde_json::Value as Json;

use crate::event::HeadOrder;

/// Compares what two runs are ordered by; `None` when neither is newer.
pub fn compare(a: &Json, b: &Json) -> Option<Ordering> {
    match (a, b) {
        (Json::Number(a), Json::Number(b)) => a.as_f64()?.partial_cmp(&b.as_f64()?),
        (Json::String(a), Json::String(b)) => Some(a.cmp(b)),
        (Json::Object(_), Json::Object(_)) => {
            let head = |value: &Json| serde_json::from_value::<HeadOrder>(value.clone()).ok();
            heads(&head(a)?, &head(b)?)
        }
        _ => None,
    }
    .filter(|ordering| *ordering != Ordering::Equal)
}

/// GitHub gives no sequence for the heads of a pull request: the later `updated_at` wins, on a tie the
/// one whose `before` is the other's `after`.
fn heads(a: &HeadOrder, b: &HeadOrder) -> Option<Ordering> {
    if a.updated_at != b.updated_at {
        return Some(a.updated_at.cmp(&b.updated_at));
    }
    let follows = |later: &HeadOrder, earlier: &HeadOrder| later.before.is_some() && later.before == earlier.after;
    match (follows(a, b), follows(b, a)) {
        (true, false) => Some(Ordering::Greater),
        (false, true) => Some(Ordering::Less),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn heads_are_ordered_by_time_and_then_by_parentage() {
        let head =
            |at: &str, before: Option<&str>, after: &str| json!({"updated_at": at, "before": before, "after": after});
        let check = |a: Json, b: Json, expect: Option<Ordering>| {
            assert_eq!(compare(&a, &b), expect, "{a} {b}");
            assert_eq!(compare(&b, &a), expect.map(Ordering::reverse), "{b} {a}");
        };
        check(
            head("2026-01-01T00:00:02Z", None, "b"),
            head("2026-01-01T00:00:01Z", None, "a"),
            Some(Ordering::Greater),
        );
        check(head("t", Some("a"), "b"), head("t", None, "a"), Some(Ordering::Greater));
        check(head("t", None, "b"), head("t", None, "a"), None);
        check(head("t", Some("b"), "a"), head("t", Some("a"), "b"), None);
        check(json!(2), json!(1), Some(Ordering::Greater));
        check(json!("b"), json!("a"), Some(Ordering::Greater));
        check(json!(1), json!(1), None);
        check(json!(null), json!(1), None);
    }
}
