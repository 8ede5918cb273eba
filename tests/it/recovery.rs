//! A job with checkpoints as a user has it: killed again and again, stopped, started from a savepoint, with other numbers
//! of workers. What it commits is what a job commits that nothing happens to, record for record.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tidewheel_tests::{Ended, folder_with, python, repo_root, run, tidewheel};

/// Longer than anything here takes, on a busy machine too: what takes longer hangs.
const TIMEOUT: Duration = Duration::from_secs(120);

/// Events of the job, of which 92 % are bids.
const EVENTS: u64 = 300_000;

/// A job that counts bids per bidder, with state that rides along, and bids per bidder and window, with timers, and
/// writes both to files. `rate` is a line of its source, or nothing.
pub(crate) fn job(backend: &str, rate: &str) -> String {
    let examples = repo_root().join("guest-examples/nexmark");
    format!(
        r#"name = "kill-me"

[sources.bids]
connector = "nexmark"
events = ["bid"]
events-max = {EVENTS}
keyspace = 2000
splits = 3
{rate}
[operators.count]
component = '{qk}'
input = "bids"
key = {{ bytes = "9..17" }}
config = {{ results = "json" }}

[operators.per-window]
component = '{q12}'
input = "bids"
key = {{ bytes = "9..17" }}
window = {{ tumbling = "1s" }}
config = {{ results = "json" }}

[sinks.counts]
connector = "file"
input = "count"
path = "counts/"

[sinks.windows]
connector = "file"
input = "per-window"
path = "windows/"

[checkpoint]
interval = "50ms"

[state]
backend = "{backend}"

[restart]
strategy = "fixed"
delay = "10ms"
"#,
        qk = examples.join("qk.wasm").display(),
        q12 = examples.join("q12.wasm").display(),
    )
}

/// The lines of all finished files of a sink, sorted. Unfinished ones are hidden.
fn committed(folder: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    for entry in fs::read_dir(folder).expect("the sink has made its folder") {
        let path = entry.expect("an entry").path();
        if !path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.')) {
            lines.extend(fs::read_to_string(path).expect("a finished file is text").lines().map(str::to_owned));
        }
    }
    lines.sort();
    lines
}

/// What both sinks have committed.
pub(crate) fn results(folder: &Path) -> [Vec<String>; 2] {
    [committed(&folder.join("counts")), committed(&folder.join("windows"))]
}

/// What a job commits that nothing happens to.
pub(crate) fn expected() -> [Vec<String>; 2] {
    let folder = folder_with(&[("job.toml", &job("memory", ""))]);
    succeed(&run(folder.path(), &["run", "job.toml", "--quiet"]));
    let results = results(folder.path());
    assert!(results.iter().all(|lines| lines.len() > 1000), "there is something to lose");
    results
}

#[track_caller]
fn succeed(ended: &Ended) {
    assert_eq!(ended.code, 0, "{}", ended.stderr);
}

#[track_caller]
pub(crate) fn assert_same(found: &[Vec<String>; 2], expected: &[Vec<String>; 2]) {
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(found.len(), expected.len(), "records are lost or doubled");
        assert!(found == expected, "records are not what they should be");
    }
}

/// A job under way; ended when dropped.
pub(crate) struct Running {
    supervisor: Child,
}

impl Running {
    pub(crate) fn start(folder: &Path, arguments: &[&str]) -> Running {
        Running::start_by(tidewheel(), folder, arguments)
    }

    /// Starts it by `command`, which is the program or runs it.
    pub(crate) fn start_by(mut command: Command, folder: &Path, arguments: &[&str]) -> Running {
        command.args(["run", "job.toml", "--quiet"]).args(arguments).current_dir(folder);
        let stderr = fs::File::create(folder.join("stderr")).expect("a file");
        Running { supervisor: command.stderr(stderr).spawn().expect("the program starts") }
    }

