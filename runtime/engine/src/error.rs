//! What can go wrong with a job, and who is at fault.

use std::path::PathBuf;
use tidewheel_checkpoint::CheckpointError;
use tidewheel_cluster::ClusterError;
use tidewheel_connectors::ConnectorError;
use tidewheel_guest::{FrameError, GuestError};
use tidewheel_state::StateError;
use tidewheel_types::OperatorId;
use tidewheel_types::job::JobError;
use tidewheel_types::keyed_state::KeyedStateError;
use tidewheel_types::shape::ShapeError;

/// An error of a job.
///
/// The variants say who is at fault, and a restart policy needs to look at nothing else: the job file, the user's
/// function, the input, the outside world, or we.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The job file is wrong, or does not fit its components.
    #[error(transparent)]
    Job(#[from] JobError),

    /// Timers or windows that wait in the snapshot would mean something else.
    #[error(transparent)]
    Shape(#[from] ShapeError),

    /// A component could not be loaded, or a call of it failed.
    #[error("operator {operator:?}: {source}")]
    Guest {
        /// The operator.
        operator: OperatorId,
        /// What its component did.
        #[source]
        source: Box<GuestError>,
    },

    /// An operator refused a record, and its `on-error` is `fail`.
    #[error("operator {operator:?} rejected {record}: {reason}")]
    Rejected {
        /// The operator.
        operator: OperatorId,
        /// The record: source, split and offset.
        record: String,
        /// The reason it gave.
        reason: String,
    },

    /// A component cannot process a record, a timer, a window or a value of state, and its operator's `on-error` is `fail`.
    #[error("operator {operator:?} cannot process {target}: {source}")]
    Poison {
        /// The operator.
        operator: OperatorId,
        /// The record: source, split and offset; of a timer or window, its key and time; of state, its key.
        target: String,
        /// What its component did.
        #[source]
        source: Box<CallFault>,
        /// Where the call is kept, if it is.
        capsule: Option<PathBuf>,
    },

    /// Input that is not a record, and the source's `on-error` is `fail`.
    #[error("source {operator:?}: {reason}")]
    Malformed {
        /// The source.
        operator: OperatorId,
        /// What is wrong, with its place.
        reason: String,
    },

    /// Timers keep setting timers that are due at once.
    #[error("operator {operator:?}: its timers set timers that are due at once: {timers} of them for {keys} keys")]
    TimerLoop {
        /// The operator.
        operator: OperatorId,
        /// Timers set, for one watermark, that were due at it.
        timers: usize,
        /// Keys that had timers.
        keys: usize,
    },

    /// An operator's state could not be read or written.
    #[error("operator {operator:?}: its state is lost: {source}")]
    State {
        /// The operator.
        operator: OperatorId,
        /// What the state backend says.
        #[source]
        source: KeyedStateError,
    },

    /// What an operator's state has changed by could not be written to the local disk.
    #[error("operator {operator:?}: its state cannot be written down: {source}")]
    Snapshot {
        /// The operator.
        operator: OperatorId,
        /// What happened.
        #[source]
        source: StateError,
    },

    /// A checkpoint without which the job cannot go on, or one too many.
    #[error("checkpoint {checkpoint} failed: {reason}")]
    CheckpointFailed {
        /// The checkpoint.
        checkpoint: u64,
        /// Why.
        reason: String,
    },

    /// The store of checkpoints refuses, or has nothing to restore from.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),

    /// A source or sink failed.
    #[error("{operator:?}: {source}")]
    Connector {
        /// The source or sink.
        operator: OperatorId,
        /// What happened outside.
        #[source]
        source: Box<ConnectorError>,
    },

    /// A worker thread panicked: a fault of ours.
    #[error("{thread} panicked at {place}: {message}")]
    Panicked {
        /// The thread.
        thread: String,
        /// File and line.
        place: String,
        /// The panic's message.
        message: String,
    },

    /// Another process of the job is lost; its own end has a reason of its own.
    #[error("{0}")]
    PeerLost(String),

    /// The threads of the job could not be started.
    #[error("the workers could not be started: {0}")]
    Start(String),
}

/// How a call of a component came to nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallFault {
    /// The component trapped, exceeded a limit or broke the contract.
    #[error(transparent)]
    Guest(#[from] Box<GuestError>),

    /// It made many records of one with a long key.
    #[error(
        "its results have {bytes} bytes with the keys they inherit, more than {bytes_max}: give them shorter keys, or \
         raise `output` in `limits`"
    )]
    Inherited {
        /// Their size.
        bytes: usize,
        /// The limit: four times that of output.
        bytes_max: u64,
    },

    /// Aggregates without a component have grown too large.
    #[error("what it makes is too large: {0}")]
    Result(FrameError),

    /// What it was given of state is not what it wrote.
    #[error(transparent)]
    State(KeyedStateError),

    /// It gave a record a key that no state can keep.
    #[error("it gave a record a key of {bytes} bytes, more than {bytes_max}")]
    Key {
        /// Its length.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
}

