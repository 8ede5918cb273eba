//! Tests of more than one crate, and of the whole program as a process.

mod cases;
mod changed_job;
mod check;
mod cli;
mod contract;
mod disorder;
mod examples;
mod fatal;
mod languages;
mod live;
mod lost_checkpoint;
mod machines;
mod misbehave;
mod namespaces;
mod native;
mod readme;
mod recovery;
mod resources;
mod running_job;
mod state;
mod storage;
mod survival;
mod swap;
mod tidy;
mod untrusted;
mod writing;
