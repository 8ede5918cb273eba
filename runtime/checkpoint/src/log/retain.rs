//! Removing what no kept checkpoint needs.

use super::Log;
use crate::error::CheckpointError;
use crate::file_name::{self, FileName};
use crate::slot::{self, Content};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// After so many calls the store's files are listed again, to find those of checkpoints that failed.
const CALLS_PER_SWEEP: u64 = 64;

/// What is known of the slots that are there.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// The files of each manifest, by slot.
    manifests: BTreeMap<u64, BTreeSet<String>>,
    /// Whether the slots that were there when the attempt began are among them.
    is_complete: bool,
    calls: u64,
}

impl Kept {
    /// Takes note of a slot that is there.
    pub(super) fn note(&mut self, slot: u64, content: &Content) {
        if let Content::Checkpoint(manifest) = content {
            self.manifests.insert(slot, manifest.files().map(|file| file.name.clone()).collect());
        }
    }
}

impl Log {
    /// Removes the manifests before the newest `keep`, and the files that only they needed; now and then also files of
    /// earlier attempts, and of checkpoints of this one that failed, that nothing needs. Does nothing before this attempt
    /// has published. `in_use` names files that must stay in any case, as those a savepoint is being made of.
    ///
    /// Of this attempt only files that are older than the oldest kept manifest are removed, so those of a checkpoint
    /// under way stay.
    ///
    /// # Errors
    /// [`CheckpointError::Replaced`] if a later attempt has begun; nothing has been removed then. Or if the store refuses;
    /// what stays then is found by a later call.
    ///
    /// # Panics
    /// If no attempt has begun.
    pub fn retain(&mut self, keep: usize, in_use: &BTreeSet<String>) -> Result<(), CheckpointError> {
        let attempt = self.own().attempt;
        if self.own().kept.manifests.is_empty() {
            return Ok(());
        }
        self.complete()?;
        let kept = &mut self.own().kept;
        let is_sweep = kept.calls.is_multiple_of(CALLS_PER_SWEEP);
        kept.calls += 1;
        let oldest = *kept.manifests.keys().rev().take(keep.max(1)).next_back().expect("there is a manifest");
        let dropped: Vec<u64> = kept.manifests.range(..oldest).map(|(slot, _)| *slot).collect();
        if dropped.is_empty() && !is_sweep {
            return Ok(());
        }
        let needed: HashSet<String> = kept.manifests.range(oldest..).flat_map(|(_, files)| files).cloned().collect();
        let mut files: BTreeSet<String> =
            kept.manifests.range(..oldest).flat_map(|(_, files)| files).cloned().collect();
        let oldest_files = kept.manifests[&oldest].clone();
        if is_sweep {
            files.extend(self.orphans(attempt, &oldest_files)?);
        }
        let files: Vec<String> =
            files.into_iter().filter(|name| !needed.contains(name) && !in_use.contains(name)).collect();
        // What has been chosen by now lies before slots that are there; see the argument in `log.rs`.
        self.check_not_replaced(attempt)?;
        // A manifest without its files would look like a checkpoint; files without a manifest are found again.
        self.store.remove(&dropped.iter().map(|slot| slot::name(*slot)).collect::<Vec<_>>())?;
        self.store.remove(&files)?;
        let kept = &mut self.own().kept;
        // Files in use stay noted, so that a later call removes them.
        for slot in dropped {
            let files = kept.manifests.remove(&slot).unwrap_or_default();
            let used: BTreeSet<String> =
                files.into_iter().filter(|name| in_use.contains(name) && !needed.contains(name)).collect();
            if !used.is_empty() {
                kept.manifests.insert(slot, used);
            }
        }
        Ok(())
    }

    /// Takes note of the manifests of earlier attempts.
    fn complete(&mut self) -> Result<(), CheckpointError> {
        if self.own().kept.is_complete {
            return Ok(());
        }
        for slot in slot::list(&self.store)? {
            if self.own().kept.manifests.contains_key(&slot) {
                continue;
            }
            match slot::read(&self.store, slot) {
                Ok(file) => self.own().kept.note(slot, &file.content),
                Err(error @ CheckpointError::Store { .. }) => return Err(error),
                // It stays: somebody may want to see what it was.
                Err(error) => tracing::warn!("a slot of the log cannot be read and is left alone: {error}"),
            }
        }
        self.own().kept.is_complete = true;
        Ok(())
    }

    /// Files that no manifest to come can need: those of earlier attempts, and those of this one that are older than the
    /// newest of the same worker in the oldest kept manifest. Every manifest names all files of its state, so what is
    /// older and not named by the kept ones was given up, or belongs to a checkpoint that failed.
    fn orphans(&self, attempt: u64, oldest: &BTreeSet<String>) -> Result<Vec<String>, CheckpointError> {
        let mut newest: HashMap<u32, u64> = HashMap::new();
        for file in oldest.iter().filter_map(|name| name.parse::<FileName>().ok()) {
            if file.attempt == attempt {
                let number = newest.entry(file.worker).or_default();
                *number = file.number.max(*number);
            }
        }
        let is_old = |file: &FileName| {
            file.attempt < attempt
                || file.attempt == attempt && newest.get(&file.worker).is_some_and(|newest| file.number < *newest)
        };
        let listed = self.store.list(file_name::FOLDER)?;
        let old = listed.into_iter().filter(|file| file.name.parse().as_ref().is_ok_and(is_old));
        Ok(old.map(|file| file.name).collect())
    }
}
