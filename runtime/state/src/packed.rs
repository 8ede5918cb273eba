//! Changed entries one after the other in one piece of memory, until they are sorted.

use crate::delta::{EntryList, Frozen};
use crate::key_codec::StateId;
use crate::key_table::{packed_key_end, unpack_key};
use crate::value_codec::TOMBSTONE;
use crate::varint::{self, Varint};

/// Changes of entries of one state, in order. Of each: packed key, length and bytes of the user key, length and bytes of
/// the stored value; an empty one for a tombstone.
pub(crate) struct PackedEntries {
    state: StateId,
    bytes: Vec<u8>,
}

impl PackedEntries {
    /// No changes.
    pub(crate) fn new(state: StateId) -> Self {
        PackedEntries { state, bytes: Vec::new() }
    }

    /// Adds an entry that was set. `row` begins with its packed key.
    #[inline]
    pub(crate) fn put(&mut self, row: &[u8], user_key: &[u8], stored: &[u8]) {
        self.bytes.extend_from_slice(&row[..packed_key_end(row)]);
        for part in [user_key, stored] {
            self.bytes.extend_from_slice(Varint::new(part.len() as u32).as_slice());
            self.bytes.extend_from_slice(part);
        }
    }

    /// Adds an entry that is gone. `row` begins with its packed key.
    pub(crate) fn delete(&mut self, row: &[u8], user_key: &[u8]) {
        self.put(row, user_key, TOMBSTONE);
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.capacity()
    }

    /// What there is; nothing is left.
    pub(crate) fn take(&mut self) -> PackedEntries {
        PackedEntries { state: self.state, bytes: std::mem::take(&mut self.bytes) }
    }
}

impl Frozen for PackedEntries {
    fn add_to<'f>(&'f self, entries: &mut EntryList<'f>) {
        let mut rest = &self.bytes[..];
        while !rest.is_empty() {
            let key = unpack_key(rest).key;
            let (user_key, after) = take_part(&rest[packed_key_end(rest)..]);
            let (stored, after) = take_part(after);
            if stored.is_empty() {
                entries.delete(self.state, &key, user_key);
            } else {
                entries.put(self.state, &key, user_key, stored);
            }
            rest = after;
        }
    }
}

fn take_part(bytes: &[u8]) -> (&[u8], &[u8]) {
    let (len, used) = varint::read(bytes);
    bytes[used..].split_at(len as usize)
}
