//! A job that is not what it was when its checkpoint was taken: what it would lose is said before anything runs. And what
//! is changed while it runs takes effect when it is started again, not before.

use crate::recovery::{job, parts};
use std::fs;
use std::path::Path;
use tempfile::TempDir;
use tidewheel_tests::survival::{Running, committed, finished, said, signal, wait_until};
use tidewheel_tests::{Ended, folder_with, run};

const RATE: &str = "rate = 100000";

/// A job that has been killed with its worker: what its last checkpoint has staged may not be committed.
fn killed() -> TempDir {
    let folder = folder_with(&[("job.toml", &job("memory", RATE))]);
    let running = Running::start(folder.path(), &[]);
    wait_until("something is committed", || parts(folder.path()) > 3);
    drop(running);
    folder
}

/// Runs the job in `folder` with `to` in the place of `from`.
fn run_changed(folder: &Path, (from, to): (&str, &str), arguments: &[&str]) -> Ended {
    let text = job("memory", "");
    let changed = text.replace(from, to);
    assert_ne!(changed, text);
    fs::write(folder.join("job.toml"), changed).expect("a file");
    run(folder, &[&["run", "job.toml", "--quiet"], arguments].concat())
}

#[test]
fn what_a_changed_job_would_lose_of_its_checkpoint_is_refused() {
    let folder = killed();
    let folder = folder.path();
    let before = parts(folder);
    let in_front = "name = \"kill-me\"";
    let fewer = format!("max-parallelism = 64\n{in_front}");
    for (change, said) in [
        ((in_front, fewer.as_str()), "max-parallelism = 64, and its state was written with 128"),
        (("splits = 3", "splits = 2"), "the rest of 3 splits of source bids"),
        (("bids", "offers"), "the positions of source bids"),
        (("per-window", "windowed"), "per-window"),
        (("[sinks.counts]", "[sinks.totals]"), "the last output of sink counts"),
    ] {
        let ended = run_changed(folder, change, &[]);
        assert_eq!(ended.code, 2, "{}", ended.stderr);
        assert!(ended.stderr.contains(said), "{}", ended.stderr);
        assert!(ended.stderr.contains("hint: "), "{}", ended.stderr);
    }
    assert_eq!(parts(folder), before, "nothing has run");
}

#[test]
fn what_is_lost_with_the_users_leave_is_lost() {
    let folder = killed();
    let change = ("[sinks.counts]", "[sinks.totals]");
    let slip = run_changed(folder.path(), change, &["--allow-drop", "count"]);
    assert_eq!(slip.code, 2);
    assert!(slip.stderr.contains("--allow-drop count: nothing of that name would be dropped"), "{}", slip.stderr);
    let ended = run_changed(folder.path(), change, &["--allow-drop", "counts"]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert_eq!(run(folder.path(), &["run", "job.toml", "--quiet"]).code, 0, "it begins anew, and nothing is dropped");
}

/// The job, with a second source, of files, and a sink of its own for what is in them.
fn with_files() -> String {
    let files = "[sources.lines]\nconnector = \"file\"\npath = \"*.lines\"\nformat = \"lines\"\n\
                 [sinks.lines-out]\nconnector = \"file\"\ninput = \"lines\"\npath = \"lines/\"\nformat = \"lines\"\n";
    format!("{}{files}", job("memory", "rate = 50000"))
}

/// With two processes: each would find files of its own, and deal them out in another order.
#[test]
fn a_job_that_runs_goes_on_as_it_was_started() {
    let folder = folder_with(&[("job.toml", &with_files()), ("b.lines", "b\n"), ("d.lines", "d\n")]);
    let folder = folder.path();
    let mut running = Running::start(folder, &["--processes", "2"]).with_processes(2);
    wait_until("something is committed", || parts(folder) > 3);
    let workers = running.next_workers(&[]).expect("it runs");
    fs::write(folder.join("job.toml"), with_files().replace("counts/", "elsewhere/")).expect("a file");
    for name in ["a", "c"] {
        fs::write(folder.join(format!("{name}.lines")), format!("{name}\n")).expect("a file");
    }
    let before = parts(folder);
    signal(workers[0], "KILL");
    running.next_workers(&workers).expect("it is started again");
    wait_until("something more is committed", || parts(folder) > before + 2 || running.has_ended());
    assert!(!running.has_ended(), "{}", said(folder));
    assert!(!folder.join("elsewhere").exists());
    assert_eq!(committed(&folder.join("lines")), ["b", "d"]);
    drop(running);
    // Started again by hand it reads the files that have come since, from their beginning, and no other twice.
    fs::write(folder.join("job.toml"), with_files().replace("rate = 50000", "")).expect("a file");
    let ended = run(folder, &["run", "job.toml", "--quiet", "--workers", "3"]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert_eq!(committed(&folder.join("lines")), ["a", "b", "c", "d"]);
}

/// Restarted by itself or by hand, the job does not take a folder that it has made itself for one that has been emptied.
#[test]
fn a_sinks_folder_that_is_gone_is_not_made_anew() {
    let folder = killed();
    let folder = folder.path();
    let sink = folder.join("counts");
    fs::rename(&sink, folder.join("away")).expect("renamed");
    for _ in 0..2 {
        let ended = run(folder, &["run", "job.toml", "--quiet"]);
        assert_ne!(ended.code, 0);
        assert!(
            ended.stderr.contains("the sink's folder") && ended.stderr.contains("is not there"),
            "{}",
            ended.stderr
        );
        assert!(!ended.stderr.contains("starting again"), "{}", ended.stderr);
        assert!(!sink.exists());
    }
    fs::rename(folder.join("away"), &sink).expect("renamed");
    let ended = run(folder, &["run", "job.toml", "--quiet", "--set", "sources.bids.rate=10000000"]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(!finished(&sink).is_empty());
    crate::recovery::assert_same(&tidewheel_tests::survival::results(folder), &crate::recovery::expected());
}
