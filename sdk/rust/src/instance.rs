//! The one operator in a component, and what happens when it panics.

use crate::error::{Error, Result};
use crate::granted;
use crate::operator::{Operator, World};
use crate::wit::keyed::tidewheel::operator::types::Failure;
use std::cell::{Cell, RefCell};

/// The operator of this instance of the component; there is none before `open`.
pub struct Instance<O>(RefCell<Option<O>>);

impl<O: Operator> Instance<O> {
    /// Not opened yet.
    pub const fn new() -> Instance<O> {
        Instance(RefCell::new(None))
    }

    /// Makes the operator. `options` are what the job grants it.
    pub fn open(&self, config: &str, options: &[(String, String)]) -> Result<(), Failure> {
        granted::take(options);
        #[cfg(target_arch = "wasm32")]
        blame_panics();
        let mut operator = O::create(config)?;
        O::World::opened(&mut operator)?;
        *self.0.borrow_mut() = Some(operator);
        Ok(())
    }

    /// Makes a call with it.
    pub fn call(&self, call: impl FnOnce(&mut O) -> Result<Vec<u8>>) -> Result<Vec<u8>, Failure> {
        match self.0.borrow_mut().as_mut() {
            Some(operator) => Ok(call(operator)?),
            None => Err(Error::fail("the operator was called before it was opened").into()),
        }
    }
}

impl<O: Operator> Default for Instance<O> {
    fn default() -> Self {
        Instance::new()
    }
}

thread_local! {
    /// The record at hand, for the panic hook.
    static RECORD: Cell<Option<u32>> = const { Cell::new(None) };
}

/// Notes which record is at hand.
#[inline]
pub(crate) fn note_record(record: Option<usize>) {
    RECORD.set(record.map(|record| record as u32));
}

/// Before a panic traps: tells the host which record was at hand, so that it need not search.
#[cfg(target_arch = "wasm32")]
fn blame_panics() {
    use crate::host;
    use crate::wit::keyed::tidewheel::operator::log::Level;
    use std::sync::Once;

    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        std::panic::set_hook(Box::new(|panic| {
            let message = panic.payload_as_str().unwrap_or("panic");
            let message = match panic.location() {
                Some(location) => format!("panicked at {location}: {message}"),
                None => format!("panicked: {message}"),
            };
            match RECORD.get() {
                Some(record) => host::blame(record, &message),
                None => host::log(Level::Error, None, &message),
            }
        }));
    });
}
