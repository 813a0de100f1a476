//! A tree as it will be when a batch is applied: what the batch changes is seen by what comes later in it.

use std::collections::BTreeMap;

use sled::{Batch, Tree};

/// A row: its key and its value.
pub type Row = (Vec<u8>, Vec<u8>);

/// A tree, and what a batch changes in it.
pub struct Overlay {
    tree: Tree,
    /// Key → its new value; none where it is removed.
    changes: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
}

impl Overlay {
    /// A tree of which nothing is changed.
    pub fn new(tree: &Tree) -> Self {
        Self { tree: tree.clone(), changes: BTreeMap::new() }
    }

    /// Whether anything is.
    pub fn is_changed(&self) -> bool {
        !self.changes.is_empty()
    }

    /// The value of a key.
    pub fn get(&self, key: &[u8]) -> sled::Result<Option<Vec<u8>>> {
        match self.changes.get(key) {
            Some(changed) => Ok(changed.clone()),
            None => Ok(self.tree.get(key)?.map(|value| value.to_vec())),
        }
    }

    /// Puts a value.
    pub fn insert(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.changes.insert(key, Some(value));
    }

    /// Removes a key.
    pub fn remove(&mut self, key: Vec<u8>) {
        self.changes.insert(key, None);
    }

    /// Up to `limit` rows whose keys begin with `prefix`, from the key `from` on, in the order of their keys.
    pub fn rows(&self, prefix: &[u8], from: &[u8], limit: usize) -> sled::Result<Vec<Row>> {
        let mut rows: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
        // What the batch removes does not count.
        let removed = self.changes.values().filter(|value| value.is_none()).count();
        for row in self.tree.range(from..).take(limit.saturating_add(removed)) {
            let (key, value) = row?;
            if !key.starts_with(prefix) {
                break;
            }
            rows.insert(key.to_vec(), value.to_vec());
        }
        for (key, value) in self.changes.range(from.to_vec()..).take_while(|(key, _)| key.starts_with(prefix)) {
            match value {
                Some(value) => _ = rows.insert(key.clone(), value.clone()),
                None => _ = rows.remove(key),
            }
        }
        Ok(rows.into_iter().take(limit).collect())
    }

    /// The tree.
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// What the batch changes in it.
    pub fn batch(&self) -> Batch {
        let mut batch = Batch::default();
        for (key, value) in &self.changes {
            match value {
                Some(value) => batch.insert(key.as_slice(), value.as_slice()),
                None => batch.remove(key.as_slice()),
            }
        }
        batch
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_changed_is_seen_and_nothing_else_of_the_tree_is() {
        let db = sled::Config::new().temporary(true).open().unwrap();
        for key in ["a1", "a2", "a3", "b1"] {
            db.insert(key, "old").unwrap();
        }
        let mut overlay = Overlay::new(&db);
        assert!(!overlay.is_changed());
        overlay.remove(b"a1".to_vec());
        overlay.insert(b"a3".to_vec(), b"new".to_vec());
        overlay.insert(b"a4".to_vec(), b"new".to_vec());
        let keys = |from: &str, limit| {
            let rows = overlay.rows(b"a", from.as_bytes(), limit).unwrap();
            rows.into_iter().map(|(key, value)| [key, value].concat()).collect::<Vec<_>>()
        };
        assert_eq!(keys("a", 9), [b"a2old", b"a3new", b"a4new"]);
        assert_eq!(keys("a", 2), [b"a2old", b"a3new"]);
        assert_eq!(keys("a4", 2), [b"a4new"]);
        assert_eq!((overlay.get(b"a1").unwrap(), overlay.get(b"b1").unwrap()), (None, Some(b"old".to_vec())));
        db.apply_batch(overlay.batch()).unwrap();
        assert_eq!((db.get("a1").unwrap(), db.len()), (None, 4));
    }
}
