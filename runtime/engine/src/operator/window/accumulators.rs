//! Panes with accumulators, for world `aggregate`: `accumulate` as records come, and `fire` merges those of a window.

use super::firing::{Fired, Firing};
use super::fold::{Fold, Panes, TakenIn, Taking, WindowTask};
use super::state::ACCUMULATOR;
use crate::error::EngineError;
use crate::inbox::Arrived;
use crate::operator::emit::Ordered;
use crate::operator::frames;
use crate::operator::function::{Attempt, Called, Pieces};
use crate::operator::group::Grouping;
use crate::operator::size::{self, cell_bytes_max};
use crate::outputs::Outputs;
use crate::refuse::Target;
use crate::task::{Flow, Moment};
use std::ops::Range;
use tidewheel_guest::{Export, Output};
use tidewheel_types::Batch;
use tidewheel_types::keyed_state::{Cells, KeyedState, StateKey, Write};

/// Accumulators, as they were read last.
#[derive(Default)]
pub(super) struct Accumulators {
    cells: Cells,
    /// Start and end of the windows of each group of a call.
    bounds: Vec<[i64; 2]>,
}

impl Accumulators {
    /// Reads accumulators, for a call with so many records or windows.
    fn read<'a>(
        &mut self,
        task: &mut WindowTask,
        records: usize,
        mut keys: impl Iterator<Item = StateKey<'a>>,
    ) -> Result<(), EngineError> {
        size::clear_for(&mut self.cells, records);
        let read = task.state.states().get_riding(&mut keys, 1, &mut self.cells);
        task.function.note_size(cell_bytes_max(&self.cells));
        task.checked(read)
    }

    /// Writes the accumulators that `output` holds.
    fn write_all(
        &self,
        task: &mut WindowTask,
        output: &Output,
        batch: &Batch,
        grouping: &Grouping,
    ) -> Result<(), EngineError> {
        let mut largest = 0;
        let writes = (0..grouping.len()).map(|group| {
            let accumulator = output.cell(group);
            largest = largest.max(accumulator.map_or(0, <[u8]>::len));
            (group, grouping.state_key(&batch.keys, group), accumulator.map_or(Write::Delete, Write::Put))
        });
        write(task, writes)?;
        task.function.note_size(largest);
        Ok(())
    }

    /// Reads the accumulators of the windows that a call gets; none, if the next has no accumulator: it is passed over.
    fn prepare_windows(
        &mut self,
        task: &mut WindowTask,
        firing: &mut Firing,
    ) -> Result<Option<Range<usize>>, EngineError> {
        let mut piece = task.function.piece_of_round(firing.keys(), firing.next(), &firing.cuts);
        loop {
            self.read(task, piece.len(), firing.state_keys(piece.clone()))?;
            let mut fitting = task.function.fitting_state(Pieces::Groups, &piece, &self.cells);
            if fitting == piece {
                fitting.end = piece.start + firing.with_accumulators(&piece, &self.cells);
            }
            if fitting.is_empty() {
                firing.pass_over();
                return Ok(None);
            }
            if fitting == piece {
                return Ok(Some(piece));
            }
            piece = fitting;
        }
    }
}

/// Writes accumulators of keys that were read last, each with its place among them.
fn write<'a>(
    task: &WindowTask,
    writes: impl Iterator<Item = (usize, StateKey<'a>, Write<'a>)>,
) -> Result<(), EngineError> {
    let mut writes = writes.map(|(place, key, write)| (place, key, ACCUMULATOR, write));
    let written = task.state.states().write_riding(&mut writes);
    task.checked(written)
}

impl Fold for Accumulators {
    fn prepare(
        &mut self,
        task: &mut WindowTask,
        batch: &Batch,
        grouping: &Grouping,
        piece: &Range<usize>,
    ) -> Result<Range<usize>, EngineError> {
        self.read(task, piece.len(), (0..grouping.len()).map(|group| grouping.state_key(&batch.keys, group)))?;
        Ok(task.function.fitting_state(Pieces::Records, piece, &self.cells))
    }

    fn take_in(
        &mut self,
        task: &mut WindowTask,
        arrived: &mut Arrived,
        taking: Taking<'_>,
        at: &Moment,
        outputs: &mut Outputs,
    ) -> Result<TakenIn<'_>, EngineError> {
        let (batch, cuts) = (&arrived.batch, &mut arrived.cuts);
        let Taking { grouping, piece, bounds, all_or_none } = taking;
        self.bounds.clear();
        self.bounds.extend((0..grouping.len()).map(bounds));
        let (frame, bounds) = (&mut task.function.frame, Some(self.bounds.as_slice()));
        frames::grouped(frame, batch, grouping, bounds, &self.cells, arrived.input);
        let (records, groups, state_bytes) = (grouping.order().len(), grouping.len(), self.cells.bytes.len());
        let from = Ordered { batch, grouping };
        let (export, pieces) = (Export::Accumulate, Pieces::Records);
        let attempt = Attempt { export, pieces, piece, records, groups, state_bytes, cuts };
        match task.function.call(attempt, &from, at)? {
            Called::Returned(output) => {
                let rejected = output.rejected().map(|(record, _)| grouping.order()[record as usize]);
                let rejected: Vec<u32> = rejected.collect();
                task.function.finish(&output, &from, at, outputs)?;
                if all_or_none && !rejected.is_empty() {
                    return Ok(TakenIn::None(rejected));
                }
                self.write_all(task, &output, batch, grouping)?;
                Ok(TakenIn::Done { panes: Panes::Accumulators { before: &self.cells, output }, rejected })
            }
            Called::Poison(fault) => {
                task.function.set_aside(fault, &from, Target::Record, at, outputs)?;
                Ok(TakenIn::SetAside)
            }
            Called::Again(flow) => Ok(TakenIn::Again(flow)),
        }
    }

    fn fire(
        &mut self,
        task: &mut WindowTask,
        firing: &mut Firing,
        at: &Moment,
        outputs: &mut Outputs,
    ) -> Result<Flow, EngineError> {
        let Some(piece) = self.prepare_windows(task, firing)? else { return Ok(Flow::More) };
        let first = firing.panes(&piece).start;
        let ends = piece.clone().map(|window| firing.panes(&(window..window + 1)).end - first);
        let (keys, bounds) = ((firing.keys(), piece.clone()), firing.bounds(piece.clone()));
        frames::windows(&mut task.function.frame, keys, bounds, ends, &self.cells);
        let records = self.cells.present();
        let (groups, state_bytes) = (piece.len(), self.cells.bytes.len());
        let mut cuts = std::mem::take(&mut firing.cuts);
        let from = Fired { firing, range: piece.clone() };
        let (export, pieces) = (Export::Fire, Pieces::Groups);
        let attempt = Attempt { export, pieces, piece: piece.clone(), records, groups, state_bytes, cuts: &mut cuts };
        let called = task.function.call(attempt, &from, at)?;
        let instead = match called {
            Called::Returned(output) => {
                task.function.finish(&output, &from, at, outputs)?;
                None
            }
            Called::Poison(fault) => {
                let target = Target::window(firing.bounds(piece.clone())[0], &self.cells);
                task.function.set_aside(fault, &from, target, at, outputs)?;
                None
            }
            Called::Again(flow) => Some(flow),
        };
        firing.cuts = cuts;
        if let Some(flow) = instead {
            return Ok(flow);
        }
        write(task, firing.dropped(&piece).map(|(place, key)| (place, key, Write::Delete)))?;
        firing.done(piece.end);
        Ok(Flow::More)
    }
}
