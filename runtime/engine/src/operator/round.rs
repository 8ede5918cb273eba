//! A round of timers that are due, fired piece by piece; and rounds of processing time.

use super::cuts::Cuts;
use super::function::FunctionTask;
use std::ops::Range;
use tidewheel_state::{DueTimers, Timers};

/// Timers that are dropped at once.
pub(super) const DROPPED_MAX: usize = 4096;

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
        if self.has_fired() {
            self.take(timers, watermark, function.round_max());
        }
        self.rest(function)
    }

    /// `piece` has fired.
    pub(super) fn done(&mut self, piece: &Range<usize>) {
        self.fired = piece.end;
    }

    /// Whether all of it has fired.
    fn has_fired(&self) -> bool {
        self.fired == self.due.len()
    }

    /// Begins a new round of timers that are due at `up_to`.
    fn take(&mut self, timers: &mut Timers, up_to: i64, limit: usize) {
        self.fired = 0;
        timers.due_round(up_to, limit, &mut self.due);
    }

    fn rest(&self, function: &FunctionTask) -> Option<Range<usize>> {
        (!self.has_fired()).then(|| function.piece_of_round(&self.due.keys, self.fired, &self.cuts))
    }
}

/// Rounds of timers of processing time.
///
/// A timer may set one that is due at once, and that the next, and time does not stand still while they fire. So there is
/// a limit to what fires at a time, such that whatever was due when it began comes: as many timers as there were keys and
/// namespaces with one. Then the operator's records have their turn, and the end of the epoch.
#[derive(Default)]
pub(super) struct Rounds {
    pub(super) round: Round,
    /// How many timers may still be taken up. None: the rounds are over.
    left: Option<usize>,
}

impl Rounds {
    /// The next of `timers` to be fired at `now`. None: nothing is due, or enough has fired.
    pub(super) fn piece(&mut self, timers: &mut Timers, now: i64, function: &FunctionTask) -> Option<Range<usize>> {
        if self.round.has_fired() {
            let left = self.left.get_or_insert_with(|| timers.keys());
            self.round.take(timers, now, function.round_max().min(*left));
            *left -= self.round.due.len();
        }
        let piece = self.round.rest(function);
        if piece.is_none() {
            self.left = None;
        }
        piece
    }

    /// The time of the next timer: of one that has been taken up, or of those that are set.
    pub(super) fn next_time(&self, timers: &mut Timers) -> Option<i64> {
        let taken_up = self.round.due.times.get(self.round.fired).copied();
        taken_up.or_else(|| timers.next_time())
    }

    /// Drops some of `timers`, whatever their times. Whether there may be more.
    pub(super) fn drop_some(&mut self, timers: &mut Timers) -> bool {
        self.round.take(timers, i64::MAX, DROPPED_MAX);
        self.round.fired = self.round.due.len();
        self.round.fired > 0
    }
}
