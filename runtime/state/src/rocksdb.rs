//! The `rocksdb` backend: keyed state in RocksDB under a write-back cache, for state larger than memory.
//!
//! Each task has a RocksDB of its own in its working folder; the memory is shared (`shared.rs`). It has no log:
//! snapshots are the durability.
//!
//! - **Values** are read into the cache and written there (`values.rs`). **Entries of lists and maps** have keys of their
//!   own; changed ones are kept in layers above the RocksDB, which scans merge (`entries.rs`, `collections.rs`).
//! - **Freezing** copies what has changed. A background thread sorts it and writes it to a state file, which goes into the
//!   RocksDB as it is (`ingestion.rs`) and is the snapshot's increment as well. Until then what was frozen stays in the
//!   cache, so reads see cache → frozen → RocksDB. So it is at a checkpoint; and also in between, as a **spill**
//!   (`spill.rs`), when what has changed takes a quarter of the cache and more than half of the cache is taken. The
//!   next checkpoint takes the files of the spills.
//! - **Tombstones** are empty values, and a compaction filter removes them for good, and what has expired (`database.rs`).

mod allocation;
mod collections;
mod database;
mod entries;
mod ingestion;
mod marks;
mod shared;
mod spill;
mod values;

use crate::backend::{Backend, StateSettings};
use crate::delta::{Delta, Frozen, SpilledFile};
use crate::error::StateError;
use crate::key_codec::{EntryKey, PROCESSING_TIMERS, StateId};
use crate::key_table::TableKey;
use crate::rows::RowId;
use crate::snapshot::LocalFile;
use crate::state_info::StateInfo;
use crate::state_table::StateTable;
use crate::timers::Timers;
use crate::ttl::StateTime;
use collections::Collections;
use database::{Database, ExpiryClocks};
use entries::Is;
use ingestion::{Ingestion, ReadyFile};
pub use shared::SharedMemory;
use shared::TaskShare;
use spill::Spiller;
use std::ops::Range;
use std::slice::from_ref;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Duration;
use tidewheel_types::description::{StateDecl, StateKind};
use tidewheel_types::key_group::KeyGroups;
use tidewheel_types::keyed_state::{Cells, Entries, KeyedState, KeyedStateError, Scan, StateIndex, StateKey, Write};
use values::CachedValues;

/// The state of one operator on one worker, in RocksDB under a cache.
struct RocksDbState {
    /// By state.
    infos: Vec<StateInfo>,
    time: StateTime,
    /// The first states, as many as ride.
    riding: CachedValues,
    /// Where the rows are that the last batch of riding cells was read from. They are not evicted before the next one.
    found: Vec<RowId>,
    /// By state.
    stores: Vec<Store>,
    collections: Collections,
    share: TaskShare,
    // What is spilled goes into the ingestion, and that into the database: they are closed in this order.
    spiller: Spiller,
    /// What has been spilled since the last freeze.
    spilled: Vec<Receiver<Result<Option<SpilledFile>, StateError>>>,
    ingestion: Arc<Ingestion>,
    /// What was frozen under lower numbers is in the database.
    settled: u64,
    database: Arc<Database>,
    clocks: Arc<ExpiryClocks>,
    is_tracking: bool,
}

/// Where the entries of a state are.
enum Store {
    /// In [`RocksDbState::riding`], in the cell of the state's index.
    Riding,
    /// In a row of its own: one cell.
    Value(Box<CachedValues>),
    /// In [`RocksDbState::collections`].
    List,
    /// In [`RocksDbState::collections`].
    Map,
}

/// What has changed may take one of so many parts of the cache before it is spilled; what is on its way into the
/// RocksDB another one. The rest is for what can be evicted.
const SPILL_PART: usize = 4;

/// So many eighths of the cache are taken before anything is spilled: until then nothing has to be evicted soon. Not more,
/// since the first spill may be of all of it, and is copied.
const SPILL_FROM_EIGHTHS: usize = 5;

/// How long a worker waits for the disk before the job fails.
const WAIT_MAX: Duration = Duration::from_secs(120);

/// Takes the timers that a snapshot has for a key and namespace.
type LoadTimers<'a> = dyn FnMut(&EntryKey<'_>, &[u8]) -> Result<(), StateError> + 'a;

