//! Keyed state and timers of one operator on one worker, in memory or in RocksDB, and their snapshots.
//!
//! - [`backend`]: opens state, empty or as a snapshot has it: a [`Backend`], [`Timers`], a [`SnapshotWriter`]
//! - [`memory`]: the `memory` backend, behind the [`KeyedState`](tidewheel_types::keyed_state::KeyedState) trait
//! - [`rocksdb`]: the `rocksdb` backend
//! - [`timers`]: timers per key, fired in the order of time
//! - [`ttl`]: how long a state keeps what is not touched
//! - [`delta`], [`snapshot`]: what has changed, and the chain of files that it is written to
//! - [`export`]: snapshots as rows, for savepoints and migrations
//! - [`state_table`]: which states a snapshot holds, by name
//! - [`key_codec`], [`value_codec`]: entries as bytes
//! - [`error`]: what can go wrong
//!
//! In memory, states and timers keep one row per key and namespace in a `KeyTable` (`key_table.rs`): a hash index
//! (`index.rs`) over rows that stay where they are (`rows.rs`), with the key and small values inside the row
//! (`small_bytes.rs`), and bits that say which rows have changed (`marks.rs`).

pub mod backend;
pub mod delta;
pub mod error;
pub mod export;
mod index;
pub mod key_codec;
mod key_table;
mod marks;
pub mod memory;
mod packed;
mod pieces;
mod restore;
pub mod rocksdb;
mod rows;
mod small_bytes;
pub mod snapshot;
mod state_file;
mod state_info;
pub mod state_table;
pub mod timers;
pub mod ttl;
pub mod value_codec;
mod value_row;
mod varint;

pub use self::rocksdb::SharedMemory;
pub use backend::{Backend, BackendKind, OpenedState, Restore, RestoredTask, StateSettings, open};
pub use delta::Delta;
pub use error::StateError;
pub use export::{OwnedRow, ReadRows, Row, open_rows, read_rows};
pub use key_codec::{EntryKey, PROCESSING_TIMERS, StateId, TIMERS};
pub use memory::MemoryState;
pub use snapshot::{LocalFile, SnapshotWriter};
pub use state_table::{StateTable, StoredState};
pub use timers::{DueTimers, TimerChange, Timers, timers_of_row};
pub use ttl::{StateTime, Ttl, TtlClock, TtlRefresh};
pub use value_codec::ValueHead;
