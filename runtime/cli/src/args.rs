//! The flags: what can be written on the command line. What it means is in [`crate::commands`].

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::num::NonZeroUsize;
use std::path::PathBuf;

/// Runs stream jobs whose operators are WebAssembly components.
#[derive(Debug, Parser)]
#[command(name = "tidewheel", version, arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,

    /// What is logged to stderr: guests' lines of this level and above, and the runtime's own warnings.
    #[arg(long, global = true, value_enum, default_value_t = LogLevel::Info)]
    pub(crate) log_level: LogLevel,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a job until its input ends.
    Run(Run),
    /// Find everything that is wrong with a job without running it.
    Check(Check),
    /// Show what a component says of itself.
    Inspect(Inspect),
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    /// The job file.
    pub(crate) job: PathBuf,

    /// Number of worker threads.
    #[arg(short, long, default_value = "1")]
    pub(crate) workers: NonZeroUsize,

    /// Print the summary as one JSON object on stdout.
    #[arg(long)]
    pub(crate) json: bool,

    /// No live line and no summary.
    #[arg(short, long, conflicts_with = "json")]
    pub(crate) quiet: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Check {
    /// The job file.
    pub(crate) job: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// The component.
    pub(crate) component: PathBuf,

    /// Print one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum LogLevel {
    Off,
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}
