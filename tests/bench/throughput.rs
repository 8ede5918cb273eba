//! Events per second and per second of processor time, generator included, and the most memory used.

use crate::{job, median};
use serde_json::Value;
use std::path::Path;
use std::process::Command;
use tidewheel_tests::tidewheel;

/// Queries with the number of events of a run, so that each takes some seconds.
const QUERIES: [(&str, u64); 12] = [
    ("q0", 30_000_000),
    ("q1", 30_000_000),
    ("q2", 30_000_000),
    ("q0x", 20_000_000),
    ("q3", 30_000_000),
    ("q5", 20_000_000),
    ("q7", 20_000_000),
    ("q8", 30_000_000),
    ("q9", 20_000_000),
    ("q11", 20_000_000),
    ("q12", 20_000_000),
    ("qk", 20_000_000),
];

const RUNS: usize = 3;

/// One run of a query.
pub(crate) struct Run {
    /// All generated events, those that the query drops too.
    pub(crate) events_per_second: f64,
    pub(crate) events_per_cpu_second: f64,
    pub(crate) peak_mib: f64,
}

/// Prints a table: per query and number of workers the medians.
pub(crate) fn run() {
    println!("| query | workers | events/s | events per CPU-s | peak MiB |\n|---|---|---|---|---|");
    for (query, events) in QUERIES {
        for workers in [1, 2] {
            let runs: Vec<Run> = (0..RUNS).map(|_| measure(query, events, workers)).collect();
            let of = |figure: fn(&Run) -> f64| median(runs.iter().map(figure).collect());
            println!(
                "| {query} | {workers} | {:.2} M | {:.2} M | {:.0} |",
                of(|run| run.events_per_second) / 1e6,
                of(|run| run.events_per_cpu_second) / 1e6,
                of(|run| run.peak_mib)
            );
        }
    }
}

/// Runs a query with the real program.
pub(crate) fn measure(query: &str, events: u64, workers: usize) -> Run {
    let source = format!("events-max = {events}\nsplits = {workers}");
    let summary = run_job(&job(query, &source, "connector = \"discard\""), workers, |_| {});
    Run::new(events, &summary)
}

impl Run {
    /// What a job's summary says.
    pub(crate) fn new(events: u64, summary: &Value) -> Run {
        let number = |key: &str| summary[key].as_f64().unwrap_or_else(|| panic!("the summary has {key}"));
        Run {
            events_per_second: events as f64 / number("seconds"),
            events_per_cpu_second: events as f64 / number("cpu_seconds"),
            peak_mib: number("peak_memory_bytes") / f64::from(1 << 20),
        }
    }
}

/// Runs a job with the real program; returns its summary.
pub(crate) fn run_job(text: &str, workers: usize, more: impl FnOnce(&mut Command)) -> Value {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    run_job_in(folder.path(), text, workers, more)
}

/// As [`run_job`], with the job file in `folder`, where what the job keeps stays.
pub(crate) fn run_job_in(folder: &Path, text: &str, workers: usize, more: impl FnOnce(&mut Command)) -> Value {
    let file = folder.join("job.toml");
    std::fs::write(&file, text).expect("a file can be written");
    let mut program = tidewheel();
    program.arg("run").arg(&file).args(["--json", "--workers", &workers.to_string()]);
    more(&mut program);
    let output = program.output().expect("the program starts");
    assert!(output.status.success(), "{}\n{text}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("the summary is JSON")
}
