//! A batch job: everything fires once, at the end, and nothing is late.

use crate::common::{TestJob, plan, sorted};
use std::collections::BTreeMap;
use tidewheel_connectors::Registry;
use tidewheel_connectors::memory::{MemoryRecord, MemorySource};
use tidewheel_types::job::JobSpec;

const JOB: &str = "
mode = 'batch'
[sources.numbers]
connector = 'numbers'
watermark = { idle-after = '1ms' }
[operators.sums]
component = 'sum.wasm'
input = 'numbers'
key = { bytes = '7..8' }
window = { tumbling = '10s', allowed-lateness = '10s' }
[sinks.out]
connector = 'out'
input = 'sums'
[sinks.late]
connector = 'late'
input = 'sums.late'
";

/// Times from late to early, and far more than are read at once.
fn records() -> impl Iterator<Item = (i64, u64)> {
    (0..20_000u64).map(|number| ((20_000 - number as i64) * 10, number))
}

#[test]
fn each_window_fires_once_whatever_the_order() {
    let mut expected: BTreeMap<i64, u64> = BTreeMap::new();
    for (time, number) in records() {
        *expected.entry(time - time % 10_000 + 9_999).or_default() += number;
    }
    for workers in [1, 2] {
        let of_split = |split: u64| {
            let own = records().filter(move |(_, number)| number % 2 == split);
            own.map(|(time, number)| MemoryRecord::new(time, "", number.to_le_bytes())).collect::<Vec<_>>()
        };
        let numbers = MemorySource::of([of_split(0), of_split(1)]);
        let (job, out) = TestJob::new(JOB).source("numbers", &numbers).sink("out");
        let (job, late) = job.sink("late");
        job.run(workers);
        let sums: Vec<_> = sorted(out.committed()).into_iter().map(|(time, _, value)| (time, value)).collect();
        let expected: Vec<_> = expected.iter().map(|(time, sum)| (*time, sum.to_le_bytes().to_vec())).collect();
        assert_eq!(sums, expected);
        assert!(late.committed().is_empty());
    }
}

#[test]
fn a_batch_job_needs_an_end() {
    let job = |options: &str| {
        let text = format!(
            "name = 'test'\nmode = 'batch'\n[sources.events]\nconnector = 'nexmark'\n{options}\n\
             [sinks.out]\nconnector = 'discard'\ninput = 'events'\n"
        );
        plan(&JobSpec::parse(&text, "job.toml").expect("a job"), &Registry::built_in()).map(drop)
    };
    let error = job("").expect_err("it has no end").to_string();
    assert_eq!(error, "job.toml:3: [sources.events] has no end, and a job with mode = \"batch\" fires at its end");
    job("events-max = 5").expect("it has");
}
