//! A job that was stopped, and is run again with a newer component of an operator: it goes on from its last checkpoint, and
//! values of older schema versions go through `migrate`, as from a savepoint. Those that cannot are set aside.

use crate::common::{TIMEOUT, TestJob, resumed, wait_until};
use std::sync::Arc;
use tempfile::TempDir;
use tidewheel_connectors::memory::{MemoryConnector, MemoryRecord, MemorySink, MemorySource};
use tidewheel_engine::{After, JobOptions};
use tidewheel_state::{BackendKind, SharedMemory};
use tidewheel_types::dead_letter::{DeadLetter, Named};

/// What the runs of a job share.
struct Runs {
    folder: TempDir,
    source: MemorySource,
    sink: MemorySink,
    letters: MemorySink,
    /// How many records of the sink earlier runs have told.
    told: usize,
}

const JOB: &str = "
[sources.numbers]
connector = 'numbers'
[operators.sum]
component = 'COMPONENT.wasm'
input = 'numbers'
key = { bytes = '0..1' }
on-error = 'ON_ERROR'
[sinks.out]
connector = 'out'
input = 'sum'
";

/// What is added to the job where values are set aside.
const LETTERS: &str = "[sinks.letters]\nconnector = 'letters'\ninput = 'sum.dead-letter'\n";

impl Runs {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (source, sink, letters) = (MemorySource::new(1), MemorySink::new(), MemorySink::new());
        Runs { folder, source, sink, letters, told: 0 }
    }

    /// A job with the operator of this component.
    fn job(&self, component: &str, on_error: &str) -> TestJob {
        let letters = if on_error == "dead-letter" { LETTERS } else { "" };
        let text = JOB.replace("COMPONENT", component).replace("ON_ERROR", on_error) + letters;
        let [out, letters] = [&self.sink, &self.letters].map(|sink| MemoryConnector::sink(sink.clone()));
        TestJob::new(&text).source("numbers", &self.source).connector("out", out).connector("letters", letters)
    }

    fn options(&self, component: &str, workers: usize, backend: BackendKind) -> JobOptions {
        JobOptions {
            state: (backend, self.folder.path().join(format!("state-{component}"))),
            durability: Some(resumed(self.folder.path())),
            ..JobOptions::workers(workers)
        }
    }

    /// Lets a version of the operator take `numbers`, stops it, and gives what came out.
    fn run_version(&mut self, version: u32, workers: usize, backend: BackendKind, numbers: &[&str]) -> Vec<String> {
        self.run(&format!("migrating-{version}"), "fail", (workers, backend), numbers)
    }

    fn run(
        &mut self,
        component: &str,
        on_error: &str,
        (workers, backend): (usize, BackendKind),
        numbers: &[&str],
    ) -> Vec<String> {
        let job = self.job(component, on_error).start_with(self.options(component, workers, backend));
        self.source.split(0).push(numbers.iter().map(|number| MemoryRecord::new(0, "", *number)));
        let all = self.told + numbers.len();
        wait_until("all numbers are taken", || self.sink.taken().len() == all);
        let done = job.control().snapshot(None, After::Stop { drain: false });
        done.recv_timeout(TIMEOUT).expect("an answer").expect("a checkpoint");
        job.wait();
        let mut told: Vec<String> =
            self.sink.committed()[self.told..].iter().map(|record| record.text().to_owned()).collect();
        self.told += told.len();
        told.sort();
        told
    }
}

#[test]
fn a_newer_component_goes_on_from_a_checkpoint() {
    let memory: fn() -> BackendKind = || BackendKind::Memory;
    let rocksdb: fn() -> BackendKind = || BackendKind::RocksDb(Arc::new(SharedMemory::new(64 << 20)));
    for backends in [[memory; 3], [rocksdb; 3], [memory, rocksdb, memory]] {
        let mut runs = Runs::new();
        let told = runs.run_version(1, 1, backends[0](), &["5", "7"]);
        assert_eq!(told, ["5 total=5/1 list=5/1 map=5:5/1", "7 total=7/1 list=7/1 map=7:7/1"]);
        // Key 7 is not touched by version 2. It is migrated all the same, when the job starts.
        let told = runs.run_version(2, 2, backends[1](), &["5"]);
        assert_eq!(told, ["5 total=10/2 list=5/2,5/2 map=5:10/2"]);
        // Once: this time there is nothing to migrate.
        let told = runs.run_version(2, 2, backends[2](), &["5"]);
        assert_eq!(told, ["5 total=15/2 list=5/2,5/2,5/2 map=5:15/2"]);
        let told = runs.run_version(3, 3, backends[2](), &["5", "7"]);
        assert_eq!(told.len(), 2);
        assert!(told[0].starts_with("5 total=20/2 list=5/2,5/2,5/2,5/3"), "{told:?}");
        assert!(told[1].starts_with("7 total=14/2 list=7/2,7/3"), "{told:?}");
    }
}

#[test]
fn values_that_cannot_be_migrated_are_set_aside() {
    let memory = || BackendKind::Memory;
    for on_error in ["dead-letter", "skip"] {
        let mut runs = Runs::new();
        runs.run("migrating-1", on_error, (2, memory()), &["13", "25", "7"]);
        let told = runs.run("migrate-trap", on_error, (1, memory()), &["15", "25"]);
        // Of key 1 nothing is left, and the others go on.
        assert_eq!(told, ["1 total=15/2 list=15/2 map=5:15/2", "2 total=50/2 list=25/2,25/2 map=5:50/2"]);
        let letters = runs.letters.committed();
        let mut letters: Vec<DeadLetter> =
            letters.iter().map(|letter| DeadLetter::parse(&letter.value).expect("a dead letter")).collect();
        if on_error == "skip" {
            assert_eq!(letters, []);
            continue;
        }
        letters.sort_by_key(|letter| letter.to_json());
        let states: Vec<_> = letters.iter().map(|letter| letter.poison.clone().expect("it is poison").state).collect();
        let value = 13u32.to_le_bytes();
        let named = |name| vec![Named::new(name, Some(&value))];
        assert_eq!(states, [named("list"), named("map"), named("total")]);
        for letter in &letters {
            assert_eq!(
                (letter.operator.as_str(), letter.key(), letter.was_record()),
                ("sum", Some(b"1".into()), false)
            );
            assert!(letter.reason.starts_with("`migrate` trapped: "), "{}", letter.reason);
            let poison = letter.poison.as_ref().expect("it is poison");
            assert_eq!(poison.version, Some(1));
            assert!(poison.backtrace.iter().any(|function| function.contains("look_at")), "{:?}", poison.backtrace);
        }
        let entries: Vec<_> =
            letters.iter().map(|letter| letter.poison.as_ref().and_then(|it| it.entry.clone())).collect();
        assert_eq!((entries[1].as_ref().and_then(Named::bytes), &entries[2]), (Some(b"3".into()), &None));
        // Once: they are gone.
        runs.run("migrate-trap", on_error, (2, memory()), &["15"]);
        assert_eq!(runs.letters.committed().len(), 3);
    }
}
