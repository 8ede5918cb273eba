//! What can go wrong at the edge of a job.

use std::io;
use tidewheel_types::Origin;
use tidewheel_types::job::JobError;

/// Why a source cannot read or a sink cannot write.
///
/// Where there is something to do about it, the message ends with a blank line and `hint: HINT`.
#[derive(Debug, thiserror::Error)]
pub enum ConnectorError {
    /// The options of a source or sink are wrong.
    #[error(transparent)]
    Options(#[from] JobError),

    /// The connector only writes.
    #[error("connector \"{connector}\" is no source: it can only be used in a [sinks.NAME] table")]
    NoSource {
        /// Its name.
        connector: String,
    },

    /// The connector only reads.
    #[error("connector \"{connector}\" is no sink: it can only be used in a [sources.NAME] table")]
    NoSink {
        /// Its name.
        connector: String,
    },

    /// What a source is to read is not there, or not what it should be.
    #[error("{path}: {reason}\n\nhint: {hint}")]
    Input {
        /// File, folder or pattern.
        path: String,
        /// What is wrong with it.
        reason: String,
        /// What to do.
        hint: String,
    },

    /// A file or folder cannot be opened or made.
    #[error("cannot {action} {path}: {source}\n\nhint: {hint}")]
    Open {
        /// What was tried: `open`, `create`.
        action: &'static str,
        /// Which one.
        path: String,
        /// What to do.
        hint: String,
        /// Why not.
        source: io::Error,
    },

    /// Reading failed on the way.
    #[error("cannot read {path} at byte {offset}: {source}")]
    Read {
        /// The file.
        path: String,
        /// How many bytes of it had been read, as it stands on disk.
        offset: u64,
        /// Why not.
        source: io::Error,
    },

    /// Writing failed on the way.
    #[error("cannot write {path} at byte {offset}: {source}")]
    Write {
        /// The file.
        path: String,
        /// How many bytes of it had been written.
        offset: u64,
        /// Why not.
        source: io::Error,
    },

    /// There is no more room.
    #[error(
        "cannot write {path} at byte {offset}: the disk is full\n\nhint: make room; what was committed is safe, and the job can go on from its last checkpoint"
    )]
    Full {
        /// The file.
        path: String,
        /// How many bytes had been written.
        offset: u64,
        /// What the system says.
        source: io::Error,
    },

    /// The program that read our output has ended.
    #[error("cannot write to stdout: the program that reads it has closed it (after {offset} bytes)")]
    ClosedPipe {
        /// How many bytes had been written.
        offset: u64,
    },

    /// A record cannot be written in this format; nothing of it has been.
    #[error("cannot write a record of source {}, split {}, offset {}: {reason}", origin.source, origin.split, origin.offset)]
    Record {
        /// Where it came from.
        origin: Origin,
        /// What is wrong with it, and what to do.
        reason: String,
    },

    /// A commit failed, and its output has not become visible.
    #[error("cannot commit {path}: {reason}")]
    CommitFailed {
        /// The final name.
        path: String,
        /// Why not.
        reason: String,
    },

    /// The folder that staged output is in is not there, so nobody knows whether that has become visible.
    #[error(
        "the sink's folder {path} is not there, and a checkpoint names output in it that may not have been committed yet\n\nhint: put the folder back and start the job again; if its files have been taken over, make it anew, empty"
    )]
    FolderLost {
        /// The folder.
        path: String,
    },

    /// A commit failed, and its output may or may not have become visible for good.
    #[error("commit of {path} is in doubt: {source}; commit again to be sure")]
    CommitInDoubt {
        /// The final name.
        path: String,
        /// What failed.
        source: io::Error,
    },

    /// The thread that reads or writes has ended without a word, or after an error told before.
    #[error("{what} has stopped")]
    Stopped {
        /// What it worked on.
        what: String,
    },
}

impl ConnectorError {
    /// Whether it is unknown if output has become visible: look, or commit again, before writing it a second time.
    pub fn is_indeterminate(&self) -> bool {
        matches!(self, ConnectorError::CommitInDoubt { .. })
    }

    /// Whether the same may succeed a moment later. It may not where somebody has to put something right first, or where a
    /// record is to blame, which comes again.
    pub fn is_retryable(&self) -> bool {
        !matches!(self, ConnectorError::FolderLost { .. } | ConnectorError::Record { .. })
    }

    /// The error of a connector that only writes.
    pub fn no_source(connector: &str) -> Self {
        ConnectorError::NoSource { connector: connector.to_owned() }
    }

    /// The error of a connector that only reads.
    pub fn no_sink(connector: &str) -> Self {
        ConnectorError::NoSink { connector: connector.to_owned() }
    }
}
