//! A case's operator as a real job: sources → operator → a sink for each of its outputs, driven step by step.
//!
//! Time is virtual: watermarks and the clock go where the case says. A savepoint is taken after each step. It is the
//! barrier behind which everything that the step has caused is done, and holds the state and timers.

use super::case::{Case, Content, Given, Step};
use super::http::Answers;
use super::observed::{self, Observed, Taken};
use crate::values;
use anyhow::{Context, Result, anyhow, bail};
use std::fmt::Write;
use std::mem::ManuallyDrop;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tidewheel_checkpoint::{Log, Store};
use tidewheel_connectors::memory::{MemoryConnector, MemoryRecord, MemorySink, MemorySource};
use tidewheel_connectors::{NO_TIME, Registry};
use tidewheel_engine::{
    After, CheckpointPolicy, Clock, Durability, EngineError, Job, JobOptions, ManualClock, Plan, StartFrom,
};
use tidewheel_guest::{Component, Runtime};
use tidewheel_state::BackendKind;
use tidewheel_types::description::{Description, Port};
use tidewheel_types::job::{DEAD_LETTER, JobError, JobSpec, OperatorSpec, nearest};

/// Longer than any step takes whose calls are within their deadlines.
const STEP_MAX: Duration = Duration::from_secs(120);

/// Savepoints that a step gets to come to rest. A timer that is set for now again and again never does.
const ROUNDS_MAX: usize = 50;

/// The output of late records.
const LATE: &str = "late";

/// How the operator is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Instances {
    /// Each record in an instance of its own.
    Fresh,
    /// Whole batches in one, as in a job.
    Kept,
}

/// An operator with what is around it, planned.
pub(super) struct Bench {
    description: Description,
    /// By which name the operator is known.
    operator: String,
    spec: JobSpec,
    head: Head,
    folder: PathBuf,
    /// With their names.
    inputs: Vec<(String, MemorySource)>,
    outputs: Vec<(String, MemorySink)>,
    registry: Registry,
    /// What is answered to requests.
    http: Arc<Answers>,
}

/// A job that runs.
pub(super) struct Session {
    bench: Bench,
    /// Not waited for unless it has been asked to end: where it hangs, that would take for ever, and the process ends with its
    /// case.
    job: ManuallyDrop<Job>,
    clock: ManualClock,
    now: i64,
    watermark: i64,
    folder: TempDir,
    savepoints: usize,
    /// Records of each output that earlier steps have had.
    taken: Vec<usize>,
}

impl Bench {
    /// For the operator of `case`, which is `component`, from the file at `path`.
    pub(super) fn new(case: &Case, component: &Component, path: &Path) -> Result<Bench, JobError> {
        let description = component.description().clone();
        let inputs = input_names(case, &description)?;
        let operator = name_of(path);
        let is_dead_letter = case.keys.get("on-error").is_none_or(|it| it.as_str() == Some(DEAD_LETTER));
        let mut outputs = vec![String::new()];
        outputs.extend(description.outputs.iter().skip(1).map(|port| port.name.clone()));
        let has_late = case.keys.contains_key("window") || case.keys.contains_key("join");
        outputs.extend(has_late.then(|| LATE.to_owned()));
        outputs.extend(is_dead_letter.then(|| DEAD_LETTER.to_owned()));

        let mut text = "name = 'test'\n".to_owned();
        for name in &inputs {
            push(&mut text, &format!("[sources.{name}]\nconnector = 'given {name}'"));
        }
        push(&mut text, &format!("[operators.{operator}]"));
        if !case.keys.contains_key("input") {
            let names: Vec<String> = inputs.iter().map(|name| quoted(name)).collect();
            push(&mut text, &format!("input = [{}]", names.join(", ")));
        }
        let head = Head { before: text.lines().count(), text: case.head.clone() };
        push(&mut text, case.head.trim_end_matches('\n'));
        if !case.keys.contains_key("on-error") {
            push(&mut text, "on-error = 'dead-letter'");
        }
        for (place, name) in outputs.iter().enumerate() {
            let of = if name.is_empty() { operator.clone() } else { format!("{operator}.{name}") };
            push(&mut text, &format!("[sinks.output-{place}]\nconnector = 'taken {place}'\ninput = {}", quoted(&of)));
        }
        let component_set = format!("operators.{operator}.component={}", quoted(&path.to_string_lossy()));
        let spec = JobSpec::parse_with(&text, &case.file.to_string_lossy(), &[component_set]);
        let spec = spec.map_err(|error| head.located(error))?;
        refuse_records_without_key(case, &spec.operators[0], component)?;

        let mut registry = Registry::empty();
        let inputs: Vec<_> = inputs.into_iter().map(|name| (name, MemorySource::explicit(1))).collect();
        for (name, source) in &inputs {
            registry.register(&format!("given {name}"), MemoryConnector::source(source.clone()));
        }
        let outputs: Vec<_> = outputs.into_iter().map(|name| (name, MemorySink::new())).collect();
        for (place, (_, sink)) in outputs.iter().enumerate() {
            registry.register(&format!("taken {place}"), MemoryConnector::sink(sink.clone()));
        }
        let folder = case.file.parent().unwrap_or(Path::new("")).to_owned();
        Ok(Bench { description, operator, spec, head, folder, inputs, outputs, registry, http: Arc::default() })
    }

