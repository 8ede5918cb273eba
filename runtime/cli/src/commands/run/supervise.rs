//! A job with checkpoints: worker processes, which are started again from the last checkpoint when one fails.
//!
//! This process holds the job's data folder, watches, and answers those who speak to the job (`control.rs`). What a worker
//! process does is in `worker.rs`.

use super::control::{Control, End, Facts};
use super::going_back::{GoingBack, Lost};
use super::start::{FromWorker, Origin, Start, ToWorker};
use crate::args::Run;
use crate::commands::{self, check, now_ms, place};
use crate::{JobFailed, terminal};
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tidewheel_checkpoint::savepoint::Savepoint;
use tidewheel_checkpoint::{Attempt, CheckpointError, Log, Manifest, Restore, Store};
use tidewheel_cluster::{
    ClusterError, DataFolder, Ended, Member, Registration, Registry, Restart, Restarts, Secret, Supervisor, ask_attempt,
};
use tidewheel_engine::{CapsuleOptions, Plan, Splits};
use tidewheel_server::Server;
use tidewheel_types::contract::{Contract, Declared, Stored};
use tidewheel_types::job::{CheckpointSpec, JobSpec};

/// How long a process on another machine waits for process 0, which may be started later, or be starting again.
const ASK_MAX: Duration = Duration::from_secs(180);

/// Runs the job until it has ended, or has failed for good.
pub(super) fn execute(
    run: &Run,
    job_text: String,
    spec: &JobSpec,
    plan: Plan,
    checkpoint: &CheckpointSpec,
) -> Result<()> {
    if let Some(url) = &run.from_savepoint {
        check::contract(&plan, url)?.check(&run.allow_drop)?;
    }
    let (declared, splits) = (plan.declared(), plan.splits());
    let folder = DataFolder::open(&data_folder(run, spec))?;
    let going_back = GoingBack::new(&plan, run, folder.state().join("looked-at"));
    // Its compiled components are in the cache, for the worker processes.
    drop(plan);
    let machines = Machines::new(run, checkpoint)?;
    let started_ms = now_ms();
    let store = open_store(checkpoint, &run.job, folder.checkpoints())?;
    let control = Arc::new(Control::new(Facts {
        name: spec.name.clone(),
        started_ms,
        workers: run.workers.get(),
        processes: machines.as_ref().map_or(run.processes.get(), |machines| machines.hosts.len()),
        store: store.clone(),
    }));
    // It is spoken to where process 0 is.
    let is_first = machines.as_ref().is_none_or(|machines| machines.process == 0);
    let offered = is_first.then(|| offer(spec, &folder, &control, started_ms)).transpose()?;
    let from_savepoint = run.from_savepoint.as_deref().map(place).transpose()?;
    let mut supervised = Supervised {
        run,
        job: spec.name.clone(),
        job_text,
        declared,
        splits,
        machines,
        folder,
        log: Log::open(store),
        attempts: None,
        started_ms,
        control: Arc::clone(&control),
        from_savepoint,
        going_back,
        lost: None,
    };
    let outcome = supervised.run(Restarts::new(&spec.restart));
    match &outcome {
        Ok(end) => control.ended(end.clone()),
        Err(error) => control.ended(End::Failed(format!("{error:#}"))),
    }
    if let Some((server, _listed)) = offered {
        server.stop();
    }
    outcome.map(|_| ())
}

/// Offers the job's API, and has the job listed among those that run.
fn offer(
    spec: &JobSpec,
    folder: &DataFolder,
    control: &Arc<Control>,
    started_ms: i64,
) -> Result<(Server, Registration)> {
    let server =
        Server::start(folder.bind_control()?, Arc::clone(control) as _).context("cannot offer the job's API")?;
    Ok((server, Registry::of_user()?.register(&spec.name, folder, started_ms)?))
}

/// The machines of a job that runs on several, one process on each.
struct Machines {
    /// Where each process listens.
    hosts: Vec<String>,
    /// Which of them runs here.
    process: usize,
    /// What they know each other by.
    secret: Secret,
}

