//! The life of an operator or sink in an epoch; the same for all.
//!
//! Records of the open epoch are processed as they arrive, and what processing time makes due fires between them. When the
//! frontier of all inputs has passed the epoch: take its watermark, fire what is due, apply its commands, let the epoch
//! go, open the next. Whatever would take long stops after a slice and goes on at the next activation, so that the worker
//! steps its other operators in between.

use crate::clock::{Alarm, Clock};
use crate::error::EngineError;
use crate::inbox::{Arrived, Inbox};
use crate::metrics::NodeMetrics;
use crate::outputs::Outputs;
use crate::reporter::Reporter;
use crate::streams::{Command, Report};
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

    /// Fires timers of processing time that are due at `at.now`, about one guest call's worth, and says whether there is
    /// more. Those that are taken up have all fired when it is done: what comes next may be the end of the epoch. A timer
    /// that one of them sets for now or before may be left for the next time.
    fn fire_processing_time(&mut self, _: &Moment, _: &mut Outputs) -> Result<Flow, EngineError> {
        Ok(Flow::Done)
    }

    /// The processing time at which the next timer fires, of those that are set or taken up. None: there is none.
    fn next_processing_time(&mut self) -> Option<i64> {
        None
    }

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

/// What a task is connected with.
pub(crate) struct Wiring {
    pub(crate) inbox: Inbox,
    pub(crate) outputs: Outputs,
    pub(crate) tracker: Tracker,
    pub(crate) activator: Activator,
    pub(crate) reporter: Reporter,
    pub(crate) clock: Clock,
    pub(crate) metrics: Arc<NodeMetrics>,
}

/// An operator or sink on one worker.
pub(crate) struct Task<L> {
    logic: L,
    wiring: Wiring,
    open: Epoch,
    phase: Phase,
    /// Commands of the open epoch, until it has fired.
    commands: VecDeque<Command>,
    /// It has been told that a timer of processing time has fired in the open epoch.
    has_reported: bool,
    /// The job is being stopped: what is due from now on fires after the restore.
    is_halted: bool,
    alarm: Alarm,
}

impl<L: Logic> Task<L> {
    pub(crate) fn new(logic: L, wiring: Wiring) -> Self {
        Task {
            logic,
            wiring,
            open: 0,
            phase: Phase::Records,
            commands: VecDeque::new(),
            has_reported: false,
            is_halted: false,
            alarm: Alarm::default(),
        }
    }

    /// One activation. `frontiers` are those of all inputs.
    pub(crate) fn run(&mut self, frontiers: &[MutableAntichain<Epoch>]) -> Result<(), EngineError> {
        let frontier = Frontier::of(frontiers);
        let activation = Activation::begin(&self.wiring.clock);
        self.logic.poll()?;
        self.wiring.inbox.read(self.open);
        loop {
            match self.advance(frontier, &activation)? {
                Flow::Waiting => break,
                Flow::After(wait) => break self.wiring.activator.activate_after(wait),
                _ if self.wiring.outputs.pending_bytes() < SLICE_BYTES && !activation.is_over() => {}
                _ => break self.wiring.activator.activate(),
            }
        }
        self.wiring.outputs.flush();
        Ok(())
    }

    /// Does one piece of work: a batch, a firing, a command, or the step to the next epoch.
    fn advance(&mut self, frontier: Frontier, activation: &Activation) -> Result<Flow, EngineError> {
        let now = activation.now_ms;
        if matches!(self.phase, Phase::Records) && !self.is_over() {
            let flow = self.fire_processing_time(now)?;
            if flow != Flow::Done {
                return Ok(flow);
            }
        }
        match &mut self.phase {
            // Batches of younger epochs may be at hand, and wait for room that only the end of this one makes.
            Phase::Records if frontier.has_passed(self.open) && !self.wiring.inbox.has(self.open) => {
                Ok(self.end_records())
            }
            Phase::Records => match self.wiring.inbox.next() {
                Some(arrived) => self.records(arrived, now),
                None => Ok(self.idle(activation)),
            },
            Phase::Firing => self.fire(now),
            Phase::Commands(commands) => match commands.pop_front() {
                Some(command) => self.command(command, now),
                None => Ok(self.open_next(frontier)),
            },
            Phase::Ended => Ok(Flow::Waiting),
        }
    }

    /// Whether timers of processing time fire no more: at the end of the input, as in Flink, and behind the cut with which a
    /// job stops, where their output would come once more after the restore.
    fn is_over(&self) -> bool {
        self.is_halted || self.wiring.tracker.watermark() == Watermark::MAX
    }

