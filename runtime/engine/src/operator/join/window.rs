//! Pairs of all records of a key that fall into one window, when it ends, as Flink's window join, and outer ones (what its
//! `coGroup` is used for).
//!
//! What waits is kept once, by event time, however many windows it is in: a window is a stretch of it. All of a key's left
//! records pair with all of its right ones, so a record is alone only where the other side has none at all.

use super::buffer::{From, Page, Place, SCAN_ENTRIES, Side};
use super::{Fate, Join, Record};
use crate::operator::window::Aligned;
use tidewheel_state::TimerChange;
use tidewheel_types::keyed_state::{KeyedStateError, StateKey};
use tidewheel_types::{BytesColumn, Origin};

/// Windows end by one timer, whichever side has set it.
pub(super) const SLOT: u16 = 0;

/// Bytes of a window's right records, which are all there while they are paired.
const RIGHT_BYTES_MAX: usize = 1 << 30;

/// A window, or session, of one key that is being paired.
#[derive(Default)]
pub(super) struct Pairing {
    /// Its first and its last time.
    pub(super) bounds: [i64; 2],
    /// Its right records.
    rights: BytesColumn,
    /// Where its left ones go on, and how many pairs the one there has had.
    from: Option<From>,
    paired: usize,
    has_left: bool,
}

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
        // The last window there is has no end.
        let last = if time == i64::MAX - 1 { i64::MAX } else { time };
        let bounds = [windows.start_of(time.saturating_add(1)), last];
        if !self.pair_all(key, bounds, time)? {
            return Ok(false);
        }
        for side in [Side::Left, Side::Right] {
            self.forget_ended(side, key, windows, bounds)?;
        }
        Ok(true)
    }

    /// Pairs all of a key in a stretch of time; what comes of it is at `time`. Whether it is done: if not, there is no room
    /// for more.
    pub(super) fn pair_all(&mut self, key: StateKey<'_>, bounds: [i64; 2], time: i64) -> Result<bool, KeyedStateError> {
        let mut pairing = match self.pairing.take() {
            Some(pairing) => pairing,
            None => Pairing { bounds, rights: self.rights(key, bounds)?, ..Pairing::default() },
        };
        let is_done = self.pair_window(key, &mut pairing, time)?;
        self.pairing = (!is_done).then_some(pairing);
        Ok(is_done)
    }

    /// The right records of a key in a stretch of time.
    fn rights(&mut self, key: StateKey<'_>, [first, last]: [i64; 2]) -> Result<BytesColumn, KeyedStateError> {
        let mut rights = BytesColumn::default();
        let (mut page, mut from) = (Page::default(), From::At(Place::first(first)));
        loop {
            self.records_of(Side::Right, key).read(from, last, SCAN_ENTRIES, &mut page)?;
            for right in page.records() {
                let (place, right) = right?;
                if rights.bytes().len() + right.value.len() > RIGHT_BYTES_MAX {
                    let what =
                        format!("the right side of a window of key \"{}\" has more than 1 GiB", key.key.escape_ascii());
                    return Err(KeyedStateError(what));
                }
                rights.push(right.value);
                from = From::After(place);
            }
            if !page.has_more() {
                return Ok(rights);
            }
        }
    }

    /// Pairs the left records of a window with the right ones, from where it was left off. Whether it is done.
    fn pair_window(&mut self, key: StateKey<'_>, pairing: &mut Pairing, time: i64) -> Result<bool, KeyedStateError> {
        let [first, last] = pairing.bounds;
        let (of, outer) = ((key, Origin::NONE), self.spec.outer);
        let mut page = Page::default();
        loop {
            let from = pairing.from.unwrap_or(From::At(Place::first(first)));
            self.records_of(Side::Left, key).read(from, last, SCAN_ENTRIES, &mut page)?;
            for left in page.records() {
                let (place, left) = left?;
                pairing.has_left = true;
                let pairs = pairing.rights.len().max(usize::from(outer.keeps(true)));
                while pairing.paired < pairs {
                    if self.pairs.is_full() {
                        return Ok(false);
                    }
                    let right = (!pairing.rights.is_empty()).then(|| pairing.rights.get(pairing.paired));
                    self.pairs.push(time, of, Some(left.value), right);
                    pairing.paired += 1;
                }
                (pairing.from, pairing.paired) = (Some(From::After(place)), 0);
            }
            if !page.has_more() {
                break;
            }
        }
        while !pairing.has_left && outer.keeps(false) && pairing.paired < pairing.rights.len() {
            if self.pairs.is_full() {
                return Ok(false);
            }
            self.pairs.push(time, of, None, Some(pairing.rights.get(pairing.paired)));
            pairing.paired += 1;
        }
        Ok(true)
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
        let (mut page, mut from) = (Page::default(), From::At(Place::first(first)));
        loop {
            self.records_of(side, key).read(from, last, SCAN_ENTRIES, &mut page)?;
            for kept in page.records() {
                let (place, _) = kept?;
                let pane = windows.pane_of(place.time);
                match windows.last_start(pane).is_some_and(|start| windows.end_of(start) - 1 > last) {
                    true => self.set_end(key, windows, pane, last),
                    false => self.records_of(side, key).remove(place)?,
                }
                from = From::After(place);
            }
            if !page.has_more() {
                return Ok(());
            }
        }
    }
}
