//! What an operator can do besides returning: emit, set timers, look at the clock, log.

use crate::batch::Batch;
use crate::emitted::{Details, Emit, Emitted, Origin};
use crate::error::Error;
use crate::format::{Encode, Format};
use crate::frame::{self, id, push_word};
use crate::host;
use crate::operator::Operator;
use crate::ports::{Output, Timer};
use crate::record::{Key, Window};
use crate::state::Writes;
use crate::time::EventTime;
use crate::wit::keyed::tidewheel::operator::log::Level as HostLevel;
use crate::wit::keyed::tidewheel::operator::types::Call;
use std::fmt::Display;
use std::marker::PhantomData;

/// The call at hand, and in it the record, timer or window at hand.
///
/// What is emitted inherits the time and key of the record it is made from; of a timer, its time and key; of a window,
/// the last time in it and its key.
pub struct Context<'a, O> {
    batch: &'a Batch<'a>,
    call: Call,
    emitted: Emitted,
    timers: Vec<u8>,
    rejected: Vec<u8>,
    reasons: Vec<u8>,
    marks: Vec<u8>,
    /// Whether records are made from records or from groups.
    origin: Origin,
    /// What an emitted record names as its source.
    source: usize,
    /// What log lines name.
    record: Option<usize>,
    group: usize,
    random: u64,
    /// The first value of the record at hand that could not be written.
    unwritten: Option<Error>,
    operator: PhantomData<fn() -> O>,
}

/// How much a log line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Something is wrong.
    Error,
    /// Something may be wrong.
    Warn,
    /// Good to know.
    Info,
    /// For finding a fault.
    Debug,
    /// Every step.
    Trace,
}

/// What a record has done so far, to be undone when it is rejected.
#[derive(Clone, Copy)]
pub(crate) struct Position {
    emitted: usize,
    timers: usize,
    marks: usize,
}

impl<'a, O: Operator> Context<'a, O> {
    /// Emits a value on the main output.
    ///
    /// A value that its format cannot hold (a JSON map with keys that are no strings) rejects the record at hand.
    #[inline]
    pub fn emit(&mut self, value: <O::Output as Format>::Value<'_>)
    where
        O::Output: Encode,
    {
        let encoded = O::Output::encode(&value, self.emitted.values_mut());
        self.complete(encoded.map_err(Error::from), 0, None);
    }

    /// Emits a value on the main output by writing its bytes in place. They must be those of the output's format.
    #[inline]
    pub fn emit_with(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        write(self.emitted.values_mut());
        self.emitted.complete(self.batch, self.source, 0, None);
    }

    /// Emits a record on the main output, with a time, key, headers or change of its own.
    pub fn emit_record(&mut self, record: Emit<'_, <O::Output as Format>::Value<'_>>)
    where
        O::Output: Encode,
    {
        let encoded = O::Output::encode(&record.value, self.emitted.values_mut());
        self.complete(encoded.map_err(Error::from), 0, Some(record.details));
    }

    /// Emits a value on a side output.
    pub fn emit_to<F: Encode>(&mut self, output: &Output<F>, value: F::Value<'_>) {
        let encoded = F::encode(&value, self.emitted.values_mut());
        self.complete(encoded.map_err(Error::from), output.index(), None);
    }

    /// Emits a record on a side output, with a time, key, headers or change of its own.
    pub fn emit_record_to<F: Encode>(&mut self, output: &Output<F>, record: Emit<'_, F::Value<'_>>) {
        let encoded = F::encode(&record.value, self.emitted.values_mut());
        self.complete(encoded.map_err(Error::from), output.index(), Some(record.details));
    }

    /// The key of the record, timer or window at hand; empty on a stream without keys.
    #[inline]
    pub fn key(&self) -> Key<'a> {
        Key(self.batch.key(self.group))
    }

    /// The window at hand, in an operator that has windows.
    pub fn window(&self) -> Option<Window> {
        self.batch.window(self.group)
    }

    /// Whether this is the first part of the window at hand, for an operator that takes large ones
    /// [in parts](crate::ProcessWindow::IN_PARTS).
    pub fn is_first_part(&self) -> bool {
        self.batch.part(self.group).is_first
    }

    /// Whether this is the last part of the window at hand.
    pub fn is_last_part(&self) -> bool {
        self.batch.part(self.group).is_last
    }

    /// The watermark: no record at or below it will come, unless late. `None` before the first.
    pub fn watermark(&self) -> Option<EventTime> {
        (self.call.watermark != i64::MIN).then_some(EventTime(self.call.watermark))
    }

    /// Processing time. It stands still during a call.
    pub fn now(&self) -> EventTime {
        EventTime(self.call.now)
    }

