//! Rows found by key and namespace: the structure under values, lists, maps and timers.
//!
//! A hash index gives the place of a row. Finding the row of a key that is not in the processor's cache costs two
//! misses, one in the index and one in the rows, each of which takes longer than all the rest. So whoever has many keys
//! *touches* what they need first: the index for all keys, then the rows for all keys. Nothing waits for what was
//! touched, so the processor fetches many lines of memory at once.

use crate::index::{Index, RowHash};
use crate::rows::{RowId, Rows};
use crate::small_bytes::SmallBytes;
use std::hint::black_box;
use tidewheel_types::key_group::hash_key;
use tidewheel_types::keyed_state::StateKey;

/// Keys taken together: enough to keep the memory busy, few enough to stay in the innermost cache.
pub(crate) const LOOKAHEAD: usize = 32;

/// Something kept for a key and namespace.
pub(crate) trait Row {
    /// Bytes that begin with the packed key ([`pack_key`]).
    fn packed(&self) -> &[u8];

    /// Bytes on the heap, about.
    fn heap_bytes(&self) -> usize;
}

/// The four bytes before a key: its length, and in the top byte the length of the namespace.
#[derive(Clone, Copy, PartialEq, Eq)]
struct KeyHeader(u32);

const KEY_HEADER_BYTES: usize = 4;

impl KeyHeader {
    /// # Panics
    /// If the key is longer than a record may be, 16 MiB, or the namespace than 255 bytes; a window takes 8.
    #[inline]
    fn new(key: &StateKey<'_>) -> Self {
        let (key_len, namespace_len) = (key.key.len(), key.namespace.len());
        assert!(key_len < 1 << 24 && namespace_len < 1 << 8, "{key_len} bytes of key, {namespace_len} of namespace");
        KeyHeader(key_len as u32 | (namespace_len as u32) << 24)
    }

    #[inline]
    fn read(bytes: &[u8]) -> Self {
        KeyHeader(u32::from_le_bytes(*bytes.first_chunk().expect("a row begins with a packed key")))
    }

    /// Where the namespace begins, and where it ends.
    #[inline]
    fn ends(self) -> (usize, usize) {
        let middle = KEY_HEADER_BYTES + (self.0 & 0xff_ffff) as usize;
        (middle, middle + (self.0 >> 24) as usize)
    }
}

/// Begins a row's bytes: header, key, namespace; then `rest`.
pub(crate) fn pack_key<const N: usize>(key: &StateKey<'_>, rest: &[u8]) -> SmallBytes<N> {
    SmallBytes::concat(&[&KeyHeader::new(key).0.to_le_bytes(), key.key, key.namespace, rest])
}

/// The key at the start of a row's bytes.
#[inline]
pub(crate) fn unpack_key(bytes: &[u8]) -> TableKey<'_> {
    let (middle, end) = KeyHeader::read(bytes).ends();
    let key = &bytes[KEY_HEADER_BYTES..middle];
    TableKey::new(StateKey { hash: hash_key(key), key, namespace: &bytes[middle..end] })
}

/// Where the key at the start of a row's bytes ends.
#[inline]
pub(crate) fn packed_key_end(bytes: &[u8]) -> usize {
    KeyHeader::read(bytes).ends().1
}

/// A key with the hash of key and namespace.
#[derive(Clone, Copy)]
pub(crate) struct TableKey<'a> {
    /// The key.
    pub(crate) key: StateKey<'a>,
    /// The hash.
    pub(crate) hash: RowHash,
}

impl<'a> TableKey<'a> {
    /// To fill an array with.
    pub(crate) const EMPTY: Self = TableKey { key: StateKey { hash: 0, key: &[], namespace: &[] }, hash: RowHash(0) };

    /// The low bits of a key's hash say in which key group it is, so those of a worker's keys are alike; the top half
    /// is as good as random.
    #[inline]
    pub(crate) fn new(key: StateKey<'a>) -> Self {
        let of_namespace = if key.namespace.is_empty() { 0 } else { hash_key(key.namespace) as u32 };
        TableKey { key, hash: RowHash((key.hash >> 32) as u32 ^ of_namespace) }
    }
}

