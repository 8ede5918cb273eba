//! Exactly-once: however a job is interrupted between write, stage, manifest, commit and acknowledgement, restarted
//! with another number of workers, or carried on by an attempt that was taken for dead, every record becomes visible
//! once.

use crate::harness::{Park, Shard, context, sink};
use proptest::bool::weighted;
use proptest::collection::vec;
use proptest::prelude::{Just, ProptestConfig, Strategy, prop_assert_eq, prop_oneof, proptest};
use std::fs;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tidewheel_connectors::memory::{MemoryFault, MemorySink};
use tidewheel_connectors::outbox::OutboxSettings;
use tidewheel_connectors::{ConnectorError, Sink, SinkContext, StageHandle};

/// The sink under test.
enum System {
    Memory {
        sink: MemorySink,
        _folder: TempDir,
    },
    /// The folder, and what a consumer has taken away from it.
    File(Arc<dyn Sink>, TempDir, Vec<String>),
}

impl System {
    fn memory() -> Self {
        System::Memory { sink: MemorySink::new(), _folder: TempDir::new().expect("a folder") }
    }

    /// Outboxes are files, written by threads.
    fn spilled() -> Self {
        let folder = TempDir::new().expect("a folder");
        let settings = OutboxSettings {
            memory_bytes_max: 30,
            folder: Some(folder.path().to_owned()),
            ..OutboxSettings::default()
        };
        System::Memory { sink: MemorySink::slow(Duration::ZERO).with_outboxes(settings), _folder: folder }
    }

    fn file() -> Self {
        let folder = TempDir::new().expect("a folder");
        System::File(sink("file", "path = 'out'", folder.path()).expect("a sink"), folder, Vec::new())
    }

    fn sink(&self) -> &dyn Sink {
        match self {
            System::Memory { sink, .. } => sink,
            System::File(sink, ..) => sink.as_ref(),
        }
    }

    /// A consumer reads the finished files and moves them away.
    fn consume(&mut self) {
        let System::File(_, folder, consumed) = self else { return };
        for entry in fs::read_dir(folder.path().join("out")).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("part-")) {
                consumed.extend(fs::read_to_string(&path).expect("a file").lines().map(str::to_owned));
                fs::remove_file(&path).expect("removed");
            }
        }
    }

    fn visible(&mut self) -> Vec<String> {
        self.consume();
        match self {
            System::Memory { sink, .. } => sink.committed().iter().map(|record| record.text().to_owned()).collect(),
            System::File(.., consumed) => consumed.clone(),
        }
    }
}

#[derive(Clone, Debug)]
struct Staged {
    shard: usize,
    handle: StageHandle,
}

/// What a checkpoint keeps.
#[derive(Clone, Debug, Default)]
struct Manifest {
    checkpoint: u64,
    /// Records before it have been read.
    position: usize,
    staged: Vec<Staged>,
}

/// One attempt.
#[derive(Default)]
struct Attempt {
    number: u64,
    shards: Vec<Shard>,
    position: usize,
    checkpoint: u64,
    /// Staged by complete checkpoints of this attempt, and not committed.
    uncommitted: Vec<Staged>,
}

struct Job {
    system: System,
    manifest: Manifest,
    attempt: Attempt,
    zombies: Vec<Attempt>,
}

/// What happens.
#[derive(Clone, Debug)]
enum Step {
    Write(usize),
    /// A checkpoint that is interrupted after so many steps: each stage, the manifest and each commit is one.
    Checkpoint(usize),
    /// One whose commits come later.
    CheckpointOnly,
    /// The next commit fails.
    Fault(MemoryFault),
    /// A restart with so many workers; the old ones may live on.
    Restart(usize, bool),
    ZombiesAct,
    Consume,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1usize..30).prop_map(Step::Write),
        4 => (0usize..12).prop_map(Step::Checkpoint),
        1 => Just(Step::CheckpointOnly),
        1 => Just(Step::Fault(MemoryFault::BeforeCommit)),
        1 => Just(Step::Fault(MemoryFault::AfterCommit)),
        2 => (1usize..4, weighted(0.5)).prop_map(|(workers, lives_on)| Step::Restart(workers, lives_on)),
        2 => Just(Step::ZombiesAct),
        1 => Just(Step::Consume),
    ]
}

impl Job {
    fn start(system: System, workers: usize) -> Self {
        let mut job = Job { system, manifest: Manifest::default(), attempt: Attempt::default(), zombies: Vec::new() };
        job.restart(workers, false);
        job
    }

    fn step(&mut self, step: &Step) {
        let result = match *step {
            Step::Write(count) => self.write(count),
            Step::Checkpoint(steps) => self.checkpoint(steps),
            Step::CheckpointOnly => self.checkpoint(self.attempt.shards.len() + 1),
            Step::Fault(fault) => {
                if let System::Memory { sink, .. } = &self.system {
                    sink.fail_commit(fault);
                }
                Ok(true)
            }
            Step::Restart(workers, lives_on) => {
                self.restart(workers, lives_on);
                Ok(true)
            }
            Step::ZombiesAct => {
                self.zombies_act();
                Ok(true)
            }
            Step::Consume => {
                self.system.consume();
                Ok(true)
            }
        };
        let goes_on = matches!((step, &result), (Step::CheckpointOnly, Ok(_)) | (_, Ok(true)));
        if !goes_on {
            self.restart(self.attempt.shards.len(), false);
        }
    }

