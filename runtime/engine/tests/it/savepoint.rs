//! An operator is swapped from savepoint to savepoint: values of older schema versions go through the newer component's
//! `migrate`, each once, and what was done is not done again.

use crate::common::{TIMEOUT, TestJob, durability, wait_until};
use std::path::Path;
use std::sync::Arc;
use tidewheel_checkpoint::Store;
use tidewheel_checkpoint::savepoint::Savepoint;
use tidewheel_connectors::memory::{MemoryRecord, MemorySource};
use tidewheel_engine::{After, EngineError, JobOptions, StartFrom};
use tidewheel_state::BackendKind;

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

/// The entries of an operator: state, value and expiry.
fn entries(savepoint: &Savepoint, operator: &str) -> Vec<(String, String, Option<i64>)> {
    let mut rows = savepoint.rows(operator, 0..u16::MAX);
    let mut entries = Vec::new();
    while let Some(row) = rows.next().expect("the rows are as they were written") {
        entries.push((row.state.to_owned(), String::from_utf8_lossy(row.value).into_owned(), row.expiry_ms));
    }
    entries
}

const ALL_STATES: &str = "
[sources.in]
connector = 'in'
[operators.echo]
component = 'echo.wasm'
input = 'in'
[operators.op]
component = 'all-states.wasm'
input = 'echo'
[sinks.out]
connector = 'out'
input = 'op'
";

const WINDOWS: &str = "
[sources.in]
connector = 'in'
[operators.op]
component = 'sum.wasm'
input = 'in'
key = { bytes = '7..8' }
window = { tumbling = '10s' }
[sinks.out]
connector = 'out'
input = 'op'
";

/// A job on one worker that works in `folder`.
fn options(folder: &Path, name: &str, origin: StartFrom) -> JobOptions {
    JobOptions {
        state: (BackendKind::Memory, folder.join(format!("state-{name}"))),
        durability: Some(durability(folder, origin)),
        ..JobOptions::workers(1)
    }
}

/// Lets the operator `op` take the records, one push after the other, stops it with a savepoint, and gives that and what
/// came out. Every run has a source of its own, that begins at its beginning.
fn run(
    folder: &Path,
    text: &str,
    pushes: impl IntoIterator<Item = Vec<MemoryRecord>>,
    (name, drain): (&str, bool),
    origin: StartFrom,
) -> (Savepoint, Vec<MemoryRecord>) {
    let source = MemorySource::new(1);
    let text =
        text.replace("sources.in", &format!("sources.{name}")).replace("input = 'in'", &format!("input = '{name}'"));
    let (job, out) = TestJob::new(&text).source("in", &source).sink("out");
    let job = job.start_with(options(folder, name, origin));
    let mut pushed = 0;
    for records in pushes {
        pushed += records.len() as u64;
        let watermark = records.iter().map(|record| record.time).max().expect("a push has records") - 1;
        source.split(0).push(records);
        wait_until("the records are taken", || {
            let counters = job.counters();
            let op = counters.nodes.iter().find(|node| node.name == "op").expect("it is there");
            op.records_in >= pushed && op.watermark.0 >= watermark
        });
    }
    let url = folder.join(name).to_string_lossy().into_owned();
    let done = job.control().snapshot(Some(url.clone()), After::Stop { drain });
    done.recv().expect("an answer").expect("a savepoint");
    job.wait();
    let savepoint = Savepoint::open(&Store::open(&url, folder).expect("a store")).expect("it is complete");
    (savepoint, out.committed())
}

fn from(savepoint: Savepoint) -> StartFrom {
    StartFrom::Savepoint(Arc::new(savepoint))
}

