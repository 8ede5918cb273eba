//! Keyed state: the trait that operators and host functions use and backends implement.
//!
//! State belongs to one operator on one worker. An entry is found by state, key and namespace (a window's start, or
//! nothing), and in a list or map by its place or key within. All calls take many entries at once.

use crate::column::BytesColumn;

/// A state's place in the description of its component.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StateIndex(pub u32);

/// Whose state: a key, with its hash, and a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateKey<'a> {
    /// [`hash_key`](crate::key_group::hash_key) of `key`.
    pub hash: u64,
    /// The key.
    pub key: &'a [u8],
    /// The window, as its start in big-endian with the sign flipped; empty outside windows.
    pub namespace: &'a [u8],
}

/// Byte strings of which some are absent. Absent is not empty.
///
/// The layout is that of a frame's `cell-ends`: bit 31 of an end marks an absent cell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cells {
    /// Where each cell ends in `bytes`; bit 31 set: absent.
    pub ends: Vec<u32>,
    /// The bytes of all cells.
    pub bytes: Vec<u8>,
    /// Most bytes they may hold, where it is a guest that says which cells are read. What goes past it is left out, as
    /// absent.
    pub bytes_max: Option<usize>,
    /// Whether something was left out.
    pub is_cut: bool,
    /// Whether what is read into them is not to live longer for that.
    pub peeks: bool,
}

/// Set in an end: there is no value.
pub const ABSENT: u32 = 1 << 31;

/// Most bytes that cells can hold: an end has 31 bits.
const CELLS_BYTES_MAX: usize = ABSENT as usize - 1;

impl Cells {
    /// No cells, and no more than `bytes_max` bytes of them.
    pub fn limited(bytes_max: usize) -> Cells {
        Cells { bytes_max: Some(bytes_max), ..Cells::default() }
    }

    /// Adds a cell; one that goes past [`bytes_max`](Self::bytes_max) as an absent one.
    ///
    /// # Panics
    /// If the cells would hold 2 GiB or more, and have no limit of their own.
    #[inline]
    pub fn push(&mut self, cell: Option<&[u8]>) {
        let bytes_max = self.bytes_max.unwrap_or(CELLS_BYTES_MAX).min(CELLS_BYTES_MAX);
        let kept = cell.filter(|cell| self.bytes.len() + cell.len() <= bytes_max);
        if kept.is_none() && cell.is_some() {
            assert!(self.bytes_max.is_some(), "cells hold less than 2 GiB");
            self.is_cut = true;
        }
        self.bytes.extend_from_slice(kept.unwrap_or_default());
        let end = self.bytes.len() as u32;
        self.ends.push(if kept.is_some() { end } else { end | ABSENT });
    }

    /// Cell `index`.
    ///
    /// # Panics
    /// If there is no such cell.
    pub fn get(&self, index: usize) -> Option<&[u8]> {
        let start = if index == 0 { 0 } else { (self.ends[index - 1] & !ABSENT) as usize };
        let end = self.ends[index];
        (end & ABSENT == 0).then(|| &self.bytes[start..end as usize])
    }

    /// Number of cells.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Number of cells that are not absent.
    pub fn present(&self) -> usize {
        self.ends.iter().filter(|&end| end & ABSENT == 0).count()
    }

    /// Whether there is no cell.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Drops all cells, keeps the memory and the limit.
    pub fn clear(&mut self) {
        self.ends.clear();
        self.bytes.clear();
        self.is_cut = false;
    }
}

/// One change of one state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write<'a> {
    /// Value or accumulator: set it.
    Put(&'a [u8]),
    /// Value: remove it. List or map: remove all of it.
    Delete,
    /// List: add an element at the end.
    Append(&'a [u8]),
    /// Map: set an entry.
    PutEntry(&'a [u8], &'a [u8]),
    /// The same of an entry that is not there, as the caller knows. A backend may keep such a one only where it was written,
    /// so that it leaves no trace when it is removed soon.
    InsertEntry(&'a [u8], &'a [u8]),
    /// Map: remove an entry.
    DeleteEntry(&'a [u8]),
}

/// Which part of a list or map to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scan<'a> {
    /// Where to start. Map: a key; empty is the first (backwards: the last). List: the index as 8 big-endian bytes.
    pub start: &'a [u8],
    /// The last entry that is wanted, a key or an index as `start`; `None`: all there are in that direction. Behind it
    /// nothing is looked at, not even what has been removed.
    pub until: Option<&'a [u8]>,
    /// Leave out an entry that is exactly `start`.
    pub after: bool,
    /// In falling order.
    pub backwards: bool,
    /// At most this many entries.
    pub limit: usize,
    /// At most this many bytes of keys and values, but never less than one entry.
    pub bytes_max: usize,
    /// Whether what is read is not to live longer for that.
    pub peeks: bool,
}

impl Scan<'static> {
    /// All of it, in order.
    pub const ALL: Scan<'static> = Scan {
        start: &[],
        until: None,
        after: false,
        backwards: false,
        limit: usize::MAX,
        bytes_max: usize::MAX,
        peeks: false,
    };
}

impl Scan<'_> {
    /// Whether the last entry that is wanted comes before the first.
    pub fn is_empty(&self) -> bool {
        self.until.is_some_and(|until| match self.backwards {
            true => !self.start.is_empty() && until > self.start,
            false => until < self.start,
        })
    }
}

