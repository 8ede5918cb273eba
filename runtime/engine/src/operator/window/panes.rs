//! What is kept of a key besides what its panes hold, where windows share panes: which panes there are, and when the next
//! timer is due.

use super::aligned::Aligned;

/// The panes of a key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct KeyPanes {
    /// The time of the earliest timer that is set; none before the first pane.
    pub(super) timer: Option<i64>,
    /// Where they start, in rising order.
    pub(super) panes: Vec<i64>,
}

impl KeyPanes {
    /// Adds a pane that is new.
    pub(super) fn add(&mut self, pane: i64) {
        if let Err(place) = self.panes.binary_search(&pane) {
            self.panes.insert(place, pane);
        }
    }

    /// The panes of the window from `start` to before `end`.
    pub(super) fn of_window(&self, [start, end]: [i64; 2]) -> &[i64] {
        let from = self.panes.partition_point(|&pane| pane < start);
        let to = self.panes.partition_point(|&pane| pane < end);
        &self.panes[from..to.max(from)]
    }

    /// Drops the panes of which no window is left at `time`.
    pub(super) fn drop_until(&mut self, time: i64, windows: Aligned, lateness_ms: i64) -> Vec<i64> {
        let is_over = |&pane: &i64| cleanup_time(pane, windows, lateness_ms).is_none_or(|cleanup| cleanup <= time);
        // A later pane's last window is no earlier one.
        let over = self.panes.iter().take_while(|pane| is_over(pane)).count();
        self.panes.drain(..over).collect()
    }

    /// When something is to be done after `time`: a window ends, or a pane is to be dropped.
    pub(super) fn next_time(&self, time: i64, windows: Aligned, lateness_ms: i64) -> Option<i64> {
        let next_end = |&pane: &i64| {
            let start = windows.first_start_ending_after(pane, time.saturating_add(1))?;
            // At the end of time all ends are one, which has been met then.
            Some(windows.end_of(start) - 1).filter(|&end| end > time)
        };
        // The first pane whose windows have not all ended yet has the earliest end.
        let end = self.panes.iter().find_map(next_end);
        let cleanup = self.panes.first().and_then(|&pane| cleanup_time(pane, windows, lateness_ms));
        end.into_iter().chain(cleanup.filter(|&cleanup| cleanup > time)).min()
    }

    pub(super) fn encode(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.timer.unwrap_or(i64::MAX).to_le_bytes());
        self.panes.iter().for_each(|pane| bytes.extend_from_slice(&pane.to_le_bytes()));
    }

    /// What [`encode`](Self::encode) wrote; `None` if these bytes are not that.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (numbers, rest) = bytes.as_chunks();
        let (timer, panes) = numbers.split_first()?;
        let timer = Some(i64::from_le_bytes(*timer)).filter(|&timer| timer != i64::MAX);
        let panes = panes.iter().map(|&pane| i64::from_le_bytes(pane)).collect();
        rest.is_empty().then_some(KeyPanes { timer, panes })
    }
}

/// When nothing is left of a pane: its last window has ended, so long ago as a record may be late. None: no window holds
/// it.
pub(super) fn cleanup_time(pane: i64, windows: Aligned, lateness_ms: i64) -> Option<i64> {
    let last = windows.last_start(pane)?;
    Some((windows.end_of(last) - 1).saturating_add(lateness_ms))
}

#[cfg(test)]
mod tests {
    use super::{Aligned, KeyPanes};
    use proptest::collection::btree_set;
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    proptest! {
        #[test]
        fn what_was_encoded_is_decoded(timer in any::<i32>(), panes in btree_set(any::<i64>(), 0..5)) {
            let panes = KeyPanes { timer: Some(timer.into()), panes: panes.into_iter().collect() };
            let mut bytes = Vec::new();
            panes.encode(&mut bytes);
            prop_assert_eq!(KeyPanes::decode(&bytes), Some(panes));
            bytes.push(0);
            prop_assert_eq!(KeyPanes::decode(&bytes), None);
        }

        /// At the end of time, where the ends of windows are cut off, there is an end of it.
        #[test]
        fn each_time_is_later(
            before in 0i64..60, size in 1i64..30, slide in 1i64..30, lateness in 0i64..20,
        ) {
            let windows = Aligned::sliding(size, slide, 0);
            let mut key = KeyPanes::default();
            key.add(windows.pane_of(i64::MAX - before));
            let mut time = i64::MAX - 100;
            while let Some(next) = key.next_time(time, windows, lateness) {
                prop_assert!(next > time);
                time = next;
                key.drop_until(time, windows, lateness);
            }
        }

        /// Going from one time to the next, every window that holds a pane is met at its end, and all panes are dropped.
        #[test]
        fn every_window_is_met(
            times in btree_set(-50i64..50, 1..6), size in 1i64..30, slide in 1i64..30, lateness in 0i64..20,
        ) {
            let windows = Aligned::sliding(size, slide, 0);
            let held = times.iter().map(|&time| windows.pane_of(time));
            let mut key = KeyPanes::default();
            held.filter(|&pane| windows.last_start(pane).is_some()).for_each(|pane| key.add(pane));
            let expected: std::collections::BTreeSet<i64> =
                key.panes.iter().flat_map(|&pane| windows.starts_ending_after(pane, i64::MIN)).collect();
            let (mut met, mut time) = (std::collections::BTreeSet::new(), -200);
            while let Some(next) = key.next_time(time, windows, lateness) {
                time = next;
                let start = windows.start_of(time + 1);
                let is_window = start.rem_euclid(slide) == 0;
                if is_window && !key.of_window([start, time + 1]).is_empty() {
                    met.insert(start);
                }
                key.drop_until(time, windows, lateness);
            }
            prop_assert_eq!(met, expected);
            prop_assert_eq!(key.panes.len(), 0);
        }
    }
}
