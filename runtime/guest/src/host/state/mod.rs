//! `interface state`: what a guest reads and writes of its state while it is being called.
//!
//! Reads go to the backend through the [`overlay`], which has the writes of this call; so a guest sees what it wrote,
//! and yet nothing has been written until the call has returned and the caller applies
//! [`Output::host_writes`](crate::Output::host_writes). Everything a guest passes in is checked here: a backend is
//! never asked for a state, group or kind that is not there.

mod groups;
mod overlay;
mod recording;
mod scan;
mod size;
#[cfg(test)]
mod tests;

pub(crate) use overlay::HostWrites;
pub(crate) use recording::{Answered, Replayed};
pub(crate) use size::Sizes;

use super::{HostCallError, HostState};
use crate::bindings::state::{Entries, Host, Values};
use crate::frame::{Frame, u32_at, u32s};
use groups::Groups;
use overlay::Overlay;
use recording::Recording;
use std::cell::{RefCell, RefMut};
use std::ops::Range;
use std::rc::Rc;
use tidewheel_types::BytesColumn;
use tidewheel_types::batch::RECORD_BYTES_MAX;
use tidewheel_types::description::StateKind;
use tidewheel_types::keyed_state::{ABSENT, Cells, Entries as Found, KeyedState, KeyedStateError, Scan, StateIndex};

/// Entries that the backend is asked for at once.
const PAGE_ENTRIES_MAX: usize = 256;

/// Most bytes that a host call reads, whatever the limit of output is: their ends have 31 bits.
const READ_BYTES_MAX: usize = 1 << 30;

/// The state of an operator, as one call of its guest may use it.
pub(crate) struct StateAccess {
    backend: Option<RefCell<Recording>>,
    kinds: Vec<StateKind>,
    groups: Groups,
    overlay: Overlay,
    /// Most bytes that the writes of a call may hold.
    write_bytes_max: usize,
    /// Most bytes that a host call reads.
    read_bytes_max: usize,
}

impl StateAccess {
    /// With `keeps`, what the backend answers in a call is kept.
    pub(crate) fn new(
        backend: Option<Rc<RefCell<dyn KeyedState>>>,
        kinds: &[StateKind],
        bytes_max: usize,
        keeps: bool,
    ) -> Self {
        StateAccess {
            backend: backend.map(|backend| RefCell::new(Recording::new(backend, keeps))),
            kinds: kinds.to_vec(),
            groups: Groups::default(),
            overlay: Overlay::default(),
            write_bytes_max: bytes_max,
            read_bytes_max: bytes_max.min(READ_BYTES_MAX),
        }
    }

    /// Starts a call whose groups are those of `input`.
    pub(crate) fn begin_call(&mut self, input: &Frame<'_>) {
        self.groups.set(input);
        self.overlay.clear();
        self.take_answers();
    }

    /// What has been written in this call.
    pub(crate) fn take_writes(&mut self) -> HostWrites {
        self.overlay.take()
    }

    /// Sets whether it is kept what the backend answers.
    pub(crate) fn keep_answers(&mut self, keeps: bool) {
        self.backend.iter().for_each(|backend| backend.borrow_mut().keep(keeps));
    }

    /// What the backend has answered in this call, if that is kept.
    pub(crate) fn take_answers(&mut self) -> Vec<Answered> {
        self.backend.as_ref().map(|backend| backend.borrow_mut().take()).unwrap_or_default()
    }

