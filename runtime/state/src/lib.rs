//! Keyed state and timers of one operator on one worker.
//!
//! - [`memory`]: the `memory` backend, behind the [`KeyedState`](tidewheel_types::keyed_state::KeyedState) trait
//! - [`timers`]: timers per key, fired in the order of time
//! - [`error`]: what can go wrong
//!
//! Both keep one row per key and namespace in a `KeyTable` (`key_table.rs`): a hash index (`index.rs`) over rows
//! that stay where they are (`rows.rs`), with the key and small values inside the row (`small_bytes.rs`).

pub mod error;
mod index;
mod key_table;
pub mod memory;
mod rows;
mod small_bytes;
pub mod timers;
mod varint;

pub use error::StateError;
pub use memory::MemoryState;
pub use timers::{DueTimers, TimerChange, Timers};