    /// Record *i* goes to shard *i* modulo their number.
    fn write(&mut self, count: usize) -> Result<bool, ConnectorError> {
        let attempt = &mut self.attempt;
        for _ in 0..count {
            let at = attempt.position % attempt.shards.len();
            attempt.shards[at].write(&[&attempt.position.to_string()])?;
            attempt.position += 1;
        }
        Ok(true)
    }

    /// Whether all of its steps could be taken.
    fn checkpoint(&mut self, mut steps: usize) -> Result<bool, ConnectorError> {
        let attempt = &mut self.attempt;
        let checkpoint = attempt.checkpoint + 1;
        let mut next = move || {
            let has_next = steps > 0;
            steps = steps.saturating_sub(1);
            has_next
        };
        let mut staged = Vec::new();
        for (shard, writer) in attempt.shards.iter_mut().enumerate() {
            if !next() {
                return Ok(false);
            }
            staged.extend(writer.try_stage(checkpoint)?.map(|handle| Staged { shard, handle }));
        }
        if !next() {
            return Ok(false);
        }
        attempt.uncommitted.append(&mut staged);
        attempt.checkpoint = checkpoint;
        self.manifest = Manifest { checkpoint, position: attempt.position, staged: attempt.uncommitted.clone() };
        while !attempt.uncommitted.is_empty() {
            if !next() {
                return Ok(false);
            }
            let Staged { shard, handle } = &attempt.uncommitted[0];
            attempt.shards[*shard].commit(handle)?;
            attempt.uncommitted.remove(0);
        }
        Ok(true)
    }

    fn restart(&mut self, workers: usize, lives_on: bool) {
        let mut number = self.attempt.number + 1;
        let old = std::mem::take(&mut self.attempt);
        if lives_on {
            self.zombies.push(old);
        }
        // A recovery that fails is tried again, by another attempt.
        let shards = loop {
            match self.open(number, workers) {
                Ok(shards) => break shards,
                Err(error) => assert!(number < 1000, "it fails for ever: {error}"),
            }
            number += 1;
        };
        let Manifest { checkpoint, position, .. } = self.manifest;
        self.attempt = Attempt { number, shards, position, checkpoint, uncommitted: Vec::new() };
    }

    fn open(&self, attempt: u64, workers: usize) -> Result<Vec<Shard>, ConnectorError> {
        let open = |shard| {
            let park = Park::new();
            let has_unsettled = !self.manifest.staged.is_empty();
            let context =
                SinkContext { attempt, shard, shards: workers, has_unsettled, ..context("abc", shard, &park) };
            let adopted = self.manifest.staged.iter().filter(|staged| staged.shard % workers == shard);
            let adopted: Vec<StageHandle> = adopted.map(|staged| staged.handle.clone()).collect();
            Shard::reopen(self.system.sink(), context, park, &adopted)
        };
        (0..workers).map(open).collect()
    }

    /// What attempts do that have been replaced and do not know it. They cannot publish a manifest; everything else they
    /// try, and it may fail.
    fn zombies_act(&mut self) {
        for zombie in &mut self.zombies {
            for shard in &mut zombie.shards {
                let _ = shard.write(&["\"zombie\""]).and_then(|()| shard.try_stage(zombie.checkpoint + 1));
            }
            zombie.checkpoint += 1;
            for Staged { shard, handle } in std::mem::take(&mut zombie.uncommitted) {
                let _ = zombie.shards[shard].commit(&handle);
            }
        }
    }
}

/// Runs the steps, then to the end, and compares what is visible with what was read.
fn check(system: System, workers: usize, steps: &[Step]) -> (Vec<usize>, Vec<usize>) {
    let mut job = Job::start(system, workers);
    for step in steps {
        job.step(step);
    }
    job.write(10)
        .or_else(|_| {
            job.restart(workers, false);
            job.write(10)
        })
        .expect("nothing fails any more");
    job.zombies_act();
    while !job.checkpoint(usize::MAX).unwrap_or(false) {
        job.restart(workers, false);
    }
    job.zombies_act();
    job.restart(workers, false);
    let visible = job.system.visible();
    let mut visible: Vec<usize> = visible.iter().map(|value| value.parse().expect("no zombie's")).collect();
    visible.sort_unstable();
    (visible, (0..job.manifest.position).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn outboxes_in_snapshots(workers in 1usize..4, steps in vec(step(), 0..40)) {
        let (visible, expected) = check(System::memory(), workers, &steps);
        prop_assert_eq!(visible, expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn outboxes_in_files(workers in 1usize..4, steps in vec(step(), 0..25)) {
        let (visible, expected) = check(System::spilled(), workers, &steps);
        prop_assert_eq!(visible, expected);
    }

    #[test]
    fn part_files(workers in 1usize..4, steps in vec(step(), 0..25)) {
        let (visible, expected) = check(System::file(), workers, &steps);
        prop_assert_eq!(visible, expected);
    }
}
