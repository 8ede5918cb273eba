//! Plan → timely dataflow. The way of the data is [`build`], from top to bottom; it is the same on every worker.

use crate::alignment::Alignment;
use crate::capsules::Capsules;
use crate::checkpoint::{Checkpoints, OwnStates, Tasks, Uploader, has_part};
use crate::clock::Clock;
use crate::control::JobControl;
use crate::controller::{Controller, ControllerParts, RateLimits};
use crate::credit::Credit;
use crate::error::EngineError;
use crate::fatal;
use crate::inbox::{DataInput, Inbox, Input};
use crate::metrics::{JobMetrics, NodeMetrics};
use crate::operator::changed::Changing;
use crate::operator::filter::Filtering;
use crate::operator::join::Join;
use crate::operator::keyed::Keyed;
use crate::operator::latest::KeepingLatest;
use crate::operator::rekey::Rekey;
use crate::operator::select::Selecting;
use crate::operator::stateless::Stateless;
use crate::operator::window::Window;
use crate::operator::{Callee, FunctionTask, Memory, TaskState, describe};
use crate::outputs::{Outputs, Port};
use crate::parcel::{ByKey, Parcel, Rebalance, ToAll};
use crate::plan::{Edge, Function, Node, Plan, Role, Route, SourceNode};
use crate::refuse::Refusals;
use crate::reporter::{EdgeLoad, ReportSender, Reporter};
use crate::sink::SinkTask;
use crate::source::{SideOutput, SourceComponent, SourceParts, SourceTask, SplitTask};
use crate::streams::{Command, Report};
use crate::task::{Logic, Task, Wiring};
use crate::watermark::{SplitClock, Tracker, Update};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;
use tidewheel_connectors::{ConnectorError, Position, Sink, SinkContext};
use tidewheel_guest::{InstanceSettings, Limits};
use tidewheel_native::Aggregates;
use tidewheel_types::job::WindowSpec;
use tidewheel_types::keyed_state::KeyedState;
use tidewheel_types::{Batch, Epoch, KeyGroups, OperatorId, SplitIndex, Watermark};
use timely::dataflow::channels::pact::{DistributorPact, Exchange, Pipeline};
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::vec::Broadcast;
use timely::dataflow::operators::{Concatenate, Probe};
use timely::dataflow::{ProbeHandle, Scope, Stream};
use timely::scheduling::{Activator, SyncActivator};

/// What all workers of a process share.
pub(crate) struct Shared {
    pub(crate) plan: Plan,
    /// Per edge of the plan.
    pub(crate) credits: Vec<Arc<Credit>>,
    /// Per node of the plan.
    pub(crate) metrics: Vec<Arc<NodeMetrics>>,
    pub(crate) job_metrics: Arc<JobMetrics>,
    /// This process, of how many, and the workers of all.
    pub(crate) process: usize,
    pub(crate) processes: usize,
    pub(crate) workers: usize,
    pub(crate) control: JobControl,
    pub(crate) clock: Clock,
    pub(crate) fresh_instances: bool,
    pub(crate) checkpoints: Checkpoints,
    pub(crate) capsules: Arc<Capsules>,
}

impl Shared {
    /// Whether the worker at `index` tells process 0 for all workers of its process.
    fn is_spokesman(&self, index: usize) -> bool {
        self.process != 0 && index == self.process * (self.workers / self.processes)
    }

    /// Tasks that have a part in checkpoints, over all workers.
    fn tasks(&self) -> Tasks {
        Tasks { parts: self.nodes(has_part), sinks: self.nodes(|role| matches!(role, Role::Sink(_))) }
    }

    fn nodes(&self, is_wanted: impl Fn(&Role) -> bool) -> usize {
        self.plan.nodes.iter().filter(|node| is_wanted(&node.role)).count() * self.workers
    }
}

/// What worker 0 needs to drive its dataflow: the controller is activated when the probe moves.
pub(crate) struct Driver {
    pub(crate) probe: ProbeHandle<Epoch>,
    pub(crate) controller: Activator,
}

/// Which records a task takes as they arrive.
const ANY_EPOCH: bool = true;
const OPEN_EPOCH: bool = false;

