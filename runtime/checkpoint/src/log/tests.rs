//! What the log promises: one order of checkpoints, in which nobody who has been replaced can write.

mod races;

use super::{Attempt, Log, Restore};
use crate::error::CheckpointError;
use crate::file_name::FileName;
use crate::manifest::{FORMAT, FileRef, Manifest, OperatorState, TaskState};
use crate::sealed;
use crate::slot;
use crate::store::Store;
use crate::store::stepped::{Fate, Gate};
use object_store::ObjectStore;
use object_store::memory::InMemory;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// A manifest of an attempt, with these files.
pub(crate) fn manifest(attempt: u64, checkpoint: u64, files: &[FileRef]) -> Manifest {
    let task = TaskState { worker: 0, key_groups: 0..128, files: files.to_vec() };
    let operator = OperatorState {
        component: "c0ffee".to_owned(),
        watermark: i64::MIN,
        states: Vec::new(),
        shape: None,
        tasks: vec![task],
    };
    Manifest {
        format: FORMAT,
        job: "count".to_owned(),
        lineage: "abc123".to_owned(),
        attempt,
        checkpoint,
        epoch: checkpoint * 10,
        created_ms: 1_700_000_000_000,
        duration_ms: 12,
        bytes: 100,
        workers: 1,
        max_parallelism: 128,
        sources: BTreeMap::new(),
        operators: [("count".to_owned(), operator)].into(),
        sinks: BTreeMap::new(),
        finished: false,
        drained: false,
    }
}

/// Puts a state file.
pub(super) fn put_file(store: &Store, attempt: u64, number: u64) -> Result<FileRef, CheckpointError> {
    let name = FileName { attempt, worker: 0, number }.to_string();
    store.put(&name, name.clone().into_bytes())?;
    Ok(FileRef { bytes: name.len() as u64, crc32c: crc32c::crc32c(name.as_bytes()), name })
}

fn file(store: &Store, attempt: u64, number: u64) -> FileRef {
    put_file(store, attempt, number).unwrap()
}

fn memory() -> Store {
    Store::open("memory:", Path::new(".")).unwrap()
}

fn names(store: &Store, folder: &str) -> Vec<String> {
    store.list(folder).unwrap().into_iter().map(|file| file.name).collect()
}

/// Slots and the numbers of their checkpoints, newest first.
fn listed(log: &Log) -> Vec<(u64, Option<u64>)> {
    let entries = log.checkpoints().unwrap().into_iter();
    entries.map(|entry| (entry.slot, entry.manifest.ok().map(|manifest| manifest.checkpoint))).collect()
}

/// What it makes again needs another name, until it has a checkpoint of its own.
#[test]
fn an_attempt_that_goes_back_says_so_and_so_does_the_next() {
    let store = memory();
    let mut first = Log::open(store.clone());
    first.begin_attempt().unwrap();
    (1..=3).for_each(|checkpoint| _ = first.publish(manifest(1, checkpoint, &[])).unwrap());
    assert!(!Log::open(store.clone()).begin_attempt().unwrap().went_back, "it restores the newest");
    let back = Log::open(store.clone()).begin_attempt_from(Some(3)).unwrap();
    assert!(back.went_back);
    let mut next = Log::open(store.clone());
    let begun = next.begin_attempt().unwrap();
    assert_eq!((begun.restore.unwrap().slot, begun.went_back), (3, true), "the one that went back has left nothing");
    next.publish(manifest(begun.number, 3, &[])).unwrap();
    assert!(!Log::open(store).begin_attempt().unwrap().went_back);
}

#[test]
fn somebody_else_who_has_begun_is_noticed_and_what_failed_here_is_not_somebody_else() {
    let store = memory();
    let mut log = Log::open(store.clone());
    log.check_not_taken_over().unwrap();
    log.begin_attempt().unwrap();
    // It claims, and the store goes away.
    log.claim().unwrap();
    log.check_not_taken_over().unwrap();
    let other = Log::open(store.clone()).begin_attempt().unwrap();
    let error = log.check_not_taken_over().unwrap_err();
    assert!(error.is_replaced() && !error.is_retryable());
    assert!(error.to_string().contains(&format!("has been replaced by attempt {}", other.number)), "{error}");
    // Who begins after all is the newest again.
    log.begin_attempt().unwrap();
    log.check_not_taken_over().unwrap();
}

