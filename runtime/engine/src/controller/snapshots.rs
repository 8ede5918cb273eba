//! The controller's part in checkpoints and savepoints: the protocol's decisions become commands, manifests, answers.

use super::{Controller, Phase};
use crate::checkpoint::{CheckpointPolicy, Collected, Completed, EventTimeEnd, Protocol, Tasks};
use crate::control::{After, Request, SnapshotDone, SnapshotError};
use crate::error::EngineError;
use crate::streams::{CheckpointId, Command, Published};
use std::collections::BTreeMap;
use std::time::Instant;
use tidewheel_connectors::Room;

/// The checkpoints of a job, as the controller sees them.
pub(super) struct Snapshots {
    pub(super) protocol: Protocol<Request>,
    /// Whether a source has brought anything since the last checkpoint.
    pub(super) happened: bool,
    /// Whether event time has ended.
    event_time: EventTimeEnd,
    /// Whether the newest checkpoint holds output that is yet to be committed.
    holds_output: bool,
    /// The sinks' tasks that have not room enough for output that waits for its commit.
    short_of_room: BTreeMap<(String, usize), Room>,
    /// Snapshots somebody has asked for that are published and not yet committed by every sink.
    pub(super) ending: Vec<Ending>,
}

/// A snapshot that is published and that somebody waits for.
pub(super) struct Ending {
    done: SnapshotDone,
    request: Request,
    /// Its savepoint is being finished.
    is_finishing: bool,
}

impl Snapshots {
    pub(super) fn new(policy: CheckpointPolicy, tasks: Tasks, first: CheckpointId, now: Instant) -> Self {
        let protocol = Protocol::new(policy, tasks, first, now);
        Snapshots {
            protocol,
            happened: true,
            event_time: EventTimeEnd::No,
            holds_output: false,
            short_of_room: BTreeMap::new(),
            ending: Vec::new(),
        }
    }

    /// When it is next worth looking at the clock.
    pub(super) fn alarm(&self) -> Option<Instant> {
        self.protocol.alarm().into_iter().chain(self.early_at()).min()
    }

    /// The least that a task of a sink has.
    pub(super) fn room(&self) -> Room {
        self.short_of_room.values().copied().max().unwrap_or(Room::Enough)
    }

    /// When a checkpoint should begin early, for want of room. One before which nothing has happened makes none.
    fn early_at(&self) -> Option<Instant> {
        self.protocol.early_at(self.room()).filter(|_| self.happened)
    }
}

impl Controller {
    /// Begins a checkpoint if one is due, or what somebody has asked for. None is under way.
    pub(super) fn begin_if_wanted(&mut self, now: Instant) {
        if let Some(request) = self.parts.control.next() {
            return self.begin_request(request, now);
        }
        let is_early = self.snapshots.early_at().is_some_and(|at| at <= now);
        if !is_early && !self.snapshots.protocol.is_due(now) {
            return;
        }
        match self.snapshots.happened {
            true => _ = self.begin(None, now),
            false => self.snapshots.protocol.put_off(now),
        }
    }

    fn begin_request(&mut self, request: Request, now: Instant) {
        if self.parts.publisher.is_none() {
            // Nobody may be waiting any more.
            let _ = request.answer.send(Err(SnapshotError::NoCheckpoints));
            return;
        }
        match request.after {
            After::GoOn => _ = self.begin(Some(request), now),
            After::Stop { drain: true } => self.drain(Some(request), now),
            After::Stop { drain: false } => {
                // Nothing more will be read: what has been read is before this cut.
                self.send(Command::Halt { drain: false });
                self.begin_last(Some(request), now);
            }
        }
    }

    /// Brings event time to its end, and then the job; for `request`, if it was asked for now.
    pub(super) fn drain(&mut self, request: Option<Request>, now: Instant) {
        self.send(Command::Halt { drain: true });
        self.snapshots.event_time = EventTimeEnd::Drained;
        self.phase = Phase::Draining(self.open, request);
        self.close_soon(now);
    }

    /// Begins the checkpoint after which the job ends.
    pub(super) fn begin_last(&mut self, request: Option<Request>, now: Instant) {
        if self.parts.limits.instances() == 0 {
            self.snapshots.event_time = EventTimeEnd::Finished;
        }
        let checkpoint = self.begin(request, now);
        self.phase = Phase::Last(checkpoint);
    }

    /// Whether one more checkpoint has to say that what the last one held has been committed: whoever finds a job that has
    /// finished, and holds no output, begins it anew.
    pub(super) fn is_end_to_be_confirmed(&self) -> bool {
        self.snapshots.event_time == EventTimeEnd::Finished && self.snapshots.holds_output
    }

    /// A task of a sink has more or less room for output that waits for its commit. Where it has none the sources wait. In
    /// a job that keeps nothing all output waits for the end.
    pub(super) fn room_changed(&mut self, sink: String, shard: usize, room: Room, now: Instant) {
        if self.parts.publisher.is_none() {
            return;
        }
        let before = self.snapshots.room();
        match room {
            Room::Enough => _ = self.snapshots.short_of_room.remove(&(sink, shard)),
            Room::Little | Room::Exhausted => {
                let known = self.snapshots.short_of_room.insert((sink, shard), room);
                // It was given something, if it has less than before.
                self.snapshots.happened |= known < Some(room);
            }
        }
        let after = self.snapshots.room();
        if (before == Room::Exhausted) != (after == Room::Exhausted) {
            self.send_share();
            self.close_soon(now);
        }
    }

