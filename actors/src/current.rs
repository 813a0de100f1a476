//! What is in force now: a value that is replaced whole while others read it.
//!
//! Whoever has got it has it as it was, also when another takes its place meanwhile; nobody ever sees half of each.

use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};

/// A value that can be replaced. Clones share it.
#[derive(Debug)]
pub struct Current<T>(Arc<ArcSwap<T>>);

impl<T> Current<T> {
    /// Starts with this value.
    pub fn new(value: T) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(value)))
    }

    /// What is in force. It takes no lock and, held for a moment only, counts nothing.
    pub fn get(&self) -> Guard<Arc<T>> {
        self.0.load()
    }

    /// Puts another in force.
    pub fn replace(&self, value: T) {
        self.0.store(Arc::new(value));
    }
}

impl<T> Clone for Current<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: Default> Default for Current<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_got_it_has_it_as_it_was() {
        let current = Current::new(1);
        let (kept, shared) = (current.get(), current.clone());
        shared.replace(2);
        assert_eq!((**kept, **current.get()), (1, 2));
    }
}