#[test]
fn an_attempt_starts_from_the_newest_checkpoint_of_those_before() {
    let store = memory();
    let mut first = Log::open(store.clone());
    assert_eq!(first.newest().unwrap(), None);
    let begun = first.begin_attempt().unwrap();
    let lineage = begun.lineage.clone();
    assert_eq!(begun, Attempt { number: 1, slot: 1, restore: None, savepoint: None, lineage, went_back: false });
    assert_eq!(first.publish(manifest(1, 1, &[])).unwrap(), 2);
    assert_eq!(first.publish(manifest(1, 2, &[])).unwrap(), 3);

    let mut second = Log::open(store.clone());
    let restore = Some(Restore { slot: 3, manifest: manifest(1, 2, &[]) });
    let begun = second.begin_attempt().unwrap();
    let lineage = begun.lineage.clone();
    assert_eq!(
        begun,
        Attempt { number: 2, slot: 4, restore: restore.clone(), savepoint: None, lineage, went_back: false }
    );
    assert_eq!(Log::open(store.clone()).attempt(2).unwrap(), begun, "another process of the attempt finds the same");
    assert!(Log::open(store.clone()).attempt(3).is_err());
    // It ends before its first checkpoint.
    let mut third = Log::open(store.clone());
    let begun = third.begin_attempt().unwrap();
    assert_eq!((begun.number, begun.slot, begun.restore), (3, 5, restore));
    assert_eq!(third.publish(manifest(3, 3, &[])).unwrap(), 6);
    assert_eq!(listed(&third), [(6, Some(3)), (3, Some(2)), (2, Some(1))]);
    assert_eq!(third.newest().unwrap().unwrap().slot, 6);
}

#[test]
fn who_has_been_replaced_cannot_publish_and_is_told_by_whom() {
    let store = memory();
    let mut old = Log::open(store.clone());
    old.begin_attempt().unwrap();
    old.publish(manifest(1, 1, &[])).unwrap();
    let mut new = Log::open(store.clone());
    new.begin_attempt().unwrap();
    for _ in 0..2 {
        let error = old.publish(manifest(1, 2, &[])).unwrap_err();
        assert!(matches!(error, CheckpointError::Replaced { attempt: 1, by: Some(2), .. }), "{error}");
        assert_eq!(
            error.to_string(),
            "attempt 1 of the job in `memory:` has been replaced by attempt 2: it ends without committing; run a job once at a \
             time, or give each its own store"
        );
    }
    for checkpoint in 2..20 {
        new.publish(manifest(2, checkpoint, &[])).unwrap();
        new.retain(1, &BTreeSet::new()).unwrap();
        assert!(old.publish(manifest(1, 2, &[])).unwrap_err().is_replaced(), "slots were removed, its place was not");
        assert!(old.retain(1, &BTreeSet::new()).unwrap_err().is_replaced());
    }
    assert_eq!(listed(&new), [(21, Some(19))]);
}

#[test]
fn another_process_publishes_for_an_attempt_but_not_two() {
    let store = memory();
    let begun = Log::open(store.clone()).begin_attempt().unwrap();
    let mut controller = Log::join(store.clone(), begun.number, begun.slot);
    controller.publish(manifest(1, 1, &[])).unwrap();
    let mut other = Log::join(store.clone(), begun.number, begun.slot);
    assert!(other.publish(manifest(1, 1, &[])).unwrap_err().is_replaced());
    controller.publish(manifest(1, 2, &[])).unwrap();
    let error = controller.publish(manifest(2, 3, &[])).unwrap_err();
    assert_eq!(error.to_string(), "a manifest of attempt 2 cannot be published by attempt 1");
}

