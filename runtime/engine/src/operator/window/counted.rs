//! Windows of so many records: a pane each so many records, and no timers.

use super::assigner::{Assigned, Assigner, Came, Due, KeptWrites, Piece, damaged, read_kept};
use super::count::CountWindows;
use super::firing::Firing;
use super::state::WindowState;
use crate::operator::group::Grouping;
use tidewheel_types::keyed_state::{Cells, KeyedStateError};

/// Windows of so many records have neither start nor end in time, as Flink's `GlobalWindow`.
const BOUNDS: [i64; 2] = [i64::MIN, i64::MAX];

/// Windows of so many records.
pub(super) struct Counted {
    windows: CountWindows,
    /// The keys of the piece that was assigned last, and how many records of each have come.
    keys: Grouping,
    seen: Vec<u64>,
    /// The keys of the records up to the last, each as often as it has come.
    came: Vec<usize>,
    kept: Cells,
    writes: KeptWrites,
}

impl Counted {
    pub(super) fn new(windows: CountWindows) -> Self {
        Counted {
            windows,
            keys: Grouping::default(),
            seen: Vec::new(),
            came: Vec::new(),
            kept: Cells::default(),
            writes: KeptWrites::default(),
        }
    }
}

impl Assigner for Counted {
    fn assign(
        &mut self,
        piece: &Piece<'_>,
        state: &WindowState,
        assigned: &mut Assigned,
    ) -> Result<(), KeyedStateError> {
        self.keys.by_key(piece.batch, piece.range.clone());
        let keys = (0..self.keys.len()).map(|key| self.keys.state_key(&piece.batch.keys, key));
        read_kept(state, keys, &mut self.kept)?;
        self.seen.clear();
        for key in 0..self.keys.len() {
            self.seen.push(decode(self.kept.get(key))?);
        }
        self.came.clear();
        for record in piece.records() {
            let key = self.keys.group_of(record - piece.range.start);
            self.came.push(key);
            let seen = &mut self.seen[key];
            assigned.push(record, self.windows.pane_of(*seen));
            *seen += 1;
            if self.windows.ends_at(*seen) {
                assigned.fire(record);
                break;
            }
        }
        Ok(())
    }

    fn bounds(&self, _: usize, _: i64) -> [i64; 2] {
        BOUNDS
    }

    fn came(&mut self, done: &Came<'_>, state: &mut WindowState, firing: &mut Firing) -> Result<(), KeyedStateError> {
        if let Some(&last) = self.came.last().filter(|_| done.fires) {
            let seen = self.seen[last];
            let dropped = self.windows.dropped_at(seen);
            let panes = self.windows.panes_at(seen).map(|pane| (pane, dropped.contains(&pane)));
            firing.push(self.keys.state_key(&done.batch.keys, last), BOUNDS, panes);
        }
        self.came.sort_unstable();
        self.came.dedup();
        self.writes.begin();
        for &key in &self.came {
            let (seen, windows) = (self.seen[key], self.windows);
            self.writes.push(|bytes| {
                // Where windows do not overlap the next one begins anew.
                if !windows.is_over_at(seen) {
                    bytes.extend_from_slice(&seen.to_le_bytes());
                }
            });
        }
        self.writes.write(state, self.came.iter().map(|&key| self.keys.state_key(&done.batch.keys, key)))?;
        Ok(())
    }

    fn due(&mut self, _: &Due<'_>, _: &mut WindowState, _: &mut Firing) -> Result<(), KeyedStateError> {
        Ok(())
    }

    fn counts_records(&self) -> bool {
        true
    }
}

fn decode(kept: Option<&[u8]>) -> Result<u64, KeyedStateError> {
    kept.map_or(Ok(0), |kept| kept.try_into().map(u64::from_le_bytes).map_err(|_| damaged()))
}
