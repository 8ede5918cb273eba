//! `tidewheel run`: a job from its start to the end of its input.
//!
//! A job without checkpoints runs in this process. One with checkpoints runs in processes of its own ([`worker`]), which
//! this one watches ([`supervise`]); whoever speaks to it speaks to [`control`], which asks [`api`].

mod api;
mod control;
mod going_back;
mod start;
mod supervise;
mod worker;

pub(super) use supervise::open_store;

use crate::args::Run;
use crate::live::LiveLine;
use crate::summary::Summary;
use crate::{JOB_FAILED, JobFailed, describe_engine, signals, terminal, tuning};
use anyhow::{Result, anyhow, bail};
use tidewheel_cluster::DataFolder;
use tidewheel_engine::{Job, JobOptions, JobSummary};
use tidewheel_types::job::{BackendSpec, JobSpec};

/// Runs the job and tells how it went.
pub(crate) fn execute(run: &Run) -> Result<()> {
    if let Some(channel) = tidewheel_cluster::attach()? {
        return worker::execute(run, channel);
    }
    tuning::restart_with_fast_copies();
    let text = super::read_text(&run.job)?;
    let (spec, plan) = super::plan_of(&text, &run.job, &run.settings, None)?;
    if run.json {
        refuse_two_writers(&spec)?;
    }
    let processes = processes(run)?;
    let workers = run.workers.get() * processes;
    if workers > usize::from(spec.max_parallelism) {
        bail!("{workers} workers for a job with max-parallelism = {}: each needs a key group", spec.max_parallelism);
    }
    if let Some(checkpoint) = &spec.checkpoint {
        if processes > 1 {
            refuse_one_stdout(&spec)?;
        }
        signals::end_on_signal()?;
        return supervise::execute(run, text, &spec, plan, checkpoint);
    }
    refuse_without_checkpoints(run, &spec)?;
    tidewheel_engine::on_fatal(Box::new(|error| {
        terminal::say(&describe_engine(error));
        i32::from(JOB_FAILED)
    }));
    signals::end_on_signal()?;
    let mut options = JobOptions::workers(workers);
    options.capsules = Some(supervise::capsules(&spec, &supervise::data_folder(run, &spec)));
    // Held until the job has ended.
    let folder = match spec.state.backend {
        BackendSpec::Memory => None,
        backend @ BackendSpec::RocksDb { .. } => {
            let folder = DataFolder::open(&supervise::data_folder(run, &spec))?;
            options.state = (worker::backend(backend), folder.state().to_owned());
            Some(folder)
        }
    };
    let job = Job::start(plan, options).map_err(JobFailed::Engine)?;
    let live = if run.quiet || run.json { None } else { LiveLine::start(job.metrics()) };
    let summary = job.wait();
    drop(live);
    drop(folder);
    finish(run, &spec, summary)
}

/// Tells how a job went that has ended by itself.
fn finish(run: &Run, spec: &JobSpec, summary: JobSummary) -> Result<()> {
    let summary = Summary::new(&spec.name, summary);
    match (run.json, run.quiet) {
        (true, _) => terminal::print_json(&serde_json::to_string(&summary)?)?,
        (false, true) => {}
        (false, false) => terminal::say(&summary.text()),
    }
    Ok(())
}

/// How many processes the job has, on all machines.
fn processes(run: &Run) -> Result<usize> {
    let hosts = &run.hosts;
    let Some(process) = run.process else { return Ok(run.processes.get()) };
    if process >= hosts.len() {
        bail!("--process {process} of {} --hosts: they are counted from 0", hosts.len());
    }
    if let Some(twice) = hosts.iter().enumerate().find_map(|(at, host)| hosts[..at].contains(host).then_some(host)) {
        bail!("--hosts has {twice} twice: each process listens at an address of its own");
    }
    Ok(hosts.len())
}

/// Lines of several processes would mix.
fn refuse_one_stdout(spec: &JobSpec) -> Result<()> {
    match spec.sinks.iter().find(|sink| sink.connector == "stdout") {
        None => Ok(()),
        Some(sink) => {
            let message = format!("sink {:?} writes to stdout, which several processes cannot share", sink.id.as_str());
            Err(anyhow!(spec.error(sink.line, message).with_hint("run it in one process, or use a sink of files")))
        }
    }
}

/// A flag that would have no effect is not passed over in silence.
fn refuse_without_checkpoints(run: &Run, spec: &JobSpec) -> Result<()> {
    let uses_folder = spec.state.backend != BackendSpec::Memory;
    let flags = [
        (run.data_dir.is_some() && !uses_folder, "--data-dir"),
        (run.from_savepoint.is_some(), "--from-savepoint"),
        (!run.allow_drop.is_empty(), "--allow-drop"),
        (run.processes.get() > 1, "--processes"),
        (!run.hosts.is_empty(), "--hosts"),
        (run.allow_duplicates, "--allow-duplicates"),
    ];
    match flags.into_iter().find(|(given, _)| *given) {
        None => Ok(()),
        Some((_, flag)) => bail!("{flag} is for jobs that take checkpoints\n\nhint: add a table [checkpoint]"),
    }
}

/// Stdout has room for one writer.
fn refuse_two_writers(spec: &JobSpec) -> Result<()> {
    match spec.sinks.iter().find(|sink| sink.connector == "stdout") {
        None => Ok(()),
        Some(sink) => {
            let message = format!("sink {:?} writes to stdout, and so would --json", sink.id.as_str());
            Err(anyhow!(spec.error(sink.line, message).with_hint("run without --json, or use another sink")))
        }
    }
}
