//! When a guest that asks to be called again later is called again.

use std::time::{Duration, Instant};

/// How long the first wait is. Each next one is twice as long.
const WAIT_FIRST: Duration = Duration::from_millis(20);

/// How often a call is made again before it counts as failed: some 20 s after the first time.
const RETRIES_MAX: u32 = 10;

/// The retries of the call at hand.
#[derive(Debug, Default)]
pub(super) struct Retry {
    failures: u32,
    /// The call is not made again before.
    due: Option<Instant>,
}

impl Retry {
    /// Whether it is too early for a call.
    pub(super) fn is_waiting(&self) -> bool {
        self.due.is_some_and(|due| Instant::now() < due)
    }

    /// The guest wants to be called later: how much, unless it has said so too often.
    pub(super) fn later(&mut self) -> Option<Duration> {
        if self.failures == RETRIES_MAX {
            return None;
        }
        let wait = WAIT_FIRST * (1 << self.failures);
        self.failures += 1;
        self.due = Some(Instant::now() + wait);
        Some(wait)
    }

    /// The guest has taken a call.
    pub(super) fn taken(&mut self) {
        *self = Retry::default();
    }
}

#[cfg(test)]
mod tests {
    use super::{RETRIES_MAX, Retry, WAIT_FIRST};
    use std::time::Duration;

    #[test]
    fn waits_double_and_end() {
        let mut retry = Retry::default();
        assert!(!retry.is_waiting());
        let waits: Vec<Duration> = std::iter::from_fn(|| retry.later()).collect();
        assert!(retry.is_waiting());
        assert_eq!(waits.len(), RETRIES_MAX as usize);
        assert!(waits.is_sorted() && waits[0] == WAIT_FIRST && waits[1] == 2 * WAIT_FIRST);
        assert!(waits.iter().sum::<Duration>() < Duration::from_secs(30), "a job that cannot go on says so");
        retry.taken();
        assert!(!retry.is_waiting());
        assert_eq!(retry.later(), Some(WAIT_FIRST), "the next call begins anew");
    }
}
