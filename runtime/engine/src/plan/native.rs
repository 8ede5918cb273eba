//! Operators without a component that keep state: what they remember, under which contract.

use tidewheel_native::Fingerprint;
use tidewheel_types::description::{StateDecl, StateKind, TimerClock, TimerDecl};
use tidewheel_types::job::{ChangedSpec, DeduplicateSpec};
use tidewheel_types::shape::{Shape, Windows};

/// Lets a record pass that differs from the last one of its key that passed: in some fields, or, with none, not at all
/// within a time.
#[derive(Clone)]
pub(crate) struct Changed {
    pub(crate) fingerprint: Fingerprint,
    /// The fields as JSON pointers.
    fields: Vec<String>,
    pub(crate) remember: Remember,
    /// Whether records say what has become of a row: a row that is deleted is forgotten, and what it was before a change
    /// says nothing.
    pub(crate) of_rows: bool,
}

/// For how long the last record of a key is remembered, ms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Remember {
    ForEver,
    /// Of event time, from its own on. A timer forgets it.
    Event(i64),
    /// Of processing time: the state's time-to-live.
    Processing(i64),
}

impl Changed {
    pub(crate) fn new(spec: &ChangedSpec) -> Result<Changed, String> {
        let remember = match (spec.within_ms, spec.clock) {
            (None, _) => Remember::ForEver,
            (Some(within_ms), TimerClock::Event) => Remember::Event(within_ms),
            (Some(within_ms), TimerClock::Processing) => Remember::Processing(within_ms),
        };
        Ok(Changed {
            fingerprint: Fingerprint::new(&spec.fields)?,
            fields: spec.fields.iter().map(|field| field.text().to_owned()).collect(),
            remember,
            of_rows: true,
        })
    }

    /// The first record of a key in a time.
    pub(crate) fn first(spec: DeduplicateSpec) -> Result<Changed, String> {
        let spec = ChangedSpec { fields: Vec::new(), within_ms: Some(spec.within_ms), clock: spec.clock };
        Ok(Changed { of_rows: false, ..Changed::new(&spec)? })
    }

    /// What is kept of the last record of a key: a JSON array of its event time, where that counts, and the fields.
    pub(crate) fn state(&self) -> StateDecl {
        let mut schema: Vec<&str> = Vec::new();
        schema.extend(matches!(self.remember, Remember::Event(_)).then_some("event time"));
        schema.extend(self.fields.iter().map(String::as_str));
        let ttl_ms = match self.remember {
            Remember::Processing(within_ms) => within_ms as u64,
            Remember::ForEver | Remember::Event(_) => 0,
        };
        StateDecl { ttl_ms, ..state("last", "json", format!("[{}]", schema.join(", "))) }
    }

    pub(crate) fn shape(&self) -> Shape {
        let timer = TimerDecl { name: "forget".to_owned(), clock: TimerClock::Event };
        let timers = matches!(self.remember, Remember::Event(_)).then_some(timer);
        Shape { timers: timers.into_iter().collect(), ..Shape::default() }
    }
}

/// Lets the latest record of a key in a time pass: times are aligned to 1970-01-01 UTC, as tumbling windows are.
#[derive(Clone, Copy)]
pub(crate) struct Latest {
    pub(crate) within_ms: i64,
}

impl Latest {
    /// The latest record so far.
    pub(crate) fn state(self) -> StateDecl {
        state("latest", "tidewheel-record", "event time, change, headers, value".to_owned())
    }

    pub(crate) fn shape(self) -> Shape {
        Shape { windows: Some(Windows::Tumbling { size_ms: self.within_ms, offset_ms: 0 }), ..Shape::default() }
    }

    /// Where the time begins that `time` is in.
    pub(crate) fn start_of(self, time: i64) -> i64 {
        time.saturating_sub(time.rem_euclid(self.within_ms))
    }

    /// The last event time of the one that begins at `start`.
    pub(crate) fn end_of(self, start: i64) -> i64 {
        start.saturating_add(self.within_ms - 1)
    }
}

/// A value per key that rides.
fn state(name: &str, format: &str, schema: String) -> StateDecl {
    StateDecl {
        name: name.to_owned(),
        kind: StateKind::Value,
        format: format.to_owned(),
        schema,
        version: 1,
        oldest: 1,
        rides: true,
        ttl_ms: 0,
        options: Vec::new(),
    }
}
