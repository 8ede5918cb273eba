//! The jobs that run on this machine under this user, so that `tidewheel jobs` and commands with a job's name find them.
//!
//! A running job has one small file here. The file is only a hint: a job runs as long as its data folder is held. An
//! entry that a crash has left is removed by whoever sees it first.

use crate::folder::{create, failed, is_held};
use crate::{ClusterError, DataFolder};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

/// One running job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunningJob {
    /// The job's name.
    pub job: String,
    /// Its data folder.
    pub folder: PathBuf,
    /// The process that supervises it.
    pub pid: u32,
    /// When it was started, in milliseconds since 1970-01-01 UTC.
    pub started_ms: i64,
}

/// The folder with an entry for each running job.
#[derive(Debug, Clone)]
pub struct Registry {
    path: PathBuf,
}

/// A job's entry in the registry, removed when this value is dropped.
#[derive(Debug)]
pub struct Registration {
    entry: PathBuf,
}

impl Registry {
    /// This user's: `$XDG_RUNTIME_DIR/tidewheel/jobs`, or `tidewheel/jobs` in `$XDG_STATE_HOME` or `~/.local/state`.
    pub fn of_user() -> Result<Registry, ClusterError> {
        let variable = |name: &str| std::env::var_os(name);
        Ok(Registry { path: place(&variable).ok_or(ClusterError::NoHome)? })
    }

    /// The one in the folder `path`.
    pub fn at(path: &Path) -> Registry {
        Registry { path: path.to_owned() }
    }

    /// Enters the job `job`, which this process runs with `folder`.
    pub fn register(&self, job: &str, folder: &DataFolder, started_ms: i64) -> Result<Registration, ClusterError> {
        create(&self.path)?;
        let path = folder.path().to_owned();
        let entry = self.path.join(entry_name(&path));
        let running = RunningJob { job: job.to_owned(), folder: path, pid: std::process::id(), started_ms };
        let text = serde_json::to_vec(&running).expect("strings and numbers have a JSON form");
        // Written aside and renamed: a reader sees a whole entry or none.
        let aside = entry.with_extension("new");
        fs::write(&aside, text)
            .and_then(|()| fs::rename(&aside, &entry))
            .map_err(|source| failed("write", &entry, source))?;
        Ok(Registration { entry })
    }

    /// The running jobs, by name. Entries of jobs that have ended are removed.
    pub fn running_jobs(&self) -> Result<Vec<RunningJob>, ClusterError> {
        let entries = match fs::read_dir(&self.path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(failed("read", &self.path, source)),
        };
        let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
        let entries = paths.filter(|path| path.extension().is_some_and(|extension| extension == "json"));
        let mut jobs: Vec<RunningJob> = entries.filter_map(|entry| running(&entry)).collect();
        jobs.sort_by(|a, b| (&a.job, &a.folder).cmp(&(&b.job, &b.folder)));
        Ok(jobs)
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        // The folder is still held, so the entry is ours. One that cannot be removed is seen to be stale.
        let _ = fs::remove_file(&self.entry);
    }
}

/// The job of an entry if it is running. A stale entry is removed while its folder is kept from being held: a job that
/// starts enters itself only once it holds the folder, so it is never a new entry that goes.
fn running(entry: &Path) -> Option<RunningJob> {
    let job = read(entry)?;
    let remove = || {
        // Somebody else may have removed it.
        let _ = fs::remove_file(entry);
    };
    match is_held(&job.folder, remove) {
        // Read again: a new job may have taken the folder since.
        Ok(true) => read(entry),
        Ok(false) => None,
        Err(error) => {
            tracing::warn!("cannot tell whether job {:?} in {} is running: {error}", job.job, job.folder.display());
            None
        }
    }
}

fn read(entry: &Path) -> Option<RunningJob> {
    serde_json::from_slice(&fs::read(entry).ok()?).ok()
}

/// One entry a data folder, so a job that comes back replaces what its predecessor left.
fn entry_name(folder: &Path) -> String {
    let digest = Sha256::digest(folder.as_os_str().as_encoded_bytes());
    let hex: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("{hex}.json")
}

