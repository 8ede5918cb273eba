//! Joins against plain models: nested loops over what has come.

use crate::common::{Running, TIMEOUT, TestJob, durability, wait_until};
use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, Strategy, any, prop_assert_eq, prop_oneof, proptest};
use std::sync::Arc;
use tempfile::TempDir;
use tidewheel_checkpoint::Store;
use tidewheel_checkpoint::savepoint::Savepoint;
use tidewheel_connectors::memory::{MemoryRecord, MemorySource};
use tidewheel_engine::{After, JobOptions, StartFrom};
use tidewheel_state::{BackendKind, SharedMemory};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Interval(i64, i64),
    Window { size: i64, slide: i64 },
    Session { gap: i64 },
    Temporal,
}

/// A join of a job.
#[derive(Clone, Copy, Debug)]
struct Join {
    kind: Kind,
    /// Whether records of the left and the right side pass without a pair.
    outer: [bool; 2],
}

impl Join {
    fn text(&self) -> String {
        let kind = match self.kind {
            Kind::Interval(lower, upper) => format!("interval = ['{lower}ms', '{upper}ms']"),
            Kind::Window { size, slide } => format!("window = {{ sliding = '{size}ms', slide = '{slide}ms' }}"),
            Kind::Session { gap } => format!("window = {{ session = '{gap}ms' }}"),
            Kind::Temporal => "temporal = true".to_owned(),
        };
        let outer = match self.outer {
            [false, false] => "inner",
            [true, false] => "left",
            [false, true] => "right",
            [true, true] => "full",
        };
        format!("join = {{ {kind}, type = '{outer}' }}")
    }
}

/// A record of either side.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Input {
    is_left: bool,
    key: u8,
    time: i64,
    number: u32,
}

impl Input {
    fn value(&self) -> String {
        format!("{{\"key\":{},\"number\":{}}}", self.key, self.number)
    }
}

/// What waits of a record.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    input: Input,
    is_matched: bool,
}

/// The join, record by record, as a nested loop.
struct Model {
    join: Join,
    watermark: i64,
    waiting: Vec<Waiting>,
    /// Time and text of pairs.
    results: Vec<(i64, String)>,
    late: Vec<String>,
}

impl Model {
    fn new(join: Join) -> Self {
        Model { join, watermark: i64::MIN, waiting: Vec::new(), results: Vec::new(), late: Vec::new() }
    }

    fn record(&mut self, input: Input) {
        let is_late = match self.join.kind {
            Kind::Interval(..) => input.time < self.watermark,
            Kind::Window { size, slide } => {
                let last = input.time - input.time.rem_euclid(slide);
                if last + size <= input.time {
                    // It is in no window.
                    return;
                }
                last + size - 1 <= self.watermark
            }
            Kind::Session { gap } => self.session_of(input, gap).1 - 1 <= self.watermark,
            Kind::Temporal => input.is_left && input.time <= self.watermark,
        };
        if is_late {
            return self.late.push(input.value());
        }
        let mut is_matched = false;
        if let Kind::Interval(lower, upper) = self.join.kind {
            for other in &mut self.waiting {
                let (left, right) = if input.is_left { (input, other.input) } else { (other.input, input) };
                let is_pair = left.is_left && !right.is_left && left.key == right.key;
                if is_pair && (left.time + lower..=left.time + upper).contains(&right.time) {
                    (other.is_matched, is_matched) = (true, true);
                    self.results.push((left.time.max(right.time), pair(Some(left), Some(right))));
                }
            }
        }
        self.waiting.push(Waiting { input, is_matched });
    }

    /// Start and end of the session of a record: what it merges of those that wait, as Flink's `MergingWindowSet`.
    fn session_of(&self, input: Input, gap: i64) -> (i64, i64) {
        let (mut start, mut end) = (input.time, input.time + gap);
        loop {
            let others = self.waiting.iter().map(|waiting| waiting.input).filter(|other| other.key == input.key);
            let touching = others.filter(|other| other.time <= end && other.time + gap >= start);
            let merged =
                touching.fold((start, end), |(start, end), other| (start.min(other.time), end.max(other.time + gap)));
            if merged == (start, end) {
                return merged;
            }
            (start, end) = merged;
        }
    }

