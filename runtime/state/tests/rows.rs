//! Rows of a snapshot: read, migrated to another schema version, opened again; and states that come and go.

use std::path::{Path, PathBuf};
use tempfile::TempDir;
use tidewheel_state::{
    BackendKind, DueTimers, OpenedState, OwnedRow, ReadRows, Restore, RestoredTask, StateError, StateSettings,
    StateTable, StateTime, TimerChange, open, open_rows, read_rows,
};
use tidewheel_types::description::{StateDecl, StateKind};
use tidewheel_types::key_group::hash_key;
use tidewheel_types::keyed_state::{Cells, Entries, Scan, StateIndex, StateKey, Write};

const KEYS: u32 = 40;
const GROUPS: u16 = 8;

fn declared(name: &str, kind: StateKind, version: u32) -> StateDecl {
    StateDecl {
        name: name.to_owned(),
        kind,
        format: "raw".to_owned(),
        schema: String::new(),
        version,
        oldest: 1,
        rides: false,
        ttl_ms: 0,
        options: Vec::new(),
    }
}

fn settings(folder: PathBuf, declared: Vec<StateDecl>) -> StateSettings {
    StateSettings {
        declared,
        backend: BackendKind::Memory,
        folder,
        key_groups: 0..GROUPS,
        max_parallelism: GROUPS,
        tracks_changes: true,
    }
}

fn owner(key: &[u8; 4]) -> StateKey<'_> {
    StateKey { hash: hash_key(key), key, namespace: &[] }
}

/// A value, two list elements and a timer of either clock for each key.
fn fill(state: &mut OpenedState) {
    for number in 0..KEYS {
        let key = number.to_be_bytes();
        let value = number.to_string();
        let writes = [(0, Write::Put(value.as_bytes())), (1, Write::Append(b"first")), (1, Write::Append(b"second"))];
        let mut writes = writes.into_iter().map(|(state, write)| (StateIndex(state), owner(&key), write));
        state.backend.write(&mut writes).unwrap();
        let timer = TimerChange::Set { slot: 3, time: i64::from(number) };
        state.timers.change(&mut [(owner(&key), timer)].into_iter());
        let timer = TimerChange::Set { slot: 4, time: 1000 + i64::from(number) };
        state.processing_timers.change(&mut [(owner(&key), timer)].into_iter());
    }
}

fn value_of(state: &mut OpenedState, index: u32, number: u32) -> Option<Vec<u8>> {
    let mut cells = Cells::default();
    let key = number.to_be_bytes();
    state.backend.get_many(StateIndex(index), &mut [owner(&key)].into_iter(), &mut cells).unwrap();
    cells.get(0).map(<[u8]>::to_vec)
}

fn snapshot(state: &mut OpenedState, checkpoint: u64) -> Restore {
    let delta = state.backend.freeze([&mut state.timers, &mut state.processing_timers]).unwrap();
    let files = state.writer.write(delta, checkpoint).unwrap();
    let files = files.into_iter().map(|file| file.path).collect();
    let tasks = vec![RestoredTask { key_groups: 0..GROUPS, files }];
    Restore { tasks, table: state.writer.state_table(), ..Restore::default() }
}

fn versions(table: &StateTable, name: &str) -> Vec<u32> {
    table.by_name(name).map(|state| state.versions.iter().copied().collect()).unwrap_or_default()
}

fn rows_of(restore: &Restore, scratch: &Path) -> Vec<OwnedRow> {
    let files: Vec<&Path> = restore.tasks[0].files.iter().map(PathBuf::as_path).collect();
    let (key_groups, time, table) = (0..GROUPS, StateTime::START, &restore.table);
    let read = ReadRows { files: &files, key_groups, max_parallelism: GROUPS, table, time, scratch };
    let mut rows = Vec::new();
    read_rows(&read, &mut |row| {
        rows.push(row.into());
        Ok::<_, StateError>(())
    })
    .unwrap();
    rows
}

