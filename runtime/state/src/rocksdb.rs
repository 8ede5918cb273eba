//! The `rocksdb` backend: keyed state in RocksDB, for state larger than memory.

use crate::backend::{Backend, StateSettings};
use crate::error::StateError;
use crate::key_codec::StateId;
use crate::snapshot::LocalFile;
use crate::timers::Timers;
use std::sync::Arc;

/// The memory that all tasks of a process share for RocksDB.
pub struct SharedMemory {
    /// How much, in bytes.
    pub bytes: usize,
}

/// Opens the state that a chain of files holds, oldest first, none for empty state, and loads its timers. The files stay
/// as they are.
pub(crate) fn open(
    _: &StateSettings,
    _: &Arc<SharedMemory>,
    _: &[StateId],
    _chain: &[LocalFile],
    _: &mut Timers,
) -> Result<Box<dyn Backend>, StateError> {
    Err(StateError::NotBuilt { what: "the `rocksdb` state backend" })
}
