//! Timers of processing time, on a clock that the tests set: nothing here waits for time to pass.

use crate::common::{Running, TIMEOUT, TestJob, durability, wait_until};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use tidewheel_checkpoint::savepoint::Savepoint;
use tidewheel_checkpoint::{Log, Store};
use tidewheel_connectors::memory::{MemoryConnector, MemoryRecord, MemorySink, MemorySource};
use tidewheel_engine::{After, Clock, Durability, JobOptions, ManualClock, StartFrom};
use tidewheel_state::{BackendKind, SharedMemory};

const JOB: &str = "
[sources.orders]
connector = 'orders'
[operators.timers]
component = 'timers.wasm'
input = 'orders'
key = { bytes = '0..1' }
[sinks.out]
connector = 'out'
input = 'timers'
";

/// A job with the fixture `timers`, its source, its clock, and what comes out.
struct Timers {
    source: MemorySource,
    clock: ManualClock,
    out: MemorySink,
    job: Running,
    /// Number of orders given.
    given: u64,
}

impl Timers {
    fn start(workers: usize) -> Timers {
        Timers::start_with(&MemorySource::new(1), 0, JobOptions::workers(workers))
    }

    /// The clock shows `now`.
    fn start_with(source: &MemorySource, now: i64, options: JobOptions) -> Timers {
        Timers::start_into(MemorySink::new(), source, now, options)
    }

    fn start_into(out: MemorySink, source: &MemorySource, now: i64, options: JobOptions) -> Timers {
        let clock = ManualClock::at(now);
        let job = TestJob::new(JOB).source("orders", source).connector("out", MemoryConnector::sink(out.clone()));
        let job = job.start_with(JobOptions { clock: Clock::Manual(clock.clone()), ..options });
        Timers { source: source.clone(), clock, out, job, given: 0 }
    }

    /// Gives orders at event time 0, and waits until they have been carried out.
    fn order<S: AsRef<str>>(&mut self, orders: impl IntoIterator<Item = S>) {
        let orders: Vec<_> = orders.into_iter().map(|order| MemoryRecord::new(0, "", order.as_ref())).collect();
        self.given += orders.len() as u64;
        self.source.split(0).push(orders);
        let taken = |it: &Running| it.counters().nodes.iter().find(|node| node.name == "timers").unwrap().records_in;
        wait_until("the orders are carried out", || taken(&self.job) >= self.given);
    }

    /// What has been told so far, once it is so much: key and text.
    fn told(&self, count: usize) -> Vec<String> {
        wait_until("so many timers have fired", || self.out.taken().len() >= count);
        texts(self.out.taken())
    }

    /// Ends the input, and gives what was published.
    fn end(self) -> Vec<String> {
        self.source.split(0).end();
        self.job.wait();
        texts(self.out.committed())
    }

    /// Stops the job with a savepoint, and gives what to go on from.
    fn stop(self, folder: &Path, name: &str, drain: bool) -> StartFrom {
        let url = folder.join(name).to_string_lossy().into_owned();
        let done = self.job.control().snapshot(Some(url.clone()), After::Stop { drain });
        done.recv_timeout(TIMEOUT).expect("an answer").expect("a savepoint");
        self.job.wait();
        let store = Store::open(&url, folder).expect("a store");
        StartFrom::Savepoint(Arc::new(Savepoint::open(&store).expect("the savepoint is complete")))
    }
}

fn texts(records: Vec<MemoryRecord>) -> Vec<String> {
    records.iter().map(|record| format!("{} {}", String::from_utf8_lossy(&record.key), record.text())).collect()
}

fn sorted(mut texts: Vec<String>) -> Vec<String> {
    texts.sort();
    texts
}

/// Options of a job that goes on from `origin` and takes the snapshots that are asked for.
fn options(folder: &Path, name: &str, workers: usize, backend: BackendKind, origin: StartFrom) -> JobOptions {
    let begun = durability(folder, origin.clone());
    let durability = match origin {
        StartFrom::Checkpoint(manifest) => {
            Durability { next_checkpoint: manifest.checkpoint + 1, lineage: manifest.lineage.clone(), ..begun }
        }
        StartFrom::Nothing | StartFrom::Savepoint(_) => begun,
    };
    let state = (backend, folder.join(format!("state-{name}")));
    JobOptions { state, durability: Some(durability), ..JobOptions::workers(workers) }
}

