//! Lets the latest record of each key in a time pass, when the watermark has come to the end of it.
//!
//! Which record that is does not depend on the order in which they come, but for those of one event time, of which the
//! last to come counts. A record whose time is over is late.

use super::group::Grouping;
use super::memory::Memory;
use crate::error::EngineError;
use crate::inbox::Arrived;
use crate::metrics::NodeMetrics;
use crate::outputs::Outputs;
use crate::plan::Latest;
use crate::streams::Command;
use crate::task::{Flow, Logic, Moment};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tidewheel_types::keyed_state::{ABSENT, Write};
use tidewheel_types::{Batch, Origin};

/// Such an operator on one worker.
pub(crate) struct KeepingLatest {
    latest: Latest,
    memory: Memory,
    late_port: usize,
    metrics: Arc<NodeMetrics>,
    grouping: Grouping,
    /// Records of the piece at hand that are not late, and the starts of their times.
    in_time: Vec<u32>,
    starts: Vec<i64>,
}

impl KeepingLatest {
    pub(crate) fn new(latest: Latest, memory: Memory, late_port: usize, metrics: Arc<NodeMetrics>) -> Self {
        let (in_time, starts) = (Vec::new(), Vec::new());
        KeepingLatest { latest, memory, late_port, metrics, grouping: Grouping::default(), in_time, starts }
    }

    /// Sorts the records of `piece` into those in time and those that are late, which it returns.
    fn separate_late(&mut self, batch: &Batch, piece: Range<usize>, at: &Moment) -> Batch {
        self.in_time.clear();
        self.starts.clear();
        let mut late = Batch::default();
        for record in piece {
            let start = self.latest.start_of(batch.times[record]);
            if self.latest.end_of(start) <= at.watermark.0 {
                late.push_from(batch, record);
            } else {
                self.in_time.push(record as u32);
                self.starts.push(start);
            }
        }
        late
    }

    /// Groups the records of `piece`, or of fewer, and reads the latest ones so far. Returns which records these are, and
    /// the late ones of them.
    fn prepare(
        &mut self,
        grouping: &mut Grouping,
        batch: &Batch,
        mut piece: Range<usize>,
        at: &Moment,
    ) -> Result<(Range<usize>, Batch), EngineError> {
        loop {
            let late = self.separate_late(batch, piece.clone(), at);
            grouping.by_window(batch, &self.in_time, &self.starts);
            let keys = (0..grouping.len()).map(|group| grouping.state_key(&batch.keys, group));
            let fitting = self.memory.read(&piece, keys)?;
            if fitting == piece {
                return Ok((piece, late));
            }
            piece = fitting;
        }
    }

    /// The records that are the latest of their groups now.
    fn newer(&self, batch: &Batch, grouping: &Grouping) -> Result<Vec<(usize, u32)>, EngineError> {
        let (mut newer, mut start) = (Vec::new(), 0);
        for group in 0..grouping.len() {
            let end = grouping.record_ends()[group] as usize;
            let records = grouping.order()[start..end].iter().copied();
            // Of several the last: they are in the order in which they came.
            let latest = records.max_by_key(|&record| batch.times[record as usize]).expect("a group has a record");
            let stored = self.memory.cells.get(group);
            let stored = stored.map(|value| time_of(value).ok_or_else(|| self.memory.damaged())).transpose()?;
            if stored.is_none_or(|stored| stored <= batch.times[latest as usize]) {
                newer.push((group, latest));
            }
            start = end;
        }
        Ok(newer)
    }

    fn piece(
        &mut self,
        grouping: &mut Grouping,
        arrived: &mut Arrived,
        at: &Moment,
        outputs: &mut Outputs,
    ) -> Result<(), EngineError> {
        let batch = &arrived.batch;
        let (piece, late) = self.prepare(grouping, batch, Memory::piece(arrived.done, batch.len()), at)?;
        let newer = self.newer(batch, grouping)?;
        let key = |group: usize| grouping.state_key(&batch.keys, group);
        let values: Vec<Vec<u8>> = newer.iter().map(|&(_, record)| encode(batch, record as usize)).collect();
        let writes = newer.iter().zip(&values).map(|(&(group, _), value)| (group, key(group), Write::Put(value)));
        self.memory.write(writes)?;
        let ends: Vec<i64> = (0..grouping.len()).map(|group| self.latest.end_of(grouping.window_of(group))).collect();
        let is_new = |group: &usize| self.memory.cells.ends[*group] & ABSENT != 0;
        let new: Vec<usize> = (0..grouping.len()).filter(is_new).collect();
        self.memory.set_timers(new.into_iter().map(|group| (key(group), Some(ends[group]))));
        self.metrics.late.fetch_add(late.len() as u64, Ordering::Relaxed);
        outputs.emit(self.late_port, at.epoch, late);
        arrived.done = piece.end;
        Ok(())
    }
}

