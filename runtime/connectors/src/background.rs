//! A sink's writer on threads of its own, behind a short queue: how a connector that blocks is written to by a worker
//! that must not.
//!
//! One thread writes, and at a checkpoint cuts off what it has written. Another makes that durable and commits: however
//! long that takes, what is written meanwhile goes into the next piece.

use crate::thread::spawn;
use crate::transaction::{self, Transaction};
use crate::{ConnectorError, Room, SinkWriter, StageHandle, Waker, WriteStatus};
use crossbeam_channel::{Receiver, Sender, TryRecvError, unbounded};
use std::task::Poll;
use tidewheel_crash_points::CrashPoint;
use tidewheel_types::Batch;

/// Batches that wait for the thread at most. Other commands are few, and have to keep their place among the batches.
const QUEUE_LENGTH: usize = 4;

/// Writes one shard. It may block: a [`Background`] runs it on a thread.
pub(crate) trait BlockingWriter: Send + 'static {
    /// What is written between two checkpoints.
    type Piece: Send + 'static;

    /// Writes all records of `batch`.
    fn write(&mut self, batch: &Batch) -> Result<(), ConnectorError>;

    /// Takes everything written since the last cut, if there is anything, as the output of `checkpoint`. Quick: writes
    /// wait for it.
    fn cut(&mut self, checkpoint: u64) -> Result<Option<Self::Piece>, ConnectorError>;
}

#[allow(clippy::large_enum_variant, reason = "a few commands wait at a time, nearly all of them batches")]
enum WriteCommand {
    Write(Batch),
    Cut(u64),
}

enum SettleCommand<Piece> {
    Recover(Vec<StageHandle>),
    Stage(u64, Option<Piece>),
    Commit(StageHandle),
}

enum SettleReply {
    Recovered,
    Staged(u64, Option<StageHandle>),
    Committed(StageHandle),
}

/// Whether what earlier attempts have left is settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Recovery {
    NotAsked,
    Asked,
    Done,
}

/// The worker's end of a [`BlockingWriter`] and its [`Transaction`].
pub(crate) struct Background<Piece> {
    writer: Thread<WriteCommand, Option<Batch>>,
    settler: Thread<SettleCommand<Piece>, SettleReply>,
    /// How much more output may wait for its commit.
    room: Box<dyn Fn() -> Room>,
    /// Batches that wait to be written.
    waiting: usize,
    /// What has been asked for and not yet answered.
    recovery: Recovery,
    asked_stage: Option<u64>,
    asked_commits: Vec<StageHandle>,
    /// Answers nobody has come for.
    staged: Option<(u64, Option<StageHandle>)>,
    committed: Vec<StageHandle>,
    /// A batch that has been written; it is empty and can be filled again.
    spare: Option<Batch>,
}