#[test]
fn timers_fire_when_the_clock_comes_to_their_time_in_order() {
    let mut timers = Timers::start(1);
    timers.order([
        "a set second 30",
        "a set first 30",
        "a set first 10",
        "a set first 10",
        "b set first 20",
        "a set first 50",
        "a set event 50",
    ]);
    timers.clock.set(9);
    timers.order(["a set first 11"]);
    assert_eq!(timers.told(0), [""; 0]);
    timers.clock.set(10);
    assert_eq!(timers.told(1), ["a 1 first 10 10"]);
    timers.clock.set(49);
    let rest = ["a 2 first 11 49", "b 1 first 20 49", "a 3 first 30 49", "a 4 second 30 49"];
    assert_eq!(timers.told(5)[1..], rest);
    timers.clock.set(60);
    assert_eq!(timers.told(6)[5], "a 5 first 50 60");
    assert_eq!(timers.end()[6], "a 6 event 50 60", "the watermark comes to it at the end");
}

#[test]
fn timers_that_were_replaced_or_deleted_do_not_fire() {
    let mut timers = Timers::start(1);
    timers.order(["a set first 10", "a set first 20", "a set second 20", "a replace first 30"]);
    timers.order(["b set first 10", "b set first 15", "b delete first 10", "b set second 12", "b clear second 0"]);
    timers.order(["c set first 10", "c set event 10", "c clear event 0"]);
    // The alarm deletes what is due as well, and has not fired yet.
    timers.order(["d set alarm 29", "d set second 30"]);
    timers.clock.set(31);
    let told = ["c 1 first 10 31", "b 1 first 15 31", "a 1 second 20 31", "d 1 alarm 29 31", "a 2 first 30 31"];
    assert_eq!(timers.told(5), told);
    timers.clock.set(39);
    assert_eq!(timers.told(6)[5], "d 2 alarm 39 39");
    assert_eq!(timers.end().len(), 6);
}

/// What the timer that traps did is undone, its key's other timers fire, and it does not come again.
#[test]
fn a_timer_that_traps_is_set_aside() {
    let (source, clock) = (MemorySource::new(1), ManualClock::at(0));
    let text = JOB.replace("key =", "on-error = 'dead-letter'\nkey =");
    let text = format!("{text}[sinks.letters]\nconnector = 'letters'\ninput = 'timers.dead-letter'\n");
    let (job, out) = TestJob::new(&text).source("orders", &source).sink("out");
    let (job, letters) = job.sink("letters");
    let job = job.start_with(JobOptions { clock: Clock::Manual(clock.clone()), ..JobOptions::workers(2) });
    let keys = ["a", "b", "c", "d"];
    let orders = keys.iter().flat_map(|key| [format!("{key} set first 10"), format!("{key} set first 30")]);
    let orders = orders.chain(["b set poison 10".to_owned(), "c set poison 20".to_owned()]);
    source.split(0).push(orders.map(|order| MemoryRecord::new(0, "", order)).collect::<Vec<_>>());
    let taken = |it: &Running| it.counters().nodes.iter().find(|node| node.name == "timers").unwrap().records_in;
    wait_until("the orders are carried out", || taken(&job) == 10);
    clock.set(20);
    wait_until("the first ones have fired", || out.taken().len() == 4 && letters.taken().len() == 2);
    clock.set(30);
    wait_until("the others have fired", || out.taken().len() == 8);
    source.split(0).end();
    job.wait();
    let expected = keys.iter().flat_map(|key| [format!("{key} 1 first 10 20"), format!("{key} 2 first 30 30")]);
    assert_eq!(sorted(texts(out.committed())), expected.collect::<Vec<_>>());
    let letters = letters.committed().into_iter().map(|letter| serde_json::from_slice(&letter.value).expect("JSON"));
    let mut said: Vec<String> = letters
        .map(|letter: serde_json::Value| format!("{} {} {}", letter["key"], letter["timer"], letter["reason"]))
        .collect();
    said.sort();
    assert_eq!(said.len(), 2);
    for (said, key) in said.iter().zip(["b", "c"]) {
        assert!(said.starts_with(&format!("\"{key}\" \"poison\" \"`on-timer` trapped")), "{said}");
    }
}

