//! Every kind of windows, against a plain model of Flink's `WindowOperator`: random records, late and out of order,
//! whatever the lateness, the trigger and what is kept of a window that has fired. Components of both worlds that have
//! windows add up, and have to come to the same.

use crate::common::{Parts, Running, TIMEOUT, TestJob, durability, sorted, wait_until};
use proptest::collection::vec;
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_assert_eq, prop_oneof, proptest};
use proptest::sample::select;
use std::collections::BTreeMap;
use std::sync::Arc;
use tempfile::TempDir;
use tidewheel_checkpoint::Store;
use tidewheel_checkpoint::savepoint::Savepoint;
use tidewheel_connectors::memory::{MemoryRecord, MemorySink, MemorySource};
use tidewheel_engine::{After, Clock, JobOptions, ManualClock, StartFrom};
use tidewheel_state::{BackendKind, SharedMemory};

/// Windows of a job.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Tumbling {
        size: i64,
        offset: i64,
    },
    Sliding {
        size: i64,
        slide: i64,
        offset: i64,
    },
    Session {
        gap: i64,
    },
    /// The gap is in the record.
    OwnGap,
    Global,
    Count {
        size: u64,
        slide: u64,
    },
}

/// What makes windows fire besides their end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trigger {
    AtEnd,
    /// So many records, and not their end.
    Count(u64),
    /// Every multiple of so many milliseconds.
    Every(i64),
}

#[derive(Clone, Copy, Debug)]
struct Windows {
    kind: Kind,
    lateness: i64,
    trigger: Trigger,
    discards: bool,
    /// Whether they are in processing time.
    by_the_clock: bool,
}

impl Windows {
    /// As the job file has it.
    fn text(&self) -> String {
        let kind = match self.kind {
            Kind::Tumbling { size, offset } => format!("tumbling = '{size}ms', offset = '{offset}ms'"),
            Kind::Sliding { size, slide, offset } => {
                format!("sliding = '{size}ms', slide = '{slide}ms', offset = '{offset}ms'")
            }
            Kind::Session { gap } => format!("session = '{gap}ms'"),
            Kind::OwnGap => "session = { bytes = '8..16' }".to_owned(),
            Kind::Global => "global = true".to_owned(),
            Kind::Count { size, slide } => format!("count = {size}, slide = {slide}"),
        };
        let lateness = (self.lateness > 0).then(|| format!(", allowed-lateness = '{}ms'", self.lateness));
        let trigger = match self.trigger {
            Trigger::AtEnd => String::new(),
            Trigger::Count(count) => format!(", trigger = {{ count = {count} }}"),
            Trigger::Every(every) => format!(", trigger = {{ every = '{every}ms' }}"),
        };
        let panes = self.discards.then_some(", panes = 'discarding'");
        let clock = self.by_the_clock.then_some(", clock = 'processing'");
        let [lateness, panes, clock] = [lateness.as_deref(), panes, clock].map(Option::unwrap_or_default);
        format!("window = {{ {kind}{lateness}{trigger}{panes}{clock} }}")
    }
}

/// A record: its key, its time, its number, and the gap of its session.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Input {
    pub(crate) key: u8,
    pub(crate) time: i64,
    pub(crate) number: u64,
    pub(crate) gap: i64,
}

impl Input {
    /// The key is the number's lowest byte.
    fn value(&self) -> u64 {
        self.number << 8 | u64::from(self.key)
    }

    pub(crate) fn record(&self) -> MemoryRecord {
        let value = [self.value().to_le_bytes(), self.gap.to_le_bytes()].concat();
        MemoryRecord::new(self.time, "", value)
    }
}

/// What is kept of a window.
#[derive(Clone, Copy, Debug, Default)]
struct Held {
    /// None when it was purged.
    sum: Option<u64>,
    count: u64,
    /// When it fires before its end.
    next: Option<i64>,
}

/// Flink's `WindowOperator`, record by record and window by window.
struct Model {
    windows: Windows,
    watermark: i64,
    held: BTreeMap<(u8, i64, i64), Held>,
    /// Of windows that count: all records of a key.
    all: BTreeMap<u8, Vec<u64>>,
    results: Vec<Parts>,
    late: Vec<Parts>,
}

impl Model {
    fn new(windows: Windows) -> Self {
        let (held, all) = (BTreeMap::new(), BTreeMap::new());
        Model { windows, watermark: i64::MIN, held, all, results: Vec::new(), late: Vec::new() }
    }

    fn cleanup(&self, end: i64) -> i64 {
        if end == i64::MAX { i64::MAX } else { end - 1 + self.windows.lateness }
    }

