//! What becomes of full outboxes: staged, named for ever, taken by the outside system once.

use super::records::Decoder;
use super::writer::{FullOutbox, write_error};
use super::{OutboxSettings, Uncommitted};
use crate::transaction::{Outcome, Transaction};
use crate::{ConnectorError, SinkContext, StageHandle};
use flate2::Crc;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use tidewheel_types::Batch;
use tidewheel_types::batch::BATCH_BYTES_MAX;

const FILE_PREFIX: &str = ".outbox-";
const STAGED_ENDING: &str = ".staged";

/// What an outbox is known by, for ever. Which worker has filled it, and which one commits it, is no part of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct OutboxId {
    /// Identity of the job.
    pub lineage: String,
    /// The sink's name.
    pub sink: String,
    /// The shard whose output it is.
    pub shard: usize,
    /// The checkpoint that it is part of. Those of a shard are committed in this order.
    pub checkpoint: u64,
}

/// An outside system that takes outboxes in transactions. It may block. One is made for each task of a sink.
pub trait Target: Send + 'static {
    /// From now on nothing an earlier attempt does for `shard` takes effect.
    fn fence(&mut self, shard: usize) -> Result<(), ConnectorError>;

    /// Whether the outbox has been taken, by its mark or a later one of the same shard.
    fn outcome(&mut self, outbox: &OutboxId) -> Result<Outcome, ConnectorError>;

    /// Takes all `records` and sets the outbox's mark, in one transaction. An error of `records` is to be passed on, with
    /// nothing taken. An error that leaves open whether it was taken is
    /// [indeterminate](ConnectorError::is_indeterminate); the job then asks again after a restart.
    fn commit(
        &mut self,
        outbox: &OutboxId,
        records: &mut dyn Iterator<Item = Result<Batch, ConnectorError>>,
    ) -> Result<(), ConnectorError>;
}

/// What a handle begins with, as one line of JSON. The outbox's bytes follow, unless they are in a file.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Head {
    outbox: OutboxId,
    records: u64,
    bytes: u64,
    crc32: u32,
    /// The file's name in the outboxes' folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    file: Option<String>,
}

/// The outboxes of one task.
pub(crate) struct Outboxes<T> {
    target: T,
    context: SinkContext,
    folder: Option<PathBuf>,
    uncommitted: Uncommitted,
    /// The newest checkpoint of each shard that this attempt knows to be committed.
    committed: BTreeMap<usize, u64>,
    /// Bytes of this attempt's own outboxes, until they are committed.
    staged_bytes: BTreeMap<u64, u64>,
}

impl<T: Target> Outboxes<T> {
    pub(super) fn new(
        context: &SinkContext,
        target: T,
        settings: &OutboxSettings,
        uncommitted: Uncommitted,
    ) -> Result<Self, ConnectorError> {
        let folder = settings.folder.clone();
        if let Some(folder) = &folder {
            fs::create_dir_all(folder).map_err(|error| write_error(folder, 0, error))?;
        }
        Ok(Outboxes {
            target,
            context: context.clone(),
            folder,
            uncommitted,
            committed: BTreeMap::new(),
            staged_bytes: BTreeMap::new(),
        })
    }

    fn failed(&self, reason: impl ToString) -> ConnectorError {
        let path = format!("outbox of sink {:?}", self.context.sink);
        ConnectorError::CommitFailed { path, reason: reason.to_string() }
    }

    /// What a handle says, and the bytes it holds.
    fn read<'a>(&self, handle: &'a StageHandle) -> Result<(Head, &'a [u8]), ConnectorError> {
        let end = handle.0.iter().position(|&byte| byte == b'\n').unwrap_or(handle.0.len());
        let head: Head = serde_json::from_slice(&handle.0[..end]).map_err(|_| {
            self.failed("the snapshot does not name an outbox; this sink was of another kind when it was taken")
        })?;
        Ok((head, handle.0.get(end + 1..).unwrap_or_default()))
    }

    fn file_path(&self, name: &str) -> Result<PathBuf, ConnectorError> {
        let is_name = Path::new(name).file_name().is_some_and(|file_name| file_name == name);
        match &self.folder {
            Some(folder) if is_name => Ok(folder.join(name)),
            _ => Err(self.failed(format!("the snapshot names the file {name}, and the sink has no folder for it"))),
        }
    }

    /// The outbox's bytes, which are as they were staged.
    fn content<'a>(&self, head: &Head, memory: &'a [u8]) -> Result<Box<dyn Read + 'a>, ConnectorError> {
        let damaged = |what: &str| self.failed(format!("{what} is not what was staged: it is damaged or cut off"));
        let Some(name) = &head.file else {
            let mut crc = Crc::new();
            crc.update(memory);
            let is_whole = crc.sum() == head.crc32 && memory.len() as u64 == head.bytes;
            return if is_whole { Ok(Box::new(memory)) } else { Err(damaged("the outbox in the snapshot")) };
        };
        let path = self.file_path(name)?;
        let cannot_read = |error: io::Error| self.failed(format!("cannot read {}: {error}", path.display()));
        let open = || File::open(&path).map(BufReader::new).map_err(cannot_read);
        if checksum(open()?).map_err(cannot_read)? != (head.bytes, head.crc32) {
            return Err(damaged(&path.display().to_string()));
        }
        Ok(Box::new(open()?))
    }

    /// Removes files of earlier attempts that no handle names.
    fn remove_leftovers(&self, named: &BTreeSet<String>) -> io::Result<()> {
        let Some(folder) = &self.folder else { return Ok(()) };
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let is_void = name.to_str().is_some_and(|name| self.is_earlier(name) && !named.contains(name));
            // Others start too and remove the same leftovers: a file that is gone is theirs.
            if is_void && fs::remove_file(entry.path()).is_ok() {
                tracing::info!(path = %entry.path().display(), "removed an outbox that an earlier start had left");
            }
        }
        Ok(())
    }

    /// Whether a file of this name is an outbox of an earlier attempt that this task adopts. Whoever still writes to it
    /// keeps it open, and fails when it stages it.
    fn is_earlier(&self, name: &str) -> bool {
        let SinkContext { lineage, sink, attempt, shard, shards, .. } = &self.context;
        let Some(stem) = name.strip_prefix(FILE_PREFIX) else { return false };
        let Some(stem) = stem.strip_suffix(STAGED_ENDING).or_else(|| stem.strip_suffix(".open")) else { return false };
        let fields: Vec<&str> = stem.splitn(6, '-').collect();
        let [its_lineage, its_shard, its_attempt, _, _, its_sink] = fields[..] else { return false };
        let is_adopted = its_shard.parse::<usize>().is_ok_and(|its_shard| its_shard % shards == *shard);
        let is_earlier = its_attempt.parse::<u64>().is_ok_and(|its_attempt| its_attempt < *attempt);
        its_lineage == lineage && its_sink == sink && is_adopted && is_earlier
    }
}

