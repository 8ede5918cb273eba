//! The epoch clock and the command stream; on worker 0.
//!
//! There is one clock for the whole job: the controller closes an epoch by downgrading the capability of the command
//! stream, and everybody else follows that stream's frontier. (With a clock on each worker a hiccup of one leaves the
//! others a whole epoch apart from then on.)
//!
//! An epoch is closed when it is old enough or its byte budget is spent, only if something happened in it, and never
//! while the epoch before the last one is still open at a sink: so at most three are open at once. The end of an epoch
//! may be a checkpoint: `snapshots.rs`.

mod rate_limits;
mod snapshots;

pub(crate) use rate_limits::RateLimits;

use crate::alignment::Alignment;
use crate::checkpoint::{CheckpointPolicy, Publisher, Tasks};
use crate::control::{JobControl, Request};
use crate::credit::Credit;
use crate::error::EngineError;
use crate::metrics::JobMetrics;
use crate::streams::{CheckpointId, Command, Report};
use snapshots::Snapshots;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tidewheel_connectors::Room;
use tidewheel_types::Epoch;
use timely::dataflow::ProbeHandle;
use timely::dataflow::channels::pushers::Output;
use timely::dataflow::operators::Capability;
use timely::scheduling::Activator;

/// How long an epoch is open once something has happened in it.
pub(crate) const EPOCH: Duration = Duration::from_millis(10);

/// The byte budget of a job's first epochs.
const BUDGET_BYTES_START: u64 = 256 << 10;

/// Limits of the byte budget.
const BUDGET_BYTES: std::ops::RangeInclusive<u64> = 64 << 10..=1 << 20;

/// Bytes that the largest edge should carry in an epoch.
const EDGE_BYTES_AIM: u64 = 1 << 20;

/// Where the job is on its way to its end.
#[derive(Debug)]
enum Phase {
    /// Sinks settle what an earlier attempt left; so many have not yet said that they are ready.
    Starting(usize),
    /// Sources have more.
    Running,
    /// No source reads any more; what they sent, up to this epoch, is being processed. Somebody may have asked for it.
    Draining(Epoch, Option<Request>),
    /// Everything is processed; this is the last checkpoint, after whose commits the job is over.
    Last(CheckpointId),
    /// The capability is gone.
    Done,
}

/// What the controller is made of.
pub(crate) struct ControllerParts {
    pub(crate) commands: Output<Epoch, Vec<Command>>,
    pub(crate) probe: ProbeHandle<Epoch>,
    /// Filled by the end of the report stream on this worker.
    pub(crate) reports: Rc<RefCell<Vec<Report>>>,
    pub(crate) activator: Activator,
    /// Those of this process.
    pub(crate) edges: Vec<Arc<Credit>>,
    pub(crate) metrics: Arc<JobMetrics>,
    /// Also of sources without one.
    pub(crate) limits: RateLimits,
    pub(crate) alignment: Alignment,
    pub(crate) tasks: Tasks,
    pub(crate) policy: CheckpointPolicy,
    pub(crate) first_checkpoint: CheckpointId,
    /// Nothing is to be read any more: an earlier attempt was being stopped.
    pub(crate) is_ending: bool,
    /// Writes manifests; none in a job without checkpoints.
    pub(crate) publisher: Option<Publisher>,
    pub(crate) control: JobControl,
}

/// The controller.
pub(crate) struct Controller {
    parts: ControllerParts,
    /// None once it is given up.
    capability: Option<Capability<Epoch>>,
    open: Epoch,
    /// When something first happened in the open epoch.
    began: Option<Instant>,
    spent: bool,
    budget: u64,
    /// The most that an edge of each other process carried in an epoch, as far as it has told.
    carried: BTreeMap<u32, u64>,
    phase: Phase,
    snapshots: Snapshots,
    /// The earliest alarm that has been set and has not rung.
    alarm: Option<Instant>,
}

