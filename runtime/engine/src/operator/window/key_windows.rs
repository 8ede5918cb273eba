//! The windows of a key, where they are not the same for every key: sessions, and windows that count their records.
//!
//! The semantics of sessions are those of Flink's `MergingWindowSet`. Merging two sessions does not merge what
//! their panes hold: the one that comes of it has the panes of both, until it fires.

use smallvec::{SmallVec, smallvec};
use tidewheel_types::description::TimerClock;
use tidewheel_types::job::Trigger;

/// The window that has neither start nor end, as Flink's `GlobalWindow`.
pub(super) const GLOBAL: [i64; 2] = [i64::MIN, i64::MAX];

/// A window of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KeyWindow {
    pub(super) start: i64,
    /// The first time that is not in it.
    pub(super) end: i64,
    /// Whether it has fired for its end.
    pub(super) fired: bool,
    /// Records since it has fired last, where that is what makes it fire.
    pub(super) count: u64,
    /// When it fires before its end, where it does so every so often.
    pub(super) next: Option<i64>,
    /// Its panes; none after it was purged.
    pub(super) panes: SmallVec<[i64; 1]>,
}

impl KeyWindow {
    /// A window that nothing has come into yet.
    fn new([start, end]: [i64; 2]) -> Self {
        KeyWindow { start, end, fired: false, count: 0, next: None, panes: SmallVec::new() }
    }

    pub(super) fn bounds(&self) -> [i64; 2] {
        [self.start, self.end]
    }

    /// Its last time: when the watermark reaches it, it has ended. None: it never ends.
    pub(super) fn max_timestamp(&self) -> Option<i64> {
        (self.bounds() != GLOBAL).then(|| self.end - 1)
    }

    /// When it fires next before its end, after it has done so.
    fn next_after(&self, rules: Rules, watermark: i64) -> Option<i64> {
        let Trigger::Every(every_ms) = rules.trigger else { return None };
        // At the end of the input a window without an end would fire for ever.
        let goes_on = self.max_timestamp().is_some() || watermark != i64::MAX;
        goes_on.then(|| self.next.map(|next| next.saturating_add(every_ms).min(self.end.saturating_sub(1))))?
    }

    /// When it is forgotten, if ever.
    fn cleanup_time(&self, lateness_ms: i64) -> Option<i64> {
        let time = self.max_timestamp()?.saturating_add(lateness_ms);
        (time != i64::MAX).then_some(time)
    }
}

/// Where a record goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Placed {
    /// Nowhere: its window has been forgotten.
    Late,
    /// Into this pane; `fires` when that makes its window fire at once.
    In { pane: i64, fires: bool },
}

/// What makes a window fire, and how long it lives.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub(super) clock: TimerClock,
    pub(super) trigger: Trigger,
    pub(super) lateness_ms: i64,
    /// Whether it is purged when it fires.
    pub(super) discards: bool,
}

/// The multiple of `step` after `time`.
pub(super) fn next_multiple(time: i64, step: i64) -> i64 {
    (time - time.rem_euclid(step)).saturating_add(step)
}

impl Rules {
    fn fires_at_end(self) -> bool {
        !matches!(self.trigger, Trigger::Count(_))
    }
}

/// The windows of a key, in rising order of start. Sessions do not touch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct KeyWindows {
    /// The time of the earliest timer that is set.
    pub(super) timer: Option<i64>,
    /// When windows fire early, by processing time, if a timer is set for that.
    pub(super) early: Option<i64>,
    pub(super) windows: SmallVec<[KeyWindow; 1]>,
}

impl KeyWindows {
    /// Takes in a record at `time` whose session ends `gap_ms` later if no other record comes.
    pub(super) fn add_to_session(&mut self, time: i64, gap_ms: i64, watermark: i64, rules: Rules) -> Placed {
        let end = time.saturating_add(gap_ms);
        // Those that overlap or touch it, as `TimeWindow.intersects` has it.
        let first = self.windows.partition_point(|window| window.end < time);
        let after = first + self.windows[first..].partition_point(|window| window.start <= end);
        if first == after {
            let window = KeyWindow::new([time, end]);
            if window.cleanup_time(rules.lateness_ms).is_some_and(|cleanup| cleanup <= watermark) {
                return Placed::Late;
            }
            self.windows.insert(first, window);
        } else {
            self.merge(first, after);
        }
        let window = &mut self.windows[first];
        if end > window.end {
            (window.end, window.fired) = (end, false);
        }
        window.start = window.start.min(time);
        self.place(first, (time, time), watermark, rules)
    }

