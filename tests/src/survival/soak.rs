//! Kills without end: a job whose worker processes are killed at random moments and at named crash points, all chosen by
//! one number.

use super::{Results, Running, SINKS, is_alive, job, results, said, signal, staged, wait_for};
use crate::folder_with;
use std::collections::BTreeMap;
use std::time::Duration;
use tidewheel_crash_points::{Action, Crash, CrashPoint, Phase, VARIABLE, marker};

/// How long a process may take to come to its crash point; then it is killed as it is.
const POINT_WAIT: Duration = Duration::from_secs(10);

/// A random kill comes so long after an attempt has been started at most. Until it runs takes about a quarter of that.
const LIFE_MS_MAX: u64 = 800;

/// Of so many lives one ends at a crash point.
const POINT_EACH: u64 = 3;

/// A job that is killed again and again.
#[derive(Clone, Debug)]
pub struct Soak {
    /// Chooses every kill.
    pub seed: u64,
    /// How many there are.
    pub kills: usize,
    /// `memory` or `rocksdb`.
    pub backend: &'static str,
    /// Workers of each process.
    pub workers: usize,
    /// Worker processes.
    pub processes: usize,
    /// Events of the source, and how many of them come in a second.
    pub events: u64,
    /// See `events`.
    pub rate: u64,
}

/// How it went.
#[derive(Debug)]
pub struct Outcome {
    /// What was committed.
    pub found: Results,
    /// Kills in all; fewer than were wanted if the job came to its end before.
    pub kills: usize,
    /// Those at named crash points.
    pub at_points: BTreeMap<String, usize>,
    /// Those at crash points that lie between snapshot and commit.
    pub between: usize,
    /// Random ones while output was staged and not committed.
    pub between_by_chance: usize,
    /// What attempts have failed of besides.
    pub other_failures: Vec<String>,
    /// Crash points that were not reached before the patience ended; those kills were random then.
    pub missed: usize,
}

/// How an attempt ends.
enum Death {
    Random { after: Duration },
    AtPoint(Crash),
}

impl Soak {
    /// Runs the job to its end.
    ///
    /// # Panics
    /// If it hangs or fails.
    pub fn run(&self) -> Outcome {
        let mut random = Random(self.seed);
        let deaths: Vec<Death> = (1..=self.kills as u64).map(|attempt| Death::choose(&mut random, attempt)).collect();
        let points: Vec<String> = deaths.iter().filter_map(Death::crash).map(|crash| crash.to_string()).collect();
        let spec = job(self.backend, self.events, &format!("rate = {}", self.rate));
        let folder = folder_with(&[("job.toml", &spec)]);
        let numbers = [self.workers, self.processes].map(|number| number.to_string());
        let mut arguments = vec!["--workers", &numbers[0]];
        if self.processes > 1 {
            arguments.extend(["--processes", &numbers[1]]);
        }
        let running = Running::start_with(folder.path(), &arguments, &[(VARIABLE, &points.join(","))]);
        let mut running = running.with_processes(self.processes);
        let (mut kills, mut between_by_chance, mut missed) = (0, 0, 0);
        let mut reached: Vec<CrashPoint> = Vec::new();
        let mut workers = Vec::new();
        for death in &deaths {
            let Some(next) = running.next_workers(&workers) else { break };
            workers = next;
            let after = match death {
                Death::Random { after } => *after,
                Death::AtPoint(_) => POINT_WAIT,
            };
            if wait_for(after, || running.has_ended() || !workers.iter().all(|pid| is_alive(*pid))) {
                // At the very end of the input a job may come to its end instead.
                if !running.has_ended() {
                    kills += 1;
                    reached.extend(death.crash().map(|crash| crash.point));
                }
                continue;
            }
            let victim = workers[random.below(workers.len() as u64) as usize];
            // Stopped, so that what is seen is what it leaves.
            signal(victim, "STOP");
            let is_staged = SINKS.iter().any(|sink| !staged(&folder.path().join(sink)).is_empty());
            signal(victim, "KILL");
            kills += 1;
            between_by_chance += usize::from(is_staged);
            missed += usize::from(death.crash().is_some());
        }
        running.wait(folder.path());
        let said = said(folder.path());
        // One for each attempt: two of its processes may come to their point at once.
        let mut at_points = BTreeMap::new();
        for point in &reached {
            assert!(said.contains(&marker(*point)), "a process that dies at {point} says so");
            *at_points.entry(point.to_string()).or_insert(0) += 1;
        }
        let between = reached.iter().filter(|point| point.phase() == Phase::SnapshotToCommit).count();
        let failures = said.lines().filter(|line| line.contains(" failed: ") && !line.contains("SIGKILL"));
        let other_failures = failures.map(str::to_owned).collect();
        let found = results(folder.path());
        Outcome { found, kills, at_points, between, between_by_chance, other_failures, missed }
    }
}

impl Death {
    fn choose(random: &mut Random, attempt: u64) -> Death {
        if random.below(POINT_EACH) > 0 {
            return Death::Random { after: Duration::from_millis(random.below(LIFE_MS_MAX)) };
        }
        let points: Vec<CrashPoint> = CrashPoint::all().filter(|point| point.phase() != Phase::Savepoint).collect();
        let point = points[random.below(points.len() as u64) as usize];
        let time = match point.phase() {
            Phase::Restore => 1,
            _ => 1 + random.below(4) as u32,
        };
        Death::AtPoint(Crash { attempt, point, time, action: Action::Kill })
    }

    fn crash(&self) -> Option<&Crash> {
        match self {
            Death::Random { .. } => None,
            Death::AtPoint(crash) => Some(crash),
        }
    }
}

/// Numbers that look random and are the same for the same seed (`SplitMix64`).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// One of 0 to `limit` - 1.
    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}
