//! What a supervisor and the processes of an attempt tell each other.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use tidewheel_cluster::Member;
use tidewheel_engine::Splits;
use tidewheel_server::ApiError;
use tidewheel_server::model::{CheckpointRequest, RateRequest, SavepointRequest, SourceRate};

/// What a worker process is told.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum ToWorker {
    /// First of all, what to run.
    Start(Box<Start>),
    /// Process 0, once it has said that it can be asked: a question under this number.
    Asked(u64, Question),
}

/// What a worker process tells its supervisor; as it ends, it has last words besides.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum FromWorker {
    /// Process 0 can be asked.
    Running,
    /// The checkpoint that the attempt was to restore is lost. Its last words say how.
    LostCheckpoint,
    /// Process 0 answers the question of this number.
    Answered(u64, Reply),
}

/// What somebody has asked the job, as the API has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Question {
    Status,
    Checkpoints,
    Checkpoint(CheckpointRequest),
    Savepoint(SavepointRequest),
    Rate(RateRequest),
    Watermarks,
    Metrics,
}

impl Question {
    /// Whether the job is to stop.
    pub(super) fn is_stop(&self) -> bool {
        match self {
            Question::Checkpoint(request) => request.stop,
            Question::Savepoint(request) => request.stop,
            Question::Status | Question::Checkpoints | Question::Rate(_) | Question::Watermarks | Question::Metrics => {
                false
            }
        }
    }
}

/// What the API gives for it.
pub(super) type Reply = Result<serde_json::Value, ApiError>;

/// Everything about an attempt that the command line does not say.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Start {
    /// The text of the job file, as the supervisor has read and checked it.
    pub(super) job_text: String,
    /// The splits that the supervisor has found: all processes and attempts read these.
    pub(super) splits: Splits,
    /// The job's data folder.
    pub(super) folder: PathBuf,
    /// The attempt, which of its processes this is, and what it proves that by.
    pub(super) member: Member,
    /// Where each process listens; empty on one machine, where they meet in the data folder.
    pub(super) hosts: Vec<String>,
    /// The attempt's slot in the store's log.
    pub(super) slot: u64,
    /// The number of its first checkpoint.
    pub(super) next_checkpoint: u64,
    /// Identity of the job's output.
    pub(super) lineage: String,
    pub(super) origin: Origin,
    /// Whether an earlier attempt has been drained, and this one is only to end.
    pub(super) is_ending: bool,
    /// Whether this is not the first attempt of its supervisor.
    pub(super) is_restart: bool,
    /// When the job was started.
    pub(super) started_ms: i64,
    /// How much is read of sources for which somebody has said so since.
    pub(super) rates: Vec<SourceRate>,
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
