//! What can go wrong between the processes of a job.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

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

    /// The system has no random bytes.
    #[error("cannot get random bytes from the system: {reason}")]
    Random {
        /// Why not.
        reason: String,
    },

    /// A text is no secret. It is not shown.
    #[error("a secret is 64 hexadecimal digits, and this text is not\n\nhint: `openssl rand -hex 32` makes one")]
    NoSecret,

    /// Another process is an attempt further: this one has been replaced.
    #[error("attempt {attempt} has been replaced: process {peer} belongs to attempt {by}")]
    Outdated {
        /// The attempt of this process.
        attempt: u64,
        /// The process that was asked.
        peer: usize,
        /// Its attempt.
        by: u64,
    },

    /// Other processes of the attempt were not there in time.
    #[error("{}", missing(peers, limit, refusals))]
    Missing {
        /// Their indices.
        peers: Vec<usize>,
        /// How long they were waited for.
        limit: Duration,
        /// What was heard instead.
        refusals: Vec<String>,
    },

    /// A host's address cannot be listened on.
    #[error("cannot listen on {address}: {source}\n\nhint: an address of this machine and a free port, HOST:PORT")]
    Listen {
        /// The address.
        address: String,
        /// Why not.
        source: io::Error,
    },

    /// A peer does not take side messages as fast as they come; this one was not sent.
    #[error("process {process} takes no more messages: {bytes} bytes are waiting for it")]
    QueueFull {
        /// Its index.
        process: usize,
        /// How many wait.
        bytes: usize,
    },

    /// A peer has left or is lost; nothing can be sent to it.
    #[error("process {process} is gone")]
    Gone {
        /// Its index.
        process: usize,
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

fn missing(peers: &[usize], limit: &Duration, refusals: &[String]) -> String {
    let names: Vec<String> = peers.iter().map(ToString::to_string).collect();
    let (what, have) = if peers.len() == 1 { ("process", "has") } else { ("processes", "have") };
    let mut text = format!("{what} {} {have} not joined within {limit:?}", names.join(", "));
    for refusal in refusals {
        text.push_str("\n  ");
        text.push_str(refusal);
    }
    text
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
