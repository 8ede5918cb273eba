//! Timers: host state that comes due.
//!
//! A timer belongs to a key, a namespace and a slot (a timer the component declares), and is there once per time. All
//! timers of a key and namespace are in one row (`row.rs`). A row waits in a queue at one time only, its earliest or
//! before that (`queue.rs`): setting one timer for each of many keys costs a look-up and a link, and moving a key's
//! timer to later, as sessions and time-outs do with every record, does not touch the queue at all.

mod due;
mod queue;
mod row;

use crate::error::StateError;
use crate::index::RowHash;
use crate::key_codec::{EntryKey, StateId, TIMERS};
use crate::key_table::{KeyTable, LOOKAHEAD, Row, TableKey, Touch, fill, unpack_key};
use crate::packed::PackedEntries;
use crate::rows::RowId;
pub use due::DueTimers;
use queue::Queue;
use row::TimerRow;
pub use row::timers_of_row;
use std::hint::black_box;
use tidewheel_types::key_group::hash_key;
use tidewheel_types::keyed_state::StateKey;

/// A change to the timers of a key and namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimerChange {
    /// Set a timer. One that is there already stays.
    Set {
        /// Which timer.
        slot: u16,
        /// When it is due.
        time: i64,
    },
    /// Set a timer and delete all others of its slot.
    Replace {
        /// Which timer.
        slot: u16,
        /// When it is due.
        time: i64,
    },
    /// Delete a timer, if it is there.
    Delete {
        /// Which timer.
        slot: u16,
        /// When it is due.
        time: i64,
    },
    /// Delete all timers of a slot.
    DeleteAll {
        /// Which timer.
        slot: u16,
    },
}

/// The timers of one operator on one worker that follow one clock.
pub struct Timers {
    rows: KeyTable<TimerRow>,
    queue: Queue,
    /// Those of keys and namespaces that a snapshot has and that are gone.
    gone: PackedEntries,
}

impl Default for Timers {
    fn default() -> Self {
        Timers::new()
    }
}

impl Timers {
    /// No timers, and there will be no snapshots of them.
    pub fn new() -> Self {
        Timers::with_tracking(TIMERS, false)
    }

    /// No timers. Which state of snapshots they are, and whether it is to be tracked which ones change.
    pub(crate) fn with_tracking(state: StateId, is_tracking: bool) -> Self {
        Timers { rows: KeyTable::new(is_tracking), queue: Queue::default(), gone: PackedEntries::new(state) }
    }

