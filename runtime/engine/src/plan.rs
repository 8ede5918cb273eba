//! From a job spec to a plan: the parts of the job in the order data flows, and the edges between them.
//!
//! Everything that can be found wrong without running is found here: connectors and their options, components and
//! their worlds, names of outputs. A plan is built once and shared by all workers.

mod native;
mod resolve;

use crate::alignment::Aligned;
use crate::error::EngineError;
use crate::metrics::NodeKind;
use crate::operator::host_states;
use crate::operator::join::{self, PairFormat};
use crate::refuse::Names;
use crate::watermark::WatermarkStrategy;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use tidewheel_checkpoint::Manifest;
use tidewheel_connectors::{Delivery, Registry, Sink, Source};
use tidewheel_guest::{Component, HttpAccess, HttpAnswers, InstanceSettings, Limits, Runtime};
use tidewheel_native::{Aggregates, Filter, Select};
use tidewheel_types::OperatorId;
use tidewheel_types::contract::{Contract, Declared};
use tidewheel_types::description::StateDecl;
use tidewheel_types::job::{JobSpec, JoinKind, JoinSpec, OnError, RateLimit, WindowSpec};
use tidewheel_types::selector::Selector;
use tidewheel_types::shape::{Shape, ShapeError};

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

    /// What a part is called in what the job counts: a join that a function comes after counts for itself.
    pub(crate) fn label(&self, node: &Node) -> OperatorId {
        let is_last = self.nodes.iter().rfind(|other| other.id == node.id).is_some_and(|last| std::ptr::eq(last, node));
        match node.role {
            Role::Join(..) if !is_last => OperatorId::new(&format!("{}.join", node.id)),
            _ => node.id.clone(),
        }
    }

    /// How far a function's watermark is behind that of the join before it, by whose name it is known in snapshots.
    pub(crate) fn behind_join(&self, node: &Node) -> i64 {
        let is_join = |other: &&Node| other.id == node.id && matches!(other.role, Role::Join(..));
        let join = self.nodes.iter().find(is_join).filter(|join| !std::ptr::eq(*join, node));
        join.map_or(0, |join| node.delay_ms - join.delay_ms)
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
        // The function over the pairs of a join bears its name, and has no state.
        let is_function_of_join = |(id, states): &(OperatorId, Vec<StateDecl>)| {
            let is_join = |node: &Node| node.id == *id && matches!(node.role, Role::Join(..));
            states.is_empty() && self.nodes.iter().any(is_join)
        };
        let states = states.filter(|state| !is_function_of_join(state));
        let without_component = self.nodes.iter().filter(|node| node.role.is_native()).map(|node| node.id.clone());
        let mut declared = Declared {
            max_parallelism: self.max_parallelism,
            operators: states.collect(),
            without_component: without_component.collect(),
            shapes: self.shapes().map(|(id, shape)| (id.clone(), shape)).collect(),
            ..Declared::default()
        };
        for node in &self.nodes {
            match &node.role {
                Role::Source(source) => declared.sources.push((node.id.clone(), source.splits.clone())),
                Role::Sink(_) => declared.sinks.push(node.id.clone()),
                _ => {}
            }
        }
        declared
    }

    /// Whether the timers and windows that wait in a snapshot mean the same in this job.
    pub(crate) fn check_shapes(&self, snapshot: &Manifest) -> Result<(), ShapeError> {
        let mut errors = Contract::new(&self.declared(), &snapshot.stored()).shapes;
        if errors.is_empty() { Ok(()) } else { Err(errors.swap_remove(0)) }
    }

    /// The operators with their timers and windows.
    pub(crate) fn shapes(&self) -> impl Iterator<Item = (&OperatorId, Shape)> {
        self.nodes.iter().filter_map(|node| {
            let shape = match &node.role {
                Role::Keyed(function) => {
                    Shape { timers: function.component.description().timers.clone(), ..Shape::default() }
                }
                Role::Window(_, windows) | Role::ProcessWindow(_, windows) | Role::Aggregate(_, windows) => {
                    windows.shape()
                }
                Role::Join(join, _, inputs) => {
                    let shape = join.shape();
                    Shape { rules: format!("{} of {inputs}", shape.rules), ..shape }
                }
                Role::Changed(changed) => changed.shape(),
                Role::Latest(latest) => latest.shape(),
                _ => return None,
            };
            Some((&node.id, shape))
        })
    }

    /// The sources and operators that call a function of the user, with it, in the order data flows.
    pub fn functions(&self) -> impl Iterator<Item = (&OperatorId, &Function)> {
        self.nodes.iter().filter_map(|node| node.role.function().map(|function| (&node.id, function)))
    }

    /// Has the requests that functions send over HTTP answered by `answers`, and not by the hosts that they are granted.
    pub fn answer_http(&mut self, answers: Arc<dyn HttpAnswers>) {
        for function in self.nodes.iter_mut().filter_map(|node| node.role.function_mut()) {
            function.http = HttpAccess::Answers(Arc::clone(&answers));
        }
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
    /// How far the watermark of its inputs is behind that of the sources.
    pub(crate) delay_ms: i64,
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
    /// World `aggregate` with windows.
    Window(Function, WindowSpec),
    /// World `keyed` with windows.
    ProcessWindow(Function, WindowSpec),
    /// Pairs the records of two inputs, which are so called.
    Join(JoinSpec, PairFormat, String),
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
    /// The user's function, of a source or operator that calls one.
    pub(crate) fn function(&self) -> Option<&Function> {
        match self {
            Role::Source(source) => source.component.as_ref(),
            Role::Stateless(function)
            | Role::Keyed(function)
            | Role::Window(function, _)
            | Role::ProcessWindow(function, _) => Some(function),
            _ => None,
        }
    }

    fn function_mut(&mut self) -> Option<&mut Function> {
        match self {
            Role::Source(source) => source.component.as_mut(),
            Role::Stateless(function)
            | Role::Keyed(function)
            | Role::Window(function, _)
            | Role::ProcessWindow(function, _) => Some(function),
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
            Role::Aggregate(aggregates, _) => {
                Some([aggregates.state()].into_iter().chain(host_states(false)).collect())
            }
            Role::Join(..) => Some(join::states()),
            Role::Window(function, _) | Role::ProcessWindow(function, _) => {
                let states = function.component.description().states.iter().cloned();
                Some(states.chain(host_states(matches!(self, Role::ProcessWindow(..)))).collect())
            }
        }
    }

    /// Whether it keeps state that no component declares.
    fn is_native(&self) -> bool {
        matches!(self, Role::Join(..) | Role::Aggregate(..) | Role::Changed(_) | Role::Latest(_))
    }

    /// Whether it has windows.
    pub(crate) fn has_windows(&self) -> bool {
        matches!(self, Role::Window(..) | Role::ProcessWindow(..) | Role::Aggregate(..))
    }

    /// How far behind the watermark results may be: that of who reads them is behind by so much.
    pub(crate) fn delay_ms(&self) -> i64 {
        match self {
            Role::Join(join, ..) => join.delay_ms(),
            // What passes at the end of a time has the time of its record.
            Role::Latest(latest) => latest.within_ms,
            _ => 0,
        }
    }

    /// Whether every worker keeps all of its state.
    pub(crate) fn is_broadcast(&self) -> bool {
        matches!(self, Role::Join(join, ..) if join.kind == JoinKind::Lookup)
    }

    /// To which worker the records of an input go, if the role says so.
    pub(crate) fn route(&self, input: usize) -> Option<Route> {
        match self.is_broadcast() {
            true => Some(if input == 0 { Route::Local } else { Route::Broadcast }),
            false => self.is_keyed().then_some(Route::ByKey),
        }
    }

    /// Whether its input is exchanged by key.
    pub(crate) fn is_keyed(&self) -> bool {
        matches!(self, Role::Keyed(_) | Role::Join(..) | Role::Changed(_) | Role::Latest(_)) || self.has_windows()
    }
}