/// What to read ahead of a use. The sums are for [`black_box`] alone, without which the reads would be left out.
pub(crate) trait Touch {
    /// Reads what finding `key` in the index will read.
    fn touch_index(&self, key: &TableKey<'_>) -> u32;

    /// Reads the start of the row of `key`, or of another one with its hash.
    fn touch_row(&self, key: &TableKey<'_>) -> u32;
}

/// At most one row per key and namespace.
pub(crate) struct KeyTable<R> {
    index: Index,
    rows: Rows<R>,
    /// Sum of the rows' [`heap_bytes`](Row::heap_bytes).
    heap_bytes: usize,
}

impl<R> KeyTable<R> {
    /// No rows. Whether it is to be tracked which ones change.
    pub(crate) fn new(is_tracking: bool) -> Self {
        KeyTable { index: Index::default(), rows: Rows::new(is_tracking), heap_bytes: 0 }
    }
}

impl<R: Row> Touch for KeyTable<R> {
    #[inline]
    fn touch_index(&self, key: &TableKey<'_>) -> u32 {
        self.index.touch(key.hash)
    }

    #[inline]
    fn touch_row(&self, key: &TableKey<'_>) -> u32 {
        self.index.find(key.hash, |_| true).map_or(0, |id| u32::from(self.rows[id].packed()[0]))
    }
}

impl<R: Row> KeyTable<R> {
    /// Number of rows.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Memory held, about.
    pub(crate) fn bytes(&self) -> usize {
        self.index.bytes() + self.rows.bytes() + self.heap_bytes
    }

    /// Memory that the rows there are take, about.
    #[inline]
    pub(crate) fn used_bytes(&self) -> usize {
        self.index.bytes() + self.rows.len() * size_of::<R>() + self.heap_bytes
    }

    /// The row at `id`.
    #[inline]
    pub(crate) fn row(&self, id: RowId) -> &R {
        &self.rows[id]
    }

    /// The row at `id`, if there is one.
    pub(crate) fn row_at(&self, id: RowId) -> Option<&R> {
        self.rows.get(id)
    }

    /// Number of places that rows may be at.
    pub(crate) fn places(&self) -> usize {
        self.rows.places()
    }

    /// Notes a change made by [`row_mut`](Self::row_mut).
    #[inline]
    pub(crate) fn touch(&mut self, id: RowId) {
        self.rows.touch(id);
    }

    /// Notes a change of all rows.
    pub(crate) fn touch_all(&mut self) {
        self.rows.touch_all();
    }

    /// Number of rows that have changed since [`save`](Self::save).
    pub(crate) fn dirty(&self) -> usize {
        self.rows.dirty()
    }

    /// Hands out the rows that have changed since the last time, in the order of their places, and whether one was handed
    /// out before. What `each` does to a row leaves its key and its memory on the heap as they are.
    pub(crate) fn save(&mut self, each: impl FnMut(&mut R, bool)) {
        self.rows.save(each);
    }

    /// The row at `id`, for a change that leaves its key and its memory on the heap as they are, and that no snapshot
    /// needs.
    #[inline]
    pub(crate) fn row_mut(&mut self, id: RowId) -> &mut R {
        &mut self.rows[id]
    }

    /// Changes the row at `id`, but not its key.
    #[inline]
    pub(crate) fn update<T>(&mut self, id: RowId, change: impl FnOnce(&mut R) -> T) -> T {
        self.rows.touch(id);
        let row = &mut self.rows[id];
        let before = row.heap_bytes();
        let result = change(row);
        self.heap_bytes = self.heap_bytes - before + row.heap_bytes();
        result
    }

    /// Where the row of `key` is.
    #[inline]
    pub(crate) fn find(&self, key: &TableKey<'_>) -> Option<RowId> {
        self.index.find(key.hash, |id| is_of(&self.rows[id], &key.key))
    }

    /// Hands out the row of every key with its place, in order, having touched what it takes.
    pub(crate) fn for_each<'k>(
        &self,
        keys: &mut dyn Iterator<Item = StateKey<'k>>,
        mut each: impl FnMut(Option<(RowId, &R)>),
    ) {
        self.for_each_keyed(keys, |_, row| each(row));
    }

    /// As [`for_each`](Self::for_each), with the keys.
    pub(crate) fn for_each_keyed<'k>(
        &self,
        keys: &mut dyn Iterator<Item = StateKey<'k>>,
        mut each: impl FnMut(&TableKey<'k>, Option<(RowId, &R)>),
    ) {
        let mut ahead = [TableKey::EMPTY; LOOKAHEAD];
        let mut found = [None; LOOKAHEAD];
        loop {
            let taken = fill(&mut ahead, &mut keys.map(TableKey::new));
            let ahead = &ahead[..taken];
            black_box(ahead.iter().fold(0, |sum, key| sum ^ self.touch_index(key)));
            let mut touched = 0;
            for (found, key) in found.iter_mut().zip(ahead) {
                *found = self.index.find(key.hash, |_| true);
                touched ^= found.map_or(0, |id| self.rows[id].packed()[0]);
            }
            black_box(touched);
            for (found, key) in found.iter().zip(ahead) {
                // Several keys may share a hash; then the first row found may be another key's.
                let row = found.and_then(|id| match &self.rows[id] {
                    row if is_of(row, &key.key) => Some((id, row)),
                    _ => self.find(key).map(|id| (id, &self.rows[id])),
                });
                each(key, row);
            }
            if taken < LOOKAHEAD {
                return;
            }
        }
    }

    /// Where the row of `key` is; `new` makes it if there is none.
    #[inline]
    pub(crate) fn find_or_insert(&mut self, key: &TableKey<'_>, new: impl FnOnce() -> R) -> RowId {
        self.find(key).unwrap_or_else(|| {
            let row = new();
            self.heap_bytes += row.heap_bytes();
            let id = self.rows.insert(row);
            self.index.insert(key.hash, id);
            id
        })
    }

    /// Removes the row at `id`, which is that of a key with this hash. Returns it, and whether it was handed out by
    /// [`save`](Self::save).
    pub(crate) fn remove(&mut self, id: RowId, hash: RowHash) -> (R, bool) {
        let (row, was_saved) = self.rows.remove(id);
        self.heap_bytes -= row.heap_bytes();
        self.index.remove(hash, id);
        (row, was_saved)
    }
}

/// Fills the array from the front, and says how far.
#[inline]
pub(crate) fn fill<T>(array: &mut [T; LOOKAHEAD], items: &mut impl Iterator<Item = T>) -> usize {
    let mut taken = 0;
    while taken < LOOKAHEAD {
        let Some(item) = items.next() else { break };
        array[taken] = item;
        taken += 1;
    }
    taken
}

/// Whether `row` is the row of `key`.
#[inline]
fn is_of<R: Row>(row: &R, key: &StateKey<'_>) -> bool {
    let bytes = row.packed();
    let header = KeyHeader::read(bytes);
    let (middle, end) = header.ends();
    header == KeyHeader::new(key)
        && are_equal(&bytes[KEY_HEADER_BYTES..middle], key.key)
        && are_equal(&bytes[middle..end], key.namespace)
}

/// Compares byte strings of which most are a number or nothing, for which a call to compare memory is a detour.
#[inline]
fn are_equal(left: &[u8], right: &[u8]) -> bool {
    match (<&[u8; 8]>::try_from(left), <&[u8; 8]>::try_from(right)) {
        (Ok(left), Ok(right)) => left == right,
        _ => left.len() == right.len() && (left.is_empty() || left == right),
    }
}

#[cfg(test)]
mod tests {
    use super::{KeyTable, LOOKAHEAD, Row, TableKey, pack_key, unpack_key};
    use crate::small_bytes::SmallBytes;
    use tidewheel_types::keyed_state::StateKey;

