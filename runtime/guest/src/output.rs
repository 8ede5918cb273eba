//! What a call of a guest has given: its frame, every byte of it checked.
//!
//! [`check`] runs once, when the call returns. After it the accessors only cut slices out of the frame; nothing is
//! converted or copied that nobody asks for.

mod check;
#[cfg(test)]
mod tests;

pub(crate) use check::{Contract, check_migrated};

use crate::frame::{FrameError, Layout, column, i64_at, u32_at, u32s};
use crate::host::state::HostWrites;
use crate::instance::Export;
use serde::{Deserialize, Serialize};
use tidewheel_types::Description;
use tidewheel_types::keyed_state::{ABSENT, StateIndex, Write};

/// What the caller knows of a call's input, to check the output against.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallShape {
    /// Number of records.
    pub records: u32,
    /// Number of groups; 0 in world `stateless`.
    pub groups: u32,
    /// Whether the groups of a `process` call are windows: then what is emitted names its group, not its record.
    pub windows: bool,
    /// Whether the component is that of a source, which makes marks.
    pub in_source: bool,
}

/// A claim about event time: after that record none of its split at or below that time will come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The record of the input.
    pub record: u32,
    /// The time, in ms.
    pub time: i64,
}

/// What a call has given. A column that the guest left out is an empty slice.
#[derive(Debug)]
pub struct Output {
    frame: Vec<u8>,
    layout: Layout,
    len: usize,
    sources_are_identity: bool,
    rejected: Vec<(u32, String)>,
    /// Number of states, and of those that ride.
    states: u32,
    riding: u32,
    host_writes: HostWrites,
}

/// A change to a timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimerOp {
    /// The group whose key it belongs to.
    pub group: u32,
    /// Which of the component's timers.
    pub slot: u16,
    /// What to do.
    pub kind: TimerOpKind,
    /// Its time, in ms; without a meaning for [`TimerOpKind::DeleteAll`].
    pub time: i64,
}

/// What to do with a timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimerOpKind {
    /// Add one.
    Set,
    /// Add one in place of all others of this key and slot.
    Replace,
    /// Remove the one at this time.
    Delete,
    /// Remove all of this key and slot.
    DeleteAll,
}

impl Output {
    /// Checks the frame that a call of `export` has returned.
    pub(crate) fn new(
        frame: Vec<u8>,
        export: Export,
        shape: &CallShape,
        contract: &Contract,
        host_writes: HostWrites,
    ) -> Result<Output, FrameError> {
        let checked = check::check(&frame, export, shape, contract)?;
        Ok(Output {
            frame,
            layout: checked.layout,
            len: checked.len,
            sources_are_identity: checked.sources_are_identity,
            rejected: checked.rejected,
            states: contract.states(),
            riding: contract.riding(),
            host_writes,
        })
    }

    /// Checks the frame of a function of the host that is called as a component would be, and keeps to the contract of
    /// `description`.
    pub fn of_host(
        frame: Vec<u8>,
        export: Export,
        shape: &CallShape,
        description: &Description,
    ) -> Result<Output, FrameError> {
        Output::new(frame, export, shape, &Contract::of(description), HostWrites::default())
    }

    #[inline]
    fn column(&self, id: u32) -> &[u8] {
        self.layout.column(&self.frame, id)
    }

    /// Entry `index` of the bytes column `bytes`.
    #[inline]
    fn entry(&self, ends: u32, bytes: u32, index: usize) -> &[u8] {
        let ends = self.column(ends);
        let start = if index == 0 { 0 } else { u32_at(ends, index - 1) as usize };
        &self.column(bytes)[start..u32_at(ends, index) as usize]
    }

    /// Number of records emitted.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no record was emitted.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Per record emitted: the record it was made from; for timers and windows, the group.
    pub fn sources(&self) -> impl ExactSizeIterator<Item = u32> + Clone {
        u32s(self.column(column::SOURCES))
    }

    /// What record `index` was made from.
    #[inline]
    pub fn source(&self, index: usize) -> u32 {
        u32_at(self.column(column::SOURCES), index)
    }

    /// Whether exactly one record was emitted for every record of the input, in their order.
    #[inline]
    pub fn sources_are_identity(&self) -> bool {
        self.sources_are_identity
    }

    /// Per record emitted: the output. Empty: all 0.
    #[inline]
    pub fn outputs(&self) -> &[u8] {
        self.column(column::OUTPUTS)
    }

    /// Per record emitted: where its value ends in [`values`](Self::values), as `u32`.
    #[inline]
    pub fn value_ends(&self) -> &[u8] {
        self.column(column::VALUE_ENDS)
    }

    /// The values of all records.
    #[inline]
    pub fn values(&self) -> &[u8] {
        self.column(column::VALUES)
    }

    /// Bytes of all values.
    #[inline]
    pub fn values_bytes(&self) -> usize {
        self.values().len()
    }

    /// The value of record `index`.
    #[inline]
    pub fn value(&self, index: usize) -> &[u8] {
        self.entry(column::VALUE_ENDS, column::VALUES, index)
    }

    /// Per record emitted: its event time, as `i64`. `None`: its source's.
    #[inline]
    pub fn times(&self) -> Option<&[u8]> {
        Some(self.column(column::TIMES)).filter(|times| !times.is_empty())
    }

    /// The event time of record `index`. `None`: its source's.
    #[inline]
    pub fn time(&self, index: usize) -> Option<i64> {
        self.times().map(|times| i64_at(times, index))
    }

    /// Where each key ends, as `u32`, and the keys. `None`: they are the sources'.
    #[inline]
    pub fn keys(&self) -> Option<(&[u8], &[u8])> {
        Some((self.column(column::KEY_ENDS), self.column(column::KEYS))).filter(|(ends, _)| !ends.is_empty())
    }

