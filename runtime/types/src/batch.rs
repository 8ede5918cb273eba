//! A batch: many records as columns. It is what flows on every edge of a job.

use crate::column::BytesColumn;
use bytemuck::{Pod, Zeroable, cast_slice};
use std::ops::Range;

/// The largest key, value or header of a record, in bytes; also the largest state value. One byte less than 16 MiB, so
/// that a length has 24 bits.
pub const RECORD_BYTES_MAX: usize = (16 << 20) - 1;

/// The largest key in bytes: where keyed state is kept, a key's length takes 24 bits.
pub const KEY_BYTES_MAX: usize = (16 << 20) - 1;

/// Bytes after which a batch is sent on an exchange; one larger record travels alone.
pub const BATCH_BYTES_MAX: usize = 256 << 10;

/// What a record counts besides its key and value, in bytes: time, origin and two ends.
pub const RECORD_OVERHEAD_BYTES: usize = 8 + 16 + 8;

/// Where a record came from. Emitted records inherit the origin of the record they were made from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Pod, Zeroable)]
#[repr(C)]
pub struct Origin {
    /// Offset in the split: a line number, an event number, a Kafka offset.
    pub offset: u64,
    /// Index of the source in the job's list of sources.
    pub source: u32,
    /// Number of the split in the source.
    pub split: u32,
}

impl Origin {
    /// Of what was made from no record: by a timer, by a window.
    pub const NONE: Origin = Origin { offset: 0, source: u32::MAX, split: 0 };
}

/// What a record says about the one before it with the same key, as in a change-data stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Change {
    /// A new row.
    #[default]
    Insert = 0,
    /// The old version of a row that changes.
    UpdateBefore = 1,
    /// The new version of a row that changes.
    UpdateAfter = 2,
    /// A row that goes away.
    Delete = 3,
}

/// Headers of records. In a batch without headers everything here is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers {
    /// Per record: number of headers up to its last.
    pub record_ends: Vec<u32>,
    /// Per header: where its name and its value end in `bytes`.
    pub ends: Vec<[u32; 2]>,
    /// Names and values.
    pub bytes: Vec<u8>,
}

impl Headers {
    /// The headers of record `index`: names and values.
    pub fn of(&self, index: usize) -> impl Iterator<Item = (&[u8], &[u8])> {
        let start = |ends: &[u32], at: usize| if at == 0 { 0 } else { ends[at - 1] as usize };
        let range = match self.record_ends.is_empty() {
            true => 0..0,
            false => start(&self.record_ends, index)..self.record_ends[index] as usize,
        };
        range.map(move |header| {
            let [name_end, value_end] = self.ends[header];
            let name_start = if header == 0 { 0 } else { self.ends[header - 1][1] as usize };
            (&self.bytes[name_start..name_end as usize], &self.bytes[name_end as usize..value_end as usize])
        })
    }

    /// Adds a header to the record that [`end_record`](Self::end_record) will complete.
    pub fn push(&mut self, name: &[u8], value: &[u8]) {
        self.bytes.extend_from_slice(name);
        let name_end = self.bytes.len() as u32;
        self.bytes.extend_from_slice(value);
        self.ends.push([name_end, self.bytes.len() as u32]);
    }

    /// Completes a record: the headers pushed since the last one are its.
    pub fn end_record(&mut self) {
        self.record_ends.push(self.ends.len() as u32);
    }

    #[inline]
    fn is_empty(&self) -> bool {
        self.record_ends.is_empty()
    }
}

/// Records as columns. Every column has one entry per record, but `headers` and `changes`, which may be empty as a
/// whole: then no record has headers, and every change is an insert.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// Event times, ms since 1970-01-01 UTC.
    pub times: Vec<i64>,
    /// Keys; empty byte strings on an edge without keys.
    pub keys: BytesColumn,
    /// Values.
    pub values: BytesColumn,
    /// Where each record came from.
    pub origins: Vec<Origin>,
    /// Headers.
    pub headers: Headers,
    /// [`Change`] of each record, as its number.
    pub changes: Vec<u8>,
}

