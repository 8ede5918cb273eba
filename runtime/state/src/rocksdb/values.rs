//! Value states under a write-back cache.
//!
//! The cells of a key and namespace that are read together lie in one row, as in the memory backend; all of them are
//! known as soon as the row is there, also that there is none. A row that was read, or that has been written to a file
//! which is in the RocksDB, can be evicted: those go first that have not been used for longest (the clock algorithm).

use super::database::{Database, KeyBatch};
use super::marks::CacheMarks;
use crate::error::StateError;
use crate::key_codec::EntryKey;
use crate::key_table::{KeyTable, Row, TableKey, unpack_key};
use crate::pieces::{PiecePool, Pieces};
use crate::rows::RowId;
use crate::state_info::StateInfo;
use crate::value_codec::{ValueHead, set_expiry};
use crate::value_row::{FrozenValues, ValueRow, push_row};
use std::sync::Arc;
use tidewheel_types::key_group::KeyGroups;
use tidewheel_types::keyed_state::{Cells, StateKey};

/// One or more value states that are read together.
pub(super) struct CachedValues {
    table: KeyTable<ValueRow>,
    marks: CacheMarks,
    /// Cells of a row.
    states: usize,
    key_groups: KeyGroups,
    /// Where eviction goes on, as a number of 64 rows.
    hand: usize,
    batch: KeyBatch,
}

/// Every function takes what is known of all the states of the rows, in the order of the cells.
impl CachedValues {
    /// Nothing is known yet.
    pub(super) fn new(states: usize, key_groups: KeyGroups) -> Self {
        CachedValues {
            table: KeyTable::new(false),
            marks: CacheMarks::default(),
            states,
            key_groups,
            hand: 0,
            batch: KeyBatch::default(),
        }
    }

    /// Cells of a row.
    pub(super) fn states(&self) -> usize {
        self.states
    }

    /// Bytes of memory held.
    pub(super) fn bytes(&self) -> usize {
        self.table.bytes() + self.marks.bytes()
    }

    /// Bytes that rows take. What rows that were evicted took is used by the next ones.
    #[inline]
    pub(super) fn used_bytes(&self) -> usize {
        self.table.used_bytes()
    }

    /// Bytes of rows that have changed since the last freeze, about.
    #[inline]
    pub(super) fn dirty_bytes(&self) -> usize {
        self.bytes_of(self.marks.dirty_rows())
    }

    /// Bytes of rows that wait to be in the RocksDB, about.
    pub(super) fn pending_bytes(&self) -> usize {
        self.bytes_of(self.marks.pending_rows())
    }

    fn bytes_of(&self, rows: usize) -> usize {
        if rows == 0 { 0 } else { self.used_bytes() / self.table.len().max(1) * rows }
    }

