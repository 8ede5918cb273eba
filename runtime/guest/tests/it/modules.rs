//! Guests of world `stateless` written as WebAssembly text, for what no fixture does.

use crate::guests::runtime;
use crate::wit::of_text;
use tidewheel_guest::{Component, GuestError};

const WIT: &str = "
package test:guest;

world guest {
  import tidewheel:operator/log@0.1.0;
  import tidewheel:operator/metrics@0.1.0;
  export tidewheel:operator/transformer@0.1.0;
}
";

/// Pieces of a module. Memory: a result at 16, the description from 64 on, its name at 200, an empty frame at 256, then
/// free from 1024 on.
#[derive(Default)]
pub(crate) struct Module<'a> {
    /// Imports, and then tables, globals and data.
    pub(crate) fields: &'a str,
    /// Runs in `describe`.
    pub(crate) describe: &'a str,
    /// Runs in `open`.
    pub(crate) open: &'a str,
    /// Runs in `process`, after its result has been set to an empty frame. Parameter 2 is the call's seed.
    pub(crate) process: &'a str,
}

impl Module<'_> {
    pub(crate) fn load(&self) -> Result<Component, GuestError> {
        runtime().load_bytes("text.wasm", &of_text(WIT, "guest", &self.text()))
    }

    /// The module as text.
    pub(crate) fn text(&self) -> String {
        let Module { fields, describe, open, process } = self;
        format!(
            r#"
(module
  {fields}
  (memory (export "memory") 1)
  (global $free (mut i32) (i32.const 1024))
  (data (i32.const 200) "text")
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (local $at i32)
    (local.set $at (global.get $free))
    (global.set $free (i32.add (local.get $at) (i32.and (i32.add (local.get 3) (i32.const 15)) (i32.const -16))))
    (local.get $at))
  (func (export "tidewheel:operator/transformer@0.1.0#describe") (result i32)
    (i32.store (i32.const 64) (i32.const 200))
    (i32.store (i32.const 68) (i32.const 4))
    {describe}
    (i32.const 64))
  (func (export "tidewheel:operator/transformer@0.1.0#open") (param i32 i32 i32 i32) (result i32)
    (local $turns i32)
    (i32.store (i32.const 16) (i32.const 0))
    {open}
    (i32.const 16))
  (func (export "tidewheel:operator/transformer@0.1.0#process") (param i64 i64 i64 i32 i32) (result i32)
    (i32.store (i32.const 16) (i32.const 0))
    (i32.store (i32.const 20) (i32.const 256))
    (i32.store (i32.const 24) (i32.const 8))
    {process}
    (i32.const 16))
)"#
        )
    }
}
