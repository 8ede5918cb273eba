//! Timers on their way to the operator.

use tidewheel_types::BytesColumn;
use tidewheel_types::keyed_state::StateKey;

/// Timers that are due, as columns, in the order in which they fire. No two are of the same key and namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DueTimers {
    /// The keys' hashes.
    pub hashes: Vec<u64>,
    /// The keys.
    pub keys: BytesColumn,
    /// The namespaces.
    pub namespaces: BytesColumn,
    /// The slots.
    pub slots: Vec<u16>,
    /// The times.
    pub times: Vec<i64>,
}

impl DueTimers {
    /// Number of timers.
    pub fn len(&self) -> usize {
        self.times.len()
    }

    /// Whether there is no timer.
    pub fn is_empty(&self) -> bool {
        self.times.is_empty()
    }

    /// Key and namespace of timer `index`.
    ///
    /// # Panics
    /// If there is no such timer.
    pub fn key(&self, index: usize) -> StateKey<'_> {
        StateKey { hash: self.hashes[index], key: self.keys.get(index), namespace: self.namespaces.get(index) }
    }

    /// Drops all timers, keeps the memory.
    pub(super) fn clear(&mut self) {
        self.hashes.clear();
        self.keys.clear();
        self.namespaces.clear();
        self.slots.clear();
        self.times.clear();
    }

    /// Adds a timer.
    #[inline]
    pub(super) fn push(&mut self, key: StateKey<'_>, slot: u16, time: i64) {
        self.hashes.push(key.hash);
        self.keys.push(key.key);
        self.namespaces.push(key.namespace);
        self.slots.push(slot);
        self.times.push(time);
    }
}
