//! Savepoints: snapshots that belong to the user, in files that others can read.
//!
//! A savepoint is a folder. `rows/OPERATOR-WORKER.parquet` holds a row per entry of an operator's keyed state;
//! `savepoint.json`, written last and once, the manifest: without it there is no savepoint. Both sides go through the rows
//! a row group at a time, so neither holds a savepoint in memory.
//!
//! | column | what it is |
//! |---|---|
//! | `operator` | the operator |
//! | `state` | the state's name; of timers, the kind |
//! | `kind` | `value`, `list`, `map`, `aggregating`, or of timers `timers` (event time) or `processing-timers` |
//! | `key_group` | the key group of the key |
//! | `key` | the key |
//! | `namespace` | the window; empty outside windows |
//! | `user_key` | map: the entry's key; list: the index as 8 big-endian bytes; else empty |
//! | `schema_version` | of the value |
//! | `value` | in the format that the state declares |
//! | `expiry` | when the entry expires; null: never |

mod columns;
mod footer;
mod rows;
#[cfg(test)]
mod tests;
mod writer;

pub use rows::Rows;
pub use writer::Writer;

use crate::error::CheckpointError;
use crate::manifest::{FORMAT, Manifest, TaskState};
use crate::sealed;
use crate::store::{PutOnce, Store};
use serde::{Deserialize, Serialize};
use std::ops::Range;
use tidewheel_types::description::StateKind;

/// A file that shows that others can be written.
const PROBE: &str = "probe";

/// The name of the manifest.
const MANIFEST: &str = "savepoint.json";

/// The folder of rows.
const FOLDER: &str = "rows";

/// What an entry belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowKind {
    /// A state.
    State(StateKind),
    /// The timers of a key and namespace, of event time.
    Timers,
    /// Those of processing time.
    ProcessingTimers,
}

impl RowKind {
    const ALL: [RowKind; 6] = [
        RowKind::State(StateKind::Value),
        RowKind::State(StateKind::List),
        RowKind::State(StateKind::Map),
        RowKind::State(StateKind::Aggregating),
        RowKind::Timers,
        RowKind::ProcessingTimers,
    ];

    /// The word for it in a savepoint.
    pub fn name(self) -> &'static str {
        match self {
            RowKind::State(StateKind::Value) => "value",
            RowKind::State(StateKind::List) => "list",
            RowKind::State(StateKind::Map) => "map",
            RowKind::State(StateKind::Aggregating) => "aggregating",
            RowKind::Timers => "timers",
            RowKind::ProcessingTimers => "processing-timers",
        }
    }

    fn of_name(name: &str) -> Option<RowKind> {
        RowKind::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// An entry of an operator's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row<'a> {
    /// The state's name; of timers nothing is taken or given.
    pub state: &'a str,
    /// What the entry belongs to.
    pub kind: RowKind,
    /// The key group of the key.
    pub key_group: u16,
    /// The key.
    pub key: &'a [u8],
    /// The namespace.
    pub namespace: &'a [u8],
    /// The entry's key or index within the state of the key.
    pub user_key: &'a [u8],
    /// Schema version of the value.
    pub version: u32,
    /// The value.
    pub value: &'a [u8],
    /// When it expires: ms since 1970, or of event time.
    pub expiry_ms: Option<i64>,
}

/// `savepoint.json`.
#[derive(Serialize, Deserialize)]
struct SavepointFile<M = Manifest> {
    format: u32,
    drained: bool,
    manifest: M,
}

/// A savepoint that is complete.
#[derive(Clone, Debug)]
pub struct Savepoint {
    store: Store,
    /// Positions, states, and the files of rows: one for each task.
    pub manifest: Manifest,
    /// Whether event time was brought to its end before it was taken.
    pub drained: bool,
}

impl Savepoint {
    /// Opens the savepoint in a store, and looks whether all its files are there, with their sizes.
    ///
    /// # Errors
    /// [`CheckpointError::Missing`] if there is none, or if it was never completed; others if it is not as it was
    /// written.
    pub fn open(store: &Store) -> Result<Savepoint, CheckpointError> {
        let file: SavepointFile = sealed::open(&store.get(MANIFEST)?, &store.name_of(MANIFEST))?;
        file.manifest.files().try_for_each(|file| store.check_size(file))?;
        Ok(Savepoint { store: store.clone(), manifest: file.manifest, drained: file.drained })
    }

    /// The rows of an operator in these key groups: task by task, each in the order in which they were written.
    pub fn rows(&self, operator: &str, key_groups: Range<u16>) -> Rows {
        let tasks = self.manifest.operators.get(operator).into_iter().flat_map(|operator| &operator.tasks);
        let overlap = |task: &&TaskState| overlaps(&task.key_groups, &key_groups);
        let files = tasks.filter(overlap).flat_map(|task| task.files.clone()).collect();
        Rows::new(self.store.clone(), operator.to_owned(), key_groups, files)
    }
}

fn overlaps(one: &Range<u16>, other: &Range<u16>) -> bool {
    one.start < other.end && other.start < one.end
}

/// Fails if a savepoint is there already: before anything is written into it.
///
/// # Errors
/// [`CheckpointError::Exists`], or if the store refuses.
pub fn check_free(store: &Store) -> Result<(), CheckpointError> {
    match store.size(MANIFEST)? {
        None => Ok(()),
        Some(_) => Err(CheckpointError::Exists { file: store.name_of(MANIFEST) }),
    }
}

/// Finds out whether a savepoint can be written to a store, before anything is done for it.
///
/// # Errors
/// [`CheckpointError::Exists`] if a savepoint is there already; or if the store cannot be reached or written to.
pub fn check_place(store: &Store) -> Result<(), CheckpointError> {
    check_free(store)?;
    store.put(PROBE, Vec::new())?;
    // Where nothing may be removed it stays, and does no harm.
    let _ = store.remove(&[PROBE.to_owned()]);
    Ok(())
}

/// Completes a savepoint: writes its manifest, whose tasks name the files of rows. `drained` says that event time was
/// brought to its end first.
///
/// # Errors
/// [`CheckpointError::Exists`] if a savepoint is there already; [`CheckpointError::Missing`] if one of its files is not;
/// or if the store refuses.
pub fn complete(store: &Store, manifest: &Manifest, drained: bool) -> Result<(), CheckpointError> {
    manifest.files().try_for_each(|file| store.check_size(file))?;
    let bytes = sealed::seal(&SavepointFile { format: FORMAT, drained, manifest });
    match store.put_once(MANIFEST, &bytes.into())? {
        PutOnce::Done | PutOnce::DoneAfterDoubt => Ok(()),
        PutOnce::Taken(_) => Err(CheckpointError::Exists { file: store.name_of(MANIFEST) }),
    }
}
