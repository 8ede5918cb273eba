//! A column of byte strings: one piece of memory for all of them.

use std::ops::Range;

/// Byte strings one after the other, with the place where each ends.
///
/// The layout is that of the `X-ends` / `X` column pairs of a frame (`wit/operator.wit`): entry *i* starts where entry
/// *i - 1* ends, the first at 0. A column holds less than 4 GiB.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BytesColumn {
    ends: Vec<u32>,
    bytes: Vec<u8>,
}

impl BytesColumn {
    /// A column with room for `entries` entries of `bytes` bytes in all.
    pub fn with_capacity(entries: usize, bytes: usize) -> Self {
        BytesColumn { ends: Vec::with_capacity(entries), bytes: Vec::with_capacity(bytes) }
    }

    /// A column of raw parts, or `None` when the ends are not in order or the last one is not where the bytes end.
    pub fn from_parts(ends: Vec<u32>, bytes: Vec<u8>) -> Option<Self> {
        let in_order = ends.is_sorted();
        let complete = ends.last().map_or(0, |&end| end as usize) == bytes.len();
        (in_order && complete).then_some(BytesColumn { ends, bytes })
    }

    /// The raw parts: ends and bytes.
    pub fn into_parts(self) -> (Vec<u32>, Vec<u8>) {
        (self.ends, self.bytes)
    }

    /// Number of entries.
    #[inline]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is no entry.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Where each entry ends.
    #[inline]
    pub fn ends(&self) -> &[u32] {
        &self.ends
    }

    /// The bytes of all entries.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Where entry `index` lies in [`bytes`](Self::bytes).
    #[inline]
    pub fn range(&self, index: usize) -> Range<usize> {
        let start = if index == 0 { 0 } else { self.ends[index - 1] as usize };
        start..self.ends[index] as usize
    }

    /// Entry `index`.
    ///
    /// # Panics
    /// If there is no such entry.
    #[inline]
    pub fn get(&self, index: usize) -> &[u8] {
        &self.bytes[self.range(index)]
    }

    /// All entries in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        (0..self.len()).map(|index| self.get(index))
    }

    /// Adds an entry.
    #[inline]
    pub fn push(&mut self, entry: &[u8]) {
        self.bytes.extend_from_slice(entry);
        self.end_entry();
    }

    /// The bytes, to append the next entry piece by piece; [`end_entry`](Self::end_entry) completes it.
    #[inline]
    pub fn bytes_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Makes an entry of the bytes appended since the last one.
    ///
    /// # Panics
    /// If the column would hold 4 GiB or more.
    #[inline]
    pub fn end_entry(&mut self) {
        let end = u32::try_from(self.bytes.len()).expect("a column holds less than 4 GiB");
        self.ends.push(end);
    }

    /// Drops bytes appended since the last entry was completed.
    pub fn abandon_entry(&mut self) {
        self.bytes.truncate(self.ends.last().map_or(0, |&end| end as usize));
    }

    /// Adds the entries `range` of `other`: two copies of memory and one pass over the ends.
    pub fn extend_from(&mut self, other: &BytesColumn, range: Range<usize>) {
        if range.is_empty() {
            return;
        }
        let bytes = other.range(range.start).start..other.range(range.end - 1).end;
        let shift = self.bytes.len();
        u32::try_from(shift + bytes.len()).expect("a column holds less than 4 GiB");
        let shift = (shift as u32).wrapping_sub(bytes.start as u32);
        self.ends.extend(other.ends[range].iter().map(|end| end.wrapping_add(shift)));
        self.bytes.extend_from_slice(&other.bytes[bytes]);
    }

    /// Adds the entries `picked` of `other`, in that order.
    pub fn extend_picked(&mut self, other: &BytesColumn, picked: &[u32]) {
        self.ends.reserve(picked.len());
        self.bytes.reserve(picked.iter().map(|&index| other.range(index as usize).len()).sum());
        picked.iter().for_each(|&index| self.push(other.get(index as usize)));
    }

    /// Keeps the first `entries` entries.
    pub fn truncate(&mut self, entries: usize) {
        self.ends.truncate(entries);
        self.abandon_entry();
    }

    /// Drops all entries, keeps the memory.
    pub fn clear(&mut self) {
        self.ends.clear();
        self.bytes.clear();
    }
}

impl<'a> FromIterator<&'a [u8]> for BytesColumn {
    fn from_iter<I: IntoIterator<Item = &'a [u8]>>(entries: I) -> Self {
        let mut column = BytesColumn::default();
        for entry in entries {
            column.push(entry);
        }
        column
    }
}

#[cfg(test)]
mod tests {
    use super::BytesColumn;
    use proptest::collection::vec;
    use proptest::prelude::{any, prop_assert_eq, proptest};

    proptest! {
        #[test]
        fn behaves_as_a_list_of_byte_strings(
            left in vec(vec(any::<u8>(), 0..8), 0..20),
            right in vec(vec(any::<u8>(), 0..8), 0..20),
            cut in (0usize..20, 0usize..20),
        ) {
            let mut column: BytesColumn = left.iter().map(Vec::as_slice).collect();
            let other: BytesColumn = right.iter().map(Vec::as_slice).collect();
            let start = cut.0.min(right.len());
            let end = (start + cut.1).min(right.len());
            column.extend_from(&other, start..end);
            let mut model = left;
            model.extend_from_slice(&right[start..end]);
            prop_assert_eq!(column.iter().map(<[u8]>::to_vec).collect::<Vec<_>>(), model.clone());
            let (ends, bytes) = column.clone().into_parts();
            prop_assert_eq!(BytesColumn::from_parts(ends, bytes), Some(column.clone()));
            column.truncate(3);
            model.truncate(3);
            prop_assert_eq!(column.iter().map(<[u8]>::to_vec).collect::<Vec<_>>(), model);
        }
    }

    #[test]
    fn refuses_ends_that_do_not_fit() {
        assert_eq!(BytesColumn::from_parts(vec![2, 1], vec![0, 0]), None);
        assert_eq!(BytesColumn::from_parts(vec![1], vec![0, 0]), None);
        assert_eq!(BytesColumn::from_parts(vec![], vec![0]), None);
    }
}
