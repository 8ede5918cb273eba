//! Map states: the entries of one key and namespace in an ordered map.

use crate::key_table::{KeyTable, Row, TableKey, Touch, pack_key};
use crate::small_bytes::SmallBytes;
use crate::varint::{self, Varint};
use std::collections::BTreeMap;
use std::ops::Bound;
use tidewheel_types::keyed_state::{Entries, Scan};

/// What an entry takes beside its key and value: two fat pointers and its share of the tree and the allocator.
const ENTRY_OVERHEAD: usize = 64;

/// One map state.
#[derive(Default)]
pub(super) struct Maps {
    table: KeyTable<MapRow>,
}

struct MapRow {
    key: SmallBytes<30>,
    /// Each value begins with its schema version.
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

impl Maps {
    /// What to touch.
    pub(super) fn touch(&self) -> &dyn Touch {
        &self.table
    }

    /// Memory held, about.
    pub(super) fn bytes(&self) -> usize {
        self.table.bytes()
    }

    /// The value of entry `entry` in the map of `key`.
    pub(super) fn get(&self, key: &TableKey<'_>, entry: &[u8]) -> Option<&[u8]> {
        self.table.get(key)?.entries.get(entry).map(|value| varint::skip(value))
    }

    /// Sets an entry of the map of `key`.
    pub(super) fn put(&mut self, key: &TableKey<'_>, entry: &[u8], version: &Varint, value: &[u8]) {
        let new = || MapRow { key: pack_key(&key.key, &[]), entries: BTreeMap::new(), entry_bytes: 0 };
        let id = self.table.find_or_insert(key, new);
        let value = [version.as_slice(), value].concat().into_boxed_slice();
        self.table.update(id, |row| {
            row.entry_bytes += value.len();
            match row.entries.get_mut(entry) {
                Some(old) => row.entry_bytes -= std::mem::replace(old, value).len(),
                None => {
                    row.entry_bytes += entry.len() + ENTRY_OVERHEAD;
                    row.entries.insert(entry.into(), value);
                }
            }
        });
    }

    /// Removes an entry of the map of `key`.
    pub(super) fn delete_entry(&mut self, key: &TableKey<'_>, entry: &[u8]) {
        let Some(id) = self.table.find(key) else { return };
        let empty = self.table.update(id, |row| {
            if let Some(old) = row.entries.remove(entry) {
                row.entry_bytes -= entry.len() + old.len() + ENTRY_OVERHEAD;
            }
            row.entries.is_empty()
        });
        if empty {
            self.table.remove(id, key.hash);
        }
    }

    /// Removes the map of `key`.
    pub(super) fn delete(&mut self, key: &TableKey<'_>) {
        if let Some(id) = self.table.find(key) {
            self.table.remove(id, key.hash);
        }
    }

    /// Adds part of the map of `key` to `entries`.
    pub(super) fn scan(&self, key: &TableKey<'_>, scan: Scan<'_>, entries: &mut Entries) {
        entries.more = false;
        let Some(row) = self.table.get(key) else { return };
        let start = if scan.after { Bound::Excluded(scan.start) } else { Bound::Included(scan.start) };
        let bounds = match (scan.backwards, scan.start.is_empty()) {
            (false, _) => (start, Bound::Unbounded),
            (true, false) => (Bound::Unbounded, start),
            (true, true) => (Bound::Unbounded, Bound::Unbounded),
        };
        let mut range = row.entries.range::<[u8], _>(bounds);
        let mut next = || if scan.backwards { range.next_back() } else { range.next() };
        let mut bytes = 0;
        for taken in 0..scan.limit {
            let Some((entry, value)) = next() else { return };
            let value = varint::skip(value);
            bytes += entry.len() + value.len();
            if taken > 0 && bytes > scan.bytes_max {
                entries.more = true;
                return;
            }
            entries.keys.push(entry);
            entries.values.push(value);
        }
        entries.more = next().is_some();
    }
}
