//! The cells of value states for one key and namespace, side by side.
//!
//! A row's bytes are its packed key, then per state a cell: `n + 1 as varint, n bytes`, or a 0 for none. The `n` bytes
//! begin with their head.

mod frozen;

use crate::key_table::{Row, pack_key, packed_key_end};
use crate::small_bytes::SmallBytes;
use crate::state_info::StateInfo;
use crate::varint::{self, Varint};
pub(crate) use frozen::{FROZEN_ROW_BYTES, FrozenValues, push_row};
use std::ops::Range;
use tidewheel_types::keyed_state::StateKey;

/// Bytes that a row keeps in place: a key of 36 characters (a UUID) and a counter, or a number, a window and three of
/// them. With the two bytes beside them a row is 56 bytes.
const INLINE: usize = 54;

/// The cells of some value states for one key and namespace.
pub(crate) struct ValueRow(SmallBytes<INLINE>);

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

impl ValueRow {
    /// A row of `states` cells, of which none is there.
    #[inline]
    pub(crate) fn new(key: &StateKey<'_>, states: usize) -> Self {
        // A cell of length 0 is one byte: none there.
        const NO_CELLS: [u8; 16] = [0; 16];
        ValueRow(match NO_CELLS.get(..states) {
            Some(cells) => pack_key(key, cells),
            None => pack_key(key, &vec![0; states]),
        })
    }

    /// All cells, in the order of the states.
    #[inline]
    pub(crate) fn cells(&self) -> CellsOf<'_> {
        CellsOf::new(self.0.as_slice())
    }

    /// Cell `state`.
    #[inline]
    pub(crate) fn cell(&self, state: usize) -> Cell {
        self.cells().nth(state).expect("a row has a cell for each of its states")
    }

    /// Head and value of a cell; nothing of one that is not there.
    #[inline]
    pub(crate) fn stored(&self, cell: &Cell) -> &[u8] {
        &self.0.as_slice()[cell.stored.clone()]
    }

    /// Head and value of a cell, to be overwritten by as many bytes.
    pub(crate) fn stored_mut(&mut self, cell: &Cell) -> &mut [u8] {
        &mut self.0.as_mut_slice()[cell.stored.clone()]
    }

    /// Removes cell `state`.
    pub(crate) fn remove(&mut self, state: usize) {
        let cell = self.cell(state);
        self.0.splice(cell.start..cell.stored.end, &[&[0]]);
    }

    /// Sets cell `state`.
    #[inline]
    pub(crate) fn put(&mut self, state: usize, head: &[u8], value: &[u8]) {
        let cell = self.cell(state);
        let len = head.len() + value.len();
        if !cell.absent() && cell.stored.len() == len {
            let stored = &mut self.0.as_mut_slice()[cell.stored];
            let (old_head, old_value) = stored.split_at_mut(head.len());
            old_head.copy_from_slice(head);
            old_value.copy_from_slice(value);
        } else {
            let len = Varint::new(u32::try_from(len + 1).expect("a value is shorter than 16 MiB"));
            self.0.splice(cell.start..cell.stored.end, &[len.as_slice(), head, value]);
        }
    }
}

/// Where a cell is in its row.
pub(crate) struct Cell {
    /// Where its length begins.
    start: usize,
    /// Head and value.
    stored: Range<usize>,
}

impl Cell {
    /// Whether there is no value. One that is there has at least a head.
    #[inline]
    pub(crate) fn absent(&self) -> bool {
        self.stored.is_empty()
    }

    /// The value, without its head, if there is one that has not expired.
    #[inline]
    pub(crate) fn live<'a>(&self, row: &'a ValueRow, info: &StateInfo) -> Option<&'a [u8]> {
        info.live(row.stored(self))
    }
}

/// Walks over the cells of a row.
pub(crate) struct CellsOf<'a> {
    bytes: &'a [u8],
    next: usize,
}

impl<'a> CellsOf<'a> {
    /// The cells in the bytes of a row.
    #[inline]
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        CellsOf { bytes, next: packed_key_end(bytes) }
    }
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
