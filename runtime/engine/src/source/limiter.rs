//! How much a source instance reads in a second at most. Pure: time is an argument, the job's processing time.
//!
//! A balance for records and one for bytes grow with time and are drawn on by what is read. Nobody knows before a read what
//! it brings, so a balance may fall below zero; then nothing is read until it has come up again.

use tidewheel_types::job::RateLimit;

/// How long a balance grows when nothing is read, in seconds: what a source may catch up after it had nothing.
const BURST_S: f64 = 0.1;

/// The shortest wait: many records a second are read in pieces and not one by one.
const WAIT_MS_MIN: i64 = 10;

/// More than what is lost when a balance has grown in many small steps.
const ROUNDING_MS: f64 = 1e-3;

/// The bounds of one source instance.
pub(super) struct Limiter {
    records: Option<Balance>,
    bytes: Option<Balance>,
    /// Bytes of a record, as the last read has found them.
    record_bytes: f64,
    as_of_ms: i64,
    /// Nothing is read before that moment.
    until_ms: Option<i64>,
}

struct Balance {
    per_second: f64,
    left: f64,
}

impl Limiter {
    /// One without bounds.
    pub(super) fn new(now_ms: i64) -> Limiter {
        Limiter { records: None, bytes: None, record_bytes: 0.0, as_of_ms: now_ms, until_ms: None }
    }

    /// From now on it has its part of `limit`, which is that of so many instances together. What it has drawn too much is
    /// forgotten.
    pub(super) fn set(&mut self, limit: RateLimit, instances: u64, now_ms: i64) {
        let balance = |limit: u64| Balance { per_second: limit as f64 / instances.max(1) as f64, left: 0.0 };
        (self.records, self.bytes) = (limit.records.map(balance), limit.bytes.map(balance));
        (self.as_of_ms, self.until_ms) = (now_ms, None);
    }

    /// How many bytes may be read now; none: it has to wait, see [`Limiter::until_ms`].
    pub(super) fn bytes_max(&mut self, now_ms: i64) -> usize {
        // A clock that is set back stands still here.
        let passed_s = now_ms.saturating_sub(self.as_of_ms).max(0) as f64 / 1e3;
        self.as_of_ms = now_ms;
        self.balances().for_each(|balance| balance.grow(passed_s));
        if self.until_ms.is_some_and(|until| now_ms < until) {
            return 0;
        }
        let behind_s = self.balances().map(|balance| -balance.left / balance.per_second).fold(0.0, f64::max);
        let behind_ms = (behind_s * 1e3 - ROUNDING_MS).ceil() as i64;
        if behind_ms > 0 {
            self.until_ms = Some(now_ms.saturating_add(behind_ms.max(WAIT_MS_MIN)));
            return 0;
        }
        self.until_ms = None;
        let of_records = self.records.as_ref().map_or(f64::INFINITY, |balance| balance.left * self.record_bytes);
        let of_bytes = self.bytes.as_ref().map_or(f64::INFINITY, |balance| balance.left);
        // At least one record is read.
        of_records.min(of_bytes).max(1.0) as usize
    }

    /// That much has been read.
    pub(super) fn draw(&mut self, records: usize, bytes: usize) {
        if records > 0 {
            self.record_bytes = bytes as f64 / records as f64;
        }
        self.records.iter_mut().for_each(|balance| balance.left -= records as f64);
        self.bytes.iter_mut().for_each(|balance| balance.left -= bytes as f64);
    }

    /// When it may read again, if it has to wait.
    pub(super) fn until_ms(&self) -> Option<i64> {
        self.until_ms
    }

    fn balances(&mut self) -> impl Iterator<Item = &mut Balance> {
        self.records.iter_mut().chain(&mut self.bytes)
    }
}

impl Balance {
    fn grow(&mut self, passed_s: f64) {
        self.left = (self.left + self.per_second * passed_s).min(self.per_second * BURST_S);
    }
}

#[cfg(test)]
mod tests {
    use super::Limiter;
    use proptest::collection::vec;
    use proptest::prelude::{prop_assert, proptest};
    use tidewheel_types::job::RateLimit;

    const RECORD_BYTES: usize = 100;

    /// Reads as much as it may at `now_ms`, and gives the number of records.
    fn read_all(limiter: &mut Limiter, now_ms: i64) -> usize {
        let mut read = 0;
        loop {
            match limiter.bytes_max(now_ms) {
                0 => return read,
                bytes => {
                    let records = bytes.div_ceil(RECORD_BYTES).min(50);
                    limiter.draw(records, records * RECORD_BYTES);
                    read += records;
                }
            }
        }
    }

    #[test]
    fn few_a_second_come_one_by_one() {
        let mut limiter = Limiter::new(0);
        limiter.set(RateLimit { records: Some(4), bytes: None }, 2, 1_000);
        let times = (1_000..4_000).filter(|&now| read_all(&mut limiter, now) == 1);
        assert_eq!(
            times.collect::<Vec<_>>(),
            [1_000, 1_500, 2_000, 2_500, 3_000, 3_500],
            "two a second, of two instances"
        );
        assert_eq!(limiter.until_ms(), Some(4_000));
        limiter.set(RateLimit::default(), 2, 3_999);
        assert_eq!((limiter.bytes_max(3_999), limiter.until_ms()), (usize::MAX, None));
    }

    #[test]
    fn the_lower_of_both_bounds_counts() {
        let read = |records, bytes| {
            let mut limiter = Limiter::new(0);
            limiter.set(RateLimit { records, bytes }, 1, 0);
            (0..10_000).map(|now| read_all(&mut limiter, now)).sum::<usize>() as i64
        };
        for (records, bytes, expected) in [
            (Some(1_000), None, 10_000),
            (None, Some(50_000), 5_000),
            (Some(1_000), Some(50_000), 5_000),
            (Some(200), Some(50_000), 2_000),
        ] {
            let read = read(records, bytes);
            assert!((read - expected).abs() <= 60, "{read} records in ten seconds, not {expected}");
        }
    }

    proptest! {
        /// However irregular a worker looks: not more than the limit, what may be caught up, and one piece.
        #[test]
        fn it_is_never_more(records in 1u64..100_000, waits in vec(0i64..500, 1..100)) {
            let mut limiter = Limiter::new(0);
            limiter.set(RateLimit { records: Some(records), bytes: None }, 1, 0);
            let (mut now, mut read) = (0, 0);
            for wait in waits {
                now += wait;
                read += read_all(&mut limiter, now);
                let most = records as f64 * (now as f64 / 1e3 + super::BURST_S) + 50.0;
                prop_assert!(read as f64 <= most, "{} records in {} ms", read, now);
            }
        }
    }
}
