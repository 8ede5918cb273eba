//! `tidewheel dev`: a job whose operators are built again when they are edited, and which goes on with the new ones and the
//! old state.
//!
//! The job runs in a process of its own ([`job`]), stopped with a checkpoint and started again from it. What it runs are
//! copies of the components, one folder for each time that it is started, so that the one before is there to go back to.
//! Nothing is stopped before the new components are built, compiled and checked with the whole job and its newest checkpoint.

mod job;
mod sources;
mod watch;

use super::run::open_store;
use crate::args::{Dev, LogLevel, Settings};
use crate::{describe, signals, terminal};
use anyhow::{Context, Result, bail};
use job::{Course, JobProcess};
use sources::Watched;
use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};
use tidewheel_build::{Runners, stop_when};
use tidewheel_checkpoint::Log;
use tidewheel_engine::Plan;
use tidewheel_types::contract::{Contract, ContractErrors};
use tidewheel_types::job::JobSpec;
use watch::Watch;

/// How often files are looked at.
const LOOK: Duration = Duration::from_millis(100);

/// How often a job that is being started is asked whether it runs.
const ASK: Duration = Duration::from_millis(10);

/// How often a job takes checkpoints whose file does not say.
const CHECKPOINT: &str = "checkpoint.interval=1s";

/// Runs the job until a signal ends it.
pub(crate) fn execute(dev: &Dev, log_level: LogLevel) -> Result<()> {
    let is_over = signals::note_signals()?;
    stop_when(Arc::clone(&is_over));
    let (spec, folder) = super::read(&dev.job, &dev.settings.settings)?;
    refuse_stdin(&spec)?;
    let projects: Arc<[Watched]> = sources::of_job(&spec, folder, &dev.sources)?.into();
    let mut watch = Watch::new(projects.iter().map(|it| it.folder.clone()), &dev.job);
    let own = std::path::absolute(folder.join(".tidewheel").join(format!("dev-{}", spec.name)))?;
    for it in projects.iter() {
        terminal::say(&format!("watching {}", it.folder.display()));
    }
    let (number, coming, current, job, starting, told) = (0, None, None, None, None, Arc::default());
    let mut session =
        Session { dev, log_level, projects, own, number, coming, current, job, starting, told, is_over: &is_over };
    session.edited(Instant::now());
    while !session.is_over() {
        thread::sleep(session.pause());
        if watch.changed() {
            session.edited(Instant::now());
        }
        session.look()?;
    }
    session.end()
}

/// What it has read is gone when the job is started again.
fn refuse_stdin(spec: &JobSpec) -> Result<()> {
    match spec.sources.iter().find(|source| source.connector == "stdin") {
        None => Ok(()),
        Some(source) => {
            let message = format!("source {:?} reads stdin, which cannot be read again", source.id.as_str());
            bail!(spec.error(source.line, message).with_hint("let it read a file while you develop"))
        }
    }
}

/// A job that is worked on.
struct Session<'a> {
    dev: &'a Dev,
    log_level: LogLevel,
    /// All of them are built after each edit: one may use files of another, and what was not edited takes no time.
    projects: Arc<[Watched]>,
    /// The folder of what is built, and of the job's data.
    own: PathBuf,
    /// How often components have been copied.
    number: usize,
    /// The folder of those that are being checked.
    coming: Option<PathBuf>,
    /// What runs, or ran last.
    current: Option<Generation>,
    job: Option<JobProcess>,
    /// While the job does not run yet.
    starting: Option<Starting>,
    /// What was said of builds, which is said once.
    told: Arc<Mutex<HashSet<String>>>,
    is_over: &'a AtomicBool,
}

/// A start of the job.
struct Starting {
    /// When the edit was seen.
    began: Instant,
    /// What ran before, to go back to.
    before: Option<Generation>,
    /// What is said when it runs.
    news: &'static str,
}

/// Components that were built together.
#[derive(Clone)]
struct Generation {
    folder: PathBuf,
    /// The text of the job file.
    job_text: String,
    settings: Vec<String>,
}

