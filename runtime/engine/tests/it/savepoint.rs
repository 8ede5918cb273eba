//! An operator is swapped from savepoint to savepoint: values of older schema versions go through the newer component's
//! `migrate`, each once, and what was done is not done again.

use crate::common::{TIMEOUT, TestJob, wait_until};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tidewheel_checkpoint::savepoint::Savepoint;
use tidewheel_checkpoint::{Log, Store};
use tidewheel_connectors::memory::{MemoryRecord, MemorySource};
use tidewheel_engine::{After, CheckpointPolicy, Durability, JobOptions, StartFrom};
use tidewheel_state::BackendKind;

/// A new attempt in `folder`, with nothing but checkpoints that are asked for.
fn durability(folder: &Path, origin: StartFrom) -> Durability {
    let store = Store::open(&folder.join("checkpoints").to_string_lossy(), folder).expect("a store");
    let attempt = Log::open(store.clone()).begin_attempt_from(None).expect("an attempt");
    Durability {
        policy: CheckpointPolicy {
            interval: None,
            min_pause: Duration::ZERO,
            timeout: Duration::from_secs(60),
            tolerable_failures: None,
        },
        keep: 1,
        store,
        attempt: attempt.number,
        slot: attempt.slot,
        next_checkpoint: 1,
        lineage: attempt.lineage,
        origin,
    }
}

/// Pushes `numbers`, lets version `version` of the operator take them, stops it with a savepoint, and gives that and
/// what came out.
fn run_version(
    folder: &Path,
    source: &MemorySource,
    (version, workers): (u32, usize),
    numbers: &[&str],
    origin: StartFrom,
) -> (StartFrom, Vec<String>) {
    let text = format!(
        "[sources.numbers]\nconnector = 'numbers'\n[operators.sum]\ncomponent = 'migrating-{version}.wasm'\n\
         input = 'numbers'\nkey = {{ bytes = '0..1' }}\n[sinks.out]\nconnector = 'out'\ninput = 'sum'\n"
    );
    let (job, out) = TestJob::new(&text).source("numbers", source).sink("out");
    let options = JobOptions {
        state: (BackendKind::Memory, folder.join(format!("state-{version}"))),
        durability: Some(durability(folder, origin)),
        ..JobOptions::workers(workers)
    };
    let job = job.start_with(options);
    source.split(0).push(numbers.iter().map(|number| MemoryRecord::new(0, "", *number)));
    wait_until("all numbers are taken", || out.taken().len() == numbers.len());
    let url = folder.join(format!("savepoint-{version}")).to_string_lossy().into_owned();
    let done = job.control().snapshot(Some(url.clone()), After::Stop { drain: false });
    done.recv().expect("an answer").expect("a savepoint");
    job.wait();
    let savepoint = Savepoint::open(&Store::open(&url, folder).expect("a store")).expect("the savepoint is complete");
    let mut told: Vec<String> = out.committed().iter().map(|record| record.text().to_owned()).collect();
    told.sort();
    (StartFrom::Savepoint(Arc::new(savepoint)), told)
}

#[test]
fn state_goes_from_version_to_version_also_that_which_nobody_touches() {
    let folder = tempfile::tempdir().expect("a folder");
    let source = MemorySource::new(1);
    let run = |version, workers, numbers: &[&str], origin| {
        run_version(folder.path(), &source, (version, workers), numbers, origin)
    };
    let (origin, told) = run(1, 1, &["5", "7"], StartFrom::Nothing);
    assert_eq!(told, ["5 total=5/1 list=5/1 map=5:5/1", "7 total=7/1 list=7/1 map=7:7/1"]);
    // Key 7 is not touched by version 2. It is migrated all the same, when the job starts.
    let (origin, told) = run(2, 2, &["5"], origin);
    assert_eq!(told, ["5 total=10/2 list=5/2,5/2 map=5:10/2"]);
    let (_, told) = run(3, 3, &["5", "7"], origin);
    assert_eq!(told.len(), 2);
    assert!(told[0].starts_with("5 total=15/2 list=5/2,5/2,5/3"), "{told:?}");
    assert!(told[1].starts_with("7 total=14/2 list=7/2,7/3"), "{told:?}");
}

/// Without an operator that keeps anything a savepoint holds where the sources are, and no row.
#[test]
fn a_job_without_state_has_savepoints_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let source = MemorySource::new(1);
    let text = "[sources.numbers]\nconnector = 'numbers'\n[operators.echo]\ncomponent = 'echo.wasm'\ninput = 'numbers'\n\
                [sinks.out]\nconnector = 'out'\ninput = 'echo'\n";
    let mut origin = StartFrom::Nothing;
    for (run, after) in [After::GoOn, After::Stop { drain: false }].into_iter().enumerate() {
        let (job, out) = TestJob::new(text).source("numbers", &source).sink("out");
        let durability = Some(durability(folder.path(), origin));
        let job = job.start_with(JobOptions { durability, ..JobOptions::workers(1) });
        source.split(0).push([MemoryRecord::new(0, "", "one more")]);
        wait_until("it is taken", || out.taken().len() == 1);
        let url = folder.path().join(format!("savepoint-{run}")).to_string_lossy().into_owned();
        let done = job.control().snapshot(Some(url.clone()), after);
        done.recv_timeout(TIMEOUT).expect("an answer").expect("a savepoint");
        if after == After::GoOn {
            let done = job.control().snapshot(None, After::Stop { drain: false });
            done.recv_timeout(TIMEOUT).expect("an answer").expect("a checkpoint");
        }
        job.wait();
        let store = Store::open(&url, folder.path()).expect("a store");
        origin = StartFrom::Savepoint(Arc::new(Savepoint::open(&store).expect("the savepoint is complete")));
    }
}
