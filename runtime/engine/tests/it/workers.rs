//! Results do not depend on the number of workers: the same job on one, two and three, against a model.

use crate::common::{Parts, TestJob, sorted};
use std::collections::BTreeMap;
use tidewheel_connectors::memory::{MemoryRecord, MemorySink, MemorySource};

/// Everything at once: several sources and splits, union, fan-out, an exchange without key, a side output, keyed state
/// with timers, windows, windows behind windows, late records.
const JOB: &str = "
[sources.numbers]
connector = 'numbers'
[operators.parity]
component = 'parity.wasm'
input = 'numbers'
exchange = 'rebalance'
[operators.count]
component = 'count-with-state.wasm'
input = 'parity.odd'
[sinks.even]
connector = 'even'
input = 'parity'
[sinks.counts]
connector = 'counts'
input = 'count'

[sources.left]
connector = 'left'
key = { bytes = '0..1' }
watermark = { out-of-orderness = '60s' }
[sources.right]
connector = 'right'
key = { bytes = '0..1' }
watermark = { out-of-orderness = '60s' }
[operators.seconds]
component = 'sum.wasm'
input = ['left', 'right']
window = { tumbling = '1s' }
[operators.tens]
component = 'sum.wasm'
input = 'seconds'
window = { tumbling = '10s', offset = '3s' }
[sinks.sums]
connector = 'sums'
input = 'seconds'
[sinks.sums-of-sums]
connector = 'sums-of-sums'
input = 'tens'
[sinks.late]
connector = 'late'
input = ['seconds.late', 'tens.late']
";

/// Records of a sink, sorted.
type Results = Vec<Parts>;

/// Numbers that look like chance and are the same in every run.
fn scattered(count: u64) -> impl Iterator<Item = u64> {
    (1..=count).map(|number| number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32)
}

/// Decimal numbers of one event time, so that every key has one timer, after its last record.
fn decimals(split: u64) -> Vec<MemoryRecord> {
    scattered(3_000 + split * 1_000)
        .map(|number| MemoryRecord::new(5_000, format!("key-{}", number % 23), (number + split).to_string()))
        .collect()
}

/// Numbers at times up to a minute out of order; their first byte is their key.
fn binaries(split: u64) -> Vec<MemoryRecord> {
    let records = scattered(4_000).enumerate();
    let record = |(place, number): (usize, u64)| {
        let time = place as i64 * 25 - (number % 60_000) as i64;
        MemoryRecord::new(time, "", ((number + split) % 1_000).to_le_bytes())
    };
    records.map(record).collect()
}

fn sums(records: &[Parts], size: i64, offset: i64) -> Results {
    let mut sums: BTreeMap<(i64, Vec<u8>), u64> = BTreeMap::new();
    for (time, key, value) in records {
        let last_time = time - (time - offset).rem_euclid(size) + size - 1;
        let number = u64::from_le_bytes(value.as_slice().try_into().expect("8 bytes"));
        *sums.entry((last_time, key.clone())).or_default() += number;
    }
    sums.into_iter().map(|((time, key), sum)| (time, key, sum.to_le_bytes().to_vec())).collect()
}

/// What the sinks must hold, by name.
fn expected() -> Vec<(&'static str, Results)> {
    let numbers = sorted((0..3).flat_map(decimals).collect());
    let number = |value: &[u8]| str::from_utf8(value).expect("text").parse::<u64>().expect("a number");
    let (odd, even): (Results, Results) = numbers.into_iter().partition(|(_, _, value)| number(value) % 2 == 1);
    let mut odd_per_key: BTreeMap<Vec<u8>, u64> = BTreeMap::new();
    odd.into_iter().for_each(|(_, key, _)| *odd_per_key.entry(key).or_default() += 1);
    let mut counts = Results::new();
    for (key, count) in odd_per_key {
        counts.extend((1..=count).map(|count| (5_000, key.clone(), count.to_le_bytes().to_vec())));
        // The timer says it once more, a second after.
        counts.push((6_000, key, count.to_le_bytes().to_vec()));
    }
    counts.sort();
    let mut binaries = sorted((0..4).flat_map(binaries).collect());
    binaries.iter_mut().for_each(|(_, key, value)| key.clone_from(&value[..1].to_vec()));
    let seconds = sums(&binaries, 1_000, 0);
    let tens = sums(&seconds, 10_000, 3_000);
    vec![("even", even), ("counts", counts), ("sums", seconds), ("sums-of-sums", tens), ("late", vec![])]
}

#[test]
fn results_are_the_same_for_every_number_of_workers_and_processes() {
    let expected = expected();
    for (processes, workers) in [(1, 1), (1, 2), (1, 3), (2, 1), (3, 2)] {
        let mut job = TestJob::new(JOB)
            .source("numbers", &MemorySource::of((0..3).map(decimals)))
            .source("left", &MemorySource::of((0..2).map(binaries)))
            .source("right", &MemorySource::of((2..4).map(binaries)));
        let mut sinks: Vec<MemorySink> = Vec::new();
        for (name, _) in &expected {
            let (with_sink, sink) = job.sink(name);
            job = with_sink;
            sinks.push(sink);
        }
        let place = format!("{processes} processes of {workers} workers");
        let counters = match processes {
            1 => job.run(workers),
            _ => job.run_in_processes(processes, workers),
        };
        for ((name, expected), sink) in expected.iter().zip(sinks) {
            let results = sorted(sink.committed());
            assert_eq!(results.len(), expected.len(), "number of records of {name:?} in {place}");
            let first_wrong = results.iter().zip(expected).find(|(result, expected)| result != expected);
            assert_eq!(first_wrong, None, "{name:?} in {place}");
        }
        let rejected_or_late: u64 = counters.nodes.iter().map(|node| node.rejected + node.malformed + node.late).sum();
        assert_eq!(rejected_or_late, 0);
        let brought = 3 * (3_000 + 5_000) / 2 + 4 * 4_000;
        assert_eq!(counters.records_in(), brought, "process 0 knows what all have counted, in {place}");
    }
}
