//! An operator on several tasks, with checkpoints and restarts, beside its model.

use super::model::{CLOCKS, Change, Clock, Declared, LIST, MAP, Model, Owner, RIDING, STATES, VALUES};
use proptest::prelude::{TestCaseError, prop_assert, prop_assert_eq};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use tidewheel_state::{
    BackendKind, DueTimers, OpenedState, PROCESSING_TIMERS, ReadRows, Restore, RestoredTask, StateError, StateSettings,
    StateTable, TIMERS, TimerChange, Timers, TtlClock, open, read_rows,
};
use tidewheel_types::key_group::KeyGroups;
use tidewheel_types::keyed_state::{Cells, Entries, Scan, StateIndex, Write};

/// What a job is made of.
pub(crate) struct Plan {
    pub(crate) states: [Declared; STATES],
    /// Number of key groups.
    pub(crate) groups: u16,
}

pub(crate) struct Job {
    backend: BackendKind,
    plan: Plan,
    folder: TempDir,
    tasks: Vec<OpenedState>,
    /// Number of starts; also the schema version of all states.
    attempt: u32,
    checkpoints: u64,
    model: Model,
    saved: Saved,
}

/// The last checkpoint.
struct Saved {
    restore: Restore,
    model: Model,
}

impl Job {
    pub(crate) fn start(backend: BackendKind, plan: Plan) -> Self {
        let model = Model::new(&plan.states);
        let saved = Saved { restore: Restore::default(), model: model.clone() };
        let folder = TempDir::new().unwrap();
        fs::create_dir(folder.path().join("store")).unwrap();
        let mut job = Job { backend, plan, folder, tasks: Vec::new(), attempt: 0, checkpoints: 0, model, saved };
        job.restart(1);
        job
    }

    /// Goes on from the last checkpoint, with so many tasks.
    pub(crate) fn restart(&mut self, tasks: usize) {
        self.attempt += 1;
        self.tasks.clear();
        let groups = KeyGroups::new(self.plan.groups, tasks);
        for task in 0..tasks {
            let settings = StateSettings {
                declared: self.order().map(|state| self.plan.states[state].decl(state, self.attempt)).to_vec(),
                backend: self.backend.clone(),
                folder: self.folder.path().join(format!("task-{task}")),
                key_groups: groups.range_of(task),
                max_parallelism: self.plan.groups,
                tracks_changes: true,
            };
            let restore = (!self.saved.restore.tasks.is_empty()).then(|| self.saved.restore.clone());
            self.tasks.push(open(settings, restore).unwrap());
        }
        self.model = self.saved.model.clone();
        self.advance(0, 0);
    }

    /// The states in the order in which they are declared now; at every other start those that do not ride are turned
    /// round.
    fn order(&self) -> [usize; STATES] {
        if self.attempt.is_multiple_of(2) { [0, 1, 4, 3, 2] } else { [0, 1, 2, 3, 4] }
    }

    fn index(&self, state: usize) -> StateIndex {
        StateIndex(self.order().iter().position(|&s| s == state).unwrap() as u32)
    }

    fn range(&self, task: usize) -> Range<u16> {
        KeyGroups::new(self.plan.groups, self.tasks.len()).range_of(task)
    }

    fn task_of(&self, owner: &Owner) -> usize {
        KeyGroups::new(self.plan.groups, self.tasks.len()).worker_of_hash(owner.state_key().hash)
    }

    /// Lets the clocks go on. The first time is after the start of time, and before the first watermark.
    pub(crate) fn advance(&mut self, now_ms: i64, watermark_ms: i64) {
        let show = |clock| self.model.time.on(clock);
        let (now, watermark) = (show(TtlClock::Processing).max(100) + now_ms, show(TtlClock::Event));
        let watermark = if watermark_ms == 0 { watermark } else { watermark.max(100) + watermark_ms };
        self.model.set_time(now, watermark);
        self.tasks.iter_mut().for_each(|task| task.backend.set_time(now, watermark));
    }

    /// Handles a batch: reads the riding cells of all keys, then writes.
    pub(crate) fn write(&mut self, batch: &[(&Owner, &Change)]) {
        let riding = [self.index(0), self.index(1)];
        for task in 0..self.tasks.len() {
            let mine: Vec<_> = batch.iter().filter(|(owner, _)| self.task_of(owner) == task).collect();
            let owners: BTreeSet<&Owner> = mine.iter().map(|(owner, _)| *owner).collect();
            for owner in &owners {
                (0..RIDING).for_each(|state| drop(self.model.read(state, owner, &[])));
            }
            let place = |owner: &Owner| owners.iter().position(|known| *known == owner).unwrap();
            let indices: Vec<_> = mine.iter().map(|(_, change)| self.index(change.state())).collect();
            let backend = &mut self.tasks[task].backend;
            let mut keys = owners.iter().map(|owner| owner.state_key());
            backend.get_riding(&mut keys, RIDING as u32, &mut Cells::default()).unwrap();
            let rides = |change: &Change| change.state() < RIDING;
            let mut writes = mine
                .iter()
                .filter(|(_, change)| rides(change))
                .map(|(owner, change)| (place(owner), owner.state_key(), riding[change.state()], change.write()));
            backend.write_riding(&mut writes).unwrap();
            for ((owner, change), &index) in mine.iter().zip(&indices) {
                if !rides(change) {
                    let write = match change {
                        // Whoever knows that there is none may say so.
                        Change::PutEntry(entry, value) if !self.model.has_entry(owner, entry) => {
                            Write::InsertEntry(entry, value)
                        }
                        _ => change.write(),
                    };
                    backend.write(&mut std::iter::once((index, owner.state_key(), write))).unwrap();
                }
                self.model.apply(owner, change, self.attempt);
            }
        }
    }

