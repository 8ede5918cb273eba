//! Windows over world `aggregate`: accumulators per key, in panes that windows are made of.
//!
//! Which panes a record goes into, and which windows fire when, is what a kind of windows says ([`assigner`]):
//! [`tumbling`], [`sliding`], those that every key has of its own ([`own`]: sessions, and windows with a trigger), and
//! [`counted`] ones. The rest is here: a piece of a batch is assigned, accumulated and taken note of; windows that are due
//! are fired. The semantics are those of Flink's `WindowOperator`: a window `[start, end)` fires once the watermark has
//! reached `end - 1`, and then for each record that comes within the allowed lateness; after that it is forgotten, and a
//! record that all of its windows have forgotten is late and goes to the `late` output.

mod aligned;
mod assigner;
mod count;
mod counted;
mod firing;
mod key_windows;
mod own;
mod panes;
mod sliding;
mod tumbling;

use super::emit::Ordered;
use super::frames;
use super::function::{Attempt, Called, FunctionTask};
use super::group::Grouping;
use super::size::{self, cell_bytes_max};
use super::task_state::TaskState;
use crate::error::EngineError;
use crate::inbox::Arrived;
use crate::metrics::NodeMetrics;
use crate::outputs::Outputs;
use crate::refuse::Target;
use crate::streams::Command;
use crate::task::{Flow, Logic, Moment};
pub(crate) use aligned::Aligned;
pub(crate) use assigner::kept_state;
use assigner::{ACCUMULATOR, Accumulated, Assigned, Assigner, Due, Piece};
use count::CountWindows;
use counted::Counted;
use firing::{Fired, Firing};
use key_windows::Rules;
use own::{Find, OwnWindows};
use sliding::Sliding;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tidewheel_guest::{Export, Output};
use tidewheel_state::DueTimers;
use tidewheel_types::Batch;
use tidewheel_types::description::TimerClock;
use tidewheel_types::job::{Panes, Trigger, WindowAssigner, WindowClock, WindowSpec};
use tidewheel_types::keyed_state::{Cells, KeyedState, StateKey, Write};
use tumbling::Tumbling;

/// Fewest records that are assigned at once where many windows fire in between.
const PIECE_RECORDS_MIN: usize = 16;

/// A windowed operator of world `aggregate` on one worker.
pub(crate) struct Window {
    function: FunctionTask,
    assigner: Box<dyn Assigner>,
    clock: WindowClock,
    late_port: usize,
    state: TaskState,
    metrics: Arc<NodeMetrics>,
    grouping: Grouping,
    cells: Cells,
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
    /// Start and end of the windows of each group of a call.
    bounds: Vec<[i64; 2]>,
}

impl Window {
    pub(crate) fn new(
        function: FunctionTask,
        windows: &WindowSpec,
        late_port: usize,
        state: TaskState,
        metrics: Arc<NodeMetrics>,
    ) -> Self {
        Window {
            function,
            assigner: assigner(windows),
            clock: windows.clock,
            late_port,
            state,
            metrics,
            grouping: Grouping::default(),
            cells: Cells::default(),
            assigned: Assigned::default(),
            rejected: Vec::new(),
            piece_records: usize::MAX,
            firing: Firing::default(),
            due: DueTimers::default(),
            is_taken_up: false,
            bounds: Vec::new(),
        }
    }