    /// Applies changes in order. Taking many at once lets what they need of memory be fetched together.
    pub fn change(&mut self, changes: &mut dyn Iterator<Item = (StateKey<'_>, TimerChange)>) {
        const NO_CHANGE: (TableKey<'_>, TimerChange) = (TableKey::EMPTY, TimerChange::DeleteAll { slot: 0 });
        let mut changes = changes.map(|(key, change)| (TableKey::new(key), change));
        let mut ahead = [NO_CHANGE; LOOKAHEAD];
        loop {
            let taken = fill(&mut ahead, &mut changes);
            let ahead = &ahead[..taken];
            black_box(ahead.iter().fold(0, |sum, (key, _)| sum ^ self.rows.touch_index(key)));
            black_box(ahead.iter().fold(0, |sum, (key, _)| sum ^ self.rows.touch_row(key)));
            ahead.iter().for_each(|(key, change)| self.change_one(key, *change));
            if taken < LOOKAHEAD {
                return;
            }
        }
    }

    /// The time of the earliest timer.
    pub fn next_time(&mut self) -> Option<i64> {
        loop {
            let (time, id) = self.queue.first()?;
            let own = self.rows.row(id).time();
            if own == time {
                return Some(time);
            }
            self.queue.unlink(&mut self.rows, id);
            self.queue.push(&mut self.rows, id, own);
        }
    }

    /// Takes out one round of the timers whose time is at or before `up_to`: of each key and namespace the earliest
    /// (of several at one time the one of the lowest slot), `limit` timers at most. They come in rising order of time;
    /// within one time, timers that were only ever set come in the order in which they were, and any in an order that
    /// depends on the calls made alone. `due` is cleared first.
    ///
    /// What comes of a round's timers is to be applied before the next round is taken: a key's next timer comes then,
    /// unless it was deleted. When a round is empty, no timer is due.
    pub fn due_round(&mut self, up_to: i64, limit: usize, due: &mut DueTimers) {
        due.clear();
        // Rows that fire leave the queue but stay in the table: they go, or wait for their next timer, at the end.
        let mut fired = Vec::new();
        let mut touched = 0;
        while due.len() < limit {
            let Some((time, first)) = self.queue.first().filter(|&(time, _)| time <= up_to) else { break };
            let mut next = first;
            while next != RowId::NONE && due.len() < limit {
                let id = next;
                let row = self.rows.row(id);
                next = row.links.after();
                if row.time() != time {
                    let own = row.time();
                    self.queue.push(&mut self.rows, id, own);
                    continue;
                }
                let key = unpack_key(row.packed());
                touched ^= self.rows.touch_index(&key);
                fired.push((id, key.hash));
                due.push(key.key, row.slot(), time);
            }
            self.queue.cut(&mut self.rows, time, next);
        }
        black_box(touched);
        for (id, hash) in fired {
            if self.rows.update(id, TimerRow::advance) {
                let time = self.rows.row(id).time();
                self.queue.push(&mut self.rows, id, time);
            } else {
                self.remove(id, hash);
            }
        }
    }

    /// Number of keys and namespaces that have a timer.
    pub fn keys(&self) -> usize {
        self.rows.len()
    }

    /// Number of keys and namespaces whose timers have changed since the last freeze.
    pub(crate) fn changed(&self) -> usize {
        self.rows.dirty()
    }

    /// Takes all for changed.
    pub(crate) fn touch_all(&mut self) {
        self.rows.touch_all();
    }

    /// Memory held, about, for metrics.
    pub fn bytes(&self) -> usize {
        self.rows.bytes() + self.queue.bytes() + self.gone.bytes()
    }

    /// Copies the timers of keys and namespaces that have changed since the last time.
    pub(crate) fn freeze(&mut self) -> PackedEntries {
        let mut entries = self.gone.take();
        let mut stored = Vec::new();
        self.rows.save(|row, _| {
            stored.clear();
            row.store(&mut stored);
            entries.put(row.packed(), &[], &stored);
        });
        entries
    }

    /// Adds the timers that a snapshot has for a key and namespace.
    pub(crate) fn load(&mut self, entry: &EntryKey<'_>, stored: &[u8]) -> Result<(), StateError> {
        let timers = row::stored_timers(stored);
        let timers =
            timers.ok_or_else(|| StateError::DamagedEntry { what: "it holds timers that are none".to_owned() })?;
        let key = StateKey { hash: hash_key(entry.key), key: entry.key, namespace: entry.namespace };
        let key = TableKey::new(key);
        timers.for_each(|(slot, time)| self.set_with(&key, slot, time, TimerRow::insert));
        Ok(())
    }

    /// All that was loaded is in a snapshot.
    pub(crate) fn loaded(&mut self) {
        self.rows.save(|_, _| {});
    }

    fn change_one(&mut self, key: &TableKey<'_>, change: TimerChange) {
        match change {
            TimerChange::Set { slot, time } => self.set_with(key, slot, time, TimerRow::insert),
            TimerChange::Replace { slot, time } => self.set_with(key, slot, time, TimerRow::replace),
            TimerChange::Delete { slot, time } => self.delete_with(key, |row| row.delete(slot, time)),
            TimerChange::DeleteAll { slot } => self.delete_with(key, |row| row.delete_all(slot)),
        }
    }

    /// Sets a timer, in a row that is there by `set`.
    #[inline]
    fn set_with(&mut self, key: &TableKey<'_>, slot: u16, time: i64, set: impl FnOnce(&mut TimerRow, u16, i64)) {
        let rows_before = self.rows.len();
        let id = self.rows.find_or_insert(key, || TimerRow::new(&key.key, slot, time));
        if self.rows.len() > rows_before {
            return self.queue.push(&mut self.rows, id, time);
        }
        self.rows.update(id, |row| set(row, slot, time));
        let row = self.rows.row(id);
        let time = row.time();
        if time < row.links.time() {
            self.queue.unlink(&mut self.rows, id);
            self.queue.push(&mut self.rows, id, time);
        }
    }

    /// Deletes timers of a row by `delete`, which says whether one is left.
    fn delete_with(&mut self, key: &TableKey<'_>, delete: impl FnOnce(&mut TimerRow) -> bool) {
        let Some(id) = self.rows.find(key) else { return };
        // The earliest timer can only have become a later one, so a row that is left may wait where it is.
        if !self.rows.update(id, delete) {
            self.queue.unlink(&mut self.rows, id);
            self.remove(id, key.hash);
        }
    }

    /// Removes a row that waits nowhere.
    fn remove(&mut self, id: RowId, hash: RowHash) {
        let (row, was_saved) = self.rows.remove(id, hash);
        if was_saved {
            self.gone.delete(row.packed(), &[]);
        }
    }
}
