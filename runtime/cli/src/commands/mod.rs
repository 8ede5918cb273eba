//! The commands, one file each, and what they share.

pub(crate) mod build;
pub(crate) mod check;
pub(crate) mod checkpoints;
pub(crate) mod dead_letters;
pub(crate) mod dev;
pub(crate) mod inspect;
pub(crate) mod jobs;
pub(crate) mod new;
pub(crate) mod rate;
pub(crate) mod replay;
pub(crate) mod run;
pub(crate) mod savepoint;
pub(crate) mod state;
pub(crate) mod stop;
pub(crate) mod test;
pub(crate) mod watermarks;

mod running;

use crate::args::Settings;
use crate::preflight;
use anyhow::{Context, Result, anyhow};
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use tidewheel_connectors::Registry;
use tidewheel_engine::{Plan, Splits};
use tidewheel_guest::{Runtime, RuntimeOptions};
use tidewheel_types::job::JobSpec;

/// Reads, checks and plans a job; its components are compiled, and each has been opened once.
fn plan(job_file: &Path, settings: &Settings) -> Result<(JobSpec, Plan)> {
    plan_of(&read_text(job_file)?, job_file, settings, None)
}

/// The same of a job file that has been read, and with splits that have been found.
fn plan_of(text: &str, job_file: &Path, settings: &Settings, splits: Option<&Splits>) -> Result<(JobSpec, Plan)> {
    let (spec, folder) = parse(text, job_file, &settings.settings)?;
    let (connectors, runtime) = (Registry::built_in(), guest_runtime()?);
    let plan = match splits {
        None => Plan::new(&spec, folder, &connectors, &runtime)?,
        Some(splits) => Plan::with_splits(&spec, folder, &connectors, &runtime, splits)?,
    };
    preflight::check(&spec, &plan, folder)?;
    Ok((spec, plan))
}

/// A place for the job to write to, as it is known to a job in another folder: a URL as it is, a path as an absolute one.
fn place(url_or_path: &str) -> Result<String> {
    if url_or_path.contains("://") {
        return Ok(url_or_path.to_owned());
    }
    let path = std::path::absolute(url_or_path).with_context(|| format!("cannot find {url_or_path:?}"))?;
    path.into_os_string().into_string().map_err(|path| anyhow!("the path {} is not text", path.display()))
}

/// Now, in milliseconds since 1970-01-01 UTC.
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Reads a job file, and says from which folder its paths are.
fn read<'a>(job_file: &'a Path, settings: &[String]) -> Result<(JobSpec, &'a Path)> {
    parse(&read_text(job_file)?, job_file, settings)
}

fn read_text(job_file: &Path) -> Result<String> {
    std::fs::read_to_string(job_file).with_context(|| format!("cannot read {}", job_file.display()))
}

fn parse<'a>(text: &str, job_file: &'a Path, settings: &[String]) -> Result<(JobSpec, &'a Path)> {
    let spec = JobSpec::parse_with(text, &job_file.to_string_lossy(), settings)?;
    Ok((spec, job_file.parent().unwrap_or(Path::new(""))))
}

/// Where a job keeps its state and is spoken to, if nothing else is said: `.tidewheel/NAME` beside its file.
fn data_folder(job_file: &Path, name: &str) -> PathBuf {
    job_file.with_file_name(".tidewheel").join(name)
}

/// The runtime of components, with compiled code kept in the user's cache folder.
fn guest_runtime() -> Result<Runtime> {
    Ok(Runtime::new(RuntimeOptions { cache_dir: cache_folder("components") })?)
}

/// `$XDG_CACHE_HOME/tidewheel/NAME`, or else the same under `~/.cache`; without a home nothing is kept.
fn cache_folder(name: &str) -> Option<PathBuf> {
    let folder = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache =
        folder("XDG_CACHE_HOME").filter(|path| path.is_absolute()).or_else(|| Some(folder("HOME")?.join(".cache")))?;
    Some(cache.join("tidewheel").join(name))
}
