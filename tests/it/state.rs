//! `tidewheel state`, over savepoints as jobs write them.

use serde_json::{Value, json};
use std::path::Path;
use tempfile::TempDir;
use tidewheel_checkpoint::savepoint::{Row, RowKind, Writer, complete};
use tidewheel_checkpoint::{FORMAT, Log, Manifest, OperatorState, StateEntry, Store, TaskState};
use tidewheel_tests::{Ended, run};
use tidewheel_types::description::StateKind::{self, List, Map};
use tidewheel_types::key_group::{KeyGroup, KeyGroups, hash_key};

const KEY_GROUPS: u16 = 16;

/// An entry: state, kind, key, window, map key or index, version, value, expiry.
type Entry<'a> = (&'a str, RowKind, &'a [u8], &'a [u8], &'a [u8], u32, &'a [u8], Option<i64>);

const VALUE: RowKind = RowKind::State(StateKind::Value);

fn group_of(key: &[u8]) -> u16 {
    let KeyGroup(group) = KeyGroups::new(KEY_GROUPS, 1).group_of_hash(hash_key(key));
    group
}

/// A state as a manifest has it; the last version is that of the component.
pub(crate) fn state(id: u16, name: &str, kind: StateKind, format: &str, schema: &str, versions: &[u32]) -> StateEntry {
    StateEntry {
        id,
        name: name.to_owned(),
        kind,
        format: format.to_owned(),
        schema: schema.to_owned(),
        version: *versions.last().unwrap(),
        clock: "processing".to_owned(),
        versions: versions.to_vec(),
    }
}

/// Writes a savepoint of the operator `count` into the folder `saved`, and another operator without entries.
fn savepoint(folder: &Path) {
    let store = Store::open("saved", folder).unwrap();
    let window = (1_436_918_400_000_i64 ^ i64::MIN).to_be_bytes();
    let index = |index: u64| index.to_be_bytes();
    let (first, second, seven, nine) = (index(0), index(1), 7u64.to_le_bytes(), 9u64.to_le_bytes());
    let mut entries: Vec<Entry<'_>> = vec![
        ("total", VALUE, b"ann", b"", b"", 1, &[3, 1], None),
        ("total", VALUE, b"bob", b"", b"", 2, &[7, 3, b'b', b'o', b'b'], Some(1_436_918_400_000)),
        ("sum", VALUE, b"ann", &window, b"", 1, &seven, None),
        ("sum", VALUE, b"-5", &window, b"", 1, &nine, None),
        ("seen", RowKind::State(Map), b"ann", b"", b"x", 1, b"{\"n\":1}", None),
        ("seen", RowKind::State(Map), b"ann", b"", b"y\0", 1, b"{", None),
        ("log", RowKind::State(List), &[0, 0xff], b"", &first, 1, "é".as_bytes(), None),
        ("log", RowKind::State(List), &[0, 0xff], b"", &second, 1, b"two\nlines", None),
        ("", RowKind::Timers, b"ann", b"", b"", 0, b"opaque", None),
    ];
    entries.sort_by_key(|entry| group_of(entry.2));
    let mut writer = Writer::new(&store, "count", 0).unwrap();
    for (state, kind, key, namespace, user_key, version, value, expiry_ms) in entries {
        let key_group = group_of(key);
        writer.push(&Row { state, kind, key_group, key, namespace, user_key, version, value, expiry_ms }).unwrap();
    }
    let file = writer.finish().unwrap();
    let states = vec![
        state(0, "total", StateKind::Value, "postcard", "(u8, String)", &[1, 2]),
        state(1, "sum", StateKind::Value, "fixed", "u64", &[1]),
        state(2, "seen", Map, "json", "Seen", &[1]),
        state(3, "log", List, "text", "", &[1]),
    ];
    let task = TaskState { worker: 0, key_groups: 0..KEY_GROUPS, files: vec![file] };
    let none = vec![state(0, "none", StateKind::Value, "raw", "", &[1])];
    complete(&store, &manifest(&[("count", states, vec![task]), ("other", none, Vec::new())]), false).unwrap();
}

