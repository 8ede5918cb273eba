//! An instance: one running copy of a component, on one worker.
//!
//! It holds nothing worth keeping, so it is replaced whenever that is simpler than going on: after a trap, and when its
//! memory has grown near the limit. State, timers and output are the host's.

mod functions;
mod migration;

pub(crate) use functions::{Functions, Lookup};

use crate::bindings::types;
use crate::component::Component;
use crate::deadline::ticks;
use crate::error::GuestError;
use crate::frame::Frame;
use crate::host::HostState;
use crate::host::http::{self, Http, HttpAccess};
use crate::host::log::{Log, LogBudget, LogLine};
use crate::host::metrics::{InstanceMetrics, Metrics};
use crate::host::state::{Answered, Sizes, StateAccess};
use crate::host::wasi::Virtual;
use crate::limits::{Limits, MemoryLimiter};
use crate::output::{CallShape, Contract, Output};
use crate::runtime::Runtime;
use crate::trap;
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tidewheel_types::description::StateKind;
use tidewheel_types::keyed_state::KeyedState;
use wasmtime::Store;

/// An exported function that takes a frame and returns one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Export {
    /// Worlds `stateless` and `keyed`: records.
    Process,
    /// World `keyed`: timers that are due.
    OnTimer,
    /// World `aggregate`: records into accumulators.
    Accumulate,
    /// World `aggregate`: several accumulators into one.
    Merge,
    /// World `aggregate`: as merge, and emit the result.
    Fire,
}

impl Export {
    /// All of them.
    pub const ALL: [Export; 5] = [Export::Process, Export::OnTimer, Export::Accumulate, Export::Merge, Export::Fire];

    /// Its name in the contract.
    pub fn name(self) -> &'static str {
        match self {
            Export::Process => "process",
            Export::OnTimer => "on-timer",
            Export::Accumulate => "accumulate",
            Export::Merge => "merge",
            Export::Fire => "fire",
        }
    }
}

/// What holds for a whole call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// Processing time, ms since 1970.
    pub now: i64,
    /// Watermark of the last complete epoch; the least number before the first.
    pub watermark: i64,
    /// Seed for random numbers.
    pub seed: u64,
}

impl Call {
    /// For what happens outside a call: no time has come yet.
    pub(crate) const NONE: Call = Call { now: 0, watermark: i64::MIN, seed: 0 };
}

/// For whom an instance runs, and what it may use.
#[derive(Clone, Default)]
pub struct InstanceSettings {
    /// The operator, as logs and errors call it.
    pub operator: String,
    /// The worker it runs on.
    pub worker: usize,
    /// The operator's config as JSON, for `open`.
    pub config: String,
    /// The environment variables that it sees: names and values. It finds them in `open`'s options, as `env:NAME`, and in
    /// that of WASI.
    pub environment: Vec<(String, String)>,
    /// Where its requests over HTTP are answered from.
    pub http: HttpAccess,
    /// What it may use.
    pub limits: Limits,
    /// The operator's state on this worker; needed by components with states.
    pub state: Option<Rc<RefCell<dyn KeyedState>>>,
    /// The operator's metrics; `None` keeps them nowhere.
    pub metrics: Option<Metrics>,
    /// How much it may log, together with others; `None`: as the limits say, by itself.
    pub log_budget: Option<LogBudget>,
    /// Whether what calls log about records is held for [`Instance::take_log`].
    pub holds_log: bool,
    /// Whether nothing is known of its state but what a capsule has.
    pub is_replay: bool,
}

impl InstanceSettings {
    /// A store for an instance with these settings.
    pub(crate) fn store(&self, runtime: &Runtime, kinds: &[StateKind], keeps_answers: bool) -> Store<HostState> {
        let output_bytes_max = usize::try_from(self.limits.output_bytes_max).unwrap_or(usize::MAX);
        let log_budget = self.log_budget.clone().unwrap_or_else(|| LogBudget::new(self.limits.log_lines_max));
        let host = HostState {
            memory: MemoryLimiter::new(&self.limits),
            log: Log::new(self.operator.clone(), self.worker, log_budget, self.holds_log),
            metrics: InstanceMetrics::new(self.metrics.clone().unwrap_or_default(), self.worker),
            state: StateAccess::new(self.state.clone(), kinds, output_bytes_max, keeps_answers),
            machine: Virtual::new(self.environment.clone()),
            http: Http::new(self.http.clone(), runtime.http().clone(), self.limits.output_bytes_max, keeps_answers),
        };
        let mut store = Store::new(runtime.engine(), host);
        store.limiter(|host| &mut host.memory);
        store.set_hostcall_fuel(output_bytes_max);
        self.restart_deadline(&mut store);
        store
    }

