//! Windows that every key has of its own: sessions, and windows that fire after so many records.

use super::aligned::Aligned;
use super::assigner::{Assigned, Assigner, Came, Due, KeptWrites, Piece, SLOT, damaged, forget_panes, read_kept};
use super::firing::Firing;
use super::key_windows::{GLOBAL, KeyWindow, KeyWindows, Placed, Rules};
use super::state::WindowState;
use crate::operator::group::Grouping;
use std::ops::Range;
use tidewheel_state::TimerChange;
use tidewheel_types::description::TimerClock;
use tidewheel_types::job::SessionGap;
use tidewheel_types::keyed_state::{Cells, KeyedStateError};

/// How a record finds its window.
pub(super) enum Find {
    /// It has a session that ends so long after it, if no other comes.
    Session(SessionGap),
    /// By its time.
    Tumbling(Aligned),
    /// There is but one.
    Global,
}

/// Windows that every key has of its own.
pub(super) struct OwnWindows {
    find: Find,
    rules: Rules,
    /// The keys of the piece that was assigned last, and what is kept of them.
    keys: Grouping,
    windows: Vec<KeyWindows>,
    /// Whether records have come into a key's windows.
    changed: Vec<bool>,
    range: Range<usize>,
    kept: Cells,
    writes: KeptWrites,
}

impl OwnWindows {
    pub(super) fn new(find: Find, rules: Rules) -> Self {
        OwnWindows {
            find,
            rules,
            keys: Grouping::default(),
            windows: Vec::new(),
            changed: Vec::new(),
            range: 0..0,
            kept: Cells::default(),
            writes: KeptWrites::default(),
        }
    }

    /// Reads what is kept of the keys of a piece.
    fn read(&mut self, piece: &Piece<'_>, state: &WindowState) -> Result<(), KeyedStateError> {
        self.range = piece.range.clone();
        self.keys.by_key(piece.batch, piece.range.clone());
        let keys = (0..self.keys.len()).map(|key| self.keys.state_key(&piece.batch.keys, key));
        read_kept(state, keys, &mut self.kept)?;
        self.windows.clear();
        for key in 0..self.keys.len() {
            self.windows.push(decode(self.kept.get(key))?);
        }
        self.changed.clear();
        self.changed.resize(self.keys.len(), false);
        Ok(())
    }

    /// The key of a record of the piece that was assigned last.
    fn key_of(&self, record: usize) -> usize {
        self.keys.group_of(record - self.range.start)
    }

    /// Where a record goes, or why it goes nowhere.
    fn place(&mut self, piece: &Piece<'_>, key: usize, record: usize) -> Result<Placed, String> {
        let (windows, time, watermark) = (&mut self.windows[key], piece.time(record), piece.watermark);
        Ok(match &self.find {
            Find::Session(gap) => {
                let gap_ms = gap_of(gap, piece.batch.values.get(record))?;
                if time.checked_add(gap_ms).is_none() {
                    return Err(format!("its session would end {gap_ms} ms after {time}, which no time is"));
                }
                windows.add_to_session(time, gap_ms, watermark, self.rules)
            }
            Find::Tumbling(aligned) => {
                let start = aligned.pane_of(time);
                windows.add_to(time, [start, aligned.end_of(start)], watermark, self.rules)
            }
            Find::Global => windows.add_to(time, GLOBAL, watermark, self.rules),
        })
    }
}

impl Assigner for OwnWindows {
    fn assign(
        &mut self,
        piece: &Piece<'_>,
        state: &WindowState,
        assigned: &mut Assigned,
    ) -> Result<(), KeyedStateError> {
        self.read(piece, state)?;
        for record in piece.records() {
            let key = self.key_of(record);
            match self.place(piece, key, record) {
                Err(reason) => assigned.refused.push((record, reason)),
                Ok(Placed::Late) => assigned.late.push(record as u32),
                Ok(Placed::In { pane, fires }) => {
                    self.changed[key] = true;
                    assigned.push(record, pane);
                    if fires {
                        assigned.fire(record);
                        break;
                    }
                }
            }
        }
        Ok(())
    }

    fn bounds(&self, record: usize, pane: i64) -> [i64; 2] {
        let window = self.windows[self.key_of(record)].with_pane(pane);
        window.expect("a record was assigned to a window of its key").bounds()
    }

