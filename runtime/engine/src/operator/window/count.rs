//! Windows of so many records of a key: which pane a record goes into, and which panes a window has.

use std::ops::Range;

/// Windows of `size` records, one each `slide` records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CountWindows {
    size: u64,
    slide: u64,
    /// Records of a pane: every window begins and ends where one does.
    pane: u64,
}

impl CountWindows {
    pub(super) fn new(size: u64, slide: u64) -> Self {
        let (mut pane, mut rest) = (size, slide);
        while rest != 0 {
            (pane, rest) = (rest, pane % rest);
        }
        CountWindows { size, slide, pane }
    }

    /// The pane of the record that comes after `seen` others.
    pub(super) fn pane_of(self, seen: u64) -> i64 {
        (seen / self.pane) as i64
    }

    /// Whether a window ends with the last of `seen` records.
    pub(super) fn ends_at(self, seen: u64) -> bool {
        seen.is_multiple_of(self.slide)
    }

    /// Whether nothing is left of the window that ends with the last of `seen` records.
    pub(super) fn is_over_at(self, seen: u64) -> bool {
        self.size == self.slide && self.ends_at(seen)
    }

    /// The panes of the window that ends with the last of `seen` records: the first windows have fewer.
    pub(super) fn panes_at(self, seen: u64) -> Range<i64> {
        self.pane_of(seen.saturating_sub(self.size))..self.pane_of(seen)
    }

    /// The panes of that window that the next one does not have.
    pub(super) fn dropped_at(self, seen: u64) -> Range<i64> {
        let panes = self.panes_at(seen);
        panes.start..self.panes_at(seen.saturating_add(self.slide)).start.min(panes.end)
    }
}

#[cfg(test)]
mod tests {
    use super::CountWindows;
    use proptest::prelude::{prop_assert, prop_assert_eq, proptest};
    use std::collections::BTreeMap;

    proptest! {
        /// Against the definition: after each `slide` records the last `size` of them.
        #[test]
        fn a_window_has_the_last_records(size in 1u64..20, slide in 1u64..20, records in 0u64..100) {
            let slide = slide.min(size);
            let windows = CountWindows::new(size, slide);
            let mut panes: BTreeMap<i64, Vec<u64>> = BTreeMap::new();
            for record in 0..records {
                panes.entry(windows.pane_of(record)).or_default().push(record);
                let seen = record + 1;
                prop_assert_eq!(windows.ends_at(seen), seen % slide == 0);
                if !windows.ends_at(seen) {
                    continue;
                }
                let of_window = panes.range(windows.panes_at(seen)).flat_map(|(_, records)| records);
                let expected: Vec<u64> = (seen.saturating_sub(size)..seen).collect();
                prop_assert_eq!(of_window.copied().collect::<Vec<_>>(), expected);
                windows.dropped_at(seen).for_each(|pane| drop(panes.remove(&pane)));
                prop_assert!(panes.len() as u64 <= size, "{panes:?}");
            }
        }
    }
}
