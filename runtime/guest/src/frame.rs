//! The one reader and writer of frames on the host's side.
//!
//! A frame is the one piece of memory that carries a batch's columns across the boundary; `wit/operator.wit` has its
//! layout. [`Frame`] checks the structure: ids and ends in order and in bounds. What the columns mean, and whether their
//! lengths fit each other, is for [`Output`](crate::Output) to check.

pub mod column;
mod error;

pub use error::FrameError;

use bytemuck::{NoUninit, cast_slice};

/// One more than the largest id of a column that has a meaning.
const IDS: usize = column::MARKS as usize + 1;

/// Most columns a frame may have, experiments included.
const COLUMNS_MAX: usize = 64;

const HEADER_BYTES: usize = 8;
const ENTRY_BYTES: usize = 8;
const COLUMN_ALIGNMENT: usize = 8;

/// The columns of a frame: its structure, checked. A column that is not there is empty.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    bytes: &'a [u8],
    layout: Layout,
}

/// Where the columns of a frame are, by id.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout([(u32, u32); IDS]);

impl Layout {
    /// Column `id` of the frame `bytes`, which is the one this layout was read from.
    #[inline]
    pub(crate) fn column<'a>(&self, bytes: &'a [u8], id: u32) -> &'a [u8] {
        let (start, end) = self.0[id as usize];
        &bytes[start as usize..end as usize]
    }
}

impl<'a> Frame<'a> {
    /// Checks the structure of a frame. Ids without a meaning are refused, but those of experiments.
    pub fn read(bytes: &'a [u8]) -> Result<Frame<'a>, FrameError> {
        let too_short = FrameError::TooShort { bytes: bytes.len() };
        let [Some(columns), Some(reserved)] = [word(bytes, 0), word(bytes, 1)] else {
            return Err(too_short);
        };
        if columns as usize > COLUMNS_MAX || reserved != 0 {
            return Err(FrameError::Header { columns, reserved });
        }
        let header = HEADER_BYTES + columns as usize * ENTRY_BYTES;
        if bytes.len() < header {
            return Err(too_short);
        }
        let mut layout = Layout([(0, 0); IDS]);
        let (mut start, mut last_end, mut previous) = (header, header, 0);
        for entry in bytes[HEADER_BYTES..header].chunks_exact(ENTRY_BYTES) {
            let (id, end) = (u32_at(entry, 0), u32_at(entry, 1));
            if id <= previous {
                return Err(FrameError::IdOrder { id, previous });
            }
            if (end as usize) < start || end as usize > bytes.len() {
                return Err(FrameError::ColumnEnd { id, start, end: end as usize, bytes: bytes.len() });
            }
            match layout.0.get_mut(id as usize) {
                Some(place) => *place = (start as u32, end),
                None if id >= column::EXPERIMENTS => {}
                None => return Err(FrameError::Unexpected { id }),
            }
            previous = id;
            last_end = end as usize;
            start = last_end.next_multiple_of(COLUMN_ALIGNMENT);
        }
        // Padding behind the last column is allowed: it saves a writer a special case.
        if bytes.len() != last_end && bytes.len() != start {
            return Err(FrameError::Trailing { end: last_end, bytes: bytes.len() });
        }
        Ok(Frame { bytes, layout })
    }

    /// Column `id`; empty if it is not there.
    ///
    /// # Panics
    /// If no column has this id.
    #[inline]
    pub fn column(&self, id: u32) -> &'a [u8] {
        self.layout.column(self.bytes, id)
    }

    /// Where the columns are.
    pub(crate) fn layout(&self) -> Layout {
        self.layout
    }

    /// Entries of `entry_bytes` bytes that column `id` has.
    pub(crate) fn count(&self, id: u32, entry_bytes: usize) -> Result<usize, FrameError> {
        let bytes = self.column(id).len();
        if !bytes.is_multiple_of(entry_bytes) {
            return Err(FrameError::PartialEntry { id, bytes, entry_bytes });
        }
        Ok(bytes / entry_bytes)
    }
}

