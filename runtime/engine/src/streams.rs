//! The streams beside the data: commands, watermarks and reports.

use serde::{Deserialize, Serialize};

/// From the controller to every task, on the command stream; takes effect at the end of its epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Command {
    /// From the next epoch on, a source instance may read this many bytes an epoch: its share of the job's budget.
    Share(u64),
    /// All sources have ended and everything they sent has been processed: sinks stage and commit what they hold.
    Finish,
}

/// From a source instance to the controller, on the report stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Report {
    /// Something happened in this epoch: it should be closed in time.
    Active,
    /// My share of the epoch's byte budget is spent: close it soon.
    Spent,
    /// My last split has ended.
    Ended,
}
