//! Whether and when a failed job starts again. Names and meaning are those of Apache Flink's restart strategies.
//!
//! Pure: time and chance are arguments.

use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// What a job does after a failure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "strategy")]
pub enum RestartStrategy {
    /// It ends.
    None,
    /// It starts again after a delay, a number of times.
    #[serde(rename_all = "kebab-case")]
    FixedDelay {
        /// How many times in all.
        attempts: u32,
        /// How long after each failure.
        delay: Duration,
    },
    /// It starts again after a delay that grows with each failure, and is forgotten after a quiet time.
    #[serde(rename_all = "kebab-case")]
    ExponentialDelay {
        /// The delay after the first failure.
        initial_backoff: Duration,
        /// The delay's limit.
        max_backoff: Duration,
        /// By how much the delay grows with each failure; at least 1.
        backoff_multiplier: f64,
        /// How long it must have run since the end of the last delay for the delay to start anew.
        reset_backoff_threshold: Duration,
        /// The part of the delay by which chance makes it longer or shorter; 0 to 1.
        jitter_factor: f64,
        /// How many times in a row; then it ends. `None`: for ever.
        attempts_before_reset_backoff: Option<u32>,
    },
    /// It starts again after a delay, unless that has happened too often lately.
    #[serde(rename_all = "kebab-case")]
    FailureRate {
        /// How many times at most within the interval.
        max_failures_per_interval: u32,
        /// The interval.
        failure_rate_interval: Duration,
        /// How long after each failure.
        delay: Duration,
    },
}

impl Default for RestartStrategy {
    /// Flink's default for jobs with checkpoints: a delay from one second to one minute, for ever.
    fn default() -> Self {
        RestartStrategy::ExponentialDelay {
            initial_backoff: Duration::from_secs(1),
            max_backoff: Duration::from_secs(60),
            backoff_multiplier: 1.5,
            reset_backoff_threshold: Duration::from_secs(3600),
            jitter_factor: 0.1,
            attempts_before_reset_backoff: None,
        }
    }
}

/// What is to be done about a failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Restart {
    /// Start again after this time.
    After(Duration),
    /// Give up, for this reason.
    GiveUp(String),
}

/// A strategy with what it remembers of a job's failures.
#[derive(Debug, Clone)]
pub struct Restarts {
    strategy: RestartStrategy,
    /// How many in all, or in a row since the delay was last forgotten.
    failures: u32,
    /// The last delay, before chance had its part, and when it ended or will end.
    backoff: Option<(Duration, Instant)>,
    /// The restarts within the interval, oldest first.
    recent: VecDeque<Instant>,
}

impl Restarts {
    /// Of a job that has not failed yet.
    pub fn new(strategy: RestartStrategy) -> Self {
        Restarts { strategy, failures: 0, backoff: None, recent: VecDeque::new() }
    }

    /// Takes note of a failure at `now`. `chance` is a number from 0 to 1, each as likely as another.
    pub fn failed(&mut self, now: Instant, chance: f64) -> Restart {
        match self.strategy.clone() {
            RestartStrategy::None => Restart::GiveUp("the job has no restart strategy".to_owned()),
            RestartStrategy::FixedDelay { attempts, delay } => {
                if self.failures >= attempts {
                    return Restart::GiveUp(format!("it has been started again {attempts} times, as often as it may"));
                }
                self.failures += 1;
                Restart::After(delay)
            }
            RestartStrategy::FailureRate { max_failures_per_interval, failure_rate_interval, delay } => {
                let is_over = |at: &Instant| now.saturating_duration_since(*at) > failure_rate_interval;
                while self.recent.front().is_some_and(is_over) {
                    self.recent.pop_front();
                }
                if self.recent.len() >= max_failures_per_interval as usize {
                    let times = self.recent.len();
                    return Restart::GiveUp(format!(
                        "it has been started again {times} times within {failure_rate_interval:?}, as often as it may"
                    ));
                }
                self.recent.push_back(now);
                Restart::After(delay)
            }
            RestartStrategy::ExponentialDelay { .. } => self.back_off(now, chance),
        }
    }

    fn back_off(&mut self, now: Instant, chance: f64) -> Restart {
        let RestartStrategy::ExponentialDelay {
            initial_backoff,
            max_backoff,
            backoff_multiplier,
            reset_backoff_threshold,
            jitter_factor,
            attempts_before_reset_backoff,
        } = self.strategy
        else {
            return Restart::GiveUp("the job has another restart strategy".to_owned());
        };
        let is_quiet = |until: Instant| now.saturating_duration_since(until) >= reset_backoff_threshold;
        let backoff = match self.backoff {
            Some((last, until)) if !is_quiet(until) => {
                // Compared as numbers first: a duration has an end that a product may pass.
                let grown = last.as_secs_f64() * backoff_multiplier.max(1.0);
                if grown >= max_backoff.as_secs_f64() { max_backoff } else { Duration::from_secs_f64(grown) }
            }
            _ => {
                self.failures = 0;
                initial_backoff.min(max_backoff)
            }
        };
        if let Some(attempts) = attempts_before_reset_backoff.filter(|attempts| self.failures >= *attempts) {
            return Restart::GiveUp(format!("it has been started again {attempts} times in a row, as often as it may"));
        }
        self.failures += 1;
        let part = (2.0 * chance.clamp(0.0, 1.0) - 1.0) * jitter_factor.clamp(0.0, 1.0);
        let moved = (backoff.as_secs_f64() * (1.0 + part)).min(max_backoff.as_secs_f64());
        let delay = Duration::from_secs_f64(moved).clamp(initial_backoff.min(max_backoff), max_backoff);
        self.backoff = Some((backoff, now + delay));
        Restart::After(delay)
    }
}