    /// The windows of a record, as Flink's assigners give them.
    fn assign(&self, input: &Input) -> Vec<(i64, i64)> {
        let start = |time: i64, slide: i64, offset: i64| time - (time - offset).rem_euclid(slide);
        match self.windows.kind {
            Kind::Tumbling { size, offset } => {
                let start = start(input.time, size, offset);
                vec![(start, start + size)]
            }
            Kind::Sliding { size, slide, offset } => {
                let last = start(input.time, slide, offset);
                let starts = (0..).map(|back| last - back * slide).take_while(|start| *start > input.time - size);
                starts.map(|start| (start, start + size)).collect()
            }
            Kind::Session { gap } => vec![(input.time, input.time + gap)],
            Kind::OwnGap => vec![(input.time, input.time + input.gap)],
            Kind::Global => vec![(i64::MIN, i64::MAX)],
            Kind::Count { .. } => Vec::new(),
        }
    }

    fn record(&mut self, input: &Input) {
        if let Kind::Count { size, slide } = self.windows.kind {
            let all = self.all.entry(input.key).or_default();
            all.push(input.value());
            if (all.len() as u64).is_multiple_of(slide) {
                let sum = all.iter().rev().take(size as usize).sum();
                self.emit(input.key, i64::MAX, sum);
            }
            return;
        }
        let mut is_skipped = true;
        for (start, end) in self.assign(input) {
            let Some((start, end)) = self.merged(input.key, start, end) else { continue };
            is_skipped = false;
            let held = self.held.entry((input.key, start, end)).or_default();
            held.sum = Some(held.sum.unwrap_or(0) + input.value());
            held.count += 1;
            let fires = match self.windows.trigger {
                Trigger::Count(count) => held.count >= count,
                Trigger::AtEnd | Trigger::Every(_) => end - 1 <= self.watermark,
            };
            if fires {
                held.count = 0;
                self.fire(input.key, start, end);
            } else if let Trigger::Every(every) = self.windows.trigger {
                let next = (input.time - input.time % every + every).min(last_time(end));
                held.next.get_or_insert(next);
            }
        }
        if is_skipped && input.time + self.windows.lateness <= self.watermark {
            let value = [input.value().to_le_bytes(), input.gap.to_le_bytes()].concat();
            self.late.push((input.time, vec![input.key], value));
        }
    }

    /// The window that a record's window becomes when it has been merged; none if it has been forgotten.
    fn merged(&mut self, key: u8, mut start: i64, mut end: i64) -> Option<(i64, i64)> {
        if matches!(self.windows.kind, Kind::Session { .. } | Kind::OwnGap) {
            let touches = |&&(of, from, to): &&(u8, i64, i64)| of == key && from <= end && to >= start;
            let merged: Vec<_> = self.held.keys().filter(touches).copied().collect();
            let mut all = Held::default();
            for window in merged.iter() {
                let held = self.held.remove(window).expect("it was found");
                all.count += held.count;
                all.next = all.next.into_iter().chain(held.next).min();
                all.sum = all.sum.into_iter().chain(held.sum).reduce(|one, other| one + other);
                (start, end) = (start.min(window.1), end.max(window.2));
            }
            if self.cleanup(end) <= self.watermark {
                return None;
            }
            self.held.insert((key, start, end), all);
        }
        (self.cleanup(end) > self.watermark).then_some((start, end))
    }

    fn fire(&mut self, key: u8, start: i64, end: i64) {
        let held = self.held.get_mut(&(key, start, end)).expect("the window is there");
        let sum = if self.windows.discards { held.sum.take() } else { held.sum };
        if let Some(sum) = sum {
            self.emit(key, last_time(end), sum);
        }
    }

    fn emit(&mut self, key: u8, time: i64, sum: u64) {
        self.results.push((time, vec![key], sum.to_le_bytes().to_vec()));
    }

    fn advance(&mut self, watermark: i64) {
        let watermark = watermark.max(self.watermark);
        for (key, start, end) in self.held.keys().copied().collect::<Vec<_>>() {
            self.fire_in_between(key, (start, end), watermark);
            let ends = (self.watermark + 1..=watermark).contains(&(end - 1)) && end != i64::MAX;
            if ends && !matches!(self.windows.trigger, Trigger::Count(_)) {
                self.fire(key, start, end);
            }
            if end != i64::MAX && self.cleanup(end) <= watermark {
                self.held.remove(&(key, start, end));
            }
        }
        self.watermark = watermark;
    }

