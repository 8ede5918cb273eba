//! Order: what one sender sends to one receiver stays in order, also when the senders are an epoch apart.

use crate::common::TestJob;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use tidewheel_connectors::{
    Connector, ConnectorError, Malformed, Position, ReadStatus, Sink, Source, SplitReader, Waker,
};
use tidewheel_types::job::Options;
use tidewheel_types::{Batch, Origin, SplitIndex};

const JOB: &str = "
[sources.numbers]
connector = 'skewed'
key = { bytes = '0..1' }
[operators.echo]
component = 'burst.wasm'
input = 'numbers'
[sinks.out]
connector = 'out'
input = 'echo'
";

/// Small reads make small containers: many for a receiver that was away.
const READS: u64 = 12_000;
const RECORDS_PER_READ: u64 = 4;
const KEYS: u64 = 16;

/// How often, and for how long, the second split holds its worker: longer than an epoch.
const READS_PER_DELAY: u64 = 50;
const DELAY: Duration = Duration::from_millis(15);

/// How long the third worker is away at a time: then it finds dozens of containers, of both senders and several epochs.
const ABSENCE: Duration = Duration::from_millis(25);

/// Three splits, one per worker. Two send, and number their records; the second of them delays its worker again and
/// again. The third sends nothing and keeps its worker, which only receives, away.
#[derive(Clone, Default)]
struct Skewed {
    senders_ended: Arc<AtomicUsize>,
}

impl Connector for Skewed {
    fn source(&self, _: &mut Options, _: &Path) -> Result<Arc<dyn Source>, ConnectorError> {
        Ok(Arc::new(self.clone()))
    }

    fn sink(&self, _: &mut Options, _: &Path) -> Result<Arc<dyn Sink>, ConnectorError> {
        unreachable!("the job has no such sink")
    }
}

impl Source for Skewed {
    fn splits(&self) -> Result<Vec<String>, ConnectorError> {
        Ok(["steady", "delayed", "absent"].map(str::to_owned).to_vec())
    }

    fn open(
        &self,
        source: u32,
        split: SplitIndex,
        _: Option<&Position>,
        _: Waker,
    ) -> Result<Box<dyn SplitReader>, ConnectorError> {
        let senders_ended = self.senders_ended.clone();
        Ok(Box::new(Reader { senders_ended, origin: Origin { offset: 0, source, split: split.0 } }))
    }
}

struct Reader {
    senders_ended: Arc<AtomicUsize>,
    origin: Origin,
}

impl SplitReader for Reader {
    fn read(
        &mut self,
        _: Instant,
        _: usize,
        batch: &mut Batch,
        _: &mut Vec<Malformed>,
    ) -> Result<ReadStatus, ConnectorError> {
        if self.origin.split == 2 {
            thread::sleep(ABSENCE);
            let all_ended = self.senders_ended.load(Ordering::Relaxed) == 2;
            return Ok(if all_ended { ReadStatus::End } else { ReadStatus::Wait(Duration::from_millis(1)) });
        }
        let read = self.origin.offset / RECORDS_PER_READ;
        if self.origin.split == 1 && read.is_multiple_of(READS_PER_DELAY) {
            thread::sleep(DELAY);
        }
        for _ in 0..RECORDS_PER_READ {
            let mut value = vec![(self.origin.offset % KEYS) as u8];
            value.extend_from_slice(&self.origin.offset.to_le_bytes());
            batch.push(0, b"", &value, self.origin);
            self.origin.offset += 1;
        }
        if read + 1 < READS {
            return Ok(ReadStatus::Ready);
        }
        self.senders_ended.fetch_add(1, Ordering::Relaxed);
        Ok(ReadStatus::End)
    }

    fn position(&self) -> Position {
        Position::default()
    }
}

/// Sorting what has arrived by epoch with timely's `for_each_time`, whose sort is unstable, fails this.
#[test]
fn records_of_a_sender_stay_in_order_when_senders_are_skewed() {
    let (job, out) = TestJob::new(JOB).connector("skewed", Skewed::default()).sink("out");
    let counters = job.run(3);
    let sent = 2 * READS * RECORDS_PER_READ;
    assert_eq!((counters.records_in(), counters.records_out()), (sent, sent));
    let mut last: BTreeMap<(u32, Vec<u8>), u64> = BTreeMap::new();
    for record in out.committed() {
        let number = u64::from_le_bytes(record.value[1..].try_into().expect("8 bytes"));
        let expected = last.get(&(record.origin.split, record.key.clone())).map(|last| last + KEYS);
        assert!(
            expected.is_none_or(|expected| expected == number),
            "split {} sent {number} of key {:?} where {expected:?} was to come",
            record.origin.split,
            record.key
        );
        last.insert((record.origin.split, record.key), number);
    }
    assert_eq!(last.len(), 2 * KEYS as usize, "both senders reached all keys");
}
