//! A window that a key has of its own, whatever its panes hold: when it fires, and when it is forgotten.

use tidewheel_state::TimerChange;
use tidewheel_types::description::TimerClock;
use tidewheel_types::job::Trigger;

/// The window that has neither start nor end, as Flink's `GlobalWindow`.
pub(super) const GLOBAL: [i64; 2] = [i64::MIN, i64::MAX];

/// What makes a window fire, and how long it lives.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub(super) clock: TimerClock,
    pub(super) trigger: Trigger,
    pub(super) lateness_ms: i64,
    /// Whether it is purged when it fires.
    pub(super) discards: bool,
}

impl Rules {
    fn fires_at_end(self) -> bool {
        !matches!(self.trigger, Trigger::Count(_))
    }
}

/// The multiple of `step` after `time`.
pub(super) fn next_multiple(time: i64, step: i64) -> i64 {
    (time - time.rem_euclid(step)).saturating_add(step)
}

/// A window of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OpenWindow {
    pub(super) start: i64,
    /// The first time that is not in it.
    pub(super) end: i64,
    /// Whether it has fired for its end.
    pub(super) fired: bool,
    /// Records since it has fired last, where that is what makes it fire.
    pub(super) count: u64,
    /// When it fires before its end, where it does so every so often.
    pub(super) next: Option<i64>,
}

/// What becomes of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Turn {
    pub(super) fires: bool,
    /// Whether it is forgotten.
    pub(super) is_over: bool,
}

impl OpenWindow {
    /// A window that nothing has come into yet.
    pub(super) fn new([start, end]: [i64; 2]) -> Self {
        OpenWindow { start, end, fired: false, count: 0, next: None }
    }

    pub(super) fn bounds(&self) -> [i64; 2] {
        [self.start, self.end]
    }

    /// Its last time: when the watermark reaches it, it has ended. None: it never ends.
    pub(super) fn max_timestamp(&self) -> Option<i64> {
        (self.bounds() != GLOBAL).then(|| self.end - 1)
    }

    /// Whether it has been forgotten at `time`.
    pub(super) fn is_over(&self, time: i64, rules: Rules) -> bool {
        self.cleanup_time(rules).is_some_and(|cleanup| cleanup <= time)
    }

    /// When it is forgotten, if ever.
    fn cleanup_time(&self, rules: Rules) -> Option<i64> {
        let time = self.max_timestamp()?.saturating_add(rules.lateness_ms);
        (time != i64::MAX).then_some(time)
    }

    /// A record at `time` has come into it. Says whether that makes it fire at once.
    pub(super) fn takes(&mut self, time: i64, watermark: i64, rules: Rules) -> bool {
        let fires = match rules.trigger {
            Trigger::Count(count) => {
                self.count += 1;
                self.count >= count
            }
            Trigger::AtEnd | Trigger::Every(_) | Trigger::Early(_) => {
                self.fired = self.max_timestamp().is_some_and(|last| last <= watermark);
                self.fired
            }
        };
        if fires {
            self.count = 0;
        } else if let Trigger::Every(every_ms) = rules.trigger
            && self.next.is_none()
        {
            // As `ContinuousEventTimeTrigger` rounds it, before 1970 too.
            self.next = Some((time - time % every_ms).saturating_add(every_ms).min(self.end.saturating_sub(1)));
        }
        fires
    }

    /// Does what is due at `time`.
    pub(super) fn advance(&mut self, time: i64, watermark: i64, rules: Rules) -> Turn {
        let ends = rules.fires_at_end() && !self.fired && self.max_timestamp().is_some_and(|last| last <= time);
        let in_between = self.next.is_some_and(|next| next <= time);
        if ends {
            (self.fired, self.next) = (true, None);
        } else if in_between {
            self.next = self.next_after(rules, watermark);
        }
        Turn { fires: ends || in_between, is_over: self.is_over(time, rules) }
    }

    /// When it fires next before its end, after it has done so.
    fn next_after(&self, rules: Rules, watermark: i64) -> Option<i64> {
        let Trigger::Every(every_ms) = rules.trigger else { return None };
        // At the end of the input a window without an end would fire for ever.
        let goes_on = self.max_timestamp().is_some() || watermark != i64::MAX;
        goes_on.then(|| self.next.map(|next| next.saturating_add(every_ms).min(self.end.saturating_sub(1))))?
    }

    /// When something is due next.
    pub(super) fn next_time(&self, rules: Rules) -> Option<i64> {
        let end = match rules.fires_at_end() && !self.fired {
            true => self.max_timestamp(),
            false => self.cleanup_time(rules),
        };
        end.into_iter().chain(self.next).min()
    }
}

/// The timers that are set for the windows of a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct KeyTimers {
    /// The time of the earliest.
    pub(super) timer: Option<i64>,
    /// When windows fire early, by processing time.
    pub(super) early: Option<i64>,
}

impl KeyTimers {
    /// The timer of `slot` that a key needs for what is due at `next`, if it is not set; `time` is up to when everything has
    /// been done.
    pub(super) fn next_timer(&mut self, slot: u16, next: Option<i64>, time: i64) -> Option<TimerChange> {
        let Some(next) = next else {
            self.timer = None;
            return None;
        };
        // One that is due too early sets the next: a session that grows with every record needs no other timer for it.
        if self.timer.is_some_and(|timer| timer > time && timer <= next) {
            return None;
        }
        self.timer = Some(next);
        Some(TimerChange::Set { slot, time: next })
    }

    /// The processing time at which windows fire early next, if some have not ended and no timer is set for that.
    pub(super) fn next_early(&mut self, are_open: bool, rules: Rules, now: i64) -> Option<i64> {
        let Trigger::Early(early_ms) = rules.trigger else { return None };
        if self.early.is_some_and(|early| early > now) || !are_open {
            return None;
        }
        self.early = Some(next_multiple(now, early_ms));
        self.early
    }

    pub(super) fn encode(self, bytes: &mut Vec<u8>) {
        [self.timer, self.early]
            .iter()
            .for_each(|time| bytes.extend_from_slice(&time.unwrap_or(i64::MAX).to_le_bytes()));
    }

    /// What [`encode`](Self::encode) wrote, at the front of `numbers`.
    pub(super) fn decode(numbers: &mut impl Iterator<Item = i64>) -> Option<Self> {
        let mut time = || Some(Some(numbers.next()?).filter(|&time| time != i64::MAX));
        Some(KeyTimers { timer: time()?, early: time()? })
    }
}
