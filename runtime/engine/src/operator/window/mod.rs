//! Windows: what has come of a key, in panes that windows are made of.
//!
//! Which panes a record goes into, and which windows fire when, is what a kind of windows says ([`assigner`]):
//! [`tumbling`], [`sliding`], those that every key has of its own ([`own`]: sessions and windows with a trigger, which are
//! [`key_windows`] or, where they overlap, share [`increments`]), and [`counted`] ones. What panes hold is said by the
//! world of the component ([`fold`]): [`accumulators`] in world `aggregate`, [`records`] in world `keyed`. The rest is
//! here: a piece of a batch is assigned, taken in and taken note of; windows that are due are fired. The semantics are
//! those of Flink's `WindowOperator`: a window `[start, end)` fires once the watermark has reached `end - 1`, and then for
//! each record that comes within the allowed lateness; after that it is forgotten, and a record that all of its windows
//! have forgotten is late and goes to the `late` output.

mod accumulators;
mod aligned;
mod assigner;
mod count;
mod counted;
mod firing;
mod fold;
mod increments;
mod key_windows;
mod open_window;
mod own;
mod panes;
mod records;
mod sliding;
mod state;
mod stored_record;
mod tumbling;

use super::function::FunctionTask;
use super::group::Grouping;
use super::round::DROPPED_MAX;
use super::task_state::TaskState;
use crate::error::EngineError;
use crate::inbox::Arrived;
use crate::metrics::NodeMetrics;
use crate::outputs::Outputs;
use crate::streams::Command;
use crate::task::{Flow, Logic, Moment};
use accumulators::Accumulators;
pub(crate) use aligned::Aligned;
use assigner::{Assigned, Assigner, Came, Due, Piece};
use count::CountWindows;
use counted::Counted;
use firing::Firing;
use fold::{Fold, TakenIn, Taking, WindowTask};
use increments::SharingWindows;
use key_windows::{Find, KeyWindows};
use open_window::Rules;
use own::OwnWindows;
use records::Records;
use sliding::Sliding;
use state::WindowState;
pub(crate) use state::host_states;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tidewheel_state::DueTimers;
use tidewheel_types::description::TimerClock;
use tidewheel_types::job::{Panes, Trigger, WindowAssigner, WindowClock, WindowSpec};
use tidewheel_types::keyed_state::StateIndex;
use tidewheel_types::{Batch, Watermark};
use tumbling::Tumbling;

/// Fewest records that are assigned at once where many windows fire in between.
const PIECE_RECORDS_MIN: usize = 16;

/// An operator with windows on one worker.
pub(crate) struct Window {
    task: WindowTask,
    fold: Box<dyn Fold>,
    assigner: Box<dyn Assigner>,
    clock: WindowClock,
    late_port: usize,
    metrics: Arc<NodeMetrics>,
    grouping: Grouping,
    assigned: Assigned,
    /// Records of the batch at hand that the function has rejected, where those before and after are assigned anew.
    rejected: Vec<u32>,
    /// How many records are assigned at once: about as many as come until a window fires at once.
    piece_records: usize,
    /// Windows that fire before the next records, or in this round of those that are due.
    firing: Firing,
    due: DueTimers,
    /// Whether they fire by timers of processing time.
    is_taken_up: bool,
}

impl Window {
    /// Of a function of world `aggregate`.
    pub(crate) fn aggregating(
        function: FunctionTask,
        windows: &WindowSpec,
        late_port: usize,
        state: TaskState,
        metrics: Arc<NodeMetrics>,
    ) -> Self {
        let task = WindowTask { function, state: WindowState::of_accumulators(state) };
        Window::new(task, Box::new(Accumulators::default()), windows, late_port, metrics)
    }

    /// Of a component of world `keyed`.
    pub(crate) fn processing(
        function: FunctionTask,
        windows: &WindowSpec,
        late_port: usize,
        state: TaskState,
        metrics: Arc<NodeMetrics>,
    ) -> Self {
        let list = StateIndex(function.description().states.len() as u32);
        let task = WindowTask { function, state: WindowState::of_records(state, list) };
        Window::new(task, Box::new(Records::new(list)), windows, late_port, metrics)
    }

    fn new(
        task: WindowTask,
        fold: Box<dyn Fold>,
        windows: &WindowSpec,
        late_port: usize,
        metrics: Arc<NodeMetrics>,
    ) -> Self {
        Window {
            task,
            fold,
            assigner: assigner(windows),
            clock: windows.clock,
            late_port,
            metrics,
            grouping: Grouping::default(),
            assigned: Assigned::default(),
            rejected: Vec::new(),
            piece_records: usize::MAX,
            firing: Firing::default(),
            due: DueTimers::default(),
            is_taken_up: false,
        }
    }

