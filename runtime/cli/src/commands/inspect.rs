//! `tidewheel inspect`: what a component is and says of itself.

use crate::args::Inspect;
use crate::render::{self, Align};
use crate::{escape, terminal};
use anyhow::Result;
use serde::Serialize;
use std::fmt::Write;
use tidewheel_guest::{Component, Import};
use tidewheel_types::description::{Port, StateDecl, TimerDecl};
use tidewheel_types::{Description, World};

/// Loads the component and prints what it says.
pub(crate) fn execute(inspect: &Inspect) -> Result<()> {
    let component = super::guest_runtime()?.load(&inspect.component)?;
    let report = Report::new(&component);
    match inspect.json {
        true => terminal::print_json(&serde_json::to_string(&report)?)?,
        false => terminal::print(&report.text())?,
    }
    if !report.function_names {
        terminal::say(
            "warning: the component has no function names, so a trap's backtrace will have none\n\n\
             hint: build it without stripping its `name` section",
        );
    }
    Ok(())
}

/// Everything there is to say of a component.
#[derive(Serialize)]
struct Report<'a> {
    world: World,
    digest: String,
    function_names: bool,
    #[serde(flatten)]
    description: &'a Description,
    imports: &'a [Import],
}

impl<'a> Report<'a> {
    fn new(component: &'a Component) -> Report<'a> {
        Report {
            world: component.world(),
            digest: format!("sha256:{}", component.digest()),
            function_names: component.has_function_names(),
            description: component.description(),
            imports: component.imports(),
        }
    }

    fn text(&self) -> String {
        let description = self.description;
        let mut text = String::new();
        let facts = [
            ("operator", format!("{} {}", description.name, description.version)),
            ("world", self.world.to_string()),
            ("sdk", description.sdk.clone()),
            ("digest", self.digest.clone()),
        ];
        for (name, fact) in facts {
            writeln!(text, "{name:<10}{}", escape::line(fact.trim())).expect("a string takes everything");
        }
        let columns = ["INPUT", "FORMAT", "SCHEMA"];
        section(&mut text, &columns, description.inputs.iter().map(port));
        let columns = ["OUTPUT", "FORMAT", "SCHEMA"];
        section(&mut text, &columns, description.outputs.iter().map(port));
        let columns = ["STATE", "KIND", "FORMAT", "VERSION", "MIGRATES FROM", "TTL", "RIDES", "SCHEMA"];
        section(&mut text, &columns, description.states.iter().map(state));
        section(&mut text, &["TIMER", "CLOCK"], description.timers.iter().map(timer));
        section(&mut text, &["IMPORT", ""], self.imports.iter().map(import));
        text
    }
}

/// A table after a blank line; nothing when it has no rows.
fn section<const N: usize>(text: &mut String, columns: &[&str; N], rows: impl Iterator<Item = [String; N]>) {
    let rows: Vec<Vec<String>> = rows.map(Vec::from).collect();
    if !rows.is_empty() {
        text.push('\n');
        text.push_str(&render::table(&columns.map(|name| (name, Align::Left)), &rows));
    }
}

fn port(port: &Port) -> [String; 3] {
    [port.name.clone(), port.format.clone(), port.schema.clone()]
}

fn state(state: &StateDecl) -> [String; 8] {
    [
        state.name.clone(),
        word(&state.kind),
        state.format.clone(),
        state.version.to_string(),
        if state.oldest < state.version { state.oldest.to_string() } else { String::new() },
        if state.ttl_ms == 0 {
            String::new()
        } else {
            render::span_ms(i64::try_from(state.ttl_ms).unwrap_or(i64::MAX))
        },
        if state.rides { "yes" } else { "no" }.to_owned(),
        state.schema.clone(),
    ]
}

fn timer(timer: &TimerDecl) -> [String; 2] {
    [timer.name.clone(), word(&timer.clock)]
}

fn import(import: &Import) -> [String; 2] {
    let note = if import.provided { "" } else { "not provided: fails when called" };
    [import.name.clone(), note.to_owned()]
}

/// An enum's word, the same as in JSON.
fn word(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::Report;
    use tidewheel_guest::Import;
    use tidewheel_types::description::{Port, StateDecl, StateKind, TimerClock, TimerDecl};
    use tidewheel_types::{Description, World};

    fn port(name: &str) -> Port {
        Port { name: name.to_owned(), format: "json".to_owned(), schema: "Report".to_owned() }
    }

    #[test]
    fn a_report_for_people_and_one_for_machines() {
        let summary = StateDecl {
            name: "summary".to_owned(),
            kind: StateKind::Value,
            format: "json".to_owned(),
            schema: "Summary".to_owned(),
            version: 3,
            oldest: 2,
            rides: true,
            ttl_ms: 540 * 86_400_000,
            options: Vec::new(),
        };
        let description = Description {
            name: "rfm".to_owned(),
            version: "1.2.0".to_owned(),
            sdk: "rust 0.1.0".to_owned(),
            outputs: vec![port("main"), port("big-spenders")],
            states: vec![summary],
            timers: vec![TimerDecl { name: "forget".to_owned(), clock: TimerClock::Event }],
            ..Description::default()
        };
        let import = |name: &str, provided| Import { name: name.to_owned(), provided };
        let report = Report {
            world: World::Keyed,
            digest: "sha256:00ff".to_owned(),
            function_names: true,
            description: &description,
            imports: &[import("tidewheel:operator/log@0.1.0", true), import("wasi:cli/environment@0.2.6", false)],
        };
        assert_eq!(report.text(), include_str!("inspect_expected.txt"));
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(
            (&json["world"], &json["name"], &json["states"][0]["kind"]),
            (&"keyed".into(), &"rfm".into(), &"value".into())
        );
        assert_eq!(json["imports"][1]["provided"], false);
    }
}
