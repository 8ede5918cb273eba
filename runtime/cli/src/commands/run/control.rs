//! The job's control socket, answered by the supervisor from the job's start to its end.
//!
//! What a worker process knows, process 0 is asked for, over the supervisor's channel. Between two attempts, and while
//! one begins, nobody is there to be asked: how the job is the supervisor knows itself, and it can be stopped.

use super::start::{Question, Reply};
use crate::commands::{checkpoints, now_ms};
use serde::de::DeserializeOwned;
use std::collections::{BTreeMap, HashMap};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};
use tidewheel_checkpoint::Store;
use tidewheel_server::model::{
    Checkpoint, CheckpointRequest, Checkpoints, JobState, JobStatus, Metrics, Process, RateRequest, Restart, Savepoint,
    SavepointRequest, SourceRate, Taken, Watermarks,
};
use tidewheel_server::{ApiError, Fault, JobApi};

/// How many restarts are remembered, for whoever asks.
const RESTARTS_SHOWN: usize = 100;

/// How long a worker process may take to say how it is: less than a client waits for us.
const ANSWER_MAX: Duration = Duration::from_secs(4);

/// How long the store may take to say which checkpoint is the newest.
const STORE_MAX: Duration = Duration::from_secs(3);

/// The way to worker process 0: it is sent a question under a number.
pub(super) type Ask = Arc<dyn Fn(u64, Question) + Send + Sync>;

/// What the supervisor knows of its job from the start.
pub(super) struct Facts {
    pub(super) name: String,
    pub(super) started_ms: i64,
    /// Worker threads of a process.
    pub(super) workers: usize,
    pub(super) processes: usize,
    pub(super) store: Store,
}

/// The job, for those who speak to it.
pub(super) struct Control {
    facts: Facts,
    state: Mutex<State>,
    /// The phase is another, or somebody wants the job to stop.
    changed: Condvar,
    /// Whose turn it is to change a rate.
    rate_turn: Mutex<()>,
}

struct State {
    phase: Phase,
    attempt: u64,
    attempt_started_ms: i64,
    pids: Vec<u32>,
    /// The way to worker process 0, while there is one.
    ask: Option<Ask>,
    restarts: Vec<Restart>,
    /// How much is read of sources for which somebody has said so: later attempts are told.
    rates: BTreeMap<String, SourceRate>,
    /// Number of questions so far, and who waits for the answer to which.
    asked: u64,
    waiting: HashMap<u64, Waiting>,
    /// How many wait for the job to stop.
    stoppers: usize,
    /// Somebody has been told that it has.
    has_stopped: bool,
}

/// Somebody who waits for an answer.
struct Waiting {
    answer: Sender<Reply>,
    /// Whether they have asked for the job to stop.
    is_stop: bool,
}

/// What the job is doing.
#[derive(Clone, Debug)]
enum Phase {
    /// An attempt begins.
    Starting,
    /// Worker process 0 can be asked.
    Running,
    /// An attempt has failed; the next begins then.
    Restarting { next_ms: i64 },
    /// It is over.
    Ended(End),
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// By itself, or as worker process 0 was asked to.
    Finished,
    /// Somebody stopped it while it restarted.
    Stopped,
    /// It failed for good, for this reason.
    Failed(String),
}

/// Why a question has no answer of a worker process.
enum Unanswered {
    /// It has one: no.
    Refused(ApiError),
    /// Nobody is there.
    Absent,
}

impl Control {
    pub(super) fn new(facts: Facts) -> Control {
        let state = State {
            phase: Phase::Starting,
            attempt: 0,
            attempt_started_ms: facts.started_ms,
            pids: Vec::new(),
            ask: None,
            restarts: Vec::new(),
            rates: BTreeMap::new(),
            asked: 0,
            waiting: HashMap::new(),
            stoppers: 0,
            has_stopped: false,
        };
        Control { facts, state: Mutex::new(state), changed: Condvar::new(), rate_turn: Mutex::new(()) }
    }

    /// An attempt begins with these processes; of the first, `ask` is the way to it.
    pub(super) fn begins(&self, attempt: u64, pids: &[u32], ask: Ask) {
        let mut state = self.lock();
        state.phase = Phase::Starting;
        (state.attempt, state.attempt_started_ms, state.pids) = (attempt, now_ms(), pids.to_vec());
        state.ask = Some(ask);
    }

    /// Worker process 0 of `attempt` can be asked from now on. It may say so when it has been replaced.
    pub(super) fn runs(&self, attempt: u64) {
        let mut state = self.lock();
        if state.attempt == attempt && matches!(state.phase, Phase::Starting) {
            state.phase = Phase::Running;
            self.changed.notify_all();
        }
    }

