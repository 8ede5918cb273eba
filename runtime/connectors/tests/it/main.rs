//! What the connectors promise the engine, through the registry and the traits alone.

mod file_sink;
mod file_source;
mod harness;
mod hybrid;
mod memory;
mod nexmark;
mod outbox;
mod positions;
mod recovery;
mod stdio;