    /// Assigns the records `piece`, groups those that are not late, and reads their accumulators; of fewer records, if
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
            let assigned = self.assigner.assign(&piece, &self.state, &mut self.assigned);
            assigned.map_err(|error| self.function.state_failed(error))?;
            range.end = self.assigned.end;
            grouping.by_window(batch, &self.assigned.records, &self.assigned.panes);
            self.read_accumulators(
                range.len(),
                (0..grouping.len()).map(|group| grouping.state_key(&batch.keys, group)),
            )?;
            let fitting = self.function.fitting_state(Export::Accumulate, &range, &self.cells);
            if fitting == range {
                self.function.note_size(grouping.key_bytes_max());
                return Ok(range);
            }
            range = fitting;
        }
    }

    /// Brings the accumulators of the records that were assigned up to date. Says what to do instead if that was not to
    /// be.
    fn accumulate(
        &mut self,
        arrived: &mut Arrived,
        grouping: &Grouping,
        piece: Range<usize>,
        at: &Moment,
        outputs: &mut Outputs,
    ) -> Result<Option<Flow>, EngineError> {
        let (batch, cuts) = (&arrived.batch, &mut arrived.cuts);
        self.bounds.clear();
        let bounds = |group| self.assigner.bounds(grouping.record_of(group), grouping.window_of(group));
        self.bounds.extend((0..grouping.len()).map(bounds));
        let (frame, bounds) = (&mut self.function.frame, Some(self.bounds.as_slice()));
        frames::grouped(frame, batch, grouping, bounds, &self.cells, arrived.input);
        let (records, groups, state_bytes) = (self.assigned.records.len(), grouping.len(), self.cells.bytes.len());
        let from = Ordered { batch, grouping };
        let attempt = Attempt { export: Export::Accumulate, piece, records, groups, state_bytes, cuts };
        match self.function.call(attempt, &from, at)? {
            Called::Returned(output) => {
                let rejected = output.rejected().map(|(record, _)| grouping.order()[record as usize]);
                let rejected: Vec<u32> = rejected.collect();
                self.function.finish(&output, &from, at, outputs)?;
                if !rejected.is_empty() && self.assigner.counts_records() {
                    // They have made windows longer, or fire, and must not have: once more without them.
                    self.rejected.extend(rejected);
                    return Ok(Some(Flow::More));
                }
                let last_is_rejected = self.assigned.records.last().is_some_and(|last| rejected.contains(last));
                let fires = self.assigned.fires && !last_is_rejected;
                self.accumulated(&output, grouping, batch, at, fires)?;
            }
            Called::Poison(fault) => self.function.set_aside(fault, &from, Target::Record, at, outputs)?,
            Called::Again(flow) => return Ok(Some(flow)),
        }
        Ok(None)
    }

    /// Writes the accumulators that `output` holds, and takes note of the records.
    fn accumulated(
        &mut self,
        output: &Output,
        grouping: &Grouping,
        batch: &Batch,
        at: &Moment,
        fires: bool,
    ) -> Result<(), EngineError> {
        let mut largest = 0;
        self.write_accumulators((0..grouping.len()).map(|group| {
            let accumulator = output.cell(group);
            largest = largest.max(accumulator.map_or(0, <[u8]>::len));
            (group, grouping.state_key(&batch.keys, group), accumulator.map_or(Write::Delete, Write::Put))
        }))?;
        self.function.note_size(largest);
        let (watermark, now) = (self.watermark(at), at.now);
        let done = Accumulated { batch, grouping, before: &self.cells, output, watermark, now, fires };
        let noted = self.assigner.accumulated(&done, &mut self.state, &mut self.firing);
        noted.map_err(|error| self.function.state_failed(error))
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
        let piece = self.function.piece(arrived);
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
        if self.function.is_waiting() {
            return Ok(Flow::Waiting);
        }
        self.state.set_time(at);
        if !self.firing.is_done() {
            let flow = self.fire_piece(at, outputs)?;
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
            false => self.accumulate(arrived, &grouping, piece, at, outputs)?,
        };
        self.grouping = grouping;
        if let Some(flow) = instead {
            return Ok(flow);
        }
        self.emit_late(&arrived.batch, at, outputs);
        self.function.refuse(&arrived.batch, &mut self.assigned.refused, at, outputs)?;
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
            WindowClock::Processing => self.fire_piece(at, outputs),
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
        let next = self.state.processing_timers.next_time()?;
        Some(if self.clock == WindowClock::Processing { next.saturating_add(1) } else { next })
    }

    fn command(&mut self, command: &Command, at: &Moment) -> Result<Flow, EngineError> {
        self.state.command(command, at).map(|()| Flow::Done)
    }
}

impl Window {
    /// Fires windows whose timers are due by `clock`, a piece of them.
    fn fire_due(&mut self, clock: TimerClock, at: &Moment, outputs: &mut Outputs) -> Result<Flow, EngineError> {
        if self.function.is_waiting() {
            return Ok(Flow::Waiting);
        }
        self.state.set_time(at);
        if self.firing.is_done() {
            self.firing.clear();
            self.is_taken_up = false;
            let (watermark, now) = (self.watermark(at), at.now);
            let is_early = clock == TimerClock::Processing && self.clock == WindowClock::Event;
            let up_to = if is_early { now } else { watermark };
            self.state.timers_of(clock).due_round(up_to, self.function.round_max(), &mut self.due);
            if self.due.is_empty() {
                return Ok(Flow::Done);
            }
            let due = Due { timers: &self.due, watermark, now };
            let noted = match is_early {
                true => self.assigner.due_early(&due, &mut self.state, &mut self.firing),
                false => self.assigner.due(&due, &mut self.state, &mut self.firing),
            };
            noted.map_err(|error| self.function.state_failed(error))?;
            self.is_taken_up = clock == TimerClock::Processing && !self.firing.is_done();
        }
        if self.firing.is_done() { Ok(Flow::More) } else { self.fire_piece(at, outputs) }
    }

