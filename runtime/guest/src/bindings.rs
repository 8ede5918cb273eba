//! The contract in Rust: what `bindgen!` makes of `wit/operator.wit`.
//!
//! World `keyed` imports every interface a host provides, and its exports use every type; so this one serves all three
//! worlds. Exported functions are looked up by name (see [`instance`](crate::instance)), because the worlds share
//! them only in spirit: each has its own interface.

/// The package of the contract, as names of imports and exports write it.
pub(crate) const PACKAGE: &str = "tidewheel:operator";

/// The version of the contract that this host speaks. Every 0.1.x is compatible with it.
pub(crate) const VERSION: &str = "0.1.0";

mod generated {
    #![allow(missing_docs, unreachable_pub, reason = "generated; the documentation is in the WIT file")]

    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "keyed",
        imports: { default: trappable },
    });
}

pub(crate) use generated::Keyed;
pub use generated::tidewheel::operator::http::{
    Problem as HttpProblem, Request as HttpRequest, Response as HttpResponse,
};
pub(crate) use generated::tidewheel::operator::{description, http, log, metrics, state, types};

impl types::Host for crate::host::HostState {}

impl description::Host for crate::host::HostState {}
