//! Lets records pass for which a condition holds.

use super::rekey::without;
use crate::error::EngineError;
use crate::inbox::Arrived;
use crate::outputs::Outputs;
use crate::refuse::{Refusals, Refused};
use crate::streams::Command;
use crate::task::{Flow, Logic, Moment};
use std::sync::Arc;
use tidewheel_native::Filter;
use tidewheel_types::Batch;
use tidewheel_types::batch::Change;

/// Whether record `index` says that a row goes away, and nothing else: it holds no value to look at.
pub(super) fn is_bare_delete(batch: &Batch, index: usize) -> bool {
    batch.changes.get(index) == Some(&(Change::Delete as u8)) && batch.values.range(index).is_empty()
}

/// Sets aside record `index`, which no function without a component can use.
pub(super) fn refuse(refusals: &mut Refusals, batch: &Batch, index: usize, reason: String) -> Result<(), EngineError> {
    refusals.rejected(Refused::of(batch, index, reason))
}

/// A filter on one worker.
pub(crate) struct Filtering {
    filter: Arc<Filter>,
    refusals: Refusals,
}

impl Filtering {
    pub(crate) fn new(filter: Arc<Filter>, refusals: Refusals) -> Self {
        Filtering { filter, refusals }
    }
}

impl Logic for Filtering {
    fn records(&mut self, arrived: &mut Arrived, _: &Moment, outputs: &mut Outputs) -> Result<Flow, EngineError> {
        let batch = std::mem::take(&mut arrived.batch);
        let mut dropped = Vec::new();
        for (index, value) in batch.values.iter().enumerate() {
            match self.filter.keeps(value) {
                Ok(true) => {}
                Ok(false) => dropped.push(index),
                Err(_) if is_bare_delete(&batch, index) => {}
                Err(reason) => {
                    refuse(&mut self.refusals, &batch, index, reason)?;
                    dropped.push(index);
                }
            }
        }
        self.refusals.emit(arrived.epoch, outputs);
        let kept = if dropped.is_empty() { batch } else { without(&batch, dropped) };
        outputs.emit(0, arrived.epoch, kept);
        Ok(Flow::Done)
    }

    fn fire(&mut self, _: &Moment, _: &mut Outputs) -> Result<Flow, EngineError> {
        Ok(Flow::Done)
    }

    fn command(&mut self, _: &Command, _: &Moment) -> Result<Flow, EngineError> {
        Ok(Flow::Done)
    }
}
