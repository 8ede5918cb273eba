//! Windows over world `keyed`: what is not the same as over `aggregate`, which `windows.rs` holds both against.

use crate::common::{TestJob, plan};
use serde_json::Value;
use tidewheel_connectors::Registry;
use tidewheel_connectors::memory::{MemoryConnector, MemoryRecord, MemorySource};
use tidewheel_engine::JobOptions;
use tidewheel_state::BackendKind;
use tidewheel_types::job::JobSpec;

/// `WINDOW` is put in by the tests. The records have their keys from the start.
const JOB: &str = "
[sources.in]
connector = 'in'
[operators.echo]
component = 'echo.wasm'
input = 'in'
[operators.op]
component = 'collect.wasm'
input = 'echo'
window = { WINDOW }
on-error = 'dead-letter'
[sinks.out]
connector = 'out'
input = 'op'
[sinks.letters]
connector = 'letters'
input = 'op.dead-letter'
";

/// Runs a job to the end of these records. Gives what came out, per record its time, key, and the text's first two words:
/// how many windows the key has had, and how many records this one has; and the dead letters.
fn run(window: &str, workers: usize, records: Vec<MemoryRecord>) -> (Vec<(i64, String, String)>, Vec<Value>) {
    let source = MemorySource::of([records]);
    let (job, out) = TestJob::new(&JOB.replace("WINDOW", window)).source("in", &source).sink("out");
    let (job, letters) = job.sink("letters");
    // One of its own: tests run beside each other.
    let folder = tempfile::tempdir().expect("a folder");
    let state = (BackendKind::Memory, folder.path().join("state"));
    job.start_with(JobOptions { state, ..JobOptions::workers(workers) }).wait();
    let told = |record: &MemoryRecord| {
        let words: Vec<&str> = record.text().splitn(3, ' ').collect();
        (record.time, String::from_utf8_lossy(&record.key).into_owned(), words[..2].join(" "))
    };
    let mut found: Vec<_> = out.committed().iter().map(told).collect();
    found.sort();
    let letters = letters.committed();
    (found, letters.iter().map(|letter| serde_json::from_slice(&letter.value).expect("JSON")).collect())
}

fn expected<const N: usize>(of: [(i64, &str, &str); N]) -> Vec<(i64, String, String)> {
    of.map(|(time, key, text)| (time, key.to_owned(), text.to_owned())).to_vec()
}

/// Records of a kilobyte: so many of `key` in the second that begins at `start`.
fn many(key: &str, start: i64, count: usize) -> impl Iterator<Item = MemoryRecord> {
    let filling = "x".repeat(1000);
    (0..count).map(move |at| MemoryRecord::new(start + at as i64 % 1000, key, format!("{at:05} {filling}")))
}

#[test]
fn a_window_that_does_not_fit_into_a_call_is_seen_whole() {
    let records: Vec<MemoryRecord> = many("a", 0, 5_000)
        .chain([MemoryRecord::new(1, "b", "one")])
        .chain(many("a", 1_000, 4_000))
        .chain(many("a", 2_000, 1))
        .collect();
    let (found, letters) = run("tumbling = '2s'", 1, records.clone());
    assert_eq!(found, expected([(1_999, "a", "1 9000"), (1_999, "b", "1 1"), (3_999, "a", "2 1")]));
    assert!(letters.is_empty(), "{letters:?}");
    // Parts of windows that have several panes.
    let (found, letters) = run("sliding = '2s', slide = '1s'", 2, records);
    let first = [(999, "a", "1 5000"), (999, "b", "1 1"), (1_999, "a", "2 9000"), (1_999, "b", "2 1")];
    let last = [(2_999, "a", "3 4001"), (3_999, "a", "4 1")];
    assert_eq!(found, [expected(first), expected(last)].concat());
    assert!(letters.is_empty(), "{letters:?}");
}

