//! `tidewheel`: the command line.
//!
//! [`args`] describes the flags and nothing else; each command is a file in [`commands`]. Stdout is for data, stderr
//! for talk, and what is for people's eyes goes through [`escape`]. The exit code is 0 when all went well, 1 when a job
//! failed on its way or at what it was asked to do, and 2 when nothing was done because what was asked for is wrong: the
//! command line, the job file, a component.

mod args;
mod commands;
mod escape;
mod live;
mod logging;
mod preflight;
mod render;
mod signals;
mod summary;
mod terminal;
mod tuning;
mod usage;
mod values;

use args::{Arguments, Command};
use clap::Parser;
use commands::replay::Outcome;
use commands::test::TestsFailed;
use std::process::ExitCode;
use tidewheel_build::BuildError;
use tidewheel_engine::EngineError;
use tidewheel_server::{ClientError, Fault};

// Batches are made on one thread and freed on another all the time; the system's allocator is slow at that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const JOB_FAILED: u8 = 1;
const WRONG_USAGE: u8 = 2;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    logging::start(arguments.log_level);
    let result = match &arguments.command {
        Command::Run(run) => commands::run::execute(run),
        Command::Check(check) => commands::check::execute(check),
        Command::New(new) => commands::new::execute(new),
        Command::Build(build) => commands::build::execute(build),
        Command::Dev(dev) => commands::dev::execute(dev, arguments.log_level),
        Command::Test(test) => commands::test::execute(test, arguments.log_level),
        Command::Inspect(inspect) => commands::inspect::execute(inspect),
        Command::Jobs(jobs) => commands::jobs::execute(jobs),
        Command::Checkpoints(checkpoints) => commands::checkpoints::execute(checkpoints),
        Command::Watermarks(watermarks) => commands::watermarks::execute(watermarks),
        Command::Rate(rate) => commands::rate::execute(rate),
        Command::Savepoint(savepoint) => commands::savepoint::execute(savepoint),
        Command::Stop(stop) => commands::stop::execute(stop),
        Command::State(state) => commands::state::execute(state),
        Command::DeadLetters(dead_letters) => commands::dead_letters::execute(dead_letters),
        Command::Replay(replay) => match commands::replay::execute(replay) {
            Ok(Outcome::Passed) => Ok(()),
            Ok(Outcome::FailedAgain) => return ExitCode::from(JOB_FAILED),
            Err(error) => Err(error),
        },
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            terminal::say(&describe(&error));
            ExitCode::from(if is_failure(&error) { JOB_FAILED } else { WRONG_USAGE })
        }
    }
}

/// Whether something that was rightly asked for failed on its way: a job, or a job at what it was asked to do.
fn is_failure(error: &anyhow::Error) -> bool {
    let of_client = error.downcast_ref::<ClientError>().is_some_and(|error| match error {
        ClientError::Refused(refused) => refused.fault != Fault::Request,
        _ => true,
    });
    of_client || error.is::<JobFailed>() || error.is::<TestsFailed>() || error.is::<BuildFailed>()
}

/// A job failed while it ran, or while its workers were started.
#[derive(Debug)]
enum JobFailed {
    /// In this process.
    Engine(EngineError),
    /// In its worker processes; this is what the user is told.
    Reason(String),
}

impl std::fmt::Display for JobFailed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            JobFailed::Engine(error) => error.fmt(f),
            JobFailed::Reason(reason) => f.write_str(reason),
        }
    }
}

impl std::error::Error for JobFailed {}

/// The compiler of an operator's language has refused it, and said why.
#[derive(Debug)]
struct BuildFailed(BuildError);

impl std::fmt::Display for BuildFailed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for BuildFailed {}

/// `error: `, what went wrong with its causes, and after a blank line the way out, if one is known.
fn describe(error: &anyhow::Error) -> String {
    let engine_error = match error.downcast_ref::<JobFailed>() {
        Some(JobFailed::Engine(error)) => Some(error),
        Some(JobFailed::Reason(reason)) => return format!("error: {reason}"),
        None => error.downcast_ref(),
    };
    match engine_error {
        Some(error) => describe_engine(error),
        None => format!("error: {}", with_causes(error.as_ref())),
    }
}

/// The same for an error of the engine.
fn describe_engine(error: &EngineError) -> String {
    let text = with_causes(error);
    match error.hint() {
        Some(hint) => format!("error: {text}\n\nhint: {hint}"),
        None => format!("error: {text}"),
    }
}

/// An error's message and those of its causes. Many messages quote their cause; it is not said twice.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let message = error.to_string();
        if !text.contains(&message) {
            text = format!("{text}: {message}");
        }
        cause = error.source();
    }
    text
}
