//! State, timers and their snapshots against a plain model: random changes, times, checkpoints, crashes, restarts with
//! other numbers of tasks, other versions and other orders of states.
//!
//! Every test is a function over a backend, so that all backends pass the same ones.

mod job;
mod model;

use job::{Job, Plan};
use model::{CLOCKS, Change, Clock, Declared, Owner, STATES, change, declared, owner, timer_change};
use proptest::collection::vec;
use proptest::prelude::{Just, ProptestConfig, Strategy, TestCaseError, prop_oneof, proptest};
use proptest::sample::Index;
use std::sync::Arc;
use tidewheel_state::{BackendKind, SharedMemory, TimerChange};

#[derive(Clone, Debug)]
enum Step {
    /// A batch, as an operator handles it.
    Write(Vec<(Index, Change)>),
    Timers(Clock, Vec<(Index, TimerChange)>),
    /// The clocks go on, by so much.
    Time {
        now_ms: i64,
        watermark_ms: i64,
    },
    /// Timers of a clock fire, up to so long after the start.
    Fire(Clock, i64),
    /// Everything is read, and compared.
    Read,
    Checkpoint,
    /// What is newer than the last checkpoint is lost; so many tasks go on.
    Restart(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let index = || proptest::prelude::any::<Index>();
    prop_oneof![
        6 => vec((index(), change()), 0..20).prop_map(Step::Write),
        3 => (0..CLOCKS, vec((index(), timer_change()), 0..6)).prop_map(|(clock, changes)| Step::Timers(clock, changes)),
        3 => (0i64..8, 0i64..8).prop_map(|(now_ms, watermark_ms)| Step::Time { now_ms, watermark_ms }),
        2 => (0..CLOCKS, 0i64..30).prop_map(|(clock, up_to)| Step::Fire(clock, up_to)),
        2 => Just(Step::Read),
        5 => Just(Step::Checkpoint),
        2 => (1usize..4).prop_map(Step::Restart),
    ]
}

fn run(backend: BackendKind, plan: Plan, owners: &[Owner], steps: &[Step]) -> Result<(), TestCaseError> {
    let mut job = Job::start(backend, plan);
    for step in steps {
        match step {
            Step::Write(batch) => {
                let batch: Vec<_> = batch.iter().map(|(owner, change)| (owner.get(owners), change)).collect();
                job.write(&batch);
            }
            Step::Timers(clock, changes) => {
                let changes: Vec<_> = changes.iter().map(|(owner, change)| (owner.get(owners), *change)).collect();
                job.change_timers(*clock, &changes);
            }
            Step::Time { now_ms, watermark_ms } => job.advance(*now_ms, *watermark_ms),
            Step::Fire(clock, up_to) => job.fire(*clock, *up_to)?,
            Step::Read => job.read(owners)?,
            Step::Checkpoint => job.checkpoint()?,
            Step::Restart(tasks) => {
                job.restart(*tasks);
                job.read_files()?;
                job.read(owners)?;
            }
        }
    }
    job.read(owners)?;
    job.checkpoint()?;
    job.restart(1);
    job.read_files()?;
    job.read(owners)?;
    (0..CLOCKS).try_for_each(|clock| job.fire(clock, i64::MAX))
}

fn states() -> impl Strategy<Value = [Declared; STATES]> {
    [declared(), declared(), declared(), declared(), declared()]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn memory_gives_back_what_was_written(
        states in states(),
        owners in vec(owner(), 1..12),
        steps in vec(step(), 1..30),
    ) {
        run(BackendKind::Memory, Plan { states, groups: 7 }, &owners, &steps)?;
    }
}

proptest! {
    // Each freeze, and each start, waits for the disk several times.
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn rocksdb_gives_back_what_was_written(
        states in states(),
        owners in vec(owner(), 1..12),
        steps in vec(step(), 1..30),
        // With the least budget, all that changes is spilled at once, and nothing stays in the cache.
        budget in prop_oneof![Just(64 << 20), Just(4096), Just(0)],
    ) {
        let memory = Arc::new(SharedMemory::new(budget));
        run(BackendKind::RocksDb(memory), Plan { states, groups: 7 }, &owners, &steps)?;
    }
}
