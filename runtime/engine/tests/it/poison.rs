//! Poison: whatever a record does to its operator, what comes of the others is as if it had not been there.

use crate::common::{Parts, Running, TestJob, wait_until};
use proptest::collection::vec;
use proptest::prelude::{Just, ProptestConfig, any, prop_assert, prop_assert_eq, prop_oneof, proptest};
use proptest::strategy::Strategy;
use proptest::test_runner::TestCaseError;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tidewheel_connectors::memory::{MemoryRecord, MemorySource};
use tidewheel_engine::JobSnapshot;

/// `COMPONENT`, `WINDOW` and `RECORDS` are put in by the tests. The records have their keys from the start.
const JOB: &str = "
[sources.in]
connector = 'in'
[operators.echo]
component = 'echo.wasm'
input = 'in'
[operators.op]
component = 'COMPONENT.wasm'
input = 'echo'
WINDOW
on-error = 'dead-letter'
limits = { deadline = '200ms', memory = '16MiB', output = '256KiB', records = RECORDS }
[sinks.out]
connector = 'out'
input = 'op'
[sinks.letters]
connector = 'letters'
input = 'op.dead-letter'
";

/// Component and window of an operator of each world; the last two merge several accumulators.
const WORLDS: [(&str, &str); 5] = [
    ("poison-stateless", ""),
    ("poison-keyed", ""),
    ("poison-aggregate", "window = { tumbling = '10ms' }"),
    ("poison-aggregate", "window = { sliding = '20ms', slide = '10ms' }"),
    ("poison-aggregate", "window = { session = '3ms' }"),
];

/// Records in a call: as many as the engine finds good.
const ANY: u64 = 1 << 14;

/// What a job has given.
struct Results {
    /// Per key, in order.
    good: BTreeMap<Vec<u8>, Vec<Parts>>,
    /// In order of their offsets.
    letters: Vec<Value>,
    counters: JobSnapshot,
}

fn run((component, window): (&str, &str), workers: usize, records_max: u64, source: &MemorySource) -> Results {
    let text = JOB.replace("COMPONENT", component).replace("WINDOW", window);
    let job = TestJob::new(&text.replace("RECORDS", &records_max.to_string())).source("in", source);
    let (job, out) = job.sink("out");
    let (job, letters) = job.sink("letters");
    let counters = job.run(workers);
    let mut good: BTreeMap<Vec<u8>, Vec<Parts>> = BTreeMap::new();
    for record in out.committed() {
        let parts = (record.time, record.key.clone(), record.value);
        good.entry(record.key).or_default().push(parts);
    }
    let mut letters: Vec<Value> =
        letters.committed().iter().map(|letter| serde_json::from_slice(&letter.value).expect("JSON")).collect();
    letters.sort_by_key(|letter| (letter["offset"].as_u64(), letter["key"].to_string()));
    Results { good, letters, counters }
}

/// Runs a job with these records, up to `records_max` in a call, and one without those that are poison.
fn check(world: (&str, &str), workers: usize, records_max: u64, records: &[(u8, &str)]) -> Result<(), TestCaseError> {
    let record = |(place, (key, value)): (usize, &(u8, &str))| MemoryRecord::new(place as i64, [*key], *value);
    let of = |wanted: &dyn Fn(&str) -> bool| {
        let wanted = records.iter().enumerate().filter(|(_, (_, value))| wanted(value));
        MemorySource::of([wanted.map(record).collect::<Vec<_>>()])
    };
    let is_good = |value: &str| ["good", "fine", "else"].contains(&value);
    let mixed = run(world, workers, records_max, &of(&|_| true));
    let clean = run(world, workers, records_max, &of(&is_good));
    prop_assert_eq!(&mixed.good, &clean.good, "{} on {} workers", world.0, workers);
    prop_assert_eq!(clean.letters.len(), 0);
    let poison: Vec<u64> = (0..records.len() as u64).filter(|&at| !is_good(records[at as usize].1)).collect();
    let found: Vec<u64> = mixed.letters.iter().filter_map(|letter| letter["offset"].as_u64()).collect();
    prop_assert_eq!(&found, &poison, "{} on {} workers", world.0, workers);
    for (letter, &at) in mixed.letters.iter().zip(&poison) {
        prop_assert_eq!(letter["value"].as_str(), Some(records[at as usize].1));
        prop_assert_eq!(letter["event-time"].as_u64(), Some(at));
    }
    let counted = mixed.counters.nodes.iter().find(|node| node.name == "op").expect("the operator");
    prop_assert_eq!(counted.rejected, poison.len() as u64);
    // Of a search every second call fails at the most; the others are what there is to do anyway, and pieces of it.
    let halvings = u64::from((records.len() as u64).min(records_max).max(1).ilog2());
    let most = poison.len() as u64 * (halvings + 5);
    prop_assert!(
        counted.failed_calls <= most,
        "{} calls failed, of {} with {} poison",
        counted.failed_calls,
        records.len(),
        poison.len()
    );
    Ok(())
}

