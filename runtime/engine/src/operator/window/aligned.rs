//! Windows that are the same for every key: tumbling and sliding ones, and the panes they share.
//!
//! A record is stored once, in its *pane*, however many windows overlap there: a pane is a stretch of time that every
//! window holds whole or not at all (Li et al., "No pane, no gain", 2005). Of tumbling windows each is one pane.

/// Windows `[start, start + size)`, one each slide, aligned to 1970-01-01 UTC plus an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Aligned {
    size_ms: i64,
    slide_ms: i64,
    offset_ms: i64,
    pane_ms: i64,
}

impl Aligned {
    /// Windows that overlap, when they are longer than the slide, or leave gaps, when they are shorter.
    pub(crate) fn sliding(size_ms: i64, slide_ms: i64, offset_ms: i64) -> Self {
        Aligned { size_ms, slide_ms, offset_ms, pane_ms: greatest_common_divisor(size_ms, slide_ms) }
    }

    /// Windows one after the other.
    pub(crate) fn tumbling(size_ms: i64, offset_ms: i64) -> Self {
        Aligned::sliding(size_ms, size_ms, offset_ms)
    }

    /// The start of the pane that `time` falls into, as Flink's `TimeWindow.getWindowStartWithOffset`, for negative times
    /// too.
    #[inline]
    pub(crate) fn pane_of(self, time: i64) -> i64 {
        floor(time, self.pane_ms, self.offset_ms)
    }

    /// The end of the pane that starts at `pane`; the first time that is not in it.
    #[inline]
    pub(crate) fn pane_end(self, pane: i64) -> i64 {
        pane.saturating_add(self.pane_ms)
    }

    /// The end of the window that starts at `start`; the first time that is not in it.
    #[inline]
    pub(crate) fn end_of(self, start: i64) -> i64 {
        start.saturating_add(self.size_ms)
    }

    /// The start of the window that ends at `end`.
    pub(crate) fn start_of(self, end: i64) -> i64 {
        end.saturating_sub(self.size_ms)
    }

    /// The start of the last window that holds a pane. If windows leave gaps, none may.
    #[inline]
    pub(crate) fn last_start(self, pane: i64) -> Option<i64> {
        let start = floor(pane, self.slide_ms, self.offset_ms);
        (self.end_of(start) >= self.pane_end(pane)).then_some(start)
    }

    /// The start of the first window that holds a pane and ends after `time`, if there is one.
    pub(crate) fn first_start_ending_after(self, pane: i64, time: i64) -> Option<i64> {
        let last = self.last_start(pane)?;
        // The least start whose window holds the pane, and the least whose window ends after that time.
        let holds = self.pane_end(pane).saturating_sub(self.size_ms);
        let ends_after = time.saturating_sub(self.size_ms).saturating_add(1);
        let least = holds.max(ends_after);
        let below = floor(least, self.slide_ms, self.offset_ms);
        let first = if below < least { below.saturating_add(self.slide_ms) } else { below };
        (first <= last).then_some(first)
    }

    /// The starts of the windows that hold a pane and end after `time`, the earliest first.
    pub(crate) fn starts_ending_after(self, pane: i64, time: i64) -> impl Iterator<Item = i64> {
        let last = self.last_start(pane);
        let next = move |&start: &i64| start.checked_add(self.slide_ms);
        let starts = std::iter::successors(self.first_start_ending_after(pane, time), next);
        starts.take_while(move |&start| last.is_some_and(|last| start <= last))
    }
}

/// The largest number at or below `time` that is a multiple of `step` plus `offset`.
#[inline]
fn floor(time: i64, step: i64, offset: i64) -> i64 {
    time.saturating_sub(time.wrapping_sub(offset).rem_euclid(step))
}

fn greatest_common_divisor(mut a: i64, mut b: i64) -> i64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::Aligned;
    use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

    proptest! {
        /// Against the definition: the windows of a record are those whose start is a multiple of the slide plus the
        /// offset, and that hold its time.
        #[test]
        fn the_windows_of_a_pane_are_those_of_its_times(
            time in -500i64..500, size in 1i64..40, slide in 1i64..40, offset in 0i64..40, after in -600i64..600,
        ) {
            let offset = offset % slide;
            let windows = Aligned::sliding(size, slide, offset);
            let pane = windows.pane_of(time);
            prop_assert!(pane <= time && time < windows.pane_end(pane));
            let starts = (time - size + 1..=time).filter(|start| (start - offset).rem_euclid(slide) == 0);
            let expected: Vec<i64> = starts.filter(|start| start + size > after).collect();
            prop_assert_eq!(windows.starts_ending_after(pane, after).collect::<Vec<_>>(), expected.clone());
            prop_assert_eq!(windows.first_start_ending_after(pane, after), expected.first().copied());
            if after < time {
                prop_assert_eq!(windows.last_start(pane), expected.last().copied());
            }
        }
    }

    #[test]
    fn times_at_the_ends_of_the_range_do_not_overflow() {
        let windows = Aligned::tumbling(10_000, 0);
        assert_eq!(windows.pane_end(windows.pane_of(i64::MAX)), i64::MAX);
        assert!(windows.pane_of(i64::MIN + 10_000) <= i64::MIN + 10_000);
        for time in [i64::MIN, i64::MIN + 1, i64::MAX - 1, i64::MAX] {
            let windows = Aligned::sliding(10_000, 3_000, 1);
            let starts = windows.starts_ending_after(windows.pane_of(time), i64::MIN);
            assert!(starts.count() <= 5);
        }
    }
}
