//! The key of an entry in state files and in RocksDB.
//!
//! All states and timers of one operator share one key space:
//!
//! ```text
//! key group u16 | state id u16 | key length u32 | key | namespace length u8 | namespace | user key
//! ```
//!
//! Numbers are big-endian. So the entries of a key group lie together (rescaling moves ranges), within it those of a
//! state, and within that those of a key and namespace, in the order of the user key. The user key of a map entry is its
//! key, of a list element its index as 8 big-endian bytes, of a value nothing. The timers of a key and namespace are
//! one entry of the state [`TIMERS`], those of processing time one of [`PROCESSING_TIMERS`]. The layout is part of the
//! format of snapshots.

use tidewheel_types::key_group::KeyGroup;

/// A state's number in the keys of its operator. It goes with the state's name ([`StateTable`](crate::StateTable)),
/// not with its place in a description.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StateId(pub u16);

/// The state that holds the timers of event time.
pub const TIMERS: StateId = StateId(u16::MAX);

/// The state that holds the timers of processing time.
pub const PROCESSING_TIMERS: StateId = StateId(u16::MAX - 1);

impl StateId {
    /// Whether it is one that holds timers, and none that a component declares. They come after all others.
    #[inline]
    pub fn holds_timers(self) -> bool {
        self >= PROCESSING_TIMERS
    }
}

/// Key group, state id and key length.
const HEAD_BYTES: usize = 8;

/// The parts of an entry's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EntryKey<'a> {
    /// The group that `key` is in.
    pub key_group: KeyGroup,
    /// The state.
    pub state: StateId,
    /// The key.
    pub key: &'a [u8],
    /// The window, or nothing.
    pub namespace: &'a [u8],
    /// What is found within a list or map.
    pub user_key: &'a [u8],
}

impl<'a> EntryKey<'a> {
    /// Appends the encoded key to `bytes`.
    ///
    /// # Panics
    /// If the key has 4 GiB or more or the namespace more than 255 bytes. A record has at most 16 MiB, a window 8.
    #[inline]
    pub fn encode(&self, bytes: &mut Vec<u8>) {
        let key_len = u32::try_from(self.key.len()).expect("a key is shorter than 4 GiB");
        let namespace_len = u8::try_from(self.namespace.len()).expect("a namespace has at most 255 bytes");
        let mut head = [0; HEAD_BYTES];
        head[..2].copy_from_slice(&self.key_group.0.to_be_bytes());
        head[2..4].copy_from_slice(&self.state.0.to_be_bytes());
        head[4..].copy_from_slice(&key_len.to_be_bytes());
        bytes.reserve(HEAD_BYTES + self.key.len() + 1 + self.namespace.len() + self.user_key.len());
        bytes.extend_from_slice(&head);
        bytes.extend_from_slice(self.key);
        bytes.push(namespace_len);
        bytes.extend_from_slice(self.namespace);
        bytes.extend_from_slice(self.user_key);
    }

    /// The parts of an encoded key; `None` if these bytes are not one.
    #[inline]
    pub fn decode(bytes: &'a [u8]) -> Option<Self> {
        let (head, rest) = bytes.split_first_chunk::<HEAD_BYTES>()?;
        let key_len = u32::from_be_bytes([head[4], head[5], head[6], head[7]]) as usize;
        let (key, rest) = rest.split_at_checked(key_len)?;
        let (&namespace_len, rest) = rest.split_first()?;
        let (namespace, user_key) = rest.split_at_checked(usize::from(namespace_len))?;
        Some(EntryKey {
            key_group: KeyGroup(u16::from_be_bytes([head[0], head[1]])),
            state: StateId(u16::from_be_bytes([head[2], head[3]])),
            key,
            namespace,
            user_key,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{EntryKey, StateId};
    use proptest::collection::vec;
    use proptest::prelude::{Strategy, any, prop_assert_eq, proptest};
    use tidewheel_types::key_group::KeyGroup;

    type Parts = (u16, u16, Vec<u8>, Vec<u8>, Vec<u8>);

    fn parts() -> impl Strategy<Value = Parts> {
        (0u16..3, 0u16..3, vec(any::<u8>(), 0..12), vec(any::<u8>(), 0..3), vec(any::<u8>(), 0..4))
    }

    fn entry_key(parts: &Parts) -> EntryKey<'_> {
        let (key_group, state, key, namespace, user_key) = parts;
        EntryKey { key_group: KeyGroup(*key_group), state: StateId(*state), key, namespace, user_key }
    }

    fn encoded(key: &EntryKey<'_>) -> Vec<u8> {
        let mut bytes = Vec::new();
        key.encode(&mut bytes);
        bytes
    }

    proptest! {
        #[test]
        fn decodes_what_it_encoded_and_different_keys_differ(left in parts(), right in parts()) {
            let (left, right) = (entry_key(&left), entry_key(&right));
            let bytes = encoded(&left);
            prop_assert_eq!(EntryKey::decode(&bytes), Some(left));
            prop_assert_eq!(bytes == encoded(&right), left == right);
            let same_owner = EntryKey { user_key: &[], ..left } == EntryKey { user_key: &[], ..right };
            if same_owner {
                prop_assert_eq!(encoded(&left).cmp(&encoded(&right)), left.user_key.cmp(right.user_key));
            }
        }

        #[test]
        fn bytes_that_are_no_key_are_refused(bytes in vec(any::<u8>(), 0..40)) {
            if let Some(key) = EntryKey::decode(&bytes) {
                prop_assert_eq!(encoded(&key), bytes);
            }
        }
    }

    #[test]
    fn the_layout_is_part_of_the_format() {
        let key = EntryKey { key_group: KeyGroup(258), state: StateId(3), key: b"k", namespace: b"ns", user_key: b"u" };
        assert_eq!(encoded(&key), [1, 2, 0, 3, 0, 0, 0, 1, b'k', 2, b'n', b's', b'u']);
    }
}
