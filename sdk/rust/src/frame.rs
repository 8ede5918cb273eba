//! Frames: the one reader and the one writer. A frame is one piece of memory that carries columns across the boundary;
//! its layout is in `wit/operator.wit`, interface `types`.

use std::fmt;

/// Ids of columns.
pub(crate) mod id {
    pub(crate) const TIMES: usize = 1;
    pub(crate) const KEY_ENDS: usize = 2;
    pub(crate) const KEYS: usize = 3;
    pub(crate) const RECORD_ENDS: usize = 4;
    pub(crate) const CELL_ENDS: usize = 5;
    pub(crate) const CELLS: usize = 6;
    pub(crate) const VALUE_ENDS: usize = 7;
    pub(crate) const VALUES: usize = 8;
    pub(crate) const INPUTS: usize = 9;
    pub(crate) const WINDOWS: usize = 10;
    pub(crate) const GROUP_FLAGS: usize = 11;
    pub(crate) const HEADER_ENDS: usize = 12;
    pub(crate) const HEADER_PLACES: usize = 13;
    pub(crate) const HEADER_BYTES: usize = 14;
    pub(crate) const CHANGES: usize = 15;
    pub(crate) const SOURCES: usize = 16;
    pub(crate) const OUTPUTS: usize = 17;
    pub(crate) const WRITES: usize = 18;
    pub(crate) const WRITE_BYTES: usize = 19;
    pub(crate) const TIMERS: usize = 20;
    pub(crate) const REJECTED: usize = 21;
    pub(crate) const REASONS: usize = 22;
    pub(crate) const MARKS: usize = 23;
    /// Ids below this one are known here; a reader skips the others.
    pub(crate) const COUNT: usize = 24;
}

/// In an end: there is no value.
pub(crate) const ABSENT: u32 = 1 << 31;

/// A frame taken apart: where each known column is.
#[derive(Clone, Copy)]
pub(crate) struct Columns<'a> {
    frame: &'a [u8],
    places: [(u32, u32); id::COUNT],
}

impl<'a> Columns<'a> {
    /// Takes a frame apart. Only the places of columns are checked here; what is in them is checked where it is used.
    pub(crate) fn read(frame: &'a [u8]) -> Result<Columns<'a>, FrameError> {
        let (words, _) = frame.as_chunks::<4>();
        let [count, _reserved, entries @ ..] = words else { return Err(FrameError::Short) };
        let count = u32::from_le_bytes(*count) as usize;
        let entries = entries.get(..count.saturating_mul(2)).ok_or(FrameError::Short)?;
        let mut places = [(0, 0); id::COUNT];
        let (mut previous_id, mut start) = (None, 8 + count * 8);
        for entry in entries.as_chunks::<2>().0 {
            let [id, end] = entry.map(u32::from_le_bytes);
            if previous_id.is_some_and(|previous| id <= previous) {
                return Err(FrameError::Order { id });
            }
            if (end as usize) < start || end as usize > frame.len() {
                return Err(FrameError::Bounds { id });
            }
            if let Some(place) = places.get_mut(id as usize) {
                *place = (start as u32, end);
            }
            (previous_id, start) = (Some(id), (end as usize).next_multiple_of(8));
        }
        Ok(Columns { frame, places })
    }

    /// The bytes of a column; none when it is not there.
    #[inline]
    pub(crate) fn bytes(&self, id: usize) -> &'a [u8] {
        let (start, end) = self.places[id];
        &self.frame[start as usize..end as usize]
    }

    /// Where a column starts in the frame.
    pub(crate) fn start(&self, id: usize) -> usize {
        self.places[id].0 as usize
    }

    /// A column of u32; [`word`] reads one.
    #[inline]
    pub(crate) fn words(&self, id: usize) -> &'a [[u8; 4]] {
        self.bytes(id).as_chunks().0
    }

    /// A column of s64.
    #[inline]
    pub(crate) fn longs(&self, id: usize) -> &'a [[u8; 8]] {
        self.bytes(id).as_chunks().0
    }
}

/// Entry `index` of a column of u32.
#[inline]
pub(crate) fn word(column: &[[u8; 4]], index: usize) -> u32 {
    u32::from_le_bytes(column[index])
}

/// Entry `index` of a pair of columns `X-ends` and `X`.
#[inline]
pub(crate) fn entry<'a>(ends: &[[u8; 4]], bytes: &'a [u8], index: usize) -> &'a [u8] {
    let start = if index == 0 { 0 } else { word(ends, index - 1) as usize };
    &bytes[start..word(ends, index) as usize]
}

/// Entry `index` of a pair of columns in which entries may be absent.
#[inline]
pub(crate) fn cell<'a>(ends: &[[u8; 4]], bytes: &'a [u8], index: usize) -> Option<&'a [u8]> {
    let start = if index == 0 { 0 } else { (word(ends, index - 1) & !ABSENT) as usize };
    let end = word(ends, index);
    (end & ABSENT == 0).then(|| &bytes[start..end as usize])
}

/// Adds a u32 to a column.
#[inline]
pub(crate) fn push_word(column: &mut Vec<u8>, word: u32) {
    column.extend_from_slice(&word.to_le_bytes());
}