#[test]
fn a_window_sees_what_the_one_before_it_did_to_its_keys_state() {
    // All of them are due at once, when the input ends.
    let records = (0..40).flat_map(|at| ["a", "b"].map(|key| MemoryRecord::new(at * 10, key, "word")));
    let (found, _) = run("tumbling = '10ms'", 2, records.collect());
    let counted: Vec<String> = (1..=40).map(|windows| format!("{windows} 1")).collect();
    for key in ["a", "b"] {
        let of_key: Vec<&str> = found.iter().filter(|(_, of, _)| of == key).map(|(_, _, text)| text.as_str()).collect();
        assert_eq!(of_key, counted, "{key}");
    }
}

#[test]
fn a_window_that_traps_is_set_aside_with_its_keys_state() {
    let good = |at: i64, key: &str| MemoryRecord::new(at, key, "word");
    let mut records: Vec<MemoryRecord> = (0..30).map(|at| good(0, &format!("{:02}", at % 10))).collect();
    records.push(good(10, "07"));
    records.push(MemoryRecord::new(11, "07", "trap"));
    records.push(good(20, "07"));
    let (found, letters) = run("tumbling = '10ms'", 1, records);
    assert_eq!(found.len(), 11, "{found:?}");
    assert_eq!(found[10], (29, "07".to_owned(), "2 1".to_owned()), "what the trapped window did is undone");
    assert_eq!(letters.len(), 1);
    let letter = &letters[0];
    let said = [&letter["key"], &letter["window"], &letter["event-time"], &letter["state"][0]["name"]];
    assert_eq!(said.map(Value::to_string), ["\"07\"", "[10,20]", "19", "\"windows\""]);
    assert!(letter["reason"].as_str().is_some_and(|reason| reason.starts_with("`process` trapped")), "{letter}");
}

#[test]
fn of_a_large_window_that_traps_nothing_stays_behind() {
    let trap = MemoryRecord::new(999, "a", "trap");
    let records = many("a", 0, 9_000).chain([trap]).chain(many("a", 1_000, 9_000)).chain(many("b", 1_000, 2));
    let (found, letters) = run("tumbling = '1s'", 1, records.collect());
    assert_eq!(found, expected([(1_999, "a", "1 9000"), (1_999, "b", "1 2")]));
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0]["window"].to_string(), "[0,1000]");
}

#[test]
fn a_record_that_is_not_of_the_format_is_rejected_and_not_among_the_others() {
    let records = [&b"word"[..], &[0xff], b"word"].map(|value| MemoryRecord::new(5, "a", value)).to_vec();
    let (found, letters) = run("count = 3", 1, records);
    assert_eq!(found, expected([(i64::MAX, "a", "1 2")]));
    assert_eq!(letters.len(), 1);
    let said = [&letters[0]["key"], &letters[0]["value-base64"], &letters[0]["event-time"]];
    assert_eq!(said.map(Value::to_string), ["\"a\"", "\"/w==\"", "5"]);
}

#[test]
fn a_component_takes_windows_or_does_not() {
    let refused = |component: &str, job: &str| {
        let text = format!("name = 'test'\n{}", job.replace("WINDOW", "tumbling = '1s'").replace("collect", component));
        let spec = JobSpec::parse(&text, "job.toml").unwrap_or_else(|error| panic!("{error}"));
        let mut registry = Registry::empty();
        registry.register("in", MemoryConnector::source(MemorySource::new(1)));
        plan(&spec, &registry).err().map(|error| error.to_string()).unwrap_or_default()
    };
    let without_window = refused("collect", &JOB.replace("window = { WINDOW }\n", ""));
    assert!(without_window.contains("\"collect.wasm\" is of world keyed: it sees all records"), "{without_window}");
    let with_timers = refused("timers", JOB);
    assert!(with_timers.contains("it is made for single records"), "{with_timers}");
    assert!(with_timers.contains("make it a process_window operator of the SDK, or remove"), "{with_timers}");
    let stateless = refused("echo", JOB);
    assert!(stateless.contains("only worlds aggregate and keyed take a \"window\""), "{stateless}");
}
