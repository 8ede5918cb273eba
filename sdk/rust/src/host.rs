//! The host's functions. In a component they are imports; natively the test harness stands in for the host.
//!
//! Everything else in this crate is the same in both, so a unit test runs the code that ships.

#[cfg(target_arch = "wasm32")]
pub(crate) use crate::wit::keyed::tidewheel::operator::{
    http::send as send_http,
    log::{blame, write as log},
    metrics::{define as define_metric, update as update_metric},
    state::{get, list_read, map_get, map_scan, map_write, mark, revert},
};

#[cfg(not(target_arch = "wasm32"))]
pub(crate) use crate::harness::host::{
    define_metric, get, list_read, log, map_get, map_scan, map_write, mark, revert, send_http, update_metric,
};
