//! Operators without a component, in whole jobs: against plain models, over restores, and with records they refuse.

use crate::common::durability;
use crate::common::{TestJob, sorted, wait_until};
use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, any, prop_assert_eq, proptest};
use proptest::strategy::Strategy;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use tidewheel_checkpoint::Store;
use tidewheel_checkpoint::savepoint::Savepoint;
use tidewheel_connectors::memory::{MemoryRecord, MemorySource};
use tidewheel_engine::{After, EngineError, JobOptions, Plan, StartFrom};
use tidewheel_state::BackendKind;
use tidewheel_types::contract::Contract;
use tidewheel_types::job::JobSpec;

/// A job with one operator, which does `what` by this key.
fn job(what: &str, key: &str) -> String {
    format!(
        "[sources.in]\nconnector = 'in'\nwatermark = {{ out-of-orderness = '10ms' }}\n\
         [operators.op]\n{what}\ninput = 'in'\nkey = {{ {key} }}\n[sinks.out]\nconnector = 'out'\ninput = 'op'\n"
    )
}

#[test]
fn a_filter_and_a_projection_with_what_they_refuse() {
    let values = [
        r#"{"auction":1,"price":100,"channel":"a"}"#,
        r#"{"auction":2,"price":9007199254740993,"channel":"b"}"#,
        r#"{"auction":3,"channel":"a"}"#,
        r#"{"auction":4,"price":9223372036854775807}"#,
        "no JSON",
        r#"{"auction":5,"price":7,"channel":"Google"}"#,
    ];
    let source = MemorySource::of([values.iter().map(|value| MemoryRecord::new(5, "k", *value)).collect()]);
    let text = "
[sources.in]
connector = 'in'
[operators.dear]
filter = \"price > 10 && channel != 'Google'\"
input = 'in'
on-error = 'dead-letter'
[operators.cents]
select = { auction = 'auction', cents = 'price * 100', on = '/channel' }
input = 'dear'
on-error = 'dead-letter'
[sinks.out]
connector = 'out'
input = 'cents'
[sinks.letters]
connector = 'letters'
input = ['dear.dead-letter', 'cents.dead-letter']
";
    let (job, out) = TestJob::new(text).source("in", &source).sink("out");
    let (job, letters) = job.sink("letters");
    let counters = job.run(2);
    let record = |value: &str| (5, b"k".to_vec(), value.as_bytes().to_vec());
    assert_eq!(
        sorted(out.committed()),
        [
            record(r#"{"auction":1,"cents":10000,"on":"a"}"#),
            record(r#"{"auction":2,"cents":900719925474099300,"on":"b"}"#),
        ]
    );
    let mut letters: Vec<Value> =
        letters.committed().iter().map(|letter| serde_json::from_slice(&letter.value).expect("JSON")).collect();
    letters.sort_by_key(|letter| letter["offset"].as_u64());
    let letter = |operator: &str, offset: usize, reason: &str| {
        json!({"operator": operator, "source": "in", "split": "memory-0", "offset": offset, "event-time": 5, "key": "k",
            "component": null, "value": values[offset], "reason": reason})
    };
    assert_eq!(
        letters,
        [
            letter("dear", 2, "cannot compare null with int"),
            letter("cents", 3, "\"price * 100\": mul goes beyond 64 bits"),
            letter("dear", 4, "not JSON: expected ident at line 1 column 2"),
        ]
    );
    let of =
        |name: &str| counters.nodes.iter().find(|node| node.name == name).map(|node| (node.rejected, node.records_out));
    assert_eq!((of("dear"), of("cents")), (Some((2, 3)), Some((1, 2))));
}

/// A record of a stream: its key, its event time and the field that is looked at.
type Row = (u8, i64, u8);

/// Rows whose times rise, each as far behind the latest as the watermark allows at most.
fn rows() -> impl Strategy<Value = Vec<Row>> {
    vec((0u8..4, 0i64..22, 0i64..10, 0u8..2), 0..80).prop_map(|steps| {
        let mut now = 0;
        let rows = steps.into_iter().map(|(key, step, back, status)| {
            now += step;
            (key, now - back, status)
        });
        rows.collect()
    })
}

fn record(&(key, time, status): &Row, number: usize) -> MemoryRecord {
    MemoryRecord::new(time, "", format!(r#"{{"key":{key},"status":{status},"number":{number}}}"#))
}

/// Runs a job in a folder of its own: the operators of all these jobs have one name.
fn run_apart(job: &TestJob, workers: usize) {
    let folder = tempfile::tempdir().expect("a folder");
    let state = (BackendKind::Memory, folder.path().to_owned());
    job.start_with(JobOptions { state, ..JobOptions::workers(workers) }).wait();
}

/// What comes out of an operator that does `what`, as the numbers of the records, sorted.
fn run(what: &str, rows: &[Row], workers: usize) -> Vec<usize> {
    let records = rows.iter().enumerate().map(|(number, row)| record(row, number)).collect();
    let (job, out) = TestJob::new(&job(what, "json = '/key'")).source("in", &MemorySource::of([records])).sink("out");
    run_apart(&job, workers);
    let mut numbers: Vec<usize> = out
        .committed()
        .iter()
        .map(|record| {
            serde_json::from_slice::<Value>(&record.value).expect("JSON")["number"].as_u64().unwrap() as usize
        })
        .collect();
    numbers.sort_unstable();
    numbers
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn the_first_of_a_key_in_a_time_is_that_of_a_model(rows in rows(), workers in 1usize..4) {
        let mut last: BTreeMap<u8, i64> = BTreeMap::new();
        let mut expected = Vec::new();
        for (number, &(key, time, _)) in rows.iter().enumerate() {
            if last.get(&key).is_none_or(|last| time >= last + 40) {
                last.insert(key, time);
                expected.push(number);
            }
        }
        prop_assert_eq!(run("deduplicate = { keep = 'first', within = '40ms' }", &rows, workers), expected);
    }

    #[test]
    fn the_latest_of_a_key_in_a_time_is_that_of_a_model(rows in rows(), workers in 1usize..4) {
        let mut latest: BTreeMap<(u8, i64), (i64, usize)> = BTreeMap::new();
        for (number, &(key, time, _)) in rows.iter().enumerate() {
            let kept = latest.entry((key, time.div_euclid(40))).or_insert((time, number));
            *kept = (*kept).max((time, number));
        }
        let mut expected: Vec<usize> = latest.values().map(|&(_, number)| number).collect();
        expected.sort_unstable();
        prop_assert_eq!(run("deduplicate = { keep = 'last', within = '40ms' }", &rows, workers), expected);
    }

    #[test]
    fn records_that_have_changed_are_those_of_a_model(rows in rows(), within in any::<Option<bool>>(), workers in 1usize..4) {
        let (limit, option) = match within {
            None => (i64::MAX, ""),
            Some(false) => (40, ", within = '40ms'"),
            // Longer than any test takes: the clock plays no part in it.
            Some(true) => (i64::MAX, ", within = '1h', clock = 'processing'"),
        };
        let mut last: BTreeMap<u8, (i64, u8)> = BTreeMap::new();
        let mut expected = Vec::new();
        for (number, &(key, time, status)) in rows.iter().enumerate() {
            let before = last.get(&key).copied();
            if before.is_none_or(|(at, was)| was != status || time >= at.saturating_add(limit)) {
                last.insert(key, (before.map_or(time, |(at, _)| at.max(time)), status));
                expected.push(number);
            }
        }
        let what = format!("changed = {{ fields = ['/status']{option} }}");
        prop_assert_eq!(run(&what, &rows, workers), expected);
    }
}

/// Pushes `records`, waits until `taken` of them have come out, stops with a savepoint, and gives that and what came out.
fn run_to_savepoint(
    folder: &Path,
    what: &str,
    source: &MemorySource,
    (records, taken): (&[MemoryRecord], usize),
    (origin, workers): (StartFrom, usize),
) -> (StartFrom, Vec<String>) {
    let (job, out) = TestJob::new(&job(what, "bytes = '0..1'")).source("in", source).sink("out");
    let run = records.first().map_or(0, |record| record.time);
    let options = JobOptions {
        state: (BackendKind::Memory, folder.join(format!("state-{run}"))),
        durability: Some(durability(folder, origin)),
        ..JobOptions::workers(workers)
    };
    let job = job.start_with(options);
    source.split(0).push(records.iter().cloned());
    let fed = |job: &crate::common::Running| {
        let counters = job.counters();
        counters.nodes.iter().find(|node| node.name == "op").map(|node| node.records_in)
    };
    wait_until("all records are taken", || fed(&job) == Some(records.len() as u64) && out.taken().len() >= taken);
    let url = folder.join(format!("savepoint-{run}")).to_string_lossy().into_owned();
    let done = job.control().snapshot(Some(url.clone()), After::Stop { drain: false });
    done.recv().expect("an answer").expect("a savepoint");
    job.wait();
    let savepoint = Savepoint::open(&Store::open(&url, folder).expect("a store")).expect("the savepoint is complete");
    let mut told: Vec<String> = out.committed().iter().map(|record| record.text().to_owned()).collect();
    told.sort();
    (StartFrom::Savepoint(Arc::new(savepoint)), told)
}

#[test]
fn what_is_remembered_outlives_the_job() {
    let folder = tempfile::tempdir().expect("a folder");
    let source = MemorySource::new(1);
    let what = "deduplicate = { keep = 'first', within = '1h' }";
    let records = |time: i64, values: &[&str]| -> Vec<MemoryRecord> {
        values.iter().map(|value| MemoryRecord::new(time, "", *value)).collect()
    };
    let run = |records: &[MemoryRecord], taken, origin| {
        run_to_savepoint(folder.path(), what, &source, (records, taken), origin)
    };
    let (origin, told) = run(&records(1, &["a1", "b1", "a2"]), 2, (StartFrom::Nothing, 1));
    assert_eq!(told, ["a1", "b1"]);
    let (origin, told) = run(&records(2, &["a3", "c1", "b2"]), 1, (origin, 3));
    assert_eq!(told, ["c1"]);
    let (_, told) = run(&records(3_600_001, &["a4", "c2"]), 1, (origin, 2));
    assert_eq!(told, ["a4"], "an hour after 1 is over, and not one after 2");
}

/// The timers of before the savepoint would forget them sooner.
#[test]
fn keys_are_remembered_for_longer_than_before() {
    let folder = tempfile::tempdir().expect("a folder");
    let source = MemorySource::new(1);
    let record = |time: i64, value: &str| MemoryRecord::new(time, "", value);
    let run = |within: &str, records: &[MemoryRecord], taken, origin| {
        let what = format!("deduplicate = {{ keep = 'first', within = '{within}' }}");
        run_to_savepoint(folder.path(), &what, &source, (records, taken), origin)
    };
    let (origin, told) = run("10ms", &[record(1, "a1"), record(2, "b1")], 2, (StartFrom::Nothing, 1));
    assert_eq!(told, ["a1", "b1"]);
    let (origin, told) = run("1h", &[record(50, "c1")], 1, (origin, 1));
    assert_eq!(told, ["c1"], "the watermark is past 10");
    let (_, told) = run("1h", &[record(100, "a2"), record(100, "d1"), record(3_600_001, "a3")], 2, (origin, 2));
    assert_eq!(told, ["a3", "d1"]);
}

#[test]
fn the_latest_of_a_time_that_is_not_over_outlives_the_job() {
    let folder = tempfile::tempdir().expect("a folder");
    let source = MemorySource::new(1);
    let what = "deduplicate = { keep = 'last', within = '100ms' }";
    let record = |time: i64, value: &str| MemoryRecord::new(time, "", value);
    let run = |records: &[MemoryRecord], taken, origin| {
        run_to_savepoint(folder.path(), what, &source, (records, taken), origin)
    };
    let (origin, told) = run(&[record(50, "a1"), record(40, "a2"), record(60, "b1")], 0, (StartFrom::Nothing, 2));
    assert_eq!(told, [""; 0]);
    let (_, told) = run(&[record(45, "a3"), record(70, "b2"), record(115, "c1")], 2, (origin, 1));
    assert_eq!(told, ["a1", "b2"], "the watermark is past 99");
}

#[test]
fn a_late_record_goes_to_its_output() {
    let source = MemorySource::of([[(5, "a1"), (120, "b1"), (6, "a2"), (130, "a3")]
        .map(|(time, value)| MemoryRecord::new(time, "", value))
        .to_vec()]);
    let text = job("deduplicate = { keep = 'last', within = '100ms' }", "bytes = '0..1'")
        + "[sinks.late]\nconnector = 'late'\ninput = 'op.late'\n";
    // Whether `a2` is late depends on the epoch that it is read in; wherever it goes it goes once.
    let (job, out) = TestJob::new(&text).source("in", &source).sink("out");
    let (job, late) = job.sink("late");
    run_apart(&job, 1);
    let texts = |records: Vec<MemoryRecord>| -> Vec<String> {
        let mut texts: Vec<String> = records.iter().map(|record| record.text().to_owned()).collect();
        texts.sort();
        texts
    };
    match texts(late.committed()).as_slice() {
        [] => assert_eq!(texts(out.committed()), ["a2", "a3", "b1"]),
        late => {
            assert_eq!(late, ["a2"]);
            assert_eq!(texts(out.committed()), ["a1", "a3", "b1"]);
        }
    }
}

/// The plan of a job with one operator, which does `what`.
fn plan(what: &str) -> Result<Plan, EngineError> {
    let text = format!(
        "name = 'test'\n[sources.in]\nconnector = 'stdin'\nkey = {{ json = '/k' }}\n[operators.op]\n{what}\ninput = 'in'\n\
         [sinks.out]\nconnector = 'discard'\ninput = 'op'\n"
    );
    let spec = JobSpec::parse(&text, "job.toml").unwrap_or_else(|error| panic!("{error}"));
    crate::common::plan(&spec, &tidewheel_connectors::Registry::built_in())
}

#[test]
fn a_savepoint_of_other_fields_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let source = MemorySource::new(1);
    let records = [MemoryRecord::new(1, "k", r#"{"status":1}"#)];
    let what = "changed = { fields = ['/status'] }";
    let (origin, _) = run_to_savepoint(folder.path(), what, &source, (&records, 1), (StartFrom::Nothing, 1));
    let StartFrom::Savepoint(savepoint) = origin else { panic!("a savepoint") };
    let verdict = |what: &str| {
        let plan = plan(what).unwrap_or_else(|error| panic!("{error}"));
        let contract = Contract::new(&plan.declared(), &savepoint.manifest.stored());
        contract.check(&["in".to_owned()]).map_err(|error| error.to_string())
    };
    assert_eq!(verdict("changed = { fields = ['/status'] }"), Ok(()));
    let error = verdict("changed = { fields = ['/status', '/note'] }").unwrap_err();
    assert!(error.contains("op.last") && error.contains("[/status, /note]"), "{error}");
}

#[test]
fn mistakes_are_found_with_their_line() {
    let found = |what: &str| plan(what).err().map(|error| error.to_string()).unwrap_or_default();
    assert!(
        found("filter = 'a +'").starts_with("job.toml:6: \"filter\" in [operators.op]: \"a +\" is not an expression: ")
    );
    assert!(
        found("select = { a = 'f(b)' }")
            .starts_with("job.toml:6: \"a\" in [operators.op.select]: \"f(b)\": there is no")
    );
    assert!(found("filter = 3").starts_with("job.toml:6: \"filter\" in [operators.op]: invalid type: integer `3`"));
    assert_eq!(found("filter = 'a'"), "");
}
