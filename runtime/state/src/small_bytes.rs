//! A byte string that is kept in place while it is short.

use std::ops::Range;

/// A byte string: up to `N` bytes in place, more on the heap.
///
/// A look-up of a row that fits costs one cache miss; every allocation would add one more, and its own overhead.
#[derive(Clone, Debug)]
pub(crate) enum SmallBytes<const N: usize> {
    /// The first `len` of `bytes`.
    Inline {
        /// At most `N`, which is below 256.
        len: u8,
        /// Zero after `len`.
        bytes: [u8; N],
    },
    /// More than `N` bytes, or a string that has shrunk a little.
    Heap(Vec<u8>),
}

impl<const N: usize> SmallBytes<N> {
    /// The parts, one after the other.
    pub(crate) fn concat(parts: &[&[u8]]) -> Self {
        const { assert!(N < 256, "the length is kept in a byte") };
        let len = parts.iter().map(|part| part.len()).sum();
        if len > N {
            return SmallBytes::Heap(parts.concat());
        }
        let mut bytes = [0; N];
        copy_parts(&mut bytes[..len], parts);
        SmallBytes::Inline { len: len as u8, bytes }
    }

    /// The bytes.
    #[inline]
    pub(crate) fn as_slice(&self) -> &[u8] {
        match self {
            SmallBytes::Inline { len, bytes } => &bytes[..usize::from(*len)],
            SmallBytes::Heap(bytes) => bytes,
        }
    }

    /// The bytes, to be overwritten by as many.
    #[inline]
    pub(crate) fn as_mut_slice(&mut self) -> &mut [u8] {
        match self {
            SmallBytes::Inline { len, bytes } => &mut bytes[..usize::from(*len)],
            SmallBytes::Heap(bytes) => bytes,
        }
    }

    /// Puts the parts in the place of `range`.
    pub(crate) fn splice(&mut self, range: Range<usize>, parts: &[&[u8]]) {
        let old_len = self.as_slice().len();
        let parts_len: usize = parts.iter().map(|part| part.len()).sum();
        let new_len = old_len - range.len() + parts_len;
        let end = range.start + parts_len;
        match self {
            SmallBytes::Inline { len, bytes } if new_len <= N => {
                bytes.copy_within(range.end..old_len, end);
                copy_parts(&mut bytes[range.start..end], parts);
                *len = new_len as u8;
            }
            SmallBytes::Inline { bytes, .. } => {
                let (before, after) = (&bytes[..range.start], &bytes[range.end..old_len]);
                let mut heap = Vec::with_capacity(new_len);
                heap.extend_from_slice(before);
                parts.iter().for_each(|part| heap.extend_from_slice(part));
                heap.extend_from_slice(after);
                *self = SmallBytes::Heap(heap);
            }
            SmallBytes::Heap(bytes) => {
                bytes.resize(old_len.max(new_len), 0);
                bytes.copy_within(range.end..old_len, end);
                copy_parts(&mut bytes[range.start..end], parts);
                bytes.truncate(new_len);
                // A value that was once large must not hold on to its memory for ever.
                if bytes.capacity() > 2 * new_len {
                    *self = SmallBytes::concat(&[bytes]);
                }
            }
        }
    }

    /// Bytes on the heap.
    #[inline]
    pub(crate) fn heap_bytes(&self) -> usize {
        match self {
            SmallBytes::Inline { .. } => 0,
            SmallBytes::Heap(bytes) => bytes.capacity(),
        }
    }
}

/// Copies the parts to `target`, which they fill.
#[inline]
fn copy_parts(mut target: &mut [u8], parts: &[&[u8]]) {
    for part in parts {
        let (head, tail) = target.split_at_mut(part.len());
        head.copy_from_slice(part);
        target = tail;
    }
}

#[cfg(test)]
mod tests {
    use super::SmallBytes;
    use proptest::collection::vec;
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    proptest! {
        #[test]
        fn splices_as_a_vec(edits in vec((vec(any::<u8>(), 0..20), any::<u16>(), any::<u16>()), 0..20)) {
            let mut model: Vec<u8> = Vec::new();
            let mut bytes = SmallBytes::<22>::concat(&[]);
            for (part, start, len) in edits {
                let start = usize::from(start) % (model.len() + 1);
                let end = start + usize::from(len) % (model.len() - start + 1);
                bytes.splice(start..end, &[&part[..part.len() / 2], &part[part.len() / 2..]]);
                model.splice(start..end, part);
                prop_assert_eq!(bytes.as_slice(), &model[..]);
                prop_assert!(bytes.heap_bytes() <= 4 * model.len());
            }
        }
    }

    #[test]
    fn a_string_that_has_shrunk_comes_back() {
        let mut bytes = SmallBytes::<22>::concat(&[&[7; 1000]]);
        assert_eq!(bytes.heap_bytes(), 1000);
        bytes.splice(3..1000, &[]);
        assert_eq!((bytes.as_slice(), bytes.heap_bytes()), (&[7; 3][..], 0));
    }
}
