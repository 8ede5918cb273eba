//! `tidewheel check`: everything that can be found wrong with a job without running it.

use super::state;
use crate::args::Check;
use crate::render::{self, Align};
use crate::terminal;
use anyhow::Result;
use tidewheel_engine::Plan;
use tidewheel_types::contract::Contract;

/// Plans the job and says so; the first mistake is the error. Of a savepoint it says what becomes of each state, and all that
/// does not fit, before anything is stopped.
pub(crate) fn execute(check: &Check) -> Result<()> {
    let (spec, plan) = super::plan(&check.job, &check.settings)?;
    if let Some(url) = &check.from_savepoint {
        let contract = contract(&plan, url)?;
        match check.json {
            true => terminal::print_json(&serde_json::to_string(&contract)?)?,
            false => terminal::print(&text(&contract))?,
        }
        contract.check(&check.allow_drop)?;
    }
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

/// What becomes of the states of the savepoint at `url` when this job starts from it.
pub(super) fn contract(plan: &Plan, url: &str) -> Result<Contract> {
    Ok(Contract::new(&plan.declared(), &state::entries::open(url)?.manifest.stored()))
}

fn text(contract: &Contract) -> String {
    let columns = ["OPERATOR", "STATE", "VERDICT"].map(|name| (name, Align::Left));
    let rows: Vec<Vec<String>> = contract
        .states
        .iter()
        .map(|verdict| vec![verdict.operator.to_string(), verdict.state.clone(), verdict.fate.to_string()])
        .collect();
    render::table(&columns, &rows)
}
