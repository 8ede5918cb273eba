//! The commands that speak to a running job: before one that is made up, what they ask for and what they print; before a
//! real one, that they are answered whatever happens to it.

use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tidewheel_cluster::{DataFolder, Registration, Registry};
use tidewheel_crash_points::{CrashPoint, VARIABLE, marker};
use tidewheel_server::model::{
    Checkpoint, CheckpointRequest, Checkpoints, JobState, JobStatus, Metrics, PartWatermark, RateRequest, Savepoint,
    SavepointRequest, SourceRate, SplitWatermark, Taken, Watermarks,
};
use tidewheel_server::{ApiError, Fault, JobApi, Server};
use tidewheel_tests::survival::{committed, staged};
use tidewheel_tests::{Ended, folder_with, guest, repo_root, tidewheel};

/// A job that notes what it is asked for.
#[derive(Default)]
struct FakeJob {
    asked: Mutex<Vec<String>>,
}

fn checkpoint() -> Checkpoint {
    Checkpoint {
        id: 7,
        attempt: 2,
        epoch: 4_711,
        created_ms: 1_700_000_000_000,
        duration_ms: 1_200,
        bytes: 3 << 20,
        bytes_added: 64 << 10,
    }
}

impl JobApi for FakeJob {
    fn status(&self) -> Result<JobStatus, ApiError> {
        Ok(JobStatus {
            name: "copy".to_owned(),
            state: JobState::Running,
            attempt: 2,
            started_ms: 0,
            attempt_started_ms: 0,
            workers: 4,
            processes: Vec::new(),
            last_checkpoint: None,
            in_progress: None,
            restarts: Vec::new(),
            next_attempt_ms: None,
            parts: Vec::new(),
        })
    }

    fn checkpoints(&self) -> Result<Checkpoints, ApiError> {
        Ok(Checkpoints { completed: 7, kept: vec![checkpoint()], ..Checkpoints::default() })
    }

    fn checkpoint(&self, request: CheckpointRequest) -> Result<Taken, ApiError> {
        self.note("checkpoint", &request);
        Ok(Taken { checkpoint: Some(checkpoint()), was_restarting: false })
    }

    fn savepoint(&self, request: SavepointRequest) -> Result<Savepoint, ApiError> {
        self.note("savepoint", &request);
        match &request.to {
            Some(to) if to.starts_with("s3:") => {
                Err(ApiError::new(Fault::Job, "the store cannot be reached").with_hint("look at its address"))
            }
            to => Ok(Savepoint { url: format!("{}/7", to.as_deref().unwrap_or("/data")), checkpoint: checkpoint() }),
        }
    }

    fn rate(&self, rate: RateRequest) -> Result<SourceRate, ApiError> {
        self.note("rate", &rate);
        match rate.source.as_str() {
            "liens" => Err(ApiError::new(Fault::Missing, "the job has no source \"liens\"")),
            _ => Ok(SourceRate { source: rate.source, records: rate.records, bytes: rate.bytes }),
        }
    }

    fn watermarks(&self) -> Result<Watermarks, ApiError> {
        let split = SplitWatermark {
            source: "lines".to_owned(),
            split: "a.jsonl".to_owned(),
            state: "active".to_owned(),
            watermark: Some(14_999),
            since_ms: 0,
        };
        let part = PartWatermark { name: "count".to_owned(), watermark: Some(14_999), ..PartWatermark::default() };
        let parts = vec![PartWatermark { held_back_by: Some(split.clone()), ..part }];
        Ok(Watermarks { parts, splits: vec![split] })
    }

    fn metrics(&self) -> Result<Metrics, ApiError> {
        Ok(Metrics::default())
    }
}

impl FakeJob {
    fn note(&self, what: &str, request: &impl serde::Serialize) {
        self.asked.lock().unwrap().push(format!("{what} {}", serde_json::to_string(request).unwrap()));
    }
}

/// A [`FakeJob`] called `copy`, in a folder of its own and a registry of its own.
struct Fixture {
    job: Arc<FakeJob>,
    data: PathBuf,
    home: TempDir,
    _registration: Registration,
    _server: Server,
    _folder: DataFolder,
}

