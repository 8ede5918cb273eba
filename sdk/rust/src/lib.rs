//! Write Tidewheel operators in Rust.
//!
//! An operator is a struct and one trait: [`Stateless`] (records in, records out), [`Keyed`] (state and timers per key),
//! [`Aggregate`] (one accumulator per key and window) or [`ProcessWindow`] (all records of a key and window). Formats are chosen by type ([`Json`], [`MsgPack`],
//! [`Postcard`], [`Fixed`], [`Text`], [`Raw`], or your own [`Format`]); state is a field ([`Value`], [`Reducing`],
//! [`Aggregating`], [`List`], [`Map`]). Built for a WebAssembly target as a `cdylib`, the crate is a component; natively
//! the same code runs in the test [`harness`].
//!
//! ```
//! use serde::{Deserialize, Serialize};
//! use std::time::Duration;
//! use tidewheel::harness::Harness;
//! use tidewheel::{Context, EventTime, Json, Keyed, Record, Result, Value, operator};
//!
//! #[derive(Serialize, Deserialize)]
//! struct Purchase {
//!     cents: u64,
//! }
//!
//! #[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
//! struct Summary {
//!     purchases: u32,
//!     cents: u64,
//! }
//!
//! /// What each customer has bought, told a day after each purchase.
//! #[operator(keyed)]
//! struct Customers {
//!     #[state(ttl = "540d")]
//!     summary: Value<Summary>,
//! }
//!
//! impl Keyed for Customers {
//!     type In = Json<Purchase>;
//!     type Out = Json<Summary>;
//!
//!     fn process(&mut self, purchase: Record<Purchase>, ctx: &mut Context<Self>) -> Result<()> {
//!         let mut summary = self.summary.get()?.unwrap_or_default();
//!         summary.purchases += 1;
//!         summary.cents += purchase.cents;
//!         ctx.timer_at(purchase.event_time + Duration::from_secs(86_400));
//!         self.summary.set(&summary)
//!     }
//!
//!     fn on_timer(&mut self, _at: EventTime, ctx: &mut Context<Self>) -> Result<()> {
//!         ctx.emit(self.summary.get()?.unwrap_or_default());
//!         Ok(())
//!     }
//! }
//!
//! let mut harness = Harness::<Customers>::new();
//! harness.send("ann", EventTime(0), Purchase { cents: 250 });
//! harness.send("ann", EventTime(10), Purchase { cents: 150 });
//! harness.advance_watermark(EventTime(86_400_000));
//! assert_eq!(harness.outputs(), [Summary { purchases: 2, cents: 400 }]);
//! ```
//!
//! An error from `process` *rejects* the record: nothing it did counts, and the job's `on-error` says what becomes of
//! it. So does a value that is not of the input's format. See [`Error`] for failing the job instead.
//!
//! # When the type of a state changes
//!
//! State outlives the code that wrote it: a job goes on from a savepoint with a newer component. Raise the state's
//! `version` and say how an older value becomes one of the next version. Several steps make a chain, and the last gives
//! what is written now; the host migrates all values before the job starts.
//!
//! ```
//! use serde::{Deserialize, Serialize};
//! use tidewheel::harness::Harness;
//! use tidewheel::{Context, EventTime, Keyed, Postcard, Record, Result, Text, Value, operator};
//!
//! /// What each key has spent. Version 1 was a number of whole dollars, version 2 one of cents.
//! #[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
//! struct Spent {
//!     cents: u64,
//!     /// Not known of what was spent before version 3.
//!     purchases: Option<u64>,
//! }
//!
//! fn dollars_to_cents(dollars: u32) -> Result<u64> {
//!     Ok(u64::from(dollars) * 100)
//! }
//!
//! fn cents_to_spent(cents: u64) -> Result<Spent> {
//!     Ok(Spent { cents, purchases: None })
//! }
//!
//! #[operator(keyed)]
//! struct Spending {
//!     #[state(version = 3, migrate_from = [dollars_to_cents, cents_to_spent])]
//!     spent: Value<Spent>,
//! }
//!
//! impl Keyed for Spending {
//!     type In = Text;
//!     type Out = Postcard<Spent>;
//!
//!     fn process(&mut self, cents: Record<&str>, ctx: &mut Context<Self>) -> Result<()> {
//!         let mut spent = self.spent.get()?.unwrap_or(Spent { cents: 0, purchases: Some(0) });
//!         spent.cents += cents.parse::<u64>()?;
//!         spent.purchases = spent.purchases.map(|purchases| purchases + 1);
//!         self.spent.set(&spent)?;
//!         ctx.emit(spent);
//!         Ok(())
//!     }
//! }
//!
//! let mut harness = Harness::<Spending>::new();
//! harness.load(|op| &op.spent, "ann", 1, &7u32);
//! harness.send("ann", EventTime(0), "50");
//! assert_eq!(harness.outputs(), [Spent { cents: 750, purchases: None }]);
//! ```

// The attribute's code names this crate by its name, also in this crate's own tests.
extern crate self as tidewheel;

mod aggregate;
mod batch;
mod context;
mod emitted;
mod error;
mod format;
mod frame;
mod granted;
#[cfg(not(target_arch = "wasm32"))]
pub mod harness;
mod host;
pub mod http;
mod instance;
mod keyed;
mod migration;
mod operator;
mod pair;
mod ports;
mod process_window;
mod record;
mod state;
mod stateless;
mod time;
#[doc(hidden)]
pub mod wit;

pub use crate::aggregate::Aggregate;
pub use crate::context::{Context, Level};
pub use crate::emitted::Emit;
pub use crate::error::{Error, ErrorKind, Result};
pub use crate::format::{
    Decode, DecodeAs, Encode, EncodeAs, Fixed, Format, FormatError, Json, MsgPack, Postcard, Raw, Text,
};
pub use crate::granted::env;
pub use crate::keyed::Keyed;
pub use crate::operator::Operator;
pub use crate::pair::{Pair, Paired};
pub use crate::ports::{Counter, Gauge, Histogram, Output, Timer};
pub use crate::process_window::{ProcessWindow, Records};
pub use crate::record::{Change, Key, Record, Window};
pub use crate::state::{
    AggregateFunction, Aggregating, List, Map, MapKey, OrderedBytes, ReduceFunction, Reducing, Scan, Value,
};
pub use crate::stateless::Stateless;
pub use crate::time::EventTime;
pub use tidewheel_macros::operator;

/// For the code that `#[operator]` writes; not part of the interface.
#[doc(hidden)]
pub mod __private {
    pub use crate::aggregate::{AggregateWorld, declare as declare_accumulator, merge};
    pub use crate::instance::Instance;
    pub use crate::keyed::KeyedWorld;
    pub use crate::migration::{migrate, no_migration, read_item, write_item};
    pub use crate::operator::{Declarations, World, describe, parse_config, port, refuse_config};
    pub use crate::ports::Metric;
    pub use crate::process_window::{ProcessWindowWorld, declare_parts};
    pub use crate::state::{StateField, StateItem, StateOptions};
    pub use crate::stateless::StatelessWorld;
    pub use crate::wit::keyed::tidewheel::operator::description::{Clock, Description, StateDecl, TimerDecl};
    pub use crate::wit::keyed::tidewheel::operator::types::{Call, Failure};
    pub use ::wit_bindgen;
}
