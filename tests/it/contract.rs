//! `tidewheel check --from-savepoint`: what becomes of each state, said before anything is stopped.

use crate::state::{manifest, state};
use serde_json::{Value, json};
use tempfile::TempDir;
use tidewheel_checkpoint::savepoint::complete;
use tidewheel_checkpoint::{StateEntry, Store};
use tidewheel_tests::{folder_with, guest, run};
use tidewheel_types::description::StateKind::{List, Value as ValueState};

/// A job whose operator `count` has the state `count`, of version 2 and with a `migrate` from 1, and savepoints in which
/// it has these states.
fn folder(states: Vec<StateEntry>) -> TempDir {
    let job = format!(
        "name = 'counts'
max-parallelism = 16
[sources.lines]
connector = 'file'
path = 'in.txt'
format = 'lines'
[operators.count]
component = '{}'
input = 'lines'
key = {{ bytes = '0..1' }}
[sinks.out]
connector = 'discard'
input = 'count'
",
        guest("count-with-state").display()
    );
    let folder = folder_with(&[("job.toml", &job), ("in.txt", "one\n")]);
    let store = Store::open("saved", folder.path()).unwrap();
    complete(&store, &manifest(&[("count", states, Vec::new())]), false).unwrap();
    folder
}

/// What `check` says of a savepoint with these states: its code, stdout and stderr.
fn check(states: Vec<StateEntry>, more: &[&str]) -> (i32, String, String) {
    let arguments = [&["check", "job.toml", "--from-savepoint", "saved"], more].concat();
    let ended = run(folder(states).path(), &arguments);
    (ended.code, ended.stdout, ended.stderr)
}

fn said(code: i32, stdout: &str, stderr: &str) -> (i32, String, String) {
    (code, stdout.to_owned(), stderr.to_owned())
}

const OK: &str = "job.toml: ok (1 source, 1 operator, 1 sink)\n";

#[test]
fn states_are_reused_migrated_and_new() {
    let count = |versions: &[u32]| vec![state(0, "count", ValueState, "raw", "u64", versions)];
    let table = |verdict: &str| format!("OPERATOR  STATE  VERDICT\ncount     count  {verdict}\n");
    assert_eq!(check(count(&[2]), &[]), said(0, &table("reuse"), OK));
    assert_eq!(check(count(&[1, 2]), &[]), said(0, &table("migrate from version 1 to 2"), OK));
    assert_eq!(check(Vec::new(), &[]), said(0, &table("new"), OK));
    let (code, stdout, stderr) = check(count(&[1]), &["--json"]);
    let json: Value = serde_json::from_str(&stdout).unwrap();
    let verdict = json!({ "operator": "count", "state": "count", "fate": "migrate", "from": [1], "to": 2 });
    assert_eq!((code, &json["states"], stderr.as_str()), (0, &json!([verdict]), OK));
}

#[test]
fn a_drop_has_to_be_allowed() {
    let states = || vec![state(0, "count", ValueState, "raw", "u64", &[2]), state(1, "old", List, "raw", "", &[1])];
    let table = "OPERATOR  STATE  VERDICT\ncount     count  reuse\ncount     old    would be dropped\n";
    let refused = "error: state count.old would be dropped: the job does not have it\n\n\
                   hint: to allow it, add --allow-drop count.old\n";
    assert_eq!(check(states(), &[]), said(2, table, refused));
    assert_eq!(check(states(), &["--allow-drop", "count.old"]), said(0, table, OK));
    assert_eq!(check(states(), &["--allow-drop", "count"]), said(0, table, OK));
    let slip = "error: --allow-drop old: nothing of that name would be dropped\n\nhint: it is count.old\n";
    let both = format!("{slip}\n{refused}");
    assert_eq!(check(states(), &["--allow-drop", "old"]), said(2, table, &both));
}

#[test]
fn what_does_not_fit_is_refused() {
    let table = |why: &str| format!("OPERATOR  STATE  VERDICT\ncount     count  refused: {why}\n");
    let kind = "its kind is value, and that of the snapshot list";
    let refused = format!(
        "error: state count.count cannot be restored: {kind}\n\n\
         hint: give the new state another name, and allow the old one to be dropped with --allow-drop\n"
    );
    assert_eq!(check(vec![state(0, "count", List, "raw", "u64", &[2])], &[]), said(2, &table(kind), &refused));
    let newer = "the snapshot has values of version 3, and its component knows them up to 2";
    let refused = format!(
        "error: state count.count cannot be restored: {newer}\n\n\
         hint: start the component that wrote the snapshot, or a newer one\n"
    );
    assert_eq!(check(vec![state(0, "count", ValueState, "raw", "u64", &[3])], &[]), said(2, &table(newer), &refused));
}

#[test]
fn a_savepoint_that_is_not_there() {
    let folder = folder(Vec::new());
    let ended = run(folder.path(), &["check", "job.toml", "--from-savepoint", "nowhere"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (2, ""));
    assert!(ended.stderr.contains("savepoint.json` is not there"), "{}", ended.stderr);
}
