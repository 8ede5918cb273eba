//! What a running job offers on its control socket.

use super::start::Start;
use crate::args::Run;
use crate::commands::{checkpoints, now_ms};
use std::path::PathBuf;
use std::sync::Arc;
use tidewheel_checkpoint::{Log, Store};
use tidewheel_engine::{After, Answer, Job, JobControl, JobMetrics, JobSnapshot, NodeKind, SnapshotError};
use tidewheel_server::model::{
    Checkpoint, CheckpointRequest, Checkpoints, JobState, JobStatus, Metrics, Part, Process, Savepoint,
    SavepointRequest,
};
use tidewheel_server::{ApiError, Fault, JobApi};
use tidewheel_types::Watermark;

/// A running job, as it is seen from outside.
pub(super) struct RunningJob {
    name: String,
    start: Start,
    attempt_started_ms: i64,
    workers: usize,
    processes: usize,
    control: JobControl,
    metrics: Arc<JobMetrics>,
    store: Store,
    savepoints: PathBuf,
}

impl RunningJob {
    pub(super) fn new(name: &str, start: &Start, run: &Run, job: &Job, store: Store) -> Self {
        RunningJob {
            name: name.to_owned(),
            start: start.clone(),
            attempt_started_ms: now_ms(),
            workers: run.workers.get(),
            processes: run.processes.get(),
            control: job.control(),
            metrics: job.metrics(),
            store,
            savepoints: start.folder.join("savepoints"),
        }
    }

    /// The checkpoints that are kept, newest first.
    fn kept(&self) -> Result<Vec<Checkpoint>, ApiError> {
        let found = Log::open(self.store.clone())
            .checkpoints()
            .map_err(|error| ApiError::new(Fault::Job, error.to_string()))?;
        // One that cannot be read is nothing that the job could tell of.
        let manifests = found.iter().filter_map(|entry| entry.manifest.as_ref().ok());
        let mut kept: Vec<Checkpoint> = manifests.map(checkpoints::checkpoint).collect();
        kept.sort_by_key(|checkpoint| std::cmp::Reverse(checkpoint.id));
        Ok(kept)
    }

    /// The checkpoint that has been asked for, once it is complete.
    fn done(&self, answer: &Answer) -> Result<Checkpoint, ApiError> {
        let done = answer.recv().unwrap_or(Err(SnapshotError::Ending)).map_err(refused)?;
        let checkpoint = self.kept()?.into_iter().find(|checkpoint| checkpoint.id == done.checkpoint);
        let checkpoint = checkpoint.ok_or_else(|| {
            let message = format!("checkpoint {} was complete, and others have taken its place since", done.checkpoint);
            ApiError::new(Fault::Missing, message)
        })?;
        Ok(checkpoint)
    }
}

fn refused(error: SnapshotError) -> ApiError {
    match error {
        SnapshotError::Failed { .. } => ApiError::new(Fault::Job, error.to_string()),
        SnapshotError::NoCheckpoints | SnapshotError::Ending => ApiError::new(Fault::Conflict, error.to_string()),
    }
}

fn after(stop: bool, drain: bool) -> Result<After, ApiError> {
    match (stop, drain) {
        (true, drain) => Ok(After::Stop { drain }),
        (false, true) => {
            Err(ApiError::new(Fault::Request, "a job is drained when it is stopped, not while it goes on"))
        }
        (false, false) => Ok(After::GoOn),
    }
}

impl JobApi for RunningJob {
    fn status(&self) -> Result<JobStatus, ApiError> {
        let counters = self.metrics.snapshot();
        Ok(JobStatus {
            name: self.name.clone(),
            state: JobState::Running,
            attempt: self.start.attempt,
            started_ms: self.start.started_ms,
            attempt_started_ms: self.attempt_started_ms,
            workers: self.workers * self.processes,
            processes: vec![Process { index: 0, pid: std::process::id(), workers: self.workers }],
            last_checkpoint: self.kept()?.into_iter().next(),
            in_progress: None,
            restarts: self.start.restarts.clone(),
            parts: parts(&counters),
        })
    }

    fn checkpoints(&self) -> Result<Checkpoints, ApiError> {
        let counters = self.metrics.snapshot().checkpoints;
        Ok(Checkpoints {
            completed: counters.completed,
            failed: counters.failed,
            failed_in_a_row: counters.failed_in_a_row,
            last_failure: counters.last_failure,
            in_progress: None,
            kept: self.kept()?,
        })
    }

    fn checkpoint(&self, request: CheckpointRequest) -> Result<Checkpoint, ApiError> {
        let answer = self.control.snapshot(None, after(request.stop, request.drain)?);
        self.done(&answer)
    }

    fn savepoint(&self, request: SavepointRequest) -> Result<Savepoint, ApiError> {
        let folder = request.to.unwrap_or_else(|| self.savepoints.display().to_string());
        let url = format!("{}/{}-{}", folder.trim_end_matches('/'), self.name, now_ms());
        let answer = self.control.snapshot(Some(url.clone()), after(request.stop, request.drain)?);
        Ok(Savepoint { url, checkpoint: self.done(&answer)? })
    }

    fn metrics(&self) -> Result<Metrics, ApiError> {
        let counters = self.metrics.snapshot();
        let mut metrics = Metrics::default();
        metrics.job.insert("epoch".to_owned(), counters.epoch as f64);
        metrics.job.insert("checkpoints_completed".to_owned(), counters.checkpoints.completed as f64);
        metrics.job.insert("checkpoints_failed".to_owned(), counters.checkpoints.failed as f64);
        metrics.job.insert("checkpoint_last_duration_ms".to_owned(), counters.checkpoints.last_took_ms);
        metrics.job.insert("checkpoint_bytes".to_owned(), counters.checkpoints.bytes as f64);
        for part in parts(&counters) {
            let counts = metrics.parts.entry(part.name).or_default();
            counts.insert("records_in".to_owned(), part.records_in as f64);
            counts.insert("records_out".to_owned(), part.records_out as f64);
            counts.insert("rejected".to_owned(), part.rejected as f64);
            counts.insert("malformed".to_owned(), part.malformed as f64);
            counts.insert("late".to_owned(), part.late as f64);
        }
        Ok(metrics)
    }
}

fn parts(counters: &JobSnapshot) -> Vec<Part> {
    let parts = counters.nodes.iter().map(|node| Part {
        name: node.name.clone(),
        kind: match node.kind {
            NodeKind::Source => "source",
            NodeKind::Operator => "operator",
            NodeKind::Sink => "sink",
        }
        .to_owned(),
        records_in: node.records_in,
        records_out: node.records_out,
        rejected: node.rejected,
        malformed: node.malformed,
        late: node.late,
        watermark: Some(node.watermark).filter(|at| ![Watermark::MIN, Watermark::MAX].contains(at)).map(|at| at.0),
    });
    parts.collect()
}
