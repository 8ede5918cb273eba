//! Pairs of records whose event times are near, as Flink's `IntervalJoinOperator` makes them, and outer ones.
//!
//! Every record waits until the watermark says that no more can pair with it. What waits, by key and time, is scanned for
//! each record of the other side. A pair has the later of the two times.

use super::buffer::{self, From, Side};
use super::{Fate, Join, Record};
use tidewheel_types::job::JoinKind;
use tidewheel_types::keyed_state::{KeyedStateError, StateKey};

impl Join {
    /// The bounds of the right record's time, less the left one's.
    fn bounds(&self) -> (i64, i64) {
        match self.spec.kind {
            JoinKind::Interval { lower_ms, upper_ms } => (lower_ms, upper_ms),
            JoinKind::Window { .. } | JoinKind::Temporal | JoinKind::Lookup => (0, 0),
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
        let begin = (From { time: first, after: false }, false);
        let (mut from, mut is_matched) = self.resume.take().unwrap_or(begin);
        loop {
            let mut entries = std::mem::take(&mut self.entries);
            buffer::scan(&self.state, other, record.key, (from, false), &mut entries)?;
            let mut more = entries.more;
            for (key, entry) in entries.keys.iter().zip(entries.values.iter()) {
                let time = buffer::entry_time(key)?;
                if time > last {
                    more = false;
                    break;
                }
                (from, is_matched) = (From { time, after: true }, true);
                self.pair_with(record, time, entry)?;
            }
            self.entries = entries;
            if !more {
                return Ok(Some(is_matched));
            }
            if self.pairs.is_full() {
                self.resume = Some((from, is_matched));
                return Ok(None);
            }
        }
    }

    /// Pairs a record with all of an entry of the other side.
    fn pair_with(&mut self, record: Record<'_>, time: i64, entry: &[u8]) -> Result<(), KeyedStateError> {
        let (other, of) = (record.side.other(), (record.key, record.origin));
        for kept in buffer::records(entry) {
            self.pairs.push_sided(record.time.max(time), of, record.side, record.value, Some(kept?.value));
        }
        if self.keeps(other)
            && let Some(matched) = buffer::matched(entry)?
        {
            buffer::put(&self.state, other, record.key, time, &matched)?;
        }
        Ok(())
    }

    /// The records of `side` that have waited until `until` wait no longer; those without a pair pass, if they are to.
    pub(super) fn interval_is_over(
        &mut self,
        side: Side,
        key: StateKey<'_>,
        until: i64,
    ) -> Result<(), KeyedStateError> {
        let time = until.saturating_sub(self.waits(side));
        if self.keeps(side) {
            let mut cells = std::mem::take(&mut self.cells);
            buffer::get(&self.state, side, key, time, &mut cells)?;
            for kept in cells.get(0).into_iter().flat_map(buffer::records) {
                let kept = kept?;
                if !kept.is_matched {
                    self.pairs.push_sided(time, (key, tidewheel_types::Origin::NONE), side, kept.value, None);
                }
            }
            self.cells = cells;
        }
        buffer::delete(&self.state, side, key, time)
    }
}
