//! `tidewheel test`: an operator's cases, each against the built component in the real engine.
//!
//! A [`case`] is run twice in a job of its own ([`session`]): with a fresh instance for each record, so that whatever an
//! instance keeps shows, and with one instance and whole batches. Both have to give what the case expects ([`compare`]).
//! When there are several cases each has a process of its own, since an error that ends a job ends its process.

mod case;
mod compare;
mod http;
mod observed;
mod report;
mod session;

use crate::args::{LogLevel, Test};
use crate::{JOB_FAILED, describe, describe_engine, terminal};
use anyhow::{Context, Result, bail};
use case::Case;
use clap::ValueEnum;
use compare::{Difference, compare};
use report::CaseReport;
use session::{Bench, Instances};
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tidewheel_build::{Language, Runners};
use tidewheel_guest::Runtime;
use tidewheel_types::job::nearest;

/// The folder of a project's cases.
const CASES: &str = "tests";

/// Cases failed; they have been told.
#[derive(Debug)]
pub(crate) struct TestsFailed {
    failed: usize,
    of: usize,
}

impl fmt::Display for TestsFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.failed, self.of) {
            (1, 1) => f.write_str("the case failed"),
            (failed, of) => write!(f, "{failed} of {of} cases failed"),
        }
    }
}

impl std::error::Error for TestsFailed {}

/// Runs the cases and tells which failed.
pub(crate) fn execute(test: &Test, log_level: LogLevel) -> Result<()> {
    let reports = match test.path.is_dir() {
        true => run_all(test, log_level)?,
        false => vec![run_one(test)?],
    };
    match test.json {
        true => terminal::print_json(&report::json(&reports)?)?,
        false => terminal::print(&report::text(&reports))?,
    }
    match reports.iter().filter(|report| !report.passed).count() {
        0 => Ok(()),
        failed => Err(TestsFailed { failed, of: reports.len() }.into()),
    }
}

/// Runs all cases of a folder, each in a process.
fn run_all(test: &Test, log_level: LogLevel) -> Result<Vec<CaseReport>> {
    let cases = cases(&test.path)?;
    let built = match &test.component {
        Some(component) => vec![component.clone()],
        None => build(&test.path)?,
    };
    let program = std::env::current_exe().context("cannot find the program that is running")?;
    let run = |file: PathBuf| {
        let mut command = Command::new(&program);
        command.args(["test", "--json"]).arg(&file).stdin(Stdio::null()).stderr(Stdio::inherit());
        if let Some(level) = log_level.to_possible_value() {
            command.args(["--log-level", level.get_name()]);
        }
        if test.component.is_some() || !names_component(&file) {
            match only_one(&built) {
                Ok(component) => _ = command.arg("--component").arg(component),
                Err(error) => return Ok(CaseReport::error(&file, error.to_string())),
            }
        }
        let ended = command.output().context("cannot start a process for a case")?;
        let reports: Option<Vec<CaseReport>> = serde_json::from_slice(&ended.stdout).ok();
        Ok(reports.and_then(|reports| reports.into_iter().next()).unwrap_or_else(|| {
            CaseReport::error(&file, format!("the process of the case has ended without a result ({})", ended.status))
        }))
    };
    cases.into_iter().map(run).collect()
}

/// Builds the project in a folder, if there is one. It is being edited, so a component in Python is a runner with the sources,
/// which does the same as the whole that it stands for. A whole one that is there of the same sources is what is tested.
fn build(folder: &Path) -> Result<Vec<PathBuf>> {
    if Language::of(folder).is_none() {
        return Ok(Vec::new());
    }
    let runners = super::cache_folder("runners").unwrap_or_else(|| folder.join(".tidewheel/runners"));
    let built = super::build::edited(folder, folder, &Runners::new(runners, &terminal::say))?;
    Ok(built.into_iter().map(|built| built.path).collect())
}

/// Whether a case says which component it is of. One that cannot be read says so when it is run.
fn names_component(file: &Path) -> bool {
    let keys: Option<toml::Table> = std::fs::read_to_string(file).ok().and_then(|text| toml::from_str(&text).ok());
    keys.is_none_or(|keys| keys.contains_key("component"))
}

/// The component of cases that name none.
fn only_one(built: &[PathBuf]) -> Result<&PathBuf> {
    match built {
        [component] => Ok(component),
        _ => bail!(
            "nothing says which component the case is of\n\nhint: begin the case with component = \"…\", a path from its \
             folder"
        ),
    }
}

