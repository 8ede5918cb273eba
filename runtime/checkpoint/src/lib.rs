//! Checkpoints and savepoints outside the process: the store, its log of slots, manifests, files.
//!
//! Read in this order: [`Store`] is where bytes are kept, [`Manifest`] what makes a checkpoint, and [`Log`] the order of
//! attempts and checkpoints, in which nobody who has been replaced can write; [`savepoint`] is what belongs to the user.
//! Calls block; they may come from any thread that is not itself driving asynchronous work.

mod background;
mod bytes_text;
mod error;
mod file_name;
mod log;
mod manifest;
pub mod savepoint;
mod sealed;
mod slot;
mod store;

pub use error::CheckpointError;
pub use file_name::{FileName, NotAFileName};
pub use log::{Attempt, CheckpointEntry, Log, Restore, lineage};
pub use manifest::{
    FORMAT, FileRef, Manifest, OperatorState, ShardState, SinkState, SourceState, SplitState, Staged, StateEntry,
    TaskState,
};
pub use store::{Patience, Store};