    /// Every session that has ended.
    fn end_sessions(&mut self, gap: i64) {
        while let Some((key, start, end)) = self.waiting.iter().find_map(|&Waiting { input, .. }| {
            let (start, end) = self.session_of(input, gap);
            (end - 1 <= self.watermark).then_some((input.key, start, end))
        }) {
            self.pair_all(key, start, end - 1);
            self.waiting.retain(|&Waiting { input, .. }| input.key != key || !(start..end).contains(&input.time));
        }
    }

    fn advance(&mut self, watermark: i64) {
        let before = self.watermark;
        self.watermark = self.watermark.max(watermark);
        match self.join.kind {
            Kind::Interval(lower, upper) => self.forget(lower, upper),
            Kind::Window { size, slide } => self.fire(size, slide, before),
            Kind::Session { gap } => self.end_sessions(gap),
            Kind::Temporal => self.look_up(),
        }
    }

    /// Every window that has ended since, of every key, that has a record.
    fn fire(&mut self, size: i64, slide: i64, before: i64) {
        let windows = |input: &Input| {
            let last = input.time - input.time.rem_euclid(slide);
            let starts = (0..).map(move |back| last - back * slide);
            let (key, time) = (input.key, input.time);
            starts.take_while(move |start| start + size > time).map(move |start| (key, start))
        };
        let all: std::collections::BTreeSet<(u8, i64)> =
            self.waiting.iter().flat_map(|waiting| windows(&waiting.input)).collect();
        for (key, start) in all {
            let last = start + size - 1;
            if last <= before || last > self.watermark {
                continue;
            }
            self.pair_all(key, start, last);
        }
    }

    /// Pairs what is in a window of a key.
    fn pair_all(&mut self, key: u8, start: i64, last: i64) {
        let of = |is_left| {
            let inputs = self.waiting.iter().map(|waiting| waiting.input);
            let in_window = |input: &Input| input.key == key && (start..=last).contains(&input.time);
            inputs.filter(|input| input.is_left == is_left).filter(in_window).collect::<Vec<_>>()
        };
        let (lefts, rights) = (of(true), of(false));
        for &left in &lefts {
            self.results.extend(rights.iter().map(|&right| (last, pair(Some(left), Some(right)))));
        }
        if rights.is_empty() && self.join.outer[0] {
            self.results.extend(lefts.iter().map(|&left| (last, alone(left))));
        }
        if lefts.is_empty() && self.join.outer[1] {
            self.results.extend(rights.iter().map(|&right| (last, alone(right))));
        }
    }

    fn forget(&mut self, lower: i64, upper: i64) {
        let waits = |input: &Input| if input.is_left { upper.max(0) } else { (-lower).max(0) };
        let is_over = |waiting: &Waiting| waiting.input.time + waits(&waiting.input) <= self.watermark;
        let (over, waiting): (Vec<Waiting>, _) = self.waiting.iter().copied().partition(is_over);
        self.waiting = waiting;
        for Waiting { input, is_matched } in over {
            if !is_matched && self.join.outer[usize::from(!input.is_left)] {
                self.results.push((input.time, alone(input)));
            }
        }
    }

    fn look_up(&mut self) {
        let is_due = |waiting: &Waiting| waiting.input.is_left && waiting.input.time <= self.watermark;
        let (due, waiting): (Vec<Waiting>, _) = self.waiting.iter().copied().partition(is_due);
        self.waiting = waiting;
        for Waiting { input: left, .. } in due {
            let versions = self.waiting.iter().map(|waiting| waiting.input);
            let versions = versions.filter(|right| !right.is_left && right.key == left.key && right.time <= left.time);
            // Of several with one time the last to come.
            match versions.max_by_key(|right| right.time) {
                Some(right) => self.results.push((left.time, pair(Some(left), Some(right)))),
                None if self.join.outer[0] => self.results.push((left.time, alone(left))),
                None => {}
            }
        }
    }
}

fn pair(left: Option<Input>, right: Option<Input>) -> String {
    let side = |input: Option<Input>| input.map_or("null".to_owned(), |input| input.value());
    format!("{{\"left\":{},\"right\":{}}}", side(left), side(right))
}

fn alone(input: Input) -> String {
    if input.is_left { pair(Some(input), None) } else { pair(None, Some(input)) }
}

