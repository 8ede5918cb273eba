//! `interface state`: what a guest reads and writes of its state while it is being called.
//!
//! Reads go to the backend through the [`overlay`], which has the writes of this call; so a guest sees what it wrote,
//! and yet nothing has been written until the call has returned and the caller applies
//! [`Output::host_writes`](crate::Output::host_writes). Everything a guest passes in is checked here: a backend is
//! never asked for a state, group or kind that is not there.

mod groups;
mod overlay;
mod scan;
#[cfg(test)]
mod tests;

pub(crate) use overlay::HostWrites;

use super::{HostCallError, HostState};
use crate::bindings::state::{Entries, Host, Values};
use crate::frame::{Frame, u32s};
use groups::Groups;
use overlay::Overlay;
use std::cell::{RefCell, RefMut};
use std::rc::Rc;
use tidewheel_types::BytesColumn;
use tidewheel_types::description::StateKind;
use tidewheel_types::keyed_state::{ABSENT, Cells, Entries as Found, KeyedState, Scan, StateIndex};

/// The state of an operator, as one call of its guest may use it.
pub(crate) struct StateAccess {
    backend: Option<Rc<RefCell<dyn KeyedState>>>,
    kinds: Vec<StateKind>,
    groups: Groups,
    overlay: Overlay,
    /// Most bytes that the writes of a call may hold, and that a scan returns at once.
    bytes_max: usize,
}

impl StateAccess {
    pub(crate) fn new(backend: Option<Rc<RefCell<dyn KeyedState>>>, kinds: &[StateKind], bytes_max: usize) -> Self {
        StateAccess {
            backend,
            kinds: kinds.to_vec(),
            groups: Groups::default(),
            overlay: Overlay::default(),
            bytes_max,
        }
    }

    /// Starts a call whose groups are those of `input`.
    pub(crate) fn begin_call(&mut self, input: &Frame<'_>) {
        self.groups.set(input);
        self.overlay.clear();
    }

    /// What has been written in this call.
    pub(crate) fn take_writes(&mut self) -> HostWrites {
        self.overlay.take()
    }

    fn backend(&self) -> Result<RefMut<'_, dyn KeyedState + 'static>, HostCallError> {
        self.backend.as_ref().map(|backend| backend.borrow_mut()).ok_or(HostCallError::NoState)
    }

    /// The state with this index, which must be of this kind.
    fn state(&self, function: &'static str, index: u32, kind: StateKind) -> Result<StateIndex, HostCallError> {
        match self.kinds.get(index as usize) {
            Some(&actual) if actual == kind => Ok(StateIndex(index)),
            Some(&actual) => Err(HostCallError::WrongKind { function, index, kind: kind_name(actual) }),
            None => Err(HostCallError::UnknownState { index, states: self.kinds.len() }),
        }
    }

    fn get(&self, state: u32, groups: &[u8]) -> Result<Values, HostCallError> {
        let state = self.state("get", state, StateKind::Value)?;
        let groups = self.groups.checked("get", groups)?;
        let mut cells = Cells::default();
        self.backend()?.get_many(state, &mut groups.map(|group| self.groups.key(group)), &mut cells)?;
        Ok(values(&cells))
    }

    fn list_read(&self, state: u32, group: u32, start: u64, limit: u32) -> Result<Entries, HostCallError> {
        let state = self.state("list-read", state, StateKind::List)?;
        let key = self.groups.checked_key(group)?;
        let start = start.to_be_bytes();
        let wanted = Scan { start: &start, after: false, backwards: false, limit: limit as usize };
        Ok(entries(&scan::scan(&mut *self.backend()?, state, key, None, wanted, self.bytes_max)?))
    }

    fn map_get(&self, state: u32, groups: &[u8], key_ends: &[u8], keys: &[u8]) -> Result<Values, HostCallError> {
        let state = self.state("map-get", state, StateKind::Map)?;
        let groups = self.groups.checked("map-get", groups)?;
        let keys = column("map-get", groups.len(), key_ends, keys)?;
        let entry = |(index, group)| (group, keys.get(index));
        let mut cells = Cells::default();
        if self.overlay.is_empty() {
            let mut wanted = groups.enumerate().map(entry).map(|(group, key)| (self.groups.key(group), key));
            self.backend()?.map_get_many(state, &mut wanted, &mut cells)?;
            return Ok(values(&cells));
        }
        let is_written = |&(group, key): &(u32, &[u8])| self.overlay.get(state, group, key).is_some();
        let mut stored = Cells::default();
        let wanted = groups.clone().enumerate().map(entry).filter(|wanted| !is_written(wanted));
        let mut wanted = wanted.map(|(group, key)| (self.groups.key(group), key));
        self.backend()?.map_get_many(state, &mut wanted, &mut stored)?;
        let mut next_stored = 0;
        for (group, key) in groups.enumerate().map(entry) {
            cells.push(self.overlay.get(state, group, key).unwrap_or_else(|| {
                next_stored += 1;
                stored.get(next_stored - 1)
            }));
        }
        Ok(values(&cells))
    }

