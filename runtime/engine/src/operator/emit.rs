//! From a guest's output frame to batches at the operator's outputs.
//!
//! An emitted record names the record (or timer, or window) it was made from; time, key and origin come from there
//! unless the guest says otherwise.

use super::group::Grouping;
use crate::outputs::Outputs;
use std::ops::Range;
use tidewheel_guest::Output;
use tidewheel_state::DueTimers;
use tidewheel_types::batch::{BATCH_BYTES_MAX, Headers, RECORD_OVERHEAD_BYTES};
use tidewheel_types::{Batch, BytesColumn, Epoch, Origin};

/// Results of a call that are sent on as they are; of more, batches are made of the size an exchange makes.
const WHOLE_BYTES_MAX: usize = 4 * BATCH_BYTES_MAX;

/// What emitted records inherit from, by the index the guest knows it by.
pub(crate) trait Inherit {
    /// Where it is in its batch.
    fn place(&self, index: usize) -> usize;

    /// Where that is in its batch or round which holds record `record` of the frame.
    fn place_of_record(&self, record: usize) -> usize {
        self.place(record)
    }

    fn time(&self, index: usize) -> i64;
    fn key(&self, index: usize) -> &[u8];
    fn origin(&self, index: usize) -> Origin;
    fn value(&self, index: usize) -> &[u8];

    /// The batch that it is a record of, and its place there; none of timers and windows.
    fn within(&self, _index: usize) -> Option<(&Batch, usize)> {
        None
    }

    /// Bytes that no key has more of.
    fn key_bytes_max(&self) -> usize;

    /// The keys of `range`, in order.
    fn keys(&self, range: Range<usize>) -> BytesColumn {
        range.map(|index| self.key(index)).collect()
    }
}

/// Records of a batch as the guest got them: some that lie together, in their order.
pub(crate) struct Piece<'a> {
    pub(crate) batch: &'a Batch,
    pub(crate) range: Range<usize>,
}

impl Inherit for Piece<'_> {
    fn place(&self, index: usize) -> usize {
        self.range.start + index
    }

    fn time(&self, index: usize) -> i64 {
        self.batch.times[self.place(index)]
    }

    fn key(&self, index: usize) -> &[u8] {
        self.batch.keys.get(self.place(index))
    }

    fn origin(&self, index: usize) -> Origin {
        self.batch.origins[self.place(index)]
    }

    fn value(&self, index: usize) -> &[u8] {
        self.batch.values.get(self.place(index))
    }

    fn within(&self, index: usize) -> Option<(&Batch, usize)> {
        Some((self.batch, self.place(index)))
    }

    fn key_bytes_max(&self) -> usize {
        bytes_in(&self.batch.keys, &self.range)
    }

    fn keys(&self, range: Range<usize>) -> BytesColumn {
        let mut keys = BytesColumn::default();
        keys.extend_from(&self.batch.keys, self.place(range.start)..self.place(range.end));
        keys
    }
}

/// Records of a batch as the guest got them: grouped.
pub(crate) struct Ordered<'a> {
    pub(crate) batch: &'a Batch,
    pub(crate) grouping: &'a Grouping,
}

impl Inherit for Ordered<'_> {
    fn place(&self, index: usize) -> usize {
        self.grouping.order()[index] as usize
    }

    fn time(&self, index: usize) -> i64 {
        self.batch.times[self.place(index)]
    }

    fn key(&self, index: usize) -> &[u8] {
        self.batch.keys.get(self.place(index))
    }

    fn origin(&self, index: usize) -> Origin {
        self.batch.origins[self.place(index)]
    }

    fn value(&self, index: usize) -> &[u8] {
        self.batch.values.get(self.place(index))
    }

    fn within(&self, index: usize) -> Option<(&Batch, usize)> {
        Some((self.batch, self.place(index)))
    }

    fn key_bytes_max(&self) -> usize {
        self.grouping.key_bytes_max()
    }
}

/// Timers that were due, some that lie together. What is emitted for one has its key and time.
pub(crate) struct Fired<'a> {
    pub(crate) due: &'a DueTimers,
    pub(crate) range: Range<usize>,
}

impl Inherit for Fired<'_> {
    fn place(&self, index: usize) -> usize {
        self.range.start + index
    }

    fn time(&self, index: usize) -> i64 {
        self.due.times[self.place(index)]
    }

    fn key(&self, index: usize) -> &[u8] {
        self.due.keys.get(self.place(index))
    }

    fn origin(&self, _: usize) -> Origin {
        Origin::NONE
    }

    fn value(&self, _: usize) -> &[u8] {
        &[]
    }

    fn key_bytes_max(&self) -> usize {
        bytes_in(&self.due.keys, &self.range)
    }
}

