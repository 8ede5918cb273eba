//! Value states: the cells of one key and namespace side by side in a row.
//!
//! A row's bytes are its packed key, then per state a cell: `n + 1 as varint, n bytes`, or a 0 for none. The `n` bytes
//! begin with the schema version.

use crate::index::RowHash;
use crate::key_table::{KeyTable, Row, TableKey, Touch, pack_key, packed_key_end};
use crate::rows::RowId;
use crate::small_bytes::SmallBytes;
use crate::varint::{self, Varint};
use std::ops::Range;
use tidewheel_types::keyed_state::{Cells, StateKey};

/// Bytes that a row keeps in place: a key of 36 characters (a UUID) and a counter, or a number, a window and three of
/// them. With the two bytes beside them a row is 56 bytes.
const INLINE: usize = 54;

/// One or more value states that are read together.
pub(super) struct Values {
    table: KeyTable<ValueRow>,
    /// Cells of a row.
    states: usize,
}

struct ValueRow(SmallBytes<INLINE>);

impl Row for ValueRow {
    #[inline]
    fn packed(&self) -> &[u8] {
        self.0.as_slice()
    }

    #[inline]
    fn heap_bytes(&self) -> usize {
        self.0.heap_bytes()
    }
}

impl Values {
    /// No rows yet, for `states` states.
    pub(super) fn new(states: usize) -> Self {
        Values { table: KeyTable::default(), states }
    }

    /// Cells of a row.
    pub(super) fn states(&self) -> usize {
        self.states
    }

    /// What to touch.
    pub(super) fn touch(&self) -> &dyn Touch {
        &self.table
    }

    /// Memory held, about.
    pub(super) fn bytes(&self) -> usize {
        self.table.bytes()
    }

    /// Adds cells `0..states` of every key, key by key, and says where their rows are, [`RowId::NONE`] for none.
    pub(super) fn get_first(
        &self,
        states: usize,
        keys: &mut dyn Iterator<Item = StateKey<'_>>,
        cells: &mut Cells,
        found: &mut Vec<RowId>,
    ) {
        found.clear();
        self.table.for_each(keys, |row| {
            found.push(row.map_or(RowId::NONE, |(id, _)| id));
            match row {
                Some((_, row)) => row.cells().take(states).for_each(|cell| cells.push(cell.value(row))),
                None => (0..states).for_each(|_| cells.push(None)),
            }
        });
    }

    /// As [`put`](Self::put), where the row of `key` has been found, or has been found missing; then it is made.
    #[inline]
    pub(super) fn put_found(
        &mut self,
        state: usize,
        key: StateKey<'_>,
        found: &mut RowId,
        version: &Varint,
        value: &[u8],
    ) {
        if *found == RowId::NONE {
            *found = self.row_of(&TableKey::new(key));
        }
        self.table.update(*found, |row| row.put(state, version.as_slice(), value));
    }

    /// As [`delete`](Self::delete), where the row of `key` has been found, or has been found missing.
    pub(super) fn delete_found(&mut self, state: usize, key: StateKey<'_>, found: &mut RowId) {
        if *found != RowId::NONE && self.delete_at(*found, state, TableKey::new(key).hash) {
            *found = RowId::NONE;
        }
    }

    /// Adds cell `state` of every key.
    pub(super) fn get(&self, state: usize, keys: &mut dyn Iterator<Item = StateKey<'_>>, cells: &mut Cells) {
        self.table.for_each(keys, |row| cells.push(row.and_then(|(_, row)| row.cell(state).value(row))));
    }

    /// Sets cell `state` of `key`.
    pub(super) fn put(&mut self, state: usize, key: &TableKey<'_>, version: &Varint, value: &[u8]) {
        let id = self.row_of(key);
        self.table.update(id, |row| row.put(state, version.as_slice(), value));
    }

    /// Removes cell `state` of `key`.
    pub(super) fn delete(&mut self, state: usize, key: &TableKey<'_>) {
        if let Some(id) = self.table.find(key) {
            self.delete_at(id, state, key.hash);
        }
    }

    /// The row of `key`, which is made if there is none.
    #[inline]
    fn row_of(&mut self, key: &TableKey<'_>) -> RowId {
        // A cell of length 0 is one byte: none there.
        const NO_CELLS: [u8; 16] = [0; 16];
        self.table.find_or_insert(key, || match NO_CELLS.get(..self.states) {
            Some(cells) => ValueRow(pack_key(&key.key, cells)),
            None => ValueRow(pack_key(&key.key, &vec![0; self.states])),
        })
    }

    /// Removes cell `state` of the row at `id`, and the row, if nothing is left in it; says whether it did that.
    fn delete_at(&mut self, id: RowId, state: usize, hash: RowHash) -> bool {
        let empty = self.table.update(id, |row| {
            let cell = row.cell(state);
            row.0.splice(cell.start..cell.stored.end, &[&[0]]);
            row.cells().all(|cell| cell.absent())
        });
        if empty {
            self.table.remove(id, hash);
        }
        empty
    }
}

impl ValueRow {
    /// All cells, in the order of the states.
    #[inline]
    fn cells(&self) -> CellsOf<'_> {
        let bytes = self.0.as_slice();
        CellsOf { bytes, next: packed_key_end(bytes) }
    }

    /// Cell `state`.
    #[inline]
    fn cell(&self, state: usize) -> Cell {
        self.cells().nth(state).expect("a row has a cell for each of its states")
    }

    /// Sets cell `state`.
    #[inline]
    fn put(&mut self, state: usize, version: &[u8], value: &[u8]) {
        let cell = self.cell(state);
        let len = version.len() + value.len();
        if !cell.absent() && cell.stored.len() == len {
            let stored = &mut self.0.as_mut_slice()[cell.stored];
            let (old_version, old_value) = stored.split_at_mut(version.len());
            old_version.copy_from_slice(version);
            old_value.copy_from_slice(value);
        } else {
            let len = Varint::new(u32::try_from(len + 1).expect("a value is shorter than 16 MiB"));
            self.0.splice(cell.start..cell.stored.end, &[len.as_slice(), version, value]);
        }
    }
}

/// Where a cell is in its row.
struct Cell {
    /// Where its length begins.
    start: usize,
    /// Version and value.
    stored: Range<usize>,
}

impl Cell {
    /// Whether there is no value. One that is there has at least a version.
    #[inline]
    fn absent(&self) -> bool {
        self.stored.is_empty()
    }

    /// The value, without its version.
    #[inline]
    fn value<'a>(&self, row: &'a ValueRow) -> Option<&'a [u8]> {
        (!self.absent()).then(|| varint::skip(&row.0.as_slice()[self.stored.clone()]))
    }
}

/// Walks over the cells of a row.
struct CellsOf<'a> {
    bytes: &'a [u8],
    next: usize,
}

impl Iterator for CellsOf<'_> {
    type Item = Cell;

    #[inline]
    fn next(&mut self) -> Option<Cell> {
        let start = self.next;
        if start == self.bytes.len() {
            return None;
        }
        let (len_plus_one, used) = varint::read(&self.bytes[start..]);
        let len = (len_plus_one as usize).saturating_sub(1);
        self.next = start + used + len;
        Some(Cell { start, stored: start + used..self.next })
    }
}