#[test]
fn rows_are_migrated_and_opened_in_any_order() {
    let folder = TempDir::new().unwrap();
    let states = |version| vec![declared("v", StateKind::Value, version), declared("l", StateKind::List, 1)];
    let mut old = open(settings(folder.path().join("old"), states(1)), None).unwrap();
    fill(&mut old);
    let restore = snapshot(&mut old, 1);
    assert_eq!((versions(&restore.table, "v"), versions(&restore.table, "l")), (vec![1], vec![1]));
    let mut rows = rows_of(&restore, &folder.path().join("scratch"));
    assert_eq!(rows.len(), 5 * KEYS as usize);
    let v = restore.table.by_name("v").expect("it is there").id;
    for row in rows.iter_mut().filter(|row| row.state == v) {
        assert_eq!(row.version, 1);
        row.version = 2;
        row.payload.insert(0, b'#');
    }
    rows.reverse();
    let mut given = rows.into_iter().map(Ok::<_, StateError>);
    let new = settings(folder.path().join("new"), states(2));
    let mut new = open_rows(new, restore.table.clone(), &mut given).unwrap();
    assert_eq!(versions(&new.writer.state_table(), "v"), [2]);
    check_migrated(&mut new);
    // Its first snapshot holds all of it.
    let restore = snapshot(&mut new, 2);
    let third = settings(folder.path().join("third"), states(2));
    let mut third = open(third, Some(restore)).unwrap();
    check_migrated(&mut third);
    let mut due = DueTimers::default();
    third.timers.due_round(i64::MAX, usize::MAX, &mut due);
    assert_eq!((due.len(), due.slots[0], due.times[1]), (KEYS as usize, 3, 1));
    third.processing_timers.due_round(i64::MAX, usize::MAX, &mut due);
    assert_eq!((due.len(), due.slots[0], due.times[1]), (KEYS as usize, 4, 1001));
}

fn check_migrated(state: &mut OpenedState) {
    for number in 0..KEYS {
        assert_eq!(value_of(state, 0, number), Some(format!("#{number}").into_bytes()));
        let scan = Scan::ALL;
        let mut entries = Entries::default();
        state.backend.scan(StateIndex(1), owner(&number.to_be_bytes()), scan, &mut entries).unwrap();
        assert_eq!(entries.values.iter().collect::<Vec<_>>(), [b"first".as_slice(), b"second"]);
    }
}

#[test]
fn a_row_that_cannot_be_had_is_the_callers_error() {
    #[derive(Debug)]
    enum Failed {
        Ours,
        State,
    }
    impl From<StateError> for Failed {
        fn from(_: StateError) -> Self {
            Failed::State
        }
    }
    let folder = TempDir::new().unwrap();
    let states = vec![declared("v", StateKind::Value, 1)];
    let mut rows = [Err(Failed::Ours)].into_iter();
    let opened = open_rows(settings(folder.path().join("a"), states), StateTable::default(), &mut rows);
    assert!(matches!(opened.err(), Some(Failed::Ours)));
    let list_row = OwnedRow {
        state: tidewheel_state::StateId(0),
        key: b"k".to_vec(),
        namespace: Vec::new(),
        user_key: b"none".to_vec(),
        version: 1,
        expiry: None,
        payload: Vec::new(),
    };
    let states = vec![declared("l", StateKind::List, 1)];
    let mut rows = [Ok::<_, Failed>(list_row)].into_iter();
    let opened = open_rows(settings(folder.path().join("b"), states), StateTable::default(), &mut rows);
    assert!(matches!(opened.err(), Some(Failed::State)), "it is no element of a list");
}

#[test]
fn a_state_that_was_not_declared_for_a_while_is_there_again() {
    let folder = TempDir::new().unwrap();
    let (v, l, other) =
        (declared("v", StateKind::Value, 1), declared("l", StateKind::List, 1), declared("other", StateKind::Value, 7));
    let mut first = open(settings(folder.path().join("first"), vec![v.clone(), l.clone()]), None).unwrap();
    fill(&mut first);
    let restore = snapshot(&mut first, 1);
    let mut second =
        open(settings(folder.path().join("second"), vec![other.clone(), l.clone()]), Some(restore)).unwrap();
    // Enough of it that all files are merged.
    let mut restore = Restore::default();
    for checkpoint in 2..6 {
        for number in 0..KEYS {
            let (key, value) = (number.to_be_bytes(), [checkpoint; 100]);
            second.backend.write(&mut [(StateIndex(0), owner(&key), Write::Put(&value))].into_iter()).unwrap();
        }
        restore = snapshot(&mut second, u64::from(checkpoint));
    }
    assert_eq!((versions(&restore.table, "v"), versions(&restore.table, "other")), (vec![1], vec![7]));
    let declared = vec![l, other, v];
    let mut third = open(settings(folder.path().join("third"), declared), Some(restore)).unwrap();
    for number in 0..KEYS {
        assert_eq!(value_of(&mut third, 2, number), Some(number.to_string().into_bytes()));
        assert_eq!(value_of(&mut third, 1, number), Some(vec![5; 100]));
    }
    assert_eq!((third.timers.keys(), third.processing_timers.keys()), (KEYS as usize, KEYS as usize));
}

