//! Writing snapshots: each is a chain of state files, of which the newest one holds what has changed.

use crate::backend::{BackendKind, StateSettings};
use crate::delta::{Delta, EntryList, SpilledFile, Versions};
use crate::error::StateError;
use crate::key_codec::{EntryKey, StateId};
use crate::restore::Folders;
use crate::state_file::{self, Layout};
use crate::state_table::StateTable;
use crate::ttl::StateTime;
use crate::value_codec::{TOMBSTONE, ValueHead};
use std::collections::BTreeSet;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Writes the snapshots of one task, on a thread of its own.
pub struct SnapshotWriter {
    folders: Folders,
    key_groups: Range<u16>,
    max_parallelism: u16,
    /// Of files that are not merged from others.
    layout: Layout,
    table: StateTable,
    /// Oldest first.
    chain: Vec<LocalFile>,
    /// Number of files written, for their names.
    written: u64,
}

/// A state file in the working folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its name: that of a file it was restored from, or a new one. A file of a given name never changes.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// CRC-32C of all of it.
    pub crc32c: u32,
}

impl SnapshotWriter {
    pub(crate) fn new(settings: &StateSettings, folders: Folders, table: StateTable, chain: Vec<LocalFile>) -> Self {
        let (key_groups, max_parallelism) = (settings.key_groups.clone(), settings.max_parallelism);
        let layout = match settings.backend {
            // They are only ever read from front to back.
            BackendKind::Memory => Layout::Parts,
            BackendKind::RocksDb(_) => Layout::Whole,
        };
        SnapshotWriter { folders, key_groups, max_parallelism, layout, table, chain, written: 0 }
    }

    /// Writes a delta to a file of its own, and merges files if there have come to be many. A delta that holds everything
    /// takes the place of all files. Returns the whole chain,
    /// oldest first; without changes it is as it was. Files that are not in it any more are deleted.
    ///
    /// # Errors
    /// If a file cannot be written or read back.
    pub fn write(&mut self, delta: Delta, checkpoint: u64) -> Result<Vec<LocalFile>, StateError> {
        let Delta { parts, is_whole, time, spilled, written } = delta;
        for spilled in spilled {
            let spilled = spilled.recv().map_err(|_| StateError::WorkingStateLost {
                folder: self.folders.files.clone(),
                what: "the thread that spills changed state has panicked".to_owned(),
            })?;
            spilled?.map(|spilled| self.take(spilled, checkpoint)).transpose()?;
        }
        let table = self.table.clone();
        let mut entries = EntryList::new(self.max_parallelism, &self.key_groups, &table, time);
        parts.iter().for_each(|part| part.add_to(&mut entries));
        let mut added = None;
        if !entries.is_empty() {
            let mut versions = Versions::new();
            let name = self.next_name(checkpoint);
            added = state_file::write(&self.folders.files, name, self.layout, |file| {
                versions = entries.sorted(|key, value| match is_whole && value.is_empty() {
                    // There is nothing older that it would hide.
                    true => Ok(()),
                    false => file.add(key, value),
                })?;
                Ok::<_, StateError>(())
            })?;
            if is_whole {
                remove_files(self.chain.drain(..))?;
                self.table.states.iter_mut().for_each(|state| state.versions.clear());
            }
            versions.iter().for_each(|(&id, versions)| self.add_versions(id, versions));
        }
        if let Some(written) = written {
            written(added.as_ref().map(|file| &*file.path))?;
        }
        self.chain.extend(added);
        if let Some(first) = first_to_merge(&self.chain) {
            self.merge(first, checkpoint, time)?;
        }
        Ok(self.chain.clone())
    }

    /// The states that the snapshot written last holds.
    pub fn state_table(&self) -> StateTable {
        self.table.clone()
    }

    /// The files of the snapshot written last, or restored; oldest first.
    pub fn files(&self) -> &[LocalFile] {
        &self.chain
    }

    fn add_versions(&mut self, id: StateId, versions: &BTreeSet<u32>) {
        if let Some(state) = self.table.by_id_mut(id) {
            state.versions.extend(versions);
        }
    }

    /// Adds a file that was spilled to the chain.
    fn take(&mut self, spilled: SpilledFile, checkpoint: u64) -> Result<(), StateError> {
        let SpilledFile { file, versions } = spilled;
        let name = self.next_name(checkpoint);
        let path = self.folders.files.join(&name);
        fs::rename(&file.path, &path).map_err(StateError::io("move the state file", &file.path))?;
        versions.iter().for_each(|(&id, versions)| self.add_versions(id, versions));
        self.chain.push(LocalFile { path, name, ..file });
        Ok(())
    }

