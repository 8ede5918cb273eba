//! Watermark alignment: sources of a group do not run far ahead of the slowest of them.
//!
//! At the end of an epoch each source instance of a group reports its progress; the controller tells all of them the least of
//! the group by a command, and a split that is further ahead of it than its source's `max-drift` is not read until that has
//! risen. What is told is never more than what is true, but where a split comes back from being idle. By way of the
//! controller, since no edge of the dataflow leads back.
//!
//! What is told is old by an epoch or two. Of its own splits an instance knows better, so the slowest one goes by the least of
//! the others: it is not to wait for what it has said itself.

use crate::watermark::{Progress, Update, least};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What the least is when nobody has to be waited for.
const NOBODY: i64 = i64::MAX;

/// A source instance: its source, and its worker.
type Instance = (u32, u32);

/// The groups of a job, as the controller sees them.
pub(crate) struct Alignment {
    groups: Vec<Group>,
}

struct Group {
    progress: BTreeMap<Instance, Progress>,
    told: Lowest,
}

/// How far a group has come, for those that may have to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Lowest {
    /// The least watermark, and whose it is.
    lowest: i64,
    slowest: Instance,
    /// The least of all others.
    others: i64,
}

impl Lowest {
    /// How far the others have come, for one of the group.
    fn of_others(self, instance: Instance) -> i64 {
        if instance == self.slowest { self.others } else { self.lowest }
    }
}

impl Group {
    fn lowest(&self) -> Lowest {
        let active = self.progress.iter().filter_map(|(&instance, &progress)| match progress {
            Progress::Active(watermark) => Some((watermark, instance)),
            Progress::Idle | Progress::Ended => None,
        });
        let Some((lowest, slowest)) = active.min() else {
            return Lowest { lowest: NOBODY, others: NOBODY, ..self.told };
        };
        let others = self.progress.iter().filter(|(instance, _)| **instance != slowest);
        let others = others.map(|(_, &progress)| progress);
        // Nobody asks how far the only one has come.
        let is_only = others.clone().all(|progress| progress == Progress::Ended);
        Lowest { lowest: if is_only { NOBODY } else { lowest }, slowest, others: watermark(least(others)) }
    }
}

/// How far one has come that others wait for.
fn watermark(progress: Progress) -> i64 {
    match progress {
        Progress::Active(watermark) => watermark,
        Progress::Idle | Progress::Ended => NOBODY,
    }
}

impl Alignment {
    /// Groups of these sources, each with an instance on each of so many workers. Sources take it that nobody has said
    /// anything before they are told otherwise.
    pub(crate) fn new(groups: &[Vec<u32>], workers: usize) -> Alignment {
        let group = |sources: &Vec<u32>| {
            let instances = sources.iter().flat_map(|&source| (0..workers as u32).map(move |worker| (source, worker)));
            let progress = instances.map(|instance| (instance, Progress::Active(i64::MIN))).collect();
            let slowest = (sources.iter().copied().min().unwrap_or_default(), 0);
            Group { progress, told: Lowest { lowest: i64::MIN, slowest, others: i64::MIN } }
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

    /// The groups that have come further than what has been told last, with how far that is.
    pub(crate) fn news(&mut self) -> Vec<(u32, Lowest)> {
        let news = (0..).zip(&mut self.groups).filter_map(|(number, group)| {
            let lowest = group.lowest();
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
    /// How far the others of the group have come.
    others: i64,
}

impl Aligned {
    pub(crate) fn new(group: u32, max_drift_ms: i64) -> Aligned {
        Aligned { group, max_drift_ms, others: i64::MIN }
    }

    /// The controller has told how far a group has come; says whether it is that of this `instance`.
    pub(crate) fn told(&mut self, group: u32, lowest: Lowest, instance: Instance) -> bool {
        let is_own = group == self.group;
        if is_own {
            self.others = lowest.of_others(instance);
        }
        is_own
    }

    /// Splits whose watermark is above this one are not read; `own` is how far all of this instance have come.
    pub(crate) fn bound(&self, own: Progress) -> i64 {
        self.others.min(watermark(own)).saturating_add(self.max_drift_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::{Aligned, Alignment, Lowest, NOBODY};
    use crate::watermark::{Progress, Update};

    #[test]
    fn the_slowest_that_is_neither_idle_nor_at_its_end_counts() {
        let mut alignment = Alignment::new(&[vec![0, 2], vec![1]], 2);
        let mut says = |source, worker, progress| {
            alignment.update(Update { source, worker, progress });
            let news = alignment.news();
            news.into_iter().map(|(group, it)| (group, it.lowest, it.slowest, it.others)).collect::<Vec<_>>()
        };
        let min = i64::MIN;
        assert_eq!(says(0, 1, Progress::Ended), [], "others have said nothing yet");
        assert_eq!(says(0, 0, Progress::Active(50)), [(0, min, (2, 0), min)]);
        assert_eq!(says(2, 0, Progress::Active(70)), [(0, min, (2, 1), 50)]);
        assert_eq!(says(2, 1, Progress::Active(20)), [(0, 20, (2, 1), 50)]);
        assert_eq!(says(2, 0, Progress::Active(80)), [], "it was not the slowest");
        assert_eq!(says(2, 1, Progress::Idle), [(0, 50, (0, 0), 80)]);
        assert_eq!(says(2, 1, Progress::Active(20)), [(0, 20, (2, 1), 50)], "it is waited for again");
        assert_eq!(says(1, 0, Progress::Active(5)), [(1, min, (1, 1), 5)], "one of its own group has said nothing");
        assert_eq!(says(1, 1, Progress::Ended), [(1, NOBODY, (1, 0), NOBODY)]);
        assert_eq!(says(1, 0, Progress::Active(6)), [], "it is the only one left");
        assert_eq!(says(1, 0, Progress::Ended), []);
        assert_eq!(says(3, 0, Progress::Ended), [], "a source without a group");
    }

    #[test]
    fn one_that_is_alone_does_not_wait_for_what_it_has_said() {
        let mut alignment = Alignment::new(&[vec![3]], 1);
        let mut aligned = Aligned::new(0, 60);
        let news = alignment.news();
        let [(group, lowest)] = news[..] else { panic!("{} groups have news", news.len()) };
        assert!(aligned.told(group, lowest, (3, 0)));
        assert_eq!(aligned.bound(Progress::Active(1_000)), 1_060, "its splits wait for each other");
        alignment.update(Update { source: 3, worker: 0, progress: Progress::Active(500) });
        assert_eq!(alignment.news(), [], "nobody asks");
    }

    #[test]
    fn a_split_may_be_ahead_by_its_drift() {
        let mut aligned = Aligned::new(1, 60);
        let lowest = Lowest { lowest: 100, slowest: (0, 0), others: 150 };
        let ahead = Progress::Active(1_000);
        assert!(!aligned.told(0, lowest, (0, 1)) && aligned.bound(ahead) < 0);
        assert!(aligned.told(1, lowest, (0, 1)));
        assert_eq!((aligned.bound(ahead), aligned.bound(Progress::Active(90))), (160, 150));
        assert!(aligned.told(1, lowest, (0, 0)), "the slowest waits for the others");
        assert_eq!((aligned.bound(ahead), aligned.bound(Progress::Active(120))), (210, 180));
        assert!(aligned.told(1, Lowest { others: NOBODY, ..lowest }, (0, 0)));
        assert_eq!((aligned.bound(Progress::Idle), aligned.bound(Progress::Active(120))), (i64::MAX, 180));
    }
}
