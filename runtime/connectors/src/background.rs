//! A sink's writer on a thread of its own, behind a short queue: how a connector that blocks is written to by a worker
//! that must not.

use crate::thread::spawn;
use crate::{ConnectorError, SinkWriter, StageHandle, Waker, WriteStatus};
use crossbeam_channel::{Receiver, Sender, TryRecvError, unbounded};
use std::task::Poll;
use tidewheel_types::Batch;

/// Batches that wait for the thread at most. Other commands are few, and have to keep their place among the batches.
const QUEUE_LENGTH: usize = 4;

/// Writes one shard. It may block: a [`Background`] runs it on a thread.
pub(crate) trait BlockingWriter: Send + 'static {
    /// Writes all records of `batch`.
    fn write(&mut self, batch: &Batch) -> Result<(), ConnectorError>;

    /// As [`SinkWriter::recover`].
    fn recover(&mut self, staged: &[StageHandle]) -> Result<(), ConnectorError>;

    /// As [`SinkWriter::stage`].
    fn stage(&mut self, checkpoint: u64) -> Result<Option<StageHandle>, ConnectorError>;

    /// As [`SinkWriter::commit`].
    fn commit(&mut self, handle: &StageHandle) -> Result<(), ConnectorError>;
}

#[allow(clippy::large_enum_variant, reason = "a few commands wait at a time, nearly all of them batches")]
enum Command {
    Recover(Vec<StageHandle>),
    Write(Batch),
    Stage(u64),
    Commit(StageHandle),
}

enum Reply {
    Recovered,
    /// A batch has been written; it is empty and can be filled again.
    Written(Batch),
    Staged(u64, Option<StageHandle>),
    Committed(StageHandle),
    /// The thread has ended.
    Failed(ConnectorError),
}

/// Whether what earlier attempts have left is settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Recovery {
    NotAsked,
    Asked,
    Done,
}

/// The worker's end of a [`BlockingWriter`].
pub(crate) struct Background {
    /// What the thread writes to, for errors.
    name: String,
    commands: Sender<Command>,
    replies: Receiver<Reply>,
    /// Batches that wait to be written.
    waiting: usize,
    /// What has been asked for and not yet answered.
    recovery: Recovery,
    asked_stage: Option<u64>,
    asked_commits: Vec<StageHandle>,
    /// Answers nobody has come for.
    staged: Option<(u64, Option<StageHandle>)>,
    committed: Vec<StageHandle>,
    spare: Option<Batch>,
}

impl Background {
    /// Starts a thread with `writer`; `name` is what it writes to, for errors. The waker is called after each command.
    pub(crate) fn start(name: &str, mut writer: impl BlockingWriter, waker: Waker) -> Result<Self, ConnectorError> {
        let (commands, command_receiver) = unbounded();
        let (reply_sender, replies) = unbounded();
        let wake_at_end = waker.clone();
        spawn(name, wake_at_end, move || {
            for command in command_receiver {
                let reply = execute(&mut writer, command);
                let has_failed = matches!(reply, Reply::Failed(_));
                // Without a receiver nobody wants to know.
                let is_abandoned = reply_sender.send(reply).is_err();
                if has_failed || is_abandoned {
                    return;
                }
                waker();
            }
        })?;
        Ok(Background {
            name: name.to_owned(),
            commands,
            replies,
            waiting: 0,
            recovery: Recovery::NotAsked,
            asked_stage: None,
            asked_commits: Vec::new(),
            staged: None,
            committed: Vec::new(),
            spare: None,
        })
    }

    /// Takes in what the thread has answered.
    fn take_replies(&mut self) -> Result<(), ConnectorError> {
        loop {
            match self.replies.try_recv() {
                Ok(Reply::Recovered) => self.recovery = Recovery::Done,
                Ok(Reply::Written(batch)) => {
                    self.waiting -= 1;
                    self.spare = Some(batch);
                }
                Ok(Reply::Staged(checkpoint, handle)) => {
                    self.asked_stage = None;
                    self.staged = Some((checkpoint, handle));
                }
                Ok(Reply::Committed(handle)) => {
                    self.asked_commits.retain(|asked| *asked != handle);
                    self.committed.push(handle);
                }
                Ok(Reply::Failed(error)) => return Err(error),
                Err(TryRecvError::Empty) => return Ok(()),
                Err(TryRecvError::Disconnected) => return Err(self.stopped()),
            }
        }
    }

