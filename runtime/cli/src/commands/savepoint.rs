//! `tidewheel savepoint`: a snapshot that belongs to the user, of a job that goes on.

use super::running;
use crate::args::Savepoint;
use crate::{render, terminal};
use anyhow::Result;
use tidewheel_server::model::{self, SavepointRequest};

/// Has it taken, waits until it is finished, and prints where it is.
pub(crate) fn execute(savepoint: &Savepoint) -> Result<()> {
    let to = savepoint.to.as_deref().map(super::place).transpose()?;
    let job = running::find(&savepoint.job)?;
    let taken = running::connect(&job)?.savepoint(&SavepointRequest { to, stop: false, drain: false })?;
    print(&taken, savepoint.json)
}

/// The URL is the data; what else there is to say of it is talk.
pub(super) fn print(taken: &model::Savepoint, json: bool) -> Result<()> {
    if json {
        return Ok(terminal::print_json(&serde_json::to_string(taken)?)?);
    }
    terminal::print(&format!("{}\n", taken.url))?;
    let (bytes, took) = (render::bytes(taken.checkpoint.bytes), taken.checkpoint.duration_ms);
    terminal::say(&format!("savepoint of {bytes} taken in {}", render::span_ms(took.try_into().unwrap_or(i64::MAX))));
    Ok(())
}
