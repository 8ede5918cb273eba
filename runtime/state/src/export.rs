//! Snapshots as rows: what savepoints and migrations read and write.

use crate::backend::{OpenedState, StateSettings};
use crate::error::StateError;
use crate::key_codec::{EntryKey, StateId};
use crate::state_table::StateTable;
use crate::ttl::StateTime;
use std::ops::Range;
use std::path::Path;

/// An entry of a state, or the timers of a key and namespace (state [`TIMERS`](crate::TIMERS), version 0, the payload
/// opaque).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row<'a> {
    /// Whose it is, and of which state.
    pub key: EntryKey<'a>,
    /// Schema version that it was written under.
    pub version: u32,
    /// When it expires, on the clock of its state.
    pub expiry: Option<i64>,
    /// The value.
    pub payload: &'a [u8],
}

/// A [`Row`] that owns its bytes. The key group follows from the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedRow {
    /// The state.
    pub state: StateId,
    /// The key.
    pub key: Vec<u8>,
    /// The window, or nothing.
    pub namespace: Vec<u8>,
    /// What is found within a list or map.
    pub user_key: Vec<u8>,
    /// Schema version that it was written under.
    pub version: u32,
    /// When it expires, on the clock of its state.
    pub expiry: Option<i64>,
    /// The value.
    pub payload: Vec<u8>,
}

/// Which rows to read.
#[derive(Clone, Debug)]
pub struct ReadRows<'a> {
    /// The state files of one task, oldest first.
    pub files: &'a [&'a Path],
    /// The key groups wanted, all of them that task's.
    pub key_groups: Range<u16>,
    /// The operator's states in that snapshot.
    pub table: &'a StateTable,
    /// What has expired by then is left out.
    pub time: StateTime,
    /// An empty folder, or one that is not there, to work in. It is on the file system of the files, if possible; what is
    /// put into it is removed again.
    pub scratch: &'a Path,
}

/// Reads the rows of a snapshot, merged, in the order of their keys.
///
/// # Errors
/// If a file is damaged, or what `each` says.
pub fn read_rows<E: From<StateError>>(
    _read: &ReadRows<'_>,
    _each: &mut dyn FnMut(Row<'_>) -> Result<(), E>,
) -> Result<(), E> {
    Err(StateError::NotBuilt { what: "reading the rows of a snapshot" }.into())
}

/// Opens state that holds these rows, in any order, those of other key groups left out. `table` says which state a
/// row's number means. Its first snapshot holds all of it.
///
/// # Errors
/// As [`open`](crate::open), or what the rows say.
pub fn open_rows<E: From<StateError>>(
    _settings: StateSettings,
    _table: StateTable,
    _rows: &mut dyn Iterator<Item = Result<OwnedRow, E>>,
) -> Result<OpenedState, E> {
    Err(StateError::NotBuilt { what: "opening state from rows" }.into())
}