#[test]
fn what_no_kept_checkpoint_needs_is_removed() {
    let store = memory();
    let mut log = Log::open(store.clone());
    log.begin_attempt().unwrap();
    log.retain(3, &BTreeSet::new()).unwrap();
    let files: Vec<FileRef> = (0..8).map(|number| file(&store, 1, number)).collect();
    log.publish(manifest(1, 1, &files[0..1])).unwrap();
    log.publish(manifest(1, 2, &files[0..2])).unwrap();
    // Merged: 0, 1 and 2 are in 3. File 4 belongs to a checkpoint that failed, 6 and 7 to one under way.
    log.publish(manifest(1, 3, &files[3..4])).unwrap();
    log.publish(manifest(1, 4, &[files[3].clone(), files[5].clone()])).unwrap();
    log.retain(2, &BTreeSet::new()).unwrap();
    assert_eq!(listed(&log), [(5, Some(4)), (4, Some(3))]);
    let left = |numbers: &[usize]| numbers.iter().map(|number| files[*number].name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&store, "files"), left(&[3, 4, 5, 6, 7]));
    log.verify(&log.newest().unwrap().unwrap()).unwrap();

    // The next attempt goes on with its files, and removes what it had uploaded and not published.
    let mut next = Log::open(store.clone());
    next.begin_attempt().unwrap();
    let new = file(&store, 2, 0);
    next.publish(manifest(2, 5, &[files[3].clone(), files[5].clone(), new.clone()])).unwrap();
    let in_use = BTreeSet::from([files[7].name.clone()]);
    next.retain(1, &in_use).unwrap();
    assert_eq!(listed(&next), [(7, Some(5))]);
    assert_eq!(names(&store, "files"), [left(&[3, 5, 7]), vec![new.name]].concat());
    assert_eq!(names(&store, "slots").len(), 3, "two attempts and a manifest");
}

#[test]
fn files_in_use_are_removed_once_they_are_not() {
    let store = memory();
    let mut log = Log::open(store.clone());
    log.begin_attempt().unwrap();
    let files: Vec<FileRef> = (0..3).map(|number| file(&store, 1, number)).collect();
    for (checkpoint, file) in (1..).zip(&files) {
        log.publish(manifest(1, checkpoint, std::slice::from_ref(file))).unwrap();
    }
    log.retain(1, &BTreeSet::from([files[0].name.clone()])).unwrap();
    assert_eq!(names(&store, "files"), [files[0].name.clone(), files[2].name.clone()]);
    assert_eq!(listed(&log), [(4, Some(3))]);
    log.retain(1, &BTreeSet::new()).unwrap();
    assert_eq!(names(&store, "files"), [files[2].name.clone()]);
}

#[test]
fn an_attempt_can_go_back_and_what_it_went_behind_is_not_listed() {
    let store = memory();
    let mut log = Log::open(store.clone());
    log.begin_attempt().unwrap();
    for checkpoint in 1..=3 {
        log.publish(manifest(1, checkpoint, &[])).unwrap();
    }
    let begun = Log::open(store.clone()).begin_attempt_from(Some(3)).unwrap();
    assert_eq!(begun.restore.unwrap().manifest.checkpoint, 2);
    assert_eq!(listed(&log), [(3, Some(2)), (2, Some(1))]);
    assert_eq!(log.newest().unwrap().unwrap().slot, 3);
    let begun = Log::open(store.clone()).begin_attempt_from(None).unwrap();
    assert_eq!((begun.number, begun.slot, begun.restore), (3, 6, None));
    assert_eq!(listed(&log), []);
    let error = Log::open(store).begin_attempt_from(Some(1)).unwrap_err();
    assert!(error.is_missing(), "{error}");
}

