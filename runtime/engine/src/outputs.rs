//! The outputs of a task.
//!
//! A task collects what it emits in one activation and sends it at the activation's end, so that an exchange can make
//! full batches of it. It holds one capability per output, always at its open epoch.

use crate::credit::Credit;
use crate::metrics::NodeMetrics;
use crate::parcel::Parcel;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tidewheel_types::{Batch, Epoch};
use timely::dataflow::channels::pushers::Output;
use timely::dataflow::operators::Capability;
use timely::scheduling::SyncActivator;

/// One output port that somebody reads.
pub(crate) struct Port {
    output: Output<Epoch, Parcel>,
    process: u32,
    /// The edges that begin here.
    edges: Vec<Arc<Credit>>,
    capability: Option<Capability<Epoch>>,
    pending: Vec<(Epoch, Batch)>,
}

impl Port {
    pub(crate) fn new(output: Output<Epoch, Parcel>, process: u32, edges: Vec<Arc<Credit>>) -> Self {
        Port { output, process, edges, capability: None, pending: Vec::new() }
    }

    fn flush(&mut self) {
        let Some(capability) = self.capability.as_ref().filter(|_| !self.pending.is_empty()) else { return };
        let mut session = self.output.activate();
        for (epoch, batch) in self.pending.drain(..) {
            let bytes = batch.size_bytes();
            self.edges.iter().for_each(|edge| edge.send(epoch, bytes));
            let mut parcel = Parcel { batch, process: self.process };
            match epoch == *capability.time() {
                true => session.give(capability, &mut parcel),
                false => session.give(&capability.delayed(&epoch), &mut parcel),
            }
        }
    }
}

/// All output ports of a task.
pub(crate) struct Outputs {
    /// None: nobody reads it, and what is emitted there is dropped.
    ports: Vec<Option<Port>>,
    /// Of a sink: the capability of the end that the probe watches.
    end: Option<Capability<Epoch>>,
    /// The task itself, to be activated when an edge has room again.
    task: SyncActivator,
    metrics: Arc<NodeMetrics>,
    pending_bytes: usize,
}

impl Outputs {
    pub(crate) fn new(ports: Vec<Option<Port>>, task: SyncActivator, metrics: Arc<NodeMetrics>) -> Self {
        Outputs { ports, end: None, task, metrics, pending_bytes: 0 }
    }

    /// Takes over the capabilities timely hands to an operator at its start: one per port that somebody reads, and of a
    /// sink the one of its end.
    pub(crate) fn start(&mut self, capabilities: Vec<Capability<Epoch>>) {
        let mut capabilities = capabilities.into_iter();
        for (port, capability) in self.ports.iter_mut().flatten().zip(&mut capabilities) {
            port.capability = Some(capability);
        }
        self.end = capabilities.next();
    }

    fn capabilities(&mut self) -> impl Iterator<Item = &mut Capability<Epoch>> {
        self.ports.iter_mut().flatten().filter_map(|port| port.capability.as_mut()).chain(&mut self.end)
    }

    /// Whether every edge has room in `epoch`. When not, the task will be activated.
    pub(crate) fn have_credit(&self, epoch: Epoch) -> bool {
        self.ports.iter().flatten().flat_map(|port| &port.edges).all(|edge| edge.allows(epoch, &self.task))
    }

    /// Emits a batch at `port`.
    pub(crate) fn emit(&mut self, port: usize, epoch: Epoch, batch: Batch) {
        if batch.is_empty() {
            return;
        }
        if port == 0 {
            self.metrics.records_out.fetch_add(batch.len() as u64, Ordering::Relaxed);
        }
        if let Some(port) = &mut self.ports[port] {
            self.pending_bytes += batch.size_bytes();
            port.pending.push((epoch, batch));
        }
    }

    /// Bytes emitted in this activation so far.
    pub(crate) fn pending_bytes(&self) -> usize {
        self.pending_bytes
    }

    /// Sends what has been emitted.
    pub(crate) fn flush(&mut self) {
        self.ports.iter_mut().flatten().for_each(Port::flush);
        self.pending_bytes = 0;
    }

    /// Sends what has been emitted and moves to `epoch`.
    pub(crate) fn open(&mut self, epoch: Epoch) {
        self.flush();
        self.capabilities().for_each(|capability| capability.downgrade(&epoch));
    }

    /// Sends what has been emitted and gives up all capabilities: nothing will be emitted any more.
    pub(crate) fn close(&mut self) {
        self.flush();
        self.ports.iter_mut().flatten().for_each(|port| port.capability = None);
        self.end = None;
    }
}
