//! From the state files of a snapshot to the chain that a task goes on from.
//!
//! A task that owns what one task of the snapshot owned goes on from that task's files. Otherwise, after a rescale, it
//! writes what is its own to a new file: it would carry the entries of others along, in its folder and in every snapshot,
//! until all files are merged. So it does where a state follows another clock than before: its entries lose their expiry.

use crate::backend::{Restore, RestoredTask, StateSettings};
use crate::error::StateError;
use crate::key_codec::EntryKey;
use crate::snapshot::LocalFile;
use crate::state_file::{self, Layout};
use crate::state_table::StateTable;
use crate::value_codec::ValueHead;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use tidewheel_types::key_group::{KeyGroups, hash_key};

/// The folders of a task.
pub(crate) struct Folders {
    /// The files of its snapshots.
    pub(crate) files: PathBuf,
    /// For files that are being merged.
    pub(crate) scratch: PathBuf,
}

impl Folders {
    /// Where they are.
    pub(crate) fn of(folder: &Path) -> Self {
        Folders { files: folder.join("files"), scratch: folder.join("scratch") }
    }

    /// Makes them, empty.
    pub(crate) fn new(folder: &Path) -> Result<Self, StateError> {
        state_file::empty_folder(folder)?;
        let folders = Folders::of(folder);
        fs::create_dir(&folders.files).map_err(StateError::io("create the folder", &folders.files))?;
        Ok(folders)
    }
}

/// The chain of the key groups of `settings`, oldest first, and the states in it.
pub(crate) fn chain(
    settings: &StateSettings,
    folders: &Folders,
    restore: Restore,
) -> Result<(Vec<LocalFile>, StateTable), StateError> {
    let Restore { mut tasks, table, time } = restore;
    if tasks.is_empty() {
        return Ok((Vec::new(), table));
    }
    let for_ever = table.of_other_clocks(&settings.declared)?;
    let own = &settings.key_groups;
    tasks.retain(|task| !common(&task.key_groups, own).is_empty());
    tasks.sort_by_key(|task| task.key_groups.start);
    check_owners(own, &tasks)?;
    if let [task] = &tasks[..]
        && task.key_groups == *own
        && for_ever.is_empty()
    {
        let chain = task.files.iter().map(|file| adopt(file, folders)).collect::<Result<_, _>>()?;
        return Ok((chain, table));
    }
    let base = state_file::write(&folders.files, "base.sst".to_owned(), Layout::Parts, |base| {
        tasks.iter().try_for_each(|task| {
            let files: Vec<&Path> = task.files.iter().map(PathBuf::as_path).collect();
            let (own, groups) = (common(&task.key_groups, own), settings.max_parallelism);
            entries(
                &files,
                &own,
                groups,
                &folders.scratch,
                &mut |CheckedEntry { key, encoded, stored, head, payload }| {
                    if table.is_expired(key.state, head.expiry, time) {
                        return Ok(());
                    }
                    if head.expiry.is_none() || !for_ever.contains(&key.state) {
                        return base.add(encoded, stored);
                    }
                    let head = ValueHead { expiry: None, ..head }.encode();
                    base.add(encoded, &[head.as_slice(), payload].concat())
                },
            )
        })
    })?;
    Ok((base.into_iter().collect(), table))
}

/// Goes on from a file of the snapshot.
fn adopt(file: &Path, folders: &Folders) -> Result<LocalFile, StateError> {
    let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let path = folders.files.join(&name);
    state_file::link(file, &path)?;
    let (bytes, crc32c) = state_file::checksum(&path)?;
    Ok(LocalFile { path, name, bytes, crc32c })
}

/// Whether every key group has an owner, and one only.
fn check_owners(own: &Range<u16>, tasks: &[RestoredTask]) -> Result<(), StateError> {
    let mut next = own.start;
    for (place, task) in tasks.iter().enumerate() {
        if place > 0 && task.key_groups.start < next {
            return Err(StateError::TwoOwners { key_group: task.key_groups.start });
        }
        if task.key_groups.start > next {
            break;
        }
        next = task.key_groups.end;
    }
    if next < own.end { Err(StateError::MissingKeyGroup { key_group: next }) } else { Ok(()) }
}

fn common(left: &Range<u16>, right: &Range<u16>) -> Range<u16> {
    left.start.max(right.start)..left.end.min(right.end)
}

/// An entry of a state file, checked: its key, also as it is encoded, the whole stored value, its head and payload.
pub(crate) struct CheckedEntry<'a> {
    pub(crate) key: EntryKey<'a>,
    pub(crate) encoded: &'a [u8],
    pub(crate) stored: &'a [u8],
    pub(crate) head: ValueHead,
    pub(crate) payload: &'a [u8],
}

/// Hands out the live and the expired entries of the files, merged, in the order of their keys.
pub(crate) fn entries<E: From<StateError>>(
    files: &[&Path],
    key_groups: &Range<u16>,
    max_parallelism: u16,
    scratch: &Path,
    each: &mut dyn FnMut(CheckedEntry<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let groups = KeyGroups::new(max_parallelism, 1);
    state_file::merged(files, key_groups, scratch, &mut |encoded, stored| {
        if stored.is_empty() {
            return Ok(());
        }
        let damaged = |what: &str| StateError::DamagedEntry { what: what.to_owned() };
        let key = EntryKey::decode(encoded).ok_or_else(|| damaged("it holds a key that is none"))?;
        if key.key_group != groups.group_of_hash(hash_key(key.key)) {
            return Err(damaged("it holds a key in another key group than its own").into());
        }
        let (head, payload) = ValueHead::decode(stored).ok_or_else(|| damaged("it holds a value that is none"))?;
        each(CheckedEntry { key, encoded, stored, head, payload })
    })
}
