//! The head of a stored value: the schema version it was written under, and when it expires.
//!
//! ```text
//! varint(version << 1 | has expiry) | expiry i64, little-endian, if it has one | payload
//! ```
//!
//! Values, list elements, map values and accumulators are stored so, in memory as in files. In state files and in
//! RocksDB's ingested files an empty value is a tombstone; a stored value is never empty.

/// What a state file holds in the place of an entry that is gone.
pub const TOMBSTONE: &[u8] = &[];

const EXPIRY_BYTES: usize = 8;

/// The most bytes a head takes: 33 bits in groups of seven, and the expiry.
const HEAD_BYTES_MAX: usize = 5 + EXPIRY_BYTES;

/// What is known of a stored value beside its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ValueHead {
    /// Schema version it was written under.
    pub version: u32,
    /// From when on it is not there any more, on the clock of its state.
    pub expiry: Option<i64>,
}

/// An encoded [`ValueHead`], on the stack.
#[derive(Clone, Copy, Debug)]
pub struct HeadBytes {
    bytes: [u8; HEAD_BYTES_MAX],
    len: u8,
}

impl ValueHead {
    /// Encodes it.
    #[inline]
    pub fn encode(self) -> HeadBytes {
        let mut head = HeadBytes { bytes: [0; HEAD_BYTES_MAX], len: 1 };
        let mut number = u64::from(self.version) << 1 | u64::from(self.expiry.is_some());
        while number >= 0x80 {
            head.bytes[usize::from(head.len) - 1] = number as u8 | 0x80;
            head.len += 1;
            number >>= 7;
        }
        head.bytes[usize::from(head.len) - 1] = number as u8;
        if let Some(expiry) = self.expiry {
            let start = usize::from(head.len);
            head.bytes[start..start + EXPIRY_BYTES].copy_from_slice(&expiry.to_le_bytes());
            head.len += EXPIRY_BYTES as u8;
        }
        head
    }

    /// Splits a stored value into head and payload; `None` if these bytes are not one.
    #[inline]
    pub fn decode(stored: &[u8]) -> Option<(Self, &[u8])> {
        let (number, rest) = read_number(stored)?;
        let version = u32::try_from(number >> 1).ok()?;
        if number & 1 == 0 {
            return Some((ValueHead { version, expiry: None }, rest));
        }
        let (expiry, payload) = rest.split_first_chunk::<EXPIRY_BYTES>()?;
        Some((ValueHead { version, expiry: Some(i64::from_le_bytes(*expiry)) }, payload))
    }
}

impl HeadBytes {
    /// The encoded bytes.
    #[inline]
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// Sets the expiry of a head that was encoded with one.
    #[inline]
    pub(crate) fn set_expiry(&mut self, expiry: i64) {
        let end = usize::from(self.len);
        self.bytes[end - EXPIRY_BYTES..end].copy_from_slice(&expiry.to_le_bytes());
    }
}

/// When a stored value expires.
#[inline]
pub(crate) fn expiry_of(stored: &[u8]) -> Option<i64> {
    if stored[0] & 1 == 0 {
        return None;
    }
    ValueHead::decode(stored).and_then(|(head, _)| head.expiry)
}

/// The payload of a stored value, which is one that was encoded here or checked when it was restored.
#[inline]
pub(crate) fn payload(stored: &[u8]) -> &[u8] {
    // Nearly all values have a version below 64, most have no expiry.
    if stored[0] & 0x81 == 0 {
        return &stored[1..];
    }
    ValueHead::decode(stored).expect("a stored value begins with its head").1
}

/// Moves the expiry of a stored value that has one.
#[inline]
pub(crate) fn set_expiry(stored: &mut [u8], expiry: i64) {
    let start = stored.iter().position(|byte| byte & 0x80 == 0).expect("a head has a last byte") + 1;
    stored[start..start + EXPIRY_BYTES].copy_from_slice(&expiry.to_le_bytes());
}

#[inline]
fn read_number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut number = 0;
    for (place, &byte) in bytes.iter().enumerate().take(5) {
        number |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Some((number, &bytes[place + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{HeadBytes, ValueHead, expiry_of, payload, set_expiry};
    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    fn stored(head: HeadBytes, value: &[u8]) -> Vec<u8> {
        [head.as_slice(), value].concat()
    }

    proptest! {
        #[test]
        fn decodes_what_it_encoded(
            version in any::<u32>(),
            shift in 0u32..32,
            expiry in option::of(any::<i64>()),
            later in any::<i64>(),
            value in vec(any::<u8>(), 0..4),
        ) {
            let head = ValueHead { version: version >> shift, expiry };
            let mut bytes = stored(head.encode(), &value);
            prop_assert_eq!(ValueHead::decode(&bytes), Some((head, &value[..])));
            prop_assert_eq!((expiry_of(&bytes), payload(&bytes)), (expiry, &value[..]));
            if expiry.is_some() {
                let mut moved = head.encode();
                moved.set_expiry(later);
                set_expiry(&mut bytes, later);
                prop_assert_eq!(&bytes, &stored(moved, &value));
                prop_assert_eq!(expiry_of(&bytes), Some(later));
            }
        }

        #[test]
        fn bytes_that_are_no_value_are_refused(bytes in vec(any::<u8>(), 0..12)) {
            if let Some((_, value)) = ValueHead::decode(&bytes) {
                prop_assert!(value.len() < bytes.len());
            }
        }
    }

    #[test]
    fn the_layout_is_part_of_the_format() {
        assert_eq!(stored(ValueHead { version: 3, expiry: None }.encode(), b"v"), [6, b'v']);
        let head = ValueHead { version: 64, expiry: Some(-2) };
        assert_eq!(stored(head.encode(), b""), [0x81, 1, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
        assert_eq!(ValueHead::decode(b""), None, "a tombstone is no value");
    }
}
