//! Frames from the host's side: records and cells in, what the operator did out.

use crate::emitted::Details;
use crate::frame::{self, Columns, entry, id, push_cell_end, word};
use crate::process_window::Part;
use crate::record::{Change, Window};
use crate::time::EventTime;

/// A record, timer or accumulator on its way into the operator.
#[derive(Clone, Default)]
pub(super) struct Incoming {
    pub(super) key: Vec<u8>,
    pub(super) time: i64,
    pub(super) value: Vec<u8>,
    /// Index of the input, or the timer's slot.
    pub(super) input: u8,
    pub(super) change: u8,
    pub(super) headers: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Incoming {
    /// A record without its value, as a test describes it.
    pub(super) fn new(details: &Details<'_>, input: u8) -> Incoming {
        Incoming {
            key: details.key.unwrap_or_default().to_vec(),
            time: details.time.unwrap_or_default().0,
            value: Vec::new(),
            input,
            change: details.change as u8,
            headers: details.headers.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.to_vec())).collect(),
        }
    }
}

/// Records of a key, or of a key and window, with the cells that ride along.
pub(super) struct IncomingGroup {
    pub(super) key: Vec<u8>,
    pub(super) window: Option<Window>,
    /// Which part of its window it is.
    pub(super) part: Part,
    pub(super) cells: Vec<Option<Vec<u8>>>,
    pub(super) records: Vec<Incoming>,
}

/// The frame of a call. Without `grouped` every group has one record, and its key is the record's.
pub(super) fn write(groups: &[IncomingGroup], grouped: bool) -> Vec<u8> {
    let mut columns: [Vec<u8>; id::COUNT] = Default::default();
    let mut put = |id: usize, bytes: &[u8]| {
        columns[id].extend_from_slice(bytes);
        columns[id].len() as u32
    };
    let (mut records, mut headers) = (0u32, 0u32);
    for group in groups {
        for record in &group.records {
            put(id::TIMES, &record.time.to_le_bytes());
            let end = put(id::VALUES, &record.value);
            put(id::VALUE_ENDS, &end.to_le_bytes());
            put(id::INPUTS, &[record.input]);
            put(id::CHANGES, &[record.change]);
            for (name, value) in &record.headers {
                for part in [name, value] {
                    let end = put(id::HEADER_BYTES, part);
                    put(id::HEADER_PLACES, &end.to_le_bytes());
                }
            }
            headers += record.headers.len() as u32;
            put(id::HEADER_ENDS, &headers.to_le_bytes());
        }
        records += group.records.len() as u32;
        let end = put(id::KEYS, &group.key);
        put(id::KEY_ENDS, &end.to_le_bytes());
        if grouped {
            put(id::RECORD_ENDS, &records.to_le_bytes());
        }
        if let Some(window) = group.window {
            put(id::WINDOWS, &window.start.0.to_le_bytes());
            put(id::WINDOWS, &window.end.0.to_le_bytes());
            put(id::GROUP_FLAGS, &[u8::from(group.part.is_first) | u8::from(group.part.is_last) << 1]);
        }
    }
    let (mut cell_ends, mut cells) = (Vec::new(), Vec::new());
    for cell in groups.iter().flat_map(|group| &group.cells) {
        cells.extend_from_slice(cell.as_deref().unwrap_or_default());
        push_cell_end(&mut cell_ends, cells.len(), cell.is_some());
    }
    (columns[id::CELL_ENDS], columns[id::CELLS]) = (cell_ends, cells);
    let columns: Vec<_> = columns.iter().enumerate().map(|(id, bytes)| (id, bytes.as_slice())).collect();
    frame::write(&columns)
}

/// A record that an operator emitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmittedRecord {
    /// Index of the output; 0 is the main one.
    pub output: usize,
    /// The key.
    pub key: Vec<u8>,
    /// The event time.
    pub event_time: EventTime,
    /// The value's bytes.
    pub value: Vec<u8>,
    /// Names and values of headers.
    pub headers: Vec<(Vec<u8>, Vec<u8>)>,
    /// What it says about the record before it.
    pub change: Change,
}

/// A record or timer that an operator refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectedRecord {
    /// The key.
    pub key: Vec<u8>,
    /// The value's bytes; empty for a timer.
    pub value: Vec<u8>,
    /// Why.
    pub reason: String,
}