/// Writes a frame straight into memory that is used again: every byte is copied once.
///
/// ```
/// use tidewheel_guest::{Frame, FrameWriter, column};
///
/// let mut frame = Vec::new();
/// let mut writer = FrameWriter::new(&mut frame, &[column::TIMES, column::VALUE_ENDS, column::VALUES]);
/// writer.numbers(column::TIMES, &[1_000i64]);
/// writer.numbers(column::VALUE_ENDS, &[5u32]);
/// writer.column(column::VALUES).extend_from_slice(b"hello");
/// writer.finish();
/// assert_eq!(Frame::read(&frame).unwrap().column(column::VALUES), b"hello");
/// ```
pub struct FrameWriter<'a> {
    frame: &'a mut Vec<u8>,
    /// Index of the next column that has no end yet.
    next: usize,
    columns: usize,
}

impl<'a> FrameWriter<'a> {
    /// Starts a frame with the columns `ids`, which are in rising order. What was in `frame` is dropped.
    ///
    /// # Panics
    /// If there are more ids than a frame may have columns.
    pub fn new(frame: &'a mut Vec<u8>, ids: &[u32]) -> Self {
        assert!(ids.len() <= COLUMNS_MAX, "a frame has at most {COLUMNS_MAX} columns");
        debug_assert!(ids.is_sorted_by(|left, right| left < right), "ids must rise: {ids:?}");
        frame.clear();
        frame.extend_from_slice(&(ids.len() as u32).to_le_bytes());
        frame.extend_from_slice(&[0; 4]);
        for id in ids {
            frame.extend_from_slice(&id.to_le_bytes());
            frame.extend_from_slice(&[0; 4]);
        }
        FrameWriter { frame, next: 0, columns: ids.len() }
    }

    /// Column `id`, to be appended to. It ends when another one is asked for; those in between stay empty.
    ///
    /// # Panics
    /// If the frame was started without this column, or a later one has been written.
    pub fn column(&mut self, id: u32) -> &mut Vec<u8> {
        let index = (self.next.saturating_sub(1)..self.columns)
            .find(|&index| u32_at(self.frame, Self::entry(index)) == id)
            .unwrap_or_else(|| panic!("column {id} was not announced, or comes too late"));
        if index >= self.next {
            self.end_columns_before(index);
            self.next = index + 1;
        }
        self.frame
    }

    /// Column `id`, made of numbers as they lie in memory.
    ///
    /// # Panics
    /// As [`column`](Self::column).
    pub fn numbers<T: NoUninit>(&mut self, id: u32, numbers: &[T]) {
        self.column(id).extend_from_slice(cast_slice(numbers));
    }

    /// Completes the frame.
    ///
    /// # Panics
    /// If it has 4 GiB or more.
    pub fn finish(mut self) {
        self.end_columns_before(self.columns);
    }

    /// The word of the header that holds the id of column `index`; its end is in the next one.
    fn entry(index: usize) -> usize {
        (HEADER_BYTES + index * ENTRY_BYTES) / 4
    }

    /// Ends the column being written and those after it, up to column `index`, where the next one starts.
    fn end_columns_before(&mut self, index: usize) {
        for column in self.next.saturating_sub(1)..index {
            let end = u32::try_from(self.frame.len()).expect("a frame has less than 4 GiB").to_le_bytes();
            let place = (Self::entry(column) + 1) * 4;
            self.frame[place..place + 4].copy_from_slice(&end);
            self.frame.resize(self.frame.len().next_multiple_of(COLUMN_ALIGNMENT), 0);
        }
    }
}

// Columns are copied as they lie in memory.
#[cfg(not(target_endian = "little"))]
compile_error!("frames are little-endian memory");