impl Logic for KeepingLatest {
    fn records(&mut self, arrived: &mut Arrived, at: &Moment, outputs: &mut Outputs) -> Result<Flow, EngineError> {
        self.memory.set_time(at);
        let mut grouping = std::mem::take(&mut self.grouping);
        let done = self.piece(&mut grouping, arrived, at, outputs);
        self.grouping = grouping;
        done.map(|()| arrived.flow())
    }

    /// Sends the latest records of times that are over.
    fn fire(&mut self, at: &Moment, outputs: &mut Outputs) -> Result<Flow, EngineError> {
        self.memory.set_time(at);
        let Some(piece) = self.memory.read_due(at.watermark.0)? else { return Ok(Flow::Done) };
        let mut output = Batch::default();
        for (cell, timer) in piece.clone().enumerate() {
            if let Some(value) = self.memory.cells.get(cell) {
                let key = self.memory.due.keys.get(timer);
                decode(value, key, &mut output).ok_or_else(|| self.memory.damaged())?;
            }
        }
        outputs.emit(0, at.epoch, output);
        self.memory.forget_due(piece, |_| None)?;
        Ok(Flow::More)
    }

    fn command(&mut self, command: &Command, at: &Moment) -> Result<Flow, EngineError> {
        self.memory.command(command, at).map(|()| Flow::Done)
    }
}

/// A record but for its key, and its origin: sources may have other numbers when it is read again. Event time, 8 bytes; kind
/// of change, 1; number of headers, 4; the name and value of each with 4 bytes of length before them; then the value. All
/// little-endian.
fn encode(batch: &Batch, record: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(13 + batch.values.range(record).len());
    bytes.extend_from_slice(&batch.times[record].to_le_bytes());
    bytes.push(batch.changes.get(record).copied().unwrap_or_default());
    bytes.extend_from_slice(&(batch.headers.of(record).count() as u32).to_le_bytes());
    for (name, value) in batch.headers.of(record) {
        for part in [name, value] {
            bytes.extend_from_slice(&(part.len() as u32).to_le_bytes());
            bytes.extend_from_slice(part);
        }
    }
    bytes.extend_from_slice(batch.values.get(record));
    bytes
}

/// The event time of a record that was kept.
fn time_of(bytes: &[u8]) -> Option<i64> {
    bytes.first_chunk().copied().map(i64::from_le_bytes)
}

/// Adds a record that was kept to `batch`, with its key; nothing if the bytes are not one.
fn decode(bytes: &[u8], key: &[u8], batch: &mut Batch) -> Option<()> {
    let mut record = Batch::default();
    let (time, rest) = bytes.split_first_chunk::<8>()?;
    let (&change, rest) = rest.split_first()?;
    let (headers, mut rest) = rest.split_first_chunk::<4>()?;
    for _ in 0..u32::from_le_bytes(*headers) {
        let name = take_part(&mut rest)?;
        let value = take_part(&mut rest)?;
        record.headers.push(name, value);
    }
    if change != 0 {
        record.changes.push(change);
    }
    record.push(i64::from_le_bytes(*time), key, rest, Origin::NONE);
    batch.extend_from(&record, 0..1);
    Some(())
}

fn take_part<'b>(bytes: &mut &'b [u8]) -> Option<&'b [u8]> {
    let (len, rest) = bytes.split_first_chunk::<4>()?;
    let (part, rest) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)?;
    *bytes = rest;
    Some(part)
}

#[cfg(test)]
mod tests {
    use super::{decode, encode, time_of};
    use proptest::collection::vec;
    use proptest::prelude::{prop_assert, prop_assert_eq, proptest};
    use tidewheel_types::{Batch, Origin};

    proptest! {
        #[test]
        fn a_record_that_is_kept_comes_back(
            time: i64, key: Vec<u8>, value: Vec<u8>, headers in vec(proptest::prelude::any::<(Vec<u8>, Vec<u8>)>(), 0..3),
            change in 0u8..4,
        ) {
            let mut batch = Batch::default();
            batch.push(0, b"another", b"record", Origin::default());
            headers.iter().for_each(|(name, value)| batch.headers.push(name, value));
            batch.changes = vec![0];
            batch.changes.push(change);
            batch.push(time, &key, &value, Origin { offset: 3, source: 1, split: 2 });
            let bytes = encode(&batch, 1);
            prop_assert_eq!(time_of(&bytes), Some(time));
            let mut back = Batch::default();
            back.push(1, b"", b"", Origin::default());
            decode(&bytes, &key, &mut back).expect("it is one");
            prop_assert_eq!((back.times[1], back.keys.get(1), back.values.get(1)), (time, &key[..], &value[..]));
            prop_assert!(back.headers.of(1).eq(batch.headers.of(1)));
            prop_assert_eq!(back.changes.get(1).copied().unwrap_or_default(), change);
            prop_assert_eq!(back.origins[1], Origin::NONE);
        }

        #[test]
        fn no_bytes_break_it(bytes: Vec<u8>) {
            decode(&bytes, b"", &mut Batch::default());
        }
    }
}
