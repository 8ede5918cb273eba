//! Reading a savepoint.

use super::{MANIFEST, Rows, RowsFile, SavepointFile};
use crate::error::CheckpointError;
use crate::manifest::Manifest;
use crate::sealed;
use crate::store::Store;
use std::ops::Range;

/// A savepoint that is complete.
pub struct Reader {
    store: Store,
    pub(super) savepoint: SavepointFile,
}

impl Reader {
    /// Opens the savepoint in a store, and looks whether all its files are there, with their sizes.
    ///
    /// # Errors
    /// [`CheckpointError::Missing`] if there is none, or if it was never completed; others if it is not as it was
    /// written.
    pub fn open(store: &Store) -> Result<Reader, CheckpointError> {
        let file = store.name_of(MANIFEST);
        let savepoint: SavepointFile = sealed::open(&store.get(MANIFEST)?, &file)?;
        for file in savepoint.manifest.files() {
            store.check_size(file)?;
            if savepoint.rows.get(&file.name).is_none_or(|rows| rows.file != *file) {
                let what = format!("it does not say what is in {}", file.name);
                return Err(CheckpointError::damaged(store.name_of(MANIFEST), what));
            }
        }
        Ok(Reader { store: store.clone(), savepoint })
    }

    /// Positions, states, and the files of rows.
    pub fn manifest(&self) -> &Manifest {
        &self.savepoint.manifest
    }

    /// Whether event time was brought to its end before it was taken.
    pub fn is_drained(&self) -> bool {
        self.savepoint.drained
    }

    /// Number of rows of an operator.
    pub fn row_count(&self, operator: &str) -> u64 {
        self.files(operator).map(|file| file.rows).sum()
    }

    /// The rows of an operator in these key groups: task by task, each in the order in which they were written.
    pub fn rows(&self, operator: &str, key_groups: Range<u16>) -> Rows {
        let files = self.files(operator).cloned().collect();
        Rows::new(self.store.clone(), operator.to_owned(), key_groups, files)
    }

    /// The files of an operator's rows, by task.
    fn files(&self, operator: &str) -> impl Iterator<Item = &RowsFile> {
        let tasks = self.savepoint.manifest.operators.get(operator).into_iter().flat_map(|operator| &operator.tasks);
        tasks.flat_map(|task| &task.files).map(|file| &self.savepoint.rows[&file.name])
    }
}
