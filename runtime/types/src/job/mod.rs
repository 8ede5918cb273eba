//! What the user asked for: the job file, parsed and checked.
//!
//! [`JobSpec::parse`] reads the text ([`options`](Options) does the tables, `parse`, `function`, `join`, `window` and
//! `durability` their meaning) and then checks what the job file alone can tell (`graph`): names, inputs, cycles, dead letters. What
//! depends on a component or a connector is checked by whoever knows those, with errors of the same form from
//! [`JobSpec::error`].

mod durability;
mod error;
mod function;
mod graph;
mod join;
mod options;
mod parse;
mod settings;
mod units;
mod window;

pub use durability::{BackendSpec, CheckpointSpec, RestartLimit, RestartSpec, RestartStrategy, StateSpec};
pub use error::{JobError, nearest};
pub use join::{JoinKind, JoinSpec, JoinType};
pub use options::Options;
pub use units::parse_bytes;
pub use window::{Panes, SessionGap, Trigger, WindowAssigner, WindowClock, WindowSpec};

use crate::description::TimerClock;
use crate::http_host::HttpHost;
use crate::{JsonPointer, OperatorId, Selector};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The output of a source or operator that takes its bad records, when `on-error = "dead-letter"`.
pub const DEAD_LETTER: &str = "dead-letter";

/// A job.
#[derive(Clone, Debug)]
pub struct JobSpec {
    /// Name of the job.
    pub name: String,
    /// The job file, as the user named it.
    pub file: String,
    /// Whether results come on the way or at the end.
    pub mode: JobMode,
    /// Number of key groups; fixed for the life of the job's state.
    pub max_parallelism: u16,
    /// When and where checkpoints are taken; `None`: never.
    pub checkpoint: Option<CheckpointSpec>,
    /// Where keyed state is kept.
    pub state: StateSpec,
    /// What happens when the job has failed.
    pub restart: RestartSpec,
    /// What is kept of calls that fail for good.
    pub capsules: CapsulesSpec,
    /// Sources, in file order.
    pub sources: Vec<SourceSpec>,
    /// Operators, in file order; an input may come after its consumer.
    pub operators: Vec<OperatorSpec>,
    /// Sinks, in file order.
    pub sinks: Vec<SinkSpec>,
}

/// When a job fires and takes checkpoints: `mode = "batch"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum JobMode {
    /// As event time goes on.
    #[default]
    Streaming,
    /// At the end of the input, which there has to be.
    Batch,
}

/// Where records come from: `[sources.NAME]`.
#[derive(Clone, Debug)]
pub struct SourceSpec {
    /// Name of the source.
    pub id: OperatorId,
    /// Name of its connector.
    pub connector: String,
    /// The keys that belong to the connector.
    pub options: Options,
    /// Where a record's event time comes from; otherwise from the connector.
    pub event_time: Option<EventTimeSpec>,
    /// Where a record's key is; otherwise the connector's own.
    pub key: Option<Selector>,
    /// How watermarks are made.
    pub watermark: WatermarkSpec,
    /// How much is read in a second at most.
    pub rate_limit: RateLimit,
    /// What becomes of malformed input.
    pub on_error: OnError,
    /// Line of the table.
    pub line: usize,
}

/// Where the event times of a source come from: `event-time = { json = "/ordered_at" }`.
#[derive(Clone, Debug, PartialEq)]
pub enum EventTimeSpec {
    /// From a place in the record.
    Place(Selector),
    /// From a component of world `stateless`: records are what it makes of what was read.
    Component(ComponentSpec),
}

/// How a source makes watermarks: `watermark = { out-of-orderness = "5s", idle-after = "30s" }`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WatermarkSpec {
    /// How far a record may be behind the largest event time of its split without being late.
    pub out_of_orderness_ms: i64,
    /// Whether it moves by the marks of the source's component alone, and not by event times.
    pub is_punctuated: bool,
    /// After how long without records a split no longer holds the watermark back; `None`: never.
    pub idle_after_ms: Option<u64>,
    /// Which sources it waits for; `None`: none.
    pub alignment: Option<AlignmentSpec>,
}