/// Appends bytes that are often few. In WebAssembly a copy of unknown length is an instruction that calls into the
/// host's runtime, which costs more than a few bytes one by one.
#[inline]
pub(crate) fn append(column: &mut Vec<u8>, bytes: &[u8]) {
    const FEW: usize = 8;
    match bytes.as_array::<FEW>() {
        Some(eight) => column.extend_from_slice(eight),
        None if bytes.len() > FEW => column.extend_from_slice(bytes),
        None => bytes.iter().for_each(|&byte| column.push(byte)),
    }
}

/// Adds the end of a cell to a column of ends: `len` bytes are there now, and the cell is `present` or absent.
#[inline]
pub(crate) fn push_cell_end(ends: &mut Vec<u8>, len: usize, present: bool) {
    push_word(ends, len as u32 | if present { 0 } else { ABSENT });
}

/// Puts columns, named by rising ids, into one frame. Empty ones are left out.
pub(crate) fn write(columns: &[(usize, &[u8])]) -> Vec<u8> {
    debug_assert!(columns.is_sorted_by(|a, b| a.0 < b.0), "ids rise");
    let present = || columns.iter().filter(|(_, bytes)| !bytes.is_empty());
    let header_len = 8 + 8 * present().count();
    let padded_len: usize = present().map(|(_, bytes)| bytes.len().next_multiple_of(8)).sum();
    let mut frame = Vec::with_capacity(header_len + padded_len);
    push_word(&mut frame, present().count() as u32);
    push_word(&mut frame, 0);
    let mut start = header_len;
    for (id, bytes) in present() {
        push_word(&mut frame, *id as u32);
        push_word(&mut frame, (start + bytes.len()) as u32);
        start = (start + bytes.len()).next_multiple_of(8);
    }
    for (_, bytes) in present() {
        frame.resize(frame.len().next_multiple_of(8), 0);
        frame.extend_from_slice(bytes);
    }
    frame
}

/// A frame whose header does not hold together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FrameError {
    /// Shorter than its header says.
    Short,
    /// A column's id is not above the one before it.
    Order { id: u32 },
    /// A column ends before it starts, or behind the frame.
    Bounds { id: u32 },
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FrameError::Short => write!(f, "the frame from the host is shorter than its header says"),
            FrameError::Order { id } => write!(f, "column {id} of the frame from the host is out of order"),
            FrameError::Bounds { id } => write!(f, "column {id} of the frame from the host ends out of bounds"),
        }
    }
}

impl std::error::Error for FrameError {}

#[cfg(test)]
mod tests {
    use super::{Columns, FrameError, append, cell, id, push_cell_end, write};
    use proptest::collection::{btree_map, vec};
    use proptest::prelude::{any, prop_assert_eq, proptest};

    proptest! {
        #[test]
        fn what_is_written_is_read(model in btree_map(1usize..40, vec(any::<u8>(), 0..40), 0..12)) {
            let columns: Vec<_> = model.iter().map(|(id, bytes)| (*id, bytes.as_slice())).collect();
            let frame = write(&columns);
            let read = Columns::read(&frame).unwrap();
            for id in 0..id::COUNT {
                prop_assert_eq!(read.bytes(id), model.get(&id).map_or(&[][..], Vec::as_slice));
                if !read.bytes(id).is_empty() {
                    prop_assert_eq!(read.start(id) % 8, 0);
                }
            }
        }

        #[test]
        fn no_bytes_make_the_reader_panic(count in 0u32..6, rest in vec(any::<u8>(), 0..80), small: bool) {
            let mut frame = count.to_le_bytes().to_vec();
            frame.extend(rest.iter().map(|byte| if small { byte % 64 * u8::from(byte % 4 == 0) } else { *byte }));
            if let Ok(columns) = Columns::read(&frame) {
                for id in 0..id::COUNT {
                    prop_assert_eq!(columns.bytes(id).len() / 4, columns.words(id).len());
                }
            }
        }

        #[test]
        fn cells_tell_absent_from_empty(model in vec(proptest::option::of(vec(any::<u8>(), 0..4)), 0..20)) {
            let (mut ends, mut bytes) = (Vec::new(), Vec::<u8>::new());
            for entry in &model {
                bytes.extend_from_slice(entry.as_deref().unwrap_or_default());
                push_cell_end(&mut ends, bytes.len(), entry.is_some());
            }
            for (index, entry) in model.iter().enumerate() {
                prop_assert_eq!(cell(ends.as_chunks().0, &bytes, index), entry.as_deref());
            }
        }
    }

    #[test]
    fn bytes_of_every_length_are_appended() {
        for len in 0..40 {
            let bytes: Vec<u8> = (1..=len).collect();
            let mut column = b"before".to_vec();
            append(&mut column, &bytes);
            assert_eq!(column, [b"before".as_slice(), &bytes].concat());
        }
    }

    #[test]
    fn a_broken_header_is_named() {
        let error = |frame: &[u8]| Columns::read(frame).err();
        assert_eq!(error(&[]), Some(FrameError::Short));
        assert_eq!(error(&[1, 0, 0, 0, 0, 0, 0, 0]), Some(FrameError::Short));
        let mut frame = write(&[(1, b"12345678"), (2, b"a")]);
        frame[16] = 1;
        assert_eq!(error(&frame), Some(FrameError::Order { id: 1 }));
        frame[16] = 2;
        frame[20] = 255;
        assert_eq!(error(&frame), Some(FrameError::Bounds { id: 2 }));
        assert_eq!(error(&u32::MAX.to_le_bytes().repeat(4)), Some(FrameError::Short));
    }
}
