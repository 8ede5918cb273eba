//! Sink `file`: a folder of part files, one per shard and checkpoint.

use super::name::{PartHandle, StagedName};
use super::part::{OpenPart, Owner, create_folder, remove_leftovers, rename_without_overwrite, sync_folder};
use crate::background::{Background, BlockingWriter};
use crate::transaction::{Outcome, Transaction};
use crate::{ConnectorError, Delivery, Sink, SinkContext, SinkWriter, StageHandle};
use memchr::memchr;
use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;
use tidewheel_types::Batch;

/// What a line of a part is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LineFormat {
    /// A value that is JSON, and so UTF-8.
    JsonLines,
    /// Any value without a line end.
    Lines,
}

/// Writes to a folder.
pub(super) struct FileSink {
    folder: PathBuf,
    format: LineFormat,
}

impl FileSink {
    pub(super) fn new(folder: PathBuf, format: LineFormat) -> Self {
        FileSink { folder, format }
    }
}

impl Sink for FileSink {
    fn open(&self, context: SinkContext) -> Result<Box<dyn SinkWriter>, ConnectorError> {
        // Done here, not on the thread, so that a folder that cannot be used is found before the job runs.
        match context.has_unsettled {
            // Made anew, it would look as if everything had been committed and taken over.
            true if !self.folder.is_dir() => {
                return Err(ConnectorError::FolderLost { path: self.folder.display().to_string() });
            }
            true => {}
            false => create_folder(&self.folder)?,
        }
        let owner =
            Owner { lineage: context.lineage, sink: context.sink, attempt: context.attempt, shard: context.shard };
        let writer = PartWriter { folder: self.folder.clone(), format: self.format, owner: owner.clone(), part: None };
        let parts = Parts {
            folder: self.folder.clone(),
            format: self.format,
            owner,
            shards: context.shards,
            uncommitted: BTreeSet::new(),
        };
        Ok(Box::new(Background::start(&self.folder.display().to_string(), writer, parts, context.waker)?))
    }

    fn delivery(&self) -> Delivery {
        Delivery::ExactlyOnce
    }
}

/// Writes one shard, on a thread.
struct PartWriter {
    folder: PathBuf,
    format: LineFormat,
    owner: Owner,
    /// What has been written since the last cut; nothing has when it is not there.
    part: Option<OpenPart>,
}

/// A part that records are no longer added to.
struct CutPart {
    part: OpenPart,
    checkpoint: u64,
}

impl BlockingWriter for PartWriter {
    type Piece = CutPart;

    fn write(&mut self, batch: &Batch) -> Result<(), ConnectorError> {
        if batch.is_empty() {
            return Ok(());
        }
        let part = match &mut self.part {
            Some(part) => part,
            none => none.insert(OpenPart::create(&self.folder, &self.owner)?),
        };
        for (value, &origin) in batch.values.iter().zip(&batch.origins) {
            check_line(value, self.format)
                .map_err(|reason| ConnectorError::Record { origin, reason: reason.to_owned() })?;
            part.write_line(value)?;
        }
        Ok(())
    }

    fn cut(&mut self, checkpoint: u64) -> Result<Option<CutPart>, ConnectorError> {
        Ok(self.part.take().map(|part| CutPart { part, checkpoint }))
    }
}

/// The folder, as the one that makes parts durable and visible sees it.
struct Parts {
    folder: PathBuf,
    format: LineFormat,
    owner: Owner,
    /// How many tasks the sink has.
    shards: usize,
    /// Staged names of this attempt's parts that it has not committed.
    uncommitted: BTreeSet<String>,
}

impl Parts {
    /// The part that `handle` names.
    fn part(&self, handle: &StageHandle) -> Result<PartHandle, ConnectorError> {
        let reason = "the snapshot does not name a part file; this sink was of another kind when it was taken";
        PartHandle::from_handle(handle).ok_or_else(|| self.failed(self.folder.display(), reason))
    }