/// Entries of a list or map, in order. For a list the keys are indices as 8 big-endian bytes. An element keeps its index:
/// where earlier ones have expired, indices are left out. What is appended comes after the last that is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entries {
    /// Keys.
    pub keys: BytesColumn,
    /// Values.
    pub values: BytesColumn,
    /// Whether a limit, on entries or on bytes, cut it short.
    pub more: bool,
}

/// Why a backend could not read or write: a disk, a file that is not what it was. The job cannot go on with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct KeyedStateError(pub String);

/// A state backend: the state of one operator on one worker.
///
/// Reading takes `&mut self`: a backend may move what is read into a cache, and note that it was read.
pub trait KeyedState {
    /// Adds the cells of the value states `0..states` of every key to `cells`, key by key.
    ///
    /// For a component's riding states these are a frame's cells. For world `aggregate` there is one state, the
    /// accumulator.
    fn get_riding(
        &mut self,
        keys: &mut dyn Iterator<Item = StateKey<'_>>,
        states: u32,
        cells: &mut Cells,
    ) -> Result<(), KeyedStateError>;

    /// Applies changes to states that ride, in order. The keys are those of the last [`get_riding`](Self::get_riding),
    /// all of them different, and nothing else was written to these states in between; with each comes its place among
    /// them, so that it need not be looked up a second time.
    fn write_riding(
        &mut self,
        writes: &mut dyn Iterator<Item = (usize, StateKey<'_>, StateIndex, Write<'_>)>,
    ) -> Result<(), KeyedStateError>;

    /// Adds the value of one value state for every key.
    fn get_many(
        &mut self,
        state: StateIndex,
        keys: &mut dyn Iterator<Item = StateKey<'_>>,
        cells: &mut Cells,
    ) -> Result<(), KeyedStateError>;

    /// Adds entries of one map: entry `i` is `entries[i].1` in the map of `entries[i].0`.
    fn map_get_many(
        &mut self,
        state: StateIndex,
        entries: &mut dyn Iterator<Item = (StateKey<'_>, &[u8])>,
        cells: &mut Cells,
    ) -> Result<(), KeyedStateError>;

    /// Adds part of a list or map to `entries`, and says in it whether there is more.
    fn scan(
        &mut self,
        state: StateIndex,
        key: StateKey<'_>,
        scan: Scan<'_>,
        entries: &mut Entries,
    ) -> Result<(), KeyedStateError>;

    /// Applies changes to states that do not ride, in order.
    fn write(
        &mut self,
        writes: &mut dyn Iterator<Item = (StateIndex, StateKey<'_>, Write<'_>)>,
    ) -> Result<(), KeyedStateError>;
}

/// A backend of any kind.
impl<B: KeyedState + ?Sized> KeyedState for Box<B> {
    fn get_riding(
        &mut self,
        keys: &mut dyn Iterator<Item = StateKey<'_>>,
        states: u32,
        cells: &mut Cells,
    ) -> Result<(), KeyedStateError> {
        (**self).get_riding(keys, states, cells)
    }

    fn write_riding(
        &mut self,
        writes: &mut dyn Iterator<Item = (usize, StateKey<'_>, StateIndex, Write<'_>)>,
    ) -> Result<(), KeyedStateError> {
        (**self).write_riding(writes)
    }

    fn get_many(
        &mut self,
        state: StateIndex,
        keys: &mut dyn Iterator<Item = StateKey<'_>>,
        cells: &mut Cells,
    ) -> Result<(), KeyedStateError> {
        (**self).get_many(state, keys, cells)
    }

    fn map_get_many(
        &mut self,
        state: StateIndex,
        entries: &mut dyn Iterator<Item = (StateKey<'_>, &[u8])>,
        cells: &mut Cells,
    ) -> Result<(), KeyedStateError> {
        (**self).map_get_many(state, entries, cells)
    }

    fn scan(
        &mut self,
        state: StateIndex,
        key: StateKey<'_>,
        scan: Scan<'_>,
        entries: &mut Entries,
    ) -> Result<(), KeyedStateError> {
        (**self).scan(state, key, scan, entries)
    }

    fn write(
        &mut self,
        writes: &mut dyn Iterator<Item = (StateIndex, StateKey<'_>, Write<'_>)>,
    ) -> Result<(), KeyedStateError> {
        (**self).write(writes)
    }
}

#[cfg(test)]
mod tests {
    use super::Cells;

    #[test]
    fn what_goes_past_the_limit_is_left_out_and_said_so() {
        let mut cells = Cells::limited(5);
        for cell in [Some(&b"abc"[..]), None, Some(b"de"), Some(b"")] {
            cells.push(cell);
        }
        assert!(!cells.is_cut);
        cells.push(Some(b"f"));
        assert!(cells.is_cut);
        let found: Vec<_> = (0..cells.len()).map(|index| cells.get(index)).collect();
        assert_eq!(found, [Some(&b"abc"[..]), None, Some(b"de"), Some(b""), None]);
        cells.clear();
        cells.push(Some(b"abcdef"));
        assert!(cells.is_cut, "the limit stays");
    }
}
