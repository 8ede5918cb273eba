//! Records as bytes: one after the other, all numbers little-endian.
//!
//! `time i64 | offset u64 | source u32 | split u32 | change u8 | key, value: length u32, bytes | headers u32 | each:
//! name, value: length u32, bytes`

use std::io::{self, ErrorKind, Read};
use tidewheel_types::{Batch, Origin};

/// Longer than anything a record holds: a length beyond it is damage.
const LENGTH_MAX: usize = 1 << 26;

/// Adds the records of `batch` to `out`.
pub(super) fn encode(batch: &Batch, out: &mut Vec<u8>) {
    let put = |bytes: &[u8], out: &mut Vec<u8>| {
        out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
        out.extend_from_slice(bytes);
    };
    for index in 0..batch.len() {
        let Origin { offset, source, split } = batch.origins[index];
        out.extend_from_slice(&batch.times[index].to_le_bytes());
        out.extend_from_slice(&offset.to_le_bytes());
        out.extend_from_slice(&source.to_le_bytes());
        out.extend_from_slice(&split.to_le_bytes());
        out.push(batch.changes.get(index).copied().unwrap_or_default());
        put(batch.keys.get(index), out);
        put(batch.values.get(index), out);
        out.extend_from_slice(&(batch.headers.of(index).count() as u32).to_le_bytes());
        for (name, value) in batch.headers.of(index) {
            put(name, out);
            put(value, out);
        }
    }
}

/// Reads records back, in batches of about `batch_bytes`.
pub(super) struct Decoder<R> {
    input: R,
    batch_bytes: usize,
    /// Encoded bytes that have not been read.
    rest: u64,
    scratch: [Vec<u8>; 2],
}

impl<R: Read> Decoder<R> {
    /// Of the next `bytes` of `input`.
    pub(super) fn new(input: R, bytes: u64, batch_bytes: usize) -> Self {
        Decoder { input, batch_bytes, rest: bytes, scratch: Default::default() }
    }

    fn next_batch(&mut self) -> io::Result<Option<Batch>> {
        let mut batch = Batch::default();
        while self.rest > 0 && batch.size_bytes() < self.batch_bytes {
            self.record(&mut batch)?;
        }
        Ok((!batch.is_empty()).then_some(batch))
    }

    fn record(&mut self, batch: &mut Batch) -> io::Result<()> {
        let time = i64::from_le_bytes(self.array()?);
        let offset = u64::from_le_bytes(self.array()?);
        let source = u32::from_le_bytes(self.array()?);
        let split = u32::from_le_bytes(self.array()?);
        let [change] = self.array()?;
        let [mut first, mut second] = std::mem::take(&mut self.scratch);
        self.bytes(&mut first)?;
        batch.keys.push(&first);
        self.bytes(&mut first)?;
        batch.values.push(&first);
        for _ in 0..u32::from_le_bytes(self.array()?) {
            self.bytes(&mut first)?;
            self.bytes(&mut second)?;
            batch.headers.push(&first, &second);
        }
        self.scratch = [first, second];
        if change != 0 || !batch.changes.is_empty() {
            // Records before the first one that is no insert are inserts.
            batch.changes.resize(batch.times.len(), 0);
            batch.changes.push(change);
        }
        batch.end_record(time, Origin { offset, source, split });
        Ok(())
    }

    fn array<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut array = [0; N];
        self.input.read_exact(&mut array)?;
        self.rest = self.rest.checked_sub(N as u64).ok_or(ErrorKind::InvalidData)?;
        Ok(array)
    }

    fn bytes(&mut self, bytes: &mut Vec<u8>) -> io::Result<()> {
        let length = u32::from_le_bytes(self.array()?) as usize;
        if length > LENGTH_MAX {
            return Err(ErrorKind::InvalidData.into());
        }
        bytes.resize(length, 0);
        self.input.read_exact(bytes)?;
        self.rest = self.rest.checked_sub(length as u64).ok_or(ErrorKind::InvalidData)?;
        Ok(())
    }
}

impl<R: Read> Iterator for Decoder<R> {
    type Item = io::Result<Batch>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_batch().transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::{Decoder, encode};
    use proptest::collection::vec;
    use proptest::prelude::{any, prop_assert_eq, proptest};
    use tidewheel_types::{Batch, Origin};

    type Headers = Vec<(Vec<u8>, Vec<u8>)>;
    /// Time, key, value, change, headers.
    type Record = (i64, Vec<u8>, Vec<u8>, u8, Headers);

    fn batch(records: &[Record]) -> Batch {
        let mut batch = Batch::default();
        for (offset, (time, key, value, change, headers)) in records.iter().enumerate() {
            let mut one = Batch::default();
            one.keys.push(key);
            one.values.push(value);
            headers.iter().for_each(|(name, value)| one.headers.push(name, value));
            if *change != 0 {
                one.changes.push(*change);
            }
            one.end_record(*time, Origin { offset: offset as u64, source: 1, split: 2 });
            batch.push_from(&one, 0);
        }
        batch
    }

    proptest! {
        #[test]
        fn records_come_back_as_they_were(
            records in vec((any::<i64>(), vec(any::<u8>(), 0..5), vec(any::<u8>(), 0..9), 0u8..4,
                vec((vec(any::<u8>(), 0..3), vec(any::<u8>(), 0..3)), 0..3)), 0..20),
            batch_bytes in 1usize..300,
        ) {
            let expected = batch(&records);
            let mut bytes = Vec::new();
            encode(&expected, &mut bytes);
            let mut read = Batch::default();
            for batch in Decoder::new(bytes.as_slice(), bytes.len() as u64, batch_bytes) {
                let batch = batch.expect("undamaged");
                (0..batch.len()).for_each(|index| read.push_from(&batch, index));
            }
            prop_assert_eq!(read, expected);
        }
    }
}
