//! A record as a pane keeps it, and records of windows as columns.
//!
//! ```text
//! u8 change | 4 where there are headers, u8 input, i64 event time,
//! where there are headers: u32 how many, and for each u32 length of its name, u32 length of its value, name, value;
//! then the record's value.
//! ```

use tidewheel_types::{Batch, BytesColumn};

/// Set in the first byte of a record that has headers.
const HAS_HEADERS: u8 = 4;

/// Appends a record.
pub(super) fn encode(batch: &Batch, record: usize, input: u8, bytes: &mut Vec<u8>) {
    let headers = batch.headers.of(record).count() as u32;
    let change = batch.changes.get(record).copied().unwrap_or_default();
    bytes.push(change | if headers > 0 { HAS_HEADERS } else { 0 });
    bytes.push(input);
    bytes.extend_from_slice(&batch.times[record].to_le_bytes());
    if headers > 0 {
        bytes.extend_from_slice(&headers.to_le_bytes());
        for (name, value) in batch.headers.of(record) {
            bytes.extend_from_slice(&(name.len() as u32).to_le_bytes());
            bytes.extend_from_slice(&(value.len() as u32).to_le_bytes());
            bytes.extend_from_slice(name);
            bytes.extend_from_slice(value);
        }
    }
    bytes.extend_from_slice(batch.values.get(record));
}

/// Records of windows that fire together, as columns.
#[derive(Debug, Default)]
pub(super) struct WindowRecords {
    /// Without keys, which are those of the windows, and without origins.
    pub(super) batch: Batch,
    pub(super) inputs: Vec<u8>,
    /// Where the records of each window end.
    pub(super) ends: Vec<u32>,
}

impl WindowRecords {
    pub(super) fn clear(&mut self) {
        let Batch { times, values, headers, changes, .. } = &mut self.batch;
        times.clear();
        values.clear();
        headers.record_ends.clear();
        headers.ends.clear();
        headers.bytes.clear();
        changes.clear();
        self.inputs.clear();
        self.ends.clear();
    }

    /// Adds a window with these records, of which it has some. None: they are not what [`encode`] wrote.
    pub(super) fn push(&mut self, records: &BytesColumn) -> Option<()> {
        records.iter().try_for_each(|record| self.push_record(record))?;
        self.ends.push(self.batch.len() as u32);
        Some(())
    }

    fn push_record(&mut self, stored: &[u8]) -> Option<()> {
        let (&[flags, input], rest) = stored.split_first_chunk()?;
        let (time, mut rest) = rest.split_first_chunk()?;
        let batch = &mut self.batch;
        if flags & HAS_HEADERS != 0 {
            // Records before the first one with headers had none.
            batch.headers.record_ends.resize(batch.times.len(), 0);
            for _ in 0..take_number(&mut rest)? {
                let (name, value) = (take_number(&mut rest)? as usize, take_number(&mut rest)? as usize);
                let (name, after_name) = rest.split_at_checked(name)?;
                let (value, after_value) = after_name.split_at_checked(value)?;
                batch.headers.push(name, value);
                rest = after_value;
            }
        }
        if !batch.headers.ends.is_empty() {
            batch.headers.end_record();
        }
        let change = flags & !HAS_HEADERS;
        if change != 0 || !batch.changes.is_empty() {
            batch.changes.resize(batch.times.len(), 0);
            batch.changes.push(change);
        }
        batch.times.push(i64::from_le_bytes(*time));
        batch.values.push(rest);
        self.inputs.push(input);
        Some(())
    }

    /// Bytes of their values and headers, about.
    pub(super) fn bytes(&self) -> usize {
        self.batch.values.bytes().len() + self.batch.headers.bytes.len()
    }

    /// The window of a record, by its place among them.
    pub(super) fn window_of(&self, record: usize) -> usize {
        self.ends.partition_point(|&end| end as usize <= record)
    }
}

fn take_number(bytes: &mut &[u8]) -> Option<u32> {
    let (number, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(u32::from_le_bytes(*number))
}

#[cfg(test)]
mod tests {
    use super::{WindowRecords, encode};
    use proptest::collection::vec;
    use proptest::prelude::{Strategy, any, prop_assert_eq, proptest};
    use tidewheel_types::{Batch, BytesColumn, Origin};

    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        vec(any::<u8>(), 0..4)
    }

    proptest! {
        #[test]
        fn what_was_encoded_is_read(
            records in vec((any::<i64>(), bytes(), 0u8..4, vec((bytes(), bytes()), 0..3)), 0..6), input: u8,
        ) {
            let mut batch = Batch::default();
            for (time, value, change, headers) in &records {
                headers.iter().for_each(|(name, value)| batch.headers.push(name, value));
                batch.changes.push(*change);
                batch.keys.push(b"key");
                batch.values.push(value);
                batch.end_record(*time, Origin::NONE);
            }
            let mut stored = BytesColumn::default();
            for record in 0..batch.len() {
                encode(&batch, record, input, stored.bytes_mut());
                stored.end_entry();
            }
            let mut read = WindowRecords::default();
            prop_assert_eq!(read.push(&stored), Some(()));
            prop_assert_eq!(&read.batch.times, &batch.times);
            prop_assert_eq!(&read.batch.values, &batch.values);
            prop_assert_eq!(&read.inputs, &vec![input; records.len()]);
            for (record, (_, _, change, headers)) in records.iter().enumerate() {
                prop_assert_eq!(read.batch.changes.get(record).copied().unwrap_or_default(), *change);
                let found = read.batch.headers.of(record).map(|(name, value)| (name.to_vec(), value.to_vec()));
                prop_assert_eq!(&found.collect::<Vec<_>>(), headers);
            }
        }
    }

    #[test]
    fn what_was_cut_off_is_damaged() {
        let mut batch = Batch::default();
        batch.headers.push(b"name", b"value");
        batch.push(7, b"key", b"", Origin::NONE);
        let mut stored = Vec::new();
        encode(&batch, 0, 0, &mut stored);
        for len in 0..stored.len() {
            let mut column = BytesColumn::default();
            column.push(&stored[..len]);
            assert_eq!(WindowRecords::default().push(&column), None, "{len} bytes");
        }
    }
}
