//! Tumbling windows over world `aggregate`: an accumulator per key and window, fired when the watermark passes its end.
//!
//! The semantics are Flink's: a window `[start, end)` fires once the watermark has reached `end - 1`; a record whose
//! window has been cleaned up by then is late and goes to the `late` output.

use super::emit::{Fired, Ordered};
use super::frames;
use super::function::{FunctionTask, Held};
use super::group::{Grouping, window_start};
use crate::error::EngineError;
use crate::inbox::Arrived;
use crate::metrics::NodeMetrics;
use crate::outputs::Outputs;
use crate::plan::Tumbling;
use crate::streams::Command;
use crate::task::{Flow, Logic, Moment};
use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tidewheel_guest::Export;
use tidewheel_state::{DueTimers, TimerChange, Timers};
use tidewheel_types::Batch;
use tidewheel_types::keyed_state::{ABSENT, Cells, KeyedState, StateIndex, StateKey, Write};

/// The accumulator is the only state of a component of world `aggregate`.
const ACCUMULATOR: StateIndex = StateIndex(0);

/// Windows fire by a timer each; they need but one.
const SLOT: u16 = 0;

/// A windowed operator of world `aggregate` on one worker.
pub(crate) struct Window {
    function: FunctionTask,
    windows: Tumbling,
    late_port: usize,
    state: Rc<RefCell<dyn KeyedState>>,
    timers: Timers,
    metrics: Arc<NodeMetrics>,
    grouping: Grouping,
    cells: Cells,
    due: DueTimers,
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
        state: Rc<RefCell<dyn KeyedState>>,
        metrics: Arc<NodeMetrics>,
    ) -> Self {
        Window {
            function,
            windows,
            late_port,
            state,
            timers: Timers::new(),
            metrics,
            grouping: Grouping::default(),
            cells: Cells::default(),
            due: DueTimers::default(),
            in_time: Vec::new(),
            starts: Vec::new(),
            bounds: Vec::new(),
        }
    }

    /// The last event time of the window that starts at `start`: when the watermark reaches it, the window fires.
    fn max_timestamp(&self, start: i64) -> i64 {
        self.windows.end_of(start) - 1
    }

    /// Sorts the records `piece` into those in time and those that are late, and emits the late ones.
    fn separate_late(&mut self, batch: &Batch, piece: Range<usize>, at: &Moment, outputs: &mut Outputs) {
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
                is_late = self.max_timestamp(start) <= at.watermark.0;
            }
            if is_late {
                late.push_from(batch, record);
            } else {
                self.in_time.push(record as u32);
                self.starts.push(window.start);
            }
        }
        self.metrics.late.fetch_add(late.len() as u64, Ordering::Relaxed);
        outputs.emit(self.late_port, at.epoch, late);
    }

    /// Brings the accumulators of `in_time` up to date.
    fn accumulate(&mut self, arrived: &Arrived, at: &Moment, outputs: &mut Outputs) -> Result<(), EngineError> {
        let batch = &arrived.batch;
        let mut grouping = std::mem::take(&mut self.grouping);
        grouping.by_window(batch, &self.in_time, &self.starts);
        self.bounds.clear();
        self.bounds.extend((0..grouping.len()).map(|group| {
            let start = grouping.window_of(group);
            [start, self.windows.end_of(start)]
        }));
        let key = |group: usize| grouping.state_key(&batch.keys, group);
        self.read_accumulators((0..grouping.len()).map(key))?;
        let (frame, bounds) = (&mut self.function.frame, Some(self.bounds.as_slice()));
        frames::grouped(frame, batch, &grouping, bounds, &self.cells, arrived.input);
        let held = Held { records: self.in_time.len(), groups: grouping.len() };
        let output = self.function.call(Export::Accumulate, held, at)?;

        let accumulators = (0..grouping.len()).map(|group| (group, output.cell(group)));
        self.write_accumulators(
            accumulators.map(|(group, accumulator)| (key(group), accumulator.map_or(Write::Delete, Write::Put))),
        )?;
        let mut changes = (0..grouping.len()).filter_map(|group| {
            let was_absent = self.cells.ends[group] & ABSENT != 0;
            let time = self.bounds[group][1] - 1;
            match output.cell(group) {
                Some(_) if was_absent => Some((key(group), TimerChange::Set { slot: SLOT, time })),
                None if !was_absent => Some((key(group), TimerChange::Delete { slot: SLOT, time })),
                _ => None,
            }
        });
        self.timers.change(&mut changes);
        let from = Ordered { batch, order: grouping.order() };
        self.function.finish(&output, &from, at, outputs)?;
        self.grouping = grouping;
        Ok(())
    }
}

impl Logic for Window {
    fn records(&mut self, arrived: &mut Arrived, at: &Moment, outputs: &mut Outputs) -> Result<Flow, EngineError> {
        let piece = self.function.piece(&arrived.batch, arrived.done);
        arrived.done = piece.end;
        self.separate_late(&arrived.batch, piece, at, outputs);
        if !self.in_time.is_empty() {
            self.accumulate(arrived, at, outputs)?;
        }
        Ok(arrived.flow())
    }

    fn fire(&mut self, at: &Moment, outputs: &mut Outputs) -> Result<Flow, EngineError> {
        let mut due = std::mem::take(&mut self.due);
        self.timers.due_round(at.watermark.0, self.function.groups_max(), &mut due);
        let fired = match due.is_empty() {
            true => Flow::Done,
            false => {
                self.fire_windows(&due, at, outputs)?;
                Flow::More
            }
        };
        self.due = due;
        Ok(fired)
    }

    fn command(&mut self, _: Command, _: &Moment) -> Result<Flow, EngineError> {
        Ok(Flow::Done)
    }
}

impl Window {
    fn read_accumulators<'a>(&mut self, mut keys: impl Iterator<Item = StateKey<'a>>) -> Result<(), EngineError> {
        self.cells.clear();
        let read = self.state.borrow_mut().get_riding(&mut keys, 1, &mut self.cells);
        read.map_err(|error| self.function.state_failed(error))
    }

    /// Writes the accumulators of the keys that were read last.
    fn write_accumulators<'a>(
        &self,
        writes: impl Iterator<Item = (StateKey<'a>, Write<'a>)>,
    ) -> Result<(), EngineError> {
        let mut writes = writes.enumerate().map(|(place, (key, write))| (place, key, ACCUMULATOR, write));
        let written = self.state.borrow_mut().write_riding(&mut writes);
        written.map_err(|error| self.function.state_failed(error))
    }

    /// Emits the results of windows that are due, and forgets them.
    fn fire_windows(&mut self, due: &DueTimers, at: &Moment, outputs: &mut Outputs) -> Result<(), EngineError> {
        self.bounds.clear();
        self.bounds.extend(due.namespaces.iter().map(|namespace| {
            let start = window_start(namespace);
            [start, self.windows.end_of(start)]
        }));
        let keys = || (0..due.len()).map(|window| due.key(window));
        self.read_accumulators(keys())?;
        frames::windows(&mut self.function.frame, due, &self.bounds, &self.cells);
        let output = self.function.call(Export::Fire, Held { records: due.len(), groups: due.len() }, at)?;
        self.write_accumulators(keys().map(|key| (key, Write::Delete)))?;
        self.function.finish(&output, &Fired(due), at, outputs)
    }
}
