//! The way back: an operator's state on one worker, as a checkpoint or savepoint has it.
//!
//! The files of a checkpoint are opened as they are, when every value in them is of a version that the component
//! declares. Otherwise, and from a savepoint, state is opened row by row, values of older versions going through the
//! component's `migrate` on the way.

use super::durability::{Durability, StartFrom};
use super::migrate::{Migrated, RowsError};
use super::uploader::{Saver, TaskFiles, Uploader};
use crate::capsules::Capsules;
use crate::error::EngineError;
use crate::plan::Function;
use crate::refuse::Refusals;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, SyncSender};
use std::thread;
use tidewheel_checkpoint::savepoint::{self, RowKind, Savepoint};
use tidewheel_checkpoint::{FileRef, OperatorState, StateEntry, Store};
use tidewheel_state::{
    Backend, BackendKind, OpenedState, OwnedRow, PROCESSING_TIMERS, ReadRows, Restore, RestoredTask, Row, StateError,
    StateId, StateSettings, StateTable, StateTime, StoredState, TIMERS, Timers, TtlClock, open_rows, read_rows,
};
use tidewheel_types::description::StateDecl;
use tidewheel_types::{KeyGroups, OperatorId};

/// Rows of a checkpoint that are read before they are taken.
const ROWS_AHEAD: usize = 64;

/// Which task it is: an operator on one of so many workers.
pub(super) struct TaskPlace<'a> {
    pub(super) operator: &'a OperatorId,
    pub(super) worker: usize,
    pub(super) workers: usize,
    pub(super) max_parallelism: u16,
    /// The job's working folder.
    pub(super) folder: &'a Path,
}

impl TaskPlace<'_> {
    pub(super) fn key_groups(&self) -> Range<u16> {
        KeyGroups::new(self.max_parallelism, self.workers).range_of(self.worker)
    }

    /// A folder of this task alone.
    fn own_folder(&self, of: &str) -> PathBuf {
        self.folder.join(of).join(format!("{}-{}", self.operator, self.worker))
    }
}

/// The states of an operator.
pub(crate) struct OwnStates<'a> {
    pub(crate) declared: Vec<StateDecl>,
    /// What values of older versions go through. An operator without a component has none: its states have one version.
    pub(crate) function: Option<&'a Function>,
    /// Whether every worker keeps all of it. The first one's is in snapshots.
    pub(crate) is_broadcast: bool,
    /// Where a call of `migrate` is kept that fails.
    pub(crate) capsules: &'a Capsules,
    /// What becomes of values that cannot be migrated.
    pub(crate) refusals: RefCell<Refusals>,
}

/// The state of a task, and its way to make it safe if there is one.
pub(crate) struct TaskParts {
    pub(crate) backend: Box<dyn Backend>,
    pub(crate) timers: Timers,
    pub(crate) processing_timers: Timers,
    pub(crate) saver: Option<Saver>,
}

/// Opens the state of a task.
pub(super) fn open(
    place: &TaskPlace<'_>,
    states: &OwnStates<'_>,
    backend: &BackendKind,
    durability: Option<&Durability>,
    uploader: Option<&Uploader>,
) -> Result<TaskParts, EngineError> {
    let declared = states.declared.clone();
    let key_groups = if states.is_broadcast { 0..place.max_parallelism } else { place.key_groups() };
    let uploader = uploader.filter(|_| !states.is_broadcast || place.worker == 0);
    let settings = StateSettings {
        declared: declared.clone(),
        backend: backend.clone(),
        folder: place.own_folder("state"),
        key_groups: key_groups.clone(),
        max_parallelism: place.max_parallelism,
        tracks_changes: uploader.is_some(),
    };
    let mut uploaded = BTreeMap::new();
    let opened = match durability.map(|durability| (&durability.store, &durability.origin)) {
        Some((store, StartFrom::Checkpoint(manifest))) => match manifest.operators.get(place.operator.as_str()) {
            Some(state) => {
                let time = StateTime::at(manifest.created_ms, state.watermark);
                from_checkpoint(place, states, settings, (store, state, time), &mut uploaded)?
            }
            None => open_state(place, settings, None)?,
        },
        Some((_, StartFrom::Savepoint(savepoint))) => from_savepoint(place, states, settings, savepoint)?,
        Some((_, StartFrom::Nothing)) | None => open_state(place, settings, None)?,
    };
    let OpenedState { backend, timers, processing_timers, writer } = opened;
    let saver = uploader.map(|uploader| {
        let files = TaskFiles {
            operator: place.operator.clone(),
            worker: place.worker,
            key_groups,
            max_parallelism: place.max_parallelism,
            scratch: place.own_folder("scratch"),
            declared,
            writer,
            uploaded,
        };
        Saver::new(uploader.clone(), files)
    });
    Ok(TaskParts { backend, timers, processing_timers, saver })
}

