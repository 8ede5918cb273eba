//! The flags: what can be written on the command line. What it means is in [`crate::commands`].

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use tidewheel_types::job::parse_bytes;

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
    /// Make an operator: a project that builds, passes its tests and runs.
    New(New),
    /// Build the operators of a project.
    Build(Build),
    /// Test an operator against its cases.
    Test(Test),
    /// Run a job, and build its operators again when they are edited.
    Dev(Dev),
    /// Show what a component says of itself.
    Inspect(Inspect),
    /// List the jobs that run on this machine.
    Jobs(Jobs),
    /// List a job's checkpoints.
    Checkpoints(Checkpoints),
    /// Show where a job's watermarks stand, and what holds them back.
    Watermarks(Watermarks),
    /// Bound how much a running job reads of a source.
    Rate(Rate),
    /// Take a savepoint of a running job.
    Savepoint(Savepoint),
    /// Stop a running job, all its output committed.
    Stop(Stop),
    /// Look into the state in a savepoint.
    #[command(subcommand)]
    State(State),
    /// Look at records that were set aside, or make them input again.
    #[command(subcommand)]
    DeadLetters(DeadLetters),
    /// Make a call again that has failed.
    Replay(Replay),
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    /// The job file.
    pub(crate) job: PathBuf,

    /// Number of worker threads in each process.
    #[arg(short, long, default_value = "1")]
    pub(crate) workers: NonZeroUsize,

    /// Number of worker processes on this machine.
    #[arg(short, long, default_value = "1", conflicts_with = "hosts")]
    pub(crate) processes: NonZeroUsize,

    /// Where each process of a job on several machines listens, the same list on each machine. Use a private network:
    /// what passes between them is not encrypted.
    #[arg(long, value_name = "HOST:PORT,…", value_delimiter = ',', requires_all = ["process", "secret_file"])]
    pub(crate) hosts: Vec<String>,

    /// Which of the processes this is, from 0.
    #[arg(long, value_name = "INDEX", requires = "hosts")]
    pub(crate) process: Option<usize>,

    /// What the processes on several machines know each other by: 64 hexadecimal digits, as `openssl rand -hex 32` makes
    /// them, the same on each machine.
    #[arg(long, value_name = "FILE", requires = "hosts")]
    pub(crate) secret_file: Option<PathBuf>,

    /// Where the job keeps its state and is spoken to; `.tidewheel/NAME` beside the job file if not given.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) data_dir: Option<PathBuf>,

    /// Start from this savepoint.
    #[arg(long, value_name = "URL")]
    pub(crate) from_savepoint: Option<String>,

    /// What is not restored of the checkpoint or savepoint, and gone then: OPERATOR.STATE, OPERATOR for all of its states,
    /// SOURCE for its positions, SINK for its last output.
    #[arg(long, value_name = "NAME")]
    pub(crate) allow_drop: Vec<String>,

    /// Go on from an older checkpoint when the newest is lost, although output is then published twice.
    #[arg(long, conflicts_with = "from_savepoint")]
    pub(crate) allow_duplicates: bool,

    #[command(flatten)]
    pub(crate) settings: Settings,

    /// Print the summary as one JSON object on stdout.
    #[arg(long)]
    pub(crate) json: bool,

    /// No live line and no summary.
    #[arg(short, long, conflicts_with = "json")]
    pub(crate) quiet: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Settings {
    /// Go before what the job file says, such as operators.count.component=new.wasm. Paths are from the job file's
    /// folder, as in the file.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) settings: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Check {
    /// The job file.
    pub(crate) job: PathBuf,

    /// Say what becomes of each state of this savepoint.
    #[arg(long, value_name = "URL")]
    pub(crate) from_savepoint: Option<String>,

    /// What may be dropped of the savepoint: OPERATOR.STATE, OPERATOR for all of its states, SOURCE for its positions.
    #[arg(long, value_name = "NAME", requires = "from_savepoint")]
    pub(crate) allow_drop: Vec<String>,

    #[command(flatten)]
    pub(crate) settings: Settings,

    /// Print what becomes of the states as one JSON object on stdout.
    #[arg(long, requires = "from_savepoint")]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct New {
    /// The folder of the project; its last part is the project's name.
    #[arg(value_name = "NAME")]
    pub(crate) folder: PathBuf,

    /// The language.
    #[arg(long, value_enum)]
    pub(crate) lang: Lang,

    /// What the operator is: of records alone, with state per key, or with windows.
    #[arg(long, value_enum, default_value_t = WorldName::Keyed)]
    pub(crate) world: WorldName,

    /// Take the SDK from this checkout of tidewheel's repository, not the published one.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) sdk: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Lang {
    Rust,
    Python,
    Go,
}

