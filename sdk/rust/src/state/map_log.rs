//! The writes to a map that the host has not been told yet.
//!
//! Telling it of each put costs a call; here they gather until the call ends, or until a scan needs the host to know.
//! Reads look here first, so they see the writes of their own call.

use crate::frame::{push_cell_end, push_word};
use crate::host;
use std::collections::BTreeMap;

/// One write: a put, or without a value a removal.
struct Write {
    /// The group, big-endian, and the entry's key.
    place: Vec<u8>,
    value: Option<Vec<u8>>,
    /// The write to the same place before this one.
    previous: Option<usize>,
}

/// Writes in order, and the newest of each place.
#[derive(Default)]
pub(super) struct MapLog {
    writes: Vec<Write>,
    newest: BTreeMap<Vec<u8>, usize>,
    /// How many of `writes` the host knows.
    told: usize,
    /// `writes.len()` and `told` when the record began.
    undo: (usize, usize),
    /// Where the host was before it was told of anything in this record.
    mark: Option<u32>,
}

impl MapLog {
    /// Where an entry of a map is.
    pub(super) fn place(group: u32, write_key: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut place = group.to_be_bytes().to_vec();
        write_key(&mut place);
        place
    }

    /// The newest write to a place: outer `None` when there is none.
    pub(super) fn get(&self, place: &[u8]) -> Option<Option<&[u8]>> {
        self.newest.get(place).map(|&at| self.writes[at].value.as_deref())
    }

    pub(super) fn write(&mut self, place: Vec<u8>, value: Option<Vec<u8>>) {
        let previous = self.newest.insert(place.clone(), self.writes.len());
        self.writes.push(Write { place, value, previous });
    }

    pub(super) fn begin_record(&mut self) {
        self.undo = (self.writes.len(), self.told);
        self.mark = None;
    }

    /// Takes back the record's writes. If the host was told of any, it goes back to before it was; what it then lost
    /// of earlier records it is told again.
    pub(super) fn undo_record(&mut self) {
        let (writes, told) = self.undo;
        for write in self.writes.drain(writes..).rev() {
            match write.previous {
                Some(at) => self.newest.insert(write.place, at),
                None => self.newest.remove(&write.place),
            };
        }
        if let Some(mark) = self.mark.take() {
            host::revert(mark);
            self.told = told;
        }
    }

    /// Tells the host while a record is at hand, so that it can still be undone.
    pub(super) fn tell_within_record(&mut self, state: u32) {
        if self.told < self.writes.len() && self.mark.is_none() {
            self.mark = Some(host::mark());
        }
        self.tell(state);
    }

    /// Tells the host of all writes it does not know.
    pub(super) fn tell(&mut self, state: u32) {
        let untold = &self.writes[self.told..];
        if untold.is_empty() {
            return;
        }
        let (mut groups, mut key_ends, mut keys) = (Vec::new(), Vec::new(), Vec::new());
        let (mut value_ends, mut values) = (Vec::new(), Vec::new());
        for write in untold {
            let (group, key) = write.place.split_first_chunk::<4>().expect("a place begins with its group");
            push_word(&mut groups, u32::from_be_bytes(*group));
            keys.extend_from_slice(key);
            push_word(&mut key_ends, keys.len() as u32);
            values.extend_from_slice(write.value.as_deref().unwrap_or_default());
            push_cell_end(&mut value_ends, values.len(), write.value.is_some());
        }
        host::map_write(state, &groups, &key_ends, &keys, &value_ends, &values);
        self.told = self.writes.len();
    }

    pub(super) fn clear(&mut self) {
        self.writes.clear();
        self.newest.clear();
        self.told = 0;
        self.begin_record();
    }
}