/// How far a source may be ahead of others: `watermark = { alignment = "orders", max-drift = "1m" }`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlignmentSpec {
    /// Name of the group of sources that wait for each other.
    pub group: String,
    /// How far a split's watermark may be ahead of the least of the group before it is no longer read.
    pub max_drift_ms: i64,
}

/// How much all instances of a source together read in a second at most: `rate-limit = { records = 1000, bytes = "1MiB" }`.
/// `None`: as much as the job can take; a number is more than 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RateLimit {
    /// Records, those that are malformed included.
    pub records: Option<u64>,
    /// Bytes of their keys and values.
    pub bytes: Option<u64>,
}

/// A step on the way of the records: `[operators.NAME]`.
#[derive(Clone, Debug)]
pub struct OperatorSpec {
    /// Name of the operator.
    pub id: OperatorId,
    /// What it does.
    pub function: FunctionSpec,
    /// What it reads; at least one.
    pub inputs: Vec<InputRef>,
    /// How the records of its two inputs are paired before it gets them.
    pub join: Option<JoinSpec>,
    /// Where the key of an incoming record is: one place, or one for each input; none: it keeps the one it has.
    pub keys: Vec<Selector>,
    /// How records are spread over workers when that is not by key.
    pub exchange: Option<ExchangeKind>,
    /// The window of a component of world `aggregate`.
    pub window: Option<WindowSpec>,
    /// What becomes of poison and rejected records.
    pub on_error: OnError,
    /// Line of the table.
    pub line: usize,
}

/// What an operator does with records. Where it is an [`Options`], that has the one key, for whoever understands what it
/// says.
#[derive(Clone, Debug)]
pub enum FunctionSpec {
    /// It calls the user's function.
    Component(ComponentSpec),
    /// It passes on the pairs of its join as they are.
    Pairs,
    /// It lets records pass for which a condition holds: `filter = "price > 100"`.
    Filter(Options),
    /// It makes an object of each record: `select = { auction = "auction" }`.
    Select(Options),
    /// It aggregates the records of a window: `aggregate = { bids = "count" }`.
    Aggregate(Options),
    /// It lets one record of a key pass in a time.
    Deduplicate(DeduplicateSpec),
    /// It lets a record pass that differs from the one of its key before.
    Changed(ChangedSpec),
}

/// `deduplicate = { keep = "first", within = "1h" }`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeduplicateSpec {
    /// Which record passes.
    pub keep: Keep,
    /// How long a time is, ms; more than 0.
    pub within_ms: i64,
    /// Which time that is; the latest record is kept by event time alone.
    pub clock: TimerClock,
}

/// Which of the records of a key passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// The one that comes first.
    First,
    /// The one with the latest event time.
    Last,
}

/// `changed = { fields = ["/status", "/amount"], within = "30d" }`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangedSpec {
    /// The fields that are compared; at least one.
    pub fields: Vec<JsonPointer>,
    /// For how long the last record of a key is remembered, ms; `None`: for ever.
    pub within_ms: Option<i64>,
    /// Which time that is.
    pub clock: TimerClock,
}

/// A user's function: `component = "rfm.wasm"`.
#[derive(Clone, Debug, PartialEq)]
pub struct ComponentSpec {
    /// The component, as the job file writes it: a path from the job file's folder.
    pub path: String,
    /// Handed to the component's `open`; an empty object when not given.
    pub config: serde_json::Value,
    /// Limits of its calls.
    pub limits: LimitsSpec,
    /// What of the machine it sees.
    pub grants: Vec<Grant>,
}

/// Something of the machine that a component sees, as `grants` names it. Without a grant it sees nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grant {
    /// An environment variable of the job's processes, by its name.
    Env(String),
    /// Requests over HTTP to a host.
    Http(HttpHost),
}

