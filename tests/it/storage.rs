//! Disks that are full and stores that are away: a job says what it misses and where, commits nothing that is wrong, and
//! goes on when it has it again.
//!
//! A small disk is a file system in memory, in a mount namespace of its own: it needs no rights where users may make
//! namespaces, and is gone with its process. Damaged and missing files are in `recovery.rs`.

use hyper::service::service_fn;
use hyper::{Method, body::Incoming};
use hyper_util::rt::TokioIo;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use serde_json::Value;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, LazyLock};
use tempfile::TempDir;
use tidewheel_tests::survival::{Results, Running, committed, difference, expected, finished, job, said, wait_until};
use tidewheel_tests::{folder_with, run, tidewheel};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::Mutex;

/// Events of the jobs.
const EVENTS: u64 = 150_000;

/// What they commit that nothing happens to.
static EXPECTED: LazyLock<Results> = LazyLock::new(|| expected(EVENTS));

/// A folder with a job, and in it the folder `disk`, which is a small disk to the processes that are started there.
struct SmallDisk {
    folder: TempDir,
    /// Lives in the namespace, which lives as long.
    holder: Child,
}

impl SmallDisk {
    /// None, and loudly so, where nobody may mount anything.
    fn with_job(spec: &str) -> Option<SmallDisk> {
        let folder = folder_with(&[("job.toml", spec)]);
        let disk = folder.path().join("disk");
        fs::create_dir(&disk).expect("a folder");
        let script = r#"mount -t tmpfs -o size=16m none "$0" && echo mounted && exec cat"#;
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--mount", "sh", "-c", script]).arg(&disk);
        let started = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut holder = started.expect("util-linux has the program `unshare`");
        let mut answer = String::new();
        let stdout = holder.stdout.take().expect("it is piped");
        BufReader::new(stdout).read_line(&mut answer).expect("text");
        let disk = SmallDisk { folder, holder };
        if answer != "mounted\n" {
            // Not by a macro: what these print is not seen when a test passes.
            let _ = io::stderr().write_all(b"\nSKIPPED: a test of full disks; this system lets nobody mount a tmpfs\n");
            return None;
        }
        Some(disk)
    }

    /// A file on the disk, as it is seen from here.
    fn path(&self, name: &str) -> PathBuf {
        let inside = self.folder.path().join("disk").join(name);
        Path::new(&format!("/proc/{}/root", self.holder.id())).join(inside.strip_prefix("/").expect("an absolute path"))
    }

