//! What a running job counts. Updated per batch, readable from any thread at any time.

use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tidewheel_guest::{MetricValue, Metrics};
use tidewheel_types::{OperatorId, Watermark};

/// What kind of part a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum NodeKind {
    /// Brings records in.
    Source,
    /// Transforms them.
    Operator,
    /// Sends them out.
    Sink,
}

/// Counters of one source, operator or sink, over all workers.
#[derive(Debug)]
pub(crate) struct NodeMetrics {
    pub(crate) id: OperatorId,
    pub(crate) kind: NodeKind,
    pub(crate) records_in: AtomicU64,
    pub(crate) records_out: AtomicU64,
    /// Records the component refused or could not process.
    pub(crate) rejected: AtomicU64,
    /// Input that is not a record.
    pub(crate) malformed: AtomicU64,
    pub(crate) late: AtomicU64,
    /// What the component itself counts.
    pub(crate) own: Metrics,
    /// The watermark of whichever worker moved last; they differ by an epoch at most.
    watermark: AtomicI64,
}

impl NodeMetrics {
    pub(crate) fn new(id: OperatorId, kind: NodeKind) -> Arc<Self> {
        Arc::new(NodeMetrics {
            id,
            kind,
            records_in: AtomicU64::new(0),
            records_out: AtomicU64::new(0),
            rejected: AtomicU64::new(0),
            malformed: AtomicU64::new(0),
            late: AtomicU64::new(0),
            own: Metrics::default(),
            watermark: AtomicI64::new(i64::MIN),
        })
    }

    pub(crate) fn set_watermark(&self, watermark: Watermark) {
        self.watermark.store(watermark.0, Ordering::Relaxed);
    }

    fn snapshot(&self) -> NodeSnapshot {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        NodeSnapshot {
            name: self.id.as_str().to_owned(),
            kind: self.kind,
            records_in: count(&self.records_in),
            records_out: count(&self.records_out),
            rejected: count(&self.rejected),
            malformed: count(&self.malformed),
            late: count(&self.late),
            metrics: self.own.read(),
            watermark: Watermark(self.watermark.load(Ordering::Relaxed)),
        }
    }
}

/// What is known of a job's checkpoints, of this attempt.
#[derive(Clone, Debug, Default, Serialize)]
pub struct CheckpointCounters {
    /// How many are complete.
    pub completed: u64,
    /// How many came to nothing.
    pub failed: u64,
    /// How many of those were the last ones.
    pub failed_in_a_row: u32,
    /// Why the last of those did.
    pub last_failure: Option<String>,
    /// The last complete one.
    pub last: Option<u64>,
    /// From when it was begun until its manifest was written.
    pub last_took_ms: f64,
    /// Bytes that it added to the store.
    pub last_bytes: u64,
    /// Bytes that all of them added.
    pub bytes: u64,
}

/// Counts checkpoints.
#[derive(Debug, Default)]
pub(crate) struct CheckpointMetrics(Mutex<CheckpointCounters>);

impl CheckpointMetrics {
    pub(crate) fn completed(&self, checkpoint: u64, took: Duration, bytes: u64) {
        let mut counters = self.lock();
        counters.completed += 1;
        counters.failed_in_a_row = 0;
        counters.last = Some(checkpoint);
        counters.last_took_ms = took.as_secs_f64() * 1e3;
        counters.last_bytes = bytes;
        counters.bytes += bytes;
    }

    pub(crate) fn failed(&self, reason: &str) {
        let mut counters = self.lock();
        counters.failed += 1;
        counters.failed_in_a_row += 1;
        counters.last_failure = Some(reason.to_owned());
    }

    fn lock(&self) -> MutexGuard<'_, CheckpointCounters> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counters of a job.
#[derive(Debug)]
pub struct JobMetrics {
    pub(crate) nodes: Vec<Arc<NodeMetrics>>,
    pub(crate) epoch: AtomicU64,
    pub(crate) checkpoints: CheckpointMetrics,
}

impl JobMetrics {
    pub(crate) fn new(nodes: Vec<Arc<NodeMetrics>>) -> Self {
        JobMetrics { nodes, epoch: AtomicU64::new(0), checkpoints: CheckpointMetrics::default() }
    }

    /// The counters as they stand.
    pub fn snapshot(&self) -> JobSnapshot {
        JobSnapshot {
            epoch: self.epoch.load(Ordering::Relaxed),
            checkpoints: self.checkpoints.lock().clone(),
            nodes: self.nodes.iter().map(|node| node.snapshot()).collect(),
        }
    }
}

/// The counters of a job at one moment.
#[derive(Clone, Debug, Serialize)]
pub struct JobSnapshot {
    /// The open epoch.
    pub epoch: u64,
    /// Its checkpoints.
    pub checkpoints: CheckpointCounters,
    /// Sources, operators, sinks, in the order of the job file.
    pub nodes: Vec<NodeSnapshot>,
}

impl JobSnapshot {
    /// Records that sources brought in.
    pub fn records_in(&self) -> u64 {
        self.of(NodeKind::Source).map(|node| node.records_out).sum()
    }

    /// Records that sinks took.
    pub fn records_out(&self) -> u64 {
        self.of(NodeKind::Sink).map(|node| node.records_in).sum()
    }

    /// The least watermark of the sinks.
    pub fn watermark(&self) -> Watermark {
        self.of(NodeKind::Sink).map(|node| node.watermark).min().unwrap_or(Watermark::MIN)
    }

    fn of(&self, kind: NodeKind) -> impl Iterator<Item = &NodeSnapshot> {
        self.nodes.iter().filter(move |node| node.kind == kind)
    }
}

/// The counters of one source, operator or sink.
#[derive(Clone, Debug, Serialize)]
pub struct NodeSnapshot {
    /// Its name in the job file.
    pub name: String,
    /// What it is.
    pub kind: NodeKind,
    /// Records taken in; for a source, none.
    pub records_in: u64,
    /// Records sent by the main output; for a sink, none.
    pub records_out: u64,
    /// Records its component refused or could not process.
    pub rejected: u64,
    /// Input that is not a record.
    pub malformed: u64,
    /// Late records.
    pub late: u64,
    /// What the component itself counts.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub metrics: BTreeMap<String, MetricValue>,
    /// Where its watermark stands.
    #[serde(serialize_with = "watermark_ms")]
    pub watermark: Watermark,
}

fn watermark_ms<S: serde::Serializer>(watermark: &Watermark, serializer: S) -> Result<S::Ok, S::Error> {
    match *watermark {
        Watermark::MIN | Watermark::MAX => serializer.serialize_none(),
        Watermark(ms) => serializer.serialize_some(&ms),
    }
}
