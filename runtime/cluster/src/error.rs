//! What can go wrong between the processes of a job.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why processes cannot be started, spoken to or connected.
///
/// Where there is something to do about it, the message ends with a blank line and `hint: HINT`.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// Another process works with the data folder.
    #[error(
        "data folder {} is in use by {}\n\nhint: stop that job first, or give this one a folder of its own",
        path.display(), Holder(*pid)
    )]
    Locked {
        /// The data folder.
        path: PathBuf,
        /// Who holds it, if it says so.
        pid: Option<u32>,
    },

    /// A file or folder cannot be made, read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    File {
        /// What was tried: `create folder`, `write`.
        action: &'static str,
        /// Which one.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },

    /// No job listens in this data folder.
    #[error("cannot reach a job at {}: {source}\n\nhint: `tidewheel jobs` lists the running ones", path.display())]
    Unreachable {
        /// The socket.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },

    /// Neither `XDG_RUNTIME_DIR` nor `XDG_STATE_HOME` nor `HOME` is set.
    #[error("there is no place for the list of running jobs\n\nhint: set XDG_RUNTIME_DIR or HOME to a folder")]
    NoHome,

    /// A worker process cannot be started.
    #[error("cannot start process {process} ({program}): {source}")]
    Start {
        /// Its index.
        process: usize,
        /// Its program.
        program: String,
        /// Why not.
        source: io::Error,
    },

    /// The control channel to a process, or to the supervisor, is broken.
    #[error("the control channel is broken: {reason}")]
    Channel {
        /// What happened to it.
        reason: String,
    },

    /// A message is larger than the limit of its channel; nothing of it was sent.
    #[error("a message of {bytes} bytes is larger than the limit of {bytes_max}")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The most it may be.
        bytes_max: usize,
    },
}

/// The holder of a lock, in words.
struct Holder(Option<u32>);

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(pid) => write!(f, "process {pid}"),
            None => write!(f, "another process"),
        }
    }
}