impl Machines {
    /// None if the job runs on this machine alone.
    fn new(run: &Run, checkpoint: &CheckpointSpec) -> Result<Option<Machines>> {
        let (Some(process), Some(file)) = (run.process, &run.secret_file) else { return Ok(None) };
        if checkpoint.store.is_none() {
            bail!(
                "a job on several machines keeps its checkpoints where all of them reach it\n\nhint: set `store` in \
                 [checkpoint] to the URL of a store, or to a folder that they share"
            );
        }
        let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        let secret = text.parse().with_context(|| format!("in {}", file.display()))?;
        Ok(Some(Machines { hosts: run.hosts.clone(), process, secret }))
    }
}

/// A job and what its attempts share.
struct Supervised<'a> {
    run: &'a Run,
    /// Its name.
    job: String,
    /// The text of its file.
    job_text: String,
    /// What a checkpoint has to fit.
    declared: Declared,
    splits: Splits,
    /// None if it runs on this machine alone.
    machines: Option<Machines>,
    folder: DataFolder,
    /// Begins all attempts, so that it knows its own.
    log: Log,
    /// The first and the last of them.
    attempts: Option<(u64, u64)>,
    started_ms: i64,
    control: Arc<Control>,
    /// Of the first attempt; the log knows it from then on.
    from_savepoint: Option<String>,
    going_back: GoingBack,
    /// The checkpoint that the last attempt could not restore.
    lost: Option<Lost>,
}