/// Opens the state that a chain of files holds, oldest first, none for empty state, and hands out its timers to be loaded.
/// The files stay as they are.
pub(crate) fn open(
    settings: &StateSettings,
    memory: &Arc<SharedMemory>,
    (table, ids): (&StateTable, &[StateId]),
    chain: &[LocalFile],
    load_timers: &mut LoadTimers<'_>,
) -> Result<Box<dyn Backend>, StateError> {
    let declared = &settings.declared;
    let infos = ids.iter().zip(declared).map(|(&id, state)| StateInfo::new(id, state));
    let infos: Vec<StateInfo> = infos.collect::<Result<_, _>>()?;
    let key_groups = KeyGroups::new(settings.max_parallelism, 1);
    let (riding, stores) = stores(declared, key_groups)?;
    let clocks = Arc::new(ExpiryClocks::new(infos.iter().filter_map(|info| Some((info.id, info.clock()?))).collect()));
    let database = Database::open(&settings.folder, memory, Arc::clone(&clocks))?;
    chain.iter().try_for_each(|file| database.ingest_restored(&file.path))?;
    each_timers(&database, &settings.key_groups, load_timers)?;
    let database = Arc::new(database);
    let (groups, is_tracking) = ((settings.key_groups.clone(), settings.max_parallelism), settings.tracks_changes);
    Ok(Box::new(RocksDbState {
        infos,
        time: StateTime::START,
        riding: CachedValues::new(riding, key_groups),
        found: Vec::new(),
        stores,
        collections: Collections::new(key_groups),
        share: TaskShare::new(memory),
        spiller: Spiller::new(Arc::clone(&database), groups, table.clone(), is_tracking)?,
        spilled: Vec::new(),
        ingestion: Arc::new(Ingestion::new(Arc::clone(&database))),
        settled: 0,
        database,
        clocks,
        is_tracking,
    }))
}

/// How many states ride, and where each state is.
fn stores(declared: &[StateDecl], key_groups: KeyGroups) -> Result<(usize, Vec<Store>), StateError> {
    let rides = |state: &StateDecl| state.rides || state.kind == StateKind::Aggregating;
    let riding = declared.iter().take_while(|state| rides(state)).count();
    let stores = declared.iter().enumerate().map(|(index, state)| {
        let name = || state.name.clone();
        Ok(match state.kind {
            _ if rides(state) && index >= riding => return Err(StateError::RidesTooLate { state: name() }),
            StateKind::Value | StateKind::Aggregating if rides(state) => Store::Riding,
            _ if rides(state) => return Err(StateError::RidesButIsNoValue { state: name() }),
            StateKind::Value | StateKind::Aggregating => Store::Value(Box::new(CachedValues::new(1, key_groups))),
            StateKind::List => Store::List,
            StateKind::Map => Store::Map,
        })
    });
    Ok((riding, stores.collect::<Result<_, StateError>>()?))
}

fn each_timers(database: &Database, key_groups: &Range<u16>, load: &mut LoadTimers<'_>) -> Result<(), StateError> {
    for key_group in key_groups.clone() {
        let lower = [key_group.to_be_bytes(), PROCESSING_TIMERS.0.to_be_bytes()].concat();
        // The timers are the last states of a key group.
        let upper = key_group.checked_add(1).map(u16::to_be_bytes);
        let mut entries = database.iterate(&lower, upper.as_ref().map(<[u8; 2]>::as_slice), true);
        entries.seek_to_first();
        while let Some((key, stored)) = entries.item() {
            if !stored.is_empty() {
                let damaged = || StateError::DamagedEntry { what: "it holds a key that is none".to_owned() };
                load(&EntryKey::decode(key).ok_or_else(damaged)?, stored)?;
            }
            entries.next();
        }
        database.check(&entries)?;
    }
    Ok(())
}

impl RocksDbState {
    /// The caches of values.
    fn values(&self) -> impl Iterator<Item = &CachedValues> {
        std::iter::once(&self.riding).chain(self.stores.iter().filter_map(|store| match store {
            Store::Value(values) => Some(&**values),
            _ => None,
        }))
    }

    fn values_mut(&mut self) -> impl Iterator<Item = &mut CachedValues> {
        std::iter::once(&mut self.riding).chain(self.stores.iter_mut().filter_map(|store| match store {
            Store::Value(values) => Some(&mut **values),
            _ => None,
        }))
    }

    fn dirty_bytes(&self) -> usize {
        self.values().map(CachedValues::dirty_bytes).sum::<usize>() + self.collections.changed.dirty_bytes()
    }

    fn pending_bytes(&self) -> usize {
        self.values().map(CachedValues::pending_bytes).sum::<usize>() + self.collections.changed.pending_bytes()
    }

