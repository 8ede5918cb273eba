//! What becomes of records in their panes, and of panes when a window fires: [`Accumulators`] are folded as records come,
//! [`Records`] are kept as they are.
//!
//! [`Accumulators`]: super::accumulators::Accumulators
//! [`Records`]: super::records::Records

use super::firing::Firing;
use super::state::WindowState;
use crate::error::EngineError;
use crate::inbox::Arrived;
use crate::operator::FunctionTask;
use crate::operator::group::Grouping;
use crate::outputs::Outputs;
use crate::task::{Flow, Moment};
use std::ops::Range;
use tidewheel_guest::Output;
use tidewheel_types::Batch;
use tidewheel_types::keyed_state::{ABSENT, Cells, KeyedStateError};

/// The function of an operator with windows, and its state.
pub(super) struct WindowTask {
    pub(super) function: FunctionTask,
    pub(super) state: WindowState,
}

impl WindowTask {
    /// What a state gave, or that it failed.
    pub(super) fn checked<T>(&self, result: Result<T, KeyedStateError>) -> Result<T, EngineError> {
        result.map_err(|error| self.function.state_failed(error))
    }
}

/// Records of a batch that have been assigned to panes, grouped by key and pane.
pub(super) struct Taking<'a> {
    pub(super) grouping: &'a Grouping,
    /// What they were assigned from.
    pub(super) piece: Range<usize>,
    /// Start and end of what the pane of a group belongs to.
    pub(super) bounds: &'a dyn Fn(usize) -> [i64; 2],
    /// Whether none is to be taken in where one is rejected: the others are assigned anew without it.
    pub(super) all_or_none: bool,
}

/// What has come of records that were to be taken in.
pub(super) enum TakenIn<'a> {
    /// They are in their panes, but for those that were rejected, as indices into the batch.
    Done { panes: Panes<'a>, rejected: Vec<u32> },
    /// These were rejected, and none is in its pane.
    None(Vec<u32>),
    /// The one record was set aside.
    SetAside,
    /// Nothing yet: they are to be assigned again, at once or later.
    Again(Flow),
}

/// What the panes of groups held, and hold.
pub(super) enum Panes<'a> {
    Accumulators {
        before: &'a Cells,
        output: Output,
    },
    /// Records. Whether there were any before is not known.
    Records,
}

impl Panes<'_> {
    /// Whether the pane of a group may have held nothing.
    pub(super) fn may_be_new(&self, group: usize) -> bool {
        match self {
            Panes::Accumulators { before, .. } => before.ends[group] & ABSENT != 0,
            Panes::Records => true,
        }
    }

    /// Whether the pane of a group holds something.
    pub(super) fn holds(&self, group: usize) -> bool {
        match self {
            Panes::Accumulators { output, .. } => output.cell(group).is_some(),
            Panes::Records => true,
        }
    }
}

/// What panes hold.
pub(super) trait Fold {
    /// Makes ready to take records in that have been grouped, of `piece`. Says how much of it: the others are too many.
    fn prepare(
        &mut self,
        task: &mut WindowTask,
        batch: &Batch,
        grouping: &Grouping,
        piece: &Range<usize>,
    ) -> Result<Range<usize>, EngineError>;

    /// Takes in the records that it has been made ready for.
    fn take_in(
        &mut self,
        task: &mut WindowTask,
        arrived: &mut Arrived,
        taking: Taking<'_>,
        at: &Moment,
        outputs: &mut Outputs,
    ) -> Result<TakenIn<'_>, EngineError>;

    /// Emits the results of the next of the windows that fire, and forgets what is not to be kept of them.
    fn fire(
        &mut self,
        task: &mut WindowTask,
        firing: &mut Firing,
        at: &Moment,
        outputs: &mut Outputs,
    ) -> Result<Flow, EngineError>;
}