impl Lang {
    /// As it is written on the command line, and its folder among the SDKs.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Lang::Rust => "rust",
            Lang::Python => "python",
            Lang::Go => "go",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum WorldName {
    Stateless,
    Keyed,
    Aggregate,
}

impl WorldName {
    /// As it is written on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            WorldName::Stateless => "stateless",
            WorldName::Keyed => "keyed",
            WorldName::Aggregate => "aggregate",
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct Build {
    /// The project, or a core module that another tool has made.
    #[arg(default_value = ".")]
    pub(crate) project: PathBuf,

    /// Where the components go, each under the name of its operator; the project's folder if not given.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Dev {
    /// The job file.
    pub(crate) job: PathBuf,

    /// Number of worker threads.
    #[arg(short, long, default_value = "1")]
    pub(crate) workers: NonZeroUsize,

    /// Where the sources of an operator are; if not given, beside its component.
    #[arg(long = "source", value_name = "OPERATOR=FOLDER")]
    pub(crate) sources: Vec<String>,

    /// What is not restored when the job goes on, and gone then: OPERATOR.STATE, OPERATOR for all of its states.
    #[arg(long, value_name = "NAME")]
    pub(crate) allow_drop: Vec<String>,

    #[command(flatten)]
    pub(crate) settings: Settings,
}

#[derive(Debug, Args)]
pub(crate) struct Test {
    /// A project, whose cases are the files `tests/*.toml`, or one case.
    #[arg(default_value = ".")]
    pub(crate) path: PathBuf,

    /// Test this component; if not given, the one that a case names, or else the one that is built of the project.
    #[arg(long, value_name = "FILE")]
    pub(crate) component: Option<PathBuf>,

    /// Print a JSON list.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// The component.
    pub(crate) component: PathBuf,

    /// Print one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Jobs {
    /// Print a JSON list.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Checkpoints {
    /// The job's name, its data folder, or its job file.
    #[arg(required_unless_present = "store")]
    pub(crate) job: Option<String>,

    /// The store of a job that need not run.
    #[arg(long, value_name = "URL", conflicts_with = "job")]
    pub(crate) store: Option<String>,

    /// Print one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Watermarks {
    /// The job's name, its data folder, or its job file.
    pub(crate) job: String,

    /// Print one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Rate {
    /// The job's name, its data folder, or its job file.
    pub(crate) job: String,

    /// The source.
    pub(crate) source: String,

    /// At most so many records a second, over all workers.
    #[arg(
        long,
        value_name = "N",
        value_parser = clap::value_parser!(u64).range(1..),
        required_unless_present_any = ["bytes", "unlimited"]
    )]
    pub(crate) records: Option<u64>,

    /// At most so many bytes of keys and values a second, such as 1MiB.
    #[arg(long, value_name = "SIZE", value_parser = parse_bytes)]
    pub(crate) bytes: Option<u64>,

    /// As much as the job can take.
    #[arg(long, conflicts_with_all = ["records", "bytes"])]
    pub(crate) unlimited: bool,

    /// Print one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Savepoint {
    /// The job's name, its data folder, or its job file.
    pub(crate) job: String,

