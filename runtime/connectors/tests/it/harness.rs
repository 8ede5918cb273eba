//! Plays the engine: reads splits to their end, writes batches, and parks until a waker is called.

use crossbeam_channel::{Receiver, unbounded};
use std::path::Path;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};
use tidewheel_connectors::{
    ConnectorError, Malformed, ReadStatus, Registry, Room, Sink, SinkContext, SinkWriter, Source, SplitReader,
    StageHandle, Waker, WriteStatus,
};
use tidewheel_types::job::Options;
use tidewheel_types::{Batch, SplitIndex};

/// Longer than anything here takes.
const TIMEOUT: Duration = Duration::from_secs(20);

/// A waker, and where its calls arrive.
pub(crate) struct Park {
    calls: Receiver<()>,
    waker: Waker,
}

impl Park {
    pub(crate) fn new() -> Self {
        let (sender, calls) = unbounded();
        // A call after the end of the test is in vain.
        let waker = Arc::new(move || {
            let _ = sender.send(());
        });
        Park { calls, waker }
    }

    pub(crate) fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// Waits until the waker has been called since the last time.
    pub(crate) fn wait(&self) {
        self.calls.recv_timeout(TIMEOUT).expect("the waker is called in time");
    }
}

/// The options in this TOML text.
pub(crate) fn options(text: &str) -> Options {
    Options::parse(text, "job.toml").expect("TOML")
}

/// A source of a built-in connector; every option has to be known.
pub(crate) fn source(connector: &str, text: &str, folder: &Path) -> Result<Arc<dyn Source>, ConnectorError> {
    let mut options = options(text);
    let source = Registry::built_in().get(connector).expect("a connector").source(&mut options, folder)?;
    options.finish()?;
    Ok(source)
}

/// A sink of a built-in connector; every option has to be known.
pub(crate) fn sink(connector: &str, text: &str, folder: &Path) -> Result<Arc<dyn Sink>, ConnectorError> {
    let mut options = options(text);
    let sink = Registry::built_in().get(connector).expect("a connector").sink(&mut options, folder)?;
    options.finish()?;
    Ok(sink)
}

/// What a split yields from beginning to end.
pub(crate) struct Content {
    pub(crate) batch: Batch,
    pub(crate) malformed: Vec<Malformed>,
}

impl Content {
    /// Offset and value of each record, the value as text.
    pub(crate) fn lines(&self) -> Vec<(u64, &str)> {
        let values = self.batch.values.iter().map(|value| std::str::from_utf8(value).expect("text"));
        self.batch.origins.iter().map(|origin| origin.offset).zip(values).collect()
    }

    /// What was wrong, with its place.
    pub(crate) fn reasons(&self) -> Vec<&str> {
        self.malformed.iter().map(|malformed| malformed.reason.as_str()).collect()
    }
}

/// Reads a split to its end, `bytes_max` bytes at a time.
pub(crate) fn read_split(source: &dyn Source, split: u32, bytes_max: usize) -> Result<Content, ConnectorError> {
    let park = Park::new();
    let mut reader = source.open(0, SplitIndex(split), None, park.waker())?;
    read_to_end(reader.as_mut(), &park, bytes_max)
}

/// Reads what is left of a split.
pub(crate) fn read_to_end(
    reader: &mut dyn SplitReader,
    park: &Park,
    bytes_max: usize,
) -> Result<Content, ConnectorError> {
    let mut content = Content { batch: Batch::default(), malformed: Vec::new() };
    loop {
        match reader.read(Instant::now(), bytes_max, &mut content.batch, &mut content.malformed)? {
            ReadStatus::Ready => {}
            ReadStatus::Pending => park.wait(),
            ReadStatus::Wait(duration) => std::thread::sleep(duration),
            ReadStatus::End => return Ok(content),
        }
    }
}

/// The context of a shard of the first attempt.
pub(crate) fn context(lineage: &str, shard: usize, park: &Park) -> SinkContext {
    let (lineage, sink) = (lineage.to_owned(), "out".to_owned());
    SinkContext { lineage, sink, attempt: 1, shard, shards: shard + 1, has_unsettled: false, waker: park.waker() }
}

/// A writer of one shard, and its waker.
pub(crate) struct Shard {
    writer: Box<dyn SinkWriter>,
    park: Park,
}

impl Shard {
    pub(crate) fn open(sink: &dyn Sink, lineage: &str, shard: usize) -> Result<Self, ConnectorError> {
        let park = Park::new();
        Shard::open_with(sink, context(lineage, shard, &park), park)
    }

    pub(crate) fn open_with(sink: &dyn Sink, context: SinkContext, park: Park) -> Result<Self, ConnectorError> {
        let mut shard = Shard { writer: sink.open(context)?, park };
        shard.recover(&[])?;
        Ok(shard)
    }

    /// Opens a shard of a later attempt, which settles what an earlier one has staged.
    pub(crate) fn reopen(
        sink: &dyn Sink,
        context: SinkContext,
        park: Park,
        staged: &[StageHandle],
    ) -> Result<Self, ConnectorError> {
        let mut shard = Shard { writer: sink.open(context)?, park };
        shard.recover(staged)?;
        Ok(shard)
    }

    pub(crate) fn room(&self) -> Room {
        self.writer.room()
    }

    fn recover(&mut self, staged: &[StageHandle]) -> Result<(), ConnectorError> {
        loop {
            match self.writer.recover(staged) {
                Poll::Ready(result) => return result,
                Poll::Pending => self.park.wait(),
            }
        }
    }

    /// Writes values, waiting for room.
    pub(crate) fn write(&mut self, values: &[&str]) -> Result<(), ConnectorError> {
        let mut batch = batch_of(values);
        while self.writer.write(&mut batch)? == WriteStatus::Full {
            self.park.wait();
        }
        assert!(batch.is_empty(), "a batch that was taken is empty");
        Ok(())
    }

    /// Stages what has been written, which is something.
    pub(crate) fn stage(&mut self, checkpoint: u64) -> Result<StageHandle, ConnectorError> {
        self.try_stage(checkpoint).map(|handle| handle.expect("something was written"))
    }

    pub(crate) fn try_stage(&mut self, checkpoint: u64) -> Result<Option<StageHandle>, ConnectorError> {
        loop {
            match self.writer.stage(checkpoint) {
                Poll::Ready(result) => return result,
                Poll::Pending => self.park.wait(),
            }
        }
    }

    pub(crate) fn commit(&mut self, handle: &StageHandle) -> Result<(), ConnectorError> {
        loop {
            match self.writer.commit(handle) {
                Poll::Ready(result) => return result,
                Poll::Pending => self.park.wait(),
            }
        }
    }
}

/// Records with these values, offsets counting from 0.
pub(crate) fn batch_of(values: &[&str]) -> Batch {
    let mut batch = Batch::default();
    for (offset, value) in values.iter().enumerate() {
        let origin = tidewheel_types::Origin { offset: offset as u64, source: 1, split: 2 };
        batch.push(0, b"", value.as_bytes(), origin);
    }
    batch
}
