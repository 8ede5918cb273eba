//! Settings on the command line that go before what the job file says: `--set operators.count.component=new.wasm`.

use super::{JobError, Options};
use toml::de::{DeTable, DeValue};

/// The tables whose keys are names that the job file gives. A setting changes a part, it does not make one.
const NAMED: [(&str, &str); 3] = [("sources", "source"), ("operators", "operator"), ("sinks", "sink")];

/// Changes `root` as `setting`, a `KEY=VALUE`, says.
pub(super) fn apply(root: &mut Options, setting: &str) -> Result<(), JobError> {
    let wrong = |place: &str, message: String| JobError {
        file: format!("--set {}", place.trim()),
        line: 0,
        message,
        hint: None,
    };
    let Some((key, value)) = setting.split_once('=') else {
        let error = wrong(setting, "no value".to_owned());
        return Err(error.with_hint("write --set KEY=VALUE, such as --set operators.count.component=new.wasm"));
    };
    let path = path(key).ok_or_else(|| {
        wrong(key, "is not a key".to_owned()).with_hint("write the table's name and the key with a dot: TABLE.KEY")
    })?;
    let (first, rest) = path.split_first().expect("a key has a part");
    if let (Some((_, noun)), Some(name)) = (NAMED.iter().find(|(table, _)| table == first), rest.first()) {
        let names = root.keys_of(first);
        if !names.contains(&name.as_str()) {
            return Err(wrong(key, format!("the job has no {noun} {name:?}")).with_choices(name, names));
        }
    }
    let file = format!("--set {}", key.trim());
    // The value becomes a file of its own with one key, so that it is read as any other.
    let text = format!("value = {value}");
    let mut document = match Options::parse(&text, &file) {
        Ok(document) if document.keys().eq(["value"]) => document,
        // Not TOML, or more than one value: the text itself.
        _ => Options::parse(&format!("value = {}", toml::Value::String(value.to_owned())), &file)?,
    };
    root.set(&path, &mut document, "value")
}

/// The parts of a dotted key, as TOML reads it; `None` when it is none.
fn path(key: &str) -> Option<Vec<String>> {
    let text = format!("{key} = 0");
    let mut table = DeTable::parse(&text).ok()?.into_inner();
    let mut path = Vec::new();
    loop {
        let mut entries = table.into_iter();
        let (part, value) = entries.next()?;
        if entries.next().is_some() {
            return None;
        }
        path.push(part.into_inner().into_owned());
        match value.into_inner() {
            DeValue::Table(inner) => table = inner,
            _ => return Some(path),
        }
    }
}
