//! Chains of state files: what is gone stays gone when newer files are merged and the oldest is not, and when a file takes
//! the place of all others.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use tidewheel_state::{
    BackendKind, LocalFile, OpenedState, Restore, RestoredTask, StateSettings, StateTable, TimerChange, open,
};
use tidewheel_types::description::{StateDecl, StateKind};
use tidewheel_types::key_group::hash_key;
use tidewheel_types::keyed_state::{Cells, StateIndex, StateKey, Write};

const KEYS: u32 = 2000;
const GROUPS: u16 = 16;

fn settings(folder: PathBuf) -> StateSettings {
    let value = StateDecl {
        name: "value".to_owned(),
        kind: StateKind::Value,
        format: "raw".to_owned(),
        schema: String::new(),
        version: 1,
        oldest: 1,
        rides: true,
        ttl_ms: 0,
        options: Vec::new(),
    };
    StateSettings {
        declared: vec![value],
        backend: BackendKind::Memory,
        folder,
        key_groups: 0..GROUPS,
        max_parallelism: GROUPS,
        tracks_changes: true,
    }
}

/// Values that cannot be packed, so that a file is as large as it looks.
fn value_of(key: u32, checkpoint: u64) -> Vec<u8> {
    (0..8u64)
        .flat_map(|part| hash_key(&(u64::from(key) << 32 | checkpoint << 8 | part).to_le_bytes()).to_le_bytes())
        .collect()
}

/// Sets the value and the timer of a key, or removes both.
fn change(state: &mut OpenedState, key: u32, value: Option<&[u8]>) {
    let key = key.to_be_bytes();
    let owner = StateKey { hash: hash_key(&key), key: &key, namespace: &[] };
    state.backend.get_riding(&mut [owner].into_iter(), 1, &mut Cells::default()).unwrap();
    let write = value.map_or(Write::Delete, Write::Put);
    state.backend.write_riding(&mut [(0, owner, StateIndex(0), write)].into_iter()).unwrap();
    let timer = match value {
        Some(_) => TimerChange::Set { slot: 0, time: 1 },
        None => TimerChange::Delete { slot: 0, time: 1 },
    };
    state.timers.change(&mut [(owner, timer)].into_iter());
}

fn snapshot(state: &mut OpenedState, checkpoint: u64) -> Vec<LocalFile> {
    let delta = state.backend.freeze([&mut state.timers, &mut state.processing_timers]).unwrap();
    state.writer.write(delta, checkpoint).unwrap()
}

fn check(files: &[LocalFile], table: StateTable, folder: &Path, expected: &BTreeMap<u32, Vec<u8>>) {
    let files = files.iter().map(|file| file.path.clone()).collect();
    let tasks = vec![RestoredTask { key_groups: 0..GROUPS, files }];
    let mut restored =
        open(settings(folder.join("restored")), Some(Restore { tasks, table, ..Restore::default() })).unwrap();
    let keys: Vec<_> = (0..KEYS).map(u32::to_be_bytes).collect();
    let mut owners = keys.iter().map(|key| StateKey { hash: hash_key(key), key, namespace: &[] });
    let mut cells = Cells::default();
    restored.backend.get_many(StateIndex(0), &mut owners, &mut cells).unwrap();
    for key in 0..KEYS {
        assert_eq!(cells.get(key as usize), expected.get(&key).map(Vec::as_slice), "key {key}");
    }
    assert_eq!(restored.timers.keys(), expected.len());
}