type Data<'a> = Stream<'a, Epoch, Parcel>;
type Side<'a, D> = Stream<'a, Epoch, Vec<D>>;

/// Builds the job's dataflow on one worker: controller → sources → operators → sinks → probe.
///
/// What fails on the way ends the process there and then: timely cannot take a dataflow apart that is half built.
pub(crate) fn build(scope: Scope<'_, Epoch>, shared: &Arc<Shared>) -> Driver {
    let (probe, reports, reporter) = (ProbeHandle::new(), Rc::default(), Reporter::default());
    let (controller, commands) = controller(scope, shared, &probe, &reports, &reporter);
    send_reports(scope, shared, commands.clone(), reporter.clone(), reports, controller.clone());
    let uploader = shared.checkpoints.uploader(scope.index(), &reporter);
    let (data, sinks, not_migrated) = (BTreeMap::new(), Vec::new(), Batch::default());
    let mut graph = Graph { scope, shared, commands, watermarks: None, reporter, uploader, data, sinks, not_migrated };
    graph.watermarks = Some(graph.sources());
    graph.operators_and_sinks();
    scope.concatenate(graph.sinks).probe_with(&probe);
    Driver { probe, controller }
}

/// The epoch clock and the command stream. On other workers than the first it has no capability: they only listen.
fn controller<'a>(
    scope: Scope<'a, Epoch>,
    shared: &Arc<Shared>,
    probe: &ProbeHandle<Epoch>,
    reports: &Rc<RefCell<Vec<Report>>>,
    reporter: &Reporter,
) -> (Activator, Side<'a, Command>) {
    let mut builder = OperatorBuilder::new("controller".to_owned(), scope);
    let address = builder.operator_info().address;
    let activator = scope.activator_for(address.clone());
    let (output, commands) = builder.new_output::<Vec<Command>>();
    builder.build(|mut capabilities| {
        let capability = capabilities.pop().filter(|_| scope.index() == 0);
        let mut controller = capability.map(|capability| {
            shared.control.attach(scope.worker().sync_activator_for(address.to_vec()));
            let parts = ControllerParts {
                commands: output,
                probe: probe.clone(),
                reports: reports.clone(),
                activator: activator.clone(),
                edges: shared.credits.clone(),
                metrics: shared.job_metrics.clone(),
                limits: RateLimits::new(shared.plan.rate_limits().into_iter().map(|(_, limit)| limit), shared.workers),
                alignment: Alignment::new(&shared.plan.alignment, shared.workers),
                tasks: shared.tasks(),
                policy: shared.checkpoints.policy(),
                first_checkpoint: shared.checkpoints.first(),
                is_ending: shared.checkpoints.is_ending(),
                publisher: shared.checkpoints.publisher(reporter),
                control: shared.control.clone(),
            };
            Controller::new(parts, capability, Instant::now())
        });
        move |_frontiers| {
            if let Some(controller) = &mut controller {
                controller.run(Instant::now()).unwrap_or_else(|error| fatal::fail(error));
            }
        }
    });
    (activator, broadcast(commands))
}

/// The report stream: from every worker's reporter to memory on worker 0, outside the probe.
fn send_reports<'a>(
    scope: Scope<'a, Epoch>,
    shared: &Arc<Shared>,
    commands: Side<'a, Command>,
    reporter: Reporter,
    reports: Rc<RefCell<Vec<Report>>>,
    controller: Activator,
) {
    let mut builder = OperatorBuilder::new("reports".to_owned(), scope);
    reporter.attach(scope.worker().sync_activator_for(builder.operator_info().address.to_vec()));
    let commands: Box<dyn Input<Vec<Command>>> = Box::new(builder.new_input(commands, Pipeline));
    let (output, sent) = builder.new_output::<Vec<Report>>();
    builder.build(|mut capabilities| {
        let load = shared.is_spokesman(scope.index()).then(|| EdgeLoad::new(shared.process, shared.credits.clone()));
        let mut sender = ReportSender { reporter, load, commands, output, capability: capabilities.pop() };
        move |frontiers| sender.run(frontiers)
    });
    let mut builder = OperatorBuilder::new("reports-end".to_owned(), scope);
    let mut input = builder.new_input(sent, Exchange::new(|_: &Report| 0));
    builder.build(|_| {
        move |_frontiers| {
            input.for_each(|_, arrived| {
                reports.borrow_mut().append(arrived);
                controller.activate();
            });
        }
    });
}