#[test]
fn the_newest_manifest_is_whole_or_named_in_the_error() {
    let store = memory();
    let mut log = Log::open(store.clone());
    log.begin_attempt().unwrap();
    let files = [file(&store, 1, 0)];
    log.publish(manifest(1, 1, &files)).unwrap();
    log.publish(manifest(1, 2, &files)).unwrap();
    let newest = slot::name(3);
    let whole = store.get(&newest).unwrap();
    let begin = || Log::open(store.clone()).begin_attempt().unwrap_err();

    store.put(&newest, whole.slice(..whole.len() / 2)).unwrap();
    let error = begin();
    assert!(matches!(error, CheckpointError::Damaged { .. }), "{error}");
    let text = error.to_string();
    assert!(text.starts_with("`memory:/slots/00000000000000000003.json` is damaged: it is cut off after "), "{text}");
    assert!(text.ends_with("start from another checkpoint or savepoint"), "{text}");
    assert_eq!(listed(&log), [(3, None), (2, Some(1))], "the others can be seen");

    let mut flipped = whole.to_vec();
    flipped[100] ^= 1;
    store.put(&newest, flipped).unwrap();
    assert!(begin().to_string().contains("its checksum is "));
    store.put(&newest, store.get(&slot::name(2)).unwrap()).unwrap();
    assert!(begin().to_string().contains("it is the file of slot 2"));

    store.put(&newest, whole).unwrap();
    let restore = log.newest().unwrap().unwrap();
    log.verify(&restore).unwrap();
    store.put(&files[0].name, "short").unwrap();
    assert_eq!(
        log.verify(&restore).unwrap_err().to_string(),
        "checkpoint 2 in slot 3 of `memory:` cannot be restored: `memory:/files/1-0-0.sst` is damaged: it has 5 bytes, \
         not 15; put back what was written, or start from another checkpoint or savepoint"
    );
    store.remove(&[files[0].name.clone()]).unwrap();
    let text = log.verify(&restore).unwrap_err().to_string();
    assert!(text.contains("checkpoint 2 in slot 3 of `memory:` cannot be restored: `memory:/files/1-0-0.sst` is not"));
}

#[test]
fn a_manifest_of_a_later_version_is_refused() {
    let store = memory();
    let mut log = Log::open(store.clone());
    log.begin_attempt().unwrap();
    log.publish(manifest(1, 1, &[])).unwrap();
    let mut later: serde_json::Value = serde_json::from_slice(&store.get(&slot::name(2)).unwrap()).unwrap();
    later.as_object_mut().unwrap().remove("crc32c");
    later["format"] = (FORMAT + 1).into();
    store.put(&slot::name(2), sealed::seal(&later)).unwrap();
    let error = Log::open(store).begin_attempt().unwrap_err();
    assert!(matches!(error, CheckpointError::NewerFormat { format, known: FORMAT, .. } if format == FORMAT + 1));
    assert!(error.to_string().contains("use the version that wrote it, or a later one"), "{error}");
}

#[test]
fn a_full_disk_fails_the_checkpoint_and_not_the_next() {
    let objects: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let gate = Arc::new(Gate::default());
    let store = gate.join(0, &objects);
    let is_full = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !gate.settle().is_empty() {
                gate.grant(0, if is_full.load(Ordering::SeqCst) { Fate::Full } else { Fate::Done });
            }
        });
        let mut log = Log::open(store.clone());
        log.begin_attempt().unwrap();
        let first = [file(&store, 1, 0)];
        assert_eq!(log.publish(manifest(1, 1, &first)).unwrap(), 2);
        is_full.store(true, Ordering::SeqCst);
        let error = put_file(&store, 1, 1).unwrap_err().to_string();
        assert!(error.starts_with("cannot write `memory:/files/1-0-1.sst`: "), "{error}");
        assert!(error.contains("no storage space; see that the store can be reached, has room"), "{error}");
        let error = log.publish(manifest(1, 2, &first)).unwrap_err();
        assert!(matches!(error, CheckpointError::InDoubt { slot: 3, .. }), "{error}");
        log.retain(1, &BTreeSet::new()).unwrap();
        assert_eq!(log.newest().unwrap().unwrap().manifest, manifest(1, 1, &first));
        is_full.store(false, Ordering::SeqCst);
        let second = [first[0].clone(), file(&store, 1, 2)];
        assert_eq!(log.publish(manifest(1, 3, &second)).unwrap(), 3);
        log.verify(&log.newest().unwrap().unwrap()).unwrap();
        gate.left(0);
    });
}
