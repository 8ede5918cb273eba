//! Joins of two inputs by key: what pairs records is one file each, [`interval`], [`window`], [`session`], [`temporal`] and
//! [`lookup`]; what they wait in is [`buffer`]'s, how a pair is written [`pair`]'s.

mod buffer;
mod interval;
mod lookup;
mod pair;
mod session;
mod temporal;
mod window;

use super::filter::refuse;
use super::task_state::TaskState;
use super::window::Aligned;
use crate::error::EngineError;
use crate::inbox::Arrived;
use crate::metrics::NodeMetrics;
use crate::outputs::Outputs;
use crate::refuse::Refusals;
use crate::streams::Command;
use crate::task::{Flow, Logic, Moment};
pub(crate) use buffer::states;
use buffer::{From, Kept, Records, Side};
pub(crate) use pair::PairFormat;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tidewheel_state::{DueTimers, TimerChange};
use tidewheel_types::batch::Change;
use tidewheel_types::job::{JoinKind, JoinSpec};
use tidewheel_types::key_group::hash_key;
use tidewheel_types::keyed_state::{KeyedStateError, StateKey};
use tidewheel_types::{Batch, OperatorId, Origin};

/// Pairs after which the worker steps its other operators, in bytes.
const SLICE_BYTES: usize = 256 << 10;

/// Records, or timers, after which it does.
const SLICE_RECORDS: usize = 1 << 10;

/// A join on one worker.
pub(crate) struct Join {
    operator: OperatorId,
    spec: JoinSpec,
    state: TaskState,
    refusals: Refusals,
    late_port: usize,
    metrics: Arc<NodeMetrics>,
    pairs: Pairs,
    /// Where the record at hand goes on to look for pairs, and whether it has had one.
    resume: Option<(From, bool)>,
    /// The window that goes on to be paired.
    pairing: Option<window::Pairing>,
    due: DueTimers,
    fired: usize,
}

/// A record that has come, or that waits.
#[derive(Clone, Copy)]
struct Record<'r> {
    side: Side,
    key: StateKey<'r>,
    time: i64,
    value: &'r [u8],
    is_deleted: bool,
    origin: Origin,
}

/// What has become of a record.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Taken,
    Late,
    /// It has more pairs.
    More,
}

/// Pairs on their way out.
struct Pairs {
    format: PairFormat,
    batch: Batch,
    value: Vec<u8>,
}

