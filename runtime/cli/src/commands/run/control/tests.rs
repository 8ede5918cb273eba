//! The job between its attempts, with a worker process that is made up.

use super::{Ask, Control, End, Facts, Phase, Question};
use serde_json::json;
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};
use tidewheel_checkpoint::Store;
use tidewheel_server::model::{CheckpointRequest, JobState, RateRequest, SavepointRequest, SourceRate, Taken};
use tidewheel_server::{ApiError, Fault, JobApi};

/// How long a test waits for what has to happen.
const LIMIT: Duration = Duration::from_secs(20);

const STOP: CheckpointRequest = CheckpointRequest { stop: true, drain: false };

fn control() -> Arc<Control> {
    // Nothing is written to it.
    let store = Store::open("/nowhere/tidewheel-has-no-store-here", Path::new("/")).unwrap();
    Arc::new(Control::new(Facts { name: "copy".to_owned(), started_ms: 0, workers: 2, processes: 1, store }))
}

/// A worker process that is asked, and answers when the test does.
fn worker() -> (Ask, Receiver<(u64, Question)>) {
    let (sender, asked) = channel();
    let sender = Mutex::new(sender);
    (Arc::new(move |number, question| sender.lock().unwrap().send((number, question)).unwrap()), asked)
}

/// Begins an attempt whose worker process 0 runs.
fn run(control: &Control, attempt: u64) -> Receiver<(u64, Question)> {
    let (ask, asked) = worker();
    control.begins(attempt, &[4711], ask);
    // What one that has been replaced says changes nothing.
    control.runs(attempt - 1);
    wait_until(control, |phase, _| matches!(phase, Phase::Starting));
    control.runs(attempt);
    asked
}

#[track_caller]
fn refused<T: std::fmt::Debug>(answer: Result<T, ApiError>, fault: Fault) -> String {
    let error = answer.unwrap_err();
    assert_eq!(error.fault, fault);
    error.to_string()
}

fn wait_until(control: &Control, is_so: impl Fn(&Phase, usize) -> bool) {
    let deadline = Instant::now() + LIMIT;
    loop {
        let state = control.lock();
        if is_so(&state.phase, state.stoppers) {
            return;
        }
        drop(state);
        assert!(Instant::now() < deadline);
        thread::yield_now();
    }
}

#[test]
fn a_job_that_starts_says_so_and_takes_no_savepoint() {
    let control = control();
    let (ask, asked) = worker();
    control.begins(1, &[4711], ask);
    let status = control.status().unwrap();
    assert_eq!((status.state, status.attempt, status.processes[0].pid), (JobState::Starting, 1, 4711));
    let said = refused(control.savepoint(SavepointRequest::default()), Fault::Conflict);
    assert_eq!(said, "the job is starting\n\nhint: try again when it runs");
    assert!(asked.try_recv().is_err(), "nobody is asked before it can answer");
}

#[test]
fn a_question_is_answered_by_the_worker_and_by_no_other() {
    let control = control();
    let asked = run(&control, 1);
    let asking = Arc::clone(&control);
    let savepoint = thread::spawn(move || asking.savepoint(SavepointRequest::default()));
    let (number, question) = asked.recv_timeout(LIMIT).unwrap();
    assert_eq!(question, Question::Savepoint(SavepointRequest::default()));
    control.answered(number + 1, Ok(json!({})));
    control.answered(number, Err(ApiError::new(Fault::Job, "the disk is full")));
    assert_eq!(refused(savepoint.join().unwrap(), Fault::Job), "the disk is full");
}

#[test]
fn a_rate_that_the_worker_takes_is_told_to_later_attempts() {
    let control = control();
    let asked = run(&control, 1);
    let limit = |source: &str, records, reply: &dyn Fn(SourceRate) -> Result<serde_json::Value, ApiError>| {
        let rate = RateRequest { source: source.to_owned(), records, ..RateRequest::default() };
        let asking = Arc::clone(&control);
        let set = thread::spawn(move || asking.rate(rate));
        let (number, Question::Rate(rate)) = asked.recv_timeout(LIMIT).unwrap() else { panic!("it asks for the rate") };
        let rate = SourceRate { source: rate.source, records: rate.records, bytes: rate.bytes };
        control.answered(number, reply(rate));
        set.join().unwrap()
    };
    let takes = |rate| Ok(json!(rate));
    limit("lines", Some(7), &takes).unwrap();
    refused(limit("liens", None, &|_| Err(ApiError::new(Fault::Missing, "no such source"))), Fault::Missing);
    let set = limit("lines", Some(9), &takes).unwrap();
    assert_eq!(control.rates(), [set]);
}

