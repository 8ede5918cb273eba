//! The epoch clock and the command stream; on worker 0.
//!
//! There is one clock for the whole job: the controller closes an epoch by downgrading the capability of the command
//! stream, and everybody else follows that stream's frontier. (With a clock on each worker a hiccup of one leaves the
//! others a whole epoch apart from then on.)
//!
//! An epoch is closed when it is old enough or its byte budget is spent, only if something happened in it, and never
//! while the epoch before the last one is still open at a sink: so at most three are open at once.

use crate::credit::Credit;
use crate::metrics::JobMetrics;
use crate::streams::{Command, Report};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tidewheel_types::Epoch;
use timely::dataflow::ProbeHandle;
use timely::dataflow::channels::pushers::Output;
use timely::dataflow::operators::Capability;
use timely::scheduling::Activator;

/// How long an epoch is open once something has happened in it.
pub(crate) const EPOCH: Duration = Duration::from_millis(10);

/// The byte budget of a job's first epochs.
pub(crate) const BUDGET_BYTES_START: u64 = 256 << 10;

/// Limits of the byte budget.
const BUDGET_BYTES: std::ops::RangeInclusive<u64> = 64 << 10..=1 << 20;

/// Bytes that the largest edge should carry in an epoch.
const EDGE_BYTES_AIM: u64 = 1 << 20;

/// Where the job is on its way to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Sources have more.
    Running,
    /// All sources have ended; what they sent, up to this epoch, is being processed.
    Draining(Epoch),
    /// Everything is processed; the sinks commit in this epoch.
    Finishing(Epoch),
    /// The capability is gone.
    Done,
}

/// What the controller is made of.
pub(crate) struct ControllerParts {
    pub(crate) commands: Output<Epoch, Vec<Command>>,
    pub(crate) probe: ProbeHandle<Epoch>,
    /// Filled by the end of the report stream on this worker.
    pub(crate) reports: Rc<RefCell<Vec<(Epoch, Report)>>>,
    pub(crate) activator: Activator,
    pub(crate) edges: Vec<Arc<Credit>>,
    pub(crate) metrics: Arc<JobMetrics>,
    /// Number of source instances, over all workers.
    pub(crate) source_instances: usize,
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
    ended: usize,
    budget: u64,
    phase: Phase,
}

impl Controller {
    pub(crate) fn new(parts: ControllerParts, capability: Capability<Epoch>) -> Self {
        Controller {
            parts,
            capability: Some(capability),
            open: 0,
            began: None,
            spent: false,
            ended: 0,
            budget: BUDGET_BYTES_START,
            phase: Phase::Running,
        }
    }

    /// One activation: on reports, on the clock, when the probe has moved.
    pub(crate) fn run(&mut self, now: Instant) {
        self.read_reports(now);
        match self.phase {
            Phase::Running => self.close_if_due(now),
            Phase::Draining(last) if self.open <= last => self.close_if_due(now),
            Phase::Draining(last) if self.is_complete(last) => {
                self.send(Command::Finish);
                self.phase = Phase::Finishing(self.open);
                self.close();
            }
            Phase::Finishing(last) if self.is_complete(last) => {
                self.capability = None;
                self.phase = Phase::Done;
            }
            Phase::Draining(_) | Phase::Finishing(_) | Phase::Done => {}
        }
    }

    fn read_reports(&mut self, now: Instant) {
        let mut ended_now = false;
        for (epoch, report) in self.parts.reports.take() {
            match report {
                Report::Ended => {
                    self.ended += 1;
                    ended_now = true;
                    self.began.get_or_insert(now);
                }
                // What is told of an epoch that somebody else's report has closed is out of date.
                Report::Active | Report::Spent if epoch < self.open => {}
                Report::Active => _ = self.began.get_or_insert(now),
                Report::Spent => {
                    self.began.get_or_insert(now);
                    self.spent = true;
                }
            }
        }
        if ended_now {
            self.send_share();
        }
        if self.phase == Phase::Running && self.ended == self.parts.source_instances {
            self.phase = Phase::Draining(self.open);
            self.began.get_or_insert(now);
            self.spent = true;
        }
    }

    /// Whether every sink has completed `epoch`.
    fn is_complete(&self, epoch: Epoch) -> bool {
        !self.parts.probe.less_equal(&epoch)
    }

    fn close_if_due(&mut self, now: Instant) {
        let Some(began) = self.began else { return };
        let age = now.saturating_duration_since(began);
        if !self.spent && age < EPOCH {
            self.parts.activator.activate_after(EPOCH - age);
        } else if self.open < 2 || self.is_complete(self.open - 2) {
            self.adapt_budget();
            self.close();
        }
    }

    /// Lets the sources read more or less, so that the largest edge carries about what it should.
    fn adapt_budget(&mut self) {
        let largest = self.parts.edges.iter().map(|edge| edge.take_largest()).max().unwrap_or(0);
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

    /// Deals the budget out to the source instances that still read.
    fn send_share(&mut self) {
        let active = self.parts.source_instances - self.ended;
        self.send(Command::Share(self.budget / active.max(1) as u64));
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
