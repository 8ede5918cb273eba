//! One split on the worker that reads it.

use crate::watermark::{Progress, SplitClock};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tidewheel_connectors::{ConnectorError, Malformed, ReadStatus, SplitReader, Waker};
use tidewheel_types::Batch;
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
    /// Its number in the source.
    pub(crate) number: u32,
    reader: Box<dyn SplitReader>,
    clock: SplitClock,
    state: State,
    /// Set by the waker.
    woken: Arc<AtomicBool>,
}

impl SplitTask {
    /// Opens a split. `open` gets the waker its reader is to call; `task` is the source task to be activated by it.
    pub(crate) fn open(
        number: u32,
        clock: SplitClock,
        task: SyncActivator,
        open: impl FnOnce(Waker) -> Result<Box<dyn SplitReader>, ConnectorError>,
    ) -> Result<Self, ConnectorError> {
        let woken = Arc::new(AtomicBool::new(false));
        let flag = woken.clone();
        let waker: Waker = Arc::new(move || {
            // One activation serves any number of calls before it. A task that has ended needs none.
            if !flag.swap(true, Ordering::AcqRel) {
                let _ = task.activate();
            }
        });
        Ok(SplitTask { number, reader: open(waker)?, clock, state: State::Ready, woken })
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
        ready
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
        self.state = match self.reader.read(now, bytes_max, batch, malformed)? {
            ReadStatus::Ready => State::Ready,
            ReadStatus::Pending => {
                self.clock.wait();
                State::Pending
            }
            ReadStatus::Wait(wait) => {
                self.clock.wait();
                State::Waiting(now + wait)
            }
            ReadStatus::End => {
                self.clock.end();
                State::Ended
            }
        };
        Ok(())
    }

    /// Takes note of what a read has found: the largest event time of its records.
    pub(crate) fn found(&mut self, largest: Option<i64>, now: Instant) {
        match largest {
            Some(largest) => self.clock.records(largest, now),
            None => self.clock.no_records(now),
        }
    }

    /// What it claims.
    pub(crate) fn progress(&self, now: Instant) -> Progress {
        self.clock.progress(now)
    }

    /// When it next needs a look although nobody wakes it: at the end of a wait, or when it becomes idle.
    pub(crate) fn alarm(&self, now: Instant) -> Option<Instant> {
        let wait = match self.state {
            State::Waiting(until) => Some(until),
            _ => None,
        };
        // What is past needs no alarm: the split is ready, or the engine holds it back and will activate the task.
        wait.into_iter().chain(self.clock.idle_at()).filter(|&at| at > now).min()
    }
}

/// The earliest alarm a task has set. Timely keeps every delayed activation it is asked for, so a task asks only when
/// none it already has is early enough.
#[derive(Default)]
pub(crate) struct Alarm(Option<Instant>);

impl Alarm {
    /// How long from `now` to set another alarm for `at`, if one is needed.
    pub(crate) fn set(&mut self, at: Instant, now: Instant) -> Option<Duration> {
        if self.0.is_some_and(|set| set > now && set <= at) {
            return None;
        }
        self.0 = Some(at);
        Some(at.saturating_duration_since(now))
    }
}
