//! Speaking to a running job from outside its workers: take a checkpoint, take a savepoint, read no more than that, stop.

use crate::streams::CheckpointId;
use std::collections::VecDeque;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tidewheel_types::Epoch;
use tidewheel_types::job::{RateLimit, nearest};
use timely::scheduling::SyncActivator;

/// What a job does once the snapshot that was asked for is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// It goes on.
    GoOn,
    /// It stops. With `drain` event time ends before, so that every timer and window fires.
    Stop {
        /// Whether event time ends first.
        drain: bool,
    },
}

/// A snapshot that has been asked for, and is complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotDone {
    /// The checkpoint.
    pub checkpoint: CheckpointId,
    /// Where the savepoint is, if it is one.
    pub savepoint: Option<String>,
    /// The job's epoch at whose end it is.
    pub epoch: Epoch,
    /// When it was begun, in milliseconds since 1970-01-01 UTC.
    pub created_ms: i64,
    /// From when it was begun until it was complete.
    pub took: Duration,
    /// Size of all files that it needs.
    pub bytes: u64,
    /// Size of those that it wrote.
    pub bytes_added: u64,
}

/// Why a snapshot that was asked for came to nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// The job writes no checkpoints.
    #[error("the job takes no checkpoints: add a table [checkpoint] to its job file")]
    NoCheckpoints,
    /// It could not be made safe, or took too long.
    #[error("checkpoint {checkpoint} failed: {reason}")]
    Failed {
        /// The checkpoint.
        checkpoint: CheckpointId,
        /// Why.
        reason: String,
    },
    /// The checkpoint is complete, and the savepoint is not.
    #[error("the savepoint of checkpoint {checkpoint} could not be finished: {reason}")]
    Savepoint {
        /// The checkpoint.
        checkpoint: CheckpointId,
        /// Why.
        reason: String,
    },
    /// The job is ending, or has ended.
    #[error("the job is ending")]
    Ending,
}

/// Why a source is not limited as was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LimitError {
    /// There is no such source.
    #[error("the job has no source {name:?}")]
    NoSource {
        /// What was asked for.
        name: String,
        /// The source that was probably meant.
        nearest: Option<String>,
    },
    /// Nothing at all would be read.
    #[error("a limit has to be more than 0")]
    Zero,
    /// The job is ending, or has ended.
    #[error("the job is ending")]
    Ending,
}

/// The answer to a request, to be waited for.
pub type Answer = Receiver<Result<SnapshotDone, SnapshotError>>;

/// What somebody outside has asked for.
#[derive(Debug)]
pub(crate) struct Request {
    /// The URL of a savepoint to be written.
    pub(crate) savepoint: Option<String>,
    pub(crate) after: After,
    /// Nobody may be waiting any more.
    pub(crate) answer: Sender<Result<SnapshotDone, SnapshotError>>,
}

/// A handle on a running job. Clones are the same.
#[derive(Clone, Default)]
pub struct JobControl {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    requests: VecDeque<Request>,
    /// The job's sources, and what is read of them at most.
    sources: Vec<(String, RateLimit)>,
    /// New limits of these, which the controller has not taken.
    limits: Vec<(u32, RateLimit)>,
    /// Of the controller, once it is there.
    controller: Option<SyncActivator>,
    /// The controller takes no more requests.
    is_closed: bool,
}

impl JobControl {
    /// That of a job with these sources.
    pub(crate) fn new(sources: Vec<(String, RateLimit)>) -> JobControl {
        let control = JobControl::default();
        control.lock().sources = sources;
        control
    }

    /// From now on no more is read of a source in a second than that.
    pub fn limit(&self, source: &str, limit: RateLimit) -> Result<(), LimitError> {
        self.set_limit(source, |_| limit).map(drop)
    }

    /// The same, but for the bounds that `change` does not have, which stay. Gives what holds then.
    pub fn change_limit(&self, source: &str, change: RateLimit) -> Result<RateLimit, LimitError> {
        self.set_limit(source, |now| RateLimit {
            records: change.records.or(now.records),
            bytes: change.bytes.or(now.bytes),
        })
    }

    fn set_limit(&self, source: &str, set: impl FnOnce(RateLimit) -> RateLimit) -> Result<RateLimit, LimitError> {
        let mut inner = self.lock();
        let Some(place) = inner.sources.iter().position(|(name, _)| name == source) else {
            let nearest = nearest(source, inner.sources.iter().map(|(name, _)| name.as_str())).map(str::to_owned);
            return Err(LimitError::NoSource { name: source.to_owned(), nearest });
        };
        let limit = set(inner.sources[place].1);
        if limit.records == Some(0) || limit.bytes == Some(0) {
            return Err(LimitError::Zero);
        }
        if inner.is_closed {
            return Err(LimitError::Ending);
        }
        inner.sources[place].1 = limit;
        inner.limits.push((place as u32, limit));
        if let Some(controller) = &inner.controller {
            let _ = controller.activate();
        }
        Ok(limit)
    }

    /// The limits that have been set since the last time, oldest first.
    pub(crate) fn limits(&self) -> Vec<(u32, RateLimit)> {
        std::mem::take(&mut self.lock().limits)
    }

    /// Asks for a checkpoint, now, or for a savepoint at `savepoint`, a URL.
    pub fn snapshot(&self, savepoint: Option<String>, after: After) -> Answer {
        let (answer, receiver) = mpsc::channel();
        let mut inner = self.lock();
        if inner.is_closed {
            // The receiver is here.
            let _ = answer.send(Err(SnapshotError::Ending));
            return receiver;
        }
        inner.requests.push_back(Request { savepoint, after, answer });
        if let Some(controller) = &inner.controller {
            let _ = controller.activate();
        }
        receiver
    }

    /// From now on `controller` is activated by requests.
    pub(crate) fn attach(&self, controller: SyncActivator) {
        self.lock().controller = Some(controller);
    }

    /// The oldest request that has not been taken.
    pub(crate) fn next(&self) -> Option<Request> {
        self.lock().requests.pop_front()
    }

    /// Refuses what has been asked for and not been taken, and what will be.
    pub(crate) fn close(&self) {
        let mut inner = self.lock();
        inner.is_closed = true;
        for request in inner.requests.drain(..) {
            let _ = request.answer.send(Err(SnapshotError::Ending));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
