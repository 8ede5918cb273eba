//! Names → things: the making of a plan.

use super::{Changed, Edge, Function, Latest, Node, Plan, Role, Route, SourceNode, Splits};
use crate::alignment::Aligned;
use crate::error::EngineError;
use crate::operator::join::PairFormat;
use crate::refuse::Names;
use crate::watermark::WatermarkStrategy;
use std::collections::BTreeMap;
use std::env::VarError;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tidewheel_connectors::{Connector, ConnectorError, Registry};
use tidewheel_guest::{HttpAccess, Limits, Runtime};
use tidewheel_native::{Aggregates, Filter, Select};
use tidewheel_types::http_host::HttpHost;
use tidewheel_types::job::{
    AlignmentSpec, ComponentSpec, EventTimeSpec, ExchangeKind, FunctionSpec, Grant, InputRef, JobMode, JobSpec, Keep,
    LimitsSpec, OnError, OperatorSpec, RestartStrategy, SinkSpec, SourceSpec, WatermarkSpec,
};
use tidewheel_types::{OperatorId, World};

/// Name of the output of records set aside.
const DEAD_LETTER: &str = "dead-letter";
/// Name of the output of records that came after their window was cleaned up.
const LATE: &str = "late";

/// Plans `spec`, with these splits if they are known.
pub(super) fn plan(
    spec: &JobSpec,
    folder: &Path,
    registry: &Registry,
    runtime: &Runtime,
    splits: Option<&Splits>,
) -> Result<Plan, EngineError> {
    refuse_restarts_from_nothing(spec)?;
    let alignment = Vec::new();
    let mut planner = Planner { spec, folder, registry, runtime, nodes: Vec::new(), edges: Vec::new(), alignment };
    let mut names = Names::default();
    for source in &spec.sources {
        let known = splits.and_then(|splits| splits.get(source.id.as_str()));
        names.sources.push((source.id.clone(), planner.source(source, known)?));
    }
    for operator in in_order_of_data(spec) {
        planner.operator(operator)?;
    }
    for sink in &spec.sinks {
        planner.sink(sink)?;
    }
    planner.refuse_unread_parts()?;
    Ok(Plan {
        name: spec.name.clone(),
        max_parallelism: spec.max_parallelism,
        nodes: planner.nodes,
        edges: planner.edges,
        names: Arc::new(names),
        alignment: planner.alignment.into_iter().map(|(_, sources)| sources).collect(),
    })
}

/// A restart without checkpoints would begin anew, and publish everything once more.
fn refuse_restarts_from_nothing(spec: &JobSpec) -> Result<(), EngineError> {
    match spec.checkpoint.is_none() && spec.restart.strategy != RestartStrategy::None {
        false => Ok(()),
        true => Err(spec
            .error(spec.restart.line, "[restart]: a job is started again from a checkpoint, and this one takes none")
            .with_hint("add a table [checkpoint]")
            .into()),
    }
}

/// The operators so that each comes after those it reads from. The spec has been checked for cycles.
fn in_order_of_data(spec: &JobSpec) -> Vec<&OperatorSpec> {
    let by_id: BTreeMap<&OperatorId, &OperatorSpec> =
        spec.operators.iter().map(|operator| (&operator.id, operator)).collect();
    let mut ordered: Vec<&OperatorSpec> = Vec::new();
    fn visit<'a>(
        operator: &'a OperatorSpec,
        by_id: &BTreeMap<&OperatorId, &'a OperatorSpec>,
        ordered: &mut Vec<&'a OperatorSpec>,
    ) {
        if ordered.iter().any(|done| done.id == operator.id) {
            return;
        }
        operator.inputs.iter().filter_map(|input| by_id.get(&input.from)).for_each(|from| visit(from, by_id, ordered));
        ordered.push(operator);
    }
    spec.operators.iter().for_each(|operator| visit(operator, &by_id, &mut ordered));
    ordered
}

