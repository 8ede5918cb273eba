//! `tidewheel stop`: the end of a running job, everything it has made committed.

use super::{running, savepoint};
use crate::args::Stop;
use crate::terminal;
use anyhow::Result;
use tidewheel_server::model::{CheckpointRequest, SavepointRequest, Taken};

/// Stops it with a checkpoint, from which the same job can go on, or with a savepoint.
pub(crate) fn execute(stop: &Stop) -> Result<()> {
    let to = stop.to.as_deref().map(super::place).transpose()?;
    let job = running::find(&stop.job)?;
    let mut client = running::connect(&job)?;
    if stop.savepoint {
        let taken = client.savepoint(&SavepointRequest { to, stop: true, drain: stop.drain })?;
        savepoint::print(&taken, stop.json)?;
    } else {
        let taken = client.checkpoint(&CheckpointRequest { stop: true, drain: stop.drain })?;
        if stop.json {
            terminal::print_json(&serde_json::to_string(&taken)?)?;
        }
        if taken.was_restarting {
            terminal::say(&format!("{} was restarting, and has stopped: {}", job.name, goes_on_from(&taken)));
            return Ok(());
        }
    }
    terminal::say(&format!("{} has stopped", job.name));
    Ok(())
}

/// What running it again means.
fn goes_on_from(taken: &Taken) -> String {
    match &taken.checkpoint {
        Some(last) => format!("run again, it goes on from checkpoint {}", last.id),
        None => "run again, it goes on from its last checkpoint, if it has any".to_owned(),
    }
}
