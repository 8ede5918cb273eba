//! How much a query keeps after a quarter, a half and a whole hour of event time: windows and timers let go of what is
//! past, so that state stays as it is; q3 joins over all time, and its state grows.
//!
//! A hundred events a second of event time, an hour of which takes seconds. What is kept is read from savepoints.

use crate::running::{Running, records_of};
use crate::{job, kinds};
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;
use tempfile::TempDir;
use tidewheel_tests::tidewheel;

/// Of event time.
const MINUTES: [u64; 3] = [15, 30, 60];
const EVENTS_PER_MINUTE: u64 = 6_000;
const INTERVAL_US: u64 = 60_000_000 / EVENTS_PER_MINUTE;
/// Slow enough to be asked at the right moment: an hour takes half a minute.
const RATE: u64 = 12_000;
/// How often it is asked, one time after the other: what a window has depends on how far it has come.
const ASKED: usize = 3;

/// Prints a table: per query the most there is after so many minutes, and how much more it is after all than after the
/// first. Entries are exact; bytes are those of files, which hold what has changed since others of them, too.
pub(crate) fn run() {
    println!(
        "| query | entries after 15 min | 30 min | 60 min | 60 against 15 min | KiB after 15 min | 30 min | 60 min |\n\
         |---|---|---|---|---|---|---|---|"
    );
    for query in ["q3", "q5", "q8", "q9", "q11"] {
        let kept = measure(query);
        let [entries_first, entries_second, entries_last] = kept.map(|kept| kept.entries);
        let [first, second, last] = kept.map(|kept| kept.bytes as f64 / 1024.0);
        let ratio = entries_last as f64 / entries_first as f64;
        println!(
            "| {query} | {entries_first} | {entries_second} | {entries_last} | {ratio:.2} | {first:.0} | {second:.0} | \
             {last:.0} |"
        );
    }
}

/// What a savepoint holds.
#[derive(Clone, Copy)]
struct Kept {
    /// Values, elements and accumulators of all states.
    entries: u64,
    /// In the store, timers and positions too.
    bytes: u64,
}

fn measure(query: &str) -> [Kept; 3] {
    let folder = TempDir::new().expect("a temporary folder can be made");
    let source = format!("interval-us = {INTERVAL_US}\nrate = {RATE}");
    let text = job(query, &source, "connector = \"discard\"") + "[checkpoint]\ninterval = \"1s\"\n";
    let file = folder.path().join("job.toml");
    std::fs::write(&file, text).expect("a file can be written");
    let data = folder.path().join("data");
    let mut program = tidewheel();
    program.arg("run").arg(file).args(["--quiet", "--data-dir"]).arg(&data).stdout(Stdio::null());
    let mut running = Running(program.spawn().expect("the program starts"));
    MINUTES.map(|minutes| {
        let records = minutes * EVENTS_PER_MINUTE * wanted_of_fifty(query) / 50;
        while records_of(&data) < records as f64 {
            assert!(running.0.try_wait().expect("it can be waited for").is_none(), "the job has ended");
            thread::sleep(Duration::from_millis(5));
        }
        let asked = (0..ASKED).map(|_| kept(&data));
        asked.max_by_key(|kept| kept.entries).expect("it is asked")
    })
}

/// How many of fifty events a query reads.
fn wanted_of_fifty(query: &str) -> u64 {
    let of_kind = |kind: &&str| match *kind {
        "person" => 1,
        "auction" => 3,
        _ => 46,
    };
    kinds(query).iter().map(of_kind).sum()
}

fn kept(data: &Path) -> Kept {
    let savepoint = json(tidewheel().args(["savepoint", "--json"]).arg(data));
    let url = savepoint["url"].as_str().unwrap_or_else(|| panic!("it says where the savepoint is: {savepoint}"));
    let states = json(tidewheel().args(["state", "list", "--json", "--savepoint", url]));
    let states = states.as_array().expect("a list of states");
    let entries = states.iter().map(|state| state["entries"].as_u64().expect("a state has entries")).sum();
    Kept { entries, bytes: savepoint["bytes"].as_u64().expect("a savepoint has a size") }
}

fn json(program: &mut Command) -> Value {
    let output = program.output().expect("the program starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("it prints JSON")
}
