//! A job with checkpoints as a user has it: stopped, started from a savepoint, with other numbers of workers, its
//! supervisor killed, its checkpoints damaged. How it survives kills and zombies is in `survival.rs`.

use std::fs;
use std::path::Path;
use std::process::Command;
use tidewheel_tests::survival::{self, Results, Running, committed, difference, finished, results, wait_until};
use tidewheel_tests::{Ended, folder_with, python, repo_root, run};

/// Events of the job.
const EVENTS: u64 = 300_000;

/// The job, with a line of its source.
pub(crate) fn job(backend: &str, rate: &str) -> String {
    survival::job(backend, EVENTS, rate)
}

/// What it commits that nothing happens to.
pub(crate) fn expected() -> Results {
    survival::expected(EVENTS)
}

#[track_caller]
fn succeed(ended: &Ended) {
    assert_eq!(ended.code, 0, "{}", ended.stderr);
}

#[track_caller]
pub(crate) fn assert_same(found: &Results, expected: &Results) {
    assert_eq!(difference(found, expected), None);
}

/// Number of finished files of a sink.
pub(crate) fn parts(folder: &Path) -> usize {
    finished(&folder.join("counts")).len()
}

/// Runs the program in `folder` and gives what it writes to stdout.
#[track_caller]
pub(crate) fn tell(folder: &Path, arguments: &[&str]) -> String {
    let ended = run(folder, arguments);
    succeed(&ended);
    ended.stdout
}

/// The URL of a savepoint, as `--json` tells it.
pub(crate) fn url(json: &str) -> String {
    let told: serde_json::Value = serde_json::from_str(json).expect("one JSON object");
    told["url"].as_str().expect("the URL of the savepoint").to_owned()
}

/// Stopped with a savepoint again and again, and each time started from it with other numbers of workers and processes, or
/// with another backend.
#[test]
fn a_job_goes_on_from_its_savepoints_with_any_number_of_workers_and_processes_and_any_backend() {
    let folder = folder_with(&[("job.toml", &job("memory", "rate = 10000"))]);
    let mut savepoint: Option<String> = None;
    for (workers, processes, backend) in
        [("1", "1", "memory"), ("1", "2", "rocksdb"), ("3", "1", "memory"), ("2", "2", "memory")]
    {
        let data = format!("data-{workers}-{processes}");
        let backend = format!("state.backend={backend}");
        let mut arguments =
            vec!["--workers", workers, "--processes", processes, "--data-dir", &data, "--set", &backend];
        if let Some(url) = &savepoint {
            arguments.extend(["--from-savepoint", url]);
        }
        let before = parts(folder.path());
        let running = Running::start(folder.path(), &arguments);
        wait_until("it has committed something", || parts(folder.path()) > before + 2);
        savepoint = Some(url(&tell(folder.path(), &["stop", &data, "--savepoint", "--json"])));
        running.wait(folder.path());
    }
    let last = savepoint.expect("a savepoint");
    let arguments = ["run", "job.toml", "--quiet", "--data-dir", "last", "--set", "sources.bids.rate=10000000"];
    succeed(&run(folder.path(), &[&arguments[..], &["--from-savepoint", &last]].concat()));
    assert_same(&results(folder.path()), &expected());
}

/// A place that cannot be written to is found before anything stops.
#[test]
fn a_savepoint_that_has_no_place_costs_the_job_nothing() {
    let spec =
        job("memory", "rate = 100000").replace("interval = \"50ms\"", "interval = \"50ms\"\ntolerable-failures = 0");
    let folder = folder_with(&[("job.toml", &spec), ("a-file", "")]);
    let running = Running::start(folder.path(), &[]);
    wait_until("it has committed something", || parts(folder.path()) > 2);
    for command in [&["savepoint"][..], &["stop", "--savepoint"], &["stop", "--savepoint", "--drain"]] {
        let ended = run(folder.path(), &[command, &[".tidewheel/kill-me", "--to", "a-file/savepoints"]].concat());
        assert_ne!(ended.code, 0);
        assert!(ended.stderr.contains("a-file"), "{}", ended.stderr);
    }
    running.wait(folder.path());
    assert_same(&results(folder.path()), &expected());
    let told = fs::read_to_string(folder.path().join("stderr")).expect("text");
    assert!(!told.contains("starting again"), "{told}");
}

