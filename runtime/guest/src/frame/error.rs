//! What can be wrong with a frame.

use super::COLUMNS_MAX;
use tidewheel_types::batch::RECORD_BYTES_MAX;

/// What is wrong with a frame. Numbers are those of the contract: column ids, indices of entries.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// It is too short to have a header and the entries of its columns.
    #[error("a frame of {bytes} bytes is too short for its header")]
    TooShort {
        /// Its length.
        bytes: usize,
    },
    /// The second word of the header is not 0, or there are too many columns.
    #[error("the header says {columns} columns and {reserved}; at most {COLUMNS_MAX} columns and 0 are allowed")]
    Header {
        /// The first word.
        columns: u32,
        /// The second word.
        reserved: u32,
    },
    /// Ids are not in rising order.
    #[error("column {id} comes after column {previous}, but ids must rise")]
    IdOrder {
        /// The id.
        id: u32,
        /// The id before it.
        previous: u32,
    },
    /// The id has no meaning, or none in a frame that comes out of this function.
    #[error("column {id} has no meaning in this frame")]
    Unexpected {
        /// The id.
        id: u32,
    },
    /// A column ends before it starts, or behind the frame.
    #[error("column {id} starts at {start} and ends at {end}, in a frame of {bytes} bytes")]
    ColumnEnd {
        /// The column.
        id: u32,
        /// Where it starts.
        start: usize,
        /// Where it says that it ends.
        end: usize,
        /// The frame's length.
        bytes: usize,
    },
    /// There is something behind the last column.
    #[error("the last column ends at {end}, but the frame has {bytes} bytes")]
    Trailing {
        /// Where the last column ends.
        end: usize,
        /// The frame's length.
        bytes: usize,
    },
    /// The length of a column is not a multiple of the size of its entries.
    #[error("column {id} has {bytes} bytes, which is not a multiple of {entry_bytes}")]
    PartialEntry {
        /// The column.
        id: u32,
        /// Its length.
        bytes: usize,
        /// The size of an entry.
        entry_bytes: usize,
    },
    /// A column has the wrong number of entries.
    #[error("column {id} has {entries} entries where {expected} are expected")]
    Count {
        /// The column.
        id: u32,
        /// Entries it has.
        entries: usize,
        /// Entries it should have.
        expected: usize,
    },
    /// Ends go back, or the last one is not where the bytes end.
    #[error("entry {entry} of column {id} ends at {end}, where {least} to {most} is possible")]
    EntryEnd {
        /// The column of the ends.
        id: u32,
        /// The entry; the number of entries if the last one ends too early.
        entry: usize,
        /// Where it ends.
        end: usize,
        /// Where it may end at the earliest.
        least: usize,
        /// Where it may end at the latest.
        most: usize,
    },
    /// An entry is longer than a record or state value may be.
    #[error("entry {entry} of column {id} has {bytes} bytes, but may have {RECORD_BYTES_MAX}")]
    TooLong {
        /// The column of the ends.
        id: u32,
        /// The entry.
        entry: usize,
        /// Its length.
        bytes: usize,
    },
    /// An index or a code is too large.
    #[error("entry {entry} of column {id} is {value}, but must be below {bound}")]
    OutOfRange {
        /// The column.
        id: u32,
        /// The entry.
        entry: usize,
        /// The value.
        value: u64,
        /// What it must be below.
        bound: u64,
    },
    /// A write that its state does not take.
    #[error("write {entry}: operation {op} cannot be used on state {state}, {reason}")]
    Write {
        /// The write.
        entry: usize,
        /// Its operation, as in the frame.
        op: u32,
        /// The state.
        state: u32,
        /// Why not.
        reason: &'static str,
    },
    /// Refused records are not in rising order.
    #[error("refused record {record} comes after record {previous}, but they must be in order and named once")]
    RejectedOrder {
        /// The record.
        record: u32,
        /// The record before it.
        previous: u32,
    },
    /// A record is refused, but something is emitted for it.
    #[error("record {record} is refused, but emitted record {emitted} comes of it")]
    RejectedSource {
        /// The record refused.
        record: u32,
        /// The record emitted.
        emitted: usize,
    },
    /// A refused record has a mark.
    #[error("record {record} is refused, but mark {mark} comes of it")]
    RejectedMark {
        /// The record refused.
        record: u32,
        /// The mark.
        mark: usize,
    },
    /// There is a mark, and the component is not one that makes them.
    #[error(
        "it makes a watermark (column {id}), which only the component of a source may: event-time = {{ component = … }}",
        id = crate::frame::column::MARKS
    )]
    Mark,
}
