//! What has changed since the last snapshot, on its way from the worker to the thread that writes it.
//!
//! Freezing copies rows as they lie in memory; what takes time comes on the other thread: finding the key group of each
//! row, putting its entries into an [`EntryList`], sorting.

use crate::error::StateError;
use crate::key_codec::{EntryKey, StateId};
use crate::key_table::LOOKAHEAD;
use crate::pieces::PiecePlace;
use crate::snapshot::LocalFile;
use crate::state_table::StateTable;
use crate::ttl::StateTime;
use crate::value_codec::{TOMBSTONE, ValueHead};
use crate::value_row::FrozenValues;
use std::collections::{BTreeMap, BTreeSet};
use std::hint::black_box;
use std::iter::Peekable;
use std::ops::Range;
use std::path::Path;
use std::sync::mpsc::Receiver;
use tidewheel_types::key_group::{KeyGroups, hash_key};
use tidewheel_types::keyed_state::StateKey;

/// Everything that has changed between two snapshots. It has to be written soon, since what it holds takes memory, and a
/// backend may wait for that. [`SnapshotWriter::write`](crate::SnapshotWriter::write) takes it.
pub struct Delta {
    /// What has changed. Of changes of one entry the last one counts.
    pub(crate) parts: Vec<Box<dyn Frozen>>,
    /// Whether it holds all that there is, not only what has changed: it takes the place of all files before.
    pub(crate) is_whole: bool,
    /// What the clocks showed.
    pub(crate) time: StateTime,
    /// Files that were written before, or are being written, oldest first.
    pub(crate) spilled: Vec<Receiver<Result<Option<SpilledFile>, StateError>>>,
    /// What is to happen once it is in a file: the path of the file, none if there was nothing to write.
    pub(crate) written: Option<Written>,
}

impl Delta {
    /// What the clocks showed: what had expired by then is not in it.
    pub fn time(&self) -> StateTime {
        self.time
    }
}

/// A state file that was written between two snapshots. The next one takes it away.
pub(crate) struct SpilledFile {
    pub(crate) file: LocalFile,
    /// The schema versions in it, by state.
    pub(crate) versions: BTreeMap<StateId, BTreeSet<u32>>,
}

pub(crate) type Written = Box<dyn FnOnce(Option<&Path>) -> Result<(), StateError> + Send>;

/// Changes of some states, as they were copied.
pub(crate) trait Frozen: Send {
    /// Adds the entries.
    fn add_to<'f>(&'f self, entries: &mut EntryList<'f>);
}

/// Entries of state files, to be sorted.
///
/// They are dealt out by key group as they come. Keys begin with it, so each is sorted by itself, in the processor's
/// cache; and of rows only the places are dealt out, so their entries are there for one key group at a time.
pub(crate) struct EntryList<'t> {
    key_groups: KeyGroups,
    /// The key groups that entries will be in.
    own: Range<u16>,
    table: &'t StateTable,
    time: StateTime,
    /// By key group.
    groups: Vec<GroupEntries<'t>>,
    /// What comes sorted.
    sorted: Vec<Peekable<SortedEntries<'t>>>,
    /// Bytes of keys and values, without those of rows and of what comes sorted.
    bytes: usize,
    rows: usize,
    versions: Versions,
    /// The state and version noted last.
    last_version: Option<(StateId, u32)>,
}

/// Entry keys, in order, and what is stored.
pub(crate) type SortedEntries<'t> = Box<dyn Iterator<Item = (&'t [u8], &'t [u8])> + 't>;

/// The schema versions of what was put, by state.
pub(crate) type Versions = BTreeMap<StateId, BTreeSet<u32>>;

/// The entries of a key group.
#[derive(Clone, Default)]
struct GroupEntries<'t> {
    /// Of every entry: key length u32, value length u32, key, value.
    bytes: Vec<u8>,
    places: Vec<Place>,
    /// Rows whose entries come after these.
    rows: Vec<RowPlace<'t>>,
}

/// Where a row is.
#[derive(Clone, Copy)]
struct RowPlace<'t> {
    values: &'t FrozenValues,
    place: PiecePlace,
}

/// Where an entry is, in the order in which entries sort: by key, then by age.
#[derive(Clone, Copy)]
struct Place {
    /// The first 16 bytes of the key; zeros after its end.
    prefix: u128,
    start: usize,
}

const LENGTHS_BYTES: usize = 8;

