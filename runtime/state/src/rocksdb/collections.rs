//! List and map states: what their calls mean in entries.

use super::database::{Database, KeyBatch};
use super::entries::{ChangedEntries, Is, Scanned, Span};
use super::values::check;
use crate::error::StateError;
use crate::key_codec::EntryKey;
use crate::state_info::StateInfo;
use crate::value_codec::set_expiry;
use std::collections::HashMap;
use std::ops::{ControlFlow, Range};
use tidewheel_types::key_group::KeyGroups;
use tidewheel_types::keyed_state::{Cells, Entries, Scan, StateKey};

/// The lists and maps of a task.
pub(super) struct Collections {
    pub(super) changed: ChangedEntries,
    key_groups: KeyGroups,
    /// Where lists end: by the entry key of the list, the next index and when the last element expires.
    ends: HashMap<Box<[u8]>, ListEnd>,
    ends_bytes: usize,
    batch: KeyBatch,
    /// Room for an entry key, and for a stored value.
    key: Vec<u8>,
    stored: Vec<u8>,
}

#[derive(Clone, Copy)]
struct ListEnd {
    next: u64,
    last_expiry: Option<i64>,
}

/// What a known end of a list takes beside its key.
const END_OVERHEAD: usize = 64;

/// Part of the task's memory that the known ends of lists may take.
const ENDS_PART: usize = 16;

impl Collections {
    pub(super) fn new(key_groups: KeyGroups) -> Self {
        Collections {
            changed: ChangedEntries::default(),
            key_groups,
            ends: HashMap::new(),
            ends_bytes: 0,
            batch: KeyBatch::default(),
            key: Vec::new(),
            stored: Vec::new(),
        }
    }

    /// Bytes of memory held, about.
    pub(super) fn bytes(&self) -> usize {
        self.changed.dirty_bytes() + self.changed.pending_bytes() + self.ends_bytes
    }

    /// Forgets where lists end, if knowing it takes too much of `bytes_max`.
    pub(super) fn trim(&mut self, bytes_max: usize) {
        if self.ends_bytes > bytes_max / ENDS_PART {
            self.ends = HashMap::new();
            self.ends_bytes = 0;
        }
    }

    /// Appends the part of an entry key that all entries of a list or map share.
    fn encode_owner(&self, info: &StateInfo, key: &StateKey<'_>, user_key: &[u8], bytes: &mut Vec<u8>) {
        let key_group = self.key_groups.group_of_hash(key.hash);
        EntryKey { key_group, state: info.id, key: key.key, namespace: key.namespace, user_key }.encode(bytes);
    }

    /// Sets an entry of a map.
    pub(super) fn put_entry(&mut self, info: &StateInfo, key: &StateKey<'_>, entry: &[u8], value: &[u8], is: Is) {
        let mut bytes = std::mem::take(&mut self.key);
        bytes.clear();
        self.encode_owner(info, key, entry, &mut bytes);
        self.put(info, &bytes, value, is);
        self.key = bytes;
    }

    fn put(&mut self, info: &StateInfo, key: &[u8], value: &[u8], is: Is) {
        self.stored.clear();
        self.stored.extend_from_slice(info.head());
        self.stored.extend_from_slice(value);
        self.changed.set(key, &self.stored, is);
    }

    /// Removes an entry of a map.
    pub(super) fn delete_entry(&mut self, info: &StateInfo, key: &StateKey<'_>, entry: &[u8]) {
        let mut bytes = std::mem::take(&mut self.key);
        bytes.clear();
        self.encode_owner(info, key, entry, &mut bytes);
        self.changed.remove(&bytes);
        self.key = bytes;
    }

    /// Removes all entries of a list or map.
    pub(super) fn delete(
        &mut self,
        database: &Database,
        info: &StateInfo,
        key: &StateKey<'_>,
    ) -> Result<(), StateError> {
        let mut owner = Vec::new();
        self.encode_owner(info, key, &[], &mut owner);
        let upper = end_of_prefix(&owner);
        let span = Span { lower: &owner, upper: upper.as_deref(), start: None, after: false, backwards: false };
        let mut gone: Vec<(Vec<u8>, bool)> = Vec::new();
        self.changed.scan(database, &span, |Scanned { key, is_below, .. }| {
            gone.push((key.to_vec(), is_below));
            Ok(ControlFlow::Continue(()))
        })?;
        for (key, is_below) in gone {
            if is_below {
                self.changed.remove(&key);
            } else {
                self.changed.forget(&key);
            }
        }
        if let Some(end) = self.ends.get_mut(&owner[..]) {
            *end = ListEnd { next: 0, last_expiry: None };
        }
        Ok(())
    }

    /// Adds an element at the end of a list.
    pub(super) fn append(
        &mut self,
        database: &Database,
        info: &StateInfo,
        key: &StateKey<'_>,
        element: &[u8],
    ) -> Result<(), StateError> {
        let mut bytes = std::mem::take(&mut self.key);
        bytes.clear();
        self.encode_owner(info, key, &[], &mut bytes);
        let known = self.ends.get(&bytes[..]).filter(|end| info.is_ahead(end.last_expiry));
        let next = match known {
            Some(end) => end.next,
            None => self.find_end(database, info, &bytes)?,
        };
        let end = ListEnd { next: next + 1, last_expiry: info.expires().then(|| info.expiry()) };
        match self.ends.get_mut(&bytes[..]) {
            Some(known) => *known = end,
            None => {
                self.ends_bytes += bytes.len() + END_OVERHEAD;
                self.ends.insert(bytes[..].into(), end);
            }
        }
        bytes.extend_from_slice(&next.to_be_bytes());
        self.put(info, &bytes, element, Is::New);
        self.key = bytes;
        Ok(())
    }

