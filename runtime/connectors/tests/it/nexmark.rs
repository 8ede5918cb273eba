//! Source `nexmark` against what other programs made of the same definition.

use crate::harness::{Content, Park, read_split, source};
use flate2::read::GzDecoder;
use proptest::prelude::{ProptestConfig, prop_assert, prop_assert_eq, proptest};
use serde_json::Value;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tidewheel_connectors::ReadStatus;
use tidewheel_types::{Batch, SplitIndex};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/nexmark").join(name)
}

/// The lines of a compressed fixture.
fn fixture_lines(name: &str) -> Vec<String> {
    let mut text = String::new();
    let file = File::open(fixture(name)).expect("a fixture");
    GzDecoder::new(file).read_to_string(&mut text).expect("text");
    text.lines().map(str::to_owned).collect()
}

/// All events of one split.
fn events(options: &str, split: u32) -> Content {
    let source = source("nexmark", options, Path::new("")).expect("a source");
    read_split(source.as_ref(), split, 10_000).expect("readable")
}

fn lines(content: &Content) -> Vec<String> {
    content.lines().into_iter().map(|(_, line)| line.to_owned()).collect()
}

#[test]
fn bids_are_those_of_the_reference() {
    let mut bids = lines(&events("events-max = 20000\nevents = ['bid']\nformat = 'json'", 0));
    bids.sort_unstable();
    assert!(bids == fixture_lines("q0.20000.jsonl.gz"));
}

#[test]
fn persons_and_auctions_are_those_of_the_reference() {
    let others = lines(&events("events-max = 20000\nevents = ['auction', 'person']\nformat = 'json'", 0));
    assert!(others == fixture_lines("persons-auctions.20000.jsonl.gz"));
}

#[test]
fn bidders_of_a_keyspace_are_those_of_the_reference() {
    let bids = events("events-max = 50000\nevents = ['bid']\nformat = 'json'\nkeyspace = 1000", 0);
    let mut counts: HashMap<u64, u64> = HashMap::new();
    let count = |(_, line): (u64, &str)| {
        let bidder = serde_json::from_str::<Value>(line).expect("JSON")["bidder"].as_u64().expect("a number");
        let count = counts.entry(bidder).or_default();
        *count += 1;
        format!("{{\"bidder\":{bidder},\"num\":{count}}}")
    };
    let mut counted: Vec<String> = bids.lines().into_iter().map(count).collect();
    counted.sort_unstable();
    assert!(counted == fixture_lines("qk-1000.50000.jsonl.gz"));
}

#[test]
fn both_forms_say_the_same() {
    let packed = events("events-max = 20000\nseed = 7\ninterval-us = 1234", 0);
    let json = events("events-max = 20000\nseed = 7\ninterval-us = 1234\nformat = 'json'", 0);
    assert_eq!(packed.batch.origins, json.batch.origins);
    assert_eq!(packed.batch.times, json.batch.times);
    for (index, (packed, json)) in packed.batch.values.iter().zip(json.batch.values.iter()).enumerate() {
        let (_, fields) = unpack(packed);
        let json: Value = serde_json::from_slice(json).expect("JSON");
        assert_eq!(fields.len(), json.as_object().expect("an object").len());
        for (name, value) in fields {
            assert_eq!(json[name], value, "{name} of event {index}");
        }
    }
}

#[test]
fn a_packed_bid_has_the_published_digest() {
    let digests = fs::read_to_string(fixture("digests.jsonl")).expect("a fixture");
    let published = digests.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let published = published.into_iter().find(|digest| digest["query"] == "q0").expect("q0");
    let bids = events(&format!("events-max = {}\nevents = ['bid']", published["events"]), 0);
    let hashes: Vec<u64> = bids.batch.values.iter().map(|bid| digest(&unpack(bid).1)).collect();
    let sum = hashes.iter().fold(0u64, |sum, hash| sum.wrapping_add(*hash));
    let xor = hashes.iter().fold(0, |xor, hash| xor ^ hash);
    assert_eq!(published["results"], hashes.len());
    assert_eq!(published["sum"], format!("{sum:016x}"));
    assert_eq!(published["xor"], format!("{xor:016x}"));
}

#[test]
fn offset_and_time_are_the_events_own() {
    let auctions = events("events-max = 102\nevents = ['auction']\nformat = 'json'\ninterval-us = 2500", 0);
    let offsets: Vec<u64> = auctions.batch.origins.iter().map(|origin| origin.offset).collect();
    assert_eq!(offsets, [1, 2, 3, 51, 52, 53, 101]);
    for (offset, (time, (_, line))) in offsets.iter().zip(auctions.batch.times.iter().zip(auctions.lines())) {
        assert_eq!(*time, 1_436_918_400_000 + *offset as i64 * 2500 / 1000);
        assert_eq!(serde_json::from_str::<Value>(line).expect("JSON")["dateTime"], *time);
    }
}

