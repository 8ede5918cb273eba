//! The `memory` backend: keyed state in hash tables on the heap.
//!
//! The value states that ride in a batch lie together in one row per key and namespace, so a group costs one look-up
//! however many there are (`values.rs`). Every other state has a table of its own (`values.rs`, `lists.rs`,
//! `maps.rs`). A row is there only while it holds something. Every stored value, list element and map value begins with
//! its head, the schema version it was written under and its expiry, which reads leave out.

mod lists;
mod maps;
mod values;

use crate::backend::Backend;
use crate::delta::{Delta, Frozen};
use crate::error::StateError;
use crate::key_codec::{EntryKey, StateId};
use crate::key_table::{LOOKAHEAD, TableKey, Touch};
use crate::pieces::PiecePool;
use crate::rows::RowId;
use crate::state_info::StateInfo;
use crate::timers::Timers;
use crate::ttl::StateTime;
use lists::Lists;
use maps::Maps;
use std::hint::black_box;
use std::sync::Arc;
use tidewheel_types::description::{StateDecl, StateKind};
use tidewheel_types::key_group::hash_key;
use tidewheel_types::keyed_state::{Cells, Entries, KeyedState, KeyedStateError, Scan, StateIndex, StateKey, Write};
use values::Values;

/// The state of one operator on one worker, in memory.
pub struct MemoryState {
    /// The first states, as many as ride.
    riding: Values,
    /// Where the rows are that the last batch of riding cells was read from.
    found: Vec<RowId>,
    /// By state.
    stores: Vec<Store>,
    /// By state.
    infos: Vec<StateInfo>,
    time: StateTime,
    /// For what is frozen.
    pool: Arc<PiecePool>,
    is_tracking: bool,
    /// Whether the snapshot it was opened from may hold what is not here: states that are not declared any more.
    has_more_in_snapshot: bool,
}

/// Where the entries of a state are.
enum Store {
    /// In [`MemoryState::riding`], in the cell of the state's index.
    Riding,
    /// In a row of its own: one cell.
    Value(Values),
    List(Lists),
    Map(Maps),
}

/// Rows or entries that each table is searched for expired ones, each time that the clocks are set: a microsecond's
/// work, and a million rows in 8,000 batches.
const SWEEP_BUDGET: usize = 128;

impl MemoryState {
    /// Empty state for what a component declares, without snapshots. The accumulator of world `aggregate` always rides.
    ///
    /// # Errors
    /// If a state rides that cannot.
    pub fn new(declared: &[StateDecl]) -> Result<Self, StateError> {
        let ids: Vec<StateId> = (0..declared.len()).map(|index| StateId(index as u16)).collect();
        MemoryState::with_ids(declared, &ids, false)
    }

    /// Empty state, of which each has a number in snapshots. Whether it is to be tracked what changes.
    pub(crate) fn with_ids(declared: &[StateDecl], ids: &[StateId], is_tracking: bool) -> Result<Self, StateError> {
        let rides = |state: &StateDecl| state.rides || state.kind == StateKind::Aggregating;
        let riding = declared.iter().take_while(|state| rides(state)).count();
        let infos = ids.iter().zip(declared).map(|(&id, state)| StateInfo::new(id, state));
        let infos: Vec<StateInfo> = infos.collect::<Result<_, _>>()?;
        let mut stores = Vec::with_capacity(declared.len());
        for (index, state) in declared.iter().enumerate() {
            let name = || state.name.clone();
            let info = &infos[index];
            stores.push(match state.kind {
                _ if rides(state) && index >= riding => return Err(StateError::RidesTooLate { state: name() }),
                StateKind::Value | StateKind::Aggregating if rides(state) => Store::Riding,
                _ if rides(state) => return Err(StateError::RidesButIsNoValue { state: name() }),
                StateKind::Value | StateKind::Aggregating => {
                    Store::Value(Values::new(std::slice::from_ref(info), is_tracking))
                }
                StateKind::List => Store::List(Lists::new(info, is_tracking)),
                StateKind::Map => Store::Map(Maps::new(info, is_tracking)),
            });
        }
        let riding = Values::new(&infos[..riding], is_tracking);
        let time = StateTime::START;
        let pool = Arc::new(PiecePool::new(0));
        Ok(MemoryState {
            riding,
            found: Vec::new(),
            stores,
            infos,
            time,
            pool,
            is_tracking,
            has_more_in_snapshot: false,
        })
    }

    /// Adds an entry that a snapshot has, in the order of keys. One of a state that is not declared is left out.
    pub(crate) fn load(&mut self, entry: &EntryKey<'_>, stored: &[u8]) -> Result<(), StateError> {
        let Some(index) = self.infos.iter().position(|info| info.id == entry.state) else { return Ok(()) };
        let key = StateKey { hash: hash_key(entry.key), key: entry.key, namespace: entry.namespace };
        match &mut self.stores[index] {
            Store::Riding => self.riding.load(index, key, stored),
            Store::Value(values) => values.load(0, key, stored),
            Store::Map(maps) => maps.load(key, entry.user_key, stored),
            Store::List(lists) => {
                let place = entry.user_key.try_into().map(u64::from_be_bytes);
                if !place.is_ok_and(|place| lists.load(key, place, stored)) {
                    let what = format!("{:?} is no index of a list element", entry.user_key);
                    return Err(StateError::DamagedEntry { what });
                }
            }
        }
        Ok(())
    }