    /// Runs the job there.
    fn run(&self, arguments: &[&str]) -> Running {
        let program = tidewheel();
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.holder.id().to_string(), "--user", "--mount", "--preserve-credentials"]);
        command.args(["sh", "-c", r#"cd "$0" && exec "$@""#]).arg(self.folder.path()).arg(program.get_program());
        command.stdin(Stdio::null());
        command.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
        Running::start_by(command, self.folder.path(), arguments)
    }

    /// Leaves no room.
    fn fill(&self) {
        let mut filler = File::options().create(true).append(true).open(self.path("filler")).expect("a file");
        for bytes in [1 << 16, 1] {
            while filler.write_all(&vec![0; bytes]).is_ok() {}
        }
    }

    fn make_room(&self) {
        fs::remove_file(self.path("filler")).expect("removed");
    }

    fn said(&self) -> String {
        said(self.folder.path())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

#[track_caller]
fn assert_survived(found: &Results) {
    assert_eq!(difference(found, &EXPECTED), None);
}

/// How taking checkpoints goes, as the command line tells.
fn checkpoints(folder: &Path) -> Value {
    let told = run(folder, &["checkpoints", ".tidewheel/kill-me", "--json"]);
    // Between two attempts nobody answers.
    serde_json::from_str(&told.stdout).unwrap_or_default()
}

fn count(folder: &Path, name: &str) -> u64 {
    checkpoints(folder)[name].as_u64().unwrap_or(0)
}

fn rated(backend: &str) -> String {
    job(backend, EVENTS, "rate = 30000")
}

#[test]
fn a_full_store_fails_checkpoints_and_not_the_job() {
    let spec = rated("memory").replace("[checkpoint]\n", "[checkpoint]\nstore = 'disk/store'\n");
    let Some(disk) = SmallDisk::with_job(&spec) else { return };
    let folder = disk.folder.path();
    let running = disk.run(&[]);
    wait_until("it has committed something", || finished(&folder.join("counts")).len() > 2);
    disk.fill();
    wait_until("checkpoints have failed", || count(folder, "failed_in_a_row") > 2);
    let told = checkpoints(folder)["last_failure"].to_string();
    assert!(told.contains("disk/store/") && told.contains("has room"), "file and way out: {told}");
    disk.make_room();
    running.wait(folder);
    assert!(!disk.said().contains("starting again"), "the job itself goes on: {}", disk.said());
    assert_survived(&["counts", "windows"].map(|sink| committed(&folder.join(sink))));
}

#[test]
fn a_store_that_is_full_at_the_start_is_told() {
    let spec = rated("memory").replace("[checkpoint]\n", "[checkpoint]\nstore = 'disk/store'\n");
    let Some(disk) = SmallDisk::with_job(&spec) else { return };
    disk.fill();
    assert_ne!(disk.run(&[]).end(), 0);
    let said = disk.said();
    assert!(said.contains("disk/store") && said.contains("has room"), "{said}");
}

/// Fails with a message that holds all of `words`, again and again, until there is room.
#[track_caller]
fn check_full(disk: &SmallDisk, arguments: &[&str], sinks: [PathBuf; 2], words: &[&str]) {
    let running = disk.run(arguments);
    wait_until("it has committed something", || sinks.iter().all(|sink| !finished(sink).is_empty()));
    let failures = || disk.said().matches("starting again").count();
    wait_until("attempts have failed", || {
        // Again and again: an attempt that begins removes what the last one has left.
        disk.fill();
        failures() > 2
    });
    disk.make_room();
    running.wait(disk.folder.path());
    let said = disk.said();
    assert!(words.iter().all(|word| said.contains(word)), "{said}");
    assert_survived(&sinks.map(|sink| committed(&sink)));
}

#[test]
fn a_full_disk_of_rocksdb_is_told_and_the_job_goes_on_when_there_is_room() {
    let spec = rated("rocksdb").replace("[checkpoint]\n", "[checkpoint]\nstore = 'store'\n");
    let Some(disk) = SmallDisk::with_job(&spec) else { return };
    let sinks = ["counts", "windows"].map(|sink| disk.folder.path().join(sink));
    let words = ["disk/data/state", "No space left on device", "room"];
    check_full(&disk, &["--data-dir", "disk/data"], sinks, &words);
}

#[test]
fn a_full_disk_of_a_sink_is_told_and_the_job_goes_on_when_there_is_room() {
    let Some(disk) = SmallDisk::with_job(&rated("memory").replace("path = \"", "path = \"disk/")) else { return };
    let sinks = ["counts", "windows"].map(|sink| disk.path(sink));
    check_full(&disk, &[], sinks, &["cannot write disk/", "the disk is full", "make room"]);
}

/// A server that speaks S3 and can go away. `s3s-fs` looks and then writes, so conditional puts pass one after the other,
/// as S3 promises.
struct S3 {
    folder: TempDir,
    port: u16,
    runtime: Option<Runtime>,
}

impl S3 {
    fn start() -> S3 {
        let folder = TempDir::new().expect("a folder");
        fs::create_dir(folder.path().join("bucket")).expect("a folder");
        let mut server = S3 { folder, port: 0, runtime: None };
        server.come();
        server
    }

    /// It is there, again at the same port.
    fn come(&mut self) {
        let mut builder = S3ServiceBuilder::new(s3s_fs::FileSystem::new(self.folder.path()).expect("its folder"));
        builder.set_auth(SimpleAuth::from_single("key", "secret"));
        let runtime = Runtime::new().expect("threads");
        let listener = runtime.block_on(TcpListener::bind(("127.0.0.1", self.port))).expect("the port is free");
        self.port = listener.local_addr().expect("it is bound").port();
        runtime.spawn(serve(listener, builder.build()));
        self.runtime = Some(runtime);
    }

    /// It goes away, its connections with it.
    fn go(&mut self) {
        self.runtime = None;
    }

    /// Runs the job in `folder` with a bucket as its store.
    fn run(&self, folder: &Path) -> Running {
        let endpoint = format!("http://127.0.0.1:{}", self.port);
        let environment = [
            ("AWS_ENDPOINT_URL", endpoint.as_str()),
            ("AWS_ACCESS_KEY_ID", "key"),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
            ("AWS_REGION", "us-east-1"),
        ];
        Running::start_with(folder, &[], &environment)
    }
}

async fn serve(listener: TcpListener, service: S3Service) {
    let one_at_a_time = Arc::new(Mutex::new(()));
    while let Ok((socket, _)) = listener.accept().await {
        let (service, one_at_a_time) = (service.clone(), one_at_a_time.clone());
        let answer = service_fn(move |request: hyper::Request<Incoming>| {
            let (service, one_at_a_time) = (service.clone(), one_at_a_time.clone());
            async move {
                let is_conditional = request.method() == Method::PUT && request.headers().contains_key("if-none-match");
                let _guard = if is_conditional { Some(one_at_a_time.lock().await) } else { None };
                hyper::service::Service::call(&service, request).await
            }
        });
        // It ends with the connection.
        tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(socket), answer));
    }
}