    pub(crate) fn change_timers(&mut self, clock: Clock, changes: &[(&Owner, TimerChange)]) {
        for &(owner, change) in changes {
            let task = self.task_of(owner);
            timers(&mut self.tasks[task], clock).change(&mut [(owner.state_key(), change)].into_iter());
            self.model.change_timer(clock, owner, change);
        }
    }

    /// Fires all timers of a clock up to a time.
    pub(crate) fn fire(&mut self, clock: Clock, up_to: i64) -> Result<(), TestCaseError> {
        let mut fired = BTreeSet::new();
        for task in &mut self.tasks {
            let mut due = DueTimers::default();
            loop {
                timers(task, clock).due_round(up_to, 3, &mut due);
                if due.is_empty() {
                    break;
                }
                fired.extend((0..due.len()).map(|timer| {
                    let key = due.key(timer);
                    let owner = Owner { key: key.key.to_vec(), namespace: key.namespace.to_vec() };
                    (owner, due.slots[timer], due.times[timer])
                }));
            }
        }
        let set = &mut self.model.timers[clock];
        let expected: BTreeSet<_> = set.extract_if(.., |(_, _, time)| *time <= up_to).collect();
        prop_assert_eq!(fired, expected);
        Ok(())
    }

    /// Reads everything in every way.
    pub(crate) fn read(&mut self, owners: &[Owner]) -> Result<(), TestCaseError> {
        for owner in owners {
            let task = self.task_of(owner);
            let key = || [owner.state_key()].into_iter();
            let mut cells = Cells::default();
            self.tasks[task].backend.get_riding(&mut key(), RIDING as u32, &mut cells).unwrap();
            for state in 0..VALUES {
                let index = self.index(state);
                self.tasks[task].backend.get_many(index, &mut key(), &mut cells).unwrap();
            }
            // What is only looked at does not live longer: the model knows nothing of it.
            for state in RIDING..VALUES {
                let (index, mut cells) = (self.index(state), Cells { peeks: true, ..Cells::default() });
                self.tasks[task].backend.get_many(index, &mut key(), &mut cells).unwrap();
            }
            for state in [LIST, MAP] {
                let (index, peek) = (self.index(state), Scan { peeks: true, ..Scan::ALL });
                self.tasks[task].backend.scan(index, owner.state_key(), peek, &mut Entries::default()).unwrap();
            }
            let entry = [1];
            let map = self.index(MAP);
            self.tasks[task].backend.map_get_many(map, &mut key().map(|key| (key, &entry[..])), &mut cells).unwrap();
            let read = [0, 1, 0, 1, 2].map(|state| self.model.read(state, owner, &[]));
            let expected: Vec<_> = read.into_iter().chain([self.model.read(MAP, owner, &entry)]).collect();
            let found: Vec<_> = (0..cells.len()).map(|cell| cells.get(cell).map(<[u8]>::to_vec)).collect();
            prop_assert_eq!(found, expected, "{:?}", owner);
            for (state, backwards, limit) in [(LIST, false, 2), (LIST, true, 9), (MAP, true, 2), (MAP, false, 9)] {
                self.scan(owner, state, backwards, limit, false)?;
                self.scan(owner, state, backwards, limit, true)?;
            }
        }
        Ok(())
    }

    /// Reads a list or map from its beginning or, if it is `within`, all but its first and last entry.
    fn scan(
        &mut self,
        owner: &Owner,
        state: usize,
        backwards: bool,
        limit: usize,
        within: bool,
    ) -> Result<(), TestCaseError> {
        let (task, index) = (self.task_of(owner), self.index(state));
        let mut all = self.model.of(state, owner);
        if backwards {
            all.reverse();
        }
        let mut bounds = None;
        if within {
            let [_, between @ .., _] = &all[..] else { return Ok(()) };
            let [(first, _), .., (last, _)] = between else { return Ok(()) };
            bounds = Some((first.clone(), last.clone()));
            all = between.to_vec();
        }
        let more = all.len() > limit;
        all.truncate(limit);
        all.iter().for_each(|(place, _)| drop(self.model.read(state, owner, place)));
        let mut entries = Entries::default();
        let whole = Scan { backwards, limit, ..Scan::ALL };
        let scan = match &bounds {
            None => whole,
            Some((first, last)) => Scan { start: first, until: Some(last), ..whole },
        };
        self.tasks[task].backend.scan(index, owner.state_key(), scan, &mut entries).unwrap();
        let found = entries.keys.iter().zip(entries.values.iter());
        let found: Vec<_> = found.map(|(key, value)| (key.to_vec(), value.to_vec())).collect();
        prop_assert_eq!((found, entries.more), (all, more), "state {} of {:?}", state, owner);
        Ok(())
    }