    /// All that was loaded is in a snapshot, and maybe more.
    pub(crate) fn loaded(&mut self, has_more_in_snapshot: bool) {
        self.has_more_in_snapshot = has_more_in_snapshot;
        self.riding.loaded();
        for store in &mut self.stores {
            match store {
                Store::Riding | Store::Map(_) => {}
                Store::Value(values) => values.loaded(),
                Store::List(lists) => lists.loaded(),
            }
        }
    }

    /// Memory held, about, for metrics.
    pub fn bytes(&self) -> usize {
        let own = self.stores.iter().map(|store| match store {
            Store::Riding => 0,
            Store::Value(values) => values.bytes(),
            Store::List(lists) => lists.bytes(),
            Store::Map(maps) => maps.bytes(),
        });
        self.riding.bytes() + own.sum::<usize>()
    }

    /// Whether a delta is to hold all that there is: at least half of it has changed, so that writing the rest as well is
    /// less than merging files is. Lists and maps may be large where little of them has changed, so only without any.
    fn is_mostly_changed(&self, timers: &[&mut Timers; 2]) -> bool {
        let mut changed: usize = timers.iter().map(|timers| timers.changed()).sum();
        let mut all: usize = timers.iter().map(|timers| timers.keys()).sum();
        let mut add = |values: &Values| {
            changed += values.changed();
            all += values.rows();
        };
        add(&self.riding);
        let has_others = self.stores.iter().any(|store| match store {
            Store::Riding => false,
            Store::Value(values) => {
                add(values);
                false
            }
            Store::List(lists) => !lists.is_empty(),
            Store::Map(maps) => !maps.is_empty(),
        });
        !has_others && !self.has_more_in_snapshot && changed * 2 >= all && changed > 0
    }

    fn store(&self, state: StateIndex) -> &Store {
        &self.stores[state.0 as usize]
    }

    /// Touches what all of the writes need, then applies them.
    fn write_some(&mut self, writes: &[(StateIndex, TableKey<'_>, Write<'_>)]) {
        black_box(writes.iter().fold(0, |sum, (state, key, _)| sum ^ self.table(*state).touch_index(key)));
        black_box(writes.iter().fold(0, |sum, (state, key, _)| sum ^ self.table(*state).touch_row(key)));
        writes.iter().for_each(|&(state, ref key, write)| self.write_one(state, key, write));
    }

    /// The table that a state is in.
    fn table(&self, state: StateIndex) -> &dyn Touch {
        match self.store(state) {
            Store::Riding => wrong_kind("write", state),
            Store::Value(values) => values.touch(),
            Store::List(lists) => lists.touch(),
            Store::Map(maps) => maps.touch(),
        }
    }

    #[inline]
    fn write_one(&mut self, state: StateIndex, key: &TableKey<'_>, write: Write<'_>) {
        let (store, info) = (&mut self.stores[state.0 as usize], &self.infos[state.0 as usize]);
        match (store, write) {
            (Store::Value(values), Write::Put(value)) => values.put(0, key, info, value),
            (Store::Value(values), Write::Delete) => values.delete(0, key),
            (Store::List(lists), Write::Append(element)) => lists.append(key, info, element),
            (Store::List(lists), Write::Delete) => lists.delete(key),
            (Store::Map(maps), Write::PutEntry(entry, value) | Write::InsertEntry(entry, value)) => {
                maps.put(key, info, entry, value)
            }
            (Store::Map(maps), Write::DeleteEntry(entry)) => maps.delete_entry(key, entry),
            (Store::Map(maps), Write::Delete) => maps.delete(key),
            _ => wrong_kind("write", state),
        }
    }
}

/// What a call and a state do not agree about. A guest's calls are checked against its declared states before they get
/// here, so this is a fault of the host.
#[cold]
fn wrong_kind(call: &str, state: StateIndex) -> ! {
    panic!("{call} does not fit the kind of state {}", state.0)
}

impl Backend for MemoryState {
    fn set_time(&mut self, now_ms: i64, watermark_ms: i64) {
        self.time.set(now_ms, watermark_ms);
        self.infos.iter_mut().for_each(|info| info.set_time(self.time));
        // The sweep removes rows, so what is known of where they are is void.
        self.found.clear();
        self.riding.sweep(&self.infos[..self.riding.states()], SWEEP_BUDGET);
        for (store, info) in self.stores.iter_mut().zip(&self.infos) {
            match store {
                Store::Riding => {}
                Store::Value(values) => values.sweep(std::slice::from_ref(info), SWEEP_BUDGET),
                Store::List(lists) => lists.sweep(info, SWEEP_BUDGET),
                Store::Map(maps) => maps.sweep(info, SWEEP_BUDGET),
            }
        }
    }

