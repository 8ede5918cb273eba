//! Latency at a fixed rate, from the moment an event is due by the clock to the sink.
//!
//! The generator never runs ahead: a late source counts as latency. A window's result is due when an event with the
//! time of the window's end is.

use crate::job;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};
use std::task::Poll;
use std::time::{Duration, Instant};
use tidewheel_connectors::{
    Connector, ConnectorError, Delivery, Malformed, Position, ReadStatus, Registry, Sink, SinkContext, SinkWriter,
    Source, SplitReader, StageHandle, Waker, WriteStatus,
};
use tidewheel_engine::{Job, JobOptions, Plan};
use tidewheel_guest::{Runtime, RuntimeOptions};
use tidewheel_types::job::{JobSpec, Options};
use tidewheel_types::{Batch, SplitIndex};

const RATE: u64 = 50_000;
const SECONDS: u64 = 16;

/// Results due in the first seconds do not count: caches are cold and pages are fresh.
const WARM_UP: Duration = Duration::from_secs(3);

/// Event time of event 0, ms.
const BASE_MS: i64 = 1_436_918_400_000;

/// When the generator started, and the latencies of the results so far.
#[derive(Default)]
struct Clock {
    start: OnceLock<Instant>,
    latencies: Mutex<Vec<Duration>>,
}

/// Prints a table: per query and number of workers the percentiles.
pub(crate) fn run() {
    println!("| query | workers | results | p50 ms | p99 ms | p99.9 ms | max ms |\n|---|---|---|---|---|---|---|");
    for query in ["q1", "q0x", "qk", "q12"] {
        for workers in [1, 2] {
            let mut latencies = measure(query, workers);
            latencies.sort_unstable();
            let at = |share: f64| latencies[((latencies.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
            let (count, max) = (latencies.len(), at(1.0));
            println!(
                "| {query} | {workers} | {count} | {:.3} | {:.3} | {:.3} | {max:.3} |",
                at(0.5),
                at(0.99),
                at(0.999)
            );
        }
    }
}

fn measure(query: &str, workers: usize) -> Vec<Duration> {
    let clock = Arc::new(Clock::default());
    let mut registry = Registry::built_in();
    registry.register("latency", LatencySink(clock.clone()));
    registry.register("nexmark", TimedNexmark(clock.clone()));
    // Event time runs as fast as the clock: 20 µs between events at 50,000 events a second.
    let source = format!(
        "rate = {RATE}\ninterval-us = {}\nsplits = {workers}\nevents-max = {}",
        1_000_000 / RATE,
        RATE * SECONDS
    );
    let spec = JobSpec::parse(&job(query, &source, "connector = \"latency\""), "bench.toml").expect("a job");
    let runtime = Runtime::new(RuntimeOptions { cache_dir: None }).expect("a runtime");
    let plan = Plan::new(&spec, Path::new("/"), &registry, &runtime).expect("a plan");
    Job::start(plan, JobOptions::workers(workers)).expect("a job that starts").wait();
    std::mem::take(&mut clock.latencies.lock().expect("no thread panics while it holds this lock"))
}

/// The nexmark connector; notes when its source is first read, which is when its clock starts.
struct TimedNexmark(Arc<Clock>);

impl Connector for TimedNexmark {
    fn source(&self, options: &mut Options, folder: &Path) -> Result<Arc<dyn Source>, ConnectorError> {
        let built_in = Registry::built_in();
        let source = built_in.get("nexmark").expect("it is built in").source(options, folder)?;
        Ok(Arc::new(TimedSource { source, clock: self.0.clone() }))
    }

    fn sink(&self, _: &mut Options, _: &Path) -> Result<Arc<dyn Sink>, ConnectorError> {
        Err(ConnectorError::no_sink("nexmark"))
    }
}

struct TimedSource {
    source: Arc<dyn Source>,
    clock: Arc<Clock>,
}

impl Source for TimedSource {
    fn splits(&self) -> Result<Vec<String>, ConnectorError> {
        self.source.splits()
    }

    fn open(
        &self,
        source: u32,
        split: SplitIndex,
        position: Option<&Position>,
        waker: Waker,
    ) -> Result<Box<dyn SplitReader>, ConnectorError> {
        let reader = self.source.open(source, split, position, waker)?;
        Ok(Box::new(TimedReader { reader, clock: self.clock.clone() }))
    }
}

struct TimedReader {
    reader: Box<dyn SplitReader>,
    clock: Arc<Clock>,
}

impl SplitReader for TimedReader {
    fn read(
        &mut self,
        now: Instant,
        bytes_max: usize,
        batch: &mut Batch,
        malformed: &mut Vec<Malformed>,
    ) -> Result<ReadStatus, ConnectorError> {
        self.clock.start.get_or_init(|| now);
        self.reader.read(now, bytes_max, batch, malformed)
    }

    fn position(&self) -> Position {
        self.reader.position()
    }
}

/// A sink that notes how late each record is.
struct LatencySink(Arc<Clock>);

impl Connector for LatencySink {
    fn source(&self, _: &mut Options, _: &Path) -> Result<Arc<dyn Source>, ConnectorError> {
        Err(ConnectorError::no_source("latency"))
    }

    fn sink(&self, _: &mut Options, _: &Path) -> Result<Arc<dyn Sink>, ConnectorError> {
        Ok(Arc::new(LatencySink(self.0.clone())))
    }
}

impl Sink for LatencySink {
    fn open(&self, _: SinkContext) -> Result<Box<dyn SinkWriter>, ConnectorError> {
        Ok(Box::new(LatencySink(self.0.clone())))
    }

    fn delivery(&self) -> Delivery {
        Delivery::AtLeastOnce
    }
}

impl SinkWriter for LatencySink {
    fn write(&mut self, batch: &mut Batch) -> Result<WriteStatus, ConnectorError> {
        let start = *self.0.start.get().expect("nothing arrives before anything is read");
        let since_start = start.elapsed();
        let mut latencies = self.0.latencies.lock().expect("no thread panics while it holds this lock");
        for (origin, time) in batch.origins.iter().zip(&batch.times) {
            // What no record was made from is a window's result: its time is the last of the window.
            let due = match origin.source {
                u32::MAX => Duration::from_millis((time + 1 - BASE_MS) as u64),
                _ => Duration::from_secs_f64(origin.offset as f64 / RATE as f64),
            };
            // Windows that the end of the input fires early are not late at all.
            if due > WARM_UP && due <= Duration::from_secs(SECONDS) && since_start >= due {
                latencies.push(since_start - due);
            }
        }
        batch.clear();
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
