//! Windows that are to be fired, as columns.

use crate::operator::cuts::Cuts;
use crate::operator::emit::{Inherit, bytes_in};
use crate::operator::group::namespace;
use std::ops::Range;
use tidewheel_types::keyed_state::{ABSENT, Cells, StateKey};
use tidewheel_types::{BytesColumn, Origin};

/// Panes of windows that fire together, about: what is due besides waits for the next round.
pub(super) const PANES_MAX: usize = 1 << 18;

/// Windows of one key that are to be fired, in order, and the panes that nothing is left of then.
#[derive(Debug, Default)]
pub(super) struct FiredWindows {
    /// Bounds of each, and where its panes end.
    windows: Vec<([i64; 2], usize)>,
    panes: Vec<i64>,
    forgotten: Vec<i64>,
    /// Of each pane whether it goes when its window has fired.
    is_dropped: Vec<bool>,
}

impl FiredWindows {
    pub(super) fn clear(&mut self) {
        self.windows.clear();
        self.panes.clear();
        self.forgotten.clear();
    }

    /// Adds a window. Without panes it has nothing to fire.
    pub(super) fn push(&mut self, bounds: [i64; 2], panes: impl Iterator<Item = i64>) {
        let before = self.panes.len();
        self.panes.extend(panes);
        if self.panes.len() > before {
            self.windows.push((bounds, self.panes.len()));
        }
    }

    /// Of these panes nothing is left when the windows have fired.
    pub(super) fn forget(&mut self, panes: impl Iterator<Item = i64>) {
        self.forgotten.extend(panes);
    }

    #[cfg(test)]
    pub(super) fn forgotten(&self) -> &[i64] {
        &self.forgotten
    }

    /// Adds the windows to `firing`, for `key`. What is left are the panes that are forgotten without having been fired.
    pub(super) fn take(&mut self, key: StateKey<'_>, firing: &mut Firing) -> &[i64] {
        self.forgotten.sort_unstable();
        self.is_dropped.clear();
        self.is_dropped.resize(self.panes.len(), false);
        // The last window that has a pane drops it.
        for (pane, is_dropped) in self.panes.iter().zip(&mut self.is_dropped).rev() {
            if self.forgotten.is_empty() {
                break;
            }
            if let Ok(place) = self.forgotten.binary_search(pane) {
                self.forgotten.remove(place);
                *is_dropped = true;
            }
        }
        let mut start = 0;
        for &(bounds, end) in &self.windows {
            let panes = self.panes[start..end].iter().copied().zip(self.is_dropped[start..end].iter().copied());
            firing.push(key, bounds, panes);
            start = end;
        }
        &self.forgotten
    }
}

/// Windows that are to be fired, in order, each with its panes.
#[derive(Debug, Default)]
pub(super) struct Firing {
    hashes: Vec<u64>,
    keys: BytesColumn,
    /// Start and end of each.
    bounds: Vec<[i64; 2]>,
    /// Where the panes of each end.
    pane_ends: Vec<u32>,
    panes: Vec<Pane>,
    /// How many have fired.
    fired: usize,
    pub(super) cuts: Cuts,
}

/// A pane of a window.
#[derive(Clone, Copy, Debug)]
struct Pane {
    namespace: [u8; 8],
    /// Whether it goes when the window has fired.
    is_dropped: bool,
}

impl Firing {
    /// Forgets what has fired.
    pub(super) fn clear(&mut self) {
        self.hashes.clear();
        self.keys.clear();
        self.bounds.clear();
        self.pane_ends.clear();
        self.panes.clear();
        self.fired = 0;
        self.cuts = Cuts::default();
    }

    /// Adds a window of the key of `of`; with each pane comes whether it goes when the window has fired.
    pub(super) fn push(&mut self, of: StateKey<'_>, bounds: [i64; 2], panes: impl Iterator<Item = (i64, bool)>) {
        self.hashes.push(of.hash);
        self.keys.push(of.key);
        self.bounds.push(bounds);
        self.panes.extend(panes.map(|(pane, is_dropped)| Pane { namespace: namespace(pane), is_dropped }));
        self.pane_ends.push(self.panes.len() as u32);
    }

