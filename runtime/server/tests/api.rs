//! The API over a real socket, before a job that is made up.

use serde_json::{Value, json};
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tidewheel_server::model::{
    Checkpoint, CheckpointRequest, Checkpoints, InProgress, JobState, JobStatus, Metrics, Part, PartWatermark, Process,
    RateRequest, Restart, Savepoint, SavepointRequest, SourceRate, SplitWatermark, Taken, Watermarks,
};
use tidewheel_server::{ApiError, Client, ClientError, Fault, JobApi, Server};

/// How long a test waits for what has to happen.
const LIMIT: Duration = Duration::from_secs(20);

/// A job whose savepoints begin and end when the test says so.
struct FakeJob {
    /// Told each savepoint that begins.
    began: Sender<SavepointRequest>,
    /// Taken from before a savepoint ends.
    go_on: Mutex<Receiver<Result<(), ApiError>>>,
    /// Told each one that has ended.
    ended: Sender<()>,
}

fn checkpoint() -> Checkpoint {
    Checkpoint {
        id: 7,
        attempt: 2,
        epoch: 4_711,
        created_ms: 1_700_000_000_000,
        duration_ms: 120,
        bytes: 4_096,
        bytes_added: 64,
    }
}

fn status() -> JobStatus {
    JobStatus {
        name: "copy".to_owned(),
        state: JobState::Running,
        attempt: 2,
        started_ms: 1_699_999_000_000,
        attempt_started_ms: 1_699_999_900_000,
        workers: 4,
        processes: vec![Process { index: 0, pid: 4_242, workers: 4 }],
        last_checkpoint: Some(checkpoint()),
        in_progress: None,
        restarts: vec![Restart { attempt: 1, at_ms: 1_699_999_890_000, reason: "process 0 was killed".to_owned() }],
        next_attempt_ms: None,
        parts: vec![Part { name: "lines".to_owned(), kind: "source".to_owned(), records_out: 3, ..Part::default() }],
    }
}

fn watermarks() -> Watermarks {
    let split = SplitWatermark {
        source: "orders".to_owned(),
        split: "memory-0".to_owned(),
        state: "active".to_owned(),
        watermark: None,
        since_ms: 1_700_000_000_000,
    };
    let part = PartWatermark { name: "copy".to_owned(), kind: "operator".to_owned(), ..PartWatermark::default() };
    Watermarks { parts: vec![PartWatermark { held_back_by: Some(split.clone()), ..part }], splits: vec![split] }
}

impl JobApi for FakeJob {
    fn status(&self) -> Result<JobStatus, ApiError> {
        Ok(status())
    }

    fn checkpoints(&self) -> Result<Checkpoints, ApiError> {
        let in_progress = Some(InProgress { id: 8, savepoint: true, created_ms: 1_700_000_001_000 });
        Ok(Checkpoints { completed: 7, failed: 1, in_progress, kept: vec![checkpoint()], ..Checkpoints::default() })
    }

    fn checkpoint(&self, request: CheckpointRequest) -> Result<Taken, ApiError> {
        assert!(!request.drain, "the test of panics asks for this");
        Err(ApiError::new(Fault::Conflict, "the job is starting").with_hint("ask again when it runs"))
    }

    fn savepoint(&self, request: SavepointRequest) -> Result<Savepoint, ApiError> {
        let url = request.to.clone().unwrap_or("file:///data/savepoints/7".to_owned());
        self.began.send(request).unwrap();
        let result = self.go_on.lock().unwrap().recv_timeout(LIMIT).expect("the test lets it go on");
        self.ended.send(()).unwrap();
        result.map(|()| Savepoint { url, checkpoint: checkpoint() })
    }

    fn rate(&self, rate: RateRequest) -> Result<SourceRate, ApiError> {
        Ok(SourceRate { source: rate.source, records: rate.records, bytes: rate.bytes })
    }

    fn watermarks(&self) -> Result<Watermarks, ApiError> {
        Ok(watermarks())
    }

