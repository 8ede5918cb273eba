//! Writes the frames that go into a guest, straight from batches: every byte is copied once.

use super::group::Grouping;
use bytemuck::cast_slice;
use std::ops::Range;
use tidewheel_guest::{FrameWriter, column};
use tidewheel_state::DueTimers;
use tidewheel_types::keyed_state::{ABSENT, Cells};
use tidewheel_types::{Batch, BytesColumn};

/// Columns that any frame of records may have, in order of their ids.
const COLUMNS: [u32; 15] = [
    column::TIMES,
    column::KEY_ENDS,
    column::KEYS,
    column::RECORD_ENDS,
    column::CELL_ENDS,
    column::CELLS,
    column::VALUE_ENDS,
    column::VALUES,
    column::INPUTS,
    column::WINDOWS,
    column::GROUP_FLAGS,
    column::HEADER_RECORD_ENDS,
    column::HEADER_ENDS,
    column::HEADER_BYTES,
    column::CHANGES,
];

/// A frame of the records `range` of `batch`, in their order, as world `stateless` gets them.
pub(super) fn records(frame: &mut Vec<u8>, batch: &Batch, range: Range<usize>, input: u8) {
    let mut writer = FrameWriter::new(frame, &COLUMNS);
    writer.column(column::TIMES).extend_from_slice(cast_slice(&batch.times[range.clone()]));
    // Without keys all of them are empty, which is what a missing column says.
    if !batch.keys.bytes().is_empty() {
        entries(&mut writer, &batch.keys, range.clone(), column::KEY_ENDS, column::KEYS);
    }
    entries(&mut writer, &batch.values, range.clone(), column::VALUE_ENDS, column::VALUES);
    inputs(&mut writer, range.len(), input);
    headers(&mut writer, batch, range.clone());
    changes(&mut writer, batch, range);
    writer.finish();
}

/// A frame of grouped records: by key for world `keyed`, by key and window for `accumulate`.
pub(super) fn grouped(
    frame: &mut Vec<u8>,
    batch: &Batch,
    grouping: &Grouping,
    windows: Option<&[[i64; 2]]>,
    cells: &Cells,
    input: u8,
) {
    let order = || grouping.order().iter().map(|&record| record as usize);
    let mut writer = FrameWriter::new(frame, &COLUMNS);
    let times = writer.column(column::TIMES);
    order().for_each(|record| times.extend_from_slice(&batch.times[record].to_le_bytes()));
    let keys = (0..grouping.len()).map(|group| grouping.record_of(group));
    picked(&mut writer, &batch.keys, keys, column::KEY_ENDS, column::KEYS);
    writer.column(column::RECORD_ENDS).extend_from_slice(cast_slice(grouping.record_ends()));
    state_cells(&mut writer, cells);
    picked(&mut writer, &batch.values, order(), column::VALUE_ENDS, column::VALUES);
    inputs(&mut writer, grouping.order().len(), input);
    if let Some(windows) = windows {
        writer.column(column::WINDOWS).extend_from_slice(cast_slice(windows));
    }
    headers(&mut writer, batch, order());
    changes(&mut writer, batch, order());
    writer.finish();
}

/// A frame of the timers `range` of those that are due: a group each, the one record the timer.
pub(super) fn timers(frame: &mut Vec<u8>, due: &DueTimers, range: Range<usize>, cells: &Cells) {
    let mut writer = FrameWriter::new(frame, &COLUMNS);
    writer.column(column::TIMES).extend_from_slice(cast_slice(&due.times[range.clone()]));
    entries(&mut writer, &due.keys, range.clone(), column::KEY_ENDS, column::KEYS);
    one_record_each(&mut writer, range.len());
    state_cells(&mut writer, cells);
    let column = writer.column(column::VALUE_ENDS);
    column.resize(column.len() + range.len() * 4, 0);
    let slots = &due.slots[range];
    if slots.iter().any(|&slot| slot != 0) {
        // A component declares at most 256 timers: that is checked when it is loaded.
        writer.column(column::INPUTS).extend(slots.iter().map(|&slot| slot as u8));
    }
    writer.finish();
}

/// A frame of windows that fire: a group each, its records the accumulators of its panes. Of those that were read, with
/// the places where each window's end, absent ones are left out.
pub(super) fn windows(
    frame: &mut Vec<u8>,
    (keys, range): (&BytesColumn, Range<usize>),
    windows: &[[i64; 2]],
    ends: impl Iterator<Item = usize>,
    accumulators: &Cells,
) {
    let mut writer = FrameWriter::new(frame, &COLUMNS);
    let is_there = |pane: &usize| accumulators.ends[*pane] & ABSENT == 0;
    let times = writer.column(column::TIMES);
    let (mut record_ends, mut record, mut start) = (Vec::with_capacity(windows.len()), 0u32, 0);
    for (end, [_, window_end]) in ends.zip(windows) {
        for _ in (start..end).filter(is_there) {
            times.extend_from_slice(&window_end.saturating_sub(1).to_le_bytes());
            record += 1;
        }
        record_ends.push(record);
        start = end;
    }
    entries(&mut writer, keys, range, column::KEY_ENDS, column::KEYS);
    writer.column(column::RECORD_ENDS).extend_from_slice(cast_slice(&record_ends));
    let value_ends = writer.column(column::VALUE_ENDS);
    (0..accumulators.len())
        .filter(is_there)
        .for_each(|pane| value_ends.extend_from_slice(&accumulators.ends[pane].to_le_bytes()));
    writer.column(column::VALUES).extend_from_slice(&accumulators.bytes);
    writer.column(column::WINDOWS).extend_from_slice(cast_slice(windows));
    writer.finish();
}