    /// As the timers of `ContinuousEventTimeTrigger` do, one after the other, but not for ever at the end of the input.
    fn fire_in_between(&mut self, key: u8, (start, end): (i64, i64), watermark: i64) {
        let Trigger::Every(every) = self.windows.trigger else { return };
        loop {
            let held = self.held.get_mut(&(key, start, end)).expect("the window is there");
            let Some(next) = held.next.filter(|&next| next <= watermark) else { return };
            let is_end = next == last_time(end);
            let is_last = is_end || end == i64::MAX && watermark == i64::MAX;
            held.next = (!is_last).then(|| (next + every).min(last_time(end)));
            if !is_end {
                self.fire(key, start, end);
            }
        }
    }
}

/// The last time of a window that ends at `end`.
fn last_time(end: i64) -> i64 {
    if end == i64::MAX { end } else { end - 1 }
}

fn kinds() -> impl Strategy<Value = Kind> {
    prop_oneof![
        1 => (1i64..40, 0i64..40).prop_map(|(size, offset)| Kind::Tumbling { size, offset: offset % size }),
        3 => (1i64..40, 1i64..20, 0i64..20).prop_map(|(size, slide, offset)| Kind::Sliding {
            size,
            slide,
            offset: offset % slide
        }),
        1 => (1i64..20).prop_map(|gap| Kind::Session { gap }),
        1 => Just(Kind::OwnGap),
        1 => Just(Kind::Global),
        1 => (1u64..6, 1u64..6).prop_map(|(size, slide)| Kind::Count { size, slide: slide.min(size) }),
    ]
}

fn windows() -> impl Strategy<Value = Windows> {
    let triggers = prop_oneof![
        2 => Just(Trigger::AtEnd),
        1 => (1u64..5).prop_map(Trigger::Count),
        1 => (1i64..30).prop_map(Trigger::Every),
    ];
    let settings = (kinds(), prop_oneof![Just(0), 1i64..50], triggers);
    (settings, any::<bool>()).prop_map(|((kind, lateness, trigger), discards)| {
        let all = Windows { kind, lateness, trigger, discards, by_the_clock: false };
        match kind {
            Kind::Global if trigger == Trigger::AtEnd => Windows { lateness: 0, trigger: Trigger::Count(3), ..all },
            Kind::Global => Windows { lateness: 0, ..all },
            Kind::Count { .. } => Windows { lateness: 0, trigger: Trigger::AtEnd, discards: false, ..all },
            _ => all,
        }
    })
}

/// Records as they are read, some at a time. Each read moves the watermark, so that it is an epoch of its own.
fn reads() -> impl Strategy<Value = Vec<Vec<Input>>> {
    let input = (0u8..3, -30i64..200, 0u64..1_000, 1i64..25);
    let input = input.prop_map(|(key, time, number, gap)| Input { key, time, number, gap });
    vec(vec(input, 1..12), 1..8).prop_map(|mut reads: Vec<Vec<Input>>| {
        let mut largest = i64::MIN;
        for read in &mut reads {
            let of_read = read.iter().map(|input| input.time).max();
            if of_read <= Some(largest) {
                read.push(Input { key: 3, time: largest + 1, number: 1, gap: 1 });
            }
            largest = largest.max(read.iter().map(|input| input.time).max().unwrap_or(largest));
        }
        reads
    })
}

/// Components that add the numbers of a window up: record by record, and all of them when it fires.
pub(crate) const COMPONENTS: [&str; 2] = ["sum", "window-sum"];

/// A job with some windows, and what it has given so far.
struct WindowJob {
    text: String,
    numbers: MemorySource,
    folder: TempDir,
    out_of_orderness: i64,
    watermark: i64,
    results: Vec<MemoryRecord>,
    late: Vec<MemoryRecord>,
    backend: BackendKind,
}

impl WindowJob {
    fn new(component: &str, windows: Windows, out_of_orderness: i64) -> Self {
        let text = format!(
            "[sources.numbers]\nconnector = 'numbers'\nwatermark = {{ out-of-orderness = '{out_of_orderness}ms' }}\n\
             [operators.sums]\ncomponent = '{component}.wasm'\ninput = 'numbers'\nkey = {{ bytes = '0..1' }}\n{}\n\
             [sinks.out]\nconnector = 'out'\ninput = 'sums'\n[sinks.late]\nconnector = 'late'\ninput = 'sums.late'\n",
            windows.text()
        );
        WindowJob {
            text,
            numbers: MemorySource::new(1),
            folder: tempfile::tempdir().expect("a folder"),
            out_of_orderness,
            watermark: i64::MIN,
            results: Vec::new(),
            late: Vec::new(),
            backend: BackendKind::Memory,
        }
    }

