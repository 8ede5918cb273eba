//! What a job does whose newest checkpoint is lost: its manifest or a file of its state is gone, or is not what was
//! written.
//!
//! An older one is as good for the state, but what has been published since would be published again. A job with an
//! exactly-once sink therefore stops, and says what it could do; told to (`--allow-duplicates`) it does so, once. Others
//! promise no more than at-least-once, which holds, so they go back by themselves. No job begins anew by itself.

use crate::JobFailed;
use crate::args::Run;
use crate::commands::now_ms;
use crate::{render, terminal};
use anyhow::{Context, Result};
use std::fs;
use std::path::PathBuf;
use tidewheel_checkpoint::{Log, Restore};
use tidewheel_engine::Plan;

/// Whether the job may go back, and what comes of it.
pub(super) struct GoingBack {
    exactly_once: Vec<String>,
    is_allowed: bool,
    /// For a while, the files of a checkpoint that is looked at.
    scratch: PathBuf,
}

/// A checkpoint that cannot be restored.
pub(super) struct Lost {
    pub(super) slot: u64,
    pub(super) reason: String,
}

impl GoingBack {
    pub(super) fn new(plan: &Plan, run: &Run, scratch: PathBuf) -> GoingBack {
        let exactly_once = plan.exactly_once_sinks().map(|sink| format!("{:?}", sink.as_str())).collect();
        GoingBack { exactly_once, is_allowed: run.allow_duplicates, scratch }
    }

    /// The slot of the checkpoint to go back to.
    ///
    /// # Errors
    /// [`JobFailed`] if there is none, or if the user has not allowed it.
    pub(super) fn slot(&mut self, log: &Log, Lost { slot, reason }: Lost) -> Result<u64> {
        let Some(older) = self.newest_whole(log, slot)? else {
            let hint = "no older checkpoint can be restored either; start from a savepoint, or anew with another --data-dir \
                        and store";
            return Err(JobFailed::Reason(format!("{reason}\n\nhint: {hint}")).into());
        };
        let number = older.manifest.checkpoint;
        let ago = render::span_ms(now_ms().saturating_sub(older.manifest.created_ms).max(0));
        let sinks = self.exactly_once.join(", ");
        if !self.exactly_once.is_empty() && !std::mem::take(&mut self.is_allowed) {
            let hint = format!(
                "checkpoint {number}, {ago} old, can be restored: with --allow-duplicates the job goes on from there, and \
                 what has been published since is published twice, by {sinks}"
            );
            return Err(JobFailed::Reason(format!("{reason}\n\nhint: {hint}")).into());
        }
        terminal::say(&format!("warning: {reason}"));
        terminal::say(&match self.exactly_once.is_empty() {
            false => format!(
                "warning: going back to checkpoint {number}, {ago} old: what has been published since is published twice, \
                 by {sinks}"
            ),
            true => format!(
                "warning: going back to checkpoint {number}, {ago} old: what has been published since comes again"
            ),
        });
        Ok(older.slot)
    }

    fn newest_whole(&self, log: &Log, before: u64) -> Result<Option<Restore>> {
        let scratch = &self.scratch;
        fs::create_dir_all(scratch).with_context(|| format!("cannot create {}", scratch.display()))?;
        let found = log.newest_whole_before(before, scratch);
        fs::remove_dir_all(scratch).with_context(|| format!("cannot remove {}", scratch.display()))?;
        Ok(found?)
    }
}
