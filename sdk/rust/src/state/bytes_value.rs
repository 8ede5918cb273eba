//! The bytes behind a value state: read where they are, written once at the end of the group.

use crate::frame::cell;
use crate::host;
use crate::state::{Group, WriteOp, Writes};
use std::cell::OnceCell;
use std::ops::Range;
use std::rc::Rc;

/// What the call has done to the value so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Change {
    #[default]
    None,
    Put,
    Delete,
}

/// Bytes of values that are no longer needed are kept up to this many, rather than moving the needed ones each time.
const OUTDATED_BYTES_MAX: usize = 64 << 10;

/// A value's bytes, for the group at hand.
pub(super) struct BytesValue {
    state: u32,
    rides: bool,
    group: u32,
    /// The frame the value rides in, shared so that it need not be copied.
    frame: Option<Rc<Vec<u8>>>,
    cell: Option<Range<usize>>,
    /// The value of a state that does not ride, once it was read.
    fetched: OnceCell<Option<Vec<u8>>>,
    /// Values put in this group, one after the other.
    written: Vec<u8>,
    change: Change,
    /// Where in `written` the last value starts, if it was put.
    start: usize,
    /// `change`, `start` and the length of `written` when the record began, if it changed them.
    undo: Option<(Change, usize, usize)>,
}

impl BytesValue {
    pub(super) fn new(state: u32, rides: bool) -> BytesValue {
        BytesValue {
            state,
            rides,
            group: 0,
            frame: None,
            cell: None,
            fetched: OnceCell::new(),
            written: Vec::new(),
            change: Change::None,
            start: 0,
            undo: None,
        }
    }

    pub(super) fn state(&self) -> u32 {
        self.state
    }

    /// The value as the operator has left it.
    #[inline(always)]
    pub(super) fn get(&self) -> Option<&[u8]> {
        // The usual case first: a value that rides and was not touched yet.
        if self.change == Change::None && self.rides {
            return Some(&self.frame.as_ref()?[self.cell.clone()?]);
        }
        match self.change {
            Change::Put => Some(&self.written[self.start..]),
            Change::Delete => None,
            Change::None => self.fetched.get_or_init(|| self.fetch()).as_deref(),
        }
    }

    fn fetch(&self) -> Option<Vec<u8>> {
        let values = host::get(self.state, &self.group.to_le_bytes());
        cell(values.ends.as_chunks().0, &values.bytes, 0).map(<[u8]>::to_vec)
    }

    /// Sets the value to what `write` writes; on its error nothing changes.
    #[inline(always)]
    pub(super) fn put<E>(&mut self, write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>) -> Result<(), E> {
        let start = self.written.len();
        if let Err(error) = write(&mut self.written) {
            self.written.truncate(start);
            return Err(error);
        }
        self.undo.get_or_insert((self.change, self.start, start));
        (self.change, self.start) = (Change::Put, start);
        Ok(())
    }

    pub(super) fn delete(&mut self) {
        self.undo.get_or_insert((self.change, self.start, self.written.len()));
        self.change = Change::Delete;
    }

    #[inline(always)]
    pub(super) fn begin_group(&mut self, group: &Group<'_>) {
        self.group = group.index;
        (self.change, self.start, self.undo) = (Change::None, 0, None);
        self.written.clear();
        if !self.rides {
            self.fetched.take();
            return;
        }
        if !self.frame.as_ref().is_some_and(|frame| Rc::ptr_eq(frame, group.frame())) {
            self.frame = Some(Rc::clone(group.frame()));
        }
        self.cell = group.cell(self.state);
    }

    #[inline(always)]
    pub(super) fn begin_record(&mut self) {
        self.undo = None;
        if self.start > OUTDATED_BYTES_MAX {
            self.written.drain(..self.start);
            self.start = 0;
        }
    }

    pub(super) fn undo_record(&mut self) {
        if let Some((change, start, len)) = self.undo.take() {
            (self.change, self.start) = (change, start);
            self.written.truncate(len);
        }
    }

    #[inline(always)]
    pub(super) fn end_group(&mut self, writes: &mut Writes) {
        match self.change {
            Change::None => {}
            Change::Put => writes.push(self.group, self.state, self.rides, WriteOp::Put, &self.written[self.start..]),
            Change::Delete => writes.push(self.group, self.state, self.rides, WriteOp::Delete, &[]),
        }
    }

    pub(super) fn end_call(&mut self) {
        self.frame = None;
        self.change = Change::None;
    }
}
