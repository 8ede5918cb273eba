//! Windows that every key has of its own: sessions, and windows that fire by a trigger of their own.

use super::assigner::{Assigned, Assigner, Came, Due, KeptWrites, Piece, SLOT, damaged, forget_panes, read_kept};
use super::firing::{FiredWindows, Firing, PANES_MAX};
use super::open_window::{KeyTimers, OpenWindow, Rules};
use super::state::WindowState;
use crate::operator::group::Grouping;
use std::ops::Range;
use tidewheel_state::{DueTimers, TimerChange};
use tidewheel_types::description::TimerClock;
use tidewheel_types::keyed_state::{Cells, KeyedStateError, StateKey};

/// The windows of one key.
pub(super) trait OfKey: Default {
    /// How a record finds its windows.
    type Find;

    /// Where a record goes, or why it goes nowhere.
    fn place(&mut self, find: &Self::Find, record: Record<'_>, rules: Rules) -> Result<Placed, String>;

    /// Start and end of what a pane with a record that was placed belongs to.
    fn bounds(&self, find: &Self::Find, pane: i64) -> [i64; 2];

    /// Says which windows fire, in order, and which panes nothing is left of then.
    fn fire(&mut self, why: Why, rules: Rules, fired: &mut FiredWindows);

    /// All that there are.
    fn windows(&self) -> impl Iterator<Item = &OpenWindow>;

    /// Appends them, as whole numbers of eight bytes; nothing, if there are none.
    fn encode(&self, bytes: &mut Vec<u8>);

    /// What [`encode`](Self::encode) wrote, if there were some; `None` if these numbers are not that.
    fn decode(find: &Self::Find, numbers: impl Iterator<Item = i64>) -> Option<Self>;
}

/// A record that is to be placed.
#[derive(Clone, Copy)]
pub(super) struct Record<'r> {
    pub(super) time: i64,
    pub(super) value: &'r [u8],
    /// How far the windows' time is.
    pub(super) watermark: i64,
}

/// Where a record goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Placed {
    /// Nowhere: its windows have been forgotten.
    Late,
    /// Nowhere: no window holds its time.
    Nowhere,
    /// Into this pane; `fires` when that makes windows fire at once.
    In { pane: i64, fires: bool },
}

/// Why windows fire.
#[derive(Clone, Copy, Debug)]
pub(super) enum Why {
    /// The record that was placed last has come into this pane.
    Came { pane: i64 },
    /// A timer is due. What is over is forgotten too.
    Due { time: i64, watermark: i64 },
    /// It is time for those that have not ended to show what they have.
    Early,
}

/// What is kept of a key.
#[derive(Default)]
struct Kept<K> {
    timers: KeyTimers,
    windows: K,
}

impl<K: OfKey> Kept<K> {
    /// The timer that is to be set, once everything up to `time` has been done.
    fn next_timer(&mut self, rules: Rules, time: i64) -> Option<TimerChange> {
        let next = self.windows.windows().filter_map(|window| window.next_time(rules)).min();
        self.timers.next_timer(SLOT, next, time)
    }

    /// The timer of processing time that is to be set.
    fn next_early(&mut self, rules: Rules, now: i64) -> Option<TimerChange> {
        let are_open = self.windows.windows().any(|window| !window.fired);
        let time = self.timers.next_early(are_open, rules, now)?;
        Some(TimerChange::Set { slot: SLOT, time })
    }

    /// Nothing is kept of a key without windows.
    fn encode(&self, bytes: &mut Vec<u8>) {
        if self.windows.windows().next().is_some() {
            self.timers.encode(bytes);
            self.windows.encode(bytes);
        }
    }

    fn decode(find: &K::Find, kept: Option<&[u8]>) -> Result<Self, KeyedStateError> {
        let Some(kept) = kept else { return Ok(Kept { timers: KeyTimers::default(), windows: K::default() }) };
        let (numbers, rest) = kept.as_chunks();
        let mut numbers = numbers.iter().map(|&number| i64::from_le_bytes(number));
        let timers = KeyTimers::decode(&mut numbers).filter(|_| rest.is_empty());
        let windows = K::decode(find, numbers);
        timers.zip(windows).map(|(timers, windows)| Kept { timers, windows }).ok_or_else(damaged)
    }
}

/// Windows that every key has of its own.
pub(super) struct OwnWindows<K: OfKey> {
    find: K::Find,
    rules: Rules,
    /// The keys of the piece that was assigned last, and what is kept of them.
    keys: Grouping,
    of_keys: Vec<Kept<K>>,
    /// Whether records have come into a key's windows.
    changed: Vec<bool>,
    range: Range<usize>,
    kept: Cells,
    writes: KeptWrites,
    fired: FiredWindows,
}

impl<K: OfKey> OwnWindows<K> {
    pub(super) fn new(find: K::Find, rules: Rules) -> Self {
        OwnWindows {
            find,
            rules,
            keys: Grouping::default(),
            of_keys: Vec::new(),
            changed: Vec::new(),
            range: 0..0,
            kept: Cells::default(),
            writes: KeptWrites::default(),
            fired: FiredWindows::default(),
        }
    }

    /// Reads what is kept of the keys of a piece.
    fn read(&mut self, piece: &Piece<'_>, state: &WindowState) -> Result<(), KeyedStateError> {
        self.range = piece.range.clone();
        self.keys.by_key(piece.batch, piece.range.clone());
        let keys = (0..self.keys.len()).map(|key| self.keys.state_key(&piece.batch.keys, key));
        read_kept(state, keys, &mut self.kept)?;
        self.of_keys.clear();
        for key in 0..self.keys.len() {
            self.of_keys.push(Kept::decode(&self.find, self.kept.get(key))?);
        }
        self.changed.clear();
        self.changed.resize(self.keys.len(), false);
        Ok(())
    }