impl<T: Target> Transaction<FullOutbox> for Outboxes<T> {
    fn fence(&mut self, named: &[StageHandle]) -> Result<(), ConnectorError> {
        let heads = named.iter().map(|handle| Ok(self.read(handle)?.0)).collect::<Result<Vec<_>, ConnectorError>>()?;
        let mut shards: BTreeSet<usize> = heads.iter().map(|head| head.outbox.shard).collect();
        shards.insert(self.context.shard);
        for shard in shards {
            self.target.fence(shard)?;
        }
        let files = heads.into_iter().filter_map(|head| head.file).collect();
        self.remove_leftovers(&files).map_err(|error| self.failed(error))
    }

    fn stage(&mut self, piece: FullOutbox) -> Result<StageHandle, ConnectorError> {
        let FullOutbox { checkpoint, records, bytes, crc32, memory, file } = piece;
        let SinkContext { lineage, sink, shard, attempt, .. } = &self.context;
        let outbox = OutboxId { lineage: lineage.clone(), sink: sink.clone(), shard: *shard, checkpoint };
        let mut name = None;
        if let Some((open, file)) = file {
            let staged = format!("{FILE_PREFIX}{lineage}-{shard}-{attempt}-{checkpoint}-0-{sink}{STAGED_ENDING}");
            let path = self.file_path(&staged)?;
            let folder = path.parent().expect("a file is in a folder");
            let result = file.sync_all().and_then(|()| fs::rename(&open, &path));
            let result = result.and_then(|()| File::open(folder)?.sync_all());
            result.map_err(|error| write_error(&path, bytes, error))?;
            name = Some(staged);
        }
        let head = Head { outbox, records, bytes, crc32, file: name };
        let mut handle = serde_json::to_vec(&head).expect("names and numbers are JSON");
        handle.push(b'\n');
        handle.extend_from_slice(&memory);
        self.staged_bytes.insert(checkpoint, bytes);
        Ok(StageHandle(handle))
    }

    fn outcome(&mut self, handle: &StageHandle) -> Result<Outcome, ConnectorError> {
        let (head, _) = self.read(handle)?;
        let outcome = self.target.outcome(&head.outbox)?;
        if outcome == Outcome::Committed {
            self.done(&head);
        }
        Ok(outcome)
    }

    fn commit(&mut self, handle: &StageHandle) -> Result<(), ConnectorError> {
        let (head, memory) = self.read(handle)?;
        let OutboxId { shard, checkpoint, .. } = head.outbox;
        if self.committed.get(&shard).is_some_and(|&committed| committed >= checkpoint) {
            return Ok(());
        }
        let content = self.content(&head, memory)?;
        let path = format!("outbox of sink {:?}", self.context.sink);
        let mut batches = Decoder::new(content, head.bytes, BATCH_BYTES_MAX).map(|batch| {
            let failed =
                |error| ConnectorError::CommitFailed { path: path.clone(), reason: format!("cannot read it: {error}") };
            batch.map_err(failed)
        });
        self.target.commit(&head.outbox, &mut batches)?;
        self.done(&head);
        Ok(())
    }
}

impl<T: Target> Outboxes<T> {
    /// The outbox has been taken: nobody needs its file any more.
    fn done(&mut self, head: &Head) {
        let OutboxId { shard, checkpoint, .. } = head.outbox;
        self.committed.insert(shard, checkpoint);
        if shard == self.context.shard
            && let Some(bytes) = self.staged_bytes.remove(&checkpoint)
        {
            self.uncommitted.remove(bytes);
        }
        if let Some(path) = head.file.as_ref().and_then(|name| self.file_path(name).ok()) {
            // What stays is removed by the next attempt.
            let _ = fs::remove_file(path);
        }
    }
}

/// Length and checksum of what `input` holds.
fn checksum(mut input: impl BufRead) -> io::Result<(u64, u32)> {
    let (mut crc, mut bytes) = (Crc::new(), 0);
    loop {
        let count = {
            let block = input.fill_buf()?;
            crc.update(block);
            block.len()
        };
        if count == 0 {
            return Ok((bytes, crc.sum()));
        }
        bytes += count as u64;
        input.consume(count);
    }
}