    /// Whatever comes next may take as long as a call.
    pub(crate) fn restart_deadline(&self, store: &mut Store<HostState>) {
        start_deadline(store, self.limits.deadline_ms_max);
    }

    pub(crate) fn trapped(
        &self,
        error: &wasmtime::Error,
        function: &'static str,
        store: &mut Store<HostState>,
    ) -> GuestError {
        trap::trapped(error, &self.operator, function, &self.limits, store.data_mut())
    }
}

/// One running copy of a component. It stays on its thread.
pub struct Instance {
    component: Component,
    settings: InstanceSettings,
    /// How long a call may take. Making and opening a running copy may always take what the settings say.
    call_deadline_ms: u64,
    contract: Contract,
    /// Whether a call has to keep its groups' keys: for host functions that are asked for state, or to count it.
    needs_groups: bool,
    /// How much state keys have, if there is a limit of that.
    sizes: Option<Sizes>,
    /// None after a trap, until the next call. Boxed, since every call takes it out and puts it back.
    live: Option<Box<Live>>,
    /// Input of `migrate`; reused.
    frame: Vec<u8>,
    /// Options of `open`: the environment.
    options: Vec<(String, String)>,
    /// Whether fresh running copies keep what calls are told of state.
    keeps_answers: bool,
    /// What the last call was told, if that is kept: of state, and over HTTP.
    answers: (Vec<Answered>, Vec<http::Answered>),
    /// What calls have logged and is held.
    log: Vec<LogLine>,
}

struct Live {
    store: Store<HostState>,
    functions: Functions,
    /// Past this much memory the instance is replaced.
    memory_bytes_mark: usize,
}

impl Instance {
    pub(crate) fn new(component: Component, mut settings: InstanceSettings) -> Result<Instance, GuestError> {
        let contract = Contract::of(component.description());
        if matches!(&settings.http, HttpAccess::Hosts(hosts) if !hosts.is_empty()) {
            component.runtime().http().start().map_err(|reason| GuestError::Http { reason })?;
        }
        // Running copies come and go; what they may log does not begin anew with each.
        settings.log_budget.get_or_insert_with(|| LogBudget::new(settings.limits.log_lines_max));
        let option = |(name, value): &(String, String)| (format!("env:{name}"), value.clone());
        let mut instance = Instance {
            call_deadline_ms: settings.limits.deadline_ms_max,
            needs_groups: contract.states() > contract.riding() || settings.limits.state_bytes_max.is_some(),
            sizes: settings.limits.state_bytes_max.map(Sizes::new),
            options: settings.environment.iter().map(option).collect(),
            component,
            settings,
            contract,
            live: None,
            frame: Vec::new(),
            keeps_answers: false,
            answers: Default::default(),
            log: Vec::new(),
        };
        instance.recycle()?;
        Ok(instance)
    }

    /// The component it is a copy of.
    pub fn component(&self) -> &Component {
        &self.component
    }

    pub(crate) fn settings(&self) -> &InstanceSettings {
        &self.settings
    }

    pub(crate) fn answers(&self) -> &(Vec<Answered>, Vec<http::Answered>) {
        &self.answers
    }

    /// The bytes of its memories and tables.
    pub fn memory_bytes(&self) -> usize {
        self.live.as_ref().map_or(0, |live| live.store.data().memory.bytes())
    }

    /// Sets how long the calls may take from now on, as for the pieces of a batch. If one of them must be preceded by
    /// making a fresh running copy, that may take what the settings say.
    pub fn set_deadline_ms(&mut self, deadline_ms: u64) {
        self.call_deadline_ms = deadline_ms;
    }

