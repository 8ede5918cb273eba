//! Operators of world `stateless`: records in, records out, nothing kept.
//!
//! Nothing orders its records but the order of each sender, so it takes batches of any epoch as they arrive. The component of
//! a source is one as well, within the source's task.

use super::emit::Piece;
use super::frames;
use super::function::{Attempt, Called, FunctionTask, Pieces};
use crate::error::EngineError;
use crate::inbox::Arrived;
use crate::outputs::Outputs;
use crate::refuse::Target;
use crate::streams::Command;
use crate::task::{Flow, Logic, Moment};
use tidewheel_guest::{Export, Output};

/// An operator of world `stateless` on one worker.
pub(crate) struct Stateless {
    function: FunctionTask,
}

impl Stateless {
    pub(crate) fn new(function: FunctionTask) -> Self {
        Stateless { function }
    }

    /// Makes about one call with the next records; `note` sees what it gave before that is emitted.
    pub(crate) fn process(
        &mut self,
        arrived: &mut Arrived,
        at: &Moment,
        outputs: &mut Outputs,
        note: impl FnOnce(&Output, &Piece<'_>),
    ) -> Result<Flow, EngineError> {
        if self.function.is_waiting() {
            return Ok(Flow::Waiting);
        }
        let piece = self.function.piece(arrived);
        let (batch, cuts) = (&arrived.batch, &mut arrived.cuts);
        frames::records(&mut self.function.frame, batch, piece.clone(), arrived.input);
        let from = Piece { batch, range: piece.clone() };
        let records = piece.len();
        let (export, pieces) = (Export::Process, Pieces::Records);
        let attempt = Attempt { export, pieces, piece, records, groups: 0, state_bytes: 0, cuts };
        match self.function.call(attempt, &from, at)? {
            Called::Returned(output) => {
                note(&output, &from);
                self.function.finish(&output, &from, at, outputs)?;
            }
            Called::Poison(fault) => self.function.set_aside(fault, &from, Target::Record, at, outputs)?,
            Called::Again(flow) => return Ok(flow),
        }
        arrived.done = from.range.end;
        Ok(arrived.flow())
    }
}

impl Logic for Stateless {
    fn records(&mut self, arrived: &mut Arrived, at: &Moment, outputs: &mut Outputs) -> Result<Flow, EngineError> {
        self.process(arrived, at, outputs, |_, _| {})
    }

    fn fire(&mut self, _: &Moment, _: &mut Outputs) -> Result<Flow, EngineError> {
        Ok(Flow::Done)
    }

    fn command(&mut self, _: &Command, _: &Moment) -> Result<Flow, EngineError> {
        Ok(Flow::Done)
    }
}
