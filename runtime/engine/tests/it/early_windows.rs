//! Windows that fire early, by processing time.

use crate::common::{Parts, TIMEOUT, TestJob, durability, sorted, wait_until};
use crate::windows::{COMPONENTS, Input, records_in};
use tidewheel_checkpoint::Store;
use tidewheel_checkpoint::savepoint::Savepoint;
use tidewheel_connectors::memory::MemorySource;
use tidewheel_engine::{After, Clock, JobOptions, ManualClock, StartFrom};
use tidewheel_state::BackendKind;

/// Sliding windows show what they have before they end: all of it, or each what it has not shown yet.
#[test]
fn overlapping_windows_fire_early() {
    for (component, discards) in COMPONENTS.into_iter().flat_map(|of| [(of, false), (of, true)]) {
        let panes = if discards { "discarding" } else { "accumulating" };
        let text = format!(
            "[sources.numbers]\nconnector = 'numbers'\n\
             [operators.sums]\ncomponent = '{component}.wasm'\ninput = 'numbers'\nkey = {{ bytes = '0..1' }}\n\
             window = {{ sliding = '2h', slide = '1h', trigger = {{ early = '10s' }}, panes = '{panes}' }}\n\
             [sinks.out]\nconnector = 'out'\ninput = 'sums'\n"
        );
        let (numbers, clock) = (MemorySource::new(1), ManualClock::at(5_000));
        let (job, out) = TestJob::new(&text).source("numbers", &numbers).sink("out");
        let job = job.start_with(JobOptions { clock: Clock::Manual(clock.clone()), ..JobOptions::workers(2) });
        let push = |time, number: u64, records| {
            numbers.split(0).push([Input { key: 0, time, number, gap: 1 }.record()]);
            wait_until("it is processed", || records_in(&job) >= records);
        };
        let fired = |results| wait_until("they have fired early", || out.taken().len() == results);
        let hour = 3_600_000;
        push(100, 1, 1);
        clock.set(10_000);
        fired(2);
        // It is in one of the windows before, and ends the other.
        push(hour + 100, 2, 2);
        fired(if discards { 2 } else { 3 });
        clock.set(25_000);
        fired(if discards { 4 } else { 5 });
        numbers.split(0).end();
        job.wait();
        let result = |end: i64, sum: u64| (end - 1, vec![0], (sum << 8).to_le_bytes().to_vec());
        let mut expected = vec![result(hour, 1), result(2 * hour, 1)];
        expected.extend(match discards {
            true => vec![result(2 * hour, 2), result(3 * hour, 2)],
            // Each fires early, but for the first one, and at its end.
            false => vec![
                result(hour, 1),
                result(2 * hour, 3),
                result(3 * hour, 2),
                result(2 * hour, 3),
                result(3 * hour, 2),
            ],
        });
        expected.sort();
        assert_eq!(sorted(out.committed()), expected, "{component}: {panes}");
    }
}

/// What is drained has fired for good: nothing is left of what would have it fire early.
#[test]
fn a_drained_savepoint_has_no_timers() {
    for component in COMPONENTS {
        let text = format!(
            "[sources.numbers]\nconnector = 'numbers'\n\
             [operators.sums]\ncomponent = '{component}.wasm'\ninput = 'numbers'\nkey = {{ bytes = '0..1' }}\n\
             window = {{ tumbling = '1h', trigger = {{ early = '10s' }} }}\n\
             [sinks.out]\nconnector = 'out'\ninput = 'sums'\n"
        );
        let folder = tempfile::tempdir().expect("a folder");
        let (numbers, clock) = (MemorySource::new(1), ManualClock::at(5_000));
        let (job, out) = TestJob::new(&text).source("numbers", &numbers).sink("out");
        let options = JobOptions {
            state: (BackendKind::Memory, folder.path().join("state")),
            durability: Some(durability(folder.path(), StartFrom::Nothing)),
            clock: Clock::Manual(clock.clone()),
            ..JobOptions::workers(2)
        };
        let job = job.start_with(options);
        let records = [(0, 1), (1, 2)].map(|(key, number)| Input { key, time: 100, number, gap: 1 }.record());
        numbers.split(0).push(records);
        wait_until("they are processed", || records_in(&job) >= 2);
        let url = folder.path().join("savepoint").to_string_lossy().into_owned();
        let done = job.control().snapshot(Some(url.clone()), After::Stop { drain: true });
        done.recv_timeout(TIMEOUT).expect("an answer").expect("a savepoint");
        job.wait();
        assert_eq!(out.committed().len(), 2, "{component}: the windows have fired");
        let savepoint = Savepoint::open(&Store::open(&url, folder.path()).expect("a store")).expect("it is complete");
        let mut rows = savepoint.rows("sums", 0..u16::MAX);
        let row = rows.next().expect("its files are as they were written");
        assert!(row.is_none(), "{component}: timers are rows, as values are: {row:?}");
    }
}

/// Tumbling, session and sliding windows show what they have before they end.
#[test]
fn windows_fire_early() {
    let windows = [
        ("tumbling = '1h'", 3_599_999),
        ("session = '1m'", 60_099),
        ("sliding = '1h', slide = '1h'", 3_599_999),
        ("tumbling = '1h', panes = 'discarding'", 3_599_999),
    ];
    for (component, (window, last_time)) in COMPONENTS.into_iter().flat_map(|of| windows.map(|window| (of, window))) {
        let text = format!(
            "[sources.numbers]\nconnector = 'numbers'\n\
             [operators.sums]\ncomponent = '{component}.wasm'\ninput = 'numbers'\nkey = {{ bytes = '0..1' }}\n\
             window = {{ {window}, trigger = {{ early = '10s' }} }}\n\
             [sinks.out]\nconnector = 'out'\ninput = 'sums'\n"
        );
        let (numbers, clock) = (MemorySource::new(1), ManualClock::at(5_000));
        let (job, out) = TestJob::new(&text).source("numbers", &numbers).sink("out");
        let job = job.start_with(JobOptions { clock: Clock::Manual(clock.clone()), ..JobOptions::workers(2) });
        let push = |number: u64, records| {
            numbers.split(0).push([Input { key: 0, time: 100, number, gap: 1 }.record()]);
            wait_until("it is processed", || records_in(&job) >= records);
        };
        let fired = |results| wait_until("it has fired early", || out.taken().len() == results);
        push(1, 1);
        clock.set(9_999);
        push(2, 2);
        clock.set(10_000);
        fired(1);
        push(4, 3);
        clock.set(25_000);
        fired(2);
        push(8, 4);
        numbers.split(0).end();
        job.wait();
        let sums = if window.contains("discarding") { [3, 4, 8] } else { [3, 7, 15] };
        let results = sums.map(|sum: u64| (last_time, vec![0], (sum << 8).to_le_bytes().to_vec()));
        let found: Vec<Parts> =
            out.committed().into_iter().map(|record| (record.time, record.key, record.value)).collect();
        assert_eq!(found, results, "{component}: {window}");
    }
}
