//! A worker process of a job with checkpoints: what its supervisor tells it, made into a running job.

use super::api::{Answering, RunningJob};
use super::start::{FromWorker, Origin, Start, ToWorker};
use super::{finish, supervise};
use crate::args::Run;
use crate::commands;
use crate::live::LiveLine;
use crate::{JOB_FAILED, JobFailed, describe_engine};
use anyhow::{Context, Result, anyhow, bail};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tidewheel_checkpoint::savepoint::Savepoint;
use tidewheel_checkpoint::{CheckpointError, Log, Store};
use tidewheel_cluster::{Channel, ClusterError, LastWords, Meeting, Peers, join, listen};
use tidewheel_crash_points::CrashPoint;
use tidewheel_engine::{CheckpointPolicy, Durability, EngineError, Job, JobOptions, StartFrom};
use tidewheel_state::{BackendKind, SharedMemory};
use tidewheel_types::job::{BackendSpec, CheckpointSpec, JobMode, RateLimit};

/// How long a process waits for the others: one on another machine may have to notice first that an attempt is over, and
/// to wait before the next.
const JOIN_MAX: Duration = Duration::from_secs(180);

/// Runs this process's part of the attempt to its end.
pub(super) fn execute(run: &Run, channel: Channel<FromWorker, ToWorker>) -> Result<()> {
    let start = match channel.receive()?.context("the supervisor has ended")? {
        ToWorker::Start(start) => start,
        ToWorker::Asked(..) => bail!("the supervisor asks before it has said what to run"),
    };
    let last_words = channel.clone();
    tidewheel_engine::on_fatal(Box::new(move |error| {
        // If it cannot be told, the supervisor sees the exit code.
        if error.is_lost_checkpoint() {
            let _ = last_words.send(&FromWorker::LostCheckpoint);
        }
        let _ = last_words.send_last_words(words(error));
        i32::from(JOB_FAILED)
    }));
    let outcome = match connect(&start) {
        Ok(peers) => run_job(run, &start, &channel, peers).map_err(|error| {
            if error.downcast_ref::<CheckpointError>().is_some_and(CheckpointError::is_lost) {
                let _ = channel.send(&FromWorker::LostCheckpoint);
            }
            let words = LastWords::cause(format!("{error:#}"));
            // What is wrong before anything has run is wrong the next time, too. Later a store or a disk may be away for a
            // while.
            let is_for_good = !start.is_restart || !is_retryable(&error);
            (if is_for_good { words.for_good() } else { words }, error)
        }),
        // Whoever is not there has a reason of its own.
        Err(error) => Err((LastWords::consequence(error.to_string()), error.into())),
    };
    outcome.map_err(|(words, error)| {
        let _ = channel.send_last_words(words);
        error
    })
}

/// Connects this process with the others of the attempt, if there are any.
fn connect(start: &Start) -> Result<Option<Peers>, ClusterError> {
    let member = &start.member;
    if member.processes == 1 {
        return Ok(None);
    }
    let meeting = match start.hosts.get(member.process) {
        None => Meeting::Folder(start.folder.clone()),
        Some(own) => Meeting::Hosts { listener: listen(own)?, addresses: start.hosts.clone() },
    };
    join(member, meeting, JOIN_MAX).map(Some)
}

fn run_job(run: &Run, start: &Start, channel: &Channel<FromWorker, ToWorker>, peers: Option<Peers>) -> Result<()> {
    tidewheel_crash_points::arm(start.member.attempt).map_err(|reason| anyhow!(reason))?;
    let (spec, plan) = commands::plan_of(&start.job_text, &run.job, &run.settings, Some(&start.splits))?;
    let checkpoint = spec.checkpoint.as_ref().context("the job has no [checkpoint]")?;
    let store = supervise::open_store(checkpoint, &run.job, &start.folder.join("checkpoints"))?;
    let durability = Durability {
        policy: policy(checkpoint, spec.mode),
        keep: checkpoint.keep as usize,
        origin: origin(start, &store)?,
        store: store.clone(),
        attempt: start.member.attempt,
        slot: start.slot,
        next_checkpoint: start.next_checkpoint,
        lineage: start.lineage.clone(),
        is_ending: start.is_ending,
    };
    let options = JobOptions {
        peers,
        state: (backend(spec.state.backend), start.folder.join("state")),
        durability: Some(durability),
        capsules: Some(supervise::capsules(&spec, &start.folder)),
        ..JobOptions::workers(run.workers.get())
    };
    CrashPoint::BeforeRestore.reached();
    let job = Job::start(plan, options).map_err(JobFailed::Engine)?;
    if start.member.process != 0 {
        job.wait();
        return Ok(());
    }
    for rate in &start.rates {
        // It was taken by an earlier attempt of the same job.
        let limit = RateLimit { records: rate.records, bytes: rate.bytes };
        let _ = job.control().limit(&rate.source, limit);
    }
    let answering = Answering::start(channel, RunningJob::new(&spec.name, start, run, &job, store));
    let live = if run.quiet || run.json { None } else { LiveLine::start(job.metrics()) };
    let summary = job.wait();
    drop(live);
    answering.finish();
    finish(run, &spec, summary)
}

/// What holds keyed state in this process.
pub(super) fn backend(spec: BackendSpec) -> BackendKind {
    match spec {
        BackendSpec::Memory => BackendKind::Memory,
        BackendSpec::RocksDb { memory_bytes_max } => {
            BackendKind::RocksDb(Arc::new(SharedMemory::new(usize::try_from(memory_bytes_max).unwrap_or(usize::MAX))))
        }
    }
}

fn policy(checkpoint: &CheckpointSpec, mode: JobMode) -> CheckpointPolicy {
    CheckpointPolicy {
        // In a batch job the last one is enough.
        interval: (mode == JobMode::Streaming).then_some(Duration::from_millis(checkpoint.interval_ms)),
        min_pause: Duration::from_millis(checkpoint.min_pause_ms),
        timeout: Duration::from_millis(checkpoint.timeout_ms),
        tolerable_failures: checkpoint.tolerable_failures,
    }
}

fn origin(start: &Start, store: &Store) -> Result<StartFrom> {
    Ok(match &start.origin {
        Origin::Nothing => StartFrom::Nothing,
        Origin::Slot(slot) => StartFrom::Checkpoint(Arc::new(Log::open(store.clone()).load(*slot)?)),
        Origin::Savepoint(url) => StartFrom::Savepoint(Arc::new(Savepoint::open(&Store::open(url, Path::new("/"))?)?)),
    })
}

fn is_retryable(error: &anyhow::Error) -> bool {
    match (error.downcast_ref(), error.downcast_ref::<CheckpointError>()) {
        (Some(JobFailed::Engine(error)), _) => error.is_retryable(),
        (_, Some(error)) => error.is_retryable(),
        _ => false,
    }
}

/// What the supervisor is told of an error that ends this process.
fn words(error: &EngineError) -> LastWords {
    let text = describe_engine(error);
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let words = if error.is_consequence() { LastWords::consequence(text) } else { LastWords::cause(text) };
    if error.is_retryable() { words } else { words.for_good() }
}
