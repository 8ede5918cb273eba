//! A job as a running set of worker threads.

use crate::credit::Credit;
use crate::dataflow::{self, Shared};
use crate::error::EngineError;
use crate::fatal;
use crate::metrics::{JobMetrics, JobSnapshot, NodeMetrics};
use crate::plan::{Plan, Role};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tidewheel_types::Epoch;
use timely::communication::WorkerGuards;
use timely::execute::Config;
use timely::progress::Antichain;
use timely::worker::Worker;

/// How to run a job.
#[derive(Clone, Debug)]
pub struct JobOptions {
    /// Number of worker threads.
    pub workers: usize,
}

/// A running job.
pub struct Job {
    guards: WorkerGuards<()>,
    metrics: Arc<JobMetrics>,
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
        let shared = Arc::new(Shared {
            credits: plan.edges.iter().map(|_| Arc::new(Credit::default())).collect(),
            metrics,
            job_metrics: job_metrics.clone(),
            lineage: lineage(),
            workers: options.workers,
            plan,
        });
        let config = match options.workers {
            1 => Config::thread(),
            workers => Config::process(workers),
        };
        let started = Instant::now();
        let guards = timely::execute(config, move |worker| run_worker(worker, &shared)).map_err(EngineError::Start)?;
        Ok(Job { guards, metrics: job_metrics, started })
    }

    /// What the job counts, readable while it runs.
    pub fn metrics(&self) -> Arc<JobMetrics> {
        self.metrics.clone()
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

/// An identity for the output of a job started now: unique, and in the order of starting.
fn lineage() -> String {
    format!("{:012x}{:05x}", crate::clock::now_ms(), std::process::id())
}
