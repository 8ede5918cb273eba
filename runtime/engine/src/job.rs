//! A job as a running set of worker threads.

use crate::capsules::{CapsuleOptions, Capsules};
use crate::checkpoint::{Checkpoints, Durability};
use crate::claims::Claims;
use crate::clock::Clock;
use crate::control::JobControl;
use crate::credit::Credit;
use crate::dataflow::{self, Shared};
use crate::error::EngineError;
use crate::fatal;
use crate::metrics::{JobMetrics, JobSnapshot, NodeMetrics};
use crate::peers::{CreditReturn, Peers, connect_workers};
use crate::plan::{Edge, Node, Plan, Role, Route};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tidewheel_cluster::Peers as Sockets;
use tidewheel_guest::Limits;
use tidewheel_state::BackendKind;
use tidewheel_types::Epoch;
use timely::WorkerConfig;
use timely::communication::WorkerGuards;
use timely::execute::execute_from;
use timely::progress::Antichain;
use timely::worker::Worker;

/// How to run a job.
pub struct JobOptions {
    /// Number of worker threads of each process.
    pub workers: usize,
    /// The connections to the job's other processes, if there are any. All processes run the same job with the same
    /// number of workers.
    pub peers: Option<Sockets>,
    /// What holds keyed state, and the folder of its working files; in memory a job that keeps nothing needs none.
    pub state: (BackendKind, PathBuf),
    /// How it keeps what it has done; without, it begins anew after a failure.
    pub durability: Option<Durability>,
    /// What processing time is read from.
    pub clock: Clock,
    /// Every call of a component is made in a fresh instance and gets one record, so that whatever an instance keeps
    /// shows. For tests of components.
    pub fresh_instances: bool,
    /// What is kept of calls that fail for good; without, nothing is.
    pub capsules: Option<CapsuleOptions>,
}

impl JobOptions {
    /// So many worker threads, state in memory, nothing kept, and the machine's clock.
    pub fn workers(workers: usize) -> JobOptions {
        let state = (BackendKind::Memory, PathBuf::new());
        JobOptions {
            workers,
            peers: None,
            state,
            durability: None,
            clock: Clock::System,
            fresh_instances: false,
            capsules: None,
        }
    }
}

/// A running job: this process's part of it.
pub struct Job {
    guards: WorkerGuards<()>,
    peers: Option<Peers>,
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
    pub fn start(plan: Plan, options: JobOptions) -> Result<Job, EngineError> {
        fatal::watch_panics();
        let metrics: Vec<_> = plan.nodes.iter().map(|node| node_metrics(&plan, node)).collect();
        // A re-keying node bears its operator's name; what it refuses its operator counts.
        let named = plan.nodes.iter().zip(&metrics).filter(|(node, _)| !matches!(node.role, Role::Rekey(_)));
        let named = named.map(|(_, metrics)| metrics.clone()).collect();
        let job_metrics = Arc::new(JobMetrics::new(named, claims(&plan, &options.clock)));
        let control = JobControl::new(plan.rate_limits());
        let (process, processes) = options.peers.as_ref().map_or((0, 1), |it| (it.process(), it.processes()));
        let returning = Arc::new(CreditReturn::default());
        let workers = options.workers * processes;
        let credit = |(index, edge): (usize, &Edge)| {
            let copies = if edge.route == Route::Broadcast { workers } else { 1 };
            Arc::new(Credit::new(index as u32, process as u32, returning.clone(), copies))
        };
        if let Some(snapshot) = options.durability.as_ref().and_then(|durability| durability.origin.manifest()) {
            plan.check_shapes(snapshot)?;
        }
        let shared = Arc::new(Shared {
            credits: plan.edges.iter().enumerate().map(credit).collect(),
            metrics,
            job_metrics: job_metrics.clone(),
            process,
            processes,
            workers,
            control: control.clone(),
            clock: options.clock,
            fresh_instances: options.fresh_instances,
            capsules: Arc::new(Capsules::new(&plan.name, options.capsules)),
            checkpoints: Checkpoints::new(&plan, workers, options.state, options.durability),
            plan,
        });
        let started = Instant::now();
        let (data, side) = options.peers.map(|peers| (peers.data, peers.side)).unzip();
        let peers = side.map(|side| Peers::start(side, process, shared.credits.clone(), &job_metrics, &returning));
        let peers = peers.transpose()?;
        let (builders, links) = connect_workers(options.workers, process, data).map_err(EngineError::Start)?;
        let run = move |worker: &mut Worker| run_worker(worker, &shared);
        let guards = execute_from(builders, links, WorkerConfig::default(), run).map_err(EngineError::Start)?;
        Ok(Job { guards, peers, metrics: job_metrics, control, started })
    }

    /// What the job counts, readable while it runs.
    pub fn metrics(&self) -> Arc<JobMetrics> {
        self.metrics.clone()
    }

    /// By which it is spoken to while it runs.
    pub fn control(&self) -> JobControl {
        self.control.clone()
    }

    /// Waits until the job has ended by itself, everything committed. The summary of process 0 is that of the job.
    pub fn wait(self) -> JobSummary {
        for result in self.guards.join() {
            // A panic has ended the process before it could get here.
            result.expect("workers end the process when they fail");
        }
        if let Some(peers) = self.peers {
            peers.leave();
        }
        JobSummary { counters: self.metrics.snapshot(), took: self.started.elapsed() }
    }
}

fn node_metrics(plan: &Plan, node: &Node) -> Arc<NodeMetrics> {
    let limits = node.role.function().map_or(Limits::default(), |function| function.limits);
    NodeMetrics::new(plan.label(node), node.kind(), node.sources.clone(), limits.log_lines_max)
}

/// What the splits of all sources claim before they have said anything.
fn claims(plan: &Plan, clock: &Clock) -> Claims {
    let sources = plan.nodes.iter().filter_map(|node| match &node.role {
        Role::Source(source) => Some((node.id.clone(), source.splits.clone())),
        _ => None,
    });
    Claims::new(sources.collect(), clock.now_ms())
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