impl From<ClusterError> for EngineError {
    fn from(error: ClusterError) -> Self {
        EngineError::Start(error.to_string())
    }
}

impl EngineError {
    /// Whether another attempt from the last checkpoint may succeed. What the job file, a component or a record is to
    /// blame for comes again; what a machine, the outside world or we are to blame for need not.
    pub fn is_retryable(&self) -> bool {
        match self {
            EngineError::Panicked { .. }
            | EngineError::State { .. }
            | EngineError::CheckpointFailed { .. }
            | EngineError::PeerLost(_)
            | EngineError::Start(_) => true,
            EngineError::Snapshot { source, .. } => source.is_retryable(),
            EngineError::Connector { source, .. } => source.is_retryable(),
            EngineError::Checkpoint(error) => error.is_retryable(),
            EngineError::Job(_)
            | EngineError::Shape(_)
            | EngineError::Guest { .. }
            | EngineError::Rejected { .. }
            | EngineError::Poison { .. }
            | EngineError::Malformed { .. }
            | EngineError::TimerLoop { .. } => false,
        }
    }

    /// Whether the reason is to be looked for in another process.
    pub fn is_consequence(&self) -> bool {
        matches!(self, EngineError::PeerLost(_))
    }

    /// Whether what the attempt was to restore is gone, or is not what was written.
    pub fn is_lost_checkpoint(&self) -> bool {
        matches!(self, EngineError::Checkpoint(error) if error.is_lost())
    }

    /// How the call that failed can be made again, if it is kept.
    fn replay_hint(&self) -> Option<String> {
        match self {
            EngineError::Poison { capsule: Some(capsule), .. } => {
                Some(format!("the call is kept: `tidewheel replay {}` makes it again", capsule.display()))
            }
            _ => None,
        }
    }

    /// What the user can do about it, where the message does not say so itself.
    pub fn hint(&self) -> Option<String> {
        match self {
            EngineError::Rejected { .. } | EngineError::Malformed { .. } | EngineError::Poison { .. } => {
                let hint = "set on-error = \"skip\" or \"dead-letter\" to go on without such records".to_owned();
                Some(self.replay_hint().map_or(hint.clone(), |replay| format!("{hint}\n{replay}")))
            }
            EngineError::TimerLoop { .. } => {
                Some("set timers after the watermark, and none at the end of the input (watermark = MAX)".to_owned())
            }
            EngineError::Panicked { .. } => Some("this is a fault in Tidewheel: please report it".to_owned()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::EngineError;
    use std::io;
    use tidewheel_connectors::ConnectorError;
    use tidewheel_state::StateError;
    use tidewheel_types::description::StateKind;
    use tidewheel_types::{OperatorId, Origin};

    #[test]
    fn only_what_a_machine_is_to_blame_for_is_tried_again() {
        let is_retryable = |source| EngineError::Snapshot { operator: OperatorId::new("sum"), source }.is_retryable();
        let state = || "seen".to_owned();
        assert!(is_retryable(StateError::Io { action: "read", path: "f".into(), source: io::Error::other("disk") }));
        assert!(is_retryable(StateError::DiskTooSlow { folder: "f".into(), waited_s: 60 }));
        let (declared, stored) = (StateKind::List, StateKind::Map);
        assert!(!is_retryable(StateError::OtherKind { state: state(), declared, stored }));
        assert!(!is_retryable(StateError::MissingKeyGroup { key_group: 3 }));
        assert!(!is_retryable(StateError::TwoOwners { key_group: 3 }));
        assert!(!is_retryable(StateError::DamagedEntry { what: "no key".to_owned() }));
        assert!(!is_retryable(StateError::RidesTooLate { state: state() }));
    }

    #[test]
    fn a_record_that_cannot_be_written_comes_again() {
        let is_retryable = |source| {
            let source = Box::new(source);
            EngineError::Connector { operator: OperatorId::new("out"), source }.is_retryable()
        };
        assert!(is_retryable(ConnectorError::Stopped { what: "out".to_owned() }));
        assert!(!is_retryable(ConnectorError::Record { origin: Origin::default(), reason: "it is long".to_owned() }));
    }
}
