//! `tidewheel rate`: how much a running job reads of a source.

use super::running;
use crate::args::Rate;
use crate::{render, terminal};
use anyhow::Result;
use tidewheel_server::model::{RateRequest, SourceRate};

/// Sets it; a bound that is not named stays.
pub(crate) fn execute(rate: &Rate) -> Result<()> {
    let job = running::find(&rate.job)?;
    let &Rate { records, bytes, unlimited, .. } = rate;
    let wanted = RateRequest { source: rate.source.clone(), records, bytes, unlimited };
    let set = running::connect(&job)?.rate(&wanted)?;
    if rate.json {
        return Ok(terminal::print_json(&serde_json::to_string(&set)?)?);
    }
    terminal::say(&text(&set));
    Ok(())
}

fn text(set: &SourceRate) -> String {
    let records = set.records.map(|records| format!("{} records", render::count(records)));
    let limits: Vec<String> = records.into_iter().chain(set.bytes.map(render::bytes)).collect();
    match limits.is_empty() {
        true => format!("{} is read without a limit", set.source),
        false => format!("{}: at most {} a second", set.source, limits.join(" and ")),
    }
}
