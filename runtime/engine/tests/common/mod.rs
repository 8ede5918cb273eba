//! What the engine's tests share: a job file's text and connectors of the test's own → a running job.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};
use tidewheel_connectors::memory::{MemoryConnector, MemoryRecord, MemorySink, MemorySource};
use tidewheel_connectors::{Connector, Registry};
use tidewheel_engine::{Job, JobControl, JobOptions, JobSnapshot, Plan};
use tidewheel_guest::{Runtime, RuntimeOptions};
use tidewheel_types::job::JobSpec;

/// Longer than anything here takes, on a busy machine too: what takes longer hangs.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A job that can be started. Its components are fixture guests, named by file: `component = "echo.wasm"`.
pub(crate) struct TestJob {
    text: String,
    registry: Registry,
}

impl TestJob {
    /// The job with this file, without its line `name = …`.
    pub(crate) fn new(text: &str) -> Self {
        TestJob { text: format!("name = 'test'\n{text}"), registry: Registry::empty() }
    }

    /// Adds a connector of the test's own.
    pub(crate) fn connector(mut self, name: &str, connector: impl Connector + 'static) -> Self {
        self.registry.register(name, connector);
        self
    }

    /// Adds a connector called `name` whose source is this one.
    pub(crate) fn source(self, name: &str, source: &MemorySource) -> Self {
        self.connector(name, MemoryConnector::source(source.clone()))
    }

    /// Adds a connector called `name` whose sink is the one returned.
    pub(crate) fn sink(self, name: &str) -> (Self, MemorySink) {
        let sink = MemorySink::new();
        (self.connector(name, MemoryConnector::sink(sink.clone())), sink)
    }

    /// Starts it on this many workers.
    pub(crate) fn start(self, workers: usize) -> Running {
        self.start_with(JobOptions::workers(workers))
    }

    /// Starts it with these options.
    pub(crate) fn start_with(self, options: JobOptions) -> Running {
        let spec = JobSpec::parse(&self.text, "job.toml").unwrap_or_else(|error| panic!("{error}"));
        let plan = Plan::new(&spec, &guests(), &self.registry, runtime()).unwrap_or_else(|error| panic!("{error}"));
        Running(Job::start(plan, options).unwrap_or_else(|error| panic!("{error}")))
    }

    /// Runs it to its end.
    pub(crate) fn run(self, workers: usize) -> JobSnapshot {
        self.start(workers).wait()
    }
}

/// A job that runs.
pub(crate) struct Running(Job);

impl Running {
    /// What it counts.
    pub(crate) fn counters(&self) -> JobSnapshot {
        self.0.metrics().snapshot()
    }

    /// By which it is asked for snapshots.
    pub(crate) fn control(&self) -> JobControl {
        self.0.control()
    }

    /// Waits until it has ended; fails if it hangs.
    pub(crate) fn wait(self) -> JobSnapshot {
        let (sender, ended) = mpsc::channel();
        thread::spawn(move || sender.send(self.0.wait()));
        ended.recv_timeout(TIMEOUT).expect("the job ends in time").counters
    }
}

/// Waits until `is_so`; fails if it never is. `what` says what was waited for.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < TIMEOUT, "waited in vain until {what}");
        thread::park_timeout(Duration::from_millis(1));
    }
}

/// Time, key and value of a record.
pub(crate) type Parts = (i64, Vec<u8>, Vec<u8>);

/// The records' parts, sorted: results are compared as multisets.
pub(crate) fn sorted(records: Vec<MemoryRecord>) -> Vec<Parts> {
    let mut parts: Vec<Parts> = records.into_iter().map(|record| (record.time, record.key, record.value)).collect();
    parts.sort();
    parts
}

/// The folder of the fixture guests' components.
fn guests() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/guests/out");
    assert!(folder.exists(), "{} is missing: run `cargo xtask test`", folder.display());
    folder
}

/// One for all tests of a process; what it compiles is kept with cargo's other output.
fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        let cache_dir = Some(Path::new(env!("CARGO_TARGET_TMPDIR")).join("components"));
        Runtime::new(RuntimeOptions { cache_dir }).unwrap_or_else(|error| panic!("{error}"))
    })
}
