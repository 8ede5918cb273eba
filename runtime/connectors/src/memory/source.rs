//! A source that yields what it is given.

use super::MemoryRecord;
use crate::{ConnectorError, Malformed, NO_TIME, Position, ReadStatus, Source, SplitReader, Waker};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tidewheel_types::batch::RECORD_OVERHEAD_BYTES;
use tidewheel_types::{Batch, Origin, SplitIndex};

/// A source with a fixed number of splits. Clones are the same source.
#[derive(Clone)]
pub struct MemorySource {
    splits: Arc<[MemorySplit]>,
    is_explicit: bool,
}

/// One split: what is pushed here the source yields. Clones are the same split.
#[derive(Clone, Default)]
pub struct MemorySplit {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// Everything that was ever pushed: a reader may be opened anywhere.
    inputs: Vec<Input>,
    /// What the newest reader reads next.
    next: usize,
    has_ended: bool,
    waker: Option<Waker>,
}

enum Input {
    Record(MemoryRecord),
    Malformed(Malformed),
    /// Of an explicit source.
    Watermark(i64),
    /// Happens once: a job that is restarted because of it goes on.
    Failure(Option<String>),
}

impl MemorySource {
    /// A source with this many splits, all empty and open.
    pub fn new(splits: usize) -> Self {
        MemorySource { splits: (0..splits).map(|_| MemorySplit::default()).collect(), is_explicit: false }
    }

    /// The same, whose records have keys, and whose watermarks are pushed like records.
    pub fn explicit(splits: usize) -> Self {
        MemorySource { is_explicit: true, ..MemorySource::new(splits) }
    }

    /// A source that yields these records, one list per split, and ends.
    pub fn of(splits: impl IntoIterator<Item = Vec<MemoryRecord>>) -> Self {
        let splits = splits.into_iter().map(|records| {
            let split = MemorySplit::default();
            split.push(records);
            split.end();
            split
        });
        MemorySource { splits: splits.collect(), is_explicit: false }
    }

    /// Split `index`.
    ///
    /// # Panics
    /// If there is no such split.
    pub fn split(&self, index: usize) -> &MemorySplit {
        &self.splits[index]
    }
}

impl MemorySplit {
    /// Adds records; their origins are filled in, offsets counting from 0.
    pub fn push(&self, records: impl IntoIterator<Item = MemoryRecord>) {
        self.add(records.into_iter().map(Input::Record));
    }

    /// Adds records without time and key.
    pub fn push_values<V: Into<Vec<u8>>>(&self, values: impl IntoIterator<Item = V>) {
        self.push(values.into_iter().map(|value| MemoryRecord::new(NO_TIME, [], value)));
    }

    /// Adds input that is no record.
    pub fn push_malformed(&self, bytes: &[u8], reason: &str) {
        let malformed = Malformed { offset: 0, bytes: bytes.to_vec(), reason: reason.to_owned() };
        self.add([Input::Malformed(malformed)]);
    }

    /// Adds a watermark, ms, of a source whose watermarks are explicit.
    pub fn push_watermark(&self, watermark: i64) {
        self.add([Input::Watermark(watermark)]);
    }

    /// Lets the reader fail, one time, as if `what` had stopped, when everything before has been read.
    pub fn fail(&self, what: &str) {
        self.add([Input::Failure(Some(what.to_owned()))]);
    }

    /// Ends the split once everything before has been read.
    pub fn end(&self) {
        self.lock().has_ended = true;
        self.wake();
    }

    /// How many records have been pushed and not yet read.
    pub fn waiting(&self) -> usize {
        let state = self.lock();
        state.inputs.len() - state.next
    }

    fn add(&self, inputs: impl IntoIterator<Item = Input>) {
        let mut state = self.lock();
        for mut input in inputs {
            let offset = state.inputs.len() as u64;
            match &mut input {
                Input::Record(record) => record.origin.offset = offset,
                Input::Malformed(malformed) => malformed.offset = offset,
                Input::Failure(_) | Input::Watermark(_) => {}
            }
            state.inputs.push(input);
        }
        drop(state);
        self.wake();
    }

    /// Wakes the reader's worker; not under the lock, which the waker may lead back to.
    fn wake(&self) {
        let waker = self.lock().waker.clone();
        if let Some(waker) = waker {
            waker();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves nothing half done here.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Source for MemorySource {
    fn splits(&self) -> Result<Vec<String>, ConnectorError> {
        Ok((0..self.splits.len()).map(|split| format!("memory-{split}")).collect())
    }

    fn has_keys(&self) -> bool {
        self.is_explicit
    }

    fn open(
        &self,
        source: u32,
        split: SplitIndex,
        position: Option<&Position>,
        waker: Waker,
    ) -> Result<Box<dyn SplitReader>, ConnectorError> {
        let memory = self.split(split.0 as usize).clone();
        let next = position.map_or(Ok(0), |position| position.read("memory"))?;
        let mut state = memory.lock();
        state.waker = Some(waker);
        state.next = next;
        drop(state);
        let watermark = self.is_explicit.then_some(i64::MIN);
        Ok(Box::new(Reader { source, split: split.0, next, memory, watermark }))
    }
}

struct Reader {
    source: u32,
    split: u32,
    /// Its own: a reader of an earlier attempt may live on.
    next: usize,
    memory: MemorySplit,
    /// None if it is reckoned from the records.
    watermark: Option<i64>,
}

impl SplitReader for Reader {
    fn read(
        &mut self,
        _now: Instant,
        bytes_max: usize,
        batch: &mut Batch,
        malformed: &mut Vec<Malformed>,
    ) -> Result<ReadStatus, ConnectorError> {
        let mut state = self.memory.lock();
        let mut bytes = 0;
        while bytes < bytes_max {
            let state = &mut *state;
            let input = state.inputs.get_mut(self.next);
            self.next += usize::from(input.is_some());
            state.next = self.next;
            match input {
                Some(Input::Record(record)) => {
                    let origin = Origin { source: self.source, split: self.split, ..record.origin };
                    batch.push(record.time, &record.key, &record.value, origin);
                    bytes += record.key.len() + record.value.len() + RECORD_OVERHEAD_BYTES;
                }
                Some(Input::Malformed(input)) => {
                    bytes += input.bytes.len() + RECORD_OVERHEAD_BYTES;
                    malformed.push(input.clone());
                }
                Some(Input::Watermark(watermark)) => {
                    self.watermark = self.watermark.map(|before| before.max(*watermark));
                }
                Some(Input::Failure(what)) => {
                    if let Some(what) = what.take() {
                        return Err(ConnectorError::Stopped { what });
                    }
                }
                None if state.has_ended => return Ok(ReadStatus::End),
                None => return Ok(ReadStatus::Pending),
            }
        }
        Ok(ReadStatus::Ready)
    }

    fn watermark(&self) -> Option<i64> {
        self.watermark
    }

    fn position(&self) -> Position {
        Position::of(&self.next)
    }
}
