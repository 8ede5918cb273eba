//! A sink that keeps what it gets: the simplest outside system that takes outboxes in transactions.

use super::MemoryRecord;
use super::writer::{Direct, MemoryWriter};
use crate::background::Background;
use crate::outbox::{self, OutboxId, OutboxSettings, Target};
use crate::{ConnectorError, Delivery, Outcome, Sink, SinkContext, SinkWriter, Waker};
use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tidewheel_types::Batch;

/// A sink that keeps records in memory. Clones are the same sink.
#[derive(Clone, Default)]
pub struct MemorySink {
    state: Arc<Mutex<State>>,
    /// How long a batch takes to write.
    delay: Option<Duration>,
    settings: OutboxSettings,
}

/// What goes wrong, once, at a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryFault {
    /// The transaction fails, and nothing of it has become visible.
    BeforeCommit,
    /// The transaction succeeds, and nobody hears of it.
    AfterCommit,
}

#[derive(Default)]
pub(super) struct State {
    /// What has been written and not committed, as it came.
    pub(super) uncommitted: BTreeMap<Uncommitted, Vec<MemoryRecord>>,
    committed: Vec<MemoryRecord>,
    /// By lineage, sink and shard: the newest checkpoint that has been committed.
    marks: BTreeMap<(String, String, usize), u64>,
    /// By lineage, sink and shard: the attempt that commits; none before it does.
    fences: BTreeMap<(String, String, usize), u64>,
    fault: Option<MemoryFault>,
    pub(super) is_full: bool,
    wakers: Vec<Waker>,
}

/// Which output it is; that of checkpoint `u64::MAX` is not staged.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Uncommitted {
    pub(super) shard: usize,
    pub(super) lineage: String,
    pub(super) sink: String,
    pub(super) attempt: u64,
    pub(super) checkpoint: u64,
}

impl MemorySink {
    /// An empty sink.
    pub fn new() -> Self {
        MemorySink::default()
    }

    /// A sink that takes this long for each batch, behind a short queue.
    pub fn slow(delay: Duration) -> Self {
        MemorySink { delay: Some(delay), ..MemorySink::default() }
    }

    /// The same sink, with outboxes of this kind.
    pub fn with_outboxes(self, settings: OutboxSettings) -> Self {
        MemorySink { settings, ..self }
    }

    /// What has become visible, in order of commit.
    pub fn committed(&self) -> Vec<MemoryRecord> {
        self.lock().committed.clone()
    }

    /// Everything taken: committed, staged, and written since, each by shard.
    pub fn taken(&self) -> Vec<MemoryRecord> {
        let state = self.lock();
        state.committed.iter().chain(state.uncommitted.values().flatten()).cloned().collect()
    }

    /// Lets the next commit fail.
    pub fn fail_commit(&self, fault: MemoryFault) {
        self.lock().fault = Some(fault);
    }

    /// While full, the sink takes no batch; a slow one does, until its queue is full.
    pub fn set_full(&self, is_full: bool) {
        let mut state = self.lock();
        state.is_full = is_full;
        let wakers = state.wakers.clone();
        drop(state);
        wakers.iter().for_each(|waker| waker());
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves nothing half done here.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink for MemorySink {
    fn open(&self, context: SinkContext) -> Result<Box<dyn SinkWriter>, ConnectorError> {
        self.lock().wakers.push(context.waker.clone());
        let target = MemoryTarget { sink: self.clone(), context: context.clone() };
        let (outbox, outboxes, uncommitted) = outbox::parts(&context, target, &self.settings)?;
        let writer = MemoryWriter::new(self.clone(), &context, outbox, self.delay);
        let settings = self.settings.clone();
        let room = move || uncommitted.room(&settings);
        Ok(match self.delay {
            None => Box::new(Direct::new(self.clone(), writer, outboxes, room)),
            Some(_) => Box::new(Background::start("memory", writer, outboxes, context.waker)?.with_room(room)),
        })
    }

    fn delivery(&self) -> Delivery {
        Delivery::ExactlyOnce
    }
}

/// The sink as one task of an attempt sees it.
struct MemoryTarget {
    sink: MemorySink,
    context: SinkContext,
}

impl MemoryTarget {
    fn shard(&self, shard: usize) -> (String, String, usize) {
        (self.context.lineage.clone(), self.context.sink.clone(), shard)
    }
}

/// Under which an outbox's mark is kept: its own lineage, which need not be that of the attempt.
fn key(outbox: &OutboxId) -> (String, String, usize) {
    (outbox.lineage.clone(), outbox.sink.clone(), outbox.shard)
}

impl Target for MemoryTarget {
    fn fence(&mut self, shard: usize) -> Result<(), ConnectorError> {
        let SinkContext { lineage, sink, attempt, .. } = &self.context;
        let mut state = self.sink.lock();
        let fence = state.fences.entry(self.shard(shard)).or_default();
        *fence = (*fence).max(*attempt);
        state.uncommitted.retain(|of, _| {
            let is_earlier = of.shard == shard && of.lineage == *lineage && of.sink == *sink && of.attempt < *attempt;
            !is_earlier
        });
        Ok(())
    }

    fn outcome(&mut self, outbox: &OutboxId) -> Result<Outcome, ConnectorError> {
        let mark = self.sink.lock().marks.get(&key(outbox)).copied();
        Ok(if mark >= Some(outbox.checkpoint) { Outcome::Committed } else { Outcome::Open })
    }

    fn commit(
        &mut self,
        outbox: &OutboxId,
        records: &mut dyn Iterator<Item = Result<Batch, ConnectorError>>,
    ) -> Result<(), ConnectorError> {
        let mut taken = Vec::new();
        for batch in records {
            taken.extend(MemoryRecord::from_batch(&batch?));
        }
        let path = "memory".to_owned();
        let shard = key(outbox);
        let mut state = self.sink.lock();
        if state.fences.get(&shard).is_some_and(|&attempt| attempt > self.context.attempt) {
            let reason = "a later start of the job has taken over".to_owned();
            return Err(ConnectorError::CommitFailed { path, reason });
        }
        let fault = state.fault.take();
        if fault == Some(MemoryFault::BeforeCommit) {
            return Err(ConnectorError::CommitFailed { path, reason: "the test wants it so".to_owned() });
        }
        state.committed.append(&mut taken);
        state.marks.insert(shard, outbox.checkpoint);
        let OutboxId { lineage, sink, shard, checkpoint } = outbox;
        state.uncommitted.retain(|of, _| {
            let is_it =
                of.shard == *shard && of.lineage == *lineage && of.sink == *sink && of.checkpoint == *checkpoint;
            !is_it
        });
        match fault {
            Some(_) => {
                let source = io::Error::new(ErrorKind::TimedOut, "no answer");
                Err(ConnectorError::CommitInDoubt { path, source })
            }
            None => Ok(()),
        }
    }
}
