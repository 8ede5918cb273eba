//! Pairs of records whose event times are near, as Flink's `IntervalJoinOperator` makes them, and outer ones.
//!
//! Every record waits until the watermark says that no more can pair with it. What waits, by key and time, is read for each
//! record of the other side. A pair has the later of the two times.

use super::buffer::{From, Kept, OF_ONE_TIME, Page, Place, SCAN_ENTRIES, Side};
use super::{Fate, Join, Record};
use tidewheel_types::Origin;
use tidewheel_types::job::JoinKind;
use tidewheel_types::keyed_state::{KeyedStateError, StateKey};

impl Join {
    /// The bounds of the right record's time, less the left one's.
    fn bounds(&self) -> (i64, i64) {
        match self.spec.kind {
            JoinKind::Interval { lower_ms, upper_ms } => (lower_ms, upper_ms),
            JoinKind::Window { .. } | JoinKind::Session { .. } | JoinKind::Temporal | JoinKind::Lookup => (0, 0),
        }
    }

    /// How long a record of `side` waits after its time.
    fn waits(&self, side: Side) -> i64 {
        self.spec.waits_ms()[usize::from(side == Side::Right)]
    }

    fn keeps(&self, side: Side) -> bool {
        self.spec.outer.keeps(side == Side::Left)
    }

    /// Pairs a record with all that wait, and lets it wait for more.
    pub(super) fn interval(&mut self, record: Record<'_>, watermark: i64) -> Result<Fate, KeyedStateError> {
        if record.time < watermark {
            return Ok(Fate::Late);
        }
        let Some(is_matched) = self.pair(record)? else { return Ok(Fate::More) };
        let until = record.time.saturating_add(self.waits(record.side));
        self.keep(record, is_matched, until)?;
        Ok(Fate::Taken)
    }

    /// Pairs a record with those that wait, and says whether there was one; none: there are more.
    fn pair(&mut self, record: Record<'_>) -> Result<Option<bool>, KeyedStateError> {
        let (lower, upper) = self.bounds();
        let (first, last) = match record.side {
            Side::Left => (record.time.saturating_add(lower), record.time.saturating_add(upper)),
            Side::Right => (record.time.saturating_sub(upper), record.time.saturating_sub(lower)),
        };
        let other = record.side.other();
        let begin = (From::At(Place::first(first)), false);
        let (mut from, mut is_matched) = self.resume.take().unwrap_or(begin);
        let mut page = Page::default();
        loop {
            self.records_of(other, record.key).read(from, last, SCAN_ENTRIES, &mut page)?;
            for kept in page.records() {
                let (place, kept) = kept?;
                if self.pairs.is_full() {
                    self.resume = Some((from, is_matched));
                    return Ok(None);
                }
                (from, is_matched) = (From::After(place), true);
                let of = (record.key, record.origin);
                self.pairs.push_sided(record.time.max(place.time), of, record.side, record.value, Some(kept.value));
                if self.keeps(other) && !kept.is_matched {
                    self.records_of(other, record.key).put(place, Kept { is_matched: true, ..kept })?;
                }
            }
            if !page.has_more() {
                return Ok(Some(is_matched));
            }
        }
    }

    /// The records of `side` that have waited until `until` wait no longer; those without a pair pass, if they are to.
    /// Whether that is done: if not, there is no room for more.
    pub(super) fn interval_is_over(
        &mut self,
        side: Side,
        key: StateKey<'_>,
        until: i64,
    ) -> Result<bool, KeyedStateError> {
        let first = until.saturating_sub(self.waits(side));
        // At the end of time those of several times have waited until the same.
        let last = if until == i64::MAX { i64::MAX } else { first };
        let keeps = self.keeps(side);
        let mut page = Page::default();
        loop {
            // What has passed is gone, so it is begun anew each time.
            self.records_of(side, key).read(From::At(Place::first(first)), last, OF_ONE_TIME, &mut page)?;
            for kept in page.records() {
                let (place, kept) = kept?;
                if self.pairs.is_full() {
                    return Ok(false);
                }
                if keeps && !kept.is_matched {
                    self.pairs.push_sided(place.time, (key, Origin::NONE), side, kept.value, None);
                }
                self.records_of(side, key).remove(place)?;
            }
            if !page.has_more() {
                return Ok(true);
            }
        }
    }
}
