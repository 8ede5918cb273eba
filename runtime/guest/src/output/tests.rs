//! Tests of the check: what is sound passes and comes out as it went in; what is not is refused, and never panics.

use super::{CallShape, Contract, Mark, Output, TimerOp, TimerOpKind};
use crate::frame::{Frame, FrameError, FrameWriter, column};
use crate::host::state::HostWrites;
use crate::instance::Export;
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_assert, prop_assert_eq, proptest};
use proptest::sample::Index;
use tidewheel_types::Description;
use tidewheel_types::batch::RECORD_BYTES_MAX;
use tidewheel_types::description::{Port, StateDecl, StateKind, TimerClock, TimerDecl};
use tidewheel_types::keyed_state::{ABSENT, StateIndex, Write};

const RECORDS: u32 = 9;
const GROUPS: u32 = 4;
const SHAPE: CallShape = CallShape { records: RECORDS, groups: GROUPS, windows: false, in_source: true };

/// States 0 and 1 ride; 2 is a value, 3 a list and 4 a map beside them. Three outputs, two timers.
fn contract() -> Contract {
    let state = |kind, rides| StateDecl {
        name: String::new(),
        kind,
        format: String::new(),
        schema: String::new(),
        version: 1,
        oldest: 1,
        rides,
        ttl_ms: 0,
        options: Vec::new(),
    };
    let timer = TimerDecl { name: String::new(), clock: TimerClock::Event };
    Contract::of(&Description {
        outputs: vec![Port::default(); 3],
        states: vec![
            state(StateKind::Value, true),
            state(StateKind::Value, true),
            state(StateKind::Value, false),
            state(StateKind::List, false),
            state(StateKind::Map, false),
        ],
        timers: vec![timer.clone(), timer],
        ..Description::default()
    })
}

fn check(frame: &[u8]) -> Result<Output, FrameError> {
    check_of(frame, Export::Process, &SHAPE)
}

fn check_of(frame: &[u8], export: Export, shape: &CallShape) -> Result<Output, FrameError> {
    Output::new(frame.to_vec(), export, shape, &contract(), HostWrites::default())
}

/// A record that a guest emits.
#[derive(Clone, Debug)]
struct Emitted {
    source: u32,
    output: u8,
    value: Vec<u8>,
    time: i64,
    key: Vec<u8>,
    headers: Vec<(Vec<u8>, Vec<u8>)>,
    change: u8,
}

/// A write: group, state, operation, bytes.
type Written = (u32, u32, u32, Vec<u8>);

/// What a guest says in a frame.
#[derive(Clone, Debug)]
struct Said {
    emitted: Vec<Emitted>,
    /// Whether the columns that may be left out are there: outputs, times, keys, headers, changes.
    columns: [bool; 5],
    writes: Vec<Written>,
    timers: Vec<(u32, u16, u16, i64)>,
    rejected: Vec<(u32, String)>,
    marks: Vec<(u32, i64)>,
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..6)
}

fn emitted() -> impl Strategy<Value = Emitted> {
    let fields = (0..RECORDS, 0u8..3, bytes(), any::<i64>(), bytes(), vec((bytes(), bytes()), 0..3), 0u8..4);
    fields.prop_map(|(source, output, value, time, key, headers, change)| Emitted {
        source,
        output,
        value,
        time,
        key,
        headers,
        change,
    })
}

fn write() -> impl Strategy<Value = Written> {
    let operations = vec![(0, 0), (1, 0), (0, 1), (1, 1), (2, 0), (2, 1), (3, 2), (3, 1), (4, 1)];
    (0..GROUPS, proptest::sample::select(operations), bytes())
        .prop_map(|(group, (state, op), bytes)| (group, state, op, if op == 1 { Vec::new() } else { bytes }))
}

fn said() -> impl Strategy<Value = Said> {
    let timers = vec((0..GROUPS, 0u16..2, 0u16..4, any::<i64>()), 0..5);
    let rejected = btree_map(0..RECORDS, "[a-zé]{0,5}", 0..3);
    let marks = vec((0..RECORDS, any::<i64>()), 0..4);
    (vec(emitted(), 0..8), any::<[bool; 5]>(), vec(write(), 0..6), timers, rejected, marks).prop_map(
        |(mut emitted, columns, writes, timers, rejected, mut marks)| {
            emitted.retain(|record| !rejected.contains_key(&record.source));
            marks.retain(|(record, _)| !rejected.contains_key(record));
            Said { emitted, columns, writes, timers, rejected: rejected.into_iter().collect(), marks }
        },
    )
}