/// Without a savepoint a job that was stopped goes on where it was.
#[test]
fn a_job_that_was_stopped_goes_on_from_its_last_checkpoint() {
    let folder = folder_with(&[("job.toml", &job("memory", "rate = 100000"))]);
    let running = Running::start(folder.path(), &[]);
    wait_until("it has committed something", || parts(folder.path()) > 2);
    tell(folder.path(), &["stop", ".tidewheel/kill-me"]);
    running.wait(folder.path());
    succeed(&run(folder.path(), &["run", "job.toml", "--quiet"]));
    assert_same(&results(folder.path()), &expected());
}

/// Reads all rows of a savepoint, and prints per operator, state and kind how many there are, and the first key.
const READ_WITH_PYARROW: &str = r#"
import collections, glob, sys
import pyarrow.parquet as parquet

counts = collections.Counter()
columns = None
for file in sorted(glob.glob(sys.argv[1] + "/rows/*.parquet")):
    table = parquet.read_table(file)
    columns = table.column_names
    for row in table.to_pylist():
        assert isinstance(row["key"], bytes) and len(row["key"]) == 8, row
        assert 0 <= row["key_group"] < 128 and row["expiry"] is None, row
        counts[row["operator"], row["state"], row["kind"]] += 1
print(" ".join(columns))
for (operator, state, kind), rows in sorted(counts.items()):
    print(operator, state, kind, rows)
"#;

/// A savepoint belongs to the user, who reads it with what they have.
#[test]
fn a_savepoint_is_read_by_others() {
    let folder = folder_with(&[("job.toml", &job("memory", "rate = 100000")), ("read.py", READ_WITH_PYARROW)]);
    let running = Running::start(folder.path(), &[]);
    wait_until("it has committed something", || parts(folder.path()) > 2);
    let url = url(&tell(folder.path(), &["stop", ".tidewheel/kill-me", "--savepoint", "--json"]));
    running.wait(folder.path());
    let read = Command::new(python()).args(["read.py", &url]).current_dir(folder.path()).output().expect("Python runs");
    assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    let told = String::from_utf8(read.stdout).expect("text");
    let mut lines = told.lines();
    assert_eq!(lines.next(), Some("operator state kind key_group key namespace user_key schema_version value expiry"));
    let mut found: Vec<(String, usize)> = Vec::new();
    for line in lines {
        let (name, rows) = line.rsplit_once(' ').expect("a count");
        found.push((name.to_owned(), rows.parse().expect("a number")));
    }
    let counted = tell(folder.path(), &["state", "count", "count.count", "--savepoint", &url, "--json"]);
    let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names[0], "count count value", "{told}");
    assert!(names.contains(&"per-window timers timers"), "windows have timers: {told}");
    assert!(found.iter().all(|(_, rows)| *rows > 0));
    assert!(counted.contains(&found[0].1.to_string()), "the command line counts the same: {counted}");
}

/// The supervisor is killed: its worker process does not go on without it, and whoever runs the job again goes on from the
/// last checkpoint. A consumer has moved away what was finished by then, and gets none of it twice.
#[test]
fn a_supervisor_that_is_killed_takes_its_workers_along() {
    let folder = folder_with(&[("job.toml", &job("memory", "rate = 100000"))]);
    let running = Running::start(folder.path(), &[]);
    wait_until("it has committed something", || parts(folder.path()) > 2);
    let workers = running.workers();
    drop(running);
    assert!(!workers.is_empty());
    wait_until("its worker processes have ended", || {
        workers.iter().all(|pid| !Path::new(&format!("/proc/{pid}")).exists())
    });
    let consumed = folder.path().join("consumed");
    fs::create_dir(&consumed).expect("a folder");
    for entry in fs::read_dir(folder.path().join("counts")).expect("the sink's folder").flatten() {
        if !entry.file_name().to_string_lossy().starts_with('.') {
            fs::rename(entry.path(), consumed.join(entry.file_name())).expect("the consumer takes the file");
        }
    }
    succeed(&run(folder.path(), &["run", "job.toml", "--quiet"]));
    let [mut counts, windows] = results(folder.path());
    counts.extend(committed(&consumed));
    counts.sort();
    assert_same(&[counts, windows], &expected());
}