impl Pairs {
    fn push(&mut self, time: i64, of: (StateKey<'_>, Origin), left: Option<&[u8]>, right: Option<&[u8]>) {
        self.value.clear();
        self.format.write(left, right, &mut self.value);
        self.batch.push(time, of.0.key, &self.value, of.1);
    }

    /// As [`push`](Self::push), for a record of `side` and one of the other.
    fn push_sided(&mut self, time: i64, of: (StateKey<'_>, Origin), side: Side, own: &[u8], other: Option<&[u8]>) {
        match side {
            Side::Left => self.push(time, of, Some(own), other),
            Side::Right => self.push(time, of, other, Some(own)),
        }
    }

    fn is_full(&self) -> bool {
        self.batch.size_bytes() >= SLICE_BYTES
    }
}

impl Join {
    pub(crate) fn new(
        operator: OperatorId,
        (spec, format): (JoinSpec, PairFormat),
        state: TaskState,
        refusals: Refusals,
        (late_port, metrics): (usize, Arc<NodeMetrics>),
    ) -> Self {
        Join {
            operator,
            spec,
            state,
            refusals,
            late_port,
            metrics,
            pairs: Pairs { format, batch: Batch::default(), value: Vec::new() },
            resume: None,
            pairing: None,
            due: DueTimers::default(),
            fired: 0,
        }
    }

    /// Takes in some records of a batch.
    fn take(&mut self, arrived: &mut Arrived, at: &Moment, late: &mut Batch) -> Result<(), EngineError> {
        let batch = &arrived.batch;
        for _ in 0..SLICE_RECORDS {
            let index = arrived.done;
            if index == batch.len() || self.pairs.is_full() {
                return Ok(());
            }
            let key = batch.keys.get(index);
            let record = Record {
                side: Side::of_input(arrived.input),
                key: StateKey { hash: hash_key(key), key, namespace: &[] },
                time: batch.times[index],
                value: batch.values.get(index),
                is_deleted: is_gone(batch, index),
                origin: batch.origins[index],
            };
            if let Err(reason) = self.check(record) {
                refuse(&mut self.refusals, batch, index, reason)?;
                arrived.done += 1;
                continue;
            }
            let fate = match self.spec.kind {
                JoinKind::Interval { .. } => self.interval(record, at.watermark.0),
                JoinKind::Window { size_ms, slide_ms, offset_ms } => {
                    self.window(record, Aligned::sliding(size_ms, slide_ms, offset_ms), at.watermark.0)
                }
                JoinKind::Session { gap_ms } => self.session(record, gap_ms, at.watermark.0),
                JoinKind::Temporal => self.temporal(record, at.watermark.0),
                JoinKind::Lookup => self.lookup(record),
            };
            match fate.map_err(|error| self.failed(error))? {
                Fate::Taken => arrived.done += 1,
                Fate::Late => {
                    late.push_from(batch, index);
                    arrived.done += 1;
                }
                Fate::More => return Ok(()),
            }
        }
        Ok(())
    }

    /// Lets a record wait for others until its timer.
    fn keep(&mut self, record: Record<'_>, is_matched: bool, until: i64) -> Result<(), KeyedStateError> {
        self.store(record, is_matched)?;
        self.set_timer(record.side, record.key, until);
        Ok(())
    }

    fn store(&mut self, record: Record<'_>, is_matched: bool) -> Result<(), KeyedStateError> {
        let Record { side, key, time, value, is_deleted, .. } = record;
        self.records_of(side, key).add(time, Kept { is_matched, is_deleted, value })
    }

    fn records_of<'k>(&self, side: Side, key: StateKey<'k>) -> Records<'_, 'k> {
        Records { state: &self.state, side, key }
    }

    /// Why a record cannot be joined, if it cannot.
    fn check(&self, record: Record<'_>) -> Result<(), String> {
        // Where the right side says what is now, or was then, a deletion need not say more.
        let has_versions = matches!(self.spec.kind, JoinKind::Temporal | JoinKind::Lookup);
        if record.side == Side::Right && record.is_deleted && has_versions {
            return Ok(());
        }
        if let JoinKind::Session { gap_ms } = self.spec.kind
            && record.time.checked_add(gap_ms).is_none()
        {
            return Err(format!("its session would end {gap_ms} ms after {}, which no time is", record.time));
        }
        self.pairs.format.check(record.value)
    }

    fn set_timer(&mut self, side: Side, key: StateKey<'_>, time: i64) {
        let change = TimerChange::Set { slot: side.slot(), time };
        self.state.timers.change(&mut std::iter::once((key, change)));
    }

    fn emit(&mut self, at: &Moment, outputs: &mut Outputs) {
        outputs.emit(0, at.epoch, std::mem::take(&mut self.pairs.batch));
    }

    fn failed(&self, source: KeyedStateError) -> EngineError {
        EngineError::State { operator: self.operator.clone(), source }
    }
}

impl Logic for Join {
    fn records(&mut self, arrived: &mut Arrived, at: &Moment, outputs: &mut Outputs) -> Result<Flow, EngineError> {
        self.state.set_time(at);
        let mut late = Batch::default();
        self.take(arrived, at, &mut late)?;
        self.emit(at, outputs);
        self.refusals.emit(at.epoch, outputs);
        self.metrics.late.fetch_add(late.len() as u64, Ordering::Relaxed);
        outputs.emit(self.late_port, at.epoch, late);
        Ok(arrived.flow())
    }

    fn fire(&mut self, at: &Moment, outputs: &mut Outputs) -> Result<Flow, EngineError> {
        self.state.set_time(at);
        if self.fired == self.due.len() {
            self.fired = 0;
            self.state.timers.due_round(at.watermark.0, SLICE_RECORDS, &mut self.due);
        }
        if self.due.is_empty() {
            return Ok(Flow::Done);
        }
        let due = std::mem::take(&mut self.due);
        while self.fired < due.len() && !self.pairs.is_full() {
            let (key, side, time) = (due.key(self.fired), Side::of_slot(due.slots[self.fired]), due.times[self.fired]);
            let is_done = match self.spec.kind {
                JoinKind::Interval { .. } => self.interval_is_over(side, key, time),
                JoinKind::Window { size_ms, slide_ms, offset_ms } => {
                    self.window_ends(Aligned::sliding(size_ms, slide_ms, offset_ms), key, time)
                }
                JoinKind::Session { gap_ms } => self.session_is_due(gap_ms, (key, time), at.watermark.0),
                JoinKind::Temporal => self.temporal_is_due(side, key, time),
                // It sets no timers.
                JoinKind::Lookup => Ok(true),
            };
            if is_done.map_err(|error| self.failed(error))? {
                self.fired += 1;
            }
        }
        self.due = due;
        self.emit(at, outputs);
        Ok(Flow::More)
    }

    fn command(&mut self, command: &Command, at: &Moment) -> Result<Flow, EngineError> {
        self.state.command(command, at).map(|()| Flow::Done)
    }
}

/// Whether a record says that its row is not there any more: it is deleted, or has become another.
fn is_gone(batch: &Batch, index: usize) -> bool {
    let change = batch.changes.get(index);
    change == Some(&(Change::Delete as u8)) || change == Some(&(Change::UpdateBefore as u8))
}
