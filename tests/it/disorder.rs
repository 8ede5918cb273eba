//! NEXMark queries over events that come in another order: as long as the source says how far they may be behind, the
//! results are those of the events in order.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use tidewheel_connectors::Registry;
use tidewheel_connectors::memory::{MemoryConnector, MemoryRecord, MemorySink, MemorySource};
use tidewheel_engine::{Job, JobOptions, Plan};
use tidewheel_guest::{Runtime, RuntimeOptions};
use tidewheel_tests::repo_root;
use tidewheel_types::job::JobSpec;
use toml::{Table, Value};

const SPLITS: usize = 3;
/// How far an event may be behind, in event time.
const BEHIND_MS: u64 = 2000;
/// Enough for windows to fire and auctions to close while events still come: 200 s of event time.
const EVENTS: i64 = 20_000;
const INTERVAL_US: i64 = 10_000;

fn folder() -> PathBuf {
    repo_root().join("guest-examples/nexmark")
}

/// The only table of this kind in a job, say its source.
fn only<'a>(job: &'a mut Table, kind: &str) -> &'a mut Table {
    let tables = job.get_mut(kind).and_then(Value::as_table_mut).unwrap_or_else(|| panic!("the job has {kind}"));
    assert_eq!(tables.len(), 1, "one of {kind}");
    let (_, table) = tables.iter_mut().next().expect("there is one");
    table.as_table_mut().expect("it is a table")
}

/// The query's job with fewer events and more event time, and its results in memory.
fn query(name: &str) -> Table {
    let text = std::fs::read_to_string(folder().join(name).with_extension("toml")).expect("the query has a job");
    let mut job: Table = text.parse().expect("it is TOML");
    let source = only(&mut job, "sources");
    source.insert("events-max".into(), EVENTS.into());
    source.insert("interval-us".into(), INTERVAL_US.into());
    let sink = only(&mut job, "sinks");
    sink.insert("connector".into(), "kept".into());
    sink.remove("path");
    job
}

/// The same without its operators: what it reads, unchanged.
fn events_of(mut job: Table) -> Table {
    job.remove("operators");
    let source = job["sources"].as_table().and_then(|sources| sources.keys().next()).expect("it has a source").clone();
    only(&mut job, "sinks").insert("input".into(), source.into());
    job
}

/// The same; it reads what the test gives it, which may be behind.
fn disordered(mut job: Table) -> Table {
    let watermark = Table::from_iter([("out-of-orderness".to_owned(), Value::from(format!("{BEHIND_MS}ms")))]);
    let source = only(&mut job, "sources");
    source.clear();
    source.insert("connector".into(), "shuffled".into());
    source.insert("watermark".into(), watermark.into());
    job
}

/// Runs a job to its end; gives what its sink has kept.
fn run(job: &Table, shuffled: Option<MemorySource>, workers: usize) -> Vec<MemoryRecord> {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    let runtime = RUNTIME.get_or_init(|| {
        let cache_dir = Some(Path::new(env!("CARGO_TARGET_TMPDIR")).join("components"));
        Runtime::new(RuntimeOptions { cache_dir }).expect("a runtime")
    });
    let kept = MemorySink::new();
    let mut registry = Registry::built_in();
    registry.register("kept", MemoryConnector::sink(kept.clone()));
    if let Some(source) = shuffled {
        registry.register("shuffled", MemoryConnector::source(source));
    }
    let spec = JobSpec::parse(&job.to_string(), "job.toml").unwrap_or_else(|error| panic!("{error}"));
    let plan = Plan::new(&spec, &folder(), &registry, runtime).unwrap_or_else(|error| panic!("{error}"));
    Job::start(plan, JobOptions::workers(workers)).expect("the job starts").wait();
    kept.taken()
}

fn lines(records: &[MemoryRecord]) -> Vec<&str> {
    let mut lines: Vec<&str> = records.iter().map(MemoryRecord::text).collect();
    lines.sort_unstable();
    lines
}

/// Events as they come when each is up to [`BEHIND_MS`] under way.
fn shuffled(mut events: Vec<MemoryRecord>) -> Vec<MemoryRecord> {
    events.sort_by_key(|event| (event.time, event.origin.offset));
    let delay = |event: &MemoryRecord| {
        // splitmix64: numbers beside each other give delays that have nothing in common.
        let mixed = event.origin.offset.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed >> 32) * BEHIND_MS) >> 32
    };
    events.sort_by_key(|event| event.time + delay(event) as i64);
    events
}

fn check(name: &str) {
    let job = query(name);
    let expected = run(&job, None, 1);
    let expected = lines(&expected);
    assert!(expected.len() > 20, "{name} has {} results", expected.len());
    let events = shuffled(run(&events_of(job.clone()), None, 1));
    let inversions = events.windows(2).filter(|pair| pair[0].time > pair[1].time).count();
    assert!(inversions > events.len() / 3, "{inversions} of {} events are behind", events.len());
    let job = disordered(job);
    for workers in [1, 2, 3] {
        let split = |split| events.iter().skip(split).step_by(SPLITS).cloned().collect();
        let found = run(&job, Some(MemorySource::of((0..SPLITS).map(split))), workers);
        assert_eq!(lines(&found), expected, "{name}, {workers} workers");
    }
}

#[test]
fn q3_out_of_order() {
    check("q3");
}

#[test]
fn q4_out_of_order() {
    check("q4");
}

#[test]
fn q5_out_of_order() {
    check("q5");
}

#[test]
fn q6_out_of_order() {
    check("q6");
}

#[test]
fn q8_out_of_order() {
    check("q8");
}

#[test]
fn q9_out_of_order() {
    check("q9");
}

#[test]
fn q11_out_of_order() {
    check("q11");
}
