//! State files that are not what was written: every read of them says so, or gives what was written.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use tidewheel_state::{
    BackendKind, OpenedState, ReadRows, Restore, RestoredTask, StateError, StateSettings, StateTable, StateTime,
    TimerChange, open, read_rows,
};
use tidewheel_types::description::{StateDecl, StateKind};
use tidewheel_types::key_group::hash_key;
use tidewheel_types::keyed_state::{Cells, StateIndex, StateKey, Write};

const KEYS: u32 = 500;
const GROUPS: u16 = 4;

fn settings(folder: &Path) -> StateSettings {
    let sum = StateDecl {
        name: "sum".to_owned(),
        kind: StateKind::Value,
        format: "raw".to_owned(),
        schema: String::new(),
        version: 1,
        oldest: 1,
        rides: false,
        ttl_ms: 0,
        options: Vec::new(),
    };
    StateSettings {
        declared: vec![sum],
        backend: BackendKind::Memory,
        folder: folder.to_owned(),
        key_groups: 0..GROUPS,
        max_parallelism: GROUPS,
        tracks_changes: true,
    }
}

/// Two files: a value and a timer for each key, and new values for every third key.
fn written(folder: &Path) -> (Vec<PathBuf>, StateTable) {
    let opened = open(settings(&folder.join("first")), None).unwrap();
    let OpenedState { mut backend, mut timers, mut processing_timers, mut writer } = opened;
    for (checkpoint, step) in [(1, 1), (2, 3)] {
        for number in (0..KEYS).step_by(step) {
            let key = number.to_be_bytes();
            let owner = StateKey { hash: hash_key(&key), key: &key, namespace: &[] };
            let value = (number * 7 + checkpoint).to_be_bytes();
            backend.write(&mut [(StateIndex(0), owner, Write::Put(&value))].into_iter()).unwrap();
            timers.change(&mut [(owner, TimerChange::Set { slot: 0, time: 5 })].into_iter());
        }
        let delta = backend.freeze([&mut timers, &mut processing_timers]).unwrap();
        writer.write(delta, u64::from(checkpoint)).unwrap();
    }
    let files = writer.files().iter().map(|file| file.path.clone()).collect();
    (files, writer.state_table())
}

/// What is restored: the values of all keys, and the number of keys with a timer.
fn restored(folder: &Path, files: &[PathBuf], table: &StateTable) -> Result<(Cells, usize), StateError> {
    let tasks = vec![RestoredTask { key_groups: 0..GROUPS, files: files.to_vec() }];
    let mut opened =
        open(settings(&folder.join("second")), Some(Restore { tasks, table: table.clone(), ..Restore::default() }))?;
    let keys: Vec<_> = (0..KEYS).map(u32::to_be_bytes).collect();
    let mut owners = keys.iter().map(|key| StateKey { hash: hash_key(key), key, namespace: &[] });
    let mut cells = Cells::default();
    opened.backend.get_many(StateIndex(0), &mut owners, &mut cells).unwrap();
    Ok((cells, opened.timers.keys()))
}

fn rows(folder: &Path, files: &[PathBuf], table: &StateTable) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, StateError> {
    let files: Vec<&Path> = files.iter().map(PathBuf::as_path).collect();
    let scratch = folder.join("scratch");
    let (key_groups, time) = (0..GROUPS, StateTime::START);
    let read = ReadRows { files: &files, key_groups, max_parallelism: GROUPS, table, time, scratch: &scratch };
    let mut rows = BTreeMap::new();
    read_rows(&read, &mut |row| {
        rows.insert([&row.key.state.0.to_be_bytes(), row.key.key].concat(), row.payload.to_vec());
        Ok::<_, StateError>(())
    })?;
    Ok(rows)
}

/// Spoils the newer file in many ways, one at a time.
#[test]
fn a_spoiled_file_is_an_error_or_makes_no_difference() {
    let folder = TempDir::new().unwrap();
    let (files, table) = written(folder.path());
    let [_, newer] = &files[..] else { panic!("{files:?}") };
    let good = fs::read(newer).unwrap();
    let expected = (restored(folder.path(), &files, &table).unwrap(), rows(folder.path(), &files, &table).unwrap());
    let mut spoiled: Vec<Vec<u8>> = [0, 1, good.len() / 2, good.len() - 1].map(|len| good[..len].to_vec()).into();
    spoiled.push([&good[..], b"tail"].concat());
    spoiled.push(vec![0; good.len()]);
    spoiled.extend((0..good.len()).step_by(good.len() / 40).map(|place| {
        let mut bytes = good.clone();
        bytes[place] ^= 1 << (place % 8);
        bytes
    }));
    let mut errors = 0;
    for bytes in &spoiled {
        // The file may be linked to, so a new one takes its place.
        fs::remove_file(newer).unwrap();
        fs::write(newer, bytes).unwrap();
        match restored(folder.path(), &files, &table) {
            Ok(found) => assert_eq!(found, expected.0),
            Err(StateError::Damaged { file, .. }) => {
                assert!(file.ends_with(newer.file_name().unwrap()), "{}", file.display());
                errors += 1;
            }
            Err(error) => panic!("{error}"),
        }
        match rows(folder.path(), &files, &table) {
            Ok(found) => assert_eq!(found, expected.1),
            Err(error) => assert!(matches!(error, StateError::Damaged { .. }), "{error}"),
        }
    }
    assert!(errors > spoiled.len() / 2, "only {errors} of {} were found", spoiled.len());
}

#[test]
fn a_missing_file_and_missing_keys_are_errors() {
    let folder = TempDir::new().unwrap();
    let (files, table) = written(folder.path());
    let gone = vec![files[0].clone(), folder.path().join("gone.sst")];
    let error = restored(folder.path(), &gone, &table).expect_err("a file is not there");
    assert!(matches!(error, StateError::Io { .. }), "{error}");
    assert!(error.to_string().contains("gone.sst"), "{error}");
    for (ranges, expected) in [
        (vec![0..2], "the snapshot holds no state files for key group 2: restore from another one"),
        (vec![1..4], "the snapshot holds no state files for key group 0: restore from another one"),
        (vec![0..3, 2..4], "the snapshot is damaged, two of its tasks own key group 2: restore from another one"),
    ] {
        let task = |key_groups| RestoredTask { key_groups, files: Vec::new() };
        let restore =
            Restore { tasks: ranges.into_iter().map(task).collect(), table: table.clone(), ..Restore::default() };
        let error = open(settings(&folder.path().join("second")), Some(restore)).err().expect("it is refused");
        assert_eq!(error.to_string(), expected);
    }
}
