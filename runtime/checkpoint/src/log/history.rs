//! Reading the log: the newest checkpoint, and those before it.

use super::{Attempt, Log, Restore};
use crate::error::CheckpointError;
use crate::file_name;
use crate::manifest::Manifest;
use crate::slot::{self, Content};
use std::collections::HashMap;
use std::path::Path;

/// A checkpoint that is in the log.
#[derive(Debug)]
pub struct CheckpointEntry {
    /// The slot of its manifest.
    pub slot: u64,
    /// Its manifest, or why it cannot be read.
    pub manifest: Result<Manifest, CheckpointError>,
}

impl Manifest {
    /// Size of all files it needs: the state.
    pub fn state_bytes(&self) -> u64 {
        self.files().map(|file| file.bytes).sum()
    }
}

impl Log {
    /// The newest checkpoint, which a new attempt would start from. Begins nothing.
    ///
    /// # Errors
    /// If its manifest cannot be read, or the store refuses.
    pub fn newest(&self) -> Result<Option<Restore>, CheckpointError> {
        self.newest_of(&slot::list(&self.store)?)
    }

    pub(super) fn newest_of(&self, slots: &[u64]) -> Result<Option<Restore>, CheckpointError> {
        let Some(entry) = self.history(slots, 1)?.pop() else { return Ok(None) };
        Ok(Some(Restore { slot: entry.slot, manifest: entry.manifest? }))
    }

    /// The savepoint that the newest attempt started from, if that is the newest slot.
    pub(super) fn savepoint_of(&self, slots: &[u64]) -> Result<Option<String>, CheckpointError> {
        let Some(&newest) = slots.last() else { return Ok(None) };
        match slot::read(&self.store, newest)?.content {
            Content::Attempt { savepoint, .. } => Ok(savepoint),
            Content::Checkpoint(_) | Content::Swap(_) => Ok(None),
        }
    }

    /// The attempt of this number, which another process has begun.
    ///
    /// # Errors
    /// If there is none, if what it starts from cannot be read, or if the store refuses.
    pub fn attempt(&self, number: u64) -> Result<Attempt, CheckpointError> {
        let slots = slot::list(&self.store)?;
        for (place, slot) in slots.iter().copied().enumerate().rev() {
            // One that has been removed since is of a checkpoint.
            let content = match slot::read(&self.store, slot) {
                Err(CheckpointError::Missing { .. }) => continue,
                read => read?.content,
            };
            if let Content::Attempt { number: found, from, savepoint, lineage: Some(lineage) } = content
                && found == number
            {
                let restore = from.map(|slot| Ok(Restore { slot, manifest: self.load(slot)? })).transpose()?;
                let went_back = self.went_back(restore.as_ref(), &slots[..place])?;
                return Ok(Attempt { number, slot, restore, savepoint, lineage, went_back });
            }
        }
        Err(CheckpointError::Missing { file: format!("attempt {number} in {}", self.store) })
    }

    /// Whether there is a checkpoint, or what is left of one, after that which an attempt restores that begins after
    /// `slots`.
    pub(super) fn went_back(&self, restore: Option<&Restore>, slots: &[u64]) -> Result<bool, CheckpointError> {
        let Some(restore) = restore else { return Ok(false) };
        for later in slots.iter().filter(|later| **later > restore.slot) {
            match slot::read(&self.store, *later).map(|file| file.content) {
                Ok(Content::Attempt { .. } | Content::Swap(_)) => {}
                Err(error) if error.is_retryable() => return Err(error),
                Ok(Content::Checkpoint(_)) | Err(_) => return Ok(true),
            }
        }
        Ok(false)
    }

