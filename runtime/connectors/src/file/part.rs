//! Part files: output that becomes visible in one step.
//!
//! A part has three names in its life, all in the sink's folder:
//!
//! 1. `.part-LINEAGE-SHARD-PROCESS-NUMBER.open` while records are added. The process that does so holds a lock on it;
//!    without the lock it is the leftover of a process that died, and the next start removes it.
//! 2. `.part-LINEAGE-SHARD-CHECKPOINT-ATTEMPT.staged` when it is complete and on disk. Nobody removes it: a snapshot may name
//!    it, and a restart from that snapshot commits it.
//! 3. `part-LINEAGE-SHARD-CHECKPOINT.jsonl` once committed. No file is ever overwritten.

use crate::{ConnectorError, StageHandle};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::fs::{self, File, TryLockError};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process;

const OPEN_ENDING: &str = ".open";
const WRITE_BUFFER_BYTES: usize = 256 << 10;

/// A part that records are added to.
pub(super) struct OpenPart {
    path: PathBuf,
    writer: BufWriter<File>,
    bytes: u64,
}

impl OpenPart {
    /// Makes an empty part in `folder`, locked.
    pub(super) fn create(folder: &Path, lineage: &str, shard: usize) -> Result<Self, ConnectorError> {
        let process = process::id();
        for number in 0u64.. {
            let path = folder.join(format!(".part-{lineage}-{shard}-{process}-{number}{OPEN_ENDING}"));
            match create_locked(&path) {
                Ok(Some(file)) => {
                    return Ok(OpenPart { path, writer: BufWriter::with_capacity(WRITE_BUFFER_BYTES, file), bytes: 0 });
                }
                Ok(None) => {}
                Err(error) => return Err(create_error(&path, error)),
            }
        }
        unreachable!("some number is free");
    }

    /// Adds a record and a line end.
    pub(super) fn write_line(&mut self, line: &[u8]) -> Result<(), ConnectorError> {
        let result = self.writer.write_all(line).and_then(|()| self.writer.write_all(b"\n"));
        self.bytes += line.len() as u64 + 1;
        result.map_err(|error| self.write_error(error))
    }

    /// Makes the part durable under `staged`, a name in the same folder.
    pub(super) fn stage(mut self, folder: &Path, staged: &str) -> Result<(), ConnectorError> {
        let result = self.writer.flush();
        let result = result.and_then(|()| self.writer.get_ref().sync_all());
        // The same checkpoint of an attempt that failed may have left one: it was never committed, this one will be.
        let result = result.and_then(|()| fs::rename(&self.path, folder.join(staged)));
        result.and_then(|()| sync_folder(folder)).map_err(|error| self.write_error(error))
    }

    fn write_error(&self, source: io::Error) -> ConnectorError {
        ConnectorError::Write { path: self.path.display().to_string(), offset: self.bytes, source }
    }
}

/// The names of a part that has been staged: what a snapshot stores, as JSON.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StagedPart {
    /// Its name until it is committed.
    pub(super) staged: String,
    /// Its name from then on.
    pub(super) committed: String,
}

impl StagedPart {
    /// The part of this checkpoint; `ending` is that of its committed name.
    pub(super) fn new(lineage: &str, attempt: u64, shard: usize, checkpoint: u64, ending: &str) -> Self {
        let name = format!("part-{lineage}-{shard}-{checkpoint}");
        StagedPart { staged: format!(".{name}-{attempt}.staged"), committed: format!("{name}.{ending}") }
    }

    /// The handle of the part.
    pub(super) fn to_handle(&self) -> StageHandle {
        StageHandle(serde_json::to_vec(self).expect("two strings are JSON"))
    }

    /// The part that `handle` names, if it does.
    pub(super) fn from_handle(handle: &StageHandle) -> Option<Self> {
        let part: StagedPart = serde_json::from_slice(&handle.0).ok()?;
        let is_name = |name: &str| Path::new(name).file_name().is_some_and(|file_name| file_name == name);
        (is_name(&part.staged) && is_name(&part.committed)).then_some(part)
    }