/// The manifest of a job with these operators, with their states and tasks.
pub(crate) fn manifest(operators: &[(&str, Vec<StateEntry>, Vec<TaskState>)]) -> Manifest {
    let operators = operators.iter().map(|(name, states, tasks)| {
        let (states, tasks) = (states.clone(), tasks.clone());
        ((*name).to_owned(), OperatorState { component: "00".to_owned(), watermark: 0, states, shape: None, tasks })
    });
    Manifest {
        format: FORMAT,
        job: "copy".to_owned(),
        lineage: "abc".to_owned(),
        attempt: 1,
        checkpoint: 7,
        epoch: 4_711,
        created_ms: 1_700_000_000_000,
        duration_ms: 10,
        bytes: 1,
        workers: 1,
        max_parallelism: KEY_GROUPS,
        sources: [].into(),
        operators: operators.collect(),
        sinks: [].into(),
        finished: false,
        drained: false,
    }
}

fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    savepoint(folder.path());
    folder
}

/// Runs `tidewheel state` on a savepoint, which works.
#[track_caller]
fn state_of(folder: &TempDir, arguments: &[&str]) -> Ended {
    let (command, more) = arguments.split_first().unwrap();
    let ended = run(folder.path(), &[&["state", command, "--savepoint", "saved"], more].concat());
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    ended
}

#[test]
fn states_are_listed() {
    let folder = folder();
    assert_eq!(
        state_of(&folder, &["list"]).stdout,
        "OPERATOR  STATE  KIND   FORMAT    VERSION  ENTRIES  SIZE  SCHEMA\n\
         count     total  value  postcard        2        2  13 B  (u8, String)\n\
         count     sum    value  fixed           1        2  37 B  u64\n\
         count     seen   map    json            1        2  17 B  Seen\n\
         count     log    list   text            1        2  31 B\n\
         other     none   value  raw             1        0   0 B\n"
    );
    let json: Value = serde_json::from_str(&state_of(&folder, &["list", "--json"]).stdout).unwrap();
    let total = json!({
        "operator": "count", "state": "total", "kind": "value", "format": "postcard", "schema": "(u8, String)",
        "version": 2, "versions": [1, 2], "entries": 2, "bytes": 13,
    });
    assert_eq!((&json[0], json.as_array().unwrap().len()), (&total, 5));
}

#[test]
fn entries_are_looked_up() {
    let folder = folder();
    let get = |arguments: &[&str]| state_of(&folder, &[&["get"], arguments].concat()).stdout;
    assert_eq!(
        get(&["count.total", "bob"]),
        "KEY  VALUE      VERSION  EXPIRES\nbob  [7,\"bob\"]  2        2015-07-15T00:00:00Z\n"
    );
    // The schema of an older version is not known.
    assert_eq!(get(&["count.total", "ann"]), "KEY  VALUE   VERSION\nann  0x0301  1\n");
    assert_eq!(
        get(&["count.sum", "ann"]),
        "KEY  WINDOW                VALUE  VERSION\nann  2015-07-15T00:00:00Z  7      1\n"
    );
    // A key may look like a flag.
    let minus = "KEY  WINDOW                VALUE  VERSION\n-5   2015-07-15T00:00:00Z  9      1\n";
    assert_eq!(get(&["count.sum", "-5"]), minus);
    let json: Value = serde_json::from_str(&get(&["count.sum", "-5", "--json"])).unwrap();
    assert_eq!((&json[0]["key"], json.as_array().unwrap().len()), (&json!("-5"), 1));
    assert_eq!(run(folder.path(), &["state", "get", "count.sum", "-5", "--savepoint", "saved"]).stdout, minus);
    assert_eq!(get(&["count.sum", "--", "-5"]), minus);
    assert_eq!(
        get(&["count.seen", "ann"]),
        "KEY  MAP KEY  VALUE    VERSION\nann  x        {\"n\":1}  1\nann  0x7900   0x7b     1\n"
    );
    assert_eq!(
        get(&["count.log", "--key-hex", "00ff"]),
        "KEY     INDEX  VALUE       VERSION\n0x00ff  0      é           1\n0x00ff  1      two\\nlines  1\n"
    );
    let json: Value = serde_json::from_str(&get(&["count.seen", "ann", "--json"])).unwrap();
    let first = json!({
        "operator": "count", "state": "seen", "key": "ann", "map_key": "x", "value": { "n": 1 }, "version": 1,
    });
    assert_eq!((&json[0], &json[1]["map_key"]), (&first, &json!({ "hex": "7900" })));
    let nothing = state_of(&folder, &["get", "count.total", "cat"]);
    assert_eq!(
        (nothing.stdout.as_str(), nothing.stderr.as_str()),
        ("KEY  VALUE\n", "count.total has nothing for this key\n")
    );
}

