//! What all cutters share: where records and malformed input go, and when to stop.

use crate::{ConnectorError, Malformed, NO_TIME};
use serde::{Deserialize, Serialize};
use std::fmt::Display;
use tidewheel_types::batch::{Change, RECORD_OVERHEAD_BYTES};
use tidewheel_types::dead_letter::DeadLetter;
use tidewheel_types::{Batch, Origin};

/// Bytes of malformed input that are kept at most.
pub(super) const MALFORMED_BYTES_MAX: usize = 64 << 10;

/// Cuts bytes into records. Keeps what belongs to a record that is not complete.
pub(super) trait Cutter {
    /// Cuts `input` until its end or until `output` is full; returns how much of it has been dealt with.
    fn cut(&mut self, input: &[u8], output: &mut Output<'_>) -> Result<usize, ConnectorError>;

    /// There is no more input: what was kept is a record, or none.
    fn finish(&mut self, output: &mut Output<'_>) -> Result<(), ConnectorError>;

    /// Where the next record begins.
    fn place(&self) -> Place;

    /// Goes on at `place`, where a cutter like this one was; `name` is that of the split.
    fn resume(&mut self, place: &Place, name: &str) -> Result<(), ConnectorError>;
}

/// Where in a text a record begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    /// Its line, from 1.
    pub(super) line: u64,
    /// Bytes of it that have been dealt with.
    #[serde(skip)]
    pub(super) bytes_kept: u64,
    /// The columns' names, which the first row holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) columns: Option<Vec<String>>,
}

/// Where one read's records go.
pub(super) struct Output<'a> {
    name: &'a str,
    source: u32,
    split: u32,
    bytes_max: usize,
    bytes: usize,
    batch: &'a mut Batch,
    malformed: &'a mut Vec<Malformed>,
}

impl<'a> Output<'a> {
    pub(super) fn new(
        name: &'a str,
        source: u32,
        split: u32,
        bytes_max: usize,
        batch: &'a mut Batch,
        malformed: &'a mut Vec<Malformed>,
    ) -> Self {
        Output { name, source, split, bytes_max, bytes: 0, batch, malformed }
    }

    /// The split's name.
    pub(super) fn name(&self) -> &str {
        self.name
    }

    /// Whether this read has yielded enough.
    pub(super) fn is_full(&self) -> bool {
        self.bytes >= self.bytes_max
    }

    /// Adds a record that begins on this line.
    pub(super) fn record(&mut self, line: u64, value: &[u8]) {
        self.batch.values.bytes_mut().extend_from_slice(value);
        self.end_record(line);
    }

    /// Adds the record that a dead letter on this line is of, with all it had.
    pub(super) fn letter(&mut self, line: u64, letter: &DeadLetter) -> Result<(), String> {
        let (Some(key), Some(value), true) = (letter.key(), letter.value(), letter.was_record()) else {
            return Err("a timer or window was set aside, which cannot be input".to_owned());
        };
        let batch = &mut *self.batch;
        batch.keys.bytes_mut().extend_from_slice(&key);
        batch.values.bytes_mut().extend_from_slice(&value);
        for header in &letter.headers {
            batch.headers.push(header.name.as_bytes(), &header.bytes().unwrap_or_default());
        }
        if let Some(change) = letter.change {
            batch.changes.resize(batch.len(), Change::Insert as u8);
            batch.changes.push(change);
        }
        self.end_record_at(line, letter.event_time.unwrap_or(NO_TIME));
        Ok(())
    }

    /// Where a value is written piece by piece; then [`end_record`](Self::end_record), or [`malformed`](Self::malformed)
    /// to drop it.
    pub(super) fn value(&mut self) -> &mut Vec<u8> {
        self.batch.values.bytes_mut()
    }

    /// Completes a record that begins on this line.
    pub(super) fn end_record(&mut self, line: u64) {
        self.end_record_at(line, NO_TIME);
    }

    fn end_record_at(&mut self, line: u64, time: i64) {
        self.batch.values.end_entry();
        self.batch.keys.end_entry();
        let origin = Origin { offset: line, source: self.source, split: self.split };
        self.batch.end_record(time, origin);
        self.bytes += self.batch.values.range(self.batch.len() - 1).len() + RECORD_OVERHEAD_BYTES;
    }

    /// Adds what is no record, from this line on, and drops what has been written of a value.
    pub(super) fn malformed(&mut self, line: u64, bytes: &[u8], reason: impl Display) {
        self.batch.values.abandon_entry();
        let bytes = &bytes[..bytes.len().min(MALFORMED_BYTES_MAX)];
        self.bytes += bytes.len() + RECORD_OVERHEAD_BYTES;
        let reason = format!("{}:{line}: {reason}", self.name);
        self.malformed.push(Malformed { offset: line, bytes: bytes.to_vec(), reason });
    }
}
