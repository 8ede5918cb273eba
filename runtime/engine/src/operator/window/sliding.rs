//! Sliding windows that fire at their end, or early with all they have. They share panes: a record is stored and processed
//! once, and a window is the merge of its panes.

use super::aligned::Aligned;
use super::assigner::{Assigned, Assigner, Came, Due, KeptWrites, Piece, SLOT, damaged, forget_panes, read_kept};
use super::firing::{Firing, PANES_MAX};
use super::open_window::{Rules, next_multiple};
use super::panes::{KeyPanes, cleanup_time};
use super::state::WindowState;
use std::collections::BTreeSet;
use tidewheel_state::TimerChange;
use tidewheel_types::description::TimerClock;
use tidewheel_types::job::Trigger;
use tidewheel_types::keyed_state::{Cells, KeyedStateError, StateKey};

/// Sliding windows.
pub(super) struct Sliding {
    windows: Aligned,
    rules: Rules,
    kept: Cells,
    writes: KeptWrites,
}

/// What becomes of the records of a pane.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Taken,
    /// Windows that have ended fire once more.
    TakenAndFires,
    Late,
    /// It is in none of the windows, which leave gaps.
    InNoWindow,
}

impl Sliding {
    pub(super) fn new(windows: Aligned, rules: Rules) -> Self {
        Sliding { windows, rules, kept: Cells::default(), writes: KeptWrites::default() }
    }

    fn fate(&self, pane: i64, watermark: i64) -> Fate {
        match cleanup_time(pane, self.windows, self.rules.lateness_ms) {
            None => Fate::InNoWindow,
            Some(cleanup) if cleanup <= watermark => Fate::Late,
            Some(_) if self.ended(pane, watermark).next().is_some() => Fate::TakenAndFires,
            Some(_) => Fate::Taken,
        }
    }

    /// The windows of a pane that have ended, but not so long ago that they are forgotten.
    fn ended(&self, pane: i64, watermark: i64) -> impl Iterator<Item = [i64; 2]> + use<> {
        let windows = self.windows;
        let remembered_after = watermark.saturating_sub(self.rules.lateness_ms).saturating_add(1);
        let starts = windows.starts_ending_after(pane, remembered_after);
        starts.map(move |start| [start, windows.end_of(start)]).take_while(move |[_, end]| end - 1 <= watermark)
    }

    /// Notes new panes of keys; `groups` are those that have begun to exist.
    fn add_panes(
        &mut self,
        done: &Came<'_>,
        mut groups: Vec<usize>,
        state: &mut WindowState,
    ) -> Result<(), KeyedStateError> {
        // Those of a key side by side.
        groups.sort_by_key(|&group| (done.key(group).hash, done.key(group).key));
        let keys: Vec<&[usize]> = groups.chunk_by(|&one, &other| done.key(one) == done.key(other)).collect();
        read_kept(state, keys.iter().map(|groups| done.key(groups[0])), &mut self.kept)?;
        self.writes.begin();
        let mut timers = Vec::new();
        for (place, groups) in keys.iter().enumerate() {
            let mut kept = decode(self.kept.get(place))?;
            groups.iter().for_each(|&group| kept.add(done.grouping.window_of(group)));
            timers.extend(self.next_timer(&mut kept, done.watermark).map(|timer| (done.key(groups[0]), timer)));
            self.writes.push(|bytes| kept.encode(bytes));
        }
        self.writes.write(state, keys.iter().map(|groups| done.key(groups[0])))?;
        state.timers_of(self.rules.clock).change(&mut timers.into_iter());
        self.set_early(state, keys.iter().map(|groups| done.key(groups[0])), done.now);
        Ok(())
    }

    /// Sets the timers by which the windows of keys fire early, where they do; one that is set already stays.
    fn set_early<'k>(&self, state: &mut WindowState, keys: impl Iterator<Item = StateKey<'k>>, now: i64) {
        if let Trigger::Early(early_ms) = self.rules.trigger {
            let change = TimerChange::Set { slot: SLOT, time: next_multiple(now, early_ms) };
            state.timers_of(TimerClock::Processing).change(&mut keys.map(|key| (key, change)));
        }
    }

    /// The timer that a key needs, once everything up to `time` has been done, if it is not set.
    fn next_timer(&self, kept: &mut KeyPanes, time: i64) -> Option<TimerChange> {
        let next = kept.next_time(time, self.windows, self.rules.lateness_ms)?;
        if kept.timer.is_some_and(|timer| timer > time && timer <= next) {
            return None;
        }
        kept.timer = Some(next);
        Some(TimerChange::Set { slot: SLOT, time: next })
    }
}

impl Assigner for Sliding {
    fn assign(&mut self, piece: &Piece<'_>, _: &WindowState, assigned: &mut Assigned) -> Result<(), KeyedStateError> {
        let (mut pane, mut fate) = (0..0, Fate::Taken);
        for record in piece.records() {
            let time = piece.time(record);
            if !pane.contains(&time) {
                let start = self.windows.pane_of(time);
                pane = start..self.windows.pane_end(start);
                fate = self.fate(start, piece.watermark);
            }
            match fate {
                Fate::Late => assigned.late.push(record as u32),
                Fate::InNoWindow if time.saturating_add(self.rules.lateness_ms) <= piece.watermark => {
                    assigned.late.push(record as u32);
                }
                Fate::InNoWindow => {}
                Fate::Taken => assigned.push(record, pane.start),
                Fate::TakenAndFires => {
                    assigned.push(record, pane.start);
                    assigned.fire(record);
                    break;
                }
            }
        }
        Ok(())
    }

