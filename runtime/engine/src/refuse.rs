//! Records set aside: malformed input, and records that a component refused or could not process.
//!
//! What happens to one is the `on-error` of the source or operator: the job fails, or the record is counted and
//! dropped, or it goes, with everything known of it, to the part's dead-letter output.

use crate::error::{CallFault, EngineError};
use crate::metrics::NodeMetrics;
use crate::operator::backtrace;
use crate::outputs::Outputs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tidewheel_guest::LogLine;
use tidewheel_types::batch::Change;
use tidewheel_types::dead_letter::{DeadLetter, Named, PoisonLetter};
use tidewheel_types::job::OnError;
use tidewheel_types::keyed_state::Cells;
use tidewheel_types::{Batch, Description, Epoch, OperatorId, Origin};

/// The names of the sources and splits of a job: an origin in words.
#[derive(Debug, Default)]
pub(crate) struct Names {
    /// Per source: its name and those of its splits.
    pub(crate) sources: Vec<(OperatorId, Vec<String>)>,
}

impl Names {
    fn split(&self, origin: Origin) -> Option<(&str, &str)> {
        let (source, splits) = self.sources.get(origin.source as usize)?;
        Some((source.as_str(), splits.get(origin.split as usize)?))
    }

    /// A place a person can find: `orders.jsonl:17`.
    pub(crate) fn place(&self, origin: Origin) -> String {
        match self.split(origin) {
            Some((_, split)) => format!("{split}:{}", origin.offset),
            None => "a timer or window".to_owned(),
        }
    }

    /// The same with the source's name before it: `orders orders.jsonl:17`; none for what came from none.
    fn full_place(&self, origin: Origin) -> Option<String> {
        self.split(origin).map(|(source, split)| format!("{source} {split}:{}", origin.offset))
    }
}

/// A record that is set aside.
pub(crate) struct Refused<'a> {
    pub(crate) origin: Origin,
    /// None when it is not known.
    pub(crate) time: Option<i64>,
    pub(crate) key: &'a [u8],
    pub(crate) value: &'a [u8],
    /// The batch that has its headers and its kind of change, and its place there, if it is a record of one.
    pub(crate) within: Option<(&'a Batch, usize)>,
    pub(crate) reason: String,
}

impl<'a> Refused<'a> {
    /// Record `index` of `batch`.
    pub(crate) fn of(batch: &'a Batch, index: usize, reason: String) -> Self {
        Refused {
            origin: batch.origins[index],
            time: Some(batch.times[index]),
            key: batch.keys.get(index),
            value: batch.values.get(index),
            within: Some((batch, index)),
            reason,
        }
    }

    /// A value of state of `key`.
    pub(crate) fn of_state(key: &'a [u8], reason: String) -> Self {
        Refused { origin: Origin::NONE, time: None, key, value: &[], within: None, reason }
    }

    /// Input of which nothing is known but where it was.
    pub(crate) fn unread(origin: Origin, value: &'a [u8], reason: String) -> Self {
        Refused { origin, time: None, key: &[], value, within: None, reason }
    }

    fn headers(&self) -> Vec<Named> {
        let Some((batch, index)) = self.within else { return Vec::new() };
        let headers = batch.headers.of(index);
        headers.map(|(name, value)| Named::new(String::from_utf8_lossy(name), Some(value))).collect()
    }

    /// The number of its kind of change, unless it is an insert.
    fn change(&self) -> Option<u8> {
        let (batch, index) = self.within?;
        batch.changes.get(index).copied().filter(|&change| change != Change::Insert as u8)
    }
}

/// Bytes of a key that an error shows.
const KEY_BYTES_SHOWN: usize = 64;

/// A key as an error shows it.
fn shown_key(key: &[u8]) -> String {
    let (shown, rest) = key.split_at(key.len().min(KEY_BYTES_SHOWN));
    format!("{}{}", shown.escape_ascii(), if rest.is_empty() { "" } else { "…" })
}