#[test]
fn a_rate_counts_events_that_nobody_wants() {
    let options = "events-max = 151\nevents = ['person']\nrate = 100";
    let source = source("nexmark", options, Path::new("")).expect("a source");
    let mut reader = source.open(0, SplitIndex(0), None, Park::new().waker()).expect("open");
    let start = Instant::now();
    let (mut batch, mut malformed) = (Batch::default(), Vec::new());
    let mut read_at = |millis: u64| {
        let now = start + Duration::from_millis(millis);
        let status = reader.read(now, 1 << 20, &mut batch, &mut malformed).expect("readable");
        (batch.len(), status)
    };
    assert_eq!(read_at(0), (1, ReadStatus::Wait(Duration::from_millis(10))));
    assert_eq!(read_at(499), (1, ReadStatus::Wait(Duration::from_millis(1))));
    assert_eq!(read_at(503), (2, ReadStatus::Wait(Duration::from_millis(7))));
    assert_eq!(read_at(10_000), (4, ReadStatus::End));
}

#[test]
fn a_read_ends_at_its_bytes() {
    let source = source("nexmark", "", Path::new("")).expect("a source");
    let mut reader = source.open(0, SplitIndex(0), None, Park::new().waker()).expect("open");
    let (mut batch, mut malformed) = (Batch::default(), Vec::new());
    let status = reader.read(Instant::now(), 10_000, &mut batch, &mut malformed).expect("readable");
    assert_eq!(status, ReadStatus::Ready);
    assert!((10_000..10_400).contains(&batch.size_bytes()), "{} bytes", batch.size_bytes());
}

#[test]
fn options_are_checked() {
    let error = |text: &str| source("nexmark", text, Path::new("")).err().expect("an error").to_string();
    assert!(error("splits = 0").contains("must be from 1 to 1024, not 0"));
    assert!(error("keyspace = 4294967296").contains("must be from 0 to 4294967295"));
    assert!(error("events = ['bids']").contains("did you mean \"bid\"?"), "{}", error("events = ['bids']"));
    assert!(error("evnts-max = 1").contains("did you mean \"events-max\"?"));
    assert!(error("rate = -1").contains("rate"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn any_number_of_splits_yields_the_same_events(splits in 1u32..=5, events_max in 0u64..400, seed in 0u64..1000) {
        let options = format!("events-max = {events_max}\nseed = {seed}");
        let whole = events(&options, 0);
        let mut seen = vec![false; events_max as usize];
        for split in 0..splits {
            let part = events(&format!("{options}\nsplits = {splits}"), split);
            prop_assert!(part.batch.origins.is_sorted_by_key(|origin| origin.offset));
            for (index, origin) in part.batch.origins.iter().enumerate() {
                let event = origin.offset as usize;
                prop_assert_eq!(origin.split, split);
                prop_assert!(!std::mem::replace(&mut seen[event], true));
                prop_assert_eq!(part.batch.values.get(index), whole.batch.values.get(event));
                prop_assert_eq!(part.batch.times[index], whole.batch.times[event]);
            }
        }
        prop_assert!(seen.into_iter().all(|seen| seen));
    }
}

const PERSON: &[(&str, bool)] = &[
    ("id", false),
    ("name", true),
    ("email", true),
    ("creditCard", true),
    ("city", true),
    ("state", true),
    ("dateTime", false),
    ("extra", true),
];
const AUCTION: &[(&str, bool)] = &[
    ("id", false),
    ("itemName", true),
    ("description", true),
    ("initialBid", false),
    ("reserve", false),
    ("dateTime", false),
    ("expires", false),
    ("seller", false),
    ("category", false),
    ("extra", true),
];
const BID: &[(&str, bool)] = &[
    ("auction", false),
    ("bidder", false),
    ("price", false),
    ("channel", true),
    ("url", true),
    ("dateTime", false),
    ("extra", true),
];

/// Type and fields of a packed event.
fn unpack(bytes: &[u8]) -> (u8, Vec<(&'static str, Value)>) {
    let (kind, mut rest) = bytes.split_first().expect("a type");
    let layout = [PERSON, AUCTION, BID][usize::from(*kind)];
    let mut take = |count: usize| {
        let (taken, left) = rest.split_at(count);
        rest = left;
        taken
    };
    let fields = layout.iter().map(|&(name, is_text)| {
        if !is_text {
            return (name, u64::from_le_bytes(take(8).try_into().expect("8 bytes")).into());
        }
        let len = u32::from_le_bytes(take(4).try_into().expect("4 bytes"));
        (name, std::str::from_utf8(take(len as usize)).expect("text").into())
    });
    let fields = fields.collect();
    assert_eq!(rest, b"", "nothing follows the last field");
    (*kind, fields)
}

/// One result's hash, as the benchmark defines it.
fn digest(fields: &[(&str, Value)]) -> u64 {
    const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
    fields.iter().fold(0, |hash, (_, value)| {
        let word = match value {
            Value::String(text) => {
                let bytes = text.as_bytes();
                bytes.len() as u64 | u64::from(bytes[0]) << 32 | u64::from(bytes[bytes.len() - 1]) << 40
            }
            number => number.as_u64().expect("a number"),
        };
        let z = (hash ^ word).wrapping_add(GOLDEN);
        let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    })
}
