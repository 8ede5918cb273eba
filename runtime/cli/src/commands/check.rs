//! `tidewheel check`: everything that can be found wrong with a job without running it.

use crate::args::Check;
use crate::terminal;
use anyhow::Result;

/// Plans the job and says so; the first mistake is the error.
pub(crate) fn execute(check: &Check) -> Result<()> {
    super::refuse_what_is_not_there(&[(check.from_savepoint.is_some(), "--from-savepoint")])?;
    let (spec, _) = super::plan(&check.job, &check.settings)?;
    let count = |number: usize, noun: &str| format!("{number} {noun}{}", if number == 1 { "" } else { "s" });
    terminal::say(&format!(
        "{}: ok ({}, {}, {})",
        spec.file,
        count(spec.sources.len(), "source"),
        count(spec.operators.len(), "operator"),
        count(spec.sinks.len(), "sink"),
    ));
    Ok(())
}