fn joins() -> impl Strategy<Value = Join> {
    let window = (1i64..40, 1i64..20, any::<[bool; 2]>());
    let interval = (-30i64..30, 0i64..40, any::<[bool; 2]>());
    prop_oneof![
        2 => interval.prop_map(|(lower, length, outer)| Join { kind: Kind::Interval(lower, lower + length), outer }),
        2 => window.prop_map(|(size, slide, outer)| Join { kind: Kind::Window { size, slide }, outer }),
        2 => (1i64..25, any::<[bool; 2]>()).prop_map(|(gap, outer)| Join { kind: Kind::Session { gap }, outer }),
        1 => any::<bool>().prop_map(|left| Join { kind: Kind::Temporal, outer: [left, false] }),
    ]
}

/// Records as they are read, some at a time of one side, each of which moves that side's watermark.
fn reads() -> impl Strategy<Value = Vec<Vec<Input>>> {
    let input = (0u8..2, 0i64..30, any::<u16>());
    vec((any::<bool>(), vec(input, 1..6)), 1..12).prop_map(|reads| {
        let mut largest = [0, 0];
        let reads = reads.into_iter().map(|(is_left, read)| {
            let base = &mut largest[usize::from(is_left)];
            let first = *base - 15;
            let inputs = read.into_iter().map(|(key, time, number)| Input {
                is_left,
                key,
                time: first + time,
                number: number.into(),
            });
            let mut inputs: Vec<Input> = inputs.collect();
            *base += 7;
            inputs.push(Input { is_left, key: 9, time: *base, number: 0 });
            *base = inputs.iter().map(|input| input.time).max().expect("there is one");
            inputs
        });
        reads.collect()
    })
}

/// A job with a join, and what it has given so far.
struct JoinJob {
    text: String,
    /// The left and the right input.
    inputs: [MemorySource; 2],
    largest: [Option<i64>; 2],
    folder: TempDir,
    results: Vec<(i64, String)>,
    late: Vec<String>,
}

impl JoinJob {
    fn new(join: Join) -> Self {
        let text = format!(
            "[sources.a]\nconnector = 'a'\n[sources.b]\nconnector = 'b'\n\
             [operators.pairs]\n{}\ninput = ['a', 'b']\nkey = {{ json = '/key' }}\n\
             [sinks.out]\nconnector = 'out'\ninput = 'pairs'\n[sinks.late]\nconnector = 'late'\ninput = 'pairs.late'\n",
            join.text()
        );
        JoinJob {
            text,
            inputs: [MemorySource::new(1), MemorySource::new(1)],
            largest: [None, None],
            folder: tempfile::tempdir().expect("a folder"),
            results: Vec::new(),
            late: Vec::new(),
        }
    }

    /// The watermark of both inputs.
    fn watermark(&self) -> i64 {
        let of = |largest: Option<i64>| largest.map_or(i64::MIN, |largest| largest - 1);
        of(self.largest[0]).min(of(self.largest[1]))
    }

    /// Takes in some reads, each in an epoch of its own, up to the end of the input or to a savepoint. `model` is told of
    /// the same.
    fn run(
        &mut self,
        reads: &[Vec<Input>],
        workers: usize,
        (origin, stop): (StartFrom, bool),
        model: &mut Model,
    ) -> StartFrom {
        let job = TestJob::new(&self.text).source("a", &self.inputs[0]).source("b", &self.inputs[1]);
        let (job, out) = job.sink("out");
        let (job, late) = job.sink("late");
        let folder = self.folder.path();
        // What goes on from a savepoint keeps its state elsewhere.
        let backend = match origin {
            StartFrom::Nothing => BackendKind::Memory,
            _ => BackendKind::RocksDb(Arc::new(SharedMemory::new(64 << 20))),
        };
        let state = (backend, folder.join("state"));
        let options =
            JobOptions { state, durability: Some(durability(folder, origin)), ..JobOptions::workers(workers) };
        let job = job.start_with(options);
        let mut records = 0;
        for read in reads {
            let side = usize::from(!read[0].is_left);
            let record = |input: &Input| MemoryRecord::new(input.time, "", input.value());
            self.inputs[side].split(0).push(read.iter().map(record).collect::<Vec<_>>());
            read.iter().for_each(|&input| model.record(input));
            records += read.len() as u64;
            let largest = read.iter().map(|input| input.time).max();
            self.largest[side] = self.largest[side].max(largest);
            let watermark = self.watermark();
            wait_until("a read has taken effect", || is_done(&job, records, watermark));
            model.advance(watermark);
        }
        let url = folder.join("savepoint").to_string_lossy().into_owned();
        if stop {
            let done = job.control().snapshot(Some(url.clone()), After::Stop { drain: false });
            done.recv_timeout(TIMEOUT).expect("an answer").expect("a savepoint");
        } else {
            self.inputs.iter().for_each(|input| input.split(0).end());
            model.advance(i64::MAX);
        }
        job.wait();
        self.results.extend(out.committed().iter().map(|record| (record.time, record.text().to_owned())));
        self.late.extend(late.committed().iter().map(|record| record.text().to_owned()));
        if !stop {
            return StartFrom::Nothing;
        }
        let savepoint =
            Savepoint::open(&Store::open(&url, folder).expect("a store")).expect("the savepoint is complete");
        StartFrom::Savepoint(Arc::new(savepoint))
    }

