//! Operators of world `stateless`: records in, records out, nothing kept.
//!
//! Nothing orders its records but the order of each sender, so it takes batches of any epoch as they arrive.

use super::emit::Piece;
use super::frames;
use super::function::{FunctionTask, Held};
use crate::error::EngineError;
use crate::inbox::Arrived;
use crate::outputs::Outputs;
use crate::streams::Command;
use crate::task::{Flow, Logic, Moment};
use tidewheel_guest::Export;

/// An operator of world `stateless` on one worker.
pub(crate) struct Stateless {
    function: FunctionTask,
}

impl Stateless {
    pub(crate) fn new(function: FunctionTask) -> Self {
        Stateless { function }
    }
}

impl Logic for Stateless {
    fn records(&mut self, arrived: &mut Arrived, at: &Moment, outputs: &mut Outputs) -> Result<Flow, EngineError> {
        let batch = &arrived.batch;
        let piece = self.function.piece(batch, arrived.done);
        frames::records(&mut self.function.frame, batch, piece.clone(), arrived.input);
        let output = self.function.call(Export::Process, Held { records: piece.len(), groups: 0 }, at)?;
        let from = Piece { batch, start: piece.start };
        self.function.finish(&output, &from, at, outputs)?;
        arrived.done = piece.end;
        Ok(arrived.flow())
    }

    fn fire(&mut self, _: &Moment, _: &mut Outputs) -> Result<Flow, EngineError> {
        Ok(Flow::Done)
    }

    fn command(&mut self, _: Command, _: &Moment) -> Result<Flow, EngineError> {
        Ok(Flow::Done)
    }
}
