//! Finds timers that set timers for ever without getting anywhere.

use crate::error::EngineError;
use tidewheel_guest::{TimerOp, TimerOpKind};
use tidewheel_types::{OperatorId, Watermark};

/// How often a key, on the average, may set a timer that leads nowhere, in one advance of the watermark.
const ROUNDS_MAX: usize = 10_000;

/// Counts the timers of event time that lead nowhere while those of one watermark fire.
///
/// A timer that sets one for a later time, which is due as well, catches up: an alarm per minute after a silence of a
/// month. That ends, unless the watermark is that of the end, which no time is after: there a timer after the last record
/// leads nowhere either.
#[derive(Debug)]
pub(super) struct TimerLoop {
    operator: OperatorId,
    /// The largest event time of a record.
    last_record: i64,
    /// Keys with timers when the watermark was taken; none while nothing fires.
    keys: Option<usize>,
    set: usize,
}

impl TimerLoop {
    pub(super) fn new(operator: OperatorId) -> Self {
        TimerLoop { operator, last_record: i64::MIN, keys: None, set: 0 }
    }

    /// Records with these times have been processed.
    pub(super) fn records(&mut self, times: &[i64]) {
        self.last_record = times.iter().copied().fold(self.last_record, i64::max);
    }

    /// Timers of up to this many keys fire.
    pub(super) fn firing(&mut self, keys: usize) {
        self.keys.get_or_insert(keys);
    }

    /// Nothing is due any more.
    pub(super) fn all_fired(&mut self) {
        (self.keys, self.set) = (None, 0);
    }

    /// A call with timers of these `times` has changed these.
    pub(super) fn set(
        &mut self,
        changes: impl Iterator<Item = TimerOp>,
        times: &[i64],
        watermark: Watermark,
    ) -> Result<(), EngineError> {
        let leads_nowhere = |group: u32, time: i64| {
            time <= times[group as usize] || watermark == Watermark::MAX && time > self.last_record
        };
        let sets = changes.filter(|timer| matches!(timer.kind, TimerOpKind::Set | TimerOpKind::Replace));
        let nowhere = sets.filter(|timer| timer.time <= watermark.0 && leads_nowhere(timer.group, timer.time));
        self.set += nowhere.count();
        let keys = self.keys.unwrap_or(1);
        match self.set > ROUNDS_MAX * keys {
            true => Err(EngineError::TimerLoop { operator: self.operator.clone(), timers: self.set, keys }),
            false => Ok(()),
        }
    }
}
