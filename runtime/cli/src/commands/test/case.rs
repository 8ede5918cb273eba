//! A case: a TOML file that says what an operator is given, step by step, and what is to come of it.
//!
//! Its beginning, before the first `[[step]]`, has the keys of an operator's table in a job file; it is handed to the job
//! file's own reader as it stands. What is a value to people (an object, a time, a text) becomes JSON and milliseconds here.

use super::http::Answer;
use crate::values;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tidewheel_types::job::JobError;
use toml::Spanned;

/// A case, read.
#[derive(Debug)]
pub(super) struct Case {
    /// Its file, as the user named it.
    pub(super) file: PathBuf,
    /// The lines before the first step.
    pub(super) head: String,
    /// What those set.
    pub(super) keys: toml::Table,
    pub(super) steps: Vec<Step>,
}

/// What is given at once, and what is to come of it.
#[derive(Debug)]
pub(super) struct Step {
    /// Where it begins.
    pub(super) line: usize,
    /// What the clock is set to before.
    pub(super) now: Option<i64>,
    /// What requests are answered from then on.
    pub(super) http: Vec<Answer>,
    pub(super) records: Vec<Given>,
    /// The watermark after the records.
    pub(super) watermark: Option<i64>,
    /// All that is emitted.
    pub(super) outputs: Vec<Output>,
    /// All that is set aside.
    pub(super) rejected: Vec<Rejected>,
    /// Whole states, by name.
    pub(super) state: BTreeMap<String, Entries>,
    /// All timers that wait then.
    pub(super) timers: Option<Vec<Timer>>,
}

/// The entries of a state.
#[derive(Debug)]
pub(super) struct Entries {
    /// Where it is named first.
    pub(super) line: usize,
    /// By key.
    pub(super) entries: BTreeMap<String, Json>,
}

/// A record.
#[derive(Debug, Deserialize)]
#[serde(try_from = "RawRecord")]
pub(super) struct Given {
    /// Where it begins.
    pub(super) line: usize,
    /// The name of the input; the first one if not given.
    pub(super) input: Option<String>,
    pub(super) key: Option<Vec<u8>>,
    /// Its event time; the clock's if not given.
    pub(super) time: Option<i64>,
    pub(super) value: Content,
}

/// What is expected of a record that is emitted.
#[derive(Debug, Deserialize)]
#[serde(try_from = "RawRecord")]
pub(super) struct Output {
    /// Where it begins.
    pub(super) line: usize,
    /// The name of the output; the main one if not given.
    pub(super) output: Option<String>,
    pub(super) key: Option<Vec<u8>>,
    pub(super) time: Option<i64>,
    pub(super) value: Option<Content>,
}

/// A value, given or expected.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Content {
    /// As the format of its input, output or state writes it.
    Value(Json),
    /// JSON, to the letter.
    Text(String),
    Bytes(Vec<u8>),
}

/// What is expected of a record that is set aside: part of the reason, and what it was.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rejected {
    pub(super) reason: Option<String>,
    #[serde(default, deserialize_with = "some_key")]
    pub(super) key: Option<Vec<u8>>,
    #[serde(default, deserialize_with = "some_json")]
    pub(super) value: Option<Json>,
}

/// A timer that waits.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Timer {
    /// Where it begins.
    #[serde(skip)]
    pub(super) line: usize,
    /// Its name; the only one if not given.
    pub(super) timer: Option<String>,
    #[serde(default, deserialize_with = "some_key")]
    pub(super) key: Option<Vec<u8>>,
    #[serde(deserialize_with = "some_time")]
    pub(super) time: Option<i64>,
}

