//! The `memory` backend: keyed state in hash tables on the heap.
//!
//! The value states that ride in a batch lie together in one row per key and namespace, so a group costs one look-up
//! however many there are (`values.rs`). Every other state has a table of its own (`values.rs`, `lists.rs`,
//! `maps.rs`). A row is there only while it holds something. Every stored value, list element and map value begins with
//! the schema version it was written under, which reads leave out.

mod lists;
mod maps;
mod values;

use crate::backend::Backend;
use crate::delta::Delta;
use crate::error::StateError;
use crate::key_table::{LOOKAHEAD, TableKey, Touch};
use crate::rows::RowId;
use crate::timers::Timers;
use crate::varint::Varint;
use lists::Lists;
use maps::Maps;
use std::hint::black_box;
use tidewheel_types::description::{StateDecl, StateKind};
use tidewheel_types::keyed_state::{Cells, Entries, KeyedState, KeyedStateError, Scan, StateIndex, StateKey, Write};
use values::Values;

/// The state of one operator on one worker, in memory.
pub struct MemoryState {
    /// The first states, as many as ride.
    riding: Values,
    /// Where the rows are that the last batch of riding cells was read from.
    found: Vec<RowId>,
    /// By state.
    states: Vec<State>,
}

struct State {
    /// The schema version that values are written under, as it is stored.
    version: Varint,
    store: Store,
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

impl MemoryState {
    /// Empty state for what a component declares. The accumulator of world `aggregate` always rides.
    ///
    /// # Errors
    /// If a state rides that cannot.
    pub fn new(declared: &[StateDecl]) -> Result<Self, StateError> {
        let rides = |state: &StateDecl| state.rides || state.kind == StateKind::Aggregating;
        let riding = declared.iter().take_while(|state| rides(state)).count();
        let mut states = Vec::with_capacity(declared.len());
        for (index, state) in declared.iter().enumerate() {
            let name = || state.name.clone();
            let store = match state.kind {
                _ if rides(state) && index >= riding => return Err(StateError::RidesTooLate { state: name() }),
                StateKind::Value | StateKind::Aggregating if rides(state) => Store::Riding,
                _ if rides(state) => return Err(StateError::RidesButIsNoValue { state: name() }),
                StateKind::Value | StateKind::Aggregating => Store::Value(Values::new(1)),
                StateKind::List => Store::List(Lists::default()),
                StateKind::Map => Store::Map(Maps::default()),
            };
            states.push(State { version: Varint::new(state.version), store });
        }
        Ok(MemoryState { riding: Values::new(riding), found: Vec::new(), states })
    }

    /// Memory held, about, for metrics.
    pub fn bytes(&self) -> usize {
        let own = self.states.iter().map(|state| match &state.store {
            Store::Riding => 0,
            Store::Value(values) => values.bytes(),
            Store::List(lists) => lists.bytes(),
            Store::Map(maps) => maps.bytes(),
        });
        self.riding.bytes() + own.sum::<usize>()
    }

    fn store(&self, state: StateIndex) -> &Store {
        &self.states[state.0 as usize].store
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
        let State { version, store } = &mut self.states[state.0 as usize];
        match (store, write) {
            (Store::Value(values), Write::Put(value)) => values.put(0, key, version, value),
            (Store::Value(values), Write::Delete) => values.delete(0, key),
            (Store::List(lists), Write::Append(element)) => lists.append(key, version, element),
            (Store::List(lists), Write::Delete) => lists.delete(key),
            (Store::Map(maps), Write::PutEntry(entry, value)) => maps.put(key, entry, version, value),
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
    fn set_time(&mut self, _: i64, _: i64) {}

    fn freeze(&mut self, _: &mut Timers) -> Result<Delta, StateError> {
        Err(StateError::NotBuilt { what: "a snapshot of state in memory" })
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
        self.riding.get_first(states as usize, keys, cells, &mut self.found);
        Ok(())
    }

    fn write_riding(
        &mut self,
        writes: &mut dyn Iterator<Item = (usize, StateKey<'_>, StateIndex, Write<'_>)>,
    ) -> Result<(), KeyedStateError> {
        for (place, key, state, write) in writes {
            let (index, found) = (state.0 as usize, &mut self.found[place]);
            match write {
                Write::Put(value) => self.riding.put_found(index, key, found, &self.states[index].version, value),
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
        match self.store(state) {
            Store::Riding => self.riding.get(state.0 as usize, keys, cells),
            Store::Value(values) => values.get(0, keys, cells),
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
        let Store::Map(maps) = self.store(state) else { wrong_kind("map-get", state) };
        for (key, entry) in entries {
            cells.push(maps.get(&TableKey::new(key), entry));
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
        match self.store(state) {
            Store::List(lists) => lists.scan(&TableKey::new(key), scan, entries),
            Store::Map(maps) => maps.scan(&TableKey::new(key), scan, entries),
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
