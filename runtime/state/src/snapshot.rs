//! Writing snapshots: each is a chain of state files, of which the newest one holds what has changed.

use crate::backend::StateSettings;
use crate::delta::{Delta, EntryList};
use crate::error::StateError;
use crate::state_file;
use crate::state_table::StateTable;
use std::path::PathBuf;

/// Writes the snapshots of one task, on a thread of its own.
pub struct SnapshotWriter {
    folder: PathBuf,
    max_parallelism: u16,
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
    /// Number of entries, tombstones included.
    pub entries: u64,
}

impl SnapshotWriter {
    pub(crate) fn new(settings: &StateSettings, table: StateTable) -> Result<Self, StateError> {
        let folder = settings.folder.join("files");
        std::fs::create_dir_all(&folder).map_err(StateError::io("create the folder", &folder))?;
        let max_parallelism = settings.max_parallelism;
        Ok(SnapshotWriter { folder, max_parallelism, table, chain: Vec::new(), written: 0 })
    }

    /// Writes a delta to a file of its own, and merges files if there have come to be many. Returns the whole chain,
    /// oldest first; without changes it is as it was. Files that are not in it any more are deleted.
    ///
    /// # Errors
    /// If a file cannot be written or read back.
    pub fn write(&mut self, delta: Delta, checkpoint: u64) -> Result<Vec<LocalFile>, StateError> {
        let Delta { parts, written, .. } = delta;
        let mut entries = EntryList::new(self.max_parallelism);
        parts.into_iter().for_each(|part| part.add_to(&mut entries));
        let mut file = None;
        if entries.len() > 0 {
            for (&id, versions) in entries.versions() {
                if let Some(state) = self.table.by_id_mut(id) {
                    state.versions.extend(versions);
                }
            }
            let name = format!("{checkpoint}-{}.sst", self.written);
            self.written += 1;
            let new = state_file::write(&self.folder, name, |file| entries.sorted(|key, value| file.add(key, value)))?;
            self.chain.push(new);
            file = self.chain.last().map(|file| &*file.path);
        }
        if let Some(written) = written {
            written(file)?;
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
}