    /// The folder it goes into, under a name of its own; `savepoints` in the data folder if not given.
    #[arg(long, value_name = "URL")]
    pub(crate) to: Option<String>,

    /// Print one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Stop {
    /// The job's name, its data folder, or its job file.
    pub(crate) job: String,

    /// Take a savepoint with which a job can be started again, also another one.
    #[arg(long)]
    pub(crate) savepoint: bool,

    /// The folder the savepoint goes into, under a name of its own.
    #[arg(long, value_name = "URL", requires = "savepoint")]
    pub(crate) to: Option<String>,

    /// Let all windows and event-time timers fire first, as at the end of the input.
    #[arg(long)]
    pub(crate) drain: bool,

    /// Print one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum State {
    /// List the states with their number of entries.
    List(StateList),
    /// Show all that a state holds for one key.
    Get(StateGet),
    /// Show a state's entries, in the order of the savepoint.
    Scan(StateScan),
    /// Count a state's entries and keys.
    Count(StateCount),
    /// Write all entries of one or all states to stdout, one JSON object a line.
    Export(StateExport),
}

#[derive(Debug, Args)]
pub(crate) struct StateList {
    #[command(flatten)]
    pub(crate) from: FromSavepoint,

    /// Print a JSON list.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct StateGet {
    /// OPERATOR.STATE.
    pub(crate) state: String,

    /// The key, as text.
    #[arg(required_unless_present = "key_hex", allow_hyphen_values = true)]
    pub(crate) key: Option<String>,

    /// The key, as pairs of hexadecimal digits.
    #[arg(long, value_name = "HEX", conflicts_with = "key")]
    pub(crate) key_hex: Option<String>,

    #[command(flatten)]
    pub(crate) from: FromSavepoint,

    /// Print a JSON list.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct StateScan {
    /// OPERATOR.STATE.
    pub(crate) state: String,

    /// At most this many entries.
    #[arg(long, default_value_t = 100)]
    pub(crate) limit: usize,

    #[command(flatten)]
    pub(crate) from: FromSavepoint,

    /// Print a JSON list.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct StateCount {
    /// OPERATOR.STATE.
    pub(crate) state: String,

    #[command(flatten)]
    pub(crate) from: FromSavepoint,

    /// Print one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct StateExport {
    /// OPERATOR.STATE; all states if not given.
    pub(crate) state: Option<String>,

    #[command(flatten)]
    pub(crate) from: FromSavepoint,
}

#[derive(Debug, Args)]
pub(crate) struct FromSavepoint {
    /// The savepoint.
    #[arg(long, value_name = "URL")]
    pub(crate) savepoint: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DeadLetters {
    /// Show what is in files of dead letters.
    Show(DeadLettersShow),
    /// Write those that were records to a file that a source with format = "dead-letters" reads.
    Retry(DeadLettersRetry),
}

#[derive(Debug, Args)]
pub(crate) struct DeadLettersShow {
    #[command(flatten)]
    pub(crate) letters: Letters,

    /// Show all that is known of each.
    #[arg(long)]
    pub(crate) details: bool,

    /// Print the letters as they are, one JSON object a line.
    #[arg(long, conflicts_with = "details")]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DeadLettersRetry {
    #[command(flatten)]
    pub(crate) letters: Letters,

    /// The folder for the file. What is in its files already is not written once more.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) to: PathBuf,

    /// Print one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Letters {
    /// A file of dead letters, or a folder of such files, as a sink writes them.
    pub(crate) path: PathBuf,

    /// Only those of this operator or source.
    #[arg(long, value_name = "NAME")]
    pub(crate) operator: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Replay {
    /// The capsule.
    pub(crate) capsule: PathBuf,

    /// Call this component, and not the one that failed: a mended one, for example.
    #[arg(long, value_name = "FILE")]
    pub(crate) component: Option<PathBuf>,

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
