//! The host's side of the interfaces a guest imports, one file each, and what an instance's host functions share.

mod base64_text;
pub(crate) mod http;
pub(crate) mod log;
pub(crate) mod metrics;
pub(crate) mod state;
pub(crate) mod wasi;

use crate::limits::MemoryLimiter;
use http::Http;
use log::Log;
use metrics::InstanceMetrics;
use state::StateAccess;
use tidewheel_types::batch::RECORD_BYTES_MAX;
use tidewheel_types::keyed_state::KeyedStateError;
use wasi::Virtual;

/// The data of a store: what host functions read and write.
pub(crate) struct HostState {
    pub(crate) memory: MemoryLimiter,
    pub(crate) log: Log,
    pub(crate) metrics: InstanceMetrics,
    pub(crate) state: StateAccess,
    pub(crate) machine: Virtual,
    pub(crate) http: Http,
}

/// A host call that a guest must not make so, or that the host cannot answer; it traps.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HostCallError {
    #[error("state: {0}")]
    Backend(#[from] KeyedStateError),
    #[error("state: the job has given this instance no state")]
    NoState,
    #[error("state: there is no state {index}, only {states}")]
    UnknownState { index: u32, states: usize },
    #[error("state: {function} cannot be used on state {index}, which is a {kind}")]
    WrongKind { function: &'static str, index: u32, kind: &'static str },
    #[error("state: there is no group {group} in this batch, only {groups}")]
    UnknownGroup { group: u32, groups: usize },
    #[error("state: the columns of {function} do not fit each other")]
    Columns { function: &'static str },
    #[error("state: mark {mark} is behind the last of {writes} writes")]
    UnknownMark { mark: u32, writes: usize },
    #[error("state: the writes of one call hold more than {bytes_max} bytes")]
    TooMuchWritten { bytes_max: usize },
    #[error("state: {function} reads more than {bytes_max} bytes at once")]
    TooMuchRead { function: &'static str, bytes_max: usize },
    #[error("state: a key or value of {bytes} bytes is written, but may have {RECORD_BYTES_MAX}")]
    EntryTooLong { bytes: usize },
    #[error("http: {0}")]
    NoHttp(String),
    #[error("http: no answer has come until the call had to be over")]
    Unanswered,
    #[error("http: {requests} requests are sent in one host call, but there may be {requests_max}")]
    TooManyRequests { requests: usize, requests_max: usize },
    #[error("http: {0}")]
    NotKept(&'static str),
    #[error("http: the answers to one host call hold more than {bytes_max} bytes")]
    TooMuchReceived { bytes_max: u64 },
    #[error("metrics: {name:?} is already there, as another kind")]
    MetricKind { name: String },
    #[error("metrics: an operator may have {max} metrics, with names of up to {name_bytes_max} bytes")]
    TooManyMetrics { max: usize, name_bytes_max: usize },
    #[error("metrics: there is no metric {index}")]
    UnknownMetric { index: u32 },
    #[error(
        "{function} has been called, which this host does not offer: \
        build the component without what needs it"
    )]
    NotOffered { function: String },
}
