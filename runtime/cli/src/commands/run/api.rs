//! What worker process 0 answers when its supervisor asks how the job is, or has it do something.

use super::start::{FromWorker, Question, Reply, Start, ToWorker};
use crate::args::Run;
use crate::commands::{checkpoints, now_ms};
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;
use tidewheel_checkpoint::{Store, savepoint};
use tidewheel_cluster::Channel;
use tidewheel_engine::{
    After, Answer, ClaimState, Job, JobControl, JobMetrics, JobSnapshot, LimitError, NodeKind, SnapshotError,
    SplitSnapshot, WatermarkSnapshot,
};
use tidewheel_server::model::{
    Checkpoint, CheckpointRequest, Checkpoints, JobState, JobStatus, Metrics, Part, PartWatermark, RateRequest,
    Savepoint, SavepointRequest, SourceRate, SplitWatermark, Taken, Watermarks,
};
use tidewheel_server::{ApiError, Fault};
use tidewheel_types::Watermark;
use tidewheel_types::job::RateLimit;

/// A running job, as it is seen from outside.
pub(super) struct RunningJob {
    name: String,
    start: Start,
    attempt_started_ms: i64,
    workers: usize,
    control: JobControl,
    metrics: Arc<JobMetrics>,
    store: Store,
    savepoints: PathBuf,
}

/// How long the last answers of a job that has ended may take.
const LAST_ANSWERS_MAX: Duration = Duration::from_secs(5);

/// Answers questions, each on a thread of its own: some take their time.
pub(super) struct Answering {
    /// Held by every thread that answers; gone when no more questions are taken.
    open: Arc<Mutex<Option<Sender<Infallible>>>>,
    /// Ends with the last of them.
    busy: Receiver<Infallible>,
}

impl Answering {
    /// Answers what comes by `channel`, and says there that it does.
    pub(super) fn start(channel: &Channel<FromWorker, ToWorker>, job: RunningJob) -> Self {
        let (sender, busy) = mpsc::channel();
        let open = Arc::new(Mutex::new(Some(sender)));
        let (questions, job, is_open) = (channel.clone(), Arc::new(job), Arc::clone(&open));
        thread::spawn(move || {
            // Without a supervisor this process ends.
            while let Ok(Some(message)) = questions.receive() {
                let ToWorker::Asked(number, question) = message else { continue };
                let Some(held) = is_open.lock().unwrap_or_else(PoisonError::into_inner).clone() else { return };
                let (answers, job) = (questions.clone(), Arc::clone(&job));
                thread::spawn(move || {
                    let _ = answers.send(&FromWorker::Answered(number, job.answer(question)));
                    drop(held);
                });
            }
        });
        let _ = channel.send(&FromWorker::Running);
        Answering { open, busy }
    }

    /// Takes no more questions, and waits until those it has taken are answered.
    pub(super) fn finish(self) {
        *self.open.lock().unwrap_or_else(PoisonError::into_inner) = None;
        // Nothing is ever sent: this is the end of all senders, or of our patience.
        let _ = self.busy.recv_timeout(LAST_ANSWERS_MAX);
    }
}

impl RunningJob {
    pub(super) fn new(name: &str, start: &Start, run: &Run, job: &Job, store: Store) -> Self {
        RunningJob {
            name: name.to_owned(),
            start: start.clone(),
            attempt_started_ms: now_ms(),
            workers: run.workers.get(),
            control: job.control(),
            metrics: job.metrics(),
            store,
            savepoints: start.folder.join("savepoints"),
        }
    }

    fn answer(&self, question: Question) -> Reply {
        let value = match question {
            Question::Status => serde_json::to_value(self.status()?),
            Question::Checkpoints => serde_json::to_value(self.checkpoints()?),
            Question::Checkpoint(request) => serde_json::to_value(self.checkpoint(&request)?),
            Question::Savepoint(request) => serde_json::to_value(self.savepoint(request)?),
            Question::Rate(rate) => serde_json::to_value(self.rate(rate)?),
            Question::Watermarks => serde_json::to_value(self.watermarks()),
            Question::Metrics => serde_json::to_value(self.metrics()),
        };
        Ok(value.expect("an answer has a JSON form"))
    }

    /// The checkpoints that are kept. A store that is away hides them; the last failure, told beside, says so.
    fn kept(&self, counters: &JobSnapshot) -> Result<Vec<Checkpoint>, ApiError> {
        match checkpoints::kept(&self.store) {
            Err(_) if counters.checkpoints.failed_in_a_row > 0 => Ok(Vec::new()),
            kept => kept,
        }
    }

    /// The checkpoint that has been asked for, once it is complete.
    fn done(&self, answer: &Answer) -> Result<Checkpoint, ApiError> {
        let done = answer.recv().unwrap_or(Err(SnapshotError::Ending)).map_err(refused)?;
        Ok(Checkpoint {
            id: done.checkpoint,
            attempt: self.start.member.attempt,
            epoch: done.epoch,
            created_ms: done.created_ms,
            duration_ms: u64::try_from(done.took.as_millis()).unwrap_or(u64::MAX),
            bytes: done.bytes,
            bytes_added: done.bytes_added,
        })
    }

