//! `tidewheel check`: everything that can be found wrong with a job without running it.

use super::state;
use crate::args::Check;
use crate::render::{self, Align};
use crate::terminal;
use anyhow::Result;
use tidewheel_engine::{Function, Plan};
use tidewheel_guest::HttpAccess;
use tidewheel_types::OperatorId;
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
    let limits = limits(&plan);
    if check.from_savepoint.is_none() && !limits.is_empty() {
        terminal::print(&limits)?;
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

/// What the operators that call a component may use and see, as a table; nothing when there are none.
fn limits(plan: &Plan) -> String {
    let rows: Vec<Vec<String>> = plan.functions().map(|(id, function)| limits_row(id, function)).collect();
    if rows.is_empty() {
        return String::new();
    }
    let columns = ["OPERATOR", "MEMORY", "DEADLINE", "OUTPUT", "STATE", "RECORDS", "LOG", "GRANTS"];
    render::table(&columns.map(|name| (name, Align::Left)), &rows)
}

fn limits_row(id: &OperatorId, function: &Function) -> Vec<String> {
    let limits = &function.limits;
    let variables = function.environment.iter().map(|(name, _)| format!("env:{name}"));
    let hosts = match &function.http {
        HttpAccess::Hosts(hosts) => &hosts[..],
        HttpAccess::Answers(_) => &[],
    };
    let grants: Vec<String> = variables.chain(hosts.iter().map(|host| format!("http:{host}"))).collect();
    vec![
        id.to_string(),
        render::bytes(limits.memory_bytes_max),
        render::span_ms(i64::try_from(limits.deadline_ms_max).unwrap_or(i64::MAX)),
        render::bytes(limits.output_bytes_max),
        limits.state_bytes_max.map_or_else(|| "none".to_owned(), render::bytes),
        render::count(limits.records_max),
        format!("{}/s", render::count(limits.log_lines_max)),
        if grants.is_empty() { "none".to_owned() } else { grants.join(", ") },
    ]
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
