//! `tidewheel run`: a job from its start to the end of its input.

use crate::args::Run;
use crate::live::LiveLine;
use crate::render::{self, Align};
use crate::usage::Usage;
use crate::{JOB_FAILED, JobFailed, describe_engine, signals, terminal, tuning};
use anyhow::{Result, anyhow, bail};
use serde::Serialize;
use tidewheel_engine::{Job, JobOptions, JobSummary, NodeKind, NodeSnapshot};
use tidewheel_types::job::JobSpec;

/// Runs the job and tells how it went.
pub(crate) fn execute(run: &Run) -> Result<()> {
    tuning::restart_with_fast_copies();
    let (spec, plan) = super::plan(&run.job)?;
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
        (true, _) => terminal::print(&(serde_json::to_string(&summary)? + "\n"))?,
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

/// How a job went.
#[derive(Serialize)]
struct Summary {
    job: String,
    seconds: f64,
    /// Of all sources.
    records_in: u64,
    /// Of all sinks.
    records_out: u64,
    records_in_per_second: f64,
    epoch: u64,
    /// Of this process, on all cores.
    cpu_seconds: Option<f64>,
    /// Most resident memory of this process.
    peak_memory_bytes: Option<u64>,
    parts: Vec<NodeSnapshot>,
}

impl Summary {
    fn new(job: &str, JobSummary { took, counters }: JobSummary) -> Summary {
        let seconds = took.as_secs_f64();
        let usage = Usage::so_far();
        Summary {
            job: job.to_owned(),
            seconds,
            records_in: counters.records_in(),
            records_out: counters.records_out(),
            records_in_per_second: counters.records_in() as f64 / seconds.max(1e-9),
            epoch: counters.epoch,
            cpu_seconds: usage.as_ref().map(|usage| usage.cpu_seconds),
            peak_memory_bytes: usage.as_ref().map(|usage| usage.peak_memory_bytes),
            parts: counters.nodes,
        }
    }

    /// A table of the parts, and one line for the job.
    fn text(&self) -> String {
        let rows: Vec<Vec<String>> = self.parts.iter().map(row).collect();
        let (left, right) = (Align::Left, Align::Right);
        let columns = [
            ("NAME", left),
            ("KIND", left),
            ("IN", right),
            ("OUT", right),
            ("REJECTED", right),
            ("MALFORMED", right),
            ("LATE", right),
        ];
        format!(
            "{}\n{}: {} records in, {} out in {:.2} s, {} records/s",
            render::table(&columns, &rows),
            self.job,
            render::count(self.records_in),
            render::count(self.records_out),
            self.seconds,
            render::rate(self.records_in_per_second),
        )
    }
}

/// A part's row; a zero that a part of its kind always has is left blank.
fn row(part: &NodeSnapshot) -> Vec<String> {
    let (kind, counts_it) = match part.kind {
        NodeKind::Source => ("source", [false, true, false, true, false]),
        NodeKind::Operator => ("operator", [true, true, true, false, true]),
        NodeKind::Sink => ("sink", [true, false, false, false, false]),
    };
    let counts = [part.records_in, part.records_out, part.rejected, part.malformed, part.late];
    let counts = counts.into_iter().zip(counts_it).map(|(count, counts_it)| match count {
        0 if !counts_it => String::new(),
        count => render::count(count),
    });
    [part.name.clone(), kind.to_owned()].into_iter().chain(counts).collect()
}
