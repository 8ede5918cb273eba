//! Output that waits for its commit is bounded: where little more can wait a checkpoint begins early, and where none can the
//! sources wait.

use crate::common::{Running, TIMEOUT, TestJob, durability, wait_until};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tidewheel_connectors::memory::{MemoryRecord, MemorySource};
use tidewheel_connectors::outbox::{self, OutboxId, OutboxSettings, Target};
use tidewheel_connectors::{
    Connector, ConnectorError, Delivery, Outcome, Room, Sink, SinkContext, SinkWriter, Source, StageHandle, WriteStatus,
};
use tidewheel_engine::{After, CheckpointPolicy, Durability, JobOptions, StartFrom};
use tidewheel_types::Batch;
use tidewheel_types::job::Options;

const JOB: &str = "
[sources.in]
connector = 'in'
watermark = { idle-after = '2s' }
[sinks.out]
connector = 'outside'
input = 'in'
";

const RECORD_BYTES: usize = 1_000;

/// Far more than the epochs that are open, and those that end before the sources know that they have to wait.
const TOTAL_BYTES: usize = 32 << 20;

/// What these can bring at most: an epoch's budget is no more than 1 MiB.
const IN_FLIGHT_BYTES_MAX: usize = 8 << 20;

/// An outside system that takes outboxes, when its door is open, and counts what waits for that. Clones are the same.
#[derive(Clone)]
struct Outside {
    settings: OutboxSettings,
    commit_takes: Duration,
    state: Arc<(Mutex<State>, Condvar)>,
}

#[derive(Default)]
struct State {
    is_closed: bool,
    /// Bytes of records that were written and are not committed, and the most that there ever were.
    held: usize,
    held_max: usize,
    /// The numbers of the records that were committed.
    committed: Vec<u64>,
}

impl Outside {
    fn new(early: usize, most: usize) -> Outside {
        let settings = OutboxSettings {
            early_bytes: early as u64,
            uncommitted_bytes_max: most as u64,
            ..OutboxSettings::default()
        };
        Outside { settings, commit_takes: Duration::ZERO, state: Arc::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.0.lock().expect("nobody panics")
    }

    /// Takes nothing until its door is opened, by [`Ending`].
    fn close(&self) {
        self.lock().is_closed = true;
    }
}

/// Opens the door and stops the job when it is dropped, which is also when the test has failed: a job that is dropped waits
/// for its end.
struct Ending<'a>(&'a Outside, &'a Running);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        let Ending(outside, job) = self;
        outside.lock().is_closed = false;
        outside.state.1.notify_all();
        // It may be on its way to its end already.
        drop(job.control().snapshot(None, After::Stop { drain: false }));
    }
}

impl Connector for Outside {
    fn source(&self, _options: &mut Options, _folder: &Path) -> Result<Arc<dyn Source>, ConnectorError> {
        Err(ConnectorError::no_source("outside"))
    }

    fn sink(&self, _options: &mut Options, _folder: &Path) -> Result<Arc<dyn Sink>, ConnectorError> {
        Ok(Arc::new(self.clone()))
    }
}

impl Sink for Outside {
    fn open(&self, context: SinkContext) -> Result<Box<dyn SinkWriter>, ConnectorError> {
        let writer = outbox::open("outside", context, self.clone(), &self.settings)?;
        Ok(Box::new(Counting { outside: self.clone(), writer }))
    }

    fn delivery(&self) -> Delivery {
        Delivery::ExactlyOnce
    }
}

impl Target for Outside {
    fn fence(&mut self, _shard: usize) -> Result<(), ConnectorError> {
        Ok(())
    }

    fn outcome(&mut self, _outbox: &OutboxId) -> Result<Outcome, ConnectorError> {
        Ok(Outcome::Open)
    }

    fn commit(
        &mut self,
        _outbox: &OutboxId,
        records: &mut dyn Iterator<Item = Result<Batch, ConnectorError>>,
    ) -> Result<(), ConnectorError> {
        drop(self.state.1.wait_while(self.lock(), |state| state.is_closed).expect("nobody panics"));
        std::thread::sleep(self.commit_takes);
        for batch in records {
            let batch = batch?;
            let mut state = self.lock();
            state.held -= batch.len() * RECORD_BYTES;
            state.committed.extend((0..batch.len()).map(|index| number_of(batch.values.get(index))));
        }
        Ok(())
    }
}

/// The writer of a shard, and what it was given.
struct Counting {
    outside: Outside,
    writer: Box<dyn SinkWriter>,
}

impl SinkWriter for Counting {
    fn write(&mut self, batch: &mut Batch) -> Result<WriteStatus, ConnectorError> {
        let bytes = batch.len() * RECORD_BYTES;
        // Before: it may be committed at once.
        self.outside.lock().held += bytes;
        let status = self.writer.write(batch)?;
        let mut state = self.outside.lock();
        match status {
            WriteStatus::Taken => state.held_max = state.held_max.max(state.held),
            WriteStatus::Full => state.held -= bytes,
        }
        Ok(status)
    }

    fn recover(&mut self, staged: &[StageHandle]) -> std::task::Poll<Result<(), ConnectorError>> {
        self.writer.recover(staged)
    }

    fn stage(&mut self, checkpoint: u64) -> std::task::Poll<Result<Option<StageHandle>, ConnectorError>> {
        self.writer.stage(checkpoint)
    }

