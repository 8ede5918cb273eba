//! Latency after a hiccup. A test program of its own, so that no other test runs beside it.
//!
//! Two workers, a paced split on each, an exchange by key; in the middle one worker sleeps for 60 ms, once. Afterwards
//! records must be as fast as before. With an epoch clock on each worker the hiccup leaves the workers half an epoch
//! apart, and the records of one wait 14 to 20 ms for the other, for ever.

#[allow(dead_code, reason = "this program uses a part of what the engine's tests share")]
mod common;

use common::TestJob;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};
use tidewheel_connectors::{
    Connector, ConnectorError, Delivery, Malformed, Position, ReadStatus, Sink, SinkContext, SinkWriter, Source,
    SplitReader, StageHandle, Waker, WriteStatus,
};
use tidewheel_types::job::Options;
use tidewheel_types::{Batch, Origin, SplitIndex};

const JOB: &str = "
[sources.clock]
connector = 'latency'
key = { bytes = '8..9' }
[operators.echo]
component = 'burst.wasm'
input = 'clock'
[sinks.out]
connector = 'latency'
input = 'echo'
";

/// Each split sends a record a millisecond, for 3 s.
const PACE: Duration = Duration::from_millis(1);
const RECORDS: u32 = 3_000;

/// The hiccup: the worker of shard 1 sleeps when it gets a record of that time or later.
const HICCUP_AT: Duration = Duration::from_secs(1);
const HICCUP: Duration = Duration::from_millis(60);

/// From when on latencies are looked at: before, starting costs some.
const STARTED_AT: Duration = Duration::from_millis(300);

/// When the hiccup's direct consequence is over: what could not be sent meanwhile has arrived.
const OVER_AT: Duration = Duration::from_millis(1_300);

/// Latencies are looked at in slices of this length. Other programs on the machine spoil some; the fault spoils all that
/// come after the hiccup, so the middle one of them tells.
const SLICE: Duration = Duration::from_millis(100);

/// How much later the middle record of the middle slice may be after the hiccup than before it. The fault costs at least
/// 14 ms; what other programs cost they cost before and after.
const LATENCY_ADDED_MAX: Duration = Duration::from_millis(7);

/// A record's way through the job: when it was due at its source, and how much later it came to its sink.
#[derive(Clone, Copy)]
struct Arrival {
    split: u32,
    shard: usize,
    due: Duration,
    latency: Duration,
}

/// A connector whose source sends the time and whose sink compares it with its own.
#[derive(Clone, Default)]
struct Latency {
    began: Arc<OnceLock<Instant>>,
    arrivals: Arc<Mutex<Vec<Arrival>>>,
}

impl Connector for Latency {
    fn source(&self, _: &mut Options, _: &Path) -> Result<Arc<dyn Source>, ConnectorError> {
        Ok(Arc::new(self.clone()))
    }

    fn sink(&self, _: &mut Options, _: &Path) -> Result<Arc<dyn Sink>, ConnectorError> {
        Ok(Arc::new(self.clone()))
    }
}

impl Source for Latency {
    fn splits(&self) -> Result<Vec<String>, ConnectorError> {
        Ok(vec!["first".to_owned(), "second".to_owned()])
    }

    fn open(
        &self,
        source: u32,
        split: SplitIndex,
        _: Option<&Position>,
        _: Waker,
    ) -> Result<Box<dyn SplitReader>, ConnectorError> {
        Ok(Box::new(Reader { latency: self.clone(), origin: Origin { offset: 0, source, split: split.0 } }))
    }
}

struct Reader {
    latency: Latency,
    origin: Origin,
}

impl SplitReader for Reader {
    fn read(
        &mut self,
        now: Instant,
        _: usize,
        batch: &mut Batch,
        _: &mut Vec<Malformed>,
    ) -> Result<ReadStatus, ConnectorError> {
        let began = *self.latency.began.get_or_init(|| now);
        while self.origin.offset < u64::from(RECORDS) {
            let number = self.origin.offset as u32;
            let due = PACE * number;
            if began + due > now {
                return Ok(ReadStatus::Wait(began + due - now));
            }
            let mut value = (due.as_micros() as u64).to_le_bytes().to_vec();
            value.push((number.wrapping_mul(0x9e37_79b9) >> 24) as u8); // the key
            batch.push(0, b"", &value, self.origin);
            self.origin.offset += 1;
        }
        Ok(ReadStatus::End)
    }

