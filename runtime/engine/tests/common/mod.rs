//! What the engine's tests share: a job file's text and connectors of the test's own → a running job.

use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};
use tidewheel_checkpoint::{Attempt, Log, Store};
use tidewheel_cluster::{Meeting, Member, Secret, join};
use tidewheel_connectors::memory::{MemoryConnector, MemoryRecord, MemorySink, MemorySource};
use tidewheel_connectors::{Connector, Registry};
use tidewheel_engine::{
    CheckpointPolicy, Durability, EngineError, Job, JobControl, JobOptions, JobSnapshot, Plan, SplitSnapshot,
    StartFrom, WatermarkSnapshot,
};
use tidewheel_guest::{Runtime, RuntimeOptions};
use tidewheel_types::job::JobSpec;

/// Longer than anything here takes, on a busy machine too: what takes longer hangs.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(60);

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
    pub(crate) fn start_with(&self, options: JobOptions) -> Running {
        self.try_start_with(options).unwrap_or_else(|error| panic!("{error}"))
    }

    /// The same; it may refuse to start.
    pub(crate) fn try_start_with(&self, options: JobOptions) -> Result<Running, EngineError> {
        let spec = JobSpec::parse(&self.text, "job.toml").unwrap_or_else(|error| panic!("{error}"));
        let plan = plan(&spec, &self.registry).unwrap_or_else(|error| panic!("{error}"));
        Job::start(plan, options).map(Running)
    }

    /// Runs it to its end.
    pub(crate) fn run(self, workers: usize) -> JobSnapshot {
        self.start(workers).wait()
    }

    /// Runs it to its end with this many workers in each of several processes, as far as the engine can tell: they share
    /// nothing but the test's connectors. Gives what process 0 counts.
    pub(crate) fn run_in_processes(&self, processes: usize, workers: usize) -> JobSnapshot {
        let folder = tempfile::tempdir().expect("a folder");
        let secret = Secret::generate().expect("a secret");
        let run = |process| {
            let member = Member { job: "test".to_owned(), attempt: 1, process, processes, secret: secret.clone() };
            let meeting = Meeting::Folder(folder.path().to_owned());
            let peers = join(&member, meeting, TIMEOUT).unwrap_or_else(|error| panic!("{error}"));
            self.start_with(JobOptions { peers: Some(peers), ..JobOptions::workers(workers) }).wait()
        };
        thread::scope(|scope| {
            let run = &run;
            let running: Vec<_> = (0..processes).map(|process| scope.spawn(move || run(process))).collect();
            let mut counted = running.into_iter().map(|process| process.join().expect("every process ends well"));
            let first = counted.next().expect("there is a process");
            counted.for_each(drop);
            first
        })
    }
}

/// Plans a job whose components are fixture guests.
pub(crate) fn plan(spec: &JobSpec, registry: &Registry) -> Result<Plan, EngineError> {
    Plan::new(spec, &guests(), registry, runtime())
}

/// A job that runs.
pub(crate) struct Running(Job);

impl Running {
    /// What it counts.
    pub(crate) fn counters(&self) -> JobSnapshot {
        self.0.metrics().snapshot()
    }

    /// Where its watermarks stand, and what its splits say.
    pub(crate) fn watermarks(&self) -> (Vec<WatermarkSnapshot>, Vec<SplitSnapshot>) {
        self.0.metrics().watermarks()
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

/// A new attempt in `folder` that goes on from `origin`, with nothing but checkpoints that are asked for.
pub(crate) fn durability(folder: &Path, origin: StartFrom) -> Durability {
    let store = store(folder);
    let attempt = Log::open(store.clone()).begin_attempt_from(None).expect("an attempt");
    Durability { origin, ..beginning(store, attempt) }
}

/// The same; it goes on from the newest checkpoint, if there is one.
pub(crate) fn resumed(folder: &Path) -> Durability {
    let store = store(folder);
    let mut attempt = Log::open(store.clone()).begin_attempt().expect("an attempt");
    let newest = attempt.restore.take().map(|newest| newest.manifest);
    let beginning = beginning(store, attempt);
    match newest {
        None => beginning,
        Some(manifest) => Durability {
            next_checkpoint: manifest.checkpoint + 1,
            lineage: manifest.lineage.clone(),
            origin: StartFrom::Checkpoint(Arc::new(manifest)),
            ..beginning
        },
    }
}

fn store(folder: &Path) -> Store {
    Store::open(&folder.join("checkpoints").to_string_lossy(), folder).expect("a store")
}

/// An attempt of a job that begins.
fn beginning(store: Store, attempt: Attempt) -> Durability {
    Durability {
        policy: CheckpointPolicy {
            interval: None,
            min_pause: Duration::ZERO,
            timeout: Duration::from_secs(60),
            tolerable_failures: None,
        },
        keep: 1,
        store,
        attempt: attempt.number,
        slot: attempt.slot,
        next_checkpoint: 1,
        lineage: attempt.lineage,
        origin: StartFrom::Nothing,
        is_ending: false,
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
pub(crate) fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        let cache_dir = Some(Path::new(env!("CARGO_TARGET_TMPDIR")).join("components"));
        Runtime::new(RuntimeOptions { cache_dir }).unwrap_or_else(|error| panic!("{error}"))
    })
}
