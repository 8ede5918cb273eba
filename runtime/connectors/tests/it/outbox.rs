//! The outbox: how full it is, and what becomes of one that is damaged.

use crate::harness::{Park, Shard, context};
use std::fs;
use tempfile::TempDir;
use tidewheel_connectors::memory::MemorySink;
use tidewheel_connectors::outbox::OutboxSettings;
use tidewheel_connectors::{Room, SinkContext, StageHandle};

fn spilling(folder: &TempDir) -> MemorySink {
    let folder = Some(folder.path().to_owned());
    MemorySink::new().with_outboxes(OutboxSettings { memory_bytes_max: 0, folder, ..OutboxSettings::default() })
}

#[test]
fn it_says_when_little_room_is_left_and_takes_the_rest_of_the_epoch() {
    let settings = OutboxSettings { early_bytes: 100, uncommitted_bytes_max: 200, ..OutboxSettings::default() };
    let sink = MemorySink::new().with_outboxes(settings);
    let mut shard = Shard::open(&sink, "abc", 0).expect("open");
    let value = "x".repeat(60);
    let mut rooms = vec![shard.room()];
    for _ in 0..3 {
        shard.write(&[&value]).expect("written");
        rooms.push(shard.room());
    }
    assert_eq!(rooms, [Room::Enough, Room::Enough, Room::Little, Room::Exhausted]);
    let first = shard.stage(1).expect("staged");
    assert_eq!(shard.room(), Room::Exhausted, "it waits for its commit");
    shard.write(&[&value]).expect("written");
    shard.commit(&first).expect("committed");
    assert_eq!(shard.room(), Room::Enough);
    shard.write(&["y"]).expect("written");
    assert_eq!(shard.room(), Room::Little);
}

#[test]
fn a_large_one_is_a_file_until_it_is_committed() {
    let folder = TempDir::new().expect("a folder");
    let sink = spilling(&folder);
    let mut shard = Shard::open(&sink, "abc", 0).expect("open");
    shard.write(&["1"]).expect("written");
    shard.write(&["2", "3"]).expect("written");
    let handle = shard.stage(1).expect("staged");
    assert!(handle.0.len() < 300, "the handle only names it");
    assert!(folder.path().join(".outbox-abc-0-1-1-0-out.staged").exists());
    shard.commit(&handle).expect("committed");
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 0);
    assert_eq!(sink.committed().iter().map(|record| record.text().to_owned()).collect::<Vec<_>>(), ["1", "2", "3"]);
}

#[test]
fn a_damaged_one_is_never_committed() {
    let folder = TempDir::new().expect("a folder");
    let sink = spilling(&folder);
    let mut shard = Shard::open(&sink, "abc", 0).expect("open");
    shard.write(&["1"]).expect("written");
    let handle = shard.stage(1).expect("staged");
    let path = folder.path().join(".outbox-abc-0-1-1-0-out.staged");
    let whole = fs::read(&path).expect("a file");
    for damaged in [&whole[..whole.len() - 1], &[whole.as_slice(), b"x"].concat(), &vec![0; whole.len()]] {
        fs::write(&path, damaged).expect("a file");
        let error = shard.commit(&handle).expect_err("it is damaged").to_string();
        assert!(error.contains("is not what was staged"), "{error}");
    }
    fs::remove_file(&path).expect("removed");
    let error = shard.commit(&handle).expect_err("it is gone").to_string();
    assert!(error.contains("cannot read "), "{error}");

    let sink = MemorySink::new();
    let mut shard = Shard::open(&sink, "abc", 0).expect("open");
    shard.write(&["1"]).expect("written");
    let StageHandle(mut bytes) = shard.stage(1).expect("staged");
    *bytes.last_mut().expect("not empty") ^= 1;
    let error = shard.commit(&StageHandle(bytes)).expect_err("it is damaged").to_string();
    assert!(error.contains("the outbox in the snapshot is not what was staged"), "{error}");
    let error = shard.commit(&StageHandle(b"{\"staged\":\"a\"}".to_vec())).expect_err("of a file sink").to_string();
    assert!(error.contains("this sink was of another kind"), "{error}");
    assert_eq!(sink.committed(), []);
}

#[test]
fn files_of_earlier_attempts_that_no_snapshot_names_are_removed() {
    let folder = TempDir::new().expect("a folder");
    let sink = spilling(&folder);
    let mut first = Shard::open(&sink, "abc", 0).expect("open");
    first.write(&["1"]).expect("written");
    let named = first.stage(1).expect("staged");
    first.write(&["2"]).expect("written");
    first.stage(2).expect("staged");
    first.write(&["3"]).expect("written");
    let park = Park::new();
    let context = SinkContext { attempt: 2, ..context("abc", 0, &park) };
    Shard::reopen(&sink, context, park, &[named]).expect("recovered");
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 0);
    assert_eq!(sink.committed().len(), 1);
    first.stage(3).expect_err("its file has been removed");
}
