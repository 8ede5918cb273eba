//! Values of state that were written under older schema versions, and how they become those of the newest.
//!
//! The attribute writes [`Operator::migrate`](crate::Operator), one value at a time; this is what it needs, and the call
//! of the host, a frame at a time. An operator that says nothing of older versions has one that fails.

use crate::error::{Error, Result};
use crate::format::{DecodeAs, Encode};
use crate::frame::{self, Columns, id, push_word};
use crate::operator::Operator;
use crate::wit::keyed::tidewheel::operator::types::Failure;

/// Migrates a frame of values of a state.
pub fn migrate<O: Operator>(state: u32, version: u32, values: &[u8]) -> Result<Vec<u8>, Failure> {
    let columns = Columns::read(values).map_err(Error::fail)?;
    let ends = columns.words(id::CELL_ENDS);
    let (mut new_ends, mut new) = (Vec::with_capacity(4 * ends.len()), Vec::new());
    for at in 0..ends.len() {
        O::migrate(state, version, frame::entry(ends, columns.bytes(id::CELLS), at), &mut new)?;
        push_word(&mut new_ends, new.len() as u32);
    }
    Ok(frame::write(&[(id::CELL_ENDS, &new_ends), (id::CELLS, &new)]))
}

/// What the attribute calls when nothing can migrate a version.
pub fn no_migration<O: Operator>(state: u32, version: u32) -> Result<()> {
    let states = O::declare().states;
    let name = states.get(state as usize).map_or("of no known name", |state| state.name.as_str());
    Err(Error::fail(format_args!(
        "state {name} has values of version {version}, which this component cannot migrate: say how with `migrate_from`"
    )))
}

/// Reads a value that was written under an older version, when it was of type `T`.
pub fn read_item<F: DecodeAs<T>, T>(bytes: &[u8]) -> Result<T> {
    F::decode_as(bytes).map_err(|error| Error::fail(format_args!("a value of an older version is {error}")))
}

/// Writes a value that was migrated.
pub fn write_item<F: Encode>(item: &F::Value<'_>, bytes: &mut Vec<u8>) -> Result<()> {
    Ok(F::encode(item, bytes)?)
}