    /// Starts it; what comes out is in the sink.
    fn start(&self, options: JobOptions) -> (Running, MemorySink) {
        let (job, out) = TestJob::new(&self.text).source("numbers", &self.numbers).sink("out");
        let (job, _late) = job.sink("late");
        (job.start_with(options), out)
    }

    /// Runs it over some reads, each in an epoch of its own, to the end of the input or to a savepoint.
    fn run(&mut self, reads: &[Vec<Input>], workers: usize, (origin, stop): (Option<StartFrom>, bool)) -> StartFrom {
        let (job, out) = TestJob::new(&self.text).source("numbers", &self.numbers).sink("out");
        let (job, late) = job.sink("late");
        let folder = self.folder.path();
        let durability = origin.map(|origin| durability(folder, origin));
        let state = (self.backend.clone(), folder.join(if stop { "state" } else { "state-at-last" }));
        let job = job.start_with(JobOptions { state, durability, ..JobOptions::workers(workers) });
        let mut records = 0;
        for read in reads {
            self.numbers.split(0).push(read.iter().map(Input::record).collect::<Vec<_>>());
            records += read.len() as u64;
            self.watermark = self.watermark.max(largest(read) - self.out_of_orderness - 1);
            wait_until("the records of a read have taken effect", || {
                let counters = job.counters();
                let sums = counters.nodes.iter().rfind(|node| node.name == "sums").expect("it is there");
                sums.records_in >= records && sums.watermark.0 == self.watermark
            });
        }
        let url = folder.join("savepoint").to_string_lossy().into_owned();
        if stop {
            let done = job.control().snapshot(Some(url.clone()), After::Stop { drain: false });
            done.recv_timeout(TIMEOUT).expect("an answer").expect("a savepoint");
        } else {
            self.numbers.split(0).end();
        }
        job.wait();
        self.results.extend(out.committed());
        self.late.extend(late.committed());
        if !stop {
            return StartFrom::Nothing;
        }
        let savepoint =
            Savepoint::open(&Store::open(&url, folder).expect("a store")).expect("the savepoint is complete");
        StartFrom::Savepoint(Arc::new(savepoint))
    }
}

fn largest(read: &[Input]) -> i64 {
    read.iter().map(|input| input.time).max().expect("no read is empty")
}

/// What the model says of all reads: results and late records.
fn expected(windows: Windows, reads: &[Vec<Input>], out_of_orderness: i64) -> (Vec<Parts>, Vec<Parts>) {
    let mut model = Model::new(windows);
    for read in reads {
        read.iter().for_each(|input| model.record(input));
        model.advance(largest(read) - out_of_orderness - 1);
    }
    model.advance(i64::MAX);
    model.results.sort();
    model.late.sort();
    (model.results, model.late)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn windows_are_those_of_the_model(
        component in select(&COMPONENTS[..]), windows in windows(), reads in reads(), workers in 1usize..3,
        out_of_orderness in 0i64..30,
    ) {
        let mut job = WindowJob::new(component, windows, out_of_orderness);
        job.run(&reads, workers, (None, false));
        let (results, late) = expected(windows, &reads, out_of_orderness);
        prop_assert_eq!(sorted(job.results), results);
        prop_assert_eq!(sorted(job.late), late);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 30, ..ProptestConfig::default() })]

    /// With a savepoint somewhere, and another number of workers and another backend after it.
    #[test]
    fn windows_survive_a_savepoint(
        component in select(&COMPONENTS[..]), windows in windows(), reads in reads(), at in 0usize..8,
        workers in 1usize..3, out_of_orderness in 0i64..30, rocksdb_first: bool,
    ) {
        let mut job = WindowJob::new(component, windows, out_of_orderness);
        let rocksdb = BackendKind::RocksDb(Arc::new(SharedMemory::new(64 << 20)));
        let [first, second] = if rocksdb_first { [rocksdb, BackendKind::Memory] } else { [BackendKind::Memory, rocksdb] };
        job.backend = first;
        let (before, after) = reads.split_at(at % reads.len());
        let savepoint = job.run(before, workers, (Some(StartFrom::Nothing), true));
        job.backend = second;
        job.run(after, 3 - workers, (Some(savepoint), false));
        let (results, late) = expected(windows, &reads, out_of_orderness);
        prop_assert_eq!(sorted(job.results), results);
        prop_assert_eq!(sorted(job.late), late);
    }
}

