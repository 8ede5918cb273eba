//! Pairs of all records of a key that fall into one window, when it ends, as Flink's window join, and outer ones (what its
//! `coGroup` is used for).
//!
//! What waits is kept once, by event time, however many windows it is in: a window is a stretch of it. All of a key's left
//! records pair with all of its right ones, so outside the window's other side nothing is left alone.

use super::buffer::{self, From, Side};
use super::{Fate, Join, Record};
use crate::operator::window::Aligned;
use tidewheel_state::TimerChange;
use tidewheel_types::keyed_state::{Entries, KeyedStateError, StateKey};
use tidewheel_types::{BytesColumn, Origin};

/// Windows end by one timer, whichever side has set it.
const SLOT: u16 = 0;

impl Join {
    pub(super) fn window(
        &mut self,
        record: Record<'_>,
        windows: Aligned,
        watermark: i64,
    ) -> Result<Fate, KeyedStateError> {
        let pane = windows.pane_of(record.time);
        let Some(last) = windows.last_start(pane) else { return Ok(Fate::Taken) };
        if windows.end_of(last) - 1 <= watermark {
            return Ok(Fate::Late);
        }
        self.store(record, false)?;
        self.set_end(record.key, windows, pane, watermark);
        Ok(Fate::Taken)
    }

    /// Sets the timer of the first window that holds a pane and ends after `time`.
    fn set_end(&mut self, key: StateKey<'_>, windows: Aligned, pane: i64, time: i64) {
        if let Some(start) = windows.first_start_ending_after(pane, time.saturating_add(1)) {
            let change = TimerChange::Set { slot: SLOT, time: windows.end_of(start) - 1 };
            self.state.timers.change(&mut std::iter::once((key, change)));
        }
    }

    /// Pairs all of a key's window that ends after `time`. Whether it is done: if not, there is no room for more.
    pub(super) fn window_ends(
        &mut self,
        windows: Aligned,
        key: StateKey<'_>,
        time: i64,
    ) -> Result<bool, KeyedStateError> {
        let bounds = [windows.start_of(time.saturating_add(1)), time];
        let rights = self.values(Side::Right, key, bounds)?;
        if !self.pair_window(key, bounds, &rights, time)? {
            return Ok(false);
        }
        for side in [Side::Left, Side::Right] {
            self.forget_ended(side, key, windows, bounds)?;
        }
        Ok(true)
    }

    /// The values of a side in a stretch of time.
    fn values(&mut self, side: Side, key: StateKey<'_>, bounds: [i64; 2]) -> Result<BytesColumn, KeyedStateError> {
        let mut values = BytesColumn::default();
        let begin = From { time: bounds[0], after: false };
        self.each_entry(side, key, begin, bounds[1], |_, _, entry| {
            for record in buffer::records(entry) {
                values.push(record?.value);
            }
            Ok(true)
        })?;
        Ok(values)
    }

    /// Pairs the left records of a window with `rights`, from where it was left off. Whether it is done.
    fn pair_window(
        &mut self,
        key: StateKey<'_>,
        [first, last]: [i64; 2],
        rights: &BytesColumn,
        time: i64,
    ) -> Result<bool, KeyedStateError> {
        let (of, outer) = ((key, Origin::NONE), self.spec.outer);
        let begin = (From { time: first, after: false }, false);
        let (from, mut has_left) = self.resume.take().unwrap_or(begin);
        let mut skip = std::mem::take(&mut self.paired);
        let is_done = self.each_entry(Side::Left, key, from, last, |join, at, entry| {
            has_left = true;
            let mut paired = 0;
            for left in buffer::records(entry) {
                let left = left?.value;
                if rights.is_empty() && outer.keeps(true) {
                    join.pairs.push(time, of, Some(left), None);
                }
                for right in rights.iter() {
                    paired += 1;
                    if paired <= skip {
                        continue;
                    }
                    join.pairs.push(time, of, Some(left), Some(right));
                    if join.pairs.is_full() {
                        (join.resume, join.paired) = (Some((From { time: at, after: false }, true)), paired);
                        return Ok(false);
                    }
                }
            }
            skip = 0;
            Ok(true)
        })?;
        if is_done && !has_left && outer.keeps(false) {
            rights.iter().for_each(|right| self.pairs.push(time, of, None, Some(right)));
        }
        Ok(is_done)
    }

    /// Forgets the records of a side in a window that has ended, and whose last one it was; for the others the timer of the
    /// next window is set.
    fn forget_ended(
        &mut self,
        side: Side,
        key: StateKey<'_>,
        windows: Aligned,
        [first, last]: [i64; 2],
    ) -> Result<(), KeyedStateError> {
        let begin = From { time: first, after: false };
        self.each_entry(side, key, begin, last, |join, at, _| {
            let pane = windows.pane_of(at);
            match windows.last_start(pane).is_some_and(|start| windows.end_of(start) - 1 > last) {
                true => join.set_end(key, windows, pane, last),
                false => buffer::delete(&join.state, side, key, at)?,
            }
            Ok(true)
        })?;
        Ok(())
    }

    /// Gives every entry of a side from a place up to a time, with its time; no more, once `each` says so. Whether all were
    /// given.
    fn each_entry(
        &mut self,
        side: Side,
        key: StateKey<'_>,
        mut from: From,
        last: i64,
        mut each: impl FnMut(&mut Join, i64, &[u8]) -> Result<bool, KeyedStateError>,
    ) -> Result<bool, KeyedStateError> {
        loop {
            let mut entries = Entries::default();
            buffer::scan(&self.state, side, key, (from, false), &mut entries)?;
            for (at, entry) in entries.keys.iter().zip(entries.values.iter()) {
                let at = buffer::entry_time(at)?;
                if at > last {
                    return Ok(true);
                }
                if !each(self, at, entry)? {
                    return Ok(false);
                }
                from = From { time: at, after: true };
            }
            if !entries.more {
                return Ok(true);
            }
        }
    }
}
