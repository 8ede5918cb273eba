//! Where checkpoints are kept: a folder, a bucket, or memory.
//!
//! A store keeps files under names with `/`, all or nothing: nobody sees half of one. In a folder each is written under
//! a temporary name, brought to the disk, and only then given its name, and the folder is brought to the disk, too.

mod files;
mod open;
#[cfg(test)]
pub(crate) mod stepped;
#[cfg(test)]
mod tests;

pub(crate) use files::Upload;

use crate::background;
use crate::error::CheckpointError;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{GetOptions, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};
use std::fmt;
use std::future::Future;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;

/// Most requests to a store at a time, of one call.
const REQUESTS_MAX: usize = 4;

/// How often a file is put once whose last put was neither done nor refused.
const PUTS_MAX: usize = 3;

/// How long a store is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// For a connection.
    pub connect: Duration,
    /// For the answer to one request, all of it. No request moves more than a few megabytes.
    pub request: Duration,
    /// How often a request is made again that failed for a reason that may pass.
    pub retries: usize,
    /// For a request with all its repetitions.
    pub total: Duration,
    /// Before the first repetition; the pause doubles each time.
    pub pause: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Patience {
            connect: Duration::from_secs(5),
            request: Duration::from_secs(20),
            retries: 4,
            total: Duration::from_secs(30),
            pause: Duration::from_millis(100),
        }
    }
}

/// What became of a file that was put once.
pub(crate) enum PutOnce {
    /// It is there.
    Done,
    /// It is there, but the store did not say so the first time.
    DoneAfterDoubt,
    /// Something else is there; `None` if it is gone again.
    Taken(Option<Bytes>),
}

/// Where files are kept. Clones are the same store.
#[derive(Clone)]
pub struct Store {
    objects: Arc<dyn ObjectStore>,
    /// In front of every name.
    prefix: Path,
    /// What errors call the store; without a slash at its end.
    url: Arc<str>,
    /// Where a store of local files keeps them, so that files need not be copied into it.
    local: Option<Arc<PathBuf>>,
    patience: Patience,
    runtime: &'static Runtime,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Store({})", self.url)
    }
}

impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)
    }
}

/// A file in a store, as listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) name: String,
    pub(crate) bytes: u64,
}

impl Store {
    /// What errors and people call the store.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What errors call a file.
    pub(crate) fn name_of(&self, name: &str) -> String {
        format!("{}/{name}", self.url)
    }

    /// Writes a file, in place of another of that name.
    ///
    /// # Errors
    /// If the store refuses.
    pub fn put(&self, name: &str, bytes: impl Into<Bytes>) -> Result<(), CheckpointError> {
        self.put_as(name, bytes.into(), PutMode::Overwrite)
    }

    /// Writes a file if there is none of that name.
    ///
    /// # Errors
    /// [`CheckpointError::Exists`] if there is one. It may be the one that this call wrote, when the store's answer was
    /// lost and the request repeated: who must know compares what is there. After any other error the file may be there
    /// or not, or appear later.
    pub fn put_new(&self, name: &str, bytes: impl Into<Bytes>) -> Result<(), CheckpointError> {
        self.put_as(name, bytes.into(), PutMode::Create)
    }

    /// Puts a file that nobody else would put the same way, if there is none of that name, and finds out whether it is
    /// there if the store does not say. After an error it may be there or not, or appear later.
    pub(crate) fn put_once(&self, name: &str, bytes: &Bytes) -> Result<PutOnce, CheckpointError> {
        let mut failed = None;
        for turn in 0..PUTS_MAX {
            if turn > 0 {
                std::thread::sleep(self.patience.pause);
            }
            let error = match self.put_new(name, bytes.clone()) {
                Ok(()) if failed.is_none() => return Ok(PutOnce::Done),
                Ok(()) => return Ok(PutOnce::DoneAfterDoubt),
                Err(error) => error,
            };
            match self.get(name) {
                Ok(there) if there == *bytes => return Ok(PutOnce::DoneAfterDoubt),
                Ok(there) => return Ok(PutOnce::Taken(Some(there))),
                // It was taken a moment ago.
                Err(CheckpointError::Missing { .. }) if matches!(error, CheckpointError::Exists { .. }) => {
                    return Ok(PutOnce::Taken(None));
                }
                Err(CheckpointError::Missing { .. }) => failed = Some(error),
                Err(_) => return Err(error),
            }
        }
        Err(failed.expect("every turn but a failed one returns"))
    }

