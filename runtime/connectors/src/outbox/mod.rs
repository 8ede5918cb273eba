//! The outbox: output since the last checkpoint, kept as bytes in the snapshot until an outside system has taken it.
//!
//! It is the stage of systems that have none of their own. What such a system has to do is a [`Target`]: end what an
//! older attempt may still do to a shard, take all records of an outbox in one transaction *together with a mark that it
//! has*, and look that mark up. A small outbox travels in the handle; a large one is a file that the handle names, in a
//! folder that every later attempt must be able to read.
//!
//! In reading order: `records.rs`, how records are bytes; `writer.rs`, an outbox being filled; `stage.rs`, what becomes
//! of it.

mod records;
mod stage;
mod writer;

pub use stage::{OutboxId, Target};
pub(crate) use writer::{FullOutbox, OutboxWriter};

use crate::background::Background;
use crate::{ConnectorError, Room, SinkContext, SinkWriter};
use stage::Outboxes;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How much an outbox holds, and where.
#[derive(Clone, Debug)]
pub struct OutboxSettings {
    /// Bytes of an outbox that stay in memory and travel in the handle; without a folder, all do.
    pub memory_bytes_max: u64,
    /// Uncommitted bytes of a shard at which a checkpoint should be taken early.
    pub early_bytes: u64,
    /// Uncommitted bytes of a shard at which sources should wait.
    pub uncommitted_bytes_max: u64,
    /// Where larger outboxes are kept. It must be there for every later attempt, on whatever machine.
    pub folder: Option<PathBuf>,
}

impl Default for OutboxSettings {
    fn default() -> Self {
        OutboxSettings {
            memory_bytes_max: 1 << 20,
            early_bytes: 32 << 20,
            uncommitted_bytes_max: 64 << 20,
            folder: None,
        }
    }
}

/// The bytes of a shard that wait for their commit.
#[derive(Clone, Default)]
pub(crate) struct Uncommitted(Arc<AtomicU64>);

impl Uncommitted {
    fn add(&self, bytes: u64) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }

    fn remove(&self, bytes: u64) {
        self.0.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub(crate) fn room(&self, settings: &OutboxSettings) -> Room {
        match self.0.load(Ordering::Relaxed) {
            bytes if bytes >= settings.uncommitted_bytes_max => Room::Exhausted,
            bytes if bytes >= settings.early_bytes => Room::Little,
            _ => Room::Enough,
        }
    }
}

/// The two halves of a shard's outboxes: the one that is filled, and what becomes of those that are full.
pub(crate) fn parts<T: Target>(
    context: &SinkContext,
    target: T,
    settings: &OutboxSettings,
) -> Result<(OutboxWriter, Outboxes<T>, Uncommitted), ConnectorError> {
    let uncommitted = Uncommitted::default();
    let writer = OutboxWriter::new(context, settings, uncommitted.clone());
    Ok((writer, Outboxes::new(context, target, settings, uncommitted.clone())?, uncommitted))
}

/// A writer of one shard whose output `target` takes by outboxes; `name` is what it writes to, for errors.
pub fn open<T: Target>(
    name: &str,
    context: SinkContext,
    target: T,
    settings: &OutboxSettings,
) -> Result<Box<dyn SinkWriter>, ConnectorError> {
    let (writer, outboxes, uncommitted) = parts(&context, target, settings)?;
    let settings = settings.clone();
    let background = Background::start(name, writer, outboxes, context.waker)?;
    Ok(Box::new(background.with_room(move || uncommitted.room(&settings))))
}
