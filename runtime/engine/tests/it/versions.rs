//! Temporal joins: which versions of a row stay.

use crate::common::TestJob;
use tidewheel_connectors::memory::{MemoryRecord, MemorySource};

/// Versions that are too large to be read together, so that each is read by itself when the older one is forgotten.
#[test]
fn the_latest_of_large_versions_stays() {
    let text = "[sources.a]\nconnector = 'a'\nkey = { json = '/key' }\n[sources.b]\nconnector = 'b'\n\
                key = { json = '/key' }\n[operators.pairs]\njoin = { temporal = true, type = 'left' }\n\
                input = ['a', 'b']\nselect = { left = 'left.number', right = 'right.number' }\n\
                [sinks.out]\nconnector = 'out'\ninput = 'pairs'\n";
    let record = |time: i64, bytes: usize| {
        MemoryRecord::new(time, "", format!("{{\"key\":1,\"number\":{time},\"more\":\"{}\"}}", "x".repeat(bytes)))
    };
    let a = MemorySource::of([vec![record(15, 0), record(25, 0), record(35, 0)]]);
    let b = MemorySource::of([vec![record(10, 700_000), record(20, 700_000), record(21, 10), record(30, 1_100_000)]]);
    let (job, out) = TestJob::new(text).source("a", &a).source("b", &b).sink("out");
    job.run(1);
    let pairs: Vec<_> = out.committed().iter().map(|record| record.text().to_owned()).collect();
    assert_eq!(
        pairs,
        [(15, 10), (25, 21), (35, 30)].map(|(left, right)| format!("{{\"left\":{left},\"right\":{right}}}"))
    );
}