impl Supervised<'_> {
    /// Runs one attempt after the other, until one has finished or the job is not to be started again.
    fn run(&mut self, mut strategy: Restarts) -> Result<End> {
        loop {
            let (attempt, reason) = match self.attempt() {
                Ok((_, ended)) if ended.is_success() => return Ok(End::Finished),
                // The next attempt restores an older one, or the job ends: that is not tried again and again.
                Ok(_) if self.lost.is_some() => continue,
                Ok((_, ended)) if !ended.retryable => return Err(JobFailed::Reason(why(&ended)).into()),
                Ok((attempt, ended)) => (attempt, why(&ended)),
                // A store that was there may be away for a while.
                Err(error) => match self.attempts {
                    Some((_, last)) if is_retryable(&error) => (last + 1, format!("it could not begin: {error:#}")),
                    _ => return Err(error),
                },
            };
            if self.control.has_stopped() {
                terminal::say(&format!("attempt {attempt} had stopped the job, and failed before it ended: {reason}"));
                return Ok(End::Finished);
            }
            self.check_not_taken_over()?;
            match strategy.failed(Instant::now(), chance()) {
                Restart::GiveUp(limit) => return Err(JobFailed::Reason(format!("{reason}\n\nhint: {limit}")).into()),
                Restart::After(delay) => {
                    terminal::say(&format!("attempt {attempt} failed: {reason}"));
                    terminal::say(&format!("starting again from the last checkpoint in {delay:?}"));
                    if self.control.restarts(reason, delay) {
                        terminal::say(
                            "stopped while it was restarting: run again, it goes on from its last checkpoint",
                        );
                        return Ok(End::Stopped);
                    }
                }
            }
        }
    }

    /// Runs one attempt to its end.
    fn attempt(&mut self) -> Result<(u64, Ended)> {
        let attempt = self.begin()?;
        self.check_fits(&attempt)?;
        let members = self.members(attempt.number)?;
        let commands = members.iter().map(|_| worker_command()).collect::<Result<Vec<_>>>()?;
        let (control, is_lost) = (Arc::clone(&self.control), Arc::new(AtomicBool::new(false)));
        let lost = Arc::clone(&is_lost);
        let number = attempt.number;
        let on_message = move |_: usize, message: FromWorker| match message {
            FromWorker::Running => control.runs(number),
            FromWorker::LostCheckpoint => lost.store(true, Ordering::Relaxed),
            FromWorker::Answered(number, reply) => control.answered(number, reply),
        };
        let supervisor: Supervisor<ToWorker, FromWorker> = Supervisor::start(commands, Some(&self.folder), on_message)?;
        let supervisor = Arc::new(supervisor);
        let asked = Arc::clone(&supervisor);
        // When it cannot be asked it has ended, and the wait below says how.
        let ask = move |number, question| drop(asked.send(0, &ToWorker::Asked(number, question)));
        self.control.begins(attempt.number, supervisor.pids(), Arc::new(ask));
        for (place, member) in members.into_iter().enumerate() {
            let start = self.start(&attempt, member);
            match supervisor.send(place, &ToWorker::Start(Box::new(start))) {
                Err(error @ ClusterError::TooLarge { .. }) => return Err(error.into()),
                // One that cannot be told has ended, and the wait below says how.
                _ => {}
            }
        }
        let (first, _) = self.attempts.unwrap_or((attempt.number, attempt.number));
        self.attempts = Some((first, attempt.number));
        let ended = supervisor.wait();
        // Of several machines the one that begins attempts decides.
        let decides = self.machines.as_ref().is_none_or(|machines| machines.process == 0);
        let lost = attempt.restore.filter(|_| decides && is_lost.load(Ordering::Relaxed));
        self.lost = lost.map(|restore| Lost { slot: restore.slot, reason: why(&ended) });
        Ok((attempt.number, ended))
    }

    /// Begins an attempt; on other machines than the first, joins the one that has begun there. If the newest checkpoint is
    /// lost it is one from an older checkpoint, if it may be.
    fn begin(&mut self) -> Result<Attempt> {
        if let Some(machines) = self.machines.as_ref().filter(|machines| machines.process != 0) {
            let asking = self.members(0)?.remove(0);
            return Ok(self.log.attempt(ask_attempt(&asking, &machines.hosts[0], ASK_MAX)?)?);
        }
        if let Some(url) = self.from_savepoint.take() {
            return Ok(self.log.begin_attempt_from_savepoint(&url)?);
        }
        let lost = match self.lost.take() {
            Some(lost) => lost,
            None => match self.log.begin_attempt() {
                Err(error) if error.is_lost() => {
                    let slot = self.log.checkpoints()?.first().map_or(u64::MAX, |newest| newest.slot);
                    Lost { slot, reason: error.to_string() }
                }
                begun => return Ok(begun?),
            },
        };
        let slot = self.going_back.slot(&self.log, lost)?;
        Ok(self.log.begin_attempt_from(Some(slot))?)
    }

    /// Refuses a first attempt that would lose a part of what it goes on from, without a word. The later ones go on from
    /// what this same job has written, or from the same as the first.
    fn check_fits(&self, attempt: &Attempt) -> Result<()> {
        // A savepoint that the user has named is checked before anything is begun.
        if self.attempts.is_some() || self.run.from_savepoint.is_some() {
            return Ok(());
        }
        let stored = match (self.restored(attempt), &attempt.savepoint) {
            (Some(restore), _) => restore.manifest.stored(),
            (None, Some(url)) => Savepoint::open(&Store::open(url, Path::new("/"))?)?.manifest.stored(),
            (None, None) => Stored::default(),
        };
        Ok(Contract::new(&self.declared, &stored).check(&self.run.allow_drop)?)
    }

    /// Ends a job that somebody else has started meanwhile, from the same store: two would replace each other for ever.
    fn check_not_taken_over(&self) -> Result<()> {
        match self.log.check_not_taken_over() {
            Err(error) if error.is_replaced() => Err(JobFailed::Reason(error.to_string()).into()),
            // Whoever begins the next attempt finds out whether the store is there.
            _ => Ok(()),
        }
    }

    /// The processes on this machine in an attempt.
    fn members(&self, attempt: u64) -> Result<Vec<Member>> {
        let (range, processes, secret) = match &self.machines {
            Some(machines) => {
                let process = machines.process;
                (process..process + 1, machines.hosts.len(), machines.secret.clone())
            }
            None => (0..self.run.processes.get(), self.run.processes.get(), Secret::generate()?),
        };
        // Each machine has found the splits itself: those who have found others must not deal them out together.
        let job = match &self.machines {
            None => self.job.clone(),
            Some(_) => format!("{} {}", self.job, serde_json::to_string(&self.splits)?),
        };
        let member = |process| Member { job: job.clone(), attempt, process, processes, secret: secret.clone() };
        Ok(range.map(member).collect())
    }

    /// The checkpoint that an attempt goes on from.
    fn restored<'a>(&self, attempt: &'a Attempt) -> Option<&'a Restore> {
        // A job that was over when we came begins anew; one that has come to its end since is only to end.
        attempt.restore.as_ref().filter(|restore| !restore.manifest.is_over() || self.is_ours(&restore.manifest))
    }

    /// Whether an earlier attempt of this run has taken that checkpoint.
    fn is_ours(&self, manifest: &Manifest) -> bool {
        self.attempts.is_some_and(|(first, _)| manifest.attempt >= first)
    }

    fn start(&self, attempt: &Attempt, member: Member) -> Start {
        let restore = self.restored(attempt);
        let lineage = restore.filter(|_| !attempt.went_back).map(|restore| restore.manifest.lineage.clone());
        Start {
            job_text: self.job_text.clone(),
            splits: self.splits.clone(),
            folder: self.folder.path().to_owned(),
            member,
            hosts: self.machines.as_ref().map_or_else(Vec::new, |machines| machines.hosts.clone()),
            slot: attempt.slot,
            next_checkpoint: attempt.restore.as_ref().map_or(1, |restore| restore.manifest.checkpoint + 1),
            lineage: lineage.unwrap_or_else(|| attempt.lineage.clone()),
            origin: match (restore, &attempt.savepoint) {
                (Some(restore), _) => Origin::Slot(restore.slot),
                (None, Some(url)) => Origin::Savepoint(url.clone()),
                (None, None) => Origin::Nothing,
            },
            // One that was drained when we came goes on; one that has been since was to stop.
            is_ending: restore.is_some_and(|restore| restore.manifest.drained && self.is_ours(&restore.manifest)),
            is_restart: self.attempts.is_some(),
            started_ms: self.started_ms,
            rates: self.control.rates(),
        }
    }
}