    fn metrics(&self) -> Result<Metrics, ApiError> {
        Ok(Metrics { job: [("epoch".to_owned(), 4_711.0)].into(), parts: [].into() })
    }
}

/// A server before a [`FakeJob`], and the test's ends of its strings.
struct Fixture {
    server: Option<Server>,
    socket: PathBuf,
    began: Receiver<SavepointRequest>,
    go_on: Sender<Result<(), ApiError>>,
    ended: Receiver<()>,
    _folder: TempDir,
}

impl Fixture {
    fn new() -> Fixture {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("socket");
        let (began_sender, began) = channel();
        let (go_on, go_on_receiver) = channel();
        let (ended_sender, ended) = channel();
        let job = FakeJob { began: began_sender, go_on: Mutex::new(go_on_receiver), ended: ended_sender };
        let server = Server::start(UnixListener::bind(&socket).unwrap(), Arc::new(job)).unwrap();
        Fixture { server: Some(server), socket, began, go_on, ended, _folder: folder }
    }

    fn client(&self) -> Client {
        Client::over(self.connect()).unwrap()
    }

    fn connect(&self) -> UnixStream {
        UnixStream::connect(&self.socket).unwrap()
    }

    /// Sends this text and returns status and body of the answer.
    fn raw(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let mut stream = self.connect();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nhost: job\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, serde_json::from_str(body).unwrap())
    }
}

#[test]
fn what_a_job_says_comes_through() {
    let fixture = Fixture::new();
    let mut client = fixture.client();
    assert_eq!(client.status().unwrap(), status());
    let checkpoints = client.checkpoints().unwrap();
    assert_eq!((checkpoints.completed, checkpoints.kept), (7, vec![checkpoint()]));
    assert_eq!(checkpoints.in_progress.unwrap().id, 8);
    let rate = RateRequest { source: "lines".to_owned(), records: Some(7), ..RateRequest::default() };
    let set = SourceRate { source: "lines".to_owned(), records: Some(7), bytes: None };
    assert_eq!(client.rate(&rate).unwrap(), set);
    assert_eq!(client.watermarks().unwrap(), watermarks());
    assert_eq!(client.metrics().unwrap().job["epoch"], 4_711.0);
    fixture.go_on.send(Ok(())).unwrap();
    let request = SavepointRequest { to: Some("s3://bucket/x".to_owned()), stop: true, drain: true };
    let savepoint = client.savepoint(&request).unwrap();
    assert_eq!(savepoint, Savepoint { url: "s3://bucket/x".to_owned(), checkpoint: checkpoint() });
    assert_eq!(fixture.began.recv_timeout(LIMIT).unwrap(), request);
}

#[test]
fn the_words_of_the_api() {
    let fixture = Fixture::new();
    let (code, status) = fixture.raw("GET", "/v1/job", "");
    assert_eq!((code, &status["state"], &status["processes"][0]["pid"]), (200, &json!("running"), &json!(4_242)));
    fixture.go_on.send(Ok(())).unwrap();
    let savepoint = json!({
        "url": "file:///data/savepoints/7", "id": 7, "attempt": 2, "epoch": 4711, "created_ms": 1_700_000_000_000_i64,
        "duration_ms": 120, "bytes": 4096, "bytes_added": 64,
    });
    assert_eq!(fixture.raw("POST", "/v1/job/savepoints", ""), (200, savepoint));
    let request = fixture.began.recv_timeout(LIMIT).unwrap();
    assert_eq!(request, SavepointRequest::default(), "without a body everything has its default");
}