#[test]
fn a_question_whose_worker_dies_has_the_restart_as_its_answer() {
    let control = control();
    let asked = run(&control, 3);
    let asking = Arc::clone(&control);
    let savepoint = thread::spawn(move || asking.savepoint(SavepointRequest::default()));
    asked.recv_timeout(LIMIT).unwrap();
    let restarting = Arc::clone(&control);
    let restart = thread::spawn(move || restarting.restarts("process 0 was killed".to_owned(), LIMIT));
    let said = refused(savepoint.join().unwrap(), Fault::Conflict);
    assert!(said.starts_with("the job is restarting: attempt 3 failed: process 0 was killed\n\nhint: "), "{said}");

    let status = control.status().unwrap();
    assert_eq!((status.state, status.attempt, status.processes.len()), (JobState::Restarting, 3, 0));
    assert_eq!(status.restarts[0].reason, "process 0 was killed");
    assert!(status.next_attempt_ms.unwrap() > status.restarts[0].at_ms);
    assert_eq!(control.checkpoints().unwrap().kept, []);
    refused(control.checkpoint(CheckpointRequest { stop: true, drain: true }), Fault::Conflict);
    refused(control.metrics(), Fault::Conflict);
    refused(control.watermarks(), Fault::Conflict);

    assert_eq!(control.checkpoint(STOP).unwrap(), Taken { checkpoint: None, was_restarting: true });
    assert!(restart.join().unwrap(), "the supervisor is told to end");
}

/// Whoever wants a job to stop that fails again and again need not hit the moment.
#[test]
fn a_stop_outlives_the_attempt_that_was_asked_for_it() {
    let control = control();
    let (ask, _asked) = worker();
    control.begins(1, &[4711], ask);
    let stopping = Arc::clone(&control);
    let stop = thread::spawn(move || stopping.checkpoint(STOP));
    wait_until(&control, |_, stoppers| stoppers == 1);
    control.runs(1);
    wait_until(&control, |phase, _| matches!(phase, Phase::Running));
    assert!(control.restarts("it failed".to_owned(), Duration::ZERO), "there is no next attempt");
    assert!(stop.join().unwrap().unwrap().was_restarting);
    wait_until(&control, |_, stoppers| stoppers == 0);
}

/// Its process may die before it ends: whoever was told that the job has stopped would find it running again.
#[test]
fn a_job_that_has_stopped_by_its_own_word_is_not_started_again() {
    let control = control();
    let asked = run(&control, 1);
    let savepoint = SavepointRequest { to: None, stop: true, drain: false };
    let ask = |question| {
        let asking = Arc::clone(&control);
        let answered = thread::spawn(move || match question {
            Question::Checkpoint(request) => asking.checkpoint(request).map(drop),
            Question::Savepoint(request) => asking.savepoint(request).map(drop),
            _ => panic!("nobody asks that"),
        });
        (asked.recv_timeout(LIMIT).unwrap().0, answered)
    };
    let taken = || Ok(json!({ "was_restarting": false }));
    let (number, answered) = ask(Question::Checkpoint(CheckpointRequest { stop: false, drain: false }));
    control.answered(number, taken());
    answered.join().unwrap().unwrap();
    let (number, answered) = ask(Question::Savepoint(savepoint));
    control.answered(number, Err(ApiError::new(Fault::Job, "the disk is full")));
    refused(answered.join().unwrap(), Fault::Job);
    assert!(!control.has_stopped());
    let (number, answered) = ask(Question::Checkpoint(CheckpointRequest { stop: true, drain: true }));
    control.answered(number, taken());
    assert!(control.has_stopped());
    answered.join().unwrap().unwrap();
}

#[test]
fn the_end_of_the_job_is_an_answer() {
    let control = control();
    let asked = run(&control, 1);
    let asking = Arc::clone(&control);
    let stop = thread::spawn(move || asking.checkpoint(STOP));
    asked.recv_timeout(LIMIT).unwrap();
    control.ended(End::Failed("the file is damaged".to_owned()));
    assert_eq!(refused(stop.join().unwrap(), Fault::Job), "the job has failed: the file is damaged");
    control.ended(End::Finished);
    assert_eq!(refused(control.savepoint(SavepointRequest::default()), Fault::Conflict), "the job has ended");
}
