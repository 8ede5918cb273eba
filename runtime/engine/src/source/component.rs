//! The component of a source, through which goes what was read before anything else has it.
//!
//! A read may need several calls, and a call may have to wait. Until all of it is through, the source reads nothing more and
//! does not let its epoch go: where its splits are counts the whole read, so what comes of that belongs to one epoch.

use crate::error::EngineError;
use crate::inbox::Arrived;
use crate::operator::stateless::Stateless;
use crate::operator::{FunctionTask, Inherit, Piece};
use crate::outputs::Outputs;
use crate::task::{Flow, Moment};
use crate::watermark::Reached;
use std::time::Instant;
use tidewheel_guest::Output;

/// The component of a source on one worker.
pub(crate) struct SourceComponent {
    stateless: Stateless,
    at_hand: Option<Read>,
}

/// What was read of a split and is not through.
pub(super) struct Read {
    /// The split's place among those of this worker.
    pub(super) split: usize,
    pub(super) at: Instant,
    arrived: Arrived,
    /// How far what has come of it brings the split.
    pub(super) reached: Reached,
}

impl Read {
    pub(super) fn new(split: usize, at: Instant, arrived: Arrived) -> Self {
        Read { split, at, arrived, reached: Reached::default() }
    }
}

impl SourceComponent {
    pub(crate) fn new(function: FunctionTask) -> Self {
        SourceComponent { stateless: Stateless::new(function.in_source()), at_hand: None }
    }

    /// Takes what was read; nothing is at hand.
    pub(super) fn take(&mut self, read: Read) {
        self.at_hand = Some(read);
    }

    /// The split whose records are not through.
    pub(super) fn at_hand(&self) -> Option<usize> {
        self.at_hand.as_ref().map(|read| read.split)
    }

    /// Makes about one call with what is at hand and emits what comes of it. Gives the read when all of it is through.
    pub(super) fn call(&mut self, at: &Moment, outputs: &mut Outputs) -> Result<(Flow, Option<Read>), EngineError> {
        let Some(read) = &mut self.at_hand else { return Ok((Flow::Done, None)) };
        let reached = &mut read.reached;
        let note = |output: &Output, from: &Piece<'_>| *reached = reached.max(reached_by(output, from));
        let flow = self.stateless.process(&mut read.arrived, at, outputs, note)?;
        Ok((flow, self.at_hand.take_if(|_| flow == Flow::Done)))
    }
}

/// How far the records and marks of a call bring their split. A record that is put aside does not: its time may be what is
/// wrong with it.
fn reached_by(output: &Output, from: &Piece<'_>) -> Reached {
    let time = |record| output.time(record).unwrap_or_else(|| from.time(output.source(record) as usize));
    Reached {
        largest: (0..output.len())
            .filter(|&record| output.outputs().get(record).is_none_or(|&output| output == 0))
            .map(time)
            .max(),
        marked: output.marks().map(|mark| mark.time).max(),
    }
}
