//! Entries of lists and maps: each has a key of its own in the RocksDB. What has changed is kept in layers above it: one
//! that takes changes, and those that are frozen and on their way into the RocksDB.

use super::database::Database;
use crate::delta::{EntryList, Frozen};
use crate::error::StateError;
use crate::value_codec::TOMBSTONE;
use rocksdb::DBRawIterator;
use std::collections::{BTreeMap, VecDeque, btree_map};
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

/// By entry key.
type Layer = BTreeMap<Box<[u8]>, Changed>;

/// A changed entry.
struct Changed {
    /// What is stored; empty if the entry is gone.
    stored: Box<[u8]>,
    /// Whether it is known that the entry is not in the layers below, or gone there: then it is forgotten when it is removed,
    /// and leaves nothing that would have to be stored and passed over.
    is_new: bool,
}

/// What is known of an entry that is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Is {
    /// It may be there.
    Any,
    /// It is not there.
    New,
}

/// What an entry of a layer takes beside its key and value: two fat pointers and its share of the tree and the allocator.
const ENTRY_OVERHEAD: usize = 88;

/// Changed entries of all lists and maps of a task.
#[derive(Default)]
pub(super) struct ChangedEntries {
    current: Layer,
    /// Bytes of `current`.
    bytes: usize,
    /// Oldest first.
    frozen: VecDeque<FrozenLayer>,
}

struct FrozenLayer {
    generation: u64,
    entries: Arc<Layer>,
    bytes: usize,
}

/// An entry that a scan comes by.
pub(super) struct Scanned<'a> {
    /// The whole entry key.
    pub(super) key: &'a [u8],
    pub(super) stored: &'a [u8],
    /// Whether it is, in some form, below the layer that takes changes.
    pub(super) is_below: bool,
}

/// What to scan: entry keys from `lower` (included) up to `upper` (not included; none if there is no end), in falling
/// order if `backwards`; it begins at `start`, or after it.
pub(super) struct Span<'a> {
    pub(super) lower: &'a [u8],
    pub(super) upper: Option<&'a [u8]>,
    pub(super) start: Option<&'a [u8]>,
    pub(super) after: bool,
    pub(super) backwards: bool,
}

impl ChangedEntries {
    /// Bytes of changes, about.
    #[inline]
    pub(super) fn dirty_bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes of frozen changes that are not in the RocksDB yet, about.
    pub(super) fn pending_bytes(&self) -> usize {
        self.frozen.iter().map(|layer| layer.bytes).sum()
    }

    /// Sets an entry.
    pub(super) fn set(&mut self, key: &[u8], stored: &[u8], is: Is) {
        if let Some(old) = self.current.get_mut(key) {
            // That it is gone may hide one that is there below.
            self.bytes = self.bytes + stored.len() - old.stored.len();
            old.stored = stored.into();
        } else {
            self.bytes += key.len() + stored.len() + ENTRY_OVERHEAD;
            self.current.insert(key.into(), Changed { stored: stored.into(), is_new: is == Is::New });
        }
    }

    /// Removes an entry.
    pub(super) fn remove(&mut self, key: &[u8]) {
        match self.current.get(key) {
            Some(Changed { is_new: true, .. }) => self.forget(key),
            _ => self.set(key, TOMBSTONE, Is::Any),
        }
    }

    /// Forgets a change of an entry.
    pub(super) fn forget(&mut self, key: &[u8]) {
        if let Some(changed) = self.current.remove(key) {
            self.bytes -= key.len() + changed.stored.len() + ENTRY_OVERHEAD;
        }
    }

    /// What is stored, an empty value if the entry is gone; none if the RocksDB has to be asked.
    pub(super) fn get(&self, key: &[u8]) -> Option<&[u8]> {
        let frozen = self.frozen.iter().rev().map(|layer| &*layer.entries);
        std::iter::once(&self.current).chain(frozen).find_map(|layer| layer.get(key)).map(|changed| &*changed.stored)
    }

    /// Takes the changes; reads find them until all that was frozen up to number `generation` is in the RocksDB.
    pub(super) fn freeze(&mut self, generation: u64) -> Option<FrozenEntries> {
        if self.current.is_empty() {
            return None;
        }
        let entries = Arc::new(std::mem::take(&mut self.current));
        let bytes = std::mem::take(&mut self.bytes);
        self.frozen.push_back(FrozenLayer { generation, entries: Arc::clone(&entries), bytes });
        Some(FrozenEntries(entries))
    }

    /// All that was frozen under a lower number than `generation` is in the RocksDB.
    pub(super) fn settle(&mut self, generation: u64) {
        while self.frozen.front().is_some_and(|layer| layer.generation < generation) {
            self.frozen.pop_front();
        }
    }

