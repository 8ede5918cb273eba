//! A job whose worker processes are killed, at random moments and at every named crash point, and stopped so that others
//! take their place: what it commits is what a job commits that nothing happens to, record for record.
//!
//! `cargo xtask soak` does the same with many more kills.

use std::fs;
use std::path::Path;
use std::sync::LazyLock;
use tempfile::TempDir;
use tidewheel_crash_points::{CrashPoint, Phase, VARIABLE, marker};
use tidewheel_tests::survival::{
    Results, Running, SINKS, Soak, difference, expected, finished, is_alive, is_stopped, job, results, said, signal,
    staged, wait_until,
};
use tidewheel_tests::{folder_with, run};

/// Events of the jobs that are killed at crash points.
const EVENTS: u64 = 100_000;

/// What they commit that nothing happens to.
static EXPECTED: LazyLock<Results> = LazyLock::new(|| expected(EVENTS));

#[track_caller]
fn assert_survived(folder: &Path, what: &str) {
    assert_eq!(difference(&results(folder), &EXPECTED), None, "{what}");
}

/// Runs a job to its end that is to die at these crash points; its folder.
#[track_caller]
fn die_at(crashes: &str, backend: &str, workers: &str) -> TempDir {
    let folder = folder_with(&[("job.toml", &job(backend, EVENTS, "rate = 50000"))]);
    Running::start_with(folder.path(), &["--workers", workers], &[(VARIABLE, crashes)]).wait(folder.path());
    folder
}

/// Each point, in a job of its own.
#[track_caller]
fn check_points(backend: &str, workers: &str) {
    for point in CrashPoint::all().filter(|point| point.phase() != Phase::Savepoint) {
        let crashes = match point.phase() {
            // The second attempt has something to restore, and something to settle.
            Phase::Restore => format!("1:after-manifest:2:kill,2:{point}:1:kill"),
            _ => format!("1:{point}:2:kill,2:{point}:1:kill"),
        };
        let folder = die_at(&crashes, backend, workers);
        let said = said(folder.path());
        let reached = crashes.matches(&format!(":{point}:")).count();
        assert_eq!(said.matches(&marker(point)).count(), reached, "{point} is reached: {said}");
        assert!(said.contains("attempt 2 failed: process 0 was ended by SIGKILL"), "{point}: {said}");
        assert_survived(folder.path(), &crashes);
    }
}

#[test]
fn a_job_survives_a_crash_at_every_point() {
    check_points("memory", "1");
}

#[test]
fn the_same_with_state_in_rocksdb_and_two_workers() {
    check_points("rocksdb", "2");
}

/// The commit of one sink is held up, whichever comes first; the other commits, and then the process dies.
#[test]
fn a_job_survives_a_crash_between_the_commits_of_two_sinks() {
    let folder = folder_with(&[("job.toml", &job("memory", EVENTS, "rate = 100000"))]);
    let mut running = Running::start_with(folder.path(), &[], &[(VARIABLE, "1:before-commit:5:hold")]);
    // The checkpoint in the name of a file: `part-LINEAGE-SHARD-CHECKPOINT…`.
    let checkpoint = |name: &String| name.split(['-', '.']).filter(|part| !part.is_empty()).nth(3).map(str::to_owned);
    wait_until("one sink has committed what the other has staged", || {
        let [held, done] = SINKS.map(|sink| folder.path().join(sink));
        said(folder.path()).contains(&marker(CrashPoint::BeforeCommit))
            && [(&held, &done), (&done, &held)].into_iter().any(|(held, done)| {
                let committed: Vec<_> = finished(done).iter().filter_map(checkpoint).collect();
                staged(held).iter().filter_map(checkpoint).any(|checkpoint| committed.contains(&checkpoint))
            })
    });
    let workers = running.next_workers(&[]).expect("the job runs");
    signal(workers[0], "KILL");
    running.wait(folder.path());
    assert_survived(folder.path(), "between two commits");
}

/// A job that takes one checkpoint, when all its input is processed.
fn job_with_one_checkpoint() -> TempDir {
    folder_with(&[("job.toml", &job("memory", EVENTS, "").replace("interval = \"50ms\"", "interval = \"1h\""))])
}