    fn commit(&mut self, handle: &StageHandle) -> std::task::Poll<Result<(), ConnectorError>> {
        self.writer.commit(handle)
    }

    fn room(&self) -> Room {
        self.writer.room()
    }
}

fn record(time: i64, number: u64) -> MemoryRecord {
    let mut value = number.to_le_bytes().to_vec();
    value.resize(RECORD_BYTES, 0);
    MemoryRecord::new(time, "", value)
}

fn number_of(value: &[u8]) -> u64 {
    u64::from_le_bytes(*value.first_chunk().expect("a number"))
}

/// Starts a job that takes no checkpoint by the clock.
fn start(folder: &TempDir, source: &MemorySource, outside: &Outside, workers: usize) -> Running {
    let durability = durability(folder.path(), StartFrom::Nothing);
    let policy = CheckpointPolicy { interval: Some(Duration::from_secs(3600)), ..durability.policy.clone() };
    let job = TestJob::new(JOB).source("in", source).connector("outside", outside.clone());
    let durability = Some(Durability { policy, ..durability });
    job.start_with(JobOptions { durability, ..JobOptions::workers(workers) })
}

/// Numbers from 0 on, in two splits that end.
fn numbers() -> (u64, MemorySource) {
    let count = (TOTAL_BYTES / RECORD_BYTES) as u64;
    let split = |first: u64| (first..count).step_by(2).map(|number| record(0, number)).collect();
    (count, MemorySource::of([split(0), split(1)]))
}

fn assert_all_committed_once(outside: &Outside, count: u64) {
    let mut committed = std::mem::take(&mut outside.lock().committed);
    committed.sort_unstable();
    assert!(committed.into_iter().eq(0..count));
}

#[test]
fn what_waits_for_its_commit_is_bounded_and_all_of_it_is_committed() {
    const EARLY: usize = 1 << 20;
    const MOST: usize = 2 << 20;
    for workers in 1..=2 {
        let (folder, (count, source)) = (tempfile::tempdir().expect("a folder"), numbers());
        // Slower than the sources: an early checkpoint alone does not help.
        let outside = Outside { commit_takes: Duration::from_millis(20), ..Outside::new(EARLY, MOST) };
        let counters = start(&folder, &source, &outside, workers).wait();
        assert_all_committed_once(&outside, count);
        let held_max = outside.lock().held_max;
        assert!(held_max <= workers * MOST + IN_FLIGHT_BYTES_MAX, "{held_max} bytes waited on {workers} workers");
        assert!(counters.checkpoints.completed > 2, "{:?}", counters.checkpoints);
    }
}

#[test]
fn checkpoints_begin_early_before_the_sources_have_to_wait() {
    let (folder, (count, source)) = (tempfile::tempdir().expect("a folder"), numbers());
    let outside = Outside::new(1 << 20, usize::MAX);
    let counters = start(&folder, &source, &outside, 2).wait();
    assert_all_committed_once(&outside, count);
    assert!(counters.checkpoints.completed > 2, "{:?}", counters.checkpoints);
}

/// Without a checkpoint nothing is committed before the end: there is nothing to wait for.
#[test]
fn a_job_that_keeps_nothing_does_not_wait() {
    let (count, source) = numbers();
    let outside = Outside::new(1, 1);
    let counters = TestJob::new(JOB).source("in", &source).connector("outside", outside.clone()).run(2);
    assert_all_committed_once(&outside, count);
    assert_eq!(counters.checkpoints.completed, 1);
}

#[test]
fn a_job_that_waits_for_room_can_be_stopped() {
    for drain in [false, true] {
        let folder = tempfile::tempdir().expect("a folder");
        let (count, source) = numbers();
        let outside = Outside::new(1, 1);
        outside.close();
        let job = start(&folder, &source, &outside, 2);
        let ending = Ending(&outside, &job);
        wait_until("a checkpoint has begun early", || job.counters().checkpoints.completed == 1);
        let done = job.control().snapshot(None, After::Stop { drain });
        drop(ending);
        done.recv_timeout(TIMEOUT).expect("an answer").expect("a checkpoint");
        job.wait();
        let committed = outside.lock().committed.len() as u64;
        assert!(0 < committed && committed < count, "{committed} of {count}");
    }
}

#[test]
fn a_split_that_has_records_is_not_idle_while_its_source_waits_for_room() {
    const BUSY: usize = 8;
    // All splits have been read before there is none.
    const ROOM: usize = 2 << 20;
    let folder = tempfile::tempdir().expect("a folder");
    let source = MemorySource::new(BUSY + 1);
    let quiet = source.split(BUSY);
    let outside = Outside::new(ROOM, ROOM);
    outside.close();
    let job = start(&folder, &source, &outside, 1);
    let ending = Ending(&outside, &job);
    for busy in 0..BUSY {
        let count = (ROOM + 2 * IN_FLIGHT_BYTES_MAX) / BUSY / RECORD_BYTES;
        source.split(busy).push((0..count).map(|_| record(50_000, 0)));
    }
    let mut held_since = None;
    wait_until("the source has waited for longer than it takes to become idle", || {
        if quiet.waiting() == 0 {
            quiet.push([record(10_000, 0)]);
            held_since = None;
        }
        assert!(job.counters().watermark().0 < 10_000, "the quiet split is taken for idle");
        held_since.get_or_insert_with(Instant::now).elapsed() > Duration::from_secs(3)
    });
    drop(ending);
    job.wait();
    assert_eq!(outside.lock().held, 0);
}