/// What a component could not process.
pub(crate) enum Target<'a> {
    Record,
    /// A timer of this name, with the state that its key had.
    Timer {
        name: &'a str,
        state: Vec<(&'a str, Option<&'a [u8]>)>,
    },
    /// A window from the first time to before the second, with its accumulator or the state that its key had.
    Window {
        bounds: [i64; 2],
        state: Vec<(&'a str, Option<&'a [u8]>)>,
    },
    /// A value of the state of this name that was written under an older schema version.
    State {
        name: &'a str,
        version: u32,
        /// The key or place of an entry of a map or list; otherwise empty.
        entry: &'a [u8],
        value: &'a [u8],
    },
}

impl<'a> Target<'a> {
    /// A timer of `slot`, alone in a call that had `cells`.
    pub(crate) fn timer(description: &'a Description, slot: u16, cells: &'a Cells) -> Self {
        Target::Timer {
            name: description.timers.get(usize::from(slot)).map_or("", |timer| timer.name.as_str()),
            state: riding(description, cells),
        }
    }

    /// A window, alone in a call that had the accumulators `cells`.
    pub(crate) fn window(bounds: [i64; 2], cells: &'a Cells) -> Self {
        let accumulator = cells.get(0).map(|accumulator| ("accumulator", Some(accumulator)));
        Target::Window { bounds, state: accumulator.into_iter().collect() }
    }

    /// A window, alone in a call that had its records, and `cells`.
    pub(crate) fn window_of_records(bounds: [i64; 2], description: &'a Description, cells: &'a Cells) -> Self {
        Target::Window { bounds, state: riding(description, cells) }
    }

    /// In words.
    fn describe(&self, refused: &Refused<'_>, names: &Names) -> String {
        let key = shown_key(refused.key);
        match self {
            Target::Record => names.place(refused.origin),
            Target::Timer { name, .. } => {
                format!("timer {name:?} of key \"{key}\" at {} ms", refused.time.unwrap_or_default())
            }
            Target::Window { bounds: [start, end], .. } => format!("window {start}..{end} ms of key \"{key}\""),
            Target::State { name, version, .. } => format!("state {name:?} of key \"{key}\", of version {version}"),
        }
    }
}

/// The states of the one key of a call that had `cells`, by name.
fn riding<'a>(description: &'a Description, cells: &'a Cells) -> Vec<(&'a str, Option<&'a [u8]>)> {
    let states = description.states.iter().take(description.riding_states()).enumerate();
    states.map(|(index, state)| (state.name.as_str(), cells.get(index))).collect()
}

/// What a dead letter says of `target`, of which came `fault`.
fn poison_letter(target: &Target<'_>, fault: &CallFault, capsule: Option<&Path>) -> PoisonLetter {
    let capsule = capsule.map(|path| path.display().to_string());
    let letter = PoisonLetter { backtrace: backtrace(fault).to_vec(), capsule, ..PoisonLetter::default() };
    let named = |state: &[(&str, Option<&[u8]>)]| state.iter().map(|&(name, value)| Named::new(name, value)).collect();
    match target {
        Target::Record => letter,
        Target::Timer { name, state } => {
            PoisonLetter { timer: Some((*name).to_owned()), state: named(state), ..letter }
        }
        Target::Window { bounds, state } => PoisonLetter { window: Some(*bounds), state: named(state), ..letter },
        Target::State { name, version, entry, value } => PoisonLetter {
            version: Some(*version),
            entry: (!entry.is_empty()).then(|| Named::new(*name, Some(*entry))),
            state: named(&[(*name, Some(*value))]),
            ..letter
        },
    }
}

/// What a source or operator does with records it sets aside.
pub(crate) struct Refusals {
    operator: OperatorId,
    on_error: OnError,
    /// The port of the dead-letter output.
    port: usize,
    names: Arc<Names>,
    /// Digest of the operator's component.
    component: Option<String>,
    metrics: Arc<NodeMetrics>,
    worker: usize,
    dead_letters: Batch,
}

impl Refusals {
    pub(crate) fn new(
        operator: OperatorId,
        on_error: OnError,
        port: usize,
        names: Arc<Names>,
        component: Option<String>,
        metrics: Arc<NodeMetrics>,
        worker: usize,
    ) -> Self {
        Refusals { operator, on_error, port, names, component, metrics, worker, dead_letters: Batch::default() }
    }

