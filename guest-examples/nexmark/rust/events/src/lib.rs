//! What the NEXMark operators share: bids as they come in, results as they go out, and the queries themselves.
//!
//! [`bid`] reads a packed bid in place; [`result`] writes results, packed or as JSON; [`query`] has what each query
//! does, as plain functions: the operators are thin around them, and a benchmark can run the same work natively.

mod bid;
pub mod query;
mod result;

pub use bid::{Bid, Bids};
pub use result::{Config, Field, Results, Row};