    /// Hands a command to the thread.
    fn send(&mut self, command: Command) -> Result<(), ConnectorError> {
        // If it has ended just now, its last answer says why.
        self.commands.send(command).map_err(|_| self.take_replies().err().unwrap_or_else(|| self.stopped()))
    }

    fn stopped(&self) -> ConnectorError {
        ConnectorError::Stopped { what: format!("the thread that writes {}", self.name) }
    }

    fn poll_recover(&mut self, staged: &[StageHandle]) -> Result<Poll<()>, ConnectorError> {
        self.take_replies()?;
        match self.recovery {
            Recovery::Done => return Ok(Poll::Ready(())),
            Recovery::Asked => {}
            Recovery::NotAsked => {
                self.send(Command::Recover(staged.to_vec()))?;
                self.recovery = Recovery::Asked;
            }
        }
        Ok(Poll::Pending)
    }

    fn poll_stage(&mut self, checkpoint: u64) -> Result<Poll<Option<StageHandle>>, ConnectorError> {
        self.take_replies()?;
        if let Some((_, handle)) = self.staged.take_if(|(staged, _)| *staged == checkpoint) {
            return Ok(Poll::Ready(handle));
        }
        if self.asked_stage != Some(checkpoint) {
            self.send(Command::Stage(checkpoint))?;
            self.asked_stage = Some(checkpoint);
        }
        Ok(Poll::Pending)
    }

    fn poll_commit(&mut self, handle: &StageHandle) -> Result<Poll<()>, ConnectorError> {
        self.take_replies()?;
        if let Some(at) = self.committed.iter().position(|committed| committed == handle) {
            self.committed.swap_remove(at);
            return Ok(Poll::Ready(()));
        }
        if !self.asked_commits.contains(handle) {
            self.send(Command::Commit(handle.clone()))?;
            self.asked_commits.push(handle.clone());
        }
        Ok(Poll::Pending)
    }
}

/// `Ok(Pending)` is pending, everything else is ready.
fn flatten<T>(result: Result<Poll<T>, ConnectorError>) -> Poll<Result<T, ConnectorError>> {
    match result {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(value)) => Poll::Ready(Ok(value)),
        Err(error) => Poll::Ready(Err(error)),
    }
}

impl SinkWriter for Background {
    fn write(&mut self, batch: &mut Batch) -> Result<WriteStatus, ConnectorError> {
        self.take_replies()?;
        if self.waiting == QUEUE_LENGTH {
            return Ok(WriteStatus::Full);
        }
        self.send(Command::Write(std::mem::take(batch)))?;
        self.waiting += 1;
        *batch = self.spare.take().unwrap_or_default();
        Ok(WriteStatus::Taken)
    }

    fn recover(&mut self, staged: &[StageHandle]) -> Poll<Result<(), ConnectorError>> {
        flatten(self.poll_recover(staged))
    }

    fn stage(&mut self, checkpoint: u64) -> Poll<Result<Option<StageHandle>, ConnectorError>> {
        flatten(self.poll_stage(checkpoint))
    }

    fn commit(&mut self, handle: &StageHandle) -> Poll<Result<(), ConnectorError>> {
        flatten(self.poll_commit(handle))
    }
}

fn execute(writer: &mut impl BlockingWriter, command: Command) -> Reply {
    let result = match command {
        Command::Recover(staged) => writer.recover(&staged).map(|()| Reply::Recovered),
        Command::Write(mut batch) => writer.write(&batch).map(|()| {
            batch.clear();
            Reply::Written(batch)
        }),
        Command::Stage(checkpoint) => writer.stage(checkpoint).map(|handle| Reply::Staged(checkpoint, handle)),
        Command::Commit(handle) => writer.commit(&handle).map(|()| Reply::Committed(handle)),
    };
    result.unwrap_or_else(Reply::Failed)
}
