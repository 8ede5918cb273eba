//! Rows of values on their way to a state file: copied as they lie in memory.

use super::CellsOf;
use crate::delta::{EntryList, Frozen};
use crate::key_codec::StateId;
use crate::key_table::{packed_key_end, unpack_key};
use crate::pieces::{PiecePlace, Pieces};

/// Room to set aside for a row: a number, its value, and what is beside them.
pub(crate) const FROZEN_ROW_BYTES: usize = 32;

/// The bytes before a row: twice its length, plus one if a snapshot has it.
const HEAD_BYTES: usize = 4;

/// Rows of values that have changed.
pub(crate) struct FrozenValues {
    /// The states of the cells.
    pub(crate) states: Vec<StateId>,
    /// Packed keys of rows that are gone.
    pub(crate) gone: Vec<u8>,
    /// Rows, each behind its head.
    pub(crate) rows: Pieces,
}

impl FrozenValues {
    /// Adds the entries of the row at `place`.
    #[inline]
    pub(crate) fn add_row(&self, place: PiecePlace, entries: &mut EntryList<'_>) {
        let (row, was_saved) = first_row(self.rows.at(place));
        let key = unpack_key(row).key;
        for (&state, cell) in self.states.iter().zip(CellsOf::new(row)) {
            if !cell.absent() {
                entries.put(state, &key, &[], &row[cell.stored]);
            } else if was_saved {
                // The cell may have been there.
                entries.delete(state, &key, &[]);
            }
        }
    }
}

/// The first row, and whether a snapshot has it.
#[inline]
fn first_row(bytes: &[u8]) -> (&[u8], bool) {
    let (head, rest) = bytes.split_first_chunk::<HEAD_BYTES>().expect("a row begins there");
    let head = u32::from_le_bytes(*head);
    (&rest[..(head >> 1) as usize], head & 1 != 0)
}

/// Adds a row.
#[inline]
pub(crate) fn push_row(rows: &mut Pieces, row: &[u8], was_saved: bool) {
    // A row has at most 16 MiB of key, and 16 MiB per state.
    let head = u32::try_from(row.len() << 1).expect("a row is shorter than 2 GiB") | u32::from(was_saved);
    rows.push(&head.to_le_bytes(), row);
}

impl Frozen for FrozenValues {
    fn add_to<'f>(&'f self, entries: &mut EntryList<'f>) {
        let mut gone = &self.gone[..];
        while !gone.is_empty() {
            let key = unpack_key(gone).key;
            self.states.iter().for_each(|&state| entries.delete(state, &key, &[]));
            gone = &gone[packed_key_end(gone)..];
        }
        entries.reserve_rows(self.rows.len());
        self.rows.for_each(|place, bytes| {
            let (row, _) = first_row(bytes);
            entries.add_row(self, place, &unpack_key(row).key);
            HEAD_BYTES + row.len()
        });
    }
}
