//! What a running job counts. Updated per batch, readable from any thread at any time.

use crate::claims::{Claimed, Claims, SplitId, SplitSnapshot, WatermarkSnapshot, holder};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tidewheel_guest::{LogBudget, MetricValue, Metrics};
use tidewheel_types::{OperatorId, Watermark};

/// What kind of part a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NodeKind {
    /// Brings records in.
    Source,
    /// Transforms them.
    Operator,
    /// Sends them out.
    Sink,
}

/// Counters of one source, operator or sink, over all workers of this process.
#[derive(Debug)]
pub(crate) struct NodeMetrics {
    pub(crate) id: OperatorId,
    pub(crate) kind: NodeKind,
    /// The sources upstream, as places in the job's list of sources.
    sources: Vec<u32>,
    pub(crate) records_in: AtomicU64,
    pub(crate) records_out: AtomicU64,
    /// Records the component refused or could not process.
    pub(crate) rejected: AtomicU64,
    /// Input that is not a record.
    pub(crate) malformed: AtomicU64,
    pub(crate) late: AtomicU64,
    /// Calls of the function, and those that failed.
    pub(crate) calls: AtomicU64,
    pub(crate) failed_calls: AtomicU64,
    /// What the component may log.
    pub(crate) log: LogBudget,
    /// What the component itself counts.
    pub(crate) own: Metrics,
    /// The watermark of whichever worker moved last; they differ by an epoch at most.
    watermark: AtomicI64,
}

