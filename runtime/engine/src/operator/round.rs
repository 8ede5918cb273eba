//! A round of timers that are due, fired piece by piece.

use super::cuts::Cuts;
use super::function::FunctionTask;
use std::ops::Range;
use tidewheel_state::{DueTimers, Timers};

/// A round: what is due, at most one of each key and namespace, and how much of it has fired.
#[derive(Default)]
pub(super) struct Round {
    pub(super) due: DueTimers,
    pub(super) cuts: Cuts,
    fired: usize,
}

impl Round {
    /// The next of `timers` to be fired at `watermark`: the rest of this round, or of a new one. None: nothing is due.
    pub(super) fn piece(
        &mut self,
        timers: &mut Timers,
        watermark: i64,
        function: &FunctionTask,
    ) -> Option<Range<usize>> {
        if self.fired == self.due.len() {
            self.fired = 0;
            timers.due_round(watermark, function.round_max(), &mut self.due);
        }
        let is_due = self.fired < self.due.len();
        is_due.then(|| function.piece_of_round(&self.due.keys, self.fired, &self.cuts))
    }

    /// `piece` has fired.
    pub(super) fn done(&mut self, piece: &Range<usize>) {
        self.fired = piece.end;
    }
}