    fn put_as(&self, name: &str, bytes: Bytes, mode: PutMode) -> Result<(), CheckpointError> {
        let path = self.path(name)?;
        let options = PutOptions { mode, ..PutOptions::default() };
        let put = self.objects.put_opts(&path, PutPayload::from(bytes), options);
        self.wait(put).map_err(CheckpointError::store("write", self.name_of(name)))?;
        Ok(())
    }

    /// All of a file.
    ///
    /// # Errors
    /// [`CheckpointError::Missing`] if there is none, or if the store refuses.
    pub fn get(&self, name: &str) -> Result<Bytes, CheckpointError> {
        let path = self.path(name)?;
        let get = async { self.objects.get_opts(&path, GetOptions::default()).await?.bytes().await };
        self.wait(get).map_err(CheckpointError::store("read", self.name_of(name)))
    }

    /// Part of a file.
    ///
    /// # Errors
    /// [`CheckpointError::Missing`] if there is none, or if the store refuses.
    pub fn get_range(&self, name: &str, range: Range<u64>) -> Result<Bytes, CheckpointError> {
        let path = self.path(name)?;
        let bytes = self
            .wait(self.objects.get_range(&path, range.clone()))
            .map_err(CheckpointError::store("read", self.name_of(name)))?;
        if bytes.len() as u64 != range.end - range.start {
            let what = format!("it ends before byte {}", range.end);
            return Err(CheckpointError::damaged(self.name_of(name), what));
        }
        Ok(bytes)
    }

    /// The size of a file, or `None` if there is none.
    ///
    /// # Errors
    /// If the store refuses.
    pub fn size(&self, name: &str) -> Result<Option<u64>, CheckpointError> {
        let path = self.path(name)?;
        match self.wait(self.objects.head(&path)) {
            Ok(meta) => Ok(Some(meta.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(CheckpointError::store("look at", self.name_of(name))(error)),
        }
    }

    /// The files in a folder, in the order of their names.
    pub(crate) fn list(&self, folder: &str) -> Result<Vec<Listed>, CheckpointError> {
        let path = self.path(folder)?;
        let list = self.objects.list(Some(&path)).try_collect::<Vec<_>>();
        let found = self.wait(list).map_err(CheckpointError::store("list", self.name_of(folder)))?;
        let mut listed: Vec<Listed> = found
            .into_iter()
            .filter_map(|meta| {
                let parts = meta.location.prefix_match(&self.prefix)?;
                let parts: Vec<_> = parts.map(|part| part.as_ref().to_owned()).collect();
                Some(Listed { name: parts.join("/"), bytes: meta.size })
            })
            .collect();
        listed.sort_unstable_by(|left, right| left.name.cmp(&right.name));
        Ok(listed)
    }

    /// Removes files; those that are not there are no error.
    ///
    /// # Errors
    /// If the store refuses one. Others may be removed by then.
    pub fn remove(&self, names: &[String]) -> Result<(), CheckpointError> {
        let paths = names.iter().map(|name| self.path(name)).collect::<Result<Vec<_>, _>>()?;
        let paths = futures::stream::iter(paths.into_iter().map(Ok)).boxed();
        let mut removed = self.objects.delete_stream(paths);
        let all = async {
            while let Some(result) = removed.next().await {
                match result {
                    Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(())
        };
        self.wait(all).map_err(CheckpointError::store("remove files from", self.url.to_string()))
    }

    fn path(&self, name: &str) -> Result<Path, CheckpointError> {
        let name = Path::parse(name).map_err(|error| CheckpointError::Url {
            url: self.name_of(name),
            reason: format!("{error}; use letters, digits, `-`, `_` and `.` in names"),
        })?;
        Ok(self.prefix.parts().chain(name.parts()).collect())
    }

    fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        background::wait(self.runtime, future)
    }
}
