//! What a running job offers to those who speak to it.

use crate::ApiError;
use crate::model::{
    CheckpointRequest, Checkpoints, JobStatus, Metrics, RateRequest, Savepoint, SavepointRequest, SourceRate, Taken,
    Watermarks,
};

/// A running job. Methods are called on threads of the server, several at a time, and may block.
pub trait JobApi: Send + Sync + 'static {
    /// How the job is.
    fn status(&self) -> Result<JobStatus, ApiError>;

    /// The checkpoints there are, and how they went.
    fn checkpoints(&self) -> Result<Checkpoints, ApiError>;

    /// Takes a checkpoint now, and waits until it is complete; with `stop`, until its output is committed, too. A job that
    /// is restarting is stopped without one, unless it is to be drained.
    fn checkpoint(&self, request: CheckpointRequest) -> Result<Taken, ApiError>;

    /// Takes a savepoint, and waits until it is finished. One at a time: a second one is refused as a conflict.
    fn savepoint(&self, request: SavepointRequest) -> Result<Savepoint, ApiError>;

    /// Reads no more than that of a source from now on, also after restarts; gives what has been set.
    fn rate(&self, rate: RateRequest) -> Result<SourceRate, ApiError>;

    /// Where its watermarks stand, and what holds them back.
    fn watermarks(&self) -> Result<Watermarks, ApiError>;

    /// What the job counts.
    fn metrics(&self) -> Result<Metrics, ApiError>;
}