/// The records an operator emitted. `by_group`: their sources are groups.
pub(super) fn emitted(frame: &Columns<'_>, groups: &[IncomingGroup], by_group: bool) -> Vec<EmittedRecord> {
    let by_record: Vec<_> =
        groups.iter().flat_map(|group| group.records.iter().map(move |record| (group, record.time))).collect();
    let source = |at: usize| {
        let source = word(frame.words(id::SOURCES), at) as usize;
        if !by_group {
            return by_record[source];
        }
        let group = &groups[source];
        (group, group.window.map_or_else(|| group.records[0].time, |window| window.end.0 - 1))
    };
    let count = frame.words(id::VALUE_ENDS).len();
    assert_eq!(frame.words(id::SOURCES).len(), count, "every emitted record names its source");
    let (times, key_ends) = (frame.longs(id::TIMES), frame.words(id::KEY_ENDS));
    let emitted = |at: usize| EmittedRecord {
        output: frame.bytes(id::OUTPUTS).get(at).copied().unwrap_or(0).into(),
        key: match key_ends {
            [] => source(at).0.key.clone(),
            ends => entry(ends, frame.bytes(id::KEYS), at).to_vec(),
        },
        event_time: EventTime(times.get(at).map_or_else(|| source(at).1, |time| i64::from_le_bytes(*time))),
        value: entry(frame.words(id::VALUE_ENDS), frame.bytes(id::VALUES), at).to_vec(),
        headers: headers(frame, at),
        change: Change::of(frame.bytes(id::CHANGES).get(at).copied().unwrap_or(0)),
    };
    (0..count).map(emitted).collect()
}

fn headers(frame: &Columns<'_>, record: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
    let ends = frame.words(id::HEADER_ENDS);
    if ends.is_empty() {
        return Vec::new();
    }
    let start = if record == 0 { 0 } else { word(ends, record - 1) };
    let part = |at: u32| entry(frame.words(id::HEADER_PLACES), frame.bytes(id::HEADER_BYTES), at as usize).to_vec();
    (start..word(ends, record)).map(|header| (part(2 * header), part(2 * header + 1))).collect()
}

/// What an operator refused.
pub(super) fn rejected(frame: &Columns<'_>, groups: &[IncomingGroup]) -> Vec<RejectedRecord> {
    let records: Vec<_> =
        groups.iter().flat_map(|group| group.records.iter().map(move |record| (group, record))).collect();
    let mut start = 0;
    let entries = frame.words(id::REJECTED).as_chunks::<2>().0.iter();
    entries
        .map(|&[record, end]| {
            let end = u32::from_le_bytes(end) as usize;
            let reason = String::from_utf8_lossy(&frame.bytes(id::REASONS)[start..end]).into_owned();
            start = end;
            let (group, record) = records[u32::from_le_bytes(record) as usize];
            RejectedRecord { key: group.key.clone(), value: record.value.clone(), reason }
        })
        .collect()
}

/// Watermarks, in the order in which they were made.
pub(super) fn marks(frame: &Columns<'_>) -> impl Iterator<Item = EventTime> {
    let entries = frame.longs(id::MARKS).as_chunks::<2>().0.iter();
    entries.map(|[_, time]| EventTime(i64::from_le_bytes(*time)))
}

/// Accumulators out of `accumulate` and `merge`.
pub(super) fn accumulators(frame: &Columns<'_>) -> Vec<Option<Vec<u8>>> {
    let ends = frame.words(id::CELL_ENDS);
    (0..ends.len()).map(|at| frame::cell(ends, frame.bytes(id::CELLS), at).map(<[u8]>::to_vec)).collect()
}

/// A change of state or of a timer, as the columns name it.
pub(super) struct CellWrite {
    pub(super) cell: usize,
    pub(super) op: u32,
    pub(super) bytes: Vec<u8>,
}

/// Changes of state.
pub(super) fn writes(frame: &Columns<'_>) -> Vec<CellWrite> {
    let mut start = 0;
    let entries = frame.words(id::WRITES).as_chunks::<2>().0.iter();
    entries
        .map(|&[cell, end]| {
            let (cell, end) = (u32::from_le_bytes(cell), u32::from_le_bytes(end) as usize);
            let bytes = frame.bytes(id::WRITE_BYTES)[start..end].to_vec();
            start = end;
            CellWrite { cell: (cell & ((1 << 28) - 1)) as usize, op: cell >> 28, bytes }
        })
        .collect()
}

/// A change of a timer.
pub(super) struct TimerWrite {
    pub(super) group: usize,
    pub(super) slot: u16,
    pub(super) op: u16,
    pub(super) time: i64,
}

/// Changes of timers.
pub(super) fn timers(frame: &Columns<'_>) -> Vec<TimerWrite> {
    let entries = frame.longs(id::TIMERS).as_chunks::<2>().0.iter();
    entries
        .map(|&[place, time]| {
            let place = u64::from_le_bytes(place);
            TimerWrite {
                group: place as u32 as usize,
                slot: (place >> 32) as u16,
                op: (place >> 48) as u16,
                time: i64::from_le_bytes(time),
            }
        })
        .collect()
}