/// Everything is in the last checkpoint and its commit.
#[test]
fn a_job_survives_a_crash_at_its_end() {
    for point in CrashPoint::all().filter(|point| point.phase() != Phase::Savepoint) {
        let folder = job_with_one_checkpoint();
        let crashes = match point.phase() {
            Phase::Restore => format!("1:after-manifest:1:kill,2:{point}:1:kill"),
            _ => format!("1:{point}:1:kill"),
        };
        Running::start_with(folder.path(), &[], &[(VARIABLE, &crashes)]).wait(folder.path());
        assert!(said(folder.path()).contains(&marker(point)), "{point} is reached");
        assert_survived(folder.path(), &crashes);
    }
    // The last checkpoint of all says that everything is committed.
    let folder = job_with_one_checkpoint();
    Running::start_with(folder.path(), &[], &[(VARIABLE, "1:before-complete:2:kill")]).wait(folder.path());
    assert!(said(folder.path()).contains(&marker(CrashPoint::BeforeComplete)), "it comes there twice");
    assert_survived(folder.path(), "at the very end");
}

/// The machine is switched off there, and the user runs the job again: it goes on. Only when it is over it begins anew.
#[test]
fn a_job_that_lost_its_supervisor_at_its_end_goes_on_and_one_that_is_over_begins_anew() {
    for point in [CrashPoint::AfterManifest, CrashPoint::BeforeCommit, CrashPoint::AfterCommit] {
        let folder = job_with_one_checkpoint();
        let crashes = format!("1:{point}:1:stop");
        let mut running = Running::start_with(folder.path(), &[], &[(VARIABLE, &crashes)]);
        let workers = running.next_workers(&[]).expect("the job runs");
        wait_until("it is stopped", || is_stopped(workers[0]));
        drop(running);
        wait_until("its worker process has died with it", || !is_alive(workers[0]));
        Running::start(folder.path(), &[]).wait(folder.path());
        assert_survived(folder.path(), &crashes);
        Running::start(folder.path(), &[]).wait(folder.path());
        let twice = |lines: &Vec<String>| lines.iter().flat_map(|line| [line.clone(), line.clone()]).collect();
        assert_eq!(difference(&results(folder.path()), &EXPECTED.each_ref().map(twice)), None, "{crashes}");
    }
}

/// A seed from the environment, or else this one.
fn seed(otherwise: u64) -> u64 {
    std::env::var("TIDEWHEEL_SEED").map_or(otherwise, |text| text.parse().expect("TIDEWHEEL_SEED is a number"))
}

#[track_caller]
fn check_soak(seed: u64, backend: &'static str, workers: usize, processes: usize) {
    let soak = Soak { seed, kills: 10, backend, workers, processes, events: 300_000, rate: 60_000 };
    println!("{soak:?}; set TIDEWHEEL_SEED for another seed");
    let outcome = soak.run();
    assert!(outcome.kills >= 5, "{soak:?} was killed only {} times", outcome.kills);
    assert!(outcome.other_failures.is_empty(), "{soak:?} failed otherwise: {:?}", outcome.other_failures);
    assert_eq!(difference(&outcome.found, &expected(soak.events)), None, "{soak:?}");
}

#[test]
fn a_job_survives_random_kills() {
    check_soak(seed(1), "memory", 1, 1);
}

#[test]
fn the_same_with_two_workers() {
    check_soak(seed(2), "memory", 2, 1);
}

#[test]
fn the_same_with_state_in_rocksdb() {
    check_soak(seed(3), "rocksdb", 1, 1);
}

#[test]
fn the_same_with_two_processes() {
    check_soak(seed(4), "memory", 1, 2);
}

#[test]
fn the_same_with_two_processes_and_state_in_rocksdb() {
    check_soak(seed(5), "rocksdb", 1, 2);
}

