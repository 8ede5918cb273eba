//! The windows of a key, where they are not the same for every key: sessions, and windows that count their records.
//!
//! The semantics of sessions are those of Flink's `MergingWindowSet`. Merging two sessions does not merge what
//! their panes hold: the one that comes of it has the panes of both, until it fires.

use super::aligned::Aligned;
use super::firing::FiredWindows;
use super::open_window::{GLOBAL, OpenWindow, Rules, Turn};
use super::own::{OfKey, Placed, Record, Why};
use smallvec::SmallVec;
use tidewheel_types::job::SessionGap;

/// How a record finds its window.
pub(super) enum Find {
    /// It has a session that ends so long after it, if no other comes.
    Session(SessionGap),
    /// By its time.
    Tumbling(Aligned),
    /// There is but one.
    Global,
}

/// A window of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KeyWindow {
    window: OpenWindow,
    /// Its panes; none after it was purged.
    panes: SmallVec<[i64; 1]>,
}

/// The windows of a key, in rising order of start. Sessions do not touch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct KeyWindows(SmallVec<[KeyWindow; 1]>);

impl KeyWindows {
    /// Takes in a record whose session ends `gap_ms` later if no other record comes.
    fn add_to_session(&mut self, Record { time, watermark, .. }: Record<'_>, gap_ms: i64, rules: Rules) -> Placed {
        let windows = &mut self.0;
        let end = time.saturating_add(gap_ms);
        // Those that overlap or touch it, as `TimeWindow.intersects` has it.
        let first = windows.partition_point(|of| of.window.end < time);
        let after = first + windows[first..].partition_point(|of| of.window.start <= end);
        if first == after {
            let window = OpenWindow::new([time, end]);
            if window.is_over(watermark, rules) {
                return Placed::Late;
            }
            windows.insert(first, KeyWindow { window, panes: SmallVec::new() });
        } else {
            self.merge(first, after);
        }
        let window = &mut self.0[first].window;
        if end > window.end {
            (window.end, window.fired) = (end, false);
        }
        window.start = window.start.min(time);
        self.add(first, (time, time), watermark, rules)
    }

    /// Takes a record into the window with these bounds.
    fn add_to(&mut self, Record { time, watermark, .. }: Record<'_>, bounds: [i64; 2], rules: Rules) -> Placed {
        let place = self.0.partition_point(|of| of.window.start < bounds[0]);
        if self.0.get(place).is_none_or(|of| of.window.start != bounds[0]) {
            let window = OpenWindow::new(bounds);
            if window.is_over(watermark, rules) {
                return Placed::Late;
            }
            self.0.insert(place, KeyWindow { window, panes: SmallVec::new() });
        }
        self.add(place, (time, bounds[0]), watermark, rules)
    }

    /// Takes a record into a window that is there; `pane` is the name of a pane it begins.
    fn add(&mut self, place: usize, (time, pane): (i64, i64), watermark: i64, rules: Rules) -> Placed {
        let KeyWindow { window, panes } = &mut self.0[place];
        if panes.is_empty() {
            panes.push(pane);
        }
        Placed::In { pane: panes[0], fires: window.takes(time, watermark, rules) }
    }

    /// Makes one of the windows `first..after`.
    fn merge(&mut self, first: usize, after: usize) {
        let others: SmallVec<[KeyWindow; 1]> = self.0.drain(first + 1..after).collect();
        let KeyWindow { window, panes } = &mut self.0[first];
        for KeyWindow { window: other, panes: others } in others {
            (window.end, window.fired) = (other.end, other.fired);
            window.count += other.count;
            window.next = window.next.into_iter().chain(other.next).min();
            panes.extend(others);
        }
    }

    /// The window with this pane.
    fn with_pane(&self, pane: i64) -> usize {
        let place = self.0.iter().position(|of| of.panes.contains(&pane));
        place.expect("a record was assigned to a window of its key")
    }
}

impl OfKey for KeyWindows {
    type Find = Find;

    fn place(&mut self, find: &Find, record: Record<'_>, rules: Rules) -> Result<Placed, String> {
        let time = record.time;
        Ok(match find {
            Find::Session(gap) => {
                let gap_ms = gap_of(gap, record.value)?;
                if time.checked_add(gap_ms).is_none() {
                    return Err(format!("its session would end {gap_ms} ms after {time}, which no time is"));
                }
                self.add_to_session(record, gap_ms, rules)
            }
            Find::Tumbling(aligned) => {
                let start = aligned.pane_of(time);
                self.add_to(record, [start, aligned.end_of(start)], rules)
            }
            Find::Global => self.add_to(record, GLOBAL, rules),
        })
    }