impl<Piece: Send + 'static> Background<Piece> {
    /// Starts threads with `writer` and `system`; `name` is what they write to, for errors. The waker is called after
    /// each command.
    pub(crate) fn start(
        name: &str,
        mut writer: impl BlockingWriter<Piece = Piece>,
        mut system: impl Transaction<Piece>,
        waker: Waker,
    ) -> Result<Self, ConnectorError> {
        let settler = Thread::start(name, waker.clone(), move |command| {
            Ok(match command {
                SettleCommand::Recover(named) => {
                    CrashPoint::BeforeSettle.reached();
                    transaction::recover(&mut system, &named)?;
                    CrashPoint::AfterSettle.reached();
                    SettleReply::Recovered
                }
                SettleCommand::Stage(checkpoint, piece) => {
                    let handle = piece.map(|piece| transaction::stage(&mut system, piece)).transpose()?;
                    SettleReply::Staged(checkpoint, handle)
                }
                SettleCommand::Commit(handle) => {
                    transaction::commit(&mut system, &handle)?;
                    SettleReply::Committed(handle)
                }
            })
        })?;
        let pieces = settler.commands.clone();
        let writer = Thread::start(name, waker, move |command| match command {
            WriteCommand::Write(mut batch) => {
                writer.write(&batch)?;
                batch.clear();
                Ok(Some(batch))
            }
            WriteCommand::Cut(checkpoint) => {
                let piece = writer.cut(checkpoint)?;
                // If nobody settles any more, that thread has told why.
                let _ = pieces.send(SettleCommand::Stage(checkpoint, piece));
                Ok(None)
            }
        })?;
        Ok(Background {
            writer,
            settler,
            room: Box::new(|| Room::Enough),
            waiting: 0,
            recovery: Recovery::NotAsked,
            asked_stage: None,
            asked_commits: Vec::new(),
            staged: None,
            committed: Vec::new(),
            spare: None,
        })
    }

    /// Has `room` say how much more output may wait for its commit.
    pub(crate) fn with_room(mut self, room: impl Fn() -> Room + 'static) -> Self {
        self.room = Box::new(room);
        self
    }

    /// Takes in what the threads have answered.
    fn take_replies(&mut self) -> Result<(), ConnectorError> {
        while let Some(reply) = self.settler.reply()? {
            match reply {
                SettleReply::Recovered => self.recovery = Recovery::Done,
                SettleReply::Staged(checkpoint, handle) => {
                    self.asked_stage = None;
                    self.staged = Some((checkpoint, handle));
                }
                SettleReply::Committed(handle) => {
                    self.asked_commits.retain(|asked| *asked != handle);
                    self.committed.push(handle);
                }
            }
        }
        while let Some(written) = self.writer.reply()? {
            if let Some(batch) = written {
                self.waiting -= 1;
                self.spare = Some(batch);
            }
        }
        Ok(())
    }

    fn poll_recover(&mut self, staged: &[StageHandle]) -> Result<Poll<()>, ConnectorError> {
        self.take_replies()?;
        match self.recovery {
            Recovery::Done => return Ok(Poll::Ready(())),
            Recovery::Asked => {}
            Recovery::NotAsked => {
                self.settler.send(SettleCommand::Recover(staged.to_vec()))?;
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
            self.writer.send(WriteCommand::Cut(checkpoint))?;
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
            self.settler.send(SettleCommand::Commit(handle.clone()))?;
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

impl<Piece: Send + 'static> SinkWriter for Background<Piece> {
    fn write(&mut self, batch: &mut Batch) -> Result<WriteStatus, ConnectorError> {
        self.take_replies()?;
        if self.waiting == QUEUE_LENGTH {
            return Ok(WriteStatus::Full);
        }
        self.writer.send(WriteCommand::Write(std::mem::take(batch)))?;
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

    fn room(&self) -> Room {
        (self.room)()
    }
}

/// A thread that executes commands in order, until the first error.
struct Thread<C, R> {
    /// What it writes to, for errors.
    name: String,
    commands: Sender<C>,
    replies: Receiver<Result<R, ConnectorError>>,
}

impl<C: Send + 'static, R: Send + 'static> Thread<C, R> {
    fn start(
        name: &str,
        waker: Waker,
        mut execute: impl FnMut(C) -> Result<R, ConnectorError> + Send + 'static,
    ) -> Result<Self, ConnectorError> {
        let (commands, command_receiver) = unbounded();
        let (reply_sender, replies) = unbounded();
        let wake_at_end = waker.clone();
        spawn(name, wake_at_end, move || {
            for command in command_receiver {
                let reply = execute(command);
                let has_failed = reply.is_err();
                // Without a receiver nobody wants to know.
                let is_abandoned = reply_sender.send(reply).is_err();
                if has_failed || is_abandoned {
                    return;
                }
                waker();
            }
        })?;
        Ok(Thread { name: name.to_owned(), commands, replies })
    }

    /// Hands a command to the thread.
    fn send(&self, command: C) -> Result<(), ConnectorError> {
        self.commands.send(command).map_err(|_| self.stopped())
    }

    /// Its next answer, if there is one already.
    fn reply(&self) -> Result<Option<R>, ConnectorError> {
        match self.replies.try_recv() {
            Ok(reply) => reply.map(Some),
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => Err(self.stopped()),
        }
    }

    /// It has ended; if it told why, that was taken in before, or is now.
    fn stopped(&self) -> ConnectorError {
        let told = self.replies.try_iter().find_map(Result::err);
        told.unwrap_or_else(|| ConnectorError::Stopped { what: format!("the thread that writes {}", self.name) })
    }
}

#[cfg(test)]
mod tests {
    use super::{Background, BlockingWriter};
    use crate::transaction::{Outcome, Transaction};
    use crate::{ConnectorError, SinkWriter, StageHandle, Waker, WriteStatus};
    use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
    use std::sync::Arc;
    use std::task::Poll;
    use std::time::Duration;
    use tidewheel_types::{Batch, Origin};

    const TIMEOUT: Duration = Duration::from_secs(20);

    /// Tells of every batch; a piece is how many there were.
    struct Counter {
        written: Sender<()>,
        count: u8,
    }

    impl BlockingWriter for Counter {
        type Piece = u8;

        fn write(&mut self, _batch: &Batch) -> Result<(), ConnectorError> {
            self.count += 1;
            self.written.send(()).expect("the test listens");
            Ok(())
        }

        fn cut(&mut self, _checkpoint: u64) -> Result<Option<u8>, ConnectorError> {
            Ok(Some(std::mem::take(&mut self.count)))
        }
    }

    /// Stages when it is allowed to.
    struct Gate(Receiver<()>);

    impl Transaction<u8> for Gate {
        fn fence(&mut self, _named: &[StageHandle]) -> Result<(), ConnectorError> {
            Ok(())
        }

        fn stage(&mut self, piece: u8) -> Result<StageHandle, ConnectorError> {
            self.0.recv_timeout(TIMEOUT).expect("the gate opens");
            Ok(StageHandle(vec![piece]))
        }

        fn outcome(&mut self, _handle: &StageHandle) -> Result<Outcome, ConnectorError> {
            Ok(Outcome::Open)
        }

        fn commit(&mut self, _handle: &StageHandle) -> Result<(), ConnectorError> {
            Ok(())
        }
    }

    #[test]
    fn a_stage_holds_up_no_writes_and_they_belong_to_the_next() {
        let (written_sender, written) = unbounded();
        let (open_gate, gate) = bounded(1);
        let (wake, woken) = unbounded();
        let waker: Waker = Arc::new(move || _ = wake.send(()));
        let counter = Counter { written: written_sender, count: 0 };
        let mut writer = Background::start("test", counter, Gate(gate), waker).expect("started");
        let write = |writer: &mut Background<u8>| {
            let mut batch = Batch::default();
            batch.push(0, b"", b"", Origin::default());
            while writer.write(&mut batch).expect("no error") == WriteStatus::Full {
                woken.recv_timeout(TIMEOUT).expect("woken");
            }
            written.recv_timeout(TIMEOUT).expect("it is written although a stage is under way");
        };
        (0..3).for_each(|_| write(&mut writer));
        assert!(writer.stage(1).is_pending());
        (0..20).for_each(|_| write(&mut writer));
        let staged = |writer: &mut Background<u8>, checkpoint| {
            open_gate.send(()).expect("the gate is there");
            loop {
                match writer.stage(checkpoint) {
                    Poll::Ready(handle) => return handle.expect("no error").expect("something was written").0,
                    Poll::Pending => woken.recv_timeout(TIMEOUT).expect("woken"),
                }
            }
        };
        assert_eq!(staged(&mut writer, 1), [3]);
        assert_eq!(staged(&mut writer, 2), [20]);
    }
}
