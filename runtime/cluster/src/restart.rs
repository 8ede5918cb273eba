//! Whether and when a failed job starts again: what the table `[restart]` of its file says, applied.
//!
//! The meaning is that of Apache Flink's restart strategies. `fixed` with `max = { restarts = N }` is its fixed delay,
//! `fixed` with `max = { restarts = N, within = T }` its failure rate, and `exponential` its exponential delay, with the
//! quiet time and the part of chance that are its defaults.
//!
//! Pure: time and chance are arguments.

use std::collections::VecDeque;
use std::time::{Duration, Instant};
use tidewheel_types::job::{RestartLimit, RestartSpec, RestartStrategy};

/// How long a job must have run since the last delay for that delay to be forgotten (`reset-backoff-threshold`).
const QUIET: Duration = Duration::from_secs(3600);

/// The part of a growing delay by which chance makes it longer or shorter (`jitter-factor`), so that jobs that failed
/// together do not come back together.
const JITTER: f64 = 0.1;

/// What is to be done about a failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Restart {
    /// Start again after this time.
    After(Duration),
    /// Give up, for this reason.
    GiveUp(String),
}

/// A restart strategy with what it remembers of a job's failures.
#[derive(Debug, Clone)]
pub struct Restarts {
    strategy: RestartStrategy,
    max: Option<RestartLimit>,
    /// The restarts that count against `max`, oldest first.
    counted: VecDeque<Instant>,
    /// The last growing delay, before chance had its part, and when it ended or will end.
    backoff: Option<(Duration, Instant)>,
}

impl Restarts {
    /// Of a job that has not failed yet.
    pub fn new(spec: &RestartSpec) -> Self {
        Restarts { strategy: spec.strategy, max: spec.max, counted: VecDeque::new(), backoff: None }
    }

    /// Takes note of a failure at `now`. `chance` is a number from 0 to 1, each as likely as another.
    pub fn failed(&mut self, now: Instant, chance: f64) -> Restart {
        if let Some(reason) = self.is_enough(now) {
            return Restart::GiveUp(reason);
        }
        let delay = match self.strategy {
            RestartStrategy::None => return Restart::GiveUp("its restart strategy is \"none\"".to_owned()),
            RestartStrategy::Fixed { delay_ms } => Duration::from_millis(delay_ms),
            RestartStrategy::Exponential { delay_ms, delay_ms_max, multiplier } => {
                let most = Duration::from_millis(delay_ms_max);
                let first = Duration::from_millis(delay_ms).min(most);
                self.back_off(now, chance, (first, most), multiplier)
            }
        };
        if self.max.is_some() {
            self.counted.push_back(now);
        }
        Restart::After(delay)
    }

    /// Why there has to be an end, if so.
    fn is_enough(&mut self, now: Instant) -> Option<String> {
        let RestartLimit { restarts, within_ms } = self.max?;
        let within = within_ms.map(Duration::from_millis);
        let is_over = |at: &Instant| within.is_some_and(|within| now.saturating_duration_since(*at) > within);
        while self.counted.front().is_some_and(is_over) {
            self.counted.pop_front();
        }
        let span = within.map(|within| format!(" within {within:?}")).unwrap_or_default();
        let reason = || format!("it has been started again {restarts} times{span}, as often as it may");
        (self.counted.len() >= restarts as usize).then(reason)
    }

    fn back_off(
        &mut self,
        now: Instant,
        chance: f64,
        (first, most): (Duration, Duration),
        multiplier: f64,
    ) -> Duration {
        let is_quiet = |until: Instant| now.saturating_duration_since(until) >= QUIET;
        let backoff = match self.backoff {
            Some((last, until)) if !is_quiet(until) => within(last.as_secs_f64() * multiplier, (first, most)),
            _ => first,
        };
        let part = (2.0 * chance - 1.0) * JITTER;
        let delay = within(backoff.as_secs_f64() * (1.0 + part), (first, most));
        self.backoff = Some((backoff, now + delay));
        delay
    }
}

/// A number of seconds as a duration within limits. Compared as numbers first: durations end where numbers go on.
fn within(seconds: f64, (least, most): (Duration, Duration)) -> Duration {
    if seconds >= most.as_secs_f64() {
        most
    } else {
        Duration::from_secs_f64(seconds.max(least.as_secs_f64())).min(most)
    }
}

