//! What an operator costs in each language: the size of its component, its start from the cache of compiled code, its memory, and
//! a record of 100 bytes in batches of 1,000.
//!
//! Size, start and memory are those of the word counter of `guest-examples/word-count`, which there is in every language; records
//! are those of that one, too, and of the map and the keyed counter of [`boundary`](crate::boundary), where there is an SDK.

use crate::boundary::{Crossing, Kind, cpu_time};
use crate::median;
use std::path::Path;
use std::time::Instant;
use tidewheel_guest::{InstanceSettings, Runtime, RuntimeOptions};
use tidewheel_tests::{guest, repo_root};

/// A language: its name, how names of components end in `word-count` and among the fixtures, and of about how many records a
/// run is.
struct Language {
    name: &'static str,
    example: &'static str,
    fixture: Option<&'static str>,
    records: usize,
}

const LANGUAGES: [Language; 5] = [
    Language { name: "Rust", example: "", fixture: Some("-sdk"), records: 2_000_000 },
    Language { name: "Go", example: "-go", fixture: Some("-go"), records: 300_000 },
    Language { name: "Python", example: "-python", fixture: Some("-python"), records: 40_000 },
    Language { name: "TypeScript", example: "-js", fixture: None, records: 40_000 },
    Language { name: "C", example: "-c", fixture: None, records: 1_000_000 },
];

const BATCH: usize = 1_000;

const RUNS: usize = 5;

/// Starts, of which one takes so long on average.
const STARTS: u32 = 40;

/// Prints a table with a row for each language, and one for Python's batch form.
pub(crate) fn run() {
    // One for all: what takes long to compile is compiled once.
    let cache = tempfile::tempdir().expect("a temporary folder can be made");
    let cache = cache.path();
    println!(
        "| language | component KiB | compile s | start ms | memory MiB, after records | map ns | keyed counter ns | word counter ns |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for language in &LANGUAGES {
        row(language, cache);
    }
    let batches = nanoseconds(Kind::Map, &guest("boundary-map-batch-python"), 40_000, cache).0;
    println!("\nPython, a map that takes all records of a call at once: {batches:.0} ns");
}

fn row(language: &Language, cache: &Path) {
    let component = repo_root().join(format!("guest-examples/word-count/count{}.wasm", language.example));
    assert!(component.exists(), "{} is missing: run `cargo xtask bench`", component.display());
    let size = std::fs::metadata(&component).expect("a file").len().div_ceil(1024);
    let (compile, start) = starts(&component, cache);
    let (words, memory, memory_after) = nanoseconds(Kind::WordCount, &component, language.records, cache);
    let fixtures = [(Kind::Map, "boundary-map"), (Kind::Count, "boundary-count")].map(|(kind, name)| {
        let Some(suffix) = language.fixture else { return "".to_owned() };
        format!("{:.0}", nanoseconds(kind, &guest(&format!("{name}{suffix}")), language.records, cache).0)
    });
    let [map, count] = fixtures;
    println!(
        "| {} | {size} | {compile:.1} | {start:.2} | {memory:.1}, {memory_after:.1} | {map} | {count} | {words:.0} |",
        language.name
    );
}

/// How long it takes to compile a component, in seconds by the clock; and to load it compiled, make an instance and open it, in
/// milliseconds of this thread on a processor, so that other programs disturb less: on average, since the kernel counts in steps
/// that are longer than a start may be.
fn starts(component: &Path, cache: &Path) -> (f64, f64) {
    let began = Instant::now();
    runtime(cache).load(component).expect("a component");
    let compile = began.elapsed().as_secs_f64();
    let runtime = runtime(cache);
    let began = cpu_time();
    for _ in 0..STARTS {
        let component = runtime.load(component).expect("a component");
        component.instantiate(InstanceSettings::default()).expect("an instance");
    }
    (compile, 1e3 * (cpu_time() - began).as_secs_f64() / f64::from(STARTS))
}

fn runtime(cache: &Path) -> Runtime {
    Runtime::new(RuntimeOptions { cache_dir: Some(cache.to_owned()) }).expect("a runtime")
}

/// Nanoseconds of processor time per record; and the MiB of memory an instance has at first, and after those records.
///
/// Each run has an instance of its own: what a language does not give back is not to slow the next one down.
fn nanoseconds(kind: Kind, component: &Path, records: usize, cache: &Path) -> (f64, f64, f64) {
    let runtime = runtime(cache);
    let mib = |crossing: &Crossing| crossing.instance.memory_bytes() as f64 / f64::from(1 << 20);
    let (mut before, mut after) = (0.0, 0.0);
    let mut figures = Vec::new();
    for _ in 0..RUNS {
        let mut crossing = Crossing::new(&runtime, kind, component);
        before = mib(&crossing);
        figures.push(crossing.measure(BATCH, records));
        after = mib(&crossing);
    }
    (median(figures), before, after)
}
