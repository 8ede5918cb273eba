//! The end of a job's dataflow: hands batches to a connector's writer.
//!
//! The writer has a bounded queue. When it is full the sink waits, and holds its epoch: that is how a slow outside
//! world slows the sources. At a checkpoint the sink has the writer stage what it was given since the last, and goes on;
//! when that is durable it is the sink's part of the checkpoint. What is staged is committed, in order, once its
//! checkpoint is complete; until then every later checkpoint names it too. When little more can wait for its commit the
//! sink tells the controller, and takes what comes all the same. Before anything else it settles what an earlier attempt
//! had staged; no source reads before all have.

use crate::checkpoint::Part;
use crate::error::EngineError;
use crate::inbox::Arrived;
use crate::outputs::Outputs;
use crate::reporter::Reporter;
use crate::streams::{CheckpointId, Command, Report};
use crate::task::{Flow, Logic, Moment};
use std::collections::VecDeque;
use std::task::Poll;
use tidewheel_checkpoint::Staged;
use tidewheel_connectors::{ConnectorError, Room, SinkWriter, StageHandle, WriteStatus};
use tidewheel_types::OperatorId;

/// A sink on one worker.
pub(crate) struct SinkTask {
    id: OperatorId,
    shard: usize,
    writer: Box<dyn SinkWriter>,
    reporter: Reporter,
    /// What an earlier attempt had staged, until it is settled.
    unsettled: Option<Vec<StageHandle>>,
    /// The checkpoint whose output is being staged.
    staging: Option<CheckpointId>,
    /// Output that is staged and not yet committed.
    staged: VecDeque<(CheckpointId, StageHandle)>,
    /// Checkpoints that are complete, of which not everything is committed.
    complete: VecDeque<CheckpointId>,
    /// The room that the writer has, as the controller knows it.
    told: Room,
}

impl SinkTask {
    /// A sink that first settles `unsettled`, in this order.
    pub(crate) fn new(
        id: OperatorId,
        shard: usize,
        writer: Box<dyn SinkWriter>,
        reporter: Reporter,
        unsettled: Vec<StageHandle>,
    ) -> Self {
        SinkTask {
            id,
            shard,
            writer,
            reporter,
            unsettled: Some(unsettled),
            staging: None,
            staged: VecDeque::new(),
            complete: VecDeque::new(),
            told: Room::Enough,
        }
    }

    fn failed(&self, error: ConnectorError) -> EngineError {
        EngineError::Connector { operator: self.id.clone(), source: Box::new(error) }
    }

    fn settle(&mut self) -> Result<(), ConnectorError> {
        if let Some(staged) = &self.unsettled
            && let Poll::Ready(settled) = self.writer.recover(staged)
        {
            settled?;
            self.unsettled = None;
            self.reporter.send(Report::Ready);
        }
        Ok(())
    }

    /// Reports what has been staged.
    fn stage(&mut self) -> Result<(), ConnectorError> {
        if let Some(checkpoint) = self.staging
            && let Poll::Ready(handle) = self.writer.stage(checkpoint)
        {
            self.staging = None;
            self.staged.extend(handle?.map(|handle| (checkpoint, handle)));
            let staged = self
                .staged
                .iter()
                .map(|(checkpoint, handle)| Staged { checkpoint: *checkpoint, handle: handle.0.clone() });
            let part = Part::Sink { sink: self.id.to_string(), shard: self.shard, staged: staged.collect() };
            self.reporter.send(Report::Part { checkpoint, part: part.encode() });
        }
        Ok(())
    }

    /// Commits what belongs to complete checkpoints.
    fn commit(&mut self) -> Result<(), ConnectorError> {
        while let Some(&complete) = self.complete.front() {
            while let Some((_, handle)) = self.staged.front().filter(|(checkpoint, _)| *checkpoint <= complete) {
                let Poll::Ready(committed) = self.writer.commit(handle) else { return Ok(()) };
                committed?;
                self.staged.pop_front();
            }
            self.complete.pop_front();
            // First, so that whoever learns of the commit knows what it has made room for.
            self.tell_room();
            self.reporter.send(Report::Committed(complete));
        }
        Ok(())
    }

    /// Reports how much more output can wait for its commit, if that has changed.
    fn tell_room(&mut self) {
        let room = self.writer.room();
        if room != self.told {
            self.told = room;
            self.reporter.send(Report::Room { sink: self.id.to_string(), shard: self.shard, room });
        }
    }
}

impl Logic for SinkTask {
    fn records(&mut self, arrived: &mut Arrived, _: &Moment, _: &mut Outputs) -> Result<Flow, EngineError> {
        if self.unsettled.is_some() {
            // A timer that came due while the job was down may fire before any source reads.
            return Ok(Flow::Waiting);
        }
        let status = self.writer.write(&mut arrived.batch).map_err(|error| self.failed(error))?;
        self.tell_room();
        Ok(match status {
            WriteStatus::Taken => Flow::Done,
            WriteStatus::Full => Flow::Waiting,
        })
    }

    fn fire(&mut self, _: &Moment, _: &mut Outputs) -> Result<Flow, EngineError> {
        Ok(Flow::Done)
    }

    fn command(&mut self, command: &Command, _: &Moment) -> Result<Flow, EngineError> {
        match command {
            // One that was given up may still be on its way to the disk.
            Command::Checkpoint { .. } if self.staging.is_some() => return Ok(Flow::Waiting),
            Command::Checkpoint { checkpoint, .. } => self.staging = Some(*checkpoint),
            Command::Complete(checkpoint) => self.complete.push_back(*checkpoint),
            Command::Share(_) | Command::Align { .. } | Command::Limit { .. } | Command::Halt { .. } => {
                return Ok(Flow::Done);
            }
        }
        // At once: what is written from now on belongs to the next checkpoint.
        self.poll().map(|()| Flow::Done)
    }

    fn poll(&mut self) -> Result<(), EngineError> {
        self.settle().and_then(|()| self.stage()).and_then(|()| self.commit()).map_err(|error| self.failed(error))?;
        self.tell_room();
        Ok(())
    }
}