    impl Row for SmallBytes<30> {
        fn packed(&self) -> &[u8] {
            self.as_slice()
        }

        fn heap_bytes(&self) -> usize {
            SmallBytes::heap_bytes(self)
        }
    }

    #[test]
    fn keys_that_share_a_hash_have_their_own_rows() {
        let names: Vec<String> = (0..2 * LOOKAHEAD + 1).map(|number| format!("{number:0number$}")).collect();
        let key = |name: &'static str| StateKey { hash: 7, key: name.as_bytes(), namespace: &[] };
        let keys: Vec<StateKey<'static>> = names.into_iter().map(|name| key(name.leak())).collect();
        let mut table: KeyTable<SmallBytes<30>> = KeyTable::new(false);
        for key in keys.iter().step_by(2) {
            table.find_or_insert(&TableKey::new(*key), || pack_key(key, &[]));
        }
        let mut found = Vec::new();
        table.for_each(&mut keys.iter().copied(), |row| {
            found.push(row.map(|(_, row)| unpack_key(row.packed()).key.key.to_vec()))
        });
        let expected: Vec<_> = keys.iter().enumerate().map(|(i, key)| (i % 2 == 0).then(|| key.key.to_vec())).collect();
        assert_eq!(found, expected);
        for key in keys.iter().step_by(2).map(|key| TableKey::new(*key)) {
            let id = table.find(&key).expect("it was inserted");
            table.remove(id, key.hash);
            assert!(table.find(&key).is_none());
        }
        assert_eq!((table.len(), table.heap_bytes), (0, 0));
    }
}