impl<'t> EntryList<'t> {
    /// No entries yet of these states, for keys of the key groups `own`, of `max_parallelism` that there are. What has
    /// expired at `time` will be left out.
    pub(crate) fn new(max_parallelism: u16, own: &Range<u16>, table: &'t StateTable, time: StateTime) -> Self {
        EntryList {
            key_groups: KeyGroups::new(max_parallelism, 1),
            own: own.clone(),
            table,
            time,
            groups: vec![GroupEntries::default(); usize::from(max_parallelism)],
            sorted: Vec::new(),
            bytes: 0,
            rows: 0,
            versions: BTreeMap::new(),
            last_version: None,
        }
    }

    /// Makes room for so many more rows, so that lists that are growing need not be copied, and held twice.
    pub(crate) fn reserve_rows(&mut self, rows: usize) {
        // Keys are dealt out evenly, more or less; a key group that has more grows.
        let share = rows / self.own.len().max(1);
        for group in &mut self.groups[usize::from(self.own.start)..usize::from(self.own.end)] {
            group.rows.reserve_exact(share + share / 16 + 1);
        }
    }

    /// Adds the entries of the row of `key` at `place`.
    #[inline]
    pub(crate) fn add_row(&mut self, values: &'t FrozenValues, place: PiecePlace, key: &StateKey<'_>) {
        let key_group = self.key_groups.group_of_hash(key.hash);
        self.groups[usize::from(key_group.0)].rows.push(RowPlace { values, place });
        self.rows += 1;
    }

    /// Adds entries of states that nothing else is added of.
    pub(crate) fn add_sorted(&mut self, entries: SortedEntries<'t>) {
        self.sorted.push(entries.peekable());
    }

    /// Bytes of keys and values, without those of rows and of what came sorted.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether nothing has changed.
    pub(crate) fn is_empty(&mut self) -> bool {
        self.bytes == 0 && self.rows == 0 && self.sorted.iter_mut().all(|entries| entries.peek().is_none())
    }

    /// Sets an entry; `stored` begins with its head.
    #[inline]
    pub(crate) fn put(&mut self, state: StateId, key: &StateKey<'_>, user_key: &[u8], stored: &[u8]) {
        if !state.holds_timers() {
            let ValueHead { version, expiry } =
                ValueHead::decode(stored).expect("a stored value begins with its head").0;
            if self.table.is_expired(state, expiry, self.time) {
                return self.add(state, key, user_key, TOMBSTONE);
            }
            if self.last_version != Some((state, version)) {
                self.versions.entry(state).or_default().insert(version);
                self.last_version = Some((state, version));
            }
        }
        self.add(state, key, user_key, stored);
    }

    /// Removes an entry.
    #[inline]
    pub(crate) fn delete(&mut self, state: StateId, key: &StateKey<'_>, user_key: &[u8]) {
        self.add(state, key, user_key, TOMBSTONE);
    }

    #[inline]
    fn add(&mut self, state: StateId, key: &StateKey<'_>, user_key: &[u8], stored: &[u8]) {
        let key_group = self.key_groups.group_of_hash(key.hash);
        let GroupEntries { bytes, places, .. } = &mut self.groups[usize::from(key_group.0)];
        let start = bytes.len();
        bytes.extend_from_slice(&[0; LENGTHS_BYTES]);
        EntryKey { key_group, state, key: key.key, namespace: key.namespace, user_key }.encode(bytes);
        let key_end = bytes.len();
        bytes.extend_from_slice(stored);
        let key_start = start + LENGTHS_BYTES;
        let key_len = u32::try_from(key_end - key_start).expect("a key is shorter than 4 GiB");
        let value_len = u32::try_from(stored.len()).expect("a value is shorter than 4 GiB");
        bytes[start..start + 4].copy_from_slice(&key_len.to_le_bytes());
        bytes[start + 4..key_start].copy_from_slice(&value_len.to_le_bytes());
        places.push(Place { prefix: prefix(&bytes[key_start..key_end]), start });
        self.bytes += bytes.len() - start;
    }

    /// Hands out the entries in the order of their keys, the last one of each; an empty value is a tombstone. Returns their
    /// schema versions.
    pub(crate) fn sorted<E>(mut self, mut each: impl FnMut(&[u8], &[u8]) -> Result<(), E>) -> Result<Versions, E> {
        let mut used = GroupEntries::default();
        for number in 0..self.groups.len() {
            if self.groups[number].places.is_empty() {
                // The memory of the one before is still in the processor's cache.
                std::mem::swap(&mut self.groups[number].bytes, &mut used.bytes);
                std::mem::swap(&mut self.groups[number].places, &mut used.places);
            }
            let rows = std::mem::take(&mut self.groups[number].rows);
            for (number, RowPlace { values, place }) in rows.iter().enumerate() {
                // Rows lie anywhere. Those that come soon are fetched together, as in a `KeyTable`.
                black_box(rows.get(number + LOOKAHEAD).map(|ahead| ahead.values.rows.at(ahead.place)[0]));
                values.add_row(*place, &mut self);
            }
            self.add_sorted_of(number);
            used = std::mem::take(&mut self.groups[number]);
            used.sorted(&mut each)?;
            used.bytes.clear();
            used.places.clear();
        }
        Ok(self.versions)
    }

