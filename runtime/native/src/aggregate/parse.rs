//! `aggregate = { bids = "count", total = { sum = "/price" } }` → what is aggregated.

use super::{Aggregates, Column, Function, TopField};
use crate::fields::Fields;
use crate::scalar;
use std::fmt::Write;
use tidewheel_types::JsonPointer;
use tidewheel_types::job::{JobError, Options};

/// Names of a result's fields that are there without being asked for.
const OWN_NAMES: [&str; 3] = ["key", "window_start", "window_end"];

/// Records that a `top` keeps at most.
const TOP_MAX: u64 = 10_000;

/// The functions there are, and what they take.
const EXPECTED: &str = "expected \"count\" or a table with one of count, sum, min, max, avg, distinct and top";

/// Takes the key `aggregate` of an operator's table.
pub(super) fn aggregates(table: &mut Options) -> Result<Aggregates, JobError> {
    let mut wanted = table.take_table("aggregate")?.ok_or_else(|| table.missing("aggregate"))?;
    let names: Vec<String> = wanted.keys().map(str::to_owned).collect();
    if names.is_empty() {
        return Err(table.error("aggregate", "no fields"));
    }
    let mut aggregates = Aggregates { fields: Fields::default(), columns: Vec::new(), definition: String::new() };
    for name in names {
        if OWN_NAMES.contains(&name.as_str()) {
            return Err(wanted.error(&name, "a result has this field already: choose another name"));
        }
        let separator = if aggregates.columns.is_empty() { "" } else { ", " };
        write!(aggregates.definition, "{separator}{name}: ").expect("memory takes it");
        let function = function(&mut wanted, &name, &mut aggregates)?;
        let mut head = vec![b','];
        scalar::write_text(&name, &mut head);
        head.push(b':');
        aggregates.columns.push(Column { head, name, function });
    }
    Ok(aggregates)
}

/// Takes the function of the field `name`, and adds it to the definition.
fn function(wanted: &mut Options, name: &str, to: &mut Aggregates) -> Result<Function, JobError> {
    if !wanted.is_table(name) {
        let word: String = wanted.require(name)?;
        if word != "count" {
            return Err(wanted.error(name, format!("{word:?} is not a function: {EXPECTED}")));
        }
        to.definition.push_str("count");
        return Ok(Function::Count(None));
    }
    let mut table = wanted.take_table(name)?.ok_or_else(|| wanted.missing(name))?;
    const WORDS: [&str; 6] = ["count", "sum", "min", "max", "avg", "distinct"];
    let given: Vec<String> = table.keys().map(str::to_owned).collect();
    let functions: Vec<&String> = given.iter().filter(|key| WORDS.contains(&key.as_str()) || *key == "top").collect();
    let [word] = functions[..] else { return Err(wanted.error(name, EXPECTED)) };
    let function = match word.as_str() {
        "top" => top(&mut table, to)?,
        word => {
            let place = place(&mut table, word, to)?;
            match word {
                "count" => Function::Count(Some(place)),
                "sum" => Function::Sum(place),
                "min" => Function::Min(place),
                "max" => Function::Max(place),
                "avg" => Function::Avg(place),
                _ => distinct(&mut table, place, to)?,
            }
        }
    };
    table.finish()?;
    Ok(function)
}

fn distinct(table: &mut Options, place: usize, to: &mut Aggregates) -> Result<Function, JobError> {
    let is_approximate = table.take::<bool>("approximate")?.unwrap_or(false);
    if is_approximate {
        to.definition.push_str(" approximate");
    }
    Ok(if is_approximate { Function::About(place) } else { Function::Distinct(place) })
}

/// `{ top = 3, by = "/price", fields = ["/auction", "/price"] }`.
fn top(table: &mut Options, to: &mut Aggregates) -> Result<Function, JobError> {
    let most = match table.require::<i64>("top")? {
        most @ 1.. if most as u64 <= TOP_MAX => most as usize,
        other => return Err(table.error("top", format!("{other} is not a number from 1 to {TOP_MAX}"))),
    };
    write!(to.definition, "top {most}").expect("memory takes it");
    let by = place(table, "by", to)?;
    let mut fields: Vec<TopField> = Vec::new();
    for text in table.take::<Vec<String>>("fields")?.unwrap_or_else(|| vec![String::new()]) {
        let wrong = |message| table.error("fields", message);
        let pointer = JsonPointer::parse(&text).map_err(wrong)?;
        let name = pointer.steps().last().map(|(name, _)| name.to_owned());
        if let Some(other) = fields.iter().find(|field| field.name == name) {
            let message = format!("{text:?} and {:?} would have the same name", other.pointer);
            return Err(table.error("fields", message));
        }
        let place = to.fields.add(&pointer).map_err(|message| table.error("fields", message))?;
        write!(to.definition, " {text:?}").expect("memory takes it");
        fields.push(TopField { name, pointer: text, place });
    }
    if fields.is_empty() || fields.len() > 1 && fields.iter().any(|field| field.name.is_none()) {
        return Err(table.error("fields", "expected JSON pointers, such as [\"/auction\", \"/price\"]"));
    }
    Ok(Function::Top { most, by, fields })
}

/// Takes the JSON pointer at `key`; the place goes to the fields and, with the key, to the definition.
fn place(table: &mut Options, key: &str, to: &mut Aggregates) -> Result<usize, JobError> {
    let text: String = table.require(key)?;
    let pointer = JsonPointer::parse(&text).and_then(|pointer| to.fields.add(&pointer));
    let separator = if to.definition.ends_with(' ') { "" } else { " " };
    write!(to.definition, "{separator}{key} {text:?}").expect("memory takes it");
    pointer.map_err(|message| table.error(key, message))
}