impl Batch {
    /// Number of records.
    #[inline]
    pub fn len(&self) -> usize {
        self.times.len()
    }

    /// Whether there is no record.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.times.is_empty()
    }

    /// The size that budgets and credits count, in bytes.
    #[inline]
    pub fn size_bytes(&self) -> usize {
        self.len() * RECORD_OVERHEAD_BYTES
            + self.keys.bytes().len()
            + self.values.bytes().len()
            + self.headers.bytes.len()
    }

    /// The part of [`size_bytes`](Self::size_bytes) that record `index` has, but for its headers.
    #[inline]
    pub fn record_bytes(&self, index: usize) -> usize {
        RECORD_OVERHEAD_BYTES + self.keys.range(index).len() + self.values.range(index).len()
    }

    /// Adds a record without headers that is an insert.
    #[inline]
    pub fn push(&mut self, time: i64, key: &[u8], value: &[u8], origin: Origin) {
        self.keys.push(key);
        self.values.push(value);
        self.end_record(time, origin);
    }

    /// Completes a record whose key and value (and headers and change, if it has any) have been added to their
    /// columns.
    #[inline]
    pub fn end_record(&mut self, time: i64, origin: Origin) {
        self.times.push(time);
        self.origins.push(origin);
        debug_assert_eq!(self.keys.len(), self.times.len());
        debug_assert_eq!(self.values.len(), self.times.len());
        if !(self.headers.is_empty() && self.headers.ends.is_empty()) {
            // Records before the first one with headers had none.
            self.headers.record_ends.resize(self.times.len() - 1, 0);
            self.headers.end_record();
        }
        if !self.changes.is_empty() {
            self.changes.resize(self.times.len(), Change::Insert as u8);
        }
    }

    /// Adds record `index` of `other`.
    #[inline]
    pub fn push_from(&mut self, other: &Batch, index: usize) {
        self.keys.push(other.keys.get(index));
        self.values.push(other.values.get(index));
        self.extend_optional(other, self.len(), index..index + 1);
        self.times.push(other.times[index]);
        self.origins.push(other.origins[index]);
    }

    /// Adds the records `picked` of `other`, column by column.
    pub fn extend_picked(&mut self, other: &Batch, picked: &[u32]) {
        self.keys.extend_picked(&other.keys, picked);
        self.values.extend_picked(&other.values, picked);
        for (place, &index) in picked.iter().enumerate() {
            self.extend_optional(other, self.times.len() + place, index as usize..index as usize + 1);
        }
        self.times.extend(picked.iter().map(|&index| other.times[index as usize]));
        self.origins.extend(picked.iter().map(|&index| other.origins[index as usize]));
    }

    /// Adds the records `range` of `other`.
    pub fn extend_from(&mut self, other: &Batch, range: Range<usize>) {
        self.keys.extend_from(&other.keys, range.clone());
        self.values.extend_from(&other.values, range.clone());
        self.extend_optional(other, self.len(), range.clone());
        self.times.extend_from_slice(&other.times[range.clone()]);
        self.origins.extend_from_slice(&other.origins[range]);
    }

    /// Headers and changes of `range`, which become those of the records from `len` on; pads either side that has none.
    #[inline]
    fn extend_optional(&mut self, other: &Batch, len: usize, range: Range<usize>) {
        if !(self.headers.is_empty() && other.headers.is_empty()) {
            let headers = self.headers.ends.len() as u32;
            self.headers.record_ends.resize(len, headers);
            for index in range.clone() {
                for (name, value) in other.headers.of(index) {
                    self.headers.push(name, value);
                }
                self.headers.end_record();
            }
        }
        if !(self.changes.is_empty() && other.changes.is_empty()) {
            self.changes.resize(len, Change::Insert as u8);
            match other.changes.is_empty() {
                true => self.changes.resize(len + range.len(), Change::Insert as u8),
                false => self.changes.extend_from_slice(&other.changes[range]),
            }
        }
    }

    /// Drops all records, keeps the memory.
    pub fn clear(&mut self) {
        self.times.clear();
        self.keys.clear();
        self.values.clear();
        self.origins.clear();
        self.headers.record_ends.clear();
        self.headers.ends.clear();
        self.headers.bytes.clear();
        self.changes.clear();
    }

    /// Bytes that [`encode`](Self::encode) writes; a multiple of 8.
    pub fn encoded_len(&self) -> usize {
        WIRE_HEADER_BYTES + self.sections().iter().map(|section| section.len().next_multiple_of(8)).sum::<usize>()
    }

    /// The batch as bytes for another process: the lengths of the columns, then the columns, each padded to 8 bytes,
    /// all little-endian. It is one copy of memory per column.
    pub fn encode(&self, mut write: impl FnMut(&[u8])) {
        let sections = self.sections();
        for section in &sections {
            write(&(section.len() as u64).to_le_bytes());
        }
        for section in &sections {
            write(section);
            write(&[0; 8][..section.len().next_multiple_of(8) - section.len()]);
        }
    }

    /// Reads what [`encode`](Self::encode) wrote; `None` if it is not that.
    pub fn decode(bytes: &[u8]) -> Option<Batch> {
        let (lengths, mut rest) = bytes.split_at_checked(WIRE_HEADER_BYTES)?;
        let mut sections = [&[][..]; SECTIONS];
        for (section, length) in sections.iter_mut().zip(lengths.chunks_exact(8)) {
            let length = usize::try_from(u64::from_le_bytes(length.try_into().ok()?)).ok()?;
            let padded = length.checked_next_multiple_of(8)?;
            let (column, after) = rest.split_at_checked(padded)?;
            *section = &column[..length];
            rest = after;
        }
        let [times, key_ends, keys, value_ends, values, origins, record_ends, header_ends, headers, changes] = sections;
        let batch = Batch {
            times: pod_column(times)?,
            keys: BytesColumn::from_parts(pod_column(key_ends)?, keys.to_vec())?,
            values: BytesColumn::from_parts(pod_column(value_ends)?, values.to_vec())?,
            origins: pod_column(origins)?,
            headers: Headers {
                record_ends: pod_column(record_ends)?,
                ends: pod_column(header_ends)?,
                bytes: headers.to_vec(),
            },
            changes: changes.to_vec(),
        };
        let n = batch.len();
        let fits = batch.keys.len() == n
            && batch.values.len() == n
            && batch.origins.len() == n
            && [0, n].contains(&batch.headers.record_ends.len())
            && [0, n].contains(&batch.changes.len())
            && batch.headers.record_ends.is_sorted()
            && batch.headers.record_ends.last().map_or(0, |&end| end as usize) == batch.headers.ends.len()
            && batch.headers.ends.as_flattened().is_sorted()
            && batch.headers.ends.last().map_or(0, |end| end[1] as usize) == batch.headers.bytes.len();
        fits.then_some(batch)
    }

    fn sections(&self) -> [&[u8]; SECTIONS] {
        [
            cast_slice(&self.times),
            cast_slice(self.keys.ends()),
            self.keys.bytes(),
            cast_slice(self.values.ends()),
            self.values.bytes(),
            cast_slice(&self.origins),
            cast_slice(&self.headers.record_ends),
            cast_slice(&self.headers.ends),
            &self.headers.bytes,
            &self.changes,
        ]
    }
}

