//! Puts the records of a batch that belong together side by side.
//!
//! A guest sees a batch group by group: a group is a key, or a key and a window, and is in a batch once, its records
//! one after the other in order of arrival. Grouping is one pass with a small open-addressing table over the keys'
//! hashes, then a counting sort of indices; the records themselves are moved once, straight into the guest's frame.

use std::ops::Range;
use tidewheel_types::key_group::hash_key;
use tidewheel_types::keyed_state::StateKey;
use tidewheel_types::{Batch, BytesColumn};

/// A group: its first record stands for its key.
#[derive(Clone, Copy, Debug)]
struct Group {
    hash: u64,
    record: u32,
    /// Start of the window, ms; 0 outside windows.
    window: i64,
    records: u32,
}

/// Groups the records of a batch. Reused from call to call.
#[derive(Debug, Default)]
pub(crate) struct Grouping {
    groups: Vec<Group>,
    /// Per namespace (one per group): the window's start, big-endian with the sign flipped, so that bytes sort as time.
    namespaces: Vec<[u8; 8]>,
    windowed: bool,
    key_bytes_max: usize,
    /// Open addressing: index of a group plus 1, or 0.
    table: Vec<u32>,
    /// The group of each record, in order of arrival.
    group_of: Vec<u32>,
    /// The records in order of groups.
    order: Vec<u32>,
    /// Where each group's records end in `order`.
    ends: Vec<u32>,
}

impl Grouping {
    /// Groups the records `range` of `batch` by key.
    pub(crate) fn by_key(&mut self, batch: &Batch, range: Range<usize>) {
        self.begin(false, range.len());
        for record in range {
            self.add(batch, record as u32, 0);
        }
        self.sort();
    }

    /// Groups `records` of `batch` by key and window; `windows` are the starts of the records' windows.
    pub(crate) fn by_window(&mut self, batch: &Batch, records: &[u32], windows: &[i64]) {
        self.begin(true, records.len());
        for (&record, &window) in records.iter().zip(windows) {
            self.add(batch, record, window);
        }
        self.namespaces.extend(self.groups.iter().map(|group| namespace(group.window)));
        self.sort();
    }

    fn begin(&mut self, windowed: bool, records: usize) {
        self.windowed = windowed;
        self.key_bytes_max = 0;
        self.groups.clear();
        self.namespaces.clear();
        self.group_of.clear();
        self.order.clear();
        self.table.clear();
        self.table.resize((records * 2).next_power_of_two().max(16), 0);
    }

    #[inline]
    fn add(&mut self, batch: &Batch, record: u32, window: i64) {
        let key = batch.keys.get(record as usize);
        let hash = hash_key(key);
        let mask = self.table.len() - 1;
        // The low bits choose the key group, so all keys of a worker may share some: take the place from the high ones.
        let mut place = ((hash ^ (window as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15)) >> 32) as usize & mask;
        let group = loop {
            match self.table[place] {
                0 => {
                    self.groups.push(Group { hash, record, window, records: 0 });
                    self.key_bytes_max = self.key_bytes_max.max(key.len());
                    self.table[place] = self.groups.len() as u32;
                    break self.groups.len() - 1;
                }
                occupied => {
                    let index = occupied as usize - 1;
                    let group = &self.groups[index];
                    if group.hash == hash && group.window == window && batch.keys.get(group.record as usize) == key {
                        break index;
                    }
                    place = (place + 1) & mask;
                }
            }
        };
        self.groups[group].records += 1;
        self.group_of.push(group as u32);
        self.order.push(record);
    }

    /// Turns `order` from order of arrival into order of groups, stably.
    fn sort(&mut self) {
        self.ends.clear();
        let mut start = 0;
        for group in &self.groups {
            self.ends.push(start);
            start += group.records;
        }
        if self.groups.len() < self.order.len() {
            let arrived = std::mem::take(&mut self.order);
            self.order.resize(arrived.len(), 0);
            for (&record, &group) in arrived.iter().zip(&self.group_of) {
                let end = &mut self.ends[group as usize];
                self.order[*end as usize] = record;
                *end += 1;
            }
        } else {
            // Every record is a group of its own: they are in order already.
            self.ends.iter_mut().for_each(|end| *end += 1);
        }
    }

    /// Number of groups.
    pub(crate) fn len(&self) -> usize {
        self.groups.len()
    }

