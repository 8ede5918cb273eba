//! One job as a timely dataflow.
//!
//! Modules in the order data flows: a [`plan`] is built into a [`dataflow`], whose clock is the [`controller`]; a
//! [`source`] reads records and makes watermarks ([`watermark`]); edges carry [`parcel`]s under [`credit`]s; every
//! operator and sink lives as a [`task`], which reads an [`inbox`] and writes [`outputs`]; what it does is an
//! [`operator`]'s or [`sink`]'s. [`checkpoint`] makes what they hold safe; [`control`] is how a running job is spoken to.
//! [`job`] runs it on threads, and [`fatal`] is the end of all of them on the first error.

mod plan;

mod dataflow;

mod controller;
mod reporter;
mod streams;

mod alignment;
mod source;
mod watermark;

mod credit;
mod parcel;

mod inbox;
mod outputs;
mod task;

mod operator;
mod refuse;
mod sink;

mod capsules;
mod checkpoint;

mod claims;
mod clock;
mod control;
mod fatal;
mod job;
mod metrics;
mod peers;

mod error;

pub use capsules::CapsuleOptions;
pub use checkpoint::{CheckpointPolicy, Durability, StartFrom};
pub use claims::{ClaimState, SplitSnapshot, WatermarkSnapshot};
pub use clock::{Clock, ManualClock};
pub use control::{After, Answer, JobControl, LimitError, SnapshotDone, SnapshotError};
pub use error::{CallFault, EngineError};
pub use fatal::{FatalHandler, on_fatal};
pub use job::{Job, JobOptions, JobSummary};
pub use metrics::{CheckpointCounters, JobMetrics, JobSnapshot, NodeKind, NodeSnapshot};
pub use plan::{Function, Plan, Splits};
pub use tidewheel_guest::{Histogram, MetricValue};
