//! What a supervisor tells the processes of an attempt.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use tidewheel_server::model::Restart;

/// Everything about an attempt that the command line and the job file do not say.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Start {
    /// The job's data folder.
    pub(super) folder: PathBuf,
    /// The attempt, and its slot in the store's log.
    pub(super) attempt: u64,
    pub(super) slot: u64,
    /// The number of its first checkpoint.
    pub(super) next_checkpoint: u64,
    /// Identity of the job's output.
    pub(super) lineage: String,
    pub(super) origin: Origin,
    /// When the job was started, and how often it has been started again.
    pub(super) started_ms: i64,
    pub(super) restarts: Vec<Restart>,
}

/// What an attempt starts from.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Origin {
    /// Nothing.
    Nothing,
    /// The manifest in this slot of the log.
    Slot(u64),
    /// The savepoint there.
    Savepoint(String),
}

/// What a worker process tells its supervisor: nothing yet but, as it ends, its last words.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) enum FromWorker {}
