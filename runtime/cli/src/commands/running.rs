//! `JOB` on the command line: the name of a running job, its data folder, or its job file.

use anyhow::{Result, bail};
use std::path::{Path, PathBuf};
use tidewheel_cluster::{DataFolder, Registry, RunningJob};
use tidewheel_server::Client;
use tidewheel_types::job::nearest;

/// A job, found.
pub(super) struct Found {
    /// What to call it.
    pub(super) name: String,
    /// Its data folder.
    pub(super) folder: PathBuf,
}

/// Finds the job: a running one of this name, or else that of the folder or file.
pub(super) fn find(job: &str) -> Result<Found> {
    find_among(job, &Registry::of_user()?.running_jobs()?)
}

/// A connection to the running job.
pub(super) fn connect(job: &Found) -> Result<Client> {
    Ok(Client::over(DataFolder::connect_control(&job.folder)?)?)
}

fn find_among(job: &str, running: &[RunningJob]) -> Result<Found> {
    let named: Vec<&RunningJob> = running.iter().filter(|running| running.job == job).collect();
    match named.as_slice() {
        [one] => return Ok(Found { name: one.job.clone(), folder: one.folder.clone() }),
        [] => {}
        several => {
            let folders: Vec<String> = several.iter().map(|one| one.folder.display().to_string()).collect();
            let (number, folders) = (several.len(), folders.join(" or "));
            bail!("{number} jobs called {job:?} are running\n\nhint: name one by its data folder: {folders}");
        }
    }
    if Path::new(job).is_dir() {
        return Ok(Found { name: job.to_owned(), folder: PathBuf::from(job) });
    }
    if Path::new(job).is_file() {
        let (spec, _) = super::read(Path::new(job), &[])?;
        return Ok(Found { folder: super::data_folder(Path::new(job), &spec.name), name: spec.name });
    }
    match nearest(job, running.iter().map(|running| running.job.as_str())) {
        Some(nearest) => bail!("no job {job:?} is running\n\nhint: did you mean {nearest:?}?"),
        None => bail!(
            "no job {job:?} is running, and there is no such folder or file\n\nhint: `tidewheel jobs` lists the running ones"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::find_among;
    use std::path::PathBuf;
    use tidewheel_cluster::RunningJob;

    #[test]
    fn by_name_and_by_folder() {
        let running = |job: &str, folder: &str| RunningJob {
            job: job.to_owned(),
            folder: PathBuf::from(folder),
            pid: 1,
            started_ms: 0,
        };
        let jobs = [running("copy", "/data/copy"), running("twin", "/data/a"), running("twin", "/data/b")];
        let find = |job: &str| find_among(job, &jobs).map(|found| found.folder).map_err(|error| error.to_string());
        assert_eq!(find("copy"), Ok(PathBuf::from("/data/copy")));
        let several = "2 jobs called \"twin\" are running\n\nhint: name one by its data folder: /data/a or /data/b";
        assert_eq!(find("twin"), Err(several.to_owned()));
        let slip = "no job \"cpoy\" is running\n\nhint: did you mean \"copy\"?";
        assert_eq!(find("cpoy"), Err(slip.to_owned()));
        let none = "no job \"other-one\" is running, and there is no such folder or file\n\n\
                    hint: `tidewheel jobs` lists the running ones";
        assert_eq!(find("other-one"), Err(none.to_owned()));
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(find(folder.path().to_str().unwrap()), Ok(folder.path().to_owned()));
        let file = folder.path().join("job.toml");
        let text = "name = 'shop'\n[sources.a]\nconnector = 'stdin'\n[sinks.b]\nconnector = 'stdout'\ninput = 'a'";
        std::fs::write(&file, text).unwrap();
        assert_eq!(find(file.to_str().unwrap()), Ok(folder.path().join(".tidewheel/shop")));
    }
}