    fn came(&mut self, done: &Came<'_>, state: &mut WindowState, firing: &mut Firing) -> Result<(), KeyedStateError> {
        if done.fires {
            let (group, key) = done.last();
            let windows = &mut self.windows[self.keys.group_of(done.grouping.record_of(group) - self.range.start)];
            let pane = done.grouping.window_of(group);
            let place = windows.windows.iter().position(|window| window.panes.contains(&pane));
            let place = place.expect("a record was assigned to a window of its key");
            let (window, drops) = (&windows.windows[place], self.rules.discards);
            firing.push(key, window.bounds(), window.panes.iter().map(|&pane| (pane, drops)));
            if drops {
                windows.purge(place);
            }
        }
        self.writes.begin();
        let changed: Vec<usize> = (0..self.windows.len()).filter(|&key| self.changed[key]).collect();
        let (mut timers, mut early) = (Vec::new(), Vec::new());
        for &key in &changed {
            if let Some(time) = self.windows[key].next_early(self.rules, done.now) {
                early.push((self.keys.state_key(&done.batch.keys, key), TimerChange::Set { slot: SLOT, time }));
            }
            if let Some(timer) = next_timer(&mut self.windows[key], self.rules, done.watermark) {
                timers.push((self.keys.state_key(&done.batch.keys, key), timer));
            }
            self.writes.push(|bytes| self.windows[key].encode_if_any(bytes));
        }
        self.writes.write(state, changed.iter().map(|&key| self.keys.state_key(&done.batch.keys, key)))?;
        state.timers_of(self.rules.clock).change(&mut timers.into_iter());
        state.timers_of(TimerClock::Processing).change(&mut early.into_iter());
        Ok(())
    }

    fn due(&mut self, due: &Due<'_>, state: &mut WindowState, firing: &mut Firing) -> Result<(), KeyedStateError> {
        let Due { timers: due, watermark, .. } = *due;
        read_kept(state, (0..due.len()).map(|timer| due.key(timer)), &mut self.kept)?;
        self.writes.begin();
        let (mut timers, mut forgotten) = (Vec::new(), Vec::new());
        for timer in 0..due.len() {
            let (key, time) = (due.key(timer), due.times[timer]);
            let mut windows = decode(self.kept.get(timer))?;
            let fire = |window: &KeyWindow, drops| {
                firing.push(key, window.bounds(), window.panes.iter().map(|&pane| (pane, drops)));
            };
            windows.advance(time, watermark, self.rules, fire, |panes| forgotten.extend_from_slice(panes));
            forget_panes(state, key, forgotten.drain(..))?;
            timers.extend(next_timer(&mut windows, self.rules, time).map(|timer| (key, timer)));
            self.writes.push(|bytes| windows.encode_if_any(bytes));
        }
        self.writes.write(state, (0..due.len()).map(|timer| due.key(timer)))?;
        state.timers_of(self.rules.clock).change(&mut timers.into_iter());
        Ok(())
    }

    fn due_early(
        &mut self,
        due: &Due<'_>,
        state: &mut WindowState,
        firing: &mut Firing,
    ) -> Result<(), KeyedStateError> {
        let Due { timers: due, now, .. } = *due;
        read_kept(state, (0..due.len()).map(|timer| due.key(timer)), &mut self.kept)?;
        self.writes.begin();
        let mut early = Vec::new();
        for timer in 0..due.len() {
            let key = due.key(timer);
            let mut windows = decode(self.kept.get(timer))?;
            windows.fire_early(self.rules, |window, drops| {
                firing.push(key, window.bounds(), window.panes.iter().map(|&pane| (pane, drops)));
            });
            let next = windows.next_early(self.rules, now);
            early.extend(next.map(|time| (key, TimerChange::Set { slot: SLOT, time })));
            self.writes.push(|bytes| windows.encode_if_any(bytes));
        }
        self.writes.write(state, (0..due.len()).map(|timer| due.key(timer)))?;
        state.timers_of(TimerClock::Processing).change(&mut early.into_iter());
        Ok(())
    }

    fn counts_records(&self) -> bool {
        true
    }
}

/// How long after a record its session ends.
fn gap_of(gap: &SessionGap, value: &[u8]) -> Result<i64, String> {
    match gap {
        SessionGap::Fixed(gap_ms) => Ok(*gap_ms),
        SessionGap::Field(place) => match place.millis(value).map_err(|error| error.to_string())? {
            gap_ms @ 1.. => Ok(gap_ms),
            gap_ms => Err(format!("the gap of its session is {gap_ms} ms, and has to be more than 0")),
        },
    }
}

/// The timer that a key needs, if it is not set; `time` is up to when everything has been done.
fn next_timer(windows: &mut KeyWindows, rules: Rules, time: i64) -> Option<TimerChange> {
    let Some(next) = windows.next_time(rules) else {
        windows.timer = None;
        return None;
    };
    // One that is due too early sets the next: a session that grows with every record needs no other timer for it.
    if windows.timer.is_some_and(|timer| timer > time && timer <= next) {
        return None;
    }
    windows.timer = Some(next);
    Some(TimerChange::Set { slot: SLOT, time: next })
}

fn decode(kept: Option<&[u8]>) -> Result<KeyWindows, KeyedStateError> {
    kept.map_or(Ok(KeyWindows::default()), |kept| KeyWindows::decode(kept).ok_or_else(damaged))
}
