//! The tables of a job file → the job spec, one table at a time.

use super::{
    AlignmentSpec, CapsulesSpec, EventTimeSpec, ExchangeKind, Grant, InputRef, JobError, JobMode, JobSpec, LimitsSpec,
    OnError, OperatorSpec, Options, RateLimit, SinkSpec, SourceSpec, WatermarkSpec, durability, function, join, window,
};
use crate::http_host::HttpHost;
use crate::key_group::MAX_PARALLELISM_DEFAULT;
use crate::selector::EVENT_TIME_BYTES;
use crate::{OperatorId, Selector};
use toml::Value;

/// The largest number of key groups, as in Flink.
const MAX_PARALLELISM_MAX: u64 = 32_768;

/// Reads a job file, without looking at how its tables fit together.
pub(super) fn job(mut root: Options, file: &str) -> Result<JobSpec, JobError> {
    let name: String = root.require("name")?;
    if !is_name(&name) {
        return Err(root.error("name", not_a_name(&name)));
    }
    let modes = [("streaming", JobMode::Streaming), ("batch", JobMode::Batch)];
    let mode = root.take_choice("mode", &modes)?.unwrap_or_default();
    let max_parallelism = root.take::<Value>("max-parallelism")?.map(|value| match value {
        Value::Integer(groups @ 1..) if groups as u64 <= MAX_PARALLELISM_MAX => Ok(groups as u16),
        other => Err(root.error("max-parallelism", format!("{other} is not a number from 1 to {MAX_PARALLELISM_MAX}"))),
    });
    let max_parallelism = max_parallelism.transpose()?.unwrap_or(MAX_PARALLELISM_DEFAULT);
    let sources = named_tables(&mut root, "sources")?.into_iter().map(source).collect::<Result<_, _>>()?;
    let operators = named_tables(&mut root, "operators")?.into_iter().map(operator).collect::<Result<_, _>>()?;
    let sinks = named_tables(&mut root, "sinks")?.into_iter().map(sink).collect::<Result<_, _>>()?;
    let checkpoint = durability::checkpoint(&mut root)?;
    let state = durability::state(&mut root)?;
    let restart = durability::restart(&mut root, checkpoint.is_some())?;
    let capsules = capsules(&mut root)?;
    root.finish()?;
    let file = file.to_owned();
    Ok(JobSpec { name, file, mode, max_parallelism, checkpoint, state, restart, capsules, sources, operators, sinks })
}

fn source((name, mut table): (String, Options)) -> Result<SourceSpec, JobError> {
    let connector = table.require("connector")?;
    let event_time = event_time(&mut table)?;
    let key = selector(&mut table, "key")?;
    let has_component = matches!(event_time, Some(EventTimeSpec::Component(_)));
    let watermark = watermark(&mut table, has_component)?;
    let rate_limit = rate_limit(&mut table)?;
    let on_error = on_error(&mut table)?;
    let (id, line) = (OperatorId::new(&name), table.line());
    Ok(SourceSpec { id, connector, event_time, key, watermark, rate_limit, on_error, line, options: table })
}

fn operator((name, mut table): (String, Options)) -> Result<OperatorSpec, JobError> {
    let function = function::function(&mut table)?;
    let inputs = inputs(&mut table)?;
    let keys = keys(&mut table, inputs.len())?;
    let exchange = table.take_choice("exchange", &[("rebalance", ExchangeKind::Rebalance)])?;
    if !keys.is_empty() && exchange.is_some() {
        return Err(table.error("exchange", "a key already says where records go").with_hint("remove one of the two"));
    }
    let join = join::take(&mut table)?;
    if join.is_some() && exchange.is_some() {
        return Err(table.error("exchange", "a join says where records go").with_hint("remove one of the two"));
    }
    if join.is_some() && inputs.len() != 2 {
        let message = format!("a join has two inputs, not {}", inputs.len());
        return Err(table.error("input", message).with_hint("write input = [\"LEFT\", \"RIGHT\"]"));
    }
    let window = window::take(&mut table)?;
    let on_error = on_error(&mut table)?;
    table.finish()?;
    let id = OperatorId::new(&name);
    Ok(OperatorSpec { id, function, inputs, join, keys, exchange, window, on_error, line: table.line() })
}

