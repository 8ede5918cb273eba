//! Beside another engine, in one run on one machine: each query in turn here and there, two workers against parallelism
//! two, the same events from the same generator.
//!
//! The other engine's harness is a folder with two programs: `setup.sh`, which installs what it needs, and
//! `run.sh QUERY EVENTS PARALLELISM BACKEND`, which prints one line of JSON with `seconds`, `cpu_s` and `peak_rss_mb` (MiB).
//! For the part `checkpoints` it takes `CHECKPOINT_MS` from the environment; with `MAIN=SavepointBench` it stops the query
//! with a savepoint after so many events, starts it again and prints `stop_to_first_output_s`.

use crate::median;
use crate::throughput::{Run, measure};
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Stdio};

/// Queries with the number of events of a run, so that each takes some seconds here and there.
const QUERIES: [(&str, u64); 11] = [
    ("q0", 60_000_000),
    ("q0x", 20_000_000),
    ("q1", 60_000_000),
    ("q2", 60_000_000),
    ("q3", 30_000_000),
    ("q5", 30_000_000),
    ("q7", 30_000_000),
    ("q8", 30_000_000),
    ("q11", 30_000_000),
    ("q12", 30_000_000),
    ("qk", 20_000_000),
];

const ROUNDS: usize = 3;
const WORKERS: usize = 2;

/// The faster of its collectors for these queries.
const JVM_OPTS: &str = "-XX:+UseParallelGC";

/// Installs what the harness needs.
pub(crate) fn set_up(harness: &Path) {
    let setup = Command::new(harness.join("setup.sh")).stdout(Stdio::null()).status();
    let setup = setup.unwrap_or_else(|error| panic!("cannot run {}: {error}", harness.join("setup.sh").display()));
    assert!(setup.success(), "setup.sh failed ({setup})");
}

/// Prints a table: per query the medians of both and their ratios. `events`, if given, is the number of events of every
/// run.
pub(crate) fn run(harness: &Path, events: Option<u64>) {
    set_up(harness);
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
                theirs.push(run_theirs(harness, query, events, (WORKERS, "hashmap"), &[]));
            } else {
                theirs.push(run_theirs(harness, query, events, (WORKERS, "hashmap"), &[]));
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

/// A run of a query by the other engine; `settings` are variables of its environment.
pub(crate) fn run_theirs(
    harness: &Path,
    query: &str,
    events: u64,
    (workers, backend): (usize, &str),
    settings: &[(&str, &str)],
) -> Run {
    let result = ask_theirs(harness, query, events, (workers, backend), settings);
    Run {
        events_per_second: events as f64 / number(&result, "seconds"),
        events_per_cpu_second: events as f64 / number(&result, "cpu_s"),
        peak_mib: number(&result, "peak_rss_mb"),
    }
}

/// Seconds from a stop with a savepoint to the first output of the job that is started from it, of the other engine.
pub(crate) fn stop_to_first_output(harness: &Path, events: u64, backend: &str) -> f64 {
    let result = ask_theirs(harness, "qk", events, (1, backend), &[("MAIN", "SavepointBench")]);
    number(&result, "stop_to_first_output_s")
}

fn ask_theirs(
    harness: &Path,
    query: &str,
    events: u64,
    (workers, backend): (usize, &str),
    settings: &[(&str, &str)],
) -> Value {
    let mut program = Command::new(harness.join("run.sh"));
    program.args([query, &events.to_string(), &workers.to_string(), backend]).env("JVM_OPTS", JVM_OPTS);
    program.envs(settings.iter().copied());
    let output = program.stdin(Stdio::null()).stderr(Stdio::inherit()).output().expect("run.sh starts");
    assert!(output.status.success(), "run.sh {query} failed ({})", output.status);
    serde_json::from_slice(&output.stdout).expect("run.sh prints one line of JSON")
}

fn number(result: &Value, key: &str) -> f64 {
    result[key].as_f64().unwrap_or_else(|| panic!("run.sh prints {key}: {result}"))
}
