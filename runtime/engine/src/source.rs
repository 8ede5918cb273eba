//! The beginning of a job's dataflow: splits → records with event time and key, and the source's watermark.
//!
//! A source reads while its share of the epoch's byte budget lasts, in pieces, so that the worker's other operators run
//! in between. It never closes an epoch by itself: it follows the command stream, and when that has passed the open
//! epoch it sends its watermark, if it changed, and opens the next. It reads in its open epoch only, so where its splits
//! are at the end of an epoch is the cut of that epoch. If the source has a component, what was read goes through it first,
//! and is through before the epoch ends.

mod component;
mod epochs;
mod limiter;
mod split;

pub(crate) use component::SourceComponent;
pub(crate) use split::SplitTask;

use crate::alignment::Aligned;
use crate::checkpoint::Part;
use crate::clock::{Alarm, Clock};
use crate::error::EngineError;
use crate::inbox::{Arrived, Input};
use crate::metrics::JobMetrics;
use crate::operator::rekey;
use crate::outputs::Outputs;
use crate::refuse::{Refusals, Refused};
use crate::reporter::Reporter;
use crate::streams::{CheckpointId, Command, Report};
use crate::task::{Flow, Frontier, Moment};
use crate::watermark::{self, Progress, Reached, Update};
use component::Read;
use epochs::{Closed, Epochs};
use limiter::Limiter;
use std::sync::Arc;
use std::time::Instant;
use tidewheel_connectors::{ConnectorError, Malformed, NO_TIME};
use tidewheel_types::selector::Selector;
use tidewheel_types::{Batch, Epoch, OperatorId, Origin};
use timely::dataflow::channels::pushers::Output;
use timely::dataflow::operators::Capability;
use timely::progress::frontier::MutableAntichain;
use timely::scheduling::Activator;

/// Bytes a source reads before it looks at anything else: small enough that a batch, its frame and the guest's copy
/// stay in the processor's cache.
const READ_BYTES: usize = 64 << 10;

/// Pieces read in one activation.
const READS: usize = 2;

/// What a source task is made of.
pub(crate) struct SourceParts {
    pub(crate) id: OperatorId,
    /// Its place in the job's list of sources, and the worker it runs on.
    pub(crate) source: u32,
    pub(crate) worker: u32,
    pub(crate) splits: Vec<SplitTask>,
    pub(crate) key: Option<Selector>,
    pub(crate) event_time: Option<Selector>,
    /// Makes records of what was read.
    pub(crate) component: Option<SourceComponent>,
    /// What it goes by if it waits for others.
    pub(crate) aligned: Option<Aligned>,
    pub(crate) refusals: Refusals,
    pub(crate) outputs: Outputs,
    pub(crate) commands: Box<dyn Input<Vec<Command>>>,
    pub(crate) watermarks: SideOutput<Update>,
    pub(crate) reporter: Reporter,
    pub(crate) activator: Activator,
    pub(crate) clock: Clock,
    /// Where those who ask find what the splits claim.
    pub(crate) metrics: Arc<JobMetrics>,
}

/// An output beside the data.
pub(crate) struct SideOutput<D> {
    pub(crate) output: Output<Epoch, Vec<D>>,
    pub(crate) capability: Option<Capability<Epoch>>,
}

impl<D: Clone + 'static> SideOutput<D> {
    fn send(&mut self, what: D) {
        if let Some(capability) = &self.capability {
            self.output.activate().give(capability, &mut vec![what]);
        }
    }

    fn open(&mut self, epoch: Epoch) {
        self.capability.iter_mut().for_each(|capability| capability.downgrade(&epoch));
    }
}

/// A source on one worker.
pub(crate) struct SourceTask {
    parts: SourceParts,
    /// The split whose turn it is.
    turn: usize,
    epochs: Epochs,
    /// Bytes this instance may read, and has read, in an epoch. Nothing, until the controller says how much.
    share: usize,
    read: usize,
    limiter: Limiter,
    /// It waits for that.
    is_limited: bool,
    /// The job is being stopped: nothing is read any more.
    is_halted: bool,
    /// What has been reported in the open epoch.
    reported: Option<Report>,
    reported_end: bool,
    sent: Progress,
    alarm: Alarm,
}

