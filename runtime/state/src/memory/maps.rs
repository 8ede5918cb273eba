//! Map states: the entries of one key and namespace in an ordered map.

use crate::key_table::{KeyTable, Row, TableKey, Touch, pack_key, unpack_key};
use crate::packed::PackedEntries;
use crate::rows::RowId;
use crate::small_bytes::SmallBytes;
use crate::state_info::StateInfo;
use crate::value_codec::{expiry_of, set_expiry};
use std::collections::BTreeMap;
use std::ops::Bound;
use tidewheel_types::keyed_state::{Cells, Entries, Scan, StateKey};

/// What an entry takes beside its key and value: two fat pointers and its share of the tree and the allocator.
const ENTRY_OVERHEAD: usize = 64;

/// The first byte of a value in a map, before its head: what snapshots know of it.
type Flags = u8;

/// It has changed since the last snapshot.
const DIRTY: Flags = 1;

/// A snapshot has it, perhaps as it was before.
const SAVED: Flags = 2;

/// The least [`Maps::dirty_max`].
const DIRTY_LEAST: usize = 1024;

/// One map state.
pub(super) struct Maps {
    /// A map may be large, so its entries are tracked, not its row.
    table: KeyTable<MapRow>,
    is_tracking: bool,
    /// Entries that have become dirty. Some may be gone since, and their row may be another map's.
    dirty: Vec<(RowId, Box<[u8]>)>,
    /// How many of them there may be before they are looked through.
    dirty_max: usize,
    /// Entries that a snapshot has and that are gone.
    gone: PackedEntries,
    /// Whether a value may have an expiry.
    expires: bool,
    /// How far the sweep for expired entries has come: the row and, in it, the last entry.
    swept: (usize, Option<Box<[u8]>>),
}

struct MapRow {
    key: SmallBytes<30>,
    /// Of each value the flags, the head, the payload.
    entries: BTreeMap<Box<[u8]>, Box<[u8]>>,
    /// Bytes of the entries.
    entry_bytes: usize,
}

impl Row for MapRow {
    fn packed(&self) -> &[u8] {
        self.key.as_slice()
    }

    fn heap_bytes(&self) -> usize {
        self.key.heap_bytes() + self.entry_bytes
    }
}

impl MapRow {
    fn new(key: &StateKey<'_>) -> Self {
        MapRow { key: pack_key(key, &[]), entries: BTreeMap::new(), entry_bytes: 0 }
    }

    /// Sets an entry. Returns the flags that it had.
    fn insert(&mut self, entry: &[u8], flagged: Box<[u8]>) -> Option<Flags> {
        self.entry_bytes += flagged.len();
        if let Some(old) = self.entries.get_mut(entry) {
            let old = std::mem::replace(old, flagged);
            self.entry_bytes -= old.len();
            return Some(old[0]);
        }
        self.entry_bytes += entry.len() + ENTRY_OVERHEAD;
        self.entries.insert(entry.into(), flagged);
        None
    }

    /// Removes an entry. Returns the flags that it had.
    fn remove(&mut self, entry: &[u8]) -> Option<Flags> {
        let old = self.entries.remove(entry)?;
        self.entry_bytes -= entry.len() + old.len() + ENTRY_OVERHEAD;
        Some(old[0])
    }
}

impl Maps {
    /// No maps yet. Whether it is to be tracked which entries change.
    pub(super) fn new(info: &StateInfo, is_tracking: bool) -> Self {
        Maps {
            table: KeyTable::new(false),
            is_tracking,
            dirty: Vec::new(),
            dirty_max: DIRTY_LEAST,
            gone: PackedEntries::new(info.id),
            expires: info.expires(),
            swept: (0, None),
        }
    }

    /// Whether nobody has a map.
    pub(super) fn is_empty(&self) -> bool {
        self.table.len() == 0
    }

    /// What to touch.
    pub(super) fn touch(&self) -> &dyn Touch {
        &self.table
    }

    /// Memory held, about.
    pub(super) fn bytes(&self) -> usize {
        let dirty = self.dirty.iter().map(|(_, entry)| size_of::<(RowId, Box<[u8]>)>() + entry.len());
        self.table.bytes() + dirty.sum::<usize>() + self.gone.bytes()
    }