    /// Adds what comes sorted of a key group.
    fn add_sorted_of(&mut self, key_group: usize) {
        let mut sorted = std::mem::take(&mut self.sorted);
        for entries in &mut sorted {
            while let Some((key, stored)) = entries.next_if(|(key, _)| key_group_of(key) == key_group) {
                let EntryKey { state, key, namespace, user_key, .. } =
                    EntryKey::decode(key).expect("it was encoded here");
                let key = StateKey { hash: hash_key(key), key, namespace };
                if stored.is_empty() {
                    self.delete(state, &key, user_key);
                } else {
                    self.put(state, &key, user_key, stored);
                }
            }
        }
        self.sorted = sorted;
    }
}

impl GroupEntries<'_> {
    fn sorted<E>(&mut self, each: &mut impl FnMut(&[u8], &[u8]) -> Result<(), E>) -> Result<(), E> {
        let mut places = std::mem::take(&mut self.places);
        places.sort_unstable_by(|left, right| {
            let by_prefix = left.prefix.cmp(&right.prefix);
            by_prefix.then_with(|| self.entry(left).0.cmp(self.entry(right).0)).then(left.start.cmp(&right.start))
        });
        for (number, place) in places.iter().enumerate() {
            let (key, value) = self.entry(place);
            let is_same = |next: &Place| next.prefix == place.prefix && self.entry(next).0 == key;
            let is_last = !places.get(number + 1).is_some_and(is_same);
            if is_last {
                each(key, value)?;
            }
        }
        self.places = places;
        Ok(())
    }

    #[inline]
    fn entry(&self, place: &Place) -> (&[u8], &[u8]) {
        let (lengths, rest) = self.bytes[place.start..].split_at(LENGTHS_BYTES);
        let length = |bytes: &[u8]| u32::from_le_bytes(*bytes.first_chunk().expect("it has 4 bytes")) as usize;
        let (key, rest) = rest.split_at(length(lengths));
        (key, &rest[..length(&lengths[4..])])
    }
}

/// The key group that an entry key begins with.
#[inline]
fn key_group_of(key: &[u8]) -> usize {
    usize::from(u16::from_be_bytes([key[0], key[1]]))
}

#[inline]
fn prefix(key: &[u8]) -> u128 {
    let mut first = [0; 16];
    let len = key.len().min(16);
    first[..len].copy_from_slice(&key[..len]);
    u128::from_be_bytes(first)
}

#[cfg(test)]
mod tests {
    use super::EntryList;
    use crate::key_codec::{EntryKey, StateId};
    use crate::state_table::StateTable;
    use crate::ttl::StateTime;
    use proptest::collection::vec;
    use proptest::prelude::{any, prop_assert_eq, proptest};
    use std::collections::BTreeMap;
    use std::convert::Infallible;
    use tidewheel_types::key_group::{KeyGroup, hash_key};
    use tidewheel_types::keyed_state::StateKey;

    proptest! {
        #[test]
        fn the_last_change_of_each_entry_comes_out_in_order(
            changes in vec((0u16..2, vec(0u8..2, 0..14), vec(0u8..2, 0..3), any::<bool>()), 0..60),
        ) {
            let table = StateTable::default();
            let mut list = EntryList::new(2, &(0..2), &table, StateTime::START);
            let mut model = BTreeMap::new();
            for (number, (state, key, user_key, is_put)) in changes.iter().enumerate() {
                let owner = StateKey { hash: hash_key(key), key, namespace: &[] };
                let (state, stored) = (StateId(*state), [2, number as u8]);
                let value = if *is_put { &stored[..] } else { &[] };
                if *is_put {
                    list.put(state, &owner, user_key, value);
                } else {
                    list.delete(state, &owner, user_key);
                }
                let key_group = KeyGroup((owner.hash % 2) as u16);
                let mut encoded = Vec::new();
                EntryKey { key_group, state, key, namespace: &[], user_key }.encode(&mut encoded);
                model.insert(encoded, value.to_vec());
            }
            let mut sorted = Vec::new();
            list.sorted(|key, value| {
                sorted.push((key.to_vec(), value.to_vec()));
                Ok::<_, Infallible>(())
            }).unwrap();
            prop_assert_eq!(sorted, model.into_iter().collect::<Vec<_>>());
        }
    }
}