    /// Begins a checkpoint at the end of the open epoch.
    fn begin(&mut self, asked: Option<Request>, now: Instant) -> CheckpointId {
        let savepoint = asked.as_ref().and_then(|request| request.savepoint.clone());
        let checkpoint = self.snapshots.protocol.begin(asked, now);
        self.snapshots.happened = false;
        if let Some(publisher) = &mut self.parts.publisher {
            publisher.begin(checkpoint, self.open, savepoint.is_some());
        }
        self.send(Command::Checkpoint { checkpoint, savepoint });
        self.close_soon(now);
        checkpoint
    }

    /// A task's part is safe; with the last one the manifest is written.
    pub(super) fn part(&mut self, checkpoint: CheckpointId, part: Vec<u8>) {
        let Some(Collected { began, parts }) = self.snapshots.protocol.part(checkpoint, part) else { return };
        match &mut self.parts.publisher {
            Some(publisher) => {
                self.snapshots.holds_output = publisher.publish(began, &parts, self.snapshots.event_time);
            }
            None => self.published(checkpoint, Published::default(), began),
        }
    }

    /// The manifest is written: the checkpoint is complete.
    pub(super) fn published(&mut self, checkpoint: CheckpointId, published: Published, now: Instant) {
        let Some(Completed { began, asked }) = self.snapshots.protocol.published(checkpoint, now) else { return };
        let took = now.saturating_duration_since(began);
        self.parts.metrics.checkpoints.completed(checkpoint, took, published.bytes_added);
        self.send(Command::Complete(checkpoint));
        self.close_soon(now);
        if let Some(request) = asked {
            let Published { epoch, created_ms, bytes, bytes_added } = published;
            let savepoint = request.savepoint.clone();
            let done = SnapshotDone { checkpoint, savepoint, epoch, created_ms, took, bytes, bytes_added };
            self.snapshots.ending.push(Ending { done, request, is_finishing: false });
        }
    }

    /// Gives a checkpoint up, if it is the one under way.
    pub(super) fn failed(&mut self, checkpoint: CheckpointId, reason: &str, now: Instant) -> Result<(), EngineError> {
        let Some(failure) = self.snapshots.protocol.failed(checkpoint, now) else { return Ok(()) };
        self.snapshots.happened = true;
        self.parts.metrics.checkpoints.failed(reason);
        if let Some(publisher) = &mut self.parts.publisher {
            publisher.give_up(checkpoint);
        }
        tracing::warn!("checkpoint {checkpoint} failed: {reason}");
        if let Some(request) = failure.asked {
            let _ = request.answer.send(Err(SnapshotError::Failed { checkpoint, reason: reason.to_owned() }));
        }
        // The sources have been halted: there is no going on without the last one.
        let is_last = matches!(self.phase, Phase::Last(last) if last == checkpoint);
        match failure.is_too_many || is_last {
            true => Err(EngineError::CheckpointFailed { checkpoint, reason: reason.to_owned() }),
            false => Ok(()),
        }
    }

    pub(super) fn give_up_overdue(&mut self, now: Instant) -> Result<(), EngineError> {
        match self.snapshots.protocol.overdue(now) {
            Some(checkpoint) => self.failed(checkpoint, "it took longer than the checkpoint's timeout", now),
            None => Ok(()),
        }
    }

    /// Answers those whose snapshot every sink has committed; a savepoint is finished first, and holds no output then.
    pub(super) fn answer_committed(&mut self) {
        let Snapshots { protocol, ending, .. } = &mut self.snapshots;
        for done in ending.extract_if(.., |it| it.done.savepoint.is_none() && protocol.is_committed(it.done.checkpoint))
        {
            let _ = done.request.answer.send(Ok(done.done));
        }
        for it in ending.iter_mut().filter(|it| !it.is_finishing && protocol.is_committed(it.done.checkpoint)) {
            it.is_finishing = true;
            if let (Some(publisher), Some(url)) = (&mut self.parts.publisher, &it.done.savepoint) {
                publisher.finish_savepoint(it.done.checkpoint, url);
            }
        }
    }

    /// The savepoint is finished, or will never be. Its checkpoint is complete in either case, so that a job which was to
    /// stop with it has stopped.
    pub(super) fn savepoint_finished(&mut self, checkpoint: CheckpointId, error: Option<String>) {
        let found = self.snapshots.ending.iter().position(|it| it.is_finishing && it.done.checkpoint == checkpoint);
        let Some(at) = found else { return };
        let Ending { done, request, .. } = self.snapshots.ending.swap_remove(at);
        let answer = match error {
            None => Ok(done),
            Some(reason) => Err(SnapshotError::Savepoint { checkpoint, reason }),
        };
        // Nobody may be waiting any more.
        let _ = request.answer.send(answer);
    }
}
