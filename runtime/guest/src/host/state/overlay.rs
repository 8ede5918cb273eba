//! The map writes of a call that is under way: seen by its reads, and undone by `revert`.

use crate::host::HostCallError;
use hashbrown::HashMap;
use std::collections::BTreeMap;
use std::ops::Range;
use tidewheel_types::keyed_state::{StateIndex, Write};

/// The entries of one map that have been written: where in the log the last write of each is.
pub(super) type WrittenMap = BTreeMap<Box<[u8]>, usize>;

/// The writes of a call, in order, and an index to find them by.
#[derive(Default)]
pub(super) struct Overlay {
    writes: HostWrites,
    maps: HashMap<(StateIndex, u32), WrittenMap>,
}

/// Writes by host calls, in order.
#[derive(Debug, Default)]
pub(crate) struct HostWrites {
    log: Vec<LoggedWrite>,
    bytes: Vec<u8>,
}

#[derive(Debug)]
struct LoggedWrite {
    state: StateIndex,
    group: u32,
    key: Range<usize>,
    /// `None`: the entry is removed.
    value: Option<Range<usize>>,
    /// The write of the same entry that this one hides.
    hidden: Option<usize>,
}

impl HostWrites {
    /// Group, state, and what to write.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, StateIndex, Write<'_>)> {
        self.log.iter().map(|write| {
            let key = &self.bytes[write.key.clone()];
            let change = match &write.value {
                Some(value) => Write::PutEntry(key, &self.bytes[value.clone()]),
                None => Write::DeleteEntry(key),
            };
            (write.group, write.state, change)
        })
    }

    /// What write `position` has left of its entry.
    fn value(&self, position: usize) -> Option<&[u8]> {
        self.log[position].value.clone().map(|value| &self.bytes[value])
    }
}

impl Overlay {
    pub(super) fn is_empty(&self) -> bool {
        self.writes.log.is_empty()
    }

    /// Bytes of all writes: keys, values, and what is kept besides them, which is all there is of an empty one.
    pub(super) fn bytes(&self) -> usize {
        self.writes.bytes.len() + self.writes.log.len() * size_of::<LoggedWrite>()
    }

    pub(super) fn clear(&mut self) {
        self.writes.log.clear();
        self.writes.bytes.clear();
        self.maps.clear();
    }

    /// The writes, leaving none.
    pub(super) fn take(&mut self) -> HostWrites {
        self.maps.clear();
        std::mem::take(&mut self.writes)
    }

    /// Puts or, without a value, removes an entry.
    pub(super) fn write(&mut self, state: StateIndex, group: u32, key: &[u8], value: Option<&[u8]>) {
        let position = self.writes.log.len();
        let hidden = self.maps.entry((state, group)).or_default().insert(key.into(), position);
        let bytes = &mut self.writes.bytes;
        let mut add = |slice: &[u8]| {
            bytes.extend_from_slice(slice);
            bytes.len() - slice.len()..bytes.len()
        };
        let (key, value) = (add(key), value.map(add));
        self.writes.log.push(LoggedWrite { state, group, key, value, hidden });
    }

    /// What this call has left of an entry: nothing known, removed, or a value.
    pub(super) fn get(&self, state: StateIndex, group: u32, key: &[u8]) -> Option<Option<&[u8]>> {
        let position = self.maps.get(&(state, group))?.get(key)?;
        Some(self.writes.value(*position))
    }

    /// The entries of one map that this call has written, and the writes they are in.
    pub(super) fn map(&self, state: StateIndex, group: u32) -> Option<Written<'_>> {
        Some(Written { map: self.maps.get(&(state, group))?, writes: &self.writes })
    }

    /// The present position, for [`revert`](Self::revert).
    pub(super) fn mark(&self) -> u32 {
        self.writes.log.len() as u32
    }

    /// Undoes all writes after `mark`, the newest first.
    pub(super) fn revert(&mut self, mark: u32) -> Result<(), HostCallError> {
        let HostWrites { log, bytes } = &mut self.writes;
        if mark as usize > log.len() {
            return Err(HostCallError::UnknownMark { mark, writes: log.len() });
        }
        while log.len() > mark as usize {
            let Some(write) = log.pop() else { break };
            let key = &bytes[write.key.clone()];
            if let Some(map) = self.maps.get_mut(&(write.state, write.group)) {
                match (write.hidden, map.get_mut(key)) {
                    (Some(hidden), Some(position)) => *position = hidden,
                    _ => drop(map.remove(key)),
                }
            }
            bytes.truncate(write.key.start);
        }
        Ok(())
    }
}

/// The entries of one map that a call has written.
#[derive(Clone, Copy)]
pub(super) struct Written<'a> {
    map: &'a WrittenMap,
    writes: &'a HostWrites,
}

impl<'a> Written<'a> {
    /// Entries within bounds, in rising order; `None` is a removed one.
    pub(super) fn range(
        self,
        bounds: (std::ops::Bound<&[u8]>, std::ops::Bound<&[u8]>),
    ) -> impl DoubleEndedIterator<Item = (&'a [u8], Option<&'a [u8]>)> + use<'a> {
        self.map.range::<[u8], _>(bounds).map(move |(key, position)| (&**key, self.writes.value(*position)))
    }
}
