//! From event times to watermarks.
//!
//! Three steps: a [`SplitClock`] makes the watermark of one split; a source instance sends the least of its splits that
//! are not idle, as an [`Update`]; an operator's [`Tracker`] holds the least over all instances, on all workers, of the
//! sources upstream of it. An operator takes a new watermark only when the epoch that brought it is complete.

use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};
use tidewheel_types::{EventTime, Watermark};

/// What a source instance says of its event time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Progress {
    /// No more records at or below this time (ms).
    Active(i64),
    /// Nothing to say for now: do not wait for me.
    Idle,
    /// No record will come any more.
    Ended,
}

/// One source instance's change, on the watermark stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Update {
    pub(crate) source: u32,
    pub(crate) worker: u32,
    pub(crate) progress: Progress,
}

/// The watermark of one split: the largest event time seen, less the out-of-orderness, less 1 ms; idle when it has been
/// without records for a while. Without an out-of-orderness it has none before its end.
///
/// A split is without records between two reads that find none, and while its reader waits for more. It is not while it
/// has something to read and waits for its turn, for the next epoch or for credit: then nobody knows.
pub(crate) struct SplitClock {
    out_of_orderness_ms: Option<i64>,
    idle_after: Option<Duration>,
    largest: Option<i64>,
    /// What the split itself says, if it does.
    told: Option<i64>,
    /// For how long it is known to have been without records, up to `known_at`.
    without: Duration,
    known_at: Instant,
    /// Whether its reader has nothing at hand, so that it goes on being without.
    waits: bool,
    /// It is not to be read for a while, whatever it has: until then this clock stands still.
    is_held: bool,
    ended: bool,
}

impl SplitClock {
    pub(crate) fn new(out_of_orderness_ms: Option<i64>, idle_after: Option<Duration>, now: Instant) -> Self {
        SplitClock {
            out_of_orderness_ms,
            idle_after,
            largest: None,
            told: None,
            without: Duration::ZERO,
            known_at: now,
            waits: false,
            is_held: false,
            ended: false,
        }
    }

    /// Goes on where a checkpoint has left it.
    pub(crate) fn restore(&mut self, largest: Option<i64>, is_idle: bool) {
        self.largest = largest;
        if let Some(after) = self.idle_after.filter(|_| is_idle) {
            self.without = after;
        }
    }

    /// The largest event time seen.
    pub(crate) fn largest(&self) -> Option<i64> {
        self.largest
    }

    /// Takes note of records; `largest` is the largest of their event times.
    pub(crate) fn records(&mut self, largest: i64, now: Instant) {
        self.largest = self.largest.max(Some(largest));
        (self.without, self.known_at) = (Duration::ZERO, now);
    }

    /// The split itself says what its watermark is.
    pub(crate) fn tell(&mut self, watermark: i64) {
        self.told = self.told.max(Some(watermark));
    }

    /// A read has found no record.
    pub(crate) fn no_records(&mut self, now: Instant) {
        self.without += now.saturating_duration_since(self.known_at);
        self.known_at = now;
    }

    /// It has something to read, and was held back until `now`: nobody knows what it had.
    pub(crate) fn held_until(&mut self, now: Instant) {
        self.known_at = now;
    }

    /// It is not to be read from now on.
    pub(crate) fn hold(&mut self, now: Instant) {
        if self.waits {
            self.no_records(now);
        }
        self.is_held = true;
    }

    /// It may be read again.
    pub(crate) fn release(&mut self, now: Instant) {
        self.is_held = false;
        self.known_at = now;
    }

    /// Its reader has nothing at hand, after a read at `now`.
    pub(crate) fn wait(&mut self) {
        self.waits = true;
    }

    /// Its reader may have something again.
    pub(crate) fn wake(&mut self, now: Instant) {
        if self.waits && !self.is_held {
            self.no_records(now);
        }
        self.waits = false;
    }

    pub(crate) fn end(&mut self) {
        self.ended = true;
    }

    pub(crate) fn progress(&self, now: Instant) -> Progress {
        let since =
            if self.waits && !self.is_held { now.saturating_duration_since(self.known_at) } else { Duration::ZERO };
        match self.idle_after {
            _ if self.ended => Progress::Ended,
            Some(after) if self.without + since >= after => Progress::Idle,
            _ => Progress::Active(self.watermark().0),
        }
    }

