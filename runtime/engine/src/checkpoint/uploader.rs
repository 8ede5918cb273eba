//! Makes the state of a worker's operators safe, on a thread of its own.
//!
//! At a checkpoint an operator freezes what has changed and goes on. The thread writes that to a file of the task's
//! chain, uploads the files of the chain that the store does not have yet, and reports them. A store that cannot be
//! reached fails the checkpoint and nothing else: the files stay in the chain and are uploaded with the next one. A
//! local disk that cannot be written to fails the job: what was frozen would be lost.

use super::part::{OperatorPart, Part};
use super::restore::entries;
use crate::error::EngineError;
use crate::fatal;
use crate::reporter::Reporter;
use crate::streams::{CheckpointId, Report};
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use tidewheel_checkpoint::savepoint::{self, RowKind};
use tidewheel_checkpoint::{CheckpointError, FileName, FileRef, Store};
use tidewheel_crash_points::CrashPoint;
use tidewheel_state::{
    Backend, Delta, LocalFile, PROCESSING_TIMERS, ReadRows, Row, SnapshotWriter, StateError, StateTable, StateTime,
    TIMERS, Timers, read_rows,
};
use tidewheel_types::OperatorId;
use tidewheel_types::description::StateDecl;

/// A worker's thread that makes state safe. Clones are the same.
#[derive(Clone)]
pub(crate) struct Uploader {
    work: Sender<Work>,
}

/// What an operator has frozen.
struct Work {
    task: Arc<Mutex<TaskFiles>>,
    delta: Delta,
    checkpoint: CheckpointId,
    savepoint: Option<String>,
    watermark: i64,
}

/// The files of an operator on one worker.
pub(crate) struct TaskFiles {
    pub(crate) operator: OperatorId,
    pub(crate) worker: usize,
    pub(crate) key_groups: Range<u16>,
    pub(crate) max_parallelism: u16,
    /// A folder to work in.
    pub(crate) scratch: PathBuf,
    pub(crate) declared: Vec<StateDecl>,
    pub(crate) writer: SnapshotWriter,
    /// What the store has, by local name.
    pub(crate) uploaded: BTreeMap<String, FileRef>,
}

/// An operator's way to make its state safe.
pub(crate) struct Saver {
    uploader: Uploader,
    task: Arc<Mutex<TaskFiles>>,
}

impl Saver {
    pub(crate) fn new(uploader: Uploader, files: TaskFiles) -> Self {
        Saver { uploader, task: Arc::new(Mutex::new(files)) }
    }

    /// Freezes what has changed since the last checkpoint; the rest is done by and by.
    pub(crate) fn checkpoint(
        &self,
        (checkpoint, savepoint): (CheckpointId, Option<&String>),
        watermark: i64,
        backend: &mut dyn Backend,
        timers: [&mut Timers; 2],
    ) -> Result<(), StateError> {
        let delta = backend.freeze(timers)?;
        CrashPoint::AfterFreeze.reached();
        let task = self.task.clone();
        let work = Work { task, delta, checkpoint, savepoint: savepoint.cloned(), watermark };
        // The thread ends only with the process.
        let _ = self.uploader.work.send(work);
        Ok(())
    }
}

impl Uploader {
    /// Starts the thread of `worker`; its files in the store are named after the attempt.
    pub(crate) fn start(store: Store, attempt: u64, worker: usize, reporter: Reporter) -> Uploader {
        let (work, received) = mpsc::channel::<Work>();
        let run = move || {
            let mut next = FileName { attempt, worker: worker as u32, number: 0 };
            for work in received {
                let checkpoint = work.checkpoint;
                reporter.send(match save(&store, work, &mut next) {
                    Ok(part) => Report::Part { checkpoint, part: Part::Operator(part).encode() },
                    Err(error) => Report::PartFailed { checkpoint, reason: error.to_string() },
                });
            }
        };
        // Its name says that it belongs to the job: a panic of it ends the process.
        let started = thread::Builder::new().name(format!("tidewheel:save-{worker}")).spawn(run);
        started.unwrap_or_else(|error| fatal::fail(EngineError::Start(error.to_string())));
        Uploader { work }
    }
}

