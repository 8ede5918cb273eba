//! A test harness: runs an operator natively, in a plain unit test.
//!
//! It drives the operator through the same adapters and frames as the host does, with a tiny host in memory. Every call
//! goes to a fresh instance of the operator, so a field that should have been a state shows. See [`Harness`].

mod frames;
mod http;
mod inspect;
mod memory;
mod savepoint;
mod stored;
mod time;

pub use frames::{EmittedRecord, RejectedRecord};
pub use http::answer_http;
pub use savepoint::Savepoint;

/// The functions a component imports.
pub(crate) mod host {
    pub(crate) use super::http::send_http;
    pub(crate) use super::memory::{
        define_metric, get, list_read, log, map_get, map_scan, map_write, mark, revert, update_metric,
    };
}

use crate::emitted::Emit;
use crate::error::{Error, Result};
use crate::format::{Encode, Format};
use crate::frame::Columns;
use crate::operator::{Kind, Operator, World, describe};
use crate::process_window::Part;
use crate::record::Window;
use crate::time::EventTime;
use crate::wit::keyed::tidewheel::operator::description::{Description, StateKind};
use crate::wit::keyed::tidewheel::operator::types::Call;
use frames::{Incoming, IncomingGroup};
use memory::MemoryHost;
use serde::Serialize;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use stored::{Rules, Stored};

/// Grants an environment variable, as a job does by `grants = ["env:NAME"]`: [`env`](crate::env) gives it from now on, in
/// this thread.
pub fn grant_env(name: &str, value: &str) {
    crate::granted::grant(name, value);
}

/// The format of an operator's input.
type In<O> = <<O as Operator>::World as World<O>>::In;

/// Accumulators of a window, to be merged.
type Panes = [Option<Stored>; 2];

/// An operator under test, with its host.
///
/// ```
/// use tidewheel::harness::Harness;
/// use tidewheel::{Context, EventTime, Keyed, Postcard, Record, Result, Text, Value, operator};
///
/// #[operator(keyed)]
/// struct Count {
///     #[state]
///     count: Value<u64>,
/// }
///
/// impl Keyed for Count {
///     type In = Text;
///     type Out = Postcard<u64>;
///
///     fn process(&mut self, text: Record<&str>, ctx: &mut Context<Self>) -> Result<()> {
///         let count = self.count.get()?.unwrap_or(0) + text.parse::<u64>()?;
///         ctx.emit(count);
///         self.count.set(&count)
///     }
/// }
///
/// let mut harness = Harness::<Count>::new();
/// harness.send("a", EventTime(1), "10");
/// harness.send_all([("a", EventTime(2), "5"), ("b", EventTime(2), "1"), ("a", EventTime(3), "many")]);
/// assert_eq!(harness.outputs(), [10, 15, 1]);
/// assert_eq!(harness.rejected()[0].reason, "invalid digit found in string");
/// assert_eq!(harness.value(|count| &count.count, "a"), Some(15));
/// ```
pub struct Harness<O: Operator> {
    operator: O,
    config: String,
    reuse: bool,
    description: Description,
    host: MemoryHost,
    calls: u64,
    /// Timers that are set, by key: time and slot.
    timers: BTreeMap<Vec<u8>, BTreeSet<(i64, u16)>>,
    window_ms: i64,
    /// Accumulators of open windows: end, start and key; two panes each.
    windows: BTreeMap<(i64, i64, Vec<u8>), Panes>,
    /// Records of open windows, for operators that see all of them.
    window_records: BTreeMap<(i64, i64, Vec<u8>), Vec<Incoming>>,
    /// Most records that a part of a window has.
    part_records: usize,
    late: Vec<Incoming>,
    emitted: Vec<EmittedRecord>,
    /// Emitted records whose decoded values were given out, which may borrow from them.
    given: Vec<EmittedRecord>,
    rejected: Vec<RejectedRecord>,
    /// Watermarks that the operator made, as the component of a source.
    watermarks: Vec<EventTime>,
}

impl<O: Operator> Harness<O> {
    /// An operator without config.
    #[expect(clippy::new_without_default, reason = "a harness is made in a test, never as a field")]
    pub fn new() -> Harness<O> {
        Harness::from_json(String::new()).unwrap_or_else(|error| panic!("open failed: {error}"))
    }

    /// An operator with a config, as the job file's table would give it.
    ///
    /// # Errors
    /// When the operator does not open with it.
    pub fn with_config(config: impl Serialize) -> Result<Harness<O>> {
        Harness::from_json(serde_json::to_string(&config).map_err(Error::fail)?)
    }