#[test]
fn a_timer_catches_up_after_a_long_silence() {
    let mut timers = Timers::start(1);
    timers.order(["a set alarm 10", "b set first 5000"]);
    timers.clock.set(10_000);
    let told = timers.told(1001);
    assert_eq!((told[0].as_str(), told[1].as_str()), ("a 1 alarm 10 10000", "b 1 first 5000 10000"));
    assert_eq!(told[1000], "a 1000 alarm 10000 10000");
    timers.clock.set(10_010);
    assert_eq!(timers.told(1002)[1001], "a 1001 alarm 10010 10010");
    assert_eq!(timers.end().len(), 1002);
}

#[test]
fn a_timer_that_is_due_again_and_again_keeps_nobody_waiting() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = options(folder.path(), "again", 1, BackendKind::Memory, StartFrom::Nothing);
    let mut timers = Timers::start_with(&MemorySource::new(1), 0, options);
    timers.order(["a set again 5", "b set first 6"]);
    timers.clock.set(6);
    let of_b = |timers: &Timers| texts(timers.out.taken()).into_iter().filter(|it| it.starts_with("b")).count();
    wait_until("the other timer has fired", || of_b(&timers) == 1);
    timers.order(["b set first 7"]);
    timers.clock.set(7);
    wait_until("the other timer has fired again", || of_b(&timers) == 2);
    let done = timers.job.control().snapshot(None, After::GoOn);
    done.recv_timeout(TIMEOUT).expect("an answer").expect("a checkpoint");
    timers.order(["a clear again 0"]);
    let told = timers.end();
    assert!(told.len() > 10, "{} timers", told.len());
}

#[test]
fn what_fires_while_no_record_comes_ends_its_epoch() {
    let mut timers = Timers::start(2);
    timers.order(["a set alarm 10"]);
    let before = timers.job.counters().epoch;
    let mut now = 0;
    // The order itself ends one. A timer may fire in an epoch that is being closed already.
    wait_until("epochs have ended", || {
        now += 10;
        timers.clock.set(now);
        timers.job.counters().epoch >= before + 5
    });
    timers.end();
}

/// One `set first` for each of these times, for keys in turn.
fn orders(times: impl Iterator<Item = i64>) -> Vec<String> {
    times.map(|at| format!("{} set first {at}", char::from(b'a' + (at % 16) as u8))).collect()
}

/// Key, name and time of each timer that has told.
fn fired(told: Vec<String>) -> Vec<String> {
    let fired = told.into_iter().map(|text| {
        let words: Vec<&str> = text.split(' ').collect();
        format!("{} set {} {}", words[0], words[2], words[3])
    });
    sorted(fired.collect())
}

fn survives(backends: [BackendKind; 3]) {
    let folder = tempfile::tempdir().expect("a folder");
    let source = MemorySource::new(1);
    let [first, second, third] = backends;
    let start = |name: &str, workers, backend, now, origin| {
        Timers::start_with(&source, now, options(folder.path(), name, workers, backend, origin))
    };
    let mut timers = start("first", 1, first, 0, StartFrom::Nothing);
    timers.order(orders(1..=120).into_iter().chain(["z set event 50".to_owned()]));
    timers.clock.set(20);
    assert_eq!(fired(timers.told(20)), sorted(orders(1..=20)));
    let origin = timers.stop(folder.path(), "first", false);
    // What has come due meanwhile fires at once, before any record comes.
    let mut timers = start("second", 3, second, 70, origin);
    assert_eq!(fired(timers.told(50)), sorted(orders(21..=70)));
    timers.order(orders(121..=130));
    timers.clock.set(90);
    assert_eq!(fired(timers.told(70)), sorted(orders(21..=90)));
    let origin = timers.stop(folder.path(), "second", false);
    let timers = start("third", 2, third, 90, origin);
    timers.clock.set(130);
    let told = timers.told(40);
    assert!(told.iter().all(|text| text.ends_with(" 130")), "{told:?}");
    // Key `a` has had 16, 32 and so on.
    assert!(told.contains(&"a 8 first 128 130".to_owned()), "{told:?}");
    let told = fired(timers.end());
    assert_eq!(told, sorted(orders(91..=130).into_iter().chain(["z set event 50".to_owned()]).collect()));
}

