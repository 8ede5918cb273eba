//! The life of an operator or sink in an epoch; the same for all.
//!
//! Records of the open epoch are processed as they arrive. When the frontier of all inputs has passed the epoch: take
//! its watermark, fire what is due, apply its commands, let the epoch go, open the next. Whatever would take long stops
//! after a slice and goes on at the next activation, so that the worker steps its other operators in between.

use crate::clock;
use crate::error::EngineError;
use crate::inbox::{Arrived, Inbox};
use crate::metrics::NodeMetrics;
use crate::outputs::Outputs;
use crate::streams::Command;
use crate::watermark::Tracker;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tidewheel_types::{Epoch, Watermark};
use timely::progress::frontier::MutableAntichain;
use timely::scheduling::Activator;

/// Output after which an activation ends, in bytes.
const SLICE_BYTES: usize = 1 << 20;

/// Time after which an activation ends.
const SLICE: Duration = Duration::from_millis(2);

/// How a piece of work ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    /// It is done.
    Done,
    /// There is more to do: call again. Other operators may run in between.
    More,
    /// It cannot go on; somebody will activate the task when it can.
    Waiting,
    /// It cannot go on before so much time has passed; then the task is activated.
    After(Duration),
}

/// What a call of a task's logic may look at.
pub(crate) struct Moment {
    pub(crate) epoch: Epoch,
    /// The watermark of the last complete epoch; while firing, the one that is being taken.
    pub(crate) watermark: Watermark,
    /// Processing time in ms since 1970, read once per activation.
    pub(crate) now: i64,
}

/// What distinguishes one operator or sink from another.
pub(crate) trait Logic {
    /// Processes about one guest call's worth of a batch of the open epoch (of any epoch, if the task takes any). Until
    /// it says [`Flow::Done`] it is called again with the same batch.
    fn records(&mut self, arrived: &mut Arrived, at: &Moment, outputs: &mut Outputs) -> Result<Flow, EngineError>;

    /// Fires what is due at `at.watermark`, about one guest call's worth, and says whether there is more.
    fn fire(&mut self, at: &Moment, outputs: &mut Outputs) -> Result<Flow, EngineError>;

    /// Carries out a command at the end of its epoch. Called again with the same command until it is done.
    fn command(&mut self, command: &Command, at: &Moment) -> Result<Flow, EngineError>;

    /// Looks after what goes on beside the epochs; called at the start of every activation.
    fn poll(&mut self) -> Result<(), EngineError> {
        Ok(())
    }
}

/// Where a task is in its open epoch.
enum Phase {
    /// Records may still come.
    Records,
    /// All records are processed; the watermark is taken and things fire.
    Firing,
    /// Everything has fired; these commands remain.
    Commands(VecDeque<Command>),
    /// The last epoch is complete.
    Ended,
}

/// An operator or sink on one worker.
pub(crate) struct Task<L> {
    logic: L,
    inbox: Inbox,
    outputs: Outputs,
    tracker: Tracker,
    activator: Activator,
    metrics: Arc<NodeMetrics>,
    open: Epoch,
    phase: Phase,
    /// Commands of the open epoch, until it has fired.
    commands: VecDeque<Command>,
}

impl<L: Logic> Task<L> {
    pub(crate) fn new(
        logic: L,
        inbox: Inbox,
        outputs: Outputs,
        tracker: Tracker,
        activator: Activator,
        metrics: Arc<NodeMetrics>,
    ) -> Self {
        let commands = VecDeque::new();
        Task { logic, inbox, outputs, tracker, activator, metrics, open: 0, phase: Phase::Records, commands }
    }

    /// One activation. `frontiers` are those of all inputs.
    pub(crate) fn run(&mut self, frontiers: &[MutableAntichain<Epoch>]) -> Result<(), EngineError> {
        let frontier = Frontier::of(frontiers);
        let activation = Activation::begin();
        self.logic.poll()?;
        self.inbox.read(self.open);
        loop {
            match self.advance(frontier, activation.now_ms)? {
                Flow::Waiting => break,
                Flow::After(wait) => break self.activator.activate_after(wait),
                _ if self.outputs.pending_bytes() < SLICE_BYTES && !activation.is_over() => {}
                _ => break self.activator.activate(),
            }
        }
        self.outputs.flush();
        Ok(())
    }