    /// When the split becomes idle if nobody looks at it before.
    pub(crate) fn idle_at(&self) -> Option<Instant> {
        let after = self.idle_after.filter(|_| self.waits && !self.is_held && !self.ended)?;
        Some(self.known_at + after.saturating_sub(self.without))
    }

    /// Where it is, whether or not anybody waits for it.
    pub(crate) fn watermark(&self) -> Watermark {
        if let Some(told) = self.told {
            return Watermark(told);
        }
        match (self.largest, self.out_of_orderness_ms) {
            (Some(at), Some(out_of_orderness_ms)) => Watermark::bounded(EventTime(at), out_of_orderness_ms),
            _ => Watermark::MIN,
        }
    }
}

/// The least over parts: ended if all are (also when there is no part: splits are fixed for the job's life), idle if
/// all that have not ended are, else the least watermark of the active ones.
pub(crate) fn least(parts: impl IntoIterator<Item = Progress>) -> Progress {
    let mut all_ended = true;
    let mut lowest: Option<i64> = None;
    for part in parts {
        all_ended &= part == Progress::Ended;
        if let Progress::Active(watermark) = part {
            lowest = Some(lowest.map_or(watermark, |lowest| lowest.min(watermark)));
        }
    }
    match lowest {
        Some(watermark) => Progress::Active(watermark),
        None if all_ended => Progress::Ended,
        None => Progress::Idle,
    }
}

/// The watermark of an operator or sink: the least over all instances of the sources upstream of it. It never goes
/// back, and stands still while all are idle.
pub(crate) struct Tracker {
    workers: u32,
    /// The sources upstream, in rising order; per source one entry per worker.
    sources: Vec<u32>,
    progress: Vec<Progress>,
    /// How far it is behind the sources, since what is upstream gives results that are.
    delay_ms: i64,
    watermark: Watermark,
}

impl Tracker {
    /// The watermark of an operator behind `sources`, and behind them by `delay_ms`. It begins at `watermark`, where a
    /// checkpoint has left it.
    pub(crate) fn new(mut sources: Vec<u32>, workers: usize, watermark: Watermark, delay_ms: i64) -> Self {
        sources.sort_unstable();
        sources.dedup();
        let progress = vec![Progress::Active(i64::MIN); sources.len() * workers];
        Tracker { workers: workers as u32, sources, progress, delay_ms, watermark }
    }

    /// Takes note of an update; one of a source that is not upstream is none of ours.
    pub(crate) fn update(&mut self, update: Update) {
        if let Ok(source) = self.sources.binary_search(&update.source) {
            self.progress[source * self.workers as usize + update.worker as usize] = update.progress;
        }
    }

    /// Moves the watermark to where the updates so far allow.
    pub(crate) fn advance(&mut self) -> Watermark {
        let reached = match least(self.progress.iter().copied()) {
            Progress::Active(watermark) => Watermark(watermark.saturating_sub(self.delay_ms)),
            Progress::Idle => self.watermark,
            Progress::Ended => Watermark::MAX,
        };
        self.watermark = self.watermark.max(reached);
        self.watermark
    }

    /// Where the watermark stands.
    pub(crate) fn watermark(&self) -> Watermark {
        self.watermark
    }
}