/// A window, or a part of one, in a frame of its records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) is_first: bool,
    pub(super) is_last: bool,
}

impl Part {
    pub(super) const WHOLE: Part = Part { is_first: true, is_last: true };

    fn flags(self) -> u8 {
        u8::from(self.is_first) | u8::from(self.is_last) << 1
    }
}

/// A frame of windows that fire: a group each, with all its records, or a part of them. `batch` has no keys; `ends` are
/// where the records of each window end.
pub(super) fn windows_of_records(
    frame: &mut Vec<u8>,
    (keys, range): (&BytesColumn, Range<usize>),
    (windows, part): (&[[i64; 2]], Part),
    (batch, inputs, ends): (&Batch, &[u8], &[u32]),
    cells: &Cells,
) {
    let mut writer = FrameWriter::new(frame, &COLUMNS);
    writer.column(column::TIMES).extend_from_slice(cast_slice(&batch.times));
    entries(&mut writer, keys, range, column::KEY_ENDS, column::KEYS);
    writer.column(column::RECORD_ENDS).extend_from_slice(cast_slice(ends));
    state_cells(&mut writer, cells);
    entries(&mut writer, &batch.values, 0..batch.len(), column::VALUE_ENDS, column::VALUES);
    if inputs.iter().any(|&input| input != 0) {
        writer.column(column::INPUTS).extend_from_slice(inputs);
    }
    writer.column(column::WINDOWS).extend_from_slice(cast_slice(windows));
    if part != Part::WHOLE {
        // A part is alone in its frame.
        writer.column(column::GROUP_FLAGS).push(part.flags());
    }
    headers(&mut writer, batch, 0..batch.len());
    changes(&mut writer, batch, 0..batch.len());
    writer.finish();
}

/// Entries `range` of a column: two copies of memory.
fn entries(writer: &mut FrameWriter<'_>, from: &BytesColumn, range: Range<usize>, ends: u32, bytes: u32) {
    let first = if range.start == 0 { 0 } else { from.ends()[range.start - 1] };
    let last = if range.is_empty() { first } else { from.ends()[range.end - 1] };
    let column = writer.column(ends);
    match first {
        0 => column.extend_from_slice(cast_slice(&from.ends()[range])),
        _ => from.ends()[range].iter().for_each(|end| column.extend_from_slice(&(end - first).to_le_bytes())),
    }
    writer.column(bytes).extend_from_slice(&from.bytes()[first as usize..last as usize]);
}

/// Entries picked one by one.
fn picked(
    writer: &mut FrameWriter<'_>,
    from: &BytesColumn,
    entries: impl Iterator<Item = usize> + Clone,
    ends: u32,
    bytes: u32,
) {
    let column = writer.column(ends);
    let mut end = 0u32;
    for entry in entries.clone() {
        end += from.range(entry).len() as u32;
        column.extend_from_slice(&end.to_le_bytes());
    }
    let column = writer.column(bytes);
    entries.for_each(|entry| column.extend_from_slice(from.get(entry)));
}

fn state_cells(writer: &mut FrameWriter<'_>, cells: &Cells) {
    writer.column(column::CELL_ENDS).extend_from_slice(cast_slice(&cells.ends));
    writer.column(column::CELLS).extend_from_slice(&cells.bytes);
}

fn one_record_each(writer: &mut FrameWriter<'_>, groups: usize) {
    let column = writer.column(column::RECORD_ENDS);
    (1..=groups as u32).for_each(|end| column.extend_from_slice(&end.to_le_bytes()));
}

/// Which input the records came in by; a missing column says the first.
fn inputs(writer: &mut FrameWriter<'_>, records: usize, input: u8) {
    if input != 0 {
        let column = writer.column(column::INPUTS);
        column.resize(column.len() + records, input);
    }
}

fn headers(writer: &mut FrameWriter<'_>, batch: &Batch, records: impl Iterator<Item = usize> + Clone) {
    if batch.headers.ends.is_empty() {
        return;
    }
    let column = writer.column(column::HEADER_RECORD_ENDS);
    let mut end = 0u32;
    for record in records.clone() {
        end += batch.headers.of(record).count() as u32;
        column.extend_from_slice(&end.to_le_bytes());
    }
    let column = writer.column(column::HEADER_ENDS);
    let mut end = 0u32;
    for (name, value) in records.clone().flat_map(|record| batch.headers.of(record)) {
        for part in [name, value] {
            end += part.len() as u32;
            column.extend_from_slice(&end.to_le_bytes());
        }
    }
    let column = writer.column(column::HEADER_BYTES);
    for (name, value) in records.flat_map(|record| batch.headers.of(record)) {
        column.extend_from_slice(name);
        column.extend_from_slice(value);
    }
}

fn changes(writer: &mut FrameWriter<'_>, batch: &Batch, records: impl Iterator<Item = usize>) {
    if !batch.changes.is_empty() {
        writer.column(column::CHANGES).extend(records.map(|record| batch.changes[record]));
    }
}
