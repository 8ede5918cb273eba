//! List states: the elements of one key and namespace in one column.
//!
//! An element keeps its index for all its life: where earlier ones have expired, indices are left out. The next one comes
//! after the last that is there.

use crate::delta::{EntryList, Frozen};
use crate::key_codec::StateId;
use crate::key_table::{KeyTable, Row, TableKey, Touch, pack_key, packed_key_end, unpack_key};
use crate::packed::PackedEntries;
use crate::rows::RowId;
use crate::small_bytes::SmallBytes;
use crate::state_info::StateInfo;
use crate::value_codec::{expiry_of, set_expiry};
use std::ops::Range;
use tidewheel_types::BytesColumn;
use tidewheel_types::keyed_state::{Entries, Scan, StateKey};

/// One list state. The elements of one list hold less than 4 GiB, which its column asserts.
pub(super) struct Lists {
    table: KeyTable<ListRow>,
    /// Elements that a snapshot has and that are gone: packed key, first and last index (not included).
    gone: Vec<u8>,
    is_tracking: bool,
    /// Whether an element may have an expiry.
    expires: bool,
    /// How far the sweep for expired elements has come.
    swept: usize,
}

struct ListRow {
    key: SmallBytes<30>,
    /// Each element begins with its head; an empty one is not there.
    elements: BytesColumn,
    /// Index of the first of `elements`.
    first: u64,
    /// So many of `elements`, the first ones, have been removed.
    removed: u32,
    /// Elements below this index may be in a snapshot.
    saved: u64,
    /// Elements below this index are in a snapshot as they are.
    clean: u64,
}

impl Row for ListRow {
    fn packed(&self) -> &[u8] {
        self.key.as_slice()
    }

    fn heap_bytes(&self) -> usize {
        self.key.heap_bytes() + size_of_val(self.elements.ends()) + self.elements.bytes().len()
    }
}

impl ListRow {
    fn new(key: &StateKey<'_>) -> Self {
        let (elements, key) = (BytesColumn::default(), pack_key(key, &[]));
        ListRow { key, elements, first: 0, removed: 0, saved: 0, clean: 0 }
    }

    /// Index of the element after the last.
    fn end(&self) -> u64 {
        self.first + self.elements.len() as u64
    }

    /// Places of the elements that have not been removed.
    fn places(&self) -> Range<usize> {
        self.removed as usize..self.elements.len()
    }

    /// Those of the elements `indices` that a snapshot may have.
    fn saved_of(&self, indices: Range<u64>) -> Range<u64> {
        indices.start..indices.end.min(self.saved)
    }

    /// Removes expired elements at the end; returns which of them a snapshot may have.
    fn remove_last(&mut self, info: &StateInfo) -> Range<u64> {
        let places = self.places();
        let is_live = |place: &usize| !info.is_expired(self.elements.get(*place));
        let Some(last) = places.clone().rev().find(is_live) else {
            let gone = self.saved_of(self.first + places.start as u64..self.end());
            self.elements.clear();
            (self.first, self.removed, self.saved, self.clean) = (0, 0, 0, 0);
            return gone;
        };
        let end = self.first + last as u64 + 1;
        let gone = self.saved_of(end..self.end());
        self.elements.truncate(last + 1);
        (self.saved, self.clean) = (self.saved.min(end), self.clean.min(end));
        gone
    }

    /// Removes expired elements at the front; returns which of them a snapshot may have.
    fn remove_first(&mut self, info: &StateInfo) -> Range<u64> {
        let places = self.places();
        let is_live = |place: &usize| !info.is_expired(self.elements.get(*place));
        let live = places.clone().find(is_live).unwrap_or(places.end);
        let gone = self.saved_of(self.first + places.start as u64..self.first + live as u64);
        self.removed = live as u32;
        // So that an element is moved once on the average.
        if live * 2 >= places.end {
            let mut left = BytesColumn::default();
            left.extend_from(&self.elements, live..places.end);
            self.elements = left;
            self.first += live as u64;
            self.removed = 0;
        }
        gone
    }
}

