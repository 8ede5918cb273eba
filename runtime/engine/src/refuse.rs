//! Records set aside: malformed input, and records a component refused.
//!
//! What happens to one is the `on-error` of the source or operator: the job fails, or the record is counted and
//! dropped, or it goes, with everything known of it, to the part's dead-letter output.

use crate::error::EngineError;
use crate::metrics::NodeMetrics;
use crate::outputs::Outputs;
use base64::prelude::{BASE64_STANDARD, Engine};
use serde::Serialize;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tidewheel_types::job::OnError;
use tidewheel_types::{Batch, Epoch, OperatorId, Origin};

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
        self.set_aside(&refused);
        Ok(())
    }

    /// A record the component refused.
    pub(crate) fn rejected(&mut self, refused: Refused<'_>) -> Result<(), EngineError> {
        self.metrics.rejected.fetch_add(1, Ordering::Relaxed);
        if self.on_error == OnError::Fail {
            let record = self.names.place(refused.origin);
            return Err(EngineError::Rejected { operator: self.operator.clone(), record, reason: refused.reason });
        }
        self.set_aside(&refused);
        Ok(())
    }

    fn set_aside(&mut self, refused: &Refused<'_>) {
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
            key: (!refused.key.is_empty()).then(|| match str::from_utf8(refused.key) {
                Ok(text) => Bytes::Key(text),
                Err(_) => Bytes::KeyBase64(BASE64_STANDARD.encode(refused.key)),
            }),
            value: match str::from_utf8(refused.value) {
                Ok(text) => Value::Value(text),
                Err(_) => Value::ValueBase64(BASE64_STANDARD.encode(refused.value)),
            },
        };
        let json = serde_json::to_vec(&letter).expect("strings and numbers are always JSON");
        self.dead_letters.push(refused.time.unwrap_or(i64::MIN), refused.key, &json, refused.origin);
    }

    /// Sends the dead letters of a call or read.
    pub(crate) fn emit(&mut self, epoch: Epoch, outputs: &mut Outputs) {
        outputs.emit(self.port, epoch, std::mem::take(&mut self.dead_letters));
    }
}
