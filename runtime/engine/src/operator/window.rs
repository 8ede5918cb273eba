//! Tumbling windows over world `aggregate`: an accumulator per key and window, fired when the watermark passes its end.
//!
//! The semantics are Flink's: a window `[start, end)` fires once the watermark has reached `end - 1`; a record whose
//! window has been cleaned up by then is late and goes to the `late` output.

use super::emit::{Fired, Ordered};
use super::frames;
use super::function::{Attempt, Called, FunctionTask};
use super::group::{Grouping, window_start};
use super::round::Round;
use super::size::{self, cell_bytes_max};
use super::task_state::TaskState;
use crate::error::EngineError;
use crate::inbox::Arrived;
use crate::metrics::NodeMetrics;
use crate::outputs::Outputs;
use crate::plan::Tumbling;
use crate::refuse::Target;
use crate::streams::Command;
use crate::task::{Flow, Logic, Moment};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tidewheel_guest::{Export, Output};
use tidewheel_state::TimerChange;
use tidewheel_types::keyed_state::{ABSENT, Cells, KeyedState, StateIndex, StateKey, Write};
use tidewheel_types::{Batch, BytesColumn, Watermark};

/// The accumulator is the only state of a component of world `aggregate`.
const ACCUMULATOR: StateIndex = StateIndex(0);

/// Windows fire by a timer each; they need but one.
const SLOT: u16 = 0;

/// A windowed operator of world `aggregate` on one worker.
pub(crate) struct Window {
    function: FunctionTask,
    windows: Tumbling,
    late_port: usize,
    state: TaskState,
    metrics: Arc<NodeMetrics>,
    grouping: Grouping,
    cells: Cells,
    round: Round,
    /// Records of the piece at hand that are not late, and the starts of their windows.
    in_time: Vec<u32>,
    starts: Vec<i64>,
    /// Start and end of the window of each group of a call.
    bounds: Vec<[i64; 2]>,
}

impl Window {
    pub(crate) fn new(
        function: FunctionTask,
        windows: Tumbling,
        late_port: usize,
        state: TaskState,
        metrics: Arc<NodeMetrics>,
    ) -> Self {
        Window {
            function,
            windows,
            late_port,
            state,
            metrics,
            grouping: Grouping::default(),
            cells: Cells::default(),
            round: Round::default(),
            in_time: Vec::new(),
            starts: Vec::new(),
            bounds: Vec::new(),
        }
    }

    /// The last event time of the window that starts at `start`: when the watermark reaches it, the window fires.
    fn max_timestamp(&self, start: i64) -> i64 {
        self.windows.end_of(start) - 1
    }

    /// Sorts the records `piece` into those in time and those that are late, which it returns.
    fn separate_late(&mut self, batch: &Batch, piece: Range<usize>, watermark: Watermark) -> Batch {
        self.in_time.clear();
        self.starts.clear();
        let mut late = Batch::default();
        // Mostly a record falls into the window of the one before it, and finding a window takes a division.
        let mut window = 0..0;
        let mut is_late = false;
        for record in piece {
            let time = batch.times[record];
            if !window.contains(&time) {
                let start = self.windows.start_of(time);
                window = start..self.windows.end_of(start);
                is_late = self.max_timestamp(start) <= watermark.0;
            }
            if is_late {
                late.push_from(batch, record);
            } else {
                self.in_time.push(record as u32);
                self.starts.push(window.start);
            }
        }
        late
    }

    /// Groups the records `piece` that are not late and reads their accumulators; of fewer records, if those would not
    /// fit into a frame. Returns which records these are, and the late ones of them.
    fn prepare(
        &mut self,
        grouping: &mut Grouping,
        batch: &Batch,
        mut piece: Range<usize>,
        watermark: Watermark,
    ) -> Result<(Range<usize>, Batch), EngineError> {
        loop {
            let late = self.separate_late(batch, piece.clone(), watermark);
            grouping.by_window(batch, &self.in_time, &self.starts);
            self.read_accumulators(
                piece.len(),
                (0..grouping.len()).map(|group| grouping.state_key(&batch.keys, group)),
            )?;
            let fitting = self.function.fitting_state(Export::Accumulate, &piece, &self.cells);
            if fitting == piece {
                self.function.note_size(grouping.key_bytes_max());
                return Ok((piece, late));
            }
            piece = fitting;
        }
    }

    /// Writes the accumulators that `output` holds, and sets the timers of new windows.
    fn accumulated(&mut self, output: &Output, grouping: &Grouping, keys: &BytesColumn) -> Result<(), EngineError> {
        let key = |group: usize| grouping.state_key(keys, group);
        let mut largest = 0;
        self.write_accumulators((0..grouping.len()).map(|group| {
            let accumulator = output.cell(group);
            largest = largest.max(accumulator.map_or(0, <[u8]>::len));
            (key(group), accumulator.map_or(Write::Delete, Write::Put))
        }))?;
        self.function.note_size(largest);
        let mut changes = (0..grouping.len()).filter_map(|group| {
            let was_absent = self.cells.ends[group] & ABSENT != 0;
            let time = self.bounds[group][1] - 1;
            match output.cell(group) {
                Some(_) if was_absent => Some((key(group), TimerChange::Set { slot: SLOT, time })),
                None if !was_absent => Some((key(group), TimerChange::Delete { slot: SLOT, time })),
                _ => None,
            }
        });
        self.state.timers.change(&mut changes);
        Ok(())
    }