impl Session<'_> {
    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// How long until the job is looked at again.
    fn pause(&self) -> Duration {
        if self.starting.is_some() { ASK } else { LOOK }
    }

    /// Something was edited: what is new takes the place of what runs, if it can.
    fn edited(&mut self, began: Instant) {
        let built = self.build();
        self.coming = None;
        if self.is_over() {
            return;
        }
        let goes_on = if self.job.is_some() { "the job goes on as it was" } else { "waiting for an edit" };
        match built {
            Ok(None) => {}
            Ok(Some(generation)) => {
                if let Err(error) = self.switch(generation, began) {
                    terminal::say(&format!("{}\n\nwaiting for an edit", describe(&error)));
                }
            }
            Err(error) => terminal::say(&format!("{}\n\n{goes_on}", describe(&error))),
        }
    }

    /// Builds and checks everything; none if that is what runs already.
    fn build(&mut self) -> Result<Option<Generation>> {
        let built = self.own.join("built");
        let (projects, told, own) = (Arc::clone(&self.projects), Arc::clone(&self.told), self.own.clone());
        let out = built.clone();
        self.while_looking(true, move || build_projects(&projects, &out, &own, &told))?;
        let job_text = super::read_text(&self.dev.job)?;
        if self.job.is_some() && self.current.as_ref().is_some_and(|current| self.is_same(current, &built, &job_text)) {
            return Ok(None);
        }
        self.number += 1;
        let folder = self.own.join(format!("components-{}-{}", std::process::id(), self.number));
        fs::create_dir_all(&folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
        self.coming = Some(folder.clone());
        let mut settings = self.dev.settings.settings.clone();
        for (operator, name) in self.operators() {
            let (from, to) = (component(&built, name), component(&folder, name));
            fs::copy(&from, &to).with_context(|| format!("cannot write {}", to.display()))?;
            settings.push(format!("operators.{operator}.component={}", to.display()));
        }
        let (spec, _) = super::parse(&job_text, &self.dev.job, &settings)?;
        refuse_stdin(&spec)?;
        settings.extend(spec.checkpoint.is_none().then(|| CHECKPOINT.to_owned()));
        self.check(&settings)?;
        Ok(Some(Generation { folder, job_text, settings }))
    }

    /// All that can be found wrong without running, of a job that runs also whether it goes on from its newest checkpoint. What
    /// is compiled now needs not be when the job waits for it.
    fn check(&mut self, settings: &[String]) -> Result<()> {
        let (job, settings) = (self.dev.job.clone(), Settings { settings: settings.to_vec() });
        let data = self.job.is_some().then(|| self.data());
        let allow_drop = self.dev.allow_drop.clone();
        self.while_looking(false, move || {
            let (spec, plan) = super::plan(&job, &settings)?;
            match data {
                None => Ok(()),
                Some(data) => Ok(goes_on_from(&spec, &plan, &job, &data, &allow_drop)?),
            }
        })
    }

    /// Does something that takes a while, and looks meanwhile how the job is doing: it may come to run, or fail. Work that ends
    /// by itself when a signal comes is waited for, other work ends with the process then.
    fn while_looking(&mut self, ends_itself: bool, work: impl FnOnce() -> Result<()> + Send + 'static) -> Result<()> {
        let (done, result) = mpsc::channel();
        thread::Builder::new()
            .name("work".to_owned())
            .spawn(move || done.send(work()))
            .context("cannot start a thread")?;
        loop {
            match result.recv_timeout(self.pause()) {
                Ok(result) => return result,
                Err(RecvTimeoutError::Timeout) if !self.is_over() => self.look()?,
                Err(RecvTimeoutError::Timeout) if ends_itself => {}
                Err(RecvTimeoutError::Timeout) => return Ok(()),
                Err(RecvTimeoutError::Disconnected) => bail!("the job cannot be built and checked: that has panicked"),
            }
        }
    }

    /// Whether what was built is what runs.
    fn is_same(&self, current: &Generation, built: &Path, job_text: &str) -> bool {
        let read = |folder: &Path, name: &str| fs::read(component(folder, name)).ok();
        current.job_text == job_text
            && self.operators().all(|(_, name)| {
                let old = read(&current.folder, name);
                old.is_some() && old == read(built, name)
            })
    }

    /// The operators that are built here, each with the name of its component.
    fn operators(&self) -> impl Iterator<Item = (&str, &String)> {
        self.projects.iter().flat_map(|it| &it.operators).map(|(operator, name)| (operator.as_str(), name))
    }

    fn data(&self) -> PathBuf {
        self.own.join("data")
    }

    /// Stops the job and starts it again with other components.
    fn switch(&mut self, generation: Generation, began: Instant) -> Result<()> {
        let runs = self.runs()?;
        let before = match (self.job.take(), self.starting.take()) {
            (Some(mut job), _) if runs => {
                job.stop()?;
                self.current.take()
            }
            // It goes on from the last checkpoint it has taken: there is nothing that it has done since.
            (Some(job), Some(starting)) => {
                drop(job);
                starting.before
            }
            _ => None,
        };
        let news = if before.is_some() { "the job goes on with what is new" } else { "the job runs" };
        self.start(generation, Starting { began, before, news })
    }

    /// Whether the job has come to run, be it in this moment.
    fn runs(&mut self) -> Result<bool> {
        match &mut self.job {
            None => Ok(false),
            Some(job) => Ok(self.starting.is_none() || job.course()? == Course::Running),
        }
    }

    fn start(&mut self, generation: Generation, starting: Starting) -> Result<()> {
        let job = JobProcess::start(self.dev, self.log_level, &self.data(), &generation.settings)?;
        self.current = Some(generation);
        self.job = Some(job);
        self.starting = Some(starting);
        Ok(())
    }

    /// Tells how a start went, and when the job has ended by itself.
    fn look(&mut self) -> Result<()> {
        let Some(job) = &mut self.job else { return Ok(()) };
        if self.starting.is_none() {
            if let Some(well) = job.ended() {
                self.job = None;
                terminal::say(if well { ENDED } else { "the job has failed: waiting for an edit" });
            }
            return Ok(());
        }
        match job.course()? {
            Course::Starting => {}
            Course::Running => {
                if let Some(Starting { began, news, .. }) = self.starting.take() {
                    let seconds = began.elapsed().as_secs_f64();
                    terminal::say(&format!("{news}, {seconds:.1} s after the edit was seen"));
                    self.remove_others();
                }
            }
            Course::Ended(true) => {
                (self.job, self.starting) = (None, None);
                terminal::say(ENDED);
                self.remove_others();
            }
            Course::Failing | Course::Ended(false) => self.go_back()?,
        }
        Ok(())
    }

    /// The job does not start: it goes on with what it had, if it had something.
    fn go_back(&mut self) -> Result<()> {
        self.job = None;
        let starting = self.starting.take();
        match starting.and_then(|starting| Some((starting.began, starting.before?))) {
            None => {
                terminal::say("the job does not start: waiting for an edit");
                Ok(())
            }
            Some((began, before)) => {
                let is_same_file = super::read_text(&self.dev.job).is_ok_and(|text| text == before.job_text);
                let news = match is_same_file {
                    true => "the job does not start with what is new: it goes on as it was",
                    false => {
                        "the job does not start with what is new: it goes on with the components it had and the job file as it is"
                    }
                };
                self.start(before, Starting { began, before: None, news })
            }
        }
    }

    /// Ends the job: nobody works on it any more.
    fn end(mut self) -> Result<()> {
        let runs = self.runs()?;
        if let Some(mut job) = self.job.take() {
            if runs {
                job.stop()?;
            }
            terminal::say("stopped: started again, it goes on where it was");
        }
        self.remove_others();
        Ok(())
    }

    /// Removes the components that neither run nor are about to, and those of processes that are gone. Those of one that is there
    /// stay: the job may be theirs, and read them when it is started again.
    fn remove_others(&self) {
        let Ok(entries) = fs::read_dir(&self.own) else { return };
        let current = self.current.as_ref().map(|current| &current.folder);
        for path in entries.flatten().map(|entry| entry.path()) {
            let is_over = process_of(&path).is_some_and(|it| it == std::process::id() || !is_there(it));
            if is_over && ![current, self.coming.as_ref()].contains(&Some(&path)) {
                // What cannot be removed does no harm.
                let _ = fs::remove_dir_all(path);
            }
        }
    }
}