    /// A piece of what processing time makes due, before anything else; [`Flow::Done`] if there is no more of it for now.
    fn fire_processing_time(&mut self, now: i64) -> Result<Flow, EngineError> {
        let is_due = self.logic.next_processing_time().is_some_and(|time| time <= now);
        if is_due && !self.wiring.outputs.have_credit(self.open) {
            return Ok(Flow::Waiting);
        }
        let at = Moment { epoch: self.open, watermark: self.wiring.tracker.watermark(), now };
        let flow = self.logic.fire_processing_time(&at, &mut self.wiring.outputs)?;
        if is_due && !self.has_reported {
            self.has_reported = true;
            self.wiring.reporter.send(Report::Active(self.open));
        }
        Ok(flow)
    }

    /// Nothing is at hand: has the task activated when processing time makes something due.
    fn idle(&mut self, activation: &Activation) -> Flow {
        let wait = |time| self.wiring.clock.wait(time, activation.now_ms);
        let wait = match self.is_over() {
            true => None,
            false => self.logic.next_processing_time().and_then(wait),
        };
        match wait {
            None => {}
            // It has been set since, or was left for the next time.
            Some(Duration::ZERO) => self.wiring.activator.activate(),
            Some(wait) => {
                let at = activation.began + wait;
                if let Some(wait) = self.alarm.set(at, activation.began) {
                    self.wiring.activator.activate_after(wait);
                }
            }
        }
        Flow::Waiting
    }

    fn records(&mut self, mut arrived: Arrived, now: i64) -> Result<Flow, EngineError> {
        let records = arrived.batch.len() as u64;
        let at = Moment { epoch: arrived.epoch, watermark: self.wiring.tracker.watermark(), now };
        let flow = match self.wiring.outputs.have_credit(arrived.epoch) {
            true => self.logic.records(&mut arrived, &at, &mut self.wiring.outputs)?,
            false => Flow::Waiting,
        };
        match flow {
            Flow::Done => {
                self.wiring.inbox.done(&arrived);
                self.wiring.metrics.records_in.fetch_add(records, Ordering::Relaxed);
            }
            Flow::More | Flow::Waiting | Flow::After(_) => self.wiring.inbox.put_back(arrived),
        }
        Ok(flow)
    }

    /// All records of the open epoch are processed: takes its watermark.
    fn end_records(&mut self) -> Flow {
        let (updates, commands) = self.wiring.inbox.side_inputs(self.open);
        updates.into_iter().for_each(|update| self.wiring.tracker.update(update));
        self.wiring.metrics.set_watermark(self.wiring.tracker.advance());
        self.commands = commands.into();
        self.phase = Phase::Firing;
        Flow::Done
    }

    fn fire(&mut self, now: i64) -> Result<Flow, EngineError> {
        if !self.wiring.outputs.have_credit(self.open) {
            return Ok(Flow::Waiting);
        }
        let at = Moment { epoch: self.open, watermark: self.wiring.tracker.watermark(), now };
        let flow = self.logic.fire(&at, &mut self.wiring.outputs)?;
        if flow == Flow::Done {
            self.phase = Phase::Commands(std::mem::take(&mut self.commands));
        }
        Ok(flow)
    }

    fn command(&mut self, command: Command, now: i64) -> Result<Flow, EngineError> {
        self.is_halted |= matches!(command, Command::Halt { .. });
        let at = Moment { epoch: self.open, watermark: self.wiring.tracker.watermark(), now };
        let flow = self.logic.command(&command, &at)?;
        if let (Phase::Commands(commands), Flow::More | Flow::Waiting | Flow::After(_)) = (&mut self.phase, flow) {
            commands.push_front(command);
        }
        Ok(flow)
    }

    /// Lets the open epoch go. Epochs are completed one by one, but those in which nothing arrived are one step.
    fn open_next(&mut self, frontier: Frontier) -> Flow {
        match frontier.next_epoch(self.wiring.inbox.next_epoch(self.open)) {
            Some(epoch) => {
                self.wiring.outputs.open(epoch);
                self.wiring.inbox.open(epoch);
                self.open = epoch;
                self.phase = Phase::Records;
                self.has_reported = false;
                Flow::Done
            }
            None => {
                self.wiring.outputs.close();
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
    fn begin(clock: &Clock) -> Self {
        Activation { began: Instant::now(), now_ms: clock.now_ms() }
    }

    fn is_over(&self) -> bool {
        self.began.elapsed() >= SLICE
    }
}