/// Where records go: `[sinks.NAME]`.
#[derive(Clone, Debug)]
pub struct SinkSpec {
    /// Name of the sink.
    pub id: OperatorId,
    /// Name of its connector.
    pub connector: String,
    /// What it takes; at least one.
    pub inputs: Vec<InputRef>,
    /// The keys that belong to the connector.
    pub options: Options,
    /// Line of the table.
    pub line: usize,
}

/// An output that an operator or sink reads: `"rfm"`, or `"rfm.late"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputRef {
    /// The source or operator.
    pub from: OperatorId,
    /// Its side output; `None`: its main output.
    pub output: Option<String>,
    /// Line of the `input` key.
    pub line: usize,
}

impl InputRef {
    /// Whether it is the dead letters of `from`.
    pub fn is_dead_letter(&self) -> bool {
        self.output.as_deref() == Some(DEAD_LETTER)
    }
}

impl fmt::Display for InputRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.output {
            None => write!(f, "{}", self.from),
            Some(output) => write!(f, "{}.{output}", self.from),
        }
    }
}

/// How records are spread over workers without a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExchangeKind {
    /// Evenly, in turn.
    Rebalance,
}

/// Limits of a component's calls; `None`: the default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LimitsSpec {
    /// Memory of an instance.
    pub memory_bytes_max: Option<u64>,
    /// Time of one call.
    pub deadline_ms_max: Option<u64>,
    /// Output of one call.
    pub output_bytes_max: Option<u64>,
    /// State of a key, or an accumulator.
    pub state_bytes_max: Option<u64>,
    /// Records of one call.
    pub records_max: Option<u64>,
    /// Lines of log in a second, in one process.
    pub log_lines_max: Option<u64>,
}

/// What is kept of calls that fail for good, for `tidewheel replay`: `[capsules]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CapsulesSpec {
    /// How many; 0: none.
    pub keep: u64,
    /// Bytes of one. Where the component does not fit in, it is left out; where nothing does, there is no capsule.
    pub bytes_max: u64,
}

impl Default for CapsulesSpec {
    fn default() -> Self {
        CapsulesSpec { keep: 10, bytes_max: 32 << 20 }
    }
}

/// What becomes of a record that cannot be processed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnError {
    /// The job fails.
    #[default]
    Fail,
    /// It is counted and dropped.
    Skip,
    /// It goes to the output `NAME.dead-letter`.
    DeadLetter,
}

impl SourceSpec {
    /// The component that its records go through, if there is one.
    pub fn component(&self) -> Option<&ComponentSpec> {
        match &self.event_time {
            Some(EventTimeSpec::Component(component)) => Some(component),
            _ => None,
        }
    }
}

impl OperatorSpec {
    /// Its component, if it calls one.
    pub fn component(&self) -> Option<&ComponentSpec> {
        match &self.function {
            FunctionSpec::Component(component) => Some(component),
            _ => None,
        }
    }
}

impl JobSpec {
    /// Parses and checks the text of a job file; `file` is its name in errors.
    pub fn parse(text: &str, file: &str) -> Result<JobSpec, JobError> {
        JobSpec::parse_with(text, file, &[])
    }

    /// The same with settings `KEY=VALUE` that go before what the file says, as `--set` takes them: a dotted key, and a
    /// value as in the file; what is no value of TOML is a string without its quotes.
    pub fn parse_with(text: &str, file: &str, settings: &[String]) -> Result<JobSpec, JobError> {
        let mut root = Options::parse(text, file)?;
        settings.iter().try_for_each(|setting| settings::apply(&mut root, setting))?;
        let spec = parse::job(root, file)?;
        graph::check(&spec)?;
        Ok(spec)
    }

    /// A mistake on `line` of this job file; `message` is lower case and without a final dot.
    pub fn error(&self, line: usize, message: impl Into<String>) -> JobError {
        JobError { file: self.file.clone(), line, message: message.into(), hint: None }
    }
}

#[cfg(test)]
mod tests;
