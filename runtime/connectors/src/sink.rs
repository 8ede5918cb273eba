//! Where records go.
//!
//! Output becomes visible in two steps, so that it can become part of a checkpoint: what was written since the last
//! one is *staged* (made durable, still invisible), and when the checkpoint is complete it is *committed* (made
//! visible, once). A job without checkpoints stages and commits once, at its end. An attempt that goes on from a
//! checkpoint first settles what that names as staged: it may have been committed, and is committed if not.

use crate::{ConnectorError, Waker};
use serde::{Deserialize, Serialize};
use std::task::Poll;
use tidewheel_types::Batch;

/// A sink as the job file describes it, checked.
pub trait Sink: Send + Sync {
    /// Starts to write one shard.
    fn open(&self, context: SinkContext) -> Result<Box<dyn SinkWriter>, ConnectorError>;

    /// What it promises of a record in a job with checkpoints.
    fn delivery(&self) -> Delivery;
}

/// How often a record becomes visible although the job was interrupted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Once.
    ExactlyOnce,
    /// Once or, after a failure, more often.
    AtLeastOnce,
}

/// What a writer needs to know of its job.
#[derive(Clone)]
pub struct SinkContext {
    /// Identity of the job, minted at its first start, in letters and digits.
    pub lineage: String,
    /// The sink's name in the job file.
    pub sink: String,
    /// The number of the job's attempt: what an earlier one has written and not staged is of no use.
    pub attempt: u64,
    /// Which of the sink's tasks this is.
    pub shard: usize,
    /// How many tasks the sink has in this attempt. What any earlier attempt has left of shard *i* is settled by the
    /// task *i* modulo this number.
    pub shards: usize,
    /// Whether a snapshot names output of this sink, of whichever task, that the sink settles first.
    pub has_unsettled: bool,
    /// Wakes the worker when the writer has room again, or has staged or committed.
    pub waker: Waker,
}

/// Writes one shard. It lives on a worker's thread and must not block it.
pub trait SinkWriter {
    /// Takes `batch` (leaves an empty one) or, when its bounded queue is full, leaves it as it is; then the waker is
    /// called when there is room.
    fn write(&mut self, batch: &mut Batch) -> Result<WriteStatus, ConnectorError>;

    /// Settles what earlier attempts have left, before anything else: what they wrote and did not stage is dropped, and
    /// of `staged`, which a snapshot names, everything is committed in order that is not. It may be of other shards:
    /// with fewer workers one adopts several. Called again until it is ready; the waker is called when it may be.
    fn recover(&mut self, staged: &[StageHandle]) -> Poll<Result<(), ConnectorError>>;

    /// Makes everything written so far durable, still invisible, as the output of `checkpoint`; no handle if that is
    /// nothing. The first call says where the checkpoint ends: what is written after it belongs to the next. Called again
    /// with the same number until it is ready; the waker is called when it may be.
    fn stage(&mut self, checkpoint: u64) -> Poll<Result<Option<StageHandle>, ConnectorError>>;

    /// Makes visible what `handle` names. Called again until it is ready; doing it twice does no harm.
    fn commit(&mut self, handle: &StageHandle) -> Poll<Result<(), ConnectorError>>;

    /// How much more output can wait for its commit. The waker is called when that may have changed without a call.
    fn room(&self) -> Room {
        Room::Enough
    }
}

/// How much more output a writer can hold until it is committed.
///
/// A writer takes the records of the open epoch in any case: only when that is complete can a checkpoint relieve it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Room {
    /// Enough.
    Enough,
    /// Little: a checkpoint should be taken early.
    Little,
    /// None: sources should wait until a checkpoint has been committed.
    Exhausted,
}

/// Whether a batch was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteStatus {
    /// It was.
    Taken,
    /// It was not: try again after the waker has been called.
    Full,
}

/// Names staged output for ever: it is what a snapshot stores.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StageHandle(pub Vec<u8>);