const SECTIONS: usize = 10;
const WIRE_HEADER_BYTES: usize = SECTIONS * 8;

// Columns are copied as they lie in memory.
#[cfg(not(target_endian = "little"))]
compile_error!("batches are exchanged as little-endian memory");

/// A column of plain numbers, copied out of bytes of any alignment.
fn pod_column<T: Pod>(bytes: &[u8]) -> Option<Vec<T>> {
    if !bytes.len().is_multiple_of(size_of::<T>()) {
        return None;
    }
    let mut column = vec![T::zeroed(); bytes.len() / size_of::<T>()];
    bytemuck::cast_slice_mut(&mut column).copy_from_slice(bytes);
    Some(column)
}

#[cfg(test)]
mod tests {
    use super::{Batch, Change, Origin};
    use proptest::collection::vec;
    use proptest::prelude::{Strategy, any, prop_assert, prop_assert_eq, proptest};

    /// Records with time, key, value, headers and change.
    type Model = Vec<(i64, Vec<u8>, Vec<u8>, Vec<(Vec<u8>, Vec<u8>)>, u8)>;

    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        vec(any::<u8>(), 0..6)
    }

    fn model() -> impl Strategy<Value = Model> {
        vec((any::<i64>(), bytes(), bytes(), vec((bytes(), bytes()), 0..3), 0u8..4), 0..12)
    }

    fn batch(model: &Model, headers: bool, changes: bool) -> Batch {
        let mut batch = Batch::default();
        for (index, (time, key, value, pairs, change)) in model.iter().enumerate() {
            batch.keys.push(key);
            batch.values.push(value);
            batch.times.push(*time);
            batch.origins.push(Origin { offset: index as u64, source: 1, split: 2 });
            if headers {
                pairs.iter().for_each(|(name, value)| batch.headers.push(name, value));
                batch.headers.end_record();
            }
            if changes {
                batch.changes.push(*change);
            }
        }
        batch
    }

    proptest! {
        #[test]
        fn encode_and_decode_are_inverse(model in model(), headers: bool, changes: bool) {
            let batch = batch(&model, headers, changes);
            let mut bytes = Vec::new();
            batch.encode(|piece| bytes.extend_from_slice(piece));
            prop_assert_eq!(bytes.len(), batch.encoded_len());
            prop_assert_eq!(Batch::decode(&bytes), Some(batch));
        }

        #[test]
        fn decode_never_panics(mut bytes in vec(any::<u8>(), 80..200), lengths in vec(0u64..24, 10)) {
            for (at, length) in lengths.iter().enumerate() {
                bytes[at * 8..at * 8 + 8].copy_from_slice(&length.to_le_bytes());
            }
            if let Some(batch) = Batch::decode(&bytes) {
                for index in 0..batch.len() {
                    prop_assert!(batch.keys.get(index).len() < 24);
                    batch.headers.of(index).for_each(drop);
                }
            }
        }

        #[test]
        fn records_survive_being_moved_one_by_one_or_in_ranges(
            left in model(), right in model(), flags in any::<[bool; 4]>(),
        ) {
            let (one, two) = (batch(&left, flags[0], flags[1]), batch(&right, flags[2], flags[3]));
            let mut ranged = Batch::default();
            ranged.extend_from(&one, 0..one.len());
            ranged.extend_from(&two, 0..two.len());
            let mut single = Batch::default();
            (0..one.len()).for_each(|index| single.push_from(&one, index));
            (0..two.len()).for_each(|index| single.push_from(&two, index));
            let mut picked = Batch::default();
            picked.extend_picked(&one, &(0..one.len() as u32).collect::<Vec<_>>());
            let (first, second): (Vec<u32>, Vec<u32>) = (0..two.len() as u32).partition(|index| index % 2 == 0);
            let mut halves = [picked.clone(), Batch::default()];
            halves[0].extend_picked(&two, &first);
            halves[1].extend_picked(&two, &second);
            (0..two.len()).for_each(|at| picked.push_from(&halves[at % 2], at / 2 + if at % 2 == 0 { one.len() } else { 0 }));
            prop_assert_eq!(&ranged.times, &single.times);
            prop_assert_eq!(&ranged.times, &picked.times);
            for at in 0..ranged.len() {
                let (source, index) = if at < one.len() { (&one, at) } else { (&two, at - one.len()) };
                for moved in [&ranged, &single, &picked] {
                    prop_assert_eq!(moved.keys.get(at), source.keys.get(index));
                    prop_assert_eq!(moved.values.get(at), source.values.get(index));
                    prop_assert_eq!(moved.origins[at], source.origins[index]);
                    prop_assert!(moved.headers.of(at).eq(source.headers.of(index)));
                    let change = |batch: &Batch, at: usize| batch.changes.get(at).copied().unwrap_or(Change::Insert as u8);
                    prop_assert_eq!(change(moved, at), change(source, index));
                }
            }
        }
    }
}
