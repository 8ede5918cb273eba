//! History and what comes after it as one source.

use crate::harness::{Park, read_split, source};
use proptest::bool::weighted;
use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, prop_assert, prop_assert_eq, proptest};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use tempfile::TempDir;
use tidewheel_connectors::{ConnectorError, Position, ReadStatus, Source};
use tidewheel_types::{Batch, SplitIndex};

/// Events in history, and in all.
const HISTORY: usize = 60;
const ALL: usize = 100;

/// The values of the first events, in order.
fn events(count: usize) -> Vec<Vec<u8>> {
    let generator =
        source("nexmark", &format!("format = 'json'\nevents-max = {count}"), Path::new("")).expect("a source");
    let content = read_split(generator.as_ref(), 0, 1 << 20).expect("readable");
    content.batch.values.iter().map(<[u8]>::to_vec).collect()
}

/// A folder with history in so many files, in order, and what reads it and goes on with the rest.
fn history(files: usize) -> TempDir {
    let folder = TempDir::new().expect("a folder");
    let events = events(HISTORY);
    for (number, events) in events.chunks(HISTORY.div_ceil(files)).enumerate() {
        fs::write(folder.path().join(format!("{number}.jsonl")), events.join(&b'\n')).expect("a file");
    }
    folder
}

fn hybrid(folder: &Path, splits: u32) -> Arc<dyn Source> {
    let then = format!(
        "connector = 'nexmark', format = 'json', events-from = {HISTORY}, events-max = {ALL}, splits = {splits}"
    );
    let text = format!("first = {{ connector = 'file', path = '*.jsonl' }}\nthen = {{ {then} }}");
    source("hybrid", &text, folder).expect("a source")
}

/// Reads a split to its end; after each read whose turn it is it is opened again, as if by a process of its own. Gives its
/// values, and in which part it was after each read.
fn read(folder: &Path, splits: u32, split: u32, bytes_max: usize, restarts: &[bool]) -> (Batch, Vec<bool>) {
    let park = Park::new();
    let open = |position: Option<&Position>| {
        hybrid(folder, splits).open(0, SplitIndex(split), position, park.waker()).expect("it opens")
    };
    let (mut reader, mut batch, mut live) = (open(None), Batch::default(), Vec::new());
    for is_restart in restarts.iter().cycle() {
        match reader.read(Instant::now(), bytes_max, &mut batch, &mut Vec::new()).expect("readable") {
            ReadStatus::Ready | ReadStatus::Wait(_) => {}
            ReadStatus::Pending => park.wait(),
            ReadStatus::End => break,
        }
        let position = reader.position();
        live.push(position.0.get("then").is_some());
        if *is_restart {
            let stored: Value = serde_json::from_str(&position.0.to_string()).expect("JSON");
            reader = open(Some(&Position(stored)));
        }
    }
    (batch, live)
}

/// Where a split is: in which part, which file, which line. A file that is opened anew is looked at sooner or later, also
/// where nothing of it has been read.
fn place(position: &Value) -> Value {
    let mut place = position.clone();
    if let Some(position) = place.pointer_mut("/first/position").and_then(Value::as_object_mut) {
        position.remove("file");
    }
    place
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn history_and_then_what_comes_each_once(
        files in 1usize..5,
        splits in 1u32..4,
        bytes_max in 1usize..8_000,
        restarts in vec(weighted(0.4), 1..6),
    ) {
        let folder = history(files);
        let restarts = [restarts.as_slice(), &[false]].concat();
        let mut all = Vec::new();
        for split in 0..splits {
            let (batch, live) = read(folder.path(), splits, split, bytes_max, &restarts);
            prop_assert!(live.is_sorted(), "history is not read again");
            prop_assert!(batch.origins.iter().all(|origin| origin.split == split));
            // Files have no time of their own, and the generator has.
            let began = batch.times.iter().position(|&time| time != i64::MIN).unwrap_or(batch.len());
            prop_assert!(batch.times[began..].iter().all(|&time| time != i64::MIN));
            if splits == 1 {
                prop_assert_eq!(began, HISTORY);
                prop_assert!(batch.values.iter().eq(events(ALL).iter().map(Vec::as_slice)), "in order");
            }
            all.extend(batch.values.iter().map(<[u8]>::to_vec));
        }
        all.sort();
        let mut expected = events(ALL);
        expected.sort();
        prop_assert_eq!(all, expected);
    }
}

#[test]
fn history_is_what_was_there_when_the_job_began() {
    let folder = history(2);
    let park = Park::new();
    let open = |position: &Value| {
        hybrid(folder.path(), 1).open(0, SplitIndex(0), Some(&Position(position.clone())), park.waker())
    };
    fs::write(folder.path().join("2.jsonl"), "{}\n").expect("a file");
    let position = hybrid(folder.path(), 1).open(0, SplitIndex(0), None, park.waker()).expect("it opens").position();
    assert_eq!(position.0["first"]["left"], json!(["1.jsonl", "2.jsonl"]));

    let mut later = position.0.clone();
    later["first"]["left"] = json!([]);
    let opened = open(&later).expect("it opens").position();
    assert_eq!(place(&opened.0), place(&later), "what has come since is not read");
    fs::remove_file(folder.path().join("0.jsonl")).expect("removed");
    let error = open(&later).err().expect("it is gone").to_string();
    assert!(error.starts_with("0.jsonl: is gone, and has not been read to its end\n\nhint: put it back"), "{error}");
}

#[test]
fn what_is_wrong_with_a_part_is_said_of_it() {
    let error = |text: &str| source("hybrid", text, Path::new("")).map(drop).expect_err("it is wrong").to_string();
    assert_eq!(error("then = { connector = 'nexmark' }"), "job.toml:1: missing key \"first\"");
    let unknown = "first = { connector = 'fiel', path = 'a' }\nthen = { connector = 'nexmark' }";
    let message =
        "job.toml:1: \"connector\" in [first]: there is no connector \"fiel\"\n\nhint: did you mean \"file\"?";
    assert_eq!(error(unknown), message);
    let slip = "first = { connector = 'file', path = 'a.jsonl' }\nthen = { connector = 'nexmark', evnets-max = 3 }";
    assert!(error(slip).starts_with("job.toml:2: unknown key \"evnets-max\" in [then]"), "{}", error(slip));
    let nested = "first = { connector = 'hybrid' }\nthen = { connector = 'nexmark' }";
    assert!(error(nested).contains("there is no connector \"hybrid\""), "{}", error(nested));
    let missing = hybrid(Path::new("/nowhere-at-all"), 1).splits().expect_err("no file matches");
    assert!(matches!(missing, ConnectorError::Input { .. }), "{missing}");
}