    /// The newest checkpoint before `slot` that can be restored: all its files are there, and are what was written. They
    /// are fetched into `scratch` for that, one after the other.
    ///
    /// # Errors
    /// If the store or the disk refuses.
    pub fn newest_whole_before(&self, slot: u64, scratch: &Path) -> Result<Option<Restore>, CheckpointError> {
        for entry in self.checkpoints()?.into_iter().filter(|entry| entry.slot < slot) {
            let whole = entry.manifest.and_then(|manifest| {
                let fetched = scratch.join("file");
                for file in manifest.files() {
                    self.store.download(file, &fetched)?;
                }
                Ok(Restore { slot: entry.slot, manifest })
            });
            match whole {
                Ok(restore) => return Ok(Some(restore)),
                Err(error) if error.is_lost() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// The manifest in a slot.
    ///
    /// # Errors
    /// If there is none, or it cannot be read.
    pub fn load(&self, slot: u64) -> Result<Manifest, CheckpointError> {
        match slot::read(&self.store, slot)?.content {
            Content::Checkpoint(manifest) => Ok(*manifest),
            _ => Err(CheckpointError::Missing { file: format!("a checkpoint in slot {slot} of {}", self.store) }),
        }
    }

    /// The checkpoints that are kept, newest first; those that an attempt has gone back behind are not among them.
    ///
    /// # Errors
    /// If the store refuses. A manifest that cannot be read is an entry with an error.
    pub fn checkpoints(&self) -> Result<Vec<CheckpointEntry>, CheckpointError> {
        self.history(&slot::list(&self.store)?, usize::MAX)
    }

    /// The newest checkpoints, newest first: an attempt's are followed by those that it started from.
    fn history(&self, slots: &[u64], count: usize) -> Result<Vec<CheckpointEntry>, CheckpointError> {
        let mut found = Vec::new();
        let mut slots = slots.iter().rev().copied().peekable();
        while let Some(slot) = slots.next_if(|_| found.len() < count) {
            match slot::read(&self.store, slot).map(|file| file.content) {
                Ok(Content::Checkpoint(manifest)) => found.push(CheckpointEntry { slot, manifest: Ok(*manifest) }),
                Ok(Content::Attempt { from, .. }) => {
                    while slots.next_if(|older| from.is_none_or(|from| *older > from)).is_some() {}
                    let missing = from.filter(|from| slots.peek() != Some(from) && found.is_empty());
                    if let Some(from) = missing {
                        let manifest = Err(CheckpointError::Missing { file: self.store.name_of(&slot::name(from)) });
                        found.push(CheckpointEntry { slot: from, manifest });
                    }
                }
                Ok(Content::Swap(_)) => {}
                Err(error @ CheckpointError::Store { .. }) => return Err(error),
                // The job runs, and has removed it since.
                Err(CheckpointError::Missing { .. }) if !found.is_empty() => {}
                Err(error) => found.push(CheckpointEntry { slot, manifest: Err(error) }),
            }
        }
        Ok(found)
    }

    /// Looks whether all files that a checkpoint needs are there, with their sizes. Their content is checked when they
    /// are fetched.
    ///
    /// # Errors
    /// [`CheckpointError::Checkpoint`] with the first file that is missing or damaged, or if the store refuses.
    pub fn verify(&self, restore: &Restore) -> Result<(), CheckpointError> {
        let listed = self.store.list(file_name::FOLDER)?;
        let sizes: HashMap<&str, u64> = listed.iter().map(|file| (file.name.as_str(), file.bytes)).collect();
        for file in restore.manifest.files() {
            let checked = match sizes.get(file.name.as_str()) {
                Some(bytes) => self.store.check_bytes(file, *bytes),
                None => self.store.check_size(file),
            };
            checked.map_err(|source| self.unusable(restore, source))?;
        }
        Ok(())
    }

    /// An error with a file of a checkpoint, with the checkpoint's name.
    pub fn unusable(&self, restore: &Restore, source: CheckpointError) -> CheckpointError {
        CheckpointError::Checkpoint {
            checkpoint: restore.manifest.checkpoint,
            slot: restore.slot,
            store: self.store.to_string(),
            source: Box::new(source),
        }
    }
}
