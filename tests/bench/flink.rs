//! Beside another engine, in one run on one machine: each query in turn here and there, two workers against parallelism
//! two, the same events from the same generator.
//!
//! The other engine's harness is a folder with two programs: `setup.sh`, which installs what it needs, and
//! `run.sh QUERY EVENTS PARALLELISM BACKEND`, which prints one line of JSON with `seconds`, `cpu_s` and `peak_rss_mb` (MiB).

use crate::median;
use crate::throughput::{Run, measure};
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Stdio};

/// Queries with the number of events of a run, so that each takes some seconds here and there.
const QUERIES: [(&str, u64); 7] = [
    ("q0", 60_000_000),
    ("q0x", 20_000_000),
    ("q1", 60_000_000),
    ("q2", 60_000_000),
    ("q7", 30_000_000),
    ("q12", 30_000_000),
    ("qk", 20_000_000),
];

const ROUNDS: usize = 3;
const WORKERS: usize = 2;

/// The faster of its collectors for these queries.
const JVM_OPTS: &str = "-XX:+UseParallelGC";

/// Prints a table: per query the medians of both and their ratios. `events`, if given, is the number of events of every
/// run.
pub(crate) fn run(harness: &Path, events: Option<u64>) {
    let setup = Command::new(harness.join("setup.sh")).stdout(Stdio::null()).status();
    let setup = setup.unwrap_or_else(|error| panic!("cannot run {}: {error}", harness.join("setup.sh").display()));
    assert!(setup.success(), "setup.sh failed ({setup})");
    println!(
        "| query | events | records/s | theirs | ratio | records per CPU-s | theirs | ratio | peak MiB | theirs | ratio |\n\
         |---|---|---|---|---|---|---|---|---|---|---|"
    );
    for (query, usual) in QUERIES {
        let events = events.unwrap_or(usual);
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for round in 0..ROUNDS {
            // Who is first changes, so that neither always has the machine the other has warmed up.
            if round % 2 == 0 {
                ours.push(measure(query, events, WORKERS));
                theirs.push(run_theirs(harness, query, events));
            } else {
                theirs.push(run_theirs(harness, query, events));
                ours.push(measure(query, events, WORKERS));
            }
        }
        println!("{}", row(query, events, &ours, &theirs));
    }
}

fn row(query: &str, events: u64, ours: &[Run], theirs: &[Run]) -> String {
    let of = |runs: &[Run], figure: fn(&Run) -> f64| median(runs.iter().map(figure).collect());
    let both = |figure: fn(&Run) -> f64| (of(ours, figure), of(theirs, figure));
    let million =
        |(ours, theirs): (f64, f64)| format!("{:.2} M | {:.2} M | {:.2}", ours / 1e6, theirs / 1e6, ours / theirs);
    let (ours, theirs) = both(|run| run.peak_mib);
    format!(
        "| {query} | {:.1} M | {} | {} | {ours:.0} | {theirs:.0} | {:.3} |",
        events as f64 / 1e6,
        million(both(|run| run.events_per_second)),
        million(both(|run| run.events_per_cpu_second)),
        ours / theirs
    )
}

fn run_theirs(harness: &Path, query: &str, events: u64) -> Run {
    let mut program = Command::new(harness.join("run.sh"));
    program.args([query, &events.to_string(), &WORKERS.to_string(), "hashmap"]).env("JVM_OPTS", JVM_OPTS);
    let output = program.stdin(Stdio::null()).stderr(Stdio::inherit()).output().expect("run.sh starts");
    assert!(output.status.success(), "run.sh {query} failed ({})", output.status);
    let result: Value = serde_json::from_slice(&output.stdout).expect("run.sh prints one line of JSON");
    let number = |key: &str| result[key].as_f64().unwrap_or_else(|| panic!("run.sh prints {key}: {result}"));
    Run {
        events_per_second: events as f64 / number("seconds"),
        events_per_cpu_second: events as f64 / number("cpu_s"),
        peak_mib: number("peak_rss_mb"),
    }
}
