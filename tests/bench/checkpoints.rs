//! What checkpoints cost: qk with a million keys that come in turn, one worker, per backend without checkpoints, with one
//! each second and with one each 100 ms. And how long it takes from a stop with a savepoint to the first output of the
//! job that is started from it. Beside another engine, if its harness is given (`flink.rs` says what that is).
//!
//! Every checkpoint is kept, so that the store tells of each how long it took and what it added. The last one, at the end
//! of the input, is part of the run.

use crate::flink::{self, run_theirs, set_up};
use crate::running::{Running, records_of};
use crate::throughput::{Run, run_job_in};
use crate::{job, median};
use serde_json::Value;
use std::io::Read;
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tidewheel_tests::tidewheel;

/// A backend as a job file names it, with the number of events of a run, so that each takes some ten seconds.
struct Backend {
    name: &'static str,
    state: &'static str,
    events: u64,
    intervals: &'static [Option<&'static str>],
    /// What the other engine calls it, and its number of events.
    theirs: Option<(&'static str, u64)>,
}

const ALL: &[Option<&str>] = &[None, Some("1s"), Some("100ms")];

const BACKENDS: [Backend; 3] = [
    Backend {
        name: "memory",
        state: "backend = \"memory\"",
        events: 40_000_000,
        intervals: ALL,
        theirs: Some(("hashmap", 12_000_000)),
    },
    Backend {
        name: "rocksdb, all cached",
        state: "backend = \"rocksdb\"\nmemory = \"512MiB\"",
        events: 20_000_000,
        intervals: ALL,
        theirs: Some(("rocksdb", 3_500_000)),
    },
    // A million rows take 73 MB in the cache, which is 28 % of the memory.
    Backend {
        name: "rocksdb, a tenth cached",
        state: "backend = \"rocksdb\"\nmemory = \"26MiB\"",
        events: 4_000_000,
        intervals: &[Some("1s")],
        theirs: None,
    },
];

const ROUNDS: usize = 3;

/// Events after which a job has seen all keys, when it is stopped.
const EVENTS_BEFORE_STOP: u64 = 2_000_000;

/// One run of a job.
struct Measured {
    run: Run,
    /// How long each of its checkpoints took.
    durations_ms: Vec<f64>,
    /// What they added to the store, for each event.
    bytes_per_event: f64,
}

/// Prints the tables. `events`, if given, is the number of events of every run.
pub(crate) fn run(harness: Option<&Path>, events: Option<u64>) {
    if let Some(harness) = harness {
        set_up(harness);
    }
    println!(
        "| state | checkpoint | events/s | against none | events per CPU-s | peak MiB | taken | mean ms | p95 ms | B/event |\n\
         |---|---|---|---|---|---|---|---|---|---|"
    );
    let mut rates = Vec::new();
    for backend in &BACKENDS {
        let ours = events.unwrap_or(backend.events);
        // In turn, so that what else the machine does is shared.
        let mut rows: Vec<Vec<Measured>> = backend.intervals.iter().map(|_| Vec::new()).collect();
        let mut theirs = Vec::new();
        for _ in 0..ROUNDS {
            for (row, interval) in rows.iter_mut().zip(backend.intervals) {
                row.push(measure(backend, ours, *interval));
            }
            if let (Some(harness), Some((name, usual))) = (harness, backend.theirs) {
                let events = events.unwrap_or(usual);
                let settings = [("CHECKPOINT_MS", "1000")];
                theirs.push(run_theirs(harness, "qk", events, (1, name), &settings).events_per_second);
            }
        }
        let rate = |row: &[Measured]| median(row.iter().map(|measured| measured.run.events_per_second).collect());
        for (row, interval) in rows.iter().zip(backend.intervals) {
            let against = (interval.is_some() && backend.intervals[0].is_none()).then(|| rate(row) / rate(&rows[0]));
            println!("{}", text(backend.name, *interval, row, against));
            if *interval == Some("1s") && !theirs.is_empty() {
                rates.push((backend.name, rate(row), median(theirs.clone())));
            }
        }
    }
    if !rates.is_empty() {
        println!("\n| state | events/s, checkpoint each 1 s | theirs | ratio |\n|---|---|---|---|");
    }
    for (name, ours, theirs) in rates {
        println!("| {name} | {:.2} M | {:.2} M | {:.2} |", ours / 1e6, theirs / 1e6, ours / theirs);
    }
    println!("\n| state | stop with savepoint to first output, s | theirs |\n|---|---|---|");
    for backend in BACKENDS.iter().filter(|backend| backend.theirs.is_some()) {
        let ours = median((0..ROUNDS).map(|_| stop_to_first_output(backend).as_secs_f64()).collect());
        let theirs = harness.zip(backend.theirs).map(|(harness, (name, _))| {
            let run = || flink::stop_to_first_output(harness, EVENTS_BEFORE_STOP, name);
            format!("{:.2}", median((0..ROUNDS).map(|_| run()).collect()))
        });
        println!("| {} | {ours:.2} | {} |", backend.name, theirs.unwrap_or_default());
    }
}

