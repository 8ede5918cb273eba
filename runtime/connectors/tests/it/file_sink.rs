//! Sink `file`: what becomes visible, when, and what is left of a job that died.

use crate::harness::{Park, Shard, context, sink};
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;
use tidewheel_connectors::{ConnectorError, Sink, SinkContext, StageHandle};

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
    assert_eq!(files(&folder), [named(".part-abc-3-7-1-out.staged", "1\n2\n3\n")]);
    shard.write(&["4"]).expect("written");
    shard.commit(&handle).expect("committed");
    let handle_8 = shard.stage(8).expect("staged");
    assert_eq!(files(&folder), [named(".part-abc-3-8-1-out.staged", "4\n"), named("part-abc-3-7.jsonl", "1\n2\n3\n")]);
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
    assert_eq!(files(&folder), [named(".part-abc-0-1-1-out.staged", "1\n"), named("part-abc-0-1.jsonl", "mine")]);
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

/// The context of shard `shard` of `shards` in attempt `attempt` of the job `abc`.
fn attempt(attempt: u64, shard: usize, shards: usize, park: &Park) -> SinkContext {
    SinkContext { attempt, shards, ..context("abc", shard, park) }
}

/// A shard of an attempt that has recovered with `staged`.
fn recovered(
    folder: &TempDir,
    number: u64,
    (shard, shards): (usize, usize),
    staged: &[StageHandle],
) -> Result<Shard, ConnectorError> {
    let park = Park::new();
    let context = SinkContext { has_unsettled: !staged.is_empty(), ..attempt(number, shard, shards, &park) };
    Shard::reopen(file_sink(folder).as_ref(), context, park, staged)
}

fn names(folder: &TempDir) -> Vec<String> {
    files(folder).into_iter().map(|(name, _)| name).collect()
}

#[test]
fn two_attempts_never_touch_each_others_files() {
    let folder = TempDir::new().expect("a folder");
    let mut zombie = recovered(&folder, 1, (0, 1), &[]).expect("recovered");
    zombie.write(&["1"]).expect("written");
    let first = zombie.stage(1).expect("staged");
    // Checkpoint 1 is complete and not committed; what comes after it is lost with the attempt.
    zombie.write(&["\"zombie\""]).expect("written");
    let mut next = recovered(&folder, 2, (0, 1), std::slice::from_ref(&first)).expect("recovered");
    next.write(&["2"]).expect("written");
    let of_zombie = zombie.stage(2).expect("it does not know");
    let second = next.stage(2).expect("staged");
    assert_ne!(of_zombie, second);
    let error = zombie.commit(&first).expect_err("a later attempt has committed it").to_string();
    assert!(error.contains("a later start of the job has committed it"), "{error}");
    next.commit(&second).expect("committed");
    let visible = [named("part-abc-0-1.jsonl", "1\n"), named("part-abc-0-2.jsonl", "2\n")];
    assert_eq!(files(&folder)[1..], visible);
    assert_eq!(names(&folder)[0], ".part-abc-0-2-1-out.staged");
    drop((zombie, next));
    recovered(&folder, 3, (0, 1), &[second]).expect("recovered");
    assert_eq!(files(&folder), visible, "what the zombie had staged is removed");
}

#[test]
fn a_later_attempt_adopts_the_shards_of_more_tasks_and_drops_what_no_snapshot_names() {
    let folder = TempDir::new().expect("a folder");
    let mut named_by_snapshot = Vec::new();
    for shard in 0..5 {
        let mut writer = recovered(&folder, 1, (shard, 5), &[]).expect("recovered");
        writer.write(&[&shard.to_string()]).expect("written");
        named_by_snapshot.push(writer.stage(1).expect("staged"));
        writer.write(&["\"lost\""]).expect("written");
        writer.stage(2).expect("staged for a checkpoint that is never complete");
    }
    let handles = |shards: &[usize]| shards.iter().map(|&shard| named_by_snapshot[shard].clone()).collect::<Vec<_>>();
    recovered(&folder, 2, (0, 2), &handles(&[0, 2, 4])).expect("recovered");
    let left = [1, 3].map(|shard| format!(".part-abc-{shard}-1-1-out.staged"));
    let dropped = [1, 3].map(|shard| format!(".part-abc-{shard}-2-1-out.staged"));
    let expected: Vec<&str> = [&left[0], &dropped[0], &left[1], &dropped[1]].map(String::as_str).to_vec();
    assert_eq!(names(&folder)[..4], expected, "the other task's are left to it");
    recovered(&folder, 2, (1, 2), &handles(&[1, 3])).expect("recovered");
    let expected: Vec<_> =
        (0..5).map(|shard| named(&format!("part-abc-{shard}-1.jsonl"), &format!("{shard}\n"))).collect();
    assert_eq!(files(&folder), expected);
}