    /// Takes a checkpoint: the files go to the store.
    pub(crate) fn checkpoint(&mut self) -> Result<(), TestCaseError> {
        self.checkpoints += 1;
        let mut restore = Restore::default();
        for number in 0..self.tasks.len() {
            let key_groups = self.range(number);
            let task = &mut self.tasks[number];
            let delta = task.backend.freeze([&mut task.timers, &mut task.processing_timers]).unwrap();
            let files = task.writer.write(delta, self.checkpoints).unwrap();
            prop_assert!(files.len() < 12, "{} files", files.len());
            let mut stored = Vec::new();
            for file in &files {
                let content = fs::read(&file.path).unwrap();
                prop_assert_eq!((file.bytes, file.crc32c), (content.len() as u64, crc32c::crc32c(&content)));
                // A file that was restored keeps its name.
                let is_stored = file.name.starts_with("stored-");
                let prefix = format!("stored-{}-{number}-", self.attempt);
                let name = if is_stored { file.name.clone() } else { format!("{prefix}{}", file.name) };
                let path = self.folder.path().join("store").join(name);
                if path.exists() {
                    prop_assert_eq!(&fs::read(&path).unwrap(), &content, "a file of a name never changes");
                }
                fs::write(&path, content).unwrap();
                stored.push(path);
            }
            restore.tasks.push(RestoredTask { key_groups, files: stored });
            restore.table.merge(&task.writer.state_table());
        }
        self.saved = Saved { restore, model: self.model.clone() };
        Ok(())
    }

    /// The rows in the files of the last checkpoint are what the model had then.
    pub(crate) fn read_files(&self) -> Result<(), TestCaseError> {
        let Saved { restore, model } = &self.saved;
        let mut rows = BTreeMap::new();
        let mut timers = [0; CLOCKS];
        for task in &restore.tasks {
            let read = read(&self.folder.path().join("scratch"), task, &restore.table, self.plan.groups, model);
            let mut last = None;
            for (encoded, row) in read.unwrap() {
                prop_assert!(last < Some(encoded.clone()), "in the order of keys");
                last = Some(encoded);
                match row.0 {
                    Kind::Timers(clock) => timers[clock] += 1,
                    Kind::State(state) => drop(rows.insert((state, row.1, row.2), (row.3, row.4, row.5))),
                }
            }
        }
        let expected: BTreeMap<_, _> = model
            .entries
            .iter()
            .map(|(place, entry)| (place.clone(), (entry.version, entry.expiry, entry.value.clone())))
            .collect();
        for ((state, ..), (version, ..)) in &expected {
            let stored = restore.table.by_name(&format!("state-{state}")).unwrap();
            prop_assert!(stored.versions.contains(version), "{:?} of {:?}", version, stored);
        }
        prop_assert_eq!(rows, expected);
        let owners =
            model.timers.each_ref().map(|set| set.iter().map(|(owner, ..)| owner).collect::<BTreeSet<_>>().len());
        prop_assert_eq!(timers, owners);
        Ok(())
    }
}

/// The timers of a clock.
fn timers(task: &mut OpenedState, clock: Clock) -> &mut Timers {
    [&mut task.timers, &mut task.processing_timers].into_iter().nth(clock).unwrap()
}

/// What a row is of.
enum Kind {
    State(usize),
    Timers(Clock),
}

/// A row: what it is of, owner, place within, version, expiry, value.
type RowOf = (Kind, Owner, Vec<u8>, u32, Option<i64>, Vec<u8>);

fn read(
    scratch: &Path,
    task: &RestoredTask,
    table: &StateTable,
    max_parallelism: u16,
    model: &Model,
) -> Result<Vec<(Vec<u8>, RowOf)>, StateError> {
    let files: Vec<&Path> = task.files.iter().map(PathBuf::as_path).collect();
    let key_groups = task.key_groups.clone();
    let read = ReadRows { files: &files, key_groups, max_parallelism, table, time: model.time, scratch };
    let mut rows = Vec::new();
    read_rows::<StateError>(&read, &mut |row| {
        let mut encoded = Vec::new();
        row.key.encode(&mut encoded);
        let kind = match row.key.state {
            TIMERS => Kind::Timers(0),
            PROCESSING_TIMERS => Kind::Timers(1),
            id => Kind::State(table.by_id(id).unwrap().name.strip_prefix("state-").unwrap().parse().unwrap()),
        };
        let owner = Owner { key: row.key.key.to_vec(), namespace: row.key.namespace.to_vec() };
        rows.push((encoded, (kind, owner, row.key.user_key.to_vec(), row.version, row.expiry, row.payload.to_vec())));
        Ok(())
    })?;
    Ok(rows)
}
