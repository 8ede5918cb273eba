//! What is kept of calls that fail for good, and how much; and what the limits of an operator do besides.

use crate::common::{TestJob, runtime};
use serde_json::Value;
use std::path::Path;
use tidewheel_connectors::memory::{MemoryRecord, MemorySource};
use tidewheel_engine::{CapsuleOptions, JobOptions, JobSnapshot};
use tidewheel_guest::Capsule;

/// `COMPONENT` and `LIMITS` are put in by the tests. The records have their keys from the start.
const JOB: &str = "
[sources.in]
connector = 'in'
[operators.echo]
component = 'echo.wasm'
input = 'in'
[operators.op]
component = 'COMPONENT.wasm'
input = 'echo'
on-error = 'dead-letter'
limits = { LIMITS }
[sinks.out]
connector = 'out'
input = 'op'
[sinks.letters]
connector = 'letters'
input = 'op.dead-letter'
";

/// Runs the job with these values of one key; gives what it counts, and its dead letters.
fn run(component: &str, limits: &str, values: &[&str], keep: (usize, u64), folder: &Path) -> (JobSnapshot, Vec<Value>) {
    let records = values.iter().enumerate().map(|(at, value)| MemoryRecord::new(at as i64, "k", *value));
    let source = MemorySource::of([records.collect::<Vec<_>>()]);
    let text = JOB.replace("COMPONENT", component).replace("LIMITS", limits);
    let (job, _) = TestJob::new(&text).source("in", &source).sink("out");
    let (job, letters) = job.sink("letters");
    let capsules = CapsuleOptions { folder: folder.to_owned(), keep: keep.0, bytes_max: keep.1 };
    let counters = job.start_with(JobOptions { capsules: Some(capsules), ..JobOptions::workers(1) }).wait();
    let letters = letters.committed();
    (counters, letters.iter().map(|letter| serde_json::from_slice(&letter.value).expect("JSON")).collect())
}

const ROOM: u64 = 32 << 20;

/// The capsule that a letter names.
fn capsule(letter: &Value) -> Capsule {
    let path = letter["capsule"].as_str().unwrap_or_else(|| panic!("{letter} names one"));
    Capsule::from_bytes(&std::fs::read(path).expect("it is there")).expect("a capsule")
}

#[test]
fn a_call_that_reads_state_is_kept_with_what_it_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let commands = ["put a 1", "put b 2", "get a", "doom a", "get b"];
    let (_, letters) = run("map-state", "", &commands, (10, ROOM), folder.path());
    assert_eq!(letters.len(), 1);
    let capsule = capsule(&letters[0]);
    assert_eq!((capsule.facts.target.as_str(), capsule.values()), ("memory-0:3", vec![&b"doom a"[..]]));
    assert_eq!((capsule.facts.job.as_str(), capsule.facts.operator.as_str()), ("test", "op"));
    let component = capsule.component(runtime()).expect("it is in it");
    let again = capsule.replay(&component, Vec::new()).expect_err("it fails again").to_string();
    assert_eq!(again, capsule.facts.failure);
    assert!(again.contains("map_state::run"), "{again}");
}

#[test]
fn timers_are_kept_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_, letters) = run("poison-keyed", "", &["good", "doom"], (10, ROOM), folder.path());
    let capsule = capsule(&letters[0]);
    assert_eq!(capsule.facts.target, "timer \"doom\" of key \"k\" at 1000000 ms");
    let again = capsule.replay(&capsule.component(runtime()).unwrap(), Vec::new()).expect_err("it fails again");
    assert_eq!(again.to_string(), capsule.facts.failure);
}

#[test]
fn there_is_one_for_each_way_to_fail_and_not_too_many() {
    let folder = tempfile::tempdir().expect("a folder");
    let kept = |path: &Path| std::fs::read_dir(path).map_or(0, |entries| entries.count());
    let limits = "memory = '16MiB', output = '256KiB'";
    let values = ["trap", "big", "good", "trap", "broken", "stack", "memory", "big"];
    let (_, letters) = run("poison-stateless", limits, &values, (3, ROOM), &folder.path().join("three"));
    let named: Vec<bool> = letters.iter().map(|letter| letter["capsule"].is_string()).collect();
    assert_eq!(named, [true, true, false, true, false, false, false]);
    assert_eq!(kept(&folder.path().join("three")), 3);
    // Those of the next run take the place of the oldest.
    let (_, letters) = run("poison-stateless", limits, &["memory"], (3, ROOM), &folder.path().join("three"));
    assert!(capsule(&letters[0]).facts.failure.contains("bytes of memory"));
    assert_eq!(kept(&folder.path().join("three")), 3);

    let (_, letters) = run("poison-stateless", limits, &values, (0, ROOM), &folder.path().join("none"));
    assert!(letters.iter().all(|letter| letter["capsule"].is_null()));
    assert!(!folder.path().join("none").exists(), "a job that keeps none makes no folder");

    let (_, letters) = run("poison-stateless", limits, &["trap"], (3, 10_000), &folder.path().join("small"));
    assert!(capsule(&letters[0]).component(runtime()).is_err(), "there was no room for the component");
}

/// What was there before is counted where the call is made again, though nobody knows there what other calls wrote.
#[test]
fn a_key_whose_state_grows_too_large_loses_the_record_that_makes_it_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let commands = ["put a 12345", "put b 12345", "put a 54321", "put c 12345", "remove b", "put d 12345", "get d"];
    let (counters, letters) = run("map-state", "state = '13B', records = 2", &commands, (10, ROOM), folder.path());
    assert_eq!((letters.len(), letters[0]["offset"].as_u64()), (1, Some(3)));
    let reason = "after `process` a key would have 18 bytes of state or more; `limits.state` lets it have 13";
    assert_eq!(letters[0]["reason"], reason);
    let capsule = capsule(&letters[0]);
    let again = capsule.replay(&capsule.component(runtime()).expect("it is in it"), Vec::new());
    assert_eq!(
        (again.expect_err("it fails again").to_string().as_str(), capsule.facts.failure.as_str()),
        (reason, reason)
    );
    let op = counters.nodes.iter().find(|node| node.name == "op").expect("the operator");
    assert_eq!((op.records_in, op.records_out, op.rejected), (7, 6, 1));
}