    fn check(mut self, mut model: Model) -> Result<(), proptest::test_runner::TestCaseError> {
        self.results.sort();
        self.late.sort();
        model.results.sort();
        model.late.sort();
        prop_assert_eq!(self.results, model.results);
        prop_assert_eq!(self.late, model.late);
        Ok(())
    }
}

/// Whether so many records have been joined, and the join has taken the watermark.
fn is_done(job: &Running, records: u64, watermark: i64) -> bool {
    let counters = job.counters();
    let pairs = counters.nodes.iter().rfind(|node| node.name == "pairs").expect("it is there");
    pairs.records_in >= records && pairs.watermark.0 == watermark
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, ..ProptestConfig::default() })]

    #[test]
    fn joins_are_those_of_the_model(join in joins(), reads in reads(), workers in 1usize..3) {
        let (mut job, mut model) = (JoinJob::new(join), Model::new(join));
        job.run(&reads, workers, (StartFrom::Nothing, false), &mut model);
        job.check(model)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20, ..ProptestConfig::default() })]

    #[test]
    fn joins_survive_a_savepoint(join in joins(), reads in reads(), at in 0usize..12, workers in 1usize..3) {
        let (mut job, mut model) = (JoinJob::new(join), Model::new(join));
        let (before, after) = reads.split_at(at % reads.len());
        let savepoint = job.run(before, workers, (StartFrom::Nothing, true), &mut model);
        job.run(after, 3 - workers, (savepoint, false), &mut model);
        job.check(model)?;
    }
}

/// What is before the join's operator in the tests below: two inputs of JSON with a key.
const INPUTS: &str = "
[sources.a]
connector = 'a'
key = { json = '/key' }
[sources.b]
connector = 'b'
key = { json = '/key' }
[sinks.out]
connector = 'out'
input = 'last'
[operators.pairs]
input = ['a', 'b']
";

/// Runs a job to its end; `a` and `b` are times and numbers of records with one key.
fn results(operators: &str, a: &[(i64, u32)], b: &[(i64, u32)]) -> Vec<(i64, String)> {
    let record = |&(time, number): &(i64, u32)| {
        let input = Input { is_left: true, key: 1, time, number };
        MemoryRecord::new(time, "", input.value())
    };
    let source = |records: &[(i64, u32)]| MemorySource::of([records.iter().map(record).collect()]);
    let job = TestJob::new(&format!("{INPUTS}{operators}")).source("a", &source(a)).source("b", &source(b));
    let (job, out) = job.sink("out");
    job.run(2);
    let mut results: Vec<_> = out.committed().iter().map(|record| (record.time, record.text().to_owned())).collect();
    results.sort();
    results
}

#[test]
fn a_component_gets_pairs() {
    let operators = "join = { interval = ['0ms', '5ms'], type = 'full' }\ncomponent = 'pair-text.wasm'\n\
                     [operators.last]\ncomponent = 'echo.wasm'\ninput = 'pairs'\n";
    let value = |number| Input { is_left: true, key: 1, time: 0, number }.value();
    assert_eq!(
        results(operators, &[(10, 1), (20, 2)], &[(15, 3), (30, 4)]),
        [(15, format!("{}+{}", value(1), value(3))), (20, format!("{}+-", value(2))), (30, format!("-+{}", value(4))),]
    );
}

