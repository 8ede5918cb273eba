//! The `rocksdb` backend: keyed state in RocksDB, for state larger than memory.

use crate::backend::{Backend, StateSettings};
use crate::error::StateError;
use crate::key_codec::StateId;

/// The memory that all tasks of a process share for RocksDB.
pub struct SharedMemory {
    /// How much, in bytes.
    pub bytes: usize,
}

/// Opens empty state.
pub(crate) fn open(_: &StateSettings, _: &SharedMemory, _: &[StateId]) -> Result<Box<dyn Backend>, StateError> {
    Err(StateError::NotBuilt { what: "the `rocksdb` state backend" })
}
