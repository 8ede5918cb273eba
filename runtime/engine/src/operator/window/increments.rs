//! Sliding windows that each fire by a trigger of their own, or forget what they have fired.
//!
//! A record is stored and processed once here too: windows share *increments*. One is what has come into a pane since some
//! window of that pane was purged last, and has a number. A window has those of its panes from a number on, which is the next
//! one whenever it is purged. What is done for every window that a record is in is host work alone: counting it, and looking
//! when the window fires next.

use super::aligned::Aligned;
use super::firing::FiredWindows;
use super::open_window::{OpenWindow, Rules, Turn};
use super::own::{OfKey, Placed, Record, Why};

/// What came into a pane between two times at which one of its windows was purged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Increment {
    pane: i64,
    /// Under which it is kept.
    number: i64,
}

/// A window, with the increments of its panes from a number on.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Sharing {
    window: OpenWindow,
    from: i64,
}

/// The windows of a key, and what they share.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SharingWindows {
    /// The number of the increment that comes next.
    next: i64,
    /// In rising order.
    increments: Vec<Increment>,
    /// In rising order of start.
    windows: Vec<Sharing>,
    /// The starts of those that fire for the record that came last.
    at_once: Vec<i64>,
}

impl SharingWindows {
    /// The window with these bounds, which has everything that comes into it from now on.
    fn window(&mut self, bounds: [i64; 2]) -> &mut Sharing {
        let place = self.windows.partition_point(|of| of.window.start < bounds[0]);
        if self.windows.get(place).is_none_or(|of| of.window.start != bounds[0]) {
            self.windows.insert(place, Sharing { window: OpenWindow::new(bounds), from: 0 });
        }
        &mut self.windows[place]
    }

    /// The number of the increment of a pane that a record comes into, where some window of it has none below `from`.
    fn increment(&mut self, pane: i64, from: i64) -> i64 {
        let after = self.increments.partition_point(|increment| increment.pane <= pane);
        let last = after.checked_sub(1).map(|last| self.increments[last]);
        if let Some(last) = last.filter(|last| last.pane == pane && last.number >= from) {
            return last.number;
        }
        let number = self.next;
        self.next += 1;
        self.increments.insert(after, Increment { pane, number });
        number
    }

    /// A window fires.
    fn fire_one(increments: &[Increment], next: i64, of: &mut Sharing, discards: bool, fired: &mut FiredWindows) {
        let [start, end] = of.window.bounds();
        let first = increments.partition_point(|increment| increment.pane < start);
        let after = increments.partition_point(|increment| increment.pane < end);
        let own = increments[first..after.max(first)].iter().filter(|increment| increment.number >= of.from);
        fired.push([start, end], own.map(|increment| increment.number));
        if discards {
            of.from = next;
        }
    }

    /// Forgets the increments that no window has any more.
    fn let_go(&mut self, fired: &mut FiredWindows) {
        let windows = &self.windows;
        self.increments.retain(|&Increment { pane, number }| {
            // The later a window, the longer it has them.
            let after = windows.partition_point(|of| of.window.start <= pane);
            let holding = windows[..after].iter().rev().take_while(|of| of.window.end > pane);
            let is_held = { holding }.any(|of| of.from <= number);
            if !is_held {
                fired.forget(std::iter::once(number));
            }
            is_held
        });
    }
}

impl OfKey for SharingWindows {
    type Find = Aligned;

    fn place(&mut self, aligned: &Aligned, record: Record<'_>, rules: Rules) -> Result<Placed, String> {
        let Record { time, watermark, .. } = record;
        let pane = aligned.pane_of(time);
        let remembered_after = watermark.saturating_sub(rules.lateness_ms).saturating_add(1);
        self.at_once.clear();
        let mut from = None;
        for start in aligned.starts_ending_after(pane, remembered_after) {
            let of = self.window([start, aligned.end_of(start)]);
            from = from.max(Some(of.from));
            if of.window.takes(time, watermark, rules) {
                self.at_once.push(start);
            }
        }
        Ok(match from {
            Some(from) => Placed::In { pane: self.increment(pane, from), fires: !self.at_once.is_empty() },
            None if time.saturating_add(rules.lateness_ms) <= watermark => Placed::Late,
            // Windows leave gaps.
            None => Placed::Nowhere,
        })
    }

    fn bounds(&self, aligned: &Aligned, number: i64) -> [i64; 2] {
        let increment = self.increments.iter().find(|increment| increment.number == number);
        let pane = increment.expect("a record was assigned to an increment of its key").pane;
        [pane, aligned.pane_end(pane)]
    }

    fn fire(&mut self, why: Why, rules: Rules, fired: &mut FiredWindows) {
        let (increments, next, mut lets_go) = (&self.increments, self.next, false);
        if let Why::Came { .. } = why {
            // The latest window first, as Flink assigns them.
            for start in self.at_once.drain(..).rev() {
                let place = self.windows.partition_point(|of| of.window.start < start);
                Self::fire_one(increments, next, &mut self.windows[place], rules.discards, fired);
            }
            lets_go = rules.discards;
        } else {
            self.windows.retain_mut(|of| {
                let turn = match why {
                    Why::Due { time, watermark } => of.window.advance(time, watermark, rules),
                    Why::Early | Why::Came { .. } => Turn { fires: !of.window.fired, is_over: false },
                };
                if turn.fires {
                    Self::fire_one(increments, next, of, rules.discards, fired);
                }
                lets_go |= turn.is_over || turn.fires && rules.discards;
                !turn.is_over
            });
        }
        if lets_go {
            self.let_go(fired);
        }
    }