/// The right side is read to its end first; then every left record finds it, on whichever worker, before and after a
/// savepoint.
#[test]
fn every_worker_holds_all_of_the_side_that_is_looked_up() {
    let text = "
[sources.a]
connector = 'a'
[sources.b]
connector = 'b'
[operators.pairs]
join = { lookup = true, type = 'left' }
input = ['a', 'b']
key = [{ json = '/key' }, { json = '/key' }]
component = 'pair-text.wasm'
[sinks.out]
connector = 'out'
input = 'pairs'
";
    let value = |key: u8, number| Input { is_left: true, key, time: 0, number }.value();
    let record = |key: u8, time, number| MemoryRecord::new(time, "", value(key, number));
    let (a, b) = (MemorySource::new(4), MemorySource::new(1));
    let folder = tempfile::tempdir().expect("a folder");
    let mut origin = StartFrom::Nothing;
    for (run, workers) in [2usize, 3, 1].into_iter().enumerate() {
        let (job, out) = TestJob::new(text).source("a", &a).source("b", &b).sink("out");
        let state = (BackendKind::Memory, folder.path().join(format!("state-{run}")));
        let durability = Some(durability(folder.path(), origin));
        let job = job.start_with(JobOptions { state, durability, ..JobOptions::workers(workers) });
        let joined = |records| {
            let is_joined = |job: &Running| {
                let counters = job.counters();
                counters.nodes.iter().find(|node| node.name == "pairs.join").expect("it is there").records_in >= records
            };
            wait_until("so many records are joined", || is_joined(&job));
        };
        if run == 0 {
            // Of key 2 the second one is older, and of key 1 the last one counts.
            b.split(0).push([record(1, 10, 1), record(2, 30, 2), record(2, 20, 3), record(1, 40, 4)]);
            joined(4 * workers as u64);
        }
        (0..4).for_each(|split| a.split(split).push([record(1, 0, 5), record(2, 0, 6), record(3, 0, 7)]));
        wait_until("all have been looked up", || out.taken().len() == 12);
        let url = folder.path().join(format!("savepoint-{run}")).to_string_lossy().into_owned();
        let done = job.control().snapshot(Some(url.clone()), After::Stop { drain: false });
        done.recv_timeout(TIMEOUT).expect("an answer").expect("a savepoint");
        job.wait();
        let mut found: Vec<String> = out.committed().iter().map(|record| record.text().to_owned()).collect();
        found.sort();
        found.dedup();
        let expected = [
            format!("{}+{}", value(1, 5), value(1, 4)),
            format!("{}+{}", value(2, 6), value(2, 2)),
            format!("{}+-", value(3, 7)),
        ];
        assert_eq!((out.committed().len(), found), (12, expected.to_vec()), "run {run}");
        let store = Store::open(&url, folder.path()).expect("a store");
        origin = StartFrom::Savepoint(Arc::new(Savepoint::open(&store).expect("the savepoint is complete")));
    }
}

