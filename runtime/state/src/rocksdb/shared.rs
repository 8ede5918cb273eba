//! The memory that all tasks of a process share, and how it is dealt out.

use rocksdb::{Cache, Env};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The memory budget of a process for state in RocksDB.
///
/// It is dealt out so:
///
/// | part | for |
/// |---|---|
/// | 28 % | the write-back caches: equal parts for all tasks, and within a task whatever its states need |
/// | 25 % | one block cache for all tasks, with the blocks, indices and bloom filters of the files |
/// | 47 % | what is on its way: copies of changed rows that are sorted and written, and what RocksDB needs to compact |
///
/// There are no write buffers of RocksDB: nothing is ever written through one.
pub struct SharedMemory {
    bytes: usize,
    block_cache: Cache,
    /// Number of tasks that the caches are dealt out to.
    tasks: AtomicUsize,
}

const CACHES_PERCENT: usize = 28;
const BLOCK_CACHE_PERCENT: usize = 25;

/// Threads that compact, for all tasks of the process.
const COMPACTION_THREADS: i32 = 2;

impl SharedMemory {
    /// A budget of so many bytes. Of less than 8 MiB it cannot be kept.
    pub fn new(bytes: usize) -> Self {
        let block_cache = Cache::new_lru_cache(bytes / 100 * BLOCK_CACHE_PERCENT);
        SharedMemory { bytes, block_cache, tasks: AtomicUsize::new(0) }
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
        (self.bytes as u64 / 32).clamp(2 << 20, 64 << 20)
    }
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
        self.0.bytes / 100 * CACHES_PERCENT / self.0.tasks.load(Ordering::Relaxed).max(1)
    }
}

impl Drop for TaskShare {
    fn drop(&mut self) {
        self.0.tasks.fetch_sub(1, Ordering::Relaxed);
    }
}
