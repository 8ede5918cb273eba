//! Which windows a record belongs to, and when they fire: what one kind of windows has to say.

use super::firing::Firing;
use super::fold::Panes;
use super::state::{ACCUMULATOR, Held, WindowState};
use crate::operator::group::{Grouping, namespace};
use std::ops::Range;
use tidewheel_state::DueTimers;
use tidewheel_types::Batch;
use tidewheel_types::keyed_state::{Cells, KeyedState, KeyedStateError, StateKey, Write};

/// The timer by which windows fire.
pub(super) const SLOT: u16 = 0;

/// The timer by which they are forgotten, where that comes later and is no other timer's work.
pub(super) const CLEANUP_SLOT: u16 = 1;

/// A piece of a batch.
pub(super) struct Piece<'a> {
    pub(super) batch: &'a Batch,
    pub(super) range: Range<usize>,
    /// Records that the function has rejected: they have not come.
    pub(super) rejected: &'a [u32],
    /// How far the windows' time is.
    pub(super) watermark: i64,
    /// The time of all of them, for windows in processing time.
    pub(super) now: Option<i64>,
}

impl Piece<'_> {
    /// The time of a record.
    #[inline]
    pub(super) fn time(&self, record: usize) -> i64 {
        self.now.unwrap_or(self.batch.times[record])
    }

    /// The records that have come.
    pub(super) fn records(&self) -> impl Iterator<Item = usize> {
        self.range.clone().filter(|&record| self.rejected.is_empty() || !self.rejected.contains(&(record as u32)))
    }
}

/// Which records of a piece go into which panes.
#[derive(Debug, Default)]
pub(super) struct Assigned {
    /// Where the piece ends: with the first record that makes windows fire at once, since the next is not to be in them.
    pub(super) end: usize,
    /// The records that are not late, and their panes.
    pub(super) records: Vec<u32>,
    pub(super) panes: Vec<i64>,
    pub(super) late: Vec<u32>,
    /// The records that belong nowhere, and why.
    pub(super) refused: Vec<(usize, String)>,
    /// Whether the last record makes windows fire at once.
    pub(super) fires: bool,
}

impl Assigned {
    pub(super) fn begin(&mut self, end: usize) {
        self.records.clear();
        self.panes.clear();
        self.late.clear();
        self.refused.clear();
        (self.end, self.fires) = (end, false);
    }

    #[inline]
    pub(super) fn push(&mut self, record: usize, pane: i64) {
        self.records.push(record as u32);
        self.panes.push(pane);
    }

    /// The record that was pushed last makes windows fire at once.
    pub(super) fn fire(&mut self, record: usize) {
        (self.end, self.fires) = (record + 1, true);
    }
}

/// Records that have been taken into their panes.
pub(super) struct Came<'a> {
    pub(super) batch: &'a Batch,
    pub(super) grouping: &'a Grouping,
    pub(super) panes: Panes<'a>,
    /// How far the windows' time is, and processing time.
    pub(super) watermark: i64,
    pub(super) now: i64,
    /// Whether the last record makes windows fire at once.
    pub(super) fires: bool,
}

impl<'a> Came<'a> {
    /// Whether the pane of a group may have held nothing before.
    pub(super) fn may_be_new(&self, group: usize) -> bool {
        self.panes.may_be_new(group)
    }

    /// Whether the pane of a group holds something.
    pub(super) fn holds(&self, group: usize) -> bool {
        self.panes.holds(group)
    }

    /// The key of a group, without its pane.
    pub(super) fn key(&self, group: usize) -> StateKey<'a> {
        StateKey { namespace: &[], ..self.grouping.state_key(&self.batch.keys, group) }
    }

    /// The group of the last record, and its key.
    pub(super) fn last(&self) -> (usize, StateKey<'a>) {
        let group = self.grouping.last_group();
        (group, self.key(group))
    }
}

/// Timers that are due.
pub(super) struct Due<'a> {
    pub(super) timers: &'a DueTimers,
    /// How far the windows' time is, and processing time.
    pub(super) watermark: i64,
    pub(super) now: i64,
}

/// One kind of windows.
pub(super) trait Assigner {
    /// Says which panes the records of a piece go into.
    fn assign(
        &mut self,
        piece: &Piece<'_>,
        state: &WindowState,
        assigned: &mut Assigned,
    ) -> Result<(), KeyedStateError>;

    /// Start and end of what the pane of a record, as it was assigned last, belongs to.
    fn bounds(&self, record: usize, pane: i64) -> [i64; 2];

    /// Takes note of the records that were assigned last, which are in their panes. What fires at once is added to
    /// `firing`.
    fn came(&mut self, done: &Came<'_>, state: &mut WindowState, firing: &mut Firing) -> Result<(), KeyedStateError>;

    /// Does what timers are for that are due: what fires is added to `firing`, what is over is forgotten.
    fn due(&mut self, due: &Due<'_>, state: &mut WindowState, firing: &mut Firing) -> Result<(), KeyedStateError>;

    /// Does what timers are for by which windows fire early.
    fn due_early(&mut self, _: &Due<'_>, _: &mut WindowState, _: &mut Firing) -> Result<(), KeyedStateError> {
        Ok(())
    }

    /// Whether what a record does depends on the records before it having been taken in: then a rejected one must not
    /// have come.
    fn counts_records(&self) -> bool;
}

/// Reads what is kept of keys.
pub(super) fn read_kept<'a>(
    state: &WindowState,
    mut keys: impl Iterator<Item = StateKey<'a>>,
    cells: &mut Cells,
) -> Result<(), KeyedStateError> {
    cells.clear();
    state.states().get_many(state.kept, &mut keys, cells)
}

/// What is to be written of what is kept, for many keys at once.
#[derive(Debug, Default)]
pub(super) struct KeptWrites {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl KeptWrites {
    pub(super) fn begin(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    /// Adds what `encode` appends; nothing is kept of a key when that is nothing.
    pub(super) fn push(&mut self, encode: impl FnOnce(&mut Vec<u8>)) {
        encode(&mut self.bytes);
        self.ends.push(self.bytes.len());
    }

    /// Writes it, for these keys in order.
    pub(super) fn write<'k>(
        &self,
        state: &WindowState,
        keys: impl Iterator<Item = StateKey<'k>>,
    ) -> Result<(), KeyedStateError> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        let mut writes = keys.zip(starts.zip(&self.ends)).map(|(key, (start, &end))| {
            let kept = &self.bytes[start..end];
            (state.kept, key, if kept.is_empty() { Write::Delete } else { Write::Put(kept) })
        });
        state.states().write(&mut writes)
    }
}

/// Removes panes of a key.
pub(super) fn forget_panes(
    state: &WindowState,
    key: StateKey<'_>,
    panes: impl IntoIterator<Item = i64>,
) -> Result<(), KeyedStateError> {
    for pane in panes {
        let namespace = namespace(pane);
        let of_pane = StateKey { namespace: &namespace, ..key };
        let mut states = state.states();
        match state.held {
            Held::Accumulator => {
                let mut cells = Cells::default();
                states.get_riding(&mut std::iter::once(of_pane), 1, &mut cells)?;
                states.write_riding(&mut std::iter::once((0, of_pane, ACCUMULATOR, Write::Delete)))?;
            }
            Held::Records(list) => states.write(&mut std::iter::once((list, of_pane, Write::Delete)))?,
        }
    }
    Ok(())
}

/// What was kept is not what was written.
pub(super) fn damaged() -> KeyedStateError {
    KeyedStateError("what is kept of a key's windows is damaged".to_owned())
}
