//! `tidewheel jobs`: the jobs that run on this machine.

use crate::args::Jobs;
use crate::commands::now_ms;
use crate::render::{self, Align};
use crate::terminal;
use anyhow::Result;
use serde::Serialize;
use tidewheel_cluster::{DataFolder, Registry, RunningJob};
use tidewheel_server::Client;
use tidewheel_server::model::JobStatus;

/// A job and what it says, or why it says nothing.
#[derive(Serialize)]
struct Listed {
    #[serde(flatten)]
    job: RunningJob,
    status: Option<JobStatus>,
    error: Option<String>,
}

/// Lists them, with what each says of itself.
pub(crate) fn execute(jobs: &Jobs) -> Result<()> {
    let listed: Vec<Listed> = Registry::of_user()?.running_jobs()?.into_iter().map(ask).collect();
    if jobs.json {
        return Ok(terminal::print_json(&serde_json::to_string(&listed)?)?);
    }
    if listed.is_empty() {
        terminal::say("no job is running");
        return Ok(());
    }
    terminal::print(&text(&listed, now_ms()))?;
    listed.iter().filter_map(|listed| restarting(listed, now_ms())).for_each(|line| terminal::say(&line));
    Ok(())
}

/// Why a job is restarting, and when it does.
fn restarting(Listed { job, status, .. }: &Listed, now_ms: i64) -> Option<String> {
    let status = status.as_ref()?;
    let (next_ms, last) = (status.next_attempt_ms?, status.restarts.last()?);
    let (name, attempt, next) = (&job.job, last.attempt, render::span_ms(next_ms.saturating_sub(now_ms).max(0)));
    Some(format!("{name}: attempt {attempt} failed: {}; the next begins in {next}", last.reason))
}

/// A job that does not answer is listed all the same.
fn ask(job: RunningJob) -> Listed {
    let answer = || -> Result<JobStatus> { Ok(Client::over(DataFolder::connect_control(&job.folder)?)?.status()?) };
    match answer() {
        Ok(status) => Listed { job, status: Some(status), error: None },
        Err(error) => Listed { job, status: None, error: Some(format!("{error:#}")) },
    }
}

fn text(listed: &[Listed], now_ms: i64) -> String {
    let (left, right) = (Align::Left, Align::Right);
    let columns = [
        ("NAME", left),
        ("STATE", left),
        ("RESTARTS", right),
        ("WORKERS", right),
        ("UP", right),
        ("LAST CHECKPOINT", right),
        ("PID", right),
        ("FOLDER", left),
    ];
    let ago = |ms: i64| render::span_ms(now_ms.saturating_sub(ms).max(0));
    let row = |Listed { job, status, .. }: &Listed| {
        let (state, restarts, workers, checkpoint) = match status {
            None => ("silent".to_owned(), String::new(), String::new(), String::new()),
            Some(status) => (
                status.state.to_string(),
                render::count(status.attempt.saturating_sub(1)),
                status.workers.to_string(),
                status
                    .last_checkpoint
                    .as_ref()
                    .map_or("none".to_owned(), |last| format!("{} ago", ago(last.created_ms))),
            ),
        };
        let folder = job.folder.display().to_string();
        vec![job.job.clone(), state, restarts, workers, ago(job.started_ms), checkpoint, job.pid.to_string(), folder]
    };
    render::table(&columns, &listed.iter().map(row).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::{Listed, restarting, text};
    use std::path::PathBuf;
    use tidewheel_cluster::RunningJob;
    use tidewheel_server::model::{Checkpoint, JobState, JobStatus, Restart};

    #[test]
    fn a_job_that_is_silent_is_listed_too() {
        let job = |name: &str, pid| RunningJob {
            job: name.to_owned(),
            folder: PathBuf::from("/data").join(name),
            pid,
            started_ms: 0,
        };
        let status = JobStatus {
            name: "copy".to_owned(),
            state: JobState::Running,
            attempt: 3,
            started_ms: 0,
            attempt_started_ms: 0,
            workers: 4,
            processes: Vec::new(),
            last_checkpoint: Some(Checkpoint {
                id: 1,
                attempt: 3,
                epoch: 9,
                created_ms: 59_000,
                duration_ms: 10,
                bytes: 100,
                bytes_added: 10,
            }),
            in_progress: None,
            restarts: Vec::new(),
            next_attempt_ms: None,
            parts: Vec::new(),
        };
        let restart = Restart { attempt: 3, at_ms: 58_000, reason: "process 0 was killed".to_owned() };
        let failed = JobStatus { restarts: vec![restart], next_attempt_ms: Some(63_000), ..status.clone() };
        let said = restarting(&Listed { job: job("copy", 41), status: Some(failed), error: None }, 60_000);
        assert_eq!(said.as_deref(), Some("copy: attempt 3 failed: process 0 was killed; the next begins in 3.0 s"));
        let listed = [
            Listed { job: job("copy", 41), status: Some(status), error: None },
            Listed { job: job("stuck", 42), status: None, error: Some("it is stopped".to_owned()) },
        ];
        assert_eq!(
            text(&listed, 60_000),
            "NAME   STATE    RESTARTS  WORKERS     UP  LAST CHECKPOINT  PID  FOLDER\n\
             copy   running         2        4  1 min        1.0 s ago   41  /data/copy\n\
             stuck  silent                      1 min                    42  /data/stuck\n"
        );
    }
}