    /// Bytes of the longest key.
    pub(crate) fn key_bytes_max(&self) -> usize {
        self.key_bytes_max
    }

    /// The records in order of groups, as indices into the batch.
    pub(crate) fn order(&self) -> &[u32] {
        &self.order
    }

    /// Per group: number of records up to its end.
    pub(crate) fn record_ends(&self) -> &[u32] {
        &self.ends
    }

    /// The group of the record that came as number `index`.
    pub(crate) fn group_of(&self, index: usize) -> usize {
        self.group_of[index] as usize
    }

    /// The group of the record that came last.
    pub(crate) fn last_group(&self) -> usize {
        self.group_of.last().map_or(0, |&group| group as usize)
    }

    /// A record of the batch that has the key of `group`.
    pub(crate) fn record_of(&self, group: usize) -> usize {
        self.groups[group].record as usize
    }

    /// Start of the window of `group`.
    pub(crate) fn window_of(&self, group: usize) -> i64 {
        self.groups[group].window
    }

    /// Under which the state of `group` is kept.
    pub(crate) fn state_key<'a>(&'a self, keys: &'a BytesColumn, group: usize) -> StateKey<'a> {
        let namespace: &[u8] = if self.windowed { &self.namespaces[group] } else { &[] };
        let Group { hash, record, .. } = self.groups[group];
        StateKey { hash, key: keys.get(record as usize), namespace }
    }
}

/// The namespace of a window that starts at `start`.
pub(crate) fn namespace(start: i64) -> [u8; 8] {
    (start as u64 ^ 1 << 63).to_be_bytes()
}

/// The start of the window whose namespace this is; none if it is none.
pub(crate) fn window_start(namespace: &[u8]) -> Option<i64> {
    let bytes = namespace.try_into().ok()?;
    Some((u64::from_be_bytes(bytes) ^ 1 << 63) as i64)
}

#[cfg(test)]
mod tests {
    use super::{Grouping, namespace, window_start};
    use proptest::collection::vec;
    use proptest::prelude::{prop_assert, prop_assert_eq, proptest};
    use std::collections::BTreeMap;
    use tidewheel_types::{Batch, Origin};

    proptest! {
        #[test]
        fn records_of_a_group_lie_together_in_order_of_arrival(
            records in vec((0u8..6, 0i64..4), 0..60), windowed: bool,
        ) {
            let mut batch = Batch::default();
            for (key, time) in &records {
                batch.push(*time, &[*key], b"", Origin::default());
            }
            let mut model: BTreeMap<(u8, i64), Vec<u32>> = BTreeMap::new();
            for (record, (key, time)) in records.iter().enumerate() {
                let window = if windowed { time / 2 * 2 } else { 0 };
                model.entry((*key, window)).or_default().push(record as u32);
            }
            let mut grouping = Grouping::default();
            match windowed {
                true => {
                    let all: Vec<u32> = (0..records.len() as u32).collect();
                    let windows: Vec<i64> = batch.times.iter().map(|time| time / 2 * 2).collect();
                    grouping.by_window(&batch, &all, &windows);
                }
                false => grouping.by_key(&batch, 0..batch.len()),
            }
            prop_assert_eq!(grouping.len(), model.len());
            let mut start = 0;
            for group in 0..grouping.len() {
                let end = grouping.record_ends()[group] as usize;
                let key = grouping.state_key(&batch.keys, group);
                prop_assert_eq!(&model[&(key.key[0], grouping.window_of(group))], &grouping.order()[start..end]);
                prop_assert_eq!(key.namespace.is_empty(), !windowed);
                start = end;
            }
            prop_assert_eq!(start, records.len());
        }

        #[test]
        fn namespaces_sort_as_time(a: i64, b: i64) {
            prop_assert_eq!(namespace(a).cmp(&namespace(b)), a.cmp(&b));
            prop_assert!(window_start(&namespace(a)) == Some(a));
        }
    }

    #[test]
    fn a_grouping_can_be_used_again() {
        let mut grouping = Grouping::default();
        let mut batch = Batch::default();
        for key in 0..100u8 {
            batch.push(0, &[key / 2], b"", Origin::default());
        }
        for _ in 0..2 {
            grouping.by_key(&batch, 10..20);
            assert_eq!((grouping.len(), grouping.order().to_vec()), (5, (10..20).collect::<Vec<u32>>()));
        }
    }
}
