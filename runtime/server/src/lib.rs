//! The control plane: the API by which a running job is spoken to.
//!
//! [`JobApi`] is what a job offers, [`run`] (or [`Server`], on a thread of its own) offers it to others as HTTP/1.1 with
//! JSON, and [`Client`] is the other end. What travels between them is in [`model`].
//!
//! | | |
//! |---|---|
//! | `GET /v1/job` | [`JobStatus`](model::JobStatus) |
//! | `GET /v1/job/checkpoints` | [`Checkpoints`](model::Checkpoints) |
//! | `POST /v1/job/checkpoint` | takes [`CheckpointRequest`](model::CheckpointRequest), gives [`Taken`](model::Taken) |
//! | `POST /v1/job/savepoints` | takes [`SavepointRequest`](model::SavepointRequest), gives [`Savepoint`](model::Savepoint) |
//! | `POST /v1/job/rate` | takes [`RateRequest`](model::RateRequest), gives [`SourceRate`](model::SourceRate) |
//! | `GET /v1/job/watermarks` | [`Watermarks`](model::Watermarks) |
//! | `GET /v1/job/metrics` | [`Metrics`](model::Metrics) |
//!
//! A failure is `{"error": "…", "hint": "…"}`, see [`ApiError`]. The two that take time answer when they are done. They
//! go on when whoever asked goes away; the status says how they went.

pub mod model;

mod client;
mod error;
mod job_api;
mod routes;
mod serve;

pub use client::Client;
pub use error::{ApiError, ClientError, Fault};
pub use job_api::JobApi;
pub use serve::{Server, run};
