//! Sink `file`: a folder of part files, one per shard and commit.

use super::part::{OpenPart, StagedPart, create_folder, remove_leftovers};
use crate::background::{Background, BlockingWriter};
use crate::{ConnectorError, Delivery, Sink, SinkContext, SinkWriter, StageHandle};
use memchr::memchr;
use std::path::PathBuf;
use tidewheel_types::Batch;

/// What a line of a part is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LineFormat {
    /// A value that is JSON, and so UTF-8.
    JsonLines,
    /// Any value without a line end.
    Lines,
}

/// Writes to a folder.
pub(super) struct FileSink {
    folder: PathBuf,
    format: LineFormat,
}

impl FileSink {
    pub(super) fn new(folder: PathBuf, format: LineFormat) -> Self {
        FileSink { folder, format }
    }
}

impl Sink for FileSink {
    fn open(&self, context: SinkContext) -> Result<Box<dyn SinkWriter>, ConnectorError> {
        // Done here, not on the thread, so that a folder that cannot be used is found before the job runs.
        create_folder(&self.folder)?;
        remove_leftovers(&self.folder)?;
        let writer = PartWriter {
            folder: self.folder.clone(),
            format: self.format,
            lineage: context.lineage,
            attempt: context.attempt,
            shard: context.shard,
            part: None,
        };
        Ok(Box::new(Background::start(&self.folder.display().to_string(), writer, context.waker)?))
    }

    fn delivery(&self) -> Delivery {
        Delivery::ExactlyOnce
    }
}

/// Writes one shard, on a thread.
struct PartWriter {
    folder: PathBuf,
    format: LineFormat,
    lineage: String,
    attempt: u64,
    shard: usize,
    /// What has been written since the last stage; nothing has when it is not there.
    part: Option<OpenPart>,
}

impl BlockingWriter for PartWriter {
    fn write(&mut self, batch: &Batch) -> Result<(), ConnectorError> {
        if batch.is_empty() {
            return Ok(());
        }
        let part = match &mut self.part {
            Some(part) => part,
            none => none.insert(OpenPart::create(&self.folder, &self.lineage, self.shard)?),
        };
        for (value, &origin) in batch.values.iter().zip(&batch.origins) {
            check_line(value, self.format)
                .map_err(|reason| ConnectorError::Record { origin, reason: reason.to_owned() })?;
            part.write_line(value)?;
        }
        Ok(())
    }

    fn recover(&mut self, staged: &[StageHandle]) -> Result<(), ConnectorError> {
        staged.iter().try_for_each(|handle| self.commit(handle))
    }

    fn stage(&mut self, checkpoint: u64) -> Result<Option<StageHandle>, ConnectorError> {
        let Some(part) = self.part.take() else { return Ok(None) };
        let ending = match self.format {
            LineFormat::JsonLines => "jsonl",
            LineFormat::Lines => "txt",
        };
        let staged = StagedPart::new(&self.lineage, self.attempt, self.shard, checkpoint, ending);
        part.stage(&self.folder, &staged.staged)?;
        Ok(Some(staged.to_handle()))
    }

    fn commit(&mut self, handle: &StageHandle) -> Result<(), ConnectorError> {
        let Some(part) = StagedPart::from_handle(handle) else {
            return Err(ConnectorError::CommitFailed {
                path: self.folder.display().to_string(),
                reason: "the snapshot does not name a part file; this sink was of another kind when it was taken"
                    .to_owned(),
            });
        };
        part.commit(&self.folder)
    }
}

/// Why a value is no line of this format.
fn check_line(value: &[u8], format: LineFormat) -> Result<(), &'static str> {
    if memchr(b'\n', value).is_some() {
        return Err("its value contains a line end; write it on one line, JSON strings can hold it as \\n");
    }
    if format == LineFormat::JsonLines && std::str::from_utf8(value).is_err() {
        return Err(
            "its value is not UTF-8, so it cannot be JSON; let the operator emit JSON, or set format = \"lines\"",
        );
    }
    Ok(())
}
