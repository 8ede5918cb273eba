//! The state of an operator on one worker: what its function reads and writes, its timers, and its part of checkpoints.

use crate::checkpoint::{Part, Saver, TaskParts};
use crate::error::EngineError;
use crate::reporter::Reporter;
use crate::streams::{Command, Report};
use crate::task::Moment;
use std::cell::{RefCell, RefMut};
use std::rc::Rc;
use tidewheel_state::{Backend, StateError, Timers};
use tidewheel_types::OperatorId;
use tidewheel_types::description::TimerClock;
use tidewheel_types::keyed_state::KeyedState;

/// State and timers of an operator on one worker.
pub(crate) struct TaskState {
    operator: OperatorId,
    backend: Rc<RefCell<Box<dyn Backend>>>,
    /// Timers of event time.
    pub(super) timers: Timers,
    /// Timers of processing time.
    pub(super) processing_timers: Timers,
    /// None in a job without checkpoints.
    saver: Option<Saver>,
    reporter: Reporter,
}

impl TaskState {
    pub(crate) fn new(operator: OperatorId, reporter: Reporter, parts: TaskParts) -> Self {
        let TaskParts { backend, timers, processing_timers, saver } = parts;
        let backend = Rc::new(RefCell::new(backend));
        TaskState { operator, backend, timers, processing_timers, saver, reporter }
    }

    /// For host functions.
    pub(crate) fn shared(&self) -> Rc<RefCell<dyn KeyedState>> {
        self.backend.clone()
    }

    /// The states.
    pub(super) fn states(&self) -> RefMut<'_, Box<dyn Backend>> {
        self.backend.borrow_mut()
    }

    /// The timers of a clock.
    pub(super) fn timers_of(&mut self, clock: TimerClock) -> &mut Timers {
        match clock {
            TimerClock::Event => &mut self.timers,
            TimerClock::Processing => &mut self.processing_timers,
        }
    }

    /// Tells the clocks of states that expire.
    pub(super) fn set_time(&mut self, at: &Moment) {
        self.states().set_time(at.now, at.watermark.0);
    }

    /// Carries out a command at the end of its epoch.
    pub(super) fn command(&mut self, command: &Command, at: &Moment) -> Result<(), EngineError> {
        let Command::Checkpoint { checkpoint, savepoint } = command else { return Ok(()) };
        // What has expired by now is in no checkpoint.
        self.set_time(at);
        let Some(saver) = &self.saver else {
            self.reporter.send(Report::Part { checkpoint: *checkpoint, part: Part::Nothing.encode() });
            return Ok(());
        };
        let snapshot = (*checkpoint, savepoint.as_ref());
        let timers = [&mut self.timers, &mut self.processing_timers];
        let frozen = saver.checkpoint(snapshot, at.watermark.0, &mut **self.backend.borrow_mut(), timers);
        frozen.map_err(|source: StateError| EngineError::Snapshot { operator: self.operator.clone(), source })
    }
}
