//! An outbox that is being filled.

use super::records::encode;
use super::{OutboxSettings, Uncommitted};
use crate::background::BlockingWriter;
use crate::{ConnectorError, SinkContext};
use flate2::Crc;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use tidewheel_types::Batch;

/// Fills one outbox after the other.
pub(crate) struct OutboxWriter {
    settings: OutboxSettings,
    /// Lineage, shard, attempt and sink, as they stand in files' names.
    names: [String; 2],
    uncommitted: Uncommitted,
    filling: Filling,
    /// Files made so far: a number of its own for each.
    files: u64,
}

#[derive(Default)]
struct Filling {
    records: u64,
    bytes: u64,
    /// What is not in the file, if there is one.
    memory: Vec<u8>,
    file: Option<(PathBuf, File)>,
    crc: Crc,
}

/// An outbox that nothing is added to any more.
pub(crate) struct FullOutbox {
    pub(super) checkpoint: u64,
    pub(super) records: u64,
    pub(super) bytes: u64,
    pub(super) crc32: u32,
    /// All its bytes, unless they are in the file.
    pub(super) memory: Vec<u8>,
    pub(super) file: Option<(PathBuf, File)>,
}

impl OutboxWriter {
    pub(super) fn new(context: &SinkContext, settings: &OutboxSettings, uncommitted: Uncommitted) -> Self {
        let SinkContext { lineage, sink, attempt, shard, .. } = context;
        OutboxWriter {
            settings: settings.clone(),
            names: [format!("{lineage}-{shard}-{attempt}"), sink.clone()],
            uncommitted,
            filling: Filling::default(),
            files: 0,
        }
    }

    /// Moves what is in memory to the outbox's file.
    fn spill(&mut self, folder: &Path) -> Result<(), ConnectorError> {
        let filling = &mut self.filling;
        let (path, file) = match &mut filling.file {
            Some(file) => file,
            none => {
                let [owner, sink] = &self.names;
                // One that a process before us has left under the same name was never staged.
                let path = folder.join(format!(".outbox-{owner}-{}-{}-{sink}.open", std::process::id(), self.files));
                self.files += 1;
                let file = File::create(&path).map_err(|error| write_error(&path, 0, error))?;
                none.insert((path, file))
            }
        };
        file.write_all(&filling.memory).map_err(|error| write_error(path, filling.bytes, error))?;
        filling.memory.clear();
        Ok(())
    }
}

impl BlockingWriter for OutboxWriter {
    type Piece = FullOutbox;

    fn write(&mut self, batch: &Batch) -> Result<(), ConnectorError> {
        let filling = &mut self.filling;
        let before = filling.memory.len();
        encode(batch, &mut filling.memory);
        filling.crc.update(&filling.memory[before..]);
        let added = (filling.memory.len() - before) as u64;
        filling.records += batch.len() as u64;
        filling.bytes += added;
        self.uncommitted.add(added);
        let is_large = filling.memory.len() as u64 > self.settings.memory_bytes_max;
        if let Some(folder) = self.settings.folder.clone().filter(|_| is_large) {
            self.spill(&folder)?;
        }
        Ok(())
    }

    fn cut(&mut self, checkpoint: u64) -> Result<Option<FullOutbox>, ConnectorError> {
        if self.filling.records == 0 {
            return Ok(None);
        }
        // What is in a file is there whole.
        if self.filling.file.is_some() {
            self.spill(Path::new(""))?;
        }
        let Filling { records, bytes, memory, file, crc } = std::mem::take(&mut self.filling);
        Ok(Some(FullOutbox { checkpoint, records, bytes, crc32: crc.sum(), memory, file }))
    }
}

pub(super) fn write_error(path: &Path, offset: u64, source: io::Error) -> ConnectorError {
    let path = path.display().to_string();
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ConnectorError::Full { path, offset, source },
        _ => ConnectorError::Write { path, offset, source },
    }
}