/// The process that has copied components into this folder, if it is such a one.
fn process_of(folder: &Path) -> Option<u32> {
    folder.file_name()?.to_str()?.strip_prefix("components-")?.split_once('-')?.0.parse().ok()
}

fn is_there(process: u32) -> bool {
    Path::new("/proc").join(process.to_string()).exists()
}

/// Builds all projects into `built`.
fn build_projects(projects: &[Watched], built: &Path, own: &Path, told: &Mutex<HashSet<String>>) -> Result<()> {
    let tell = |words: &str| {
        if told.lock().unwrap_or_else(PoisonError::into_inner).insert(words.to_owned()) {
            terminal::say(words);
        }
    };
    let runners = Runners::new(runners_folder(own), &tell);
    for watched in projects {
        let components = super::build::edited(&watched.folder, built, &runners)?;
        for (_, name) in &watched.operators {
            if !components.iter().any(|built| built.path.file_stem().is_some_and(|stem| stem == name.as_str())) {
                bail!(
                    "{} builds no {name}.wasm\n\nhint: say where its sources are, with --source",
                    watched.folder.display()
                );
            }
        }
    }
    Ok(())
}

/// Of a job whose input has an end.
const ENDED: &str = "the job has come to the end of its input: an edit runs it again";

/// Where runners are kept: in the user's cache folder, or else in `own`.
fn runners_folder(own: &Path) -> PathBuf {
    super::cache_folder("runners").unwrap_or_else(|| own.join("runners"))
}

/// Refuses a plan that does not fit the newest checkpoint of the running job, whose data folder is `data`. What cannot be read
/// now says so when it is started from.
fn goes_on_from(
    spec: &JobSpec,
    plan: &Plan,
    job: &Path,
    data: &Path,
    allow_drop: &[String],
) -> Result<(), ContractErrors> {
    let store = spec.checkpoint.as_ref().and_then(|it| open_store(it, job, &data.join("checkpoints")).ok());
    let newest = store.and_then(|store| Log::open(store).newest().ok()).flatten();
    match newest.filter(|newest| !newest.manifest.is_over()) {
        None => Ok(()),
        Some(newest) => Contract::new(&plan.declared(), &newest.manifest.stored()).check(allow_drop),
    }
}

fn component(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.wasm"))
}

#[cfg(test)]
mod tests {
    use super::{is_there, process_of};
    use std::path::Path;

    #[test]
    fn components_are_those_of_a_process() {
        assert_eq!(process_of(Path::new("x/components-17-3")), Some(17));
        for other in ["x/components-17", "x/components-x-3", "x/built", ""] {
            assert_eq!(process_of(Path::new(other)), None, "{other}");
        }
        assert!(is_there(std::process::id()));
        assert!(!is_there(u32::MAX), "no process has this number");
    }
}