#[test]
fn what_is_gone_stays_gone() {
    let folder = TempDir::new().unwrap();
    let mut state = open(settings(folder.path().join("task")), None).unwrap();
    let mut expected: BTreeMap<u32, Vec<u8>> = (0..KEYS).map(|key| (key, value_of(key, 0))).collect();
    expected.iter().for_each(|(&key, value)| change(&mut state, key, Some(value)));
    let base = snapshot(&mut state, 1);
    assert_eq!(base.len(), 1);
    let mut files = base.clone();
    let mut merges = 0;
    for checkpoint in 2..20 {
        // Some go, some change, some that had gone come again.
        for key in (0..KEYS).skip(checkpoint as usize).step_by(97) {
            expected.remove(&key);
            change(&mut state, key, None);
        }
        for key in (0..KEYS).skip(checkpoint as usize).step_by(61) {
            expected.insert(key, value_of(key, checkpoint));
            change(&mut state, key, expected.get(&key).map(Vec::as_slice));
        }
        let before = files.len();
        files = snapshot(&mut state, checkpoint);
        merges += usize::from(files.len() <= before && files[0] == base[0]);
        check(&files, state.writer.state_table(), folder.path(), &expected);
    }
    assert!(merges > 3, "the oldest file was left out of {merges} merges");
    assert_eq!(snapshot(&mut state, 20), files, "nothing has changed, so nothing is written");
    let in_folder = std::fs::read_dir(files[0].path.parent().unwrap()).unwrap().count();
    assert_eq!(in_folder, files.len(), "files that were merged are gone");
}

#[test]
fn a_delta_of_most_of_the_state_takes_the_place_of_all_files() {
    let folder = TempDir::new().unwrap();
    let mut state = open(settings(folder.path().join("task")), None).unwrap();
    let mut expected: BTreeMap<u32, Vec<u8>> = (0..KEYS).map(|key| (key, value_of(key, 0))).collect();
    expected.iter().for_each(|(&key, value)| change(&mut state, key, Some(value)));
    let base = snapshot(&mut state, 1);
    let mut set = |state: &mut OpenedState, keys: u32, checkpoint: u64| {
        for key in 0..keys {
            expected.insert(key, value_of(key, checkpoint));
            change(state, key, expected.get(&key).map(Vec::as_slice));
        }
        expected.remove(&(KEYS - checkpoint as u32));
        change(state, KEYS - checkpoint as u32, None);
        let files = snapshot(state, checkpoint);
        check(&files, state.writer.state_table(), folder.path(), &expected);
        files
    };
    let two = set(&mut state, KEYS / 3, 2);
    assert_eq!((two.len(), &two[0]), (2, &base[0]), "less than half has changed");
    let one = set(&mut state, KEYS * 2 / 3, 3);
    assert_eq!(one.len(), 1);
    let in_folder = std::fs::read_dir(one[0].path.parent().unwrap()).unwrap();
    let in_folder: Vec<_> = in_folder.map(|file| file.unwrap().path()).collect();
    assert_eq!(in_folder, [one[0].path.clone()], "the others are gone");
    assert_eq!(set(&mut state, KEYS / 3, 4).len(), 2);
}

#[test]
fn state_that_is_not_declared_any_more_stays_in_the_files() {
    let folder = TempDir::new().unwrap();
    let mut state = open(settings(folder.path().join("task")), None).unwrap();
    let expected: BTreeMap<u32, Vec<u8>> = (0..KEYS).map(|key| (key, value_of(key, 0))).collect();
    expected.iter().for_each(|(&key, value)| change(&mut state, key, Some(value)));
    let files = snapshot(&mut state, 1).into_iter().map(|file| file.path).collect();
    let tasks = vec![RestoredTask { key_groups: 0..GROUPS, files }];
    let restore = Restore { tasks, table: state.writer.state_table(), ..Restore::default() };
    let mut other = settings(folder.path().join("other"));
    other.declared[0].name = "other".to_owned();
    let mut state = open(other, Some(restore)).unwrap();
    expected.keys().for_each(|&key| change(&mut state, key, Some(b"of the other state")));
    let files = snapshot(&mut state, 2);
    check(&files, state.writer.state_table(), folder.path(), &expected);
}

#[test]
fn state_without_snapshots_says_so() {
    let folder = TempDir::new().unwrap();
    let untracked = StateSettings { tracks_changes: false, ..settings(folder.path().join("task")) };
    let mut state = open(untracked, None).unwrap();
    change(&mut state, 1, Some(b"v"));
    let error =
        state.backend.freeze([&mut state.timers, &mut state.processing_timers]).err().expect("nothing was tracked");
    assert_eq!(
        error.to_string(),
        "this state was opened without tracking changes, so it has no snapshots: open it with `tracks_changes`"
    );
}
