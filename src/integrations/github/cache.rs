//! What GitHub answered before, by its ETag: that it is still so costs nothing of the rate limit. Pure.
//!
//! Rule: docs.github.com/rest, "Best practices", conditional requests. What is here is never used without asking.

use std::collections::VecDeque;

use bytes::Bytes;
use reqwest::header::HeaderValue;

/// Most answers that are kept.
const MOST: usize = 128;

/// Most bytes of one: a pull request takes about 25 KiB.
const LARGEST: usize = 64 << 10;

/// The answers, the one that was used last at the end.
#[derive(Default)]
pub(super) struct Cache(VecDeque<(String, Known)>);

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known {
    /// What it was named.
    pub etag: HeaderValue,
    /// Where it goes on, of a list: GitHub need not say it again.
    pub link: Option<HeaderValue>,
    /// What it said.
    pub body: Bytes,
}

impl Cache {
    /// What was answered for `path`.
    pub fn get(&mut self, path: &str) -> Option<Known> {
        let place = self.0.iter().position(|(known, _)| known == path)?;
        let entry = self.0.remove(place)?;
        let known = entry.1.clone();
        self.0.push_back(entry);
        Some(known)
    }

    /// This was answered for `path`.
    pub fn put(&mut self, path: &str, known: Known) {
        self.0.retain(|(other, _)| other != path);
        if known.body.len() <= LARGEST {
            self.0.push_back((path.to_owned(), known));
        }
        if self.0.len() > MOST {
            self.0.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(body: &str) -> Known {
        Known { etag: HeaderValue::from_static("\"e\""), link: None, body: Bytes::copy_from_slice(body.as_bytes()) }
    }

    #[test]
    fn what_was_not_used_for_longest_goes_first() {
        let mut cache = Cache::default();
        for number in 0..MOST {
            cache.put(&format!("/{number}"), known("x"));
        }
        assert_eq!(cache.get("/0"), Some(known("x")));
        cache.put("/new", known("y"));
        assert_eq!((cache.get("/0"), cache.get("/1"), cache.get("/new")), (Some(known("x")), None, Some(known("y"))));
    }

    #[test]
    fn what_is_large_is_not_kept_and_neither_is_what_was_before_it() {
        let mut cache = Cache::default();
        cache.put("/a", known("x"));
        cache.put("/a", known(&"x".repeat(LARGEST + 1)));
        assert_eq!(cache.get("/a"), None);
    }
}