impl Lists {
    /// No lists yet. Whether it is to be tracked which ones change.
    pub(super) fn new(info: &StateInfo, is_tracking: bool) -> Self {
        Lists { table: KeyTable::new(is_tracking), gone: Vec::new(), is_tracking, expires: info.expires(), swept: 0 }
    }

    /// Whether nobody has a list.
    pub(super) fn is_empty(&self) -> bool {
        self.table.len() == 0
    }

    /// What to touch.
    pub(super) fn touch(&self) -> &dyn Touch {
        &self.table
    }

    /// Memory held, about.
    pub(super) fn bytes(&self) -> usize {
        self.table.bytes() + self.gone.capacity()
    }

    /// Adds an element at the end of the list of `key`.
    pub(super) fn append(&mut self, key: &TableKey<'_>, info: &StateInfo, element: &[u8]) {
        let id = self.table.find_or_insert(key, || ListRow::new(&key.key));
        let gone = self.table.update(id, |row| {
            let gone = if self.expires { row.remove_last(info) } else { 0..0 };
            row.elements.bytes_mut().extend_from_slice(info.head());
            row.elements.push(element);
            gone
        });
        push_gone(&mut self.gone, self.table.row(id).packed(), gone);
    }

    /// Removes the list of `key`.
    pub(super) fn delete(&mut self, key: &TableKey<'_>) {
        if let Some(id) = self.table.find(key) {
            let (row, _) = self.table.remove(id, key.hash);
            push_gone(&mut self.gone, row.packed(), row.saved_of(row.first + u64::from(row.removed)..row.end()));
        }
    }

    /// Adds part of the list of `key` to `entries`.
    pub(super) fn scan(&mut self, key: &TableKey<'_>, info: &StateInfo, scan: Scan<'_>, entries: &mut Entries) {
        entries.more = false;
        let Some(id) = self.table.find(key).filter(|_| !scan.is_empty()) else { return };
        let row = self.table.row(id);
        let mut places = row.places();
        let (first, end) = (places.start, places.end);
        let after = u64::from(scan.after);
        // The place of an index, or of what comes first after it.
        let place = |index: u64| {
            let place = usize::try_from(index.saturating_sub(row.first)).unwrap_or(usize::MAX);
            place.clamp(first, end)
        };
        match (scan.backwards, list_index(scan.start)) {
            (_, None) => {}
            (false, Some(start)) => places.start = place(start.saturating_add(after)),
            (true, Some(start)) => places.end = place(start.saturating_add(1 - after)),
        }
        match (scan.backwards, scan.until.and_then(list_index)) {
            (_, None) => {}
            (false, Some(until)) => places.end = places.end.min(place(until.saturating_add(1))),
            (true, Some(until)) => places.start = places.start.max(place(until)),
        }
        let (mut bytes, mut taken) = (0, 0);
        let mut read = Vec::new();
        while !places.is_empty() {
            let place = if scan.backwards { places.next_back() } else { places.next() };
            let place = place.expect("there is one left");
            let stored = row.elements.get(place);
            let Some(value) = info.live(stored) else { continue };
            let key = (row.first + place as u64).to_be_bytes();
            bytes += key.len() + value.len();
            if taken == scan.limit || taken > 0 && bytes > scan.bytes_max {
                entries.more = true;
                break;
            }
            taken += 1;
            entries.keys.push(&key);
            entries.values.push(value);
            read.extend(info.refreshed(stored).filter(|_| !scan.peeks).map(|expiry| (place, expiry)));
        }
        self.refresh(id, &read);
    }

    /// Lets elements that have been read live on.
    fn refresh(&mut self, id: RowId, read: &[(usize, i64)]) {
        if read.is_empty() {
            return;
        }
        self.table.touch(id);
        let row = self.table.row_mut(id);
        for &(place, expiry) in read {
            let range = row.elements.range(place);
            set_expiry(&mut row.elements.bytes_mut()[range], expiry);
            row.clean = row.clean.min(row.first + place as u64);
        }
    }