/// The bytes of entries, and where each ends.
fn ends<'a>(entries: impl Iterator<Item = &'a [u8]>) -> (Vec<u32>, Vec<u8>) {
    let mut bytes = Vec::new();
    let ends = entries.map(|entry| {
        bytes.extend_from_slice(entry);
        bytes.len() as u32
    });
    (ends.collect(), bytes)
}

fn written(said: &Said) -> Vec<u8> {
    let ids: Vec<u32> = (1..=column::MARKS).collect();
    let mut frame = Vec::new();
    let mut writer = FrameWriter::new(&mut frame, &ids);
    let Said { emitted, columns: [outputs, times, keys, headers, changes], .. } = said;
    if *times {
        writer.numbers(column::TIMES, &emitted.iter().map(|record| record.time).collect::<Vec<_>>());
    }
    if *keys {
        let (ends, keys) = ends(emitted.iter().map(|record| &record.key[..]));
        writer.numbers(column::KEY_ENDS, &ends);
        writer.numbers(column::KEYS, &keys);
    }
    let (value_ends, values) = ends(emitted.iter().map(|record| &record.value[..]));
    writer.numbers(column::VALUE_ENDS, &value_ends);
    writer.numbers(column::VALUES, &values);
    if *headers {
        let counts = emitted.iter().scan(0u32, |count, record| {
            *count += record.headers.len() as u32;
            Some(*count)
        });
        writer.numbers(column::HEADER_RECORD_ENDS, &counts.collect::<Vec<_>>());
        let pairs = emitted.iter().flat_map(|record| &record.headers);
        let (ends, bytes) = ends(pairs.flat_map(|(name, value)| [&name[..], &value[..]]));
        writer.numbers(column::HEADER_ENDS, &ends);
        writer.numbers(column::HEADER_BYTES, &bytes);
    }
    if *changes {
        writer.numbers(column::CHANGES, &emitted.iter().map(|record| record.change).collect::<Vec<_>>());
    }
    writer.numbers(column::SOURCES, &emitted.iter().map(|record| record.source).collect::<Vec<_>>());
    if *outputs {
        writer.numbers(column::OUTPUTS, &emitted.iter().map(|record| record.output).collect::<Vec<_>>());
    }
    write_effects(&mut writer, said);
    writer.finish();
    frame
}

fn write_effects(writer: &mut FrameWriter<'_>, said: &Said) {
    let (write_ends, write_bytes) = ends(said.writes.iter().map(|(.., bytes)| &bytes[..]));
    for ((group, state, op, _), end) in said.writes.iter().zip(write_ends) {
        let cell = if *state < 2 { group * 2 + state } else { group * 5 + state };
        let op = if *state < 2 { *op } else { op | 8 };
        writer.numbers(column::WRITES, &[cell | op << 28, end]);
    }
    writer.numbers(column::WRITE_BYTES, &write_bytes);
    for (group, slot, op, time) in &said.timers {
        writer.numbers(column::TIMERS, &[*group, u32::from(*slot) | u32::from(*op) << 16]);
        writer.numbers(column::TIMERS, &[*time]);
    }
    let (reason_ends, reasons) = ends(said.rejected.iter().map(|(_, reason)| reason.as_bytes()));
    for ((record, _), end) in said.rejected.iter().zip(reason_ends) {
        writer.numbers(column::REJECTED, &[*record, end]);
    }
    writer.numbers(column::REASONS, &reasons);
    for (record, time) in &said.marks {
        writer.numbers(column::MARKS, &[*record, 0]);
        writer.numbers(column::MARKS, &[*time]);
    }
}

/// Looks at everything there is in an output, so that a bad index would panic.
fn walk(output: &Output) -> usize {
    let mut seen = output.value_ends().len() + output.values().len() + output.changes().len();
    for index in 0..output.len() {
        seen += output.source(index) as usize + output.value(index).len();
        seen += output.key(index).map_or(0, <[u8]>::len) + output.time(index).map_or(0, |time| time as usize & 1);
        seen += output.headers(index).map(|(name, value)| name.len() + value.len()).sum::<usize>();
        seen += output.outputs().get(index).copied().map_or(0, usize::from);
    }
    seen += output.sources().len() + output.timers().count() + output.cells().flatten().map(<[u8]>::len).sum::<usize>();
    for (group, state, _) in output.writes() {
        assert!(group < GROUPS && state.0 < 5);
    }
    for (record, reason) in output.rejected() {
        assert!(record < RECORDS);
        seen += reason.len();
    }
    assert!(output.marks().all(|mark| mark.record < RECORDS));
    seen
}

