//! Value state: one value per key.

use crate::error::{Error, Result};
use crate::format::{Decode, Encode, Format, FormatError, Postcard};
use crate::state::bytes_value::BytesValue;
use crate::state::{Group, StateField, StateItem, StateOptions, Writes};
use crate::wit::keyed::tidewheel::operator::description::{StateDecl, StateKind};
use std::marker::PhantomData;

/// One value per key: a field with `#[state]`.
///
/// It rides in the batch: reading and writing it costs no call of the host, and a value that was not set is not sent
/// back. For large values that most records do not need, `#[state(rides = false)]` reads it by a call when it is first
/// looked at.
///
/// `F` is the format it is kept in; [`Postcard`] if nothing is said.
pub struct Value<T, F = Postcard<T>> {
    bytes: BytesValue,
    types: PhantomData<fn() -> (T, F)>,
}

impl<T, F: for<'a> Format<Value<'a> = T>> Value<T, F> {
    /// The value of the key at hand, if there is one.
    ///
    /// # Errors
    /// Bytes that are no such value fail the job: the state was written by other code under the same schema version.
    #[inline]
    pub fn get(&self) -> Result<Option<T>>
    where
        F: Decode,
    {
        self.bytes.get().map(F::decode).transpose().map_err(|error| self.corrupt(&error))
    }

    /// Sets the value of the key at hand.
    ///
    /// # Errors
    /// When the format cannot hold the value; nothing is set then.
    #[inline]
    pub fn set(&mut self, value: &T) -> Result<()>
    where
        F: Encode,
    {
        Ok(self.bytes.put(|bytes| F::encode(value, bytes))?)
    }

    /// Whether the key at hand has a value.
    pub fn is_set(&self) -> bool {
        self.bytes.get().is_some()
    }

    /// Removes the value of the key at hand.
    pub fn clear(&mut self) {
        self.bytes.delete();
    }

    #[cold]
    fn corrupt(&self, error: &FormatError) -> Error {
        Error::fail(format_args!(
            "value of state {} is {error}; raise its version when its type changes",
            self.bytes.state()
        ))
    }
}

impl<T, F: Format> StateField for Value<T, F> {
    fn new(state: u32, rides: bool) -> Self {
        Value { bytes: BytesValue::new(state, rides), types: PhantomData }
    }

    fn declare(options: StateOptions) -> StateDecl {
        options.declare(StateKind::Value, F::NAME, F::schema())
    }

    fn state(&self) -> u32 {
        self.bytes.state()
    }

    #[inline(always)]
    fn begin_group(&mut self, group: &Group<'_>) {
        self.bytes.begin_group(group);
    }

    #[inline(always)]
    fn begin_record(&mut self) {
        self.bytes.begin_record();
    }

    fn undo_record(&mut self) {
        self.bytes.undo_record();
    }

    #[inline(always)]
    fn end_group(&mut self, writes: &mut Writes) {
        self.bytes.end_group(writes);
    }

    fn end_call(&mut self, _succeeded: bool) {
        self.bytes.end_call();
    }
}

impl<T, F: Format> StateItem for Value<T, F> {
    type Format = F;
}
