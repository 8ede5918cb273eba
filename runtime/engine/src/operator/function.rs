//! A user's function on one worker: its instance, how many records a call gets, what becomes of refused ones.

use super::emit::{self, Inherit};
use crate::error::EngineError;
use crate::outputs::Outputs;
use crate::refuse::{Refusals, Refused};
use crate::task::Moment;
use std::ops::Range;
use std::time::{Duration, Instant};
use tidewheel_guest::{Call, CallShape, Export, GuestError, Instance, Output};
use tidewheel_types::keyed_state::KeyedStateError;
use tidewheel_types::{Batch, Description, OperatorId};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// How long a call should take: the slowest call of an epoch is everyone's latency.
const CALL_AIM: Duration = Duration::from_millis(1);

/// Records in a call: at first, and at most.
const RECORDS_START: usize = 1 << 10;
const RECORDS_MAX: usize = 1 << 14;

/// Bytes of records in a call; one larger record travels alone.
const CALL_BYTES_MAX: usize = 4 << 20;

/// The function of an operator on one worker.
pub(crate) struct FunctionTask {
    operator: OperatorId,
    instance: Instance,
    refusals: Refusals,
    /// Declared outputs of the component.
    ports: usize,
    /// States of the component that ride.
    riding: u32,
    has_state_beside: bool,
    /// Seed of this task, and number of calls so far: together the seed of a call.
    seed: u64,
    calls: u64,
    /// How many records a call gets, by how long the last ones took.
    records: usize,
    /// The frame under construction; reused from call to call.
    pub(super) frame: Vec<u8>,
}

/// What a call's frame holds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    pub(super) records: usize,
    pub(super) groups: usize,
}

impl FunctionTask {
    pub(crate) fn new(
        operator: OperatorId,
        description: &Description,
        instance: Instance,
        refusals: Refusals,
        worker: usize,
    ) -> Self {
        FunctionTask {
            ports: description.output_count(),
            riding: description.riding_states() as u32,
            has_state_beside: description.riding_states() < description.states.len(),
            seed: xxh3_64_with_seed(operator.as_str().as_bytes(), worker as u64),
            operator,
            instance,
            refusals,
            calls: 0,
            records: RECORDS_START,
            frame: Vec::new(),
        }
    }

    /// Number of states that ride.
    pub(super) fn riding(&self) -> u32 {
        self.riding
    }

    /// Whether it has states that do not ride.
    pub(super) fn has_state_beside(&self) -> bool {
        self.has_state_beside
    }

    /// That its state could not be read or written.
    pub(super) fn state_failed(&self, source: KeyedStateError) -> EngineError {
        EngineError::State { operator: self.operator.clone(), source }
    }

    /// The records from `start` on that the next call should get.
    pub(super) fn piece(&self, batch: &Batch, start: usize) -> Range<usize> {
        let bytes_max = batch.values.range(start).start + CALL_BYTES_MAX;
        let fits = batch.values.ends()[start..].partition_point(|&end| end as usize <= bytes_max);
        start..start + fits.clamp(1, self.records).min(batch.len() - start)
    }

    /// As many groups as the next call should get.
    pub(super) fn groups_max(&self) -> usize {
        self.records
    }

    /// Calls the component with the frame that has been written.
    pub(super) fn call(&mut self, export: Export, held: Held, at: &Moment) -> Result<Output, EngineError> {
        self.calls += 1;
        let seed = xxh3_64_with_seed(&self.calls.to_le_bytes(), self.seed);
        let call = Call { now: at.now, watermark: at.watermark.0, seed };
        let shape = CallShape { records: held.records as u32, groups: held.groups as u32, windows: false };
        let began = Instant::now();
        let output = self.instance.call(export, call, &self.frame, &shape).map_err(|error| self.failed(error))?;
        self.adapt(held.records.max(held.groups), began.elapsed());
        Ok(output)
    }

    /// Sets the size of the next calls so that they take about as long as they should.
    fn adapt(&mut self, records: usize, took: Duration) {
        if records * 2 < self.records {
            // A small call says little about a large one, but one that took too long says enough.
            if took > CALL_AIM {
                self.records = (records / 2).max(1);
            }
            return;
        }
        let aim = records as u128 * CALL_AIM.as_nanos() / took.as_nanos().max(1);
        self.records = (aim as usize).clamp(self.records / 2, self.records * 2).clamp(1, RECORDS_MAX);
    }

    /// Sets the refused records aside and emits the rest of what a call gave.
    pub(super) fn finish(
        &mut self,
        output: &Output,
        from: &impl Inherit,
        at: &Moment,
        outputs: &mut Outputs,
    ) -> Result<(), EngineError> {
        for (record, reason) in output.rejected() {
            let record = record as usize;
            self.refusals.rejected(Refused {
                origin: from.origin(record),
                time: Some(from.time(record)),
                key: from.key(record),
                value: from.value(record),
                reason: reason.to_owned(),
            })?;
        }
        self.refusals.emit(at.epoch, outputs);
        emit::emit(output, from, self.ports, at.epoch, outputs);
        Ok(())
    }

    fn failed(&self, error: GuestError) -> EngineError {
        EngineError::Guest { operator: self.operator.clone(), source: Box::new(error) }
    }
}