fn save(store: &Store, work: Work, next: &mut FileName) -> Result<OperatorPart, CheckpointError> {
    let mut task = work.task.lock().unwrap_or_else(PoisonError::into_inner);
    let time = work.delta.time();
    let chain = match task.writer.write(work.delta, work.checkpoint) {
        Ok(chain) => chain,
        Err(source) => fatal::fail(EngineError::Snapshot { operator: task.operator.clone(), source }),
    };
    CrashPoint::BeforeUpload.reached();
    let new_bytes = upload(store, &mut task, &chain, next)?;
    CrashPoint::AfterUpload.reached();
    let files = chain.iter().map(|file| task.uploaded[&file.name].clone()).collect();
    let savepoint = work.savepoint.map(|url| write_savepoint(&url, &task, &chain, time)).transpose()?;
    Ok(OperatorPart {
        operator: task.operator.to_string(),
        worker: task.worker,
        key_groups: task.key_groups.clone(),
        watermark: work.watermark,
        states: entries(&task.writer.state_table(), &task.declared),
        files,
        new_bytes,
        savepoint,
    })
}

/// Uploads what the store does not have yet and forgets what the chain has no more. Returns the bytes uploaded.
fn upload(
    store: &Store,
    task: &mut TaskFiles,
    chain: &[LocalFile],
    next: &mut FileName,
) -> Result<u64, CheckpointError> {
    let mut bytes = 0;
    for file in chain {
        if !task.uploaded.contains_key(&file.name) {
            // An upload that fails may still arrive: its name is not used again.
            let name = next.to_string();
            next.number += 1;
            let uploaded = store.upload(&file.path, &name)?;
            bytes += uploaded.bytes;
            task.uploaded.insert(file.name.clone(), uploaded);
        }
    }
    task.uploaded.retain(|name, _| chain.iter().any(|file| file.name == *name));
    Ok(bytes)
}

/// Writes everything that the chain holds to a savepoint, a row for each entry.
fn write_savepoint(
    url: &str,
    task: &TaskFiles,
    chain: &[LocalFile],
    time: StateTime,
) -> Result<FileRef, CheckpointError> {
    let store = Store::open(url, Path::new("/"))?;
    savepoint::check_free(&store)?;
    let mut writer = savepoint::Writer::new(&store, task.operator.as_str(), task.worker)?;
    let files: Vec<&Path> = chain.iter().map(|file| file.path.as_path()).collect();
    let table = task.writer.state_table();
    let read = ReadRows {
        files: &files,
        key_groups: task.key_groups.clone(),
        max_parallelism: task.max_parallelism,
        table: &table,
        time,
        scratch: &task.scratch,
    };
    let mut failed = None;
    let read = read_rows(&read, &mut |row: Row<'_>| -> Result<(), StateError> {
        if failed.is_none() {
            failed = savepoint_row(&row, &table).and_then(|row| writer.push(&row).err());
        }
        Ok(())
    });
    match (failed, read) {
        (Some(error), _) => Err(error),
        (None, Err(source)) => fatal::fail(EngineError::Snapshot { operator: task.operator.clone(), source }),
        (None, Ok(())) => writer.finish(),
    }
}

/// The row of an entry; none of a state that nobody knows.
fn savepoint_row<'a>(row: &Row<'a>, table: &'a StateTable) -> Option<savepoint::Row<'a>> {
    let (state, kind) = match row.key.state {
        TIMERS => ("", RowKind::Timers),
        PROCESSING_TIMERS => ("", RowKind::ProcessingTimers),
        id => table.by_id(id).map(|state| (state.name.as_str(), RowKind::State(state.kind)))?,
    };
    Some(savepoint::Row {
        state,
        kind,
        key_group: row.key.key_group.0,
        key: row.key.key,
        namespace: row.key.namespace,
        user_key: row.key.user_key,
        version: row.version,
        value: row.payload,
        // What was written before the first watermark has no time at which it expires, and none that others could read.
        expiry_ms: row.expiry.filter(|&expiry| expiry != i64::MAX),
    })
}