    fn from_json(config: String) -> Result<Harness<O>> {
        let description = describe::<O>();
        let rules = description.states.iter().enumerate().map(|(index, state)| Rules::of(index, state, O::migrate));
        let mut host = MemoryHost::new(rules.collect());
        Ok(Harness {
            operator: memory::with_host(&mut host, || create(&config))?,
            config,
            reuse: false,
            description,
            host,
            calls: 0,
            timers: BTreeMap::new(),
            window_ms: 1000,
            windows: BTreeMap::new(),
            window_records: BTreeMap::new(),
            part_records: usize::MAX,
            late: Vec::new(),
            emitted: Vec::new(),
            given: Vec::new(),
            rejected: Vec::new(),
            watermarks: Vec::new(),
        })
    }

    /// Gives all calls to one instance, as the host mostly does; without this each call gets a fresh one.
    pub fn reuse_instance(mut self) -> Harness<O> {
        self.reuse = true;
        self
    }

    /// The length of tumbling windows, for operators that have windows; one second if nothing is said.
    pub fn tumbling(mut self, length: Duration) -> Harness<O> {
        self.window_ms = i64::try_from(length.as_millis()).unwrap_or(i64::MAX).max(1);
        self
    }

    /// Hands windows over in parts of so many records, as the host does with those of several megabytes.
    pub fn parts_of(mut self, records: usize) -> Harness<O> {
        self.part_records = records.max(1);
        self
    }

