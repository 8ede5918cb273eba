//! `tidewheel dev`: a job whose operators are built again when they are edited, and which goes on with the new ones and the
//! old state.
//!
//! The job runs in a process of its own ([`job`]), stopped with a checkpoint and started again from it. What it runs are
//! copies of the components, one folder for each time that it is started, so that the one before is there to go back to.
//! Nothing is stopped before the new components are built, compiled and checked with the whole job.

mod job;
mod sources;
mod watch;

use crate::args::{Dev, LogLevel, Settings};
use crate::{describe, signals, terminal};
use anyhow::{Context, Result, bail};
use job::{JobProcess, Started};
use sources::Watched;
use std::cell::RefCell;
use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use tidewheel_build::Runners;
use tidewheel_types::job::JobSpec;
use watch::Watch;

/// How often files are looked at.
const LOOK: Duration = Duration::from_millis(100);

/// How often a job takes checkpoints whose file does not say.
const CHECKPOINT: &str = "checkpoint.interval=1s";

/// Runs the job until a signal ends it.
pub(crate) fn execute(dev: &Dev, log_level: LogLevel) -> Result<()> {
    let is_over = signals::note_signals()?;
    let (spec, folder) = super::read(&dev.job, &dev.settings.settings)?;
    refuse_stdin(&spec)?;
    let watched = sources::of_job(&spec, folder, &dev.sources)?;
    let mut watch = Watch::new(watched.iter().map(|it| it.folder.clone()), &dev.job);
    let own = std::path::absolute(folder.join(".tidewheel").join(format!("dev-{}", spec.name)))?;
    let (number, current, job, told) = (0, None, None, RefCell::default());
    let mut session = Session { dev, log_level, watched, own, number, current, job, told, is_over: &is_over };
    for it in &session.watched {
        terminal::say(&format!("watching {}", it.folder.display()));
    }
    session.edited();
    while !is_over.load(Ordering::Relaxed) {
        thread::sleep(LOOK);
        if watch.has_changed() {
            session.edited();
        }
        session.look();
    }
    if let Some(mut job) = session.job.take() {
        job.stop()?;
        terminal::say("stopped: started again, it goes on where it was");
    }
    Ok(())
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
    watched: Vec<Watched>,
    /// The folder of what is built, and of the job's data.
    own: PathBuf,
    /// How often components have been copied.
    number: usize,
    /// What runs, or ran last.
    current: Option<Generation>,
    job: Option<JobProcess>,
    /// What was said of builds, which is said once.
    told: RefCell<HashSet<String>>,
    is_over: &'a AtomicBool,
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
    /// Something was edited: what is new takes the place of what runs, if it can.
    fn edited(&mut self) {
        let began = Instant::now();
        let goes_on = |it: &Self| if it.job.is_some() { "the job goes on as it was" } else { "waiting for an edit" };
        match self.build() {
            Ok(None) => {}
            Ok(Some(generation)) => {
                if let Err(error) = self.switch(generation, began) {
                    terminal::say(&format!("{}\n\nwaiting for an edit", describe(&error)));
                }
            }
            Err(error) => terminal::say(&format!("{}\n\n{}", describe(&error), goes_on(self))),
        }
    }

    /// Builds and checks everything; none if that is what runs already.
    fn build(&mut self) -> Result<Option<Generation>> {
        let built = self.own.join("built");
        let runners = super::cache_folder("runners").unwrap_or_else(|| self.own.join("runners"));
        let tell = |words: &str| {
            if self.told.borrow_mut().insert(words.to_owned()) {
                terminal::say(words);
            }
        };
        let runners = Runners::new(runners, &tell);
        for it in &self.watched {
            let components = super::build::edited(&it.folder, &built, &runners)?;
            for (_, name) in &it.operators {
                if !components.iter().any(|built| built.path.file_stem().is_some_and(|stem| stem == name.as_str())) {
                    bail!(
                        "{} builds no {name}.wasm\n\nhint: say where its sources are, with --source",
                        it.folder.display()
                    );
                }
            }
        }
        let job_text = super::read_text(&self.dev.job)?;
        if self.job.is_some() && self.current.as_ref().is_some_and(|current| self.is_same(current, &built, &job_text)) {
            return Ok(None);
        }
        self.number += 1;
        let folder = self.own.join(format!("components-{}-{}", std::process::id(), self.number));
        fs::create_dir_all(&folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
        let mut settings = self.dev.settings.settings.clone();
        for (operator, name) in self.operators() {
            let (from, to) = (component(&built, name), component(&folder, name));
            fs::copy(&from, &to).with_context(|| format!("cannot write {}", to.display()))?;
            settings.push(format!("operators.{operator}.component={}", to.display()));
        }
        let (spec, _) = super::parse(&job_text, &self.dev.job, &settings)?;
        refuse_stdin(&spec)?;
        settings.extend(spec.checkpoint.is_none().then(|| CHECKPOINT.to_owned()));
        // All that can be found wrong without running; what is compiled now needs not be when the job waits for it.
        super::plan(&self.dev.job, &Settings { settings: settings.clone() })?;
        Ok(Some(Generation { folder, job_text, settings }))
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
        self.watched.iter().flat_map(|it| &it.operators).map(|(operator, name)| (operator.as_str(), name))
    }

    /// Stops the job and starts it again with other components, or, if it does not start with them, with those it had.
    fn switch(&mut self, generation: Generation, began: Instant) -> Result<()> {
        let was_running = match self.job.take() {
            Some(mut job) => job.stop().map(|()| true)?,
            None => false,
        };
        let before = self.current.replace(generation.clone());
        if self.start(&generation)? {
            let seconds = began.elapsed().as_secs_f64();
            let what = if was_running { "goes on with what is new" } else { "runs" };
            terminal::say(&format!("the job {what}, {seconds:.1} s after the edit was seen"));
        } else if let Some(before) = before.filter(|_| was_running) {
            self.current = Some(before.clone());
            match self.start(&before)? {
                true => terminal::say("the job does not start with what is new: it goes on as it was"),
                false => terminal::say("waiting for an edit"),
            }
        } else {
            terminal::say("waiting for an edit");
        }
        self.remove_others();
        Ok(())
    }

    /// Starts the job; whether it runs, or has run to its end.
    fn start(&mut self, generation: &Generation) -> Result<bool> {
        let mut job = JobProcess::start(self.dev, self.log_level, &self.own.join("data"), &generation.settings)?;
        Ok(match job.wait_until_it_runs(self.is_over)? {
            Started::Running => {
                self.job = Some(job);
                true
            }
            Started::Finished => {
                terminal::say(ENDED);
                true
            }
            Started::Failed => false,
        })
    }

    /// Tells when the job has ended by itself.
    fn look(&mut self) {
        let Some(ended) = self.job.as_mut().and_then(JobProcess::ended) else { return };
        self.job = None;
        terminal::say(if ended { ENDED } else { "the job has failed: waiting for an edit" });
    }

    /// Removes the components that neither run nor ran before.
    fn remove_others(&self) {
        let Ok(entries) = fs::read_dir(&self.own) else { return };
        let kept = self.current.as_ref().and_then(|current| current.folder.file_name());
        for entry in entries.flatten() {
            let name = entry.file_name();
            if name.to_string_lossy().starts_with("components-") && Some(name.as_os_str()) != kept {
                // What cannot be removed does no harm.
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }
}

/// Of a job whose input has an end.
const ENDED: &str = "the job has come to the end of its input: an edit runs it again";

fn component(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.wasm"))
}
