//! A batch as timely carries it, and how it is dealt out between workers.
//!
//! A [`Parcel`] is timely's container on every data edge. Between threads it changes hands without a copy; between
//! processes it is copied column by column. On an exchange a [`Distributor`] splits it by the worker that owns each
//! record's key group, deals whole parcels out in turn, or sends them to all.

use std::io::Write;
use tidewheel_types::batch::BATCH_BYTES_MAX;
use tidewheel_types::key_group::hash_key;
use tidewheel_types::{Batch, KeyGroups};
use timely::Accountable;
use timely::bytes::arc::Bytes;
use timely::communication::Push;
use timely::dataflow::channels::pushers::exchange::Distributor;
use timely::dataflow::channels::{ContainerBytes, Message};

/// A batch on an edge. It counts its records in progress tracking, so it is never sent empty.
#[derive(Clone, Debug, Default)]
pub(crate) struct Parcel {
    pub(crate) batch: Batch,
    /// Of the process that sent it, whose credit it uses.
    pub(crate) process: u32,
}

/// Before the batch: the process, padded to 8 bytes.
const PROCESS_BYTES: usize = 8;

impl Accountable for Parcel {
    fn record_count(&self) -> i64 {
        self.batch.len() as i64
    }
}

impl ContainerBytes for Parcel {
    /// Copies out of the network's slab: slabs grow to the largest message and would be held by the smallest.
    fn from_bytes(bytes: Bytes) -> Self {
        const FORMAT: &str = "workers of one job speak one format";
        let (process, batch) = bytes.split_first_chunk::<PROCESS_BYTES>().expect(FORMAT);
        let process = u64::from_le_bytes(*process) as u32;
        Parcel { batch: Batch::decode(batch).expect(FORMAT), process }
    }

    fn length_in_bytes(&self) -> usize {
        PROCESS_BYTES + self.batch.encoded_len()
    }

    fn into_bytes<W: Write>(&self, writer: &mut W) {
        let mut write =
            |piece: &[u8]| writer.write_all(piece).expect("timely's slabs take what length_in_bytes announced");
        write(&u64::from(self.process).to_le_bytes());
        self.batch.encode(write);
    }
}

/// Sends each record to the worker that owns its key group. Never called with one peer: timely passes parcels on.
pub(crate) struct ByKey {
    groups: KeyGroups,
    process: u32,
    /// Per worker.
    building: Vec<Building>,
}

/// The next batch for a worker.
#[derive(Clone, Default)]
struct Building {
    batch: Batch,
    /// Records of the parcel at hand that are still to be added, and the size of the batch with them.
    picked: Vec<u32>,
    bytes: usize,
}

impl Building {
    /// Adds the picked records of `from`.
    fn take(&mut self, from: &Batch) {
        self.batch.extend_picked(from, &self.picked);
        self.picked.clear();
    }

    fn push<T: Clone, P: Push<Message<T, Parcel>>>(&mut self, process: u32, time: &T, pusher: &mut P) {
        self.bytes = 0;
        let batch = std::mem::take(&mut self.batch);
        Message::push_at(&mut Parcel { batch, process }, time.clone(), pusher);
    }
}

impl ByKey {
    /// For `peers` workers, on one of this process.
    pub(crate) fn new(groups: KeyGroups, peers: usize, process: u32) -> Self {
        ByKey { groups, process, building: vec![Building::default(); peers] }
    }
}

impl Distributor<Parcel> for ByKey {
    fn partition<T: Clone, P: Push<Message<T, Parcel>>>(&mut self, parcel: &mut Parcel, time: &T, pushers: &mut [P]) {
        let batch = &parcel.batch;
        for index in 0..batch.len() {
            let worker = self.groups.worker_of_hash(hash_key(batch.keys.get(index)));
            let building = &mut self.building[worker];
            building.picked.push(index as u32);
            building.bytes += batch.record_bytes(index);
            if building.bytes >= BATCH_BYTES_MAX {
                building.take(batch);
                building.push(self.process, time, &mut pushers[worker]);
            }
        }
        self.building.iter_mut().for_each(|building| building.take(batch));
    }

    fn flush<T: Clone, P: Push<Message<T, Parcel>>>(&mut self, time: &T, pushers: &mut [P]) {
        for (building, pusher) in self.building.iter_mut().zip(pushers) {
            if !building.batch.is_empty() {
                building.push(self.process, time, pusher);
            }
        }
    }
}

/// Deals whole parcels out to all workers in turn, beginning with the one after the sender's own.
pub(crate) struct Rebalance {
    next: usize,
}

impl Rebalance {
    pub(crate) fn new(worker: usize) -> Self {
        Rebalance { next: worker }
    }
}

impl Distributor<Parcel> for Rebalance {
    fn partition<T: Clone, P: Push<Message<T, Parcel>>>(&mut self, parcel: &mut Parcel, time: &T, pushers: &mut [P]) {
        self.next = (self.next + 1) % pushers.len();
        Message::push_at(parcel, time.clone(), &mut pushers[self.next]);
    }