#[cfg(test)]
mod tests {
    use super::{QUIET, Restart, Restarts};
    use proptest::prelude::{Strategy, any, prop, proptest};
    use std::time::{Duration, Instant};
    use tidewheel_types::job::{RestartLimit, RestartSpec, RestartStrategy};

    const SECOND: Duration = Duration::from_secs(1);

    const FIXED: RestartStrategy = RestartStrategy::Fixed { delay_ms: 1000 };

    fn restarts(strategy: RestartStrategy, max: Option<(u32, Option<u64>)>) -> Restarts {
        let max = max.map(|(restarts, within_ms)| RestartLimit { restarts, within_ms });
        Restarts::new(&RestartSpec { strategy, max, line: 0 })
    }

    #[test]
    fn delays_grow_to_a_limit_and_start_anew_after_a_quiet_time() {
        let strategy = RestartStrategy::Exponential { delay_ms: 1000, delay_ms_max: 10_000, multiplier: 2.0 };
        let mut restarts = restarts(strategy, None);
        let mut now = Instant::now();
        for expected in [1, 2, 4, 8, 10, 10] {
            assert_eq!(restarts.failed(now, 0.5), Restart::After(expected * SECOND));
            now += expected * SECOND + QUIET - SECOND;
        }
        now += SECOND;
        assert_eq!(restarts.failed(now, 0.5), Restart::After(SECOND), "the last delay is forgotten");
        assert_eq!(restarts.clone().failed(now, 0.5), Restart::After(2 * SECOND));
        assert_eq!(restarts.clone().failed(now, 0.0), Restart::After(Duration::from_millis(1800)));
        assert_eq!(restarts.failed(now, 1.0), Restart::After(Duration::from_millis(2200)));
    }

    #[test]
    fn giving_up_has_a_reason() {
        let reason = |mut restarts: Restarts| match restarts.failed(Instant::now(), 0.5) {
            Restart::GiveUp(reason) => reason,
            Restart::After(delay) => panic!("it starts again after {delay:?}"),
        };
        assert_eq!(reason(restarts(RestartStrategy::None, None)), "its restart strategy is \"none\"");
        assert_eq!(
            reason(restarts(FIXED, Some((0, Some(600_000))))),
            "it has been started again 0 times within 600s, as often as it may"
        );
    }

    proptest! {
        #[test]
        fn without_a_span_all_restarts_count(most in 0..20u32, gaps: Vec<u32>) {
            let mut restarts = restarts(FIXED, Some((most, None)));
            let mut now = Instant::now();
            for (before, gap) in gaps.into_iter().enumerate() {
                now += Duration::from_millis(u64::from(gap));
                let is_allowed = before < most as usize;
                assert_eq!(restarts.failed(now, 0.5) == Restart::After(SECOND), is_allowed);
            }
        }

        #[test]
        fn no_span_has_more_restarts_than_allowed(most in 0..5u32, gaps in prop::collection::vec(0..4000u64, 0..60)) {
            let span = 10 * SECOND;
            let mut restarts = restarts(FIXED, Some((most, Some(10_000))));
            let mut now = Instant::now();
            let mut granted: Vec<Instant> = Vec::new();
            for gap in gaps {
                now += Duration::from_millis(gap);
                let within = granted.iter().filter(|at| now - **at <= span).count();
                match restarts.failed(now, 0.5) {
                    Restart::After(delay) => {
                        assert_eq!(delay, SECOND);
                        assert!(within < most as usize);
                        granted.push(now);
                    }
                    Restart::GiveUp(_) => assert_eq!(within, most as usize, "it gives up only when it must"),
                }
            }
        }

        #[test]
        fn delays_stay_within_their_limits(
            delay_ms in 0..5000u64,
            delay_ms_max in (0..100_000u64).prop_union(0..86_400_000u64),
            multiplier in (1.0..1e300f64).prop_union(1.0..3.0f64),
            failures in prop::collection::vec((any::<u16>(), 0.0..=1.0f64), 0..50),
        ) {
            let most = Duration::from_millis(delay_ms_max);
            let first = Duration::from_millis(delay_ms).min(most);
            let mut restarts =
                restarts(RestartStrategy::Exponential { delay_ms, delay_ms_max, multiplier }, None);
            let mut now = Instant::now();
            for (gap, chance) in failures {
                now += Duration::from_millis(u64::from(gap));
                let Restart::After(delay) = restarts.failed(now, chance) else { panic!("gave up") };
                assert!(first <= delay && delay <= most, "{first:?} <= {delay:?} <= {most:?}");
            }
        }
    }
}
