//! Value states: the cells of one key and namespace side by side in a row.

use crate::index::RowHash;
use crate::key_table::{KeyTable, Row, TableKey, Touch, packed_key_end, unpack_key};
use crate::pieces::{PiecePool, Pieces};
use crate::rows::RowId;
use crate::state_info::StateInfo;
use crate::value_codec::{expiry_of, set_expiry};
use crate::value_row::{FROZEN_ROW_BYTES, FrozenValues, ValueRow, push_row};
use std::sync::Arc;
use tidewheel_types::keyed_state::{Cells, StateKey};

/// One or more value states that are read together.
pub(super) struct Values {
    table: KeyTable<ValueRow>,
    /// Cells of a row.
    states: usize,
    /// Packed keys of rows that a snapshot has and that are gone.
    gone: Vec<u8>,
    /// Whether a cell may have an expiry.
    expires: bool,
    /// Rows that a read has found an expired cell in. Removing them has to wait until nobody has their place.
    expired: Vec<RowId>,
    /// How far the sweep for expired cells has come.
    swept: usize,
}

/// Most rows that wait in [`Values::expired`]; the sweep finds the others.
const EXPIRED_MAX: usize = 4096;

/// Every function takes what is known of the states, in the order of the cells.
impl Values {
    /// No rows yet. Whether it is to be tracked which ones change.
    pub(super) fn new(infos: &[StateInfo], is_tracking: bool) -> Self {
        Values {
            table: KeyTable::new(is_tracking),
            states: infos.len(),
            gone: Vec::new(),
            expires: infos.iter().any(StateInfo::expires),
            expired: Vec::new(),
            swept: 0,
        }
    }

    /// Cells of a row.
    pub(super) fn states(&self) -> usize {
        self.states
    }

    /// Number of rows.
    pub(super) fn rows(&self) -> usize {
        self.table.len()
    }

    /// Number of rows that have changed since the last freeze.
    pub(super) fn changed(&self) -> usize {
        self.table.dirty()
    }

    /// Takes all rows for changed.
    pub(super) fn touch_all(&mut self) {
        self.table.touch_all();
    }

    /// What to touch.
    pub(super) fn touch(&self) -> &dyn Touch {
        &self.table
    }

    /// Memory held, about.
    pub(super) fn bytes(&self) -> usize {
        self.table.bytes() + self.gone.capacity()
    }

    /// Adds cells `0..states` of every key, key by key, and says where their rows are, [`RowId::NONE`] for none.
    pub(super) fn get_first(
        &mut self,
        infos: &[StateInfo],
        keys: &mut dyn Iterator<Item = StateKey<'_>>,
        cells: &mut Cells,
        found: &mut Vec<RowId>,
    ) {
        found.clear();
        let expired = &mut self.expired;
        self.table.for_each(keys, |row| {
            found.push(row.map_or(RowId::NONE, |(id, _)| id));
            match row {
                Some((id, row)) => row.cells().zip(infos).for_each(|(cell, info)| {
                    let value = cell.live(row, info);
                    if value.is_none() && !cell.absent() {
                        note_expired(expired, id);
                    }
                    cells.push(value);
                }),
                None => infos.iter().for_each(|_| cells.push(None)),
            }
        });
        if infos.iter().any(StateInfo::refreshes) {
            found.iter().filter(|id| **id != RowId::NONE).for_each(|&id| self.refresh(id, 0, infos));
        }
    }

    /// As [`put`](Self::put), where the row of `key` has been found, or has been found missing; then it is made.
    #[inline]
    pub(super) fn put_found(
        &mut self,
        state: usize,
        key: StateKey<'_>,
        found: &mut RowId,
        info: &StateInfo,
        value: &[u8],
    ) {
        if *found == RowId::NONE {
            *found = self.row_of(&TableKey::new(key));
        }
        self.table.update(*found, |row| row.put(state, info.head(), value));
    }

    /// As [`delete`](Self::delete), where the row of `key` has been found, or has been found missing.
    pub(super) fn delete_found(&mut self, state: usize, key: StateKey<'_>, found: &mut RowId) {
        if *found != RowId::NONE && self.delete_at(*found, state, TableKey::new(key).hash) {
            *found = RowId::NONE;
        }
    }

