//! Functions of operators that need no component: pure functions over the JSON of records, native.
//!
//! [`fields`] finds the few places of a record that a function uses; [`expression`] is what can be computed of them, in
//! the [Common Expression Language](https://cel.dev). On these stand [`filter`] and [`select`], [`aggregate`], and
//! [`fingerprint`], by which an operator knows that a record says nothing new.
//!
//! What is null is missing, and what is missing is null: a place that leads nowhere, and one whose value is `null`, are the
//! same everywhere here. What a function cannot use is an error with its reason, and the record is as it was.

pub mod aggregate;
mod expression;
mod fields;
mod filter;
mod fingerprint;
mod scalar;
mod select;

pub use aggregate::{Aggregates, Damaged};
pub use filter::Filter;
pub use fingerprint::Fingerprint;
pub use select::Select;
