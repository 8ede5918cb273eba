//! What an operator without a component remembers: one value per key, or key and window, and a timer that ends it.

use super::size;
use super::task_state::TaskState;
use crate::error::EngineError;
use crate::streams::Command;
use crate::task::Moment;
use std::ops::Range;
use tidewheel_state::{DueTimers, TimerChange};
use tidewheel_types::OperatorId;
use tidewheel_types::keyed_state::{Cells, KeyedState, KeyedStateError, StateIndex, StateKey, Write};

/// It is the only state, and it rides.
const VALUE: StateIndex = StateIndex(0);

/// Its only timer.
const SLOT: u16 = 0;

/// Records, or timers, that are dealt with at once.
const RECORDS_MAX: usize = 1 << 12;

/// The memory of an operator on one worker.
pub(crate) struct Memory {
    operator: OperatorId,
    state: TaskState,
    /// What was read last.
    pub(super) cells: Cells,
    /// A round of timers, and how many of them have been dealt with.
    pub(super) due: DueTimers,
    done: usize,
}

impl Memory {
    pub(crate) fn new(operator: OperatorId, state: TaskState) -> Self {
        Memory { operator, state, cells: Cells::default(), due: DueTimers::default(), done: 0 }
    }

    /// Tells what time it is, before anything else of a batch or firing.
    pub(super) fn set_time(&mut self, at: &Moment) {
        self.state.set_time(at);
    }

    /// As many of the records from `done` to `len` as are dealt with at once.
    pub(super) fn piece(done: usize, len: usize) -> Range<usize> {
        done..len.min(done + RECORDS_MAX)
    }

    /// Reads the values of `keys`, for a piece of records or timers. Another piece than this one, shorter, is to be read
    /// instead if it is too much at once.
    pub(super) fn read<'a>(
        &mut self,
        piece: &Range<usize>,
        mut keys: impl Iterator<Item = StateKey<'a>>,
    ) -> Result<Range<usize>, EngineError> {
        size::clear_for(&mut self.cells, piece.len());
        let read = self.state.states().get_riding(&mut keys, 1, &mut self.cells);
        read.map_err(|error| self.failed(error))?;
        Ok(size::fitting_state(piece, &self.cells))
    }

    /// Writes values of the keys that were read last; with each comes its place among them.
    pub(super) fn write<'a>(
        &mut self,
        writes: impl Iterator<Item = (usize, StateKey<'a>, Write<'a>)>,
    ) -> Result<(), EngineError> {
        let mut writes = writes.map(|(place, key, write)| (place, key, VALUE, write));
        let written = self.state.states().write_riding(&mut writes);
        written.map_err(|error| self.failed(error))
    }

    /// Sets the timer of each key, in the place of the one it has; none: it has none from now on.
    pub(super) fn set_timers<'a>(&mut self, timers: impl Iterator<Item = (StateKey<'a>, Option<i64>)>) {
        let mut changes = timers.map(|(key, time)| match time {
            Some(time) => (key, TimerChange::Replace { slot: SLOT, time }),
            None => (key, TimerChange::DeleteAll { slot: SLOT }),
        });
        self.state.timers.change(&mut changes);
    }

    /// Reads the values whose timers are due, some of them; none: nothing is due.
    pub(super) fn read_due(&mut self, watermark: i64) -> Result<Option<Range<usize>>, EngineError> {
        if self.done == self.due.len() {
            self.done = 0;
            self.state.timers.due_round(watermark, RECORDS_MAX, &mut self.due);
        }
        if self.due.is_empty() {
            return Ok(None);
        }
        let due = std::mem::take(&mut self.due);
        let mut piece = Memory::piece(self.done, due.len());
        let read = loop {
            match self.read(&piece, piece.clone().map(|timer| due.key(timer))) {
                Ok(fitting) if fitting == piece => break Ok(Some(piece)),
                Ok(fitting) => piece = fitting,
                Err(error) => break Err(error),
            }
        };
        self.due = due;
        read
    }

    /// Forgets the values of a piece that [`read_due`](Self::read_due) gave, but for those that `later` has a time for:
    /// they are remembered until then.
    pub(super) fn forget_due(
        &mut self,
        piece: Range<usize>,
        later: impl Fn(&[u8]) -> Option<i64>,
    ) -> Result<(), EngineError> {
        let due = std::mem::take(&mut self.due);
        self.done = piece.end;
        let times = piece.clone().enumerate().map(|(place, _)| self.cells.get(place).and_then(&later));
        let times: Vec<Option<i64>> = times.collect();
        let of_piece = || piece.clone().zip(&times).enumerate();
        let over = of_piece().filter(|(_, (_, time))| time.is_none());
        let written = self.write(over.map(|(place, (timer, _))| (place, due.key(timer), Write::Delete)));
        let kept = of_piece().filter_map(|(_, (timer, time))| time.map(|time| (due.key(timer), Some(time))));
        self.set_timers(kept);
        self.due = due;
        written
    }

    pub(super) fn command(&mut self, command: &Command, at: &Moment) -> Result<(), EngineError> {
        self.state.command(command, at)
    }

    /// That a value is not one that this operator writes.
    pub(super) fn damaged(&self) -> EngineError {
        self.failed(KeyedStateError("a value is not as this operator writes them".to_owned()))
    }

    fn failed(&self, source: KeyedStateError) -> EngineError {
        EngineError::State { operator: self.operator.clone(), source }
    }
}
