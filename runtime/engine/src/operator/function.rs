//! An operator's function on one worker: what is called, how many records a call gets, and what becomes of those it refuses or
//! fails of.

use super::callee::Callee;
use super::cuts::{Cuts, Verdict};
use super::emit::{self, Inherit, Piece};
use super::poison;
use super::retry::Retry;
use super::size::{self, CALL_BYTES_MAX, CallSize};
use crate::capsules::Capsules;
use crate::error::{CallFault, EngineError};
use crate::inbox::Arrived;
use crate::outputs::Outputs;
use crate::refuse::{Refusals, Refused, Target};
use crate::task::{Flow, Moment};
use std::ops::Range;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;
use tidewheel_guest::{Call, CallShape, Export, GuestError, Limits, Output};
use tidewheel_types::batch::KEY_BYTES_MAX;
use tidewheel_types::keyed_state::{Cells, KeyedStateError};
use tidewheel_types::{Batch, BytesColumn, Description, OperatorId};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// How much larger the results of a call may be with the keys they inherit than the frame they come in.
const INHERITED_FACTOR: u64 = 4;

/// The function of an operator on one worker.
pub(crate) struct FunctionTask {
    operator: OperatorId,
    callee: Callee,
    limits: Limits,
    refusals: Refusals,
    description: Rc<Description>,
    /// Seed of this task, and number of calls so far: together the seed of a call.
    seed: u64,
    calls: u64,
    /// The sizes of calls with records, and of those with timers or windows.
    records: CallSize,
    groups: CallSize,
    retry: Retry,
    /// Every call gets one record or timer, in an instance of its own.
    fresh_instances: bool,
    /// It is the component of a source, and may make marks.
    in_source: bool,
    capsules: Arc<Capsules>,
    /// The call that was made last.
    last: Option<(Export, Call, CallShape)>,
    /// The frame under construction; reused from call to call.
    pub(super) frame: Vec<u8>,
}

/// What the calls of a kind get pieces of, and so what their sizes count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pieces {
    /// A batch: records.
    Records,
    /// A round: timers or windows, a group each.
    Groups,
}

/// A call to be made with the frame that has been written.
pub(super) struct Attempt<'a> {
    pub(super) export: Export,
    pub(super) pieces: Pieces,
    /// What the frame holds: of the batch, the round of timers or that of windows.
    pub(super) piece: Range<usize>,
    /// Records and groups of the frame.
    pub(super) records: usize,
    pub(super) groups: usize,
    /// Bytes of its state.
    pub(super) state_bytes: usize,
    /// Of the batch or round.
    pub(super) cuts: &'a mut Cuts,
}

/// What came of a call.
pub(super) enum Called {
    /// This, checked.
    Returned(Output),
    /// The one record, timer or window of the frame is poison: it is to be set aside.
    Poison(CallFault),
    /// Nothing yet: the piece is to be asked for again, at once or later.
    Again(Flow),
}

impl FunctionTask {
    pub(crate) fn new(
        operator: OperatorId,
        description: &Description,
        callee: Callee,
        limits: Limits,
        refusals: Refusals,
        (worker, capsules): (usize, Arc<Capsules>),
    ) -> Self {
        let size = CallSize::new(limits.output_bytes_max, limits.records_max);
        FunctionTask {
            description: Rc::new(description.clone()),
            seed: xxh3_64_with_seed(operator.as_str().as_bytes(), worker as u64),
            operator,
            callee,
            limits,
            refusals,
            calls: 0,
            records: size.clone(),
            groups: size,
            retry: Retry::default(),
            fresh_instances: false,
            in_source: false,
            capsules,
            last: None,
            frame: Vec::new(),
        }
    }

    /// The same, whose calls get one record or timer each, in an instance of its own, if so.
    pub(crate) fn with_fresh_instances(self, fresh_instances: bool) -> Self {
        FunctionTask { fresh_instances, ..self }
    }

    /// The same, of a source.
    pub(crate) fn in_source(self) -> Self {
        FunctionTask { in_source: true, ..self }
    }