#[test]
fn timers_survive_savepoints_with_other_numbers_of_workers() {
    survives([BackendKind::Memory, BackendKind::Memory, BackendKind::Memory]);
}

#[test]
fn timers_survive_savepoints_with_other_backends() {
    let rocksdb = BackendKind::RocksDb(Arc::new(SharedMemory::new(64 << 20)));
    survives([rocksdb.clone(), BackendKind::Memory, rocksdb]);
}

#[test]
fn timers_survive_checkpoints() {
    for backend in [BackendKind::Memory, BackendKind::RocksDb(Arc::new(SharedMemory::new(64 << 20)))] {
        let folder = tempfile::tempdir().expect("a folder");
        let source = MemorySource::new(1);
        let first = options(folder.path(), "first", 2, backend.clone(), StartFrom::Nothing);
        let store = first.durability.as_ref().expect("it keeps what it has done").store.clone();
        let out = MemorySink::new();
        let mut timers = Timers::start_into(out.clone(), &source, 0, first);
        timers.order(orders(1..=40));
        timers.clock.set(10);
        timers.told(10);
        let done = timers.job.control().snapshot(None, After::Stop { drain: false });
        done.recv_timeout(TIMEOUT).expect("an answer").expect("a checkpoint");
        timers.job.wait();
        let newest = Log::open(store).newest().expect("the log can be read").expect("there is a checkpoint");
        let origin = StartFrom::Checkpoint(Arc::new(newest.manifest));
        let second = options(folder.path(), "second", 1, backend, origin);
        let timers = Timers::start_into(out, &source, 30, second);
        assert_eq!(fired(timers.told(30)), sorted(orders(1..=30)));
        assert_eq!(fired(timers.end()), sorted(orders(1..=30)));
    }
}

/// Kind and number of the rows of timers.
fn rows(origin: &StartFrom) -> Vec<(&'static str, usize)> {
    let StartFrom::Savepoint(savepoint) = origin else { panic!("it is no savepoint") };
    let mut rows = savepoint.rows("timers", 0..u16::MAX);
    let mut kinds = BTreeMap::new();
    while let Some(row) = rows.next().expect("the rows are as they were written") {
        *kinds.entry(row.kind.name()).or_insert(0) += 1;
    }
    kinds.into_iter().collect()
}

#[test]
fn a_job_that_stops_keeps_its_timers_and_one_that_ends_drops_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let source = MemorySource::new(1);
    let start = |name: &str, now, origin| {
        Timers::start_with(&source, now, options(folder.path(), name, 2, BackendKind::Memory, origin))
    };
    let mut timers = start("kept", 0, StartFrom::Nothing);
    timers.order(["a set first 50", "a set second 60", "b set first 50", "b set event 50"]);
    let origin = timers.stop(folder.path(), "kept", false);
    assert_eq!(rows(&origin), [("processing-timers", 2), ("timers", 1)]);

    let timers = start("drained", 40, origin);
    let out = timers.out.clone();
    let origin = timers.stop(folder.path(), "drained", true);
    assert_eq!(rows(&origin), [("value", 1)], "what key b has counted");
    assert_eq!(texts(out.committed()), ["b 1 event 50 40"]);

    let mut timers = start("anew", 100, origin);
    timers.order(["a set first 90", "c set first 200"]);
    assert_eq!(timers.told(1), ["a 1 first 90 100"]);
    assert_eq!(timers.end(), ["a 1 first 90 100"], "at the end of a bounded job none fires");
}