proptest! {
    #[test]
    fn what_a_guest_says_comes_out(said in said()) {
        let output = check(&written(&said)).unwrap();
        walk(&output);
        prop_assert_eq!(output.len(), said.emitted.len());
        let [outputs, times, keys, headers, changes] = said.columns;
        for (index, record) in said.emitted.iter().enumerate() {
            prop_assert_eq!(output.source(index), record.source);
            prop_assert_eq!(output.value(index), &record.value[..]);
            prop_assert_eq!(output.outputs().get(index).copied(), outputs.then_some(record.output));
            prop_assert_eq!(output.time(index), times.then_some(record.time));
            prop_assert_eq!(output.key(index), keys.then_some(&record.key[..]));
            prop_assert_eq!(output.changes().get(index).copied(), changes.then_some(record.change));
            let found: Vec<_> = output.headers(index).map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
            prop_assert_eq!(found, if headers { record.headers.clone() } else { Vec::new() });
        }
        let writes: Vec<_> = output.writes().collect();
        let expected: Vec<_> = said.writes.iter().map(|(group, state, op, bytes)| {
            let write = [Write::Put(bytes), Write::Delete, Write::Append(bytes)][*op as usize];
            (*group, StateIndex(*state), write)
        }).collect();
        prop_assert_eq!(writes, expected);
        let kinds = [TimerOpKind::Set, TimerOpKind::Replace, TimerOpKind::Delete, TimerOpKind::DeleteAll];
        let timers = said.timers.iter().map(|(group, slot, op, time)| {
            TimerOp { group: *group, slot: *slot, kind: kinds[usize::from(*op)], time: *time }
        });
        prop_assert!(output.timers().eq(timers));
        prop_assert!(output.rejected().eq(said.rejected.iter().map(|(record, reason)| (*record, reason.as_str()))));
        let marks = said.marks.iter().map(|&(record, time)| Mark { record, time });
        prop_assert!(output.marks().eq(marks));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn a_damaged_frame_is_refused_or_sound(
        said in said(),
        damage in vec((any::<Index>(), any::<u8>()), 1..4),
        cut in option::weighted(0.2, any::<Index>()),
    ) {
        let mut frame = written(&said);
        for (place, byte) in damage {
            let place = place.index(frame.len());
            frame[place] = byte;
        }
        if let Some(cut) = cut {
            frame.truncate(cut.index(frame.len()));
        }
        for export in Export::ALL {
            for windows in [false, true] {
                if let Ok(output) = check_of(&frame, export, &CallShape { windows, ..SHAPE }) {
                    walk(&output);
                }
            }
        }
    }

    #[test]
    fn any_columns_are_refused_or_sound(
        columns in btree_map(1u32..=column::MARKS, vec(0u32..12, 0..7), 1..8),
        shift in vec(any::<bool>(), 8),
    ) {
        let columns: Vec<_> = columns.into_iter().collect();
        let ids: Vec<u32> = columns.iter().map(|(id, _)| *id).collect();
        let mut frame = Vec::new();
        let mut writer = FrameWriter::new(&mut frame, &ids);
        for ((id, numbers), short) in columns.iter().zip(shift) {
            match short {
                true => writer.column(*id).extend(numbers.iter().map(|number| *number as u8)),
                false => writer.numbers(*id, numbers),
            }
        }
        writer.finish();
        for export in Export::ALL {
            if let Ok(output) = check_of(&frame, export, &SHAPE) {
                walk(&output);
            }
        }
    }
}

/// Every byte of a frame that has every column, set to values that are near something.
#[test]
fn a_frame_survives_the_change_of_any_byte() {
    let record = |source: u32| Emitted {
        source,
        output: 1,
        value: b"value".to_vec(),
        time: 5,
        key: b"key".to_vec(),
        headers: vec![(b"name".to_vec(), b"header".to_vec())],
        change: 2,
    };
    let said = Said {
        emitted: vec![record(0), record(3)],
        columns: [true; 5],
        writes: vec![(0, 1, 0, b"put".to_vec()), (3, 3, 2, b"append".to_vec())],
        timers: vec![(3, 1, 0, 7)],
        rejected: vec![(8, "bad".to_owned())],
        marks: vec![(3, 7)],
    };
    let frame = written(&said);
    assert!(check(&frame).is_ok());
    let mut refused = 0;
    for place in 0..frame.len() {
        for value in [0, 1, 2, 3, 4, 8, 0x7f, 0x80, 0xff, frame[place].wrapping_add(1), frame[place].wrapping_sub(1)] {
            let mut changed = frame.clone();
            changed[place] = value;
            match check(&changed) {
                Ok(output) => assert!(walk(&output) < usize::MAX),
                Err(_) => refused += 1,
            }
        }
    }
    assert!(refused > frame.len(), "only {refused} changes were refused");
}

/// A frame of the given columns of numbers.
fn frame(columns: &[(u32, &[u32])]) -> Vec<u8> {
    let mut frame = Vec::new();
    let ids: Vec<u32> = columns.iter().map(|(id, _)| *id).collect();
    let mut writer = FrameWriter::new(&mut frame, &ids);
    columns.iter().for_each(|(id, numbers)| writer.numbers(*id, numbers));
    writer.finish();
    assert!(Frame::read(&frame).is_ok());
    frame
}

#[test]
fn every_fault_is_named() {
    use FrameError::{Count, EntryEnd, OutOfRange, PartialEntry, RejectedOrder, RejectedSource, Unexpected};
    let refused = |columns: &[(u32, &[u32])]| check(&frame(columns)).unwrap_err();
    assert_eq!(refused(&[(16, &[RECORDS])]), OutOfRange { id: 16, entry: 0, value: 9, bound: 9 });
    assert_eq!(refused(&[(7, &[0, 0]), (16, &[0])]), Count { id: 7, entries: 2, expected: 1 });
    assert_eq!(refused(&[(7, &[8]), (8, &[0]), (16, &[0])]), EntryEnd { id: 7, entry: 0, end: 8, least: 0, most: 4 });
    assert_eq!(refused(&[(7, &[0]), (8, &[0]), (16, &[0])]), EntryEnd { id: 7, entry: 1, end: 0, least: 4, most: 4 });
    assert_eq!(refused(&[(1, &[0]), (7, &[0]), (16, &[0])]), PartialEntry { id: 1, bytes: 4, entry_bytes: 8 });
    assert_eq!(refused(&[(7, &[0]), (16, &[0]), (17, &[3])]), Count { id: 17, entries: 4, expected: 1 });
    assert_eq!(
        refused(&[(7, &[0; 4]), (16, &[0; 4]), (17, &[3])]),
        OutOfRange { id: 17, entry: 0, value: 3, bound: 3 }
    );
    assert_eq!(refused(&[(15, &[4])]), Count { id: 15, entries: 4, expected: 0 });
    assert_eq!(refused(&[(18, &[8, 0])]), OutOfRange { id: 18, entry: 0, value: 8, bound: 8 });
    assert_eq!(refused(&[(20, &[4, 0, 0, 0])]), OutOfRange { id: 20, entry: 0, value: 4, bound: 4 });
    assert_eq!(refused(&[(20, &[0, 2, 0, 0])]), OutOfRange { id: 20, entry: 0, value: 2, bound: 2 });
    assert_eq!(refused(&[(20, &[0, 4 << 16, 0, 0])]), OutOfRange { id: 20, entry: 0, value: 4, bound: 4 });
    assert_eq!(refused(&[(21, &[9, 0])]), OutOfRange { id: 21, entry: 0, value: 9, bound: 9 });
    assert_eq!(refused(&[(21, &[2, 0, 2, 0])]), RejectedOrder { record: 2, previous: 2 });
    assert_eq!(refused(&[(7, &[0]), (16, &[2]), (21, &[2, 0])]), RejectedSource { record: 2, emitted: 0 });
    assert_eq!(refused(&[(4, &[0])]), Unexpected { id: 4 });
    assert_eq!(refused(&[(5, &[0])]), Unexpected { id: 5 });
}

#[test]
fn a_state_takes_only_its_own_operations() {
    let write = |cell: u32, op: u32| check(&frame(&[(18, &[cell | op << 28, 0])])).map(|output| walk(&output));
    // Riding cells, then a value, a list and a map by their cells among all states.
    for (cell, op) in [(0, 0), (7, 1), (2, 8), (2, 9), (3, 9), (3, 10), (4, 9)] {
        assert!(write(cell, op).is_ok(), "{cell} {op}");
    }
    for (cell, op) in [(0, 2), (0, 3), (0, 8), (1, 9), (2, 10), (3, 8), (4, 8), (4, 10), (4, 11), (0, 7)] {
        assert!(matches!(write(cell, op), Err(FrameError::Write { .. })), "{cell} {op}");
    }
    let deleted_with_bytes = check(&frame(&[(18, &[1 << 28, 4]), (19, &[0])])).unwrap_err();
    assert_eq!(deleted_with_bytes, FrameError::EntryEnd { id: 18, entry: 0, end: 4, least: 0, most: 0 });
}

#[test]
fn accumulators_come_one_per_group_and_records_only_out_of_fire() {
    let cells = frame(&[(5, &[0, 4, 4 | ABSENT, 4]), (6, &[7])]);
    for export in [Export::Accumulate, Export::Merge, Export::Fire] {
        let output = check_of(&cells, export, &SHAPE).unwrap();
        let expected = [Some(&[][..]), Some(&[7, 0, 0, 0][..]), None, Some(&[][..])];
        assert!(output.cells().eq(expected), "{export:?}");
    }
    let few = frame(&[(5, &[0])]);
    assert_eq!(
        check_of(&few, Export::Merge, &SHAPE).unwrap_err(),
        FrameError::Count { id: 5, entries: 1, expected: 4 }
    );
    let hidden = frame(&[(5, &[4 | ABSENT, 4, 4, 4]), (6, &[7])]);
    assert!(matches!(check_of(&hidden, Export::Merge, &SHAPE), Err(FrameError::EntryEnd { id: 5, entry: 0, .. })));
    let emitted = frame(&[(7, &[0]), (16, &[0])]);
    assert_eq!(check_of(&emitted, Export::Merge, &SHAPE).unwrap_err(), FrameError::Unexpected { id: 7 });
    assert_eq!(check_of(&emitted, Export::Fire, &SHAPE).unwrap().len(), 1);
    assert_eq!(
        check_of(&frame(&[(18, &[0, 0])]), Export::Fire, &SHAPE).unwrap_err(),
        FrameError::Unexpected { id: 18 }
    );
}

/// A frame of columns of numbers, and of one of `len` bytes.
fn frame_with_bytes(columns: &[(u32, &[u32])], bytes: u32, len: usize) -> Vec<u8> {
    let mut ids: Vec<u32> = columns.iter().map(|(id, _)| *id).chain([bytes]).collect();
    ids.sort_unstable();
    let mut frame = Vec::new();
    let mut writer = FrameWriter::new(&mut frame, &ids);
    for id in ids {
        match columns.iter().find(|(column, _)| *column == id) {
            Some((_, numbers)) => writer.numbers(id, numbers),
            None => writer.column(id).extend(std::iter::repeat_n(b'x', len)),
        }
    }
    writer.finish();
    frame
}

#[test]
fn no_entry_is_longer_than_a_record_may_be() {
    let refused = |len: usize| {
        let end = len as u32;
        let after_one = [1, end + 1];
        let cells = [end, end | ABSENT, end | ABSENT, end | ABSENT];
        let cases: [(Export, u32, usize, Vec<u8>); 7] = [
            (Export::Process, 7, 0, frame_with_bytes(&[(7, &[end]), (16, &[0])], 8, len)),
            (Export::Process, 7, 1, frame_with_bytes(&[(7, &after_one), (16, &[0, 0])], 8, len + 1)),
            (Export::Process, 2, 0, frame_with_bytes(&[(2, &[end]), (7, &[0]), (16, &[0])], 3, len)),
            (
                Export::Process,
                13,
                1,
                frame_with_bytes(&[(7, &[0]), (12, &[1]), (13, &after_one), (16, &[0])], 14, len + 1),
            ),
            (Export::Process, 18, 0, frame_with_bytes(&[(18, &[0, end])], 19, len)),
            (Export::Process, 18, 0, frame_with_bytes(&[(18, &[3 | 10 << 28, end])], 19, len)),
            (Export::Accumulate, 5, 0, frame_with_bytes(&[(5, &cells)], 6, len)),
        ];
        cases.map(|(export, id, entry, frame)| {
            let error = check_of(&frame, export, &SHAPE).err();
            (error.clone(), error == Some(FrameError::TooLong { id, entry, bytes: len }))
        })
    };
    for (error, _) in refused(RECORD_BYTES_MAX) {
        assert_eq!(error, None);
    }
    for (error, is_too_long) in refused(RECORD_BYTES_MAX + 1) {
        assert!(is_too_long, "{error:?}");
    }
    let migrated = |len: usize| super::check_migrated(&frame_with_bytes(&[(5, &[len as u32])], 6, len), 1).map(drop);
    assert_eq!(migrated(RECORD_BYTES_MAX), Ok(()));
    let bytes = RECORD_BYTES_MAX + 1;
    assert_eq!(migrated(bytes), Err(FrameError::TooLong { id: 5, entry: 0, bytes }));
}

#[test]
fn sources_are_groups_where_the_contract_says_so() {
    let emitted = frame(&[(7, &[0]), (16, &[GROUPS])]);
    assert!(check(&emitted).is_ok());
    let of_windows = CallShape { windows: true, ..SHAPE };
    let too_large = FrameError::OutOfRange { id: 16, entry: 0, value: 4, bound: 4 };
    assert_eq!(check_of(&emitted, Export::Process, &of_windows).unwrap_err(), too_large);
    assert_eq!(check_of(&emitted, Export::Fire, &SHAPE).unwrap_err(), too_large);
}

#[test]
fn the_identity_is_found() {
    let identity = |records: u32, sources: &[u32]| {
        let ends = vec![0; sources.len()];
        let shape = CallShape { records, ..CallShape::default() };
        check_of(&frame(&[(7, &ends), (16, sources)]), Export::Process, &shape).unwrap().sources_are_identity()
    };
    assert!(identity(3, &[0, 1, 2]) && identity(0, &[]));
    assert!(!identity(3, &[0, 1]) && !identity(3, &[0, 2, 1]) && !identity(3, &[]));
}

#[test]
fn marks_are_of_records_that_count_and_of_sources_alone() {
    let mut frame = Vec::new();
    let mut writer = FrameWriter::new(&mut frame, &[column::REJECTED, column::REASONS, column::MARKS]);
    writer.numbers(column::REJECTED, &[1u32, 0]);
    writer.numbers(column::MARKS, &[1u32, 0]);
    writer.numbers(column::MARKS, &[7i64]);
    writer.finish();
    let mark_at = frame.len() - 16;
    let mut marked = |record: u32, reserved: u32| {
        frame[mark_at..mark_at + 4].copy_from_slice(&record.to_le_bytes());
        frame[mark_at + 4..mark_at + 8].copy_from_slice(&reserved.to_le_bytes());
        frame.clone()
    };
    assert!(check(&marked(8, 0)).unwrap().marks().eq([Mark { record: 8, time: 7 }]));
    assert_eq!(check(&marked(1, 0)).unwrap_err(), FrameError::RejectedMark { record: 1, mark: 0 });
    let out_of_range = |value, bound| FrameError::OutOfRange { id: 23, entry: 0, value, bound };
    assert_eq!(check(&marked(9, 0)).unwrap_err(), out_of_range(9, 9));
    assert_eq!(check(&marked(8, 1)).unwrap_err(), out_of_range(1, 1));
    let elsewhere = CallShape { in_source: false, ..SHAPE };
    assert_eq!(check_of(&marked(8, 0), Export::Process, &elsewhere).unwrap_err(), FrameError::Mark);
}

#[test]
fn a_reason_that_is_not_text_is_mended() {
    let mut bytes = Vec::new();
    let mut writer = FrameWriter::new(&mut bytes, &[column::REJECTED, column::REASONS]);
    writer.numbers(column::REJECTED, &[1u32, 2]);
    writer.column(column::REASONS).extend_from_slice(&[b'a', 0xff]);
    writer.finish();
    assert!(check(&bytes).unwrap().rejected().eq([(1, "a\u{fffd}")]));
}

proptest! {
    #[test]
    fn migrated_values_are_as_many_as_were_given(values in vec(bytes(), 0..6), asked in Just(3usize)) {
        let (value_ends, value_bytes) = ends(values.iter().map(|value| &value[..]));
        let mut frame = Vec::new();
        let mut writer = FrameWriter::new(&mut frame, &[column::CELL_ENDS, column::CELLS]);
        writer.numbers(column::CELL_ENDS, &value_ends);
        writer.numbers(column::CELLS, &value_bytes);
        writer.finish();
        let cells = super::check_migrated(&frame, values.len()).unwrap();
        prop_assert!((0..values.len()).all(|index| cells.get(index) == Some(&values[index])));
        prop_assert_eq!(super::check_migrated(&frame, asked).is_ok(), values.len() == asked);
    }
}
