//! Spills: changed state is written to files between checkpoints, when it takes too much of the cache.

use super::database::Database;
use super::ingestion::{ReadyFile, Ticket};
use crate::delta::{EntryList, Frozen, SpilledFile, Versions};
use crate::error::StateError;
use crate::state_file::{self, Layout};
use crate::state_table::StateTable;
use crate::ttl::StateTime;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};

/// Writes spills, one after the other, on a thread that is started with the first one.
pub(super) struct Spiller {
    writer: Arc<SpillWriter>,
    thread: Option<(Sender<Spill>, JoinHandle<()>)>,
    /// Spills so far.
    number: u64,
}

/// What writing takes.
struct SpillWriter {
    folder: PathBuf,
    key_groups: Range<u16>,
    max_parallelism: u16,
    table: StateTable,
    /// Whether the files belong to the next checkpoint.
    keep: bool,
    database: Arc<Database>,
}

struct Spill {
    number: u64,
    parts: Vec<Box<dyn Frozen>>,
    time: StateTime,
    ticket: Ticket,
    done: Sender<Result<Option<SpilledFile>, StateError>>,
}

impl Spiller {
    /// Spills to the folder `spilled` of the working folder.
    pub(super) fn new(
        database: Arc<Database>,
        (key_groups, max_parallelism): (Range<u16>, u16),
        table: StateTable,
        keep: bool,
    ) -> Result<Self, StateError> {
        let folder = database.folder().join("spilled");
        state_file::empty_folder(&folder)?;
        let writer = Arc::new(SpillWriter { folder, key_groups, max_parallelism, table, keep, database });
        Ok(Spiller { writer, thread: None, number: 0 })
    }

    /// Writes what was frozen and puts it into the RocksDB, some time. What comes out is the file.
    pub(super) fn spill(
        &mut self,
        parts: Vec<Box<dyn Frozen>>,
        time: StateTime,
        ticket: Ticket,
    ) -> Result<Receiver<Result<Option<SpilledFile>, StateError>>, StateError> {
        if self.thread.is_none() {
            let writer = Arc::clone(&self.writer);
            let (sender, spills) = channel::<Spill>();
            let start = thread::Builder::new().name("state-spill".to_owned());
            let run = move || spills.iter().for_each(|spill| writer.run(spill));
            let thread = start.spawn(run).map_err(StateError::io("start a thread to write to", &self.writer.folder))?;
            self.thread = Some((sender, thread));
        }
        self.number += 1;
        let (done, file) = channel();
        let spill = Spill { number: self.number, parts, time, ticket, done };
        if let Some((spills, _)) = &self.thread {
            // It fails only if the thread has panicked. Then the ticket is dropped, which says so.
            let _ = spills.send(spill);
        }
        Ok(file)
    }
}

impl Drop for Spiller {
    fn drop(&mut self) {
        if let Some((spills, thread)) = self.thread.take() {
            drop(spills);
            // It has nothing to say that is not known by its ticket.
            let _ = thread.join();
        }
    }
}

impl SpillWriter {
    fn run(&self, spill: Spill) {
        // What has not been compacted makes every read slower. The worker waits for spills, so it is held up in time.
        self.database.wait_for_compaction();
        let Spill { number, parts, time, ticket, done } = spill;
        let spilled = self.write(number, parts, time).inspect_err(|error| ticket.fail(error)).and_then(|spilled| {
            let file = spilled.as_ref().map(|spilled| &spilled.file.path);
            ticket.complete(file.map(|path| ReadyFile { path: path.clone(), keep: self.keep }))?;
            Ok(spilled)
        });
        // Nobody waits for it if there are no checkpoints.
        let _ = done.send(spilled);
    }

    fn write(
        &self,
        number: u64,
        parts: Vec<Box<dyn Frozen>>,
        time: StateTime,
    ) -> Result<Option<SpilledFile>, StateError> {
        let mut entries = EntryList::new(self.max_parallelism, &self.key_groups, &self.table, time);
        parts.iter().for_each(|part| part.add_to(&mut entries));
        let mut versions = Versions::new();
        let name = format!("{number}.sst");
        let file = state_file::write(&self.folder, name, Layout::Whole, |file| {
            versions = entries.sorted(|key, value| file.add(key, value))?;
            Ok::<_, StateError>(())
        })?;
        Ok(file.map(|file| SpilledFile { file, versions }))
    }
}
