//! Operators of world `keyed`: records grouped by key, with keyed state and timers.

use super::component_state;
use super::emit::{Fired, Ordered};
use super::frames;
use super::function::{Attempt, Called, FunctionTask, Pieces};
use super::group::Grouping;
use super::round::{Round, Rounds};
use super::task_state::TaskState;
use super::timer_loop::TimerLoop;
use crate::error::EngineError;
use crate::inbox::Arrived;
use crate::outputs::Outputs;
use crate::refuse::Target;
use crate::streams::Command;
use crate::task::{Flow, Logic, Moment};
use std::ops::Range;
use tidewheel_guest::{Export, Output, TimerOp, TimerOpKind};
use tidewheel_state::TimerChange;
use tidewheel_types::description::TimerClock;
use tidewheel_types::keyed_state::{Cells, StateKey};
use tidewheel_types::{Batch, OperatorId, Watermark};

/// An operator of world `keyed` on one worker.
pub(crate) struct Keyed {
    /// The clocks of its timers, by slot.
    clocks: Vec<TimerClock>,
    function: FunctionTask,
    state: TaskState,
    grouping: Grouping,
    cells: Cells,
    round: Round,
    processing_rounds: Rounds,
    timer_loop: TimerLoop,
}

impl Keyed {
    pub(crate) fn new(operator: OperatorId, function: FunctionTask, state: TaskState) -> Self {
        Keyed {
            clocks: function.description().timers.iter().map(|timer| timer.clock).collect(),
            function,
            state,
            grouping: Grouping::default(),
            cells: Cells::default(),
            round: Round::default(),
            processing_rounds: Rounds::default(),
            timer_loop: TimerLoop::new(operator),
        }
    }

    /// Applies what a call that has returned did to state and timers. `key` is the key of a group.
    fn apply<'a>(&mut self, output: &'a Output, key: impl Fn(u32) -> StateKey<'a>) -> Result<(), EngineError> {
        component_state::write(&mut self.function, &self.state, output, &key)?;
        self.change_timers(output, TimerClock::Event, &key);
        self.change_timers(output, TimerClock::Processing, &key);
        Ok(())
    }

    /// Changes the timers of one clock.
    fn change_timers<'a>(&mut self, output: &'a Output, clock: TimerClock, key: &impl Fn(u32) -> StateKey<'a>) {
        if !self.clocks.contains(&clock) {
            return;
        }
        let timers = match clock {
            TimerClock::Event => &mut self.state.timers,
            TimerClock::Processing => &mut self.state.processing_timers,
        };
        let mut changes = timers_of(output, &self.clocks, clock).map(|TimerOp { group, slot, kind, time }| {
            let change = match kind {
                TimerOpKind::Set => TimerChange::Set { slot, time },
                TimerOpKind::Replace => TimerChange::Replace { slot, time },
                TimerOpKind::Delete => TimerChange::Delete { slot, time },
                TimerOpKind::DeleteAll => TimerChange::DeleteAll { slot },
            };
            (key(group), change)
        });
        timers.change(&mut changes);
    }

    /// Groups the records `piece` and reads the cells of the states that ride; of fewer records, if those would not fit
    /// into a frame.
    fn prepare(
        &mut self,
        grouping: &mut Grouping,
        batch: &Batch,
        mut piece: Range<usize>,
    ) -> Result<Range<usize>, EngineError> {
        loop {
            grouping.by_key(batch, piece.clone());
            self.read_riding(piece.len(), (0..grouping.len()).map(|group| grouping.state_key(&batch.keys, group)))?;
            let fitting = self.function.fitting_state(Pieces::Records, &piece, &self.cells);
            if fitting == piece {
                self.function.note_size(grouping.key_bytes_max());
                return Ok(piece);
            }
            piece = fitting;
        }
    }

    /// As [`prepare`](Self::prepare), for a piece of a round of timers.
    fn prepare_timers(&mut self, round: &Round, mut piece: Range<usize>) -> Result<Range<usize>, EngineError> {
        loop {
            self.read_riding(piece.len(), piece.clone().map(|timer| round.due.key(timer)))?;
            let fitting = self.function.fitting_state(Pieces::Groups, &piece, &self.cells);
            if fitting == piece {
                return Ok(piece);
            }
            piece = fitting;
        }
    }

    /// Reads the cells of the states that ride, for a call with so many records.
    fn read_riding<'a>(&mut self, records: usize, keys: impl Iterator<Item = StateKey<'a>>) -> Result<(), EngineError> {
        component_state::read_riding(&mut self.function, &self.state, records, keys, &mut self.cells)
    }
}