    /// Starts it.
    pub(super) fn start(self, runtime: &Runtime, now: i64, instances: Instances) -> Result<Session> {
        let mut plan = Plan::new(&self.spec, &self.folder, &self.registry, runtime).map_err(|error| match error {
            EngineError::Job(error) => EngineError::Job(self.head.located(error)),
            error => error,
        })?;
        plan.answer_http(self.http.clone());
        let folder = tempfile::tempdir().context("cannot make a folder for the job's state")?;
        let clock = ManualClock::at(now);
        let options = JobOptions {
            state: (BackendKind::Memory, folder.path().join("state")),
            durability: Some(durability(folder.path())?),
            clock: Clock::Manual(clock.clone()),
            fresh_instances: instances == Instances::Fresh,
            ..JobOptions::workers(1)
        };
        let job = Job::start(plan, options)?;
        let taken = vec![0; self.outputs.len()];
        Ok(Session {
            bench: self,
            job: ManuallyDrop::new(job),
            clock,
            now,
            watermark: i64::MIN,
            folder,
            savepoints: 0,
            taken,
        })
    }

    /// The format and schema of the values of an input. What a join pairs says nothing of either.
    fn input_port(&self, input: usize) -> Port {
        if self.spec.operators[0].join.is_some() {
            return Port::default();
        }
        self.description.inputs.get(input).or(self.description.inputs.first()).cloned().unwrap_or_default()
    }

    /// The same of an output, by its name; what is late is as it came.
    fn output_port(&self, name: &str) -> Port {
        match name {
            "" => self.description.outputs.first().cloned().unwrap_or_default(),
            LATE => self.input_port(0),
            DEAD_LETTER => Port { format: "json".to_owned(), ..Port::default() },
            _ => self.description.outputs.iter().find(|port| port.name == name).cloned().unwrap_or_default(),
        }
    }

    /// What a case may call its outputs.
    pub(super) fn output_names(&self) -> Vec<&str> {
        let main = self.description.outputs.first().map(|port| port.name.as_str()).filter(|name| !name.is_empty());
        let main = main.unwrap_or("main");
        self.outputs.iter().map(|(name, _)| if name.is_empty() { main } else { name }).collect()
    }

    /// Its component's states.
    pub(super) fn state_names(&self) -> Vec<&str> {
        self.description.states.iter().map(|state| state.name.as_str()).collect()
    }

    /// Its component's timers.
    pub(super) fn timer_names(&self) -> Vec<&str> {
        self.description.timers.iter().map(|timer| timer.name.as_str()).collect()
    }
}

/// The lines of a case before its first step, and how many there are before them in the job that it becomes.
struct Head {
    before: usize,
    text: String,
}

