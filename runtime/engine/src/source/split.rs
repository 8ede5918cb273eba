//! One split on the worker that reads it.

use crate::claims::{Claim, ClaimState};
use crate::watermark::{Progress, Reached, SplitClock};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;
use tidewheel_checkpoint::SplitState;
use tidewheel_connectors::{ConnectorError, Malformed, Position, ReadStatus, SplitReader, Waker};
use tidewheel_types::{Batch, Watermark};
use timely::scheduling::SyncActivator;

/// Whether a split has something to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Ready,
    /// Its reader will call the waker.
    Pending,
    /// Nothing before that moment.
    Waiting(Instant),
    Ended,
}

/// One split.
pub(crate) struct SplitTask {
    name: String,
    /// Its number in the source.
    pub(crate) number: u32,
    /// None of a split that had ended before.
    reader: Option<Box<dyn SplitReader>>,
    /// Where it had ended, of one that had.
    ended_at: Option<Position>,
    clock: SplitClock,
    state: State,
    /// Set by the waker.
    woken: Arc<AtomicBool>,
    /// It is not read: it is too far ahead of others.
    is_paused: bool,
    /// What it has claimed last.
    claimed: Option<Claim>,
}

impl SplitTask {
    /// Opens a split where the last checkpoint has left it. `open` gets that position, and the waker its reader is to
    /// call; `task` is the source task to be activated by it.
    pub(crate) fn open(
        name: &str,
        number: u32,
        mut clock: SplitClock,
        restored: Option<&SplitState>,
        task: SyncActivator,
        open: impl FnOnce(Option<&Position>, Waker) -> Result<Box<dyn SplitReader>, ConnectorError>,
    ) -> Result<Self, ConnectorError> {
        let woken = Arc::new(AtomicBool::new(false));
        let flag = woken.clone();
        let waker: Waker = Arc::new(move || {
            // One activation serves any number of calls before it. A task that has ended needs none.
            if !flag.swap(true, Ordering::AcqRel) {
                let _ = task.activate();
            }
        });
        let position = restored.map(|split| Position(split.position.clone()));
        if let Some(split) = restored {
            clock.restore(Reached { largest: split.largest, marked: split.marked }, split.idle);
        }
        let has_ended = restored.is_some_and(|split| split.ended);
        let (reader, state, ended_at) = match has_ended {
            true => (None, State::Ended, position),
            false => (Some(open(position.as_ref(), waker)?), State::Ready, None),
        };
        if has_ended {
            clock.end();
        }
        let name = name.to_owned();
        Ok(SplitTask { name, number, reader, ended_at, clock, state, woken, is_paused: false, claimed: None })
    }

    /// What a checkpoint keeps of it: where it is, after the last record it has brought.
    pub(crate) fn snapshot(&self, now: Instant) -> SplitState {
        let position = match (&self.reader, &self.ended_at) {
            (Some(reader), _) => reader.position(),
            (None, Some(position)) => position.clone(),
            (None, None) => Position::default(),
        };
        let Reached { largest, marked } = self.clock.reached();
        SplitState {
            name: self.name.clone(),
            position: position.0,
            largest,
            marked,
            idle: self.clock.progress(now) == Progress::Idle,
            ended: self.state == State::Ended,
        }
    }

    /// For event time no record will come any more; the position stays.
    pub(crate) fn drain(&mut self) {
        self.clock.end();
    }

    /// Whether a read may bring something.
    pub(crate) fn is_ready(&mut self, now: Instant) -> bool {
        let ready = match self.state {
            State::Ready => true,
            State::Pending => self.woken.load(Ordering::Acquire),
            State::Waiting(until) => now >= until,
            State::Ended => false,
        };
        if ready {
            self.state = State::Ready;
            self.clock.wake(now);
        }
        ready && !self.is_paused
    }

    /// Is not to be read while its watermark is above `bound`.
    pub(crate) fn align(&mut self, bound: i64, now: Instant) {
        let is_ahead = self.clock.watermark().0 > bound;
        match (self.is_paused, is_ahead) {
            (false, true) => self.clock.hold(now),
            (true, false) => self.clock.release(now),
            _ => {}
        }
        self.is_paused = is_ahead;
    }

    /// It is read again after it was held back.
    pub(crate) fn go_on(&mut self, now: Instant) {
        if self.is_ready(now) {
            self.clock.held_until(now);
        }
    }

    /// Reads about `bytes_max` bytes.
    pub(crate) fn read(
        &mut self,
        now: Instant,
        bytes_max: usize,
        batch: &mut Batch,
        malformed: &mut Vec<Malformed>,
    ) -> Result<(), ConnectorError> {
        // Before the read: a waker called during it must not be forgotten.
        self.woken.store(false, Ordering::Release);
        let reader = self.reader.as_mut().expect("a split that has ended is not read");
        self.state = match reader.read(now, bytes_max, batch, malformed)? {
            ReadStatus::Ready => State::Ready,
            ReadStatus::Pending => State::Pending,
            ReadStatus::Wait(wait) => State::Waiting(now + wait),
            ReadStatus::End => State::Ended,
        };
        if let Some(watermark) = reader.watermark() {
            self.clock.tell(watermark);
        }
        Ok(())
    }

    /// Takes note of how far the records of the read at `read_at` have brought it; nowhere, if there were none. Until now,
    /// when they are through the source, it was held back.
    pub(crate) fn found(&mut self, reached: Reached, read_at: Instant, now: Instant) {
        match reached == Reached::default() {
            false => self.clock.records(reached, read_at),
            true => self.clock.no_records(read_at),
        }
        self.clock.held_until(now);
        match self.state {
            State::Ready => {}
            State::Pending | State::Waiting(_) => self.clock.wait(),
            State::Ended => self.clock.end(),
        }
    }

    /// Where its watermark is.
    pub(crate) fn watermark(&self) -> Watermark {
        self.clock.watermark()
    }

    /// What it claims.
    pub(crate) fn progress(&self, now: Instant) -> Progress {
        self.clock.progress(now)
    }

    /// What it claims, for those who ask, if that is not what it did the last time.
    pub(crate) fn news(&mut self, now: Instant) -> Option<Claim> {
        let state = match self.clock.progress(now) {
            Progress::Active(_) if self.is_paused => ClaimState::Paused,
            Progress::Active(_) => ClaimState::Active,
            Progress::Idle => ClaimState::Idle,
            Progress::Ended => ClaimState::Ended,
        };
        let claim = Claim { state, watermark_ms: self.watermark().0 };
        let is_news = self.claimed.replace(claim) != Some(claim);
        is_news.then_some(claim)
    }

    /// When it next needs a look although nobody wakes it: at the end of a wait, or when it becomes idle.
    pub(crate) fn alarm(&self, now: Instant) -> Option<Instant> {
        let wait = match self.state {
            State::Waiting(until) if !self.is_paused => Some(until),
            _ => None,
        };
        // What is past needs no alarm: the split is ready, or the engine holds it back and will activate the task.
        wait.into_iter().chain(self.clock.idle_at()).filter(|&at| at > now).min()
    }
}