    /// Sets whether it is kept what calls are told of state and over HTTP, so that there can be a
    /// [capsule](Self::capsule) of one.
    pub fn keep_answers(&mut self, keeps: bool) {
        self.keeps_answers = keeps;
        if self.settings.http.is_some() {
            // What it was told when it was opened has to be kept as well, or need not be any longer.
            self.live = None;
        }
        if let Some(live) = &mut self.live {
            live.store.data_mut().state.keep_answers(keeps);
        }
    }

    /// What calls have logged since this was last asked, if that is held.
    pub fn take_log(&mut self) -> Vec<LogLine> {
        std::mem::take(&mut self.log)
    }

    /// Replaces the running copy by a fresh one.
    pub fn recycle(&mut self) -> Result<(), GuestError> {
        // The old one goes first, so that there are never two.
        self.live = None;
        let InstanceSettings { operator: name, config, limits, .. } = &self.settings;
        let (facts, runtime) = (self.component.facts(), self.component.runtime());
        let mut store = self.settings.store(runtime, self.contract.kinds(), self.keeps_answers);
        let _in_flight = runtime.ticker().call();
        let instance = self.component.pre().instantiate(&mut store);
        let instance = instance.map_err(|error| self.settings.trapped(&error, "start", &mut store))?;
        if let Some(script) = self.component.script() {
            script.load(&mut store, &instance, name, &self.settings)?;
        }
        let functions = Functions::find(&mut store, &instance, name, &facts.interface, facts.world)?;
        self.settings.restart_deadline(&mut store);
        let opened = functions.open().call(&mut store, (config, &self.options));
        let (opened,) = opened.map_err(|error| self.settings.trapped(&error, "open", &mut store))?;
        opened.map_err(|failure| self.failed("open", failure))?;
        store.data_mut().metrics.commit();
        store.data_mut().http.opened();
        let memory_bytes_mark = mark(store.data().memory.bytes(), limits.memory_bytes_max);
        self.live = Some(Box::new(Live { store, functions, memory_bytes_mark }));
        Ok(())
    }

    /// Calls an exported function with a frame that has the given shape.
    ///
    /// After a trap the next call runs in a fresh instance.
    pub fn call(&mut self, export: Export, call: Call, input: &[u8], shape: &CallShape) -> Result<Output, GuestError> {
        let world = self.component.world();
        let needs_groups = self.needs_groups;
        let (frame, host_writes) = self.enter(export.name(), call, shape.records, |live| {
            let function = live.functions.frame(export);
            let function = function.ok_or(GuestError::NotInWorld { world, function: export.name() })?;
            if needs_groups {
                let groups =
                    Frame::read(input).map_err(|source| GuestError::BadInput { function: export.name(), source })?;
                live.store.data_mut().state.begin_call(&groups);
            }
            let called = function.call(&mut live.store, (call.into(), input));
            Ok(called.map(|(result,)| result.map(|frame| (frame, live.store.data_mut().state.take_writes()))))
        })?;
        let output = Output::new(frame, export, shape, &self.contract, host_writes)
            .map_err(|source| self.broken(export.name(), source))?;
        self.check_state(export.name(), input, &output)?;
        if let Some(live) = &mut self.live {
            live.store.data_mut().metrics.commit();
        }
        Ok(output)
    }

    /// That no key has more state after a call than it may have.
    fn check_state(&mut self, function: &'static str, input: &[u8], output: &Output) -> Result<(), GuestError> {
        let (Some(sizes), Some(live)) = (&mut self.sizes, &mut self.live) else { return Ok(()) };
        if self.keeps_answers {
            // The call is to be made again where nothing is known of the keys.
            sizes.forget();
        }
        let input = Frame::read(input).map_err(|source| GuestError::BadInput { function, source })?;
        let writes = output.host_writes().chain(output.writes());
        let checked = sizes.check(&live.store.data().state, &input, self.contract.riding(), writes);
        // What was asked to count them belongs to what the call was told.
        self.answers.0.append(&mut live.store.data_mut().state.take_answers());
        let too_many = match checked {
            // It was not asked for when the call failed of something else.
            Err(_) if self.settings.is_replay => return Ok(()),
            checked => checked.map_err(|source| GuestError::State { function, source })?,
        };
        let accumulator = output.cells().flatten().map(|accumulator| accumulator.len() as u64).max();
        match too_many.or(accumulator.filter(|&bytes| bytes > sizes.bytes_max())) {
            None => Ok(()),
            Some(bytes) => Err(GuestError::StateTooLarge { function, bytes, bytes_max: sizes.bytes_max() }),
        }
    }