/// The limits of an operator: those of the job file, and for the others the defaults.
fn limits(spec: &LimitsSpec) -> Limits {
    let defaults = Limits::default();
    Limits {
        memory_bytes_max: spec.memory_bytes_max.unwrap_or(defaults.memory_bytes_max),
        deadline_ms_max: spec.deadline_ms_max.unwrap_or(defaults.deadline_ms_max),
        output_bytes_max: spec.output_bytes_max.unwrap_or(defaults.output_bytes_max),
        state_bytes_max: spec.state_bytes_max.or(defaults.state_bytes_max),
        records_max: spec.records_max.unwrap_or(defaults.records_max),
        log_lines_max: spec.log_lines_max.unwrap_or(defaults.log_lines_max),
    }
}

/// Environment variables with their values, and hosts that requests may go to.
type Granted = (Vec<(String, String)>, Vec<HttpHost>);

/// A plan in the making.
struct Planner<'a> {
    spec: &'a JobSpec,
    folder: &'a Path,
    registry: &'a Registry,
    runtime: &'a Runtime,
    nodes: Vec<Node>,
    edges: Vec<Edge>,
    /// Groups of sources that wait for each other, with their names.
    alignment: Vec<(String, Vec<u32>)>,
}

impl Planner<'_> {
    /// Adds a source; returns the names of its splits.
    fn source(&mut self, spec: &SourceSpec, known: Option<&Vec<String>>) -> Result<Vec<String>, EngineError> {
        let connector = self.connector(&spec.connector, spec.line)?;
        let mut options = spec.options.clone();
        let failed = |error| connector_error(&spec.id, error);
        let source = connector.source(&mut options, self.folder).map_err(failed)?;
        options.finish()?;
        let is_batch = self.spec.mode == JobMode::Batch;
        if is_batch && !source.is_bounded() {
            let message = format!("[sources.{}] has no end, and a job with mode = \"batch\" fires at its end", spec.id);
            return Err(self.wrong(spec.line, message));
        }
        let splits = match known {
            Some(known) => {
                source.use_splits(known);
                known.clone()
            }
            None => source.splits().map_err(failed)?,
        };
        let component = spec.component().map(|called| self.source_component(spec, called)).transpose()?;
        let mut ports = component.as_ref().map_or_else(|| vec![String::new()], output_names);
        ports.push(DEAD_LETTER.to_owned());
        let event_time = match &spec.event_time {
            Some(EventTimeSpec::Place(place)) => Some(place.clone()),
            _ => None,
        };
        let index = self.nodes.len() as u32;
        let aligned = spec.watermark.alignment.as_ref().map(|alignment| self.align(index, alignment));
        self.nodes.push(Node {
            id: spec.id.clone(),
            role: Role::Source(SourceNode {
                source,
                key: spec.key.clone(),
                event_time,
                component,
                watermarks: watermarks(&spec.watermark, is_batch),
                idle_after: spec.watermark.idle_after_ms.filter(|_| !is_batch).map(Duration::from_millis),
                rate_limit: spec.rate_limit,
                aligned,
                splits: splits.clone(),
            }),
            ports,
            on_error: spec.on_error,
            sources: vec![index],
            delay_ms: 0,
        });
        Ok(splits)
    }

    /// The component that the records of a source go through.
    fn source_component(&self, spec: &SourceSpec, called: &ComponentSpec) -> Result<Function, EngineError> {
        let function = self.function(&spec.id, ("sources", spec.line), called)?;
        let (world, inputs) = (function.component.world(), function.component.description().inputs.len());
        let problem = match (world, inputs) {
            (World::Stateless, 0..=1) => return Ok(function),
            (World::Stateless, _) => format!("wants {inputs} inputs, and a source is one"),
            _ => format!("is of world {world}, and the component of an event time is of world stateless"),
        };
        Err(self.wrong(spec.line, format!("[sources.{}]: {:?} {problem}", spec.id, called.path)))
    }

    /// A component with what goes with it; `part` is the table that names it, in line `line`.
    fn function(&self, id: &OperatorId, part: (&str, usize), called: &ComponentSpec) -> Result<Function, EngineError> {
        let component = self
            .runtime
            .load(&self.folder.join(&called.path))
            .map_err(|source| EngineError::Guest { operator: id.clone(), source: Box::new(source) })?;
        let (environment, hosts) = self.grants(id, part, &called.grants)?;
        let (config, limits) = (called.config.to_string(), limits(&called.limits));
        Ok(Function { component, config, limits, environment, http: HttpAccess::Hosts(hosts) })
    }

    /// Puts a source into its group.
    fn align(&mut self, source: u32, AlignmentSpec { group, max_drift_ms }: &AlignmentSpec) -> Aligned {
        let known = self.alignment.iter().position(|(name, _)| name == group);
        let number = known.unwrap_or_else(|| {
            self.alignment.push((group.clone(), Vec::new()));
            self.alignment.len() - 1
        });
        self.alignment[number].1.push(source);
        Aligned::new(number as u32, *max_drift_ms)
    }

    fn operator(&mut self, spec: &OperatorSpec) -> Result<(), EngineError> {
        let role = match &spec.function {
            FunctionSpec::Component(component) => return self.component(spec, component),
            FunctionSpec::Pairs => return self.add_join(spec, PairFormat::Json).map(drop),
            FunctionSpec::Filter(options) => Role::Filter(Arc::new(Filter::parse(&mut options.clone())?)),
            FunctionSpec::Select(options) => Role::Select(Arc::new(Select::parse(&mut options.clone())?)),
            FunctionSpec::Aggregate(options) => {
                let aggregates = Arc::new(Aggregates::parse(&mut options.clone())?);
                let Some(windows) = &spec.window else {
                    let fix = "an \"aggregate\" needs a \"window\", such as window = { tumbling = \"10s\" }";
                    return Err(self.wrong(spec.line, format!("[operators.{}]: {fix}", spec.id)));
                };
                Role::Aggregate(aggregates, windows.clone())
            }
            FunctionSpec::Changed(changed) => Role::Changed(self.memory(spec, Changed::new(changed))?),
            FunctionSpec::Deduplicate(deduplicate) => match deduplicate.keep {
                Keep::First => Role::Changed(self.memory(spec, Changed::first(*deduplicate))?),
                Keep::Last => Role::Latest(Latest { within_ms: deduplicate.within_ms }),
            },
        };
        let mut ports = vec![String::new()];
        ports.extend((role.has_windows() || matches!(role, Role::Latest(_))).then(|| LATE.to_owned()));
        ports.push(DEAD_LETTER.to_owned());
        self.add_operator(spec, role, ports, false)
    }

    /// What an operator remembers; what is wrong with that is said of its table.
    fn memory(&self, spec: &OperatorSpec, made: Result<Changed, String>) -> Result<Changed, EngineError> {
        made.map_err(|message| self.wrong(spec.line, format!("[operators.{}]: {message}", spec.id)))
    }

    /// Adds an operator that calls a component.
    fn component(&mut self, spec: &OperatorSpec, called: &ComponentSpec) -> Result<(), EngineError> {
        let function = self.function(&spec.id, ("operators", spec.line), called)?;
        let mut ports = output_names(&function);
        let (world, inputs) = (function.component.world(), function.component.description().inputs.len().max(1));
        let role = self.role(spec, &called.path, world, function)?;
        if role.has_windows() {
            ports.push(LATE.to_owned());
        }
        ports.push(DEAD_LETTER.to_owned());
        if inputs > 1 && inputs != spec.inputs.len() {
            return Err(self.wrong(
                spec.line,
                format!("[operators.{}] has {} inputs, and its component wants {inputs}", spec.id, spec.inputs.len()),
            ));
        }
        self.add_operator(spec, role, ports, inputs > 1)
    }

    /// What an operator is granted: variables, as they are now, and hosts.
    fn grants(&self, id: &OperatorId, place: (&str, usize), grants: &[Grant]) -> Result<Granted, EngineError> {
        let (mut environment, mut hosts) = Granted::default();
        for grant in grants {
            match grant {
                Grant::Env(name) => environment.push((name.clone(), self.variable(id, place, name)?)),
                Grant::Http(host) => hosts.push(host.clone()),
            }
        }
        Ok((environment, hosts))
    }

    /// A variable that an operator is granted.
    fn variable(&self, id: &OperatorId, (part, line): (&str, usize), name: &str) -> Result<String, EngineError> {
        std::env::var(name).map_err(|error| {
            let reason = match error {
                VarError::NotPresent => "is not set",
                VarError::NotUnicode(_) => "is not UTF-8",
            };
            let message = format!("[{part}.{id}] is granted \"env:{name}\", but {name} {reason}");
            let hint = format!("set {name} where the job is run, or remove the grant");
            self.spec.error(line, message).with_hint(hint).into()
        })
    }

    /// Adds an operator: behind its inputs, or behind the join of them.
    fn add_operator(
        &mut self,
        spec: &OperatorSpec,
        role: Role,
        ports: Vec<String>,
        numbered: bool,
    ) -> Result<(), EngineError> {
        if spec.join.is_none() {
            return self.add_node(spec, role, ports, numbered).map(drop);
        }
        let format = match role {
            Role::Stateless(_) => PairFormat::Packed,
            Role::Filter(_) | Role::Select(_) => PairFormat::Json,
            _ => {
                let fix = "a function over the pairs of a \"join\" keeps nothing: it is of world stateless";
                return Err(self.wrong(spec.line, format!("[operators.{}]: {fix}", spec.id)));
            }
        };
        let join = self.add_join(spec, format)?;
        let to = self.nodes.len();
        let (sources, delay_ms) = (self.nodes[join].sources.clone(), self.delay_behind(join));
        self.nodes.push(Node { id: spec.id.clone(), role, ports, on_error: spec.on_error, sources, delay_ms });
        self.edges.push(Edge { from: join, port: 0, to, input: 0, route: Route::Local });
        Ok(())
    }

    /// Adds the join of an operator's inputs; returns it.
    fn add_join(&mut self, spec: &OperatorSpec, format: PairFormat) -> Result<usize, EngineError> {
        let join = spec.join.ok_or_else(|| self.wrong(spec.line, "there is no \"join\"".to_owned()))?;
        let ports = vec![String::new(), LATE.to_owned(), DEAD_LETTER.to_owned()];
        // What waits is kept by side.
        let inputs = spec.inputs.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ");
        self.add_node(spec, Role::Join(join, format, inputs), ports, true)
    }

    /// Adds a node and its edges, with re-keying nodes before it if the job asks for them; returns it.
    fn add_node(
        &mut self,
        spec: &OperatorSpec,
        role: Role,
        ports: Vec<String>,
        numbered: bool,
    ) -> Result<usize, EngineError> {
        let exchange = match spec.exchange {
            Some(ExchangeKind::Rebalance) => Route::Rebalance,
            None => Route::Local,
        };
        let mut edges = Vec::new();
        for (place, input) in spec.inputs.iter().enumerate() {
            let index = if numbered { place as u8 } else { 0 };
            let key = spec.keys.get(place).or(spec.keys.first());
            let route = role.route(place).unwrap_or(exchange);
            for (from, port) in self.resolve(input)? {
                if role.is_keyed() && key.is_none() {
                    self.demand_key(from, spec, input)?;
                }
                edges.push((from, port, index, key, route));
            }
        }
        let sources = self.upstream(edges.iter().map(|&(from, ..)| from));
        let delay_ms = edges.iter().map(|&(from, ..)| self.delay_behind(from)).max().unwrap_or(0);
        for (from, port, _, key, _) in &mut edges {
            if let Some(key) = key {
                *from = self.rekey(spec, (*key).clone(), *from, *port);
                *port = 0;
            }
        }
        let to = self.nodes.len();
        self.nodes.push(Node { id: spec.id.clone(), role, ports, on_error: spec.on_error, sources, delay_ms });
        let edges = edges.into_iter().map(|(from, port, input, _, route)| Edge { from, port, to, input, route });
        self.edges.extend(edges);
        Ok(to)
    }

    /// How far the watermark behind a node is behind that of the sources.
    fn delay_behind(&self, node: usize) -> i64 {
        self.nodes[node].delay_ms.saturating_add(self.nodes[node].role.delay_ms())
    }

    /// Adds a node that gives the records of one edge another key; returns it.
    fn rekey(
        &mut self,
        spec: &OperatorSpec,
        selector: tidewheel_types::selector::Selector,
        from: usize,
        port: usize,
    ) -> usize {
        let to = self.nodes.len();
        self.edges.push(Edge { from, port, to, input: 0, route: Route::Local });
        self.nodes.push(Node {
            id: spec.id.clone(),
            role: Role::Rekey(selector),
            ports: vec![String::new(), DEAD_LETTER.to_owned()],
            on_error: spec.on_error,
            sources: self.upstream([from]),
            delay_ms: self.delay_behind(from),
        });
        to
    }

    /// What an operator is, by the world of its component, which is at `path`, and its `window`.
    fn role(&self, spec: &OperatorSpec, path: &str, world: World, function: Function) -> Result<Role, EngineError> {
        let does_not_fit = |fix: &str| {
            let message = format!("[operators.{}]: {path:?} is of world {world}: {fix}", spec.id);
            Err(self.wrong(spec.line, message))
        };
        if world != World::Stateless && spec.exchange.is_some() {
            return does_not_fit("its input is always exchanged by key, so it takes no \"exchange\"");
        }
        match (world, &spec.window) {
            (World::Aggregate, None) => does_not_fit("it needs a \"window\", such as window = { tumbling = \"10s\" }"),
            (World::Keyed, None) if function.component.description().needs_window() => does_not_fit(
                "it sees all records of a window, so it needs a \"window\", such as window = { tumbling = \"10s\" }",
            ),
            (World::Stateless, Some(_)) => does_not_fit("only worlds aggregate and keyed take a \"window\""),
            (World::Keyed, Some(_)) if !function.component.description().timers.is_empty() => does_not_fit(
                "it is made for single records and may set timers, and with a \"window\" nothing but windows fires: make it \
                 a process_window operator of the SDK, or remove the \"window\"",
            ),
            (World::Keyed, Some(windows)) => Ok(Role::ProcessWindow(function, windows.clone())),
            (World::Stateless, None) => Ok(Role::Stateless(function)),
            (World::Keyed, None) => Ok(Role::Keyed(function)),
            (World::Aggregate, Some(windows)) => Ok(Role::Window(function, windows.clone())),
        }
    }

    fn sink(&mut self, spec: &SinkSpec) -> Result<(), EngineError> {
        let connector = self.connector(&spec.connector, spec.line)?;
        let mut options = spec.options.clone();
        let sink = connector.sink(&mut options, self.folder).map_err(|error| connector_error(&spec.id, error))?;
        options.finish()?;
        let mut edges = Vec::new();
        for input in &spec.inputs {
            edges.extend(self.resolve(input)?);
        }
        let sources = self.upstream(edges.iter().map(|&(from, _)| from));
        let to = self.nodes.len();
        let ports = Vec::new();
        let delay_ms = edges.iter().map(|&(from, _)| self.delay_behind(from)).max().unwrap_or(0);
        let on_error = OnError::Fail;
        self.nodes.push(Node { id: spec.id.clone(), role: Role::Sink(sink), ports, on_error, sources, delay_ms });
        self.edges.extend(edges.into_iter().map(|(from, port)| Edge { from, port, to, input: 0, route: Route::Local }));
        Ok(())
    }

    fn connector(&self, name: &str, line: usize) -> Result<&dyn Connector, EngineError> {
        self.registry.get(name).ok_or_else(|| {
            let error = self.spec.error(line, format!("there is no connector {name:?}"));
            error.with_choices(name, self.registry.names()).into()
        })
    }

    /// The ports that `input` names: one, but for dead letters, which an operator's re-keying nodes have too.
    fn resolve(&self, input: &InputRef) -> Result<Vec<(usize, usize)>, EngineError> {
        let nodes: Vec<usize> = (0..self.nodes.len()).filter(|&node| self.nodes[node].id == input.from).collect();
        let Some(output) = &input.output else {
            return Ok(nodes.last().map(|&node| (node, 0)).into_iter().collect());
        };
        let port_of = |&node: &usize| {
            let port = self.nodes[node].ports.iter().position(|name| name == output)?;
            Some((node, port))
        };
        let found: Vec<_> = nodes.iter().filter_map(port_of).collect();
        if !found.is_empty() {
            return Ok(found);
        }
        let names = nodes.last().map(|&node| self.nodes[node].ports.as_slice()).unwrap_or_default();
        let message = format!("\"{}.{output}\" is no output of {:?}", input.from, input.from.as_str());
        let names = names.iter().map(String::as_str).filter(|name| !name.is_empty());
        Err(self.spec.error(input.line, message).with_choices(output, names).into())
    }

    /// A keyed operator that reads straight from a source without a key would see one single key.
    fn demand_key(&self, from: usize, spec: &OperatorSpec, input: &InputRef) -> Result<(), EngineError> {
        match &self.nodes[from].role {
            Role::Source(source)
                if source.key.is_none() && source.component.is_none() && !source.source.has_keys() =>
            {
                Err(self.wrong(
                    input.line,
                    format!(
                        "[operators.{}] works by key, and its input {:?} has none: add key = {{ json = \"/…\" }} to either",
                        spec.id,
                        self.nodes[from].id.as_str()
                    ),
                ))
            }
            _ => Ok(()),
        }
    }

    /// The sources upstream of all of these nodes.
    fn upstream(&self, nodes: impl IntoIterator<Item = usize>) -> Vec<u32> {
        let mut sources: Vec<u32> = nodes.into_iter().flat_map(|node| self.nodes[node].sources.clone()).collect();
        sources.sort_unstable();
        sources.dedup();
        sources
    }

    /// What nobody reads would run unobserved: its end could not be awaited, and it is a mistake anyway.
    fn refuse_unread_parts(&self) -> Result<(), EngineError> {
        let unread = (0..self.nodes.len()).find(|&node| {
            !matches!(self.nodes[node].role, Role::Sink(_)) && !self.edges.iter().any(|edge| edge.from == node)
        });
        let Some(node) = unread else { return Ok(()) };
        let id = &self.nodes[node].id;
        let lines = self.spec.sources.iter().map(|source| (&source.id, source.line));
        let mut lines = lines.chain(self.spec.operators.iter().map(|operator| (&operator.id, operator.line)));
        let line = lines.find(|(of, _)| *of == id).map_or(1, |(_, line)| line);
        Err(self.wrong(line, format!("nothing reads {:?}: add a sink with input = {:?}", id.as_str(), id.as_str())))
    }

    fn wrong(&self, line: usize, message: String) -> EngineError {
        self.spec.error(line, message).into()
    }
}

/// The outputs of a component: the main one, then those on the side.
fn output_names(function: &Function) -> Vec<String> {
    let description = function.component.description();
    let mut names: Vec<String> = description.outputs.iter().map(|port| port.name.clone()).collect();
    names.resize(description.output_count(), String::new());
    names
}

fn watermarks(spec: &WatermarkSpec, is_batch: bool) -> WatermarkStrategy {
    match (is_batch, spec.is_punctuated) {
        (true, _) => WatermarkStrategy::NoWatermarks,
        (false, true) => WatermarkStrategy::Punctuated,
        (false, false) => WatermarkStrategy::BoundedOutOfOrderness { ms: spec.out_of_orderness_ms },
    }
}

fn connector_error(id: &OperatorId, error: ConnectorError) -> EngineError {
    match error {
        ConnectorError::Options(error) => EngineError::Job(error),
        error => EngineError::Connector { operator: id.clone(), source: Box::new(error) },
    }
}