impl SourceTask {
    pub(crate) fn new(parts: SourceParts) -> Self {
        let mut task = SourceTask {
            turn: 0,
            epochs: Epochs::default(),
            share: 0,
            read: 0,
            limiter: Limiter::new(parts.clock.now_ms()),
            is_limited: false,
            is_halted: false,
            reported: None,
            reported_end: false,
            sent: Progress::Active(i64::MIN),
            alarm: Alarm::default(),
            parts,
        };
        // Where a checkpoint has left them, some may be ahead of others.
        task.align(Instant::now());
        task
    }

    /// One activation. `frontiers` is that of the command stream.
    pub(crate) fn run(&mut self, frontiers: &[MutableAntichain<Epoch>]) -> Result<(), EngineError> {
        let now = Instant::now();
        self.parts.commands.drain(&mut |epoch, commands| self.epochs.arrived(epoch, commands));
        let frontier = Frontier::of(frontiers);
        let flow = self.transform(now)?;
        while self.at_hand().is_none()
            && let Some(Closed { commands, next }) = self.epochs.close(frontier)
        {
            self.close_epoch(commands, now);
            match next {
                Some(epoch) => self.open_epoch(epoch),
                None => {
                    self.end();
                    return Ok(());
                }
            }
        }
        let flow = match flow {
            Flow::Done => self.read_splits(now)?,
            busy => {
                self.look_at_splits(now);
                busy
            }
        };
        self.parts.outputs.flush();
        self.report_changes(now);
        self.note_claims(now);
        match flow {
            Flow::More => self.parts.activator.activate(),
            Flow::After(wait) => self.parts.activator.activate_after(wait),
            Flow::Done | Flow::Waiting => self.set_alarm(now),
        }
        Ok(())
    }

    /// An epoch is over: carries out its commands and sends the watermark it ended with.
    fn close_epoch(&mut self, commands: Vec<Command>, now: Instant) {
        for command in commands {
            match command {
                Command::Share(bytes) => self.share(bytes as usize, now),
                Command::Align { group, lowest } => {
                    let instance = (self.parts.source, self.parts.worker);
                    if self.parts.aligned.as_mut().is_some_and(|aligned| aligned.told(group, lowest, instance)) {
                        self.align(now);
                    }
                }
                Command::Limit { source, limit, instances } if source == self.parts.source => {
                    self.limiter.set(limit, instances, self.parts.clock.now_ms());
                }
                Command::Limit { .. } => {}
                Command::Halt { drain } => self.halt(drain),
                Command::Checkpoint { checkpoint, .. } => self.record_positions(checkpoint, now),
                Command::Complete(_) => {}
            }
        }
        let progress = self.progress(now);
        if progress != self.sent {
            let SourceParts { source, worker, .. } = self.parts;
            let update = Update { source, worker, progress };
            self.parts.watermarks.send(update);
            if self.parts.aligned.is_some() {
                self.parts.reporter.send(Report::Progress(update));
            }
            self.sent = progress;
            self.align(now);
        }
    }

    /// Pauses the splits that are too far ahead of others, and goes on with those that are not any more.
    fn align(&mut self, now: Instant) {
        if let Some(bound) = self.parts.aligned.map(|aligned| aligned.bound(self.progress(now))) {
            self.parts.splits.iter_mut().for_each(|split| split.align(bound, now));
        }
    }

    /// May read so much from now on. Without a share it was held back: sinks were not ready, or could hold no more.
    fn share(&mut self, bytes: usize, now: Instant) {
        if self.share == 0 {
            self.parts.splits.iter_mut().for_each(|split| split.go_on(now));
        }
        self.share = bytes;
    }

    /// Reads no more. With `drain` no record will come any more either, for event time.
    fn halt(&mut self, drain: bool) {
        self.is_halted = true;
        if drain {
            self.parts.splits.iter_mut().for_each(SplitTask::drain);
        }
    }

    /// Its part of a checkpoint: where its splits are.
    fn record_positions(&mut self, checkpoint: CheckpointId, now: Instant) {
        let splits = self.parts.splits.iter().map(|split| split.snapshot(now)).collect();
        let part = Part::Source { source: self.parts.id.to_string(), splits };
        self.parts.reporter.send(Report::Part { checkpoint, part: part.encode() });
    }

    fn open_epoch(&mut self, epoch: Epoch) {
        self.parts.outputs.open(epoch);
        self.parts.watermarks.open(epoch);
        self.read = 0;
        self.reported = None;
    }