impl Controller {
    pub(crate) fn new(parts: ControllerParts, capability: Capability<Epoch>, now: Instant) -> Self {
        Controller {
            capability: Some(capability),
            open: 0,
            began: None,
            spent: false,
            budget: BUDGET_BYTES_START,
            carried: BTreeMap::new(),
            phase: Phase::Starting(parts.tasks.sinks),
            snapshots: Snapshots::new(parts.policy.clone(), parts.tasks, parts.first_checkpoint, now),
            alarm: None,
            parts,
        }
    }

    /// One activation: on reports, on requests, on the clock, when the probe has moved.
    pub(crate) fn run(&mut self, now: Instant) -> Result<(), EngineError> {
        for report in self.parts.reports.take() {
            self.read_report(report, now)?;
        }
        self.take_limits(now);
        self.align(now);
        self.give_up_overdue(now)?;
        self.advance(now);
        self.close_if_due(now);
        self.set_alarm(now);
        Ok(())
    }

    fn read_report(&mut self, report: Report, now: Instant) -> Result<(), EngineError> {
        match report {
            // What is told of an epoch that somebody else's report has closed is out of date; that something happened
            // is not.
            Report::Active(epoch) | Report::Spent(epoch) if epoch < self.open => self.snapshots.happened = true,
            Report::Active(_) => {
                self.snapshots.happened = true;
                self.began.get_or_insert(now);
            }
            Report::Spent(_) => {
                self.snapshots.happened = true;
                self.close_soon(now);
            }
            Report::Carried { process, bytes } => _ = self.carried.insert(process, bytes),
            Report::Progress(update) => self.parts.alignment.update(update),
            Report::Ended { source } => {
                self.instance_ended(source);
                self.snapshots.happened = true;
                self.began.get_or_insert(now);
                self.send_share();
            }
            Report::Ready => {
                if let Phase::Starting(waiting) = &mut self.phase {
                    *waiting -= 1;
                }
            }
            Report::Part { checkpoint, part } => self.part(checkpoint, part),
            Report::PartFailed { checkpoint, reason } => {
                self.snapshots.protocol.part_failed(checkpoint);
                self.failed(checkpoint, &reason, now)?;
            }
            Report::Published { checkpoint, published } => self.published(checkpoint, published, now),
            Report::PublishFailed { checkpoint, reason } => self.failed(checkpoint, &reason, now)?,
            Report::SavepointFinished { checkpoint, error } => self.savepoint_finished(checkpoint, error),
            Report::Room { sink, shard, room } => self.room_changed(sink, shard, room, now),
            Report::Committed(checkpoint) => self.snapshots.protocol.committed(checkpoint),
        }
        Ok(())
    }

    /// Takes the steps towards the job's end that can be taken.
    fn advance(&mut self, now: Instant) {
        self.answer_committed();
        match &mut self.phase {
            Phase::Starting(0) if self.parts.is_ending => self.drain(None, now),
            Phase::Starting(0) => {
                self.phase = Phase::Running;
                self.send_limits();
                // Sources read nothing before they have their share, and have it when this epoch is over.
                self.send_share();
                self.close_soon(now);
                self.advance(now);
            }
            Phase::Running if self.parts.limits.instances() == 0 => {
                self.phase = Phase::Draining(self.open, None);
                self.close_soon(now);
            }
            Phase::Running if self.snapshots.protocol.is_idle() => self.begin_if_wanted(now),
            Phase::Draining(last, _) if self.open <= *last => {}
            Phase::Draining(last, request) => {
                let (last, request) = (*last, request.take());
                match self.is_complete(last) && self.snapshots.protocol.is_idle() {
                    true => self.begin_last(request, now),
                    false => self.phase = Phase::Draining(last, request),
                }
            }
            Phase::Last(checkpoint) => {
                let checkpoint = *checkpoint;
                self.end_if_over(checkpoint, now);
            }
            Phase::Starting(_) | Phase::Running | Phase::Done => {}
        }
    }

