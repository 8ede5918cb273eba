//! Which rows have changed since the last snapshot, and which ones a snapshot has: a bit each.
//!
//! Bits lie in the order of the rows' places, so looking for what has changed goes through memory front to back, and at a
//! million rows they take 250 KB, most of which stays in the processor's cache.

use crate::rows::RowId;

/// The marks of rows by their place. Untracked rows have none, and marking them does nothing.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    is_tracking: bool,
    /// Changed, or new.
    dirty: Vec<u64>,
    /// In a snapshot, perhaps as it was before.
    saved: Vec<u64>,
}

/// Rows per word.
pub(crate) const WORD_ROWS: usize = u64::BITS as usize;

impl Marks {
    pub(crate) fn new(is_tracking: bool) -> Self {
        Marks { is_tracking, ..Marks::default() }
    }

    /// Makes room for the marks of so many rows.
    pub(crate) fn grow(&mut self, rows: usize) {
        if self.is_tracking {
            let words = rows.div_ceil(WORD_ROWS);
            self.dirty.resize(words, 0);
            self.saved.resize(words, 0);
        }
    }

    /// Notes a change.
    #[inline]
    pub(crate) fn touch(&mut self, id: RowId) {
        let (word, bit) = place(id);
        if let Some(word) = self.dirty.get_mut(word) {
            *word |= bit;
        }
    }

    /// Notes changes of all rows of some words.
    pub(crate) fn touch_words(&mut self, first: usize, words: usize) {
        if let Some(words) = self.dirty.get_mut(first..first + words) {
            words.fill(u64::MAX);
        }
    }

    /// Forgets a row that is gone. Whether a snapshot has it.
    pub(crate) fn forget(&mut self, id: RowId) -> bool {
        let (word, bit) = place(id);
        let Some(saved) = self.saved.get_mut(word) else { return false };
        let was_saved = *saved & bit != 0;
        *saved &= !bit;
        self.dirty[word] &= !bit;
        was_saved
    }

    /// Number of rows that have changed.
    pub(crate) fn dirty(&self) -> usize {
        self.dirty.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// The changed rows of each word that has one: the word's number, and by bit which of them have changed and which of
    /// all are in a snapshot. Afterwards none have changed, and all that had are in a snapshot.
    pub(crate) fn save(&mut self, mut each: impl FnMut(usize, u64, u64)) {
        for (number, (dirty, saved)) in self.dirty.iter_mut().zip(&mut self.saved).enumerate() {
            if *dirty != 0 {
                each(number, *dirty, *saved);
                *saved |= std::mem::take(dirty);
            }
        }
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        (self.dirty.capacity() + self.saved.capacity()) * size_of::<u64>()
    }
}

#[inline]
fn place(id: RowId) -> (usize, u64) {
    (id.0 as usize / WORD_ROWS, 1 << (id.0 as usize % WORD_ROWS))
}
