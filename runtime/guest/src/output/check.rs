//! The check of a guest's frame: every index, end and length in it.

use super::{CallShape, WriteAddress};
use crate::frame::{Frame, FrameError, Layout, column, u32_at, u32s};
use crate::instance::Export;
use tidewheel_types::Description;
use tidewheel_types::batch::RECORD_BYTES_MAX;
use tidewheel_types::description::StateKind;
use tidewheel_types::keyed_state::{ABSENT, Cells};

/// What a component has declared, as far as its frames must keep to it.
#[derive(Clone, Debug)]
pub(crate) struct Contract {
    kinds: Vec<StateKind>,
    riding: u32,
    outputs: usize,
    timers: usize,
}

impl Contract {
    pub(crate) fn of(description: &Description) -> Self {
        Contract {
            kinds: description.states.iter().map(|state| state.kind).collect(),
            riding: description.riding_states() as u32,
            outputs: description.output_count(),
            timers: description.timers.len(),
        }
    }

    /// Number of states.
    pub(crate) fn states(&self) -> u32 {
        self.kinds.len() as u32
    }

    /// Number of states that ride.
    pub(crate) fn riding(&self) -> u32 {
        self.riding
    }

    /// The kinds of all states.
    pub(crate) fn kinds(&self) -> &[StateKind] {
        &self.kinds
    }
}

/// What the check has found out.
pub(super) struct Checked {
    pub(super) layout: Layout,
    pub(super) len: usize,
    pub(super) sources_are_identity: bool,
    pub(super) rejected: Vec<(u32, String)>,
}

/// Columns that describe the records emitted.
const EMITTED: [u32; 11] = [
    column::TIMES,
    column::KEY_ENDS,
    column::KEYS,
    column::VALUE_ENDS,
    column::VALUES,
    column::HEADER_RECORD_ENDS,
    column::HEADER_ENDS,
    column::HEADER_BYTES,
    column::CHANGES,
    column::SOURCES,
    column::OUTPUTS,
];

/// Number of values of `Change`.
const CHANGES: usize = 4;

/// Number of operations on timers.
const TIMER_OPS: u64 = 4;

/// Whether a frame out of `export` may have column `id`.
fn may_have(export: Export, id: u32) -> bool {
    match export {
        Export::Process | Export::OnTimer => EMITTED.contains(&id) || id >= column::WRITES,
        Export::Accumulate => [column::CELL_ENDS, column::CELLS, column::REJECTED, column::REASONS].contains(&id),
        Export::Merge => [column::CELL_ENDS, column::CELLS].contains(&id),
        Export::Fire => EMITTED.contains(&id) || [column::CELL_ENDS, column::CELLS].contains(&id),
    }
}

/// Checks every byte of the frame that a call of `export` has returned.
pub(super) fn check(
    bytes: &[u8],
    export: Export,
    shape: &CallShape,
    contract: &Contract,
) -> Result<Checked, FrameError> {
    let frame = Frame::read(bytes)?;
    if let Some(id) = (1..=column::MARKS).find(|&id| !frame.column(id).is_empty() && !may_have(export, id)) {
        return Err(FrameError::Unexpected { id });
    }
    let of_groups = export == Export::Fire || export == Export::Process && shape.windows;
    let (len, sources_are_identity) = check_sources(&frame, if of_groups { shape.groups } else { shape.records })?;
    check_emitted(&frame, len, contract)?;
    check_writes(&frame, shape.groups, contract)?;
    check_timers(&frame, shape.groups, contract)?;
    check_cells(&frame, export, shape.groups)?;
    let rejected = check_rejected(&frame, shape.records)?;
    if !of_groups && !rejected.is_empty() {
        check_nothing_comes_of(&rejected, &frame)?;
    }
    check_marks(&frame, shape, &rejected)?;
    Ok(Checked { layout: frame.layout(), len, sources_are_identity, rejected })
}