/// A record says what has become of its row: where the right side has versions that is the end of one. Elsewhere a record is a
/// record, whatever it says, and a pair says nothing of it.
#[test]
fn what_a_change_is_in_a_join() {
    let value = |number: u32, change: &str| format!("{{\"key\":1,\"number\":{number},\"change\":\"{change}\"}}");
    let text = |join: &str| {
        format!(
            "[sources.a]\nconnector = 'a'\nkey = {{ json = '/key' }}\n[sources.b]\nconnector = 'b'\n\
             key = {{ json = '/key' }}\n[operators.rows]\ncomponent = 'mark-change.wasm'\ninput = 'b'\n\
             [operators.pairs]\njoin = {{ {join}, type = 'left' }}\ninput = ['a', 'rows']\n\
             component = 'pair-text.wasm'\n[sinks.out]\nconnector = 'out'\ninput = 'pairs'\n"
        )
    };
    let rows = [(10, "insert"), (20, "update-before"), (20, "update-after"), (30, "delete")];
    let found = |join: &str, lefts: &[i64]| {
        let row = |(number, &(time, change)): (u32, &(i64, &str))| MemoryRecord::new(time, "", value(number, change));
        let left = |&time: &i64| MemoryRecord::new(time, "", value(time as u32, ""));
        let a = MemorySource::of([lefts.iter().map(left).collect()]);
        let b = MemorySource::of([(0..).zip(&rows).map(row).collect()]);
        let (job, out) = TestJob::new(&text(join)).source("a", &a).source("b", &b).sink("out");
        job.run(2);
        let number = |side: &str| {
            let side: Option<serde_json::Value> = serde_json::from_str(side).ok();
            side.map_or("-".to_owned(), |side| side["number"].to_string())
        };
        let pair = |record: &MemoryRecord| {
            let (left, right) = record.text().split_once('+').expect("a pair");
            (number(left), number(right))
        };
        let mut found: Vec<String> =
            out.committed().iter().map(pair).map(|(left, right)| format!("{left} {right}")).collect();
        found.sort();
        found
    };
    assert_eq!(found("temporal = true", &[5, 15, 25, 35]), ["15 0", "25 2", "35 -", "5 -"]);
    let all = ["15 0", "15 1", "15 2", "15 3"];
    for join in ["interval = ['-1h', '1h']", "window = { tumbling = '1h' }", "window = { session = '1h' }"] {
        assert_eq!(found(join, &[15]), all, "{join}");
    }
}

/// A record that waits in vain passes late, with its own time: the window behind is not to have fired by then.
#[test]
fn what_waits_in_vain_is_not_late_behind_the_join() {
    let operators = "join = { interval = ['0ms', '1h'], type = 'left' }\nselect = { found = \"has(right.number)\" }\n\
                     [operators.last]\ninput = 'pairs'\naggregate = { pairs = 'count' }\nwindow = { tumbling = '1s' }\n\
                     key = { json = '/found' }\n";
    let window = |found: bool, start: i64, pairs: u32| {
        let end = start + 1_000;
        (end - 1, format!("{{\"key\":\"{found}\",\"window_start\":{start},\"window_end\":{end},\"pairs\":{pairs}}}"))
    };
    let orders = [(500, 1), (2_500, 2), (10_000_000, 3)];
    let payments = [(600, 1), (700, 2), (20_000_000, 3)];
    assert_eq!(
        results(operators, &orders, &payments),
        // The pairs of the first order have the times of the payments.
        [window(true, 0, 2), window(false, 2_000, 1), window(false, 10_000_000, 1)]
    );
}

/// More pairs of one key than are sent at once: none is lost or doubled where a record, or a window, is left off.
#[test]
fn many_pairs_of_one_key_come_once() {
    let records: Vec<(i64, u32)> = (0..300).map(|number| (i64::from(number), number)).collect();
    for join in [
        "interval = ['-1h', '1h']",
        "window = { tumbling = '1h' }",
        "window = { sliding = '2h', slide = '1h' }",
        "window = { session = '1ms' }",
    ] {
        let operators = format!("join = {{ {join} }}\n[operators.last]\ncomponent = 'echo.wasm'\ninput = 'pairs'\n");
        let mut found = results(&operators, &records, &records);
        let windows = if join.contains("sliding") { 2 } else { 1 };
        assert_eq!(found.len(), windows * 300 * 300, "{join}");
        found.dedup();
        assert_eq!(found.len(), windows * 300 * 300, "{join}");
    }
}

/// Windows of so many records give results at the end of time; what comes of them is not lost in a join.
#[test]
fn records_at_the_end_of_time_are_joined() {
    let value = |number| Input { is_left: true, key: 1, time: 0, number }.value();
    let alone = |number| (i64::MAX, format!("{{\"left\":{},\"right\":null}}", value(number)));
    for (join, last) in [("interval = ['0ms', '1h']", i64::MAX), ("window = { tumbling = '1h' }", i64::MAX - 1)] {
        let operators =
            format!("join = {{ {join}, type = 'left' }}\n[operators.last]\ncomponent = 'echo.wasm'\ninput = 'pairs'\n");
        let found = results(&operators, &[(i64::MAX, 1), (i64::MAX, 2)], &[(5, 3)]);
        let expected: Vec<_> = [alone(1), alone(2)].into_iter().map(|(_, text)| (last, text)).collect();
        assert_eq!(found, expected, "{join}");
    }
}