    /// Adds the value of entry `entry` in the map of `key`.
    pub(super) fn get(&mut self, key: &TableKey<'_>, info: &StateInfo, entry: &[u8], cells: &mut Cells) {
        let Some(id) = self.table.find(key) else { return cells.push(None) };
        let Some(flagged) = self.table.row(id).entries.get(entry) else { return cells.push(None) };
        let value = info.live(&flagged[1..]);
        cells.push(value);
        match info.refreshed(&flagged[1..]) {
            _ if value.is_none() => self.delete_at(id, key, entry),
            Some(expiry) => self.refresh(id, entry, expiry),
            None => {}
        }
    }

    /// Sets an entry of the map of `key`.
    pub(super) fn put(&mut self, key: &TableKey<'_>, info: &StateInfo, entry: &[u8], value: &[u8]) {
        let id = self.table.find_or_insert(key, || MapRow::new(&key.key));
        let flags = if self.is_tracking { DIRTY } else { 0 };
        let flagged = [&[flags], info.head(), value].concat().into_boxed_slice();
        let old = self.table.update(id, |row| row.insert(entry, flagged)).unwrap_or(0);
        if self.is_tracking {
            self.mark(id, entry, old);
        }
    }

    /// Removes an entry of the map of `key`.
    pub(super) fn delete_entry(&mut self, key: &TableKey<'_>, entry: &[u8]) {
        if let Some(id) = self.table.find(key) {
            self.delete_at(id, key, entry);
        }
    }

    /// Removes the map of `key`.
    pub(super) fn delete(&mut self, key: &TableKey<'_>) {
        let Some(id) = self.table.find(key) else { return };
        let (row, _) = self.table.remove(id, key.hash);
        for (entry, _) in row.entries.iter().filter(|(_, flagged)| flagged[0] & SAVED != 0) {
            self.gone.delete(row.packed(), entry);
        }
    }

    /// Adds part of the map of `key` to `entries`.
    pub(super) fn scan(&mut self, key: &TableKey<'_>, info: &StateInfo, scan: Scan<'_>, entries: &mut Entries) {
        entries.more = false;
        let Some(id) = self.table.find(key).filter(|_| !scan.is_empty()) else { return };
        let until = scan.until.map_or(Bound::Unbounded, Bound::Included);
        let start = if scan.after { Bound::Excluded(scan.start) } else { Bound::Included(scan.start) };
        let bounds = match (scan.backwards, scan.start.is_empty()) {
            (false, _) => (start, until),
            (true, false) => (until, start),
            (true, true) => (until, Bound::Unbounded),
        };
        let mut range = self.table.row(id).entries.range::<[u8], _>(bounds);
        let mut next = || if scan.backwards { range.next_back() } else { range.next() };
        let (mut bytes, mut taken) = (0, 0);
        let (mut refreshed, mut expired) = (Vec::new(), Vec::new());
        while let Some((entry, flagged)) = next() {
            let Some(value) = info.live(&flagged[1..]) else {
                expired.push(entry.clone());
                continue;
            };
            bytes += entry.len() + value.len();
            if taken == scan.limit || taken > 0 && bytes > scan.bytes_max {
                entries.more = true;
                break;
            }
            taken += 1;
            entries.keys.push(entry);
            entries.values.push(value);
            refreshed
                .extend(info.refreshed(&flagged[1..]).filter(|_| !scan.peeks).map(|expiry| (entry.clone(), expiry)));
        }
        refreshed.into_iter().for_each(|(entry, expiry)| self.refresh(id, &entry, expiry));
        expired.into_iter().for_each(|entry| self.delete_at(id, key, &entry));
    }

    /// Adds an entry that a snapshot has.
    pub(super) fn load(&mut self, key: StateKey<'_>, entry: &[u8], stored: &[u8]) {
        self.expires |= expiry_of(stored).is_some();
        let key = TableKey::new(key);
        let id = self.table.find_or_insert(&key, || MapRow::new(&key.key));
        let flags = if self.is_tracking { SAVED } else { 0 };
        self.table.update(id, |row| row.insert(entry, [&[flags], stored].concat().into_boxed_slice()));
    }