    fn position(&self) -> Position {
        Position::default()
    }
}

impl Sink for Latency {
    fn open(&self, context: SinkContext) -> Result<Box<dyn SinkWriter>, ConnectorError> {
        Ok(Box::new(Writer { latency: self.clone(), shard: context.shard, hiccup: context.shard == 1 }))
    }

    fn delivery(&self) -> Delivery {
        Delivery::AtLeastOnce
    }
}

struct Writer {
    latency: Latency,
    shard: usize,
    /// Whether the hiccup is still to come.
    hiccup: bool,
}

impl SinkWriter for Writer {
    fn write(&mut self, batch: &mut Batch) -> Result<WriteStatus, ConnectorError> {
        let now = self.latency.began.get().expect("the source has begun").elapsed();
        let mut arrivals = self.latency.arrivals.lock().expect("nobody panics with it");
        for (value, origin) in batch.values.iter().zip(&batch.origins) {
            let due = Duration::from_micros(u64::from_le_bytes(value[..8].try_into().expect("8 bytes")));
            arrivals.push(Arrival { split: origin.split, shard: self.shard, due, latency: now.saturating_sub(due) });
        }
        drop(arrivals);
        batch.clear();
        if self.hiccup && now >= HICCUP_AT {
            self.hiccup = false;
            thread::sleep(HICCUP);
        }
        Ok(WriteStatus::Taken)
    }

    fn recover(&mut self, _: &[StageHandle]) -> Poll<Result<(), ConnectorError>> {
        Poll::Ready(Ok(()))
    }

    fn stage(&mut self, _: u64) -> Poll<Result<Option<StageHandle>, ConnectorError>> {
        Poll::Ready(Ok(None))
    }

    fn commit(&mut self, _: &StageHandle) -> Poll<Result<(), ConnectorError>> {
        Poll::Ready(Ok(()))
    }
}

/// The middle one.
fn median(mut latencies: Vec<Duration>) -> Duration {
    latencies.sort_unstable();
    latencies[latencies.len() / 2]
}

/// The middle one of the slices' medians.
fn median_of_slices<'a>(arrivals: impl Iterator<Item = &'a Arrival>) -> Duration {
    let mut slices: BTreeMap<u128, Vec<Duration>> = BTreeMap::new();
    for arrival in arrivals {
        slices.entry(arrival.due.as_millis() / SLICE.as_millis()).or_default().push(arrival.latency);
    }
    median(slices.into_values().map(median).collect())
}

#[test]
fn a_hiccup_of_one_worker_leaves_no_latency_behind() {
    let latency = Latency::default();
    TestJob::new(JOB).connector("latency", latency.clone()).run(2);
    let arrivals = latency.arrivals.lock().expect("nobody panics with it");
    assert_eq!(arrivals.len(), 2 * RECORDS as usize);
    let felt = arrivals.iter().any(|arrival| arrival.latency >= HICCUP / 2);
    assert!(felt, "the hiccup has to be felt, or this tests nothing");

    // The fault hits one direction only, so each is looked at by itself.
    for (split, shard) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        let of_direction = || arrivals.iter().filter(|arrival| (arrival.split, arrival.shard) == (split, shard));
        let before = of_direction().filter(|arrival| (STARTED_AT..HICCUP_AT).contains(&arrival.due));
        let after = of_direction().filter(|arrival| arrival.due >= OVER_AT);
        let (before, after) = (median_of_slices(before), median_of_slices(after));
        let added = after.saturating_sub(before);
        assert!(added < LATENCY_ADDED_MAX, "split {split} to shard {shard}: {before:?} before, {after:?} after");
    }
}