/// The whole file, as far as it is ours.
#[derive(Deserialize)]
struct RawCase {
    #[serde(default)]
    step: Vec<Spanned<RawStep>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawStep {
    #[serde(default, deserialize_with = "some_time")]
    now: Option<i64>,
    #[serde(default)]
    http: Vec<Answer>,
    #[serde(default)]
    records: Vec<Spanned<Given>>,
    #[serde(default, deserialize_with = "some_watermark")]
    watermark: Option<i64>,
    #[serde(default)]
    outputs: Vec<Spanned<Output>>,
    #[serde(default)]
    rejected: Vec<Rejected>,
    #[serde(default)]
    state: BTreeMap<Spanned<String>, BTreeMap<String, toml::Value>>,
    timers: Option<Vec<Spanned<Timer>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRecord {
    input: Option<String>,
    output: Option<String>,
    #[serde(default, deserialize_with = "some_key")]
    key: Option<Vec<u8>>,
    #[serde(default, deserialize_with = "some_time")]
    time: Option<i64>,
    value: Option<toml::Value>,
    json: Option<String>,
    hex: Option<String>,
}

impl RawRecord {
    fn content(&self) -> Result<Option<Content>, String> {
        Ok(match (&self.value, &self.json, &self.hex) {
            (None, None, None) => None,
            (Some(value), None, None) => Some(Content::Value(json_of(value))),
            (None, Some(json), None) => Some(Content::Text(json.clone())),
            (None, None, Some(hex)) => Some(Content::Bytes(from_hex(hex)?)),
            _ => return Err("a record has one of \"value\", \"json\" and \"hex\"".to_owned()),
        })
    }
}

impl TryFrom<RawRecord> for Given {
    type Error = String;

    fn try_from(raw: RawRecord) -> Result<Given, String> {
        if raw.output.is_some() {
            return Err("a record that is given has an \"input\", not an \"output\"".to_owned());
        }
        let value = raw.content()?.ok_or("a record needs a \"value\" (or \"json\", or \"hex\")")?;
        Ok(Given { line: 0, input: raw.input, key: raw.key, time: raw.time, value })
    }
}

impl TryFrom<RawRecord> for Output {
    type Error = String;

    fn try_from(raw: RawRecord) -> Result<Output, String> {
        if raw.input.is_some() {
            return Err("a record that is expected has an \"output\", not an \"input\"".to_owned());
        }
        let value = raw.content()?;
        if let Some(Content::Text(json)) = &value {
            serde_json::from_str::<Json>(json).map_err(|error| format!("\"json\": {error}"))?;
        }
        Ok(Output { line: 0, output: raw.output, key: raw.key, time: raw.time, value })
    }
}

impl Case {
    /// Reads the text of a case; `file` is its name.
    pub(super) fn parse(text: &str, file: &Path) -> Result<Case, JobError> {
        let name = file.to_string_lossy();
        let head_lines = head_lines(text).ok_or_else(|| JobError {
            file: name.to_string(),
            line: 1,
            message: "there is no [[step]]".to_owned(),
            hint: Some("write one: [[step]], then records = [{ value = … }] and outputs = [{ value = … }]".to_owned()),
        })?;
        let wrong = |error: toml::de::Error| JobError {
            file: name.to_string(),
            line: error.span().map_or(1, |span| line_of(text, span.start)),
            message: error.message().to_owned(),
            hint: None,
        };
        let head: String = text.split_inclusive('\n').take(head_lines).collect();
        let keys: toml::Table = toml::from_str(&head).map_err(wrong)?;
        refuse_tables(&head, text, &keys, &name)?;
        let raw: RawCase = toml::from_str(text).map_err(wrong)?;
        let steps = raw.step.into_iter().map(|step| Step::new(step, text));
        Ok(Case { file: file.to_owned(), head, keys, steps: steps.collect() })
    }

    /// A mistake on a line of this case.
    pub(super) fn error(&self, line: usize, message: impl Into<String>) -> JobError {
        JobError { file: self.file.to_string_lossy().into_owned(), line, message: message.into(), hint: None }
    }
}

impl Step {
    /// From what is written in a case of this text.
    fn new(raw: Spanned<RawStep>, text: &str) -> Step {
        let line = line_of(text, raw.span().start);
        let RawStep { now, http, records, watermark, outputs, rejected, state, timers } = raw.into_inner();
        let entries = |(name, keys): (Spanned<String>, BTreeMap<String, toml::Value>)| {
            let entries = keys.into_iter().map(|(key, value)| (key, json_of(&value))).collect();
            (name.get_ref().clone(), Entries { line: line_of(text, name.span().start), entries })
        };
        let state = state.into_iter().map(entries).collect();
        let records = placed(records, text, |line, given| Given { line, ..given });
        let outputs = placed(outputs, text, |line, output| Output { line, ..output });
        let timers = timers.map(|timers| placed(timers, text, |line, timer| Timer { line, ..timer }));
        Step { line, now, http, records, watermark, outputs, rejected, state, timers }
    }
}

/// How many lines there are before the first step.
fn head_lines(text: &str) -> Option<usize> {
    text.lines().position(|line| {
        let bare: String = line.split('#').next().unwrap_or_default().split_whitespace().collect();
        bare == "[[step]]"
    })
}

/// The operator's keys are written in one table, which has no heading here.
fn refuse_tables(head: &str, text: &str, keys: &toml::Table, file: &str) -> Result<(), JobError> {
    let in_head = head.lines().position(|line| line.trim_start().starts_with('['));
    let all: toml::Table = toml::from_str(text).unwrap_or_default();
    let stranger = all.keys().find(|key| *key != "step" && !keys.contains_key(*key));
    let line = match (in_head, stranger) {
        (Some(line), _) => line,
        (None, Some(key)) => {
            let is_its = |line: &str| line.trim_start().trim_start_matches('[').trim_start().starts_with(key.as_str());
            text.lines().position(is_its).unwrap_or(0)
        }
        (None, None) => return Ok(()),
    };
    Err(JobError {
        file: file.to_owned(),
        line: line + 1,
        message: "a case has no table besides [[step]]".to_owned(),
        hint: Some(
            "write the operator's keys before the first step, such as window = { tumbling = \"1h\" }".to_owned(),
        ),
    })
}

/// Parts of a step, each with its line.
fn placed<T>(parts: Vec<Spanned<T>>, text: &str, with_line: impl Fn(usize, T) -> T) -> Vec<T> {
    parts.into_iter().map(|part| with_line(line_of(text, part.span().start), part.into_inner())).collect()
}

fn line_of(text: &str, at: usize) -> usize {
    1 + text.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count()
}

/// A value of TOML as JSON. Dates and times are texts there.
fn json_of(value: &toml::Value) -> Json {
    match value {
        toml::Value::String(text) => text.as_str().into(),
        toml::Value::Integer(number) => (*number).into(),
        toml::Value::Float(number) => (*number).into(),
        toml::Value::Boolean(flag) => (*flag).into(),
        toml::Value::Datetime(at) => at.to_string().into(),
        toml::Value::Array(values) => values.iter().map(json_of).collect(),
        toml::Value::Table(table) => {
            Json::Object(table.iter().map(|(key, value)| (key.clone(), json_of(value))).collect())
        }
    }
}

fn from_hex(digits: &str) -> Result<Vec<u8>, String> {
    values::from_hex(digits).ok_or_else(|| format!("{digits:?} is not made of pairs of hexadecimal digits"))
}

/// A time of TOML, a text of it, or milliseconds.
pub(super) fn time_of(value: &toml::Value) -> Result<i64, String> {
    let text = match value {
        toml::Value::Integer(ms) => return Ok(*ms),
        toml::Value::Datetime(at) => at.to_string(),
        toml::Value::String(text) => text.clone(),
        other => return Err(format!("invalid type: {}, expected a time", other.type_str())),
    };
    let at: Timestamp = text
        .parse()
        .map_err(|_| format!("{text:?} is not a time: expected one such as 2024-01-31T12:00:00Z, or milliseconds"))?;
    Ok(at.as_millisecond())
}

fn some_time<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    let value = toml::Value::deserialize(deserializer)?;
    time_of(&value).map(Some).map_err(serde::de::Error::custom)
}

/// A time, or `"end"`: no record comes any more.
fn some_watermark<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    match toml::Value::deserialize(deserializer)? {
        toml::Value::String(text) if text == "end" => Ok(Some(i64::MAX)),
        value => time_of(&value).map(Some).map_err(serde::de::Error::custom),
    }
}

