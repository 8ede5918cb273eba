//! Watermark alignment: sources of a group do not run far ahead of the slowest of them.
//!
//! At the end of an epoch each source instance of a group reports its progress; the controller tells all of them the least of
//! the group by a command, and a split that is further ahead of it than its source's `max-drift` is not read until that has
//! risen. What is told is never more than what is true, but where a split comes back from being idle. By way of the
//! controller, since no edge of the dataflow leads back.

use crate::watermark::{Progress, Update, least};
use std::collections::BTreeMap;

/// What the least of a group is when nobody has to be waited for.
const NOBODY: i64 = i64::MAX;

/// The groups of a job, as the controller sees them.
pub(crate) struct Alignment {
    groups: Vec<Group>,
}

struct Group {
    /// Of each instance, by source and worker.
    progress: BTreeMap<(u32, u32), Progress>,
    told: i64,
}

impl Alignment {
    /// Groups of these sources, each with an instance on each of so many workers. Sources take it that nobody has said
    /// anything before they are told otherwise.
    pub(crate) fn new(groups: &[Vec<u32>], workers: usize) -> Alignment {
        let group = |sources: &Vec<u32>| {
            let instances = sources.iter().flat_map(|&source| (0..workers as u32).map(move |worker| (source, worker)));
            let progress = instances.map(|instance| (instance, Progress::Active(i64::MIN))).collect();
            Group { progress, told: i64::MIN }
        };
        Alignment { groups: groups.iter().map(group).collect() }
    }

    /// A source instance has come further.
    pub(crate) fn update(&mut self, Update { source, worker, progress }: Update) {
        let mut instances = self.groups.iter_mut().filter_map(|group| group.progress.get_mut(&(source, worker)));
        if let Some(known) = instances.next() {
            *known = progress;
        }
    }

    /// The groups whose least watermark is not what has been told last, with it.
    pub(crate) fn news(&mut self) -> Vec<(u32, i64)> {
        let news = (0..).zip(&mut self.groups).filter_map(|(number, group)| {
            let lowest = match least(group.progress.values().copied()) {
                Progress::Active(watermark) => watermark,
                Progress::Idle | Progress::Ended => NOBODY,
            };
            let is_news = std::mem::replace(&mut group.told, lowest) != lowest;
            is_news.then_some((number, lowest))
        });
        news.collect()
    }
}

/// What a source instance that is in a group goes by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Aligned {
    group: u32,
    max_drift_ms: i64,
    lowest: i64,
}

impl Aligned {
    pub(crate) fn new(group: u32, max_drift_ms: i64) -> Aligned {
        Aligned { group, max_drift_ms, lowest: i64::MIN }
    }

    /// The controller has told the least of a group; says whether it is this one's.
    pub(crate) fn told(&mut self, group: u32, lowest: i64) -> bool {
        let is_own = group == self.group;
        if is_own {
            self.lowest = lowest;
        }
        is_own
    }

    /// Splits whose watermark is above this one are not read.
    pub(crate) fn bound(&self) -> i64 {
        self.lowest.saturating_add(self.max_drift_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::{Aligned, Alignment, NOBODY};
    use crate::watermark::{Progress, Update};

    #[test]
    fn the_slowest_that_is_neither_idle_nor_at_its_end_counts() {
        let mut alignment = Alignment::new(&[vec![0, 2], vec![1]], 2);
        let mut says = |source, worker, progress| {
            alignment.update(Update { source, worker, progress });
            alignment.news()
        };
        assert_eq!(says(0, 0, Progress::Active(50)), [], "others have said nothing yet");
        assert_eq!(says(0, 1, Progress::Ended), []);
        assert_eq!(says(2, 0, Progress::Active(70)), []);
        assert_eq!(says(2, 1, Progress::Active(20)), [(0, 20)]);
        assert_eq!(says(2, 0, Progress::Active(80)), [], "it was not the slowest");
        assert_eq!(says(2, 1, Progress::Idle), [(0, 50)]);
        assert_eq!(says(2, 1, Progress::Active(20)), [(0, 20)], "it is waited for again");
        assert_eq!(says(1, 0, Progress::Active(5)), [], "of its own group an instance has said nothing");
        assert_eq!(says(1, 1, Progress::Ended), [(1, 5)]);
        assert_eq!(says(1, 0, Progress::Ended), [(1, NOBODY)]);
        assert_eq!(says(3, 0, Progress::Ended), [], "a source without a group");
    }

    #[test]
    fn a_split_may_be_ahead_by_its_drift() {
        let mut aligned = Aligned::new(1, 60);
        assert!(!aligned.told(0, 100) && aligned.bound() < 0);
        assert!(aligned.told(1, 100));
        assert_eq!(aligned.bound(), 160);
        assert!(aligned.told(1, NOBODY));
        assert_eq!(aligned.bound(), i64::MAX);
    }
}