/// The timers of before the savepoint would forget a window sooner.
#[test]
fn windows_are_kept_for_longer_than_before() {
    for (component, kind) in COMPONENTS.into_iter().flat_map(|of| {
        [Kind::Tumbling { size: 10, offset: 0 }, Kind::Sliding { size: 10, slide: 5, offset: 0 }].map(|kind| (of, kind))
    }) {
        let windows =
            |lateness| Windows { kind, lateness, trigger: Trigger::AtEnd, discards: false, by_the_clock: false };
        let input = |time, number| Input { key: 0, time, number, gap: 1 };
        let reads = [vec![input(6, 1), input(12, 2)], vec![input(30, 4)], vec![input(7, 8), input(31, 16)]];
        let mut job = WindowJob::new(component, windows(5), 0);
        let savepoint = job.run(&reads[..1], 1, (Some(StartFrom::Nothing), true));
        job.text = WindowJob::new(component, windows(50), 0).text;
        job.run(&reads[1..], 2, (Some(savepoint), false));
        // No record is later than the first lateness before the savepoint.
        let (results, late) = expected(windows(50), &reads, 0);
        assert_eq!((sorted(job.results), sorted(job.late)), (results, late), "{component}: {kind:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    /// A record's time is when it is processed, and nothing fires at the end of the input.
    #[test]
    fn windows_by_the_clock_are_those_of_the_model(
        component in select(&COMPONENTS[..]), windows in windows(), reads in reads(), waits in vec(0i64..40, 8),
        workers in 1usize..3,
    ) {
        let windows = Windows { lateness: 0, by_the_clock: true, ..windows };
        let clock = ManualClock::at(1_000);
        let (mut job, mut model) = (WindowJob::new(component, windows, 0), Model::new(windows));
        let options = JobOptions { clock: Clock::Manual(clock.clone()), ..JobOptions::workers(workers) };
        let numbers = job.numbers.clone();
        let (running, out) = job.start(options);
        let (mut now, mut records) = (1_000, 0);
        for (read, wait) in reads.iter().zip(waits) {
            now += wait;
            clock.set(now);
            model.advance(now - 1);
            read.iter().for_each(|input| model.record(&Input { time: now, ..*input }));
            numbers.split(0).push(read.iter().map(Input::record).collect::<Vec<_>>());
            records += read.len() as u64;
            wait_until("the records of a read are processed", || records_in(&running) >= records);
        }
        clock.set(now + 10_000);
        model.advance(now + 9_999);
        model.results.sort();
        wait_until("what is due has fired", || out.taken().len() >= model.results.len());
        numbers.split(0).end();
        running.wait();
        job.results.extend(out.committed());
        prop_assert_eq!(sorted(job.results), model.results);
    }
}

pub(crate) fn records_in(job: &Running) -> u64 {
    job.counters().nodes.iter().rfind(|node| node.name == "sums").expect("it is there").records_in
}

/// A record that is rejected has not come: it makes no session longer, counts for nothing, and is set aside once, however its
/// piece is cut.
#[test]
fn a_rejected_record_has_not_come() {
    for (window, expected) in [
        ("session = '1s'", ["300 2200 1001", "3000 4200 1000"]),
        ("count = 1000", ["null null 1000", "null null 1000"]),
    ] {
        let text = format!(
            "[sources.in]\nconnector = 'in'\nkey = {{ json = '/key' }}\n\
             [operators.sums]\ninput = 'in'\naggregate = {{ bids = 'count', total = {{ sum = '/price' }} }}\n\
             on-error = 'dead-letter'\nwindow = {{ {window} }}\n\
             [sinks.out]\nconnector = 'out'\ninput = 'sums'\n[sinks.bad]\nconnector = 'bad'\ninput = 'sums.dead-letter'\n"
        );
        let record = |time: i64, price: &str| MemoryRecord::new(time, "", format!("{{\"key\":1,\"price\":{price}}}"));
        let mut records = vec![record(300, "1")];
        records.extend((0..1_000).map(|_| record(1_200, "1")));
        // The one between the sessions would make them one.
        records.push(record(2_100, "\"dear\""));
        records.extend((0..1_000).map(|number| record(3_000 + number % 200 + 1, "1")));
        records[1_002] = record(3_000, "1");
        let (job, out) = TestJob::new(&text).source("in", &MemorySource::of([records])).sink("out");
        let (job, bad) = job.sink("bad");
        job.run(1);
        let found: Vec<String> = out.committed().iter().map(|record| result(record.text())).collect();
        assert_eq!(found, expected, "{window}");
        assert_eq!(bad.committed().len(), 1, "{window}");
    }
}

/// Window and count of a result.
fn result(text: &str) -> String {
    let result: serde_json::Value = serde_json::from_str(text).expect("JSON");
    ["window_start", "window_end", "bids"].map(|field| result[field].to_string()).join(" ")
}