/// This program with these arguments, once more: a worker process knows what it is by its supervisor's channel.
fn worker_command() -> Result<Command> {
    let mut command = Command::new(std::env::current_exe().context("cannot find this program's file")?);
    command.args(std::env::args_os().skip(1));
    Ok(command)
}

/// Where and how much is kept of calls that fail for good, in a job whose data folder is `folder`.
pub(super) fn capsules(spec: &JobSpec, folder: &Path) -> CapsuleOptions {
    let keep = usize::try_from(spec.capsules.keep).unwrap_or(usize::MAX);
    CapsuleOptions { folder: folder.join("capsules"), keep, bytes_max: spec.capsules.bytes_max }
}

/// Where the job keeps what it has.
pub(super) fn data_folder(run: &Run, spec: &JobSpec) -> PathBuf {
    run.data_dir.clone().unwrap_or_else(|| commands::data_folder(&run.job, &spec.name))
}

/// The store that the job file names, or else the folder `default`.
pub(in crate::commands) fn open_store(checkpoint: &CheckpointSpec, job_file: &Path, default: &Path) -> Result<Store> {
    let file = std::path::absolute(job_file).context("cannot find the working folder")?;
    let base = file.parent().unwrap_or(Path::new("/"));
    Ok(match &checkpoint.store {
        Some(url) => Store::open(url, base)?,
        None => Store::open(&default.to_string_lossy(), base)?,
    })
}

fn is_retryable(error: &anyhow::Error) -> bool {
    error.downcast_ref::<CheckpointError>().is_some_and(CheckpointError::is_retryable)
}

fn why(ended: &Ended) -> String {
    match &ended.reason {
        Some(reason) => reason.clone(),
        None => ended.to_string(),
    }
}

/// A number from 0 to 1, as good as any.
fn chance() -> f64 {
    f64::from(now_ms().unsigned_abs() as u32 % 1000) / 999.0
}
