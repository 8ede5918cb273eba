//! What it costs to cross into a guest and back, with records of 100 bytes: a map and a keyed counter whose state rides
//! along, each written by hand and with the SDK, in batches of several sizes.
//!
//! The host's side is included: the frame is written from columns, what comes back is checked and put into columns.
//! Finding a record's group and its state is the engine's work and is not; every record is a group of its own, which is
//! the dearest case. Processor time of the one thread is counted, not time by the clock, so that other programs on the
//! machine disturb less.

use crate::median;
use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::time::Duration;
use tidewheel_guest::{Call, CallShape, Export, FrameWriter, Instance, InstanceSettings, Output, Runtime};
use tidewheel_guest::{RuntimeOptions, column};
use tidewheel_tests::guest;
use tidewheel_types::batch::Headers;
use tidewheel_types::keyed_state::Cells;
use tidewheel_types::{Batch, BytesColumn, Origin};

const BATCHES: [usize; 4] = [1, 10, 100, 1_000];
const VALUE_BYTES: usize = 100;

/// Records of a run, so many that it takes some tenths of a second: processor time is counted in ticks of the kernel.
const RECORDS: usize = 8_000_000;

/// Calls of a run at most: those of a record each are slow.
const CALLS_MAX: usize = 200_000;

const RUNS: usize = 5;

/// The guests: what each does, what it is written with, and its component.
const GUESTS: [(&str, &str, Kind, &str); 4] = [
    ("map", "by hand", Kind::Map, "boundary-map"),
    ("map", "SDK", Kind::Map, "boundary-map-sdk"),
    ("keyed counter", "by hand", Kind::Count, "boundary-count"),
    ("keyed counter", "SDK", Kind::Count, "boundary-count-sdk"),
];

/// What a guest does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Each value with its first byte changed.
    Map,
    /// The count of each key, in eight bytes, as its state is.
    Count,
    /// The count of each word, in JSON; its state is in postcard.
    WordCount,
}

/// Prints a table: per guest the nanoseconds per record for each size of batch.
pub(crate) fn run() {
    println!("| guest | written | batch of 1 | 10 | 100 | 1,000 |\n|---|---|---|---|---|---|");
    let runtime = Runtime::new(RuntimeOptions { cache_dir: None }).expect("a runtime");
    let mut crossings = GUESTS.map(|(_, _, kind, name)| Crossing::new(&runtime, kind, &guest(name)));
    // In turn, so that a slow moment of the machine hits all of them.
    let mut figures = vec![[const { Vec::new() }; BATCHES.len()]; GUESTS.len()];
    for _ in 0..RUNS {
        for (crossing, figures) in crossings.iter_mut().zip(&mut figures) {
            for (&records, figures) in BATCHES.iter().zip(figures) {
                figures.push(crossing.measure(records, RECORDS));
            }
        }
    }
    for ((guest, written, ..), figures) in GUESTS.iter().zip(figures) {
        let cells: Vec<String> = figures.into_iter().map(|figures| format!("{:.1}", median(figures))).collect();
        println!("| {guest} | {written} | {} |", cells.join(" | "));
    }
}

/// A guest, and what the host needs to call it.
pub(crate) struct Crossing {
    pub(crate) instance: Instance,
    kind: Kind,
    /// Reused from call to call, as in the engine.
    frame: Vec<u8>,
}

impl Crossing {
    pub(crate) fn new(runtime: &Runtime, kind: Kind, component: &Path) -> Crossing {
        let component = runtime.load(component).expect("a component");
        let instance = component.instantiate(InstanceSettings::default()).expect("an instance");
        let mut crossing = Crossing { instance, kind, frame: Vec::new() };
        crossing.check();
        crossing
    }

    /// The nanoseconds per record in batches of so many records, of about so many in all.
    pub(crate) fn measure(&mut self, records: usize, all: usize) -> f64 {
        let (batch, cells) = input(records, self.kind);
        let calls = (all / records).min(CALLS_MAX);
        let began = cpu_time();
        for _ in 0..calls {
            black_box(self.cross(&batch, &cells));
        }
        (cpu_time() - began).as_nanos() as f64 / (calls * records) as f64
    }

    /// There and back: what the guest gave, and the batch made of it.
    fn cross(&mut self, batch: &Batch, cells: &Cells) -> (Output, Batch) {
        self.write_frame(batch, cells);
        let groups = if self.kind == Kind::Map { 0 } else { batch.len() as u32 };
        let shape = CallShape { records: batch.len() as u32, groups, ..CallShape::default() };
        let call = Call { now: 0, watermark: i64::MIN, seed: 1 };
        let output = self.instance.call(Export::Process, call, &self.frame, &shape).expect("a call that returns");
        let emitted = emitted(&output, batch);
        (output, emitted)
    }