#[test]
fn what_a_consumer_has_taken_away_is_not_written_again() {
    let folder = TempDir::new().expect("a folder");
    let mut first = recovered(&folder, 1, (0, 1), &[]).expect("recovered");
    first.write(&["1"]).expect("written");
    let handle = first.stage(1).expect("staged");
    first.commit(&handle).expect("committed");
    fs::remove_file(folder.path().join("out/part-abc-0-1.jsonl")).expect("taken away");
    recovered(&folder, 2, (0, 1), &[handle]).expect("it was committed");
    assert_eq!(files(&folder), []);
}

#[test]
fn other_sinks_and_other_jobs_are_left_alone() {
    let folder = TempDir::new().expect("a folder");
    fs::create_dir(folder.path().join("out")).expect("a folder");
    let others = [".part-abc-0-1-1-other.staged", ".part-abc-0-1-9-out.staged", ".part-xyz-0-1-1-out.staged"];
    for name in others {
        fs::write(folder.path().join("out").join(name), "x").expect("a file");
    }
    recovered(&folder, 2, (0, 1), &[]).expect("recovered");
    assert_eq!(names(&folder), others);
}

#[test]
fn a_staged_file_that_somebody_removes_is_an_error() {
    let folder = TempDir::new().expect("a folder");
    let mut shard = recovered(&folder, 1, (0, 1), &[]).expect("recovered");
    shard.write(&["1"]).expect("written");
    let handle = shard.stage(1).expect("staged");
    fs::remove_file(folder.path().join("out/.part-abc-0-1-1-out.staged")).expect("removed");
    let error = shard.commit(&handle).expect_err("it is not there").to_string();
    assert!(error.contains("its staged file .part-abc-0-1-1-out.staged is gone"), "{error}");
}

#[test]
fn a_folder_that_is_removed_under_way_is_an_error_with_the_way_out() {
    let folder = TempDir::new().expect("a folder");
    let mut shard = recovered(&folder, 1, (0, 1), &[]).expect("recovered");
    shard.write(&["1"]).expect("written");
    let handle = shard.stage(1).expect("staged");
    fs::remove_dir_all(folder.path().join("out")).expect("removed");
    let error = shard.commit(&handle).expect_err("the folder is gone").to_string();
    assert!(error.contains("the sink's folder has been removed under way"), "{error}");

    // However often it is started, by itself or by hand: it does not make the folder itself.
    for number in 2..5 {
        let error = recovered(&folder, number, (0, 1), std::slice::from_ref(&handle)).err().expect("nobody knows");
        assert!(!error.is_retryable(), "{error}");
        assert!(error.to_string().contains("if its files have been taken over, make it anew, empty"), "{error}");
        // Another task has nothing to settle; the sink has.
        let park = Park::new();
        let other = SinkContext { has_unsettled: true, ..attempt(number, 1, 2, &park) };
        let error = Shard::reopen(file_sink(&folder).as_ref(), other, park, &[]).err().expect("nobody knows");
        assert!(matches!(error, ConnectorError::FolderLost { .. }), "{error}");
    }
    fs::create_dir(folder.path().join("out")).expect("a folder");
    recovered(&folder, 5, (0, 1), &[handle]).expect("the folder has been made anew");

    let mut shard = recovered(&folder, 6, (0, 1), &[]).expect("recovered");
    fs::remove_dir_all(folder.path().join("out")).expect("removed");
    let error = shard.write(&["1"]).and_then(|()| shard.stage(2)).expect_err("no folder").to_string();
    assert!(error.contains("the sink's folder has been removed under way"), "{error}");
}
