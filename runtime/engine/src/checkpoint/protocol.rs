//! When checkpoints begin and when they are complete: decisions only, no I/O and no clock of its own.
//!
//! One checkpoint at a time. It is *collected* while the tasks make their parts safe, *published* while its manifest is
//! written, and then complete. A checkpoint that fails, or takes too long, is given up, counted, and does the job no
//! harm: what it would have held is in the next one. Whoever asked for it by name is told. The next one waits until every
//! task has said what came of the last, or else copies of state would heap up behind a store that is too slow.
//!
//! One begins early when a sink has little room for output that waits for its commit, and only a checkpoint makes more.

use crate::streams::CheckpointId;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tidewheel_connectors::Room;

/// After one that has failed an early one waits at least so long, whatever the pause: a store that is away is asked no
/// more often.
const EARLY_RETRY: Duration = Duration::from_secs(1);

/// How often a job takes checkpoints, and what it bears.
#[derive(Clone, Debug)]
pub struct CheckpointPolicy {
    /// From the beginning of one to that of the next; none: only when asked.
    pub interval: Option<Duration>,
    /// From the end of one to the beginning of the next, at least.
    pub min_pause: Duration,
    /// Longer than this one is given up.
    pub timeout: Duration,
    /// How many in a row may fail before the job does; none: any number.
    pub tolerable_failures: Option<u32>,
}

impl CheckpointPolicy {
    /// No checkpoints but the one at the end.
    pub(crate) const AT_THE_END: CheckpointPolicy = CheckpointPolicy {
        interval: None,
        min_pause: Duration::ZERO,
        timeout: Duration::MAX,
        tolerable_failures: Some(0),
    };
}

/// How many tasks take part.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tasks {
    /// Those that have a part in every checkpoint: sources, operators with state, sinks; on all workers.
    pub(crate) parts: usize,
    /// The sinks among them.
    pub(crate) sinks: usize,
}

/// Where the checkpoint under way is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Collecting,
    Publishing,
}

/// A checkpoint that is under way.
struct UnderWay<A> {
    id: CheckpointId,
    began: Instant,
    stage: Stage,
    parts: Vec<Vec<u8>>,
    /// How many tasks could not make theirs safe.
    failed_parts: usize,
    /// For whom it is, if for anybody: how it ends is for them to know.
    asked: Option<A>,
}

/// A checkpoint all of whose parts are safe.
#[derive(Debug)]
pub(crate) struct Collected {
    pub(crate) began: Instant,
    pub(crate) parts: Vec<Vec<u8>>,
}

/// A checkpoint that is complete.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Completed<A> {
    pub(crate) began: Instant,
    pub(crate) asked: Option<A>,
}

/// How a checkpoint came to nothing.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failure<A> {
    pub(crate) asked: Option<A>,
    /// Whether the job bears no more of them.
    pub(crate) is_too_many: bool,
}

/// The checkpoints of a job; `A` is whoever may ask for one.
pub(crate) struct Protocol<A> {
    policy: CheckpointPolicy,
    tasks: Tasks,
    next_id: CheckpointId,
    under_way: Option<UnderWay<A>>,
    /// How many tasks have not yet said what came of their part of one that was given up.
    owed: usize,
    /// Not before this moment.
    due: Option<Instant>,
    /// When the last one ended, or else the job began.
    ended_at: Instant,
    failures_in_a_row: u32,
    /// The last one that is complete.
    complete: CheckpointId,
    /// How many sinks have committed a checkpoint, of those not all have.
    commits: BTreeMap<CheckpointId, usize>,
    committed: CheckpointId,
}

impl<A> Protocol<A> {
    /// The checkpoints of a job that starts `now`; the first is called `next_id`.
    pub(crate) fn new(policy: CheckpointPolicy, tasks: Tasks, next_id: CheckpointId, now: Instant) -> Self {
        Protocol {
            due: policy.interval.map(|interval| now + interval),
            policy,
            tasks,
            next_id,
            under_way: None,
            owed: 0,
            ended_at: now,
            failures_in_a_row: 0,
            complete: next_id - 1,
            commits: BTreeMap::new(),
            committed: next_id - 1,
        }
    }