    fn flush<T: Clone, P: Push<Message<T, Parcel>>>(&mut self, _time: &T, _pushers: &mut [P]) {}
}

/// Sends every parcel to all workers.
pub(crate) struct ToAll;

impl Distributor<Parcel> for ToAll {
    fn partition<T: Clone, P: Push<Message<T, Parcel>>>(&mut self, parcel: &mut Parcel, time: &T, pushers: &mut [P]) {
        let Some((last, others)) = pushers.split_last_mut() else { return };
        others.iter_mut().for_each(|pusher| Message::push_at(&mut parcel.clone(), time.clone(), pusher));
        Message::push_at(parcel, time.clone(), last);
    }

    fn flush<T: Clone, P: Push<Message<T, Parcel>>>(&mut self, _time: &T, _pushers: &mut [P]) {}
}

#[cfg(test)]
mod tests {
    use super::{ByKey, Parcel, Rebalance, ToAll};
    use proptest::collection::vec;
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};
    use tidewheel_types::key_group::hash_key;
    use tidewheel_types::{Batch, KeyGroups, Origin};
    use timely::Accountable;
    use timely::communication::Push;
    use timely::dataflow::channels::pushers::exchange::Distributor;
    use timely::dataflow::channels::{ContainerBytes, Message};

    /// Keeps what is pushed.
    #[derive(Default)]
    struct Kept(Vec<Batch>);

    impl Push<Message<u64, Parcel>> for Kept {
        fn push(&mut self, message: &mut Option<Message<u64, Parcel>>) {
            self.0.extend(message.take().map(|message| message.data.batch));
        }
    }

    fn batch(keys: &[Vec<u8>], first: u64) -> Batch {
        let mut batch = Batch::default();
        for (index, key) in keys.iter().enumerate() {
            batch.push(0, key, b"value", Origin { offset: first + index as u64, ..Origin::default() });
        }
        batch
    }

    proptest! {
        #[test]
        fn an_exchange_keeps_every_record_its_owner_its_order_and_the_count(
            batches in vec(vec(vec(any::<u8>(), 0..3), 0..40), 0..6), peers in 2usize..5,
        ) {
            let groups = KeyGroups::new(128, peers);
            let mut by_key = ByKey::new(groups, peers, 0);
            let mut pushers: Vec<Kept> = (0..peers).map(|_| Kept::default()).collect();
            let mut sent = 0;
            for keys in &batches {
                let mut parcel = Parcel { batch: batch(keys, sent as u64), process: 0 };
                sent += keys.len();
                by_key.partition(&mut parcel, &7, &mut pushers);
            }
            by_key.flush(&7, &mut pushers);
            let mut received = 0;
            for (worker, pusher) in pushers.iter().enumerate() {
                let mut last = None;
                for batch in &pusher.0 {
                    prop_assert!(!batch.is_empty());
                    received += Parcel { batch: batch.clone(), process: 0 }.record_count() as usize;
                    for index in 0..batch.len() {
                        prop_assert_eq!(groups.worker_of_hash(hash_key(batch.keys.get(index))), worker);
                        prop_assert!(last < Some(batch.origins[index].offset));
                        last = Some(batch.origins[index].offset);
                    }
                }
            }
            prop_assert_eq!(received, sent);
        }
    }

    #[test]
    fn a_parcel_crosses_between_processes_as_it_is() {
        let parcel = Parcel { batch: batch(&[b"a".to_vec(), b"".to_vec()], 3), process: 7 };
        let mut bytes = Vec::new();
        parcel.into_bytes(&mut bytes);
        assert_eq!(bytes.len(), parcel.length_in_bytes());
        let read = Parcel::from_bytes(timely::bytes::arc::BytesMut::from(bytes).freeze());
        assert_eq!((read.batch, read.process), (parcel.batch, 7));
    }

    #[test]
    fn what_is_for_all_comes_to_all() {
        let mut pushers = [Kept::default(), Kept::default(), Kept::default()];
        let sent = batch(&[b"a".to_vec(), b"b".to_vec()], 3);
        ToAll.partition(&mut Parcel { batch: sent.clone(), process: 0 }, &7, &mut pushers);
        assert!(pushers.iter().all(|kept| kept.0 == [sent.clone()]));
    }

    #[test]
    fn rebalance_deals_parcels_out_in_turn() {
        let mut rebalance = Rebalance::new(0);
        let mut pushers = [Kept::default(), Kept::default()];
        for first in 0..4 {
            rebalance.partition(&mut Parcel { batch: batch(&[vec![]], first), process: 0 }, &7, &mut pushers);
        }
        let offsets = |kept: &Kept| kept.0.iter().map(|batch| batch.origins[0].offset).collect::<Vec<_>>();
        assert_eq!((offsets(&pushers[0]), offsets(&pushers[1])), (vec![1, 3], vec![0, 2]));
    }
}
