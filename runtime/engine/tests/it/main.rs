//! The engine's promises, each kept by a whole job: fixture guests between connectors in memory.

#[path = "../common/mod.rs"]
mod common;

mod credit;
mod dead_letter;
mod idle;
mod late;
mod limits;
mod migration;
mod order;
mod poison;
mod room;
mod savepoint;
mod workers;
