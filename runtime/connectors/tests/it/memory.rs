//! The connector in memory: control while running, backpressure, two-step commits.

use crate::harness::{Park, Shard, batch_of, context, options, read_split, read_to_end};
use std::path::Path;
use std::time::Duration;
use tidewheel_connectors::memory::{MemoryConnector, MemoryRecord, MemorySink, MemorySource};
use tidewheel_connectors::{ConnectorError, Registry, Sink, Source, WriteStatus};
use tidewheel_types::SplitIndex;

#[test]
fn a_source_yields_what_it_is_given_and_ends_when_told() {
    let source = MemorySource::new(2);
    let park = Park::new();
    let mut reader = source.open(4, SplitIndex(1), None, park.waker()).expect("open");
    let feeder = {
        let split = source.split(1).clone();
        std::thread::spawn(move || {
            split.push([MemoryRecord::new(5, "k", "a")]);
            split.push_malformed(b"?", "memory-1:1: not a record");
            split.push_values(["b"]);
            split.end();
        })
    };
    let content = read_to_end(reader.as_mut(), &park, 1).expect("readable");
    feeder.join().expect("no panic");
    assert_eq!(content.lines(), [(0, "a"), (2, "b")]);
    assert_eq!((content.batch.times[0], content.batch.keys.get(0)), (5, b"k".as_slice()));
    assert_eq!((content.batch.origins[1].source, content.batch.origins[1].split), (4, 1));
    assert_eq!(content.reasons(), ["memory-1:1: not a record"]);
}

#[test]
fn a_source_fails_when_told() {
    let source = MemorySource::of([vec![MemoryRecord::new(0, "", "a")]]);
    source.split(0).fail("the test");
    let error = read_split(&source, 0, 1000).err().expect("an error");
    assert_eq!(error.to_string(), "the test has stopped");
}

#[test]
fn a_sink_shows_what_is_committed() {
    let sink = MemorySink::new();
    let mut shard = Shard::open(&sink, "abc", 0).expect("open");
    shard.write(&["1", "2"]).expect("written");
    let handle = shard.stage(1).expect("staged");
    shard.write(&["3"]).expect("written");
    assert_eq!(sink.committed(), []);
    shard.commit(&handle).expect("committed");
    shard.commit(&handle).expect("a second commit does no harm");
    let texts = |records: &[MemoryRecord]| records.iter().map(|record| record.text().to_owned()).collect::<Vec<_>>();
    assert_eq!(texts(&sink.committed()), ["1", "2"]);
    assert_eq!(texts(&sink.taken()), ["1", "2", "3"]);
}

#[test]
fn a_full_sink_wakes_its_writers_when_it_has_room() {
    let sink = MemorySink::new();
    let park = Park::new();
    let mut writer = sink.open(context("abc", 0, &park)).expect("open");
    sink.set_full(true);
    park.wait();
    let mut batch = batch_of(&["1"]);
    assert_eq!(writer.write(&mut batch).expect("no error"), WriteStatus::Full);
    assert_eq!(batch.len(), 1, "a batch that is not taken is left as it is");
    sink.set_full(false);
    park.wait();
    assert_eq!(writer.write(&mut batch).expect("no error"), WriteStatus::Taken);
}

#[test]
fn a_slow_sink_fills_up() {
    let sink = MemorySink::slow(Duration::from_millis(5));
    let park = Park::new();
    let mut writer = sink.open(context("abc", 0, &park)).expect("open");
    let mut full = 0;
    for _ in 0..12 {
        let mut batch = batch_of(&["1"]);
        while writer.write(&mut batch).expect("no error") == WriteStatus::Full {
            full += 1;
            park.wait();
        }
    }
    assert!(full > 0, "twelve batches do not fit in the queue");
    drop(writer);
}

#[test]
fn it_is_registered_under_any_name() {
    let mut registry = Registry::built_in();
    registry.register("numbers", MemoryConnector::source(MemorySource::new(3)));
    assert_eq!(
        registry.names().collect::<Vec<_>>(),
        ["discard", "file", "hybrid", "nexmark", "numbers", "stdin", "stdout"]
    );
    let numbers = registry.get("numbers").expect("registered");
    let source = numbers.source(&mut options(""), Path::new("")).expect("a source");
    assert_eq!(source.splits().expect("splits"), ["memory-0", "memory-1", "memory-2"]);
    assert!(matches!(numbers.sink(&mut options(""), Path::new("")), Err(ConnectorError::NoSink { .. })));
}
