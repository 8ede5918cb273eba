//! A sink that keeps what it gets.

use super::MemoryRecord;
use crate::background::{Background, BlockingWriter};
use crate::{ConnectorError, Delivery, Sink, SinkContext, SinkWriter, StageHandle, Waker, WriteStatus};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::thread;
use std::time::Duration;
use tidewheel_types::Batch;

/// A sink that keeps records in memory. Clones are the same sink.
#[derive(Clone, Default)]
pub struct MemorySink {
    state: Arc<Mutex<State>>,
    /// How long a batch takes to write.
    delay: Option<Duration>,
}

#[derive(Default)]
struct State {
    written: BTreeMap<usize, Vec<MemoryRecord>>,
    /// By the handle's bytes.
    staged: BTreeMap<Vec<u8>, Vec<MemoryRecord>>,
    committed: Vec<MemoryRecord>,
    is_full: bool,
    wakers: Vec<Waker>,
}

impl MemorySink {
    /// An empty sink.
    pub fn new() -> Self {
        MemorySink::default()
    }

    /// A sink that takes this long for each batch, behind a short queue.
    pub fn slow(delay: Duration) -> Self {
        MemorySink { delay: Some(delay), ..MemorySink::default() }
    }

    /// What has become visible, in order of commit.
    pub fn committed(&self) -> Vec<MemoryRecord> {
        self.lock().committed.clone()
    }

    /// Everything taken: committed, staged, and written since, each by shard.
    pub fn taken(&self) -> Vec<MemoryRecord> {
        let state = self.lock();
        let uncommitted = state.staged.values().chain(state.written.values()).flatten();
        state.committed.iter().chain(uncommitted).cloned().collect()
    }

    /// While full, the sink takes no batch; a slow one does, until its queue is full.
    pub fn set_full(&self, is_full: bool) {
        let mut state = self.lock();
        state.is_full = is_full;
        let wakers = state.wakers.clone();
        drop(state);
        wakers.iter().for_each(|waker| waker());
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves nothing half done here.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink for MemorySink {
    fn open(&self, context: SinkContext) -> Result<Box<dyn SinkWriter>, ConnectorError> {
        self.lock().wakers.push(context.waker.clone());
        let writer = Writer { sink: self.clone(), lineage: context.lineage, shard: context.shard };
        Ok(match self.delay {
            None => Box::new(writer),
            Some(_) => Box::new(Background::start("memory", writer, context.waker)?),
        })
    }

    fn delivery(&self) -> Delivery {
        Delivery::ExactlyOnce
    }
}

struct Writer {
    sink: MemorySink,
    lineage: String,
    shard: usize,
}

impl BlockingWriter for Writer {
    fn write(&mut self, batch: &Batch) -> Result<(), ConnectorError> {
        if let Some(delay) = self.sink.delay {
            thread::sleep(delay);
        }
        let mut state = self.sink.lock();
        state.written.entry(self.shard).or_default().extend(MemoryRecord::from_batch(batch));
        Ok(())
    }

    fn recover(&mut self, staged: &[StageHandle]) -> Result<(), ConnectorError> {
        self.sink.lock().written.remove(&self.shard);
        staged.iter().try_for_each(|handle| BlockingWriter::commit(self, handle))
    }

    fn stage(&mut self, checkpoint: u64) -> Result<Option<StageHandle>, ConnectorError> {
        let handle = format!("{}-{}-{checkpoint}", self.lineage, self.shard).into_bytes();
        let mut state = self.sink.lock();
        let Some(written) = state.written.remove(&self.shard) else { return Ok(None) };
        state.staged.insert(handle.clone(), written);
        Ok(Some(StageHandle(handle)))
    }

    fn commit(&mut self, handle: &StageHandle) -> Result<(), ConnectorError> {
        let mut state = self.sink.lock();
        // The second time there is nothing to commit any more.
        let staged = state.staged.remove(&handle.0).unwrap_or_default();
        state.committed.extend(staged);
        Ok(())
    }
}

/// A sink without delay needs no thread.
impl SinkWriter for Writer {
    fn write(&mut self, batch: &mut Batch) -> Result<WriteStatus, ConnectorError> {
        if self.sink.lock().is_full {
            return Ok(WriteStatus::Full);
        }
        BlockingWriter::write(self, batch)?;
        batch.clear();
        Ok(WriteStatus::Taken)
    }

    fn recover(&mut self, staged: &[StageHandle]) -> Poll<Result<(), ConnectorError>> {
        Poll::Ready(BlockingWriter::recover(self, staged))
    }

    fn stage(&mut self, checkpoint: u64) -> Poll<Result<Option<StageHandle>, ConnectorError>> {
        Poll::Ready(BlockingWriter::stage(self, checkpoint))
    }

    fn commit(&mut self, handle: &StageHandle) -> Poll<Result<(), ConnectorError>> {
        Poll::Ready(BlockingWriter::commit(self, handle))
    }
}