/// The job with a bucket as its store, and with another line of `[checkpoint]`.
fn job_with_bucket(line: &str) -> TempDir {
    let table = format!("[checkpoint]\nstore = 's3://bucket/job'\n{line}\n");
    folder_with(&[("job.toml", &rated("memory").replace("[checkpoint]\n", &table))])
}

#[test]
fn a_store_that_cannot_be_reached_at_the_start_is_told() {
    let folder = job_with_bucket("");
    let mut server = S3::start();
    server.go();
    assert_ne!(server.run(folder.path()).end(), 0);
    let said = said(folder.path());
    assert!(said.contains("s3://bucket/job/") && said.contains("see that the store can be reached"), "{said}");
    assert!(!folder.path().join("counts").exists(), "nothing has been begun");
}

#[test]
fn a_store_that_goes_away_fails_checkpoints_and_not_the_job() {
    let folder = job_with_bucket("");
    let mut server = S3::start();
    let running = server.run(folder.path());
    wait_until("it has committed something", || finished(&folder.path().join("counts")).len() > 2);
    server.go();
    wait_until("a checkpoint has failed", || count(folder.path(), "failed") > 0);
    let told = checkpoints(folder.path())["last_failure"].to_string();
    assert!(told.contains("s3://bucket/job/") && told.contains("see that the store can be reached"), "{told}");
    server.come();
    running.wait(folder.path());
    assert!(!said(folder.path()).contains("starting again"), "the job itself goes on: {}", said(folder.path()));
    assert_survived(&["counts", "windows"].map(|sink| committed(&folder.path().join(sink))));
}

#[test]
fn a_job_that_tolerates_no_failure_starts_again_when_its_store_is_back() {
    let folder = job_with_bucket("tolerable-failures = 0");
    let mut server = S3::start();
    let running = server.run(folder.path());
    wait_until("it has committed something", || finished(&folder.path().join("counts")).len() > 2);
    server.go();
    wait_until("an attempt has not begun", || said(folder.path()).contains("it could not begin"));
    let told = said(folder.path());
    assert!(told.contains("attempt 1 failed: checkpoint") && told.contains("s3://bucket/job/"), "{told}");
    server.come();
    running.wait(folder.path());
    assert_survived(&["counts", "windows"].map(|sink| committed(&folder.path().join(sink))));
}