#[cfg(test)]
mod tests {
    use super::{Progress, SplitClock, Tracker, Update, least};
    use proptest::collection::vec;
    use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};
    use std::time::{Duration, Instant};
    use tidewheel_types::Watermark;

    #[test]
    fn a_split_is_behind_its_largest_time_and_idle_after_a_while() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut split = SplitClock::new(Some(5_000), Some(Duration::from_secs(30)), start);
        assert_eq!(split.progress(start), Progress::Active(i64::MIN));
        split.records(100_000, after(1));
        split.records(90_000, after(2));
        split.wait();
        assert_eq!(split.progress(after(31)), Progress::Active(94_999));
        assert_eq!(split.idle_at(), Some(after(32)));
        assert_eq!(split.progress(after(32)), Progress::Idle);
        split.wake(after(40));
        split.records(90_000, after(40));
        assert_eq!(split.progress(after(41)), Progress::Active(94_999), "it comes back where it was");
        assert_eq!(split.progress(after(80)), Progress::Active(94_999), "one that is not read is not idle");
        assert_eq!(split.idle_at(), None);
        split.no_records(after(69));
        assert_eq!(split.progress(after(200)), Progress::Active(94_999), "29 s without records");
        split.no_records(after(70));
        assert_eq!(split.progress(after(70)), Progress::Idle, "reads that find nothing count, waiting or not");
        split.end();
        assert_eq!(split.progress(after(500)), Progress::Ended);
    }

    #[test]
    fn the_clock_of_a_split_that_is_held_back_stands_still() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut split = SplitClock::new(Some(0), Some(Duration::from_secs(30)), start);
        split.records(100_000, after(1));
        split.held_until(after(100));
        split.no_records(after(129));
        assert_eq!(split.progress(after(129)), Progress::Active(99_999), "29 s without records");
        split.no_records(after(130));
        assert_eq!(split.progress(after(130)), Progress::Idle);
    }

    #[test]
    fn the_clock_of_a_split_that_is_paused_stands_still_whether_it_has_anything_or_not() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut split = SplitClock::new(Some(0), Some(Duration::from_secs(30)), start);
        split.records(100_000, after(0));
        split.wait();
        split.hold(after(10));
        assert_eq!((split.progress(after(500)), split.idle_at()), (Progress::Active(99_999), None));
        split.release(after(500));
        assert_eq!((split.progress(after(519)), split.idle_at()), (Progress::Active(99_999), Some(after(520))));
        split.hold(after(519));
        split.wake(after(700));
        split.release(after(800));
        split.no_records(after(800));
        assert_eq!(split.progress(after(800)), Progress::Active(99_999), "29 s without records");
        split.no_records(after(801));
        assert_eq!(split.progress(after(801)), Progress::Idle);
    }

    #[test]
    fn a_split_of_a_batch_job_has_no_watermark_before_its_end() {
        let start = Instant::now();
        let mut split = SplitClock::new(None, None, start);
        split.records(100_000, start);
        assert_eq!(split.progress(start), Progress::Active(i64::MIN));
        split.end();
        assert_eq!(split.progress(start), Progress::Ended);
    }

    fn progress() -> impl Strategy<Value = Progress> {
        prop_oneof![(-50i64..50).prop_map(Progress::Active), Just(Progress::Idle), Just(Progress::Ended)]
    }

    proptest! {
        /// Against the definition: the least over all instances upstream that are not idle (ended counts as +∞); still
        /// while all are idle; never back.
        #[test]
        fn the_watermark_is_the_least_of_all_that_are_not_idle(
            updates in vec((0u32..3, 0u32..2, progress(), any::<bool>()), 0..60),
        ) {
            let mut tracker = Tracker::new(vec![2, 0], 2, Watermark::MIN, 0);
            let mut model = std::collections::BTreeMap::new();
            for source in [0, 2] {
                for worker in 0..2 {
                    model.insert((source, worker), Progress::Active(i64::MIN));
                }
            }
            let mut last = Watermark::MIN;
            for (source, worker, progress, advance) in updates {
                tracker.update(Update { source, worker, progress });
                if source != 1 {
                    model.insert((source, worker), progress);
                }
                if !advance {
                    prop_assert_eq!(tracker.watermark(), last);
                    continue;
                }
                let claims: Vec<i64> = model.values().filter_map(|progress| match progress {
                    Progress::Active(watermark) => Some(*watermark),
                    Progress::Ended => Some(i64::MAX),
                    Progress::Idle => None,
                }).collect();
                let all_ended = model.values().all(|progress| *progress == Progress::Ended);
                let some_active = model.values().any(|progress| matches!(progress, Progress::Active(_)));
                let expected = match claims.iter().min() {
                    Some(&least) if some_active || all_ended => last.max(Watermark(least)),
                    _ => last,
                };
                prop_assert_eq!(tracker.advance(), expected);
                prop_assert!(tracker.watermark() >= last);
                last = tracker.watermark();
            }
        }
    }

    #[test]
    fn an_instance_without_splits_has_ended() {
        assert_eq!(least([]), Progress::Ended);
        assert_eq!(least([Progress::Ended, Progress::Idle]), Progress::Idle);
        assert_eq!(least([Progress::Ended, Progress::Active(3)]), Progress::Active(3));
        assert_eq!(least([Progress::Ended, Progress::Ended]), Progress::Ended);
    }
}