    fn status(&self) -> Result<JobStatus, ApiError> {
        let counters = self.metrics.snapshot();
        Ok(JobStatus {
            name: self.name.clone(),
            // The first epoch ends when every sink has settled what an earlier attempt had left.
            state: if counters.epoch == 0 { JobState::Starting } else { JobState::Running },
            attempt: self.start.member.attempt,
            started_ms: self.start.started_ms,
            attempt_started_ms: self.attempt_started_ms,
            workers: self.workers * self.start.member.processes,
            processes: Vec::new(),
            last_checkpoint: self.kept(&counters)?.into_iter().next(),
            in_progress: None,
            restarts: Vec::new(),
            next_attempt_ms: None,
            parts: parts(&counters),
        })
    }

    fn checkpoints(&self) -> Result<Checkpoints, ApiError> {
        let counters = self.metrics.snapshot();
        let kept = self.kept(&counters)?;
        let counters = counters.checkpoints;
        Ok(Checkpoints {
            completed: counters.completed,
            failed: counters.failed,
            failed_in_a_row: counters.failed_in_a_row,
            last_failure: counters.last_failure,
            in_progress: None,
            kept,
        })
    }

    fn checkpoint(&self, request: &CheckpointRequest) -> Result<Taken, ApiError> {
        let answer = self.control.snapshot(None, after(request.stop, request.drain)?);
        Ok(Taken { checkpoint: Some(self.done(&answer)?), was_restarting: false })
    }

    fn savepoint(&self, request: SavepointRequest) -> Result<Savepoint, ApiError> {
        if request.to.is_none() && !self.start.hosts.is_empty() {
            let message = "a job on several machines has no place of its own that all of them reach";
            return Err(ApiError::new(Fault::Request, message).with_hint("say where to, with --to"));
        }
        let folder = request.to.unwrap_or_else(|| self.savepoints.display().to_string());
        let url = format!("{}/{}-{}", folder.trim_end_matches('/'), self.name, now_ms());
        let after = after(request.stop, request.drain)?;
        // What is found now does not cost the job a checkpoint, or stop it for nothing.
        let place = Store::open(&url, Path::new("/")).and_then(|store| savepoint::check_place(&store));
        place.map_err(|error| ApiError::new(Fault::Request, error.to_string()))?;
        let answer = self.control.snapshot(Some(url.clone()), after);
        Ok(Savepoint { url, checkpoint: self.done(&answer)? })
    }

    fn rate(&self, rate: RateRequest) -> Result<SourceRate, ApiError> {
        let RateRequest { source, records, bytes, unlimited } = rate;
        let is_named = records.is_some() || bytes.is_some();
        if is_named == unlimited {
            let hint = "name `records` or `bytes`, or both, or else `unlimited`";
            return Err(ApiError::new(Fault::Request, "it does not say what is to hold").with_hint(hint));
        }
        let set = match unlimited {
            true => self.control.limit(&source, RateLimit::default()).map(|()| RateLimit::default()),
            false => self.control.change_limit(&source, RateLimit { records, bytes }),
        };
        let RateLimit { records, bytes } = set.map_err(|error| {
            let message = error.to_string();
            match error {
                LimitError::NoSource { nearest: Some(nearest), .. } => {
                    ApiError::new(Fault::Missing, message).with_hint(format!("did you mean {nearest:?}?"))
                }
                LimitError::NoSource { nearest: None, .. } => ApiError::new(Fault::Missing, message),
                LimitError::Zero => ApiError::new(Fault::Request, message),
                LimitError::Ending => ApiError::new(Fault::Conflict, message),
            }
        })?;
        Ok(SourceRate { source, records, bytes })
    }

    fn watermarks(&self) -> Watermarks {
        let (parts, splits) = self.metrics.watermarks();
        let part = |part: WatermarkSnapshot| PartWatermark {
            name: part.name,
            kind: kind(part.kind),
            watermark: watermark_ms(part.watermark),
            ended: part.watermark == Watermark::MAX,
            held_back_by: part.held_back_by.map(split_watermark),
        };
        Watermarks {
            parts: parts.into_iter().map(part).collect(),
            splits: splits.into_iter().map(split_watermark).collect(),
        }
    }

    fn metrics(&self) -> Metrics {
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
        metrics
    }
}

fn refused(error: SnapshotError) -> ApiError {
    match error {
        SnapshotError::Failed { .. } | SnapshotError::Savepoint { .. } => ApiError::new(Fault::Job, error.to_string()),
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

fn parts(counters: &JobSnapshot) -> Vec<Part> {
    let parts = counters.nodes.iter().map(|node| Part {
        name: node.name.clone(),
        kind: kind(node.kind),
        records_in: node.records_in,
        records_out: node.records_out,
        rejected: node.rejected,
        malformed: node.malformed,
        late: node.late,
        watermark: watermark_ms(node.watermark),
    });
    parts.collect()
}

fn kind(kind: NodeKind) -> String {
    let word = match kind {
        NodeKind::Source => "source",
        NodeKind::Operator => "operator",
        NodeKind::Sink => "sink",
    };
    word.to_owned()
}

fn watermark_ms(watermark: Watermark) -> Option<i64> {
    Some(watermark).filter(|at| ![Watermark::MIN, Watermark::MAX].contains(at)).map(|at| at.0)
}

fn split_watermark(split: SplitSnapshot) -> SplitWatermark {
    let state = match split.state {
        ClaimState::Active => "active",
        ClaimState::Paused => "paused",
        ClaimState::Idle => "idle",
        ClaimState::Ended => "ended",
    };
    SplitWatermark {
        source: split.source,
        split: split.split,
        state: state.to_owned(),
        watermark: watermark_ms(split.watermark),
        since_ms: split.since_ms,
    }
}