impl Logic for Keyed {
    fn records(&mut self, arrived: &mut Arrived, at: &Moment, outputs: &mut Outputs) -> Result<Flow, EngineError> {
        if self.function.is_waiting() {
            return Ok(Flow::Waiting);
        }
        self.state.set_time(at);
        let mut grouping = std::mem::take(&mut self.grouping);
        let piece = self.prepare(&mut grouping, &arrived.batch, self.function.piece(arrived))?;
        let (batch, cuts) = (&arrived.batch, &mut arrived.cuts);
        frames::grouped(&mut self.function.frame, batch, &grouping, None, &self.cells, arrived.input);
        let (records, groups, state_bytes) = (piece.len(), grouping.len(), self.cells.bytes.len());
        let end = piece.end;
        let from = Ordered { batch, grouping: &grouping };
        let attempt =
            Attempt { export: Export::Process, pieces: Pieces::Records, piece, records, groups, state_bytes, cuts };
        let flow = match self.function.call(attempt, &from, at)? {
            Called::Returned(output) => {
                self.apply(&output, |group| grouping.state_key(&batch.keys, group as usize))?;
                self.function.finish(&output, &from, at, outputs)?;
                None
            }
            Called::Poison(fault) => {
                self.function.set_aside(fault, &from, Target::Record, at, outputs)?;
                None
            }
            Called::Again(flow) => Some(flow),
        };
        if flow.is_none() {
            if self.clocks.contains(&TimerClock::Event) {
                self.timer_loop.records(&batch.times[arrived.done..end]);
            }
            arrived.done = end;
        }
        self.grouping = grouping;
        Ok(flow.unwrap_or_else(|| arrived.flow()))
    }

    /// Fires a piece of a round of timers: of each key at most one, the earliest due, so that the next sees what it did.
    fn fire(&mut self, at: &Moment, outputs: &mut Outputs) -> Result<Flow, EngineError> {
        if self.function.is_waiting() {
            return Ok(Flow::Waiting);
        }
        self.state.set_time(at);
        let mut round = std::mem::take(&mut self.round);
        let piece = round.piece(&mut self.state.timers, at.watermark.0, &self.function);
        let flow = match piece {
            Some(piece) => {
                self.timer_loop.firing(self.state.timers.keys() + round.due.len());
                self.fire_piece(&mut round, piece, (TimerClock::Event, at), outputs)?
            }
            None => {
                self.timer_loop.all_fired();
                // Behind the end of the input no timer of processing time fires.
                let has_ended = at.watermark == Watermark::MAX;
                match has_ended && self.processing_rounds.drop_some(&mut self.state.processing_timers) {
                    true => Flow::More,
                    false => Flow::Done,
                }
            }
        };
        self.round = round;
        Ok(flow)
    }

    /// The same for timers of processing time.
    fn fire_processing_time(&mut self, at: &Moment, outputs: &mut Outputs) -> Result<Flow, EngineError> {
        if !self.clocks.contains(&TimerClock::Processing) {
            return Ok(Flow::Done);
        }
        if self.function.is_waiting() {
            return Ok(Flow::Waiting);
        }
        let mut rounds = std::mem::take(&mut self.processing_rounds);
        let flow = match rounds.piece(&mut self.state.processing_timers, at.now, &self.function) {
            Some(piece) => {
                self.state.set_time(at);
                self.fire_piece(&mut rounds.round, piece, (TimerClock::Processing, at), outputs)?
            }
            None => Flow::Done,
        };
        self.processing_rounds = rounds;
        Ok(flow)
    }

    fn next_processing_time(&mut self) -> Option<i64> {
        self.processing_rounds.next_time(&mut self.state.processing_timers)
    }

    fn command(&mut self, command: &Command, at: &Moment) -> Result<Flow, EngineError> {
        self.state.command(command, at).map(|()| Flow::Done)
    }
}

impl Keyed {
    fn fire_piece(
        &mut self,
        round: &mut Round,
        piece: Range<usize>,
        (clock, at): (TimerClock, &Moment),
        outputs: &mut Outputs,
    ) -> Result<Flow, EngineError> {
        let piece = self.prepare_timers(round, piece)?;
        let (due, cuts) = (&round.due, &mut round.cuts);
        frames::timers(&mut self.function.frame, due, piece.clone(), &self.cells);
        let (groups, state_bytes) = (piece.len(), self.cells.bytes.len());
        let from = Fired { due, range: piece.clone() };
        let (export, pieces) = (Export::OnTimer, Pieces::Groups);
        let attempt = Attempt { export, pieces, piece, records: groups, groups, state_bytes, cuts };
        match self.function.call(attempt, &from, at)? {
            Called::Returned(output) => {
                let first = from.range.start;
                self.apply(&output, |group| due.key(first + group as usize))?;
                if clock == TimerClock::Event {
                    let set = timers_of(&output, &self.clocks, TimerClock::Event);
                    self.timer_loop.set(set, &due.times[from.range.clone()], at.watermark)?;
                }
                self.function.finish(&output, &from, at, outputs)?;
            }
            Called::Poison(fault) => {
                let slot = due.slots[from.range.start];
                let description = self.function.description();
                let target = Target::timer(&description, slot, &self.cells);
                self.function.set_aside(fault, &from, target, at, outputs)?;
            }
            Called::Again(flow) => return Ok(flow),
        }
        round.done(&from.range);
        Ok(Flow::More)
    }
}

/// What a call did to the timers of one clock.
fn timers_of<'a>(
    output: &'a Output,
    clocks: &'a [TimerClock],
    clock: TimerClock,
) -> impl Iterator<Item = TimerOp> + 'a {
    output.timers().filter(move |timer| clocks[usize::from(timer.slot)] == clock)
}
