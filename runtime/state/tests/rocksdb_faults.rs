//! The `rocksdb` backend when the disk fails it: it says so, naming its folder and what can be done, and what it gives
//! back is right or an error.

use std::env;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use tempfile::TempDir;
use tidewheel_state::{Backend, BackendKind, OpenedState, SharedMemory, StateSettings, open};
use tidewheel_types::description::{StateDecl, StateKind};
use tidewheel_types::key_group::hash_key;
use tidewheel_types::keyed_state::{Cells, KeyedStateError, StateIndex, StateKey, Write};

const KEYS: u32 = 20_000;
const GROUPS: u16 = 4;

/// Nothing stays in the caches.
fn opened(folder: &Path) -> OpenedState {
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
    let settings = StateSettings {
        declared: vec![sum],
        backend: BackendKind::RocksDb(Arc::new(SharedMemory::new(0))),
        folder: folder.to_owned(),
        key_groups: 0..GROUPS,
        max_parallelism: GROUPS,
        tracks_changes: true,
    };
    open(settings, None).unwrap()
}

/// Values that lz4 cannot pack.
fn value(number: u32) -> Vec<u8> {
    (0..8u64).flat_map(|part| hash_key(&(u64::from(number) << 8 | part).to_le_bytes()).to_le_bytes()).collect()
}

fn write(backend: &mut dyn Backend, numbers: impl Iterator<Item = u32>) -> Result<(), KeyedStateError> {
    for number in numbers {
        let key = number.to_be_bytes();
        let owner = StateKey { hash: hash_key(&key), key: &key, namespace: &[] };
        backend.write(&mut [(StateIndex(0), owner, Write::Put(&value(number)))].into_iter())?;
    }
    Ok(())
}

/// Reads all values; how many reads failed, and the last reason.
fn read(backend: &mut dyn Backend) -> (u32, Option<String>) {
    let (mut failed, mut reason) = (0, None);
    for number in 0..KEYS {
        let key = number.to_be_bytes();
        let owner = StateKey { hash: hash_key(&key), key: &key, namespace: &[] };
        let mut cells = Cells::default();
        match backend.get_many(StateIndex(0), &mut [owner].into_iter(), &mut cells) {
            Ok(()) => assert_eq!(cells.get(0), Some(&value(number)[..])),
            Err(error) => {
                failed += 1;
                reason = Some(error.to_string());
            }
        }
    }
    (failed, reason)
}

/// State that has been written to files, and those of its RocksDB.
fn on_disk(folder: &Path) -> (OpenedState, Vec<PathBuf>) {
    let mut state = opened(folder);
    // In one go, so that there is one spill, or two.
    let keys: Vec<[u8; 4]> = (0..KEYS).map(u32::to_be_bytes).collect();
    let values: Vec<Vec<u8>> = (0..KEYS).map(value).collect();
    let owners = keys.iter().map(|key| StateKey { hash: hash_key(key), key, namespace: &[] });
    let mut writes = owners.zip(&values).map(|(owner, value)| (StateIndex(0), owner, Write::Put(value)));
    state.backend.write(&mut writes).unwrap();
    let delta = state.backend.freeze([&mut state.timers, &mut state.processing_timers]).unwrap();
    state.writer.write(delta, 1).unwrap();
    let files = fs::read_dir(folder.join("database")).unwrap().map(|file| file.unwrap().path());
    let files: Vec<_> = files.filter(|path| path.extension().is_some_and(|end| end == "sst")).collect();
    assert!(!files.is_empty());
    (state, files)
}

fn assert_helps(reason: &str, folder: &Path) {
    assert!(reason.contains(&*folder.to_string_lossy()), "{reason}");
    assert!(reason.contains("restart the job"), "{reason}");
}

#[test]
fn damaged_blocks_are_noticed() {
    let folder = TempDir::new().unwrap();
    let (mut state, files) = on_disk(folder.path());
    for path in files {
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        let len = file.metadata().unwrap().len();
        (0..8).for_each(|part| file.write_all_at(b"damage", len / 2 / 8 * part + 100).unwrap());
    }
    let (failed, reason) = read(&mut *state.backend);
    assert!(failed > 0 && failed < KEYS, "{failed} reads failed");
    let reason = reason.expect("a read has failed");
    assert_helps(&reason, folder.path());
    assert!(reason.contains("is damaged"), "{reason}");
}

#[test]
fn removed_files_do_no_harm_or_are_noticed() {
    let folder = TempDir::new().unwrap();
    let (mut state, files) = on_disk(folder.path());
    files.iter().for_each(|file| fs::remove_file(file).unwrap());
    if let (_, Some(reason)) = read(&mut *state.backend) {
        assert_helps(&reason, folder.path());
    }
}

#[test]
fn a_spill_that_cannot_be_written_is_noticed() {
    let folder = TempDir::new().unwrap();
    let mut state = opened(folder.path());
    fs::remove_dir(folder.path().join("spilled")).unwrap();
    let error = write(&mut *state.backend, 0..KEYS).expect_err("it cannot be written");
    assert!(error.to_string().contains(&*folder.path().to_string_lossy()), "{error}");
    let error = state
        .backend
        .freeze([&mut state.timers, &mut state.processing_timers])
        .err()
        .expect("what was to be spilled is lost");
    assert!(error.to_string().contains(&*folder.path().to_string_lossy()), "{error}");
}

/// Set for the process that runs under a limit.
const LIMITED: &str = "TIDEWHEEL_TEST_LIMITED";

/// A full disk, as far as files go: none can become larger than 16 KiB.
#[test]
fn a_full_disk_is_noticed() {
    if env::var_os(LIMITED).is_none() {
        let script = "trap '' XFSZ; ulimit -f 32; exec \"$0\" --exact a_full_disk_is_noticed --test-threads 1";
        let mut child = Command::new("sh");
        let child = child.args(["-c", script]).arg(env::current_exe().unwrap()).env(LIMITED, "1");
        let output = child.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("1 passed"), "{said}");
        return;
    }
    let folder = TempDir::new().unwrap();
    let mut state = opened(folder.path());
    let keys: Vec<[u8; 4]> = (0..KEYS).map(u32::to_be_bytes).collect();
    let owners = keys.iter().map(|key| StateKey { hash: hash_key(key), key, namespace: &[] });
    let long = [7; 100];
    let mut writes = owners.map(|owner| (StateIndex(0), owner, Write::Put(&long)));
    state.backend.write(&mut writes).unwrap();
    let delta = state.backend.freeze([&mut state.timers, &mut state.processing_timers]).unwrap();
    let error = state.writer.write(delta, 1).expect_err("it does not fit");
    assert!(error.to_string().contains(&*folder.path().to_string_lossy()), "{error}");
    let error = write(&mut *state.backend, 0..KEYS).expect_err("what was frozen is lost");
    assert!(error.to_string().contains(&*folder.path().to_string_lossy()), "{error}");
}
