//! Operators of world `keyed`: records grouped by key, with keyed state and timers.

use super::emit::{Fired, Ordered};
use super::frames;
use super::function::{FunctionTask, Held};
use super::group::Grouping;
use crate::error::EngineError;
use crate::inbox::Arrived;
use crate::outputs::Outputs;
use crate::streams::Command;
use crate::task::{Flow, Logic, Moment};
use std::cell::RefCell;
use std::rc::Rc;
use tidewheel_guest::{Export, Output, TimerOp, TimerOpKind};
use tidewheel_state::{DueTimers, TimerChange, Timers};
use tidewheel_types::keyed_state::{Cells, KeyedState, KeyedStateError, StateIndex, StateKey};
use tidewheel_types::{OperatorId, Watermark};

/// How often a key, on the average, may set a timer that is due at once, in one advance of the watermark.
const ROUNDS_MAX: usize = 10_000;

/// An operator of world `keyed` on one worker.
pub(crate) struct Keyed {
    operator: OperatorId,
    function: FunctionTask,
    state: Rc<RefCell<dyn KeyedState>>,
    timers: Timers,
    grouping: Grouping,
    cells: Cells,
    due: DueTimers,
    /// Keys with timers when the watermark at hand was taken, and timers set since that were due at once.
    firing: Option<(usize, usize)>,
}

impl Keyed {
    pub(crate) fn new(operator: OperatorId, function: FunctionTask, state: Rc<RefCell<dyn KeyedState>>) -> Self {
        Keyed {
            operator,
            function,
            state,
            timers: Timers::new(),
            grouping: Grouping::default(),
            cells: Cells::default(),
            due: DueTimers::default(),
            firing: None,
        }
    }

    /// Applies what a call that has returned did to state and timers. `key` is the key of a group. Returns how many of
    /// the timers it set are due at `watermark`.
    fn apply<'a>(
        &mut self,
        output: &'a Output,
        key: impl Fn(u32) -> StateKey<'a>,
        watermark: Watermark,
    ) -> Result<usize, EngineError> {
        self.write(output, &key).map_err(|error| self.function.state_failed(error))?;
        let mut changes = output.timers().map(|TimerOp { group, slot, kind, time }| {
            let change = match kind {
                TimerOpKind::Set => TimerChange::Set { slot, time },
                TimerOpKind::Replace => TimerChange::Replace { slot, time },
                TimerOpKind::Delete => TimerChange::Delete { slot, time },
                TimerOpKind::DeleteAll => TimerChange::DeleteAll { slot },
            };
            (key(group), change)
        });
        self.timers.change(&mut changes);
        let sets = |kind| matches!(kind, TimerOpKind::Set | TimerOpKind::Replace);
        Ok(output.timers().filter(|timer| timer.time <= watermark.0 && sets(timer.kind)).count())
    }

    fn write<'a>(&self, output: &'a Output, key: &impl Fn(u32) -> StateKey<'a>) -> Result<(), KeyedStateError> {
        let mut state = self.state.borrow_mut();
        let rides = |index: &StateIndex| index.0 < self.function.riding();
        let riding = output.writes().filter(|(_, index, _)| rides(index));
        state.write_riding(&mut riding.map(|(group, index, write)| (group as usize, key(group), index, write)))?;
        if self.function.has_state_beside() {
            let beside = output.host_writes().chain(output.writes().filter(|(_, index, _)| !rides(index)));
            state.write(&mut beside.map(|(group, index, write)| (index, key(group), write)))?;
        }
        Ok(())
    }

    /// Reads the cells of the states that ride.
    fn read_riding<'a>(&mut self, mut keys: impl Iterator<Item = StateKey<'a>>) -> Result<(), EngineError> {
        self.cells.clear();
        let read = self.state.borrow_mut().get_riding(&mut keys, self.function.riding(), &mut self.cells);
        read.map_err(|error| self.function.state_failed(error))
    }
}

impl Logic for Keyed {
    fn records(&mut self, arrived: &mut Arrived, at: &Moment, outputs: &mut Outputs) -> Result<Flow, EngineError> {
        let batch = &arrived.batch;
        let piece = self.function.piece(batch, arrived.done);
        let mut grouping = std::mem::take(&mut self.grouping);
        grouping.by_key(batch, piece.clone());
        self.read_riding((0..grouping.len()).map(|group| grouping.state_key(&batch.keys, group)))?;
        frames::grouped(&mut self.function.frame, batch, &grouping, None, &self.cells, arrived.input);
        let held = Held { records: piece.len(), groups: grouping.len() };
        let output = self.function.call(Export::Process, held, at)?;
        self.apply(&output, |group| grouping.state_key(&batch.keys, group as usize), at.watermark)?;
        let from = Ordered { batch, order: grouping.order() };
        self.function.finish(&output, &from, at, outputs)?;
        self.grouping = grouping;
        arrived.done = piece.end;
        Ok(arrived.flow())
    }

    /// Fires a round of timers: of each key at most one, the earliest due, so that the next sees what it did.
    fn fire(&mut self, at: &Moment, outputs: &mut Outputs) -> Result<Flow, EngineError> {
        let mut due = std::mem::take(&mut self.due);
        self.timers.due_round(at.watermark.0, self.function.groups_max(), &mut due);
        if due.is_empty() {
            (self.due, self.firing) = (due, None);
            return Ok(Flow::Done);
        }
        let (keys_before, set_before) = self.firing.unwrap_or((self.timers.keys() + due.len(), 0));
        self.read_riding((0..due.len()).map(|timer| due.key(timer)))?;
        frames::timers(&mut self.function.frame, &due, &self.cells);
        let output = self.function.call(Export::OnTimer, Held { records: due.len(), groups: due.len() }, at)?;
        let set = set_before + self.apply(&output, |group| due.key(group as usize), at.watermark)?;
        if set > ROUNDS_MAX * keys_before {
            return Err(EngineError::TimerLoop { operator: self.operator.clone(), timers: set, keys: keys_before });
        }
        self.firing = Some((keys_before, set));
        self.function.finish(&output, &Fired(&due), at, outputs)?;
        self.due = due;
        Ok(Flow::More)
    }

    fn command(&mut self, _: Command, _: &Moment) -> Result<Flow, EngineError> {
        Ok(Flow::Done)
    }
}