    /// The job is over.
    fn end(&mut self) {
        self.parts.outputs.close();
        self.parts.watermarks.capability = None;
        self.parts.splits.clear();
    }

    fn progress(&self, now: Instant) -> Progress {
        watermark::least(self.parts.splits.iter().map(|split| split.progress(now)))
    }

    /// Reads a few pieces, the splits in turn.
    fn read_splits(&mut self, now: Instant) -> Result<Flow, EngineError> {
        if self.is_halted {
            return Ok(Flow::Done);
        }
        for _ in 0..READS {
            let Some(split) = self.next_ready(now) else { return Ok(Flow::Done) };
            let bytes_max = self.bytes_max(now);
            if bytes_max == 0 || !self.parts.outputs.have_credit(self.epochs.open()) {
                // The end of the epoch, the alarm, or the edge that has room again activates this task.
                self.look_at_splits(now);
                return Ok(Flow::Waiting);
            }
            let flow = self.read_split(split, bytes_max, now)?;
            if flow != Flow::Done {
                return Ok(flow);
            }
        }
        Ok(if self.next_ready(now).is_some() { Flow::More } else { Flow::Done })
    }

    /// None is read for now, and that may last: one that has something by now is not idle until then.
    fn look_at_splits(&mut self, now: Instant) {
        self.parts.splits.iter_mut().for_each(|split| _ = split.is_ready(now));
    }

    /// How much may be read now: of a piece, of the share of this epoch, of what the source is limited to.
    fn bytes_max(&mut self, now: Instant) -> usize {
        let bytes_max = READ_BYTES.min(self.share.saturating_sub(self.read));
        if bytes_max == 0 {
            return 0;
        }
        let limit = self.limiter.bytes_max(self.parts.clock.now_ms());
        let was_limited = std::mem::replace(&mut self.is_limited, limit == 0);
        if was_limited && !self.is_limited {
            self.parts.splits.iter_mut().for_each(|split| split.go_on(now));
        }
        bytes_max.min(limit)
    }

    /// The next split in turn that has something to read.
    fn next_ready(&mut self, now: Instant) -> Option<usize> {
        let count = self.parts.splits.len();
        (self.turn..self.turn + count).map(|at| at % count).find(|&at| self.parts.splits[at].is_ready(now))
    }

    fn read_split(&mut self, index: usize, bytes_max: usize, now: Instant) -> Result<Flow, EngineError> {
        self.turn = index + 1;
        let mut batch = Batch::default();
        let mut malformed = Vec::new();
        let split = &mut self.parts.splits[index];
        split.read(now, bytes_max, &mut batch, &mut malformed).map_err(|error| self.failed(error))?;

        // At least 1: a split that brings nothing but malformed lines uses its budget too.
        let malformed_bytes = malformed.iter().map(|line| line.bytes.len()).sum::<usize>();
        self.read += (batch.size_bytes() + malformed_bytes).max(1);
        let bytes = batch.keys.bytes().len() + batch.values.bytes().len() + malformed_bytes;
        self.limiter.draw(batch.len() + malformed.len(), bytes);
        for Malformed { offset, bytes, reason } in malformed {
            let origin = Origin { offset, source: self.parts.source, split: self.parts.splits[index].number };
            self.parts.refusals.malformed(Refused::unread(origin, &bytes, reason))?;
        }
        self.assign(&mut batch)?;
        self.parts.refusals.emit(self.epochs.open(), &mut self.parts.outputs);
        match &mut self.parts.component {
            Some(component) if !batch.is_empty() => {
                component.take(Read::new(index, now, Arrived::in_source(self.epochs.open(), batch)));
                self.transform(now)
            }
            _ => {
                let reached = Reached { largest: batch.times.iter().copied().max(), ..Reached::default() };
                self.parts.outputs.emit(0, self.epochs.open(), batch);
                self.found(index, reached, now, now);
                Ok(Flow::Done)
            }
        }
    }

    /// The split whose records are not through the component.
    fn at_hand(&self) -> Option<usize> {
        self.parts.component.as_ref().and_then(SourceComponent::at_hand)
    }