#[test]
fn errors_have_a_status_and_a_hint() {
    let fixture = Fixture::new();
    let refused = json!({ "error": "the job is starting", "hint": "ask again when it runs" });
    assert_eq!(fixture.raw("POST", "/v1/job/checkpoint", "{}"), (409, refused));
    let error = fixture.client().checkpoint(&CheckpointRequest::default()).unwrap_err();
    assert_eq!(error.to_string(), "the job is starting\n\nhint: ask again when it runs");
    assert!(matches!(error, ClientError::Refused(ApiError { fault: Fault::Conflict, .. })));

    fixture.go_on.send(Err(ApiError::new(Fault::Job, "the disk is full"))).unwrap();
    assert_eq!(fixture.raw("POST", "/v1/job/savepoints", "{}"), (500, json!({ "error": "the disk is full" })));

    let (code, body) = fixture.raw("POST", "/v1/job/savepoints", r#"{ "stpo": true }"#);
    assert_eq!(code, 400);
    let message = "unknown field `stpo`, expected one of `to`, `stop`, `drain` at line 1 column 8";
    assert_eq!(body["error"], message);

    for (method, path) in [("GET", "/v1/jobs"), ("DELETE", "/v1/job")] {
        let (code, body) = fixture.raw(method, path, "");
        assert_eq!((code, &body["error"]), (404, &json!(format!("there is no {method} {path}"))));
        assert!(body["hint"].as_str().unwrap().contains("GET /v1/job,"));
    }
}

#[test]
fn a_panic_is_an_answer_and_no_end() {
    let fixture = Fixture::new();
    let mut client = fixture.client();
    let error = client.checkpoint(&CheckpointRequest { stop: false, drain: true }).unwrap_err();
    let message = "the job panicked over this request\n\nhint: this is a fault in Tidewheel: please report it";
    assert_eq!(error.to_string(), message);
    assert_eq!(client.status().unwrap(), status());
}

#[test]
fn a_savepoint_goes_on_when_whoever_asked_goes_away() {
    let fixture = Fixture::new();
    let mut stream = fixture.connect();
    write!(stream, "POST /v1/job/savepoints HTTP/1.1\r\nhost: job\r\ncontent-length: 0\r\n\r\n").unwrap();
    fixture.began.recv_timeout(LIMIT).unwrap();
    drop(stream);
    // Somebody else is served meanwhile.
    assert_eq!(fixture.client().status().unwrap(), status());
    fixture.go_on.send(Ok(())).unwrap();
    fixture.ended.recv_timeout(LIMIT).expect("it was not given up");
}

#[test]
fn a_server_that_stops_answers_what_is_under_way() {
    let mut fixture = Fixture::new();
    let mut client = fixture.client();
    let asking = thread::spawn(move || client.savepoint(&SavepointRequest { stop: true, ..Default::default() }));
    fixture.began.recv_timeout(LIMIT).unwrap();
    let server = fixture.server.take().unwrap();
    let stopping = thread::spawn(move || server.stop());
    let deadline = Instant::now() + LIMIT;
    while UnixStream::connect(&fixture.socket).is_ok() {
        assert!(Instant::now() < deadline, "a server that stops takes nobody in");
        thread::yield_now();
    }
    fixture.go_on.send(Ok(())).unwrap();
    assert_eq!(asking.join().unwrap().unwrap().checkpoint, checkpoint());
    stopping.join().unwrap();
}

#[test]
fn a_job_that_goes_away_is_no_answer() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("socket");
    let listener = UnixListener::bind(&socket).unwrap();
    let mut client = Client::over(UnixStream::connect(&socket).unwrap()).unwrap();
    drop(listener.accept().unwrap());
    let error = client.status().unwrap_err();
    assert!(matches!(error, ClientError::Gone(_)), "{error}");
    assert_eq!(error.to_string(), "the job went away before it answered");
}

#[test]
fn an_answer_of_another_version_is_said_to_be_one() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("socket");
    let listener = UnixListener::bind(&socket).unwrap();
    let mut client = Client::over(UnixStream::connect(&socket).unwrap()).unwrap();
    let answering = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 1024];
        let read = stream.read(&mut request).unwrap();
        assert!(request[..read].starts_with(b"GET /v1/job HTTP/1.1\r\n"));
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").unwrap();
    });
    let error = client.status().unwrap_err();
    assert_eq!(error.to_string(), "the job's answer to /v1/job cannot be understood: is it of another version?");
    answering.join().unwrap();
}