/// Number `index` of a column of `u32`.
#[inline]
pub(crate) fn u32_at(column: &[u8], index: usize) -> u32 {
    let bytes = &column[index * 4..index * 4 + 4];
    u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

/// Number `index` of a column of `i64`.
#[inline]
pub(crate) fn i64_at(column: &[u8], index: usize) -> i64 {
    u32_at(column, index * 2) as i64 | (u32_at(column, index * 2 + 1) as i64) << 32
}

/// The numbers of a column of `u32`.
#[inline]
pub(crate) fn u32s(column: &[u8]) -> impl ExactSizeIterator<Item = u32> + Clone {
    column.chunks_exact(4).map(|bytes| u32_at(bytes, 0))
}

fn word(bytes: &[u8], index: usize) -> Option<u32> {
    (bytes.len() >= index * 4 + 4).then(|| u32_at(bytes, index))
}

#[cfg(test)]
mod tests {
    use super::{Frame, FrameError, FrameWriter, column};
    use proptest::collection::{btree_map, vec};
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    fn written(columns: &[(u32, Vec<u8>)], announced: &[u32]) -> Vec<u8> {
        let mut frame = b"what was there before".to_vec();
        let mut writer = FrameWriter::new(&mut frame, announced);
        for (id, bytes) in columns {
            let (first, second) = bytes.split_at(bytes.len() / 2);
            writer.column(*id).extend_from_slice(first);
            writer.column(*id).extend_from_slice(second);
        }
        writer.finish();
        frame
    }

    proptest! {
        #[test]
        fn reads_what_was_written(columns in btree_map(1u32..=column::MARKS, vec(any::<u8>(), 0..40), 0..24), skipped: u32) {
            let columns: Vec<(u32, Vec<u8>)> = columns.into_iter().collect();
            let announced: Vec<u32> = columns.iter().map(|(id, _)| *id).collect();
            let used: Vec<(u32, Vec<u8>)> =
                columns.iter().filter(|(id, _)| skipped & (1 << id) == 0).cloned().collect();
            let bytes = written(&used, &announced);
            let frame = Frame::read(&bytes).unwrap();
            for id in 1..=22 {
                let expected = used.iter().find(|(used, _)| *used == id).map_or(&[][..], |(_, bytes)| bytes);
                prop_assert_eq!(frame.column(id), expected);
                prop_assert!(expected.is_empty() || frame.column(id).as_ptr().addr() % 8 == bytes.as_ptr().addr() % 8);
            }
        }

        #[test]
        fn never_panics_on_any_bytes(mut bytes in vec(any::<u8>(), 0..96), columns in 0u8..8, small: bool) {
            if small {
                // Mostly zero, so that it gets past the first checks.
                bytes.iter_mut().for_each(|byte| *byte &= 0x38);
                if bytes.len() >= 8 {
                    bytes[..8].copy_from_slice(&[columns, 0, 0, 0, 0, 0, 0, 0]);
                }
            }
            if let Ok(frame) = Frame::read(&bytes) {
                for id in 1..=column::MARKS {
                    prop_assert!(frame.column(id).len() <= bytes.len());
                }
            }
        }
    }

    #[test]
    fn an_experimental_column_is_skipped_and_an_unknown_one_is_refused() {
        let bytes = written(&[(8, b"value".to_vec())], &[8, column::EXPERIMENTS + 7]);
        assert_eq!(Frame::read(&bytes).unwrap().column(8), b"value");
        assert_eq!(Frame::read(&written(&[], &[24])).unwrap_err(), FrameError::Unexpected { id: 24 });
        assert_eq!(Frame::read(&written(&[], &[0])).unwrap_err(), FrameError::IdOrder { id: 0, previous: 0 });
    }

    #[test]
    fn every_fault_of_structure_is_named() {
        let padded = written(&[(7, vec![1; 4]), (8, vec![2; 3])], &[7, 8]);
        assert!(Frame::read(&padded).is_ok());
        let frame = &padded[..35];
        assert!(Frame::read(frame).is_ok(), "padding at the end is not needed");
        assert_eq!(Frame::read(&frame[..7]).unwrap_err(), FrameError::TooShort { bytes: 7 });
        assert_eq!(Frame::read(&frame[..20]).unwrap_err(), FrameError::TooShort { bytes: 20 });
        let end = FrameError::ColumnEnd { id: 8, start: 32, end: 35, bytes: 34 };
        assert_eq!(Frame::read(&frame[..34]).unwrap_err(), end);
        let long = [frame, &[0; 13]].concat();
        assert_eq!(Frame::read(&long).unwrap_err(), FrameError::Trailing { end: 35, bytes: 48 });
        let faulty = |place: usize, value: u8| {
            let mut faulty = frame.to_vec();
            faulty[place] = value;
            Frame::read(&faulty).unwrap_err()
        };
        assert_eq!(faulty(4, 1), FrameError::Header { columns: 2, reserved: 1 });
        assert_eq!(faulty(0, 65), FrameError::Header { columns: 65, reserved: 0 });
        assert_eq!(faulty(16, 7), FrameError::IdOrder { id: 7, previous: 7 });
        assert_eq!(faulty(12, 1), FrameError::ColumnEnd { id: 7, start: 24, end: 1, bytes: 35 });
    }

    #[test]
    #[should_panic(expected = "column 8 was not announced")]
    fn a_column_must_be_announced() {
        FrameWriter::new(&mut Vec::new(), &[7]).column(8);
    }
}
