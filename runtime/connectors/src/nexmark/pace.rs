//! A rate limit: event *i* is due *i* / rate seconds after the start, for all splits on the same clock. A job that goes on
//! from a checkpoint goes on at its pace: it counts from the first event that any split still has to make.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

const NANOS_PER_SECOND: u128 = 1_000_000_000;

/// When events are due. Clones share the start, which is the first time any of them is asked.
#[derive(Clone)]
pub(super) struct Pace {
    start: Arc<OnceLock<Instant>>,
    /// The first event that is still to be made.
    first: Arc<AtomicU64>,
    events_per_second: u64,
}

impl Pace {
    /// A pace of `events_per_second`, which is not 0.
    pub(super) fn new(events_per_second: u64) -> Self {
        Pace { start: Arc::default(), first: Arc::new(AtomicU64::new(u64::MAX)), events_per_second }
    }

    /// A split begins at event `next`.
    pub(super) fn begin_at(&self, next: u64) {
        self.first.fetch_min(next, Ordering::Relaxed);
    }

    fn first(&self) -> u64 {
        match self.first.load(Ordering::Relaxed) {
            u64::MAX => 0,
            first => first,
        }
    }

    /// How many events, from number 0, are due at `now`: those before that number.
    pub(super) fn due(&self, now: Instant) -> u64 {
        let elapsed = self.elapsed(now).as_nanos();
        let last = elapsed * u128::from(self.events_per_second) / NANOS_PER_SECOND;
        u64::try_from(last + 1).unwrap_or(u64::MAX).saturating_add(self.first())
    }

    /// How long after `now` event `index` is due.
    pub(super) fn until(&self, index: u64, now: Instant) -> Duration {
        let index = index.saturating_sub(self.first());
        let nanos = (u128::from(index) * NANOS_PER_SECOND).div_ceil(u128::from(self.events_per_second));
        let due = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        due.saturating_sub(self.elapsed(now))
    }

    fn elapsed(&self, now: Instant) -> Duration {
        now.saturating_duration_since(*self.start.get_or_init(|| now))
    }
}

#[cfg(test)]
mod tests {
    use super::Pace;
    use std::time::{Duration, Instant};

    #[test]
    fn nothing_is_due_early_and_nothing_late() {
        let start = Instant::now();
        let pace = Pace::new(3);
        assert_eq!(pace.due(start), 1, "event 0 is due at once");
        for index in 1..1000 {
            let wait = pace.until(index, start);
            assert_eq!(pace.due(start + wait), index + 1);
            assert_eq!(pace.due(start + wait - Duration::from_nanos(1)), index);
        }
    }

    #[test]
    fn clones_share_the_start() {
        let start = Instant::now();
        let pace = Pace::new(1000);
        let other = pace.clone();
        pace.due(start);
        assert_eq!(other.due(start + Duration::from_millis(5)), 6);
    }
}
