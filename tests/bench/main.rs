//! The benchmarks: what `runtime/BENCHMARKS.md` says is measured here. Started by `cargo xtask bench`.
//!
//! Rates, processor time and memory are those of the real program in a process of its own; latencies are measured by a
//! sink inside this one. A figure is the median of several runs, and what is compared is run in turn.

mod latency;
mod memory;
mod native;
mod throughput;

use std::path::{Path, PathBuf};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let wanted = |name: &str| arguments.is_empty() || arguments.iter().any(|argument| argument == name);
    if wanted("throughput") {
        throughput::run();
    }
    if wanted("native") {
        native::run();
    }
    if wanted("latency") {
        latency::run();
    }
    if wanted("memory") {
        memory::run();
    }
}

/// A component of the nexmark example.
fn component(name: &str) -> PathBuf {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../guest-examples/nexmark").join(name).with_extension("wasm");
    assert!(path.exists(), "{} is missing: run `cargo xtask bench`", path.display());
    path
}

/// The query's job: packed bids from the generator, packed results to `sink`.
fn job(query: &str, source: &str, sink: &str) -> String {
    let path = |name: &str| component(name).display().to_string();
    let (key, operators) = match query {
        "q0x" => {
            ("", format!("[operators.out]\ncomponent = {:?}\ninput = \"bids\"\nexchange = \"rebalance\"", path("q0")))
        }
        "q0" | "q1" | "q2" => ("", format!("[operators.out]\ncomponent = {:?}\ninput = \"bids\"", path(query))),
        "q7" => ("key = { bytes = \"1..2\" }", two_stages(&path("q7"))),
        "q12" => ("key = { bytes = \"9..17\" }", windowed(&path("q12"))),
        "qk" => (
            "keyspace = 1000000\nkey = { bytes = \"9..17\" }",
            format!("[operators.out]\ncomponent = {:?}\ninput = \"bids\"", path("qk")),
        ),
        other => panic!("there is no query {other}"),
    };
    format!(
        "name = \"bench-{query}\"\n[sources.bids]\nconnector = \"nexmark\"\nevents = [\"bid\"]\n{key}\n{source}\n\
         {operators}\nconfig = {{ results = \"packed\" }}\n[sinks.results]\ninput = \"out\"\n{sink}\n"
    )
}

fn windowed(component: &str) -> String {
    format!("[operators.out]\ncomponent = {component:?}\ninput = \"bids\"\nwindow = {{ tumbling = \"10s\" }}")
}

/// q7: the best of each part, then the best of all.
fn two_stages(component: &str) -> String {
    format!(
        "[operators.part]\ncomponent = {component:?}\ninput = \"bids\"\nwindow = {{ tumbling = \"10s\" }}\n\
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
