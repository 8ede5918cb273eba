//! What can go wrong with checkpoints and savepoints.

use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Why a checkpoint or savepoint cannot be written, or given back.
#[derive(Debug, Error)]
pub enum CheckpointError {
    /// No store can be made of the URL.
    #[error("`{url}` is no place for checkpoints: {reason}")]
    Url {
        /// What was given.
        url: String,
        /// What is wrong with it, and what would be right.
        reason: String,
    },
    /// The threads that wait for stores could not be started.
    #[error("cannot start the threads that wait for the store: {source}")]
    Threads {
        /// Why not.
        source: io::Error,
    },
    /// The store refused, could not be reached, or did not answer in time.
    #[error("cannot {action} `{file}`: {source}; see that the store can be reached, has room and lets this job write")]
    Store {
        /// What was tried.
        action: &'static str,
        /// On what, with the store's URL.
        file: String,
        /// Why not.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A file of this machine.
    #[error("cannot {action} `{}`: {source}{}", path.display(), fix(source))]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file is not there.
    #[error("`{file}` is not there; put it back, or start from another checkpoint or savepoint")]
    Missing {
        /// Which one, with the store's URL.
        file: String,
    },
    /// A file there is under this name already, with other content.
    #[error("`{file}` is there already; name another place, or remove it if nothing needs it")]
    Exists {
        /// Which one, with the store's URL.
        file: String,
    },
    /// A file is not what was written.
    #[error("`{file}` is damaged: {what}; put back what was written, or start from another checkpoint or savepoint")]
    Damaged {
        /// Which one, with the store's URL.
        file: String,
        /// What is wrong with it.
        what: String,
    },
    /// A file was written by a later version.
    #[error(
        "`{file}` has format {format}, this version reads up to {known}; use the version that wrote it, or a later one"
    )]
    NewerFormat {
        /// Which one, with the store's URL.
        file: String,
        /// Its format.
        format: u32,
        /// The newest format known here.
        known: u32,
    },
    /// What a checkpoint is restored from is not there or not what was written.
    #[error("checkpoint {checkpoint} in slot {slot} of `{store}` cannot be restored: {source}")]
    Checkpoint {
        /// Its number.
        checkpoint: u64,
        /// The slot of its manifest.
        slot: u64,
        /// The store's URL.
        store: String,
        /// What is wrong.
        source: Box<CheckpointError>,
    },
    /// A later attempt has begun: this one must end, and must not commit anything.
    #[error(
        "attempt {attempt} of the job in `{store}` has been replaced {}: it ends without committing; run a job once at a \
         time, or give each its own store",
        by_whom(*by)
    )]
    Replaced {
        /// The attempt that has been replaced.
        attempt: u64,
        /// The one that did it, where that is known.
        by: Option<u64>,
        /// The store's URL.
        store: String,
    },
    /// The store did not say whether a checkpoint is there now.
    #[error("whether slot {slot} of `{store}` was written is not known: {source}; the next checkpoint finds out")]
    InDoubt {
        /// The slot.
        slot: u64,
        /// The store's URL.
        store: String,
        /// What the store last said.
        source: Box<CheckpointError>,
    },
    /// A manifest was given that is not one of this attempt.
    #[error("a manifest of attempt {given} cannot be published by attempt {attempt}")]
    OtherAttempt {
        /// The attempt the manifest names.
        given: u64,
        /// The attempt that publishes.
        attempt: u64,
    },
    /// Parquet could not be written or read.
    #[error("cannot {action} `{file}`: {source}")]
    Parquet {
        /// What was tried.
        action: &'static str,
        /// Which file, with the store's URL.
        file: String,
        /// Why not.
        source: parquet::errors::ParquetError,
    },
}

/// What can be done about an error of the file system, where that is known.
fn fix(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "; make room on its disk: the job goes on from its last checkpoint"
        }
        _ => "",
    }
}

fn by_whom(by: Option<u64>) -> String {
    by.map_or_else(|| "by a later one".to_owned(), |attempt| format!("by attempt {attempt}"))
}

impl CheckpointError {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> CheckpointError {
        let path = path.to_owned();
        move |source| CheckpointError::Io { action, path, source }
    }

    pub(crate) fn store(action: &'static str, file: String) -> impl FnOnce(object_store::Error) -> CheckpointError {
        move |source| match source {
            object_store::Error::NotFound { .. } => CheckpointError::Missing { file },
            object_store::Error::AlreadyExists { .. } => CheckpointError::Exists { file },
            source => CheckpointError::Store { action, file, source: Box::new(source) },
        }
    }

    pub(crate) fn damaged(file: impl Into<String>, what: impl Into<String>) -> CheckpointError {
        CheckpointError::Damaged { file: file.into(), what: what.into() }
    }

    /// Whether it may go better another time: what a machine or a network is to blame for, not what is damaged or gone.
    pub fn is_retryable(&self) -> bool {
        match self {
            CheckpointError::Checkpoint { source, .. } => source.is_retryable(),
            CheckpointError::Threads { .. }
            | CheckpointError::Store { .. }
            | CheckpointError::Io { .. }
            | CheckpointError::InDoubt { .. } => true,
            // It would replace its successor, which would replace it.
            CheckpointError::Replaced { .. } => false,
            CheckpointError::Url { .. }
            | CheckpointError::Missing { .. }
            | CheckpointError::Exists { .. }
            | CheckpointError::Damaged { .. }
            | CheckpointError::NewerFormat { .. }
            | CheckpointError::OtherAttempt { .. }
            | CheckpointError::Parquet { .. } => false,
        }
    }

    /// Whether what a checkpoint was made of is gone, or is not what was written.
    pub fn is_lost(&self) -> bool {
        match self {
            CheckpointError::Checkpoint { source, .. } => source.is_lost(),
            CheckpointError::Missing { .. } | CheckpointError::Damaged { .. } => true,
            _ => false,
        }
    }

    /// Whether what was asked for is not there.
    pub fn is_missing(&self) -> bool {
        matches!(self, CheckpointError::Missing { .. })
    }

    /// Whether a later attempt has begun.
    pub fn is_replaced(&self) -> bool {
        matches!(self, CheckpointError::Replaced { .. })
    }
}
