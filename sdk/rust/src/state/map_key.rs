//! Keys of map state: bytes that sort as the values do.

use crate::error::{Error, Result};
use crate::time::EventTime;

/// Something that can be written as bytes whose order is its own order.
pub trait OrderedBytes {
    /// Appends the bytes.
    fn write(&self, bytes: &mut Vec<u8>);
}

/// A key of a [`Map`](super::Map).
pub trait MapKey: OrderedBytes + Sized {
    /// Reads a key from all of `bytes`.
    ///
    /// # Errors
    /// When they are no such key.
    fn read(bytes: &[u8]) -> Result<Self>;
}

impl OrderedBytes for [u8] {
    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(self);
    }
}

impl OrderedBytes for Vec<u8> {
    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(self);
    }
}

impl MapKey for Vec<u8> {
    fn read(bytes: &[u8]) -> Result<Vec<u8>> {
        Ok(bytes.to_vec())
    }
}

impl OrderedBytes for str {
    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(self.as_bytes());
    }
}

impl OrderedBytes for String {
    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(self.as_bytes());
    }
}

impl MapKey for String {
    fn read(bytes: &[u8]) -> Result<String> {
        String::from_utf8(bytes.to_vec()).map_err(|_| Error::fail("a key of map state is not text"))
    }
}

/// Big-endian; of signed numbers the sign is flipped, so that negative ones come first.
macro_rules! numbers {
    ($($number:ty, $flip:expr;)*) => {$(
        impl OrderedBytes for $number {
            fn write(&self, bytes: &mut Vec<u8>) {
                bytes.extend_from_slice(&(*self ^ $flip).to_be_bytes());
            }
        }

        impl MapKey for $number {
            fn read(bytes: &[u8]) -> Result<$number> {
                let bytes = bytes.try_into().map_err(|_| {
                    Error::fail(format_args!("a key of map state has {} bytes, not those of {}", bytes.len(), stringify!($number)))
                })?;
                Ok(<$number>::from_be_bytes(bytes) ^ $flip)
            }
        }
    )*};
}

numbers! {
    u8, 0; u16, 0; u32, 0; u64, 0;
    i8, i8::MIN; i16, i16::MIN; i32, i32::MIN; i64, i64::MIN;
}

impl OrderedBytes for EventTime {
    fn write(&self, bytes: &mut Vec<u8>) {
        self.0.write(bytes);
    }
}

impl MapKey for EventTime {
    fn read(bytes: &[u8]) -> Result<EventTime> {
        i64::read(bytes).map(EventTime)
    }
}

#[cfg(test)]
mod tests {
    use super::MapKey;
    use crate::EventTime;
    use proptest::prelude::{any, prop_assert_eq, proptest};

    fn bytes<K: MapKey>(key: &K) -> Vec<u8> {
        let mut bytes = Vec::new();
        key.write(&mut bytes);
        bytes
    }

    proptest! {
        #[test]
        fn keys_survive_and_sort_as_their_bytes(
            numbers in any::<[i64; 2]>(), small in any::<[u16; 2]>(), texts in any::<[String; 2]>(),
        ) {
            let [a, b] = numbers;
            prop_assert_eq!(i64::read(&bytes(&a)).unwrap(), a);
            prop_assert_eq!(EventTime::read(&bytes(&EventTime(a))).unwrap(), EventTime(a));
            prop_assert_eq!(bytes(&a).cmp(&bytes(&b)), a.cmp(&b));
            let [a, b] = small;
            prop_assert_eq!(u16::read(&bytes(&a)).unwrap(), a);
            prop_assert_eq!(bytes(&a).cmp(&bytes(&b)), a.cmp(&b));
            let [a, b] = texts;
            prop_assert_eq!(bytes(&a).cmp(&bytes(&b)), a.cmp(&b));
            prop_assert_eq!(String::read(&bytes(&a)).unwrap(), a);
        }
    }
}