    /// Assigns the records `piece`, groups those that are not late, and makes ready to take them in; fewer records, if
    /// those would not fit into a frame.
    fn prepare(
        &mut self,
        grouping: &mut Grouping,
        batch: &Batch,
        mut range: Range<usize>,
        at: &Moment,
    ) -> Result<Range<usize>, EngineError> {
        let watermark = self.watermark(at);
        let now = (self.clock == WindowClock::Processing).then_some(at.now);
        loop {
            let piece = Piece { batch, range: range.clone(), rejected: &self.rejected, watermark, now };
            self.assigned.begin(range.end);
            let assigned = self.assigner.assign(&piece, &self.task.state, &mut self.assigned);
            self.task.checked(assigned)?;
            range.end = self.assigned.end;
            grouping.by_window(batch, &self.assigned.records, &self.assigned.panes);
            let fitting = self.fold.prepare(&mut self.task, batch, grouping, &range)?;
            if fitting == range {
                self.task.function.note_size(grouping.key_bytes_max());
                return Ok(range);
            }
            range = fitting;
        }
    }

    /// Takes in the records that were assigned. Says what to do instead if that was not to be.
    fn take_in(
        &mut self,
        arrived: &mut Arrived,
        grouping: &Grouping,
        piece: Range<usize>,
        at: &Moment,
        outputs: &mut Outputs,
    ) -> Result<Option<Flow>, EngineError> {
        let (watermark, now) = (self.watermark(at), at.now);
        let bounds = |group| self.assigner.bounds(grouping.record_of(group), grouping.window_of(group));
        let taking = Taking { grouping, piece, bounds: &bounds, all_or_none: self.assigner.counts_records() };
        match self.fold.take_in(&mut self.task, arrived, taking, at, outputs)? {
            TakenIn::Done { panes, rejected } => {
                let last_is_rejected = self.assigned.records.last().is_some_and(|last| rejected.contains(last));
                let fires = self.assigned.fires && !last_is_rejected;
                let batch = &arrived.batch;
                let came = Came { batch, grouping, panes, watermark, now, fires };
                let noted = self.assigner.came(&came, &mut self.task.state, &mut self.firing);
                self.task.checked(noted)?;
            }
            TakenIn::None(rejected) => {
                // They have made windows longer, or fire, and must not have: once more without them.
                self.rejected.extend(rejected);
                return Ok(Some(Flow::More));
            }
            TakenIn::SetAside => {}
            TakenIn::Again(flow) => return Ok(Some(flow)),
        }
        Ok(None)
    }

    /// How far the windows' time is. A window in processing time ends when the clock has passed its last millisecond.
    fn watermark(&self, at: &Moment) -> i64 {
        match self.clock {
            WindowClock::Event => at.watermark.0,
            WindowClock::Processing => at.now.saturating_sub(1),
        }
    }

    /// The records of the batch that are to be assigned next.
    fn piece(&self, arrived: &Arrived) -> Range<usize> {
        let piece = self.task.function.piece(arrived);
        piece.start..piece.end.min(piece.start.saturating_add(self.piece_records))
    }

    /// A piece of `asked` records was assigned up to its first `came`.
    fn adapt_piece(&mut self, asked: usize, came: usize) {
        match came < asked {
            true => self.piece_records = (came * 2).max(PIECE_RECORDS_MIN),
            false => self.piece_records = self.piece_records.saturating_mul(2),
        }
    }

    /// Sends the late records of the piece on.
    fn emit_late(&self, batch: &Batch, at: &Moment, outputs: &mut Outputs) {
        if self.assigned.late.is_empty() {
            return;
        }
        let mut late = Batch::default();
        self.assigned.late.iter().for_each(|&record| late.push_from(batch, record as usize));
        self.metrics.late.fetch_add(late.len() as u64, Ordering::Relaxed);
        outputs.emit(self.late_port, at.epoch, late);
    }
}

impl Logic for Window {
    fn records(&mut self, arrived: &mut Arrived, at: &Moment, outputs: &mut Outputs) -> Result<Flow, EngineError> {
        if self.task.function.is_waiting() {
            return Ok(Flow::Waiting);
        }
        self.task.state.task.set_time(at);
        if !self.firing.is_done() {
            let flow = self.fold.fire(&mut self.task, &mut self.firing, at, outputs)?;
            return Ok(if flow == Flow::More && self.firing.is_done() { arrived.flow() } else { flow });
        }
        if arrived.done == arrived.batch.len() {
            // What fired at once has fired with what was due meanwhile.
            return Ok(Flow::Done);
        }
        let mut grouping = std::mem::take(&mut self.grouping);
        let asked = self.piece(arrived);
        let piece = self.prepare(&mut grouping, &arrived.batch, asked.clone(), at)?;
        let end = piece.end;
        self.adapt_piece(asked.len(), piece.len());
        self.firing.clear();
        let instead = match self.assigned.records.is_empty() {
            true => arrived.cuts.passed_over(&piece),
            false => self.take_in(arrived, &grouping, piece, at, outputs)?,
        };
        self.grouping = grouping;
        if let Some(flow) = instead {
            return Ok(flow);
        }
        self.emit_late(&arrived.batch, at, outputs);
        self.task.function.refuse(&arrived.batch, &mut self.assigned.refused, at, outputs)?;
        // The next piece may be shorter than this one was at first.
        self.rejected.retain(|&record| record as usize >= end);
        arrived.done = end;
        Ok(if self.firing.is_done() { arrived.flow() } else { Flow::More })
    }

