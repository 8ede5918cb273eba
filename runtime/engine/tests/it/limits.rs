//! What a call is given fits into its limits, however many records, keys and timers there are at once.

use crate::common::{Running, TestJob, wait_until};
use std::io::{Read, Write};
use std::net::TcpListener;
use tidewheel_connectors::memory::{MemoryRecord, MemorySink, MemorySource};

/// `COMPONENT`, `CONFIG` and `LIMITS` are put in by the tests. Nothing may be set aside: `on-error` is `fail`.
/// The records have their keys from the start.
const JOB: &str = "
[sources.in]
connector = 'in'
[operators.echo]
component = 'echo.wasm'
input = 'in'
[operators.op]
component = 'COMPONENT.wasm'
input = 'echo'
config = { CONFIG }
limits = { LIMITS }
[sinks.out]
connector = 'out'
input = 'op'
";

fn start(component: &str, config: &str, limits: &str, source: &MemorySource) -> (Running, MemorySink) {
    let text = JOB.replace("COMPONENT", component).replace("CONFIG", config).replace("LIMITS", limits);
    let (job, out) = TestJob::new(&text).source("in", source).sink("out");
    (job.start(1), out)
}

fn records(records: impl Iterator<Item = MemoryRecord>) -> MemorySource {
    MemorySource::of([records.collect::<Vec<_>>()])
}

/// 40 MB of results, of which a call may give 16 MiB.
#[test]
fn many_timers_with_many_results_are_too_much_for_one_call_only() {
    let source = records((0..2_000).map(|key: u32| MemoryRecord::new(0, key.to_string(), "x")));
    let (job, out) = start("burst", "timers = 1, results = 1000, bytes = 20", "", &source);
    job.wait();
    assert_eq!(out.committed().len(), 2_000 + 2_000 * 1_000);
}

#[test]
fn results_that_are_too_much_for_one_call_are_made_by_several() {
    let source = records((0..3_000).map(|at: u32| MemoryRecord::new(0, (at % 50).to_string(), "x")));
    let (job, out) = start("count-with-state", "", "output = '8KiB'", &source);
    job.wait();
    assert_eq!(out.committed().len(), 3_000 + 50, "a count for each record, and one for each key by its timer");
}

/// Without `fits`, the frames of these would hold hundreds of MiB.
#[test]
fn large_keys_do_not_make_large_frames() {
    let key = |number: u32| [vec![b'x'; 1 << 20], number.to_le_bytes().to_vec()].concat();
    let source = records((0..120).map(|at| MemoryRecord::new(0, key(at % 40), "x")));
    let (job, out) = start("count-with-state", "", "memory = '24MiB'", &source);
    job.wait();
    assert_eq!(out.committed().len(), 120 + 40);
}

/// Results inherit their timer's key, here of 256 KiB: 200 of them take 50 MiB, and are sent on in several batches.
#[test]
fn inherited_keys_are_multiplied_a_batch_at_a_time() {
    let source = records((0..2).map(|at: u8| MemoryRecord::new(0, vec![at; 256 << 10], "x")));
    let (job, out) = start("burst", "timers = 1, results = 200, bytes = 1", "", &source);
    job.wait();
    let committed = out.committed();
    assert_eq!(committed.len(), 2 + 2 * 200);
    assert!(committed.iter().all(|record| record.key.len() == 256 << 10));
}

#[test]
fn a_timer_whose_inherited_keys_are_too_much_is_poison() {
    let text = JOB.replace("COMPONENT", "burst").replace("CONFIG", "timers = 1, results = 4200, bytes = 1");
    let text = text.replace("limits = { LIMITS }", "on-error = 'dead-letter'");
    let letters = "[sinks.letters]\nconnector = 'letters'\ninput = 'op.dead-letter'";
    let keys = [vec![b'k'; 1 << 20], vec![b'k']];
    let source = records(keys.into_iter().map(|key| MemoryRecord::new(0, key, "x")));
    let (job, out) = TestJob::new(&(text + letters)).source("in", &source).sink("out");
    let (job, letters) = job.sink("letters");
    job.run(1);
    assert_eq!(out.committed().len(), 2 + 4_200, "the other key's timer fires");
    let letters = letters.committed();
    let letter: serde_json::Value = serde_json::from_slice(&letters[0].value).expect("JSON");
    let reason = letter["reason"].as_str().expect("a reason");
    assert!(reason.contains("with the keys they inherit, more than 67108864"), "{reason}");
    assert_eq!((letters.len(), letter["timer"].as_str()), (1, Some("burst")));
}

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 24 * 60 * MINUTE_MS;

/// A sensor that was silent for a month; the records before are an hour apart.
#[test]
fn timers_catch_up_over_a_month() {
    let source = MemorySource::new(1);
    let (job, out) = start("alarm", "", "", &source);
    source.split(0).push([MemoryRecord::new(0, "a", "x")]);
    wait_until("the record has been read", || source.split(0).waiting() == 0);
    source.split(0).push([MemoryRecord::new(30 * DAY_MS, "b", "x")]);
    wait_until("a month of minutes has passed", || out.taken().len() as i64 >= 30 * DAY_MS / MINUTE_MS - 1);
    source.split(0).end();
    job.wait();
    assert_eq!(out.committed().len() as i64, 30 * DAY_MS / MINUTE_MS + 1);
}

/// The watermark jumps to the end at once: what lies before the last record is still to be caught up.
#[test]
fn timers_catch_up_at_the_end() {
    let source = records([(0, "a"), (30 * DAY_MS, "b")].into_iter().map(|(at, key)| MemoryRecord::new(at, key, "x")));
    let (job, out) = start("alarm", &format!("until = {}", 30 * DAY_MS), "", &source);
    job.wait();
    assert_eq!(out.committed().len() as i64, 30 * DAY_MS / MINUTE_MS + 1);
}

/// A host that answers nobody at first: its records wait, and none is set aside as if it were bad.
#[test]
fn a_network_that_is_away_is_no_fault_of_the_records() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let host = listener.local_addr().expect("it has one");
    std::thread::spawn(move || {
        let mut silent = Vec::new();
        for (number, stream) in listener.incoming().enumerate() {
            let mut stream = stream.expect("a connection");
            if number < 4 {
                silent.push(stream);
                continue;
            }
            let mut asked = [0; 1 << 10];
            let _ = stream.read(&mut asked);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok");
        }
    });
    let granted = format!("on-error = 'dead-letter'\ngrants = ['http:{host}']\nlimits = {{ deadline = '100ms' }}");
    let text = JOB.replace("COMPONENT", "requests").replace("CONFIG", "").replace("limits = { LIMITS }", &granted);
    let letters = "[sinks.letters]\nconnector = 'letters'\ninput = 'op.dead-letter'";
    let source = records((0..3).map(|_| MemoryRecord::new(0, "k", format!("GET http://{host}/"))));
    let (job, out) = TestJob::new(&(text + letters)).source("in", &source).sink("out");
    let (job, letters) = job.sink("letters");
    job.run(1);
    assert!(letters.committed().is_empty(), "{:?}", letters.committed());
    let answers: Vec<_> = out.committed().iter().map(|record| record.text().to_owned()).collect();
    assert_eq!(answers, ["200 ok"; 3]);
}
