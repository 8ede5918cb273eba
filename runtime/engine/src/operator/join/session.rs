//! Pairs of all records of a key that are in one session, when it ends, as Flink's window join with session windows. The
//! records of both sides make a session together.
//!
//! Sessions are not kept: what waits says which there are, as one that has ended goes at once with all of its records. Each
//! has a timer for when it would end with one of its records, and that looks whether it was the last.

use super::buffer::{From, Page, Place, SCAN_ENTRIES, Side};
use super::window::SLOT;
use super::{Fate, Join, Record};
use tidewheel_state::TimerChange;
use tidewheel_types::keyed_state::{KeyedStateError, StateKey};

/// Records of a session that are read at once: most are short.
const OF_ONE_SESSION: usize = 32;

/// The times of a side's records of one key, after a place.
struct Times {
    side: Side,
    /// Those that have been read, the next one last.
    read: Vec<i64>,
    /// Where the rest begins, if there may be more.
    rest: Option<From>,
}

impl Join {
    pub(super) fn session(&mut self, record: Record<'_>, gap_ms: i64, watermark: i64) -> Result<Fate, KeyedStateError> {
        let end = record.time.saturating_add(gap_ms);
        let first = record.time.saturating_sub(gap_ms);
        let is_in_one = self.has_any(record.key, [first, end])?;
        // One that makes a session longer which has not ended is not late, however old it is.
        if !is_in_one && end - 1 <= watermark {
            return Ok(Fate::Late);
        }
        self.store(record, false)?;
        if !is_in_one {
            self.set_session_end(record.key, end);
        }
        Ok(Fate::Taken)
    }

    /// Whether records of a key wait in a stretch of time.
    fn has_any(&self, key: StateKey<'_>, bounds: [i64; 2]) -> Result<bool, KeyedStateError> {
        Ok(self.earliest(key, bounds)?.is_some())
    }

    /// The time of a key's earliest record that waits in a stretch of time.
    fn earliest(&self, key: StateKey<'_>, [first, last]: [i64; 2]) -> Result<Option<i64>, KeyedStateError> {
        let mut page = Page::default();
        let mut earliest = None;
        for side in [Side::Left, Side::Right] {
            self.records_of(side, key).read(From::At(Place::first(first)), last, 1, &mut page)?;
            let time = page.records().next().transpose()?.map(|(place, _)| place.time);
            earliest = earliest.into_iter().chain(time).min();
        }
        Ok(earliest)
    }

    fn set_session_end(&mut self, key: StateKey<'_>, end: i64) {
        let change = TimerChange::Set { slot: SLOT, time: end - 1 };
        self.state.timers.change(&mut std::iter::once((key, change)));
    }

    /// Pairs all of the session of a key's timer if it has ended. Whether it is done: if not, there is no room for more.
    pub(super) fn session_is_due(
        &mut self,
        gap_ms: i64,
        (key, time): (StateKey<'_>, i64),
        watermark: i64,
    ) -> Result<bool, KeyedStateError> {
        let bounds = match &self.pairing {
            Some(pairing) => pairing.bounds,
            None => {
                let of_timer = time + 1 - gap_ms;
                if !self.has_any(key, [of_timer, of_timer])? {
                    // Another timer of it has ended the session.
                    return Ok(true);
                }
                let last = self.last_of_session(key, of_timer, gap_ms)?;
                if last + gap_ms - 1 > watermark {
                    self.set_session_end(key, last + gap_ms);
                    return Ok(true);
                }
                [self.first_of_session(key, of_timer, gap_ms)?, last]
            }
        };
        if !self.pair_all(key, bounds, bounds[1] + gap_ms - 1)? {
            return Ok(false);
        }
        self.forget_all(Side::Left, key, bounds)?;
        self.forget_all(Side::Right, key, bounds)?;
        Ok(true)
    }

    /// The time of the first record of the session that has one at `time`. By leaps, and not from the first that waits on:
    /// before it are those that have been forgotten, which a read would pass over one by one.
    fn first_of_session(&self, key: StateKey<'_>, time: i64, gap_ms: i64) -> Result<i64, KeyedStateError> {
        let mut first = time;
        while let Some(before) = self.earliest(key, [first.saturating_sub(gap_ms), first.saturating_sub(1)])? {
            if before == first {
                // The first time there is.
                break;
            }
            first = before;
        }
        Ok(first)
    }

    /// The time of the last record of the session that has one at `time`.
    fn last_of_session(&self, key: StateKey<'_>, time: i64, gap_ms: i64) -> Result<i64, KeyedStateError> {
        let mut last = time;
        let mut sides = [Side::Left, Side::Right].map(|side| Times {
            side,
            read: Vec::new(),
            rest: Some(From::After(Place::last(time))),
        });
        loop {
            let mut next = None;
            for times in &mut sides {
                let of_side = self.peek(key, times)?;
                next = next.into_iter().chain(of_side).min();
            }
            let Some(time) = next.filter(|&next| next <= last.saturating_add(gap_ms)) else { return Ok(last) };
            for times in &mut sides {
                times.read.pop_if(|of_side| *of_side == time);
            }
            last = time;
        }
    }

    /// The next of the times.
    fn peek(&self, key: StateKey<'_>, times: &mut Times) -> Result<Option<i64>, KeyedStateError> {
        if let Some(rest) = times.rest.filter(|_| times.read.is_empty()) {
            let mut page = Page::default();
            self.records_of(times.side, key).read(rest, i64::MAX, OF_ONE_SESSION, &mut page)?;
            let places = page.records().map(|record| record.map(|(place, _)| place));
            let places = places.collect::<Result<Vec<Place>, _>>()?;
            times.read.extend(places.iter().rev().map(|place| place.time));
            times.rest = places.last().filter(|_| page.has_more()).map(|&last| From::After(last));
        }
        Ok(times.read.last().copied())
    }

    /// Forgets a key's records of a side in a stretch of time.
    fn forget_all(&self, side: Side, key: StateKey<'_>, [first, last]: [i64; 2]) -> Result<(), KeyedStateError> {
        let (mut page, mut from) = (Page::default(), From::At(Place::first(first)));
        loop {
            self.records_of(side, key).read(from, last, SCAN_ENTRIES, &mut page)?;
            for kept in page.records() {
                let (place, _) = kept?;
                self.records_of(side, key).remove(place)?;
                from = From::After(place);
            }
            if !page.has_more() {
                return Ok(());
            }
        }
    }
}
