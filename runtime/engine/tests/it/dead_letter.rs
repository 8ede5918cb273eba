//! Bad input: set aside with its place and reason, or counted and dropped. That it can also end a job is tested with a
//! process, in the tests of the whole program.

use crate::common::TestJob;
use serde_json::{Value, json};
use tidewheel_connectors::memory::{MemoryRecord, MemorySink, MemorySource};

/// `ON_ERROR` is put in by the tests.
const JOB: &str = r#"
[sources.rows]
connector = 'rows'
event-time = { json = '/at' }
key = { json = '/user' }
on-error = 'ON_ERROR'
[sources.numbers]
connector = 'numbers'
[operators.parity]
component = 'parity.wasm'
input = 'numbers'
on-error = 'ON_ERROR'
[operators.by-shop]
component = 'burst.wasm'
input = 'rows'
key = { json = '/shop' }
on-error = 'ON_ERROR'
[sinks.good-rows]
connector = 'good-rows'
input = 'by-shop'
[sinks.good-numbers]
connector = 'good-numbers'
input = ['parity', 'parity.odd']
"#;

const LETTERS: &str = "
[sinks.letters]
connector = 'letters'
input = ['rows.dead-letter', 'parity.dead-letter', 'by-shop.dead-letter']
";

/// Good ones among every kind of bad one.
fn sources() -> (MemorySource, MemorySource) {
    let rows = MemorySource::new(2);
    rows.split(0).push_values([r#"{"at": 1, "user": "u", "shop": "s"}"#, r#"{"user": "u", "shop": "s"}"#]);
    rows.split(0).push_malformed(b"{\"at\": ", "orders.jsonl:3: the object does not end");
    rows.split(0).push_values([r#"{"at": 4, "shop": "s"}"#, r#"{"at": "noon", "shop": "s"}"#]);
    rows.split(0).end();
    rows.split(1).push_values([r#"{"at": 5, "user": 7}"#, r#"{"at": 6, "user": 8, "shop": 9}"#]);
    rows.split(1).end();
    let number = |value: &[u8]| MemoryRecord::new(3, "k", value);
    let numbers = MemorySource::of([vec![number(b"1"), number(b"one"), number(b"2"), number(b"\xff")]]);
    (rows, numbers)
}

/// Good records are the same however the bad ones are treated.
#[track_caller]
fn check_good(rows: &MemorySink, numbers: &MemorySink) {
    let texts = |sink: &MemorySink| {
        let mut texts: Vec<_> = sink.committed().iter().map(|record| record.text().to_owned()).collect();
        texts.sort();
        texts
    };
    assert_eq!(texts(rows), [r#"{"at": 1, "user": "u", "shop": "s"}"#, r#"{"at": 6, "user": 8, "shop": 9}"#]);
    assert_eq!(texts(numbers), ["1", "2"]);
}

#[test]
fn bad_records_become_dead_letters_with_place_and_reason() {
    let (rows, numbers) = sources();
    let job = TestJob::new(&(JOB.replace("ON_ERROR", "dead-letter") + LETTERS));
    let (job, good_rows) = job.source("rows", &rows).source("numbers", &numbers).sink("good-rows");
    let (job, good_numbers) = job.sink("good-numbers");
    let (job, letters) = job.sink("letters");
    let counters = job.run(2);

    check_good(&good_rows, &good_numbers);
    let mut letters: Vec<Value> =
        letters.committed().iter().map(|record| serde_json::from_slice(&record.value).expect("JSON")).collect();
    letters.sort_by_key(|letter| format!("{}{}{}", letter["source"], letter["split"], letter["offset"]));
    for letter in &mut letters {
        if letter["operator"] == "parity" {
            let digest = letter["component"].take();
            assert!(digest.as_str().is_some_and(|digest| digest.len() >= 16), "{digest} is the component's digest");
        }
    }
    let row = |split, offset, value, reason| {
        let split = format!("memory-{split}");
        json!({"operator": "rows", "source": "rows", "split": split, "offset": offset, "value": value, "reason": reason,
            "component": null, "event-time": null})
    };
    let number = |offset: u64| {
        json!({"operator": "parity", "source": "numbers", "split": "memory-0", "offset": offset, "event-time": 3,
            "key": "k", "component": null, "reason": "not a number"})
    };
    let mut expected = [
        number(1),
        number(3),
        row(0, 1, r#"{"user": "u", "shop": "s"}"#, r#"memory-0:1: no "/at" in the record"#),
        row(0, 2, "{\"at\": ", "orders.jsonl:3: the object does not end"),
        row(0, 3, r#"{"at": 4, "shop": "s"}"#, r#"memory-0:3: no "/user" in the record"#),
        row(
            0,
            4,
            r#"{"at": "noon", "shop": "s"}"#,
            r#"memory-0:4: "/at" is not a time: "noon" (expected milliseconds since 1970 or an RFC 3339 string)"#,
        ),
        row(1, 0, r#"{"at": 5, "user": 7}"#, r#"no "/shop" in the record"#),
    ];
    expected[0]["value"] = json!("one");
    expected[1]["value-base64"] = json!("/w==");
    expected[6]["operator"] = json!("by-shop");
    expected[6]["event-time"] = json!(5);
    assert_eq!(letters, expected);
    let of =
        |name: &str| counters.nodes.iter().find(|node| node.name == name).map(|node| (node.malformed, node.rejected));
    assert_eq!((of("rows"), of("parity")), (Some((4, 0)), Some((0, 2))));
}

#[test]
fn bad_records_that_are_skipped_are_counted() {
    let (rows, numbers) = sources();
    let job = TestJob::new(&JOB.replace("ON_ERROR", "skip"));
    let (job, good_rows) = job.source("rows", &rows).source("numbers", &numbers).sink("good-rows");
    let (job, good_numbers) = job.sink("good-numbers");
    let counters = job.run(2);
    check_good(&good_rows, &good_numbers);
    let bad: Vec<_> = counters.nodes.iter().map(|node| (node.name.as_str(), node.malformed, node.rejected)).collect();
    let expected = [
        ("rows", 4, 0),
        ("numbers", 0, 0),
        ("parity", 0, 2),
        ("by-shop", 0, 1),
        ("good-rows", 0, 0),
        ("good-numbers", 0, 0),
    ];
    assert_eq!(bad, expected);
}