    /// Takes a record at `time` into the window with these bounds.
    pub(super) fn add_to(&mut self, time: i64, bounds: [i64; 2], watermark: i64, rules: Rules) -> Placed {
        let place = self.windows.partition_point(|window| window.start < bounds[0]);
        if self.windows.get(place).is_none_or(|window| window.start != bounds[0]) {
            let window = KeyWindow::new(bounds);
            if window.cleanup_time(rules.lateness_ms).is_some_and(|cleanup| cleanup <= watermark) {
                return Placed::Late;
            }
            self.windows.insert(place, window);
        }
        self.place(place, (time, bounds[0]), watermark, rules)
    }

    /// Takes a record into a window that is there; `pane` is the name of a pane it begins.
    fn place(&mut self, place: usize, (time, pane): (i64, i64), watermark: i64, rules: Rules) -> Placed {
        let window = &mut self.windows[place];
        if window.panes.is_empty() {
            window.panes.push(pane);
        }
        let fires = match rules.trigger {
            Trigger::Count(count) => {
                window.count += 1;
                window.count >= count
            }
            Trigger::AtEnd | Trigger::Every(_) | Trigger::Early(_) => {
                window.fired = window.max_timestamp().is_some_and(|last| last <= watermark);
                window.fired
            }
        };
        if fires {
            window.count = 0;
        } else if let Trigger::Every(every_ms) = rules.trigger
            && window.next.is_none()
        {
            // As `ContinuousEventTimeTrigger` rounds it, before 1970 too.
            window.next = Some((time - time % every_ms).saturating_add(every_ms).min(window.end.saturating_sub(1)));
        }
        Placed::In { pane: window.panes[0], fires }
    }

    /// Makes one of the windows `first..after`.
    fn merge(&mut self, first: usize, after: usize) {
        let others: SmallVec<[KeyWindow; 1]> = self.windows.drain(first + 1..after).collect();
        let window = &mut self.windows[first];
        for other in others {
            (window.end, window.fired) = (other.end, other.fired);
            window.count += other.count;
            window.next = window.next.into_iter().chain(other.next).min();
            window.panes.extend(other.panes);
        }
    }

    /// The window that has fired at once has no panes any more, if it was to be purged. Of one without an end nothing is left
    /// then.
    pub(super) fn purge(&mut self, window: usize) {
        self.windows[window].panes.clear();
        if self.windows[window].max_timestamp().is_none() {
            self.windows.remove(window);
        }
    }

    /// The window with this pane.
    pub(super) fn with_pane(&self, pane: i64) -> Option<&KeyWindow> {
        self.windows.iter().find(|window| window.panes.contains(&pane))
    }

    /// Does what is due at `time`: tells `fire` of every window that ends, in order, and whether its panes are to be
    /// dropped then, and `forget` of the panes of those that are forgotten.
    pub(super) fn advance(
        &mut self,
        time: i64,
        watermark: i64,
        rules: Rules,
        mut fire: impl FnMut(&KeyWindow, bool),
        mut forget: impl FnMut(&[i64]),
    ) {
        // Sessions, and windows of one size, end in the order in which they start.
        self.windows.retain(|window| {
            let is_over = window.cleanup_time(rules.lateness_ms).is_some_and(|cleanup| cleanup <= time);
            let ends = rules.fires_at_end() && !window.fired && window.max_timestamp().is_some_and(|last| last <= time);
            let in_between = window.next.is_some_and(|next| next <= time);
            if ends {
                (window.fired, window.next) = (true, None);
            } else if in_between {
                window.next = window.next_after(rules, watermark);
            }
            if ends || in_between {
                let drops = is_over || rules.discards;
                fire(window, drops);
                if drops {
                    window.panes.clear();
                }
            }
            if is_over {
                forget(&window.panes);
            }
            !is_over
        });
    }