    /// The key of record `index`. `None`: its source's.
    #[inline]
    pub fn key(&self, index: usize) -> Option<&[u8]> {
        self.keys().map(|_| self.entry(column::KEY_ENDS, column::KEYS, index))
    }

    /// Whether any record has headers.
    #[inline]
    pub fn has_headers(&self) -> bool {
        !self.column(column::HEADER_ENDS).is_empty()
    }

    /// The headers of record `index`: names and values.
    pub fn headers(&self, index: usize) -> impl Iterator<Item = (&[u8], &[u8])> {
        let record_ends = self.column(column::HEADER_RECORD_ENDS);
        let range = match record_ends.is_empty() {
            true => 0..0,
            false if index == 0 => 0..u32_at(record_ends, 0),
            false => u32_at(record_ends, index - 1)..u32_at(record_ends, index),
        };
        let (ends, bytes) = (self.column(column::HEADER_ENDS), self.column(column::HEADER_BYTES));
        range.map(move |header| {
            let name = header as usize * 2;
            let start = if name == 0 { 0 } else { u32_at(ends, name - 1) as usize };
            let (name_end, value_end) = (u32_at(ends, name) as usize, u32_at(ends, name + 1) as usize);
            (&bytes[start..name_end], &bytes[name_end..value_end])
        })
    }

    /// Per record emitted: its [`Change`](tidewheel_types::batch::Change), as its number. Empty: all inserts.
    #[inline]
    pub fn changes(&self) -> &[u8] {
        self.column(column::CHANGES)
    }

    /// State writes in the frame, in order: group, state, what to write.
    pub fn writes(&self) -> impl Iterator<Item = (u32, StateIndex, Write<'_>)> {
        let bytes = self.column(column::WRITE_BYTES);
        let mut start = 0;
        self.column(column::WRITES).chunks_exact(8).map(move |entry| {
            let (address, end) = (WriteAddress::of(u32_at(entry, 0)), u32_at(entry, 1) as usize);
            let (group, state) = address.resolve(self.states, self.riding);
            let bytes = &bytes[start..end];
            start = end;
            let write = match address.op {
                WriteAddress::PUT => Write::Put(bytes),
                WriteAddress::APPEND => Write::Append(bytes),
                _ => Write::Delete,
            };
            (group, StateIndex(state), write)
        })
    }

    /// Writes by host calls during the call, in order; they come before those in the frame.
    pub fn host_writes(&self) -> impl Iterator<Item = (u32, StateIndex, Write<'_>)> {
        self.host_writes.iter()
    }

    /// Changes to timers, in order.
    pub fn timers(&self) -> impl ExactSizeIterator<Item = TimerOp> {
        self.column(column::TIMERS).chunks_exact(16).map(|entry| {
            let slot_and_op = u32_at(entry, 1);
            let kind = match slot_and_op >> 16 {
                0 => TimerOpKind::Set,
                1 => TimerOpKind::Replace,
                2 => TimerOpKind::Delete,
                _ => TimerOpKind::DeleteAll,
            };
            TimerOp { group: u32_at(entry, 0), slot: slot_and_op as u16, kind, time: i64_at(entry, 1) }
        })
    }

    /// Watermarks that the component of a source makes, in no particular order.
    pub fn marks(&self) -> impl ExactSizeIterator<Item = Mark> {
        let entries = self.column(column::MARKS).chunks_exact(16);
        entries.map(|entry| Mark { record: u32_at(entry, 0), time: i64_at(entry, 1) })
    }

    /// Refused records, in order, with the reasons.
    pub fn rejected(&self) -> impl ExactSizeIterator<Item = (u32, &str)> {
        self.rejected.iter().map(|(record, reason)| (*record, reason.as_str()))
    }

    /// Number of accumulators: one per group out of `accumulate` and `merge`.
    #[inline]
    pub fn cell_count(&self) -> usize {
        self.column(column::CELL_ENDS).len() / 4
    }

    /// The accumulator of group `index`, if it has one.
    #[inline]
    pub fn cell(&self, index: usize) -> Option<&[u8]> {
        let ends = self.column(column::CELL_ENDS);
        let start = if index == 0 { 0 } else { (u32_at(ends, index - 1) & !ABSENT) as usize };
        let end = u32_at(ends, index);
        (end & ABSENT == 0).then(|| &self.column(column::CELLS)[start..end as usize])
    }

    /// All accumulators, in order of the groups.
    pub fn cells(&self) -> impl ExactSizeIterator<Item = Option<&[u8]>> {
        (0..self.cell_count()).map(|index| self.cell(index))
    }
}

/// The first word of a write: which operation on which cell.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WriteAddress {
    /// Operation, without the bit for states that do not ride.
    op: u32,
    /// Whether the cell is one of a state that does not ride.
    beside: bool,
    cell: u32,
}

impl WriteAddress {
    const PUT: u32 = 0;
    const DELETE: u32 = 1;
    const APPEND: u32 = 2;

    const OP_SHIFT: u32 = 28;
    const BESIDE: u32 = 8;

    #[inline]
    fn of(word: u32) -> Self {
        let op = word >> Self::OP_SHIFT;
        WriteAddress {
            op: op & !Self::BESIDE,
            beside: op & Self::BESIDE != 0,
            cell: word & ((1 << Self::OP_SHIFT) - 1),
        }
    }

    /// Group and state. There is at least one state of the kind addressed.
    #[inline]
    fn resolve(self, states: u32, riding: u32) -> (u32, u32) {
        let width = if self.beside { states } else { riding };
        (self.cell / width, self.cell % width)
    }
}
