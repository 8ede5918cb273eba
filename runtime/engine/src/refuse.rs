//! Records set aside: malformed input, and records that a component refused or could not process.
//!
//! What happens to one is the `on-error` of the source or operator: the job fails, or the record is counted and
//! dropped, or it goes, with everything known of it, to the part's dead-letter output.

use crate::error::{CallFault, EngineError};
use crate::metrics::NodeMetrics;
use crate::operator::backtrace;
use crate::outputs::Outputs;
use base64::prelude::{BASE64_STANDARD, Engine};
use serde::Serialize;
use std::sync::Arc;
use std::sync::atomic::Ordering;
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
}

/// A record that is set aside.
pub(crate) struct Refused<'a> {
    pub(crate) origin: Origin,
    /// None when it is not known.
    pub(crate) time: Option<i64>,
    pub(crate) key: &'a [u8],
    pub(crate) value: &'a [u8],
    pub(crate) reason: String,
}

/// Bytes of a key that an error shows.
const KEY_BYTES_SHOWN: usize = 64;

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
        let (shown, rest) = refused.key.split_at(refused.key.len().min(KEY_BYTES_SHOWN));
        let key = format!("{}{}", shown.escape_ascii(), if rest.is_empty() { "" } else { "…" });
        match self {
            Target::Record => names.place(refused.origin),
            Target::Timer { name, .. } => {
                format!("timer {name:?} of key \"{key}\" at {} ms", refused.time.unwrap_or_default())
            }
            Target::Window { bounds: [start, end], .. } => format!("window {start}..{end} ms of key \"{key}\""),
        }
    }
}

/// The states of the one key of a call that had `cells`, by name.
fn riding<'a>(description: &'a Description, cells: &'a Cells) -> Vec<(&'a str, Option<&'a [u8]>)> {
    let states = description.states.iter().take(description.riding_states()).enumerate();
    states.map(|(index, state)| (state.name.as_str(), cells.get(index))).collect()
}

/// A dead letter as its output carries it: one JSON object.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct DeadLetter<'a> {
    /// The source or operator that set it aside.
    operator: &'a str,
    reason: &'a str,
    source: Option<&'a str>,
    split: Option<&'a str>,
    offset: Option<u64>,
    /// Digest of the component that refused it.
    component: Option<&'a str>,
    event_time: Option<i64>,
    #[serde(flatten)]
    key: Option<Bytes<'a>>,
    #[serde(flatten)]
    value: Value<'a>,
    #[serde(flatten)]
    poison: Option<PoisonLetter<'a>>,
}

/// What more a dead letter says when a component could not process what it was given.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct PoisonLetter<'a> {
    /// The component's functions at the trap, the innermost first.
    backtrace: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    timer: Option<&'a str>,
    /// Start and end.
    #[serde(skip_serializing_if = "Option::is_none")]
    window: Option<[i64; 2]>,
    /// The state that was given to it: by name, null where there was none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    state: Vec<StateLetter<'a>>,
}

#[derive(Serialize)]
struct StateLetter<'a> {
    name: &'a str,
    #[serde(flatten)]
    value: Option<Value<'a>>,
}

impl<'a> PoisonLetter<'a> {
    fn new(target: &Target<'a>, fault: &'a CallFault) -> Self {
        let mut letter = PoisonLetter { backtrace: backtrace(fault), timer: None, window: None, state: Vec::new() };
        let state = |&(name, value): &(&'a str, Option<&'a [u8]>)| StateLetter { name, value: value.map(Value::of) };
        match target {
            Target::Record => {}
            Target::Timer { name, state: states } => {
                letter.timer = Some(name);
                letter.state.extend(states.iter().map(state));
            }
            Target::Window { bounds, state: states } => {
                letter.window = Some(*bounds);
                letter.state.extend(states.iter().map(state));
            }
        }
        letter
    }
}

/// Bytes as text where they are text.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
enum Bytes<'a> {
    Key(&'a str),
    KeyBase64(String),
}

/// As [`Bytes`], for the value.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
enum Value<'a> {
    Value(&'a str),
    ValueBase64(String),
}

impl<'a> Bytes<'a> {
    fn of(bytes: &'a [u8]) -> Self {
        match str::from_utf8(bytes) {
            Ok(text) => Bytes::Key(text),
            Err(_) => Bytes::KeyBase64(BASE64_STANDARD.encode(bytes)),
        }
    }
}

impl<'a> Value<'a> {
    fn of(bytes: &'a [u8]) -> Self {
        match str::from_utf8(bytes) {
            Ok(text) => Value::Value(text),
            Err(_) => Value::ValueBase64(BASE64_STANDARD.encode(bytes)),
        }
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
    ) -> Self {
        Refusals { operator, on_error, port, names, component, metrics, dead_letters: Batch::default() }
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

    /// What the component could not process: `fault` came of it.
    pub(crate) fn poison(
        &mut self,
        refused: Refused<'_>,
        target: Target<'_>,
        fault: CallFault,
    ) -> Result<(), EngineError> {
        self.metrics.rejected.fetch_add(1, Ordering::Relaxed);
        let described = target.describe(&refused, &self.names);
        if self.on_error == OnError::Fail {
            let (operator, source) = (self.operator.clone(), Box::new(fault));
            return Err(EngineError::Poison { operator, target: described, source });
        }
        tracing::debug!(operator = %self.operator, reason = refused.reason, "{described} is set aside");
        self.set_aside(&refused, Some(PoisonLetter::new(&target, &fault)));
        Ok(())
    }

    fn set_aside(&mut self, refused: &Refused<'_>, poison: Option<PoisonLetter<'_>>) {
        if self.on_error != OnError::DeadLetter {
            return;
        }
        let place = self.names.split(refused.origin);
        let letter = DeadLetter {
            operator: self.operator.as_str(),
            reason: &refused.reason,
            source: place.map(|(source, _)| source),
            split: place.map(|(_, split)| split),
            offset: place.map(|_| refused.origin.offset),
            component: self.component.as_deref(),
            event_time: refused.time,
            key: (!refused.key.is_empty()).then(|| Bytes::of(refused.key)),
            value: Value::of(refused.value),
            poison,
        };
        let json = serde_json::to_vec(&letter).expect("strings and numbers are always JSON");
        self.dead_letters.push(refused.time.unwrap_or(i64::MIN), refused.key, &json, refused.origin);
    }

    /// Sends the dead letters of a call or read.
    pub(crate) fn emit(&mut self, epoch: Epoch, outputs: &mut Outputs) {
        outputs.emit(self.port, epoch, std::mem::take(&mut self.dead_letters));
    }
}
