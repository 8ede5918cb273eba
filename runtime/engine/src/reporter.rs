//! The way of reports to the controller: one stream of the whole job, one operator for each worker.
//!
//! A task, or a thread that works for it, hands its report to the worker's [`Reporter`], from any thread. The operator
//! sends it on in whatever epoch is open: nothing asynchronous holds a capability. The stream ends on worker 0 in
//! memory, outside the probe.

use crate::inbox::Input;
use crate::streams::{Command, Report};
use crate::task::Frontier;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use tidewheel_types::Epoch;
use timely::dataflow::channels::pushers::Output;
use timely::dataflow::operators::Capability;
use timely::progress::frontier::MutableAntichain;
use timely::scheduling::SyncActivator;

/// Where the tasks of one worker leave their reports. Clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Reporter {
    waiting: Arc<Mutex<Vec<Report>>>,
    /// The operator that sends them on, once it is there; it runs at its start without being asked.
    operator: Arc<OnceLock<SyncActivator>>,
}

impl Reporter {
    /// From now on reports activate `operator`.
    pub(crate) fn attach(&self, operator: SyncActivator) {
        // A worker has one such operator.
        let _ = self.operator.set(operator);
    }

    /// Sends `report` to the controller.
    pub(crate) fn send(&self, report: Report) {
        self.waiting().push(report);
        if let Some(operator) = self.operator.get() {
            // A worker that has ended reports nothing any more.
            let _ = operator.activate();
        }
    }

    fn take(&self) -> Vec<Report> {
        mem::take(&mut *self.waiting())
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Report>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The operator that sends a worker's reports on.
pub(crate) struct ReportSender {
    pub(crate) reporter: Reporter,
    /// Which epoch is open is known from the command stream's frontier; what it says is for others.
    pub(crate) commands: Box<dyn Input<Vec<Command>>>,
    pub(crate) output: Output<Epoch, Vec<Report>>,
    /// None once the job is over.
    pub(crate) capability: Option<Capability<Epoch>>,
}

impl ReportSender {
    /// One activation. `frontiers` is that of the command stream.
    pub(crate) fn run(&mut self, frontiers: &[MutableAntichain<Epoch>]) {
        self.commands.drain(&mut |_, _| {});
        let mut reports = self.reporter.take();
        let Some(capability) = &mut self.capability else { return };
        if !reports.is_empty() {
            self.output.activate().give(capability, &mut reports);
        }
        match Frontier::of(frontiers).next_epoch(None) {
            Some(open) => capability.downgrade(&open),
            None => self.capability = None,
        }
    }
}
