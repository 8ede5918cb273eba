//! Tests of more than one crate, and of the whole program as a process.

mod cli;
mod examples;
mod fatal;
mod resources;
mod tidy;