    /// Worker process 0 has answered.
    pub(super) fn answered(&self, number: u64, reply: Reply) {
        let mut state = self.lock();
        // Whoever asked may have lost patience.
        if let Some(Waiting { answer, is_stop }) = state.waiting.remove(&number) {
            state.has_stopped |= is_stop && reply.is_ok();
            let _ = answer.send(reply);
        }
    }

    /// How much is read of sources for which somebody has said so.
    pub(super) fn rates(&self) -> Vec<SourceRate> {
        self.lock().rates.values().cloned().collect()
    }

    /// Whether somebody has been told that the job has stopped. Everything is committed then: if its process dies before it
    /// ends there is nothing to start again.
    pub(super) fn has_stopped(&self) -> bool {
        self.lock().has_stopped
    }

    /// The attempt has failed: waits for `delay`, or until somebody has the job stopped. Returns whether that is so.
    pub(super) fn restarts(&self, reason: String, delay: Duration) -> bool {
        let mut state = self.lock();
        let next_ms = now_ms().saturating_add(i64::try_from(delay.as_millis()).unwrap_or(i64::MAX));
        if state.restarts.len() == RESTARTS_SHOWN {
            state.restarts.remove(0);
        }
        let attempt = state.attempt;
        state.restarts.push(Restart { attempt, at_ms: now_ms(), reason });
        self.leave(&mut state, Phase::Restarting { next_ms });
        let until = Instant::now() + delay;
        while state.stoppers == 0 {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        self.leave(&mut state, Phase::Ended(End::Stopped));
        true
    }

    /// The job is over. What has been asked for and not answered is answered by that.
    pub(super) fn ended(&self, end: End) {
        self.leave(&mut self.lock(), Phase::Ended(end));
    }

    /// Nobody can be asked any more.
    fn leave(&self, state: &mut State, phase: Phase) {
        state.phase = phase;
        state.pids.clear();
        state.ask = None;
        state.waiting.clear();
        self.changed.notify_all();
    }

    /// What worker process 0 says to a question. Without a limit it is waited for as long as the process lives.
    fn ask<T: DeserializeOwned>(&self, question: Question, limit: Option<Duration>) -> Result<T, Unanswered> {
        let (sender, answer) = mpsc::channel();
        let (ask, number) = {
            let mut state = self.lock();
            let ask = state.ask.clone().filter(|_| matches!(state.phase, Phase::Running));
            let ask = ask.ok_or(Unanswered::Absent)?;
            state.asked += 1;
            let number = state.asked;
            state.waiting.insert(number, Waiting { answer: sender, is_stop: question.is_stop() });
            (ask, number)
        };
        ask(number, question);
        let reply = match limit {
            None => answer.recv().map_err(|_| Unanswered::Absent)?,
            Some(limit) => match answer.recv_timeout(limit) {
                Ok(reply) => reply,
                Err(RecvTimeoutError::Disconnected) => return Err(Unanswered::Absent),
                Err(RecvTimeoutError::Timeout) => {
                    self.lock().waiting.remove(&number);
                    let message = format!("its worker process has not answered in {limit:?}: it is stopped, or hangs");
                    return Err(Unanswered::Refused(ApiError::new(Fault::Job, message)));
                }
            },
        };
        let value = reply.map_err(Unanswered::Refused)?;
        // A program that was replaced since the job's start is another one in the worker process.
        serde_json::from_value(value).map_err(|error| {
            let message = format!("its worker process answers what this one does not understand: {error}");
            Unanswered::Refused(ApiError::new(Fault::Job, message))
        })
    }

    /// The same, where only a worker process can answer.
    fn ask_worker<T: DeserializeOwned>(&self, question: Question, limit: Option<Duration>) -> Result<T, ApiError> {
        self.ask(question, limit).map_err(|unanswered| match unanswered {
            Unanswered::Refused(error) => error,
            Unanswered::Absent => self.absent(),
        })
    }

    /// Why no worker process can be asked.
    fn absent(&self) -> ApiError {
        let state = self.lock();
        match &state.phase {
            Phase::Starting | Phase::Running => {
                ApiError::new(Fault::Conflict, "the job is starting").with_hint("try again when it runs")
            }
            Phase::Restarting { .. } => {
                let last =
                    state.restarts.last().map(|last| format!(": attempt {} failed: {}", last.attempt, last.reason));
                let error =
                    ApiError::new(Fault::Conflict, format!("the job is restarting{}", last.unwrap_or_default()));
                error.with_hint("try again when it runs, or stop it where its last checkpoint is: `tidewheel stop JOB`")
            }
            Phase::Ended(End::Failed(reason)) => ApiError::new(Fault::Job, format!("the job has failed: {reason}")),
            Phase::Ended(End::Finished | End::Stopped) => ApiError::new(Fault::Conflict, "the job has ended"),
        }
    }

    /// Stops the job: with a checkpoint if it runs, at its last one if it is restarting.
    fn stop(&self, request: CheckpointRequest) -> Result<Taken, ApiError> {
        loop {
            match self.ask(Question::Checkpoint(request.clone()), None) {
                Ok(taken) => return Ok(taken),
                Err(Unanswered::Refused(error)) => return Err(error),
                Err(Unanswered::Absent) => {}
            }
            let is_absent = |state: &mut State| matches!(state.phase, Phase::Starting | Phase::Restarting { .. });
            let state = self.changed.wait_while(self.lock(), is_absent).unwrap_or_else(PoisonError::into_inner);
            let phase = state.phase.clone();
            drop(state);
            match phase {
                Phase::Ended(End::Stopped) => return Ok(Taken { checkpoint: self.newest(), was_restarting: true }),
                Phase::Ended(_) => return Err(self.absent()),
                _ => {}
            }
        }
    }

    /// How the job is when no worker process can say.
    fn own_status(&self) -> JobStatus {
        let last_checkpoint = self.newest();
        let state = self.lock();
        JobStatus {
            name: self.facts.name.clone(),
            state: match state.phase {
                Phase::Starting | Phase::Running => JobState::Starting,
                Phase::Restarting { .. } => JobState::Restarting,
                Phase::Ended(_) => JobState::Stopping,
            },
            attempt: state.attempt,
            started_ms: self.facts.started_ms,
            attempt_started_ms: state.attempt_started_ms,
            workers: self.facts.workers * self.facts.processes,
            processes: self.processes(&state),
            last_checkpoint,
            in_progress: None,
            restarts: state.restarts.clone(),
            next_attempt_ms: match state.phase {
                Phase::Restarting { next_ms } => Some(next_ms),
                _ => None,
            },
            parts: Vec::new(),
        }
    }

    fn processes(&self, state: &State) -> Vec<Process> {
        let processes = state.pids.iter().enumerate();
        processes.map(|(index, &pid)| Process { index, pid, workers: self.facts.workers }).collect()
    }

    /// The newest checkpoint, if the store says so in time: it may be why the job does not run.
    fn newest(&self) -> Option<Checkpoint> {
        let (sender, newest) = mpsc::channel();
        let store = self.facts.store.clone();
        thread::spawn(move || sender.send(checkpoints::kept(&store).map(|kept| kept.into_iter().next())));
        newest.recv_timeout(STORE_MAX).ok()?.ok()?
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl JobApi for Control {
    fn status(&self) -> Result<JobStatus, ApiError> {
        match self.ask::<JobStatus>(Question::Status, Some(ANSWER_MAX)) {
            Ok(status) => {
                let state = self.lock();
                Ok(JobStatus { processes: self.processes(&state), restarts: state.restarts.clone(), ..status })
            }
            Err(Unanswered::Absent) => Ok(self.own_status()),
            Err(Unanswered::Refused(error)) => Err(error),
        }
    }

    fn checkpoints(&self) -> Result<Checkpoints, ApiError> {
        match self.ask(Question::Checkpoints, Some(ANSWER_MAX)) {
            Ok(checkpoints) => Ok(checkpoints),
            Err(Unanswered::Absent) => {
                let kept = checkpoints::kept(&self.facts.store)?;
                Ok(Checkpoints { kept, ..Checkpoints::default() })
            }
            Err(Unanswered::Refused(error)) => Err(error),
        }
    }

    fn checkpoint(&self, request: CheckpointRequest) -> Result<Taken, ApiError> {
        if !request.stop || request.drain {
            return self.ask_worker(Question::Checkpoint(request), None);
        }
        self.lock().stoppers += 1;
        self.changed.notify_all();
        let taken = self.stop(request);
        self.lock().stoppers -= 1;
        taken
    }

    fn savepoint(&self, request: SavepointRequest) -> Result<Savepoint, ApiError> {
        self.ask_worker(Question::Savepoint(request), None)
    }

    fn rate(&self, rate: RateRequest) -> Result<SourceRate, ApiError> {
        // One after the other: what is noted last is what the worker was told last.
        let _turn = self.rate_turn.lock().unwrap_or_else(PoisonError::into_inner);
        let set: SourceRate = self.ask_worker(Question::Rate(rate), Some(ANSWER_MAX))?;
        self.lock().rates.insert(set.source.clone(), set.clone());
        Ok(set)
    }

    fn watermarks(&self) -> Result<Watermarks, ApiError> {
        self.ask_worker(Question::Watermarks, Some(ANSWER_MAX))
    }

    fn metrics(&self) -> Result<Metrics, ApiError> {
        self.ask_worker(Question::Metrics, Some(ANSWER_MAX))
    }
}

#[cfg(test)]
mod tests;
