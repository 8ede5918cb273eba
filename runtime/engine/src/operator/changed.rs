//! Lets a record pass that says something new of its key: its first in a time, or one whose fields have changed.

use super::filter::{is_bare_delete, refuse};
use super::group::Grouping;
use super::memory::Memory;
use crate::error::EngineError;
use crate::inbox::Arrived;
use crate::outputs::Outputs;
use crate::plan::{Changed, Remember};
use crate::refuse::Refusals;
use crate::streams::Command;
use crate::task::{Flow, Logic, Moment};
use std::ops::Range;
use tidewheel_types::Batch;
use tidewheel_types::batch::Change;
use tidewheel_types::keyed_state::Write;

/// Such an operator on one worker.
pub(crate) struct Changing {
    changed: Changed,
    memory: Memory,
    refusals: Refusals,
    grouping: Grouping,
    /// The fields of the record at hand.
    text: Vec<u8>,
}

/// What is remembered of a key's last record that passed.
#[derive(Clone, Debug, PartialEq)]
struct Last {
    time: i64,
    fields: Vec<u8>,
}

impl Last {
    /// A JSON array: the time, where it counts, and the fields.
    fn encode(&self, has_time: bool) -> Vec<u8> {
        let mut value = vec![b'['];
        if has_time {
            value.extend_from_slice(self.time.to_string().as_bytes());
            value.extend((!self.fields.is_empty()).then_some(b','));
        }
        value.extend_from_slice(&self.fields);
        value.push(b']');
        value
    }

    fn decode(value: &[u8], has_time: bool) -> Option<Last> {
        let content = value.strip_prefix(b"[")?.strip_suffix(b"]")?;
        if !has_time {
            return Some(Last { time: i64::MIN, fields: content.to_vec() });
        }
        let end = content.iter().position(|&byte| byte == b',').unwrap_or(content.len());
        let time = str::from_utf8(&content[..end]).ok()?.parse().ok()?;
        Some(Last { time, fields: content.get(end + 1..).unwrap_or_default().to_vec() })
    }
}

/// What has become of the memory of a group of records.
#[derive(Default)]
struct Writes {
    /// By group: what is remembered now, or nothing.
    values: Vec<(usize, Option<Vec<u8>>)>,
    timers: Vec<(usize, Option<i64>)>,
}

impl Changing {
    pub(crate) fn new(changed: Changed, memory: Memory, refusals: Refusals) -> Self {
        Changing { changed, memory, refusals, grouping: Grouping::default(), text: Vec::new() }
    }

    /// For how long of event time a record is remembered, if that is how.
    fn within(&self) -> Option<i64> {
        match self.changed.remember {
            Remember::Event(within_ms) => Some(within_ms),
            Remember::ForEver | Remember::Processing(_) => None,
        }
    }

    /// Groups the records of `piece`, or of fewer, and reads what is remembered of their keys.
    fn prepare(
        &mut self,
        grouping: &mut Grouping,
        batch: &Batch,
        mut piece: Range<usize>,
    ) -> Result<Range<usize>, EngineError> {
        loop {
            grouping.by_key(batch, piece.clone());
            let keys = (0..grouping.len()).map(|group| grouping.state_key(&batch.keys, group));
            let fitting = self.memory.read(&piece, keys)?;
            if fitting == piece {
                return Ok(piece);
            }
            piece = fitting;
        }
    }

    /// Whether record `index` passes, whose key's last record was `last`; and that is this one then.
    fn passes(&mut self, batch: &Batch, index: usize, last: &mut Option<Last>) -> Result<bool, EngineError> {
        let change = batch.changes.get(index).copied().unwrap_or_default();
        if self.changed.of_rows && change == Change::UpdateBefore as u8 {
            return Ok(false);
        }
        if self.changed.of_rows && change == Change::Delete as u8 || is_bare_delete(batch, index) {
            *last = None;
            return Ok(true);
        }
        self.text.clear();
        if let Err(reason) = self.changed.fingerprint.write(batch.values.get(index), &mut self.text) {
            refuse(&mut self.refusals, batch, index, reason)?;
            return Ok(false);
        }
        let time = batch.times[index];
        let is_over = |last: &Last| self.within().is_some_and(|within_ms| time >= last.time.saturating_add(within_ms));
        let is_new = last.as_ref().is_none_or(|last| last.fields != self.text || is_over(last));
        if is_new {
            let time = last.as_ref().map_or(time, |last| last.time.max(time));
            *last = Some(Last { time, fields: self.text.clone() });
        }
        Ok(is_new)
    }

