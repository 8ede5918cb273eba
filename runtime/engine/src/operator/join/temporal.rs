//! Each left record with the right one that was the latest at its event time: the right side's records are versions of a
//! row, as in Flink's event-time temporal join.
//!
//! A left record waits until the watermark has come to its time: then all versions up to it are known. Of versions those
//! are forgotten that no left record can meet any more; the latest stays. A deletion is a version that there is none.

use super::buffer::{From, OF_ONE_TIME, Page, Place, Side};
use super::{Fate, Join, Record};
use tidewheel_types::Origin;
use tidewheel_types::keyed_state::{KeyedStateError, StateKey};

impl Join {
    pub(super) fn temporal(&mut self, record: Record<'_>, watermark: i64) -> Result<Fate, KeyedStateError> {
        // The version of its time may be forgotten.
        if record.side == Side::Left && record.time <= watermark {
            return Ok(Fate::Late);
        }
        // A version that has a later one for all that may still come is as good as forgotten.
        if record.side == Side::Right
            && record.time < watermark
            && self.has_version(record.key, record.time, watermark)?
        {
            return Ok(Fate::Taken);
        }
        self.keep(record, false, record.time)?;
        Ok(Fate::Taken)
    }

    /// Whether there is a version of a key after a time, up to another one.
    fn has_version(&self, key: StateKey<'_>, after: i64, last: i64) -> Result<bool, KeyedStateError> {
        let mut page = Page::default();
        self.records_of(Side::Right, key).read(From::After(Place::last(after)), last, 1, &mut page)?;
        Ok(page.records().next().is_some())
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
        self.records_of(Side::Right, key).read_back(Place::last(time), i64::MIN, 1, &mut versions)?;
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
    ///
    /// When this was done last, one version was left at the most. So those to be forgotten are of one time, or are that one;
    /// behind it are only the places of forgotten ones, which would take ever longer to pass over.
    fn forget_versions(&mut self, key: StateKey<'_>, time: i64) -> Result<(), KeyedStateError> {
        let mut page = Page::default();
        let mut latest: Option<Place> = None;
        let mut from = Place::last(time);
        loop {
            self.records_of(Side::Right, key).read_back(from, i64::MIN, OF_ONE_TIME, &mut page)?;
            for version in page.records() {
                let (place, version) = version?;
                if latest.is_some() || version.is_deleted {
                    self.records_of(Side::Right, key).remove(place)?;
                }
                if latest.is_some_and(|latest| place.time < latest.time) {
                    return Ok(());
                }
                latest.get_or_insert(place);
                from = place;
            }
            if !page.has_more() {
                return Ok(());
            }
        }
    }
}