    /// Adds an element that a snapshot has; whether it can be, after those added before.
    pub(super) fn load(&mut self, key: StateKey<'_>, index: u64, stored: &[u8]) -> bool {
        self.expires |= expiry_of(stored).is_some();
        let is_tracking = self.is_tracking;
        let key = TableKey::new(key);
        let id = self.table.find_or_insert(&key, || ListRow::new(&key.key));
        self.table.update(id, |row| {
            if row.elements.is_empty() {
                row.first = index;
            }
            let Some(left_out) = index.checked_sub(row.end()).filter(|&left_out| left_out < ELEMENTS_MAX) else {
                return false;
            };
            (0..left_out).for_each(|_| row.elements.end_entry());
            row.elements.push(stored);
            if is_tracking {
                (row.saved, row.clean) = (index + 1, index + 1);
            }
            true
        })
    }

    /// All that was loaded is in a snapshot.
    pub(super) fn loaded(&mut self) {
        self.table.save(|_, _| {});
    }

    /// Copies the elements that have changed since the last time.
    pub(super) fn freeze(&mut self, info: &StateInfo) -> FrozenLists {
        let mut entries = PackedEntries::new(info.id);
        self.table.save(|row, _| {
            let mut places = row.places();
            places.start = places.start.max(row.clean.saturating_sub(row.first) as usize);
            for place in places {
                let stored = row.elements.get(place);
                if !stored.is_empty() {
                    entries.put(row.key.as_slice(), &(row.first + place as u64).to_be_bytes(), stored);
                }
            }
            (row.saved, row.clean) = (row.end(), row.end());
        });
        FrozenLists { state: info.id, gone: std::mem::take(&mut self.gone), entries }
    }

    /// Removes expired elements that are found by looking at `budget` lists.
    pub(super) fn sweep(&mut self, info: &StateInfo, budget: usize) {
        if !self.expires {
            return;
        }
        for _ in 0..budget.min(self.table.places()) {
            self.swept = if self.swept + 1 < self.table.places() { self.swept + 1 } else { 0 };
            self.remove_expired(RowId(self.swept as u32), info);
        }
    }

    fn remove_expired(&mut self, id: RowId, info: &StateInfo) {
        let Some(row) = self.table.row_at(id) else { return };
        if row.places().next().is_none_or(|first| !info.is_expired(row.elements.get(first))) {
            return;
        }
        let hash = unpack_key(row.packed()).hash;
        let gone = self.table.update(id, |row| row.remove_first(info));
        let row = self.table.row(id);
        push_gone(&mut self.gone, row.packed(), gone);
        if row.places().is_empty() {
            self.table.remove(id, hash);
        }
    }
}

/// More elements than a list can have.
const ELEMENTS_MAX: u64 = 1 << 32;

/// Notes elements that a snapshot may have and that are gone.
fn push_gone(gone: &mut Vec<u8>, row: &[u8], indices: Range<u64>) {
    if !indices.is_empty() {
        gone.extend_from_slice(&row[..packed_key_end(row)]);
        gone.extend_from_slice(&indices.start.to_le_bytes());
        gone.extend_from_slice(&indices.end.to_le_bytes());
    }
}

/// Elements of lists that have changed.
pub(super) struct FrozenLists {
    state: StateId,
    gone: Vec<u8>,
    entries: PackedEntries,
}

impl Frozen for FrozenLists {
    fn add_to<'f>(&'f self, entries: &mut EntryList<'f>) {
        let mut rest = &self.gone[..];
        while !rest.is_empty() {
            let key = unpack_key(rest).key;
            let (range, after) = rest[packed_key_end(rest)..].split_at(16);
            let index = |bytes: &[u8]| u64::from_le_bytes(*bytes.first_chunk().expect("it has 8 bytes"));
            for index in index(range)..index(&range[8..]) {
                entries.delete(self.state, &key, &index.to_be_bytes());
            }
            rest = after;
        }
        self.entries.add_to(entries);
    }
}

/// The index that 8 big-endian bytes name; none if they are empty. Fewer bytes name what they begin.
fn list_index(start: &[u8]) -> Option<u64> {
    if start.is_empty() {
        return None;
    }
    let mut bytes = [0; 8];
    let len = start.len().min(8);
    bytes[..len].copy_from_slice(&start[..len]);
    Some(u64::from_be_bytes(bytes))
}
