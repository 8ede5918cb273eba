//! Where records come from.

use crate::ConnectorError;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tidewheel_types::{Batch, SplitIndex};

/// The event time of a record for which the connector knows none.
pub const NO_TIME: i64 = i64::MIN;

/// Wakes the worker that a reader or writer belongs to. May be called from any thread, at any time, any number of
/// times; a call that comes too early costs one look at nothing.
pub type Waker = Arc<dyn Fn() + Send + Sync>;

/// A source as the job file describes it, checked.
pub trait Source: Send + Sync {
    /// The names of the splits, as a person knows them (a file's path, a partition). Their number and order are fixed
    /// from then on. Called once per start of a job, before anything runs.
    fn splits(&self) -> Result<Vec<String>, ConnectorError>;

    /// Takes the splits that `splits` has found in another process of the job, in the place of those it would find.
    /// Some may be gone by now; one that is opened has to be there. For sources that may find others.
    fn use_splits(&self, _names: &[String]) {}

    /// Whether its splits end by themselves.
    fn is_bounded(&self) -> bool {
        true
    }

    /// Whether its records have keys of their own, without a `key` in the job file.
    fn has_keys(&self) -> bool {
        false
    }

    /// Starts to read a split, from its beginning or from where a reader of it was. `source` is the source's place in
    /// the job, for the records' origins.
    fn open(
        &self,
        source: u32,
        split: SplitIndex,
        position: Option<&Position>,
        waker: Waker,
    ) -> Result<Box<dyn SplitReader>, ConnectorError>;
}

/// Where a reader is in its split: what a checkpoint keeps of it. Only the connector knows what it means.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Position(pub serde_json::Value);

impl Position {
    /// The position that `position` describes.
    ///
    /// # Panics
    /// If it cannot be written as JSON, which numbers and text can.
    pub fn of(position: &impl Serialize) -> Position {
        Position(serde_json::to_value(position).expect("positions are numbers and text"))
    }

    /// Reads what [`of`](Self::of) wrote; `split` is for the error.
    pub fn read<T: DeserializeOwned>(&self, split: &str) -> Result<T, ConnectorError> {
        T::deserialize(&self.0).map_err(|error| ConnectorError::Input {
            path: split.to_owned(),
            reason: format!("the checkpoint's position {} is not one of this connector: {error}", self.0),
            hint: "the source was of another kind when the checkpoint was taken: give it another name".to_owned(),
        })
    }
}

/// Reads one split. It lives on a worker's thread and must not block it: what waits for a disk or a network runs on
/// threads of the connector's own, which call the waker.
pub trait SplitReader {
    /// Adds records to `batch` until about `bytes_max` bytes have been added or nothing more is at hand.
    ///
    /// The reader fills every column: `times` with the connector's own event time or [`NO_TIME`], `keys` with the
    /// connector's own key or nothing, `origins` with source, split and offset. What it cannot make a record of goes
    /// to `malformed`, in order, and counts against `bytes_max` too.
    fn read(
        &mut self,
        now: Instant,
        bytes_max: usize,
        batch: &mut Batch,
        malformed: &mut Vec<Malformed>,
    ) -> Result<ReadStatus, ConnectorError>;

    /// The watermark behind everything that the last read has brought, ms, where it is in the split itself; otherwise it is
    /// reckoned from the records' event times.
    fn watermark(&self) -> Option<i64> {
        None
    }

    /// Where it is, after everything that the last read has brought: a reader opened there goes on with what comes next.
    fn position(&self) -> Position;
}

/// What to do after a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadStatus {
    /// There may be more: read again.
    Ready,
    /// Nothing more at hand: the waker will be called.
    Pending,
    /// Nothing more before that moment (a rate limit).
    Wait(Duration),
    /// The split has ended; it is not read again.
    End,
}

/// Input that is not a record: a line that is not JSON, a row with too few columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// Where it begins: the offset a record there would have had.
    pub offset: u64,
    /// The line or row as it stands, cut at 64 KiB.
    pub bytes: Vec<u8>,
    /// What is wrong with it, lower case, no final dot, with place: `orders.jsonl:17: expected a value at column 5`.
    pub reason: String,
}
