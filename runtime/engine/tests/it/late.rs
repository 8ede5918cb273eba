//! Late records, by Flink's rule: late is what comes when its window has fired and been cleaned up.

use crate::common::{TestJob, sorted, wait_until};
use tidewheel_connectors::memory::{MemoryRecord, MemorySource};

const JOB: &str = "
[sources.numbers]
connector = 'numbers'
[operators.sums]
component = 'sum.wasm'
input = 'numbers'
key = { bytes = '7..8' }
window = { tumbling = '10s' }
[sinks.out]
connector = 'out'
input = 'sums'
[sinks.late]
connector = 'late'
input = 'sums.late'
";

/// A number of the one key there is: the last byte of a small number is 0.
fn number(time: i64, number: u64) -> MemoryRecord {
    MemoryRecord::new(time, "", number.to_le_bytes())
}

#[test]
fn a_record_is_late_when_its_window_has_fired_and_not_before() {
    let numbers = MemorySource::new(1);
    let (job, out) = TestJob::new(JOB).source("numbers", &numbers).sink("out");
    let (job, late) = job.sink("late");
    let job = job.start(2);
    let push = |record| numbers.split(0).push([record]);
    let watermark_is = |ms: i64| {
        wait_until(&format!("the watermark is {ms}"), || {
            let counters = job.counters();
            counters.nodes.iter().any(|node| node.name == "sums" && node.watermark.0 == ms)
        });
    };

    push(number(9_999, 1));
    watermark_is(9_998);
    push(number(100, 2)); // behind the watermark, but its window lives until 9,999
    watermark_is(9_998);
    // One read, one epoch: the window fires only after all records of the epoch.
    numbers.split(0).push([number(10_000, 4), number(5_000, 8)]);
    watermark_is(9_999);
    wait_until("the first window has fired", || out.taken().len() == 1);
    push(number(9_999, 16)); // late
    push(number(12_000, 32));
    watermark_is(11_999);
    push(number(11_000, 64)); // behind the watermark, in a window that lives
    numbers.split(0).end();
    let counters = job.wait();

    let key = vec![0];
    let results = [(9_999, key.clone(), 11u64), (19_999, key.clone(), 100)];
    let results = results.map(|(time, key, sum)| (time, key, sum.to_le_bytes().to_vec()));
    assert_eq!(sorted(out.committed()), results);
    assert_eq!(sorted(late.committed()), [(9_999, key, 16u64.to_le_bytes().to_vec())]);
    let late_counts: Vec<_> = counters.nodes.iter().map(|node| node.late).collect();
    assert_eq!(late_counts, [0, 1, 0, 0], "source, operator, two sinks");
}

/// The latest record of a time passes when that is over, with its own time: a window behind it is not to have fired by then.
#[test]
fn the_latest_record_of_a_time_is_not_late_behind_it() {
    let text = "
[sources.numbers]
connector = 'numbers'
key = { bytes = '7..8' }
[operators.latest]
input = 'numbers'
deduplicate = { keep = 'last', within = '1h' }
[operators.sums]
component = 'sum.wasm'
input = 'latest'
window = { tumbling = '1m' }
[sinks.out]
connector = 'out'
input = 'sums'
";
    let minutes = |minutes: i64| minutes * 60_000;
    let records = vec![number(minutes(1), 1), number(minutes(5), 2), number(minutes(59), 3), number(minutes(300), 4)];
    let of_other_key = MemoryRecord::new(minutes(3), "", (1u64 << 56).to_le_bytes());
    let numbers = MemorySource::of([[records, vec![of_other_key]].concat()]);
    let (job, out) = TestJob::new(text).source("numbers", &numbers).sink("out");
    job.run(2);
    let times: Vec<i64> = sorted(out.committed()).into_iter().map(|(time, ..)| time).collect();
    assert_eq!(times, [minutes(4) - 1, minutes(60) - 1, minutes(301) - 1]);
}