/// A source.
pub(crate) struct SourceNode {
    pub(crate) source: Arc<dyn Source>,
    pub(crate) key: Option<Selector>,
    pub(crate) event_time: Option<Selector>,
    /// Of world `stateless`: makes records of what was read.
    pub(crate) component: Option<Function>,
    pub(crate) watermarks: WatermarkStrategy,
    pub(crate) idle_after: Option<std::time::Duration>,
    pub(crate) rate_limit: RateLimit,
    /// Its group, and how far it may be ahead.
    pub(crate) aligned: Option<Aligned>,
    /// Their names.
    pub(crate) splits: Vec<String>,
}

/// A user's function.
pub struct Function {
    /// The component.
    pub component: Component,
    /// The operator's `config` table as JSON.
    pub(crate) config: String,
    /// What its calls may use.
    pub limits: Limits,
    /// The environment variables that it sees, with the values that they had when the job was planned.
    pub environment: Vec<(String, String)>,
    /// Where its requests over HTTP are answered from.
    pub http: HttpAccess,
}

impl Function {
    /// How an instance of it runs for `operator` on a worker, but for state and metrics.
    pub fn settings(&self, operator: &OperatorId, worker: usize) -> InstanceSettings {
        InstanceSettings {
            operator: operator.to_string(),
            worker,
            config: self.config.clone(),
            environment: self.environment.clone(),
            http: self.http.clone(),
            limits: self.limits,
            ..InstanceSettings::default()
        }
    }
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
    /// To all.
    Broadcast,
}
