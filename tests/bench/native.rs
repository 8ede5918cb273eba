//! What the sandbox costs: each query as a component, called with frames of 1,000 bids, and as a native function over
//! the same bids. Grouping, state and the exchange are the engine's work either way and not part of it.

use crate::{component, median};
use nexmark_events::query::{self, Count, HighestBid};
use nexmark_events::{Bid, Results};
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use tidewheel_connectors::Registry;
use tidewheel_guest::{Call, CallShape, Export, FrameWriter, InstanceSettings, Runtime, RuntimeOptions, column};
use tidewheel_types::job::Options;
use tidewheel_types::keyed_state::ABSENT;
use tidewheel_types::{Batch, SplitIndex};

const BIDS: usize = 1_000;
const CALLS: usize = 2_000;
const RUNS: usize = 5;

/// Prints a table: per query the nanoseconds per bid of both, and their ratio.
pub(crate) fn run() {
    let bids = bids();
    println!("| query | guest ns/bid | native ns/bid | ratio |\n|---|---|---|---|");
    for name in ["q0", "q1", "q2", "q7", "q12", "qk"] {
        let (mut guest, mut native) = (Vec::new(), Vec::new());
        for _ in 0..RUNS {
            guest.push(guest_ns(name, &bids));
            native.push(native_ns(name, &bids));
        }
        let (guest, native) = (median(guest), median(native));
        println!("| {name} | {guest:.1} | {native:.1} | {:.1} |", guest / native);
    }
}

/// A batch of packed bids.
fn bids() -> Batch {
    let registry = Registry::built_in();
    let connector = registry.get("nexmark").expect("it is built in");
    let mut options = Options::parse("events = [\"bid\"]\nkeyspace = 1000000", "bench").expect("options");
    let source = connector.source(&mut options, Path::new("/")).expect("a source");
    let mut reader = source.open(0, SplitIndex(0), None, Arc::new(|| {})).expect("a reader");
    let (mut read, mut malformed) = (Batch::default(), Vec::new());
    while read.len() < BIDS {
        reader.read(Instant::now(), 1 << 16, &mut read, &mut malformed).expect("the generator does not fail");
    }
    let mut bids = Batch::default();
    bids.extend_from(&read, 0..BIDS);
    bids
}

fn guest_ns(name: &str, bids: &Batch) -> f64 {
    let runtime = Runtime::new(RuntimeOptions { cache_dir: None }).expect("a runtime");
    let settings = InstanceSettings { config: r#"{"results":"packed"}"#.to_owned(), ..InstanceSettings::default() };
    let component = runtime.load(&component(name)).expect("a component");
    let mut instance = component.instantiate(settings).expect("an instance");
    let (export, grouped) = match name {
        "q7" | "q12" => (Export::Accumulate, true),
        "qk" => (Export::Process, true),
        _ => (Export::Process, false),
    };
    let frame = frame(bids, grouped, export == Export::Accumulate);
    let groups = if grouped { BIDS as u32 } else { 0 };
    let shape = CallShape { records: BIDS as u32, groups, ..CallShape::default() };
    let call = Call { now: 0, watermark: i64::MIN, seed: 1 };
    let began = Instant::now();
    for _ in 0..CALLS {
        black_box(instance.call(export, call, &frame, &shape).expect("a call that returns"));
    }
    began.elapsed().as_nanos() as f64 / (CALLS * BIDS) as f64
}

/// The bids as a guest gets them; grouped, every bid is a group of its own, whose state is absent.
fn frame(bids: &Batch, grouped: bool, windowed: bool) -> Vec<u8> {
    let mut frame = Vec::new();
    let mut writer = FrameWriter::new(
        &mut frame,
        &[
            column::TIMES,
            column::KEY_ENDS,
            column::KEYS,
            column::RECORD_ENDS,
            column::CELL_ENDS,
            column::VALUE_ENDS,
            column::VALUES,
            column::WINDOWS,
        ],
    );
    writer.numbers(column::TIMES, &bids.times);
    if grouped {
        let ends: Vec<u32> = (1..=BIDS as u32).collect();
        writer.numbers(column::KEY_ENDS, &ends.iter().map(|end| end * 8).collect::<Vec<_>>());
        // The bidder.
        bids.values.iter().for_each(|bid| writer.column(column::KEYS).extend_from_slice(&bid[9..17]));
        writer.numbers(column::RECORD_ENDS, &ends);
        writer.numbers(column::CELL_ENDS, &vec![ABSENT; BIDS]);
    }
    writer.numbers(column::VALUE_ENDS, bids.values.ends());
    writer.column(column::VALUES).extend_from_slice(bids.values.bytes());
    if windowed {
        writer.numbers(column::WINDOWS, &[[0i64, 10_000]; BIDS]);
    }
    writer.finish();
    frame
}

fn native_ns(name: &str, bids: &Batch) -> f64 {
    let began = Instant::now();
    for _ in 0..CALLS {
        let mut out = Vec::new();
        let mut highest: Option<HighestBid> = None;
        for event in bids.values.iter() {
            let bid = Bid::read(event).expect("the generator makes bids");
            match name {
                "q0" => query::q0(event, &bid, Results::Packed, &mut out),
                "q1" => query::q1(event, &bid, Results::Packed, &mut out),
                "q2" => query::q2(&bid).iter().for_each(|result| Results::Packed.write(result, &mut out)),
                "q7" => highest = Some(highest.map_or((&bid).into(), |best| best.higher((&bid).into()))),
                "q12" => _ = black_box(1u64),
                _ => Results::Packed.write(&Count { bidder: bid.bidder, num: black_box(0) + 1 }, &mut out),
            }
        }
        black_box((out, highest));
    }
    began.elapsed().as_nanos() as f64 / (CALLS * BIDS) as f64
}