    /// Number of states that ride.
    pub(super) fn riding(&self) -> u32 {
        self.description.riding_states() as u32
    }

    /// Whether it has states that do not ride.
    pub(super) fn has_state_beside(&self) -> bool {
        self.description.riding_states() < self.description.states.len()
    }

    /// What the component says of itself.
    pub(super) fn description(&self) -> Rc<Description> {
        self.description.clone()
    }

    /// That its state could not be read or written.
    pub(super) fn state_failed(&self, source: KeyedStateError) -> EngineError {
        EngineError::State { operator: self.operator.clone(), source }
    }

    /// Whether the guest has asked not to be called yet.
    pub(super) fn is_waiting(&self) -> bool {
        self.retry.is_waiting()
    }

    /// The records of a batch that the next call should get.
    pub(super) fn piece(&self, arrived: &Arrived) -> Range<usize> {
        let (batch, start) = (&arrived.batch, arrived.done);
        let end = arrived.cuts.end().unwrap_or(batch.len()).min(start + self.call_max(Pieces::Records));
        let all = start..end;
        if batch.size_bytes() <= CALL_BYTES_MAX {
            return all;
        }
        fitting(all, |record| batch.record_bytes(record) + header_bytes(batch, record))
    }

    /// The timers or windows of a round, `start` of which have fired, that the next call should get.
    pub(super) fn piece_of_round(&self, keys: &BytesColumn, start: usize, cuts: &Cuts) -> Range<usize> {
        let end = cuts.end().unwrap_or(keys.len()).min(start + self.call_max(Pieces::Groups));
        fitting(start..end, |timer| keys.range(timer).len())
    }

    /// As many timers or windows as a round should have.
    pub(super) fn round_max(&self) -> usize {
        self.groups.records()
    }

    /// As many records, timers or windows as a call should get.
    fn call_max(&self, pieces: Pieces) -> usize {
        match pieces {
            _ if self.fresh_instances => 1,
            Pieces::Records => self.records.records(),
            Pieces::Groups => self.groups.records(),
        }
    }

    /// The part of `piece` that a frame should hold, now that the state is known that rides along.
    pub(super) fn fitting_state(&mut self, pieces: Pieces, piece: &Range<usize>, cells: &Cells) -> Range<usize> {
        self.size(pieces).state(piece.len(), cells.bytes.len());
        size::fitting_state(piece, cells)
    }

    /// Keys and states as large as this are there.
    pub(super) fn note_size(&mut self, bytes: usize) {
        self.records.read(bytes);
        self.groups.read(bytes);
    }

    fn size(&mut self, pieces: Pieces) -> &mut CallSize {
        match pieces {
            Pieces::Records => &mut self.records,
            Pieces::Groups => &mut self.groups,
        }
    }

    /// Calls the component with the frame that has been written. `from` is what it holds.
    pub(super) fn call(
        &mut self,
        attempt: Attempt<'_>,
        from: &impl Inherit,
        at: &Moment,
    ) -> Result<Called, EngineError> {
        let Attempt { pieces, piece, cuts, .. } = &attempt;
        let in_new_instance = cuts.is_searching() || self.fresh_instances;
        if in_new_instance {
            // In a fresh instance: nothing that came before may be to blame. Starting it has the whole deadline.
            let deadline_ms = cuts.deadline_ms(piece.len(), self.limits.deadline_ms_max);
            self.callee.begin_anew(deadline_ms).map_err(|error| self.failed(error))?;
        }
        let began = Instant::now();
        let returned = self.call_once(&attempt, from, at);
        if in_new_instance {
            self.callee.end_search(self.limits.deadline_ms_max);
        }
        let (pieces, records) = (*pieces, piece.len());
        let output = match returned {
            Ok(output) => output,
            Err(fault) => return self.call_failed(fault, attempt, from),
        };
        self.retry.taken();
        match attempt.cuts.is_searching() {
            true => {
                if let Some(records_max) = attempt.cuts.succeeded(&attempt.piece) {
                    self.size(pieces).too_many(records_max);
                }
            }
            false => self.size(pieces).took(records, began.elapsed()),
        }
        Ok(Called::Returned(output))
    }