/// From the files of a checkpoint: as they are, if every value is of a version that is written now.
fn from_checkpoint(
    place: &TaskPlace<'_>,
    states: &OwnStates<'_>,
    settings: StateSettings,
    (store, state, time): (&Store, &OperatorState, StateTime),
    uploaded: &mut BTreeMap<String, FileRef>,
) -> Result<OpenedState, EngineError> {
    let (folder, table) = (place.own_folder("restore"), table(&state.states));
    make_empty(&folder).map_err(|error| failed(place, error))?;
    let mut tasks = Vec::new();
    for task in state.tasks.iter().filter(|task| overlap(&task.key_groups, &settings.key_groups)) {
        let mut files = Vec::with_capacity(task.files.len());
        for file in &task.files {
            let name = file.name.rsplit('/').next().unwrap_or(&file.name).to_owned();
            let path = folder.join(&name);
            if uploaded.insert(name, file.clone()).is_none() {
                store.download(file, &path)?;
            }
            files.push(path);
        }
        tasks.push(RestoredTask { key_groups: task.key_groups.clone(), files });
    }
    let opened = match needs_migration(&state.states, &settings.declared) {
        false => open_state(place, settings, Some(Restore { tasks, table, time })),
        true => {
            uploaded.clear();
            // State may be larger than memory: rows are read as they are taken.
            thread::scope(|scope| {
                let (sender, rows) = mpsc::sync_channel(ROWS_AHEAD);
                let (tasks, stored, key_groups) = (&tasks, table.clone(), settings.key_groups.clone());
                scope.spawn(move || send_rows(place, tasks, (&stored, time), &key_groups, &sender));
                migrated(place, states, settings, table, rows.into_iter())
            })
        }
    };
    remove_folder(&folder).map_err(|error| failed(place, error))?;
    opened
}

/// From the rows of a savepoint.
fn from_savepoint(
    place: &TaskPlace<'_>,
    states: &OwnStates<'_>,
    settings: StateSettings,
    savepoint: &Savepoint,
) -> Result<OpenedState, EngineError> {
    let Some(state) = savepoint.manifest.operators.get(place.operator.as_str()) else {
        return open_state(place, settings, None);
    };
    let (table, mut rows) =
        (table(&state.states), savepoint.rows(place.operator.as_str(), settings.key_groups.clone()));
    let owned = std::iter::from_fn(|| match rows.next() {
        Ok(Some(row)) => Some(Ok(owned_row(&row, &state.states))),
        Ok(None) => None,
        Err(error) => Some(Err(EngineError::from(error))),
    });
    migrated(place, states, settings, table, owned)
}

/// Opens state that holds `rows`, older values in the version that is written now.
fn migrated(
    place: &TaskPlace<'_>,
    states: &OwnStates<'_>,
    settings: StateSettings,
    table: StateTable,
    rows: impl Iterator<Item = Result<OwnedRow, EngineError>>,
) -> Result<OpenedState, EngineError> {
    let mut rows = Migrated::new(place.operator, place.worker, states, &table, rows)?;
    open_rows(settings, table, &mut rows).map_err(|error| match error {
        RowsError::Engine(error) => error,
        RowsError::State(error) => failed(place, error),
    })
}

fn open_state(
    place: &TaskPlace<'_>,
    settings: StateSettings,
    restore: Option<Restore>,
) -> Result<OpenedState, EngineError> {
    tidewheel_state::open(settings, restore).map_err(|error| failed(place, error))
}

/// Why no more rows of a checkpoint are read.
enum ReadEnd {
    Failed(StateError),
    /// Nobody takes them.
    Unwanted,
}

impl From<StateError> for ReadEnd {
    fn from(error: StateError) -> Self {
        ReadEnd::Failed(error)
    }
}

/// Sends all rows of a checkpoint that are this task's, or why it cannot.
fn send_rows(
    place: &TaskPlace<'_>,
    tasks: &[RestoredTask],
    (table, time): (&StateTable, StateTime),
    key_groups: &Range<u16>,
    rows: &SyncSender<Result<OwnedRow, EngineError>>,
) {
    let scratch = place.own_folder("scratch");
    for task in tasks {
        let files: Vec<&Path> = task.files.iter().map(PathBuf::as_path).collect();
        let first = task.key_groups.start.max(key_groups.start);
        let last = task.key_groups.end.min(key_groups.end);
        let read = ReadRows {
            files: &files,
            key_groups: first..last,
            max_parallelism: place.max_parallelism,
            table,
            time,
            scratch: &scratch,
        };
        let mut each = |row: Row<'_>| -> Result<(), ReadEnd> {
            let row = OwnedRow {
                state: row.key.state,
                key: row.key.key.to_vec(),
                namespace: row.key.namespace.to_vec(),
                user_key: row.key.user_key.to_vec(),
                version: row.version,
                expiry: row.expiry,
                payload: row.payload.to_vec(),
            };
            rows.send(Ok(row)).map_err(|_| ReadEnd::Unwanted)
        };
        match read_rows(&read, &mut each) {
            Ok(()) => {}
            Err(ReadEnd::Unwanted) => return,
            Err(ReadEnd::Failed(error)) => {
                // Whoever does not take it has failed itself.
                let _ = rows.send(Err(failed(place, error)));
                return;
            }
        }
    }
}

