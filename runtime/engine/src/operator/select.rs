//! Makes a new object of each record.

use super::filter::{is_bare_delete, refuse};
use super::rekey::without;
use crate::error::EngineError;
use crate::inbox::Arrived;
use crate::outputs::Outputs;
use crate::refuse::Refusals;
use crate::streams::Command;
use crate::task::{Flow, Logic, Moment};
use std::sync::Arc;
use tidewheel_native::Select;
use tidewheel_types::batch::RECORD_BYTES_MAX;
use tidewheel_types::{Batch, BytesColumn};

/// Bytes of values after which a batch ends: what is made may be larger than what it is made of.
const VALUES_BYTES_MAX: usize = 1 << 20;

/// A projection on one worker.
pub(crate) struct Selecting {
    select: Arc<Select>,
    refusals: Refusals,
}

impl Selecting {
    pub(crate) fn new(select: Arc<Select>, refusals: Refusals) -> Self {
        Selecting { select, refusals }
    }
}

impl Selecting {
    /// The values made of the records from `start` on, until they are many bytes: also which of them are refused, counted
    /// from `start`, and where they end.
    fn values(&mut self, batch: &Batch, start: usize) -> Result<(BytesColumn, Vec<usize>, usize), EngineError> {
        let mut values = BytesColumn::with_capacity(batch.len() - start, batch.values.bytes().len());
        let mut refused = Vec::new();
        for index in start..batch.len() {
            let before = values.bytes().len();
            let made = self.select.apply(batch.values.get(index), values.bytes_mut());
            if let Err(reason) = made.and_then(|()| check_len(values.bytes().len() - before)) {
                values.abandon_entry();
                if !is_bare_delete(batch, index) {
                    refuse(&mut self.refusals, batch, index, reason)?;
                    refused.push(index - start);
                }
            }
            values.end_entry();
            if values.bytes().len() >= VALUES_BYTES_MAX {
                return Ok((values, refused, index + 1));
            }
        }
        Ok((values, refused, batch.len()))
    }
}

impl Logic for Selecting {
    fn records(&mut self, arrived: &mut Arrived, _: &Moment, outputs: &mut Outputs) -> Result<Flow, EngineError> {
        let batch = std::mem::take(&mut arrived.batch);
        let mut start = 0;
        while start < batch.len() {
            let (values, refused, end) = self.values(&batch, start)?;
            let mut made = Batch::default();
            made.extend_from(&batch, start..end);
            made.values = values;
            let made = if refused.is_empty() { made } else { without(&made, refused) };
            outputs.emit(0, arrived.epoch, made);
            start = end;
        }
        self.refusals.emit(arrived.epoch, outputs);
        Ok(Flow::Done)
    }

    fn fire(&mut self, _: &Moment, _: &mut Outputs) -> Result<Flow, EngineError> {
        Ok(Flow::Done)
    }

    fn command(&mut self, _: &Command, _: &Moment) -> Result<Flow, EngineError> {
        Ok(Flow::Done)
    }
}

fn check_len(bytes: usize) -> Result<(), String> {
    match bytes <= RECORD_BYTES_MAX {
        true => Ok(()),
        false => Err(format!("what is made of it has {bytes} bytes, more than {RECORD_BYTES_MAX}")),
    }
}