    /// The worker processes that run now.
    pub(crate) fn workers(&self) -> Vec<u32> {
        let pid = self.supervisor.id();
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        let children = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
        children.flat_map(|pids| pids.split_whitespace().map(|pid| pid.parse().unwrap()).collect::<Vec<_>>()).collect()
    }

    fn has_ended(&mut self) -> bool {
        self.supervisor.try_wait().expect("a child can be waited for").is_some()
    }

    /// Waits for the end, which is a good one.
    pub(crate) fn wait(mut self, folder: &Path) {
        wait_until("the job has ended", || self.has_ended());
        let status = self.supervisor.wait().expect("it has ended");
        assert!(status.success(), "{}", fs::read_to_string(folder.join("stderr")).unwrap_or_default());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Its workers die with it.
        let _ = self.supervisor.kill();
        let _ = self.supervisor.wait();
    }
}

#[track_caller]
pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < TIMEOUT, "waited in vain until {what}");
        std::thread::park_timeout(Duration::from_millis(2));
    }
}

pub(crate) fn kill(pid: u32) {
    // One that has just ended needs none.
    let _ = Command::new("kill").args(["-KILL", &pid.to_string()]).stderr(Stdio::null()).status();
}

/// Number of finished files of a sink.
pub(crate) fn parts(folder: &Path) -> usize {
    let entries = fs::read_dir(folder.join("counts")).into_iter().flatten().flatten();
    entries.filter(|entry| !entry.file_name().to_string_lossy().starts_with('.')).count()
}

/// Kills one of the worker processes, in turn, each time something more has been committed, `kills` times.
fn check_kills(backend: &str, workers: &str, processes: usize, kills: usize) {
    let folder = folder_with(&[("job.toml", &job(backend, "rate = 100000"))]);
    let arguments = ["--workers", workers, "--processes", &processes.to_string()];
    let mut running = Running::start(folder.path(), &arguments);
    let mut killed = 0;
    let mut seen = 0;
    while killed < kills && !running.has_ended() {
        wait_until("something more is committed", || parts(folder.path()) > seen || running.has_ended());
        seen = parts(folder.path());
        if let Some(&worker) = running.workers().get(killed % processes) {
            kill(worker);
            killed += 1;
            wait_until("another attempt runs", || {
                let workers = running.workers();
                running.has_ended() || workers.len() == processes && !workers.contains(&worker)
            });
        }
    }
    assert!(killed >= kills.min(3), "killed only {killed} times");
    running.wait(folder.path());
    assert_same(&results(folder.path()), &expected());
}

#[test]
fn what_is_committed_is_the_same_however_often_a_worker_process_is_killed() {
    check_kills("memory", "1", 1, 8);
}

#[test]
fn the_same_with_two_workers() {
    check_kills("memory", "2", 1, 5);
}

#[test]
fn the_same_with_state_in_rocksdb() {
    check_kills("rocksdb", "1", 1, 5);
}

#[test]
fn the_same_with_several_processes() {
    check_kills("memory", "1", 2, 5);
    check_kills("rocksdb", "2", 2, 3);
}

/// Runs the program in `folder` and gives what it writes to stdout.
#[track_caller]
pub(crate) fn tell(folder: &Path, arguments: &[&str]) -> String {
    let ended = run(folder, arguments);
    succeed(&ended);
    ended.stdout
}

/// The URL of a savepoint, as `--json` tells it.
fn url(json: &str) -> String {
    let told: serde_json::Value = serde_json::from_str(json).expect("one JSON object");
    told["url"].as_str().expect("the URL of the savepoint").to_owned()
}

/// Stopped with a savepoint again and again, and each time started from it with other numbers of workers and processes, or
/// with another backend.
#[test]
fn a_job_goes_on_from_its_savepoints_with_any_number_of_workers_and_processes_and_any_backend() {
    let folder = folder_with(&[("job.toml", &job("memory", "rate = 30000"))]);
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
