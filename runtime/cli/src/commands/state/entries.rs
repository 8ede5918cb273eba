//! A savepoint, opened: its states, and their entries decoded.

use crate::values;
use anyhow::{Result, bail};
use serde_json::{Map, Value};
use std::ops::{ControlFlow, Range};
use std::path::Path;
use tidewheel_checkpoint::savepoint::{Row, RowKind, Savepoint};
use tidewheel_checkpoint::{StateEntry, Store};
use tidewheel_types::description::StateKind;
use tidewheel_types::job::nearest;
use tidewheel_types::key_group::{KeyGroup, KeyGroups, hash_key};

/// A savepoint.
pub(crate) struct Opened {
    url: String,
    savepoint: Savepoint,
}

/// A state in it, with its operator.
#[derive(Clone, Copy)]
pub(crate) struct StoredIn<'a> {
    pub(crate) operator: &'a str,
    pub(super) entry: &'a StateEntry,
}

impl Opened {
    pub(crate) fn open(url: &str) -> Result<Opened> {
        Ok(Opened { url: url.to_owned(), savepoint: open(url)? })
    }

    /// All states, by operator.
    pub(crate) fn states(&self) -> Vec<StoredIn<'_>> {
        let operators = self.savepoint.manifest.operators.iter();
        operators
            .flat_map(|(operator, state)| state.states.iter().map(move |entry| StoredIn { operator, entry }))
            .collect()
    }

    /// The state called `OPERATOR.STATE`.
    pub(super) fn find(&self, name: &str) -> Result<StoredIn<'_>> {
        let states = self.states();
        if let Some(state) = states.iter().find(|state| state.name() == name) {
            return Ok(*state);
        }
        let url = &self.url;
        let names: Vec<String> = states.iter().map(StoredIn::name).collect();
        match nearest(name, names.iter().map(String::as_str)) {
            Some(nearest) => bail!("there is no state {name:?} in {url}\n\nhint: did you mean {nearest:?}?"),
            None if names.is_empty() => bail!("there is no state in {url}"),
            None => bail!("there is no state {name:?} in {url}\n\nhint: there is {}", names.join(", ")),
        }
    }

    /// The operators that have state.
    pub(super) fn operators(&self) -> impl Iterator<Item = &str> {
        self.savepoint.manifest.operators.keys().map(String::as_str)
    }

    /// Goes through all rows of an operator.
    pub(crate) fn each_of_operator(
        &self,
        operator: &str,
        mut each: impl FnMut(&Row<'_>) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        self.each_in(operator, 0..self.savepoint.manifest.max_parallelism, &mut each)
    }

    /// Goes through the entries of a state, those of one key together, until told to stop.
    pub(super) fn each(
        &self,
        state: &StoredIn<'_>,
        mut each: impl FnMut(&Row<'_>) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        self.each_of_operator(state.operator, |row| match state.has(row) {
            true => each(row),
            false => Ok(ControlFlow::Continue(())),
        })
    }

    /// Goes through the entries that a state has for one key.
    pub(super) fn each_of_key(
        &self,
        state: &StoredIn<'_>,
        key: &[u8],
        mut each: impl FnMut(&Row<'_>) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let groups = KeyGroups::new(self.savepoint.manifest.max_parallelism, 1);
        let KeyGroup(group) = groups.group_of_hash(hash_key(key));
        self.each_in(state.operator, group..group + 1, &mut |row| match state.has(row) && row.key == key {
            true => each(row),
            false => Ok(ControlFlow::Continue(())),
        })
    }

    fn each_in(
        &self,
        operator: &str,
        key_groups: Range<u16>,
        each: &mut dyn FnMut(&Row<'_>) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let mut rows = self.savepoint.rows(operator, key_groups);
        while let Some(row) = rows.next()? {
            if each(&row)?.is_break() {
                break;
            }
        }
        Ok(())
    }
}

/// Opens the savepoint at a URL or path.
pub(crate) fn open(url: &str) -> Result<Savepoint> {
    Ok(Savepoint::open(&Store::open(url, Path::new(""))?)?)
}

impl StoredIn<'_> {
    /// `OPERATOR.STATE`.
    pub(super) fn name(&self) -> String {
        format!("{}.{}", self.operator, self.entry.name)
    }

    /// Whether a row of its operator is one of its entries.
    pub(crate) fn has(&self, row: &Row<'_>) -> bool {
        matches!(row.kind, RowKind::State(_)) && row.state == self.entry.name
    }
}

/// An entry, decoded.
pub(crate) struct Entry {
    pub(crate) key: Value,
    pub(crate) window: Value,
    /// A map's key, or a list's index.
    pub(crate) place: Value,
    pub(crate) value: Value,
    version: u32,
    expires: Value,
}

impl Entry {
    pub(crate) fn new(state: &StoredIn<'_>, row: &Row<'_>) -> Entry {
        let StateEntry { kind, format, schema, version, .. } = state.entry;
        // Of an older version only a format that describes itself says what it holds.
        let schema = if row.version == *version { schema.as_str() } else { "" };
        let place = match kind {
            StateKind::Map => values::key(row.user_key),
            StateKind::List => match <[u8; 8]>::try_from(row.user_key) {
                Ok(index) => u64::from_be_bytes(index).into(),
                Err(_) => values::key(row.user_key),
            },
            StateKind::Value | StateKind::Aggregating => Value::Null,
        };
        Entry {
            key: values::key(row.key),
            window: values::namespace(row.namespace),
            place,
            value: values::value(format, schema, row.value),
            version: row.version,
            expires: row.expiry_ms.into(),
        }
    }

    /// One object; what an entry of its kind does not have is left out.
    pub(super) fn to_json(&self, state: &StoredIn<'_>) -> Value {
        let place = if state.entry.kind == StateKind::List { "index" } else { "map_key" };
        let all = [
            ("operator", state.operator.into()),
            ("state", state.entry.name.as_str().into()),
            ("key", self.key.clone()),
            ("window_start", self.window.clone()),
            (place, self.place.clone()),
            ("value", self.value.clone()),
            ("version", self.version.into()),
            ("expires", self.expires.clone()),
        ];
        let there = all.into_iter().filter(|(name, value)| *name == "value" || !value.is_null());
        Value::Object(there.map(|(name, value)| (name.to_owned(), value)).collect::<Map<_, _>>())
    }

    /// Key, window, place, value, version and expiry, in cells of a table.
    pub(super) fn cells(&self) -> [String; 6] {
        [
            values::cell(&self.key),
            values::time_cell(&self.window),
            values::cell(&self.place),
            values::cell(&self.value),
            self.version.to_string(),
            values::time_cell(&self.expires),
        ]
    }
}