fn cases(cases: u32, max_shrink_iters: u32) -> ProptestConfig {
    ProptestConfig { cases, max_shrink_iters, failure_persistence: None, ..ProptestConfig::default() }
}

fn record() -> impl Strategy<Value = (u8, &'static str)> {
    let good = prop_oneof![Just("good"), Just("fine"), Just("else")];
    let poison = prop_oneof![
        Just("trap"),
        Just("blame"),
        Just("wrong"),
        Just("big"),
        Just("broken"),
        Just("stack"),
        Just("memory")
    ];
    (b'a'..b'e', prop_oneof![6 => good, 1 => poison])
}

proptest! {
    #![proptest_config(cases(12, 60))]
    #[test]
    fn good_records_give_what_they_give_without_poison(
        records in prop_oneof![vec(record(), 1..8), vec(record(), 8..80), vec(record(), 80..400)],
        workers in 1usize..3,
        records_max in prop_oneof![Just(1), 2u64..20, Just(100), Just(ANY)],
        all_of_one in prop_oneof![3 => Just(None), 1 => any::<bool>().prop_map(Some)],
    ) {
        let mut records = records;
        match all_of_one {
            Some(true) => records.iter_mut().for_each(|(key, _)| *key = b'a'),
            Some(false) => records.iter_mut().for_each(|(_, value)| *value = "blame"),
            None => {}
        }
        for world in WORLDS {
            check(world, workers, records_max, &records)?;
        }
    }
}

proptest! {
    #![proptest_config(cases(2, 10))]
    #[test]
    fn nor_do_records_that_loop_make_a_difference(
        records in vec(record(), 1..60), loops in vec(any::<u8>(), 1..3),
        records_max in prop_oneof![Just(1), 2u64..20, Just(ANY)],
    ) {
        let mut records = records;
        let len = records.len();
        loops.iter().for_each(|&place| records[usize::from(place) % len].1 = "loop");
        for world in WORLDS {
            check(world, 1, records_max, &records)?;
        }
    }
}

#[test]
fn a_record_that_loops_is_set_aside_and_holds_the_others_up_only_so_long() {
    for world in WORLDS {
        let mut records: Vec<(u8, &str)> = (0..600u32).map(|at| (b'a' + (at % 7) as u8, "good")).collect();
        records[417].1 = "loop";
        check(world, 2, ANY, &records).unwrap();
    }
}

#[test]
fn a_dead_letter_says_what_the_record_did_and_where() {
    let records = ["good", "blame", "trap", "big", "broken"];
    let source = MemorySource::of([records.map(|value| MemoryRecord::new(5, "k", value)).to_vec()]);
    let mut letters = run(WORLDS[0], 1, ANY, &source).letters;
    for letter in &mut letters {
        let digest = letter["component"].take();
        assert!(digest.as_str().is_some_and(|digest| digest.len() >= 16), "{digest} is the component's digest");
    }
    let reasons = [
        "`process` trapped: wasm `unreachable` instruction executed: it is poison",
        "`process` trapped: wasm `unreachable` instruction executed",
        "`process` trapped: it gave more than its 262144 bytes of output",
        "`process` returned a frame that breaks the contract: ",
    ];
    assert_eq!(letters.len(), reasons.len());
    for (place, (letter, reason)) in letters.iter_mut().zip(reasons).enumerate() {
        let said = letter["reason"].take();
        assert!(said.as_str().is_some_and(|said| said.starts_with(reason)), "{said}");
        let backtrace = letter["backtrace"].take();
        let functions = backtrace.as_array().expect("a list");
        let is_inside = |name: &Value| name.as_str().is_some_and(|name| name.contains("swallow"));
        assert_eq!(functions.iter().any(is_inside), place < 2, "{functions:?}");
        let expected = json!({"operator": "op", "source": "in", "split": "memory-0", "offset": place + 1, "key": "k",
            "value": records[place + 1], "event-time": 5, "component": null, "reason": null, "backtrace": null});
        assert_eq!(*letter, expected);
    }
}