    /// Whether none is under way, and no task is still at work on one.
    pub(crate) fn is_idle(&self) -> bool {
        self.under_way.is_none() && self.owed == 0
    }

    /// Whether one should begin by the clock.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.is_idle() && self.due.is_some_and(|due| due <= now)
    }

    /// When one should begin early because a sink has no more `room` than this. Not while one is under way, and not before
    /// the last one is committed: that may make room enough.
    pub(crate) fn early_at(&self, room: Room) -> Option<Instant> {
        let pause = match room {
            Room::Enough => return None,
            _ if self.failures_in_a_row > 0 => self.policy.min_pause.max(EARLY_RETRY),
            Room::Little => self.policy.min_pause,
            // The pause is there for the job to get on, and until then it does not.
            Room::Exhausted => Duration::ZERO,
        };
        let is_relieved = self.is_idle() && self.is_committed(self.complete);
        self.ended_at.checked_add(pause).filter(|_| is_relieved)
    }

    /// When it is next worth looking at the clock.
    pub(crate) fn alarm(&self) -> Option<Instant> {
        match &self.under_way {
            Some(UnderWay { began, stage: Stage::Collecting, .. }) => began.checked_add(self.policy.timeout),
            Some(_) => None,
            None => self.due.filter(|_| self.owed == 0),
        }
    }

    /// Puts the next one off: nothing has happened since the last.
    pub(crate) fn put_off(&mut self, now: Instant) {
        self.due = self.policy.interval.map(|interval| now + interval);
    }

    /// Begins one, for `asked` if anybody has asked for it. None may be under way.
    pub(crate) fn begin(&mut self, asked: Option<A>, now: Instant) -> CheckpointId {
        debug_assert!(self.is_idle(), "one checkpoint at a time");
        let id = self.next_id;
        self.next_id += 1;
        self.due = self.policy.interval.map(|interval| now + interval);
        self.under_way =
            Some(UnderWay { id, began: now, stage: Stage::Collecting, parts: Vec::new(), failed_parts: 0, asked });
        id
    }

    /// A task's part of checkpoint `id` is safe. Gives all of them with the last one; what belongs to a checkpoint that
    /// was given up is passed over.
    pub(crate) fn part(&mut self, id: CheckpointId, part: Vec<u8>) -> Option<Collected> {
        let Some(under_way) = self.under_way.as_mut().filter(|it| it.id == id) else {
            self.owed = self.owed.saturating_sub(1);
            return None;
        };
        under_way.parts.push(part);
        if under_way.parts.len() < self.tasks.parts {
            return None;
        }
        under_way.stage = Stage::Publishing;
        Some(Collected { began: under_way.began, parts: std::mem::take(&mut under_way.parts) })
    }

    /// A task could not make its part of checkpoint `id` safe. The checkpoint is to be given up.
    pub(crate) fn part_failed(&mut self, id: CheckpointId) {
        match self.under_way.as_mut().filter(|it| it.id == id) {
            Some(under_way) => under_way.failed_parts += 1,
            None => self.owed = self.owed.saturating_sub(1),
        }
    }

    /// The manifest of checkpoint `id` is written.
    pub(crate) fn published(&mut self, id: CheckpointId, now: Instant) -> Option<Completed<A>> {
        let under_way = self.under_way.take_if(|it| it.id == id)?;
        self.failures_in_a_row = 0;
        (self.complete, self.ended_at) = (id, now);
        self.due = self.due.map(|due| due.max(now + self.policy.min_pause));
        Some(Completed { began: under_way.began, asked: under_way.asked })
    }

    /// Gives checkpoint `id` up, if it is under way.
    pub(crate) fn failed(&mut self, id: CheckpointId, now: Instant) -> Option<Failure<A>> {
        let under_way = self.under_way.take_if(|it| it.id == id)?;
        self.owed = match under_way.stage {
            Stage::Collecting => self.tasks.parts - under_way.parts.len() - under_way.failed_parts,
            Stage::Publishing => 0,
        };
        self.failures_in_a_row += 1;
        self.ended_at = now;
        self.due = self.due.map(|due| due.max(now + self.policy.min_pause));
        let is_too_many = self.policy.tolerable_failures.is_some_and(|tolerable| self.failures_in_a_row > tolerable);
        Some(Failure { asked: under_way.asked, is_too_many })
    }

    /// The checkpoint that takes longer than it may.
    pub(crate) fn overdue(&self, now: Instant) -> Option<CheckpointId> {
        let under_way = self.under_way.as_ref().filter(|it| it.stage == Stage::Collecting)?;
        (now.saturating_duration_since(under_way.began) >= self.policy.timeout).then_some(under_way.id)
    }

    /// A sink has committed everything up to checkpoint `id`.
    pub(crate) fn committed(&mut self, id: CheckpointId) {
        let sinks = self.commits.entry(id).or_default();
        *sinks += 1;
        if *sinks == self.tasks.sinks {
            self.committed = self.committed.max(id);
            self.commits = self.commits.split_off(&(id + 1));
        }
    }

    /// Whether all sinks have committed everything up to checkpoint `id`.
    pub(crate) fn is_committed(&self, id: CheckpointId) -> bool {
        self.tasks.sinks == 0 || self.committed >= id
    }
}