    /// Makes the part visible. A part that has been committed before is left as it is.
    pub(super) fn commit(&self, folder: &Path) -> Result<(), ConnectorError> {
        let staged = folder.join(&self.staged);
        let committed = folder.join(&self.committed);
        let path = committed.display().to_string();
        match rename_without_overwrite(&staged, &committed) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {
                // It was committed before. Whoever reads the folder may have taken it away since.
                if !committed.exists() {
                    tracing::info!(part = path, "the part was committed before and is gone");
                }
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                let reason = "a file of that name is there that this job did not commit; move it away".to_owned();
                return Err(ConnectorError::CommitFailed { path, reason });
            }
            Err(error) => return Err(ConnectorError::CommitFailed { path, reason: error.to_string() }),
        }
        sync_folder(folder).map_err(|source| ConnectorError::CommitInDoubt { path, source })
    }
}

/// Makes the folder that parts are written to.
pub(super) fn create_folder(folder: &Path) -> Result<(), ConnectorError> {
    fs::create_dir_all(folder).map_err(|error| create_error(folder, error))
}

/// Removes the open parts in `folder` whose process has died.
pub(super) fn remove_leftovers(folder: &Path) -> Result<(), ConnectorError> {
    let entries = fs::read_dir(folder).map_err(|error| create_error(folder, error))?;
    for entry in entries {
        let entry = entry.map_err(|error| create_error(folder, error))?;
        let name = entry.file_name();
        let is_open_part = name.to_str().is_some_and(|name| name.starts_with(".part-") && name.ends_with(OPEN_ENDING));
        if !is_open_part {
            continue;
        }
        // Others start too and remove the same leftovers: a file that cannot be opened or is gone is theirs.
        let Ok(file) = File::open(entry.path()) else { continue };
        if file.try_lock().is_ok() && fs::remove_file(entry.path()).is_ok() {
            tracing::info!(path = %entry.path().display(), "removed what a process that died had not finished");
        }
    }
    Ok(())
}

/// Makes a file and locks it; `None` when somebody else has one of that name or was faster to lock it.
fn create_locked(path: &Path) -> io::Result<Option<File>> {
    let file = match File::create_new(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(None),
        Err(error) => return Err(error),
    };
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(None),
        Err(TryLockError::Error(error)) => return Err(error),
    }
    // Between creation and lock it could be taken for a leftover and removed.
    let is_there = fs::metadata(path).is_ok_and(|there| file.metadata().is_ok_and(|here| here.ino() == there.ino()));
    Ok(is_there.then_some(file))
}

fn create_error(path: &Path, source: io::Error) -> ConnectorError {
    let hint = match source.kind() {
        ErrorKind::PermissionDenied => "allow the user of this process to write there",
        ErrorKind::NotADirectory | ErrorKind::AlreadyExists => "path has to be a folder",
        _ => "check the path",
    };
    ConnectorError::Open { action: "create", path: path.display().to_string(), hint: hint.to_owned(), source }
}

/// Renames in one step, and fails when the new name is taken.
fn rename_without_overwrite(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // Not every file system knows how; a second name and the end of the first do the same in two steps.
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => link_and_remove(from, to),
        result => Ok(result?),
    }
}

fn link_and_remove(from: &Path, to: &Path) -> io::Result<()> {
    match fs::hard_link(from, to) {
        // A first try may have ended between the two steps.
        Err(error) if error.kind() == ErrorKind::AlreadyExists && is_same_file(from, to)? => {}
        result => result?,
    }
    fs::remove_file(from)
}

fn is_same_file(one: &Path, other: &Path) -> io::Result<bool> {
    let (one, other) = (fs::metadata(one)?, fs::metadata(other)?);
    Ok((one.dev(), one.ino()) == (other.dev(), other.ino()))
}

/// Makes the names in a folder durable.
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
