//! What holds a watermark back, and since when; sources that wait for each other.

use crate::common::{Running, TestJob, wait_until};
use tidewheel_connectors::memory::{MemoryRecord, MemorySource};
use tidewheel_engine::{ClaimState, Clock, JobOptions, ManualClock, WatermarkSnapshot};

fn record(time: i64) -> MemoryRecord {
    MemoryRecord::new(time, "", "")
}

/// The splits that hold parts of the job back, by name of the part: split, watermark, and since when.
fn holders(job: &Running) -> Vec<(String, Option<(String, i64, i64)>)> {
    let holder = |it: WatermarkSnapshot| {
        let split = it.held_back_by.map(|it| (format!("{}/{}", it.source, it.split), it.watermark.0, it.since_ms));
        (it.name, split)
    };
    job.watermarks().0.into_iter().map(holder).collect()
}

#[test]
fn the_split_that_holds_a_watermark_back_is_named_and_since_when() {
    let (orders, rates) = (MemorySource::new(2), MemorySource::new(1));
    let text = "
[sources.orders]
connector = 'orders'
watermark = { out-of-orderness = '1ms' }
[sources.rates]
connector = 'rates'
[operators.echo]
component = 'echo.wasm'
input = ['orders', 'rates']
[sinks.out]
connector = 'out'
input = 'orders'
[sinks.echoed]
connector = 'echoed'
input = 'echo'
";
    let (job, _out) = TestJob::new(text).source("orders", &orders).source("rates", &rates).sink("out");
    let (job, _echoed) = job.sink("echoed");
    let clock = ManualClock::at(1_000);
    let job = job.start_with(JobOptions { clock: Clock::Manual(clock.clone()), ..JobOptions::workers(2) });
    let held = |expected: [Option<(&str, i64, i64)>; 3]| {
        let names = ["echo", "out", "echoed"];
        let split = |it: (&str, i64, i64)| (it.0.to_owned(), it.1, it.2);
        let expected: Vec<_> =
            names.iter().zip(expected).map(|(name, it)| ((*name).to_owned(), it.map(split))).collect();
        wait_until("the right split holds back", || holders(&job) == expected);
    };

    orders.split(0).push([record(50)]);
    rates.split(0).push([record(70)]);
    let said = |ms: [i64; 3]| {
        wait_until("the splits are read", || job.watermarks().1.iter().map(|it| it.watermark.0).eq(ms));
    };
    said([48, i64::MIN, 69]);
    let silent = Some(("orders/memory-1", i64::MIN, 1_000));
    held([silent, silent, silent]);

    clock.set(2_000);
    orders.split(1).push([record(90)]);
    let first = Some(("orders/memory-0", 48, 1_000));
    held([first, first, first]);

    clock.set(3_000);
    orders.split(0).push([record(80), record(75)]);
    let rate = Some(("rates/memory-0", 69, 1_000));
    held([rate, Some(("orders/memory-0", 78, 3_000)), rate]);

    orders.split(0).end();
    held([rate, Some(("orders/memory-1", 88, 2_000)), rate]);
    let (parts, splits) = job.watermarks();
    assert!(parts.iter().all(|part| part.watermark.0 <= 88));
    let ended: Vec<_> = splits.iter().filter(|it| it.state == ClaimState::Ended).map(|it| it.split.as_str()).collect();
    assert_eq!(ended, ["memory-0"]);

    orders.split(1).end();
    rates.split(0).end();
    job.wait();
}