/// A text, or `{ hex = "00ff" }`.
fn some_key<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<u8>>, D::Error> {
    let wrong = |message: String| Err(serde::de::Error::custom(message));
    match toml::Value::deserialize(deserializer)? {
        toml::Value::String(text) => Ok(Some(text.into_bytes())),
        toml::Value::Table(table) if table.len() == 1 => match table.get("hex") {
            Some(toml::Value::String(digits)) => from_hex(digits).map(Some).map_err(serde::de::Error::custom),
            _ => wrong("a key is a text, or { hex = \"00ff\" }".to_owned()),
        },
        other => wrong(format!("invalid type: {}, expected a text, or {{ hex = \"00ff\" }}", other.type_str())),
    }
}

fn some_json<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Json>, D::Error> {
    Ok(Some(json_of(&toml::Value::deserialize(deserializer)?)))
}

#[cfg(test)]
mod tests {
    use super::{Case, Content};
    use serde_json::json;
    use std::path::Path;

    #[test]
    fn a_case_is_read() {
        let text = "component = 'count.wasm'
window = { tumbling = '1h' }
# One is given.
[[step]]
now = 5
records = [
    { key = 'a', time = 2024-01-01T00:00:00Z, value = { n = 1 } },
    { input = 'b', hex = '00ff' },
]
watermark = '2024-01-01T01:00:00Z'
outputs = [{ output = 'late', json = '{\"n\": null}' }]
state.total.a = 5
timers = [{ key = 'a', time = 7 }]

[[step]]
watermark = 'end'
";
        let case = Case::parse(text, Path::new("a.toml")).unwrap();
        assert_eq!(case.head, "component = 'count.wasm'\nwindow = { tumbling = '1h' }\n# One is given.\n");
        assert_eq!(case.keys.keys().collect::<Vec<_>>(), ["component", "window"]);
        let [first, second] = &case.steps[..] else { panic!("two steps") };
        assert_eq!((first.line, second.line), (4, 15));
        assert_eq!((first.now, first.watermark, second.watermark), (Some(5), Some(1_704_070_800_000), Some(i64::MAX)));
        let [one, other] = &first.records[..] else { panic!("two records") };
        assert_eq!((one.key.as_deref(), one.time), (Some(&b"a"[..]), Some(1_704_067_200_000)));
        assert_eq!(one.value, Content::Value(json!({ "n": 1 })));
        assert_eq!((other.input.as_deref(), &other.value), (Some("b"), &Content::Bytes(vec![0, 255])));
        assert_eq!(first.outputs[0].value, Some(Content::Text("{\"n\": null}".to_owned())));
        assert_eq!((&first.state["total"].entries["a"], first.state["total"].line), (&json!(5), 12));
        assert_eq!((one.line, other.line, first.outputs[0].line), (7, 8, 11));
        assert_eq!(first.timers.as_ref().map(|timers| timers[0].line), Some(13));
        assert!(second.timers.is_none());
    }