    fn fire(&mut self, at: &Moment, outputs: &mut Outputs) -> Result<Flow, EngineError> {
        match self.clock {
            WindowClock::Event => self.fire_due(TimerClock::Event, at, outputs),
            // What was taken up has to fire: this may be the end of the epoch.
            WindowClock::Processing if self.firing.is_done() => Ok(Flow::Done),
            WindowClock::Processing => self.fold.fire(&mut self.task, &mut self.firing, at, outputs),
        }
    }

    fn fire_processing_time(&mut self, at: &Moment, outputs: &mut Outputs) -> Result<Flow, EngineError> {
        match self.next_processing_time().is_some_and(|time| time <= at.now) {
            true => self.fire_due(TimerClock::Processing, at, outputs),
            false => Ok(Flow::Done),
        }
    }

    fn next_processing_time(&mut self) -> Option<i64> {
        if self.is_taken_up {
            return Some(i64::MIN);
        }
        let next = self.task.state.timers_of(TimerClock::Processing).next_time()?;
        Some(if self.clock == WindowClock::Processing { next.saturating_add(1) } else { next })
    }

    fn command(&mut self, command: &Command, at: &Moment) -> Result<Flow, EngineError> {
        self.task.state.task.command(command, at).map(|()| Flow::Done)
    }
}

impl Window {
    /// Behind the end of the input no window fires early any more: drops some of the timers that would have them do so.
    fn drop_early_timers(&mut self, at: &Moment) -> Flow {
        if at.watermark != Watermark::MAX || self.clock != WindowClock::Event {
            return Flow::Done;
        }
        self.task.state.timers_of(TimerClock::Processing).due_round(i64::MAX, DROPPED_MAX, &mut self.due);
        if self.due.is_empty() { Flow::Done } else { Flow::More }
    }

    /// Fires windows whose timers are due by `clock`, a piece of them.
    fn fire_due(&mut self, clock: TimerClock, at: &Moment, outputs: &mut Outputs) -> Result<Flow, EngineError> {
        if self.task.function.is_waiting() {
            return Ok(Flow::Waiting);
        }
        self.task.state.task.set_time(at);
        if self.firing.is_done() {
            self.firing.clear();
            self.is_taken_up = false;
            let (watermark, now) = (self.watermark(at), at.now);
            let is_early = clock == TimerClock::Processing && self.clock == WindowClock::Event;
            let up_to = if is_early { now } else { watermark };
            let round_max = self.task.function.round_max();
            self.task.state.timers_of(clock).due_round(up_to, round_max, &mut self.due);
            if self.due.is_empty() {
                return Ok(self.drop_early_timers(at));
            }
            let due = Due { timers: &self.due, watermark, now };
            let noted = match is_early {
                true => self.assigner.due_early(&due, &mut self.task.state, &mut self.firing),
                false => self.assigner.due(&due, &mut self.task.state, &mut self.firing),
            };
            self.task.checked(noted)?;
            self.is_taken_up = clock == TimerClock::Processing && !self.firing.is_done();
        }
        if self.firing.is_done() {
            Ok(Flow::More)
        } else {
            self.fold.fire(&mut self.task, &mut self.firing, at, outputs)
        }
    }
}

/// The windows that a job asks for.
fn assigner(spec: &WindowSpec) -> Box<dyn Assigner> {
    let lateness_ms = spec.allowed_lateness_ms;
    let clock = match spec.clock {
        WindowClock::Event => TimerClock::Event,
        WindowClock::Processing => TimerClock::Processing,
    };
    let rules = Rules { clock, trigger: spec.trigger, lateness_ms, discards: spec.panes == Panes::Discarding };
    let own = |find| Box::new(OwnWindows::<KeyWindows>::new(find, rules));
    match &spec.assigner {
        WindowAssigner::Tumbling { size_ms, offset_ms } => {
            let windows = Aligned::tumbling(*size_ms, *offset_ms);
            match spec.trigger {
                Trigger::AtEnd => Box::new(Tumbling::new(windows, rules)),
                _ => own(Find::Tumbling(windows)),
            }
        }
        WindowAssigner::Sliding { size_ms, slide_ms, offset_ms } => {
            let windows = Aligned::sliding(*size_ms, *slide_ms, *offset_ms);
            match spec.shares_increments() {
                true => Box::new(OwnWindows::<SharingWindows>::new(windows, rules)),
                false => Box::new(Sliding::new(windows, rules)),
            }
        }
        WindowAssigner::Session { gap } => own(Find::Session(gap.clone())),
        WindowAssigner::Count { size, slide } => Box::new(Counted::new(CountWindows::new(*size, *slide))),
        WindowAssigner::Global => own(Find::Global),
    }
}