    /// A random number. Each call begins from a seed the host gives, so a call can be repeated exactly.
    pub fn random(&mut self) -> u64 {
        // splitmix64: one addition of state, so any seed is a good one.
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.random ^ (self.random >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Writes a line to the job's log; it carries the record at hand.
    pub fn log(&self, level: Level, message: impl Display) {
        let level = match level {
            Level::Error => HostLevel::Error,
            Level::Warn => HostLevel::Warn,
            Level::Info => HostLevel::Info,
            Level::Debug => HostLevel::Debug,
            Level::Trace => HostLevel::Trace,
        };
        host::log(level, self.record.map(|record| record as u32), &message.to_string());
    }

    #[inline]
    fn complete(&mut self, encoded: Result<(), Error>, output: u8, details: Option<Details<'_>>) {
        match encoded {
            Ok(()) => self.emitted.complete(self.batch, self.source, output, details),
            Err(error) => self.keep_unwritten(error),
        }
    }

    #[cold]
    fn keep_unwritten(&mut self, error: Error) {
        self.emitted.abandon();
        self.unwritten.get_or_insert(error);
    }
}

/// The adapters' side.
impl<'a, O> Context<'a, O> {
    pub(crate) fn new(batch: &'a Batch<'a>, call: Call, origin: Origin) -> Context<'a, O> {
        Context {
            batch,
            random: call.seed,
            call,
            emitted: Emitted::for_batch(batch, origin),
            timers: Vec::new(),
            rejected: Vec::new(),
            reasons: Vec::new(),
            marks: Vec::new(),
            origin,
            source: 0,
            record: None,
            group: 0,
            unwritten: None,
            operator: PhantomData,
        }
    }

    /// Puts a record at hand, or in a call with timers a timer.
    #[inline]
    pub(crate) fn begin_record(&mut self, record: usize, group: usize) -> Position {
        let source = match self.origin {
            Origin::Record => record,
            Origin::Group => group,
        };
        (self.source, self.record, self.group) = (source, Some(record), group);
        Position { emitted: self.emitted.len(), timers: self.timers.len(), marks: self.marks.len() }
    }

    /// Puts a group as a whole at hand.
    pub(crate) fn begin_group(&mut self, group: usize) {
        (self.source, self.record, self.group) = (group, None, group);
    }

    /// The error of a value that could not be written since the record began.
    #[inline]
    pub(crate) fn take_unwritten(&mut self) -> Result<(), Error> {
        match self.unwritten.take() {
            None => Ok(()),
            Some(error) => Err(error),
        }
    }

    /// Rejects the record at hand and undoes what it emitted, which timers it set and which marks it made.
    #[cold]
    pub(crate) fn reject(&mut self, record: usize, position: Position, reason: &str) {
        self.emitted.truncate(position.emitted);
        self.timers.truncate(position.timers);
        self.marks.truncate(position.marks);
        self.unwritten = None;
        self.reject_only(record, reason);
    }

    /// Rejects a record that nothing has come of.
    #[cold]
    pub(crate) fn reject_only(&mut self, record: usize, reason: &str) {
        self.reasons.extend_from_slice(reason.as_bytes());
        push_word(&mut self.rejected, record as u32);
        push_word(&mut self.rejected, self.reasons.len() as u32);
    }

    /// Adds an entry to the column of timers.
    pub(crate) fn push_timer(&mut self, timer: Timer, op: u16, at: EventTime) {
        push_word(&mut self.timers, self.group as u32);
        self.timers.extend_from_slice(&timer.slot().to_le_bytes());
        self.timers.extend_from_slice(&op.to_le_bytes());
        self.timers.extend_from_slice(&at.0.to_le_bytes());
    }

    /// Adds an entry to the column of marks.
    pub(crate) fn push_mark(&mut self, at: EventTime) {
        push_word(&mut self.marks, self.source as u32);
        push_word(&mut self.marks, 0);
        self.marks.extend_from_slice(&at.0.to_le_bytes());
    }

    /// The timer at hand, in a call with timers.
    pub(crate) fn due_timer(&self) -> Timer {
        Timer::at(self.record.map_or(0, |record| self.batch.byte(id::INPUTS, record, 0)).into())
    }

    /// The frame that goes back to the host.
    pub(crate) fn finish(self, writes: &Writes) -> Vec<u8> {
        let emitted = self.emitted.columns();
        let mut columns = [(0, &[][..]); 17];
        columns[..11].copy_from_slice(&emitted);
        columns[11] = (id::WRITES, &writes.entries);
        columns[12] = (id::WRITE_BYTES, &writes.bytes);
        columns[13] = (id::TIMERS, &self.timers);
        columns[14] = (id::REJECTED, &self.rejected);
        columns[15] = (id::REASONS, &self.reasons);
        columns[16] = (id::MARKS, &self.marks);
        frame::write(&columns)
    }
}
