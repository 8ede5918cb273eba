//! Connector `discard`: a sink that drops everything, to measure a job without its output.

use crate::{Connector, ConnectorError, Sink, SinkContext, SinkWriter, Source, StageHandle, WriteStatus};
use std::path::Path;
use std::sync::Arc;
use std::task::Poll;
use tidewheel_types::Batch;
use tidewheel_types::job::Options;

/// Connector `discard`.
pub(crate) struct Discard;

impl Connector for Discard {
    fn source(&self, _options: &mut Options, _folder: &Path) -> Result<Arc<dyn Source>, ConnectorError> {
        Err(ConnectorError::no_source("discard"))
    }

    fn sink(&self, _options: &mut Options, _folder: &Path) -> Result<Arc<dyn Sink>, ConnectorError> {
        Ok(Arc::new(Discard))
    }
}

impl Sink for Discard {
    fn open(&self, _context: SinkContext) -> Result<Box<dyn SinkWriter>, ConnectorError> {
        Ok(Box::new(Discard))
    }
}

impl SinkWriter for Discard {
    fn write(&mut self, batch: &mut Batch) -> Result<WriteStatus, ConnectorError> {
        batch.clear();
        Ok(WriteStatus::Taken)
    }

    fn stage(&mut self, _checkpoint: u64) -> Poll<Result<StageHandle, ConnectorError>> {
        Poll::Ready(Ok(StageHandle(Vec::new())))
    }

    fn commit(&mut self, _handle: &StageHandle) -> Poll<Result<(), ConnectorError>> {
        Poll::Ready(Ok(()))
    }
}
