//! Processing time: the one place where the engine reads it, and what has a task activated when it has come.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use timely::scheduling::SyncActivator;

/// Longest wait for a moment of processing time. Waits are measured by another clock, of which nobody tells when this one
/// is set.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// The clock that a job's processing time is read from.
#[derive(Clone, Default)]
pub enum Clock {
    /// The machine's.
    #[default]
    System,
    /// One that stands still until it is set, for tests.
    Manual(ManualClock),
}

/// A clock that is set by hand. Clones are the same.
#[derive(Clone, Default)]
pub struct ManualClock(Arc<Manual>);

#[derive(Default)]
struct Manual {
    now_ms: AtomicI64,
    /// Those who look at it.
    tasks: Mutex<Vec<SyncActivator>>,
}

impl ManualClock {
    /// A clock that shows `now_ms`, in milliseconds since 1970-01-01 UTC.
    pub fn at(now_ms: i64) -> ManualClock {
        ManualClock(Arc::new(Manual { now_ms: AtomicI64::new(now_ms), tasks: Mutex::default() }))
    }

    /// Sets it, and has everybody look at it.
    pub fn set(&self, now_ms: i64) {
        self.0.now_ms.store(now_ms, Ordering::SeqCst);
        let tasks = self.0.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        // Who has ended need not look.
        tasks.iter().for_each(|task| _ = task.activate());
    }
}

impl Clock {
    /// Processing time in milliseconds since 1970-01-01 UTC.
    pub(crate) fn now_ms(&self) -> i64 {
        match self {
            Clock::System => now_ms(),
            Clock::Manual(clock) => clock.0.now_ms.load(Ordering::SeqCst),
        }
    }

    /// From now on `task` is activated when the clock is set by hand.
    pub(crate) fn attach(&self, task: SyncActivator) {
        if let Clock::Manual(clock) = self {
            clock.0.tasks.lock().unwrap_or_else(PoisonError::into_inner).push(task);
        }
    }

    /// How long to wait for `time`, now that the clock shows `now`. None: whoever sets it activates those attached.
    pub(crate) fn wait(&self, time: i64, now: i64) -> Option<Duration> {
        match self {
            Clock::System => {
                let ms = u64::try_from(time.saturating_sub(now)).unwrap_or(0);
                Some(Duration::from_millis(ms).min(WAIT_MAX))
            }
            Clock::Manual(_) if time <= now => Some(Duration::ZERO),
            Clock::Manual(_) => None,
        }
    }
}

/// What the machine's clock shows, in milliseconds since 1970-01-01 UTC.
pub(crate) fn now_ms() -> i64 {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_millis()).map_or(i64::MIN, |ms| -ms),
    }
}

/// The earliest alarm a task has set. Timely keeps every delayed activation it is asked for, so a task asks only when
/// none it already has is early enough.
#[derive(Default)]
pub(crate) struct Alarm(Option<Instant>);

impl Alarm {
    /// How long from `now` to set another alarm for `at`, if one is needed.
    pub(crate) fn set(&mut self, at: Instant, now: Instant) -> Option<Duration> {
        if self.0.is_some_and(|set| set > now && set <= at) {
            return None;
        }
        self.0 = Some(at);
        Some(at.saturating_duration_since(now))
    }
}

#[cfg(test)]
mod tests {
    use super::{Alarm, Clock, ManualClock, WAIT_MAX};
    use std::time::{Duration, Instant};

    #[test]
    fn a_clock_that_is_set_by_hand_needs_no_waiting() {
        let hand = ManualClock::at(7);
        let clock = Clock::Manual(hand.clone());
        assert_eq!((clock.now_ms(), clock.wait(8, 7)), (7, None));
        hand.set(9);
        assert_eq!((clock.now_ms(), clock.wait(8, 9)), (9, Some(Duration::ZERO)));
    }

    #[test]
    fn no_wait_is_longer_than_the_clock_may_be_set_unnoticed() {
        for (time, wait) in [(5, 0), (9, 0), (12, 2), (i64::MAX, WAIT_MAX.as_millis() as u64)] {
            assert_eq!(Clock::System.wait(time, 10), Some(Duration::from_millis(wait)));
        }
        assert_eq!(Clock::System.wait(i64::MIN, i64::MAX), Some(Duration::ZERO));
    }

    #[test]
    fn one_alarm_is_set_unless_another_has_to_be_earlier() {
        let now = Instant::now();
        let at = |ms| now + Duration::from_millis(ms);
        let mut alarm = Alarm::default();
        assert_eq!(alarm.set(at(10), now), Some(Duration::from_millis(10)));
        assert_eq!(alarm.set(at(20), now), None);
        assert_eq!(alarm.set(at(5), now), Some(Duration::from_millis(5)));
        assert_eq!(alarm.set(at(20), at(6)), Some(Duration::from_millis(14)));
    }
}
