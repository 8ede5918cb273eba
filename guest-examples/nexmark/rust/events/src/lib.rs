//! What the NEXMark operators share: events as they come in, results as they go out, and the queries themselves.
//!
//! [`packed`] says how events are packed; [`person`], [`auction`], [`bid`] and [`event`] read them in place; [`result`]
//! writes results, packed or as JSON. What the queries do is here as plain functions, so that the operators are thin
//! around them and a benchmark can run the same work natively: [`query`] has those over bids, [`side`] what q3 and q8 join,
//! [`sale`] the winning bids of q4, q6 and q9.

mod auction;
mod bid;
mod event;
mod packed;
mod person;
pub mod query;
mod result;
pub mod sale;
pub mod side;

pub use auction::Auction;
pub use bid::{Bid, Bids};
pub use event::{Event, Events};
pub use person::Person;
pub use result::{Config, Field, Results, Row};
