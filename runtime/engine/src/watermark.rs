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

/// How a split's watermark is made before its end, as Flink calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WatermarkStrategy {
    /// Others may come so much behind the largest event time seen. Marks count besides.
    BoundedOutOfOrderness { ms: i64 },
    /// By the marks of the source's component alone.
    Punctuated,
    /// Not at all: a batch job fires at its end.
    NoWatermarks,
}

/// How far a split has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reached {
    /// The largest event time of its records.
    pub(crate) largest: Option<i64>,
    /// The highest mark: what the source's component has claimed, no record at or below it will come.
    pub(crate) marked: Option<i64>,
}

impl Reached {
    /// Whichever is further.
    pub(crate) fn max(self, other: Reached) -> Reached {
        Reached { largest: self.largest.max(other.largest), marked: self.marked.max(other.marked) }
    }
}

/// The watermark of one split: the largest event time seen, less the out-of-orderness, less 1 ms, or the highest mark of the
/// source's component, if that is further; or what the split itself says; idle when it has been without records for a while.
///
/// A split is without records between two reads that find none, and while its reader waits for more. It is not while it
/// has something to read and waits for its turn, for the next epoch or for credit: then nobody knows.
pub(crate) struct SplitClock {
    strategy: WatermarkStrategy,
    idle_after: Option<Duration>,
    /// What the split itself says, if it does.
    told: Option<i64>,
    reached: Reached,
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
    pub(crate) fn new(strategy: WatermarkStrategy, idle_after: Option<Duration>, now: Instant) -> Self {
        SplitClock {
            strategy,
            idle_after,
            told: None,
            reached: Reached::default(),
            without: Duration::ZERO,
            known_at: now,
            waits: false,
            is_held: false,
            ended: false,
        }
    }

    /// Goes on where a checkpoint has left it.
    pub(crate) fn restore(&mut self, reached: Reached, is_idle: bool) {
        self.reached = reached;
        if let Some(after) = self.idle_after.filter(|_| is_idle) {
            self.without = after;
        }
    }

    /// How far it has come.
    pub(crate) fn reached(&self) -> Reached {
        self.reached
    }

    /// Takes note of records, or of marks without any.
    pub(crate) fn records(&mut self, reached: Reached, now: Instant) {
        self.reached = self.reached.max(reached);
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
        // The last one there is belongs to the end of the input, whatever a component claims.
        let of_marks = self.reached.marked.map_or(Watermark::MIN, |mark| Watermark(mark.min(i64::MAX - 1)));
        if let Some(told) = self.told {
            return Watermark(told).max(of_marks);
        }
        match self.strategy {
            WatermarkStrategy::BoundedOutOfOrderness { ms } => {
                let of_times = |largest| Watermark::bounded(EventTime(largest), ms);
                self.reached.largest.map_or(Watermark::MIN, of_times).max(of_marks)
            }
            WatermarkStrategy::Punctuated => of_marks,
            WatermarkStrategy::NoWatermarks => Watermark::MIN,
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
    use super::{Progress, Reached, SplitClock, Tracker, Update, WatermarkStrategy, least};
    use proptest::collection::vec;
    use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};
    use std::time::{Duration, Instant};
    use tidewheel_types::Watermark;

    fn bounded(ms: i64) -> WatermarkStrategy {
        WatermarkStrategy::BoundedOutOfOrderness { ms }
    }

    fn largest(time: i64) -> Reached {
        Reached { largest: Some(time), marked: None }
    }

    fn marked(time: i64) -> Reached {
        Reached { largest: None, marked: Some(time) }
    }

    #[test]
    fn a_split_is_behind_its_largest_time_and_idle_after_a_while() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut split = SplitClock::new(bounded(5_000), Some(Duration::from_secs(30)), start);
        assert_eq!(split.progress(start), Progress::Active(i64::MIN));
        split.records(largest(100_000), after(1));
        split.records(largest(90_000), after(2));
        split.wait();
        assert_eq!(split.progress(after(31)), Progress::Active(94_999));
        assert_eq!(split.idle_at(), Some(after(32)));
        assert_eq!(split.progress(after(32)), Progress::Idle);
        split.wake(after(40));
        split.records(largest(90_000), after(40));
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
        let mut split = SplitClock::new(bounded(0), Some(Duration::from_secs(30)), start);
        split.records(largest(100_000), after(1));
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
        let mut split = SplitClock::new(bounded(0), Some(Duration::from_secs(30)), start);
        split.records(largest(100_000), after(0));
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
        let mut split = SplitClock::new(WatermarkStrategy::NoWatermarks, None, start);
        split.records(largest(100_000).max(marked(100_000)), start);
        assert_eq!(split.progress(start), Progress::Active(i64::MIN));
        split.end();
        assert_eq!(split.progress(start), Progress::Ended);
    }

    #[test]
    fn a_mark_counts_beside_event_times_or_alone() {
        let start = Instant::now();
        let watermarks = |strategy| {
            let mut split = SplitClock::new(strategy, None, start);
            let reached = [largest(100), marked(40), marked(150), largest(130), marked(120), largest(300)];
            let watermarks = reached.map(|reached| {
                split.records(reached, start);
                split.watermark().0
            });
            let mut restored = SplitClock::new(strategy, None, start);
            restored.restore(split.reached(), false);
            assert_eq!(restored.watermark(), split.watermark());
            watermarks
        };
        assert_eq!(watermarks(bounded(10)), [89, 89, 150, 150, 150, 289]);
        assert_eq!(watermarks(WatermarkStrategy::Punctuated), [i64::MIN, 40, 150, 150, 150, 150]);
    }

    #[test]
    fn no_mark_is_the_end() {
        let start = Instant::now();
        let mut split = SplitClock::new(WatermarkStrategy::Punctuated, None, start);
        split.records(marked(i64::MAX), start);
        assert_eq!(split.progress(start), Progress::Active(i64::MAX - 1));
        assert!(split.watermark() < Watermark::MAX);
    }

    #[test]
    fn marks_without_records_are_no_idleness() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut split = SplitClock::new(WatermarkStrategy::Punctuated, Some(Duration::from_secs(30)), start);
        split.no_records(after(20));
        split.records(marked(7), after(20));
        split.no_records(after(49));
        assert_eq!(split.progress(after(49)), Progress::Active(7));
        split.no_records(after(50));
        assert_eq!(split.progress(after(50)), Progress::Idle);
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