/// Checks the values that `migrate` has returned: as many as were given, every one there.
pub(crate) fn check_migrated(bytes: &[u8], values: usize) -> Result<Cells, FrameError> {
    let frame = Frame::read(bytes)?;
    let is_cells = |id| [column::CELL_ENDS, column::CELLS].contains(&id);
    if let Some(id) = (1..=column::MARKS).find(|&id| !is_cells(id) && !frame.column(id).is_empty()) {
        return Err(FrameError::Unexpected { id });
    }
    expect_count(&frame, column::CELL_ENDS, 4, values)?;
    let ends = frame.column(column::CELL_ENDS);
    check_entries(column::CELL_ENDS, u32s(ends), frame.column(column::CELLS).len())?;
    Ok(Cells { ends: u32s(ends).collect(), bytes: frame.column(column::CELLS).to_vec(), ..Cells::default() })
}

/// The number of records emitted, and whether they are the input's one by one.
fn check_sources(frame: &Frame<'_>, bound: u32) -> Result<(usize, bool), FrameError> {
    let len = frame.count(column::SOURCES, 4)?;
    let sources = u32s(frame.column(column::SOURCES));
    let (mut identity, mut largest) = (len == bound as usize, 0);
    for (index, source) in sources.clone().enumerate() {
        identity &= source == index as u32;
        largest = largest.max(source);
    }
    if len > 0 && largest >= bound {
        let entry = sources.clone().position(|source| source == largest).unwrap_or(len);
        return Err(out_of_range(column::SOURCES, entry, largest.into(), bound.into()));
    }
    Ok((len, identity))
}

/// The columns that have an entry per record emitted.
fn check_emitted(frame: &Frame<'_>, len: usize, contract: &Contract) -> Result<(), FrameError> {
    expect_count(frame, column::VALUE_ENDS, 4, len)?;
    check_entries(column::VALUE_ENDS, u32s(frame.column(column::VALUE_ENDS)), frame.column(column::VALUES).len())?;
    expect_count_or_none(frame, column::TIMES, 8, len)?;
    expect_count_or_none(frame, column::KEY_ENDS, 4, len)?;
    check_entries(column::KEY_ENDS, u32s(frame.column(column::KEY_ENDS)), frame.column(column::KEYS).len())?;
    check_codes(frame, column::OUTPUTS, len, contract.outputs)?;
    check_codes(frame, column::CHANGES, len, CHANGES)?;
    expect_count_or_none(frame, column::HEADER_RECORD_ENDS, 4, len)?;
    let headers = frame.count(column::HEADER_ENDS, 8)?;
    check_ends(column::HEADER_RECORD_ENDS, u32s(frame.column(column::HEADER_RECORD_ENDS)), headers)?;
    let bytes = frame.column(column::HEADER_BYTES).len();
    check_entries(column::HEADER_ENDS, u32s(frame.column(column::HEADER_ENDS)), bytes)
}

fn check_writes(frame: &Frame<'_>, groups: u32, contract: &Contract) -> Result<(), FrameError> {
    frame.count(column::WRITES, 8)?;
    let writes = frame.column(column::WRITES).chunks_exact(8);
    let ends = writes.clone().map(|entry| u32_at(entry, 1));
    check_entries(column::WRITES, ends, frame.column(column::WRITE_BYTES).len())?;
    let mut previous_end = 0;
    for (entry, write) in writes.enumerate() {
        let (address, end) = (WriteAddress::of(u32_at(write, 0)), u32_at(write, 1));
        let width = if address.beside { contract.states() } else { contract.riding };
        let cells = u64::from(groups) * u64::from(width);
        if u64::from(address.cell) >= cells {
            return Err(out_of_range(column::WRITES, entry, address.cell.into(), cells));
        }
        let (_, state) = address.resolve(contract.states(), contract.riding);
        if let Some(reason) = unfit(address, state, contract) {
            return Err(FrameError::Write { entry, op: address.op, state, reason });
        }
        if address.op == WriteAddress::DELETE && end != previous_end {
            let (end, least) = (end as usize, previous_end as usize);
            return Err(FrameError::EntryEnd { id: column::WRITES, entry, end, least, most: least });
        }
        previous_end = end;
    }
    Ok(())
}

