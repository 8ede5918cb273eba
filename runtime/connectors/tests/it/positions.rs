//! Positions: a split that is left anywhere and opened again there yields what one reader does.

use crate::harness::{Content, Park, read_split, source};
use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::bool::weighted;
use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, Strategy, prop_assert_eq, proptest};
use proptest::sample::select;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use tempfile::TempDir;
use tidewheel_connectors::memory::{MemoryRecord, MemorySource};
use tidewheel_connectors::{ConnectorError, Position, ReadStatus, Source};
use tidewheel_types::{Batch, SplitIndex};

/// Reads a split to its end, `bytes_max` bytes at a time. After each read whose turn it is in `restarts` it is opened
/// again, with the position as a snapshot would hold it; as if by a process of its own.
fn read_with_restarts(
    open: impl Fn() -> Arc<dyn Source>,
    split: u32,
    bytes_max: usize,
    restarts: &[bool],
) -> Result<Content, ConnectorError> {
    let mut content = Content { batch: Batch::default(), malformed: Vec::new() };
    let park = Park::new();
    let mut reader = open().open(0, SplitIndex(split), None, park.waker())?;
    let mut restarts = restarts.iter().cycle();
    loop {
        match reader.read(Instant::now(), bytes_max, &mut content.batch, &mut content.malformed)? {
            ReadStatus::Ready | ReadStatus::Wait(_) => {}
            ReadStatus::Pending => park.wait(),
            ReadStatus::End => return Ok(content),
        }
        if *restarts.next().expect("there are some") {
            let stored = serde_json::to_string(&reader.position()).expect("JSON");
            let position: Position = serde_json::from_str(&stored).expect("JSON");
            reader = open().open(0, SplitIndex(split), Some(&position), park.waker())?;
            assert_eq!(reader.position(), position, "nothing has been read since");
        }
    }
}

fn file(name: &str, folder: &Path) -> Arc<dyn Source> {
    source("file", &format!("path = '{name}'"), folder).expect("a source")
}

/// Writes a file as it is and compressed, and reads it with restarts.
fn check_file(name: &str, content: &[u8], bytes_max: usize, restarts: &[bool]) {
    let folder = TempDir::new().expect("a folder");
    fs::write(folder.path().join(name), content).expect("a file");
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content).expect("a vector takes everything");
    let compressed = format!("{name}.gz");
    fs::write(folder.path().join(&compressed), encoder.finish().expect("a vector takes everything")).expect("a file");
    for name in [name, &compressed] {
        let whole = read_split(file(name, folder.path()).as_ref(), 0, 1 << 20).expect("readable");
        let pieces = read_with_restarts(|| file(name, folder.path()), 0, bytes_max, restarts).expect("readable");
        assert_eq!(pieces.batch, whole.batch);
        assert_eq!(pieces.malformed, whole.malformed);
    }
}

