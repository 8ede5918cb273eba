//! Runs one command per record against its host-side state, and emits what it found.
//!
//! States: 0 `map`, 1 `list`, 2 `value` (does not ride). A value is words between spaces; `-` is the empty string:
//! `put KEY VALUE`, `remove KEY`, `get KEY`, `doom KEY` (panics if there is one), `scan START after|from up|down LIMIT`,
//! `list START LIMIT`, `value`, `mark`, `revert`, `refuse REASON` (the record is rejected and its writes are undone), `evil`
//! (a call the host must refuse).
//! What it found is `-` for nothing, or `key=value` pairs with a `+` at the end when there is more.

use fixture_kit::keyed::exports::tidewheel::operator::processor::{Call, Description, Failure, Guest};
use fixture_kit::keyed::tidewheel::operator::description::{StateDecl, StateKind};
use fixture_kit::keyed::tidewheel::operator::state;
use fixture_kit::{ABSENT, Columns, Frame, bytes_column, column_of, entries};

struct MapState;

const MAP: u32 = 0;
const LIST: u32 = 1;
const VALUE: u32 = 2;

fn declare(name: &str, kind: StateKind) -> StateDecl {
    StateDecl {
        name: name.into(),
        kind,
        format: "raw".into(),
        schema: String::new(),
        version: 1,
        oldest: 1,
        rides: false,
        ttl_ms: 0,
        options: vec![],
    }
}

fn bytes(word: &str) -> &[u8] {
    if word == "-" { &[] } else { word.as_bytes() }
}

fn write(group: u32, key: &str, value: Option<&str>) {
    let (key_ends, keys) = bytes_column([Some(bytes(key))]);
    let (value_ends, values) = bytes_column([value.map(bytes)]);
    state::map_write(MAP, &column_of([group]), &key_ends, &keys, &value_ends, &values);
}

fn found(values: &state::Values) -> String {
    match entries(&values.ends, &values.bytes)[0] {
        Some(value) => format!("={}", String::from_utf8_lossy(value)),
        None => "-".into(),
    }
}

fn listed(found: &state::Entries) -> String {
    let keys = entries(&found.key_ends, &found.keys);
    let values = entries(&found.value_ends, &found.values);
    let mut text = String::new();
    for (key, value) in keys.into_iter().zip(values) {
        text += &format!("{}={} ", String::from_utf8_lossy(key.unwrap()), String::from_utf8_lossy(value.unwrap()));
    }
    text + if found.more { "+" } else { "" }
}

/// Runs a command; `Err` is the reason for which the record is rejected. A function of its own, to be seen in a backtrace.
#[inline(never)]
fn run(command: &str, group: u32, marks: &mut Vec<u32>) -> Result<String, String> {
    let words: Vec<&str> = command.split(' ').collect();
    match words[..] {
        ["put", key, value] => write(group, key, Some(value)),
        ["remove", key] => write(group, key, None),
        ["mark"] => marks.push(state::mark()),
        ["revert"] => state::revert(marks.pop().unwrap()),
        ["evil", "state"] => drop(state::get(77, &column_of([group]))),
        ["evil", "group"] => drop(state::get(VALUE, &column_of([77]))),
        ["evil", "ends"] => {
            state::map_write(MAP, &column_of([group]), &column_of([9]), b"k", &column_of([ABSENT]), &[])
        }
        ["evil", "mark"] => state::revert(1_000),
        ["refuse", reason] => {
            let mark = state::mark();
            write(group, "refused", Some("must not stay"));
            state::revert(mark);
            return Err(reason.into());
        }
        ["get", key] => {
            let (key_ends, keys) = bytes_column([Some(bytes(key))]);
            return Ok(found(&state::map_get(MAP, &column_of([group]), &key_ends, &keys)));
        }
        ["doom", key] => {
            let (key_ends, keys) = bytes_column([Some(bytes(key))]);
            let value = found(&state::map_get(MAP, &column_of([group]), &key_ends, &keys));
            assert!(value == "-", "doomed by {value}");
            return Ok(value);
        }
        ["scan", start, after, direction, limit] => {
            let limit = limit.parse().unwrap();
            let scanned = state::map_scan(MAP, group, bytes(start), after == "after", direction == "down", limit);
            return Ok(listed(&scanned));
        }
        ["list", start, limit] => {
            let read = state::list_read(LIST, group, start.parse().unwrap(), limit.parse().unwrap());
            let values = entries(&read.value_ends, &read.values);
            return Ok(values.into_iter().map(|value| String::from_utf8_lossy(value.unwrap()) + " ").collect());
        }
        ["value"] => return Ok(found(&state::get(VALUE, &column_of([group])))),
        _ => panic!("unknown command: {command}"),
    }
    Ok("done".into())
}

impl Guest for MapState {
    fn describe() -> Description {
        Description {
            name: "map-state".into(),
            version: "1".into(),
            sdk: "none".into(),
            inputs: vec![],
            outputs: vec![],
            states: vec![
                declare("map", StateKind::Map),
                declare("list", StateKind::List),
                declare("value", StateKind::Value),
            ],
            timers: vec![],
            options: vec![],
        }
    }

    fn open(_config: String, _options: Vec<(String, String)>) -> Result<(), Failure> {
        Ok(())
    }

    fn process(_call: Call, batch: Vec<u8>) -> Result<Vec<u8>, Failure> {
        let columns = Columns::read(&batch);
        let values = columns.values();
        let (mut sources, mut emitted) = (Vec::new(), Vec::new());
        let (mut rejected, mut reasons) = (Vec::new(), Vec::new());
        let mut marks = Vec::new();
        let mut first = 0;
        for (group, end) in columns.numbers(4).into_iter().enumerate() {
            for record in first..end {
                let command = std::str::from_utf8(values[record as usize]).unwrap();
                match run(command, group as u32, &mut marks) {
                    Ok(text) => {
                        sources.push(record);
                        emitted.push(text);
                    }
                    Err(reason) => {
                        reasons.extend(reason.bytes());
                        rejected.extend([record, reasons.len() as u32]);
                    }
                }
            }
            first = end;
        }
        let frame = Frame::default()
            .entries(7, emitted.iter().map(|text| Some(text.as_bytes())))
            .column(16, column_of(sources))
            .column(21, column_of(rejected))
            .column(22, reasons);
        Ok(frame.finish())
    }

    fn on_timer(_call: Call, _batch: Vec<u8>) -> Result<Vec<u8>, Failure> {
        Ok(Frame::default().finish())
    }

    fn migrate(_state: u32, _version: u32, _values: Vec<u8>) -> Result<Vec<u8>, Failure> {
        Err(Failure { code: 1, message: "there is only one version".into() })
    }
}

fixture_kit::keyed::export!(MapState with_types_in fixture_kit::keyed);
