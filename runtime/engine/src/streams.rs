//! The streams beside the data: commands and reports.

use crate::alignment::Lowest;
use crate::watermark::Update;
use serde::{Deserialize, Serialize};
use tidewheel_connectors::Room;
use tidewheel_types::Epoch;
use tidewheel_types::job::RateLimit;

/// Numbers a job's checkpoints, in rising order over all its attempts.
pub(crate) type CheckpointId = u64;

/// From the controller to every task, on the command stream; takes effect at the end of its epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Command {
    /// From the next epoch on, a source instance may read this many bytes an epoch: its share of the job's budget.
    Share(u64),
    /// How far a group of sources that wait for each other has come.
    Align { group: u32, lowest: Lowest },
    /// From the next epoch on, the instances of a source, so many, read no more than this in a second together.
    Limit { source: u32, limit: RateLimit, instances: u64 },
    /// No source reads any more: the job is being stopped. With `drain` event time ends, so that everything fires.
    Halt { drain: bool },
    /// The end of this epoch is a checkpoint: sources record their positions, operators freeze what has changed, sinks
    /// stage what they hold. Operators also write what they hold to the savepoint at that URL, if there is one.
    Checkpoint { checkpoint: CheckpointId, savepoint: Option<String> },
    /// This checkpoint is complete: sinks commit what they have staged up to it.
    Complete(CheckpointId),
}

/// From tasks and their background threads to the controller, on the report stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Report {
    /// Something happened in this epoch: it should be closed in time.
    Active(Epoch),
    /// A source instance's share of this epoch's byte budget is spent: close it soon.
    Spent(Epoch),
    /// The most bytes that an edge of another process than the controller's carried in an epoch, lately.
    Carried { process: u32, bytes: u64 },
    /// A source instance that is in a group has come further.
    Progress(Update),
    /// The last split of an instance of a source has ended.
    Ended { source: u32 },
    /// A sink has settled what an earlier attempt left: the sources may begin.
    Ready,
    /// A task's part of a checkpoint is safe; as JSON, which says of itself what it is.
    Part { checkpoint: CheckpointId, part: Vec<u8> },
    /// A task could not make its part of a checkpoint safe.
    PartFailed { checkpoint: CheckpointId, reason: String },
    /// A sink's task can hold more or less output until it is committed than it said last; at first it has room enough.
    Room { sink: String, shard: usize, room: Room },
    /// A sink has committed everything that it had staged up to this checkpoint. What room it has since, it has told.
    Committed(CheckpointId),
    /// The manifest of a checkpoint is written.
    Published { checkpoint: CheckpointId, published: Published },
    /// The manifest of a checkpoint could not be written.
    PublishFailed { checkpoint: CheckpointId, reason: String },
    /// The savepoint of a checkpoint is finished, or could not be.
    SavepointFinished { checkpoint: CheckpointId, error: Option<String> },
}

/// A complete checkpoint, as its manifest has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Published {
    pub(crate) epoch: Epoch,
    pub(crate) created_ms: i64,
    /// Of all files that it needs.
    pub(crate) bytes: u64,
    /// Of those that none before it had.
    pub(crate) bytes_added: u64,
}
