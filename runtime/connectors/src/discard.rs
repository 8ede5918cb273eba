//! Connector `discard`: a sink that drops everything, to measure a job without its output.

use crate::{Connector, ConnectorError, Delivery, Sink, SinkContext, SinkWriter, Source, StageHandle, WriteStatus};
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

    fn delivery(&self) -> Delivery {
        Delivery::ExactlyOnce
    }
}

impl SinkWriter for Discard {
    fn write(&mut self, batch: &mut Batch) -> Result<WriteStatus, ConnectorError> {
        batch.clear();
        Ok(WriteStatus::Taken)
    }

    fn recover(&mut self, _staged: &[StageHandle]) -> Poll<Result<(), ConnectorError>> {
        Poll::Ready(Ok(()))
    }

    fn stage(&mut self, _checkpoint: u64) -> Poll<Result<Option<StageHandle>, ConnectorError>> {
        Poll::Ready(Ok(None))
    }

    fn commit(&mut self, _handle: &StageHandle) -> Poll<Result<(), ConnectorError>> {
        Poll::Ready(Ok(()))
    }
}