fn sink((name, mut table): (String, Options)) -> Result<SinkSpec, JobError> {
    let connector = table.require("connector")?;
    let inputs = inputs(&mut table)?;
    Ok(SinkSpec { id: OperatorId::new(&name), connector, inputs, line: table.line(), options: table })
}

/// The tables `[sources.NAME]`, `[operators.NAME]` or `[sinks.NAME]`, by name.
fn named_tables(root: &mut Options, kind: &str) -> Result<Vec<(String, Options)>, JobError> {
    let Some(tables) = root.take_table(kind)? else { return Ok(Vec::new()) };
    let tables = tables.into_tables()?;
    match tables.iter().find(|(name, _)| !is_name(name)) {
        Some((name, table)) => Err(table.at(table.line(), format!("[{kind}.{name:?}]: {}", not_a_name(name)))),
        None => Ok(tables),
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

fn not_a_name(name: &str) -> String {
    format!("{name:?} is not a name: expected letters, digits, \"-\" and \"_\"")
}

/// `input = "a"`, or `input = ["a", "b.late"]`.
fn inputs(table: &mut Options) -> Result<Vec<InputRef>, JobError> {
    let words = match table.take::<Value>("input")? {
        Some(Value::String(word)) => vec![Value::String(word)],
        Some(Value::Array(words)) if !words.is_empty() => words,
        Some(Value::Array(_)) => return Err(table.error("input", "an empty list")),
        Some(other) => {
            let message = format!("invalid type: {}, expected a name or a list of names", other.type_str());
            return Err(table.error("input", message));
        }
        None => return Err(table.missing("input")),
    };
    let line = table.error("input", "").line;
    let mut inputs: Vec<InputRef> = Vec::with_capacity(words.len());
    for word in words {
        let Value::String(word) = word else {
            return Err(table.error("input", format!("{word} is not a name")));
        };
        let (from, output) = match word.split_once('.') {
            None => (word.as_str(), None),
            Some((from, output)) => (from, Some(output)),
        };
        if !is_name(from) || !output.is_none_or(is_name) {
            let message = format!("{word:?} is not an output: expected \"NAME\" or \"NAME.OUTPUT\"");
            return Err(table.error("input", message));
        }
        let input = InputRef { from: OperatorId::new(from), output: output.map(str::to_owned), line };
        if inputs.contains(&input) {
            return Err(table.error("input", format!("{word:?} is there twice")));
        }
        inputs.push(input);
    }
    Ok(inputs)
}

/// The keys of an operator's records: `{ json = "/user_id" }`, or a list with one for each of its `inputs`.
fn keys(table: &mut Options, inputs: usize) -> Result<Vec<Selector>, JobError> {
    if table.is_table("key") {
        return Ok(selector(table, "key")?.into_iter().collect());
    }
    let Some(places) = table.take::<Vec<Value>>("key")? else { return Ok(Vec::new()) };
    if places.len() != inputs {
        let message = format!("{} keys for {inputs} inputs", places.len());
        return Err(table.error("key", message).with_hint("write one for all inputs, or one for each in their order"));
    }
    let keys = places.into_iter().map(|place| {
        let Value::Table(mut place) = place else { return Err(table.error("key", EXPECTED_PLACE)) };
        let mut text = |name| match place.remove(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(table.error("key", format!("invalid type: {}, expected a string", other.type_str()))),
        };
        let (json, bytes) = (text("json")?, text("bytes")?);
        match (json, bytes, place.is_empty()) {
            (Some(pointer), None, true) => Selector::json(&pointer).map_err(|message| table.error("key", message)),
            (None, Some(range), true) => Selector::bytes(&range).map_err(|message| table.error("key", message)),
            _ => Err(table.error("key", EXPECTED_PLACE)),
        }
    });
    keys.collect()
}

const EXPECTED_PLACE: &str = "expected { json = \"/NAME\" } or { bytes = \"FROM..TO\" }";
const EXPECTED_TIME: &str = "expected { json = \"/NAME\" }, { bytes = \"FROM..TO\" } or { component = \"FILE.wasm\" }";

/// `{ json = "/user_id" }`, or `{ bytes = "9..17" }`.
pub(super) fn selector(table: &mut Options, key: &str) -> Result<Option<Selector>, JobError> {
    let Some(place) = table.take_table(key)? else { return Ok(None) };
    place_in_record(place, || table.error(key, EXPECTED_PLACE)).map(Some)
}

fn place_in_record(mut place: Options, neither: impl Fn() -> JobError) -> Result<Selector, JobError> {
    let json: Option<String> = place.take("json")?;
    let bytes: Option<String> = place.take("bytes")?;
    place.finish()?;
    match (json, bytes) {
        (Some(pointer), None) => Selector::json(&pointer).map_err(|message| place.error("json", message)),
        (None, Some(range)) => Selector::bytes(&range).map_err(|message| place.error("bytes", message)),
        _ => Err(neither()),
    }
}

/// `{ json = "/ordered_at" }`, `{ bytes = "1..9" }`, or `{ component = "times.wasm" }` with what goes with a component.
fn event_time(table: &mut Options) -> Result<Option<EventTimeSpec>, JobError> {
    let Some(mut place) = table.take_table("event-time")? else { return Ok(None) };
    if let Some(path) = place.take("component")? {
        let called = function::called(path, &mut place)?;
        place.finish()?;
        return Ok(Some(EventTimeSpec::Component(called)));
    }
    let place = place_in_record(place, || table.error("event-time", EXPECTED_TIME))?;
    match &place {
        Selector::Bytes(range) if range.len() != EVENT_TIME_BYTES => {
            let message = format!("an event time has {EVENT_TIME_BYTES} bytes, not the {} of {range:?}", range.len());
            Err(table.error("event-time", message))
        }
        _ => Ok(Some(EventTimeSpec::Place(place))),
    }
}

/// How watermarks are made of a source's event times, or of what its component says, if it has one.
fn watermark(table: &mut Options, has_component: bool) -> Result<WatermarkSpec, JobError> {
    let Some(mut watermark) = table.take_table("watermark")? else { return Ok(WatermarkSpec::default()) };
    let out_of_orderness_ms = take_event_time_span(&mut watermark, "out-of-orderness")?;
    let is_ascending = watermark.take("ascending")?.unwrap_or(false);
    let is_punctuated = watermark.take("punctuated")?.unwrap_or(false);
    let idle_after_ms = watermark.take_millis("idle-after")?;
    let alignment = alignment(&mut watermark)?;
    watermark.finish()?;
    if idle_after_ms == Some(0) {
        return Err(watermark.error("idle-after", "has to be more than 0"));
    }
    if is_ascending && out_of_orderness_ms.is_some() {
        let error = watermark.error("ascending", "\"out-of-orderness\" says that times are not");
        return Err(error.with_hint("remove one of the two"));
    }
    if is_punctuated && (is_ascending || out_of_orderness_ms.is_some()) {
        let other = if is_ascending { "ascending" } else { "out-of-orderness" };
        let error = watermark.error("punctuated", format!("{other:?} makes watermarks of event times"));
        return Err(error.with_hint("remove one of the two: without \"punctuated\" both count"));
    }
    if is_punctuated && !has_component {
        let error = watermark.error("punctuated", "there is no component that makes watermarks");
        return Err(error.with_hint("add event-time = { component = \"FILE.wasm\" } to the source"));
    }
    let out_of_orderness_ms = out_of_orderness_ms.unwrap_or(0);
    Ok(WatermarkSpec { out_of_orderness_ms, is_punctuated, idle_after_ms, alignment })
}

/// `alignment = "orders", max-drift = "1m"`.
fn alignment(watermark: &mut Options) -> Result<Option<AlignmentSpec>, JobError> {
    let group: Option<String> = watermark.take("alignment")?;
    let max_drift_ms = take_event_time_span(watermark, "max-drift")?;
    match (group, max_drift_ms) {
        (None, None) => Ok(None),
        (Some(group), _) if !is_name(&group) => Err(watermark.error("alignment", not_a_name(&group))),
        (Some(group), Some(max_drift_ms)) => Ok(Some(AlignmentSpec { group, max_drift_ms })),
        (Some(_), None) => Err(watermark.missing("max-drift")),
        (None, Some(_)) => Err(watermark.missing("alignment")),
    }
}

/// `rate-limit = { records = 1000, bytes = "1MiB" }`.
fn rate_limit(table: &mut Options) -> Result<RateLimit, JobError> {
    let Some(mut limit) = table.take_table("rate-limit")? else { return Ok(RateLimit::default()) };
    let spec = RateLimit { records: limit.take("records")?, bytes: limit.take_bytes("bytes")? };
    limit.finish()?;
    match spec {
        RateLimit { records: Some(0), .. } => Err(limit.error("records", "has to be more than 0")),
        RateLimit { bytes: Some(0), .. } => Err(limit.error("bytes", "has to be more than 0")),
        RateLimit { records: None, bytes: None } => {
            Err(table.error("rate-limit", "expected { records = NUMBER }, { bytes = \"SIZE\" } or both"))
        }
        spec => Ok(spec),
    }
}

/// A length of event time, which is signed.
pub(super) fn take_event_time_span(table: &mut Options, key: &str) -> Result<Option<i64>, JobError> {
    let span = table.take_millis(key)?;
    span.map(|ms| i64::try_from(ms).map_err(|_| table.error(key, "is too long"))).transpose()
}

/// `limits = { memory = "64MiB", deadline = "1s", … }`.
pub(super) fn limits(table: &mut Options) -> Result<LimitsSpec, JobError> {
    let Some(mut limits) = table.take_table("limits")? else { return Ok(LimitsSpec::default()) };
    let spec = LimitsSpec {
        memory_bytes_max: limits.take_bytes("memory")?,
        deadline_ms_max: limits.take_millis("deadline")?,
        output_bytes_max: limits.take_bytes("output")?,
        state_bytes_max: limits.take_bytes("state")?,
        records_max: limits.take("records")?,
        log_lines_max: limits.take("log")?,
    };
    limits.finish()?;
    let all = [
        ("memory", spec.memory_bytes_max),
        ("deadline", spec.deadline_ms_max),
        ("output", spec.output_bytes_max),
        ("state", spec.state_bytes_max),
        ("records", spec.records_max),
    ];
    match all.into_iter().find(|&(_, limit)| limit == Some(0)) {
        Some((key, _)) => Err(limits.error(key, "has to be more than 0")),
        None => Ok(spec),
    }
}

/// `grants = ["env:API_KEY", "http:api.example.org"]`.
pub(super) fn grants(table: &mut Options) -> Result<Vec<Grant>, JobError> {
    let words = table.take::<Vec<String>>("grants")?.unwrap_or_default();
    let mut grants = Vec::with_capacity(words.len());
    for word in words {
        let grant = match word.split_once(':') {
            Some(("env", name)) if !name.is_empty() && !name.contains(['=', '\0']) => Some(Grant::Env(name.to_owned())),
            Some(("http", host)) => HttpHost::parse(host).map(Grant::Http),
            _ => None,
        };
        let grant = grant.ok_or_else(|| {
            let error = table.error("grants", format!("{word:?} is nothing that can be granted"));
            error.with_hint(
                "write \"env:NAME\" for an environment variable, \"http:HOST\" or \"http:HOST:PORT\" for requests",
            )
        })?;
        if grants.contains(&grant) {
            return Err(table.error("grants", format!("{word:?} is there twice")));
        }
        grants.push(grant);
    }
    Ok(grants)
}

/// `[capsules]`.
fn capsules(root: &mut Options) -> Result<CapsulesSpec, JobError> {
    let defaults = CapsulesSpec::default();
    let Some(mut table) = root.take_table("capsules")? else { return Ok(defaults) };
    let keep = table.take("keep")?.unwrap_or(defaults.keep);
    let bytes_max = table.take_bytes("bytes")?.unwrap_or(defaults.bytes_max);
    table.finish()?;
    match bytes_max {
        0 => Err(table.error("bytes", "has to be more than 0").with_hint("keep = 0 keeps none")),
        _ => Ok(CapsulesSpec { keep, bytes_max }),
    }
}

fn on_error(table: &mut Options) -> Result<OnError, JobError> {
    let choices = [("fail", OnError::Fail), ("skip", OnError::Skip), ("dead-letter", OnError::DeadLetter)];
    Ok(table.take_choice("on-error", &choices)?.unwrap_or_default())
}
