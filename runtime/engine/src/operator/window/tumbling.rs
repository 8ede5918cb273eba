//! Tumbling windows that fire at their end: one pane each, and a timer each.

use super::aligned::Aligned;
use super::assigner::{Assigned, Assigner, CLEANUP_SLOT, Came, Due, Piece, SLOT, damaged, forget_panes};
use super::firing::Firing;
use super::open_window::Rules;
use super::state::WindowState;
use crate::operator::group::window_start;
use tidewheel_state::TimerChange;
use tidewheel_types::keyed_state::{KeyedStateError, StateKey};

/// Tumbling windows.
pub(super) struct Tumbling {
    windows: Aligned,
    rules: Rules,
}

impl Tumbling {
    pub(super) fn new(windows: Aligned, rules: Rules) -> Self {
        Tumbling { windows, rules }
    }

    /// The last event time of a window: when the watermark reaches it, the window fires.
    fn max_timestamp(&self, start: i64) -> i64 {
        self.windows.end_of(start) - 1
    }

    /// Whether a window goes when it fires.
    fn goes(&self) -> bool {
        self.rules.lateness_ms == 0 || self.rules.discards
    }

    /// When a window is to be forgotten for which that was to be at `time`, if it is later by the lateness of now: the one
    /// before a savepoint may have been less.
    fn later_cleanup(&self, start: i64, time: i64) -> Option<i64> {
        let cleanup = self.max_timestamp(start).saturating_add(self.rules.lateness_ms);
        (!self.goes() && cleanup > time).then_some(cleanup)
    }

    /// What becomes of a window's timers as it comes and goes.
    fn timers(&self, start: i64, comes: bool, watermark: i64) -> impl Iterator<Item = TimerChange> + use<> {
        let last = self.max_timestamp(start);
        let change = move |slot, time| match comes {
            true => TimerChange::Set { slot, time },
            false => TimerChange::Delete { slot, time },
        };
        let end = (last > watermark).then(|| change(SLOT, last));
        let cleanup = last.saturating_add(self.rules.lateness_ms);
        let is_kept = !self.goes() && cleanup != i64::MAX;
        end.into_iter().chain(is_kept.then(|| change(CLEANUP_SLOT, cleanup)))
    }
}

impl Assigner for Tumbling {
    fn assign(&mut self, piece: &Piece<'_>, _: &WindowState, assigned: &mut Assigned) -> Result<(), KeyedStateError> {
        // Mostly a record falls into the window of the one before it, and finding a window takes a division.
        let (mut window, mut is_late, mut fires) = (0..0, false, false);
        for record in piece.records() {
            let time = piece.time(record);
            if !window.contains(&time) {
                let start = self.windows.pane_of(time);
                window = start..self.windows.end_of(start);
                let last = self.max_timestamp(start);
                is_late = last.saturating_add(self.rules.lateness_ms) <= piece.watermark;
                fires = last <= piece.watermark;
            }
            if is_late {
                assigned.late.push(record as u32);
                continue;
            }
            assigned.push(record, window.start);
            if fires {
                assigned.fire(record);
                break;
            }
        }
        Ok(())
    }

    fn bounds(&self, _: usize, pane: i64) -> [i64; 2] {
        [pane, self.windows.end_of(pane)]
    }

    fn came(&mut self, done: &Came<'_>, state: &mut WindowState, firing: &mut Firing) -> Result<(), KeyedStateError> {
        let changed = (0..done.grouping.len()).filter(|&group| done.may_be_new(group) == done.holds(group));
        let mut changes = changed.flat_map(|group| {
            let key = done.grouping.state_key(&done.batch.keys, group);
            let timers = self.timers(done.grouping.window_of(group), done.holds(group), done.watermark);
            timers.map(move |change| (key, change))
        });
        state.timers_of(self.rules.clock).change(&mut changes);
        if done.fires {
            let (group, key) = done.last();
            let start = done.grouping.window_of(group);
            firing.push(key, self.bounds(0, start), std::iter::once((start, self.goes())));
        }
        Ok(())
    }

    fn due(&mut self, due: &Due<'_>, state: &mut WindowState, firing: &mut Firing) -> Result<(), KeyedStateError> {
        let Due { timers: due, .. } = *due;
        let mut later = Vec::new();
        for timer in 0..due.len() {
            let start = window_start(due.namespaces.get(timer)).ok_or_else(damaged)?;
            let key = StateKey { namespace: &[], ..due.key(timer) };
            match due.slots[timer] {
                CLEANUP_SLOT => match self.later_cleanup(start, due.times[timer]) {
                    Some(time) => later.push((due.key(timer), TimerChange::Set { slot: CLEANUP_SLOT, time })),
                    None => forget_panes(state, key, [start])?,
                },
                _ => firing.push(key, self.bounds(0, start), std::iter::once((start, self.goes()))),
            }
        }
        state.timers_of(self.rules.clock).change(&mut later.into_iter());
        Ok(())
    }

    fn counts_records(&self) -> bool {
        false
    }
}