    /// Makes room for what a call will bring into the cache. The rows of riding values have to stay where they are while
    /// a batch is under way.
    fn make_room(&mut self, evicts_riding: bool) -> Result<(), StateError> {
        self.settle()?;
        let bytes_max = self.share.cache_bytes();
        let spill_bytes = bytes_max / SPILL_PART;
        let values_used: usize = self.values().map(CachedValues::used_bytes).sum();
        let all_used = values_used + self.collections.bytes();
        if all_used > bytes_max / 8 * SPILL_FROM_EIGHTHS && self.dirty_bytes() > spill_bytes {
            self.wait_for_disk(spill_bytes)?;
            self.spill()?;
        }
        if all_used > bytes_max {
            allocation::refuse_huge_pages();
            self.collections.trim(bytes_max);
            // Some more than has to go, so that it is not done again at once.
            let left = (bytes_max - bytes_max / 64).saturating_sub(self.collections.bytes());
            let part = |used: usize| (used as u128 * left as u128 / values_used.max(1) as u128) as usize;
            for values in self.values_mut().skip(usize::from(!evicts_riding)) {
                values.evict(part(values.used_bytes()));
            }
        }
        Ok(())
    }

    /// Notes what has come into the RocksDB.
    fn settle(&mut self) -> Result<(), StateError> {
        let settled = self.ingestion.settled()?;
        if settled == self.settled {
            return Ok(());
        }
        self.settled = settled;
        self.values_mut().for_each(|values| values.settle(settled));
        self.collections.changed.settle(settled);
        Ok(())
    }

    /// Waits until what is on its way to the disk takes at most `bytes_max`.
    fn wait_for_disk(&mut self, bytes_max: usize) -> Result<(), StateError> {
        while self.pending_bytes() > bytes_max {
            if !self.ingestion.wait(self.settled, WAIT_MAX)? {
                let folder = self.database.folder().to_owned();
                return Err(StateError::DiskTooSlow { folder, waited_s: WAIT_MAX.as_secs() });
            }
            self.settle()?;
        }
        Ok(())
    }

    fn spill(&mut self) -> Result<(), StateError> {
        let ticket = self.ingestion.ticket();
        let parts = self.freeze_parts(ticket.generation());
        let file = self.spiller.spill(parts, self.time, ticket)?;
        if self.is_tracking {
            self.spilled.push(file);
        }
        Ok(())
    }

    fn freeze_parts(&mut self, generation: u64) -> Vec<Box<dyn Frozen>> {
        let (infos, pool) = (&self.infos, self.share.frozen_pool());
        let riding = self.riding.freeze(&infos[..self.riding.states()], generation, pool);
        let mut parts: Vec<Box<dyn Frozen>> = vec![Box::new(riding)];
        for (store, info) in self.stores.iter_mut().zip(infos) {
            if let Store::Value(values) = store {
                parts.push(Box::new(values.freeze(from_ref(info), generation, pool)));
            }
        }
        if let Some(entries) = self.collections.changed.freeze(generation) {
            parts.push(Box::new(entries));
        }
        parts
    }

    fn write_one(&mut self, state: StateIndex, key: StateKey<'_>, write: Write<'_>) -> Result<(), StateError> {
        let (store, info) = (&mut self.stores[state.0 as usize], &self.infos[state.0 as usize]);
        let (collections, database) = (&mut self.collections, &self.database);
        match (store, write) {
            (Store::Value(values), Write::Put(value)) => values.set(&TableKey::new(key), info, Some(value)),
            (Store::Value(values), Write::Delete) => values.set(&TableKey::new(key), info, None),
            (Store::List, Write::Append(element)) => collections.append(database, info, &key, element)?,
            (Store::Map, Write::PutEntry(entry, value)) => collections.put_entry(info, &key, entry, value, Is::Any),
            (Store::Map, Write::InsertEntry(entry, value)) => collections.put_entry(info, &key, entry, value, Is::New),
            (Store::Map, Write::DeleteEntry(entry)) => collections.delete_entry(info, &key, entry),
            (Store::List | Store::Map, Write::Delete) => collections.delete(database, info, &key)?,
            _ => wrong_kind("write", state),
        }
        Ok(())
    }
}

/// What a call and a state do not agree about. A guest's calls are checked against its declared states before they get
/// here, so this is a fault of the host.
#[cold]
fn wrong_kind(call: &str, state: StateIndex) -> ! {
    panic!("{call} does not fit the kind of state {}", state.0)
}

impl From<StateError> for KeyedStateError {
    fn from(error: StateError) -> Self {
        KeyedStateError(error.to_string())
    }
}

