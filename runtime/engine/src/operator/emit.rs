//! From a guest's output frame to batches at the operator's outputs.
//!
//! An emitted record names the record (or timer, or window) it was made from; time, key and origin come from there
//! unless the guest says otherwise.

use crate::outputs::Outputs;
use tidewheel_guest::Output;
use tidewheel_state::DueTimers;
use tidewheel_types::{Batch, Epoch, Origin};

/// What emitted records inherit from, by the index the guest knows it by.
pub(crate) trait Inherit {
    fn time(&self, index: usize) -> i64;
    fn key(&self, index: usize) -> &[u8];
    fn origin(&self, index: usize) -> Origin;
    fn value(&self, index: usize) -> &[u8];
}

/// Records of a batch in the order in which the guest got them.
pub(crate) struct Records<'a, F> {
    pub(crate) batch: &'a Batch,
    /// From the guest's index to the batch's.
    pub(crate) record: F,
}

impl<F: Fn(usize) -> usize> Records<'_, F> {
    fn record(&self, index: usize) -> usize {
        (self.record)(index)
    }
}

impl<F: Fn(usize) -> usize> Inherit for Records<'_, F> {
    fn time(&self, index: usize) -> i64 {
        self.batch.times[self.record(index)]
    }

    fn key(&self, index: usize) -> &[u8] {
        self.batch.keys.get(self.record(index))
    }

    fn origin(&self, index: usize) -> Origin {
        self.batch.origins[self.record(index)]
    }

    fn value(&self, index: usize) -> &[u8] {
        self.batch.values.get(self.record(index))
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
        outputs.emit(0, epoch, batch_of(output, from, 0..output.len()));
        return;
    }
    for port in 0..ports {
        let at_port = (0..output.len()).filter(|&record| usize::from(output.outputs()[record]) == port);
        outputs.emit(port, epoch, batch_of(output, from, at_port));
    }
}

fn batch_of(output: &Output, from: &impl Inherit, records: impl Iterator<Item = usize>) -> Batch {
    let count = records.size_hint().1.unwrap_or(0);
    let mut batch = Batch::with_capacity(count, count * 8, output.values_bytes());
    for record in records {
        let source = output.source(record) as usize;
        batch.values.push(output.value(record));
        batch.keys.push(output.key(record).unwrap_or_else(|| from.key(source)));
        output.headers(record).for_each(|(name, value)| batch.headers.push(name, value));
        let time = output.time(record).unwrap_or_else(|| from.time(source));
        batch.end_record(time, from.origin(source));
    }
    batch.changes.extend_from_slice(output.changes());
    batch
}