impl Head {
    /// An error of the job, on the line of the case. What is wrong with the operator as a whole is wrong where its keys begin.
    fn located(&self, error: JobError) -> JobError {
        let lines: Vec<&str> = self.text.lines().map(str::trim).collect();
        let is_key = |line: &&str| !line.is_empty() && !line.starts_with('#');
        let line = match error.line.checked_sub(self.before) {
            // One of the command line's has none.
            _ if error.line == 0 => 0,
            Some(line) if (1..=lines.len()).contains(&line) => line,
            _ => 1 + lines.iter().position(is_key).unwrap_or(0),
        };
        JobError { line, ..error }
    }
}

impl Session {
    pub(super) fn bench(&self) -> &Bench {
        &self.bench
    }

    /// Gives the operator what the step has, and looks at everything that came of it.
    pub(super) fn step(&mut self, case: &Case, step: &Step) -> Result<Observed> {
        self.bench.http.add(&step.http);
        if let Some(now) = step.now {
            if now < self.now {
                bail!(case.error(step.line, "\"now\" is before that of an earlier step: the clock does not go back"));
            }
            self.now = now;
            self.clock.set(now);
            self.wait(None, case, step)?;
        }
        for (place, given) in step.records.iter().enumerate() {
            self.give(given).map_err(|message| case.error(given.line, format!("record {}: {message}", place + 1)))?;
        }
        if let Some(watermark) = step.watermark {
            if watermark < self.watermark {
                bail!(case.error(step.line, "\"watermark\" is before that of an earlier step: it does not go back"));
            }
            self.watermark = watermark;
            self.bench.inputs.iter().for_each(|(_, source)| source.split(0).push_watermark(watermark));
        }
        self.wait_until_read(case, step)?;
        let mut observed = self.at_rest(case, step)?;
        for (place, (name, sink)) in self.bench.outputs.iter().enumerate() {
            let records = sink.committed();
            let port = self.bench.output_port(name);
            let new = records[self.taken[place]..].iter();
            self.taken[place] = records.len();
            match name.as_str() {
                DEAD_LETTER => observed.rejected.extend(new.map(|record| observed::rejection(&record.value))),
                _ => observed.outputs.extend(new.map(|record| Taken::new(name, &port, record))),
            }
        }
        Ok(observed)
    }

    /// Ends the job, whatever waits in it.
    pub(super) fn end(self) -> Result<()> {
        // Asked for a stop it ends without bringing event time to its end: nothing more fires.
        let stopped = self.job.control().snapshot(None, After::Stop { drain: false }).recv_timeout(STEP_MAX);
        stopped.context("the job does not end")??;
        ManuallyDrop::into_inner(self.job).wait();
        Ok(())
    }

    fn give(&self, given: &Given) -> Result<(), String> {
        let names = || self.bench.inputs.iter().map(|(name, _)| name.as_str());
        let input = match &given.input {
            None => 0,
            Some(input) => names().position(|name| name == input).ok_or_else(|| {
                let nearest = nearest(input, names()).map(|name| format!("; did you mean {name:?}?"));
                format!("there is no input {input:?}{}", nearest.unwrap_or_default())
            })?,
        };
        let port = self.bench.input_port(input);
        let value = match &given.value {
            Content::Bytes(bytes) => bytes.clone(),
            Content::Text(text) => text.clone().into_bytes(),
            Content::Value(value) => values::encode(&port.format, value).ok_or_else(|| {
                let format = &port.format;
                format!("{value} cannot be written in the input's format, {format:?}: give its bytes, as hex = \"…\"")
            })?,
        };
        // Without one it gets the clock's.
        let time = given.time.unwrap_or(NO_TIME);
        let record = MemoryRecord::new(time, given.key.clone().unwrap_or_default(), value);
        self.bench.inputs[input].1.split(0).push([record]);
        Ok(())
    }