impl Backend for RocksDbState {
    fn set_time(&mut self, now_ms: i64, watermark_ms: i64) {
        self.time.set(now_ms, watermark_ms);
        self.infos.iter_mut().for_each(|info| info.set_time(self.time));
        self.clocks.set(self.time);
    }

    fn freeze(&mut self, timers: [&mut Timers; 2]) -> Result<Delta, StateError> {
        if !self.is_tracking {
            return Err(StateError::NotTracked);
        }
        self.settle()?;
        let ticket = self.ingestion.ticket();
        let mut parts = self.freeze_parts(ticket.generation());
        timers.into_iter().for_each(|timers| parts.push(Box::new(timers.freeze())));
        let spilled = std::mem::take(&mut self.spilled);
        Ok(Delta {
            parts,
            is_whole: false,
            time: self.time,
            spilled,
            written: Some(Box::new(|file| {
                ticket.complete(file.map(|file| ReadyFile { path: file.to_owned(), keep: true }))
            })),
        })
    }

    fn bytes(&self) -> usize {
        self.values().map(CachedValues::bytes).sum::<usize>() + self.collections.bytes()
    }
}

/// A call that does not fit its state's kind, or names a state that was not declared, panics.
impl KeyedState for RocksDbState {
    fn get_riding(
        &mut self,
        keys: &mut dyn Iterator<Item = StateKey<'_>>,
        states: u32,
        cells: &mut Cells,
    ) -> Result<(), KeyedStateError> {
        let (all, states) = (self.riding.states(), states as usize);
        assert!(states <= all, "only {all} states ride, not {states}");
        self.make_room(true)?;
        Ok(self.riding.get(&self.database, &self.infos[..all], (0, states), keys, cells, &mut self.found)?)
    }

    fn write_riding(
        &mut self,
        writes: &mut dyn Iterator<Item = (usize, StateKey<'_>, StateIndex, Write<'_>)>,
    ) -> Result<(), KeyedStateError> {
        for (place, _, state, write) in writes {
            let (index, id) = (state.0 as usize, self.found[place]);
            match write {
                Write::Put(value) => self.riding.put_found(index, id, &self.infos[index], value),
                Write::Delete => self.riding.delete_found(index, id),
                _ => wrong_kind("write", state),
            }
        }
        Ok(())
    }

    fn get_many(
        &mut self,
        state: StateIndex,
        keys: &mut dyn Iterator<Item = StateKey<'_>>,
        cells: &mut Cells,
    ) -> Result<(), KeyedStateError> {
        self.make_room(false)?;
        let index = state.0 as usize;
        let (infos, database, found) = (&self.infos, &self.database, &mut Vec::new());
        match &mut self.stores[index] {
            Store::Riding => {
                let riding = &mut self.riding;
                riding.get(database, &infos[..riding.states()], (index, 1), keys, cells, found)?;
            }
            Store::Value(values) => values.get(database, from_ref(&infos[index]), (0, 1), keys, cells, found)?,
            Store::List | Store::Map => wrong_kind("get", state),
        }
        Ok(())
    }

    fn map_get_many(
        &mut self,
        state: StateIndex,
        entries: &mut dyn Iterator<Item = (StateKey<'_>, &[u8])>,
        cells: &mut Cells,
    ) -> Result<(), KeyedStateError> {
        let Store::Map = self.stores[state.0 as usize] else { wrong_kind("map-get", state) };
        self.make_room(false)?;
        Ok(self.collections.get_many(&self.database, &self.infos[state.0 as usize], entries, cells)?)
    }

    fn scan(
        &mut self,
        state: StateIndex,
        key: StateKey<'_>,
        scan: Scan<'_>,
        entries: &mut Entries,
    ) -> Result<(), KeyedStateError> {
        self.make_room(false)?;
        let mut index = [0; 8];
        let start = match self.stores[state.0 as usize] {
            Store::Map => scan.start,
            Store::List if scan.start.is_empty() => scan.start,
            Store::List => {
                // Fewer bytes name the index that they begin.
                let len = scan.start.len().min(8);
                index[..len].copy_from_slice(&scan.start[..len]);
                &index
            }
            Store::Riding | Store::Value(_) => wrong_kind("scan", state),
        };
        let info = &self.infos[state.0 as usize];
        Ok(self.collections.scan(&self.database, info, &key, Scan { start, ..scan }, entries)?)
    }

    fn write(
        &mut self,
        writes: &mut dyn Iterator<Item = (StateIndex, StateKey<'_>, Write<'_>)>,
    ) -> Result<(), KeyedStateError> {
        self.make_room(false)?;
        for (state, key, write) in writes {
            self.write_one(state, key, write)?;
        }
        Ok(())
    }
}