    /// Runs a call of a guest's function: fresh memory if need be, time that passes, and what comes of a failure.
    fn enter<T>(
        &mut self,
        function: &'static str,
        call: Call,
        records: u32,
        run: impl FnOnce(&mut Live) -> Result<wasmtime::Result<Result<T, types::Failure>>, GuestError>,
    ) -> Result<T, GuestError> {
        let is_fit = |live: &Live| live.store.data().memory.bytes() <= live.memory_bytes_mark;
        let mut live = match self.live.take() {
            Some(live) if is_fit(&live) => live,
            _ => {
                self.recycle()?;
                self.live.take().expect("a recycled instance is live")
            }
        };
        live.store.data_mut().begin_call(call, records);
        start_deadline(&mut live.store, self.call_deadline_ms);
        let returned = {
            let _in_flight = self.component.runtime().ticker().call();
            run(&mut live)
        };
        let host = live.store.data_mut();
        if host.log.has_held() {
            self.log.append(&mut host.log.take_held());
        }
        self.answers = (host.state.take_answers(), host.http.answers());
        let result = match returned {
            Ok(Ok(Ok(result))) => Ok(result),
            Ok(Ok(Err(failure))) => Err(self.failed(function, failure)),
            Ok(Err(error)) => {
                // The running copy is dropped: what it would do next, nobody knows.
                let limits = Limits { deadline_ms_max: self.call_deadline_ms, ..self.settings.limits };
                let (operator, host) = (&self.settings.operator, live.store.data_mut());
                return Err(trap::trapped(&error, operator, function, &limits, host));
            }
            Err(error) => Err(error),
        };
        self.live = Some(live);
        result
    }

    fn failed(&self, function: &'static str, failure: types::Failure) -> GuestError {
        let types::Failure { code, message } = failure;
        GuestError::Failed { operator: self.settings.operator.clone(), function, code, message }
    }

    /// A guest that breaks the contract is not to be trusted with another call.
    fn broken(&mut self, function: &'static str, source: crate::frame::FrameError) -> GuestError {
        self.live = None;
        GuestError::BadFrame { operator: self.settings.operator.clone(), function, source }
    }
}

/// Whatever comes next may take so long.
fn start_deadline(store: &mut Store<HostState>, deadline_ms: u64) {
    store.set_epoch_deadline(ticks(deadline_ms));
    store.data_mut().http.set_end(Instant::now().checked_add(Duration::from_millis(deadline_ms)));
}

impl HostState {
    fn begin_call(&mut self, call: Call, records: u32) {
        self.memory.clear_exceeded();
        self.log.begin_call(records);
        self.metrics.begin_call();
        self.machine.begin_call(call.now, call.seed);
        self.http.begin_call();
    }
}

impl From<Call> for types::Call {
    fn from(call: Call) -> Self {
        types::Call { now: call.now, watermark: call.watermark, seed: call.seed }
    }
}

/// Where an instance that starts with `start` bytes of memory is replaced: past three quarters of the limit, but only
/// once it has used up half of what it had left, so that one that starts big is not replaced before every call.
fn mark(start: usize, memory_bytes_max: u64) -> usize {
    let max = usize::try_from(memory_bytes_max).unwrap_or(usize::MAX);
    (max / 4 * 3).max(start + max.saturating_sub(start) / 2)
}

#[cfg(test)]
mod tests {
    use super::mark;

    #[test]
    fn an_instance_is_replaced_at_three_quarters_of_the_limit() {
        assert_eq!(mark(10, 100), 75);
        assert_eq!(mark(80, 100), 90);
        assert_eq!(mark(100, 100), 100);
    }
}