impl NodeMetrics {
    /// A component of the node may log `log_lines_max` in a second.
    pub(crate) fn new(id: OperatorId, kind: NodeKind, sources: Vec<u32>, log_lines_max: u64) -> Arc<Self> {
        Arc::new(NodeMetrics {
            id,
            kind,
            sources,
            records_in: AtomicU64::new(0),
            records_out: AtomicU64::new(0),
            rejected: AtomicU64::new(0),
            malformed: AtomicU64::new(0),
            late: AtomicU64::new(0),
            calls: AtomicU64::new(0),
            failed_calls: AtomicU64::new(0),
            log: LogBudget::new(log_lines_max),
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
            calls: count(&self.calls),
            failed_calls: count(&self.failed_calls),
            log_lines_dropped: self.log.dropped(),
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
    pub(crate) claims: Claims,
    /// What other processes have told this one last, by process and node.
    told: Mutex<BTreeMap<(usize, usize), NodeSnapshot>>,
}

impl JobMetrics {
    pub(crate) fn new(nodes: Vec<Arc<NodeMetrics>>, claims: Claims) -> Self {
        let checkpoints = CheckpointMetrics::default();
        JobMetrics { nodes, epoch: AtomicU64::new(0), checkpoints, claims, told: Mutex::default() }
    }

    /// The counters as they stand: of all processes in process 0, in others of that one alone.
    pub fn snapshot(&self) -> JobSnapshot {
        let mut nodes: Vec<NodeSnapshot> = self.nodes.iter().map(|node| node.snapshot()).collect();
        for ((_, node), counters) in self.told_so_far().iter() {
            nodes[*node].add(counters);
        }
        JobSnapshot { epoch: self.epoch.load(Ordering::Relaxed), checkpoints: self.checkpoints.lock().clone(), nodes }
    }

    /// Where the watermark of each operator and sink stands, and what holds it back; and what all splits say. In process 0
    /// of all processes.
    pub fn watermarks(&self) -> (Vec<WatermarkSnapshot>, Vec<SplitSnapshot>) {
        let splits = self.claims.splits();
        let nodes = self.snapshot().nodes.into_iter().zip(&self.nodes);
        let downstream = nodes.filter(|(counted, _)| counted.kind != NodeKind::Source);
        let watermarks = downstream.map(|(counted, metrics)| WatermarkSnapshot {
            name: counted.name,
            kind: counted.kind,
            watermark: counted.watermark,
            held_back_by: holder(&splits, self.claims.names(&metrics.sources)),
        });
        (watermarks.collect(), splits)
    }

    /// What this process counts, to be told another.
    pub(crate) fn own(&self) -> Vec<PeerNode> {
        let nodes = self.nodes.iter().enumerate().map(|(node, metrics)| {
            let counters = metrics.snapshot();
            PeerNode { node, watermark_ms: counters.watermark.0, counters }
        });
        nodes.collect()
    }

    /// What this process's splits claim, to be told another, in pieces that fit a message.
    pub(crate) fn own_claims(&self) -> Vec<PeerMessage> {
        let claims = self.claims.own();
        claims.chunks(CLAIMS_TOLD).map(|claims| PeerMessage::Claims(claims.to_vec())).collect()
    }

    /// Process `peer` has told something. There are as many nodes in every process.
    pub(crate) fn told(&self, peer: usize, told: PeerMessage) {
        match told {
            PeerMessage::Node(told) if told.node < self.nodes.len() => {
                self.told_so_far().insert((peer, told.node), told.counters);
            }
            PeerMessage::Node(_) => {}
            PeerMessage::Claims(claims) => self.claims.told(claims),
        }
    }

    fn told_so_far(&self) -> MutexGuard<'_, BTreeMap<(usize, usize), NodeSnapshot>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Claims in one message to another process: it has room for some 700.
const CLAIMS_TOLD: usize = 500;

/// What a process is told by another one.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum PeerMessage {
    /// What it counts.
    Node(PeerNode),
    /// What its splits claim.
    Claims(Vec<(SplitId, Claimed)>),
}

/// What a process counts of one node, as it is told another process.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct PeerNode {
    /// Its place among the nodes of [`JobMetrics`].
    node: usize,
    /// That of the counters, which users get without its extremes.
    watermark_ms: i64,
    pub(crate) counters: NodeSnapshot,
}

impl PeerMessage {
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("counters have a JSON form")
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<PeerMessage> {
        let mut message: PeerMessage = serde_json::from_slice(bytes).ok()?;
        if let PeerMessage::Node(node) = &mut message {
            node.counters.watermark = Watermark(node.watermark_ms);
        }
        Some(message)
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
#[derive(Clone, Debug, Serialize, Deserialize)]
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
    /// Calls of its function.
    pub calls: u64,
    /// Those that failed, and were made again in pieces or are given up.
    pub failed_calls: u64,
    /// Lines that its component logged and that were too many.
    pub log_lines_dropped: u64,
    /// What the component itself counts.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metrics: BTreeMap<String, MetricValue>,
    /// Where its watermark stands.
    #[serde(serialize_with = "watermark_ms", skip_deserializing, default = "no_watermark")]
    pub watermark: Watermark,
}

impl NodeSnapshot {
    /// Adds what another process counts of the same node.
    fn add(&mut self, other: &NodeSnapshot) {
        self.records_in += other.records_in;
        self.records_out += other.records_out;
        self.rejected += other.rejected;
        self.malformed += other.malformed;
        self.late += other.late;
        self.calls += other.calls;
        self.failed_calls += other.failed_calls;
        self.log_lines_dropped += other.log_lines_dropped;
        self.watermark = self.watermark.min(other.watermark);
        for (name, value) in &other.metrics {
            match self.metrics.get_mut(name) {
                Some(own) => own.add(value),
                None => _ = self.metrics.insert(name.clone(), value.clone()),
            }
        }
    }
}

fn no_watermark() -> Watermark {
    Watermark::MIN
}

fn watermark_ms<S: serde::Serializer>(watermark: &Watermark, serializer: S) -> Result<S::Ok, S::Error> {
    match *watermark {
        Watermark::MIN | Watermark::MAX => serializer.serialize_none(),
        Watermark(ms) => serializer.serialize_some(&ms),
    }
}

#[cfg(test)]
mod tests {
    use super::{CLAIMS_TOLD, JobMetrics, NodeKind, NodeMetrics, PeerMessage};
    use crate::claims::{Claim, ClaimState, Claims};
    use std::sync::atomic::Ordering;
    use tidewheel_cluster::SIDE_MESSAGE_BYTES_MAX;
    use tidewheel_types::{OperatorId, Watermark};

    fn metrics(records_in: u64, watermark: Watermark) -> JobMetrics {
        let node = |id| NodeMetrics::new(OperatorId::new(id), NodeKind::Operator, Vec::new(), 1);
        let nodes = ["first", "second"].map(node);
        nodes[1].records_in.store(records_in, Ordering::Relaxed);
        nodes[1].set_watermark(watermark);
        JobMetrics::new(nodes.to_vec(), Claims::new(Vec::new(), 0))
    }

    #[test]
    fn what_another_process_tells_is_added_once() {
        let (own, other) = (metrics(3, Watermark(50)), metrics(4, Watermark::MAX));
        for _ in 0..2 {
            for node in other.own() {
                own.told(1, PeerMessage::from_bytes(&PeerMessage::Node(node).to_bytes()).unwrap());
            }
        }
        let snapshot = own.snapshot();
        assert_eq!((snapshot.nodes[0].records_in, snapshot.nodes[1].records_in), (0, 7));
        assert_eq!(snapshot.nodes[1].watermark, Watermark(50), "the least; the end of time is not the beginning");
        assert!(PeerMessage::from_bytes(b"{}").is_none());
    }

    #[test]
    fn claims_of_any_number_of_splits_fit_messages() {
        let metrics = metrics(0, Watermark::MIN);
        let claim = Claim { state: ClaimState::Active, watermark_ms: i64::MIN };
        let splits = u32::MAX - CLAIMS_TOLD as u32..u32::MAX;
        metrics.claims.note(u32::MAX, splits.chain([0]).map(|split| (split, claim)), i64::MIN);
        let messages: Vec<_> = metrics.own_claims().iter().map(PeerMessage::to_bytes).collect();
        assert_eq!(messages.len(), 2);
        assert!(messages.iter().all(|message| message.len() <= SIDE_MESSAGE_BYTES_MAX));
        assert!(PeerMessage::from_bytes(&messages[0]).is_some());
    }
}
