//! The memory that all tasks of a process share, and how it is dealt out.

use super::allocation::{bound_c_heaps, refuse_huge_pages};
use crate::pieces::PiecePool;
use rocksdb::{Cache, Env};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The memory budget of a process for state in RocksDB.
///
/// A part is set aside for what RocksDB needs however much is cached: buffers to read and write files with, what is known
/// of each file, and what allocators keep. It is 16 MiB, of small budgets a quarter. The rest is dealt out so:
///
/// | part | for |
/// |---|---|
/// | 34 % | the write-back caches: equal parts for all tasks, and within a task whatever its states need |
/// | 25 % | one block cache for all tasks, with the blocks, indices and bloom filters of the files |
/// | 41 % | what is on its way: copies of changed rows that are sorted and written, and what cannot be used of pages |
///
/// There are no write buffers of RocksDB: nothing is ever written through one.
pub struct SharedMemory {
    bytes: usize,
    block_cache: Cache,
    frozen_pool: Arc<PiecePool>,
    /// Number of tasks that the caches are dealt out to.
    tasks: AtomicUsize,
}

/// What is set aside, at most.
const FIXED_BYTES_MAX: usize = 16 << 20;
const FIXED_PART: usize = 4;

const CACHES_PERCENT: usize = 34;
const BLOCK_CACHE_PERCENT: usize = 25;

/// Under a budget of less, huge pages take more of it than they are worth.
const HUGE_PAGES_FROM_BYTES: usize = 128 << 20;

/// What is kept for copies of changed rows: two spills' (`SPILL_PART`).
const FROZEN_PERCENT: usize = CACHES_PERCENT / 2;

/// Bytes of files: what is known of each is in memory, but the filter of one is built there, too.
const FILE_BYTES_MIN: u64 = 4 << 20;
const FILE_BYTES_MAX: u64 = 64 << 20;

/// Threads that compact, for all tasks of the process.
const COMPACTION_THREADS: i32 = 2;

impl SharedMemory {
    /// A budget of so many bytes. Of less than 32 MiB more than a quarter over it is resident.
    pub fn new(bytes: usize) -> Self {
        bound_c_heaps();
        if bytes < HUGE_PAGES_FROM_BYTES {
            refuse_huge_pages();
        }
        let block_cache = Cache::new_lru_cache(part(bytes, BLOCK_CACHE_PERCENT));
        let frozen_pool = Arc::new(PiecePool::new(part(bytes, FROZEN_PERCENT)));
        SharedMemory { bytes, block_cache, frozen_pool, tasks: AtomicUsize::new(0) }
    }

    /// The budget.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn block_cache(&self) -> &Cache {
        &self.block_cache
    }

    /// Bytes of files that one compaction writes at a time.
    pub(super) fn file_bytes(&self) -> u64 {
        (self.bytes as u64 / 32).clamp(FILE_BYTES_MIN, FILE_BYTES_MAX)
    }
}

/// So many hundredths of what is dealt out of a budget.
fn part(budget: usize, percent: usize) -> usize {
    (budget - FIXED_BYTES_MAX.min(budget / FIXED_PART)) / 100 * percent
}

/// Limits the threads of RocksDB, of which a process has one set however many databases there are.
pub(super) fn environment() -> Result<Env, rocksdb::Error> {
    let mut environment = Env::new()?;
    environment.set_background_threads(COMPACTION_THREADS);
    environment.set_high_priority_background_threads(1);
    Ok(environment)
}

/// A task's part of the budget, for as long as it is there.
pub(super) struct TaskShare(Arc<SharedMemory>);

impl TaskShare {
    pub(super) fn new(memory: &Arc<SharedMemory>) -> Self {
        memory.tasks.fetch_add(1, Ordering::Relaxed);
        TaskShare(Arc::clone(memory))
    }

    /// Bytes that the task's cache may hold now.
    #[inline]
    pub(super) fn cache_bytes(&self) -> usize {
        part(self.0.bytes, CACHES_PERCENT) / self.0.tasks.load(Ordering::Relaxed).max(1)
    }

    /// Memory for copies of changed rows.
    pub(super) fn frozen_pool(&self) -> &Arc<PiecePool> {
        &self.0.frozen_pool
    }
}

impl Drop for TaskShare {
    fn drop(&mut self) {
        self.0.tasks.fetch_sub(1, Ordering::Relaxed);
    }
}