    /// Whether what cannot be processed ends the job.
    pub(crate) fn are_fatal(&self) -> bool {
        self.on_error == OnError::Fail
    }

    /// Whose they are.
    pub(crate) fn operator(&self) -> &OperatorId {
        &self.operator
    }

    /// What the operator counts.
    pub(crate) fn metrics(&self) -> &NodeMetrics {
        &self.metrics
    }

    /// Writes a line of the guest's log, with where the record came from that it is about.
    pub(crate) fn log(&self, line: &LogLine, origin: Option<Origin>) {
        let place = origin.and_then(|origin| self.names.full_place(origin));
        line.write(self.operator.as_str(), self.worker, place.as_deref());
    }

    /// What a component could not process, in words.
    pub(crate) fn describe(&self, target: &Target<'_>, refused: &Refused<'_>) -> String {
        target.describe(refused, &self.names)
    }

    /// Where a record came from, in words.
    pub(crate) fn place(&self, origin: Origin) -> String {
        self.names.place(origin)
    }

    /// Input that is not a record.
    pub(crate) fn malformed(&mut self, refused: Refused<'_>) -> Result<(), EngineError> {
        self.metrics.malformed.fetch_add(1, Ordering::Relaxed);
        if self.on_error == OnError::Fail {
            return Err(EngineError::Malformed { operator: self.operator.clone(), reason: refused.reason });
        }
        self.set_aside(&refused, None);
        Ok(())
    }

    /// A record the component refused.
    pub(crate) fn rejected(&mut self, refused: Refused<'_>) -> Result<(), EngineError> {
        self.metrics.rejected.fetch_add(1, Ordering::Relaxed);
        if self.on_error == OnError::Fail {
            let record = self.names.place(refused.origin);
            return Err(EngineError::Rejected { operator: self.operator.clone(), record, reason: refused.reason });
        }
        self.set_aside(&refused, None);
        Ok(())
    }

    /// What the component could not process: `fault` came of it. The call is kept in `capsule`, if it is.
    pub(crate) fn poison(
        &mut self,
        refused: Refused<'_>,
        target: Target<'_>,
        fault: CallFault,
        capsule: Option<PathBuf>,
    ) -> Result<(), EngineError> {
        self.metrics.rejected.fetch_add(1, Ordering::Relaxed);
        let described = target.describe(&refused, &self.names);
        if self.on_error == OnError::Fail {
            let (operator, source) = (self.operator.clone(), Box::new(fault));
            return Err(EngineError::Poison { operator, target: described, source, capsule });
        }
        let functions: String = backtrace(&fault).iter().map(|function| format!(", in {function}")).collect();
        let place = self.names.full_place(refused.origin);
        let said = format!("{described} is set aside: {}{functions}", refused.reason);
        self.metrics.log.warn(self.operator.as_str(), self.worker, place.as_deref(), said);
        self.set_aside(&refused, Some(poison_letter(&target, &fault, capsule.as_deref())));
        Ok(())
    }

    fn set_aside(&mut self, refused: &Refused<'_>, poison: Option<PoisonLetter>) {
        if self.on_error != OnError::DeadLetter {
            return;
        }
        let place = self.names.split(refused.origin);
        let operator = self.operator.as_str();
        let mut letter = DeadLetter::new(operator, refused.reason.clone(), refused.key, refused.value);
        if let Some((source, split)) = place {
            letter.source = Some(source.to_owned());
            letter.split = Some(split.to_owned());
            letter.offset = Some(refused.origin.offset);
        }
        letter.component.clone_from(&self.component);
        letter.event_time = refused.time;
        letter.headers = refused.headers();
        letter.change = refused.change();
        letter.poison = poison;
        let (time, json) = (refused.time.unwrap_or(i64::MIN), letter.to_json());
        self.dead_letters.push(time, refused.key, &json, refused.origin);
    }

    /// Sends the dead letters of a call or read.
    pub(crate) fn emit(&mut self, epoch: Epoch, outputs: &mut Outputs) {
        outputs.emit(self.port, epoch, self.take());
    }

    /// The dead letters that have not been sent.
    pub(crate) fn take(&mut self) -> Batch {
        std::mem::take(&mut self.dead_letters)
    }
}
