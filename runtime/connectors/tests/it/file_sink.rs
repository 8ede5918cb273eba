//! Sink `file`: what becomes visible, when, and what is left of a job that died.

use crate::harness::{Shard, sink};
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;
use tidewheel_connectors::{ConnectorError, Sink, StageHandle};

fn file_sink(folder: &TempDir) -> Arc<dyn Sink> {
    sink("file", "path = 'out'", folder.path()).expect("a sink")
}

/// Names and contents of the files in `out`, in order; hidden ones too.
fn files(folder: &TempDir) -> Vec<(String, String)> {
    let entries = fs::read_dir(folder.path().join("out")).expect("a folder");
    let mut files: Vec<_> = entries
        .map(|entry| {
            let entry = entry.expect("an entry");
            let content = fs::read_to_string(entry.path()).expect("a file");
            (entry.file_name().into_string().expect("a name"), content)
        })
        .collect();
    files.sort();
    files
}

fn named(name: &str, content: &str) -> (String, String) {
    (name.to_owned(), content.to_owned())
}

#[test]
fn output_is_visible_when_it_is_committed() {
    let folder = TempDir::new().expect("a folder");
    let sink = file_sink(&folder);
    let mut shard = Shard::open(sink.as_ref(), "abc", 3).expect("open");
    shard.write(&["1", "2"]).expect("written");
    shard.write(&["3"]).expect("written");
    let handle = shard.stage(7).expect("staged");
    assert_eq!(files(&folder), [named(".part-abc-3-7-1.staged", "1\n2\n3\n")]);
    shard.write(&["4"]).expect("written");
    shard.commit(&handle).expect("committed");
    let handle_8 = shard.stage(8).expect("staged");
    assert_eq!(files(&folder), [named(".part-abc-3-8-1.staged", "4\n"), named("part-abc-3-7.jsonl", "1\n2\n3\n")]);
    shard.commit(&handle_8).expect("committed");
    shard.commit(&handle).expect("a second commit does no harm");
    assert_eq!(files(&folder), [named("part-abc-3-7.jsonl", "1\n2\n3\n"), named("part-abc-3-8.jsonl", "4\n")]);
}

#[test]
fn another_start_commits_what_the_first_one_staged() {
    let folder = TempDir::new().expect("a folder");
    let mut first = Shard::open(file_sink(&folder).as_ref(), "abc", 0).expect("open");
    first.write(&["1"]).expect("written");
    let handle = first.stage(1).expect("staged");
    drop(first);
    let mut second = Shard::open(file_sink(&folder).as_ref(), "abc", 5).expect("open");
    second.commit(&handle).expect("committed");
    assert_eq!(files(&folder), [named("part-abc-0-1.jsonl", "1\n")]);
    fs::remove_file(folder.path().join("out/part-abc-0-1.jsonl")).expect("taken away");
    second.commit(&handle).expect("a file that was committed and taken away is no error");
}

#[test]
fn an_empty_shard_commits_no_file() {
    let folder = TempDir::new().expect("a folder");
    let mut shard = Shard::open(file_sink(&folder).as_ref(), "abc", 0).expect("open");
    shard.write(&[]).expect("written");
    assert_eq!(shard.try_stage(1).expect("staged"), None);
    assert_eq!(files(&folder), []);
}

#[test]
fn nothing_is_overwritten() {
    let folder = TempDir::new().expect("a folder");
    let mut shard = Shard::open(file_sink(&folder).as_ref(), "abc", 0).expect("open");
    shard.write(&["1"]).expect("written");
    let handle = shard.stage(1).expect("staged");
    fs::write(folder.path().join("out/part-abc-0-1.jsonl"), "mine").expect("a file");
    let error = shard.commit(&handle).expect_err("the name is taken");
    assert!(matches!(error, ConnectorError::CommitFailed { .. }), "{error}");
    assert!(!error.is_indeterminate());
    assert_eq!(files(&folder), [named(".part-abc-0-1-1.staged", "1\n"), named("part-abc-0-1.jsonl", "mine")]);
}

#[test]
fn a_handle_of_something_else_is_refused() {
    let folder = TempDir::new().expect("a folder");
    for handle in ["garbage", r#"{"staged":"../a","committed":"b"}"#, r#"{"staged":"a","committed":"/b"}"#] {
        let mut shard = Shard::open(file_sink(&folder).as_ref(), "abc", 0).expect("open");
        let error = shard.commit(&StageHandle(handle.into())).expect_err("no part");
        assert!(matches!(error, ConnectorError::CommitFailed { .. }), "{error}");
    }
}

