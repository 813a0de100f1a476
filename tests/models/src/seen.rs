//! Values that many states share: cloned by reference, and hashed once, when they are made. What a state is told
//! apart by is a hash of 64 bits; that two of a million states are taken for one has a chance of 1 in 10 million.

use std::collections::hash_map::DefaultHasher;
use std::fmt::Debug;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;

/// A value with its hash.
#[derive(Clone, Debug)]
pub struct Seen<T> {
    value: Arc<T>,
    print: u64,
}

impl<T> Seen<T> {
    /// Of a value that can be hashed.
    pub fn of(value: T) -> Self
    where
        T: Hash,
    {
        let print = print(&value);
        Self { value: Arc::new(value), print }
    }

    /// Of a value that says all that it is when it is shown.
    pub fn shown(value: T) -> Self
    where
        T: Debug,
    {
        let print = print(&format!("{value:?}"));
        Self { value: Arc::new(value), print }
    }

    /// Of a value that is told apart by this text.
    pub fn known_by(value: T, text: &str) -> Self {
        Self { value: Arc::new(value), print: print(text) }
    }

    /// The same of one that has hash maps in it, which show their content in any order.
    pub fn unordered(value: T) -> Self
    where
        T: Debug,
    {
        let print = print(&in_order(&format!("{value:?}")));
        Self { value: Arc::new(value), print }
    }

    /// A copy that can be changed.
    pub fn copy(&self) -> T
    where
        T: Clone,
    {
        T::clone(&self.value)
    }
}

impl<T> Deref for Seen<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> Hash for Seen<T> {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        hasher.write_u64(self.print);
    }
}

impl<T> PartialEq for Seen<T> {
    fn eq(&self, other: &Self) -> bool {
        self.print == other.print
    }
}

/// The hash of a value, the same in every process.
pub fn print(value: &(impl Hash + ?Sized)) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// A shown value, with what stands between braces sorted: no text in it may have braces or brackets.
fn in_order(shown: &str) -> String {
    let mut open: Vec<(char, Vec<String>)> = vec![('[', vec![String::new()])];
    for letter in shown.chars() {
        match letter {
            '{' | '[' | '(' => open.push((letter, vec![String::new()])),
            '}' | ']' | ')' => {
                let Some((opened, mut parts)) = open.pop() else { continue };
                if opened == '{' {
                    parts.sort_unstable();
                }
                if let Some(last) = open.last_mut().and_then(|(_, parts)| parts.last_mut()) {
                    *last += &format!("{opened}{}{letter}", parts.join(","));
                }
            }
            ',' => open.iter_mut().last().into_iter().for_each(|(_, parts)| parts.push(String::new())),
            ' ' => {}
            other => {
                if let Some(last) = open.last_mut().and_then(|(_, parts)| parts.last_mut()) {
                    last.push(other);
                }
            }
        }
    }
    open.into_iter().flat_map(|(_, parts)| parts).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_are_shown_in_one_order_and_lists_in_theirs() {
        let check = |a: &str, b: &str, same: bool| assert_eq!(in_order(a) == in_order(b), same, "{a} {b}");
        check("Q { m: {1: [2, 3], 4: (5, 6)} }", "Q { m: {4: (5, 6), 1: [2, 3]} }", true);
        check("{1: [2, 3]}", "{1: [3, 2]}", false);
        check("{1: {2: 3}}", "{1: {2: 4}}", false);
        check("{1: {2: 3}, 4: {}}", "{1: {}, 4: {2: 3}}", false);
    }
}
