//! Hash → place of a row: an open-addressing table with linear probing.
//!
//! An entry takes 8 bytes and lies at or shortly after the place its hash names, so a look-up touches one cache line of
//! the index, and which one is known from the hash alone. (A general hash table has control bytes beside its entries:
//! one cache miss more, and no way to start it early.) An entry holds its hash, so nothing else is touched when the
//! index grows; and the place is given by the *top* bits of the hash, so entries are in the order of their hashes and
//! growing is one pass from front to back.

use crate::rows::RowId;

/// What an entry is found by: half of a 64-bit hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RowHash(pub(crate) u32);

/// An entry, or a vacant place.
#[derive(Clone, Copy, Debug)]
#[repr(align(8))]
struct Entry {
    hash: RowHash,
    row: RowId,
}

const VACANT: Entry = Entry { hash: RowHash(0), row: RowId::NONE };

impl Entry {
    #[inline]
    fn is_vacant(self) -> bool {
        self.row == RowId::NONE
    }
}

/// The least number of places, so that an index that is not empty has one.
const LEAST_BITS: u32 = 3;

/// Which row has which hash. Several may have the same one.
#[derive(Default)]
pub(crate) struct Index {
    /// A power of two of them, or none. At most two thirds are taken.
    entries: Vec<Entry>,
    len: usize,
    /// By how much a hash is shifted to give a place.
    shift: u32,
}

impl Index {
    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        self.entries.capacity() * size_of::<Entry>()
    }

    /// Reads what a look-up of `hash` will read first.
    #[inline]
    pub(crate) fn touch(&self, hash: RowHash) -> u32 {
        self.entries.get(self.place(hash)).map_or(0, |entry| entry.row.0)
    }

    /// The first row of `hash` that `is_wanted`.
    #[inline]
    pub(crate) fn find(&self, hash: RowHash, is_wanted: impl FnMut(RowId) -> bool) -> Option<RowId> {
        self.find_place(hash, is_wanted).map(|place| self.entries[place].row)
    }

    /// Adds a row.
    #[inline]
    pub(crate) fn insert(&mut self, hash: RowHash, row: RowId) {
        if self.entries.len() * 2 < (self.len + 1) * 3 {
            self.resize((self.entries.len() * 2).max(1 << LEAST_BITS));
        }
        self.len += 1;
        self.put(Entry { hash, row });
    }

    /// Takes out a row.
    pub(crate) fn remove(&mut self, hash: RowHash, row: RowId) {
        let mut hole = self.find_place(hash, |other| other == row).expect("the row is in the index");
        let mask = self.entries.len() - 1;
        let mut place = hole;
        loop {
            place = (place + 1) & mask;
            let entry = self.entries[place];
            if entry.is_vacant() {
                break;
            }
            // A search for this entry walks from its home to here. If it comes by the hole, the entry fills it.
            let walked = place.wrapping_sub(self.place(entry.hash)) & mask;
            if walked >= place.wrapping_sub(hole) & mask {
                self.entries[hole] = entry;
                hole = place;
            }
        }
        self.entries[hole] = VACANT;
        self.len -= 1;
        // Far below the load at which it grows, so that rows that come and go do not make it go back and forth.
        if self.entries.len() > 1 << LEAST_BITS && self.len * 8 < self.entries.len() {
            self.resize(self.entries.len() / 2);
        }
    }

    /// Where a search for `hash` begins.
    #[inline]
    fn place(&self, hash: RowHash) -> usize {
        (u64::from(hash.0) >> self.shift) as usize
    }

    #[inline]
    fn find_place(&self, hash: RowHash, mut is_wanted: impl FnMut(RowId) -> bool) -> Option<usize> {
        if self.entries.is_empty() {
            return None;
        }
        let mask = self.entries.len() - 1;
        let mut place = self.place(hash);
        loop {
            let entry = self.entries[place & mask];
            if entry.is_vacant() {
                return None;
            }
            if entry.hash == hash && is_wanted(entry.row) {
                return Some(place & mask);
            }
            place += 1;
        }
    }

    /// Puts an entry into the first vacant place.
    #[inline]
    fn put(&mut self, entry: Entry) {
        let mask = self.entries.len() - 1;
        let mut place = self.place(entry.hash);
        while !self.entries[place & mask].is_vacant() {
            place += 1;
        }
        self.entries[place & mask] = entry;
    }

    /// Moves all entries into `places` places.
    #[cold]
    fn resize(&mut self, places: usize) {
        let old = std::mem::replace(&mut self.entries, vec![VACANT; places]);
        self.shift = 32 - places.ilog2();
        old.into_iter().filter(|entry| !entry.is_vacant()).for_each(|entry| self.put(entry));
    }
}

#[cfg(test)]
mod tests {
    use super::{Index, RowHash};
    use crate::rows::RowId;
    use proptest::collection::vec;
    use proptest::prelude::{any, prop_assert, prop_assert_eq, prop_oneof, proptest};
    use std::collections::HashMap;

    proptest! {
        #[test]
        fn finds_what_is_there(
            steps in vec((any::<bool>(), 0u32..100), 0..400),
            // Hashes that are all alike, that meet at the end and go round, and that are spread out.
            spread in prop_oneof![0u32..2, u32::MAX - 1..=u32::MAX, any::<u32>()],
        ) {
            let mut index = Index::default();
            let mut model: HashMap<u32, u32> = HashMap::new();
            let hash = |row: u32| RowHash((row / 2).wrapping_mul(spread));
            for (add, row) in steps {
                if add && !model.contains_key(&row) {
                    index.insert(hash(row), RowId(row));
                    model.insert(row, row);
                } else if !add && model.remove(&row).is_some() {
                    index.remove(hash(row), RowId(row));
                }
                for row in 0..100 {
                    let found = index.find(hash(row), |other| other == RowId(row));
                    prop_assert_eq!(found.is_some(), model.contains_key(&row));
                }
                prop_assert!(index.entries.len() <= 8 || index.len * 8 >= index.entries.len());
                prop_assert!(index.len * 3 <= index.entries.len() * 2);
            }
        }
    }
}
