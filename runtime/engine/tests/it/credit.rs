//! Output credits: an epoch that waits for room never makes an older one wait.

use crate::common::{TestJob, wait_until};
use tidewheel_connectors::memory::{MemoryRecord, MemorySource};

/// Two bursts meet in an operator without state, which takes batches of any epoch as they come; the sink behind it does
/// not. The first burst goes on for long, the second is larger than an edge's credit.
const JOB: &str = "
[sources.first]
connector = 'first'
[operators.long]
component = 'burst.wasm'
input = 'first'
key = { bytes = '0..1' }
config = { timers = 600, results = 400, bytes = 500 }
[sources.second]
connector = 'second'
[operators.large]
component = 'burst.wasm'
input = 'second'
key = { bytes = '0..1' }
config = { timers = 300, results = 100, bytes = 500 }
[operators.echo]
component = 'echo.wasm'
input = ['long', 'large']
[sinks.out]
connector = 'out'
input = 'echo'
";

#[test]
fn an_epoch_over_its_credit_does_not_block_an_older_one() {
    for workers in 1..=2 {
        let [first, second] = [MemorySource::new(1), MemorySource::new(1)];
        let (job, out) = TestJob::new(JOB).source("first", &first).source("second", &second).sink("out");
        let job = job.start(workers);
        let sent = |name: &str| {
            let counters = job.counters();
            counters.nodes.into_iter().find(|node| node.name == name).map_or(0, |node| node.records_out)
        };
        for split in [first.split(0), second.split(0)] {
            split.push([MemoryRecord::new(0, "", "x")]);
        }
        wait_until("both have their timers", || sent("long") == 1 && sent("large") == 1);
        first.split(0).end();
        // The second burst is in a later epoch than the first, and begins while that goes on.
        wait_until("the first burst has begun", || sent("long") > 1);
        second.split(0).end();
        job.wait();
        assert_eq!(out.committed().len(), 2 + 600 * 400 + 300 * 100, "on {workers} workers");
    }
}

/// What a burst makes goes to another process, over an edge with a key, in an epoch of its own: 12 times what the edge's
/// credit allows at once. It arrives only if credit comes back.
#[test]
fn credit_comes_back_from_another_process() {
    let text = "
[sources.first]
connector = 'first'
[operators.burst]
component = 'burst.wasm'
input = 'first'
key = { bytes = '0..1' }
config = { timers = 1000, results = 100, bytes = 500 }
[operators.echo]
component = 'echo.wasm'
input = 'burst'
exchange = 'rebalance'
[sinks.out]
connector = 'out'
input = 'echo'
";
    let (job, out) =
        TestJob::new(text).source("first", &MemorySource::of([vec![MemoryRecord::new(0, "", "x")]])).sink("out");
    let counters = job.run_in_processes(2, 1);
    assert_eq!((out.committed().len(), counters.records_out()), (1 + 1000 * 100, 1 + 1000 * 100));
}
