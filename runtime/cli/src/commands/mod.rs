//! The commands, one file each, and what they share.

pub(crate) mod check;
pub(crate) mod inspect;
pub(crate) mod run;

use crate::preflight;
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use tidewheel_connectors::Registry;
use tidewheel_engine::Plan;
use tidewheel_guest::{Runtime, RuntimeOptions};
use tidewheel_types::job::JobSpec;

/// Reads, checks and plans a job; its components are compiled, and each has been opened once.
fn plan(job_file: &Path) -> Result<(JobSpec, Plan)> {
    let text = std::fs::read_to_string(job_file).with_context(|| format!("cannot read {}", job_file.display()))?;
    let spec = JobSpec::parse(&text, &job_file.to_string_lossy())?;
    let folder = job_file.parent().unwrap_or(Path::new(""));
    let plan = Plan::new(&spec, folder, &Registry::built_in(), &guest_runtime()?)?;
    preflight::check(&spec, &plan, folder)?;
    Ok((spec, plan))
}

/// The runtime of components, with compiled code kept in the user's cache folder.
fn guest_runtime() -> Result<Runtime> {
    Ok(Runtime::new(RuntimeOptions { cache_dir: cache_dir() })?)
}

/// `$XDG_CACHE_HOME/tidewheel/components`, or else the same under `~/.cache`; without a home nothing is kept.
fn cache_dir() -> Option<PathBuf> {
    let folder = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache =
        folder("XDG_CACHE_HOME").filter(|path| path.is_absolute()).or_else(|| Some(folder("HOME")?.join(".cache")))?;
    Some(cache.join("tidewheel").join("components"))
}
