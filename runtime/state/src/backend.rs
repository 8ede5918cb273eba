//! The state backends behind one trait, and how one is opened.

use crate::delta::Delta;
use crate::error::StateError;
use crate::key_codec::{EntryKey, PROCESSING_TIMERS, TIMERS};
use crate::memory::MemoryState;
use crate::restore::{self, Folders};
use crate::rocksdb::SharedMemory;
use crate::snapshot::{LocalFile, SnapshotWriter};
use crate::state_table::StateTable;
use crate::timers::Timers;
use crate::ttl::StateTime;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tidewheel_types::description::StateDecl;
use tidewheel_types::keyed_state::KeyedState;

/// The state of one task that can be snapshot.
pub trait Backend: KeyedState {
    /// Says what the clocks show. It is called before calls of [`KeyedState`], but not between reading the cells that
    /// ride and writing them.
    fn set_time(&mut self, now_ms: i64, watermark_ms: i64);

    /// Everything that has changed since the last time, or since it was opened, of the state and of its timers, which are
    /// a set for each clock. It is cheap; the work is done by [`SnapshotWriter::write`]. What was frozen belongs to the
    /// snapshots from then on: each delta has to be written, in order.
    ///
    /// # Errors
    /// If it was opened without tracking changes.
    fn freeze(&mut self, timers: [&mut Timers; 2]) -> Result<Delta, StateError>;

    /// Memory held, about, in bytes.
    fn bytes(&self) -> usize;
}

/// Which backend keeps the state.
#[derive(Clone)]
pub enum BackendKind {
    /// Hash tables on the heap.
    Memory,
    /// RocksDB under a cache; the memory is shared by all tasks of the process.
    RocksDb(Arc<SharedMemory>),
}

/// How a task keeps its state.
#[derive(Clone)]
pub struct StateSettings {
    /// The states that the component declares.
    pub declared: Vec<StateDecl>,
    /// Where they are kept.
    pub backend: BackendKind,
    /// The local working folder of this task alone. It is emptied when the state is opened. State in memory without
    /// snapshots does not touch it.
    pub folder: PathBuf,
    /// The key groups that the task owns.
    pub key_groups: Range<u16>,
    /// Number of all key groups.
    pub max_parallelism: u16,
    /// Whether there will be snapshots. If not, nothing is tracked, and [`Backend::freeze`] is an error.
    pub tracks_changes: bool,
}

/// What state is restored from: a snapshot.
#[derive(Clone, Debug, Default)]
pub struct Restore {
    /// The tasks of the snapshot that own a key group of this one; others do no harm.
    pub tasks: Vec<RestoredTask>,
    /// The operator's states.
    pub table: StateTable,
    /// What the clocks showed then.
    pub time: StateTime,
}

/// The state files of one task of a snapshot. What they hold of key groups that it did not own does not count.
#[derive(Clone, Debug)]
pub struct RestoredTask {
    /// The key groups that it owned.
    pub key_groups: Range<u16>,
    /// Its files, oldest first. They are linked or copied into the working folder under their own names, and stay where
    /// they are.
    pub files: Vec<PathBuf>,
}

/// A task's state, its timers, and the writer of its snapshots, which goes to another thread.
pub struct OpenedState {
    /// The state.
    pub backend: Box<dyn Backend>,
    /// The timers of event time.
    pub timers: Timers,
    /// The timers of processing time.
    pub processing_timers: Timers,
    /// Writes what [`Backend::freeze`] gives.
    pub writer: SnapshotWriter,
}

/// Opens state, empty or as a snapshot has it.
///
/// # Errors
/// If the declared states cannot be kept or do not fit those of the snapshot, or if its files are damaged.
pub fn open(settings: StateSettings, restore: Option<Restore>) -> Result<OpenedState, StateError> {
    let restore = restore.unwrap_or_default();
    // What is in memory, and never in a snapshot, needs none.
    let needs_folders =
        settings.tracks_changes || !restore.tasks.is_empty() || matches!(settings.backend, BackendKind::RocksDb(_));
    let folders = match needs_folders {
        true => Folders::new(&settings.folder)?,
        false => Folders::of(&settings.folder),
    };
    let (chain, table) = restore::chain(&settings, &folders, restore)?;
    open_chain(settings, folders, table, chain)
}

/// Opens the state that a chain of local files holds.
pub(crate) fn open_chain(
    settings: StateSettings,
    folders: Folders,
    mut table: StateTable,
    chain: Vec<LocalFile>,
) -> Result<OpenedState, StateError> {
    let ids = table.declare(&settings.declared)?;
    let [mut timers, mut processing_timers] =
        [TIMERS, PROCESSING_TIMERS].map(|state| Timers::with_tracking(state, settings.tracks_changes));
    let mut load_timers = |entry: &EntryKey<'_>, stored: &[u8]| match entry.state {
        PROCESSING_TIMERS => processing_timers.load(entry, stored),
        _ => timers.load(entry, stored),
    };
    let backend: Box<dyn Backend> = match &settings.backend {
        BackendKind::Memory => {
            let mut state = MemoryState::with_ids(&settings.declared, &ids, settings.tracks_changes)?;
            let files: Vec<&Path> = chain.iter().map(|file| &*file.path).collect();
            let (groups, max_parallelism) = (&settings.key_groups, settings.max_parallelism);
            restore::entries(&files, groups, max_parallelism, &folders.scratch, &mut |entry| match entry.key.state {
                id if id.holds_timers() => load_timers(&entry.key, entry.stored),
                _ => state.load(&entry.key, entry.stored),
            })?;
            state.loaded(table.states.len() > settings.declared.len());
            Box::new(state)
        }
        BackendKind::RocksDb(memory) => {
            crate::rocksdb::open(&settings, memory, (&table, ids.as_slice()), &chain, &mut load_timers)?
        }
    };
    timers.loaded();
    processing_timers.loaded();
    let writer = SnapshotWriter::new(&settings, folders, table, chain);
    Ok(OpenedState { backend, timers, processing_timers, writer })
}