fn text(name: &str, interval: Option<&str>, row: &[Measured], against: Option<f64>) -> String {
    let of = |figure: fn(&Measured) -> f64| median(row.iter().map(figure).collect());
    let mut durations: Vec<f64> = row.iter().flat_map(|measured| measured.durations_ms.iter().copied()).collect();
    durations.sort_by(f64::total_cmp);
    let checkpoints = match durations.len() {
        0 => "| | |".to_owned(),
        taken => {
            let mean = durations.iter().sum::<f64>() / taken as f64;
            let p95 = durations[(taken - 1) * 95 / 100];
            format!("{} | {mean:.0} | {p95:.0} | {:.2}", taken / row.len(), of(|measured| measured.bytes_per_event))
        }
    };
    let against = against.map(|ratio| format!("{:+.1} %", (ratio - 1.0) * 100.0));
    format!(
        "| {name} | {} | {:.2} M | {} | {:.2} M | {:.0} | {checkpoints} |",
        interval.map_or("none".to_owned(), |interval| format!("each {interval}")),
        of(|measured| measured.run.events_per_second) / 1e6,
        against.unwrap_or_default(),
        of(|measured| measured.run.events_per_cpu_second) / 1e6,
        of(|measured| measured.run.peak_mib),
    )
}

/// The job file.
fn job_file(backend: &Backend, source: &str, sink: &str, interval: Option<&str>) -> String {
    let checkpoint = interval.map(|interval| format!("[checkpoint]\ninterval = \"{interval}\"\nkeep = 100000\n"));
    format!("{}[state]\n{}\n{}", job("qk", source, sink), backend.state, checkpoint.unwrap_or_default())
}

fn measure(backend: &Backend, events: u64, interval: Option<&str>) -> Measured {
    let folder = TempDir::new().expect("a temporary folder can be made");
    let source = format!("events-max = {events}");
    let text = job_file(backend, &source, "connector = \"discard\"", interval);
    let summary = run_job_in(folder.path(), &text, 1, |_| {});
    let mut measured = Measured { run: Run::new(events, &summary), durations_ms: Vec::new(), bytes_per_event: 0.0 };
    if interval.is_some() {
        for checkpoint in checkpoints(&folder.path().join(".tidewheel/bench-qk/checkpoints")) {
            let number = |key: &str| checkpoint[key].as_f64().unwrap_or_else(|| panic!("a checkpoint has {key}"));
            measured.durations_ms.push(number("duration_ms"));
            measured.bytes_per_event += number("bytes_added") / events as f64;
        }
    }
    measured
}

/// What the store says of the checkpoints in it.
fn checkpoints(store: &Path) -> Vec<Value> {
    let output =
        tidewheel().args(["checkpoints", "--json", "--store"]).arg(store).output().expect("the program starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut found: Value = serde_json::from_slice(&output.stdout).expect("it prints JSON");
    match found["kept"].take() {
        Value::Array(kept) => kept,
        other => panic!("it prints the checkpoints that are kept, not {other}"),
    }
}

/// From the command that stops a job with a savepoint, through the start of another one from it, to that one's first
/// output. All processes are started anew.
fn stop_to_first_output(backend: &Backend) -> Duration {
    let folder = TempDir::new().expect("a temporary folder can be made");
    let start = |name: &str, sink: &str, stdout: Stdio, arguments: &[&str]| {
        let file = folder.path().join(name).with_extension("toml");
        std::fs::write(&file, job_file(backend, "", sink, Some("1s"))).expect("a file can be written");
        let mut program = tidewheel();
        program.arg("run").arg(file).args(["--quiet", "--data-dir"]).arg(folder.path().join(name)).args(arguments);
        Running(program.stdout(stdout).spawn().expect("the program starts"))
    };
    let mut first = start("first", "connector = \"discard\"", Stdio::null(), &[]);
    let data = folder.path().join("first");
    while records_of(&data) < EVENTS_BEFORE_STOP as f64 {
        assert!(first.0.try_wait().expect("it can be waited for").is_none(), "the job has ended");
        thread::sleep(Duration::from_millis(50));
    }
    let begin = Instant::now();
    let output = tidewheel().args(["stop", "--savepoint", "--json"]).arg(&data).output().expect("the program starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let savepoint: Value = serde_json::from_slice(&output.stdout).expect("it prints JSON");
    let url = savepoint["url"].as_str().unwrap_or_else(|| panic!("it says where the savepoint is: {savepoint}"));
    first.0.wait().expect("it ends");
    let mut second = start("second", "connector = \"stdout\"", Stdio::piped(), &["--from-savepoint", url]);
    let mut byte = [0];
    second.0.stdout.take().expect("it is a pipe").read_exact(&mut byte).expect("it writes");
    begin.elapsed()
}