    fn wait_until_read(&self, case: &Case, step: &Step) -> Result<()> {
        let began = Instant::now();
        while self.bench.inputs.iter().any(|(_, source)| source.split(0).waiting() > 0) {
            if began.elapsed() > STEP_MAX {
                return Err(hangs(case, step));
            }
            // The sources do not tell; they read within an epoch, 10 ms.
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// State and timers once nothing is due any more.
    fn at_rest(&mut self, case: &Case, step: &Step) -> Result<Observed> {
        for _ in 0..ROUNDS_MAX {
            self.savepoints += 1;
            let url = self.folder.path().join(format!("savepoint-{}", self.savepoints)).to_string_lossy().into_owned();
            self.wait(Some(url.clone()), case, step)?;
            let observed = observed::state(&url, &self.bench.operator, &self.bench.description, self.now)?;
            if !observed.has_due {
                return Ok(observed);
            }
        }
        Err(anyhow!(case.error(step.line, "a timer of processing time is set for now again and again")))
    }

    /// Has a snapshot taken: when it is complete, all that was read before is done, and its output committed.
    fn wait(&self, savepoint: Option<String>, case: &Case, step: &Step) -> Result<()> {
        match self.job.control().snapshot(savepoint, After::GoOn).recv_timeout(STEP_MAX) {
            Ok(done) => Ok(drop(done?)),
            Err(RecvTimeoutError::Timeout) => Err(hangs(case, step)),
            Err(RecvTimeoutError::Disconnected) => bail!("the job has ended by itself"),
        }
    }
}

fn hangs(case: &Case, step: &Step) -> anyhow::Error {
    anyhow!(case.error(step.line, format!("the step has not ended within {} s", STEP_MAX.as_secs())))
}

/// The names of the inputs: as the case has them in `input`, or the component, or `left` and `right` of a join.
fn input_names(case: &Case, description: &Description) -> Result<Vec<String>, JobError> {
    let text = |value: &toml::Value| value.as_str().map(str::to_owned);
    match case.keys.get("input") {
        Some(toml::Value::Array(names)) => {
            names.iter().map(text).collect::<Option<_>>().ok_or_else(|| case.error(1, "\"input\" is a list of names"))
        }
        Some(name) => Ok(vec![text(name).ok_or_else(|| case.error(1, "\"input\" is a name, or a list of them"))?]),
        None if case.keys.contains_key("join") => Ok(vec!["left".to_owned(), "right".to_owned()]),
        None if description.inputs.len() > 1 => Ok(description.inputs.iter().map(|port| port.name.clone()).collect()),
        None => Ok(vec!["input".to_owned()]),
    }
}

/// Without a key all records would be of one.
fn refuse_records_without_key(case: &Case, operator: &OperatorSpec, component: &Component) -> Result<(), JobError> {
    let works_by_key = component.world() != tidewheel_types::World::Stateless || operator.join.is_some();
    if !works_by_key || !operator.keys.is_empty() {
        return Ok(());
    }
    match case.steps.iter().flat_map(|step| &step.records).find(|record| record.key.is_none()) {
        None => Ok(()),
        Some(record) => Err(case
            .error(record.line, "a record has no \"key\", and the operator works by key")
            .with_hint("give each record one, or say before the first step where it is: key = { json = \"/…\" }")),
    }
}

/// The name of the operator: that of the file of its component, as far as it is a name.
fn name_of(component: &Path) -> String {
    let stem = component.file_stem().unwrap_or_default().to_string_lossy();
    let name: String =
        stem.chars().map(|letter| if letter.is_ascii_alphanumeric() || letter == '_' { letter } else { '-' }).collect();
    if name.is_empty() { "operator".to_owned() } else { name }
}

fn push(text: &mut String, lines: &str) {
    writeln!(text, "{lines}").expect("a string takes everything");
}

/// A string of TOML.
fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

/// Snapshots in `folder`, when they are asked for.
fn durability(folder: &Path) -> Result<Durability> {
    let store = Store::open(&folder.join("checkpoints").to_string_lossy(), folder)?;
    let attempt = Log::open(store.clone()).begin_attempt_from(None)?;
    let policy =
        CheckpointPolicy { interval: None, min_pause: Duration::ZERO, timeout: STEP_MAX, tolerable_failures: None };
    Ok(Durability {
        policy,
        keep: 1,
        store,
        attempt: attempt.number,
        slot: attempt.slot,
        next_checkpoint: 1,
        lineage: attempt.lineage,
        origin: StartFrom::Nothing,
        is_ending: false,
    })
}