    fn bounds(&self, _: &Find, pane: i64) -> [i64; 2] {
        self.0[self.with_pane(pane)].window.bounds()
    }

    fn fire(&mut self, why: Why, rules: Rules, fired: &mut FiredWindows) {
        if let Why::Came { pane } = why {
            let place = self.with_pane(pane);
            self.0[place].fire(rules.discards, fired);
            // Of one without an end nothing is left then.
            if rules.discards && self.0[place].window.max_timestamp().is_none() {
                self.0.remove(place);
            }
            return;
        }
        // Sessions, and windows of one size, end in the order in which they start.
        self.0.retain(|of| {
            let turn = match why {
                Why::Due { time, watermark } => of.window.advance(time, watermark, rules),
                Why::Early | Why::Came { .. } => Turn { fires: !of.window.fired, is_over: false },
            };
            if turn.fires {
                of.fire(turn.is_over || rules.discards, fired);
            }
            if turn.is_over {
                fired.forget(of.panes.iter().copied());
            }
            !turn.is_over
        });
    }

    fn windows(&self) -> impl Iterator<Item = &OpenWindow> {
        self.0.iter().map(|of| &of.window)
    }

    fn encode(&self, bytes: &mut Vec<u8>) {
        for KeyWindow { window, panes } in &self.0 {
            bytes.extend_from_slice(&window.start.to_le_bytes());
            bytes.extend_from_slice(&window.end.to_le_bytes());
            bytes.extend_from_slice(&window.count.to_le_bytes());
            bytes.extend_from_slice(&window.next.unwrap_or(i64::MAX).to_le_bytes());
            bytes.extend_from_slice(&((panes.len() as u64) << 1 | u64::from(window.fired)).to_le_bytes());
            panes.iter().for_each(|pane| bytes.extend_from_slice(&pane.to_le_bytes()));
        }
    }

    fn decode(_: &Find, mut numbers: impl Iterator<Item = i64>) -> Option<Self> {
        let mut windows = SmallVec::new();
        while let Some(start) = numbers.next() {
            let (end, count, next) = (numbers.next()?, numbers.next()? as u64, numbers.next()?);
            let (next, panes) = (Some(next).filter(|&next| next != i64::MAX), numbers.next()? as u64);
            let fired = panes & 1 == 1;
            let panes = (0..panes >> 1).map(|_| numbers.next()).collect::<Option<_>>()?;
            windows.push(KeyWindow { window: OpenWindow { start, end, fired, count, next }, panes });
        }
        Some(KeyWindows(windows))
    }
}

impl KeyWindow {
    /// It fires; `drops` says whether its panes go then.
    fn fire(&mut self, drops: bool, fired: &mut FiredWindows) {
        fired.push(self.window.bounds(), self.panes.iter().copied());
        if drops {
            fired.forget(self.panes.drain(..));
        }
    }
}

/// How long after a record its session ends.
fn gap_of(gap: &SessionGap, value: &[u8]) -> Result<i64, String> {
    match gap {
        SessionGap::Fixed(gap_ms) => Ok(*gap_ms),
        SessionGap::Field(place) => match place.millis(value).map_err(|error| error.to_string())? {
            gap_ms @ 1.. => Ok(gap_ms),
            gap_ms => Err(format!("the gap of its session is {gap_ms} ms, and has to be more than 0")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::{Find, KeyWindow, KeyWindows, OfKey, OpenWindow};
    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::{Strategy, any, prop_assert, prop_assert_eq, proptest};

    fn window() -> impl Strategy<Value = KeyWindow> {
        let parts = (any::<i64>(), any::<i64>(), any::<bool>(), any::<u64>());
        let more = (option::of(any::<i32>()), vec(any::<i64>(), 0..3));
        (parts, more).prop_map(|((start, end, fired, count), (next, panes))| KeyWindow {
            window: OpenWindow { start, end, fired, count, next: next.map(i64::from) },
            panes: panes.into(),
        })
    }

    proptest! {
        #[test]
        fn what_was_encoded_is_decoded(windows in vec(window(), 0..4)) {
            let windows = KeyWindows(windows.into());
            let mut bytes = Vec::new();
            windows.encode(&mut bytes);
            let numbers: Vec<i64> = bytes.as_chunks().0.iter().map(|&number| i64::from_le_bytes(number)).collect();
            prop_assert_eq!(KeyWindows::decode(&Find::Global, numbers.iter().copied()), Some(windows.clone()));
            let cut = KeyWindows::decode(&Find::Global, numbers.iter().copied().take(numbers.len().saturating_sub(1)));
            prop_assert!(windows.0.is_empty() || cut.is_none());
        }
    }
}