    /// The job is over when its last checkpoint is published and committed and everybody has their answer. That it is over
    /// is for the log to say, in one more checkpoint that holds no output.
    fn end_if_over(&mut self, checkpoint: CheckpointId, now: Instant) {
        let snapshots = &self.snapshots;
        if snapshots.protocol.is_idle() && snapshots.protocol.is_committed(checkpoint) && snapshots.ending.is_empty() {
            if self.is_end_to_be_confirmed() {
                return self.begin_last(None, now);
            }
            self.parts.control.close();
            self.capability = None;
            self.phase = Phase::Done;
        }
    }

    /// Whether every sink has completed `epoch`.
    fn is_complete(&self, epoch: Epoch) -> bool {
        !self.parts.probe.less_equal(&epoch)
    }

    /// Something has happened in the open epoch for which it should not stay open.
    fn close_soon(&mut self, now: Instant) {
        self.began.get_or_insert(now);
        self.spent = true;
    }

    fn close_if_due(&mut self, now: Instant) {
        let Some(began) = self.began.filter(|_| self.capability.is_some()) else { return };
        let age = now.saturating_duration_since(began);
        if !self.spent && age < EPOCH {
            self.parts.activator.activate_after(EPOCH - age);
        } else if self.open < 2 || self.is_complete(self.open - 2) {
            self.adapt_budget();
            self.close();
        }
    }

    /// Has the controller activated when a checkpoint is due or takes too long.
    fn set_alarm(&mut self, now: Instant) {
        self.alarm.take_if(|alarm| *alarm <= now);
        // While the job is not running none is due, whatever the clock says.
        let may_begin = matches!(self.phase, Phase::Running);
        let alarm = self.snapshots.alarm().filter(|_| may_begin || !self.snapshots.protocol.is_idle());
        let Some(at) = alarm.filter(|_| self.capability.is_some()) else { return };
        // Timely keeps every delayed activation it is asked for.
        if self.alarm.is_none_or(|alarm| at < alarm) {
            self.alarm = Some(at);
            self.parts.activator.activate_after(at.saturating_duration_since(now));
        }
    }

    /// Lets the sources read more or less, so that the largest edge carries about what it should.
    fn adapt_budget(&mut self) {
        let own = self.parts.edges.iter().map(|edge| edge.take_largest()).max().unwrap_or(0);
        // What they told need not be of the same edge: then this is too much, and the epoch smaller than it might be.
        let largest = own + self.carried.values().sum::<u64>();
        if largest == 0 || !(self.spent || largest > EDGE_BYTES_AIM) {
            return;
        }
        let aim = (self.budget.saturating_mul(EDGE_BYTES_AIM) / largest)
            .min(self.budget * 2)
            .clamp(*BUDGET_BYTES.start(), *BUDGET_BYTES.end());
        // Not for every little: each change is a message to every task.
        if aim.abs_diff(self.budget) > self.budget / 4 {
            self.budget = aim;
            self.send_share();
        }
    }

    /// Deals the budget out to the source instances that still read; to none before the sinks are ready, or while one
    /// of them can hold no more output.
    fn send_share(&mut self) {
        if let Phase::Starting(_) = self.phase {
            return;
        }
        let active = self.parts.limits.instances();
        let share = match self.snapshots.room() {
            Room::Exhausted => 0,
            Room::Enough | Room::Little => self.budget / active.max(1),
        };
        self.send(Command::Share(share));
    }

    /// Tells sources that wait for each other how far the slowest of them has come.
    fn align(&mut self, now: Instant) {
        for (group, lowest) in self.parts.alignment.news() {
            self.send(Command::Align { group, lowest });
            self.began.get_or_insert(now);
        }
    }

    fn send(&mut self, command: Command) {
        if let Some(capability) = &self.capability {
            self.parts.commands.activate().give(capability, &mut vec![command]);
        }
    }

    fn close(&mut self) {
        self.open += 1;
        self.began = None;
        self.spent = false;
        self.parts.edges.iter().for_each(|edge| edge.prepare(self.open));
        if let Some(capability) = &mut self.capability {
            capability.downgrade(&self.open);
        }
        self.parts.metrics.epoch.store(self.open, Ordering::Relaxed);
    }
}
