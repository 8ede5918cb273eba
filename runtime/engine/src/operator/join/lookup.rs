//! Each left record with what the right side says now: the right side is small and changes slowly, and every worker holds
//! all of it. As a look-up in Flink's broadcast state.
//!
//! Nothing waits, so what is found depends on what has come by then. Of right records with one key the one with the latest
//! event time counts, and of several of one time from one split the last. Those of one time from different splits come to
//! workers in different orders: of them the greatest counts, as bytes, so that all workers hold the same.

use super::buffer::{Back, Kept, Page, Place, Side};
use super::{Fate, Join, Record};
use tidewheel_types::Origin;
use tidewheel_types::keyed_state::{KeyedStateError, StateKey};

/// Before the value: from which source and split it came.
const ORIGIN_BYTES: usize = 8;

impl Join {
    pub(super) fn lookup(&mut self, record: Record<'_>) -> Result<Fate, KeyedStateError> {
        match record.side {
            Side::Left => self.find(record)?,
            Side::Right => self.replace(record)?,
        }
        Ok(Fate::Taken)
    }

    /// Pairs a left record with what there is.
    fn find(&mut self, record: Record<'_>) -> Result<(), KeyedStateError> {
        let page = self.latest(record.key)?;
        let right = page.records().next().transpose()?.map(|(_, right)| right);
        let right = right.filter(|right| !right.is_deleted).map(|right| right.value.get(ORIGIN_BYTES..));
        if right.is_some() || self.spec.outer.keeps(true) {
            self.pairs.push(record.time, (record.key, record.origin), Some(record.value), right.flatten());
        }
        Ok(())
    }

    /// Puts a right record in the place of an older one.
    fn replace(&mut self, record: Record<'_>) -> Result<(), KeyedStateError> {
        let Record { key, time, value, is_deleted, origin, .. } = record;
        let value = [&from(origin)[..], value].concat();
        let page = self.latest(key)?;
        if let Some((place, stored)) = page.records().next().transpose()? {
            let is_of_one_split = stored.value.get(..ORIGIN_BYTES) == value.get(..ORIGIN_BYTES);
            let is_newer = time > place.time
                || time == place.time
                    && (is_of_one_split || (stored.is_deleted, stored.value) < (is_deleted, value.as_slice()));
            if !is_newer {
                return Ok(());
            }
            self.records_of(Side::Right, key).remove(place)?;
        }
        let kept = Kept { is_matched: false, is_deleted, value: &value };
        self.records_of(Side::Right, key).insert(Place::first(time), kept)
    }

    fn latest(&self, key: StateKey<'_>) -> Result<Page, KeyedStateError> {
        let mut page = Page::default();
        self.records_of(Side::Right, key).read_back(Back::From(Place::last(i64::MAX)), i64::MIN, 1, &mut page)?;
        Ok(page)
    }
}

fn from(origin: Origin) -> [u8; ORIGIN_BYTES] {
    (u64::from(origin.source) << 32 | u64::from(origin.split)).to_be_bytes()
}