    /// Makes a call and checks what it gave as far as the guest crate, which knows no keys, cannot.
    fn call_once(&mut self, attempt: &Attempt<'_>, from: &impl Inherit, at: &Moment) -> Result<Output, CallFault> {
        self.calls += 1;
        let seed = xxh3_64_with_seed(&self.calls.to_le_bytes(), self.seed);
        let call = Call { now: at.now, watermark: at.watermark.0, seed };
        let windows = attempt.export == Export::Process && attempt.pieces == Pieces::Groups;
        let (records, groups) = (attempt.records as u32, attempt.groups as u32);
        let shape = CallShape { records, groups, windows, in_source: self.in_source };
        self.last = Some((attempt.export, call, shape));
        let called = self.callee.call((attempt.export, call), &self.frame, &shape, &self.description);
        self.refusals.metrics().calls.fetch_add(1, Ordering::Relaxed);
        self.pass_on_log(attempt, from);
        let output = called?;
        let (bytes, bytes_max) = (emit::bytes_max(&output, from), self.limits.output_bytes_max * INHERITED_FACTOR);
        if bytes as u64 > bytes_max {
            return Err(CallFault::Inherited { bytes, bytes_max });
        }
        if output.keys().is_some_and(|(_, keys)| keys.len() > KEY_BYTES_MAX) {
            let longest = (0..output.len()).filter_map(|record| output.key(record)).map(<[u8]>::len).max();
            if let Some(bytes) = longest.filter(|&bytes| bytes > KEY_BYTES_MAX) {
                return Err(CallFault::Key { bytes, bytes_max: KEY_BYTES_MAX });
            }
        }
        self.size(attempt.pieces).output(attempt.piece.len(), bytes + attempt.state_bytes);
        Ok(output)
    }

    /// Writes what the call has logged about records, with where these came from.
    fn pass_on_log(&mut self, attempt: &Attempt<'_>, from: &impl Inherit) {
        let are_records = attempt.pieces == Pieces::Records;
        for line in self.callee.take_log() {
            let record = line.record.map(|record| record as usize);
            let origin = record.filter(|&record| are_records && record < attempt.records).map(|at| from.origin(at));
            self.refusals.log(&line, origin);
        }
    }

    fn call_failed(
        &mut self,
        fault: CallFault,
        attempt: Attempt<'_>,
        from: &impl Inherit,
    ) -> Result<Called, EngineError> {
        self.refusals.metrics().failed_calls.fetch_add(1, Ordering::Relaxed);
        let fault = match fault {
            // The network may be back soon; a record is not set aside because it is away.
            CallFault::Guest(error) if error.is_retryable() || error.waited() && attempt.piece.len() <= 1 => {
                match self.retry.later() {
                    Some(wait) => {
                        if error.waited() {
                            let (operator, wait_ms) = (self.operator.as_str(), wait.as_millis());
                            tracing::warn!(
                                operator,
                                wait_ms,
                                "a record waited in vain for an answer over HTTP, and waits again"
                            );
                        }
                        return Ok(Called::Again(Flow::After(wait)));
                    }
                    None => return Err(self.failed(*error)),
                }
            }
            CallFault::Guest(error) if !poison::may_be(&error, attempt.export) => return Err(self.failed(*error)),
            CallFault::State(source) => return Err(self.state_failed(source)),
            fault => fault,
        };
        // Records of a fire call are accumulators, of which a window may have several: whose is to blame is not known.
        let to_blame = if attempt.export == Export::Fire { 0 } else { attempt.records };
        match attempt.cuts.failed(&attempt.piece, poison::failure(&fault, from, to_blame)) {
            Verdict::TryAgain => Ok(Called::Again(Flow::More)),
            Verdict::Poison => Ok(Called::Poison(match fault {
                CallFault::Guest(error) => CallFault::Guest(Box::new(self.callee.located(*error))),
                fault => fault,
            })),
        }
    }