    fn backend(&self) -> Result<RefMut<'_, Recording>, HostCallError> {
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
        const FUNCTION: &str = "get";
        let state = self.state(FUNCTION, state, StateKind::Value)?;
        let count = self.groups.checked(FUNCTION, groups)?.len();
        self.read_pages(FUNCTION, count, |backend, page, cells| {
            let mut keys = page.map(|index| self.groups.key(u32_at(groups, index)));
            backend.get_many(state, &mut keys, cells)
        })
    }

    fn list_read(&self, state: u32, group: u32, start: u64, limit: u32) -> Result<Entries, HostCallError> {
        let state = self.state("list-read", state, StateKind::List)?;
        let key = self.groups.checked_key(group)?;
        let (start, limit, bytes_max) = (start.to_be_bytes(), limit as usize, self.read_bytes_max);
        let wanted = Scan { start: &start, limit, bytes_max, ..Scan::ALL };
        Ok(entries(scan::scan(&mut *self.backend()?, state, key, None, wanted)?))
    }

    fn map_get(&self, state: u32, groups: &[u8], key_ends: &[u8], keys: &[u8]) -> Result<Values, HostCallError> {
        const FUNCTION: &str = "map-get";
        let state = self.state(FUNCTION, state, StateKind::Map)?;
        let count = self.groups.checked(FUNCTION, groups)?.len();
        let keys = column(FUNCTION, count, key_ends, keys)?;
        self.read_pages(FUNCTION, count, |backend, page, cells| {
            let wanted = page.map(|index| (u32_at(groups, index), keys.get(index)));
            self.map_get_page(backend, state, wanted, cells)
        })
    }

    /// Reads entries of maps, each a group and a key: those that this call has written from the overlay.
    fn map_get_page<'k>(
        &self,
        backend: &mut dyn KeyedState,
        state: StateIndex,
        wanted: impl Iterator<Item = (u32, &'k [u8])> + Clone,
        cells: &mut Cells,
    ) -> Result<(), KeyedStateError> {
        let stored_at = |(group, key)| (self.groups.key(group), key);
        if self.overlay.is_empty() {
            return backend.map_get_many(state, &mut wanted.map(stored_at), cells);
        }
        let written = |(group, key): (u32, &[u8])| self.overlay.get(state, group, key);
        let mut stored = Cells::limited(self.read_bytes_max);
        let unwritten = wanted.clone().filter(|&wanted| written(wanted).is_none());
        backend.map_get_many(state, &mut unwritten.map(stored_at), &mut stored)?;
        let mut next_stored = 0;
        for wanted in wanted {
            cells.push(written(wanted).unwrap_or_else(|| {
                next_stored += 1;
                stored.get(next_stored - 1)
            }));
        }
        cells.is_cut |= stored.is_cut;
        Ok(())
    }

    /// Reads `count` cells, page by page, so that the backend is not asked for many that there is no room for.
    fn read_pages(
        &self,
        function: &'static str,
        count: usize,
        mut read: impl FnMut(&mut dyn KeyedState, Range<usize>, &mut Cells) -> Result<(), KeyedStateError>,
    ) -> Result<Values, HostCallError> {
        let mut backend = self.backend()?;
        let mut cells = Cells::limited(self.read_bytes_max);
        for start in (0..count).step_by(PAGE_ENTRIES_MAX) {
            read(&mut *backend, start..count.min(start + PAGE_ENTRIES_MAX), &mut cells)?;
            if cells.is_cut {
                return Err(HostCallError::TooMuchRead { function, bytes_max: self.read_bytes_max });
            }
        }
        Ok(Values { ends: bytemuck::cast_slice(&cells.ends).to_vec(), bytes: cells.bytes })
    }

    fn map_scan(&self, state: u32, group: u32, wanted: Scan<'_>) -> Result<Entries, HostCallError> {
        let state = self.state("map-scan", state, StateKind::Map)?;
        let key = self.groups.checked_key(group)?;
        let written = self.overlay.map(state, group);
        Ok(entries(scan::scan(&mut *self.backend()?, state, key, written, wanted)?))
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
        let entries_bytes = keys.iter().chain(values.iter()).map(<[u8]>::len);
        if let Some(bytes) = entries_bytes.max().filter(|&bytes| bytes > RECORD_BYTES_MAX) {
            return Err(HostCallError::EntryTooLong { bytes });
        }
        for (index, group) in groups.enumerate() {
            let value = (!marked[index]).then(|| values.get(index));
            self.overlay.write(state, group, keys.get(index), value);
        }
        if self.overlay.bytes() > self.write_bytes_max {
            return Err(HostCallError::TooMuchWritten { bytes_max: self.write_bytes_max });
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
        let (limit, bytes_max) = (limit as usize, self.state.read_bytes_max);
        let wanted = Scan { start: &start, after, backwards, limit, bytes_max, ..Scan::ALL };
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

fn entries(found: Found) -> Entries {
    let ((key_ends, keys), (value_ends, values)) = (found.keys.into_parts(), found.values.into_parts());
    let column = |ends: Vec<u32>| bytemuck::cast_slice(&ends).to_vec();
    Entries { key_ends: column(key_ends), keys, value_ends: column(value_ends), values, more: found.more }
}