    #[test]
    fn mistakes_are_told_with_their_line() {
        for (text, message) in [
            ("a = 1\n", "a.toml:1: there is no [[step]]"),
            ("a = \n[[step]]\n", "a.toml:1: "),
            ("[[step]]\nrecord = []\n", "a.toml:2: unknown field `record`"),
            ("[[step]]\nrecords = [{ key = 'a' }]\n", "a.toml:2: a record needs a \"value\""),
            ("[[step]]\nrecords = [{ value = 1, hex = '00' }]\n", "a.toml:2: a record has one of"),
            ("[[step]]\nrecords = [{ hex = '0' }]\n", "a.toml:2: \"0\" is not made of pairs"),
            ("[[step]]\nnow = 2024-01-01\n", "a.toml:2: \"2024-01-01\" is not a time"),
            ("[[step]]\noutputs = [{ json = '{' }]\n", "a.toml:2: \"json\": EOF"),
            ("[window]\ntumbling = '1h'\n[[step]]\n", "a.toml:1: a case has no table besides [[step]]"),
            ("[[step]]\n[window]\ntumbling = '1h'\n", "a.toml:2: a case has no table besides [[step]]"),
        ] {
            let error = Case::parse(text, Path::new("a.toml")).expect_err(text).to_string();
            assert!(error.starts_with(message), "{text:?}: {error}");
        }
    }
}