#[test]
fn a_timer_that_traps_is_set_aside_with_its_key_and_state() {
    let keys = (b'a'..=b'z').flat_map(|key| {
        let doomed = (key == b'c' || key == b'x').then(|| MemoryRecord::new(7, [key], "doom"));
        [MemoryRecord::new(7, [key], "good")].into_iter().chain(doomed)
    });
    let results = run(WORLDS[1], 2, ANY, &MemorySource::of([keys.collect::<Vec<_>>()]));
    for (key, good) in &results.good {
        let times: Vec<i64> = good.iter().map(|(time, ..)| *time).collect();
        let expected: &[i64] = if key == b"c" || key == b"x" { &[7, 7] } else { &[7, 1_000_000] };
        assert_eq!(times, expected, "of key {:?}: its records and its timer", key.escape_ascii().to_string());
    }
    assert_eq!(results.letters.len(), 2);
    for (letter, key) in results.letters.iter().zip(["c", "x"]) {
        let said = [&letter["key"], &letter["timer"], &letter["event-time"], &letter["offset"], &letter["value"]];
        assert_eq!(said.map(Value::to_string), [&format!("{key:?}"), "\"doom\"", "1000000", "null", "\"\""]);
        assert_eq!(letter["state"][0]["name"], "seen");
        assert!(letter["state"][0]["value-base64"].is_string(), "{letter}");
        assert!(letter["reason"].as_str().is_some_and(|reason| reason.starts_with("`on-timer` trapped")), "{letter}");
    }
}

#[test]
fn a_window_that_traps_is_set_aside_with_its_accumulator() {
    let records = (0..100)
        .map(|at| MemoryRecord::new(at, if at == 42 { "d" } else { "g" }, if at == 42 { "doom" } else { "good" }));
    let results = run(WORLDS[2], 1, ANY, &MemorySource::of([records.collect::<Vec<_>>()]));
    let (good, letters) = (&results.good, &results.letters);
    assert_eq!((good[&b"g"[..]].len(), good.get(&b"d"[..]), letters.len()), (10, None, 1));
    let letter = &letters[0];
    let said = [&letter["key"], &letter["window"], &letter["event-time"], &letter["state"][0]["name"]];
    assert_eq!(said.map(Value::to_string), ["\"d\"", "[40,50]", "49", "\"accumulator\""]);
    assert!(letter["reason"].as_str().is_some_and(|reason| reason.starts_with("`fire` trapped")), "{letter}");
}

/// Two panes of a window are good by themselves, and only their merge is not.
#[test]
fn a_merge_that_traps_is_set_aside_and_the_other_windows_fire() {
    let records = (0..40).map(|at| {
        let is_doomed = at == 15;
        MemoryRecord::new(at, if is_doomed { "d" } else { "g" }, if is_doomed { "doom" } else { "good" })
    });
    let results = run(WORLDS[3], 1, ANY, &MemorySource::of([records.collect::<Vec<_>>()]));
    assert_eq!((results.good[&b"g"[..]].len(), results.good.get(&b"d"[..])), (5, None));
    let windows: Vec<String> = results.letters.iter().map(|letter| letter["window"].to_string()).collect();
    assert_eq!(windows, ["[0,20]", "[10,30]"], "each window of the pane is set aside by itself");
    assert!(results.letters.iter().all(|letter| letter["key"] == "d" && letter["state"][0]["name"] == "accumulator"));
}

#[test]
fn others_on_the_worker_wait_for_one_deadline_at_a_time() {
    let text = JOB.replace("COMPONENT", "poison-stateless").replace("WINDOW", "").replace("RECORDS", "1");
    let text = text.replace("'200ms'", "'300ms'").replace("'dead-letter'", "'skip'").replace("op.dead-letter", "also");
    let also = "[sources.also]\nconnector = 'also'\n";
    let (doomed, also_in) = (MemorySource::new(1), MemorySource::new(1));
    let job = TestJob::new(&format!("{also}{text}")).source("in", &doomed).source("also", &also_in);
    let (job, _) = job.sink("out");
    let (job, others) = job.sink("letters");
    let job = job.start(1);
    doomed.split(0).push((0..6).map(|at| MemoryRecord::new(at, "k", "loop")));
    let rejected = |job: &Running| job.counters().nodes.iter().map(|node| node.rejected).max();
    for record in 0..3 {
        wait_until("the next one loops", || rejected(&job) >= Some(record + 1));
        also_in.split(0).push([MemoryRecord::new(record as i64, "k", "quick")]);
        wait_until("the other one is through", || others.taken().len() as u64 == record + 1);
        assert!(rejected(&job) < Some(6), "record {record} has waited for all that loop");
    }
    doomed.split(0).end();
    also_in.split(0).end();
    job.wait();
}

#[test]
fn a_batch_that_a_guest_cannot_take_yet_is_made_again() {
    let records = ["one", "busy", "two"].map(|value| MemoryRecord::new(0, "", value));
    let results = run(("trap", ""), 1, ANY, &MemorySource::of([records.to_vec()]));
    let values: Vec<_> = results.good[&b""[..]].iter().map(|(_, _, value)| value.as_slice()).collect();
    assert_eq!(values, [&b"one"[..], b"busy", b"two"]);
    assert_eq!(results.letters, Vec::<Value>::new());
}
