//! From a job spec to a plan: the parts of the job in the order data flows, and the edges between them.
//!
//! Everything that can be found wrong without running is found here: connectors and their options, components and
//! their worlds, names of outputs. A plan is built once and shared by all workers.

mod native;
mod resolve;

use crate::alignment::Aligned;
use crate::error::EngineError;
use crate::metrics::NodeKind;
use crate::operator::kept_state;
use crate::refuse::Names;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use tidewheel_checkpoint::Manifest;
use tidewheel_connectors::{Delivery, Registry, Sink, Source};
use tidewheel_guest::{Component, Limits, Runtime};
use tidewheel_native::{Aggregates, Filter, Select};
use tidewheel_types::OperatorId;
use tidewheel_types::contract::Declared;
use tidewheel_types::description::StateDecl;
use tidewheel_types::job::{JobSpec, OnError, RateLimit, WindowAssigner, WindowSpec};
use tidewheel_types::selector::Selector;
use tidewheel_types::shape::{NamedWindows, Shape, ShapeError, Windows};

pub(crate) use native::{Changed, Latest, Remember};

/// The names of the splits of each source.
pub type Splits = BTreeMap<String, Vec<String>>;

/// A job that can be run.
pub struct Plan {
    pub(crate) name: String,
    pub(crate) max_parallelism: u16,
    /// Sources, then operators so that each comes after those it reads from, then sinks.
    pub(crate) nodes: Vec<Node>,
    pub(crate) edges: Vec<Edge>,
    pub(crate) names: Arc<Names>,
    /// Groups of sources that wait for each other.
    pub(crate) alignment: Vec<Vec<u32>>,
}

impl Plan {
    /// Plans `spec`. Paths in it are relative to `folder`.
    pub fn new(spec: &JobSpec, folder: &Path, registry: &Registry, runtime: &Runtime) -> Result<Plan, EngineError> {
        resolve::plan(spec, folder, registry, runtime, None)
    }

    /// Plans `spec` with the splits that another process has found: each looking for itself, they might find others.
    pub fn with_splits(
        spec: &JobSpec,
        folder: &Path,
        registry: &Registry,
        runtime: &Runtime,
        splits: &Splits,
    ) -> Result<Plan, EngineError> {
        resolve::plan(spec, folder, registry, runtime, Some(splits))
    }

    /// The splits of its sources.
    pub fn splits(&self) -> Splits {
        let sources = self.nodes.iter().filter_map(|node| match &node.role {
            Role::Source(source) => Some((node.id.to_string(), source.splits.clone())),
            _ => None,
        });
        sources.collect()
    }

    /// The sources, in the order of the job file, and how much is read of each.
    pub(crate) fn rate_limits(&self) -> Vec<(String, RateLimit)> {
        let sources = self.nodes.iter().filter_map(|node| match &node.role {
            Role::Source(source) => Some((node.id.to_string(), source.rate_limit)),
            _ => None,
        });
        sources.collect()
    }

    /// The job's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The most workers this job can have.
    pub fn max_parallelism(&self) -> u16 {
        self.max_parallelism
    }

    /// The sinks that promise exactly-once.
    pub fn exactly_once_sinks(&self) -> impl Iterator<Item = &OperatorId> {
        self.nodes.iter().filter_map(|node| match &node.role {
            Role::Sink(sink) if sink.delivery() == Delivery::ExactlyOnce => Some(&node.id),
            _ => None,
        })
    }

    /// What a snapshot has to fit that the job goes on from.
    pub fn declared(&self) -> Declared {
        let states = self.nodes.iter().filter_map(|node| Some((node.id.clone(), node.role.states()?)));
        let mut declared =
            Declared { max_parallelism: self.max_parallelism, operators: states.collect(), ..Declared::default() };
        for node in &self.nodes {
            match &node.role {
                Role::Source(source) => declared.sources.push((node.id.clone(), source.splits.clone())),
                Role::Sink(_) => declared.sinks.push(node.id.clone()),
                _ => {}
            }
        }
        declared
    }

    /// Whether the timers and windows that wait in a snapshot mean the same in this job. Where event time has ended none
    /// do.
    pub fn check_shapes(&self, snapshot: &Manifest) -> Result<(), ShapeError> {
        if snapshot.finished || snapshot.drained {
            return Ok(());
        }
        self.shapes().try_for_each(|(id, shape)| {
            let stored = snapshot.operators.get(id.as_str()).and_then(|operator| operator.shape.as_ref());
            stored.map_or(Ok(()), |stored| shape.check(id, stored))
        })
    }

    /// The operators with their timers and windows.
    pub(crate) fn shapes(&self) -> impl Iterator<Item = (&OperatorId, Shape)> {
        self.nodes.iter().filter_map(|node| {
            let (function, windows) = match &node.role {
                Role::Keyed(function) => (function, None),
                Role::Window(function, windows) => (function, Some(windows_kept(&windows.assigner))),
                Role::Aggregate(_, windows) => {
                    let windows = Some(windows_kept(&windows.assigner));
                    return Some((&node.id, Shape { timers: Vec::new(), windows }));
                }
                Role::Changed(changed) => return Some((&node.id, changed.shape())),
                Role::Latest(latest) => return Some((&node.id, latest.shape())),
                _ => return None,
            };
            let timers = function.component.description().timers.clone();
            Some((&node.id, Shape { timers, windows }))
        })
    }

