//! Plain values and the traits at which Tidewheel's crates meet. No I/O, no threads, no clock.
//!
//! Read in this order: [`time`] and [`key_group`] are the coordinates of a record; [`mod@column`] and [`batch`] its memory;
//! [`description`] what a component says of itself; [`keyed_state`] what the host keeps for it, and [`contract`] whether
//! the two fit, as [`shape`] does of timers and windows; [`job`] what the user asked for, and [`selector`] where in a record it said the key and the event time
//! are. A [`dead_letter`] is what becomes of a record that cannot be processed.

pub mod batch;
pub mod column;
pub mod contract;
pub mod dead_letter;
pub mod description;
pub mod http_host;
pub mod id;
pub mod job;
pub mod key_group;
pub mod keyed_state;
pub mod selector;
pub mod shape;
pub mod time;

pub use batch::{Batch, Origin};
pub use column::BytesColumn;
pub use description::{Description, World};
pub use id::{OperatorId, SourceIndex, SplitIndex, WorkerIndex};
pub use key_group::{KeyGroup, KeyGroups};
pub use selector::{JsonPointer, SelectError, Selector};
pub use time::{Epoch, EventTime, Watermark};