/// The cases of a project.
fn cases(folder: &Path) -> Result<Vec<PathBuf>> {
    let place = folder.join(CASES);
    let entries = std::fs::read_dir(&place).with_context(|| format!("cannot read {}", place.display()))?;
    let mut cases = Vec::new();
    for entry in entries {
        let path = entry.with_context(|| format!("cannot read {}", place.display()))?.path();
        if path.extension().is_some_and(|it| it == "toml") {
            cases.push(path);
        }
    }
    if cases.is_empty() {
        bail!("there is no case in {}\n\nhint: write one, such as {}/first.toml", place.display(), place.display());
    }
    cases.sort();
    Ok(cases)
}

/// Runs a case in this process.
fn run_one(test: &Test) -> Result<CaseReport> {
    let (file, json) = (test.path.clone(), test.json);
    // The job's process ends with the first error that is no record's; the case has failed then.
    tidewheel_engine::on_fatal(Box::new(move |error| {
        let text = describe_engine(error);
        let reports = [CaseReport::error(&file, text.strip_prefix("error: ").unwrap_or(&text).to_owned())];
        // If nobody hears of it, the exit code says it.
        let _ = match json {
            true => report::json(&reports).map(|json| terminal::print_json(&json).is_ok()),
            false => Ok(terminal::print(&report::text(&reports)).is_ok()),
        };
        i32::from(JOB_FAILED)
    }));
    let text = std::fs::read_to_string(&test.path).with_context(|| format!("cannot read {}", test.path.display()))?;
    Ok(run_case(test, &text).unwrap_or_else(|error| {
        let text = describe(&error);
        CaseReport::error(&test.path, text.strip_prefix("error: ").unwrap_or(&text).to_owned())
    }))
}

fn run_case(test: &Test, text: &str) -> Result<CaseReport> {
    let case = Case::parse(text, &test.path)?;
    let runtime = super::guest_runtime()?;
    let component = component(test, &case)?;
    let fresh = run_with(&case, &component, &runtime, Instances::Fresh)?;
    let kept = run_with(&case, &component, &runtime, Instances::Kept)?;
    Ok(CaseReport::new(&case, fresh, kept))
}

/// Where the component of a case is: the one that is asked for, or that it names, or else that of its project.
fn component(test: &Test, case: &Case) -> Result<PathBuf> {
    let folder = test.path.parent().unwrap_or(Path::new(""));
    let component = match (&test.component, case.keys.get("component").and_then(toml::Value::as_str)) {
        (Some(component), _) => component.clone(),
        (None, Some(component)) => folder.join(component),
        (None, None) => only_one(&build(&folder.join(".."))?)?.clone(),
    };
    std::path::absolute(&component).with_context(|| format!("cannot find {}", component.display()))
}

/// Runs the steps of a case, until one comes otherwise than expected.
fn run_with(case: &Case, path: &Path, runtime: &Runtime, instances: Instances) -> Result<Vec<Difference>> {
    let component = runtime.load(path)?;
    let bench = Bench::new(case, &component, path)?;
    check_names(case, &bench)?;
    let now = case.steps.first().and_then(|step| step.now).unwrap_or(0);
    let mut session = bench.start(runtime, now, instances)?;
    let main = session.bench().output_names()[0].to_owned();
    let mut differences = Vec::new();
    for (place, step) in case.steps.iter().enumerate() {
        let observed = session.step(case, step)?;
        let found = compare(step, &observed, &main);
        differences.extend(found.into_iter().map(|difference| Difference { step: place + 1, ..difference }));
        // What comes after it differs for the same reason, mostly.
        if !differences.is_empty() {
            break;
        }
    }
    session.end()?;
    Ok(differences)
}

/// Names of outputs, states and timers that the component does not have are mistakes of the case.
fn check_names(case: &Case, bench: &Bench) -> Result<()> {
    let (outputs, states, timers) = (bench.output_names(), bench.state_names(), bench.timer_names());
    for step in &case.steps {
        let of_outputs =
            step.outputs.iter().filter_map(|it| Some(("output", it.output.as_deref()?, it.line, &outputs)));
        let of_states = step.state.iter().map(|(name, it)| ("state", name.as_str(), it.line, &states));
        let waiting = step.timers.iter().flatten();
        let of_timers = waiting.filter_map(|it| Some(("timer", it.timer.as_deref()?, it.line, &timers)));
        let wrong = of_outputs.chain(of_states).chain(of_timers).filter(|(_, name, _, there)| !there.contains(name));
        // The one that is read first.
        if let Some((kind, name, line, there)) = wrong.min_by_key(|(_, _, line, _)| *line) {
            let error = case.error(line, format!("the operator has no {kind} {name:?}"));
            let hint = match (nearest(name, there.iter().copied()), &there[..]) {
                (Some(nearest), _) => format!("did you mean {nearest:?}?"),
                (None, []) => format!("it has no {kind}s"),
                (None, there) => format!("it has {}", there.join(", ")),
            };
            bail!(error.with_hint(hint));
        }
    }
    Ok(())
}
