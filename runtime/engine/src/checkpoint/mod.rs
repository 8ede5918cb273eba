//! Checkpoints from the engine's side.
//!
//! [`durability`] is what a job is told of them. [`protocol`] decides when one begins and when it is complete; [`part`] is
//! what a task contributes; [`uploader`] makes an operator's part safe, on a thread of its own, and [`publisher`] writes
//! the manifest. [`restore`] is the way back, past [`migrate`] for values of older schema versions.

mod durability;
mod migrate;
mod part;
mod protocol;
mod publisher;
mod restore;
mod uploader;

pub use durability::{Durability, StartFrom};
pub use protocol::CheckpointPolicy;

pub(crate) use durability::{Checkpoints, has_part};
pub(crate) use part::Part;
pub(crate) use protocol::{Collected, Completed, Protocol, Tasks};
pub(crate) use publisher::{EventTimeEnd, Publisher};
pub(crate) use restore::{OwnStates, TaskParts};
pub(crate) use uploader::{Saver, Uploader};