/// Why a state does not take an operation, if it does not.
fn unfit(address: WriteAddress, state: u32, contract: &Contract) -> Option<&'static str> {
    if address.beside && state < contract.riding {
        return Some("which rides: name it by its cell among those that ride");
    }
    match (contract.kinds[state as usize], address.op) {
        (StateKind::Value | StateKind::Aggregating, WriteAddress::PUT | WriteAddress::DELETE) => None,
        (StateKind::Value | StateKind::Aggregating, _) => Some("a value, which takes 0 (put) and 1 (delete)"),
        (StateKind::List, WriteAddress::APPEND | WriteAddress::DELETE) => None,
        (StateKind::List, _) => Some("a list, which takes 2 (append) and 1 (delete)"),
        (StateKind::Map, WriteAddress::DELETE) => None,
        (StateKind::Map, _) => Some("a map, which takes 1 (delete), and entries by `map-write`"),
    }
}

fn check_timers(frame: &Frame<'_>, groups: u32, contract: &Contract) -> Result<(), FrameError> {
    frame.count(column::TIMERS, 16)?;
    for (entry, timer) in frame.column(column::TIMERS).chunks_exact(16).enumerate() {
        let (group, slot_and_op) = (u32_at(timer, 0), u32_at(timer, 1));
        let fields = [
            (u64::from(group), u64::from(groups)),
            (u64::from(slot_and_op & 0xffff), contract.timers as u64),
            (u64::from(slot_and_op >> 16), TIMER_OPS),
        ];
        if let Some((value, bound)) = fields.into_iter().find(|(value, bound)| value >= bound) {
            return Err(out_of_range(column::TIMERS, entry, value, bound));
        }
    }
    Ok(())
}

fn check_cells(frame: &Frame<'_>, export: Export, groups: u32) -> Result<(), FrameError> {
    match export {
        Export::Accumulate | Export::Merge => expect_count(frame, column::CELL_ENDS, 4, groups as usize)?,
        Export::Fire | Export::Process | Export::OnTimer => {
            expect_count_or_none(frame, column::CELL_ENDS, 4, groups as usize)?;
        }
    }
    let ends = u32s(frame.column(column::CELL_ENDS));
    check_entries(column::CELL_ENDS, ends.clone().map(|end| end & !ABSENT), frame.column(column::CELLS).len())?;
    let mut start = 0;
    for (entry, end) in ends.enumerate() {
        let (absent, end) = (end & ABSENT != 0, (end & !ABSENT) as usize);
        if absent && end != start {
            return Err(FrameError::EntryEnd { id: column::CELL_ENDS, entry, end, least: start, most: start });
        }
        start = end;
    }
    Ok(())
}

fn check_rejected(frame: &Frame<'_>, records: u32) -> Result<Vec<(u32, String)>, FrameError> {
    let count = frame.count(column::REJECTED, 8)?;
    let entries = frame.column(column::REJECTED).chunks_exact(8);
    let reasons = frame.column(column::REASONS);
    check_ends(column::REJECTED, entries.clone().map(|entry| u32_at(entry, 1)), reasons.len())?;
    let mut rejected: Vec<(u32, String)> = Vec::with_capacity(count);
    let mut start = 0;
    for (entry, bytes) in entries.enumerate() {
        let (record, end) = (u32_at(bytes, 0), u32_at(bytes, 1) as usize);
        if record >= records {
            return Err(out_of_range(column::REJECTED, entry, record.into(), records.into()));
        }
        if let Some(&(previous, _)) = rejected.last().filter(|(previous, _)| *previous >= record) {
            return Err(FrameError::RejectedOrder { record, previous });
        }
        // For people to read: a reason that is not UTF-8 is no reason to fail the call.
        rejected.push((record, String::from_utf8_lossy(&reasons[start..end]).into_owned()));
        start = end;
    }
    Ok(rejected)
}

