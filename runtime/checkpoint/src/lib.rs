//! Checkpoints and savepoints outside the process: the store, its log of slots, manifests, files.

mod bytes_text;
mod manifest;

pub use manifest::{
    FORMAT, FileRef, Manifest, OperatorState, ShardState, SinkState, SourceState, SplitState, Staged, StateEntry,
    TaskState,
};
