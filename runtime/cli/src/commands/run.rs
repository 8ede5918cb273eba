//! `tidewheel run`: a job from its start to the end of its input.

use crate::args::Run;
use crate::live::LiveLine;
use crate::summary::Summary;
use crate::{JOB_FAILED, JobFailed, describe_engine, signals, terminal, tuning};
use anyhow::{Result, anyhow, bail};
use tidewheel_engine::{Job, JobOptions};
use tidewheel_types::job::JobSpec;

/// Runs the job and tells how it went.
pub(crate) fn execute(run: &Run) -> Result<()> {
    tuning::restart_with_fast_copies();
    super::refuse_what_is_not_there(&[
        (run.processes.get() > 1, "--processes"),
        (!run.hosts.is_empty() || run.process.is_some(), "--hosts"),
        (run.data_dir.is_some(), "--data-dir"),
        (run.from_savepoint.is_some() || !run.allow_drop.is_empty(), "--from-savepoint"),
        (run.allow_duplicates, "--allow-duplicates"),
    ])?;
    let (spec, plan) = super::plan(&run.job, &run.settings)?;
    if run.json {
        refuse_two_writers(&spec)?;
    }
    let workers = run.workers.get();
    if workers > usize::from(spec.max_parallelism) {
        bail!("{workers} workers for a job with max-parallelism = {}: each needs a key group", spec.max_parallelism);
    }
    tidewheel_engine::on_fatal(Box::new(|error| {
        terminal::say(&describe_engine(error));
        i32::from(JOB_FAILED)
    }));
    signals::end_on_signal()?;
    let job = Job::start(plan, &JobOptions { workers }).map_err(JobFailed)?;
    let live = if run.quiet || run.json { None } else { LiveLine::start(job.metrics()) };
    let summary = job.wait();
    drop(live);
    let summary = Summary::new(&spec.name, summary);
    match (run.json, run.quiet) {
        (true, _) => terminal::print_json(&serde_json::to_string(&summary)?)?,
        (false, true) => {}
        (false, false) => terminal::say(&summary.text()),
    }
    Ok(())
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