    /// Lets what was read through the component, about a call's worth.
    fn transform(&mut self, now: Instant) -> Result<Flow, EngineError> {
        let SourceParts { component: Some(component), splits, outputs, clock, .. } = &mut self.parts else {
            return Ok(Flow::Done);
        };
        let Some(split) = component.at_hand() else { return Ok(Flow::Done) };
        let epoch = self.epochs.open();
        if !outputs.have_credit(epoch) {
            return Ok(Flow::Waiting);
        }
        let at = Moment { epoch, watermark: splits[split].watermark(), now: clock.now_ms() };
        let (flow, through) = component.call(&at, outputs)?;
        if let Some(Read { split, at, reached, .. }) = through {
            self.found(split, reached, at, now);
        }
        Ok(flow)
    }

    /// What was read of a split at `read_at` has become records.
    fn found(&mut self, index: usize, reached: Reached, read_at: Instant, now: Instant) {
        let split = &mut self.parts.splits[index];
        split.found(reached, read_at, now);
        self.align(now);
    }
}

impl SourceTask {
    /// Gives each record its event time and key. Those that lack one are refused.
    fn assign(&mut self, batch: &mut Batch) -> Result<(), EngineError> {
        if let Some(unknown) = batch.times.iter().position(|&time| time == NO_TIME)
            && self.parts.event_time.is_none()
        {
            let now = self.parts.clock.now_ms();
            batch.times[unknown..].iter_mut().filter(|time| **time == NO_TIME).for_each(|time| *time = now);
        }
        let mut bad: Vec<(usize, String)> = Vec::new();
        if let Some(selector) = &self.parts.event_time {
            for (index, time) in batch.times.iter_mut().enumerate() {
                match selector.event_time(batch.values.get(index)) {
                    Ok(at) => *time = at,
                    Err(error) => bad.push((index, error.to_string())),
                }
            }
        }
        if let Some(selector) = &self.parts.key {
            bad.extend(rekey::set_keys(selector, batch));
        }
        if bad.is_empty() {
            return Ok(());
        }
        bad.sort_unstable_by_key(|(index, _)| *index);
        bad.dedup_by_key(|(index, _)| *index);
        for (index, reason) in &bad {
            let (origin, value) = (batch.origins[*index], batch.values.get(*index));
            let reason = format!("{}: {reason}", self.parts.refusals.place(origin));
            self.parts
                .refusals
                .malformed(Refused { within: Some((batch, *index)), ..Refused::unread(origin, value, reason) })?;
        }
        *batch = rekey::without(batch, bad.iter().map(|(index, _)| *index));
        Ok(())
    }

    /// Tells the controller what happened: it closes an epoch only if something did.
    fn report_changes(&mut self, now: Instant) {
        let progress = self.progress(now);
        if progress == Progress::Ended && !self.reported_end && !self.is_halted {
            self.reported_end = true;
            self.parts.reporter.send(Report::Ended { source: self.parts.source });
        }
        let report = match () {
            () if self.read > 0 && self.read >= self.share => Report::Spent(self.epochs.open()),
            () if self.read > 0 || progress != self.sent => Report::Active(self.epochs.open()),
            () => return,
        };
        if self.reported.as_ref() != Some(&report) {
            self.parts.reporter.send(report.clone());
            self.reported = Some(report);
        }
    }

    /// Notes what the splits say of their event time, for those who ask.
    fn note_claims(&mut self, now: Instant) {
        let splits = self.parts.splits.iter_mut();
        let news: Vec<_> = splits.filter_map(|split| Some((split.number, split.news(now)?))).collect();
        if !news.is_empty() {
            self.parts.metrics.claims.note(self.parts.source, news, self.parts.clock.now_ms());
        }
    }

    /// Has this task activated at the first moment at which a split needs a look.
    fn set_alarm(&mut self, now: Instant) {
        let (clock, now_ms) = (&self.parts.clock, self.parts.clock.now_ms());
        // When it has passed, what it waits for by now is something else.
        let limited = self.limiter.until_ms().filter(|&until| self.is_limited && until > now_ms);
        let limited = limited.and_then(|until| clock.wait(until, now_ms));
        let limited = limited.map(|wait| now + wait);
        let first = self.parts.splits.iter().filter_map(|split| split.alarm(now)).chain(limited).min();
        if let Some(wait) = first.and_then(|at| self.alarm.set(at, now)) {
            self.parts.activator.activate_after(wait);
        }
    }

    fn failed(&self, error: ConnectorError) -> EngineError {
        EngineError::Connector { operator: self.parts.id.clone(), source: Box::new(error) }
    }
}
