//! The process of the job that is worked on: `tidewheel run`, with the components that were built.

use crate::args::{Dev, LogLevel};
use anyhow::{Context, Result};
use clap::ValueEnum;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use tidewheel_cluster::DataFolder;
use tidewheel_server::Client;
use tidewheel_server::model::{CheckpointRequest, JobState};

/// How often it is looked whether it has stopped.
const ASK: Duration = Duration::from_millis(10);

/// How long it may take to stop once it has said that it does.
const STOP_MAX: Duration = Duration::from_secs(30);

/// The process. Dropping it ends it.
pub(super) struct JobProcess {
    child: Child,
    data: PathBuf,
}

/// How far a start has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Course {
    /// State is restored.
    Starting,
    Running,
    /// It has failed before it was seen to run, and is started again and again; it says why.
    Failing,
    /// Whether it has ended well.
    Ended(bool),
}

impl JobProcess {
    pub(super) fn start(dev: &Dev, log_level: LogLevel, data: &Path, settings: &[String]) -> Result<JobProcess> {
        let program = std::env::current_exe().context("cannot find the program that is running")?;
        let mut command = Command::new(program);
        command.arg("run").arg(&dev.job).arg("--quiet").arg("--data-dir").arg(data);
        command.args(["--workers", &dev.workers.to_string()]);
        settings.iter().for_each(|setting| _ = command.args(["--set", setting]));
        dev.allow_drop.iter().for_each(|name| _ = command.args(["--allow-drop", name]));
        if let Some(level) = log_level.to_possible_value() {
            command.args(["--log-level", level.get_name()]);
        }
        // In a process group of its own: Ctrl-C is for this process, which stops the job in good order.
        let child = command.stdin(Stdio::null()).process_group(0).spawn().context("cannot start the job's process")?;
        Ok(JobProcess { child, data: data.to_owned() })
    }

    /// How far it has come.
    pub(super) fn course(&mut self) -> Result<Course> {
        if let Some(status) = self.child.try_wait().context("cannot wait for the job's process")? {
            return Ok(Course::Ended(status.success()));
        }
        let status = self.client().and_then(|mut client| client.status().ok());
        Ok(match status {
            Some(status) if status.state == JobState::Running => Course::Running,
            Some(status) if !status.restarts.is_empty() => Course::Failing,
            _ => Course::Starting,
        })
    }

    /// Whether it has ended well, if it has ended.
    pub(super) fn ended(&mut self) -> Option<bool> {
        self.child.try_wait().ok().flatten().map(|status| status.success())
    }

    /// Stops it with a checkpoint, from which it can go on. One that cannot be asked, or does not stop, is killed: it goes
    /// on from the last checkpoint it has taken.
    pub(super) fn stop(&mut self) -> Result<()> {
        let asked = self.client().map(|mut client| client.checkpoint(&CheckpointRequest { stop: true, drain: false }));
        let began = Instant::now();
        if let Some(Ok(_)) = asked {
            while began.elapsed() < STOP_MAX {
                if self.child.try_wait().context("cannot wait for the job's process")?.is_some() {
                    return Ok(());
                }
                thread::sleep(ASK);
            }
        }
        self.kill();
        Ok(())
    }

    fn client(&self) -> Option<Client> {
        Client::over(DataFolder::connect_control(&self.data).ok()?).ok()
    }

    /// Ends it as it is; it goes on from the last checkpoint it has taken.
    fn kill(&mut self) {
        // One that has ended by itself is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for JobProcess {
    fn drop(&mut self) {
        self.kill();
    }
}
