//! Every example, as its user would run it, against what it should write; with 1, 2 and 3 workers.
//!
//! The expected results of nexmark were made by another engine from the same events; those of q4, q6 and q9 by a plain model.

use flate2::read::GzDecoder;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::symlink;
use std::path::Path;
use tempfile::TempDir;
use tidewheel_tests::{repo_root, run};

const WORKERS: [&str; 3] = ["1", "2", "3"];

/// A folder in which an example can be run without leaving anything in the repository.
pub(crate) fn example(name: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let entries = fs::read_dir(repo_root().join("guest-examples").join(name)).expect("the example is there");
    for entry in entries {
        let entry = entry.expect("a folder can be listed");
        if entry.file_name() != "out" {
            symlink(entry.path(), folder.path().join(entry.file_name())).expect("a link can be made");
        }
    }
    folder
}

/// Runs a job of an example and returns the lines of everything it wrote, sorted.
pub(crate) fn results(folder: &Path, job: &str, workers: &str) -> Vec<String> {
    results_with(folder, &[job, "--workers", workers])
}

/// The same, with these arguments of `tidewheel run`.
pub(crate) fn results_with(folder: &Path, arguments: &[&str]) -> Vec<String> {
    let ended = run(folder, &[&["run", "--quiet"], arguments].concat());
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{arguments:?}");
    let mut lines = Vec::new();
    gather(&folder.join("out"), &mut lines);
    lines.sort_unstable();
    lines
}

fn gather(folder: &Path, lines: &mut Vec<String>) {
    for entry in fs::read_dir(folder).expect("the job has written a folder") {
        let path = entry.expect("a folder can be listed").path();
        if path.is_dir() {
            gather(&path, lines);
        } else {
            let name = path.file_name().expect("a file has a name").to_string_lossy();
            assert!(name.starts_with("part-"), "{name} is left over");
            lines.extend(fs::read_to_string(&path).expect("results are text").lines().map(str::to_owned));
        }
    }
}

/// Compares without printing megabytes when something differs.
pub(crate) fn assert_same(found: &[String], expected: &[String], what: &str) {
    if let Some(line) = found.iter().zip(expected).position(|(found, expected)| found != expected) {
        panic!("{what}: line {line} is\n{}\nand should be\n{}", found[line], expected[line]);
    }
    assert_eq!(found.len(), expected.len(), "{what}: number of lines");
}

/// What an example should write.
pub(crate) fn expected(name: &str) -> Vec<String> {
    let text = fs::read_to_string(repo_root().join("guest-examples").join(name).join("expected.jsonl"));
    text.expect("the example has expected results").lines().map(str::to_owned).collect()
}

fn check(name: &str) {
    let expected = expected(name);
    for workers in WORKERS {
        let folder = example(name);
        assert_same(&results(folder.path(), "job.toml", workers), &expected, &format!("{name}, {workers} workers"));
    }
}

#[test]
fn word_count() {
    check("word-count");
}

#[test]
fn rfm() {
    check("rfm");
}

/// Its first version alone.
#[test]
fn swap() {
    check("swap");
}

/// The lines of a fixture of nexmark.
pub(crate) fn oracle(file: &str) -> Vec<String> {
    let file = File::open(repo_root().join("tests/fixtures/nexmark").join(file)).expect("the fixture is there");
    let mut text = String::new();
    GzDecoder::new(file).read_to_string(&mut text).expect("the fixture is gzip");
    text.lines().map(str::to_owned).collect()
}

/// Runs a query, with some settings of its source changed, against a fixture.
fn nexmark(query: &str, changes: &[(&str, &str)], fixture: &str) {
    let expected = oracle(fixture);
    let example = example("nexmark");
    let original = fs::read_to_string(example.path().join(format!("{query}.toml"))).expect("the query has a job");
    let mut job = changes.iter().fold(original, |job, (from, to)| {
        assert!(job.contains(from), "{query}.toml has no {from:?}");
        job.replace(from, to)
    });
    job = job.replace("connector = \"nexmark\"", "connector = \"nexmark\"\nsplits = 3");
    fs::write(example.path().join("job.toml"), job).expect("a file can be written");
    for workers in WORKERS {
        let found = results(example.path(), "job.toml", workers);
        assert_same(&found, &expected, &format!("{query}, {workers} workers, {fixture}"));
        fs::remove_dir_all(example.path().join("out")).expect("a folder can be removed");
    }
}

#[test]
fn nexmark_q0() {
    nexmark("q0", &[], "q0.20000.jsonl.gz");
}

#[test]
fn nexmark_q1() {
    nexmark("q1", &[], "q1.20000.jsonl.gz");
}

#[test]
fn nexmark_q2() {
    nexmark("q2", &[], "q2.200000.jsonl.gz");
}

#[test]
fn nexmark_q3() {
    nexmark("q3", &[], "q3.200000.jsonl.gz");
}

/// Runs a query about winning bids with little event time, in which nothing closes before the end, and with more.
fn nexmark_winning(query: &str) {
    nexmark(query, &[("interval-us = 10000", "interval-us = 100")], &format!("{query}.20000-100us.jsonl.gz"));
    nexmark(query, &[], &format!("{query}.20000-10000us.jsonl.gz"));
}

#[test]
fn nexmark_q4() {
    nexmark_winning("q4");
}

#[test]
fn nexmark_q5() {
    nexmark("q5", &[], "q5.200000.jsonl.gz");
    nexmark("q5", &[("events-max = 200000", "events-max = 2000000")], "q5.2000000.jsonl.gz");
}

#[test]
fn nexmark_q6() {
    nexmark_winning("q6");
}

#[test]
fn nexmark_q7() {
    nexmark("q7", &[], "q7.200000.jsonl.gz");
    nexmark("q7", &[("events-max = 200000", "events-max = 2000000")], "q7.2000000.jsonl.gz");
}

#[test]
fn nexmark_q8() {
    nexmark("q8", &[], "q8.200000.jsonl.gz");
    nexmark("q8", &[("events-max = 200000", "events-max = 2000000")], "q8.2000000.jsonl.gz");
}

#[test]
fn nexmark_q9() {
    nexmark_winning("q9");
}

#[test]
fn nexmark_q11() {
    nexmark("q11", &[], "q11.200000.jsonl.gz");
    nexmark("q11", &[("events-max = 200000", "events-max = 2000000")], "q11.2000000.jsonl.gz");
}

#[test]
fn nexmark_q12() {
    nexmark("q12", &[], "q12.200000.jsonl.gz");
    nexmark("q12", &[("events-max = 200000", "events-max = 2000000")], "q12.2000000.jsonl.gz");
}

#[test]
fn nexmark_qk() {
    nexmark("qk", &[], "qk.200000.jsonl.gz");
    let small = [("events-max = 200000", "events-max = 50000"), ("keyspace = 1000000", "keyspace = 1000")];
    nexmark("qk", &small, "qk-1000.50000.jsonl.gz");
}