#[cfg(test)]
mod tests {
    use super::{Restart, RestartStrategy, Restarts};
    use proptest::prelude::{Strategy, any, prop, proptest};
    use std::time::{Duration, Instant};

    const SECOND: Duration = Duration::from_secs(1);

    fn exponential(attempts_before_reset_backoff: Option<u32>) -> RestartStrategy {
        RestartStrategy::ExponentialDelay {
            initial_backoff: SECOND,
            max_backoff: 10 * SECOND,
            backoff_multiplier: 2.0,
            reset_backoff_threshold: 60 * SECOND,
            jitter_factor: 0.0,
            attempts_before_reset_backoff,
        }
    }

    fn seconds(restart: &Restart) -> u64 {
        match restart {
            Restart::After(delay) => delay.as_secs(),
            Restart::GiveUp(reason) => panic!("gave up: {reason}"),
        }
    }

    #[test]
    fn delays_grow_to_a_limit_and_start_anew_after_a_quiet_time() {
        let mut restarts = Restarts::new(exponential(None));
        let mut now = Instant::now();
        for expected in [1, 2, 4, 8, 10, 10] {
            let restart = restarts.failed(now, 0.5);
            assert_eq!(seconds(&restart), expected);
            now += Duration::from_secs(expected) + 59 * SECOND;
        }
        now += SECOND;
        assert_eq!(seconds(&restarts.failed(now, 0.5)), 1, "60 s after the last delay it is forgotten");
        assert_eq!(seconds(&restarts.failed(now + SECOND, 0.5)), 2);
    }

    #[test]
    fn attempts_in_a_row_are_counted_anew_after_a_quiet_time() {
        let mut restarts = Restarts::new(exponential(Some(2)));
        let now = Instant::now();
        restarts.failed(now, 0.5);
        restarts.failed(now, 0.5);
        assert!(matches!(restarts.clone().failed(now, 0.5), Restart::GiveUp(_)));
        assert_eq!(seconds(&restarts.failed(now + 120 * SECOND, 0.5)), 1);
    }

    #[test]
    fn without_a_strategy_a_job_ends_with_its_first_failure() {
        assert!(matches!(Restarts::new(RestartStrategy::None).failed(Instant::now(), 0.5), Restart::GiveUp(_)));
    }

    proptest! {
        #[test]
        fn fixed_delays_are_as_many_as_allowed(attempts in 0..20u32, gaps: Vec<u16>) {
            let mut restarts = Restarts::new(RestartStrategy::FixedDelay { attempts, delay: SECOND });
            let mut now = Instant::now();
            for (before, gap) in gaps.into_iter().enumerate() {
                now += Duration::from_millis(u64::from(gap));
                let is_allowed = before < attempts as usize;
                assert_eq!(restarts.failed(now, 0.5) == Restart::After(SECOND), is_allowed);
            }
        }

        #[test]
        fn no_interval_has_more_restarts_than_allowed(most in 0..5u32, gaps in prop::collection::vec(0..4000u64, 0..60)) {
            let interval = 10 * SECOND;
            let strategy = RestartStrategy::FailureRate {
                max_failures_per_interval: most, failure_rate_interval: interval, delay: SECOND,
            };
            let mut restarts = Restarts::new(strategy);
            let mut now = Instant::now();
            let mut granted: Vec<Instant> = Vec::new();
            for gap in gaps {
                now += Duration::from_millis(gap);
                let within = granted.iter().filter(|at| now - **at <= interval).count();
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
            initial in 0..5000u64,
            most in 0..100_000u64,
            multiplier in (0.0..1e300f64).prop_union(1.0..3.0f64),
            jitter in 0.0..1.0f64,
            failures in prop::collection::vec((any::<u16>(), 0.0..=1.0f64), 0..50),
        ) {
            let (initial, most) = (Duration::from_millis(initial.min(most)), Duration::from_millis(most));
            let mut restarts = Restarts::new(RestartStrategy::ExponentialDelay {
                initial_backoff: initial, max_backoff: most, backoff_multiplier: multiplier,
                reset_backoff_threshold: 30 * SECOND, jitter_factor: jitter, attempts_before_reset_backoff: None,
            });
            let mut now = Instant::now();
            for (gap, chance) in failures {
                now += Duration::from_millis(u64::from(gap));
                let Restart::After(delay) = restarts.failed(now, chance) else { panic!("gave up") };
                assert!(initial <= delay && delay <= most, "{initial:?} <= {delay:?} <= {most:?}");
            }
        }
    }
}