fn broadcast<D: timely::ExchangeData + Clone>(stream: Side<'_, D>) -> Side<'_, D> {
    match stream.scope().peers() {
        1 => stream,
        _ => stream.broadcast(),
    }
}

/// A dataflow in the making.
struct Graph<'a, 's> {
    scope: Scope<'a, Epoch>,
    shared: &'s Arc<Shared>,
    commands: Side<'a, Command>,
    watermarks: Option<Side<'a, Update>>,
    reporter: Reporter,
    /// Makes snapshots of operators safe; none in a job without checkpoints.
    uploader: Option<Uploader>,
    /// The streams of the output ports that somebody reads, by node and port.
    data: BTreeMap<(usize, usize), Data<'a>>,
    /// The ends of the sinks, which carry nothing: the probe watches them.
    sinks: Vec<Side<'a, ()>>,
    /// Dead letters of the operator that is being made: values of its state that could not be migrated.
    not_migrated: Batch,
}

impl<'a> Graph<'a, '_> {
    fn sources(&mut self) -> Side<'a, Update> {
        let shared = self.shared.clone();
        let sources = shared.plan.nodes.iter().enumerate().filter_map(|(index, node)| match &node.role {
            Role::Source(source) => Some(self.source(index, node, source)),
            _ => None,
        });
        let watermarks: Vec<_> = sources.collect();
        broadcast(self.scope.concatenate(watermarks))
    }

    fn source(&mut self, index: usize, node: &Node, source: &SourceNode) -> Side<'a, Update> {
        let mut builder = OperatorBuilder::new(node.id.to_string(), self.scope);
        let (activator, sync) = self.activators(&builder);
        let commands: Box<dyn Input<Vec<Command>>> = Box::new(builder.new_input(self.commands.clone(), Pipeline));
        let mut outputs = self.outputs(&mut builder, index, sync.clone());
        let (watermark_output, watermarks) = builder.new_output::<Vec<Update>>();
        let splits = self.open_splits(node, source, index as u32, &sync);
        self.shared.clock.attach(sync);
        let refusals = self.refusals(index, None);
        let function = source.component.as_ref().map(|function| self.function(index, function, None));
        let (worker, reporter, clock) = (self.scope.index() as u32, self.reporter.clone(), self.shared.clock.clone());
        let metrics = self.shared.job_metrics.clone();
        builder.build(|mut capabilities| {
            let watermarks = SideOutput { output: watermark_output, capability: capabilities.pop() };
            outputs.start(capabilities);
            let mut task = SourceTask::new(SourceParts {
                id: node.id.clone(),
                source: index as u32,
                worker,
                splits,
                key: source.key.clone(),
                event_time: source.event_time.clone(),
                component: function.map(SourceComponent::new),
                aligned: source.aligned,
                refusals,
                outputs,
                commands,
                watermarks,
                reporter,
                activator,
                clock,
                metrics,
            });
            move |frontiers| task.run(frontiers).unwrap_or_else(|error| fatal::fail(error))
        });
        watermarks
    }

    /// Opens the splits of this worker, each where the last checkpoint left it: each worker gets every so many-th.
    fn open_splits(&self, node: &Node, source: &SourceNode, index: u32, task: &SyncActivator) -> Vec<SplitTask> {
        let now = Instant::now();
        let mine = (self.scope.index()..source.splits.len()).step_by(self.scope.peers());
        mine.map(|split| {
            let name = &source.splits[split];
            let restored = self.shared.checkpoints.split(&node.id, name);
            let clock = SplitClock::new(source.watermarks, source.idle_after, now);
            let open = |position: Option<&Position>, waker| {
                source.source.open(index, SplitIndex(split as u32), position, waker)
            };
            SplitTask::open(name, split as u32, clock, restored, task.clone(), open)
                .unwrap_or_else(|error| connector_failed(&node.id, error))
        })
        .collect()
    }

    fn operators_and_sinks(&mut self) {
        let shared = self.shared.clone();
        for (index, node) in shared.plan.nodes.iter().enumerate() {
            match &node.role {
                Role::Source(_) => {}
                Role::Rekey(selector) => {
                    let rekey = Rekey::new(selector.clone(), self.refusals(index, None));
                    self.task(index, ANY_EPOCH, |_| rekey);
                }
                Role::Stateless(function) => {
                    let stateless = Stateless::new(self.function(index, function, None));
                    self.task(index, ANY_EPOCH, |_| stateless);
                }
                Role::Keyed(function) => {
                    let state = self.state(node);
                    let task = self.function(index, function, Some(state.shared()));
                    self.task(index, OPEN_EPOCH, |_| Keyed::new(node.id.clone(), task, state));
                }
                Role::Window(function, windows) => {
                    let task = self.function(index, function, None);
                    self.aggregating(index, node, task, windows);
                }
                Role::ProcessWindow(function, windows) => {
                    let (state, metrics) = (self.state(node), shared.metrics[index].clone());
                    let task = self.function(index, function, Some(state.shared()));
                    let window = Window::processing(task, windows, node.late_port(), state, metrics);
                    self.task(index, OPEN_EPOCH, |_| window);
                }
                Role::Aggregate(aggregates, windows) => {
                    let task = self.aggregates(index, aggregates);
                    self.aggregating(index, node, task, windows);
                }
                Role::Join(join, format, _) => {
                    let (state, refusals) = (self.state(node), self.refusals(index, None));
                    let late = (node.late_port(), shared.metrics[index].clone());
                    let join = Join::new(node.id.clone(), (*join, *format), state, refusals, late);
                    self.task(index, OPEN_EPOCH, |_| join);
                }
                Role::Filter(filter) => {
                    let filtering = Filtering::new(filter.clone(), self.refusals(index, None));
                    self.task(index, ANY_EPOCH, |_| filtering);
                }
                Role::Select(select) => {
                    let selecting = Selecting::new(select.clone(), self.refusals(index, None));
                    self.task(index, ANY_EPOCH, |_| selecting);
                }
                Role::Changed(changed) => {
                    let memory = Memory::new(node.id.clone(), self.state(node));
                    let changing = Changing::new(changed.clone(), memory, self.refusals(index, None));
                    self.task(index, OPEN_EPOCH, |_| changing);
                }
                Role::Latest(latest) => {
                    let memory = Memory::new(node.id.clone(), self.state(node));
                    let metrics = shared.metrics[index].clone();
                    let keeping = KeepingLatest::new(*latest, memory, node.late_port(), metrics);
                    self.task(index, OPEN_EPOCH, |_| keeping);
                }
                Role::Sink(sink) => self.sink(index, &node.id, sink.as_ref()),
            }
        }
    }

    /// The state of an operator on this worker.
    fn state(&mut self, node: &Node) -> TaskState {
        let (id, worker, function) = (&node.id, self.scope.index(), node.role.function());
        let digest = function.map(|function| function.component.digest().to_owned());
        let states = OwnStates {
            declared: node.role.states().unwrap_or_default(),
            function,
            is_broadcast: node.role.is_broadcast(),
            capsules: &self.shared.capsules,
            refusals: RefCell::new(self.refusals_of(node, digest)),
        };
        let opened = self.shared.checkpoints.open_state(id, &states, worker, self.uploader.as_ref());
        self.not_migrated = states.refusals.into_inner().take();
        TaskState::new(id.clone(), self.reporter.clone(), opened.unwrap_or_else(|error| fatal::fail(error)))
    }

    fn aggregating(&mut self, index: usize, node: &Node, function: FunctionTask, windows: &WindowSpec) {
        let (state, metrics) = (self.state(node), self.shared.metrics[index].clone());
        let window = Window::aggregating(function, windows, node.late_port(), state, metrics);
        self.task(index, OPEN_EPOCH, |_| window);
    }

    fn sink(&mut self, index: usize, id: &OperatorId, sink: &dyn Sink) {
        let (shard, shards, reporter) = (self.scope.index(), self.scope.peers(), self.reporter.clone());
        let checkpoints = &self.shared.checkpoints;
        let (lineage, attempt) = (checkpoints.lineage().to_owned(), checkpoints.attempt());
        let (unsettled, has_unsettled) = (checkpoints.staged(id, shard), checkpoints.has_staged(id));
        self.task(index, OPEN_EPOCH, |activator| {
            // A sink whose worker has ended needs no waking.
            let waker = Arc::new(move || _ = activator.activate());
            let sink_id = id.to_string();
            let context = SinkContext { lineage, sink: sink_id, attempt, shard, shards, has_unsettled, waker };
            let writer = sink.open(context);
            let writer = writer.unwrap_or_else(|error| connector_failed(id, error));
            SinkTask::new(id.clone(), shard, writer, reporter, unsettled)
        });
    }

    /// Adds an operator or sink with the logic that `logic` makes.
    fn task<L: Logic + 'static>(&mut self, index: usize, any_epoch: bool, logic: impl FnOnce(SyncActivator) -> L) {
        let shared = self.shared.clone();
        let node = &shared.plan.nodes[index];
        let mut builder = OperatorBuilder::new(node.id.to_string(), self.scope);
        let (activator, sync) = self.activators(&builder);
        let inbox = self.inbox(&mut builder, index, any_epoch);
        let mut outputs = self.outputs(&mut builder, index, sync.clone());
        if let Role::Sink(_) = node.role {
            // Dropped at once, kept by its capability alone.
            let (_output, end) = builder.new_output::<Vec<()>>();
            self.sinks.push(end);
        }
        shared.clock.attach(sync.clone());
        let logic = logic(sync);
        let not_migrated = std::mem::take(&mut self.not_migrated);
        let not_migrated = (!not_migrated.is_empty()).then(|| (node.dead_letter_port(), not_migrated));
        let watermark = shared.checkpoints.watermark(&node.id).0.saturating_sub(shared.plan.behind_join(node));
        let tracker = Tracker::new(node.sources.clone(), shared.workers, Watermark(watermark), node.delay_ms);
        let (metrics, reporter, clock) =
            (shared.metrics[index].clone(), self.reporter.clone(), self.shared.clock.clone());
        builder.build(|capabilities| {
            outputs.start(capabilities);
            // In the first epoch, since the first checkpoint is without these values.
            not_migrated.into_iter().for_each(|(port, letters)| outputs.emit(port, 0, letters));
            let wiring = Wiring { inbox, outputs, tracker, activator, reporter, clock, metrics };
            let mut task = Task::new(logic, wiring);
            move |frontiers| task.run(frontiers).unwrap_or_else(|error| fatal::fail(error))
        });
    }

    /// A task's inputs: the edges that end at it, then commands and watermarks.
    fn inbox(&mut self, builder: &mut OperatorBuilder<'a, Epoch>, index: usize, any_epoch: bool) -> Inbox {
        let edges = self.shared.plan.edges.iter().zip(&self.shared.credits).filter(|(edge, _)| edge.to == index);
        let groups = KeyGroups::new(self.shared.plan.max_parallelism, self.shared.workers);
        let data = edges.map(|(edge, credit)| {
            let stream = self.data[&(edge.from, edge.port)].clone();
            DataInput {
                handle: connect(builder, stream, edge, groups, self.shared.process as u32),
                credit: credit.clone(),
                index: edge.input,
            }
        });
        let data = data.collect();
        let commands = Box::new(builder.new_input(self.commands.clone(), Pipeline));
        let watermarks = self.watermarks.clone().expect("sources are built first");
        let watermarks = Box::new(builder.new_input(watermarks, Pipeline));
        Inbox::new(data, commands, watermarks, any_epoch)
    }

    /// A task's output ports; those that nobody reads are no timely outputs.
    fn outputs(&mut self, builder: &mut OperatorBuilder<'a, Epoch>, index: usize, task: SyncActivator) -> Outputs {
        let shared = self.shared;
        let ports = (0..shared.plan.nodes[index].ports.len()).map(|port| {
            let edges = shared.plan.edges.iter().zip(&shared.credits);
            let edges = edges.filter(|(edge, _)| (edge.from, edge.port) == (index, port));
            let credits: Vec<_> = edges.map(|(_, credit)| credit.clone()).collect();
            (!credits.is_empty()).then(|| {
                let (output, stream) = builder.new_output::<Parcel>();
                self.data.insert((index, port), stream);
                Port::new(output, shared.process as u32, credits)
            })
        });
        Outputs::new(ports.collect(), task, shared.metrics[index].clone())
    }

    /// A user's function, instantiated for this worker.
    fn function(&self, index: usize, function: &Function, state: Option<Rc<RefCell<dyn KeyedState>>>) -> FunctionTask {
        let (id, worker, component) = (&self.shared.plan.nodes[index].id, self.scope.index(), &function.component);
        let metrics = &self.shared.metrics[index];
        let settings = InstanceSettings {
            state,
            metrics: Some(metrics.own.clone()),
            log_budget: Some(metrics.log.clone()),
            holds_log: true,
            ..function.settings(id, worker)
        };
        let instance = component.instantiate(settings).unwrap_or_else(|source| {
            fatal::fail(EngineError::Guest { operator: id.clone(), source: Box::new(source) })
        });
        let refusals = self.refusals(index, Some(component.digest().to_owned()));
        let callee = Callee::Component(instance);
        FunctionTask::new(id.clone(), component.description(), callee, function.limits, refusals, self.worker())
            .with_fresh_instances(self.shared.fresh_instances)
    }

    /// Aggregates that need no component, on this worker.
    fn aggregates(&self, index: usize, aggregates: &Arc<Aggregates>) -> FunctionTask {
        let id = self.shared.plan.nodes[index].id.clone();
        let (callee, refusals) = (Callee::Aggregates(aggregates.clone()), self.refusals(index, None));
        FunctionTask::new(id, &describe(aggregates), callee, Limits::default(), refusals, self.worker())
    }

    fn refusals(&self, index: usize, component: Option<String>) -> Refusals {
        self.refusals_of(&self.shared.plan.nodes[index], component)
    }

    fn refusals_of(&self, node: &Node, component: Option<String>) -> Refusals {
        let plan = &self.shared.plan;
        // What a re-keying node refuses counts as its operator's, which comes after it and bears the same name.
        let named = plan.nodes.iter().rposition(|other| other.id == node.id).expect("it is a node of the plan");
        let metrics = self.shared.metrics[named].clone();
        let port = node.dead_letter_port();
        Refusals::new(node.id.clone(), node.on_error, port, plan.names.clone(), component, metrics, self.scope.index())
    }

    /// The worker, and where calls are kept that fail on it.
    fn worker(&self) -> (usize, Arc<Capsules>) {
        (self.scope.index(), self.shared.capsules.clone())
    }

    fn activators(&self, builder: &OperatorBuilder<'a, Epoch>) -> (Activator, SyncActivator) {
        let address = builder.operator_info().address;
        let sync = self.scope.worker().sync_activator_for(address.to_vec());
        (self.scope.activator_for(address), sync)
    }
}

/// Connects an edge to the operator it ends at, by its route.
fn connect<'a>(
    builder: &mut OperatorBuilder<'a, Epoch>,
    stream: Data<'a>,
    edge: &Edge,
    groups: KeyGroups,
    process: u32,
) -> Box<dyn Input<Parcel>> {
    let worker = stream.scope().index();
    match edge.route {
        Route::Local => Box::new(builder.new_input(stream, Pipeline)),
        Route::ByKey => {
            Box::new(builder.new_input(stream, DistributorPact(move |peers| ByKey::new(groups, peers, process))))
        }
        Route::Broadcast => Box::new(builder.new_input(stream, DistributorPact(move |_peers| ToAll))),
        Route::Rebalance => Box::new(builder.new_input(stream, DistributorPact(move |_peers| Rebalance::new(worker)))),
    }
}

fn connector_failed(id: &OperatorId, error: ConnectorError) -> ! {
    fatal::fail(EngineError::Connector { operator: id.clone(), source: Box::new(error) })
}
