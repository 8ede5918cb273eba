//! Writes manifests, on a thread of worker 0's process.
//!
//! The manifest is what makes a checkpoint: it goes into the next slot of the store's log, and only if nobody has taken
//! that. A controller that finds it taken has been replaced by a later attempt, and ends its process there and then: it
//! has committed nothing that its successor does not know of.

use super::durability::{Durability, JobFacts};
use super::part::{self, Part, RowFiles};
use crate::clock;
use crate::error::EngineError;
use crate::fatal;
use crate::reporter::Reporter;
use crate::streams::{CheckpointId, Published, Report};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::Instant;
use tidewheel_checkpoint::{CheckpointError, FORMAT, Log, Manifest, Store, savepoint};
use tidewheel_crash_points::CrashPoint;
use tidewheel_types::Epoch;

/// Writes the manifests of a job.
pub(crate) struct Publisher {
    work: Sender<Work>,
    facts: JobFacts,
    lineage: String,
    attempt: u64,
    /// What is known of the checkpoint under way when it begins.
    begun: Option<Begun>,
    /// Manifests of savepoints that are yet to be finished.
    savepoints: BTreeMap<CheckpointId, Manifest>,
}

/// Whether event time has ended with a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EventTimeEnd {
    No,
    /// Every source has come to its end.
    Finished,
    /// The job is being stopped, and is to let everything fire before.
    Drained,
}

/// A checkpoint under way.
struct Begun {
    checkpoint: CheckpointId,
    epoch: Epoch,
    created_ms: i64,
    is_savepoint: bool,
}

enum Work {
    Publish(Box<Manifest>),
    /// Finishes the savepoint at that URL.
    Finish(Box<Manifest>, String),
}

impl Publisher {
    /// Starts the thread.
    pub(crate) fn start(durability: &Durability, facts: JobFacts, reporter: Reporter) -> Publisher {
        let (work, received) = mpsc::channel();
        let mut log = Log::join(durability.store.clone(), durability.attempt, durability.slot);
        let keep = durability.keep;
        let run = move || {
            for work in received {
                reporter.send(match work {
                    Work::Publish(manifest) => publish(&mut log, *manifest, keep),
                    Work::Finish(manifest, url) => Report::SavepointFinished {
                        checkpoint: manifest.checkpoint,
                        error: finish(&manifest, &url).err().map(|error| error.to_string()),
                    },
                });
            }
        };
        let started = thread::Builder::new().name("tidewheel:publish".to_owned()).spawn(run);
        started.unwrap_or_else(|error| fatal::fail(EngineError::Start(error.to_string())));
        let (lineage, attempt) = (durability.lineage.clone(), durability.attempt);
        Publisher { work, facts, lineage, attempt, begun: None, savepoints: BTreeMap::new() }
    }

    /// A checkpoint begins, at the end of `epoch`; it may be a savepoint, too.
    pub(crate) fn begin(&mut self, checkpoint: CheckpointId, epoch: Epoch, is_savepoint: bool) {
        self.begun = Some(Begun { checkpoint, epoch, created_ms: clock::now_ms(), is_savepoint });
    }

    /// All parts of the checkpoint that was begun are safe; it was begun at `began`. Its manifest will be written. Returns
    /// whether it holds output that is yet to be committed.
    pub(crate) fn publish(&mut self, began: Instant, parts: &[Vec<u8>], end: EventTimeEnd) -> bool {
        let begun = self.begun.take().expect("a checkpoint is begun before its parts are safe");
        let mut manifest = Manifest {
            format: FORMAT,
            job: self.facts.job.clone(),
            lineage: self.lineage.clone(),
            attempt: self.attempt,
            checkpoint: begun.checkpoint,
            epoch: self.facts.epoch_base + begun.epoch,
            created_ms: begun.created_ms,
            duration_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
            bytes: 0,
            workers: self.facts.workers,
            max_parallelism: self.facts.max_parallelism,
            sources: BTreeMap::new(),
            operators: BTreeMap::new(),
            sinks: BTreeMap::new(),
            finished: end == EventTimeEnd::Finished,
            drained: end == EventTimeEnd::Drained,
        };
        let mut rows = RowFiles::new();
        for part in parts {
            part::add(&mut manifest, &mut rows, Part::decode(part), &self.facts);
        }
        if begun.is_savepoint {
            self.savepoints.insert(begun.checkpoint, part::of_savepoint(&manifest, &rows));
        }
        let holds_output = manifest.holds_output();
        // The thread ends only with the process.
        let _ = self.work.send(Work::Publish(Box::new(manifest)));
        holds_output
    }

    /// A checkpoint has come to nothing, and so has its savepoint.
    pub(crate) fn give_up(&mut self, checkpoint: CheckpointId) {
        self.savepoints.remove(&checkpoint);
    }

    /// Every sink has committed up to `checkpoint`: its savepoint can be finished, and holds no output.
    pub(crate) fn finish_savepoint(&mut self, checkpoint: CheckpointId, url: &str) {
        if let Some(manifest) = self.savepoints.remove(&checkpoint) {
            let _ = self.work.send(Work::Finish(Box::new(manifest), url.to_owned()));
        }
    }
}

fn finish(manifest: &Manifest, url: &str) -> Result<(), CheckpointError> {
    CrashPoint::BeforeSavepoint.reached();
    savepoint::complete(&Store::open(url, Path::new("/"))?, manifest, manifest.drained)?;
    CrashPoint::AfterSavepoint.reached();
    Ok(())
}

fn publish(log: &mut Log, manifest: Manifest, keep: usize) -> Report {
    let checkpoint = manifest.checkpoint;
    let published = Published {
        epoch: manifest.epoch,
        created_ms: manifest.created_ms,
        bytes: manifest.state_bytes(),
        bytes_added: manifest.bytes,
    };
    CrashPoint::BeforeManifest.reached();
    match log.publish(manifest) {
        Ok(_) => {}
        Err(error) if error.is_replaced() => fatal::fail(EngineError::Checkpoint(error)),
        Err(error) => return Report::PublishFailed { checkpoint, reason: error.to_string() },
    }
    CrashPoint::AfterManifest.reached();
    // What is not removed now is removed the next time.
    match log.retain(keep, &BTreeSet::new()) {
        Ok(()) => {}
        Err(error) if error.is_replaced() => fatal::fail(EngineError::Checkpoint(error)),
        Err(error) => tracing::warn!("old checkpoints could not be removed: {error}"),
    }
    CrashPoint::BeforeComplete.reached();
    Report::Published { checkpoint, published }
}
