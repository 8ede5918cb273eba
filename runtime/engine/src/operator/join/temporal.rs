//! Each left record with the right one that was the latest at its event time: the right side's records are versions of a
//! row, as in Flink's event-time temporal join.
//!
//! A left record waits until the watermark has come to its time: then all versions up to it are known. Of versions those
//! are forgotten that no left record can meet any more; the latest stays. A deletion is a version that there is none.

use super::buffer::{self, From, Side};
use super::{Fate, Join, Record};
use tidewheel_types::keyed_state::{KeyedStateError, StateKey};

impl Join {
    pub(super) fn temporal(&mut self, record: Record<'_>, watermark: i64) -> Result<Fate, KeyedStateError> {
        match record.side {
            // The version of its time may be forgotten.
            Side::Left if record.time <= watermark => return Ok(Fate::Late),
            Side::Left => {}
            // Of versions with one time the last to come counts.
            Side::Right => buffer::delete(&self.state, Side::Right, record.key, record.time)?,
        }
        self.keep(record, false, record.time)?;
        Ok(Fate::Taken)
    }

    pub(super) fn temporal_is_due(&mut self, side: Side, key: StateKey<'_>, time: i64) -> Result<(), KeyedStateError> {
        match side {
            Side::Left => self.look_up(key, time),
            Side::Right => self.forget_versions(key, time),
        }
    }

    /// Pairs the left records of a key at `time` with the version of then.
    fn look_up(&mut self, key: StateKey<'_>, time: i64) -> Result<(), KeyedStateError> {
        let (mut cells, mut entries) = (std::mem::take(&mut self.cells), std::mem::take(&mut self.entries));
        buffer::get(&self.state, Side::Left, key, time, &mut cells)?;
        let from = From { time, after: false };
        buffer::scan(&self.state, Side::Right, key, (from, true), &mut entries)?;
        let version = entries.values.iter().next().and_then(|entry| buffer::records(entry).last());
        let version = version.transpose()?.filter(|version| !version.is_deleted).map(|version| version.value);
        for kept in cells.get(0).into_iter().flat_map(buffer::records) {
            let left = kept?.value;
            if version.is_some() || self.spec.outer.keeps(true) {
                self.pairs.push(time, (key, tidewheel_types::Origin::NONE), Some(left), version);
            }
        }
        (self.cells, self.entries) = (cells, entries);
        buffer::delete(&self.state, Side::Left, key, time)
    }

    /// Forgets the versions of a key that are older than the latest at `time`.
    fn forget_versions(&mut self, key: StateKey<'_>, time: i64) -> Result<(), KeyedStateError> {
        let mut entries = std::mem::take(&mut self.entries);
        let mut latest = None;
        let mut from = From { time, after: false };
        loop {
            buffer::scan(&self.state, Side::Right, key, (from, true), &mut entries)?;
            for entry in entries.keys.iter() {
                let version = buffer::entry_time(entry)?;
                match latest {
                    None => latest = Some(version),
                    Some(_) => buffer::delete(&self.state, Side::Right, key, version)?,
                }
                from = From { time: version, after: true };
            }
            if !entries.more {
                break;
            }
        }
        self.entries = entries;
        Ok(())
    }
}