#[test]
fn states_are_scanned_and_counted() {
    let folder = folder();
    let all = state_of(&folder, &["scan", "count.total"]);
    assert_eq!((all.stdout.lines().count(), all.stderr.as_str()), (3, ""));
    let one = state_of(&folder, &["scan", "count.log", "--limit", "1"]);
    assert_eq!(one.stdout, "KEY     INDEX  VALUE  VERSION\n0x00ff  0      é      1\n");
    assert_eq!(one.stderr, "there is more than these 1: raise --limit, or export\n");
    assert_eq!(state_of(&folder, &["count", "count.seen"]).stdout, "2 entries of 1 keys\n");
    assert_eq!(state_of(&folder, &["count", "count.total", "--json"]).stdout, "{\"entries\":2,\"keys\":2}\n");
}

#[test]
fn states_are_exported() {
    let folder = folder();
    let lines = |text: String| -> Vec<Value> { text.lines().map(|line| serde_json::from_str(line).unwrap()).collect() };
    let log = lines(state_of(&folder, &["export", "count.log"]).stdout);
    let second = json!({
        "operator": "count", "state": "log", "key": { "hex": "00ff" }, "index": 1, "value": "two\nlines", "version": 1,
    });
    assert_eq!((log.len(), &log[1]), (2, &second));
    let all = lines(state_of(&folder, &["export"]).stdout);
    let states: Vec<&str> = all.iter().map(|entry| entry["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["total", "total", "sum", "sum", "seen", "seen", "log", "log"], "timers are no state");
    assert_eq!(all[2]["window_start"], 1_436_918_400_000_i64);
}

#[test]
fn checkpoints_of_a_store_are_listed() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = Log::open(Store::open("store", folder.path()).unwrap());
    let attempt = log.begin_attempt().unwrap();
    log.publish(Manifest { attempt: attempt.number, ..manifest(&[]) }).unwrap();
    let text = run(folder.path(), &["checkpoints", "--store", "store"]);
    let (_, row) = text.stdout.split_once('\n').unwrap();
    let cells: Vec<&str> = row.split_whitespace().collect();
    assert_eq!((text.code, &cells[..9]), (0, &["7", "1", "4711", "0", "B", "1", "B", "10", "ms"][..]));
    let json = run(folder.path(), &["checkpoints", "--store", "store", "--json"]).stdout;
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["kept"][0]["id"], &json["damaged"]), (&json!(7), &json!([])));
}

#[test]
fn what_is_not_there_is_named() {
    let folder = folder();
    let check = |arguments: &[&str], stderr: &str| {
        let ended = run(folder.path(), &[&["state"], arguments].concat());
        assert_eq!((ended.code, ended.stdout.as_str(), ended.stderr.as_str()), (2, "", stderr));
    };
    let slip = "error: there is no state \"count.totl\" in saved\n\nhint: did you mean \"count.total\"?\n";
    check(&["get", "count.totl", "ann", "--savepoint", "saved"], slip);
    let none = "error: there is no state \"x\" in saved\n\n\
                hint: there is count.total, count.sum, count.seen, count.log, other.none\n";
    check(&["scan", "x", "--savepoint", "saved"], none);
    let digits = "error: --key-hex 0x0: expected pairs of hexadecimal digits, such as 00ff\n";
    check(&["get", "count.log", "--key-hex", "0x0", "--savepoint", "saved"], digits);
    let ended = run(folder.path(), &["state", "list", "--savepoint", "nowhere"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (2, ""));
    assert!(ended.stderr.contains("savepoint.json` is not there"), "{}", ended.stderr);
}
