//! Capsules: what a job keeps of calls that have failed for good, each a file that `tidewheel replay` makes the call of.
//!
//! There are not many of them: one for each way to fail, so many in an attempt, and so many in the folder, of which the
//! oldest make place.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;
use tidewheel_guest::{Capsule, Component};

/// What the names of capsules end with.
const ENDING: &str = "capsule";

/// Where and how much a job keeps of calls that fail for good.
#[derive(Clone, Debug)]
pub struct CapsuleOptions {
    /// The folder; it is made when there is something to keep.
    pub folder: PathBuf,
    /// How many there are at most.
    pub keep: usize,
    /// Bytes of one at most. Where the component does not fit in, it is left out.
    pub bytes_max: u64,
}

/// Keeps capsules of a job.
pub(crate) struct Capsules {
    job: String,
    options: Option<CapsuleOptions>,
    /// What there is one of already, by operator and failure.
    seen: Mutex<HashSet<(String, String)>>,
}

impl Capsules {
    /// Without options none is kept.
    pub(crate) fn new(job: &str, options: Option<CapsuleOptions>) -> Self {
        let options = options.filter(|options| options.keep > 0);
        Capsules { job: job.to_owned(), options, seen: Mutex::default() }
    }

    /// Keeps the capsule that `make` makes for the job of this name, of a call of `component` in `operator` that failed
    /// because of `reason`; returns its file. What cannot be written is not worth failing for.
    pub(crate) fn keep(
        &self,
        (operator, component): (&str, &Component),
        reason: &str,
        make: impl FnOnce(&str) -> Capsule,
    ) -> Option<PathBuf> {
        let options = self.options.as_ref()?;
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = seen.len() < options.keep && seen.insert((operator.to_owned(), reason.to_owned()));
        // Others wait until it is written: the folder is theirs, too.
        is_new.then(|| self.write(options, operator, component, make)).flatten()
    }

    fn write(
        &self,
        options: &CapsuleOptions,
        operator: &str,
        component: &Component,
        make: impl FnOnce(&str) -> Capsule,
    ) -> Option<PathBuf> {
        let mut capsule = make(&self.job);
        capsule.add_component(component, options.bytes_max);
        let bytes = capsule.to_bytes();
        if bytes.len() as u64 > options.bytes_max {
            tracing::warn!(operator, bytes = bytes.len(), "the failed call is too large to be kept: see [capsules]");
            return None;
        }
        match write_new(&options.folder, operator, &bytes) {
            Ok(path) => {
                remove_oldest(&options.folder, options.keep);
                Some(path)
            }
            Err(error) => {
                let folder = options.folder.display();
                tracing::warn!(operator, %folder, %error, "the failed call cannot be kept");
                None
            }
        }
    }
}

/// Writes a file of a new name: behind the last that is there, since letters may name those that are gone.
fn write_new(folder: &Path, operator: &str, bytes: &[u8]) -> io::Result<PathBuf> {
    fs::create_dir_all(folder)?;
    let number_of = |entry: fs::DirEntry| {
        let name = entry.file_name().into_string().ok()?;
        let number = name.strip_prefix(operator)?.strip_prefix('-')?.strip_suffix(ENDING)?.strip_suffix('.')?;
        number.parse::<u64>().ok()
    };
    let last = fs::read_dir(folder)?.flatten().filter_map(number_of).max();
    let mut number = last.unwrap_or_default() + 1;
    loop {
        let path = folder.join(format!("{operator}-{number}.{ENDING}"));
        match File::create_new(&path) {
            Ok(mut file) => {
                file.write_all(bytes)?;
                return Ok(path);
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => number += 1,
            Err(error) => return Err(error),
        }
    }
}

/// Removes the oldest capsules until `keep` are left.
fn remove_oldest(folder: &Path, keep: usize) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let is_capsule = |path: &PathBuf| path.extension().is_some_and(|ending| ending == ENDING);
    let age = |path: &PathBuf| fs::metadata(path).and_then(|metadata| metadata.modified()).unwrap_or(SystemTime::now());
    let paths = entries.filter_map(Result::ok).map(|entry| entry.path()).filter(is_capsule);
    let mut aged: Vec<(SystemTime, PathBuf)> = paths.map(|path| (age(&path), path)).collect();
    aged.sort();
    let too_many = aged.len().saturating_sub(keep);
    // One that is gone has been removed by somebody else.
    aged[..too_many].iter().for_each(|(_, path)| _ = fs::remove_file(path));
}

#[cfg(test)]
mod tests {
    use super::{remove_oldest, write_new};
    use std::fs::{self, File};
    use std::time::{Duration, SystemTime};

    #[test]
    fn the_oldest_make_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("capsules");
        for age in [3, 1, 2] {
            let file = write_new(&path, "op", b"x").unwrap();
            let then = SystemTime::now() - Duration::from_secs(age * 100);
            File::options().write(true).open(file).unwrap().set_modified(then).unwrap();
        }
        fs::write(path.join("notes.txt"), "mine").unwrap();
        remove_oldest(&path, 2);
        let mut left: Vec<_> = fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["notes.txt", "op-2.capsule", "op-3.capsule"]);
        assert!(write_new(&path, "op", b"x").unwrap().ends_with("op-4.capsule"), "a new name");
    }
}