#[test]
fn versions_that_are_gone_are_forgotten_when_all_files_are_merged() {
    let folder = TempDir::new().unwrap();
    let states = |version| vec![declared("v", StateKind::Value, version), declared("l", StateKind::List, 1)];
    let mut old = open(settings(folder.path().join("old"), states(1)), None).unwrap();
    fill(&mut old);
    let restore = snapshot(&mut old, 1);
    let mut new = open(settings(folder.path().join("new"), states(2)), Some(restore)).unwrap();
    assert_eq!(versions(&new.writer.state_table(), "v"), [1], "nothing was written yet");
    let mut seen = Vec::new();
    for checkpoint in 2..8 {
        for number in 0..KEYS {
            let key = number.to_be_bytes();
            new.backend.write(&mut [(StateIndex(0), owner(&key), Write::Put(&[7; 100]))].into_iter()).unwrap();
        }
        let restore = snapshot(&mut new, checkpoint);
        seen.push(versions(&restore.table, "v"));
        let rows = rows_of(&restore, &folder.path().join("scratch"));
        assert!(rows.iter().all(|row| row.state.holds_timers() || row.payload.starts_with(&[7]) == (row.version == 2)));
    }
    assert_eq!(seen[0], [1, 2], "a file holds the old ones");
    assert_eq!(seen.last(), Some(&vec![2]));
}

/// A state that lives for a second by `clock`; for ever without one.
fn mortal(clock: Option<&str>) -> StateDecl {
    let mut state = declared("v", StateKind::Value, 1);
    if let Some(clock) = clock {
        state.ttl_ms = 1000;
        state.options.push(("ttl-clock".to_owned(), clock.to_owned()));
    }
    state
}

#[test]
fn what_expired_on_one_clock_does_not_on_another() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name);
    let mut old = open(settings(path("old"), vec![mortal(Some("event"))]), None).unwrap();
    for number in 0..2u32 {
        old.backend.set_time(1_000_000, 5000 + i64::from(number) * 500);
        let key = number.to_be_bytes();
        let write = (StateIndex(0), owner(&key), Write::Put(b"here"));
        old.backend.write(&mut [write].into_iter()).unwrap();
    }
    let mut old = snapshot(&mut old, 1);
    // Key 0 has expired by then, but not been removed from the files.
    old.time = StateTime::at(1_000_100, 6200);
    let found = |state: &mut OpenedState| {
        state.backend.set_time(2_000_000, 6600);
        [0, 1].map(|number| value_of(state, 0, number).is_some())
    };
    let mut same = open(settings(path("same"), vec![mortal(Some("event"))]), Some(old.clone())).unwrap();
    assert_eq!(found(&mut same), [false, false]);
    for clock in [None, Some("processing")] {
        let mut new = open(settings(path("new"), vec![mortal(clock)]), Some(old.clone())).unwrap();
        assert_eq!(found(&mut new), [false, true], "{clock:?}");
        let new = snapshot(&mut new, 2);
        assert!(rows_of(&new, &path("scratch")).iter().all(|row| row.expiry.is_none()), "{clock:?}");
        let mut again = open(settings(path("again"), vec![mortal(Some("event"))]), Some(new)).unwrap();
        assert_eq!(found(&mut again), [false, true], "{clock:?}, and back");
        let mut rows = rows_of(&old, &path("scratch")).into_iter().map(Ok::<_, StateError>);
        let rows = open_rows(settings(path("rows"), vec![mortal(clock)]), old.table.clone(), &mut rows);
        assert!(found(&mut rows.unwrap())[1], "{clock:?}");
    }
}