    fn bounds(&self, _: usize, pane: i64) -> [i64; 2] {
        [pane, self.windows.pane_end(pane)]
    }

    fn came(&mut self, done: &Came<'_>, state: &mut WindowState, firing: &mut Firing) -> Result<(), KeyedStateError> {
        let new = (0..done.grouping.len()).filter(|&group| done.may_be_new(group) && done.holds(group));
        let new: Vec<usize> = new.collect();
        if !new.is_empty() {
            self.add_panes(done, new, state)?;
        }
        if done.fires {
            let (group, key) = done.last();
            read_kept(state, std::iter::once(key), &mut self.kept)?;
            let kept = decode(self.kept.get(0))?;
            // The latest window first, as Flink assigns them.
            let mut ended: Vec<_> = self.ended(done.grouping.window_of(group), done.watermark).collect();
            ended.reverse();
            for bounds in ended {
                firing.push(key, bounds, kept.of_window(bounds).iter().map(|&pane| (pane, false)));
            }
        }
        Ok(())
    }

    fn due(&mut self, due: &Due<'_>, state: &mut WindowState, firing: &mut Firing) -> Result<(), KeyedStateError> {
        let Due { timers: due, .. } = *due;
        read_kept(state, (0..due.len()).map(|timer| due.key(timer)), &mut self.kept)?;
        self.writes.begin();
        let mut timers = Vec::new();
        for timer in 0..due.len() {
            let (key, time) = (due.key(timer), due.times[timer]);
            let mut kept = decode(self.kept.get(timer))?;
            let bounds = [self.windows.start_of(time.saturating_add(1)), time.saturating_add(1)];
            let of_window = self.window_at(bounds, &kept);
            let over = kept.drop_until(time, self.windows, self.rules.lateness_ms);
            let (fired, not_fired): (Vec<i64>, Vec<i64>) = over.iter().partition(|pane| of_window.contains(pane));
            if !of_window.is_empty() {
                firing.push(key, bounds, of_window.iter().map(|pane| (*pane, fired.contains(pane))));
            }
            forget_panes(state, key, not_fired)?;
            timers.extend(self.next_timer(&mut kept, time).map(|timer| (key, timer)));
            self.writes.push(|bytes| {
                if !kept.panes.is_empty() {
                    kept.encode(bytes);
                }
            });
        }
        self.writes.write(state, (0..due.len()).map(|timer| StateKey { namespace: &[], ..due.key(timer) }))?;
        state.timers_of(self.rules.clock).change(&mut timers.into_iter());
        Ok(())
    }

    fn due_early(
        &mut self,
        due: &Due<'_>,
        state: &mut WindowState,
        firing: &mut Firing,
    ) -> Result<(), KeyedStateError> {
        let Due { timers: due, watermark, now } = *due;
        read_kept(state, (0..due.len()).map(|timer| due.key(timer)), &mut self.kept)?;
        let (mut goes_on, mut put_back) = (Vec::new(), Vec::new());
        for timer in 0..due.len() {
            if firing.panes_len() >= PANES_MAX {
                put_back.push((due.key(timer), TimerChange::Set { slot: SLOT, time: due.times[timer] }));
                continue;
            }
            let kept = decode(self.kept.get(timer))?;
            let open =
                kept.panes.iter().flat_map(|&pane| self.windows.starts_ending_after(pane, watermark.saturating_add(1)));
            let open: BTreeSet<i64> = open.collect();
            for &start in &open {
                let bounds = [start, self.windows.end_of(start)];
                firing.push(due.key(timer), bounds, kept.of_window(bounds).iter().map(|&pane| (pane, false)));
            }
            goes_on.extend((!open.is_empty()).then(|| due.key(timer)));
        }
        self.set_early(state, goes_on.into_iter(), now);
        state.timers_of(TimerClock::Processing).change(&mut put_back.into_iter());
        Ok(())
    }

    fn counts_records(&self) -> bool {
        false
    }
}

impl Sliding {
    /// The panes of the window with these bounds, if it is one: a timer may be due for other reasons.
    fn window_at(&self, bounds: [i64; 2], kept: &KeyPanes) -> Vec<i64> {
        let panes = kept.of_window(bounds).to_vec();
        let is_window = |pane: i64| self.windows.starts_ending_after(pane, bounds[1] - 1).next() == Some(bounds[0]);
        if panes.first().is_some_and(|&pane| is_window(pane)) { panes } else { Vec::new() }
    }
}

fn decode(kept: Option<&[u8]>) -> Result<KeyPanes, KeyedStateError> {
    kept.map_or(Ok(KeyPanes::default()), |kept| KeyPanes::decode(kept).ok_or_else(damaged))
}
