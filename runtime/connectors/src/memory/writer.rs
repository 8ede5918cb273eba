//! What writes to the sink in memory.

use super::MemoryRecord;
use super::sink::{MemorySink, Uncommitted};
use crate::background::BlockingWriter;
use crate::outbox::{FullOutbox, OutboxWriter};
use crate::transaction::{Transaction, recover};
use crate::{ConnectorError, Room, SinkContext, SinkWriter, StageHandle, WriteStatus};
use std::task::Poll;
use std::thread;
use std::time::Duration;
use tidewheel_types::Batch;

/// Fills outboxes, and shows at once what is in them.
pub(super) struct MemoryWriter {
    sink: MemorySink,
    outbox: OutboxWriter,
    delay: Option<Duration>,
    /// What is being written, not cut yet.
    key: Uncommitted,
}

impl MemoryWriter {
    pub(super) fn new(sink: MemorySink, context: &SinkContext, outbox: OutboxWriter, delay: Option<Duration>) -> Self {
        let key = Uncommitted {
            shard: context.shard,
            lineage: context.lineage.clone(),
            sink: context.sink.clone(),
            attempt: context.attempt,
            checkpoint: u64::MAX,
        };
        MemoryWriter { sink, outbox, delay, key }
    }
}

impl BlockingWriter for MemoryWriter {
    type Piece = FullOutbox;

    fn write(&mut self, batch: &Batch) -> Result<(), ConnectorError> {
        if let Some(delay) = self.delay {
            thread::sleep(delay);
        }
        self.outbox.write(batch)?;
        let mut state = self.sink.lock();
        state.uncommitted.entry(self.key.clone()).or_default().extend(MemoryRecord::from_batch(batch));
        Ok(())
    }

    fn cut(&mut self, checkpoint: u64) -> Result<Option<FullOutbox>, ConnectorError> {
        let mut state = self.sink.lock();
        if let Some(records) = state.uncommitted.remove(&self.key) {
            state.uncommitted.insert(Uncommitted { checkpoint, ..self.key.clone() }, records);
        }
        drop(state);
        self.outbox.cut(checkpoint)
    }
}

/// Does everything on the worker's thread: a sink without delay needs no other.
pub(super) struct Direct<T, R> {
    sink: MemorySink,
    writer: MemoryWriter,
    outboxes: T,
    room: R,
}

impl<T: Transaction<FullOutbox>, R: Fn() -> Room> Direct<T, R> {
    pub(super) fn new(sink: MemorySink, writer: MemoryWriter, outboxes: T, room: R) -> Self {
        Direct { sink, writer, outboxes, room }
    }
}

impl<T: Transaction<FullOutbox>, R: Fn() -> Room> SinkWriter for Direct<T, R> {
    fn write(&mut self, batch: &mut Batch) -> Result<WriteStatus, ConnectorError> {
        if self.sink.lock().is_full {
            return Ok(WriteStatus::Full);
        }
        self.writer.write(batch)?;
        batch.clear();
        Ok(WriteStatus::Taken)
    }

    fn recover(&mut self, staged: &[StageHandle]) -> Poll<Result<(), ConnectorError>> {
        Poll::Ready(recover(&mut self.outboxes, staged))
    }

    fn stage(&mut self, checkpoint: u64) -> Poll<Result<Option<StageHandle>, ConnectorError>> {
        let piece = match self.writer.cut(checkpoint) {
            Ok(piece) => piece,
            Err(error) => return Poll::Ready(Err(error)),
        };
        Poll::Ready(piece.map(|piece| self.outboxes.stage(piece)).transpose())
    }

    fn commit(&mut self, handle: &StageHandle) -> Poll<Result<(), ConnectorError>> {
        Poll::Ready(self.outboxes.commit(handle))
    }

    fn room(&self) -> Room {
        (self.room)()
    }
}