    /// Hands out entries that are there, or have expired, in order.
    pub(super) fn scan(
        &self,
        database: &Database,
        span: &Span<'_>,
        mut each: impl FnMut(Scanned<'_>) -> Result<ControlFlow<()>, StateError>,
    ) -> Result<(), StateError> {
        let frozen = self.frozen.iter().rev().map(|layer| &*layer.entries);
        // Newest first.
        let layers = std::iter::once(&self.current).chain(frozen);
        let mut layers: Vec<LayerScan<'_>> = layers.map(|layer| LayerScan::new(layer, span)).collect();
        let mut disk = DiskScan::new(database, span);
        let mut key = Vec::new();
        while let Some(first) = first_key(&layers, &disk, span.backwards) {
            key.clear();
            key.extend_from_slice(first);
            let in_layer = layers.iter().filter_map(|layer| layer.stored(&key)).next();
            let on_disk = disk.stored(&key);
            let stored = in_layer.or(on_disk).expect("it is the key of one of them");
            if !stored.is_empty() {
                let is_below = on_disk.is_some() || layers[1..].iter().any(|layer| layer.stored(&key).is_some());
                if each(Scanned { key: &key, stored, is_below })?.is_break() {
                    return Ok(());
                }
            }
            layers.iter_mut().for_each(|layer| layer.pass(&key));
            disk.pass(&key);
        }
        disk.check()
    }
}

/// The key that comes next.
fn first_key<'a>(layers: &'a [LayerScan<'_>], disk: &'a DiskScan<'_>, backwards: bool) -> Option<&'a [u8]> {
    let keys = layers.iter().filter_map(|layer| layer.head.map(|(key, _)| key)).chain(disk.head().map(|(key, _)| key));
    if backwards { keys.max() } else { keys.min() }
}

/// A scan of a layer.
struct LayerScan<'a> {
    entries: btree_map::Range<'a, Box<[u8]>, Changed>,
    backwards: bool,
    head: Option<(&'a [u8], &'a [u8])>,
}

impl<'a> LayerScan<'a> {
    fn new(layer: &'a Layer, span: &Span<'_>) -> Self {
        let start = span.start.map(|start| if span.after { Bound::Excluded(start) } else { Bound::Included(start) });
        let (lower, upper) = (Bound::Included(span.lower), span.upper.map_or(Bound::Unbounded, Bound::Excluded));
        let bounds = match start {
            None => (lower, upper),
            Some(start) if span.backwards => (lower, start),
            Some(start) => (start, upper),
        };
        let mut scan = LayerScan { entries: layer.range::<[u8], _>(bounds), backwards: span.backwards, head: None };
        scan.advance();
        scan
    }

    fn advance(&mut self) {
        let next = if self.backwards { self.entries.next_back() } else { self.entries.next() };
        self.head = next.map(|(key, changed)| (&**key, &*changed.stored));
    }

    /// What it has for a key that comes next.
    fn stored(&self, key: &[u8]) -> Option<&'a [u8]> {
        self.head.filter(|(head, _)| *head == key).map(|(_, stored)| stored)
    }

    /// Goes on if `key` comes next.
    fn pass(&mut self, key: &[u8]) {
        if self.stored(key).is_some() {
            self.advance();
        }
    }
}

/// A scan of the RocksDB.
struct DiskScan<'a> {
    database: &'a Database,
    entries: DBRawIterator<'a>,
    backwards: bool,
}

impl<'a> DiskScan<'a> {
    fn new(database: &'a Database, span: &Span<'_>) -> Self {
        let mut entries = database.iterate(span.lower, span.upper, false);
        match (span.start, span.backwards) {
            (None, false) => entries.seek_to_first(),
            (None, true) => entries.seek_to_last(),
            (Some(start), false) => entries.seek(start),
            (Some(start), true) => entries.seek_for_prev(start),
        }
        let mut scan = DiskScan { database, entries, backwards: span.backwards };
        if let Some(start) = span.start.filter(|_| span.after) {
            scan.pass(start);
        }
        scan
    }

    fn head(&self) -> Option<(&[u8], &[u8])> {
        self.entries.item()
    }

    fn stored(&self, key: &[u8]) -> Option<&[u8]> {
        self.head().filter(|(head, _)| *head == key).map(|(_, stored)| stored)
    }

    fn pass(&mut self, key: &[u8]) {
        if self.stored(key).is_some() {
            if self.backwards { self.entries.prev() } else { self.entries.next() }
        }
    }

    /// Whether it has come to the end because there is nothing more.
    fn check(&self) -> Result<(), StateError> {
        self.database.check(&self.entries)
    }
}

/// Changed entries of lists and maps on their way to a state file.
pub(super) struct FrozenEntries(Arc<Layer>);

impl Frozen for FrozenEntries {
    fn add_to<'f>(&'f self, entries: &mut EntryList<'f>) {
        entries.add_sorted(Box::new(self.0.iter().map(|(key, changed)| (&**key, &*changed.stored))));
    }
}