    fn windows(&self) -> impl Iterator<Item = &OpenWindow> {
        self.windows.iter().map(|of| &of.window)
    }

    fn encode(&self, bytes: &mut Vec<u8>) {
        if self.windows.is_empty() {
            return;
        }
        bytes.extend_from_slice(&self.next.to_le_bytes());
        bytes.extend_from_slice(&(self.increments.len() as u64).to_le_bytes());
        for Increment { pane, number } in &self.increments {
            bytes.extend_from_slice(&pane.to_le_bytes());
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        for Sharing { window, from } in &self.windows {
            bytes.extend_from_slice(&window.start.to_le_bytes());
            bytes.extend_from_slice(&window.count.to_le_bytes());
            bytes.extend_from_slice(&window.next.unwrap_or(i64::MAX).to_le_bytes());
            bytes.extend_from_slice(&(from << 1 | i64::from(window.fired)).to_le_bytes());
        }
    }

    fn decode(aligned: &Aligned, mut numbers: impl Iterator<Item = i64>) -> Option<Self> {
        let (next, len) = (numbers.next()?, numbers.next()?);
        let mut increment = || Some(Increment { pane: numbers.next()?, number: numbers.next()? });
        let increments = (0..len).map(|_| increment()).collect::<Option<_>>()?;
        let mut windows = Vec::new();
        while let Some(start) = numbers.next() {
            let (count, next, from) = (numbers.next()? as u64, numbers.next()?, numbers.next()?);
            let (next, fired) = (Some(next).filter(|&next| next != i64::MAX), from & 1 == 1);
            let window = OpenWindow { start, end: aligned.end_of(start), fired, count, next };
            windows.push(Sharing { window, from: from >> 1 });
        }
        Some(SharingWindows { next, increments, windows, at_once: Vec::new() })
    }
}

#[cfg(test)]
mod tests {
    use super::{Aligned, FiredWindows, Increment, OfKey, OpenWindow, Record, Rules, Sharing, SharingWindows, Why};
    use proptest::collection::{btree_set, vec};
    use proptest::option;
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};
    use tidewheel_types::description::TimerClock;
    use tidewheel_types::job::Trigger;

    proptest! {
        #[test]
        fn what_was_encoded_is_decoded(
            next in 0i64..1 << 60, increments in btree_set((any::<i64>(), any::<i64>()), 0..5),
            windows in vec((any::<i32>(), any::<bool>(), any::<u64>(), option::of(any::<i32>()), 0i64..1 << 60), 1..4),
        ) {
            let aligned = Aligned::sliding(10, 3, 0);
            let increments = increments.into_iter().map(|(pane, number)| Increment { pane, number }).collect();
            let windows = windows.into_iter().map(|(start, fired, count, next, from)| {
                let bounds = [start.into(), aligned.end_of(start.into())];
                let window = OpenWindow { fired, count, next: next.map(i64::from), ..OpenWindow::new(bounds) };
                Sharing { window, from }
            });
            let windows = SharingWindows { next, increments, windows: windows.collect(), at_once: Vec::new() };
            let mut bytes = Vec::new();
            windows.encode(&mut bytes);
            let numbers: Vec<i64> = bytes.as_chunks().0.iter().map(|&number| i64::from_le_bytes(number)).collect();
            prop_assert_eq!(SharingWindows::decode(&aligned, numbers.iter().copied()), Some(windows));
            let cut = numbers.iter().copied().take(numbers.len() - 1);
            prop_assert_eq!(SharingWindows::decode(&aligned, cut), None);
        }

        /// Whatever comes and fires, an increment is kept as long as a window has it, and no longer.
        #[test]
        fn every_increment_goes_once(
            times in vec(0i64..60, 1..30), size in 1i64..20, slide in 1i64..10, lateness_ms in 0i64..10, discards: bool,
            count in 1u64..4,
        ) {
            let aligned = Aligned::sliding(size, slide, 0);
            let rules = Rules { clock: TimerClock::Event, trigger: Trigger::Count(count), lateness_ms, discards };
            let (mut windows, mut fired) = (SharingWindows::default(), FiredWindows::default());
            for (step, &time) in times.iter().enumerate() {
                let watermark = step as i64;
                windows.fire(Why::Due { time: watermark, watermark }, rules, &mut fired);
                let placed = windows.place(&aligned, Record { time, value: b"", watermark }, rules);
                if !windows.at_once.is_empty() {
                    windows.fire(Why::Came { pane: 0 }, rules, &mut fired);
                }
                prop_assert!(placed.is_ok());
                let all = windows.increments.len() + fired.forgotten().len();
                prop_assert_eq!(all as i64, windows.next);
            }
            windows.fire(Why::Due { time: 1_000, watermark: 1_000 }, rules, &mut fired);
            let mut gone = fired.forgotten().to_vec();
            gone.sort_unstable();
            prop_assert_eq!(gone, (0..windows.next).collect::<Vec<_>>());
            prop_assert!(windows.windows.is_empty());
        }
    }
}
