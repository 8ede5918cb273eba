//! A job that was stopped, and is run again with a newer component of an operator: it goes on from its last checkpoint, and
//! values of older schema versions go through `migrate`, as from a savepoint.

use crate::common::{TIMEOUT, TestJob, resumed, wait_until};
use std::sync::Arc;
use tempfile::TempDir;
use tidewheel_connectors::memory::{MemoryConnector, MemoryRecord, MemorySink, MemorySource};
use tidewheel_engine::{After, JobOptions};
use tidewheel_state::{BackendKind, SharedMemory};

/// What the runs of a job share.
struct Runs {
    folder: TempDir,
    source: MemorySource,
    sink: MemorySink,
    /// How many records of the sink earlier runs have told.
    told: usize,
}

impl Runs {
    /// Lets version `version` of the operator take `numbers`, stops it, and gives what came out.
    fn run_version(&mut self, version: u32, workers: usize, backend: BackendKind, numbers: &[&str]) -> Vec<String> {
        let text = format!(
            "[sources.numbers]\nconnector = 'numbers'\n[operators.sum]\ncomponent = 'migrating-{version}.wasm'\n\
             input = 'numbers'\nkey = {{ bytes = '0..1' }}\n[sinks.out]\nconnector = 'out'\ninput = 'sum'\n"
        );
        let out = MemoryConnector::sink(self.sink.clone());
        let job = TestJob::new(&text).source("numbers", &self.source).connector("out", out);
        let job = job.start_with(JobOptions {
            state: (backend, self.folder.path().join(format!("state-{version}"))),
            durability: Some(resumed(self.folder.path())),
            ..JobOptions::workers(workers)
        });
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
        let folder = tempfile::tempdir().expect("a folder");
        let mut runs = Runs { folder, source: MemorySource::new(1), sink: MemorySink::new(), told: 0 };
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
