//! Files on their way into the RocksDB, in the order in which their rows were frozen.
//!
//! Checkpoints are written by one thread and spills by another, so files are ready in any order. Nobody waits: whoever
//! brings the one that is next puts in all that are ready behind it.

use super::database::Database;
use crate::error::StateError;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What is frozen is numbered; all files of numbers below [`settled`](Self::settled) are in the RocksDB.
pub(super) struct Ingestion {
    database: Arc<Database>,
    /// The next number to give.
    next: AtomicU64,
    /// The next number to put in.
    settled: AtomicU64,
    has_failed: AtomicBool,
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    ready: BTreeMap<u64, Option<ReadyFile>>,
    failure: Option<String>,
}

/// A file to be put in.
pub(super) struct ReadyFile {
    pub(super) path: PathBuf,
    /// Whether it stays where it is.
    pub(super) keep: bool,
}

/// The place of one freeze in the order. It has to be [`complete`](Self::complete)d.
pub(super) struct Ticket {
    generation: u64,
    ingestion: Option<Arc<Ingestion>>,
}

impl Ingestion {
    pub(super) fn new(database: Arc<Database>) -> Self {
        Ingestion {
            database,
            next: AtomicU64::new(0),
            settled: AtomicU64::new(0),
            has_failed: AtomicBool::new(false),
            queue: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// The next place.
    pub(super) fn ticket(self: &Arc<Self>) -> Ticket {
        let generation = self.next.fetch_add(1, Ordering::Relaxed);
        Ticket { generation, ingestion: Some(Arc::clone(self)) }
    }

    /// All that was frozen before this number is in the RocksDB.
    ///
    /// # Errors
    /// If something could not be put in: then the state cannot be used any more.
    #[inline]
    pub(super) fn settled(&self) -> Result<u64, StateError> {
        if self.has_failed.load(Ordering::Acquire) {
            return Err(self.failure());
        }
        Ok(self.settled.load(Ordering::Acquire))
    }

    /// Waits until what was frozen under number `generation` is in the RocksDB, or for `time` to pass; whether it is.
    pub(super) fn wait(&self, generation: u64, time: Duration) -> Result<bool, StateError> {
        let is_open = |queue: &mut Queue| queue.failure.is_none() && self.settled.load(Ordering::Acquire) <= generation;
        let queue = self.lock();
        drop(self.changed.wait_timeout_while(queue, time, is_open).unwrap_or_else(PoisonError::into_inner));
        Ok(self.settled()? > generation)
    }

    /// Makes the state unusable.
    fn fail(&self, why: String) {
        self.lock().failure.get_or_insert(why);
        self.has_failed.store(true, Ordering::Release);
        self.changed.notify_all();
    }

    #[cold]
    fn failure(&self) -> StateError {
        let what = self.lock().failure.clone().unwrap_or_default();
        StateError::WorkingStateLost { folder: self.database.folder().to_owned(), what }
    }

    /// What is held stays usable whatever thread has panicked: it is changed last.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, generation: u64, file: Option<ReadyFile>) -> Result<(), StateError> {
        let mut queue = self.lock();
        queue.ready.insert(generation, file);
        let mut next = self.settled.load(Ordering::Acquire);
        while let Some(file) = queue.ready.remove(&next) {
            if let Some(ReadyFile { path, keep }) = file {
                self.database.ingest(&path, keep)?;
            }
            next += 1;
            self.settled.store(next, Ordering::Release);
        }
        drop(queue);
        self.changed.notify_all();
        Ok(())
    }
}

impl Ticket {
    /// Its number.
    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    /// What was frozen cannot be written.
    pub(super) fn fail(&self, why: &StateError) {
        if let Some(ingestion) = &self.ingestion {
            ingestion.fail(why.to_string());
        }
    }

    /// What was frozen is in this file; none if there was nothing to write.
    pub(super) fn complete(mut self, file: Option<ReadyFile>) -> Result<(), StateError> {
        let ingestion = self.ingestion.take().expect("it is completed once");
        let done = ingestion.put(self.generation, file);
        if let Err(error) = &done {
            ingestion.fail(error.to_string());
        }
        done
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(ingestion) = self.ingestion.take() {
            ingestion.fail("changes that were frozen have not been written".to_owned());
        }
    }
}
