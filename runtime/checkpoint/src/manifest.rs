//! The manifest: what makes a checkpoint, and says where everything of it is.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ops::Range;
use tidewheel_types::OperatorId;
use tidewheel_types::contract::{Stored, StoredState};
use tidewheel_types::description::StateKind;
use tidewheel_types::shape::Shape;

/// The format of manifests that this version writes; newer ones are refused.
pub const FORMAT: u32 = 1;

/// A checkpoint that is complete.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`FORMAT`] of the version that wrote it.
    pub format: u32,
    /// The job's name.
    pub job: String,
    /// Identity of the job's output, minted at its first start: letters and digits.
    pub lineage: String,
    /// The attempt that took the checkpoint.
    pub attempt: u64,
    /// Its number, rising over all attempts.
    pub checkpoint: u64,
    /// The epoch at whose end it was taken, counted over all attempts.
    pub epoch: u64,
    /// When it was begun: ms since 1970.
    pub created_ms: i64,
    /// From when it was begun until its parts were safe.
    pub duration_ms: u64,
    /// Bytes that it added to the store.
    pub bytes: u64,
    /// Number of workers.
    pub workers: usize,
    /// Number of key groups: fixed for the life of the job's state.
    pub max_parallelism: u16,
    /// By source.
    pub sources: BTreeMap<String, SourceState>,
    /// The operators that have state, by name.
    pub operators: BTreeMap<String, OperatorState>,
    /// By sink.
    pub sinks: BTreeMap<String, SinkState>,
    /// Every source has come to its end, and everything it brought has been processed.
    pub finished: bool,
    /// Event time was brought to its end before, although sources have more.
    #[serde(default)]
    pub drained: bool,
}

impl Manifest {
    /// What it holds, as a [`Contract`](tidewheel_types::contract::Contract) compares it with what a job declares.
    pub fn stored(&self) -> Stored {
        let sources = self.sources.iter().map(|(id, source)| {
            let unread = source.splits.iter().filter(|split| !split.ended);
            (OperatorId::new(id), unread.map(|split| split.name.clone()).collect())
        });
        // Without either it has no timers.
        let keeps = |operator: &OperatorState| {
            !operator.states.is_empty() || operator.tasks.iter().any(|task| !task.files.is_empty())
        };
        let operators = self.operators.iter().filter(|(_, operator)| keeps(operator));
        let operators: Vec<_> = operators
            .map(|(id, operator)| (OperatorId::new(id), operator.states.iter().map(StoredState::from).collect()))
            .collect();
        let sinks = self.sinks.iter().filter(|(_, sink)| sink.has_staged());
        // Where event time has ended few wait for theirs.
        let has_ended = self.finished || self.drained;
        let shapes = self.operators.iter().filter_map(|(id, operator)| {
            let shape = operator.shape.as_ref().filter(|shape| !has_ended || shape.outlives_event_time);
            Some((OperatorId::new(id), shape?.clone()))
        });
        Stored {
            max_parallelism: (!operators.is_empty()).then_some(self.max_parallelism),
            sources: sources.collect(),
            operators,
            shapes: shapes.collect(),
            sinks: sinks.map(|(id, _)| OperatorId::new(id)).collect(),
        }
    }
}

/// A source.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SourceState {
    /// In the order of the source.
    pub splits: Vec<SplitState>,
}

/// A split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SplitState {
    /// By which it is found.
    pub name: String,
    /// Where its reader was; only the connector knows what it means.
    pub position: serde_json::Value,
    /// The largest event time of its records, ms.
    pub largest: Option<i64>,
    /// The highest mark that its source's component has made, ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub marked: Option<i64>,
    /// Whether it was without records.
    pub idle: bool,
    /// Whether it had come to its end.
    pub ended: bool,
}

/// An operator with state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OperatorState {
    /// Digest of its component.
    pub component: String,
    /// Its watermark, ms; the least `i64` before the first.
    pub watermark: i64,
    /// Its states.
    pub states: Vec<StateEntry>,
    /// Its timers and windows; not known of one that an earlier version wrote.
    #[serde(default)]
    pub shape: Option<Shape>,
    /// What each worker had.
    pub tasks: Vec<TaskState>,
}

/// A state of an operator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateEntry {
    /// Its number in the keys of entries.
    pub id: u16,
    /// By which it is found.
    pub name: String,
    /// How it keeps its entries.
    pub kind: StateKind,
    /// The encoding of its values.
    pub format: String,
    /// What a value of version `version` looks like.
    pub schema: String,
    /// The schema version of the component that wrote last.
    pub version: u32,
    /// The clock on which its entries expire: `event`, `processing` or `none`. Earlier versions wrote `processing` for
    /// `none`.
    pub clock: String,
    /// The schema versions of the values that are there; it may name too many, never too few.
    pub versions: Vec<u32>,
}

impl From<&StateEntry> for StoredState {
    fn from(entry: &StateEntry) -> StoredState {
        StoredState {
            name: entry.name.clone(),
            kind: entry.kind,
            format: entry.format.clone(),
            schema: entry.schema.clone(),
            version: entry.version,
            versions: entry.versions.iter().copied().collect(),
        }
    }
}

/// The state of an operator on one worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskState {
    /// The worker.
    pub worker: usize,
    /// The key groups it owned. Its files may hold entries of others, which do not count.
    pub key_groups: Range<u16>,
    /// Oldest first: in this order they are to be read. In a savepoint: the one file of its rows.
    pub files: Vec<FileRef>,
}

/// A file in a store.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FileRef {
    /// Its name.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// CRC-32C of all of it.
    pub crc32c: u32,
}

/// A sink.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SinkState {
    /// By task.
    pub shards: Vec<ShardState>,
}

impl SinkState {
    /// Whether any of its tasks had.
    pub fn has_staged(&self) -> bool {
        self.shards.iter().any(|shard| !shard.staged.is_empty())
    }
}

/// What a task of a sink had staged and not committed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardState {
    /// The task.
    pub shard: usize,
    /// In the order in which it is to be committed.
    pub staged: Vec<Staged>,
}

/// Output that is staged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Staged {
    /// The checkpoint whose output it is.
    pub checkpoint: u64,
    /// By which its connector finds it.
    #[serde(with = "crate::bytes_text")]
    pub handle: Vec<u8>,
}

impl Manifest {
    /// Whether it names output that is yet to be committed, as far as it knows.
    pub fn holds_output(&self) -> bool {
        self.sinks.values().any(SinkState::has_staged)
    }

    /// Whether the job has come to its end, everything committed.
    pub fn is_over(&self) -> bool {
        self.finished && !self.holds_output()
    }

    /// All files it needs.
    pub fn files(&self) -> impl Iterator<Item = &FileRef> {
        self.operators.values().flat_map(|operator| &operator.tasks).flat_map(|task| &task.files)
    }
}
