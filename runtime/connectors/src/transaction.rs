//! Output that an outside system takes in one step: what every exactly-once sink is made of.
//!
//! A sink's writer *cuts* its output at each checkpoint; everything else is a [`Transaction`]'s. What it has to hold:
//!
//! - `stage` makes a piece durable, and not yet visible; its handle names it for ever, in a snapshot.
//! - `fence` makes sure that no earlier attempt changes anything from then on: what it has left and no handle names is
//!   dropped, now or when it comes.
//! - `outcome` says whether what a handle names has become visible. After the fence that does not change by itself.
//! - `commit` makes it visible, whole or not at all.
//!
//! For a system that keeps no output of its own until it is committed (a message broker, a database) the
//! [`outbox`](crate::outbox) is the stage.

use crate::{ConnectorError, StageHandle};
use tidewheel_crash_points::CrashPoint;

/// Whether staged output has become visible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It has, whatever has become of it since.
    Committed,
    /// It has not.
    Open,
}

/// The outside system of one shard's writer. It may block.
pub(crate) trait Transaction<Piece>: Send + 'static {
    /// Ends what earlier attempts may still do. `named` is what a snapshot names, of all shards that this one adopts.
    fn fence(&mut self, named: &[StageHandle]) -> Result<(), ConnectorError>;

    /// Makes a piece durable.
    fn stage(&mut self, piece: Piece) -> Result<StageHandle, ConnectorError>;

    /// Whether what `handle` names is visible. Asked after the fence.
    fn outcome(&mut self, handle: &StageHandle) -> Result<Outcome, ConnectorError>;

    /// Makes it visible. Doing so twice in an attempt does no harm.
    fn commit(&mut self, handle: &StageHandle) -> Result<(), ConnectorError>;
}

/// Settles what a restored snapshot names, in its order: fence, outcome, commit.
pub(crate) fn recover<Piece>(
    system: &mut impl Transaction<Piece>,
    named: &[StageHandle],
) -> Result<(), ConnectorError> {
    system.fence(named)?;
    for handle in named {
        if system.outcome(handle)? == Outcome::Open {
            commit(system, handle)?;
        }
    }
    Ok(())
}

/// [`Transaction::stage`], where a process can be told to die.
pub(crate) fn stage<Piece>(system: &mut impl Transaction<Piece>, piece: Piece) -> Result<StageHandle, ConnectorError> {
    CrashPoint::BeforeStage.reached();
    let handle = system.stage(piece)?;
    CrashPoint::AfterStage.reached();
    Ok(handle)
}

/// [`Transaction::commit`], where a process can be told to die.
pub(crate) fn commit<Piece>(system: &mut impl Transaction<Piece>, handle: &StageHandle) -> Result<(), ConnectorError> {
    CrashPoint::BeforeCommit.reached();
    system.commit(handle)?;
    CrashPoint::AfterCommit.reached();
    Ok(())
}

/// Of a sink whose output is visible when it is written: nothing is ever staged.
pub(crate) struct AtLeastOnce;

/// There is none.
pub(crate) enum NoPiece {}

impl Transaction<NoPiece> for AtLeastOnce {
    fn fence(&mut self, _named: &[StageHandle]) -> Result<(), ConnectorError> {
        Ok(())
    }

    fn stage(&mut self, piece: NoPiece) -> Result<StageHandle, ConnectorError> {
        match piece {}
    }

    /// An exactly-once sink of the same name, before the job was changed, has staged it.
    fn outcome(&mut self, _handle: &StageHandle) -> Result<Outcome, ConnectorError> {
        Err(ConnectorError::CommitFailed {
            path: "what the snapshot names".to_owned(),
            reason: "this sink stages nothing; it was of another kind when the snapshot was taken".to_owned(),
        })
    }

    fn commit(&mut self, handle: &StageHandle) -> Result<(), ConnectorError> {
        self.outcome(handle).map(|_| ())
    }
}
