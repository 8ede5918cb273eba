//! Variable-length integers: seven bits per byte, lowest first, the top bit set on all but the last byte (LEB128).

/// An encoded `u32`, on the stack.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Varint {
    bytes: [u8; 5],
    len: u8,
}

impl Varint {
    /// Encodes `value`.
    #[inline]
    pub(crate) fn new(mut value: u32) -> Self {
        let mut varint = Varint { bytes: [0; 5], len: 1 };
        while value >= 0x80 {
            varint.bytes[usize::from(varint.len) - 1] = value as u8 | 0x80;
            varint.len += 1;
            value >>= 7;
        }
        varint.bytes[usize::from(varint.len) - 1] = value as u8;
        varint
    }

    /// The encoded bytes.
    #[inline]
    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

/// Decodes the integer at the start of `bytes` and says how many bytes it takes.
///
/// # Panics
/// If the bytes end within the integer: they are always ones that [`Varint`] wrote.
#[inline]
pub(crate) fn read(bytes: &[u8]) -> (u32, usize) {
    // Nearly all lengths and versions are below 128.
    if bytes[0] < 0x80 {
        return (u32::from(bytes[0]), 1);
    }
    let mut value = 0;
    let mut used = 0;
    loop {
        let byte = bytes[used];
        value |= u32::from(byte & 0x7f) << (7 * used);
        used += 1;
        if byte < 0x80 {
            return (value, used);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Varint, read};
    use proptest::prelude::{any, prop_assert_eq, proptest};

    proptest! {
        #[test]
        fn reads_what_it_wrote(value in any::<u32>(), shift in 0u32..32) {
            let value = value >> shift;
            let mut bytes = Varint::new(value).as_slice().to_vec();
            let len = bytes.len();
            bytes.push(0xff);
            prop_assert_eq!(read(&bytes), (value, len));
        }
    }

    #[test]
    fn small_numbers_take_one_byte() {
        assert_eq!(Varint::new(0).as_slice(), [0]);
        assert_eq!(Varint::new(127).as_slice(), [127]);
        assert_eq!(Varint::new(128).as_slice(), [0x80, 1]);
        assert_eq!(Varint::new(u32::MAX).as_slice().len(), 5);
    }
}
