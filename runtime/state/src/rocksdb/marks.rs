//! What is known of the rows of a cache: a bit each, in the order of the rows' places.

use crate::rows::RowId;
use std::collections::VecDeque;

/// Rows per word.
const WORD_ROWS: usize = u64::BITS as usize;

/// The marks of cached rows.
#[derive(Default)]
pub(super) struct CacheMarks {
    words: Vec<Word>,
    dirty_rows: usize,
    /// Frozen, but not in the RocksDB yet; oldest first.
    pending: VecDeque<Pending>,
}

/// The marks of 64 rows. They lie together, so that reading and writing a row costs one line of the processor's cache.
#[derive(Clone, Copy, Default)]
struct Word {
    /// There is a row.
    live: u64,
    /// Used since the hand of eviction came by.
    used: u64,
    /// Changed since the last freeze.
    dirty: u64,
    /// The RocksDB may hold a cell of it.
    saved: u64,
}

/// The rows of one freeze.
struct Pending {
    generation: u64,
    rows: usize,
    words: Vec<u64>,
}

impl CacheMarks {
    /// Notes a row that was put into the cache.
    pub(super) fn insert(&mut self, id: RowId, is_saved: bool) {
        let (word, bit) = place(id);
        if word >= self.words.len() {
            self.words.resize(word + 1, Word::default());
        }
        let word = &mut self.words[word];
        word.live |= bit;
        word.used |= bit;
        if is_saved {
            word.saved |= bit;
        }
    }

    /// Forgets a row that is clean.
    pub(super) fn remove(&mut self, id: RowId) {
        let (word, bit) = place(id);
        let word = &mut self.words[word];
        word.live &= !bit;
        word.used &= !bit;
        word.saved &= !bit;
    }

    /// Notes a use.
    #[inline]
    pub(super) fn use_row(&mut self, id: RowId) {
        let (word, bit) = place(id);
        self.words[word].used |= bit;
    }

    /// Notes a change.
    #[inline]
    pub(super) fn change(&mut self, id: RowId) {
        let (word, bit) = place(id);
        let word = &mut self.words[word];
        self.dirty_rows += usize::from(word.dirty & bit == 0);
        word.dirty |= bit;
        word.used |= bit;
    }

    /// Number of rows that have changed since the last freeze.
    pub(super) fn dirty_rows(&self) -> usize {
        self.dirty_rows
    }

    /// Number of frozen rows that wait to be in the RocksDB.
    pub(super) fn pending_rows(&self) -> usize {
        self.pending.iter().map(|pending| pending.rows).sum()
    }

    /// Hands out the changed rows in the order of their places, and whether the RocksDB may hold a cell of each. They are
    /// pending from now on; `each` says whether there is anything of it to be saved.
    pub(super) fn freeze(&mut self, generation: u64, mut each: impl FnMut(RowId, bool) -> bool) {
        let rows = std::mem::take(&mut self.dirty_rows);
        if rows == 0 {
            return;
        }
        let mut words = Vec::with_capacity(self.words.len());
        for (number, word) in self.words.iter_mut().enumerate() {
            let dirty = std::mem::take(&mut word.dirty);
            words.push(dirty);
            for bit in bits(dirty) {
                let mask = 1 << bit;
                if each(row_id(number, bit), word.saved & mask != 0) {
                    word.saved |= mask;
                }
            }
        }
        self.pending.push_back(Pending { generation, rows, words });
    }

    /// All freezes below `generation` are in the RocksDB.
    pub(super) fn settle(&mut self, generation: u64) {
        while self.pending.front().is_some_and(|pending| pending.generation < generation) {
            self.pending.pop_front();
        }
    }

    /// Number of words.
    pub(super) fn words(&self) -> usize {
        self.words.len()
    }

    /// The rows of a word that can be evicted. Those that have been used stay, once.
    pub(super) fn evictable(&mut self, number: usize) -> impl Iterator<Item = RowId> + use<> {
        let word = &mut self.words[number];
        let pending = self.pending.iter().map(|pending| pending.words.get(number).copied().unwrap_or(0));
        let held = pending.fold(word.dirty, |held, pending| held | pending);
        let rows = word.live & !word.used & !held;
        word.used = 0;
        bits(rows).map(move |bit| row_id(number, bit))
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        let pending = self.pending.iter().map(|pending| pending.words.capacity() * size_of::<u64>());
        self.words.capacity() * size_of::<Word>() + pending.sum::<usize>()
    }
}

#[inline]
fn place(id: RowId) -> (usize, u64) {
    (id.0 as usize / WORD_ROWS, 1 << (id.0 as usize % WORD_ROWS))
}

fn row_id(word: usize, bit: usize) -> RowId {
    RowId((word * WORD_ROWS + bit) as u32)
}

/// The places of the bits that are set.
fn bits(mut word: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let bit = word.trailing_zeros() as usize;
        (word != 0).then(|| {
            word &= word - 1;
            bit
        })
    })
}

#[cfg(test)]
mod tests {
    use super::{CacheMarks, RowId};

    #[test]
    fn what_changed_or_is_pending_or_was_used_stays() {
        let mut marks = CacheMarks::default();
        (0..200).for_each(|row| marks.insert(RowId(row), false));
        let evictable = |marks: &mut CacheMarks| {
            (0..marks.words())
                .flat_map(|word| marks.evictable(word).collect::<Vec<_>>())
                .map(|id| id.0)
                .collect::<Vec<u32>>()
        };
        let none: Vec<u32> = Vec::new();
        assert_eq!(evictable(&mut marks), none, "all are new");
        (2..200).for_each(|row| marks.change(RowId(row)));
        assert_eq!(marks.dirty_rows(), 198);
        evictable(&mut marks);
        assert_eq!(evictable(&mut marks), [0, 1]);
        let mut frozen = Vec::new();
        marks.freeze(7, |id, was_saved| {
            frozen.push((id.0, was_saved));
            true
        });
        assert_eq!(frozen, (2..200).map(|row| (row, false)).collect::<Vec<_>>());
        marks.change(RowId(5));
        marks.freeze(8, |id, was_saved| {
            assert_eq!((id.0, was_saved), (5, true));
            true
        });
        assert_eq!((marks.dirty_rows(), marks.pending_rows()), (0, 199));
        evictable(&mut marks);
        assert_eq!(evictable(&mut marks), [0, 1]);
        marks.settle(8);
        let left: Vec<u32> = (0..200).filter(|&row| row != 5).collect();
        assert_eq!(evictable(&mut marks), left);
        marks.settle(9);
        marks.remove(RowId(3));
        assert!(!evictable(&mut marks).contains(&3) && evictable(&mut marks).contains(&5));
    }
}
