//! What came of a step: records that were emitted and set aside, and from its savepoint the state and the timers.

use crate::commands::state::entries::{Entry, Opened};
use crate::values;
use anyhow::{Result, anyhow};
use serde_json::{Map, Value as Json, json};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use tidewheel_checkpoint::savepoint::RowKind;
use tidewheel_connectors::memory::MemoryRecord;
use tidewheel_state::timers_of_row;
use tidewheel_types::description::{Description, Port, StateKind};

/// What came of a step.
#[derive(Debug, Default)]
pub(super) struct Observed {
    pub(super) outputs: Vec<Taken>,
    /// As the dead-letter output has them.
    pub(super) rejected: Vec<Rejection>,
    /// By state, by key.
    pub(super) state: BTreeMap<String, BTreeMap<String, Json>>,
    pub(super) timers: Vec<Waiting>,
    /// Whether a timer of processing time has not fired yet whose time has come.
    pub(super) has_due: bool,
}

/// A record that was emitted.
#[derive(Debug)]
pub(super) struct Taken {
    /// Empty for the main output.
    pub(super) output: String,
    pub(super) key: Vec<u8>,
    pub(super) time: i64,
    pub(super) bytes: Vec<u8>,
    /// The same, decoded.
    pub(super) value: Json,
}

/// A record that was set aside.
#[derive(Debug)]
pub(super) struct Rejection {
    pub(super) reason: String,
    pub(super) key: Option<String>,
    pub(super) value: Json,
}

/// A timer that waits.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Waiting {
    pub(super) timer: String,
    pub(super) key: Vec<u8>,
    pub(super) time: i64,
}

impl Taken {
    pub(super) fn new(output: &str, port: &Port, record: &MemoryRecord) -> Taken {
        let bytes = record.value.clone();
        // One that says nothing of its format is shown as what it looks like.
        let value = match port.format.as_str() {
            "" | "raw" => serde_json::from_slice(&bytes).unwrap_or_else(|_| values::key(&bytes)),
            format => values::value(format, &port.schema, &bytes),
        };
        Taken { output: output.to_owned(), key: record.key.clone(), time: record.time, bytes, value }
    }

    /// For people and programs to read.
    pub(super) fn to_json(&self, main: &str) -> Json {
        let output = if self.output.is_empty() { main } else { &self.output };
        let mut shown = json!({ "value": self.value, "key": values::key(&self.key), "time": values::time(self.time) });
        if output != main {
            shown["output"] = output.into();
        }
        shown
    }
}

/// Reads a dead letter.
pub(super) fn rejection(letter: &[u8]) -> Rejection {
    let letter: Json = serde_json::from_slice(letter).unwrap_or_default();
    let text = |name: &str| letter.get(name).and_then(Json::as_str).map(str::to_owned);
    let value = match text("value") {
        Some(text) => serde_json::from_str(&text).unwrap_or(Json::String(text)),
        None => letter.get("value-base64").cloned().unwrap_or_default(),
    };
    Rejection { reason: text("reason").unwrap_or_default(), key: text("key"), value }
}

/// State and timers of `operator` in the savepoint at `url`.
pub(super) fn state(url: &str, operator: &str, description: &Description, now: i64) -> Result<Observed> {
    let opened = Opened::open(url)?;
    let stored = opened.states();
    let mut observed = Observed::default();
    for state in &description.states {
        observed.state.insert(state.name.clone(), BTreeMap::new());
    }
    opened.each_of_operator(operator, |row| {
        match row.kind {
            RowKind::State(kind) => {
                let state = stored.iter().find(|state| state.operator == operator && state.has(row));
                // What the host keeps for windows and joins is none of the component's.
                if let (Some(state), Some(keys)) = (state, observed.state.get_mut(row.state)) {
                    let entry = Entry::new(state, row);
                    let key = values::cell(&entry.key);
                    let of_key = keys.entry(key).or_insert(Json::Null);
                    add(in_window(of_key, &entry.window), kind, &entry);
                }
            }
            RowKind::Timers | RowKind::ProcessingTimers => {
                let damaged = || anyhow!("the savepoint's timers of {operator:?} are damaged");
                for (slot, time) in timers_of_row(row.value).ok_or_else(damaged)? {
                    observed.has_due |= row.kind == RowKind::ProcessingTimers && time <= now;
                    if let Some(timer) = description.timers.get(usize::from(slot)) {
                        let (timer, key) = (timer.name.clone(), row.key.to_vec());
                        observed.timers.push(Waiting { timer, key, time });
                    }
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    })?;
    observed.timers.sort();
    Ok(observed)
}

/// The place of a window's value: by its start, under its key.
fn in_window<'a>(of_key: &'a mut Json, window: &Json) -> &'a mut Json {
    if window.is_null() {
        return of_key;
    }
    if of_key.is_null() {
        *of_key = Json::Object(Map::new());
    }
    &mut of_key[values::time_cell(window)]
}

/// Adds an entry to what its key, or key and window, has.
fn add(place: &mut Json, kind: StateKind, entry: &Entry) {
    match kind {
        StateKind::Value | StateKind::Aggregating => *place = entry.value.clone(),
        // They come in their order.
        StateKind::List => match place {
            Json::Array(list) => list.push(entry.value.clone()),
            _ => *place = json!([entry.value]),
        },
        StateKind::Map => {
            if place.is_null() {
                *place = Json::Object(Map::new());
            }
            place[values::cell(&entry.place)] = entry.value.clone();
        }
    }
}
