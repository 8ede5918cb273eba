//! Idle splits: one without records does not hold the watermark back for ever, and one that comes back does again.

use crate::common::{Running, TestJob, wait_until};
use tidewheel_connectors::memory::{MemoryRecord, MemorySource, MemorySplit};

/// `idle-after` is far longer than the hiccups of a busy machine, and short enough to wait for.
const JOB: &str = "
[sources.numbers]
connector = 'numbers'
watermark = { idle-after = '2s' }
[operators.sums]
component = 'sum.wasm'
input = 'numbers'
key = { bytes = '7..8' }
window = { tumbling = '10s' }
[sinks.out]
connector = 'out'
input = 'sums'
";

/// A number of the one key there is: the last byte of a small number is 0.
fn number(time: i64, number: u64) -> MemoryRecord {
    MemoryRecord::new(time, "", number.to_le_bytes())
}

/// Waits for the watermark, and all the while keeps `split` from becoming idle, with zeros at `time`.
fn watermark_becomes(ms: i64, job: &Running, split: &MemorySplit, time: i64) {
    wait_until(&format!("the watermark is {ms}"), || {
        split.push([number(time, 0)]);
        job.counters().watermark().0 == ms
    });
}

/// Waits until what has been read by now has gone through the whole job: at most three epochs are open at once.
fn settle(job: &Running, split: &MemorySplit, time: i64) {
    let epoch = job.counters().epoch + 3;
    wait_until("three epochs have passed", || {
        split.push([number(time, 0)]);
        job.counters().epoch >= epoch
    });
}

#[test]
fn an_idle_split_does_not_hold_the_watermark_back_until_it_is_back() {
    let numbers = MemorySource::new(2);
    let (busy, quiet) = (numbers.split(0), numbers.split(1));
    let (job, out) = TestJob::new(JOB).source("numbers", &numbers).sink("out");
    let job = job.start(2);

    busy.push([number(15_000, 1)]);
    settle(&job, busy, 15_000);
    assert_eq!(job.counters().watermark().0, i64::MIN, "the quiet split may still bring anything");
    watermark_becomes(14_999, &job, busy, 15_000);

    // Back, ahead of the watermark. Were it still taken for idle, the watermark would go to 39,999 at once.
    quiet.push([number(20_000, 2)]);
    wait_until("the quiet split is read", || quiet.waiting() == 0);
    settle(&job, busy, 15_000);
    busy.push([number(40_000, 4)]);
    watermark_becomes(19_999, &job, busy, 40_000);
    watermark_becomes(39_999, &job, busy, 40_000);

    // Back, behind the watermark, which stays where it is: the record is late.
    quiet.push([number(39_000, 8)]);
    wait_until("the quiet split is read", || quiet.waiting() == 0);
    busy.push([number(41_000, 16)]);
    quiet.end();
    busy.end();
    job.wait();
    let mut sums: Vec<_> = out.committed().into_iter().map(|record| (record.time, record.value)).collect();
    sums.sort();
    let expected = [(19_999, 1u64), (29_999, 2), (49_999, 20)];
    assert_eq!(sums, expected.map(|(time, sum)| (time, sum.to_le_bytes().to_vec())));
}

/// More than the byte budget of an epoch can be: while this waits to be read, the source is never up to date.
const MORE_THAN_A_BUDGET: usize = 64 << 20;

#[test]
fn a_split_without_records_becomes_idle_beside_one_that_spends_every_budget() {
    let numbers = MemorySource::new(2);
    let (busy, quiet) = (numbers.split(0), numbers.split(1));
    let (job, out) = TestJob::new(JOB).source("numbers", &numbers).sink("out");
    // One worker: both splits are one source instance's.
    let job = job.start(1);
    let refill = || {
        while busy.waiting() * 64 < MORE_THAN_A_BUDGET {
            busy.push((0..4096).map(|_| number(15_000, 0)));
        }
    };
    refill();
    wait_until("the watermark is the busy split's", || {
        refill();
        job.counters().watermark().0 == 14_999
    });
    quiet.end();
    busy.end();
    job.wait();
    assert_eq!(out.committed().len(), 1);
}
