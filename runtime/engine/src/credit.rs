//! Output credits: how much may be on its way on an edge.
//!
//! Epochs bound what sources let in; they do not bound what an operator makes of it. Each edge therefore counts, per
//! epoch, the bytes sent less the bytes taken. A sender over the limit returns and is activated again when enough has
//! been taken: it never blocks its thread. The receiver always takes the oldest open epoch, and younger epochs never
//! use its credit, so a wait always ends.
//!
//! Each process counts what its own workers send. What workers of another process take is given back to it on a
//! connection beside the data.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use tidewheel_types::Epoch;
use timely::scheduling::SyncActivator;

/// Bytes of one epoch that may be on their way on one edge.
pub(crate) const EDGE_BYTES_MAX: i64 = 4 << 20;

/// Epochs that may be open at once, with room to spare: the controller keeps them to three.
const SLOTS: usize = 8;

/// The way of credit back to another process.
pub(crate) trait GiveBack: Send + Sync {
    /// `bytes` that `process` had sent on `edge` in `epoch` have been taken. It never blocks.
    fn give_back(&self, process: u32, edge: u32, epoch: Epoch, bytes: u64);
}

/// One edge of the job: what the workers of this process have sent on it.
pub(crate) struct Credit {
    /// Its place in the plan.
    edge: u32,
    /// This process, and the way to the others.
    process: u32,
    others: Arc<dyn GiveBack>,
    /// How many workers get what is sent, each all of it.
    copies: usize,
    /// Bytes on their way, per epoch modulo [`SLOTS`].
    on_the_way: [AtomicI64; SLOTS],
    /// Most bytes sent in one epoch since somebody asked.
    sent: [AtomicU64; SLOTS],
    largest: AtomicU64,
    waiting: Mutex<Vec<SyncActivator>>,
}

impl Credit {
    /// The edge at place `edge` of the plan, in process `process`, what is sent on which `copies` workers get.
    pub(crate) fn new(edge: u32, process: u32, others: Arc<dyn GiveBack>, copies: usize) -> Self {
        Credit {
            edge,
            process,
            others,
            copies,
            on_the_way: Default::default(),
            sent: Default::default(),
            largest: AtomicU64::new(0),
            waiting: Mutex::default(),
        }
    }

    /// Counts `bytes` as sent in `epoch`.
    pub(crate) fn send(&self, epoch: Epoch, bytes: usize) {
        let bytes = bytes * self.copies;
        let slot = epoch as usize % SLOTS;
        self.on_the_way[slot].fetch_add(bytes as i64, Ordering::AcqRel);
        let sent = self.sent[slot].fetch_add(bytes as u64, Ordering::Relaxed) + bytes as u64;
        self.largest.fetch_max(sent, Ordering::Relaxed);
    }

    /// Counts `bytes` of `epoch`, which `process` had sent, as taken.
    pub(crate) fn take(&self, process: u32, epoch: Epoch, bytes: usize) {
        match process == self.process {
            true => self.given_back(epoch, bytes as u64),
            false => self.others.give_back(process, self.edge, epoch, bytes as u64),
        }
    }

    /// `bytes` of `epoch` that this process had sent have been taken: wakes the senders that may go on.
    pub(crate) fn given_back(&self, epoch: Epoch, bytes: u64) {
        let slot = epoch as usize % SLOTS;
        let before = self.on_the_way[slot].fetch_sub(bytes as i64, Ordering::AcqRel);
        if before > EDGE_BYTES_MAX / 2 && before - bytes as i64 <= EDGE_BYTES_MAX / 2 {
            self.wake();
        }
    }

    /// Whether a sender may send in `epoch`. When not, `sender` will be activated.
    pub(crate) fn allows(&self, epoch: Epoch, sender: &SyncActivator) -> bool {
        let slot = epoch as usize % SLOTS;
        if self.on_the_way[slot].load(Ordering::Acquire) < EDGE_BYTES_MAX {
            return true;
        }
        self.waiting.lock().expect("nothing panics while it holds this lock").push(sender.clone());
        // The receiver may have taken everything between the look and the note: then nobody would wake the sender.
        if self.on_the_way[slot].load(Ordering::Acquire) <= EDGE_BYTES_MAX / 2 {
            self.wake();
        }
        false
    }

    /// The most bytes sent in one epoch since the last call.
    pub(crate) fn take_largest(&self) -> u64 {
        self.largest.swap(0, Ordering::Relaxed)
    }

    /// Prepares the slot of `epoch`, which nobody has opened yet, for being used again.
    pub(crate) fn prepare(&self, epoch: Epoch) {
        self.sent[epoch as usize % SLOTS].store(0, Ordering::Relaxed);
    }

    fn wake(&self) {
        let waiting = std::mem::take(&mut *self.waiting.lock().expect("nothing panics while it holds this lock"));
        for sender in waiting {
            // A sender whose worker has ended needs no waking.
            let _ = sender.activate();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Credit, EDGE_BYTES_MAX, GiveBack};
    use std::rc::Rc;
    use std::sync::{Arc, Mutex};
    use tidewheel_types::Epoch;
    use timely::scheduling::activate::{Activations, SyncActivator};

    #[derive(Default)]
    struct Returned(Mutex<Vec<(u32, u32, Epoch, u64)>>);

    impl GiveBack for Returned {
        fn give_back(&self, process: u32, edge: u32, epoch: Epoch, bytes: u64) {
            self.0.lock().unwrap().push((process, edge, epoch, bytes));
        }
    }

    #[test]
    fn an_epoch_over_its_limit_waits_and_another_does_not() {
        let activations = Rc::new(std::cell::RefCell::new(Activations::new(Some(std::time::Instant::now()))));
        let sender = SyncActivator::new(vec![0], activations.borrow().sync());
        let returned = Arc::new(Returned::default());
        let credit = Credit::new(7, 0, returned.clone(), 1);
        credit.send(3, EDGE_BYTES_MAX as usize);
        assert!(!credit.allows(3, &sender));
        assert!(credit.allows(4, &sender), "epoch 4 has its own credit");

        credit.take(0, 3, 1);
        activations.borrow_mut().advance();
        assert_eq!(activations.borrow().empty_for(), None, "a little taken wakes nobody");
        credit.take(0, 3, EDGE_BYTES_MAX as usize / 2);
        activations.borrow_mut().advance();
        assert!(activations.borrow().empty_for().is_some(), "half of it taken wakes the sender");
        assert!(credit.allows(3, &sender));
        assert_eq!(credit.take_largest(), EDGE_BYTES_MAX as u64);

        credit.take(2, 5, 9);
        assert_eq!(*returned.0.lock().unwrap(), [(2, 7, 5, 9)], "what another process had sent goes back to it");
    }
}