    /// Sets the refused records aside and emits the rest of what a call gave.
    pub(super) fn finish(
        &mut self,
        output: &Output,
        from: &impl Inherit,
        at: &Moment,
        outputs: &mut Outputs,
    ) -> Result<(), EngineError> {
        let rejected = output.rejected();
        self.reject(rejected.map(|(record, reason)| refused(from, record as usize, reason.to_owned())), at, outputs)?;
        self.emit(output, from, at, outputs);
        Ok(())
    }

    /// Sets refused records aside.
    pub(super) fn reject<'a>(
        &mut self,
        mut refused: impl Iterator<Item = Refused<'a>>,
        at: &Moment,
        outputs: &mut Outputs,
    ) -> Result<(), EngineError> {
        refused.try_for_each(|refused| self.refusals.rejected(refused))?;
        self.refusals.emit(at.epoch, outputs);
        Ok(())
    }

    /// Emits what a call gave.
    pub(super) fn emit(&self, output: &Output, from: &impl Inherit, at: &Moment, outputs: &mut Outputs) {
        emit::emit(output, from, self.description.output_count(), at.epoch, outputs);
    }

    /// Sets records aside that need not be given to the function, with the reason.
    pub(super) fn refuse(
        &mut self,
        batch: &Batch,
        records: &mut Vec<(usize, String)>,
        at: &Moment,
        outputs: &mut Outputs,
    ) -> Result<(), EngineError> {
        for (record, reason) in records.drain(..) {
            self.refusals.rejected(refused(&Piece { batch, range: record..record + 1 }, 0, reason))?;
        }
        self.refusals.emit(at.epoch, outputs);
        Ok(())
    }

    /// Sets the first of `from` aside, the only one of a call that failed.
    pub(super) fn set_aside(
        &mut self,
        fault: CallFault,
        from: &impl Inherit,
        target: Target<'_>,
        at: &Moment,
        outputs: &mut Outputs,
    ) -> Result<(), EngineError> {
        let refused = refused(from, 0, poison::reason(&fault));
        let capsule = self.keep_call(&fault, &refused, &target);
        self.refusals.poison(refused, target, fault, capsule)?;
        self.refusals.emit(at.epoch, outputs);
        Ok(())
    }

    /// Keeps the last call, which failed, so that it can be made again.
    fn keep_call(&self, fault: &CallFault, refused: &Refused<'_>, target: &Target<'_>) -> Option<PathBuf> {
        // What the guest gave is all that is wrong with the others: nothing in the call fails again.
        let (CallFault::Guest(error), Callee::Component(instance), Some(call)) = (fault, &self.callee, self.last)
        else {
            return None;
        };
        let called = (self.operator.as_str(), instance.component());
        self.capsules.keep(called, &refused.reason, |job| {
            instance.capsule(call, &self.frame, error, (job, self.refusals.describe(target, refused)))
        })
    }

    fn failed(&self, error: GuestError) -> EngineError {
        EngineError::Guest { operator: self.operator.clone(), source: Box::new(self.callee.located(error)) }
    }
}

fn refused<'a>(from: &'a impl Inherit, record: usize, reason: String) -> Refused<'a> {
    Refused {
        origin: from.origin(record),
        time: Some(from.time(record)),
        key: from.key(record),
        value: from.value(record),
        within: from.within(record),
        reason,
    }
}

/// As many of `range`, from its start, as fit into a frame, but at least one.
fn fitting(range: Range<usize>, bytes_of: impl Fn(usize) -> usize) -> Range<usize> {
    let mut bytes = 0;
    let fits = |&record: &usize| {
        bytes += bytes_of(record);
        bytes <= CALL_BYTES_MAX
    };
    let count = range.clone().take_while(fits).count().max(1);
    range.start..(range.start + count).min(range.end)
}

fn header_bytes(batch: &Batch, record: usize) -> usize {
    batch.headers.of(record).map(|(name, value)| name.len() + value.len()).sum()
}