    fn map_scan(&self, state: u32, group: u32, wanted: Scan<'_>) -> Result<Entries, HostCallError> {
        let state = self.state("map-scan", state, StateKind::Map)?;
        let key = self.groups.checked_key(group)?;
        let written = self.overlay.map(state, group);
        Ok(entries(&scan::scan(&mut *self.backend()?, state, key, written, wanted, self.bytes_max)?))
    }

    fn map_write(
        &mut self,
        state: u32,
        groups: &[u8],
        (key_ends, keys): (&[u8], &[u8]),
        (value_ends, values): (&[u8], &[u8]),
    ) -> Result<(), HostCallError> {
        const FUNCTION: &str = "map-write";
        let state = self.state(FUNCTION, state, StateKind::Map)?;
        self.backend()?;
        let groups = self.groups.checked(FUNCTION, groups)?;
        let keys = column(FUNCTION, groups.len(), key_ends, keys)?;
        let marked: Vec<bool> = u32s(value_ends).map(|end| end & ABSENT != 0).collect();
        let ends: Vec<u8> = u32s(value_ends).flat_map(|end| (end & !ABSENT).to_le_bytes()).collect();
        if value_ends.len() % 4 != 0 {
            return Err(HostCallError::Columns { function: FUNCTION });
        }
        let values = column(FUNCTION, groups.len(), &ends, values)?;
        for (index, group) in groups.enumerate() {
            let value = (!marked[index]).then(|| values.get(index));
            self.overlay.write(state, group, keys.get(index), value);
        }
        if self.overlay.bytes() > self.bytes_max {
            return Err(HostCallError::TooMuchWritten { bytes_max: self.bytes_max });
        }
        Ok(())
    }
}

impl Host for HostState {
    fn get(&mut self, state: u32, groups: Vec<u8>) -> wasmtime::Result<Values> {
        Ok(self.state.get(state, &groups)?)
    }

    fn list_read(&mut self, state: u32, group: u32, start: u64, limit: u32) -> wasmtime::Result<Entries> {
        Ok(self.state.list_read(state, group, start, limit)?)
    }

    fn map_get(&mut self, state: u32, groups: Vec<u8>, ends: Vec<u8>, keys: Vec<u8>) -> wasmtime::Result<Values> {
        Ok(self.state.map_get(state, &groups, &ends, &keys)?)
    }

    fn map_scan(
        &mut self,
        state: u32,
        group: u32,
        start: Vec<u8>,
        after: bool,
        backwards: bool,
        limit: u32,
    ) -> wasmtime::Result<Entries> {
        let wanted = Scan { start: &start, after, backwards, limit: limit as usize };
        Ok(self.state.map_scan(state, group, wanted)?)
    }

    fn map_write(
        &mut self,
        state: u32,
        groups: Vec<u8>,
        key_ends: Vec<u8>,
        keys: Vec<u8>,
        value_ends: Vec<u8>,
        values: Vec<u8>,
    ) -> wasmtime::Result<()> {
        Ok(self.state.map_write(state, &groups, (&key_ends, &keys), (&value_ends, &values))?)
    }

    fn mark(&mut self) -> wasmtime::Result<u32> {
        Ok(self.state.overlay.mark())
    }

    fn revert(&mut self, mark: u32) -> wasmtime::Result<()> {
        Ok(self.state.overlay.revert(mark)?)
    }
}

fn kind_name(kind: StateKind) -> &'static str {
    match kind {
        StateKind::Value => "value",
        StateKind::List => "list",
        StateKind::Map => "map",
        StateKind::Aggregating => "accumulator",
    }
}

/// A column of byte strings that a guest has passed, with this many entries.
fn column(function: &'static str, entries: usize, ends: &[u8], bytes: &[u8]) -> Result<BytesColumn, HostCallError> {
    let column = (ends.len() == entries * 4).then(|| BytesColumn::from_parts(u32s(ends).collect(), bytes.to_vec()));
    column.flatten().ok_or(HostCallError::Columns { function })
}

fn values(cells: &Cells) -> Values {
    Values { ends: bytemuck::cast_slice(&cells.ends).to_vec(), bytes: cells.bytes.clone() }
}

fn entries(found: &Found) -> Entries {
    Entries {
        key_ends: bytemuck::cast_slice(found.keys.ends()).to_vec(),
        keys: found.keys.bytes().to_vec(),
        value_ends: bytemuck::cast_slice(found.values.ends()).to_vec(),
        values: found.values.bytes().to_vec(),
        more: found.more,
    }
}
