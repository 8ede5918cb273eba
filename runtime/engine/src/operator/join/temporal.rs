//! Each left record with the right one that was the latest at its event time: the right side's records are versions of a
//! row, as in Flink's event-time temporal join.
//!
//! A left record waits until the watermark has come to its time: then all versions up to it are known. Of versions those
//! are forgotten that no left record can meet any more; the latest stays. A deletion is a version that there is none.

use super::buffer::{Back, From, OF_ONE_TIME, Page, Place, SCAN_ENTRIES, Side};
use super::{Fate, Join, Record};
use tidewheel_types::Origin;
use tidewheel_types::keyed_state::{KeyedStateError, StateKey};

impl Join {
    pub(super) fn temporal(&mut self, record: Record<'_>, watermark: i64) -> Result<Fate, KeyedStateError> {
        // The version of its time may be forgotten.
        if record.side == Side::Left && record.time <= watermark {
            return Ok(Fate::Late);
        }
        self.keep(record, false, record.time)?;
        Ok(Fate::Taken)
    }

    /// Whether it is done: if not, there is no room for more.
    pub(super) fn temporal_is_due(
        &mut self,
        side: Side,
        key: StateKey<'_>,
        time: i64,
    ) -> Result<bool, KeyedStateError> {
        match side {
            Side::Left => self.look_up(key, time),
            Side::Right => self.forget_versions(key, time).map(|()| true),
        }
    }

    /// Pairs the left records of a key at `time` with the version of then.
    fn look_up(&mut self, key: StateKey<'_>, time: i64) -> Result<bool, KeyedStateError> {
        let (mut versions, mut lefts) = (Page::default(), Page::default());
        // Of versions with one time the last to come counts.
        self.records_of(Side::Right, key).read_back(Back::From(Place::last(time)), i64::MIN, 1, &mut versions)?;
        let version = versions.records().next().transpose()?.map(|(_, version)| version);
        let version = version.filter(|version| !version.is_deleted).map(|version| version.value);
        loop {
            // What has passed is gone, so it is begun anew each time.
            self.records_of(Side::Left, key).read(From::At(Place::first(time)), time, OF_ONE_TIME, &mut lefts)?;
            for left in lefts.records() {
                let (place, left) = left?;
                if self.pairs.is_full() {
                    return Ok(false);
                }
                if version.is_some() || self.spec.outer.keeps(true) {
                    self.pairs.push(time, (key, Origin::NONE), Some(left.value), version);
                }
                self.records_of(Side::Left, key).remove(place)?;
            }
            if !lefts.has_more() {
                return Ok(true);
            }
        }
    }

    /// Forgets the versions of a key that are older than the latest at `time`, and that one too if it says that there is
    /// none.
    fn forget_versions(&mut self, key: StateKey<'_>, time: i64) -> Result<(), KeyedStateError> {
        let mut page = Page::default();
        let mut is_latest = true;
        let mut from = Back::From(Place::last(time));
        loop {
            self.records_of(Side::Right, key).read_back(from, i64::MIN, SCAN_ENTRIES, &mut page)?;
            for version in page.records() {
                let (place, version) = version?;
                if !is_latest || version.is_deleted {
                    self.records_of(Side::Right, key).remove(place)?;
                }
                (is_latest, from) = (false, Back::Before(place));
            }
            if !page.has_more() {
                return Ok(());
            }
        }
    }
}