    /// Does one piece of work: a batch, a firing, a command, or the step to the next epoch.
    fn advance(&mut self, frontier: Frontier, now: i64) -> Result<Flow, EngineError> {
        match &mut self.phase {
            // Batches of younger epochs may be at hand, and wait for room that only the end of this one makes.
            Phase::Records if frontier.has_passed(self.open) && !self.inbox.has(self.open) => Ok(self.end_records()),
            Phase::Records => match self.inbox.next() {
                Some(arrived) => self.records(arrived, now),
                None => Ok(Flow::Waiting),
            },
            Phase::Firing => self.fire(now),
            Phase::Commands(commands) => match commands.pop_front() {
                Some(command) => self.command(command, now),
                None => Ok(self.open_next(frontier)),
            },
            Phase::Ended => Ok(Flow::Waiting),
        }
    }

    fn records(&mut self, mut arrived: Arrived, now: i64) -> Result<Flow, EngineError> {
        let records = arrived.batch.len() as u64;
        let at = Moment { epoch: arrived.epoch, watermark: self.tracker.watermark(), now };
        let flow = match self.outputs.have_credit(arrived.epoch) {
            true => self.logic.records(&mut arrived, &at, &mut self.outputs)?,
            false => Flow::Waiting,
        };
        match flow {
            Flow::Done => {
                self.inbox.done(&arrived);
                self.metrics.records_in.fetch_add(records, Ordering::Relaxed);
            }
            Flow::More | Flow::Waiting | Flow::After(_) => self.inbox.put_back(arrived),
        }
        Ok(flow)
    }

    /// All records of the open epoch are processed: takes its watermark.
    fn end_records(&mut self) -> Flow {
        let (updates, commands) = self.inbox.side_inputs(self.open);
        updates.into_iter().for_each(|update| self.tracker.update(update));
        self.metrics.set_watermark(self.tracker.advance());
        self.commands = commands.into();
        self.phase = Phase::Firing;
        Flow::Done
    }

    fn fire(&mut self, now: i64) -> Result<Flow, EngineError> {
        if !self.outputs.have_credit(self.open) {
            return Ok(Flow::Waiting);
        }
        let at = Moment { epoch: self.open, watermark: self.tracker.watermark(), now };
        let flow = self.logic.fire(&at, &mut self.outputs)?;
        if flow == Flow::Done {
            self.phase = Phase::Commands(std::mem::take(&mut self.commands));
        }
        Ok(flow)
    }

    fn command(&mut self, command: Command, now: i64) -> Result<Flow, EngineError> {
        let at = Moment { epoch: self.open, watermark: self.tracker.watermark(), now };
        let flow = self.logic.command(&command, &at)?;
        if let (Phase::Commands(commands), Flow::More | Flow::Waiting | Flow::After(_)) = (&mut self.phase, flow) {
            commands.push_front(command);
        }
        Ok(flow)
    }

    /// Lets the open epoch go. Epochs are completed one by one, but those in which nothing arrived are one step.
    fn open_next(&mut self, frontier: Frontier) -> Flow {
        match frontier.next_epoch(self.inbox.next_epoch(self.open)) {
            Some(epoch) => {
                self.outputs.open(epoch);
                self.inbox.open(epoch);
                self.open = epoch;
                self.phase = Phase::Records;
                Flow::Done
            }
            None => {
                self.outputs.close();
                self.phase = Phase::Ended;
                Flow::Waiting
            }
        }
    }
}

/// The first epoch that may still appear at any input of a task; none after the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frontier(Option<Epoch>);

impl Frontier {
    /// The least of the inputs' frontiers.
    pub(crate) fn of(frontiers: &[MutableAntichain<Epoch>]) -> Frontier {
        Frontier(frontiers.iter().filter_map(|frontier| frontier.frontier().first().copied()).min())
    }

    /// Whether nothing of `epoch` can come any more.
    pub(crate) fn has_passed(self, epoch: Epoch) -> bool {
        self.0.is_none_or(|first| first > epoch)
    }

    /// The epoch to open next, when something has already arrived in epoch `arrived`; none after the end.
    pub(crate) fn next_epoch(self, arrived: Option<Epoch>) -> Option<Epoch> {
        self.0.into_iter().chain(arrived).min()
    }
}

/// One activation of a task: when it began, in both clocks, read once.
struct Activation {
    began: Instant,
    now_ms: i64,
}

impl Activation {
    fn begin() -> Self {
        Activation { began: Instant::now(), now_ms: clock::now_ms() }
    }

    fn is_over(&self) -> bool {
        self.began.elapsed() >= SLICE
    }
}