    fn next_name(&mut self, checkpoint: u64) -> String {
        loop {
            self.written += 1;
            let name = format!("{checkpoint}-{}.sst", self.written);
            // A file that was restored may be called so.
            if !self.chain.iter().any(|file| file.name == name) {
                return name;
            }
        }
    }

    /// Merges the files from `first` on into one. If they are all, what is gone is left out, and what has expired, and it
    /// is seen which versions there are.
    fn merge(&mut self, first: usize, checkpoint: u64, time: StateTime) -> Result<(), StateError> {
        let name = self.next_name(checkpoint);
        let files: Vec<&Path> = self.chain[first..].iter().map(|file| &*file.path).collect();
        let is_whole = first == 0;
        let mut versions = Versions::new();
        let table = &self.table;
        let merged = state_file::write(&self.folders.files, name, Layout::Parts, |file| {
            state_file::merged(&files, &self.key_groups, &self.folders.scratch, &mut |key, stored| {
                let (state, head) = read_entry(key, stored)?;
                let live = head.filter(|head| state.holds_timers() || !table.is_expired(state, head.expiry, time));
                if is_whole && let Some(head) = live {
                    versions.entry(state).or_default().insert(head.version);
                }
                match live {
                    Some(_) => file.add(key, stored),
                    None if is_whole => Ok(()),
                    None => file.add(key, TOMBSTONE),
                }
            })
        })?;
        let old = self.chain.split_off(first);
        self.chain.extend(merged);
        remove_files(old)?;
        if is_whole {
            for state in &mut self.table.states {
                state.versions = versions.remove(&state.id).unwrap_or_default();
            }
        }
        Ok(())
    }
}

fn remove_files(files: impl IntoIterator<Item = LocalFile>) -> Result<(), StateError> {
    files.into_iter().try_for_each(|LocalFile { path, .. }| {
        fs::remove_file(&path).map_err(StateError::io("remove the state file", &path))
    })
}

/// The state of an entry, and the head of its value; none of a tombstone.
fn read_entry(key: &[u8], stored: &[u8]) -> Result<(StateId, Option<ValueHead>), StateError> {
    let damaged = || StateError::DamagedEntry { what: "it holds an entry that is none".to_owned() };
    let state = EntryKey::decode(key).ok_or_else(damaged)?.state;
    if stored.is_empty() {
        return Ok((state, None));
    }
    ValueHead::decode(stored).map(|(head, _)| (state, Some(head))).ok_or_else(damaged)
}

/// Files that are merged at once, at least. Merging has a price of its own, however small the files are.
const MERGED_FILES_MIN: usize = 4;

/// From which file on a chain is to be merged: the oldest that is clearly smaller than all newer ones together, if they are
/// worth a merge. So their number grows with the logarithm of the state's size, and they take little more than twice what
/// the oldest takes, or are few. When each delta is all of the state, which files of about one size are, two out of three
/// come without a merge.
fn first_to_merge(chain: &[LocalFile]) -> Option<usize> {
    let mut newer = 0;
    let mut first = None;
    for (place, file) in chain.iter().enumerate().rev() {
        if file.bytes < newer / 4 * 3 && chain.len() - place >= MERGED_FILES_MIN {
            first = Some(place);
        }
        newer += file.bytes;
    }
    first
}

#[cfg(test)]
mod tests {
    use super::{LocalFile, first_to_merge};
    use std::path::PathBuf;

    #[test]
    fn chains_stay_short() {
        let file = |bytes| LocalFile { path: PathBuf::new(), name: String::new(), bytes, crc32c: 0 };
        let mut chain = vec![file(1_000_000)];
        let mut written = 0;
        for _ in 0..10_000 {
            chain.push(file(1000));
            if let Some(first) = first_to_merge(&chain) {
                // Nothing in them is older than another.
                let bytes = chain.split_off(first).iter().map(|file| file.bytes).sum();
                chain.push(file(bytes));
                written += bytes;
            }
            let bytes: u64 = chain.iter().map(|file| file.bytes).sum();
            assert!(chain.len() < 20 && bytes <= 5 * chain[0].bytes / 2, "{} files, {bytes} bytes", chain.len());
        }
        assert!(written < 10 * 10_000 * 1000, "{written} bytes written again for 10 million");
    }
}