    /// Copies the entries that have changed since the last time.
    pub(super) fn freeze(&mut self) -> PackedEntries {
        let mut entries = self.gone.take();
        for (id, entry) in std::mem::take(&mut self.dirty) {
            if self.table.row_at(id).is_none() {
                continue;
            }
            let row = self.table.row_mut(id);
            if let Some(flagged) = row.entries.get_mut(&entry).filter(|flagged| flagged[0] & DIRTY != 0) {
                flagged[0] = SAVED;
                entries.put(row.key.as_slice(), &entry, &flagged[1..]);
            }
        }
        entries
    }

    /// Removes expired entries that are found by looking at `budget` entries or maps.
    pub(super) fn sweep(&mut self, info: &StateInfo, budget: usize) {
        if !self.expires {
            return;
        }
        let mut left = budget.min(self.table.places() + self.table.bytes() / ENTRY_OVERHEAD);
        while left > 0 {
            left -= 1;
            let (place, after) = std::mem::take(&mut self.swept);
            let id = RowId(place as u32);
            let Some(row) = self.table.row_at(id) else {
                self.swept.0 = if place + 1 < self.table.places() { place + 1 } else { 0 };
                continue;
            };
            let start = after.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
            let mut last = None;
            let mut expired = Vec::new();
            for (entry, flagged) in row.entries.range::<[u8], _>((start, Bound::Unbounded)).take(left + 1) {
                if info.is_expired(&flagged[1..]) {
                    expired.push(entry.clone());
                }
                last = Some(entry);
                left = left.saturating_sub(1);
            }
            // A map that was looked at to its end is left behind.
            let next = if place + 1 < self.table.places() { place + 1 } else { 0 };
            self.swept = if left > 0 { (next, None) } else { (place, last.cloned()) };
            if !expired.is_empty() {
                let packed = row.key.clone();
                let key = unpack_key(packed.as_slice());
                expired.into_iter().for_each(|entry| self.delete_at(id, &key, &entry));
            }
        }
    }

    /// Removes an entry of the map at `id`, which is that of `key`, and the map, if nothing is left in it.
    fn delete_at(&mut self, id: RowId, key: &TableKey<'_>, entry: &[u8]) {
        let Some(old) = self.table.update(id, |row| row.remove(entry)) else { return };
        let row = self.table.row(id);
        if old & SAVED != 0 {
            self.gone.delete(row.packed(), entry);
        }
        if row.entries.is_empty() {
            self.table.remove(id, key.hash);
        }
    }

    /// Lets an entry that has been read live on.
    fn refresh(&mut self, id: RowId, entry: &[u8], expiry: i64) {
        let flagged = self.table.row_mut(id).entries.get_mut(entry).expect("it has been read");
        set_expiry(&mut flagged[1..], expiry);
        let old = flagged[0];
        if self.is_tracking {
            flagged[0] |= DIRTY;
            self.mark(id, entry, old);
        }
    }

    /// Notes that an entry has changed that had the flags `old` before, and is dirty now.
    fn mark(&mut self, id: RowId, entry: &[u8], old: Flags) {
        if old & DIRTY == 0 {
            self.dirty.push((id, entry.into()));
            if self.dirty.len() > self.dirty_max {
                self.tidy_dirty();
            }
        }
        if old & SAVED != 0 {
            let flagged = self.table.row_mut(id).entries.get_mut(entry).expect("it has just been set");
            flagged[0] |= SAVED;
        }
    }

    /// Leaves out of [`dirty`](Self::dirty) what is gone or noted twice, so that entries that come and go between two
    /// snapshots do not add up.
    #[cold]
    fn tidy_dirty(&mut self) {
        self.dirty.sort_unstable();
        self.dirty.dedup();
        let table = &self.table;
        self.dirty.retain(|(id, entry)| {
            let flagged = table.row_at(*id).and_then(|row| row.entries.get(entry));
            flagged.is_some_and(|flagged| flagged[0] & DIRTY != 0)
        });
        self.dirty_max = DIRTY_LEAST.max(2 * self.dirty.len());
    }
}
