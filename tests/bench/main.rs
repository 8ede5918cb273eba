//! The benchmarks: what `runtime/BENCHMARKS.md` says is measured here. Started by `cargo xtask bench`.
//!
//! Rates, processor time and memory are those of the real program in a process of its own; latencies are measured by a
//! sink inside this one. A figure is the median of several runs, and what is compared is run in turn.

mod boundary;
mod checkpoints;
mod flink;
mod languages;
mod latency;
mod leak;
mod memory;
mod native;
mod running;
mod state;
mod throughput;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The parts that need nothing else. They are measured when none is named, and so is `checkpoints`, which makes use of a
/// harness; `flink` needs one, and is measured only when asked for.
const PARTS: [(&str, fn()); 8] = [
    ("boundary", boundary::run),
    ("languages", languages::run),
    ("throughput", throughput::run),
    ("native", native::run),
    ("latency", latency::run),
    ("memory", memory::run),
    ("leak", leak::run),
    ("state", state::run),
];

const CHECKPOINTS: &str = "checkpoints";

const FLINK: &str = "flink";

fn main() -> ExitCode {
    match Wanted::read(std::env::args().skip(1)) {
        Ok(wanted) => {
            wanted.run();
            ExitCode::SUCCESS
        }
        Err(mistake) => {
            eprintln!("error: {mistake}");
            ExitCode::from(2)
        }
    }
}

/// What the command line asks for: `[PART]... [--harness FOLDER] [--events N]`.
#[derive(Default)]
struct Wanted {
    parts: Vec<String>,
    /// The harness of the other engine.
    harness: Option<PathBuf>,
    /// Events of each run beside it, and of those with checkpoints.
    events: Option<u64>,
}

impl Wanted {
    fn read(mut arguments: impl Iterator<Item = String>) -> Result<Wanted, String> {
        let mut wanted = Wanted::default();
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| format!("{argument} needs a value"));
            match argument.as_str() {
                "--harness" => wanted.harness = Some(PathBuf::from(value()?)),
                "--events" => {
                    let number = value()?;
                    wanted.events = Some(number.parse().map_err(|_| format!("{number:?} is no number of events"))?);
                }
                part if names().any(|name| name == part) => wanted.parts.push(argument),
                other => {
                    let names: Vec<&str> = names().collect();
                    return Err(format!("there is no {other:?} to measure, only {}", names.join(", ")));
                }
            }
        }
        let (names_flink, names_checkpoints) = (wanted.names(FLINK), wanted.names(CHECKPOINTS));
        match wanted.harness {
            None if names_flink => Err(format!("{FLINK} needs --harness FOLDER")),
            Some(_) if !names_flink && !names_checkpoints => {
                Err(format!("--harness FOLDER is for {FLINK} and {CHECKPOINTS}: name one"))
            }
            _ => Ok(wanted),
        }
    }

    /// Whether a part is named.
    fn names(&self, part: &str) -> bool {
        self.parts.iter().any(|named| named == part)
    }

    fn run(&self) {
        let is_wanted = |name: &str| self.parts.is_empty() || self.names(name);
        PARTS.iter().filter(|(name, _)| is_wanted(name)).for_each(|(_, run)| run());
        if is_wanted(CHECKPOINTS) {
            checkpoints::run(self.harness.as_deref(), self.events);
        }
        if let Some(harness) = self.harness.as_ref().filter(|_| self.names(FLINK)) {
            flink::run(harness, self.events);
        }
    }
}

/// What all parts are called.
fn names() -> impl Iterator<Item = &'static str> {
    PARTS.iter().map(|(name, _)| *name).chain([CHECKPOINTS, FLINK])
}

/// A component of the nexmark example.
fn component(name: &str) -> PathBuf {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../guest-examples/nexmark").join(name).with_extension("wasm");
    assert!(path.exists(), "{} is missing: run `cargo xtask bench`", path.display());
    path
}

/// The query's job: packed events from the generator, packed results to `sink`.
fn job(query: &str, source: &str, sink: &str) -> String {
    let path = |name: &str| component(name).display().to_string();
    let out = |component: &str| format!("[operators.out]\ncomponent = {:?}\ninput = \"events\"", path(component));
    let (key, operators) = match query {
        "q0x" => ("", out("q0") + "\nexchange = \"rebalance\""),
        "q0" | "q1" | "q2" => ("", out(query)),
        "q3" => ("", seller_sides(&path("sides"), &path("q3"), LOCAL, "")),
        "q5" => ("key = { bytes = \"1..9\" }", hottest(&path("q5-counts"), &path("q5"))),
        "q7" => ("key = { bytes = \"1..2\" }", two_stages(&path("q7"))),
        "q8" => ("", seller_sides(&path("sides"), &path("q8"), "", "\nwindow = { tumbling = \"10s\" }")),
        "q9" => ("key = { bytes = \"1..9\" }", out("q9")),
        "q11" => ("key = { bytes = \"9..17\" }", out("q12") + "\nwindow = { session = \"10s\" }"),
        "q12" => ("key = { bytes = \"9..17\" }", out("q12") + "\nwindow = { tumbling = \"10s\" }"),
        "qk" => ("keyspace = 1000000\nkey = { bytes = \"9..17\" }", out("qk")),
        other => panic!("there is no query {other}"),
    };
    let kinds = kinds(query);
    format!(
        "name = \"bench-{query}\"\n[sources.events]\nconnector = \"nexmark\"\nevents = {kinds:?}\n{key}\n{source}\n\
         {operators}\nconfig = {{ results = \"packed\" }}\n[sinks.results]\ninput = \"out\"\n{sink}\n"
    )
}

/// The events that a query reads. The others are made all the same, and dropped.
fn kinds(query: &str) -> &'static [&'static str] {
    match query {
        "q3" | "q8" => &["person", "auction"],
        "q9" => &["auction", "bid"],
        _ => &["bid"],
    }
}

/// What q3 is about.
const LOCAL: &str = "\nconfig = { category = 10, states = [\"OR\", \"ID\", \"CA\"] }";

/// q3 and q8: persons and auctions cut to what is needed, then joined by person.
fn seller_sides(sides: &str, join: &str, config: &str, window: &str) -> String {
    format!(
        "[operators.sides]\ncomponent = {sides:?}\ninput = \"events\"{config}\n\
         [operators.out]\ncomponent = {join:?}\ninput = \"sides\"\nkey = {{ bytes = \"1..9\" }}{window}"
    )
}

/// q5: the bids of each auction, then the auctions with the most.
fn hottest(counts: &str, hottest: &str) -> String {
    format!(
        "[operators.counts]\ncomponent = {counts:?}\ninput = \"events\"\n\
         window = {{ sliding = \"10s\", slide = \"2s\" }}\n\
         [operators.out]\ncomponent = {hottest:?}\ninput = \"counts\"\nkey = {{ bytes = \"24..32\" }}\n\
         window = {{ tumbling = \"2s\" }}"
    )
}

/// q7: the best of each part, then the best of all.
fn two_stages(component: &str) -> String {
    format!(
        "[operators.part]\ncomponent = {component:?}\ninput = \"events\"\nwindow = {{ tumbling = \"10s\" }}\n\
         config = {{ results = \"packed\" }}\n\
         [operators.out]\ncomponent = {component:?}\ninput = \"part\"\nkey = {{ bytes = \"0..1\" }}\n\
         window = {{ tumbling = \"10s\" }}"
    )
}

/// The middle one of some measurements.
fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