#[test]
fn leftovers_of_the_dead_are_removed_and_nothing_of_the_living() {
    let folder = TempDir::new().expect("a folder");
    let out = folder.path().join("out");
    fs::create_dir(&out).expect("a folder");
    for name in [".part-dead-0-1-0.open", ".part-dead-0-1.staged", ".other.open", "part-dead-0-0.jsonl"] {
        fs::write(out.join(name), "x").expect("a file");
    }
    fs::write(out.join(".part-living-0-1-0.open"), "x").expect("a file");
    let living = File::open(out.join(".part-living-0-1-0.open")).expect("a file");
    living.lock().expect("locked");

    let mut alive = Shard::open(file_sink(&folder).as_ref(), "abc", 0).expect("open");
    alive.write(&["1"]).expect("written");
    // A second job starts beside the first; both go on.
    let mut beside = Shard::open(file_sink(&folder).as_ref(), "def", 0).expect("open");
    beside.write(&["2"]).expect("written");
    for shard in [&mut alive, &mut beside] {
        let handle = shard.stage(1).expect("staged");
        shard.commit(&handle).expect("committed");
    }
    let names: Vec<String> = files(&folder).into_iter().map(|(name, _)| name).collect();
    let expected = [
        ".other.open",
        ".part-dead-0-1.staged",
        ".part-living-0-1-0.open",
        "part-abc-0-1.jsonl",
        "part-dead-0-0.jsonl",
        "part-def-0-1.jsonl",
    ];
    assert_eq!(names, expected);
}

#[test]
fn values_that_are_no_lines_are_errors_with_their_origin() {
    let folder = TempDir::new().expect("a folder");
    let error = |values: &[&str]| {
        let mut shard = Shard::open(file_sink(&folder).as_ref(), "abc", 0).expect("open");
        shard.write(values).and_then(|()| shard.stage(1)).expect_err("an error").to_string()
    };
    let line_end = error(&["1", "a\nb"]);
    assert!(line_end.starts_with("cannot write a record of source 1, split 2, offset 1: "), "{line_end}");
    let names: Vec<String> = files(&folder).into_iter().map(|(name, _)| name).collect();
    assert!(names.iter().all(|name| name.starts_with('.')), "nothing is visible: {names:?}");
}

#[test]
fn lines_have_an_ending_of_their_own() {
    let folder = TempDir::new().expect("a folder");
    let sink = sink("file", "path = 'out'\nformat = 'lines'", folder.path()).expect("a sink");
    let mut shard = Shard::open(sink.as_ref(), "abc", 0).expect("open");
    shard.write(&["plain"]).expect("written");
    let handle = shard.stage(1).expect("staged");
    shard.commit(&handle).expect("committed");
    assert_eq!(files(&folder), [named("part-abc-0-1.txt", "plain\n")]);
}

#[test]
fn a_folder_that_cannot_be_made_is_found_at_once() {
    let folder = TempDir::new().expect("a folder");
    fs::write(folder.path().join("out"), "a file").expect("a file");
    let error = Shard::open(file_sink(&folder).as_ref(), "abc", 0).err().expect("an error").to_string();
    assert!(error.starts_with("cannot create ") && error.contains("path has to be a folder"), "{error}");
}

#[test]
fn many_batches_pass_through_the_queue_in_order() {
    let folder = TempDir::new().expect("a folder");
    let mut shard = Shard::open(file_sink(&folder).as_ref(), "abc", 0).expect("open");
    let mut expected = String::new();
    for number in 0..500 {
        let value = number.to_string();
        shard.write(&[&value, "x"]).expect("written");
        expected.push_str(&format!("{value}\nx\n"));
    }
    let handle = shard.stage(1).expect("staged");
    shard.commit(&handle).expect("committed");
    assert_eq!(files(&folder), [named("part-abc-0-1.jsonl", &expected)]);
}

#[test]
fn a_failed_write_is_told_at_the_next_call() {
    let folder = TempDir::new().expect("a folder");
    let mut shard = Shard::open(file_sink(&folder).as_ref(), "abc", 0).expect("open");
    make_unusable(&folder.path().join("out"));
    let error = shard.write(&["1"]).and_then(|()| shard.stage(1)).expect_err("an error");
    assert!(matches!(error, ConnectorError::Open { .. }), "{error}");
    let after = shard.stage(1).expect_err("it stays failed");
    assert!(matches!(after, ConnectorError::Stopped { .. }), "{after}");
}

/// Puts a file in the place of an empty folder: not even the superuser can create a file in it.
fn make_unusable(folder: &Path) {
    fs::remove_dir(folder).expect("an empty folder");
    fs::write(folder, "").expect("a file");
    fs::set_permissions(folder, fs::Permissions::from_mode(0o444)).expect("permissions");
}