    /// Adds cell `state` of every key.
    pub(super) fn get(
        &mut self,
        state: usize,
        info: &StateInfo,
        keys: &mut dyn Iterator<Item = StateKey<'_>>,
        cells: &mut Cells,
    ) {
        let (expired, mut read, peeks) = (&mut self.expired, Vec::new(), cells.peeks);
        self.table.for_each(keys, |row| {
            let Some((id, row)) = row else { return cells.push(None) };
            let cell = row.cell(state);
            let value = cell.live(row, info);
            cells.push(value);
            if value.is_none() && !cell.absent() {
                note_expired(expired, id);
            } else if info.refreshes() && !peeks {
                read.push(id);
            }
        });
        read.into_iter().for_each(|id| self.refresh(id, state, std::slice::from_ref(info)));
    }

    /// Sets cell `state` of `key`.
    pub(super) fn put(&mut self, state: usize, key: &TableKey<'_>, info: &StateInfo, value: &[u8]) {
        let id = self.row_of(key);
        self.table.update(id, |row| row.put(state, info.head(), value));
    }

    /// Removes cell `state` of `key`.
    pub(super) fn delete(&mut self, state: usize, key: &TableKey<'_>) {
        if let Some(id) = self.table.find(key) {
            self.delete_at(id, state, key.hash);
        }
    }

    /// Sets cell `state` of `key` to what a snapshot has.
    pub(super) fn load(&mut self, state: usize, key: StateKey<'_>, stored: &[u8]) {
        self.expires |= expiry_of(stored).is_some();
        let id = self.row_of(&TableKey::new(key));
        self.table.update(id, |row| row.put(state, stored, &[]));
    }

    /// All that was loaded is in a snapshot.
    pub(super) fn loaded(&mut self) {
        self.table.save(|_, _| {});
    }

    /// Copies the rows that have changed since the last time.
    pub(super) fn freeze(&mut self, infos: &[StateInfo], pool: &Arc<PiecePool>) -> FrozenValues {
        let states = infos.iter().map(|info| info.id).collect();
        let mut rows = Pieces::of_bytes(self.table.dirty() * FROZEN_ROW_BYTES, pool);
        self.table.save(|row, was_saved| push_row(&mut rows, row.packed(), was_saved));
        FrozenValues { states, gone: std::mem::take(&mut self.gone), rows }
    }

    /// Removes expired cells: those that were read, and some that are found by looking at `budget` more rows.
    pub(super) fn sweep(&mut self, infos: &[StateInfo], budget: usize) {
        let mut expired = std::mem::take(&mut self.expired);
        expired.drain(..).for_each(|id| self.remove_expired(id, infos));
        self.expired = expired;
        if !self.expires {
            return;
        }
        for _ in 0..budget.min(self.table.places()) {
            self.swept = if self.swept + 1 < self.table.places() { self.swept + 1 } else { 0 };
            self.remove_expired(RowId(self.swept as u32), infos);
        }
    }

    /// Removes the expired cells of the row at `id`, if there is one.
    fn remove_expired(&mut self, id: RowId, infos: &[StateInfo]) {
        for (state, info) in infos.iter().enumerate() {
            let Some(row) = self.table.row_at(id) else { return };
            let cell = row.cell(state);
            if !cell.absent() && info.is_expired(row.stored(&cell)) {
                let hash = unpack_key(row.packed()).hash;
                self.delete_at(id, state, hash);
            }
        }
    }

    /// Lets the cells from `first` on of the row at `id` live on, which have been read.
    fn refresh(&mut self, id: RowId, first: usize, infos: &[StateInfo]) {
        for (state, info) in (first..).zip(infos) {
            let row = self.table.row(id);
            let cell = row.cell(state);
            let stored = row.stored(&cell);
            if info.is_expired(stored) {
                continue;
            }
            if let Some(expiry) = info.refreshed(stored) {
                self.table.touch(id);
                set_expiry(self.table.row_mut(id).stored_mut(&cell), expiry);
            }
        }
    }

    /// The row of `key`, which is made if there is none.
    #[inline]
    fn row_of(&mut self, key: &TableKey<'_>) -> RowId {
        self.table.find_or_insert(key, || ValueRow::new(&key.key, self.states))
    }

    /// Removes cell `state` of the row at `id`, and the row, if nothing is left in it; says whether it did that.
    fn delete_at(&mut self, id: RowId, state: usize, hash: RowHash) -> bool {
        let empty = self.table.update(id, |row| {
            row.remove(state);
            row.cells().all(|cell| cell.absent())
        });
        if empty {
            let (row, was_saved) = self.table.remove(id, hash);
            if was_saved {
                self.gone.extend_from_slice(&row.packed()[..packed_key_end(row.packed())]);
            }
        }
        empty
    }
}

#[inline]
fn note_expired(expired: &mut Vec<RowId>, id: RowId) {
    if expired.len() < EXPIRED_MAX {
        expired.push(id);
    }
}