/// Whether a value may be there that is of an older version than the one written now.
fn needs_migration(stored: &[StateEntry], declared: &[StateDecl]) -> bool {
    declared.iter().any(|state| {
        let stored = stored.iter().find(|stored| stored.name == state.name);
        stored.is_some_and(|stored| stored.versions.iter().any(|&version| version != state.version))
    })
}

fn overlap(one: &Range<u16>, other: &Range<u16>) -> bool {
    one.start < other.end && other.start < one.end
}

/// A row of a savepoint; one of a state that its manifest does not name is as one of a state that is not declared.
fn owned_row(row: &savepoint::Row<'_>, states: &[StateEntry]) -> OwnedRow {
    let named = states.iter().find(|entry| entry.name == row.state);
    OwnedRow {
        state: match row.kind {
            RowKind::Timers => TIMERS,
            RowKind::ProcessingTimers => PROCESSING_TIMERS,
            RowKind::State(_) => StateId(named.map_or(PROCESSING_TIMERS.0 - 1, |entry| entry.id)),
        },
        key: row.key.to_vec(),
        namespace: row.namespace.to_vec(),
        user_key: row.user_key.to_vec(),
        version: row.version,
        // So that reading it can set one, where it has not been written again.
        expiry: row.expiry_ms.or_else(|| named.and_then(|entry| clock_of(&entry.clock)).map(|_| i64::MAX)),
        payload: row.value.to_vec(),
    }
}

/// The states of a manifest, as the state crate has them.
fn table(entries: &[StateEntry]) -> StateTable {
    let states = entries.iter().map(|entry| StoredState {
        id: StateId(entry.id),
        name: entry.name.clone(),
        kind: entry.kind,
        format: entry.format.clone(),
        schema: entry.schema.clone(),
        clock: clock_of(&entry.clock),
        versions: entry.versions.iter().copied().collect(),
    });
    StateTable { states: states.collect() }
}

/// The names of clocks in manifests.
const CLOCKS: [(TtlClock, &str); 2] = [(TtlClock::Event, "event"), (TtlClock::Processing, "processing")];

/// In the place of a clock: entries live for ever.
const NO_CLOCK: &str = "none";

/// The states of a table, as manifests have them.
pub(super) fn entries(table: &StateTable, declared: &[StateDecl]) -> Vec<StateEntry> {
    let entries = table.states.iter().map(|state| {
        let decl = declared.iter().find(|decl| decl.name == state.name);
        StateEntry {
            id: state.id.0,
            name: state.name.clone(),
            kind: state.kind,
            format: state.format.clone(),
            schema: state.schema.clone(),
            // One that is not declared any more was last written under the newest version that is there.
            version: decl.map_or_else(|| state.versions.last().copied().unwrap_or(0), |decl| decl.version),
            clock: clock_name(state.clock).to_owned(),
            versions: state.versions.iter().copied().collect(),
        }
    });
    entries.collect()
}

fn clock_of(name: &str) -> Option<TtlClock> {
    CLOCKS.iter().find(|(_, known)| *known == name).map(|&(clock, _)| clock)
}

fn clock_name(clock: Option<TtlClock>) -> &'static str {
    CLOCKS.iter().find(|(known, _)| Some(*known) == clock).map_or(NO_CLOCK, |&(_, name)| name)
}

fn failed(place: &TaskPlace<'_>, source: StateError) -> EngineError {
    EngineError::Snapshot { operator: place.operator.clone(), source }
}

fn make_empty(folder: &Path) -> Result<(), StateError> {
    remove_folder(folder)?;
    let failed = |source| StateError::Io { action: "create the folder", path: folder.to_owned(), source };
    fs::create_dir_all(folder).map_err(failed)
}

fn remove_folder(folder: &Path) -> Result<(), StateError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(source) => Err(StateError::Io { action: "empty the folder", path: folder.to_owned(), source }),
        Ok(()) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::{entries, table};
    use std::collections::BTreeSet;
    use tidewheel_state::{StateId, StateTable, StoredState, TtlClock};
    use tidewheel_types::description::StateKind;

    #[test]
    fn a_manifest_gives_back_the_states_it_was_given() {
        let clocks = [None, Some(TtlClock::Event), Some(TtlClock::Processing)];
        let states = clocks.into_iter().zip(0..).map(|(clock, id)| StoredState {
            id: StateId(id),
            name: format!("state-{id}"),
            kind: StateKind::Map,
            format: "raw".to_owned(),
            schema: "u64".to_owned(),
            clock,
            versions: BTreeSet::from([1, 3]),
        });
        let states = StateTable { states: states.collect() };
        assert_eq!(table(&entries(&states, &[])), states);
    }
}
