//! What an operator calls: a component, or the aggregates of a job that needs none. Both read and write the same frames.

use crate::error::CallFault;
use std::sync::Arc;
use tidewheel_guest::{Call, CallShape, Export, Frame, FrameWriter, GuestError, Instance, LogLine, Output, column};
use tidewheel_native::{Aggregates, Damaged};
use tidewheel_types::Description;
use tidewheel_types::description::Port;
use tidewheel_types::keyed_state::{ABSENT, Cells, KeyedStateError};

/// What an operator calls.
pub(crate) enum Callee {
    Component(Instance),
    Aggregates(Arc<Aggregates>),
}

impl Callee {
    /// Makes a call of `export` with a frame. What comes back keeps to the contract of `description`.
    pub(super) fn call(
        &mut self,
        (export, call): (Export, Call),
        frame: &[u8],
        shape: &CallShape,
        description: &Description,
    ) -> Result<Output, CallFault> {
        match self {
            Callee::Component(instance) => Ok(instance.call(export, call, frame, shape).map_err(Box::new)?),
            Callee::Aggregates(aggregates) => {
                let frame = Frame::read(frame).expect("the host writes frames as it reads them");
                let called = match export {
                    Export::Accumulate => accumulate(aggregates, &frame),
                    _ => fire(aggregates, &frame),
                };
                let returned = called.map_err(|damaged| CallFault::State(KeyedStateError(damaged.to_string())))?;
                // All that it can break is a limit: values that are too large.
                Output::of_host(returned, export, shape, description).map_err(CallFault::Result)
            }
        }
    }

    /// What comes before is not to matter to the next call, which may take so long.
    pub(super) fn begin_anew(&mut self, deadline_ms: u64) -> Result<(), GuestError> {
        if let Callee::Component(instance) = self {
            // The record that is alone may be the one to blame.
            instance.keep_answers(true);
            instance.recycle()?;
            instance.set_deadline_ms(deadline_ms);
        }
        Ok(())
    }

    /// Calls may take so long again, and nothing is kept of what they are told.
    pub(super) fn end_search(&mut self, deadline_ms: u64) {
        if let Callee::Component(instance) = self {
            instance.keep_answers(false);
            instance.set_deadline_ms(deadline_ms);
        }
    }

    /// An error of a call, with lines of source where they are known.
    pub(super) fn located(&self, error: GuestError) -> GuestError {
        match self {
            Callee::Component(instance) => instance.component().located(error),
            Callee::Aggregates(_) => error,
        }
    }

    /// What the last call has logged and is held.
    pub(super) fn take_log(&mut self) -> Vec<LogLine> {
        match self {
            Callee::Component(instance) => instance.take_log(),
            Callee::Aggregates(_) => Vec::new(),
        }
    }
}

/// What aggregates say of themselves.
pub(crate) fn describe(aggregates: &Aggregates) -> Description {
    let outputs = vec![Port { format: "json".to_owned(), ..Port::default() }];
    Description { outputs, states: vec![aggregates.state()], ..Description::default() }
}

/// New records into the accumulators of their groups.
fn accumulate(aggregates: &Aggregates, frame: &Frame<'_>) -> Result<Vec<u8>, Damaged> {
    let values = entries(frame, column::VALUE_ENDS, column::VALUES);
    let stored = entries(frame, column::CELL_ENDS, column::CELLS);
    let (mut accumulators, mut first) = (Cells::default(), 0);
    let (mut refused, mut rejected, mut reasons) = (Vec::new(), Vec::new(), Vec::new());
    for (stored, end) in stored.into_iter().zip(numbers(frame, column::RECORD_ENDS)) {
        let records = &values[first..end as usize];
        let accumulator = aggregates.accumulate(stored, records.iter().flatten().copied(), &mut refused)?;
        // A group that only refused records does not begin to exist.
        let is_there = stored.is_some() || refused.len() < records.len();
        accumulators.push(is_there.then_some(&accumulator));
        for (record, reason) in refused.drain(..) {
            reasons.extend_from_slice(reason.as_bytes());
            rejected.extend([(first + record) as u32, reasons.len() as u32]);
        }
        first = end as usize;
    }
    let columns = [column::CELL_ENDS, column::CELLS, column::REJECTED, column::REASONS];
    let mut out = Vec::new();
    let mut writer = FrameWriter::new(&mut out, &columns);
    writer.numbers(column::CELL_ENDS, &accumulators.ends);
    writer.column(column::CELLS).extend_from_slice(&accumulators.bytes);
    writer.numbers(column::REJECTED, &rejected);
    writer.column(column::REASONS).extend_from_slice(&reasons);
    writer.finish();
    Ok(out)
}

/// The accumulators of each window into one, and its result out.
fn fire(aggregates: &Aggregates, frame: &Frame<'_>) -> Result<Vec<u8>, Damaged> {
    let keys = entries(frame, column::KEY_ENDS, column::KEYS);
    let accumulators = entries(frame, column::VALUE_ENDS, column::VALUES);
    let (bounds, _) = frame.column(column::WINDOWS).as_chunks::<8>();
    let (mut sources, mut ends, mut results, mut first) = (Vec::new(), Vec::new(), Vec::new(), 0);
    for (group, end) in numbers(frame, column::RECORD_ENDS).enumerate() {
        let merged = aggregates.merge(accumulators[first..end as usize].iter().flatten().copied())?;
        let [start, end_of_window] = [0, 1].map(|bound| i64::from_le_bytes(bounds[group * 2 + bound]));
        // One of so many records has neither.
        let window = (start != i64::MIN).then_some([start, end_of_window]);
        aggregates.result(&merged, keys[group].unwrap_or_default(), window, &mut results)?;
        sources.push(group as u32);
        ends.push(results.len() as u32);
        first = end as usize;
    }
    let mut out = Vec::new();
    // In order of their ids.
    let mut writer = FrameWriter::new(&mut out, &[column::VALUE_ENDS, column::VALUES, column::SOURCES]);
    writer.numbers(column::VALUE_ENDS, &ends);
    writer.column(column::VALUES).extend_from_slice(&results);
    writer.numbers(column::SOURCES, &sources);
    writer.finish();
    Ok(out)
}

fn numbers<'f>(frame: &Frame<'f>, id: u32) -> impl Iterator<Item = u32> + use<'f> {
    frame.column(id).as_chunks().0.iter().map(|&number| u32::from_le_bytes(number))
}

/// The entries of a column of byte strings; none where one is absent.
fn entries<'f>(frame: &Frame<'f>, ends: u32, bytes: u32) -> Vec<Option<&'f [u8]>> {
    let (bytes, mut start) = (frame.column(bytes), 0);
    let entries = numbers(frame, ends).map(|end| {
        let is_there = end & ABSENT == 0;
        let entry = &bytes[start..(end & !ABSENT) as usize];
        start = (end & !ABSENT) as usize;
        is_there.then_some(entry)
    });
    entries.collect()
}
