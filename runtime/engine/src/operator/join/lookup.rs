//! Each left record with what the right side says now: the right side is small and changes slowly, and every worker holds
//! all of it. As a look-up in Flink's broadcast state.
//!
//! Nothing waits, so what is found depends on what has come by then. Of right records with one key the one with the latest
//! event time counts, of several of one time the greatest as bytes: so all workers hold the same, in whatever order the
//! right side's records have come to them.

use super::buffer::{self, From, Kept, Side};
use super::{Fate, Join, Record};
use tidewheel_types::keyed_state::{KeyedStateError, StateKey};

/// After all times.
const LATEST: From = From { time: i64::MAX, after: false };

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
        let entries = self.latest(record.key)?;
        let right = entries.values.iter().next().and_then(|entry| buffer::records(entry).next()).transpose()?;
        let right = right.filter(|right| !right.is_deleted).map(|right| right.value);
        if right.is_some() || self.spec.outer.keeps(true) {
            self.pairs.push(record.time, (record.key, record.origin), Some(record.value), right);
        }
        self.entries = entries;
        Ok(())
    }

    /// Puts a right record in the place of an older one.
    fn replace(&mut self, record: Record<'_>) -> Result<(), KeyedStateError> {
        let Record { key, time, value, is_deleted, .. } = record;
        let entries = self.latest(key)?;
        let mut is_newer = true;
        if let (Some(stored), Some(entry)) = (entries.keys.iter().next(), entries.values.iter().next()) {
            let stored_at = buffer::entry_time(stored)?;
            let stored = buffer::records(entry).next().transpose()?;
            let stored = stored.map(|stored| (stored_at, !stored.is_deleted, stored.value));
            is_newer = stored < Some((time, !is_deleted, value));
            if is_newer && stored_at != time {
                buffer::delete(&self.state, Side::Right, key, stored_at)?;
            }
        }
        self.entries = entries;
        if is_newer {
            let mut entry = Vec::new();
            buffer::append(&mut entry, Kept { is_matched: false, is_deleted, value });
            buffer::put(&self.state, Side::Right, key, time, &entry)?;
        }
        Ok(())
    }

    fn latest(&mut self, key: StateKey<'_>) -> Result<tidewheel_types::keyed_state::Entries, KeyedStateError> {
        let mut entries = std::mem::take(&mut self.entries);
        buffer::scan(&self.state, Side::Right, key, (LATEST, true), &mut entries)?;
        Ok(entries)
    }
}
