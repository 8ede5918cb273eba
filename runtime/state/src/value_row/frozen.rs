//! Rows of values on their way to a state file: copied as they lie in memory.

use super::CellsOf;
use crate::delta::{EntryList, Frozen};
use crate::key_codec::StateId;
use crate::key_table::{packed_key_end, unpack_key};

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
    pub(crate) rows: Vec<u8>,
}

impl FrozenValues {
    /// Adds the entries of the row that begins at `start`.
    #[inline]
    pub(crate) fn add_row(&self, start: usize, entries: &mut EntryList<'_>) {
        let (row, was_saved, _) = split_row(&self.rows[start..]).expect("a row begins there");
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

    /// The rows and where each begins.
    fn rows(&self) -> impl Iterator<Item = (usize, &[u8])> {
        let mut rest = &self.rows[..];
        std::iter::from_fn(move || {
            let start = self.rows.len() - rest.len();
            let (row, _, after) = split_row(rest)?;
            rest = after;
            Some((start, row))
        })
    }
}

/// The first row, whether a snapshot has it, and what comes after it.
#[inline]
fn split_row(bytes: &[u8]) -> Option<(&[u8], bool, &[u8])> {
    let (head, rest) = bytes.split_first_chunk::<HEAD_BYTES>()?;
    let head = u32::from_le_bytes(*head);
    let (row, after) = rest.split_at((head >> 1) as usize);
    Some((row, head & 1 != 0, after))
}

/// Adds a row.
#[inline]
pub(crate) fn push_row(rows: &mut Vec<u8>, row: &[u8], was_saved: bool) {
    // A row has at most 16 MiB of key, and 16 MiB per state.
    let head = u32::try_from(row.len() << 1).expect("a row is shorter than 2 GiB") | u32::from(was_saved);
    rows.extend_from_slice(&head.to_le_bytes());
    rows.extend_from_slice(row);
}

impl Frozen for FrozenValues {
    fn add_to<'f>(&'f self, entries: &mut EntryList<'f>) {
        let mut gone = &self.gone[..];
        while !gone.is_empty() {
            let key = unpack_key(gone).key;
            self.states.iter().for_each(|&state| entries.delete(state, &key, &[]));
            gone = &gone[packed_key_end(gone)..];
        }
        entries.reserve_rows(self.rows().count());
        self.rows().for_each(|(start, row)| entries.add_row(self, start, &unpack_key(row).key));
    }
}
