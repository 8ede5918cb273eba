//! Sources that are read no faster than they may be, on a clock that the tests set: nothing is read while it stands still.

use crate::common::{TestJob, wait_until};
use tidewheel_connectors::memory::{MemoryRecord, MemorySource};
use tidewheel_engine::{ClaimState, Clock, JobOptions, LimitError, ManualClock};
use tidewheel_types::job::RateLimit;

const JOB: &str = "
[sources.in]
connector = 'in'
rate-limit = { records = 10 }
watermark = { idle-after = '1ms' }
[sinks.out]
connector = 'out'
input = 'in'
";

const RECORDS: usize = 1_000;

#[test]
fn a_source_is_read_no_faster_than_it_may_be() {
    for workers in [1, 2] {
        let source = MemorySource::new(workers);
        for split in 0..workers {
            source.split(split).push((0..RECORDS).map(|at| MemoryRecord::new(at as i64, "", [0; 100])));
            source.split(split).end();
        }
        let clock = ManualClock::at(0);
        let (job, out) = TestJob::new(JOB).source("in", &source).sink("out");
        let job = job.start_with(JobOptions { clock: Clock::Manual(clock.clone()), ..JobOptions::workers(workers) });
        let read = || (0..workers).map(|split| RECORDS - source.split(split).waiting()).sum::<usize>();

        // Each instance has its part of ten records a second.
        let step_ms = 100 * workers as i64;
        for step in 0..20 {
            clock.set(step * step_ms);
            let expected = (step as usize + 1) * workers;
            wait_until("what may be read is read", || read() >= expected);
            assert_eq!(read(), expected, "after {} ms", step * step_ms);
            let (_, splits) = job.watermarks();
            assert!(splits.iter().all(|split| split.state == ClaimState::Active), "a split that waits is not idle");
        }

        let control = job.control();
        let missing = LimitError::NoSource { name: "inn".to_owned(), nearest: Some("in".to_owned()) };
        assert_eq!(control.limit("inn", RateLimit::default()), Err(missing));
        assert_eq!(control.limit("in", RateLimit { records: None, bytes: Some(0) }), Err(LimitError::Zero));
        control.limit("in", RateLimit::default()).expect("it runs");
        job.wait();
        assert_eq!(out.committed().len(), workers * RECORDS);
        assert_eq!(control.limit("in", RateLimit::default()), Err(LimitError::Ending));
    }
}

#[test]
fn a_source_is_limited_while_it_runs() {
    let source = MemorySource::new(1);
    let split = source.split(0);
    let clock = ManualClock::at(0);
    let text = JOB.replace("rate-limit = { records = 10 }", "");
    let (job, out) = TestJob::new(&text).source("in", &source).sink("out");
    let job = job.start_with(JobOptions { clock: Clock::Manual(clock.clone()), ..JobOptions::workers(1) });
    let records = |count: usize| (0..count).map(|_| MemoryRecord::new(0, "", [0; 100]));
    split.push(records(RECORDS));
    wait_until("all is read", || split.waiting() == 0);

    job.control().limit("in", RateLimit { records: None, bytes: Some(1_000) }).expect("it runs");
    // The limit is there when the epoch has ended in which it was sent; until then all of these are read.
    wait_until("it is limited", || {
        split.push(records(1));
        split.waiting() > 100
    });
    let before = split.waiting();
    clock.set(10_000);
    wait_until("more may be read by then", || split.waiting() < before);
    split.end();
    let change = RateLimit { records: Some(5), bytes: None };
    let both = RateLimit { records: Some(5), bytes: Some(1_000) };
    assert_eq!(job.control().change_limit("in", change), Ok(both), "what is not named stays");
    job.control().limit("in", RateLimit::default()).expect("it runs");
    assert_eq!(job.control().change_limit("in", change), Ok(change));
    job.control().limit("in", RateLimit::default()).expect("it runs");
    job.wait();
    assert!(out.committed().len() > RECORDS + 100);
}