    /// Adds the cells `first..first + states` of every key, key by key, and says where their rows are.
    pub(super) fn get(
        &mut self,
        database: &Database,
        infos: &[StateInfo],
        (first, states): (usize, usize),
        keys: &mut dyn Iterator<Item = StateKey<'_>>,
        cells: &mut Cells,
        found: &mut Vec<RowId>,
    ) -> Result<(), StateError> {
        found.clear();
        let peeks = cells.peeks;
        let wanted = &infos[first..first + states];
        let mut missing: Vec<(usize, TableKey<'_>)> = Vec::new();
        let mut push = |row: &ValueRow| {
            row.cells().skip(first).zip(wanted).for_each(|(cell, info)| cells.push(cell.live(row, info)));
        };
        let marks = &mut self.marks;
        self.table.for_each_keyed(keys, |key, row| match row {
            Some((id, row)) => {
                marks.use_row(id);
                found.push(id);
                if missing.is_empty() {
                    push(row);
                }
            }
            None => {
                missing.push((found.len(), *key));
                found.push(RowId::NONE);
            }
        });
        if let Some(&(first_missing, _)) = missing.first() {
            self.load(database, infos, &missing, found)?;
            found[first_missing..].iter().for_each(|&id| push(self.table.row(id)));
        }
        if !peeks && wanted.iter().any(StateInfo::refreshes) {
            found.iter().for_each(|&id| self.refresh(id, first, wanted));
        }
        Ok(())
    }

    /// Reads rows that are not in the cache, and puts in `found` where they are then.
    fn load(
        &mut self,
        database: &Database,
        infos: &[StateInfo],
        missing: &[(usize, TableKey<'_>)],
        found: &mut [RowId],
    ) -> Result<(), StateError> {
        let (table, marks, states) = (&mut self.table, &mut self.marks, self.states);
        for &(place, ref key) in missing {
            let mut is_new = false;
            found[place] = table.find_or_insert(key, || {
                is_new = true;
                ValueRow::new(&key.key, states)
            });
            if is_new {
                marks.insert(found[place], false);
            }
        }
        for (state, info) in infos.iter().enumerate() {
            self.batch.clear();
            for (number, (_, TableKey { key, .. })) in missing.iter().enumerate() {
                let key_group = self.key_groups.group_of_hash(key.hash);
                let (key, namespace) = (key.key, key.namespace);
                let entry = EntryKey { key_group, state: info.id, key, namespace, user_key: &[] };
                self.batch.push(number, |bytes| entry.encode(bytes));
            }
            database.get_many(&mut self.batch, |number, stored| {
                let Some(stored) = stored else { return Ok(()) };
                check(stored)?;
                let id = found[missing[number].0];
                marks.insert(id, true);
                if !info.is_expired(stored) {
                    table.update(id, |row| row.put(state, stored, &[]));
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Sets cell `state` of a row that has been read.
    #[inline]
    pub(super) fn put_found(&mut self, state: usize, id: RowId, info: &StateInfo, value: &[u8]) {
        self.marks.change(id);
        self.table.update(id, |row| row.put(state, info.head(), value));
    }

    /// Removes cell `state` of a row that has been read.
    pub(super) fn delete_found(&mut self, state: usize, id: RowId) {
        self.marks.change(id);
        self.table.update(id, |row| row.remove(state));
    }

    /// Sets the cell of `key`, the only one of its row, or removes it.
    pub(super) fn set(&mut self, key: &TableKey<'_>, info: &StateInfo, value: Option<&[u8]>) {
        debug_assert_eq!(self.states, 1, "the other cells would not be known");
        let mut is_new = false;
        let id = self.table.find_or_insert(key, || {
            is_new = true;
            ValueRow::new(&key.key, 1)
        });
        if is_new {
            // It has not been read what the RocksDB holds.
            self.marks.insert(id, true);
        }
        match value {
            Some(value) => self.put_found(0, id, info, value),
            None => self.delete_found(0, id),
        }
    }

    /// Lets the cells from `first` on of a row live on, which have been read.
    fn refresh(&mut self, id: RowId, first: usize, infos: &[StateInfo]) {
        for (state, info) in (first..).zip(infos) {
            let row = self.table.row(id);
            let cell = row.cell(state);
            let stored = row.stored(&cell);
            if info.is_expired(stored) {
                continue;
            }
            if let Some(expiry) = info.refreshed(stored) {
                self.marks.change(id);
                set_expiry(self.table.row_mut(id).stored_mut(&cell), expiry);
            }
        }
    }

    /// Copies the rows that have changed since the last time. They stay in the cache until all that was frozen up to
    /// number `generation` is in the RocksDB.
    pub(super) fn freeze(&mut self, infos: &[StateInfo], generation: u64, pool: &Arc<PiecePool>) -> FrozenValues {
        let states = infos.iter().map(|info| info.id).collect();
        let mut rows = Pieces::new(pool);
        let table = &self.table;
        self.marks.freeze(generation, |id, was_saved| {
            let row = table.row(id);
            let is_worth_it = was_saved || row.cells().any(|cell| !cell.absent());
            if is_worth_it {
                push_row(&mut rows, row.packed(), was_saved);
            }
            is_worth_it
        });
        FrozenValues { states, gone: Vec::new(), rows }
    }

    /// All that was frozen under a lower number than `generation` is in the RocksDB.
    pub(super) fn settle(&mut self, generation: u64) {
        self.marks.settle(generation);
    }

    /// Evicts rows until the others take at most `bytes_max`, as far as there are rows that can go.
    pub(super) fn evict(&mut self, bytes_max: usize) {
        // The first time round finds rows that have not been used, the second one those that have.
        for _ in 0..2 * self.marks.words() {
            if self.used_bytes() <= bytes_max {
                return;
            }
            self.hand = if self.hand + 1 < self.marks.words() { self.hand + 1 } else { 0 };
            for id in self.marks.evictable(self.hand) {
                let hash = unpack_key(self.table.row(id).packed()).hash;
                self.table.remove(id, hash);
                self.marks.remove(id);
            }
        }
    }
}

/// Whether what was read is a stored value.
pub(super) fn check(stored: &[u8]) -> Result<(), StateError> {
    match ValueHead::decode(stored) {
        Some(_) => Ok(()),
        None => Err(StateError::DamagedEntry { what: "it holds a value that is none".to_owned() }),
    }
}
