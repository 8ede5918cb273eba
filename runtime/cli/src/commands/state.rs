//! `tidewheel state`: what is in a savepoint.

pub(crate) mod entries;

use crate::args::{State, StateCount, StateExport, StateGet, StateList, StateScan};
use crate::render::{self, Align};
use crate::{terminal, values};
use anyhow::{Result, anyhow, bail};
use entries::{Entry, Opened, StoredIn};
use serde::Serialize;
use std::ops::ControlFlow;
use tidewheel_types::description::StateKind;

/// Does what of it was asked for.
pub(crate) fn execute(state: &State) -> Result<()> {
    match state {
        State::List(list) => self::list(list),
        State::Get(get) => self::get(get),
        State::Scan(scan) => self::scan(scan),
        State::Count(count) => self::count(count),
        State::Export(export) => self::export(export),
    }
}

/// A state in the list.
#[derive(Serialize)]
struct Listed<'a> {
    #[serde(skip)]
    of: StoredIn<'a>,
    operator: &'a str,
    state: &'a str,
    kind: &'static str,
    format: &'a str,
    schema: &'a str,
    version: u32,
    versions: &'a [u32],
    entries: u64,
    bytes: u64,
}

impl<'a> Listed<'a> {
    fn without_entries(of: StoredIn<'a>) -> Listed<'a> {
        let StoredIn { operator, entry } = of;
        Listed {
            of,
            operator,
            state: &entry.name,
            kind: entry.kind.name(),
            format: &entry.format,
            schema: &entry.schema,
            version: entry.version,
            versions: &entry.versions,
            entries: 0,
            bytes: 0,
        }
    }
}

fn list(list: &StateList) -> Result<()> {
    let opened = Opened::open(&list.from.savepoint)?;
    let mut listed: Vec<Listed<'_>> = opened.states().into_iter().map(Listed::without_entries).collect();
    for operator in opened.operators() {
        opened.each_of_operator(operator, |row| {
            let state = listed.iter_mut().find(|listed| listed.of.operator == operator && listed.of.has(row));
            // Timers are no state of the component's.
            if let Some(state) = state {
                state.entries += 1;
                state.bytes += (row.key.len() + row.namespace.len() + row.user_key.len() + row.value.len()) as u64;
            }
            Ok(ControlFlow::Continue(()))
        })?;
    }
    if list.json {
        return Ok(terminal::print_json(&serde_json::to_string(&listed)?)?);
    }
    let (left, right) = (Align::Left, Align::Right);
    let columns = [
        ("OPERATOR", left),
        ("STATE", left),
        ("KIND", left),
        ("FORMAT", left),
        ("VERSION", right),
        ("ENTRIES", right),
        ("SIZE", right),
        ("SCHEMA", left),
    ];
    let row = |state: &Listed<'_>| {
        let texts = [state.operator, state.state, state.kind, state.format].map(str::to_owned);
        let numbers = [state.version.to_string(), render::count(state.entries), render::bytes(state.bytes)];
        texts.into_iter().chain(numbers).chain([state.schema.to_owned()]).collect()
    };
    Ok(terminal::print(&render::table(&columns, &listed.iter().map(row).collect::<Vec<_>>()))?)
}

fn get(get: &StateGet) -> Result<()> {
    let key = match (&get.key, &get.key_hex) {
        (Some(key), _) => key.clone().into_bytes(),
        (None, Some(digits)) => values::from_hex(digits)
            .ok_or_else(|| anyhow!("--key-hex {digits}: expected pairs of hexadecimal digits, such as 00ff"))?,
        (None, None) => bail!("no key"),
    };
    let opened = Opened::open(&get.from.savepoint)?;
    let state = opened.find(&get.state)?;
    let mut found = Vec::new();
    opened.each_of_key(&state, &key, |row| {
        found.push(Entry::new(&state, row));
        Ok(ControlFlow::Continue(()))
    })?;
    show(&state, &found, get.json)?;
    if found.is_empty() {
        terminal::say(&format!("{} has nothing for this key", get.state));
    }
    Ok(())
}

fn scan(scan: &StateScan) -> Result<()> {
    let opened = Opened::open(&scan.from.savepoint)?;
    let state = opened.find(&scan.state)?;
    let mut found = Vec::new();
    let mut is_cut = false;
    opened.each(&state, |row| {
        if found.len() == scan.limit {
            is_cut = true;
            return Ok(ControlFlow::Break(()));
        }
        found.push(Entry::new(&state, row));
        Ok(ControlFlow::Continue(()))
    })?;
    show(&state, &found, scan.json)?;
    if is_cut {
        terminal::say(&format!(
            "there is more than these {}: raise --limit, or export",
            render::count(scan.limit as u64)
        ));
    }
    Ok(())
}

/// A state's numbers.
#[derive(Serialize)]
struct Counted {
    entries: u64,
    keys: u64,
}

fn count(count: &StateCount) -> Result<()> {
    let opened = Opened::open(&count.from.savepoint)?;
    let state = opened.find(&count.state)?;
    let mut counted = Counted { entries: 0, keys: 0 };
    let mut last: Option<Vec<u8>> = None;
    opened.each(&state, |row| {
        counted.entries += 1;
        // Entries of one key stand together.
        if last.as_deref() != Some(row.key) {
            counted.keys += 1;
            last = Some(row.key.to_vec());
        }
        Ok(ControlFlow::Continue(()))
    })?;
    if count.json {
        return Ok(terminal::print_json(&serde_json::to_string(&counted)?)?);
    }
    let Counted { entries, keys } = counted;
    Ok(terminal::print(&format!("{} entries of {} keys\n", render::count(entries), render::count(keys)))?)
}

fn export(export: &StateExport) -> Result<()> {
    let opened = Opened::open(&export.from.savepoint)?;
    let states = match &export.state {
        Some(state) => vec![opened.find(state)?],
        None => opened.states(),
    };
    for state in &states {
        let mut lines = terminal::JsonLines::new();
        opened.each(state, |row| Ok(lines.print(&Entry::new(state, row).to_json(state))?))?;
        lines.finish()?;
    }
    Ok(())
}

/// Entries as a table, without the columns that are empty, or as a JSON list.
fn show(state: &StoredIn<'_>, entries: &[Entry], json: bool) -> Result<()> {
    if json {
        let list: Vec<serde_json::Value> = entries.iter().map(|entry| entry.to_json(state)).collect();
        return Ok(terminal::print_json(&serde_json::to_string(&list)?)?);
    }
    let place = match state.entry.kind {
        StateKind::List => "INDEX",
        _ => "MAP KEY",
    };
    let all = ["KEY", "WINDOW", place, "VALUE", "VERSION", "EXPIRES"];
    let rows: Vec<[String; 6]> = entries.iter().map(Entry::cells).collect();
    let is_used =
        |column: usize| rows.iter().any(|row| !row[column].is_empty()) || ["KEY", "VALUE"].contains(&all[column]);
    let used: Vec<usize> = (0..all.len()).filter(|&column| is_used(column)).collect();
    let columns: Vec<(&str, Align)> = used.iter().map(|&column| (all[column], Align::Left)).collect();
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| used.iter().map(|&column| row[column].clone()).collect()).collect();
    Ok(terminal::print(&render::table(&columns, &rows))?)
}
