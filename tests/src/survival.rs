//! A job that is to survive: what it is made of, how it is watched and killed, and what it has to have committed.
//!
//! Its output is what a job commits that nothing happens to, record for record. [`Soak`] kills it many times.

mod soak;

pub use soak::{Outcome, Soak};

use crate::{folder_with, repo_root, run, tidewheel};
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Longer than anything here takes, on a busy machine too: what takes longer hangs.
pub const TIMEOUT: Duration = Duration::from_secs(120);

/// The folders of the job's two sinks.
pub const SINKS: [&str; 2] = ["counts", "windows"];

/// What both sinks have committed, in order.
pub type Results = [Vec<String>; 2];

/// A job that counts bids per bidder, with state that rides along, and bids per bidder and window, with timers, and
/// writes both to files. `rate` is a line of its source, or nothing; of its `events`, 92 % are bids.
pub fn job(backend: &str, events: u64, rate: &str) -> String {
    let examples = repo_root().join("guest-examples/nexmark");
    format!(
        r#"name = "kill-me"

[sources.bids]
connector = "nexmark"
events = ["bid"]
events-max = {events}
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
window = {{ tumbling = "200ms" }}
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

/// The lines of all finished files of a sink, sorted.
///
/// # Panics
/// If the folder or a file cannot be read.
pub fn committed(folder: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    for name in finished(folder) {
        let text = fs::read_to_string(folder.join(name)).expect("a finished file is text");
        lines.extend(text.lines().map(str::to_owned));
    }
    lines.sort_unstable();
    lines
}

/// The names of a sink's finished files. Unfinished ones are hidden.
pub fn finished(folder: &Path) -> Vec<String> {
    names(folder).into_iter().filter(|name| !name.starts_with('.')).collect()
}

/// The names of a sink's files that are staged and not committed.
pub fn staged(folder: &Path) -> Vec<String> {
    names(folder).into_iter().filter(|name| name.ends_with(".staged")).collect()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// What both sinks of the job in `folder` have committed.
///
/// # Panics
/// If it cannot be read.
pub fn results(folder: &Path) -> Results {
    SINKS.map(|sink| committed(&folder.join(sink)))
}

/// What a job of so many events commits that nothing happens to.
///
/// # Panics
/// If it fails.
pub fn expected(events: u64) -> Results {
    let folder = folder_with(&[("job.toml", &job("memory", events, ""))]);
    let ended = run(folder.path(), &["run", "job.toml", "--quiet"]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let results = results(folder.path());
    assert!(results.iter().all(|lines| lines.len() > 1000), "there is something to lose");
    results
}

/// What is wrong with what was found, if anything is.
pub fn difference(found: &Results, expected: &Results) -> Option<String> {
    let mut sinks = SINKS.iter().zip(found.iter().zip(expected));
    sinks.find_map(|(sink, (found, expected))| {
        if found == expected {
            return None;
        }
        let first = found.iter().zip(expected).find(|(found, expected)| found != expected);
        Some(format!(
            "sink {sink:?} has committed {} records instead of {}; the first that differ, in order, are {first:?}",
            found.len(),
            expected.len()
        ))
    })
}

/// A job under way; ended when dropped, with its worker processes.
pub struct Running {
    supervisor: Child,
    processes: usize,
}

impl Running {
    /// Runs `job.toml` in `folder`, its stderr in a file of that name beside it.
    ///
    /// # Panics
    /// If the program does not start.
    pub fn start(folder: &Path, arguments: &[&str]) -> Running {
        Running::start_with(folder, arguments, &[])
    }

    /// The same with these variables in its environment.
    ///
    /// # Panics
    /// If the program does not start.
    pub fn start_with(folder: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Running {
        let mut command = tidewheel();
        command.envs(environment.iter().copied());
        Running::start_by(command, folder, arguments)
    }

    /// Runs it by `command`, which is the program or runs it.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start_by(mut command: Command, folder: &Path, arguments: &[&str]) -> Running {
        command.args(["run", "job.toml", "--quiet"]).args(arguments).current_dir(folder);
        let stderr = fs::File::create(folder.join("stderr")).expect("a file");
        Running { supervisor: command.stderr(stderr).spawn().expect("the program starts"), processes: 1 }
    }

    /// Of a job that was started with so many worker processes.
    pub fn with_processes(mut self, processes: usize) -> Running {
        self.processes = processes;
        self
    }

    /// The supervisor's process.
    pub fn pid(&self) -> u32 {
        self.supervisor.id()
    }

    /// The worker processes that there are now, those that have just died among them.
    pub fn workers(&self) -> Vec<u32> {
        let pid = self.supervisor.id();
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        let children = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
        let pids = children.flat_map(|pids| pids.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
        pids.filter_map(|pid| pid.parse().ok()).collect()
    }

    /// Waits until an attempt runs whose worker processes are none of `others`, and gives them; `None` if the job ends.
    ///
    /// # Panics
    /// If neither happens.
    #[track_caller]
    pub fn next_workers(&mut self, others: &[u32]) -> Option<Vec<u32>> {
        let mut workers = Vec::new();
        wait_until("another attempt runs", || {
            workers = self.workers();
            self.has_ended() || workers.len() == self.processes && workers.iter().all(|pid| !others.contains(pid))
        });
        (!self.has_ended()).then_some(workers)
    }

    /// Whether the job has ended.
    ///
    /// # Panics
    /// If the system does not say.
    pub fn has_ended(&mut self) -> bool {
        self.supervisor.try_wait().expect("a child can be waited for").is_some()
    }

    /// Waits for its end, and gives its exit code.
    ///
    /// # Panics
    /// If it does not end.
    #[track_caller]
    pub fn end(mut self) -> i32 {
        wait_until("the job has ended", || self.has_ended());
        self.supervisor.wait().expect("it has ended").code().unwrap_or(-1)
    }

    /// Waits for its end, which has to be a good one.
    ///
    /// # Panics
    /// If it is not.
    #[track_caller]
    pub fn wait(self, folder: &Path) {
        assert_eq!(self.end(), 0, "{}", said(folder));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Its workers die with it, stopped ones too.
        let _ = self.supervisor.kill();
        let _ = self.supervisor.wait();
    }
}

/// What the job in `folder` has written to stderr so far.
pub fn said(folder: &Path) -> String {
    String::from_utf8_lossy(&fs::read(folder.join("stderr")).unwrap_or_default()).into_owned()
}

/// Waits for something to become true.
///
/// # Panics
/// If it does not, for a long time.
#[track_caller]
pub fn wait_until(what: &str, is_so: impl FnMut() -> bool) {
    assert!(wait_for(TIMEOUT, is_so), "waited in vain until {what}");
}

/// Waits for something to become true, so long at most, and says whether it has.
pub fn wait_for(limit: Duration, mut is_so: impl FnMut() -> bool) -> bool {
    let began = Instant::now();
    loop {
        if is_so() {
            return true;
        }
        if began.elapsed() >= limit {
            return false;
        }
        std::thread::park_timeout(Duration::from_millis(2));
    }
}

/// Sends a signal to a process: `KILL`, `STOP` or `CONT`.
pub fn signal(pid: u32, name: &str) {
    // One that has just ended needs none.
    let _ = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).stderr(Stdio::null()).status();
}

/// Whether a process is stopped.
pub fn is_stopped(pid: u32) -> bool {
    state(pid) == Some('T')
}

/// Whether a process is there and has not ended.
pub fn is_alive(pid: u32) -> bool {
    !matches!(state(pid), None | Some('Z' | 'X'))
}

/// The letter of a process's state.
fn state(pid: u32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // After the name, which may hold anything, in brackets.
    stat.rsplit_once(')')?.1.trim_start().chars().next()
}
