//! Connectors `stdin` and `stdout`: a job as part of a shell pipeline.

mod stdin;
mod stdout;

pub(crate) use stdin::Stdin;
pub(crate) use stdout::Stdout;