    /// Deals with the records of each key in order; adds those that pass to `passed`.
    fn decide(&mut self, batch: &Batch, grouping: &Grouping, passed: &mut Vec<u32>) -> Result<Writes, EngineError> {
        let (within, mut writes, mut start) = (self.within(), Writes::default(), 0);
        for group in 0..grouping.len() {
            let end = grouping.record_ends()[group] as usize;
            let stored = self.memory.cells.get(group).map(|value| Last::decode(value, within.is_some()));
            let before = stored.map(|last| last.ok_or_else(|| self.memory.damaged())).transpose()?;
            let mut last = before.clone();
            let passed_before = passed.len();
            for &index in &grouping.order()[start..end] {
                if self.passes(batch, index as usize, &mut last)? {
                    passed.push(index);
                }
            }
            start = end;
            // Passing is being remembered anew, also where nothing looks different: a time-to-live begins again.
            if passed.len() > passed_before && (last.is_some() || before.is_some()) {
                if let Some(within_ms) = within {
                    let time = last.as_ref().map(|last| last.time.saturating_add(within_ms - 1));
                    writes.timers.push((group, time));
                }
                writes.values.push((group, last.map(|last| last.encode(within.is_some()))));
            }
        }
        Ok(writes)
    }

    /// Deals with one piece of a batch.
    fn piece(
        &mut self,
        grouping: &mut Grouping,
        arrived: &mut Arrived,
        outputs: &mut Outputs,
    ) -> Result<(), EngineError> {
        let batch = &arrived.batch;
        let piece = self.prepare(grouping, batch, Memory::piece(arrived.done, batch.len()))?;
        let mut passed = Vec::with_capacity(piece.len());
        let writes = self.decide(batch, grouping, &mut passed)?;
        let key = |group: usize| grouping.state_key(&batch.keys, group);
        let values = writes
            .values
            .iter()
            .map(|(group, value)| (*group, key(*group), value.as_deref().map_or(Write::Delete, Write::Put)));
        self.memory.write(values)?;
        self.memory.set_timers(writes.timers.iter().map(|&(group, time)| (key(group), time)));
        // In the order in which they came, whatever their keys.
        passed.sort_unstable();
        let mut output = Batch::default();
        output.extend_picked(batch, &passed);
        outputs.emit(0, arrived.epoch, output);
        self.refusals.emit(arrived.epoch, outputs);
        arrived.done = piece.end;
        Ok(())
    }
}

impl Logic for Changing {
    fn records(&mut self, arrived: &mut Arrived, at: &Moment, outputs: &mut Outputs) -> Result<Flow, EngineError> {
        self.memory.set_time(at);
        let mut grouping = std::mem::take(&mut self.grouping);
        let done = self.piece(&mut grouping, arrived, outputs);
        self.grouping = grouping;
        done.map(|()| arrived.flow())
    }

    /// Forgets what is past its time.
    fn fire(&mut self, at: &Moment, _: &mut Outputs) -> Result<Flow, EngineError> {
        self.memory.set_time(at);
        let Some(piece) = self.memory.read_due(at.watermark.0)? else { return Ok(Flow::Done) };
        let within = self.within();
        // A timer may be of before a savepoint, when a record was remembered for less.
        let until = |value: &[u8]| Some(Last::decode(value, true)?.time.saturating_add(within? - 1));
        self.memory.forget_due(piece, |value| until(value).filter(|&until| until > at.watermark.0))?;
        Ok(Flow::More)
    }

    fn command(&mut self, command: &Command, at: &Moment) -> Result<Flow, EngineError> {
        self.memory.command(command, at).map(|()| Flow::Done)
    }
}

#[cfg(test)]
mod tests {
    use super::Last;
    use proptest::prelude::{prop_assert_eq, prop_oneof, proptest};
    use proptest::strategy::Just;

    proptest! {
        #[test]
        fn what_is_remembered_is_read_again(
            time: i64, fields in prop_oneof![Just(""), Just("1,\"a,]\",null"), Just("[1]")], has_time: bool,
        ) {
            let last = Last { time: if has_time { time } else { i64::MIN }, fields: fields.as_bytes().to_vec() };
            let value = last.encode(has_time);
            serde_json::from_slice::<Vec<serde_json::Value>>(&value).expect("an array");
            prop_assert_eq!(Last::decode(&value, has_time), Some(last));
        }

        #[test]
        fn nothing_breaks_it(value: Vec<u8>, has_time: bool) {
            Last::decode(&value, has_time);
        }
    }
}
