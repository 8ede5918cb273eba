//! `tidewheel replay`: makes a call again that has failed, from its capsule.

use super::guest_runtime;
use crate::args::Replay;
use crate::{escape, terminal};
use anyhow::{Context, Result};
use serde::Serialize;
use std::fmt::Write;
use std::path::Path;
use tidewheel_guest::{Capsule, CapsuleError, CapsuleFacts, Component, Export, Failed, Runtime};

/// How the call went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It returned, and what it gave keeps to the contract.
    Passed,
    /// It failed again, as before or otherwise.
    FailedAgain,
}

/// Bytes of a value that are shown.
const VALUE_BYTES_SHOWN: usize = 200;

/// Makes the call of a capsule and says what came of it.
pub(crate) fn execute(replay: &Replay) -> Result<Outcome> {
    let path = &replay.capsule;
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let capsule = Capsule::from_bytes(&bytes).with_context(|| path.display().to_string())?;
    let runtime = guest_runtime()?;
    let facts = &capsule.facts;
    let component = match &replay.component {
        Some(file) => runtime.load(file)?,
        None => match capsule.component(&runtime) {
            Err(error @ CapsuleError::NoComponent { .. }) => where_it_was(&runtime, facts).ok_or(error)?,
            component => component?,
        },
    };
    let is_same = component.digest() == facts.component;
    if !is_same {
        terminal::say("the component is not the one that failed");
    }
    let failure = capsule.replay(&component, environment(facts)).err().map(|error| error.to_string());
    let report = Report {
        is_same_component: is_same,
        failed_again: failure.is_some(),
        failed_the_same: failure.as_deref() == Some(facts.failure.as_str()),
        failure,
        facts,
    };
    match replay.json {
        true => terminal::print_json(&serde_json::to_string(&report)?)?,
        false => terminal::print(&report.text(&capsule.values()))?,
    }
    Ok(if report.failed_again { Outcome::FailedAgain } else { Outcome::Passed })
}

/// The component in the file that it was loaded from, if that is here and as it was.
fn where_it_was(runtime: &Runtime, facts: &CapsuleFacts) -> Option<Component> {
    let component = runtime.load(Path::new(facts.component_path.as_ref()?)).ok()?;
    (component.digest() == facts.component).then_some(component)
}

/// The variables that the call saw, as they are here; one that is not set here is missed.
fn environment(facts: &CapsuleFacts) -> Vec<(String, String)> {
    let variables = facts.environment.iter().filter_map(|name| match std::env::var(name) {
        Ok(value) => Some((name.clone(), value)),
        Err(_) => {
            terminal::say(&format!("warning: the call saw the environment variable {name}, which is not set here"));
            None
        }
    });
    variables.collect()
}

/// What came of a call that was made again.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Report<'a> {
    failed_again: bool,
    /// Whether it failed in the very same way.
    failed_the_same: bool,
    is_same_component: bool,
    /// How it failed this time.
    failure: Option<String>,
    #[serde(flatten)]
    facts: &'a CapsuleFacts,
}

impl Report<'_> {
    fn text(&self, values: &[&[u8]]) -> String {
        let facts = self.facts;
        let called = match facts.failed {
            Failed::Call(export) => format!("{} of {}", export.name(), facts.target),
            Failed::Migrate { state, version } => {
                format!("migrate of {} (state {state}, version {version})", facts.target)
            }
        };
        let mut text = String::new();
        let lines = [
            ("job", format!("{}, operator {}, worker {}", facts.job, facts.operator, facts.worker)),
            ("component", facts.component.clone()),
            ("call", called),
            ("clock", format!("{} ms, watermark {}, seed {}", facts.call.now, watermark(facts), facts.call.seed)),
        ];
        for (name, line) in lines {
            writeln!(text, "{name:<11}{}", escape::line(&line)).expect("a string takes everything");
        }
        for value in values {
            writeln!(text, "{:<11}{}", name_of_value(facts.failed), shown(value)).expect("a string takes everything");
        }
        let outcome = match &self.failure {
            None => "it does not fail any more".to_owned(),
            Some(failure) if self.failed_the_same => format!("it failed again: {failure}"),
            Some(failure) => format!("it failed otherwise: {failure}\n\nit had failed so: {}", facts.failure),
        };
        format!("{text}\n{outcome}\n")
    }
}

fn watermark(facts: &CapsuleFacts) -> String {
    match facts.call.watermark {
        i64::MIN => "none".to_owned(),
        i64::MAX => "end".to_owned(),
        watermark => format!("{watermark} ms"),
    }
}

fn name_of_value(failed: Failed) -> &'static str {
    match failed {
        Failed::Call(Export::Merge | Export::Fire) => "accumulator",
        _ => "value",
    }
}

/// A value in a line: text without what a terminal would obey, other bytes escaped.
fn shown(value: &[u8]) -> String {
    let cut = &value[..value.len().min(VALUE_BYTES_SHOWN)];
    let rest = if cut.len() < value.len() { "…" } else { "" };
    match std::str::from_utf8(cut) {
        Ok(text) => format!("{}{rest}", escape::line(text)),
        Err(_) => format!("{}{rest}", cut.escape_ascii()),
    }
}
