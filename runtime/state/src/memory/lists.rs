//! List states: the elements of one key and namespace in one column.

use crate::key_table::{KeyTable, Row, TableKey, Touch, pack_key};
use crate::small_bytes::SmallBytes;
use crate::varint::{self, Varint};
use tidewheel_types::BytesColumn;
use tidewheel_types::keyed_state::{Entries, Scan};

/// One list state. The elements of one list hold less than 4 GiB, which its column asserts.
#[derive(Default)]
pub(super) struct Lists {
    table: KeyTable<ListRow>,
}

struct ListRow {
    key: SmallBytes<30>,
    /// Each element begins with its schema version.
    elements: BytesColumn,
}

impl Row for ListRow {
    fn packed(&self) -> &[u8] {
        self.key.as_slice()
    }

    fn heap_bytes(&self) -> usize {
        self.key.heap_bytes() + size_of_val(self.elements.ends()) + self.elements.bytes().len()
    }
}

impl Lists {
    /// What to touch.
    pub(super) fn touch(&self) -> &dyn Touch {
        &self.table
    }

    /// Memory held, about.
    pub(super) fn bytes(&self) -> usize {
        self.table.bytes()
    }

    /// Adds an element at the end of the list of `key`.
    pub(super) fn append(&mut self, key: &TableKey<'_>, version: &Varint, element: &[u8]) {
        let new = || ListRow { key: pack_key(&key.key, &[]), elements: BytesColumn::default() };
        let id = self.table.find_or_insert(key, new);
        self.table.update(id, |row| {
            row.elements.bytes_mut().extend_from_slice(version.as_slice());
            row.elements.push(element);
        });
    }

    /// Removes the list of `key`.
    pub(super) fn delete(&mut self, key: &TableKey<'_>) {
        if let Some(id) = self.table.find(key) {
            self.table.remove(id, key.hash);
        }
    }

    /// Adds part of the list of `key` to `entries`.
    pub(super) fn scan(&self, key: &TableKey<'_>, scan: Scan<'_>, entries: &mut Entries) {
        entries.more = false;
        let Some(row) = self.table.get(key) else { return };
        let len = row.elements.len();
        let start = list_index(scan.start);
        let after = usize::from(scan.after);
        // Of the elements `from..to` those are wanted that the scan reaches first.
        let (from, to) = match (scan.backwards, start) {
            (false, None) | (true, None) => (0, len),
            (false, Some(start)) => (start.saturating_add(after).min(len), len),
            (true, Some(start)) => (0, start.saturating_add(1 - after).min(len)),
        };
        let mut bytes = 0;
        for taken in 0..to - from {
            let index = if scan.backwards { to - 1 - taken } else { from + taken };
            let (key, value) = ((index as u64).to_be_bytes(), varint::skip(row.elements.get(index)));
            bytes += key.len() + value.len();
            if taken == scan.limit || taken > 0 && bytes > scan.bytes_max {
                entries.more = true;
                return;
            }
            entries.keys.push(&key);
            entries.values.push(value);
        }
    }
}

/// The index that 8 big-endian bytes name; none if they are empty. Fewer bytes name what they begin.
fn list_index(start: &[u8]) -> Option<usize> {
    if start.is_empty() {
        return None;
    }
    let mut bytes = [0; 8];
    let len = start.len().min(8);
    bytes[..len].copy_from_slice(&start[..len]);
    Some(usize::try_from(u64::from_be_bytes(bytes)).unwrap_or(usize::MAX))
}