    fn freeze(&mut self, mut timers: [&mut Timers; 2]) -> Result<Delta, StateError> {
        if !self.is_tracking {
            return Err(StateError::NotTracked);
        }
        let is_whole = self.is_mostly_changed(&timers);
        if is_whole {
            self.riding.touch_all();
            self.stores.iter_mut().for_each(|store| match store {
                Store::Value(values) => values.touch_all(),
                Store::Riding | Store::List(_) | Store::Map(_) => {}
            });
            timers.iter_mut().for_each(|timers| timers.touch_all());
        }
        let mut parts: Vec<Box<dyn Frozen>> = Vec::new();
        parts.push(Box::new(self.riding.freeze(&self.infos[..self.riding.states()], &self.pool)));
        for (store, info) in self.stores.iter_mut().zip(&self.infos) {
            match store {
                Store::Riding => {}
                Store::Value(values) => parts.push(Box::new(values.freeze(std::slice::from_ref(info), &self.pool))),
                Store::List(lists) => parts.push(Box::new(lists.freeze(info))),
                Store::Map(maps) => parts.push(Box::new(maps.freeze())),
            }
        }
        timers.into_iter().for_each(|timers| parts.push(Box::new(timers.freeze())));
        Ok(Delta { parts, is_whole, time: self.time, spilled: Vec::new(), written: None })
    }

    fn bytes(&self) -> usize {
        MemoryState::bytes(self)
    }
}

/// A call that does not fit its state's kind, or names a state that was not declared, panics.
impl KeyedState for MemoryState {
    fn get_riding(
        &mut self,
        keys: &mut dyn Iterator<Item = StateKey<'_>>,
        states: u32,
        cells: &mut Cells,
    ) -> Result<(), KeyedStateError> {
        assert!(states as usize <= self.riding.states(), "only {} states ride, not {states}", self.riding.states());
        self.riding.get_first(&self.infos[..states as usize], keys, cells, &mut self.found);
        Ok(())
    }

    fn write_riding(
        &mut self,
        writes: &mut dyn Iterator<Item = (usize, StateKey<'_>, StateIndex, Write<'_>)>,
    ) -> Result<(), KeyedStateError> {
        for (place, key, state, write) in writes {
            let (index, found) = (state.0 as usize, &mut self.found[place]);
            match write {
                Write::Put(value) => self.riding.put_found(index, key, found, &self.infos[index], value),
                Write::Delete => self.riding.delete_found(index, key, found),
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
        let index = state.0 as usize;
        let info = &self.infos[index];
        match &mut self.stores[index] {
            Store::Riding => self.riding.get(index, info, keys, cells),
            Store::Value(values) => values.get(0, info, keys, cells),
            Store::List(_) | Store::Map(_) => wrong_kind("get", state),
        }
        Ok(())
    }

    fn map_get_many(
        &mut self,
        state: StateIndex,
        entries: &mut dyn Iterator<Item = (StateKey<'_>, &[u8])>,
        cells: &mut Cells,
    ) -> Result<(), KeyedStateError> {
        let info = &self.infos[state.0 as usize];
        let Store::Map(maps) = &mut self.stores[state.0 as usize] else { wrong_kind("map-get", state) };
        for (key, entry) in entries {
            maps.get(&TableKey::new(key), info, entry, cells);
        }
        Ok(())
    }

    fn scan(
        &mut self,
        state: StateIndex,
        key: StateKey<'_>,
        scan: Scan<'_>,
        entries: &mut Entries,
    ) -> Result<(), KeyedStateError> {
        let info = &self.infos[state.0 as usize];
        match &mut self.stores[state.0 as usize] {
            Store::List(lists) => lists.scan(&TableKey::new(key), info, scan, entries),
            Store::Map(maps) => maps.scan(&TableKey::new(key), info, scan, entries),
            Store::Riding | Store::Value(_) => wrong_kind("scan", state),
        }
        Ok(())
    }

    fn write(
        &mut self,
        writes: &mut dyn Iterator<Item = (StateIndex, StateKey<'_>, Write<'_>)>,
    ) -> Result<(), KeyedStateError> {
        const NO_WRITE: (StateIndex, TableKey<'_>, Write<'_>) = (StateIndex(0), TableKey::EMPTY, Write::Delete);
        let mut ahead = [NO_WRITE; LOOKAHEAD];
        let mut taken = 0;
        for (state, key, write) in writes {
            ahead[taken] = (state, TableKey::new(key), write);
            taken += 1;
            if taken == LOOKAHEAD {
                self.write_some(&ahead);
                taken = 0;
            }
        }
        self.write_some(&ahead[..taken]);
        Ok(())
    }
}
