//! `tidewheel checkpoints`: what a job can be restored from.

use super::{now_ms, running};
use crate::args;
use crate::render::{self, Align};
use crate::terminal;
use anyhow::{Result, bail};
use serde::Serialize;
use std::path::Path;
use tidewheel_checkpoint::{CheckpointEntry, Log, Manifest, Store};
use tidewheel_cluster::ClusterError;
use tidewheel_server::model::{Checkpoint, Checkpoints};
use tidewheel_server::{ApiError, Fault};

/// Lists those that are kept, newest first, and how taking them went.
pub(crate) fn execute(checkpoints: &args::Checkpoints) -> Result<()> {
    match (&checkpoints.store, &checkpoints.job) {
        (Some(url), _) => show_store(url, checkpoints.json),
        (None, Some(job)) => show_job(job, checkpoints.json),
        (None, None) => bail!("no job"),
    }
}

fn show_job(job: &str, json: bool) -> Result<()> {
    let job = running::find(job)?;
    let mut client = match running::connect(&job) {
        Ok(client) => client,
        Err(error) => {
            // A job that does not run has its checkpoints all the same, unless they are elsewhere.
            let folder = job.folder.join("checkpoints");
            let is_silent = matches!(error.downcast_ref(), Some(ClusterError::Unreachable { .. }));
            return if is_silent && folder.is_dir() { show_store(&folder.to_string_lossy(), json) } else { Err(error) };
        }
    };
    let found = client.checkpoints()?;
    if json {
        return Ok(terminal::print_json(&serde_json::to_string(&found)?)?);
    }
    terminal::print(&text(&found.kept, now_ms()))?;
    terminal::say(&how_it_went(&found, now_ms()));
    Ok(())
}

/// What is in a store.
#[derive(Serialize)]
struct InStore {
    kept: Vec<Checkpoint>,
    damaged: Vec<Damaged>,
}

/// A checkpoint that cannot be read.
#[derive(Serialize)]
struct Damaged {
    slot: u64,
    error: String,
}

fn show_store(url: &str, json: bool) -> Result<()> {
    let mut found = InStore { kept: Vec::new(), damaged: Vec::new() };
    for CheckpointEntry { slot, manifest } in Log::open(Store::open(url, Path::new(""))?).checkpoints()? {
        match manifest {
            Ok(manifest) => found.kept.push(checkpoint(&manifest)),
            Err(error) => found.damaged.push(Damaged { slot, error: error.to_string() }),
        }
    }
    if json {
        return Ok(terminal::print_json(&serde_json::to_string(&found)?)?);
    }
    terminal::print(&text(&found.kept, now_ms()))?;
    for Damaged { slot, error } in &found.damaged {
        terminal::say(&format!("slot {slot} cannot be read: {error}"));
    }
    Ok(())
}

/// The checkpoints that a store keeps for a job that runs, newest first.
pub(super) fn kept(store: &Store) -> Result<Vec<Checkpoint>, ApiError> {
    let found = Log::open(store.clone()).checkpoints();
    let found = found.map_err(|error| ApiError::new(Fault::Job, error.to_string()))?;
    // One that cannot be read is nothing that the job could tell of.
    let manifests = found.iter().filter_map(|entry| entry.manifest.as_ref().ok());
    let mut kept: Vec<Checkpoint> = manifests.map(checkpoint).collect();
    kept.sort_by_key(|checkpoint| std::cmp::Reverse(checkpoint.id));
    Ok(kept)
}

/// A checkpoint as it is told of.
pub(super) fn checkpoint(manifest: &Manifest) -> Checkpoint {
    Checkpoint {
        id: manifest.checkpoint,
        attempt: manifest.attempt,
        epoch: manifest.epoch,
        created_ms: manifest.created_ms,
        duration_ms: manifest.duration_ms,
        bytes: manifest.state_bytes(),
        bytes_added: manifest.bytes,
    }
}

fn text(kept: &[Checkpoint], now_ms: i64) -> String {
    let right = Align::Right;
    let columns = ["ID", "ATTEMPT", "EPOCH", "SIZE", "ADDED", "DURATION", "AGE"].map(|name| (name, right));
    let rows = kept.iter().map(|checkpoint| {
        vec![
            checkpoint.id.to_string(),
            checkpoint.attempt.to_string(),
            checkpoint.epoch.to_string(),
            render::bytes(checkpoint.bytes),
            render::bytes(checkpoint.bytes_added),
            render::span_ms(checkpoint.duration_ms.try_into().unwrap_or(i64::MAX)),
            render::span_ms(now_ms.saturating_sub(checkpoint.created_ms).max(0)),
        ]
    });
    render::table(&columns, &rows.collect::<Vec<_>>())
}

fn how_it_went(found: &Checkpoints, now_ms: i64) -> String {
    let mut text = format!("{} completed, {} failed", render::count(found.completed), render::count(found.failed));
    if found.failed_in_a_row > 0 {
        text = format!("{text}, the last {} of them", found.failed_in_a_row);
    }
    if let Some(reason) = &found.last_failure {
        text = format!("{text}; last failure: {reason}");
    }
    if let Some(current) = &found.in_progress {
        let noun = if current.savepoint { "savepoint" } else { "checkpoint" };
        let age = render::span_ms(now_ms.saturating_sub(current.created_ms).max(0));
        text = format!("{text}; {noun} {} under way for {age}", current.id);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{how_it_went, text};
    use tidewheel_server::model::{Checkpoint, Checkpoints, InProgress};

    #[test]
    fn a_table_and_a_sentence() {
        let checkpoint = |id: u64, bytes| Checkpoint {
            id,
            attempt: 1,
            epoch: id * 100,
            created_ms: id as i64 * 1_000,
            duration_ms: 40,
            bytes,
            bytes_added: 64,
        };
        let mut found = Checkpoints {
            completed: 1_204,
            kept: vec![checkpoint(12, 3 << 20), checkpoint(11, 700)],
            ..Checkpoints::default()
        };
        assert_eq!(
            text(&found.kept, 13_500),
            "ID  ATTEMPT  EPOCH     SIZE  ADDED  DURATION    AGE\n\
             12        1   1200  3.0 MiB   64 B     40 ms  1.5 s\n\
             11        1   1100    700 B   64 B     40 ms  2.5 s\n"
        );
        assert_eq!(how_it_went(&found, 13_500), "1,204 completed, 0 failed");
        found.failed = 3;
        found.failed_in_a_row = 2;
        found.last_failure = Some("the store is unreachable".to_owned());
        found.in_progress = Some(InProgress { id: 15, savepoint: false, created_ms: 13_000 });
        let said = "1,204 completed, 3 failed, the last 2 of them; last failure: the store is unreachable; \
                    checkpoint 15 under way for 500 ms";
        assert_eq!(how_it_went(&found, 13_500), said);
    }
}
