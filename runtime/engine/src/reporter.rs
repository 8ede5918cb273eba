//! The way of reports to the controller: one stream of the whole job, one operator for each worker.
//!
//! A task, or a thread that works for it, hands its report to the worker's [`Reporter`], from any thread. The operator
//! sends it on in whatever epoch is open: nothing asynchronous holds a capability. The stream ends on worker 0 in
//! memory, outside the probe.

use crate::credit::Credit;
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

/// What the edges of a process carry, of which the controller in another one knows nothing.
pub(crate) struct EdgeLoad {
    process: u32,
    edges: Vec<Arc<Credit>>,
    open: Epoch,
}

impl EdgeLoad {
    pub(crate) fn new(process: usize, edges: Vec<Arc<Credit>>) -> EdgeLoad {
        EdgeLoad { process: process as u32, edges, open: 0 }
    }

    /// Epoch `open` is open: tells, once, what those before it carried.
    fn report(&mut self, open: Epoch) -> Option<Report> {
        if open == self.open {
            return None;
        }
        // Others of this process may be an epoch ahead, and nobody is further.
        let ahead = |epoch| epoch + 2;
        (ahead(self.open)..ahead(open)).for_each(|epoch| self.edges.iter().for_each(|edge| edge.prepare(epoch)));
        self.open = open;
        let bytes = self.edges.iter().map(|edge| edge.take_largest()).max().unwrap_or(0);
        Some(Report::Carried { process: self.process, bytes })
    }
}

/// The operator that sends a worker's reports on.
pub(crate) struct ReportSender {
    pub(crate) reporter: Reporter,
    /// On one worker of every process but the controller's.
    pub(crate) load: Option<EdgeLoad>,
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
        let open = Frontier::of(frontiers).next_epoch(None);
        if let (Some(load), Some(open)) = (&mut self.load, open) {
            reports.extend(load.report(open));
        }
        if !reports.is_empty() {
            self.output.activate().give(capability, &mut reports);
        }
        match open {
            Some(open) => capability.downgrade(&open),
            None => self.capability = None,
        }
    }
}
