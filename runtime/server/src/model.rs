//! What travels by the API, as it is written in JSON.
//!
//! Times are milliseconds since 1970-01-01 UTC. Fields may be added: a reader passes over those it does not know. A
//! request with a field that the job does not know is refused, since it asks for something that would not be done.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// How a job is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobStatus {
    /// Name of the job.
    pub name: String,
    /// What it is doing.
    pub state: JobState,
    /// Number of the attempt: 1 for a job that has never been restarted.
    pub attempt: u64,
    /// When the job was started.
    pub started_ms: i64,
    /// When this attempt was.
    pub attempt_started_ms: i64,
    /// Worker threads in all processes.
    pub workers: usize,
    /// Its processes on this machine.
    pub processes: Vec<Process>,
    /// The newest complete checkpoint; `None` also when the store does not say.
    pub last_checkpoint: Option<Checkpoint>,
    /// What is being taken.
    pub in_progress: Option<InProgress>,
    /// The attempts that failed, oldest first; of very many, the newest.
    pub restarts: Vec<Restart>,
    /// When the next attempt begins, of a job that is restarting.
    #[serde(default)]
    pub next_attempt_ms: Option<i64>,
    /// Sources, operators and sinks.
    pub parts: Vec<Part>,
}

/// What a job is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JobState {
    /// Processes are started and state is restored.
    Starting,
    /// It processes records.
    Running,
    /// It takes its last checkpoint or savepoint.
    Stopping,
    /// It failed, and waits to be started again.
    Restarting,
}

impl fmt::Display for JobState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            JobState::Starting => "starting",
            JobState::Running => "running",
            JobState::Stopping => "stopping",
            JobState::Restarting => "restarting",
        })
    }
}

/// A process of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Its place among the processes of the attempt.
    pub index: usize,
    /// Its number in the operating system of its machine.
    pub pid: u32,
    /// Its worker threads.
    pub workers: usize,
}

/// An attempt that failed, and after which the job is started again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restart {
    /// The attempt that ended.
    pub attempt: u64,
    /// When it did.
    pub at_ms: i64,
    /// Why.
    pub reason: String,
}

/// The counters of a source, operator or sink, over all workers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// Its name in the job file.
    pub name: String,
    /// `source`, `operator` or `sink`.
    pub kind: String,
    /// Records taken in.
    pub records_in: u64,
    /// Records sent by the main output.
    pub records_out: u64,
    /// Records its component refused or could not process.
    pub rejected: u64,
    /// Input that is not a record.
    pub malformed: u64,
    /// Late records.
    pub late: u64,
    /// Where its watermark stands; `None` before the first and after the last.
    pub watermark: Option<i64>,
}

/// A complete checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Its number.
    pub id: u64,
    /// The attempt that took it.
    pub attempt: u64,
    /// The epoch at whose end it was taken.
    pub epoch: u64,
    /// When it was asked for.
    pub created_ms: i64,
    /// From then until it was complete.
    pub duration_ms: u64,
    /// Size of all files it needs.
    pub bytes: u64,
    /// What it added to them.
    pub bytes_added: u64,
}

/// The checkpoints of a job.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoints {
    /// Checkpoints of this attempt that were completed.
    pub completed: u64,
    /// Those that were not.
    pub failed: u64,
    /// How many of these were the last ones.
    pub failed_in_a_row: u32,
    /// What became of the last one that failed.
    pub last_failure: Option<String>,
    /// What is being taken.
    pub in_progress: Option<InProgress>,
    /// Those that are kept, newest first.
    pub kept: Vec<Checkpoint>,
}

/// A checkpoint or savepoint under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InProgress {
    /// Its number.
    pub id: u64,
    /// Whether it is a savepoint.
    pub savepoint: bool,
    /// When it was asked for.
    pub created_ms: i64,
}

/// A finished savepoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Savepoint {
    /// Where it is.
    pub url: String,
    /// The checkpoint it was made of.
    #[serde(flatten)]
    pub checkpoint: Checkpoint,
}

/// Asks for a checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CheckpointRequest {
    /// End the job with it, all output committed.
    pub stop: bool,
    /// Before that, let all windows and event-time timers fire, as at the end of the input.
    pub drain: bool,
}

/// Asks for a savepoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SavepointRequest {
    /// The URL or absolute path of the folder it goes into, under a name of its own; `None`: the folder `savepoints` in
    /// the job's data folder.
    pub to: Option<String>,
    /// End the job with it, all output committed.
    pub stop: bool,
    /// Before that, let all windows and event-time timers fire, as at the end of the input. The savepoint says so.
    pub drain: bool,
}

/// What became of a request for a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// The checkpoint; of a job that was stopped while it restarted, the newest there is, if there is any.
    #[serde(flatten)]
    pub checkpoint: Option<Checkpoint>,
    /// The job was stopped while it restarted: no checkpoint was taken.
    pub was_restarting: bool,
}

/// Asks for another [`SourceRate`]. A bound that is not named stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RateRequest {
    /// The source.
    pub source: String,
    /// Records, more than 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub records: Option<u64>,
    /// Bytes of keys and values, more than 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// As much as the job takes: then neither is named.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub unlimited: bool,
}

/// How much is read of a source in a second at most, by all its instances together. Without both: as much as the job takes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SourceRate {
    /// The source.
    pub source: String,
    /// Records, more than 0.
    pub records: Option<u64>,
    /// Bytes of keys and values, more than 0.
    pub bytes: Option<u64>,
}

/// What holds a job's watermarks back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watermarks {
    /// Of its operators and sinks, in the order of the job file.
    pub parts: Vec<PartWatermark>,
    /// What the splits of its sources say of their event time.
    pub splits: Vec<SplitWatermark>,
}

/// The watermark of an operator or sink.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartWatermark {
    /// Its name in the job file.
    pub name: String,
    /// `operator` or `sink`.
    pub kind: String,
    /// Where its watermark stands; `None` before the first and after the last.
    pub watermark: Option<i64>,
    /// Whether that is after the last.
    pub ended: bool,
    /// The split whose watermark is the least of all it waits for; `None` when all are idle or have ended.
    pub held_back_by: Option<SplitWatermark>,
}

/// What a split says of its event time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SplitWatermark {
    /// The name of its source.
    pub source: String,
    /// Its own.
    pub split: String,
    /// `active`, `paused` (it waits for others of its alignment group), `idle` or `ended`.
    pub state: String,
    /// Its watermark; of one that is idle or has ended, where it was. `None` before its first record.
    pub watermark: Option<i64>,
    /// Since when both have been so.
    pub since_ms: i64,
}

/// What a job counts: by name and labels, for a machine to read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// Of the job as a whole.
    pub job: BTreeMap<String, f64>,
    /// Of its parts, by their names.
    pub parts: BTreeMap<String, BTreeMap<String, f64>>,
}
