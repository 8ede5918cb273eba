//! What holds a watermark back, and since when; sources that wait for each other.

use crate::common::{Running, TestJob, wait_until};
use tidewheel_connectors::memory::{MemoryRecord, MemorySource};
use tidewheel_engine::{ClaimState, Clock, JobOptions, ManualClock, SplitSnapshot, WatermarkSnapshot};

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

const SECOND: i64 = 1_000;

const ALIGNED: &str = "
[sources.fast]
connector = 'fast'
watermark = { alignment = 'both', max-drift = '200s' }
[sources.slow]
connector = 'slow'
watermark = { alignment = 'both', max-drift = '0s' }
[sinks.out]
connector = 'out'
input = ['fast', 'slow']
";

const PUNCTUATED: &str = "event-time = { component = 'marks.wasm' }\nwatermark = { punctuated = true,";

/// What the fast source reads at once at most: 64 KiB, in records of 1 KiB that are a second apart.
const PIECE_MS: i64 = 66 * SECOND;

const FAST_RECORDS: i64 = 4_000;

/// Waits until the fast source is paused, and gives its watermark.
fn paused_at(job: &Running, at_least: i64) -> i64 {
    let fast = |job: &Running| job.watermarks().1.into_iter().find(|it| it.source == "fast").expect("it is there");
    let is_paused = |it: &SplitSnapshot| it.state == ClaimState::Paused && it.watermark.0 >= at_least;
    wait_until("the fast source is paused", || is_paused(&fast(job)));
    // It stays where it is for as long as the slow one does: three epochs bring whatever is on its way.
    fast(job).watermark.0
}

#[test]
fn a_source_waits_for_the_slowest_of_its_group() {
    // Once the fast one has watermarks that follow its event times, once those that its component says.
    for (workers, is_punctuated) in [(1, false), (2, false), (2, true)] {
        let (fast, slow) = (MemorySource::new(1), MemorySource::new(2));
        let text = match is_punctuated {
            true => ALIGNED.replacen("watermark = {", PUNCTUATED, 1),
            false => ALIGNED.to_owned(),
        };
        let (job, out) = TestJob::new(&text).source("fast", &fast).source("slow", &slow).sink("out");
        fast.split(0).push((0..FAST_RECORDS).map(|at| match is_punctuated {
            true => MemoryRecord::new(0, "", format!("{:1000}", format!("mark:{} ", at * SECOND - 1))),
            false => MemoryRecord::new(at * SECOND, "", [0; 1_000]),
        }));
        fast.split(0).end();
        let job = job.start(workers);

        assert!(paused_at(&job, -1) <= PIECE_MS, "nobody knows yet where the slow one begins");
        // The slowest is one split of two, with two workers that of another process or thread than the fast one's.
        slow.split(0).push([record(10_000 * SECOND)]);
        for slowest in [100, 101, 700, 1_500].map(|at| at * SECOND) {
            slow.split(1).push([record(slowest)]);
            let bound = slowest - 1 + 200 * SECOND;
            let reached = paused_at(&job, bound + 1);
            assert!(reached <= bound + PIECE_MS, "{reached} is more than {bound} and what is read at once");
            let read = FAST_RECORDS - fast.split(0).waiting() as i64;
            assert_eq!(read, (reached + 1) / SECOND + 1, "and nothing else has been read");
        }
        // Who has ended holds nobody up; the other split is far ahead.
        slow.split(1).end();
        wait_until("the fast source is read to its end", || fast.split(0).waiting() == 0);
        slow.split(0).end();
        job.wait();
        assert_eq!(out.committed().len() as i64, FAST_RECORDS + 5);
    }
}

#[test]
fn an_idle_source_holds_nobody_up() {
    let (fast, slow) = (MemorySource::new(1), MemorySource::new(1));
    let text = ALIGNED.replace("'0s'", "'0s', idle-after = '1ms'");
    let (job, out) = TestJob::new(&text).source("fast", &fast).source("slow", &slow).sink("out");
    fast.split(0).push((0..FAST_RECORDS).map(|at| MemoryRecord::new(at * SECOND, "", [0; 1_000])));
    let job = job.start(2);
    wait_until("the fast source is read to its end", || fast.split(0).waiting() == 0);
    fast.split(0).end();
    slow.split(0).end();
    job.wait();
    assert_eq!(out.committed().len() as i64, FAST_RECORDS);
}
