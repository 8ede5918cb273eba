//! What an operator does: the one key of its table that says so, and the keys that go with it.

use super::{ChangedSpec, ComponentSpec, DeduplicateSpec, FunctionSpec, JobError, Keep, Options, parse};
use crate::JsonPointer;
use crate::description::TimerClock;

/// The keys that say what an operator does.
const KEYS: [&str; 6] = ["component", "filter", "select", "aggregate", "deduplicate", "changed"];

/// Keys of an operator that others do not take, with those that do.
const OWNED: [(&str, &[&str]); 6] = [
    ("join", &["component", "filter", "select"]),
    ("config", &["component"]),
    ("limits", &["component"]),
    ("grants", &["component"]),
    ("window", &["component", "aggregate"]),
    ("exchange", &["component", "filter", "select"]),
];

/// Takes what an operator does.
pub(super) fn function(table: &mut Options) -> Result<FunctionSpec, JobError> {
    let given: Vec<&str> = table.keys().filter_map(|key| KEYS.into_iter().find(|known| *known == key)).collect();
    let key = match given[..] {
        [key] => key,
        [] if table.keys().any(|key| key == "join") => "join",
        [] => return Err(nothing_to_do(table)),
        [first, second, ..] => {
            let error = table.error(second, format!("the operator has {first:?} already"));
            return Err(error.with_hint("an operator does one thing: make another that reads its output"));
        }
    };
    for (owned, owners) in OWNED {
        if owned != key && !owners.contains(&key) && table.keys().any(|key| key == owned) {
            let message = format!("an operator with {key:?} does not take it");
            return Err(table.error(owned, message).with_hint(format!("it goes with {}", owners.join(", "))));
        }
    }
    match key {
        "join" => Ok(FunctionSpec::Pairs),
        "component" => component(table).map(FunctionSpec::Component),
        "filter" => Ok(FunctionSpec::Filter(table.split_off(key))),
        "select" => Ok(FunctionSpec::Select(table.split_off(key))),
        "aggregate" => Ok(FunctionSpec::Aggregate(table.split_off(key))),
        "deduplicate" => deduplicate(table).map(FunctionSpec::Deduplicate),
        _ => changed(table).map(FunctionSpec::Changed),
    }
}

/// That no key says what the operator does; when one is only misspelt, that.
fn nothing_to_do(table: &Options) -> JobError {
    let missing = KEYS.map(|key| table.missing(key));
    match missing.into_iter().find(|error| error.hint.is_some()) {
        Some(slip) => slip,
        None => {
            let (last, others) = KEYS.split_last().expect("there are some");
            table
                .table_error("nothing says what the operator does")
                .with_hint(format!("add one of the keys {} and {last}", others.join(", ")))
        }
    }
}

/// The keys of an operator that calls a component.
fn component(table: &mut Options) -> Result<ComponentSpec, JobError> {
    let path = table.require("component")?;
    called(path, table)
}

/// The keys that go with the component at `path`.
pub(super) fn called(path: String, table: &mut Options) -> Result<ComponentSpec, JobError> {
    let config = match table.take_table("config")? {
        Some(config) => config.to_json()?,
        None => serde_json::Value::Object(serde_json::Map::new()),
    };
    Ok(ComponentSpec { path, config, limits: parse::limits(table)?, grants: parse::grants(table)? })
}

/// `deduplicate = { keep = "first", within = "1h" }`.
fn deduplicate(table: &mut Options) -> Result<DeduplicateSpec, JobError> {
    let mut options = table.take_table("deduplicate")?.ok_or_else(|| table.missing("deduplicate"))?;
    let keep = options.take_choice("keep", &[("first", Keep::First), ("last", Keep::Last)])?;
    let keep = keep.ok_or_else(|| options.missing("keep"))?;
    let within_ms = within(&mut options)?.ok_or_else(|| options.missing("within"))?;
    let clock = clock(&mut options)?;
    options.finish()?;
    match (keep, clock) {
        (Keep::Last, Some(TimerClock::Processing)) => {
            Err(options
                .error("clock", "the last record is the one with the latest event time: there is no other clock"))
        }
        _ => Ok(DeduplicateSpec { keep, within_ms, clock: clock.unwrap_or(TimerClock::Event) }),
    }
}

/// `changed = { fields = ["/status", "/amount"], within = "30d" }`.
fn changed(table: &mut Options) -> Result<ChangedSpec, JobError> {
    let mut options = table.take_table("changed")?.ok_or_else(|| table.missing("changed"))?;
    let fields: Vec<String> = options.require("fields")?;
    if fields.is_empty() {
        return Err(options.error("fields", "an empty list"));
    }
    let fields = fields.iter().map(|field| JsonPointer::parse(field));
    let fields = fields.collect::<Result<_, _>>().map_err(|message| options.error("fields", message))?;
    let within_ms = within(&mut options)?;
    let clock = clock(&mut options)?;
    options.finish()?;
    match (within_ms, clock) {
        (None, Some(_)) => Err(options.error("clock", "without \"within\" there is no time")),
        _ => Ok(ChangedSpec { fields, within_ms, clock: clock.unwrap_or(TimerClock::Event) }),
    }
}

fn within(options: &mut Options) -> Result<Option<i64>, JobError> {
    match parse::take_event_time_span(options, "within")? {
        Some(0) => Err(options.error("within", "has to be more than 0")),
        within_ms => Ok(within_ms),
    }
}

fn clock(options: &mut Options) -> Result<Option<TimerClock>, JobError> {
    options.take_choice("clock", &[("event", TimerClock::Event), ("processing", TimerClock::Processing)])
}
