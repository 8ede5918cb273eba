//! From a guest's output frame to batches at the operator's outputs.
//!
//! An emitted record names the record (or timer, or window) it was made from; time, key and origin come from there
//! unless the guest says otherwise.

use crate::outputs::Outputs;
use tidewheel_guest::Output;
use tidewheel_state::DueTimers;
use tidewheel_types::batch::Headers;
use tidewheel_types::{Batch, BytesColumn, Epoch, Origin};

/// What emitted records inherit from, by the index the guest knows it by.
pub(crate) trait Inherit {
    fn time(&self, index: usize) -> i64;
    fn key(&self, index: usize) -> &[u8];
    fn origin(&self, index: usize) -> Origin;
    fn value(&self, index: usize) -> &[u8];

    /// The keys of the first `count`, in order.
    fn first_keys(&self, count: usize) -> BytesColumn {
        (0..count).map(|index| self.key(index)).collect()
    }
}

/// Records of a batch as the guest got them: some that lie together, in their order.
pub(crate) struct Piece<'a> {
    pub(crate) batch: &'a Batch,
    pub(crate) start: usize,
}

impl Inherit for Piece<'_> {
    fn time(&self, index: usize) -> i64 {
        self.batch.times[self.start + index]
    }

    fn key(&self, index: usize) -> &[u8] {
        self.batch.keys.get(self.start + index)
    }

    fn origin(&self, index: usize) -> Origin {
        self.batch.origins[self.start + index]
    }

    fn value(&self, index: usize) -> &[u8] {
        self.batch.values.get(self.start + index)
    }

    fn first_keys(&self, count: usize) -> BytesColumn {
        let mut keys = BytesColumn::default();
        keys.extend_from(&self.batch.keys, self.start..self.start + count);
        keys
    }
}

/// Records of a batch as the guest got them: in another order.
pub(crate) struct Ordered<'a> {
    pub(crate) batch: &'a Batch,
    /// From the guest's index to the batch's.
    pub(crate) order: &'a [u32],
}

impl Inherit for Ordered<'_> {
    fn time(&self, index: usize) -> i64 {
        self.batch.times[self.order[index] as usize]
    }

    fn key(&self, index: usize) -> &[u8] {
        self.batch.keys.get(self.order[index] as usize)
    }

    fn origin(&self, index: usize) -> Origin {
        self.batch.origins[self.order[index] as usize]
    }

    fn value(&self, index: usize) -> &[u8] {
        self.batch.values.get(self.order[index] as usize)
    }
}

/// Timers that were due. What is emitted for one has its key and time; for a window, its last event time.
pub(crate) struct Fired<'a>(pub(crate) &'a DueTimers);

impl Inherit for Fired<'_> {
    fn time(&self, index: usize) -> i64 {
        self.0.times[index]
    }

    fn key(&self, index: usize) -> &[u8] {
        self.0.keys.get(index)
    }

    fn origin(&self, _: usize) -> Origin {
        Origin::NONE
    }

    fn value(&self, _: usize) -> &[u8] {
        &[]
    }
}

/// Emits everything in `output`, each record at the port it names.
pub(crate) fn emit(output: &Output, from: &impl Inherit, ports: usize, epoch: Epoch, outputs: &mut Outputs) {
    if output.is_empty() {
        return;
    }
    if output.outputs().is_empty() {
        return outputs.emit(0, epoch, whole(output, from));
    }
    for port in 0..ports {
        let at_port = (0..output.len()).filter(|&record| usize::from(output.outputs()[record]) == port);
        outputs.emit(port, epoch, picked(output, from, at_port));
    }
}

/// All records in one batch: the columns that the guest gave are copied as a whole.
fn whole(output: &Output, from: &impl Inherit) -> Batch {
    let sources = || output.sources().map(|source| source as usize);
    let mut batch = Batch {
        times: match output.times() {
            Some(times) => times.as_chunks().0.iter().map(|&time| i64::from_le_bytes(time)).collect(),
            None => sources().map(|source| from.time(source)).collect(),
        },
        keys: match output.keys() {
            Some((ends, keys)) => column(ends, keys),
            None if output.sources_are_identity() => from.first_keys(output.len()),
            None => sources().map(|source| from.key(source)).collect(),
        },
        values: column(output.value_ends(), output.values()),
        origins: sources().map(|source| from.origin(source)).collect(),
        headers: Headers::default(),
        changes: output.changes().to_vec(),
    };
    if output.has_headers() {
        for record in 0..output.len() {
            output.headers(record).for_each(|(name, value)| batch.headers.push(name, value));
            batch.headers.end_record();
        }
    }
    batch
}

/// Some of the records, one by one.
fn picked(output: &Output, from: &impl Inherit, records: impl Iterator<Item = usize>) -> Batch {
    let mut batch = Batch::default();
    for record in records {
        let source = output.source(record) as usize;
        batch.values.push(output.value(record));
        batch.keys.push(output.key(record).unwrap_or_else(|| from.key(source)));
        output.headers(record).for_each(|(name, value)| batch.headers.push(name, value));
        batch.changes.extend(output.changes().get(record));
        let time = output.time(record).unwrap_or_else(|| from.time(source));
        batch.end_record(time, from.origin(source));
    }
    batch
}

/// A column of a frame that has been checked.
fn column(ends: &[u8], bytes: &[u8]) -> BytesColumn {
    let ends = ends.as_chunks().0.iter().map(|&end| u32::from_le_bytes(end)).collect();
    BytesColumn::from_parts(ends, bytes.to_vec()).expect("the ends of a frame are checked when the call returns")
}
