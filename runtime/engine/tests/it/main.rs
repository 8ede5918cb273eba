//! The engine's promises, each kept by a whole job: fixture guests between connectors in memory.

#[path = "../common/mod.rs"]
mod common;

mod batch;
mod capsules;
mod credit;
mod dead_letter;
mod early_windows;
mod idle;
mod join;
mod late;
mod limits;
mod migration;
mod native;
mod order;
mod poison;
mod process_windows;
mod processing_time;
mod rate_limit;
mod room;
mod savepoint;
mod source_component;
mod versions;
mod watermarks;
mod windows;
mod workers;