    /// The index after the last element of a list that has not expired. The expired ones after it are removed.
    fn find_end(&mut self, database: &Database, info: &StateInfo, owner: &[u8]) -> Result<u64, StateError> {
        let upper = end_of_prefix(owner);
        let span = Span { lower: owner, upper: upper.as_deref(), start: None, after: false, backwards: true };
        let (mut next, mut expired) = (0, Vec::new());
        self.changed.scan(database, &span, |Scanned { key, stored, .. }| {
            check(stored)?;
            if info.is_expired(stored) {
                expired.push(key.to_vec());
                return Ok(ControlFlow::Continue(()));
            }
            let index = key[owner.len()..].try_into().map(u64::from_be_bytes);
            let damaged = |_| StateError::DamagedEntry { what: "it holds a list element without an index".to_owned() };
            next = index.map_err(damaged)? + 1;
            Ok(ControlFlow::Break(()))
        })?;
        expired.iter().for_each(|key| self.changed.remove(key));
        Ok(next)
    }

    /// Adds the value of an entry of each map.
    pub(super) fn get_many(
        &mut self,
        database: &Database,
        info: &StateInfo,
        entries: &mut dyn Iterator<Item = (StateKey<'_>, &[u8])>,
        cells: &mut Cells,
    ) -> Result<(), StateError> {
        let mut keys: Vec<u8> = Vec::new();
        let mut ends: Vec<usize> = Vec::new();
        for (key, entry) in entries {
            self.encode_owner(info, &key, entry, &mut keys);
            ends.push(keys.len());
        }
        let key_of = |place: usize| &keys[if place == 0 { 0 } else { ends[place - 1] }..ends[place]];
        // What is stored of each, one after the other, and where; nothing of those that are not there.
        let mut values: Vec<u8> = Vec::new();
        let mut places: Vec<Range<usize>> = Vec::with_capacity(ends.len());
        self.batch.clear();
        for place in 0..ends.len() {
            let start = values.len();
            match self.changed.get(key_of(place)) {
                Some(stored) => values.extend_from_slice(stored),
                None => self.batch.push(place, |bytes| bytes.extend_from_slice(key_of(place))),
            }
            places.push(start..values.len());
        }
        database.get_many(&mut self.batch, |place, stored| {
            let stored = stored.unwrap_or_default();
            if !stored.is_empty() {
                check(stored)?;
            }
            places[place] = values.len()..values.len() + stored.len();
            values.extend_from_slice(stored);
            Ok(())
        })?;
        for (number, place) in places.into_iter().enumerate() {
            let stored = &values[place];
            let value = info.live(stored);
            cells.push(value);
            if value.is_some()
                && let Some(expiry) = info.refreshed(stored)
            {
                self.refresh(key_of(number), stored, expiry);
            }
        }
        Ok(())
    }

    /// Adds part of a list or map to `entries`. `start` is a whole user key.
    pub(super) fn scan(
        &mut self,
        database: &Database,
        info: &StateInfo,
        key: &StateKey<'_>,
        scan: Scan<'_>,
        entries: &mut Entries,
    ) -> Result<(), StateError> {
        entries.more = false;
        if scan.is_empty() {
            return Ok(());
        }
        let mut owner = Vec::new();
        self.encode_owner(info, key, &[], &mut owner);
        let until = scan.until.map(|until| [&owner, until].concat());
        let (lower, upper) = match until {
            None => (None, end_of_prefix(&owner)),
            Some(until) if scan.backwards => (Some(until), end_of_prefix(&owner)),
            // The key that comes right after it.
            Some(until) => (None, Some([&until, &[0][..]].concat())),
        };
        let lower = lower.as_deref().unwrap_or(&owner);
        let start = [&owner, scan.start].concat();
        let start = (!scan.start.is_empty()).then_some(&start[..]);
        // Nothing is before the empty key, but one may be equal to it.
        let skip_empty = scan.after && scan.start.is_empty() && !scan.backwards;
        let Scan { after, backwards, .. } = scan;
        let span = Span { lower, upper: upper.as_deref(), start, after, backwards };
        let (mut bytes, mut taken) = (0, 0);
        let mut refreshed: Vec<(Vec<u8>, Vec<u8>, i64)> = Vec::new();
        self.changed.scan(database, &span, |Scanned { key, stored, .. }| {
            check(stored)?;
            let user_key = &key[owner.len()..];
            let Some(value) = info.live(stored).filter(|_| !(skip_empty && user_key.is_empty())) else {
                return Ok(ControlFlow::Continue(()));
            };
            bytes += user_key.len() + value.len();
            if taken == scan.limit || taken > 0 && bytes > scan.bytes_max {
                entries.more = true;
                return Ok(ControlFlow::Break(()));
            }
            taken += 1;
            entries.keys.push(user_key);
            entries.values.push(value);
            let expiry = info.refreshed(stored).filter(|_| !scan.peeks);
            refreshed.extend(expiry.map(|expiry| (key.to_vec(), stored.to_vec(), expiry)));
            Ok(ControlFlow::Continue(()))
        })?;
        refreshed.iter().for_each(|(key, stored, expiry)| self.refresh(key, stored, *expiry));
        Ok(())
    }

    /// Lets an entry that has been read live on.
    fn refresh(&mut self, key: &[u8], stored: &[u8], expiry: i64) {
        self.stored.clear();
        self.stored.extend_from_slice(stored);
        set_expiry(&mut self.stored, expiry);
        self.changed.set(key, &self.stored, Is::Any);
    }
}

/// The first key after all those that begin with `prefix`; none if there is no such key.
fn end_of_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|&byte| byte < 0xff)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(end)
}
