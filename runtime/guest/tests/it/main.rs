//! What this crate promises, tested on real guests: the fixtures in `tests/guests`.

mod calls;
mod capsule;
mod evil;
mod guests;
mod http;
mod keyed;
mod limits;
mod loading;
mod migration;
mod modules;
mod state;
mod wasi;
mod wit;