    /// The operators with their components, in the order data flows.
    pub fn components(&self) -> impl Iterator<Item = (&OperatorId, &Component)> {
        self.nodes.iter().filter_map(|node| node.role.function().map(|function| (&node.id, &function.component)))
    }
}

/// What a snapshot has to say of windows.
fn windows_kept(assigner: &WindowAssigner) -> Windows {
    match *assigner {
        WindowAssigner::Tumbling { size_ms, offset_ms } => Windows::Tumbling { size_ms, offset_ms },
        WindowAssigner::Sliding { size_ms, slide_ms, offset_ms } => Windows::Sliding { size_ms, slide_ms, offset_ms },
        WindowAssigner::Count { size, slide } => Windows::Count { count: size, slide },
        WindowAssigner::Session { .. } => Windows::Named(NamedWindows::Session),
        WindowAssigner::Global => Windows::Named(NamedWindows::Global),
    }
}

/// A part of a job.
pub(crate) struct Node {
    pub(crate) id: OperatorId,
    pub(crate) role: Role,
    /// Names of the output ports. The first is the main output, the last of a source's or operator's the dead-letter
    /// output.
    pub(crate) ports: Vec<String>,
    pub(crate) on_error: OnError,
    /// The sources upstream (or the source itself), as places in the job's list of sources.
    pub(crate) sources: Vec<u32>,
}

impl Node {
    pub(crate) fn kind(&self) -> NodeKind {
        match self.role {
            Role::Source(_) => NodeKind::Source,
            Role::Sink(_) => NodeKind::Sink,
            _ => NodeKind::Operator,
        }
    }

    /// The port of late records, for windows.
    pub(crate) fn late_port(&self) -> usize {
        self.ports.len() - 2
    }

    /// The port of dead letters.
    pub(crate) fn dead_letter_port(&self) -> usize {
        self.ports.len() - 1
    }
}

/// What a part does.
pub(crate) enum Role {
    Source(SourceNode),
    /// Gives records another key before an operator's exchange. Bears the operator's name.
    Rekey(Selector),
    Stateless(Function),
    Keyed(Function),
    Window(Function, WindowSpec),
    /// Windows over aggregates that need no component.
    Aggregate(Arc<Aggregates>, WindowSpec),
    Filter(Arc<Filter>),
    Select(Arc<Select>),
    /// Lets a record pass that says something new of its key.
    Changed(Changed),
    /// Lets the latest record of a key in a time pass.
    Latest(Latest),
    Sink(Arc<dyn Sink>),
}

impl Role {
    /// The user's function, of an operator that calls one.
    pub(crate) fn function(&self) -> Option<&Function> {
        match self {
            Role::Stateless(function) | Role::Keyed(function) | Role::Window(function, _) => Some(function),
            _ => None,
        }
    }

    /// The states of an operator; none of what is no operator of its own.
    pub(crate) fn states(&self) -> Option<Vec<StateDecl>> {
        match self {
            Role::Source(_) | Role::Rekey(_) | Role::Sink(_) => None,
            Role::Filter(_) | Role::Select(_) => Some(Vec::new()),
            Role::Changed(changed) => Some(vec![changed.state()]),
            Role::Latest(latest) => Some(vec![latest.state()]),
            Role::Stateless(function) | Role::Keyed(function) => Some(function.component.description().states.clone()),
            Role::Aggregate(aggregates, _) => Some(vec![aggregates.state(), kept_state()]),
            Role::Window(function, _) => {
                let states = function.component.description().states.iter().cloned();
                Some(states.chain([kept_state()]).collect())
            }
        }
    }

    /// Whether its input is exchanged by key.
    pub(crate) fn is_keyed(&self) -> bool {
        matches!(self, Role::Keyed(_) | Role::Window(..) | Role::Aggregate(..) | Role::Changed(_) | Role::Latest(_))
    }
}

/// A source.
pub(crate) struct SourceNode {
    pub(crate) source: Arc<dyn Source>,
    pub(crate) key: Option<Selector>,
    pub(crate) event_time: Option<Selector>,
    /// None in a batch job: there is no watermark before the end.
    pub(crate) out_of_orderness_ms: Option<i64>,
    pub(crate) idle_after: Option<std::time::Duration>,
    pub(crate) rate_limit: RateLimit,
    /// Its group, and how far it may be ahead.
    pub(crate) aligned: Option<Aligned>,
    /// Their names.
    pub(crate) splits: Vec<String>,
}

/// A user's function.
pub(crate) struct Function {
    pub(crate) component: Component,
    /// The operator's `config` table as JSON.
    pub(crate) config: String,
    pub(crate) limits: Limits,
}

/// A connection from an output port to an input.
pub(crate) struct Edge {
    pub(crate) from: usize,
    pub(crate) port: usize,
    pub(crate) to: usize,
    /// Which of the component's inputs it feeds.
    pub(crate) input: u8,
    pub(crate) route: Route,
}

/// To which worker a record goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// It stays.
    Local,
    /// To the owner of its key group.
    ByKey,
    /// To all in turn.
    Rebalance,
}
