//! The harness's clocks, and what they make due.

use super::{Harness, frames, frames::Incoming, frames::IncomingGroup, stored::Stored};
use crate::operator::{Kind, Operator, World};
use crate::process_window::Part;
use crate::record::Window;
use crate::time::EventTime;
use crate::wit::keyed::tidewheel::operator::description::Clock;
use std::borrow::Cow;
use std::collections::BTreeSet;

/// Rounds of timers in one advance; an operator that sets a timer for now in each of them has no end.
const ROUNDS_MAX: usize = 100_000;

impl<O: Operator> Harness<O> {
    /// Moves the watermark forward: no record at or below it will come. Timers and windows that are due fire. Behind the
    /// end of the input timers of the processing clock are dropped, and fire no more.
    ///
    /// # Panics
    /// When a call fails as a whole.
    pub fn advance_watermark(&mut self, to: EventTime) {
        self.host.clocks.advance_watermark(to.0);
        self.fire_timers(Clock::Event, self.host.clocks.watermark);
        self.fire_windows();
        if self.has_ended() {
            let timers = &self.description.timers;
            let stays = |slot: u16| timers[usize::from(slot)].clock == Clock::Event;
            self.timers.values_mut().for_each(|of_key| of_key.retain(|(_, slot)| stays(*slot)));
        }
    }

    /// Ends the input: all windows fire, and all timers of the event clock. Those of the processing clock are dropped.
    ///
    /// # Panics
    /// When a call fails as a whole.
    pub fn finish(&mut self) {
        self.advance_watermark(EventTime::MAX);
    }

    /// Moves processing time forward. Timers of the processing clock that are due fire.
    ///
    /// # Panics
    /// When a call fails as a whole.
    pub fn advance_now(&mut self, to: EventTime) {
        self.host.clocks.now = self.host.clocks.now.max(to.0);
        if !self.has_ended() {
            self.fire_timers(Clock::Processing, self.host.clocks.now);
        }
    }

    fn has_ended(&self) -> bool {
        self.host.clocks.watermark == EventTime::MAX.0
    }

    /// Bytes of records that came after their window had fired.
    pub fn late(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.late).into_iter().map(|record| record.value).collect()
    }

    /// Fires timers as the host does: in a call at most one of a key, its earliest.
    fn fire_timers(&mut self, clock: Clock, to: i64) {
        for _ in 0..ROUNDS_MAX {
            let due = |key: &Vec<u8>, timers: &BTreeSet<(i64, u16)>| {
                let mut due = timers.iter().take_while(|(time, _)| *time <= to);
                let follows = |slot: u16| self.description.timers[usize::from(slot)].clock == clock;
                due.find(|(_, slot)| follows(*slot)).map(|timer| (key.clone(), *timer))
            };
            let due: Vec<_> = self.timers.iter().filter_map(|(key, timers)| due(key, timers)).collect();
            if due.is_empty() {
                return;
            }
            let mut groups = Vec::new();
            for (key, (time, slot)) in due {
                self.timers.entry(key.clone()).or_default().remove(&(time, slot));
                let cells = self.cells(&key, None);
                let timer = Incoming { key: key.clone(), time, input: slot as u8, ..Incoming::default() };
                groups.push(IncomingGroup { key, window: None, part: Part::WHOLE, cells, records: vec![timer] });
            }
            self.call(&groups, true).unwrap_or_else(|error| panic!("the call failed: {error}"));
        }
        panic!("on_timer sets a timer that is due at once, again and again");
    }

    fn fire_windows(&mut self) {
        // A window is due when the watermark reaches its last millisecond.
        let first_open = (self.host.clocks.watermark.saturating_add(2), i64::MIN, Vec::new());
        match O::World::KIND {
            Kind::Aggregate => self.fire_accumulators(&first_open),
            Kind::ProcessWindow => self.fire_records(&first_open),
            Kind::Stateless | Kind::Keyed => {}
        }
    }

    /// Fires windows with all their records, each in calls of its own.
    fn fire_records(&mut self, first_open: &(i64, i64, Vec<u8>)) {
        let open = self.window_records.split_off(first_open);
        for ((end, start, key), records) in std::mem::replace(&mut self.window_records, open) {
            let window = Some(Window { start: EventTime(start), end: EventTime(end) });
            let parts: Vec<_> = records.chunks(self.part_records).collect();
            for (place, records) in parts.iter().enumerate() {
                let part = Part { is_first: place == 0, is_last: place + 1 == parts.len() };
                let (key, cells, records) = (key.clone(), self.cells(&key, None), records.to_vec());
                let group = IncomingGroup { key, window, part, cells, records };
                self.call(&[group], true).unwrap_or_else(|error| panic!("the call failed: {error}"));
            }
        }
    }

    fn fire_accumulators(&mut self, first_open: &(i64, i64, Vec<u8>)) {
        let open = self.windows.split_off(first_open);
        let due = std::mem::replace(&mut self.windows, open);
        let mut groups = Vec::new();
        for ((end, start, key), panes) in due {
            let accumulator = |value| Incoming { key: key.clone(), time: end - 1, value, ..Incoming::default() };
            let live = |stored: Stored| self.host.live(0, &stored).map(Cow::into_owned);
            let records: Vec<_> = panes.into_iter().flatten().filter_map(live).map(accumulator).collect();
            if !records.is_empty() {
                let window = Some(Window { start: EventTime(start), end: EventTime(end) });
                groups.push(IncomingGroup { key, window, part: Part::WHOLE, cells: Vec::new(), records });
            }
        }
        self.call(&groups, true).unwrap_or_else(|error| panic!("the call failed: {error}"));
    }

    pub(super) fn apply_timer(&mut self, timer: &frames::TimerWrite, key: &[u8]) {
        let of_key = self.timers.entry(key.to_vec()).or_default();
        match timer.op {
            0 => _ = of_key.insert((timer.time, timer.slot)),
            2 => _ = of_key.remove(&(timer.time, timer.slot)),
            op => {
                of_key.retain(|(_, slot)| *slot != timer.slot);
                if op == 1 {
                    of_key.insert((timer.time, timer.slot));
                }
            }
        }
    }
}