/// Bytes of the entries `range`.
pub(super) fn bytes_in(column: &BytesColumn, range: &Range<usize>) -> usize {
    if range.is_empty() { 0 } else { column.range(range.end - 1).end - column.range(range.start).start }
}

/// Bytes that the records in `output` have at most, with the keys they inherit.
pub(super) fn bytes_max(output: &Output, from: &impl Inherit) -> usize {
    let keys = match output.keys() {
        Some((_, keys)) => keys.len(),
        None => match output.len().saturating_mul(from.key_bytes_max()) {
            at_most if at_most <= WHOLE_BYTES_MAX => at_most,
            _ => output.sources().map(|source| from.key(source as usize).len()).sum(),
        },
    };
    output.len() * RECORD_OVERHEAD_BYTES + output.values_bytes() + keys
}

/// Emits everything in `output`, each record at the port it names.
pub(crate) fn emit(output: &Output, from: &impl Inherit, ports: usize, epoch: Epoch, outputs: &mut Outputs) {
    if output.is_empty() {
        return;
    }
    if output.outputs().is_empty() {
        let small = bytes_max(output, from) <= WHOLE_BYTES_MAX;
        let mut start = 0;
        while start < output.len() {
            let end = if small { output.len() } else { batch_end(output, from, start) };
            outputs.emit(0, epoch, slice(output, from, start..end));
            start = end;
        }
        return;
    }
    for port in 0..ports {
        let mut batch = Batch::default();
        for record in (0..output.len()).filter(|&record| usize::from(output.outputs()[record]) == port) {
            push(&mut batch, output, from, record);
            if batch.size_bytes() >= BATCH_BYTES_MAX {
                outputs.emit(port, epoch, std::mem::take(&mut batch));
            }
        }
        outputs.emit(port, epoch, batch);
    }
}

/// Where the batch ends that begins with record `start`.
fn batch_end(output: &Output, from: &impl Inherit, start: usize) -> usize {
    let mut bytes = 0;
    for record in start..output.len() {
        let key = output.key(record).unwrap_or_else(|| from.key(output.source(record) as usize));
        bytes += RECORD_OVERHEAD_BYTES + key.len() + output.value(record).len();
        if bytes >= BATCH_BYTES_MAX {
            return record + 1;
        }
    }
    output.len()
}

/// The records `range` in one batch: the columns that the guest gave are copied as a whole.
fn slice(output: &Output, from: &impl Inherit, range: Range<usize>) -> Batch {
    let sources = || range.clone().map(|record| output.source(record) as usize);
    let mut batch = Batch {
        times: match output.times() {
            Some(times) => times.as_chunks().0[range.clone()].iter().map(|&time| i64::from_le_bytes(time)).collect(),
            None => sources().map(|source| from.time(source)).collect(),
        },
        keys: match output.keys() {
            Some((ends, keys)) => column(ends, keys, range.clone()),
            None if output.sources_are_identity() => from.keys(range.clone()),
            None => sources().map(|source| from.key(source)).collect(),
        },
        values: column(output.value_ends(), output.values(), range.clone()),
        origins: sources().map(|source| from.origin(source)).collect(),
        headers: Headers::default(),
        changes: output.changes().get(range.clone()).unwrap_or_default().to_vec(),
    };
    if output.has_headers() {
        for record in range {
            output.headers(record).for_each(|(name, value)| batch.headers.push(name, value));
            batch.headers.end_record();
        }
    }
    batch
}

/// Adds a record to a batch.
fn push(batch: &mut Batch, output: &Output, from: &impl Inherit, record: usize) {
    let source = output.source(record) as usize;
    batch.values.push(output.value(record));
    batch.keys.push(output.key(record).unwrap_or_else(|| from.key(source)));
    output.headers(record).for_each(|(name, value)| batch.headers.push(name, value));
    batch.changes.extend(output.changes().get(record));
    let time = output.time(record).unwrap_or_else(|| from.time(source));
    batch.end_record(time, from.origin(source));
}

/// The entries `range` of a column of a frame that has been checked.
fn column(ends: &[u8], bytes: &[u8], range: Range<usize>) -> BytesColumn {
    let end_of = |record: &[u8; 4]| u32::from_le_bytes(*record);
    let ends = ends.as_chunks().0;
    let start = if range.start == 0 { 0 } else { end_of(&ends[range.start - 1]) };
    let ends: Vec<u32> = ends[range].iter().map(|end| end_of(end) - start).collect();
    let bytes = &bytes[start as usize..][..ends.last().map_or(0, |&end| end as usize)];
    BytesColumn::from_parts(ends, bytes.to_vec()).expect("the ends of a frame are checked when the call returns")
}
