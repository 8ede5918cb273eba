//! What can go wrong with state.

use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;
use tidewheel_types::description::StateKind;

/// Why a backend cannot keep an operator's state, or give it back.
#[derive(Debug, Error)]
pub enum StateError {
    /// Only a value fits into the one cell that a group has per state in a frame.
    #[error(
        "state `{state}` rides in every batch but is a list or a map: only value states ride, set `rides` to false"
    )]
    RidesButIsNoValue {
        /// Name of the state.
        state: String,
    },
    /// A frame's cells are those of the first states, by position.
    #[error("state `{state}` rides in every batch but is declared after one that does not: declare it before")]
    RidesTooLate {
        /// Name of the state.
        state: String,
    },
    /// States are found again by name.
    #[error("two states are called `{state}`: give each its own name")]
    TwoOfOneName {
        /// The name.
        state: String,
    },
    /// An option of a state has a value that there is not.
    #[error("state `{state}` sets `{option}` to `{given}`, which there is not: set it to {known}")]
    UnknownOption {
        /// Name of the state.
        state: String,
        /// Name of the option.
        option: &'static str,
        /// The value.
        given: String,
        /// The values there are.
        known: String,
    },
    /// What a snapshot holds for a state cannot be read as what the component declares.
    #[error(
        "state `{state}` is declared as {declared:?} but the snapshot holds a state of that name of kind {stored:?}: \
         give the new state another name"
    )]
    OtherKind {
        /// Name of the state.
        state: String,
        /// Its kind now.
        declared: StateKind,
        /// Its kind in the snapshot.
        stored: StateKind,
    },
    /// All numbers are given away.
    #[error("there is no number left for state `{state}`: an operator has had 65,535 states, start it without state")]
    TooManyStates {
        /// Name of the state.
        state: String,
    },
    /// The snapshot lacks a part of the keys.
    #[error("the snapshot holds no state files for key group {key_group}: restore from another one")]
    MissingKeyGroup {
        /// The first one that is missing.
        key_group: u16,
    },
    /// Two tasks of the snapshot say that they own the same keys.
    #[error("the snapshot is damaged, two of its tasks own key group {key_group}: restore from another one")]
    TwoOwners {
        /// The first such group.
        key_group: u16,
    },
    /// A state file is not what was written.
    #[error("state file `{}` is damaged, {what}: restore from another checkpoint or from a savepoint", file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// An entry read from a snapshot does not fit what is known of its state.
    #[error("the snapshot is damaged, {what}: restore from another checkpoint or from a savepoint")]
    DamagedEntry {
        /// What is wrong with it.
        what: String,
    },
    /// The file system refused.
    #[error("cannot {action} `{}`: {source}{}", path.display(), fix(source))]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// RocksDB refused.
    #[error("cannot {action} `{}`: {source}{}", path.display(), rocksdb_fix(source))]
    RocksDb {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: rocksdb::Error,
    },
    /// RocksDB refused to do something with the state that a task works on.
    #[error("cannot {action} the working folder `{}`: {source}; {fix}", folder.display())]
    WorkingState {
        /// What was tried.
        action: &'static str,
        /// The working folder of the task.
        folder: PathBuf,
        /// Why not.
        source: rocksdb::Error,
        /// What can be done.
        fix: &'static str,
    },
    /// Something has gone wrong with the state that a task works on, on another thread.
    #[error(
        "the state in the working folder `{}` cannot be used any more: {what}; see whether its disk has room and works, \
         then restart the job: it restores its last checkpoint",
        folder.display()
    )]
    WorkingStateLost {
        /// The working folder of the task.
        folder: PathBuf,
        /// What has gone wrong.
        what: String,
    },
    /// The disk is too slow, or stands still.
    #[error(
        "changed state has waited {waited_s} s to be written to the working folder `{}`: see whether its disk works, \
         give the job a faster one or more memory for its state",
        folder.display()
    )]
    DiskTooSlow {
        /// The working folder of the task.
        folder: PathBuf,
        /// How long.
        waited_s: u64,
    },
    /// State was to be snapshot that was opened without.
    #[error("this state was opened without tracking changes, so it has no snapshots: open it with `tracks_changes`")]
    NotTracked,
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

/// The same for an error of RocksDB, which does not say which one of the file system's it was.
fn rocksdb_fix(error: &rocksdb::Error) -> &'static str {
    match error.kind() {
        rocksdb::ErrorKind::IOError => {
            "; see whether its disk has room and works: the job goes on from its last checkpoint"
        }
        _ => "",
    }
}

impl StateError {
    /// Whether a machine is to blame for it, so that it may go well another time. What a component or a snapshot is to blame
    /// for comes again.
    pub fn is_retryable(&self) -> bool {
        match self {
            StateError::Io { .. }
            | StateError::RocksDb { .. }
            | StateError::WorkingState { .. }
            | StateError::WorkingStateLost { .. }
            | StateError::DiskTooSlow { .. } => true,
            StateError::RidesButIsNoValue { .. }
            | StateError::RidesTooLate { .. }
            | StateError::TwoOfOneName { .. }
            | StateError::UnknownOption { .. }
            | StateError::OtherKind { .. }
            | StateError::TooManyStates { .. }
            | StateError::MissingKeyGroup { .. }
            | StateError::TwoOwners { .. }
            | StateError::Damaged { .. }
            | StateError::DamagedEntry { .. }
            | StateError::NotTracked => false,
        }
    }

    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StateError {
        let path = path.to_owned();
        move |source| StateError::Io { action, path, source }
    }

    pub(crate) fn working_state(action: &'static str, folder: &Path) -> impl FnOnce(rocksdb::Error) -> StateError {
        let folder = folder.to_owned();
        move |source| {
            let fix = match source.kind() {
                rocksdb::ErrorKind::Corruption => "it is damaged: restart the job, it restores its last checkpoint",
                _ => "see whether its disk has room and works, then restart the job: it restores its last checkpoint",
            };
            StateError::WorkingState { action, folder, source, fix }
        }
    }

    pub(crate) fn rocksdb(action: &'static str, path: &Path) -> impl FnOnce(rocksdb::Error) -> StateError {
        let path = path.to_owned();
        move |source| StateError::RocksDb { action, path, source }
    }
}