fn check_nothing_comes_of(rejected: &[(u32, String)], frame: &Frame<'_>) -> Result<(), FrameError> {
    for (emitted, record) in u32s(frame.column(column::SOURCES)).enumerate() {
        if rejected.binary_search_by_key(&record, |(record, _)| *record).is_ok() {
            return Err(FrameError::RejectedSource { record, emitted });
        }
    }
    Ok(())
}

/// Watermarks, each of a record that is not refused. Few frames have any.
fn check_marks(frame: &Frame<'_>, shape: &CallShape, rejected: &[(u32, String)]) -> Result<(), FrameError> {
    let marks = frame.column(column::MARKS);
    if marks.is_empty() {
        return Ok(());
    }
    if !shape.in_source {
        return Err(FrameError::Mark);
    }
    frame.count(column::MARKS, 16)?;
    for (mark, entry) in marks.chunks_exact(16).enumerate() {
        let (record, reserved) = (u32_at(entry, 0), u32_at(entry, 1));
        // The second word is there so that times are aligned.
        for (value, bound) in [(record, shape.records), (reserved, 1)] {
            if value >= bound {
                return Err(out_of_range(column::MARKS, mark, value.into(), bound.into()));
            }
        }
        if rejected.binary_search_by_key(&record, |(record, _)| *record).is_ok() {
            return Err(FrameError::RejectedMark { record, mark });
        }
    }
    Ok(())
}

fn expect_count(frame: &Frame<'_>, id: u32, entry_bytes: usize, expected: usize) -> Result<(), FrameError> {
    let entries = frame.count(id, entry_bytes)?;
    if entries == expected { Ok(()) } else { Err(FrameError::Count { id, entries, expected }) }
}

fn expect_count_or_none(frame: &Frame<'_>, id: u32, entry_bytes: usize, expected: usize) -> Result<(), FrameError> {
    if frame.column(id).is_empty() { Ok(()) } else { expect_count(frame, id, entry_bytes, expected) }
}

/// A column of one byte per record, if it is there, each below `bound`.
fn check_codes(frame: &Frame<'_>, id: u32, len: usize, bound: usize) -> Result<(), FrameError> {
    expect_count_or_none(frame, id, 1, len)?;
    match frame.column(id).iter().position(|&code| usize::from(code) >= bound) {
        None => Ok(()),
        Some(entry) => Err(out_of_range(id, entry, frame.column(id)[entry].into(), bound as u64)),
    }
}

/// Ends that never go back, the last one where the bytes end.
fn check_ends(id: u32, ends: impl Iterator<Item = u32> + Clone, bytes: usize) -> Result<(), FrameError> {
    let (mut rising, mut last, mut count) = (true, 0, 0);
    for end in ends.clone() {
        rising &= end >= last;
        last = end;
        count += 1;
    }
    if rising && last as usize == bytes {
        return Ok(());
    }
    let mut least = 0;
    for (entry, end) in ends.map(|end| end as usize).enumerate() {
        if end < least || end > bytes {
            return Err(FrameError::EntryEnd { id, entry, end, least, most: bytes });
        }
        least = end;
    }
    Err(FrameError::EntryEnd { id, entry: count, end: last as usize, least: bytes, most: bytes })
}

/// Ends as [`check_ends`] wants them, of entries none of which is longer than a record or state value may be.
fn check_entries(id: u32, ends: impl Iterator<Item = u32> + Clone, bytes: usize) -> Result<(), FrameError> {
    check_ends(id, ends.clone(), bytes)?;
    // Mostly all entries together are shorter than one may be.
    if bytes <= RECORD_BYTES_MAX {
        return Ok(());
    }
    let mut start = 0;
    for (entry, end) in ends.map(|end| end as usize).enumerate() {
        if end - start > RECORD_BYTES_MAX {
            return Err(FrameError::TooLong { id, entry, bytes: end - start });
        }
        start = end;
    }
    Ok(())
}

fn out_of_range(id: u32, entry: usize, value: u64, bound: u64) -> FrameError {
    FrameError::OutOfRange { id, entry, value, bound }
}
