//! Keys → key groups → workers.
//!
//! A key group is the unit in which keyed state is owned and moved. Which group a key is in depends on the key and the
//! job's maximum parallelism alone; which worker owns a group also depends on the number of workers. As in Flink
//! (`KeyGroupRangeAssignment`), a worker owns a contiguous range, so that rescaling moves as few groups as possible.

use std::ops::Range;
use xxhash_rust::xxh3::xxh3_64;

/// The default number of key groups, and so the largest number of workers a job can ever be spread over.
pub const MAX_PARALLELISM_DEFAULT: u16 = 128;

/// The hash of a key. It is part of the format of state: changing it makes every snapshot unreadable.
#[inline]
pub fn hash_key(key: &[u8]) -> u64 {
    xxh3_64(key)
}

/// A fixed bucket of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyGroup(pub u16);

/// How a job's keys are dealt out: `max_parallelism` key groups over `workers` workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyGroups {
    max_parallelism: u16,
    workers: usize,
}

impl KeyGroups {
    /// The assignment for `workers` workers.
    ///
    /// # Panics
    /// If there are no workers, or more workers than key groups: a job spec is checked for both.
    pub fn new(max_parallelism: u16, workers: usize) -> Self {
        assert!(
            workers > 0 && workers <= usize::from(max_parallelism),
            "{workers} workers for {max_parallelism} key groups"
        );
        KeyGroups { max_parallelism, workers }
    }

    /// The key group of a key whose hash is `hash`.
    #[inline]
    pub fn group_of_hash(self, hash: u64) -> KeyGroup {
        KeyGroup((hash % u64::from(self.max_parallelism)) as u16)
    }

    /// The worker that owns `group`.
    #[inline]
    pub fn worker_of(self, group: KeyGroup) -> usize {
        usize::from(group.0) * self.workers / usize::from(self.max_parallelism)
    }

    /// The worker that owns the key whose hash is `hash`.
    #[inline]
    pub fn worker_of_hash(self, hash: u64) -> usize {
        self.worker_of(self.group_of_hash(hash))
    }

    /// The key groups that `worker` owns.
    pub fn range_of(self, worker: usize) -> Range<u16> {
        let first = |w: usize| (w * usize::from(self.max_parallelism)).div_ceil(self.workers) as u16;
        first(worker)..first(worker + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::{KeyGroup, KeyGroups, hash_key};
    use proptest::prelude::{ProptestConfig, any, prop_assert_eq, proptest};

    #[test]
    fn the_hash_is_part_of_the_format() {
        assert_eq!(hash_key(b""), 0x2d06_8005_38d3_94c2);
        assert_eq!(
            KeyGroups::new(128, 1).group_of_hash(hash_key(b"alice")),
            KeyGroup((hash_key(b"alice") % 128) as u16)
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn ranges_and_owners_agree(max in 1u16..=300, workers in any::<u16>()) {
            let workers = usize::from(workers % max) + 1;
            let groups = KeyGroups::new(max, workers);
            let mut next = 0;
            for worker in 0..workers {
                let range = groups.range_of(worker);
                prop_assert_eq!(range.start, next);
                next = range.end;
                for group in range {
                    prop_assert_eq!(groups.worker_of(KeyGroup(group)), worker);
                }
            }
            prop_assert_eq!(next, max);
        }
    }
}
