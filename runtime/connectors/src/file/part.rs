//! Part files: output that becomes visible in one step.
//!
//! A part has three names in its life, all in the sink's folder:
//!
//! 1. `.part-LINEAGE-SHARD-ATTEMPT-PROCESS-NUMBER-SINK.open` while records are added. The process that does so holds a
//!    lock on it; without the lock it is the leftover of a process that died.
//! 2. `.part-LINEAGE-SHARD-CHECKPOINT-ATTEMPT-SINK.staged` when it is complete and on disk. When a snapshot names it, a
//!    restart from that commits it; when none does, a later attempt removes it. The attempt in the name keeps attempts
//!    apart: one that was taken for dead and the one after it never touch each other's files.
//! 3. `part-LINEAGE-SHARD-CHECKPOINT.jsonl` once committed. No file is ever overwritten.

use super::name::{OpenName, StagedName};
use crate::ConnectorError;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use std::fs::{self, File, TryLockError};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process;

const WRITE_BUFFER_BYTES: usize = 256 << 10;

/// Whose parts these are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) lineage: String,
    pub(super) sink: String,
    pub(super) attempt: u64,
    pub(super) shard: usize,
}

/// A part that records are added to.
pub(super) struct OpenPart {
    path: PathBuf,
    writer: BufWriter<File>,
    bytes: u64,
}

impl OpenPart {
    /// Makes an empty part in `folder`, locked.
    pub(super) fn create(folder: &Path, owner: &Owner) -> Result<Self, ConnectorError> {
        for number in 0u64.. {
            let name = OpenName { owner: owner.clone(), process: process::id(), number };
            let path = folder.join(name.to_string());
            match create_locked(&path) {
                Ok(Some(file)) => return Ok(OpenPart::new(path, file)),
                Ok(None) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => return Err(write_error(&path, 0, error)),
                Err(error) => return Err(create_error(&path, error)),
            }
        }
        unreachable!("some number is free");
    }

    fn new(path: PathBuf, file: File) -> Self {
        OpenPart { path, writer: BufWriter::with_capacity(WRITE_BUFFER_BYTES, file), bytes: 0 }
    }

    /// Adds a record and a line end.
    pub(super) fn write_line(&mut self, line: &[u8]) -> Result<(), ConnectorError> {
        let result = self.writer.write_all(line).and_then(|()| self.writer.write_all(b"\n"));
        self.bytes += line.len() as u64 + 1;
        result.map_err(|error| write_error(&self.path, self.bytes, error))
    }

    /// Makes the part durable under the name `staged` in the same folder.
    pub(super) fn stage(mut self, folder: &Path, staged: &str) -> Result<(), ConnectorError> {
        let result = self.writer.flush().and_then(|()| self.writer.get_ref().sync_all());
        // The name holds sink, shard, checkpoint and attempt: whoever has taken it is somebody else.
        let result = result.and_then(|()| rename_without_overwrite(&self.path, &folder.join(staged)));
        result.and_then(|()| sync_folder(folder)).map_err(|error| write_error(&self.path, self.bytes, error))
    }
}

fn write_error(path: &Path, offset: u64, source: io::Error) -> ConnectorError {
    let path = path.display().to_string();
    match source.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => ConnectorError::Full { path, offset, source },
        _ => ConnectorError::Write { path, offset, source },
    }
}

/// Makes the folder that parts are written to.
pub(super) fn create_folder(folder: &Path) -> Result<(), ConnectorError> {
    let was_missing = !folder.exists();
    let create = || -> io::Result<()> {
        fs::create_dir_all(folder)?;
        match folder.parent().filter(|parent| was_missing && !parent.as_os_str().is_empty()) {
            Some(parent) => sync_folder(parent),
            None => Ok(()),
        }
    };
    create().map_err(|error| create_error(folder, error))
}

/// Removes what earlier attempts have left in `folder`: open parts whose process has died, whoever's they are, and
/// staged parts for which `is_void` says so.
pub(super) fn remove_leftovers(folder: &Path, is_void: impl Fn(&StagedName) -> bool) -> Result<(), ConnectorError> {
    let entries = fs::read_dir(folder).map_err(|error| create_error(folder, error))?;
    for entry in entries {
        let entry = entry.map_err(|error| create_error(folder, error))?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        let path = entry.path();
        let is_leftover = match StagedName::parse(name) {
            Some(staged) => is_void(&staged),
            None => OpenName::is_one(name) && is_unlocked(&path),
        };
        // Others start too and remove the same leftovers: a file that is gone is theirs.
        if is_leftover && fs::remove_file(&path).is_ok() {
            tracing::info!(path = %path.display(), "removed what an earlier start of a job had left");
        }
    }
    Ok(())
}

/// Whether no process adds to this open part.
fn is_unlocked(path: &Path) -> bool {
    File::open(path).is_ok_and(|file| file.try_lock().is_ok())
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
        ErrorKind::NotFound => "the sink's folder has been removed under way; put it back",
        _ => "check the path",
    };
    ConnectorError::Open { action: "create", path: path.display().to_string(), hint: hint.to_owned(), source }
}

/// Renames in one step, and fails when the new name is taken.
pub(super) fn rename_without_overwrite(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => look_and_rename(from, to),
        result => Ok(result?),
    }
}

/// For file systems that cannot do both in one step. A file that somebody puts there in the very moment between the two
/// is lost; a second name and the end of the first would publish a part twice when a reader takes it away in between.
fn look_and_rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::symlink_metadata(from)?;
    match fs::symlink_metadata(to) {
        Ok(_) => Err(ErrorKind::AlreadyExists.into()),
        Err(error) if error.kind() == ErrorKind::NotFound => fs::rename(from, to),
        Err(error) => Err(error),
    }
}

/// Makes the names in a folder durable.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::{OpenPart, look_and_rename};
    use std::fs::{self, File};
    use std::io::ErrorKind;
    use std::path::Path;
    use tempfile::TempDir;

    #[test]
    fn a_full_disk_is_said_to_be_one() {
        let full = Path::new("/dev/full");
        let mut part = OpenPart::new(full.to_owned(), File::options().write(true).open(full).expect("the device"));
        part.write_line(b"1").expect("it fits in the buffer");
        let error = part.stage(Path::new("/dev"), "staged").expect_err("the device is full").to_string();
        assert!(error.starts_with("cannot write /dev/full at byte 2: the disk is full"), "{error}");
        assert!(error.contains("hint: make room"), "{error}");
    }

    #[test]
    fn nothing_is_overwritten_on_any_file_system() {
        let folder = TempDir::new().expect("a folder");
        let [from, to] = ["from", "to"].map(|name| folder.path().join(name));
        let kind = |result: std::io::Result<()>| result.expect_err("an error").kind();
        assert_eq!(kind(look_and_rename(&from, &to)), ErrorKind::NotFound);
        fs::write(&from, "1").expect("a file");
        fs::write(&to, "2").expect("a file");
        assert_eq!(kind(look_and_rename(&from, &to)), ErrorKind::AlreadyExists);
        fs::remove_file(&to).expect("removed");
        look_and_rename(&from, &to).expect("renamed");
        assert_eq!(fs::read_to_string(&to).expect("a file"), "1");
    }
}