    /// Sends a record.
    ///
    /// # Panics
    /// When the call fails as a whole; a rejected record is no failure.
    pub fn send(&mut self, key: impl AsRef<[u8]>, time: EventTime, value: <In<O> as Format>::Value<'_>)
    where
        In<O>: Encode,
    {
        self.send_all([(key, time, value)]);
    }

    /// Sends records in one batch.
    ///
    /// # Panics
    /// When the call fails as a whole; a rejected record is no failure.
    pub fn send_all<'v, K: AsRef<[u8]>>(
        &mut self,
        records: impl IntoIterator<Item = (K, EventTime, <In<O> as Format>::Value<'v>)>,
    ) where
        In<O>: Encode,
    {
        self.try_send_all(records).unwrap_or_else(|error| panic!("the call failed: {error}"));
    }

    /// Sends records in one batch, of which nothing counts when the call fails.
    ///
    /// # Errors
    /// That of the operator when the call failed as a whole.
    pub fn try_send_all<'v, K: AsRef<[u8]>>(
        &mut self,
        records: impl IntoIterator<Item = (K, EventTime, <In<O> as Format>::Value<'v>)>,
    ) -> Result<()>
    where
        In<O>: Encode,
    {
        let mut incoming = Vec::new();
        for (key, time, value) in records {
            let mut record = Incoming { key: key.as_ref().to_vec(), time: time.0, ..Incoming::default() };
            In::<O>::encode(&value, &mut record.value)?;
            incoming.push(record);
        }
        self.process(incoming)
    }

    /// Sends bytes as they are, right or wrong.
    ///
    /// # Panics
    /// When the call fails as a whole; a rejected record is no failure.
    pub fn send_bytes(&mut self, key: impl AsRef<[u8]>, time: EventTime, value: impl AsRef<[u8]>) {
        let (key, value) = (key.as_ref().to_vec(), value.as_ref().to_vec());
        self.process(vec![Incoming { key, time: time.0, value, ..Incoming::default() }])
            .unwrap_or_else(|error| panic!("the call failed: {error}"));
    }

    /// Sends a record with headers or a change by one of several inputs.
    ///
    /// # Panics
    /// When the call fails as a whole; a rejected record is no failure.
    pub fn send_record(&mut self, input: u8, record: Emit<'_, <In<O> as Format>::Value<'_>>)
    where
        In<O>: Encode,
    {
        let mut incoming = Incoming::new(&record.details, input);
        In::<O>::encode(&record.value, &mut incoming.value)
            .map_err(Error::from)
            .and_then(|()| self.process(vec![incoming]))
            .unwrap_or_else(|error| panic!("the call failed: {error}"));
    }

    fn process(&mut self, records: Vec<Incoming>) -> Result<()> {
        let kind = O::World::KIND;
        let mut groups: Vec<IncomingGroup> = Vec::new();
        for record in records {
            let has_windows = matches!(kind, Kind::Aggregate | Kind::ProcessWindow);
            let window = has_windows.then(|| self.window_of(record.time));
            if window.is_some_and(|window| window.end.0 - 1 <= self.host.clocks.watermark) {
                self.late.push(record);
                continue;
            }
            if let (Kind::ProcessWindow, Some(Window { start, end })) = (kind, window) {
                self.window_records.entry((end.0, start.0, record.key.clone())).or_default().push(record);
                continue;
            }
            let same = |group: &&mut IncomingGroup| group.key == record.key && group.window == window;
            match groups.iter_mut().find(same) {
                Some(group) if kind != Kind::Stateless => group.records.push(record),
                _ => {
                    let (key, cells) = (record.key.clone(), self.cells(&record.key, window));
                    groups.push(IncomingGroup { key, window, part: Part::WHOLE, cells, records: vec![record] });
                }
            }
        }
        self.call(&groups, false)
    }

    fn window_of(&self, time: i64) -> Window {
        let start = time.div_euclid(self.window_ms) * self.window_ms;
        Window { start: EventTime(start), end: EventTime(start.saturating_add(self.window_ms)) }
    }

    /// Where the accumulator of a window goes in this call: calls take turns, so that windows are merged of two.
    fn pane(&self) -> usize {
        (self.calls % 2) as usize
    }

    /// What rides in the batch for a group.
    fn cells(&mut self, key: &[u8], window: Option<Window>) -> Vec<Option<Vec<u8>>> {
        match window {
            Some(Window { start, end }) => {
                let panes = self.windows.get(&(end.0, start.0, key.to_vec()));
                let accumulator = panes.and_then(|panes| panes[self.pane()].as_ref());
                vec![accumulator.and_then(|stored| self.host.live(0, stored)).map(Cow::into_owned)]
            }
            None => (0..O::RIDING).map(|state| self.host.value(&(state, key.to_vec()))).collect(),
        }
    }

    /// Makes a call. `due`: with timers or windows that are due, otherwise with new records.
    fn call(&mut self, groups: &[IncomingGroup], due: bool) -> Result<()> {
        if groups.is_empty() {
            return Ok(());
        }
        let call = Call { now: self.host.clocks.now, watermark: self.host.clocks.watermark, seed: self.calls };
        let frame = frames::write(groups, O::World::KIND != Kind::Stateless);
        self.host.groups = groups.iter().map(|group| group.key.clone()).collect();
        let (operator, config, reuse) = (&mut self.operator, &self.config, self.reuse);
        let result = memory::with_host(&mut self.host, || {
            if !reuse {
                *operator = create(config)?;
            }
            match due && O::World::KIND != Kind::ProcessWindow {
                false => O::World::records(operator, call, frame),
                true => O::World::due(operator, call, frame),
            }
        });
        self.host.end_call(result.is_ok());
        self.apply(&result?, groups, due);
        self.calls += 1;
        Ok(())
    }

    /// Makes what a call did count.
    fn apply(&mut self, frame: &[u8], groups: &[IncomingGroup], due: bool) {
        let frame = Columns::read(frame).expect("the SDK writes whole frames");
        self.emitted.extend(frames::emitted(&frame, groups, due));
        self.rejected.extend(frames::rejected(&frame, groups));
        self.watermarks.extend(frames::marks(&frame));
        for write in frames::writes(&frame) {
            self.apply_write(&write, groups);
        }
        for timer in frames::timers(&frame) {
            self.apply_timer(&timer, &groups[timer.group].key);
        }
        for (group, accumulator) in groups.iter().zip(frames::accumulators(&frame)) {
            let Window { start, end } = group.window.expect("a group with an accumulator has a window");
            let pane = self.pane();
            let accumulator = accumulator.map(|bytes| self.host.store(0, &bytes));
            self.windows.entry((end.0, start.0, group.key.clone())).or_default()[pane] = accumulator;
        }
    }

    fn apply_write(&mut self, write: &frames::CellWrite, groups: &[IncomingGroup]) {
        let states = if write.op & 8 == 0 { O::RIDING } else { O::STATES } as usize;
        let (group, state) = (write.cell / states, write.cell % states);
        let place = (state as u32, groups[group].key.clone());
        let bytes = self.host.store(place.0, &write.bytes);
        match (write.op & 7, self.description.states[state].kind) {
            (0, StateKind::Value) => _ = self.host.values.insert(place, bytes),
            (1, StateKind::Value) => _ = self.host.values.remove(&place),
            (1, StateKind::List) => _ = self.host.lists.remove(&place),
            (2, StateKind::List) => self.host.lists.entry(place).or_default().push(bytes),
            (op, kind) => unreachable!("the SDK does not write op {op} to a state of kind {kind:?}"),
        }
    }
}

fn create<O: Operator>(config: &str) -> Result<O> {
    let mut operator = O::create(config)?;
    O::World::opened(&mut operator)?;
    Ok(operator)
}