    fn write_frame(&mut self, batch: &Batch, cells: &Cells) {
        let columns = [
            column::TIMES,
            column::KEY_ENDS,
            column::KEYS,
            column::RECORD_ENDS,
            column::CELL_ENDS,
            column::CELLS,
            column::VALUE_ENDS,
            column::VALUES,
        ];
        let mut writer = FrameWriter::new(&mut self.frame, &columns);
        writer.numbers(column::TIMES, &batch.times);
        writer.numbers(column::KEY_ENDS, batch.keys.ends());
        writer.column(column::KEYS).extend_from_slice(batch.keys.bytes());
        if self.kind != Kind::Map {
            let ends = writer.column(column::RECORD_ENDS);
            (1..=batch.len() as u32).for_each(|end| ends.extend_from_slice(&end.to_le_bytes()));
            writer.numbers(column::CELL_ENDS, &cells.ends);
            writer.column(column::CELLS).extend_from_slice(&cells.bytes);
        }
        writer.numbers(column::VALUE_ENDS, batch.values.ends());
        writer.column(column::VALUES).extend_from_slice(batch.values.bytes());
        writer.finish();
    }

    /// That the guest does what it is measured for.
    fn check(&mut self) {
        let (batch, cells) = input(10, self.kind);
        let (output, emitted) = self.cross(&batch, &cells);
        assert_eq!((output.len(), emitted.len()), (10, 10));
        for index in 0..10 {
            let expected = match self.kind {
                Kind::Map => [&[8][..], &[9; VALUE_BYTES - 1]].concat(),
                Kind::Count => (index as u64 + 1).to_le_bytes().to_vec(),
                Kind::WordCount => {
                    format!("{{\"word\":\"{}\",\"count\":{}}}", word(index as u64), index + 1).into_bytes()
                }
            };
            assert_eq!(emitted.values.get(index), expected);
        }
        assert_eq!(output.writes().count(), if self.kind == Kind::Map { 0 } else { 10 });
    }
}

/// The time this thread has spent on a processor.
pub(crate) fn cpu_time() -> Duration {
    let stat = fs::read_to_string("/proc/thread-self/schedstat").expect("Linux counts the time of threads");
    let nanos = stat.split(' ').next().and_then(|nanos| nanos.parse().ok());
    Duration::from_nanos(nanos.expect("the first number is the time on a processor"))
}

/// The records emitted, with key, time and origin of those they were made from, as the engine does it.
fn emitted(output: &Output, from: &Batch) -> Batch {
    let sources = || output.sources().map(|source| source as usize);
    let ends = output.value_ends().as_chunks().0.iter().map(|&end| u32::from_le_bytes(end)).collect();
    let mut keys = BytesColumn::default();
    match output.sources_are_identity() {
        true => keys.extend_from(&from.keys, 0..output.len()),
        false => sources().for_each(|source| keys.push(from.keys.get(source))),
    }
    Batch {
        times: sources().map(|source| from.times[source]).collect(),
        keys,
        values: BytesColumn::from_parts(ends, output.values().to_vec()).expect("checked when the call returned"),
        origins: sources().map(|source| from.origins[source]).collect(),
        headers: Headers::default(),
        changes: Vec::new(),
    }
}

/// Records with a key each, and the state of each key: the number of the record.
fn input(records: usize, kind: Kind) -> (Batch, Cells) {
    let (mut batch, mut cells) = (Batch::default(), Cells::default());
    for index in 0..records as u64 {
        let origin = Origin { offset: index, source: 0, split: 0 };
        match kind {
            Kind::WordCount => {
                let word = word(index);
                batch.push(index as i64, word.as_bytes(), word.as_bytes(), origin);
                cells.push(Some(&postcard(index)));
            }
            Kind::Map | Kind::Count => {
                batch.push(index as i64, &index.to_be_bytes(), &[9; VALUE_BYTES], origin);
                cells.push(Some(&index.to_le_bytes()));
            }
        }
    }
    (batch, cells)
}

/// A word of 100 letters and digits.
fn word(number: u64) -> String {
    format!("{number:w>VALUE_BYTES$}")
}

/// A number as the format `postcard` has it: seven bits a byte, the lowest first.
fn postcard(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number > 0x7f {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}