    /// Whether all have fired.
    pub(super) fn is_done(&self) -> bool {
        self.fired == self.bounds.len()
    }

    /// How many panes all windows have.
    pub(super) fn panes_len(&self) -> usize {
        self.panes.len()
    }

    /// Where the next piece begins.
    pub(super) fn next(&self) -> usize {
        self.fired
    }

    /// The next window needs no call.
    pub(super) fn pass_over(&mut self) {
        let passed = self.fired..self.fired + 1;
        self.fired = passed.end;
        self.cuts.passed_over::<()>(&passed);
    }

    /// The windows up to `end` have fired.
    pub(super) fn done(&mut self, end: usize) {
        self.fired = end;
    }

    pub(super) fn keys(&self) -> &BytesColumn {
        &self.keys
    }

    /// Under which a component's own state is kept for a window: its key.
    pub(super) fn key(&self, window: usize) -> StateKey<'_> {
        StateKey { hash: self.hashes[window], key: self.keys.get(window), namespace: &[] }
    }

    pub(super) fn keys_of(&self, windows: Range<usize>) -> impl Iterator<Item = StateKey<'_>> {
        windows.map(|window| self.key(window))
    }

    pub(super) fn bounds(&self, windows: Range<usize>) -> &[[i64; 2]] {
        &self.bounds[windows]
    }

    /// The panes of some windows, one window's after the other's.
    pub(super) fn panes(&self, windows: &Range<usize>) -> Range<usize> {
        let start = if windows.start == 0 { 0 } else { self.pane_ends[windows.start - 1] as usize };
        let end = if windows.is_empty() { start } else { self.pane_ends[windows.end - 1] as usize };
        start..end
    }

    /// Under which the panes of some windows are kept.
    pub(super) fn state_keys(&self, windows: Range<usize>) -> impl Iterator<Item = StateKey<'_>> {
        windows.flat_map(|window| {
            let panes = &self.panes[self.panes(&(window..window + 1))];
            let (hash, key) = (self.hashes[window], self.keys.get(window));
            panes.iter().map(move |pane| StateKey { hash, key, namespace: &pane.namespace })
        })
    }

    /// Those of [`state_keys`](Self::state_keys) which go, each with its place among all.
    pub(super) fn dropped(&self, windows: &Range<usize>) -> impl Iterator<Item = (usize, StateKey<'_>)> {
        let panes = &self.panes[self.panes(windows)];
        self.state_keys(windows.clone()).enumerate().filter(|&(place, _)| panes[place].is_dropped)
    }

    /// How many of these windows, from the first on, have an accumulator, as those that were read say.
    pub(super) fn with_accumulators(&self, windows: &Range<usize>, cells: &Cells) -> usize {
        let first = self.panes(windows).start;
        let has_one = |&window: &usize| {
            let panes = self.panes(&(window..window + 1));
            panes.into_iter().any(|pane| cells.ends[pane - first] & ABSENT == 0)
        };
        windows.clone().take_while(has_one).count()
    }
}

/// Windows that fire together. What is emitted for one has its key, and its last time.
pub(super) struct Fired<'a> {
    pub(super) firing: &'a Firing,
    pub(super) range: Range<usize>,
}

impl Inherit for Fired<'_> {
    fn place(&self, index: usize) -> usize {
        self.range.start + index
    }

    fn time(&self, index: usize) -> i64 {
        match self.firing.bounds[self.place(index)][1] {
            i64::MAX => i64::MAX,
            end => end - 1,
        }
    }

    fn key(&self, index: usize) -> &[u8] {
        self.firing.keys.get(self.place(index))
    }

    fn origin(&self, _: usize) -> Origin {
        Origin::NONE
    }

    fn value(&self, _: usize) -> &[u8] {
        &[]
    }

    fn key_bytes_max(&self) -> usize {
        bytes_in(&self.firing.keys, &self.range)
    }
}