/// Copies a folder with all that is in it.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder").flatten() {
        let target = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy(&entry.path(), &target),
            false => _ = fs::copy(entry.path(), target).expect("a file can be copied"),
        }
    }
}

/// Bytes that the first version has written, with state, timers and positions in them.
#[test]
fn the_checkpoint_of_the_first_version_is_restored() {
    let fixture = repo_root().join("tests/fixtures/checkpoint-v1");
    let spec = fs::read_to_string(fixture.join("job.toml")).expect("the fixture is there");
    let [qk, q12] = ["qk", "q12"].map(|name| repo_root().join(format!("guest-examples/nexmark/{name}.wasm")));
    let settings = [
        format!("operators.count.component={}", qk.display()),
        format!("operators.per-window.component={}", q12.display()),
        "sources.bids.rate=1000000".to_owned(),
    ];
    let arguments = ["run", "job.toml", "--quiet", "--set", &settings[0], "--set", &settings[1], "--set", &settings[2]];
    let [restored, anew] = [(); 2].map(|()| folder_with(&[("job.toml", &spec)]));
    copy(&fixture.join("checkpoints"), &restored.path().join(".tidewheel/fixture/checkpoints"));
    // What was committed before has been taken over by somebody.
    for sink in ["counts", "windows"] {
        fs::create_dir(restored.path().join(sink)).expect("a folder");
    }
    succeed(&run(restored.path(), &arguments));
    succeed(&run(anew.path(), &arguments));
    let [[counts, windows], [all_counts, all_windows]] = [results(restored.path()), results(anew.path())];
    assert!(windows == all_windows, "a window holds what came before the checkpoint and after it");
    assert_eq!(counts.len(), all_counts.len() - 1427, "what was committed before is not committed again");
    assert!(counts.iter().all(|count| all_counts.binary_search(count).is_ok()));
}

/// What is damaged is never read as something else, and trying again does not mend it.
#[test]
fn a_damaged_checkpoint_is_an_error_that_says_what_and_where() {
    let fixture = repo_root().join("tests/fixtures/checkpoint-v1");
    let spec = fs::read_to_string(fixture.join("job.toml")).expect("the fixture is there");
    let [qk, q12] = ["qk", "q12"].map(|name| repo_root().join(format!("guest-examples/nexmark/{name}.wasm")));
    let spec = spec.replace("qk.wasm", &qk.display().to_string()).replace("q12.wasm", &q12.display().to_string());
    for (folder, damage) in [("files", "bit"), ("files", "cut"), ("files", "gone"), ("slots", "bit"), ("slots", "cut")]
    {
        let job = folder_with(&[("job.toml", &spec)]);
        let checkpoints = job.path().join(".tidewheel/fixture/checkpoints");
        copy(&fixture.join("checkpoints"), &checkpoints);
        let mut files: Vec<_> = fs::read_dir(checkpoints.join(folder)).expect("files").flatten().collect();
        files.sort_by_key(fs::DirEntry::file_name);
        let newest = files.last().expect("there is one").path();
        let mut bytes = fs::read(&newest).expect("a file");
        match damage {
            "bit" => {
                let middle = bytes.len() / 2;
                bytes[middle] ^= 4;
                fs::write(&newest, bytes).expect("written");
            }
            "cut" => fs::write(&newest, &bytes[..bytes.len() / 2]).expect("written"),
            _ => fs::remove_file(&newest).expect("removed"),
        }
        let ended = run(job.path(), &["run", "job.toml", "--quiet"]);
        let name = newest.file_name().expect("a name").to_string_lossy().into_owned();
        assert!(ended.code == 1 || ended.code == 2, "{folder} {damage}: {} {}", ended.code, ended.stderr);
        assert!(ended.stderr.contains(&name), "{folder} {damage} names the file: {}", ended.stderr);
        assert!(!job.path().join("counts").exists() || parts(job.path()) == 0, "nothing is published");
    }
}