#[test]
fn what_lives_by_the_watermark_is_there_when_event_time_has_ended() {
    let folder = tempfile::tempdir().expect("a folder");
    // `recent` lives a second, but of key 0, which came before the first watermark: that of key 1 has gone in the end.
    let words = [(1000, "0", "first"), (1001, "1", "a"), (1500, "2", "b"), (2000, "3", "c")];
    let pushes = words.map(|(time, key, word)| vec![MemoryRecord::new(time, key, word)]);
    let (savepoint, _) = run(folder.path(), ALL_STATES, pushes, ("first", true), StartFrom::Nothing);
    let mut recent: Vec<_> = entries(&savepoint, "op").into_iter().filter(|(state, ..)| state == "recent").collect();
    recent.sort();
    let word = |word: &str, expiry| ("recent".to_owned(), word.to_owned(), expiry);
    assert_eq!(recent, [word("b", Some(2000)), word("c", Some(2499)), word("first", None)]);
}

#[test]
fn what_had_no_expiry_when_it_was_saved_gets_one_when_it_is_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let push = |time, key: &str, word: &str| vec![MemoryRecord::new(time, key, word)];
    let (savepoint, _) = run(folder.path(), ALL_STATES, [push(1000, "0", "a")], ("first", false), StartFrom::Nothing);
    // `kept` lives a second from when it was read last.
    let pushes = [push(3000, "1", "x"), push(3001, "0", "?"), push(5000, "1", "x"), push(5001, "0", "?")];
    let (_, told) = run(folder.path(), ALL_STATES, pushes, ("second", false), from(savepoint));
    let of_key: Vec<&str> = told.iter().map(MemoryRecord::text).filter(|text| text.contains(" kept=")).collect();
    assert_eq!(of_key.len(), 2, "{of_key:?}");
    assert!(of_key[0].ends_with(" kept=a:1"), "{of_key:?}");
    assert!(of_key[1].ends_with(" kept="), "{of_key:?}");
}

#[test]
fn the_first_call_after_a_restart_can_meet_more_state_than_fits_into_it() {
    const KEYS: usize = 40;
    let folder = tempfile::tempdir().expect("a folder");
    let key = |number: usize| format!("{number:02}");
    let word = |number: usize| key(number).repeat(200_000);
    let words = (0..KEYS).map(|number| vec![MemoryRecord::new(1000, key(number), word(number))]);
    let (savepoint, _) = run(folder.path(), ALL_STATES, words, ("first", false), StartFrom::Nothing);
    let questions = (0..KEYS).map(|number| MemoryRecord::new(1001, key(number), "?")).collect();
    let (_, told) = run(folder.path(), ALL_STATES, [questions], ("second", false), from(savepoint));
    assert_eq!(told.len(), KEYS);
    for record in &told {
        let number = String::from_utf8_lossy(&record.key).parse().expect("a number");
        assert!(record.text().contains(&format!(" recent={} ", word(number))), "key {number}");
    }
}

#[test]
fn windows_of_another_size_do_not_go_on_with_those_that_are_open() {
    let folder = tempfile::tempdir().expect("a folder");
    let number = || vec![MemoryRecord::new(5000, "", 7u64.to_le_bytes())];
    let larger = WINDOWS.replace("10s", "20s");
    let (open, out) = run(folder.path(), WINDOWS, [number()], ("open", false), StartFrom::Nothing);
    assert!(out.is_empty());
    let (job, _) = TestJob::new(&larger).source("in", &MemorySource::new(1)).sink("out");
    let refused = job.try_start_with(options(folder.path(), "refused", from(open.clone()))).err();
    assert!(matches!(refused, Some(EngineError::Shape(_))), "{refused:?}");
    let (_, out) = run(folder.path(), WINDOWS, [number()], ("drained", true), from(open));
    assert_eq!(out.len(), 1, "the window has both numbers");
    let drained = folder.path().join("drained").to_string_lossy().into_owned();
    let drained = Savepoint::open(&Store::open(&drained, folder.path()).expect("a store")).expect("it is complete");
    let (_, out) = run(folder.path(), &larger, [number()], ("larger", true), from(drained));
    assert_eq!(out.len(), 1);
}