/// Text of the bytes that formats look at, often with a byte order mark in front.
fn text() -> impl Strategy<Value = Vec<u8>> {
    let bytes = vec(select(b"ab1,,\"\"\n\n\n\r {}[]\xFF".to_vec()), 0..300);
    (weighted(0.3), bytes).prop_map(|(has_mark, text)| match has_mark {
        true => [b"\xEF\xBB\xBF", text.as_slice()].concat(),
        false => text,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn any_text_is_read_the_same(
        text in text(),
        bytes_max in 1usize..200,
        restarts in vec(weighted(0.4), 1..6),
    ) {
        let restarts = [restarts.as_slice(), &[false]].concat();
        check_file("a.txt", &text, bytes_max, &restarts);
        check_file("a.jsonl", &text, bytes_max, &restarts);
        check_file("a.csv", &[b"a,\"b\nc\"\n", text.as_slice()].concat(), bytes_max, &restarts);
    }

    #[test]
    fn generated_events_are_the_same(
        splits in 1u32..4,
        events_max in 0u64..500,
        bytes_max in 1usize..4000,
        restarts in vec(weighted(0.4), 1..6),
    ) {
        let options = format!("events-max = {events_max}\nsplits = {splits}");
        let open = || source("nexmark", &options, Path::new("")).expect("a source");
        for split in 0..splits {
            let whole = read_split(open().as_ref(), split, 1 << 20).expect("readable");
            let pieces = read_with_restarts(open, split, bytes_max, &restarts).expect("readable");
            prop_assert_eq!(pieces.batch, whole.batch);
        }
    }

    #[test]
    fn memory_is_read_again(count in 0usize..40, bytes_max in 1usize..200, restarts in vec(weighted(0.4), 1..6)) {
        let records = (0..count).map(|number| MemoryRecord::new(0, "k", number.to_string()));
        let memory = MemorySource::of([records.collect::<Vec<_>>()]);
        let open = || -> Arc<dyn Source> { Arc::new(memory.clone()) };
        let whole = read_split(&memory, 0, 1 << 20).expect("readable");
        let pieces = read_with_restarts(open, 0, bytes_max, &restarts).expect("readable");
        prop_assert_eq!(pieces.batch, whole.batch);
    }
}

#[test]
fn records_longer_than_blocks_are_read_the_same() {
    let mut text = String::new();
    for (line, length) in [300_000, 5, 131_072, 131_071, 0, 400_000].into_iter().enumerate() {
        text.push_str(&format!("{line},\"{}\nx\"\n", "y".repeat(length)));
    }
    let restarts = [true, false, false, false, true, false, false, false, false, false];
    check_file("a.csv", format!("n,text\n{text}").as_bytes(), 1, &restarts);
    check_file("a.txt", text.as_bytes(), 1, &restarts);
}

/// The position after the first of three lines of `a.txt`.
fn position_in(folder: &Path) -> Position {
    let park = Park::new();
    let mut reader = file("a.txt", folder).open(0, SplitIndex(0), None, park.waker()).expect("open");
    let mut batch = Batch::default();
    while batch.is_empty() {
        match reader.read(Instant::now(), 1, &mut batch, &mut Vec::new()).expect("readable") {
            ReadStatus::Pending => park.wait(),
            status => assert_eq!(status, ReadStatus::Ready),
        }
    }
    reader.position()
}

fn read_from(folder: &Path, position: &Position) -> Result<Content, ConnectorError> {
    let park = Park::new();
    let mut reader = file("a.txt", folder).open(0, SplitIndex(0), Some(position), park.waker())?;
    crate::harness::read_to_end(reader.as_mut(), &park, 1 << 20)
}

#[test]
fn a_file_that_has_changed_is_an_error() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("a.txt");
    fs::write(&path, "one\ntwo\nthree\n").expect("a file");
    let position = position_in(folder.path());
    assert_eq!(read_from(folder.path(), &position).expect("the same file").lines(), [(2, "two"), (3, "three")]);

    let error = || read_from(folder.path(), &position).err().expect("an error").to_string();
    fs::write(&path, "one\ntwo\n").expect("a file");
    assert!(error().contains("it has 8 bytes on disk and had 14"), "{}", error());
    fs::write(&path, "ONE\ntwo\nthree\n").expect("a file");
    assert!(error().contains("its first 14 bytes have changed"), "{}", error());
    assert!(error().contains("hint: put that file back"), "{}", error());
    fs::remove_file(&path).expect("removed");
    assert!(error().contains("cannot open "), "{}", error());

    // What is appended is read: nobody knew where the file would end.
    fs::write(&path, "one\ntwo\nthree\nfour\n").expect("a file");
    assert_eq!(read_from(folder.path(), &position).expect("the same file").batch.len(), 3);
}

#[test]
fn a_position_of_another_kind_is_an_error() {
    let folder = TempDir::new().expect("a folder");
    fs::write(folder.path().join("a.txt"), "one\n").expect("a file");
    let position = Position(serde_json::json!({ "next": 3 }));
    let error = read_from(folder.path(), &position).err().expect("an error");
    assert!(error.to_string().contains("is not one of this connector"), "{error}");
}

#[test]
fn what_cannot_be_read_again_is_refused_with_the_way_out() {
    let position = Position(serde_json::json!({ "offset": 3, "line": 2 }));
    let stdin = source("stdin", "", Path::new("")).expect("a source");
    let error = stdin.open(0, SplitIndex(0), Some(&position), Park::new().waker()).err().expect("an error");
    assert!(error.to_string().contains("hint: write the input to a file first"), "{error}");
    let device = source("file", "path = '/dev/null'\nformat = 'lines'", Path::new("")).expect("a source");
    let error = device.open(0, SplitIndex(0), Some(&position), Park::new().waker()).err().expect("an error");
    assert!(error.to_string().contains("is no regular file"), "{error}");
}

#[test]
fn a_rate_goes_on_without_the_time_in_between() {
    let open = || source("nexmark", "rate = 10\nformat = 'json'", Path::new("")).expect("a source");
    let position = Position(serde_json::json!({ "next": 1_000_000 }));
    let park = Park::new();
    let mut reader = open().open(0, SplitIndex(0), Some(&position), park.waker()).expect("open");
    let mut batch = Batch::default();
    let status = reader.read(Instant::now(), 1 << 20, &mut batch, &mut Vec::new()).expect("readable");
    assert_eq!(batch.origins.iter().map(|origin| origin.offset).collect::<Vec<_>>(), [1_000_000]);
    assert!(matches!(status, ReadStatus::Wait(_)), "{status:?}");
}
