//! Connectors: the code for one outside system each. A connector gives a source, a sink or both.
//!
//! The engine sees only the traits [`Source`], [`SplitReader`], [`Sink`] and [`SinkWriter`]; it finds connectors by the
//! name in the job file, through a [`Registry`]. What waits for the outside runs on threads of this crate: a source's
//! reads ahead (`text/blocks.rs`), a sink's writes behind (`background.rs`).
//!
//! A job survives a restart because a reader can be opened where another one was ([`Position`]), and because output
//! becomes visible in transactions: what an exactly-once sink has to hold is in `transaction.rs`, and the [`outbox`] is
//! the stage of outside systems that have none of their own.

mod error;
mod registry;
mod sink;
mod source;

mod background;
mod options;
pub mod outbox;
mod text;
mod thread;
mod transaction;

mod discard;
mod file;
mod hybrid;
pub mod memory;
mod nexmark;
mod stdio;

pub use error::ConnectorError;
pub use registry::{Connector, Registry};
pub use sink::{Delivery, Room, Sink, SinkContext, SinkWriter, StageHandle, WriteStatus};
pub use source::{Malformed, NO_TIME, Position, ReadStatus, Source, SplitReader, Waker};
pub use transaction::Outcome;
