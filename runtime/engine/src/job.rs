//! A job as a running set of worker threads.

use crate::checkpoint::{Checkpoints, Durability};
use crate::control::JobControl;
use crate::credit::Credit;
use crate::dataflow::{self, Shared};
use crate::error::EngineError;
use crate::fatal;
use crate::metrics::{JobMetrics, JobSnapshot, NodeMetrics};
use crate::plan::{Plan, Role};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tidewheel_state::BackendKind;
use tidewheel_types::Epoch;
use timely::communication::WorkerGuards;
use timely::execute::Config;
use timely::progress::Antichain;
use timely::worker::Worker;

/// How to run a job.
#[derive(Clone)]
pub struct JobOptions {
    /// Number of worker threads.
    pub workers: usize,
    /// What holds keyed state, and the folder of its working files; in memory a job that keeps nothing needs none.
    pub state: (BackendKind, PathBuf),
    /// How it keeps what it has done; without, it begins anew after a failure.
    pub durability: Option<Durability>,
}

impl JobOptions {
    /// So many worker threads, state in memory, and nothing kept.
    pub fn workers(workers: usize) -> JobOptions {
        JobOptions { workers, state: (BackendKind::Memory, PathBuf::new()), durability: None }
    }
}

/// A running job.
pub struct Job {
    guards: WorkerGuards<()>,
    metrics: Arc<JobMetrics>,
    control: JobControl,
    started: Instant,
}

/// A job that has ended by itself.
#[derive(Clone, Debug)]
pub struct JobSummary {
    /// The counters at its end.
    pub counters: JobSnapshot,
    /// From its start to the last commit.
    pub took: Duration,
}

impl Job {
    /// Starts `plan`. The first error of any worker, also while starting, ends the process: see
    /// [`on_fatal`](crate::on_fatal).
    pub fn start(plan: Plan, options: &JobOptions) -> Result<Job, EngineError> {
        fatal::watch_panics();
        let metrics: Vec<_> = plan.nodes.iter().map(|node| NodeMetrics::new(node.id.clone(), node.kind())).collect();
        // A re-keying node bears its operator's name; what it refuses its operator counts.
        let named = plan.nodes.iter().zip(&metrics).filter(|(node, _)| !matches!(node.role, Role::Rekey(_)));
        let job_metrics = Arc::new(JobMetrics::new(named.map(|(_, metrics)| metrics.clone()).collect()));
        let control = JobControl::default();
        let shared = Arc::new(Shared {
            credits: (0..plan.edges.len() as u32).map(|edge| Arc::new(Credit::new(edge, 0, None))).collect(),
            metrics,
            job_metrics: job_metrics.clone(),
            process: 0,
            workers: options.workers,
            control: control.clone(),
            checkpoints: Checkpoints::new(&plan, options.workers, options.state.clone(), options.durability.clone()),
            plan,
        });
        let config = match options.workers {
            1 => Config::thread(),
            workers => Config::process(workers),
        };
        let started = Instant::now();
        let guards = timely::execute(config, move |worker| run_worker(worker, &shared)).map_err(EngineError::Start)?;
        Ok(Job { guards, metrics: job_metrics, control, started })
    }

    /// What the job counts, readable while it runs.
    pub fn metrics(&self) -> Arc<JobMetrics> {
        self.metrics.clone()
    }

    /// By which it is spoken to while it runs.
    pub fn control(&self) -> JobControl {
        self.control.clone()
    }

    /// Waits until the job has ended by itself, everything committed.
    pub fn wait(self) -> JobSummary {
        for result in self.guards.join() {
            // A panic has ended the process before it could get here.
            result.expect("workers end the process when they fail");
        }
        JobSummary { counters: self.metrics.snapshot(), took: self.started.elapsed() }
    }
}

/// Builds the dataflow on this worker and steps it to its end.
fn run_worker(worker: &mut Worker, shared: &Arc<Shared>) {
    let driver = worker.dataflow::<Epoch, _, _>(|scope| dataflow::build(scope, shared));
    let mut seen = Antichain::from_elem(0);
    while worker.step_or_park(None) {
        // The probe is no operator: nobody activates the controller when it moves but we.
        if worker.index() == 0 && driver.probe.with_frontier(|frontier| frontier != seen.borrow()) {
            seen = driver.probe.with_frontier(|frontier| frontier.to_owned());
            driver.controller.activate();
        }
    }
}
