//! The keys of a call's groups, kept from the call's input so that host functions can name state by group.

use crate::frame::{Frame, column, u32s};
use crate::host::HostCallError;
use tidewheel_types::BytesColumn;
use tidewheel_types::key_group::hash_key;
use tidewheel_types::keyed_state::StateKey;

/// Keys by group. Hashes are made when they are needed: most calls need none.
///
/// What a component declares belongs to a key, also where the group is a window of it.
#[derive(Default)]
pub(super) struct Groups {
    keys: BytesColumn,
}

impl Groups {
    /// Takes over the groups of a frame that this host has written.
    pub(super) fn set(&mut self, input: &Frame<'_>) {
        let (mut ends, mut bytes) = std::mem::take(&mut self.keys).into_parts();
        ends.clear();
        bytes.clear();
        ends.extend(u32s(input.column(column::KEY_ENDS)));
        bytes.extend_from_slice(input.column(column::KEYS));
        // A frame whose keys do not fit would be the caller's fault. It leaves a call without groups, not with wrong ones.
        self.keys = BytesColumn::from_parts(ends, bytes).unwrap_or_default();
    }

    /// Whose state group `index` is.
    pub(super) fn key(&self, index: u32) -> StateKey<'_> {
        let key = self.keys.get(index as usize);
        StateKey { hash: hash_key(key), key, namespace: &[] }
    }

    /// Whose state a group is that a guest has named.
    pub(super) fn checked_key(&self, group: u32) -> Result<StateKey<'_>, HostCallError> {
        if group as usize >= self.keys.len() {
            return Err(HostCallError::UnknownGroup { group, groups: self.keys.len() });
        }
        Ok(self.key(group))
    }

    /// Groups that a guest has named, as a column.
    pub(super) fn checked<'a>(
        &self,
        function: &'static str,
        column: &'a [u8],
    ) -> Result<impl ExactSizeIterator<Item = u32> + Clone + use<'a>, HostCallError> {
        if !column.len().is_multiple_of(4) {
            return Err(HostCallError::Columns { function });
        }
        match u32s(column).find(|&group| group as usize >= self.keys.len()) {
            Some(group) => Err(HostCallError::UnknownGroup { group, groups: self.keys.len() }),
            None => Ok(u32s(column)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Groups;
    use crate::frame::{Frame, FrameWriter, column};

    #[test]
    fn keys_come_from_the_frame_and_windows_do_not_matter() {
        let mut frame = Vec::new();
        let mut writer = FrameWriter::new(&mut frame, &[column::KEY_ENDS, column::KEYS, column::WINDOWS]);
        writer.numbers(column::KEY_ENDS, &[1u32, 3]);
        writer.column(column::KEYS).extend_from_slice(b"abb");
        writer.numbers(column::WINDOWS, &[0i64, 10, -10, 0]);
        writer.finish();
        let mut groups = Groups::default();
        groups.set(&Frame::read(&frame).unwrap());
        assert_eq!(groups.key(0).key, b"a");
        assert_eq!((groups.key(1).key, groups.key(1).namespace), (&b"bb"[..], &[][..]));
        assert!(groups.checked_key(2).is_err());
        assert!(groups.checked("get", &[1, 0, 0, 0, 2, 0, 0, 0]).is_err());
        assert!(groups.checked("get", &[1, 0, 0]).is_err());
        assert_eq!(groups.checked("get", &[1, 0, 0, 0]).unwrap().collect::<Vec<_>>(), [1]);
    }
}