impl Fixture {
    fn new() -> Fixture {
        let home = tempfile::tempdir().unwrap();
        let folder = DataFolder::open(&home.path().join("data")).unwrap();
        let job = Arc::new(FakeJob::default());
        let server = Server::start(folder.bind_control().unwrap(), job.clone()).unwrap();
        let registry = Registry::at(&home.path().join("tidewheel/jobs"));
        let registration = registry.register("copy", &folder, 1_700_000_000_000).unwrap();
        let data = folder.path().to_owned();
        Fixture { job, data, home, _registration: registration, _server: server, _folder: folder }
    }

    fn run(&self, arguments: &[&str]) -> Ended {
        run_at(self.home.path(), arguments)
    }

    /// What it was asked for since the last time.
    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.job.asked.lock().unwrap())
    }
}

fn run_at(home: &Path, arguments: &[&str]) -> Ended {
    let output = tidewheel().args(arguments).current_dir(home).env("XDG_RUNTIME_DIR", home).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ended { code: output.status.code().unwrap(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

fn ended(code: i32, stdout: &str, stderr: &str) -> Ended {
    Ended { code, stdout: stdout.to_owned(), stderr: stderr.to_owned() }
}

#[test]
fn jobs_are_listed() {
    let fixture = Fixture::new();
    let json: Value = serde_json::from_str(&fixture.run(&["jobs", "--json"]).stdout).unwrap();
    let (job, folder) = (&json[0], fixture.data.to_str().unwrap());
    assert_eq!((&job["job"], &job["folder"], &job["error"]), (&json!("copy"), &json!(folder), &Value::Null));
    assert_eq!((&job["status"]["state"], &job["pid"]), (&json!("running"), &json!(std::process::id())));
    let text = fixture.run(&["jobs"]);
    let (heading, row) = text.stdout.split_once('\n').unwrap();
    assert!(heading.starts_with("NAME  STATE    RESTARTS  WORKERS  "), "{heading}");
    assert!(row.starts_with("copy  running         1        4  ") && row.trim_end().ends_with(folder), "{row}");
    let nowhere = tempfile::tempdir().unwrap();
    assert_eq!(run_at(nowhere.path(), &["jobs"]), ended(0, "", "no job is running\n"));
    assert_eq!(run_at(nowhere.path(), &["jobs", "--json"]), ended(0, "[]\n", ""));
}

#[test]
fn checkpoints_are_listed() {
    let fixture = Fixture::new();
    let text = fixture.run(&["checkpoints", "copy"]);
    let (heading, row) = text.stdout.split_once('\n').unwrap();
    assert_eq!(
        heading.split_whitespace().collect::<Vec<_>>(),
        ["ID", "ATTEMPT", "EPOCH", "SIZE", "ADDED", "DURATION", "AGE"]
    );
    assert!(row.contains("7        2   4711  3.0 MiB  64.0 KiB     1.2 s  "), "{row}");
    assert_eq!((text.code, text.stderr.as_str()), (0, "7 completed, 0 failed\n"));
    let json = fixture.run(&["checkpoints", "--json", fixture.data.to_str().unwrap()]);
    let json: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!((&json["completed"], &json["kept"][0]["epoch"]), (&json!(7), &json!(4_711)));
}

#[test]
fn a_source_is_limited() {
    let fixture = Fixture::new();
    let rate = |arguments: &[&str]| fixture.run(&[&["rate", "copy", "lines"], arguments].concat());
    assert_eq!(rate(&["--records", "1000"]), ended(0, "", "lines: at most 1,000 records a second\n"));
    assert_eq!(fixture.asked(), [r#"rate {"source":"lines","records":1000}"#]);
    let both = rate(&["--records", "5", "--bytes", "1MiB"]);
    assert_eq!(both, ended(0, "", "lines: at most 5 records and 1.0 MiB a second\n"));
    assert_eq!(rate(&["--unlimited"]), ended(0, "", "lines is read without a limit\n"));
    let json = ended(0, "{\"source\":\"lines\",\"records\":null,\"bytes\":512}\n", "");
    assert_eq!(rate(&["--bytes", "512B", "--json"]), json);
    fixture.asked();
    for wrong in [&[][..], &["--records", "0"], &["--bytes", "5"], &["--unlimited", "--records", "1"]] {
        assert_eq!(rate(wrong).code, 2, "{wrong:?}");
    }
    assert!(fixture.asked().is_empty());
    let missing = fixture.run(&["rate", "copy", "liens", "--unlimited"]);
    assert_eq!(missing, ended(1, "", "error: the job has no source \"liens\"\n"));
}

#[test]
fn what_holds_a_watermark_back_is_shown() {
    let fixture = Fixture::new();
    let text = fixture.run(&["watermarks", "copy"]).stdout;
    let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[1][..4], ["count", "1970-01-01T00:00:14Z", "lines", "a.jsonl"]);
    assert_eq!(rows[4][..4], ["lines", "a.jsonl", "active", "1970-01-01T00:00:14Z"]);
    let json: Value = serde_json::from_str(&fixture.run(&["watermarks", "copy", "--json"]).stdout).unwrap();
    let holder = &json["parts"][0]["held_back_by"];
    assert_eq!((&holder["split"], &holder["since_ms"]), (&json!("a.jsonl"), &json!(0)));
}

#[test]
fn savepoints_are_asked_for() {
    let fixture = Fixture::new();
    let said = "savepoint of 3.0 MiB taken in 1.2 s\n";
    assert_eq!(fixture.run(&["savepoint", "copy"]), ended(0, "/data/7\n", said));
    assert_eq!(fixture.asked(), [r#"savepoint {"to":null,"stop":false,"drain":false}"#]);

    // A path is the user's, and the job runs elsewhere.
    let to = fixture.home.path().canonicalize().unwrap().join("kept").display().to_string();
    assert_eq!(fixture.run(&["savepoint", "copy", "--to", "kept"]), ended(0, &format!("{to}/7\n"), said));
    assert_eq!(fixture.asked(), [format!(r#"savepoint {{"to":"{to}","stop":false,"drain":false}}"#)]);

    let json = fixture.run(&["savepoint", "copy", "--json", "--to", "file:///kept"]);
    let json: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!((&json["url"], &json["epoch"]), (&json!("file:///kept/7"), &json!(4_711)));

    let failed = fixture.run(&["savepoint", "copy", "--to", "s3://bucket"]);
    let stderr = "error: the store cannot be reached\n\nhint: look at its address\n";
    assert_eq!(failed, ended(1, "", stderr), "what was rightly asked for and failed is no wrong usage");
}

#[test]
fn jobs_are_stopped() {
    let fixture = Fixture::new();
    assert_eq!(fixture.run(&["stop", "copy"]), ended(0, "", "copy has stopped\n"));
    assert_eq!(fixture.asked(), [r#"checkpoint {"stop":true,"drain":false}"#]);
    assert_eq!(fixture.run(&["stop", "copy", "--drain", "--json"]).code, 0);
    assert_eq!(fixture.asked(), [r#"checkpoint {"stop":true,"drain":true}"#]);
    let said = "savepoint of 3.0 MiB taken in 1.2 s\ncopy has stopped\n";
    let arguments = ["stop", "copy", "--savepoint", "--to", "file:///kept", "--drain"];
    assert_eq!(fixture.run(&arguments), ended(0, "file:///kept/7\n", said));
    assert_eq!(fixture.asked(), [r#"savepoint {"to":"file:///kept","stop":true,"drain":true}"#]);
    let wrong = fixture.run(&["stop", "copy", "--to", "kept"]);
    assert_eq!(wrong.code, 2);
    assert!(wrong.stderr.contains("--savepoint"), "{}", wrong.stderr);
    assert!(fixture.asked().is_empty());
}

#[test]
fn a_job_that_is_not_there() {
    let fixture = Fixture::new();
    let slip = "error: no job \"cpoy\" is running\n\nhint: did you mean \"copy\"?\n";
    for command in ["checkpoints", "watermarks", "savepoint", "stop"] {
        assert_eq!(fixture.run(&[command, "cpoy"]), ended(2, "", slip));
    }
    let folder = fixture.home.path().join("empty");
    std::fs::create_dir(&folder).unwrap();
    let stderr = "error: cannot reach a job at empty/control.sock: No such file or directory (os error 2)\n\n\
                  hint: `tidewheel jobs` lists the running ones\n";
    assert_eq!(fixture.run(&["stop", "empty"]), ended(2, "", stderr));
}

/// Longer than anything here takes, on a busy machine too: what takes longer hangs.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A job without an end that commits five times a second, and waits an hour before it starts again.
fn patient() -> String {
    let qk = repo_root().join("guest-examples/nexmark/qk.wasm");
    format!(
        r#"name = "patient"

[sources.bids]
connector = "nexmark"
events = ["bid"]
rate = 1000

[operators.count]
component = '{}'
input = "bids"
key = {{ bytes = "9..17" }}
config = {{ results = "json" }}

[sinks.counts]
connector = "file"
input = "count"
path = "counts/"

[checkpoint]
interval = "200ms"

[restart]
strategy = "fixed"
delay = "1h"
"#,
        qk.display()
    )
}

/// A real job in a folder of its own, which is its registry's home, too; ended when dropped.
struct RealJob {
    home: TempDir,
    supervisor: Child,
}

impl RealJob {
    fn start() -> RealJob {
        RealJob::start_in(folder_with(&[("job.toml", &patient())]), "")
    }

    /// Runs `job.toml` in that folder; it dies at these crash points.
    fn start_in(home: TempDir, crashes: &str) -> RealJob {
        let supervisor = RealJob::spawn(&home, crashes);
        RealJob { home, supervisor }
    }

    /// Runs it once more, when it has ended.
    fn again(&mut self) {
        self.supervisor = RealJob::spawn(&self.home, "");
    }

    fn spawn(home: &TempDir, crashes: &str) -> Child {
        let mut command = tidewheel();
        command.args(["run", "job.toml", "--quiet"]).current_dir(home.path()).env("XDG_RUNTIME_DIR", home.path());
        command.env(VARIABLE, crashes);
        command.stderr(std::fs::File::create(home.path().join("stderr")).unwrap()).spawn().unwrap()
    }

    fn run(&self, arguments: &[&str]) -> Ended {
        run_at(self.home.path(), arguments)
    }

    /// What it says of itself, once it does.
    fn status(&self) -> Value {
        let jobs: Value = serde_json::from_str(&self.run(&["jobs", "--json"]).stdout).unwrap();
        jobs[0]["status"].clone()
    }

    /// Its status, when `is_so` of it.
    #[track_caller]
    fn wait_until(&self, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let began = Instant::now();
        loop {
            let status = self.status();
            if is_so(&status) {
                return status;
            }
            assert!(began.elapsed() < TIMEOUT, "waited in vain until {what}: {status}");
        }
    }

    /// Waits until it runs and has a checkpoint; then kills its worker process and waits until that has been seen.
    fn fail(&self) -> Value {
        let has_checkpoint = |status: &Value| status["state"] == "running" && status["last_checkpoint"]["id"].is_u64();
        let worker = self.wait_until("it has a checkpoint", has_checkpoint)["processes"][0]["pid"].clone();
        assert_ne!(worker, self.supervisor.id(), "it is the supervisor that answers, for its worker process");
        signal("KILL", &worker.to_string());
        self.wait_until("it is restarting", |status| status["state"] == "restarting")
    }

    /// Waits until it has read something.
    fn wait_until_it_has_read(&self) {
        self.wait_until("it has read something", |status| status["parts"][0]["records_out"].as_u64() > Some(0));
    }

    /// Its exit code and what it has said, once it has ended by itself.
    fn end(&mut self) -> (Option<i32>, String) {
        let began = Instant::now();
        loop {
            if let Some(status) = self.supervisor.try_wait().unwrap() {
                return (status.code(), std::fs::read_to_string(self.home.path().join("stderr")).unwrap());
            }
            assert!(began.elapsed() < TIMEOUT, "it does not end");
            std::thread::park_timeout(Duration::from_millis(2));
        }
    }
}

impl Drop for RealJob {
    fn drop(&mut self) {
        // Its workers die with it.
        let _ = self.supervisor.kill();
        let _ = self.supervisor.wait();
    }
}

/// A source whose component says how far event time has come, in history and after it; another keeps the job going.
#[test]
fn a_watermark_that_a_component_makes_is_shown() {
    let lines = format!(
        "[sources.lines]\nconnector = \"hybrid\"\nfirst = {{ connector = \"file\", path = \"history.txt\" }}\n\
         then = {{ connector = \"file\", path = \"in.txt\" }}\nevent-time = {{ component = {:?} }}\n\
         watermark = {{ punctuated = true }}\n\n[operators.count]",
        guest("marks")
    );
    let seen = "[sinks.seen]\nconnector = \"discard\"\ninput = \"lines\"\n\n[checkpoint]";
    let text = patient().replacen("[operators.count]", &lines, 1).replacen("[checkpoint]", seen, 1);
    let lines = [("history.txt", "one at:9000 to:a mark:1500\n"), ("in.txt", "two at:2000 to:a mark:1000\n")];
    let mut job = RealJob::start_in(folder_with(&[("job.toml", &text), lines[0], lines[1]]), "");
    job.wait_until("the lines are read", |status| {
        let read = |part: &Value| part["name"] == "lines" && part["records_out"] == 2;
        status["parts"].as_array().is_some_and(|parts| parts.iter().any(read))
    });
    let began = Instant::now();
    let split = loop {
        let shown: Value = serde_json::from_str(&job.run(&["watermarks", "patient", "--json"]).stdout).unwrap();
        let splits = shown["splits"].as_array().unwrap();
        let split = splits.iter().find(|split| split["source"] == "lines" && split["state"] == "ended").cloned();
        match split {
            Some(split) => break split,
            None => assert!(began.elapsed() < TIMEOUT, "waited in vain until the lines have ended: {shown}"),
        }
    };
    assert_eq!((&split["split"], &split["watermark"]), (&json!("in.txt"), &json!(1_500)));
    let shown = job.run(&["watermarks", "patient"]).stdout;
    let line = shown.lines().find(|line| line.starts_with("lines ")).expect("the split is shown");
    assert!(line.contains("1970-01-01T00:00:01Z"), "{shown}");
    assert_eq!(job.run(&["stop", "patient"]).code, 0);
    assert_eq!(job.end().0, Some(0));
}

fn signal(name: &str, pid: &str) {
    assert!(Command::new("kill").args([&format!("-{name}"), pid]).status().unwrap().success());
}

#[test]
fn a_job_between_two_attempts_says_so_and_can_be_stopped() {
    let mut job = RealJob::start();
    let status = job.fail();
    assert_eq!((&status["attempt"], &status["processes"]), (&json!(1), &json!([])));
    let restart = &status["restarts"][0];
    assert!(restart["reason"].as_str().unwrap().contains("SIGKILL"), "{restart}");
    let wait_ms = status["next_attempt_ms"].as_i64().unwrap() - restart["at_ms"].as_i64().unwrap();
    assert!((3_590_000..=3_600_000).contains(&wait_ms), "an hour later: {wait_ms}");
    let last = status["last_checkpoint"]["id"].as_u64().unwrap();

    let listed = job.run(&["jobs"]);
    assert!(listed.stdout.contains("patient  restarting  "), "{}", listed.stdout);
    assert!(listed.stderr.starts_with("patient: attempt 1 failed: "), "{}", listed.stderr);
    assert!(listed.stderr.contains("the next begins in "), "{}", listed.stderr);
    let checkpoints: Value = serde_json::from_str(&job.run(&["checkpoints", "patient", "--json"]).stdout).unwrap();
    assert_eq!(checkpoints["kept"][0]["id"], last);

    for arguments in
        [&["savepoint", "patient"][..], &["stop", "patient", "--savepoint"], &["stop", "patient", "--drain"]]
    {
        let refused = job.run(arguments);
        assert_eq!((refused.code, refused.stdout.as_str()), (1, ""), "{arguments:?}: {}", refused.stderr);
        assert!(refused.stderr.starts_with("error: the job is restarting: attempt 1 failed: "), "{}", refused.stderr);
        assert!(refused.stderr.contains("\n\nhint: try again when it runs"), "{}", refused.stderr);
    }
    let stopped = job.run(&["stop", "patient", "--json"]);
    let taken: Value = serde_json::from_str(&stopped.stdout).unwrap();
    assert_eq!((stopped.code, &taken["id"], &taken["was_restarting"]), (0, &json!(last), &json!(true)));
    let said = format!("patient was restarting, and has stopped: run again, it goes on from checkpoint {last}\n");
    assert_eq!(stopped.stderr, said);
    let (code, said) = job.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.ends_with("stopped while it was restarting: run again, it goes on from its last checkpoint\n"),
        "{said}"
    );
}

/// Whoever waits for a savepoint learns that the job has failed meanwhile, and is not left waiting.
#[test]
fn a_savepoint_whose_job_fails_is_refused() {
    let job = RealJob::start();
    let runs = |status: &Value| status["state"] == "running";
    let worker = job.wait_until("it runs", runs)["processes"][0]["pid"].to_string();
    signal("STOP", &worker);
    let silent = job.run(&["jobs"]);
    assert!(silent.stdout.contains("patient  silent "), "it is stopped, and says so in time: {}", silent.stdout);
    let mut command = tidewheel();
    command.args(["savepoint", "patient"]).current_dir(job.home.path()).env("XDG_RUNTIME_DIR", job.home.path());
    let asking = command.stderr(std::process::Stdio::piped()).spawn().unwrap();
    signal("KILL", &worker);
    let asked = asking.wait_with_output().unwrap();
    let said = String::from_utf8(asked.stderr).unwrap();
    assert_eq!(asked.status.code(), Some(1), "{said}");
    assert!(said.starts_with("error: the job is restarting: attempt 1 failed: "), "{said}");
}

/// Event time has ended with its last checkpoint: an attempt that went on from there would begin event time anew, and whoever
/// wanted it to stop would find it running.
#[test]
fn a_job_that_dies_when_it_has_been_drained_commits_what_it_made_and_reads_no_more() {
    let text = patient().replace("delay = \"1h\"", "delay = \"10ms\"");
    let text = text.replace("interval = \"200ms\"", "interval = \"1h\"");
    let stop = &["stop", "patient", "--drain"][..];
    for (point, stop) in [
        (CrashPoint::AfterManifest, stop),
        (CrashPoint::BeforeCommit, stop),
        (CrashPoint::AfterCommit, stop),
        (CrashPoint::BeforeSavepoint, &["stop", "patient", "--drain", "--savepoint"]),
    ] {
        let home = folder_with(&[("job.toml", &text)]);
        let mut job = RealJob::start_in(home, &format!("1:{point}:1:kill"));
        job.wait_until_it_has_read();
        let asked = job.run(stop);
        assert_ne!(asked.code, 0, "{point}: nobody can say that it has stopped");
        let (code, said) = job.end();
        assert_eq!(code, Some(0), "{point}: {said}");
        assert!(said.contains(&marker(point)), "{point}: {said}");
        assert!(!said.contains("attempt 2 failed"), "{point}: {said}");
        let counts = job.home.path().join("counts");
        let lines = committed(&counts);
        let mut once = lines.clone();
        once.dedup();
        assert!(!lines.is_empty() && once == lines && staged(&counts).is_empty(), "{point}: {lines:?}");
    }
}

/// Run again by hand it goes on.
#[test]
fn a_job_that_was_drained_goes_on_when_it_is_run_again() {
    let mut job = RealJob::start();
    job.wait_until_it_has_read();
    assert_eq!(job.run(&["stop", "patient", "--drain"]).code, 0);
    assert_eq!(job.end().0, Some(0));
    job.again();
    job.wait_until_it_has_read();
    assert_eq!(job.run(&["stop", "patient"]).code, 0);
    let (code, said) = job.end();
    assert_eq!(code, Some(0), "{said}");
}