    /// Tells `fire` of every window that has not ended, in order, and whether its panes are to be dropped then.
    pub(super) fn fire_early(&mut self, rules: Rules, mut fire: impl FnMut(&KeyWindow, bool)) {
        for window in self.windows.iter_mut().filter(|window| !window.fired) {
            fire(window, rules.discards);
            if rules.discards {
                window.panes.clear();
            }
        }
    }

    /// The processing time at which its windows fire early next, if no timer is set for that and one is needed.
    pub(super) fn next_early(&mut self, rules: Rules, now: i64) -> Option<i64> {
        let Trigger::Early(early_ms) = rules.trigger else { return None };
        if self.early.is_some_and(|early| early > now) || self.windows.iter().all(|window| window.fired) {
            return None;
        }
        self.early = Some(next_multiple(now, early_ms));
        self.early
    }

    /// When something is due next.
    pub(super) fn next_time(&self, rules: Rules) -> Option<i64> {
        let times = self.windows.iter().flat_map(|window| {
            let end = match rules.fires_at_end() && !window.fired {
                true => window.max_timestamp(),
                false => window.cleanup_time(rules.lateness_ms),
            };
            end.into_iter().chain(window.next)
        });
        times.min()
    }

    /// Nothing is kept of a key without windows.
    pub(super) fn encode_if_any(&self, bytes: &mut Vec<u8>) {
        if !self.windows.is_empty() {
            self.encode(bytes);
        }
    }

    fn encode(&self, bytes: &mut Vec<u8>) {
        [self.timer, self.early]
            .iter()
            .for_each(|time| bytes.extend_from_slice(&time.unwrap_or(i64::MAX).to_le_bytes()));
        for window in &self.windows {
            bytes.extend_from_slice(&window.start.to_le_bytes());
            bytes.extend_from_slice(&window.end.to_le_bytes());
            bytes.extend_from_slice(&window.count.to_le_bytes());
            bytes.extend_from_slice(&window.next.unwrap_or(i64::MAX).to_le_bytes());
            bytes.extend_from_slice(&((window.panes.len() as u64) << 1 | u64::from(window.fired)).to_le_bytes());
            window.panes.iter().for_each(|pane| bytes.extend_from_slice(&pane.to_le_bytes()));
        }
    }

    /// What [`encode`](Self::encode) wrote; `None` if these bytes are not that.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (numbers, rest) = bytes.as_chunks();
        let mut numbers = numbers.iter().map(|&number| i64::from_le_bytes(number));
        let mut time = || Some(Some(numbers.next()?).filter(|&time| time != i64::MAX));
        let (timer, early) = (time()?, time()?);
        let mut windows = smallvec![];
        while let Some(start) = numbers.next() {
            let (end, count, next) = (numbers.next()?, numbers.next()? as u64, numbers.next()?);
            let (next, panes) = (Some(next).filter(|&next| next != i64::MAX), numbers.next()? as u64);
            let fired = panes & 1 == 1;
            let panes = (0..panes >> 1).map(|_| numbers.next()).collect::<Option<_>>()?;
            windows.push(KeyWindow { start, end, fired, count, next, panes });
        }
        rest.is_empty().then_some(KeyWindows { timer, early, windows })
    }
}

#[cfg(test)]
mod tests {
    use super::{KeyWindow, KeyWindows};
    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::{Strategy, any, prop_assert_eq, proptest};

    fn window() -> impl Strategy<Value = KeyWindow> {
        let parts = (any::<i64>(), any::<i64>(), any::<bool>(), any::<u64>());
        let more = (option::of(any::<i32>()), vec(any::<i64>(), 0..3));
        (parts, more).prop_map(|((start, end, fired, count), (next, panes))| KeyWindow {
            start,
            end,
            fired,
            count,
            next: next.map(i64::from),
            panes: panes.into(),
        })
    }

    proptest! {
        #[test]
        fn what_was_encoded_is_decoded(
            timer in option::of(any::<i32>()), early in option::of(any::<i32>()), windows in vec(window(), 0..4),
        ) {
            let (timer, early) = (timer.map(i64::from), early.map(i64::from));
            let windows = KeyWindows { timer, early, windows: windows.into() };
            let mut bytes = Vec::new();
            windows.encode(&mut bytes);
            prop_assert_eq!(KeyWindows::decode(&bytes), Some(windows));
            bytes.push(0);
            prop_assert_eq!(KeyWindows::decode(&bytes), None);
        }
    }
}