    /// Reads accumulators, for a call with so many records or windows.
    fn read_accumulators<'a>(
        &mut self,
        records: usize,
        mut keys: impl Iterator<Item = StateKey<'a>>,
    ) -> Result<(), EngineError> {
        size::clear_for(&mut self.cells, records);
        let read = self.state.states().get_riding(&mut keys, 1, &mut self.cells);
        self.function.note_size(cell_bytes_max(&self.cells));
        read.map_err(|error| self.function.state_failed(error))
    }

    /// Writes accumulators of keys that were read last, each with its place among them.
    fn write_accumulators<'a>(
        &self,
        writes: impl Iterator<Item = (usize, StateKey<'a>, Write<'a>)>,
    ) -> Result<(), EngineError> {
        let mut writes = writes.map(|(place, key, write)| (place, key, ACCUMULATOR, write));
        let written = self.state.states().write_riding(&mut writes);
        written.map_err(|error| self.function.state_failed(error))
    }

    /// Emits the results of the next of the windows that fire, and forgets what is not to be kept of them.
    fn fire_piece(&mut self, at: &Moment, outputs: &mut Outputs) -> Result<Flow, EngineError> {
        let mut firing = std::mem::take(&mut self.firing);
        let flow = self.fire_next(&mut firing, at, outputs);
        self.firing = firing;
        flow
    }

    fn fire_next(&mut self, firing: &mut Firing, at: &Moment, outputs: &mut Outputs) -> Result<Flow, EngineError> {
        let Some(piece) = self.prepare_windows(firing)? else { return Ok(Flow::More) };
        let first = firing.panes(&piece).start;
        let ends = piece.clone().map(|window| firing.panes(&(window..window + 1)).end - first);
        let (keys, bounds) = ((firing.keys(), piece.clone()), firing.bounds(piece.clone()));
        frames::windows(&mut self.function.frame, keys, bounds, ends, &self.cells);
        let records = self.cells.present();
        let (groups, state_bytes) = (piece.len(), self.cells.bytes.len());
        let mut cuts = std::mem::take(&mut firing.cuts);
        let from = Fired { firing, range: piece.clone() };
        let attempt =
            Attempt { export: Export::Fire, piece: piece.clone(), records, groups, state_bytes, cuts: &mut cuts };
        let called = self.function.call(attempt, &from, at)?;
        let flow = match called {
            Called::Returned(output) => {
                self.function.finish(&output, &from, at, outputs)?;
                None
            }
            Called::Poison(fault) => {
                let target = Target::window(firing.bounds(piece.clone())[0], &self.cells);
                self.function.set_aside(fault, &from, target, at, outputs)?;
                None
            }
            Called::Again(flow) => Some(flow),
        };
        firing.cuts = cuts;
        if let Some(flow) = flow {
            return Ok(flow);
        }
        self.drop_panes(firing, &piece)?;
        firing.done(piece.end);
        Ok(Flow::More)
    }

    /// Reads the accumulators of the windows that a call gets; none, if the next has no accumulator: it is passed over.
    fn prepare_windows(&mut self, firing: &mut Firing) -> Result<Option<Range<usize>>, EngineError> {
        let mut piece = self.function.piece_of_round(firing.keys(), firing.next(), &firing.cuts);
        loop {
            self.read_accumulators(piece.len(), firing.state_keys(piece.clone()))?;
            let mut fitting = self.function.fitting_state(Export::Fire, &piece, &self.cells);
            if fitting == piece {
                fitting.end = piece.start + firing.with_accumulators(&piece, &self.cells);
            }
            if fitting.is_empty() {
                let passed = piece.start..piece.start + 1;
                firing.done(passed.end);
                firing.cuts.passed_over::<()>(&passed);
                return Ok(None);
            }
            if fitting == piece {
                return Ok(Some(piece));
            }
            piece = fitting;
        }
    }

    /// Removes the accumulators that go with the windows `piece`, which were read last.
    fn drop_panes(&self, firing: &Firing, piece: &Range<usize>) -> Result<(), EngineError> {
        self.write_accumulators(firing.dropped(piece).map(|(place, key)| (place, key, Write::Delete)))
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
    match &spec.assigner {
        WindowAssigner::Tumbling { size_ms, offset_ms } => {
            let windows = Aligned::tumbling(*size_ms, *offset_ms);
            match spec.trigger {
                Trigger::AtEnd => Box::new(Tumbling::new(windows, rules)),
                _ => Box::new(OwnWindows::new(Find::Tumbling(windows), rules)),
            }
        }
        WindowAssigner::Sliding { size_ms, slide_ms, offset_ms } => {
            Box::new(Sliding::new(Aligned::sliding(*size_ms, *slide_ms, *offset_ms), rules))
        }
        WindowAssigner::Session { gap } => Box::new(OwnWindows::new(Find::Session(gap.clone()), rules)),
        WindowAssigner::Count { size, slide } => Box::new(Counted::new(CountWindows::new(*size, *slide))),
        WindowAssigner::Global => Box::new(OwnWindows::new(Find::Global, rules)),
    }
}