    /// The key of a record of the piece that was assigned last.
    fn key_of(&self, record: usize) -> usize {
        self.keys.group_of(record - self.range.start)
    }

    /// Fires windows of the keys of timers, as many as may fire together, and takes note of it. What timer each needs then
    /// is said by `next`; the timers of the others are put back.
    fn fire_due(
        &mut self,
        (due, clock): (&DueTimers, TimerClock),
        why: impl Fn(i64) -> Why,
        next: impl Fn(&mut Kept<K>, i64) -> Option<TimerChange>,
        state: &mut WindowState,
        firing: &mut Firing,
    ) -> Result<(), KeyedStateError> {
        read_kept(state, (0..due.len()).map(|timer| due.key(timer)), &mut self.kept)?;
        self.writes.begin();
        let (mut timers, mut done) = (Vec::new(), 0);
        while done < due.len() && firing.panes_len() < PANES_MAX {
            let (key, time) = (due.key(done), due.times[done]);
            let mut kept: Kept<K> = Kept::decode(&self.find, self.kept.get(done))?;
            self.fired.clear();
            kept.windows.fire(why(time), self.rules, &mut self.fired);
            forget_panes(state, key, self.fired.take(key, firing).iter().copied())?;
            timers.extend(next(&mut kept, time).map(|timer| (key, timer)));
            self.writes.push(|bytes| kept.encode(bytes));
            done += 1;
        }
        self.writes.write(state, (0..done).map(|timer| due.key(timer)))?;
        let put_back = |timer: usize| (due.key(timer), TimerChange::Set { slot: SLOT, time: due.times[timer] });
        timers.extend((done..due.len()).map(put_back));
        state.timers_of(clock).change(&mut timers.into_iter());
        Ok(())
    }

    /// The record that came last, with this key, has made windows fire.
    fn fire_at_once(
        &mut self,
        (key, pane): (StateKey<'_>, i64),
        record: usize,
        state: &WindowState,
        firing: &mut Firing,
    ) -> Result<(), KeyedStateError> {
        let of_key = self.key_of(record);
        self.fired.clear();
        self.of_keys[of_key].windows.fire(Why::Came { pane }, self.rules, &mut self.fired);
        forget_panes(state, key, self.fired.take(key, firing).iter().copied())
    }
}

impl<K: OfKey> Assigner for OwnWindows<K> {
    fn assign(
        &mut self,
        piece: &Piece<'_>,
        state: &WindowState,
        assigned: &mut Assigned,
    ) -> Result<(), KeyedStateError> {
        self.read(piece, state)?;
        for record in piece.records() {
            let key = self.key_of(record);
            let (time, value) = (piece.time(record), piece.batch.values.get(record));
            let placing = Record { time, value, watermark: piece.watermark };
            match self.of_keys[key].windows.place(&self.find, placing, self.rules) {
                Err(reason) => assigned.refused.push((record, reason)),
                Ok(Placed::Late) => assigned.late.push(record as u32),
                Ok(Placed::Nowhere) => {}
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
        self.of_keys[self.key_of(record)].windows.bounds(&self.find, pane)
    }

    fn came(&mut self, done: &Came<'_>, state: &mut WindowState, firing: &mut Firing) -> Result<(), KeyedStateError> {
        if done.fires {
            let (group, key) = done.last();
            let (record, pane) = (done.grouping.record_of(group), done.grouping.window_of(group));
            self.fire_at_once((key, pane), record, state, firing)?;
        }
        self.writes.begin();
        let changed: Vec<usize> = (0..self.of_keys.len()).filter(|&key| self.changed[key]).collect();
        let (mut timers, mut early) = (Vec::new(), Vec::new());
        for &key in &changed {
            let (kept, state_key) = (&mut self.of_keys[key], self.keys.state_key(&done.batch.keys, key));
            early.extend(kept.next_early(self.rules, done.now).map(|timer| (state_key, timer)));
            timers.extend(kept.next_timer(self.rules, done.watermark).map(|timer| (state_key, timer)));
            self.writes.push(|bytes| kept.encode(bytes));
        }
        self.writes.write(state, changed.iter().map(|&key| self.keys.state_key(&done.batch.keys, key)))?;
        state.timers_of(self.rules.clock).change(&mut timers.into_iter());
        state.timers_of(TimerClock::Processing).change(&mut early.into_iter());
        Ok(())
    }

    fn due(&mut self, due: &Due<'_>, state: &mut WindowState, firing: &mut Firing) -> Result<(), KeyedStateError> {
        let (rules, watermark) = (self.rules, due.watermark);
        let next = |kept: &mut Kept<K>, time| kept.next_timer(rules, time);
        self.fire_due((due.timers, rules.clock), |time| Why::Due { time, watermark }, next, state, firing)
    }

    fn due_early(
        &mut self,
        due: &Due<'_>,
        state: &mut WindowState,
        firing: &mut Firing,
    ) -> Result<(), KeyedStateError> {
        let (rules, now) = (self.rules, due.now);
        let next = |kept: &mut Kept<K>, _| kept.next_early(rules, now);
        self.fire_due((due.timers, TimerClock::Processing), |_| Why::Early, next, state, firing)
    }

    fn counts_records(&self) -> bool {
        true
    }
}
