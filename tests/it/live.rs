//! A job without an end from the command line: started, stopped, and started again with another component.

use crate::misbehave::lines_in;
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tidewheel_tests::{Ended, tidewheel};

/// Longer than anything here takes, on a busy machine too: what takes longer hangs.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A job in a folder of its own, which is its registry's home, too. It writes to `out`.
pub(crate) struct Live {
    folder: TempDir,
    /// The job file, and the job's name in it.
    file: &'static str,
    name: &'static str,
    /// The sink by which it is known how far the job is.
    sink: &'static str,
}

impl Live {
    pub(crate) fn new(folder: TempDir, file: &'static str, name: &'static str, sink: &'static str) -> Live {
        Live { folder, file, name, sink }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = tidewheel();
        command.args(arguments).current_dir(self.path()).env("XDG_RUNTIME_DIR", self.path());
        command
    }

    fn run(&self, arguments: &[&str]) -> Ended {
        let output = self.command(arguments).output().expect("the program starts");
        let text = |bytes| String::from_utf8(bytes).expect("text");
        Ended { code: output.status.code().unwrap_or(-1), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// What the program writes to stdout.
    #[track_caller]
    pub(crate) fn tell(&self, arguments: &[&str]) -> String {
        let ended = self.run(arguments);
        assert_eq!(ended.code, 0, "{arguments:?}: {}", ended.stderr);
        ended.stdout
    }

    /// Starts the job, and gives it when its sink has taken so many records; it goes on.
    pub(crate) fn start(&self, records: u64, arguments: &[&str]) -> Running {
        let arguments = [&["run", self.file, "--quiet"], arguments].concat();
        let stderr = fs::File::create(self.path().join("stderr")).expect("a file");
        let job = Running(self.command(&arguments).stderr(stderr).stdout(Stdio::null()).spawn().expect("it starts"));
        let began = Instant::now();
        while self.records_in() != Some(records) {
            assert!(began.elapsed() < TIMEOUT, "{}", fs::read_to_string(self.path().join("stderr")).expect("text"));
        }
        job
    }

    /// Stops the job.
    pub(crate) fn stop(&self, job: Running) {
        self.tell(&["stop", self.name]);
        job.wait();
    }

    /// Stops the job with a savepoint, and gives its URL.
    pub(crate) fn stop_with_savepoint(&self, job: Running) -> String {
        let taken: Value =
            serde_json::from_str(&self.tell(&["stop", self.name, "--savepoint", "--json"])).expect("JSON");
        job.wait();
        taken["url"].as_str().expect("a URL").to_owned()
    }

    /// How many records the sink has taken, if the job runs.
    fn records_in(&self) -> Option<u64> {
        let jobs: Value = serde_json::from_str(&self.tell(&["jobs", "--json"])).expect("JSON");
        let parts = jobs[0]["status"]["parts"].as_array()?.clone();
        parts.iter().find(|part| part["name"] == self.sink)?["records_in"].as_u64()
    }

    /// What the job has written, sorted.
    pub(crate) fn written(&self) -> Vec<String> {
        lines_in(&self.path().join("out"))
    }
}

/// A job that runs. Ended when dropped.
pub(crate) struct Running(Child);

impl Running {
    fn wait(mut self) {
        assert!(self.0.wait().expect("it ends").success());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Its workers die with it.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