    /// Brings the accumulators of the records `in_time`, of the piece that ends at `end`, up to date. Says what to do
    /// instead if that was not to be.
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
        self.bounds.extend((0..grouping.len()).map(|group| {
            let start = grouping.window_of(group);
            [start, self.windows.end_of(start)]
        }));
        let (frame, bounds) = (&mut self.function.frame, Some(self.bounds.as_slice()));
        frames::grouped(frame, batch, grouping, bounds, &self.cells, arrived.input);
        let (records, groups, state_bytes) = (self.in_time.len(), grouping.len(), self.cells.bytes.len());
        let from = Ordered { batch, grouping };
        let attempt = Attempt { export: Export::Accumulate, piece, records, groups, state_bytes, cuts };
        match self.function.call(attempt, &from, at)? {
            Called::Returned(output) => {
                self.accumulated(&output, grouping, &batch.keys)?;
                self.function.finish(&output, &from, at, outputs)?;
            }
            Called::Poison(fault) => self.function.set_aside(fault, &from, Target::Record, at, outputs)?,
            Called::Again(flow) => return Ok(Some(flow)),
        }
        Ok(None)
    }
}

impl Logic for Window {
    fn records(&mut self, arrived: &mut Arrived, at: &Moment, outputs: &mut Outputs) -> Result<Flow, EngineError> {
        if self.function.is_waiting() {
            return Ok(Flow::Waiting);
        }
        self.state.set_time(at);
        let mut grouping = std::mem::take(&mut self.grouping);
        let piece = self.function.piece(arrived);
        let (piece, late) = self.prepare(&mut grouping, &arrived.batch, piece, at.watermark)?;
        let end = piece.end;
        let instead = match self.in_time.is_empty() {
            true => arrived.cuts.passed_over(&piece),
            false => self.accumulate(arrived, &grouping, piece, at, outputs)?,
        };
        self.grouping = grouping;
        if let Some(flow) = instead {
            return Ok(flow);
        }
        self.metrics.late.fetch_add(late.len() as u64, Ordering::Relaxed);
        outputs.emit(self.late_port, at.epoch, late);
        arrived.done = end;
        Ok(arrived.flow())
    }

    fn fire(&mut self, at: &Moment, outputs: &mut Outputs) -> Result<Flow, EngineError> {
        if self.function.is_waiting() {
            return Ok(Flow::Waiting);
        }
        self.state.set_time(at);
        let mut round = std::mem::take(&mut self.round);
        let piece = round.piece(&mut self.state.timers, at.watermark.0, &self.function);
        let flow = match piece {
            Some(piece) => self.fire_piece(&mut round, piece, at, outputs)?,
            None => Flow::Done,
        };
        self.round = round;
        Ok(flow)
    }

    fn command(&mut self, command: &Command, at: &Moment) -> Result<Flow, EngineError> {
        self.state.command(command, at).map(|()| Flow::Done)
    }
}

impl Window {
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

    /// Writes the accumulators of the keys that were read last.
    fn write_accumulators<'a>(
        &self,
        writes: impl Iterator<Item = (StateKey<'a>, Write<'a>)>,
    ) -> Result<(), EngineError> {
        let mut writes = writes.enumerate().map(|(place, (key, write))| (place, key, ACCUMULATOR, write));
        let written = self.state.states().write_riding(&mut writes);
        written.map_err(|error| self.function.state_failed(error))
    }

    /// Emits the results of the windows `piece` of those that are due, and forgets them.
    fn fire_piece(
        &mut self,
        round: &mut Round,
        mut piece: Range<usize>,
        at: &Moment,
        outputs: &mut Outputs,
    ) -> Result<Flow, EngineError> {
        let (due, cuts) = (&round.due, &mut round.cuts);
        loop {
            self.read_accumulators(piece.len(), piece.clone().map(|window| due.key(window)))?;
            let fitting = self.function.fitting_state(Export::Fire, &piece, &self.cells);
            if fitting == piece {
                break;
            }
            piece = fitting;
        }
        self.bounds.clear();
        self.bounds.extend(piece.clone().map(|window| {
            let start = window_start(due.namespaces.get(window));
            [start, self.windows.end_of(start)]
        }));
        frames::windows(&mut self.function.frame, due, piece.clone(), &self.bounds, &self.cells);
        let (groups, state_bytes) = (piece.len(), self.cells.bytes.len());
        let from = Fired { due, range: piece.clone() };
        let attempt =
            Attempt { export: Export::Fire, piece: piece.clone(), records: groups, groups, state_bytes, cuts };
        match self.function.call(attempt, &from, at)? {
            Called::Returned(output) => self.function.finish(&output, &from, at, outputs)?,
            Called::Poison(fault) => {
                let target = Target::window(self.bounds[0], &self.cells);
                self.function.set_aside(fault, &from, target, at, outputs)?;
            }
            Called::Again(flow) => return Ok(flow),
        }
        self.write_accumulators(piece.clone().map(|window| (due.key(window), Write::Delete)))?;
        round.done(&piece);
        Ok(Flow::More)
    }
}
