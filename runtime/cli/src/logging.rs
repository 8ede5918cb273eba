//! The log: guests' lines and the runtime's own, one line each on stderr.

use crate::args::LogLevel;
use crate::terminal::LogLines;
use tracing_subscriber::filter::{EnvFilter, LevelFilter};

/// The target of the lines that guests write.
const GUEST_TARGET: &str = "guest";

/// Sends the log to stderr: guests' lines of `level` and above, the runtime's own warnings and errors (all of them
/// when even more is asked for).
pub(crate) fn start(level: LogLevel) {
    let guests = match level {
        LogLevel::Off => LevelFilter::OFF,
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let runtime = if guests == LevelFilter::INFO { LevelFilter::WARN } else { guests };
    let guests = format!("{GUEST_TARGET}={guests}").parse().expect("a target and a level are a directive");
    let filter = EnvFilter::default().add_directive(runtime.into()).add_directive(guests);
    tracing_subscriber::fmt().compact().with_ansi(false).with_env_filter(filter).with_writer(|| LogLines).init();
}