    fn failed(&self, path: impl ToString, reason: impl ToString) -> ConnectorError {
        ConnectorError::CommitFailed { path: path.to_string(), reason: reason.to_string() }
    }

    /// What it means that a staged part is not there: it has been committed, by whomever, or an error.
    fn missing(&self, part: &PartHandle) -> Result<(), ConnectorError> {
        let committed = self.folder.join(&part.committed);
        if !self.folder.is_dir() {
            return Err(self.failed(committed.display(), "the sink's folder has been removed under way"));
        }
        if self.uncommitted.contains(&part.staged) {
            let reason = format!(
                "its staged file {} is gone; somebody has removed it, or a later start of the job has \
                                  committed it",
                part.staged
            );
            return Err(self.failed(committed.display(), reason));
        }
        // Whoever reads the folder may have taken it away since.
        if !committed.exists() {
            tracing::info!(part = %committed.display(), "the part was committed before and is gone");
        }
        Ok(())
    }
}

impl Transaction<CutPart> for Parts {
    fn fence(&mut self, named: &[StageHandle]) -> Result<(), ConnectorError> {
        let named = named.iter().map(|handle| self.part(handle)).collect::<Result<Vec<_>, _>>()?;
        remove_leftovers(&self.folder, |staged| {
            let StagedName { owner, .. } = staged;
            let is_earlier = owner.lineage == self.owner.lineage
                && owner.sink == self.owner.sink
                && owner.attempt < self.owner.attempt;
            let is_adopted = owner.shard % self.shards == self.owner.shard;
            is_earlier && is_adopted && named.iter().all(|part| part.staged != staged.to_string())
        })
    }

    fn stage(&mut self, piece: CutPart) -> Result<StageHandle, ConnectorError> {
        let ending = match self.format {
            LineFormat::JsonLines => "jsonl",
            LineFormat::Lines => "txt",
        };
        let name = StagedName { owner: self.owner.clone(), checkpoint: piece.checkpoint };
        let part = PartHandle::new(&name, ending);
        piece.part.stage(&self.folder, &part.staged)?;
        self.uncommitted.insert(part.staged.clone());
        Ok(part.to_handle())
    }

    fn outcome(&mut self, handle: &StageHandle) -> Result<Outcome, ConnectorError> {
        let part = self.part(handle)?;
        let staged = self.folder.join(&part.staged);
        match fs::symlink_metadata(&staged) {
            Ok(_) => Ok(Outcome::Open),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.missing(&part)?;
                Ok(Outcome::Committed)
            }
            Err(error) => Err(self.failed(self.folder.join(&part.committed).display(), error)),
        }
    }

    /// A part that has been committed before is left as it is.
    fn commit(&mut self, handle: &StageHandle) -> Result<(), ConnectorError> {
        let part = self.part(handle)?;
        let committed = self.folder.join(&part.committed);
        let path = committed.display().to_string();
        match rename_without_overwrite(&self.folder.join(&part.staged), &committed) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => self.missing(&part)?,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                let reason = "a file of that name is there that this sink did not commit; move it away, and let no \
                              other sink write to this folder";
                return Err(self.failed(path, reason));
            }
            Err(error) => return Err(self.failed(path, error)),
        }
        self.uncommitted.remove(&part.staged);
        sync_folder(&self.folder).map_err(|source| ConnectorError::CommitInDoubt { path, source })
    }
}

/// Why a value is no line of this format.
fn check_line(value: &[u8], format: LineFormat) -> Result<(), &'static str> {
    if memchr(b'\n', value).is_some() {
        return Err("its value contains a line end; write it on one line, JSON strings can hold it as \\n");
    }
    if format == LineFormat::JsonLines && std::str::from_utf8(value).is_err() {
        return Err(
            "its value is not UTF-8, so it cannot be JSON; let the operator emit JSON, or set format = \"lines\"",
        );
    }
    Ok(())
}