/// Savepoints are finished, or are none.
#[test]
fn a_savepoint_is_finished_or_none_whenever_its_job_dies() {
    for (point, is_finished) in [(CrashPoint::BeforeSavepoint, false), (CrashPoint::AfterSavepoint, true)] {
        // Slow enough that it is not over before it is asked, however busy the machine is.
        let folder = folder_with(&[("job.toml", &job("memory", EVENTS, "rate = 15000"))]);
        let crashes = format!("1:{point}:1:kill");
        let running = Running::start_with(folder.path(), &[], &[(VARIABLE, &crashes)]);
        wait_until("it has committed something", || !finished(&folder.path().join("counts")).is_empty());
        let asked = run(folder.path(), &["savepoint", ".tidewheel/kill-me", "--to", "kept"]);
        assert_eq!(asked.code, 1, "{point}: nobody says that it is finished: {asked:?}");
        running.wait(folder.path());
        assert!(said(folder.path()).contains(&marker(point)));
        assert_survived(folder.path(), &crashes);
        let kept = fs::read_dir(folder.path().join("kept")).expect("rows were written").flatten().next();
        let url = kept.expect("one savepoint").path().display().to_string();
        let listed = run(folder.path(), &["state", "list", "--savepoint", &url]);
        assert_eq!(listed.code == 0, is_finished, "{point}: {listed:?}");
    }
}

/// Two runs of one job, with data folders of their own and one store, as on two machines.
fn job_with_store() -> TempDir {
    let spec =
        job("memory", EVENTS, "rate = 50000").replace("[checkpoint]\n", "[checkpoint]\nstore = 'store'\nkeep = 1000\n");
    folder_with(&[("job.toml", &spec)])
}

/// A machine is out of reach for a while: its worker process is stopped, and its supervisor if `with_supervisor`. The job
/// is started elsewhere; then the machine comes back.
#[track_caller]
fn check_zombie(crash: &str, with_supervisor: bool) {
    let folder = job_with_store();
    let path = folder.path();
    let mut zombie = Running::start_with(path, &["--data-dir", "there"], &[(VARIABLE, crash)]);
    let workers = zombie.next_workers(&[]).expect("the job runs");
    wait_until("it is stopped", || is_stopped(workers[0]));
    let zombie_said = path.join("zombie-stderr");
    fs::rename(path.join("stderr"), &zombie_said).expect("it is written to under any name");
    if with_supervisor {
        signal(zombie.pid(), "STOP");
    }
    let before = finished(&path.join("counts"));
    let successor = Running::start(path, &["--data-dir", "here"]);
    let more = || finished(&path.join("counts")).len() > before.len() + 1;
    wait_until("its successor has committed something", more);
    assert!(is_alive(workers[0]), "the zombie is still there");
    signal(workers[0], "CONT");
    signal(zombie.pid(), "CONT");
    let code = zombie.end();
    let zombie_said = fs::read_to_string(zombie_said).expect("text");
    assert_eq!(code, 1, "the zombie ends: {zombie_said}");
    assert!(zombie_said.contains("has been replaced by attempt 2: it ends without committing"), "{zombie_said}");
    successor.wait(path);
    assert!(!said(path).contains("failed"), "its successor is not disturbed: {}", said(path));
    assert_survived(path, crash);
    let listed = run(path, &["checkpoints", "--store", "store", "--json"]);
    let listed: serde_json::Value = serde_json::from_str(&listed.stdout).expect("one JSON object");
    let kept = listed["kept"].as_array().expect("a list");
    let of_attempt = |attempt: u64| kept.iter().filter(move |it| it["attempt"] == attempt).map(|it| it["id"].as_u64());
    let (last, next) = (of_attempt(1).max().flatten(), of_attempt(2).min().flatten());
    assert!(last < next, "the zombie has completed nothing after its successor began: {kept:?}");
}

#[test]
fn a_zombie_before_its_manifest_writes_no_slot() {
    check_zombie("1:before-manifest:3:stop", false);
}

#[test]
fn the_same_when_its_supervisor_was_away_too() {
    check_zombie("1:before-manifest:3:stop", true);
}

/// Its checkpoint is complete, and its output has been committed by who came after it.
#[test]
fn a_zombie_before_its_commit_commits_nothing() {
    check_zombie("1:before-commit:3:stop", false);
}

/// It has claimed its attempt and looked at nothing yet.
#[test]
fn a_zombie_before_it_settles_changes_nothing() {
    check_zombie("1:before-settle:1:stop", true);
}
