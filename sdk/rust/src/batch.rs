//! A batch as the guest sees it: the columns of a frame by record and by group.

use crate::frame::{Columns, FrameError, entry, id, word};
use crate::record::Window;
use crate::time::EventTime;
use std::ops::Range;

/// The records of one call. In world `stateless` every record is a group of its own.
///
/// Reading past a column's end panics: a host never sends such a frame.
pub(crate) struct Batch<'a> {
    pub(crate) columns: Columns<'a>,
    times: &'a [[u8; 8]],
    value_ends: &'a [[u8; 4]],
    values: &'a [u8],
    record_ends: Option<&'a [[u8; 4]]>,
    key_ends: &'a [[u8; 4]],
    keys: &'a [u8],
}

impl<'a> Batch<'a> {
    /// The batch in a frame whose records are on their own.
    pub(crate) fn ungrouped(frame: &'a [u8]) -> Result<Batch<'a>, FrameError> {
        let columns = Columns::read(frame)?;
        Ok(Batch {
            times: columns.longs(id::TIMES),
            value_ends: columns.words(id::VALUE_ENDS),
            values: columns.bytes(id::VALUES),
            record_ends: None,
            key_ends: columns.words(id::KEY_ENDS),
            keys: columns.bytes(id::KEYS),
            columns,
        })
    }

    /// The batch in a frame whose records are in groups.
    pub(crate) fn grouped(frame: &'a [u8]) -> Result<Batch<'a>, FrameError> {
        let batch = Batch::ungrouped(frame)?;
        Ok(Batch { record_ends: Some(batch.columns.words(id::RECORD_ENDS)), ..batch })
    }

    /// Number of records.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        match self.record_ends {
            None => self.times.len(),
            Some(ends) => ends.last().map_or(0, |&end| u32::from_le_bytes(end) as usize),
        }
    }

    /// Number of groups.
    #[inline]
    pub(crate) fn groups(&self) -> usize {
        self.record_ends.map_or(self.times.len(), <[_]>::len)
    }

    /// The records of a group.
    #[inline]
    pub(crate) fn records(&self, group: usize) -> Range<usize> {
        match self.record_ends {
            None => group..group + 1,
            Some(ends) => {
                let start = if group == 0 { 0 } else { word(ends, group - 1) as usize };
                start..word(ends, group) as usize
            }
        }
    }

    /// The group of a record.
    pub(crate) fn group_of(&self, record: usize) -> usize {
        match self.record_ends {
            None => record,
            Some(ends) => ends.partition_point(|&end| u32::from_le_bytes(end) as usize <= record),
        }
    }

    /// A record's value. Timers have none: it is empty.
    #[inline]
    pub(crate) fn value(&self, record: usize) -> &'a [u8] {
        if self.value_ends.is_empty() { &[] } else { entry(self.value_ends, self.values, record) }
    }

    /// Bytes of all values.
    pub(crate) fn values_len(&self) -> usize {
        self.values.len()
    }

    /// A record's event time, or a timer's time.
    #[inline]
    pub(crate) fn time(&self, record: usize) -> EventTime {
        EventTime(i64::from_le_bytes(self.times[record]))
    }

    /// The time of what a group as a whole emits: its timer's, or the last of its window.
    pub(crate) fn group_time(&self, group: usize) -> EventTime {
        match self.window(group) {
            Some(window) => EventTime(window.end.0.saturating_sub(1)),
            None => self.time(self.records(group).start),
        }
    }

    /// A group's key; empty when there are no keys.
    #[inline]
    pub(crate) fn key(&self, group: usize) -> &'a [u8] {
        if self.key_ends.is_empty() { &[] } else { entry(self.key_ends, self.keys, group) }
    }

    /// A group's window, if groups have one.
    pub(crate) fn window(&self, group: usize) -> Option<Window> {
        let &[start, end] = self.columns.longs(id::WINDOWS).as_chunks::<2>().0.get(group)?;
        Some(Window { start: EventTime(i64::from_le_bytes(start)), end: EventTime(i64::from_le_bytes(end)) })
    }

    /// Entry `index` of a column of bytes, or `default` when the column is not there.
    #[inline]
    pub(crate) fn byte(&self, column: usize, index: usize, default: u8) -> u8 {
        let bytes = self.columns.bytes(column);
        if bytes.is_empty() { default } else { bytes[index] }
    }

    /// The headers of a record.
    pub(crate) fn headers(&self, record: usize) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        let ends = self.columns.words(id::HEADER_ENDS);
        let places = self.columns.words(id::HEADER_PLACES);
        let bytes = self.columns.bytes(id::HEADER_BYTES);
        let place = |at: usize| word(places, at) as usize;
        let range = match (ends.is_empty(), record) {
            (true, _) => 0..0,
            (false, 0) => 0..word(ends, 0),
            (false, _) => word(ends, record - 1)..word(ends, record),
        };
        range.map(move |header| {
            let name_at = 2 * header as usize;
            let start = if name_at == 0 { 0 } else { place(name_at - 1) };
            (&bytes[start..place(name_at)], &bytes[place(name_at)..place(name_at + 1)])
        })
    }
}
