//! Order: what one sender sends to one receiver stays in order, also when the senders are an epoch apart.

use crate::common::TestJob;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};
use tidewheel_connectors::{Connector, ConnectorError, Malformed, ReadStatus, Sink, Source, SplitReader, Waker};
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

/// Small reads, so that a receiver that was away finds dozens of containers of both senders and several epochs.
const READS: u64 = 12_000;
const KEYS: u64 = 4;

/// How often, and for how long, the second split holds its worker: longer than an epoch.
const READS_PER_DELAY: u64 = 200;
const DELAY: Duration = Duration::from_millis(15);

/// Two splits, one per worker, that number their records. The second delays its worker again and again.
#[derive(Clone, Copy)]
struct Skewed;

impl Connector for Skewed {
    fn source(&self, _: &mut Options, _: &Path) -> Result<Arc<dyn Source>, ConnectorError> {
        Ok(Arc::new(Skewed))
    }

    fn sink(&self, _: &mut Options, _: &Path) -> Result<Arc<dyn Sink>, ConnectorError> {
        unreachable!("the job has no such sink")
    }
}

impl Source for Skewed {
    fn splits(&self) -> Result<Vec<String>, ConnectorError> {
        Ok(vec!["steady".to_owned(), "delayed".to_owned()])
    }

    fn open(&self, source: u32, split: SplitIndex, _: Waker) -> Result<Box<dyn SplitReader>, ConnectorError> {
        Ok(Box::new(Reader { origin: Origin { offset: 0, source, split: split.0 } }))
    }
}

struct Reader {
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
        let read = self.origin.offset / KEYS;
        if self.origin.split == 1 && read % READS_PER_DELAY == 0 {
            thread::sleep(DELAY);
        }
        for key in 0..KEYS {
            let mut value = vec![key as u8];
            value.extend_from_slice(&self.origin.offset.to_le_bytes());
            batch.push(0, b"", &value, self.origin);
            self.origin.offset += 1;
        }
        Ok(if read + 1 < READS { ReadStatus::Ready } else { ReadStatus::End })
    }
}

/// Sorting what has arrived by epoch with timely's `for_each_time`, whose sort is unstable, fails this.
#[test]
fn records_of_a_sender_stay_in_order_when_senders_are_skewed() {
    let (job, out) = TestJob::new(JOB).connector("skewed", Skewed).sink("out");
    let counters = job.run(2);
    assert_eq!((counters.records_in(), counters.records_out()), (2 * READS * KEYS, 2 * READS * KEYS));
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