fn place(variable: &dyn Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    // The specification of these variables says that relative paths are to be ignored.
    let folder = |name: &str| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let home = folder("XDG_RUNTIME_DIR")
        .or_else(|| folder("XDG_STATE_HOME"))
        .or_else(|| folder("HOME").map(|home| home.join(".local/state")))?;
    Some(home.join("tidewheel/jobs"))
}

#[cfg(test)]
mod tests {
    use super::{Registry, place};
    use crate::DataFolder;
    use std::collections::HashMap;
    use std::ffi::OsString;
    use std::fs;
    use std::path::PathBuf;

    #[test]
    fn jobs_are_listed_while_they_hold_their_folder() {
        let home = tempfile::tempdir().unwrap();
        let registry = Registry::at(&home.path().join("jobs"));
        assert!(registry.running_jobs().unwrap().is_empty(), "without a registry nothing runs");

        let folder = |name: &str| DataFolder::open(&home.path().join(name)).unwrap();
        let (one, two) = (folder("one"), folder("two"));
        let second = registry.register("b", &two, 2).unwrap();
        let first = registry.register("a", &one, 1).unwrap();
        let jobs = registry.running_jobs().unwrap();
        assert_eq!(jobs.iter().map(|job| (job.job.as_str(), job.started_ms)).collect::<Vec<_>>(), [("a", 1), ("b", 2)]);
        assert_eq!((jobs[0].pid, jobs[0].folder.as_path()), (std::process::id(), one.path()));

        drop(second);
        assert_eq!(registry.running_jobs().unwrap().len(), 1, "who ends takes its entry along");

        // As after a crash: the entry is there, the hold is gone.
        std::mem::forget(first);
        drop(one);
        assert!(registry.running_jobs().unwrap().is_empty());
        assert_eq!(fs::read_dir(home.path().join("jobs")).unwrap().count(), 0, "a stale entry is removed");
    }

    #[test]
    fn a_job_that_comes_back_has_one_entry() {
        let home = tempfile::tempdir().unwrap();
        let registry = Registry::at(&home.path().join("jobs"));
        let folder = DataFolder::open(&home.path().join("data")).unwrap();
        std::mem::forget(registry.register("old", &folder, 1).unwrap());
        let _entry = registry.register("new", &folder, 2).unwrap();
        let jobs = registry.running_jobs().unwrap();
        assert_eq!(jobs.iter().map(|job| job.job.as_str()).collect::<Vec<_>>(), ["new"]);
    }

    #[test]
    fn folders_that_are_gone_and_files_that_are_no_entries_are_no_jobs() {
        let home = tempfile::tempdir().unwrap();
        let registry = Registry::at(&home.path().join("jobs"));
        let folder = DataFolder::open(&home.path().join("data")).unwrap();
        let _entry = registry.register("gone", &folder, 1).unwrap();
        fs::remove_dir_all(folder.path()).unwrap();
        fs::write(home.path().join("jobs/torn.json"), "{\"job\":").unwrap();
        assert!(registry.running_jobs().unwrap().is_empty());
    }

    #[test]
    fn the_place_is_the_users() {
        let at = |variables: &[(&str, &str)]| {
            let variables: HashMap<&str, &str> = variables.iter().copied().collect();
            place(&|name| variables.get(name).map(OsString::from))
        };
        let all = [("XDG_RUNTIME_DIR", "/run"), ("XDG_STATE_HOME", "/state"), ("HOME", "/me")];
        assert_eq!(at(&all), Some(PathBuf::from("/run/tidewheel/jobs")));
        assert_eq!(at(&all[1..]), Some(PathBuf::from("/state/tidewheel/jobs")));
        assert_eq!(at(&all[2..]), Some(PathBuf::from("/me/.local/state/tidewheel/jobs")));
        assert_eq!(at(&[("XDG_RUNTIME_DIR", "here"), ("HOME", "/me")]), at(&all[2..]), "relative paths do not count");
        assert_eq!(at(&[]), None);
    }
}
