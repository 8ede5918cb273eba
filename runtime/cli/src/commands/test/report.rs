//! How cases went, for people and for programs.

use super::case::Case;
use super::compare::Difference;
use anyhow::Result;
use serde::{Deserialize, Serialize};
use std::fmt::Write;
use std::path::Path;

/// How a case went.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct CaseReport {
    /// Its file.
    pub(super) case: String,
    pub(super) passed: bool,
    pub(super) steps: usize,
    /// What came otherwise than expected; those of the first step that did.
    pub(super) differences: Vec<Difference>,
    /// What the two ways of running it say together.
    pub(super) hint: Option<String>,
    /// Why it could not be run to its end.
    pub(super) error: Option<String>,
}

/// What an instance keeps is no state.
const KEPT_IN_INSTANCE: &str = "it passes when one instance serves all calls: something is kept in a field or a global \
                                that should be declared state";
const DISTURBED: &str = "it passes when each record has an instance of its own: what one leaves in a field or a global \
                         changes what comes of the next, or the records of a batch are mixed up";

impl CaseReport {
    /// From what differed with fresh instances and with a kept one.
    pub(super) fn new(case: &Case, fresh: Vec<Difference>, kept: Vec<Difference>) -> CaseReport {
        let hint = match (fresh.is_empty(), kept.is_empty()) {
            (false, true) => Some(KEPT_IN_INSTANCE),
            (true, false) => Some(DISTURBED),
            _ => None,
        };
        let differences = if fresh.is_empty() { kept } else { fresh };
        CaseReport {
            case: case.file.to_string_lossy().into_owned(),
            passed: differences.is_empty(),
            steps: case.steps.len(),
            differences,
            hint: hint.map(str::to_owned),
            error: None,
        }
    }

    /// Of a case that could not be run to its end.
    pub(super) fn error(file: &Path, error: String) -> CaseReport {
        let case = file.to_string_lossy().into_owned();
        CaseReport { case, passed: false, steps: 0, differences: Vec::new(), hint: None, error: Some(error) }
    }
}

/// A JSON list.
pub(super) fn json(reports: &[CaseReport]) -> Result<String> {
    Ok(serde_json::to_string(reports)?)
}

/// A line per case, and under one that failed what differs: `-` is missing, `+` was not expected.
pub(super) fn text(reports: &[CaseReport]) -> String {
    let mut text = String::new();
    reports.iter().for_each(|report| write_case(&mut text, report).expect("a string takes everything"));
    text
}

fn write_case(text: &mut String, report: &CaseReport) -> std::fmt::Result {
    let CaseReport { case, passed, steps, differences, hint, error } = report;
    if *passed {
        return writeln!(text, "{case}: ok ({steps} step{})", if *steps == 1 { "" } else { "s" });
    }
    writeln!(text, "{case}: failed")?;
    if let Some(error) = error {
        error.lines().try_for_each(|line| writeln!(text, "{}", format!("  {line}").trim_end()))?;
    }
    for Difference { step, line, of, missing, unexpected, matching, notes } in differences {
        writeln!(text, "  step {step} (line {line}): {of}")?;
        matching.iter().try_for_each(|value| writeln!(text, "      {value}"))?;
        missing.iter().try_for_each(|value| writeln!(text, "    - {value}"))?;
        unexpected.iter().try_for_each(|value| writeln!(text, "    + {value}"))?;
        notes.iter().try_for_each(|note| writeln!(text, "    {note}"))?;
    }
    match hint {
        None => Ok(()),
        Some(hint) => writeln!(text, "  hint: {hint}"),
    }
}
