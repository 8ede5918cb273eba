//! The end of a job's dataflow: hands batches to a connector's writer.
//!
//! The writer has a bounded queue. When it is full the sink waits, and holds its epoch: that is how a slow outside
//! world slows the sources. At the job's end the sink stages and commits what it wrote.

use crate::error::EngineError;
use crate::inbox::Arrived;
use crate::outputs::Outputs;
use crate::streams::Command;
use crate::task::{Flow, Logic, Moment};
use std::task::Poll;
use tidewheel_connectors::{ConnectorError, SinkWriter, StageHandle, WriteStatus};
use tidewheel_types::OperatorId;

/// The number under which the only commit of a job without checkpoints is made.
const FINAL_CHECKPOINT: u64 = 0;

/// A sink on one worker.
pub(crate) struct SinkTask {
    id: OperatorId,
    writer: Box<dyn SinkWriter>,
    staged: Option<StageHandle>,
}

impl SinkTask {
    pub(crate) fn new(id: OperatorId, writer: Box<dyn SinkWriter>) -> Self {
        SinkTask { id, writer, staged: None }
    }

    fn failed(&self, error: ConnectorError) -> EngineError {
        EngineError::Connector { operator: self.id.clone(), source: Box::new(error) }
    }

    /// Stages, then commits; waits where the connector does.
    fn finish(&mut self) -> Result<Flow, ConnectorError> {
        let handle = match self.staged.take() {
            Some(handle) => handle,
            None => match self.writer.stage(FINAL_CHECKPOINT) {
                Poll::Ready(handle) => match handle? {
                    Some(handle) => handle,
                    None => return Ok(Flow::Done),
                },
                Poll::Pending => return Ok(Flow::Waiting),
            },
        };
        match self.writer.commit(&handle) {
            Poll::Ready(committed) => committed.map(|()| Flow::Done),
            Poll::Pending => {
                self.staged = Some(handle);
                Ok(Flow::Waiting)
            }
        }
    }
}

impl Logic for SinkTask {
    fn records(&mut self, arrived: &mut Arrived, _: &Moment, _: &mut Outputs) -> Result<Flow, EngineError> {
        match self.writer.write(&mut arrived.batch) {
            Ok(WriteStatus::Taken) => Ok(Flow::Done),
            Ok(WriteStatus::Full) => Ok(Flow::Waiting),
            Err(error) => Err(self.failed(error)),
        }
    }

    fn fire(&mut self, _: &Moment, _: &mut Outputs) -> Result<Flow, EngineError> {
        Ok(Flow::Done)
    }

    fn command(&mut self, command: Command, _: &Moment) -> Result<Flow, EngineError> {
        match command {
            Command::Finish => self.finish().map_err(|error| self.failed(error)),
            Command::Share(_) => Ok(Flow::Done),
        }
    }
}
