//! What has arrived at an operator or sink, by epoch.
//!
//! Every task has any number of data inputs (one per edge) and two side inputs: the command stream and the watermark
//! stream. The inbox reads all of them with `for_each`, which keeps the order of each sender, and sorts what it reads:
//! records of the open epoch are ready, everything later waits until its epoch is open.

use crate::credit::Credit;
use crate::operator::Cuts;
use crate::parcel::Parcel;
use crate::streams::Command;
use crate::task::Flow;
use crate::watermark::Update;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use tidewheel_types::{Batch, Epoch};
use timely::Container;
use timely::communication::Pull;
use timely::dataflow::channels::Message;
use timely::dataflow::operators::generic::InputHandleCore;

/// An input of any pact: what a task needs of timely's handle.
pub(crate) trait Input<C> {
    /// Hands over everything that has arrived, in order.
    fn drain(&mut self, take: &mut dyn FnMut(Epoch, C));
}

impl<C: Container, P: Pull<Message<Epoch, C>>> Input<C> for InputHandleCore<Epoch, C, P> {
    fn drain(&mut self, take: &mut dyn FnMut(Epoch, C)) {
        self.for_each(|capability, container| take(*capability.time(), std::mem::take(container)));
    }
}

/// The end of an edge.
pub(crate) struct DataInput {
    pub(crate) handle: Box<dyn Input<Parcel>>,
    pub(crate) credit: Arc<Credit>,
    /// Which of the component's inputs this edge feeds.
    pub(crate) index: u8,
}

/// A batch that has arrived.
pub(crate) struct Arrived {
    pub(crate) epoch: Epoch,
    /// Which of the component's inputs it came in by.
    pub(crate) input: u8,
    pub(crate) batch: Batch,
    /// How many of its records have been processed.
    pub(crate) done: usize,
    /// Into which pieces the rest is cut, when a call has failed.
    pub(crate) cuts: Cuts,
    edge: usize,
    /// Which process sent it.
    process: u32,
    /// Its size when it arrived: what the sender's credit was charged.
    bytes: usize,
}

impl Arrived {
    /// What a source has read, for its component: no edge has brought it.
    pub(crate) fn in_source(epoch: Epoch, batch: Batch) -> Arrived {
        Arrived { epoch, input: 0, batch, done: 0, cuts: Cuts::default(), edge: 0, process: 0, bytes: 0 }
    }

    /// Whether all of its records have been processed.
    pub(crate) fn flow(&self) -> Flow {
        if self.done < self.batch.len() { Flow::More } else { Flow::Done }
    }
}

/// Everything of one later epoch.
#[derive(Default)]
struct Later {
    batches: VecDeque<Arrived>,
    updates: Vec<Update>,
    commands: Vec<Command>,
}

/// The inputs of a task and what has arrived by them.
pub(crate) struct Inbox {
    data: Vec<DataInput>,
    commands: Box<dyn Input<Vec<Command>>>,
    watermarks: Box<dyn Input<Vec<Update>>>,
    /// A task without state takes records of any epoch as they arrive.
    any_epoch: bool,
    /// The oldest epoch first: one that has no credit must not make an older one wait, which it waits for itself.
    ready: VecDeque<Arrived>,
    later: BTreeMap<Epoch, Later>,
}

impl Inbox {
    pub(crate) fn new(
        data: Vec<DataInput>,
        commands: Box<dyn Input<Vec<Command>>>,
        watermarks: Box<dyn Input<Vec<Update>>>,
        any_epoch: bool,
    ) -> Self {
        Inbox { data, commands, watermarks, any_epoch, ready: VecDeque::new(), later: BTreeMap::new() }
    }

    /// Reads all inputs. `open` is the task's open epoch.
    pub(crate) fn read(&mut self, open: Epoch) {
        for (edge, input) in self.data.iter_mut().enumerate() {
            input.handle.drain(&mut |epoch, Parcel { batch, process }| {
                let bytes = batch.size_bytes();
                let (input, cuts) = (input.index, Cuts::default());
                let arrived = Arrived { epoch, input, batch, done: 0, cuts, edge, process, bytes };
                match epoch == open || self.any_epoch {
                    true => {
                        // Nearly always the end. Of one epoch, and so of one sender, the order stays.
                        let place = self.ready.partition_point(|waiting| waiting.epoch <= epoch);
                        self.ready.insert(place, arrived);
                    }
                    false => self.later.entry(epoch).or_default().batches.push_back(arrived),
                }
            });
        }
        self.watermarks.drain(&mut |epoch, updates| self.later.entry(epoch).or_default().updates.extend(updates));
        self.commands.drain(&mut |epoch, commands| self.later.entry(epoch).or_default().commands.extend(commands));
    }

    /// Whether a batch of `open`, the open epoch, is still to be processed.
    pub(crate) fn has(&self, open: Epoch) -> bool {
        self.ready.front().is_some_and(|oldest| oldest.epoch <= open)
    }

    /// The next batch to process. It is put back with [`put_back`](Self::put_back) or done with
    /// [`done`](Self::done).
    pub(crate) fn next(&mut self) -> Option<Arrived> {
        self.ready.pop_front()
    }

    /// The batch could not be processed yet.
    pub(crate) fn put_back(&mut self, arrived: Arrived) {
        self.ready.push_front(arrived);
    }

    /// The batch has been processed: its sender may send as much again.
    pub(crate) fn done(&mut self, arrived: &Arrived) {
        self.data[arrived.edge].credit.take(arrived.process, arrived.epoch, arrived.bytes);
    }

    /// The watermark updates and commands of `epoch`, which is complete.
    pub(crate) fn side_inputs(&mut self, epoch: Epoch) -> (Vec<Update>, Vec<Command>) {
        match self.later.get_mut(&epoch) {
            Some(later) => (std::mem::take(&mut later.updates), std::mem::take(&mut later.commands)),
            None => (Vec::new(), Vec::new()),
        }
    }

    /// The earliest epoch after `epoch` in which something has arrived.
    pub(crate) fn next_epoch(&self, epoch: Epoch) -> Option<Epoch> {
        let later = self.later.range(epoch + 1..).next().map(|(&epoch, _)| epoch);
        self.ready.front().map(|oldest| oldest.epoch).into_iter().chain(later).min()
    }

    /// Opens `epoch`: its records are ready now.
    pub(crate) fn open(&mut self, epoch: Epoch) {
        self.later = self.later.split_off(&epoch);
        if let Some(later) = self.later.get_mut(&epoch) {
            self.ready.append(&mut later.batches);
        }
    }
}
