//! The state that a component of world `keyed` declares: read before a call, written after it.

use super::function::FunctionTask;
use super::size::{self, cell_bytes_max};
use super::task_state::TaskState;
use crate::error::EngineError;
use tidewheel_guest::Output;
use tidewheel_types::keyed_state::{Cells, KeyedState, KeyedStateError, StateIndex, StateKey, Write};

/// Reads the cells of the states that ride, for a call with so many records.
pub(super) fn read_riding<'a>(
    function: &mut FunctionTask,
    state: &TaskState,
    records: usize,
    mut keys: impl Iterator<Item = StateKey<'a>>,
    cells: &mut Cells,
) -> Result<(), EngineError> {
    size::clear_for(cells, records);
    let read = state.states().get_riding(&mut keys, function.riding(), cells);
    function.note_size(cell_bytes_max(cells));
    read.map_err(|error| function.state_failed(error))
}

/// Writes what a call that has returned did to state. `key` is the key of a group; those of a call are all different.
pub(super) fn write<'a>(
    function: &mut FunctionTask,
    state: &TaskState,
    output: &'a Output,
    key: &impl Fn(u32) -> StateKey<'a>,
) -> Result<(), EngineError> {
    let mut largest = 0;
    let written = write_all(function, state, output, key, &mut largest);
    function.note_size(largest);
    written.map_err(|error| function.state_failed(error))
}

fn write_all<'a>(
    function: &FunctionTask,
    state: &TaskState,
    output: &'a Output,
    key: &impl Fn(u32) -> StateKey<'a>,
    largest: &mut usize,
) -> Result<(), KeyedStateError> {
    let mut state = state.states();
    let riding_states = function.riding();
    let rides = |index: &StateIndex| index.0 < riding_states;
    let riding = output.writes().filter(|(_, index, _)| rides(index));
    let mut riding = riding.map(|(group, index, write)| {
        if let Write::Put(value) = write {
            *largest = (*largest).max(value.len());
        }
        (group as usize, key(group), index, write)
    });
    state.write_riding(&mut riding)?;
    if function.has_state_beside() {
        let beside = output.host_writes().chain(output.writes().filter(|(_, index, _)| !rides(index)));
        state.write(&mut beside.map(|(group, index, write)| (index, key(group), write)))?;
    }
    Ok(())
}