#[cfg(test)]
mod tests {
    use super::{CheckpointPolicy, EARLY_RETRY, Protocol, Tasks};
    use std::time::{Duration, Instant};
    use tidewheel_connectors::Room;

    const SECOND: Duration = Duration::from_secs(1);

    fn protocol(now: Instant) -> Protocol<&'static str> {
        let policy = CheckpointPolicy {
            interval: Some(SECOND),
            min_pause: SECOND / 2,
            timeout: 10 * SECOND,
            tolerable_failures: Some(1),
        };
        Protocol::new(policy, Tasks { parts: 2, sinks: 2 }, 7, now)
    }

    #[test]
    fn a_checkpoint_is_complete_when_all_parts_are_safe_and_its_manifest_is_written() {
        let start = Instant::now();
        let mut protocol = protocol(start);
        assert!(!protocol.is_due(start));
        assert_eq!(protocol.alarm(), Some(start + SECOND));
        assert!(protocol.is_due(start + SECOND));
        assert_eq!(protocol.begin(Some("me"), start + SECOND), 7);
        assert!(!protocol.is_due(start + 5 * SECOND), "one at a time");
        assert!(protocol.part(7, vec![1]).is_none());
        assert!(protocol.part(6, vec![9]).is_none(), "a part of another checkpoint");
        assert_eq!(protocol.part(7, vec![2]).unwrap().parts, [vec![1], vec![2]]);
        assert!(!protocol.is_idle());
        assert_eq!(protocol.published(7, start + 3 * SECOND).unwrap().asked, Some("me"));
        assert!(protocol.is_idle());
        assert!(!protocol.is_due(start + 3 * SECOND), "the pause is kept");
        assert!(protocol.is_due(start + 3 * SECOND + SECOND / 2));
    }

    #[test]
    fn one_that_takes_too_long_is_given_up_and_too_many_in_a_row_are_too_many() {
        let start = Instant::now();
        let mut protocol = protocol(start);
        for (id, is_too_many) in [(7, false), (8, true)] {
            let now = start + SECOND * u32::try_from(20 * (id - 6)).unwrap();
            assert_eq!(protocol.begin(None, now), id);
            assert_eq!(protocol.overdue(now + 9 * SECOND), None);
            assert_eq!(protocol.overdue(now + 10 * SECOND), Some(id));
            assert_eq!(protocol.failed(id, now + 10 * SECOND).unwrap().is_too_many, is_too_many);
            assert!(protocol.failed(id, now + 10 * SECOND).is_none(), "it has been given up");
            assert!(protocol.part(id, vec![1]).is_none(), "its parts come too late");
            assert!(!protocol.is_idle() && !protocol.is_due(now + 15 * SECOND), "a task is still at work on it");
            assert_eq!(protocol.alarm(), None);
            protocol.part_failed(id);
            assert!(protocol.is_idle() && protocol.is_due(now + 15 * SECOND), "all have said what came of it");
        }
        let now = start + 100 * SECOND;
        let id = protocol.begin(None, now);
        protocol.part(id, vec![1]);
        protocol.part(id, vec![2]);
        assert_eq!(protocol.overdue(now + 100 * SECOND), None, "what is being published is no longer to be given up");
        protocol.published(id, now);
        let id = protocol.begin(None, now);
        assert!(!protocol.failed(id, now).unwrap().is_too_many, "a success begins the count anew");
    }

    #[test]
    fn committed_is_what_all_sinks_have_committed() {
        let mut protocol = protocol(Instant::now());
        assert!(protocol.is_committed(6), "what came before this attempt is settled before it begins");
        protocol.committed(7);
        assert!(!protocol.is_committed(7));
        protocol.committed(8);
        protocol.committed(8);
        assert!(protocol.is_committed(7) && protocol.is_committed(8), "a sink commits in order");
        assert!(!protocol.is_committed(9));
    }

    /// Carries a checkpoint through up to its manifest.
    fn complete(protocol: &mut Protocol<&'static str>, now: Instant) -> u64 {
        let id = protocol.begin(None, now);
        protocol.part(id, vec![1]);
        protocol.part(id, vec![2]);
        protocol.published(id, now);
        id
    }

    #[test]
    fn one_begins_early_where_room_is_little_and_only_where_it_may_help() {
        let start = Instant::now();
        let mut protocol = protocol(start);
        assert_eq!(protocol.early_at(Room::Enough), None);
        assert_eq!(protocol.early_at(Room::Little), Some(start + SECOND / 2), "the pause is kept");
        assert_eq!(protocol.early_at(Room::Exhausted), Some(start), "nothing goes on meanwhile");
        let id = protocol.begin(None, start);
        assert_eq!(protocol.early_at(Room::Exhausted), None, "one at a time");
        protocol.part(id, vec![1]);
        protocol.part(id, vec![2]);
        protocol.published(id, start + SECOND);
        assert_eq!(protocol.early_at(Room::Exhausted), None, "its commit makes room");
        protocol.committed(id);
        assert_eq!(protocol.early_at(Room::Exhausted), None, "so does that of the other sink");
        protocol.committed(id);
        assert_eq!(protocol.early_at(Room::Exhausted), Some(start + SECOND));
        assert_eq!(protocol.early_at(Room::Little), Some(start + SECOND + SECOND / 2));
    }

    #[test]
    fn an_early_one_that_fails_is_not_followed_at_once_by_another() {
        let start = Instant::now();
        let mut protocol = protocol(start);
        let id = protocol.begin(None, start);
        protocol.part(id, vec![1]);
        protocol.failed(id, start);
        assert_eq!(protocol.early_at(Room::Exhausted), None, "a task is still at work on it");
        protocol.part_failed(id);
        for room in [Room::Little, Room::Exhausted] {
            assert_eq!(protocol.early_at(room), Some(start + EARLY_RETRY));
        }
        let id = complete(&mut protocol, start + SECOND);
        protocol.committed(id);
        protocol.committed(id);
        assert_eq!(protocol.early_at(Room::Exhausted), Some(start + SECOND), "it has succeeded");
    }
}
