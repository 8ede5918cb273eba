//! The timers of one key and namespace.

use super::queue::Links;
use crate::key_table::{Row, pack_key};
use crate::small_bytes::SmallBytes;
use std::collections::BTreeSet;
use tidewheel_types::keyed_state::StateKey;

/// Timers are stored without a schema version, and without an expiry: the head of version 0.
const HEAD: [u8; 1] = [0];

const STORED_TIMER_BYTES: usize = 10;

/// The timers, as slot and time, that [`TimerRow::store`] wrote, at least one; `None` if these bytes are not that.
pub(super) fn stored_timers(stored: &[u8]) -> Option<impl Iterator<Item = (u16, i64)>> {
    timers_of_row(stored.strip_prefix(&HEAD)?)
}

/// The timers, as slot and time, of a key and namespace in a snapshot's [`Row`](crate::Row), whose payload this is;
/// `None` if it is not of timers.
pub fn timers_of_row(timers: &[u8]) -> Option<impl Iterator<Item = (u16, i64)>> {
    let is_whole = !timers.is_empty() && timers.len().is_multiple_of(STORED_TIMER_BYTES);
    let timer = |bytes: &[u8]| {
        let (slot, time) = bytes.split_first_chunk().expect("a timer has 10 bytes");
        (u16::from_le_bytes(*slot), i64::from_le_bytes(time.try_into().expect("a timer has 10 bytes")))
    };
    is_whole.then(|| timers.chunks_exact(STORED_TIMER_BYTES).map(timer))
}

/// At least one timer, but in the midst of a change. Nearly always it is one.
pub(super) struct TimerRow {
    key: SmallBytes<30>,
    /// The earliest timer; of several at one time the one of the lowest slot.
    time: i64,
    slot: u16,
    /// All others, as (slot, time).
    others: BTreeSet<(u16, i64)>,
    /// Where the row waits.
    pub(super) links: Links,
}

impl Row for TimerRow {
    #[inline]
    fn packed(&self) -> &[u8] {
        self.key.as_slice()
    }

    #[inline]
    fn heap_bytes(&self) -> usize {
        self.key.heap_bytes() + self.others.len() * size_of::<(u16, i64)>() * 3 / 2
    }
}

impl TimerRow {
    /// A row of one timer, not in the queue.
    pub(super) fn new(key: &StateKey<'_>, slot: u16, time: i64) -> Self {
        TimerRow { key: pack_key(key, &[]), time, slot, others: BTreeSet::new(), links: Links::NEW }
    }

    /// The time of the earliest timer.
    #[inline]
    pub(super) fn time(&self) -> i64 {
        self.time
    }

    /// The slot of the earliest timer.
    #[inline]
    pub(super) fn slot(&self) -> u16 {
        self.slot
    }

    /// Adds a timer that may be there already.
    #[inline]
    pub(super) fn insert(&mut self, slot: u16, time: i64) {
        if (time, slot) < (self.time, self.slot) {
            self.others.insert((self.slot, self.time));
            (self.time, self.slot) = (time, slot);
        } else if (time, slot) != (self.time, self.slot) {
            self.others.insert((slot, time));
        }
    }

    /// Deletes all timers of `slot` and adds one.
    #[inline]
    pub(super) fn replace(&mut self, slot: u16, time: i64) {
        if self.others.is_empty() && self.slot == slot {
            self.time = time;
        } else if self.delete_all(slot) {
            self.insert(slot, time);
        } else {
            (self.time, self.slot) = (time, slot);
        }
    }

    /// Deletes a timer. Whether one is left.
    pub(super) fn delete(&mut self, slot: u16, time: i64) -> bool {
        if (self.time, self.slot) == (time, slot) {
            return self.advance();
        }
        self.others.remove(&(slot, time));
        true
    }

    /// Deletes all timers of `slot`. Whether one is left.
    pub(super) fn delete_all(&mut self, slot: u16) -> bool {
        while let Some(&other) = self.others.range((slot, i64::MIN)..=(slot, i64::MAX)).next() {
            self.others.remove(&other);
        }
        self.slot != slot || self.advance()
    }

    /// Deletes the earliest timer: the next one becomes the earliest. Whether there is one.
    pub(super) fn advance(&mut self) -> bool {
        let Some((time, slot)) = self.earliest_other() else { return false };
        self.others.remove(&(slot, time));
        (self.time, self.slot) = (time, slot);
        true
    }

    /// Appends what a snapshot holds of it: the head of a value, and of each timer its slot and time, little-endian.
    pub(super) fn store(&self, stored: &mut Vec<u8>) {
        stored.extend_from_slice(&HEAD);
        for (slot, time) in std::iter::once((self.slot, self.time)).chain(self.others.iter().copied()) {
            stored.extend_from_slice(&slot.to_le_bytes());
            stored.extend_from_slice(&time.to_le_bytes());
        }
    }

    /// The least (time, slot) of the others: the least of the first ones of every slot.
    fn earliest_other(&self) -> Option<(i64, u16)> {
        let mut earliest = None;
        let mut first_of_slot = self.others.first();
        while let Some(&(slot, time)) = first_of_slot {
            earliest = Some(earliest.map_or((time, slot), |earliest: (i64, u16)| earliest.min((time, slot))));
            first_of_slot = slot.checked_add(1).and_then(|next| self.others.range((next, i64::MIN)..).next());
        }
        earliest
    }
}
