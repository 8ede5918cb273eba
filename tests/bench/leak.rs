//! What a guest costs that leaks 1 KiB with every record, and is replaced whenever its memory is used up. Beside it the same
//! guest when it gives back what it takes; when it leaks memory that it does not touch, so that replacing it is all that
//! there is to pay for; and when it may have all the memory that there is in WebAssembly, and is hardly ever replaced.

use crate::median;
use serde_json::Value;
use std::fs;
use std::path::Path;
use tidewheel_tests::{guest, tidewheel};

const RECORDS: u64 = 10_000_000;
const RUNS: usize = 3;

/// What it does, what its config is called, and how much memory it may have.
const WAYS: [(&str, &str, &str); 4] = [
    ("gives back", "nothing", "64MiB"),
    ("leaks, untouched", "untouched", "64MiB"),
    ("leaks", "all", "64MiB"),
    ("leaks", "all", "4GiB"),
];

/// Prints a table: processor time per record, and what became of the records.
pub(crate) fn run() {
    println!("| guest | memory | records | not processed | CPU ns/record | rate |\n|---|---|---|---|---|---|");
    let mut figures = WAYS.map(|_| Vec::new());
    // In turn, so that a slow moment of the machine hits both.
    for _ in 0..RUNS {
        for ((_, config, memory), figures) in WAYS.into_iter().zip(&mut figures) {
            figures.push(measure(config, memory));
        }
    }
    for ((name, _, memory), runs) in WAYS.into_iter().zip(figures) {
        let of = |figure: fn(&Figures) -> f64| median(runs.iter().map(figure).collect());
        let (cpu_ns, rate) = (of(|run| run.cpu_ns), of(|run| run.rate) / 1e6);
        let rejected: u64 = runs.iter().map(|run| run.rejected).sum();
        println!("| {name} | {memory} | {RECORDS} | {rejected} | {cpu_ns:.0} | {rate:.2} M/s |");
    }
}

struct Figures {
    cpu_ns: f64,
    rate: f64,
    rejected: u64,
}

fn measure(config: &str, memory: &str) -> Figures {
    let job = format!(
        "name = 'leak'\n[sources.events]\nconnector = 'nexmark'\nevents = ['bid']\nevents-max = {RECORDS}\n\
         [operators.op]\ncomponent = {:?}\ninput = 'events'\nconfig = {{ leaks = {config:?} }}\n\
         limits = {{ memory = {memory:?} }}\non-error = 'skip'\n[sinks.out]\nconnector = 'discard'\ninput = 'op'\n",
        guest("leak")
    );
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let summary = summary(folder.path(), &job);
    let number = |value: &Value| value.as_f64().expect("a number");
    let op =
        summary["parts"].as_array().expect("parts").iter().find(|part| part["name"] == "op").expect("the operator");
    let records = number(&op["records_in"]);
    Figures {
        cpu_ns: number(&summary["cpu_seconds"]) * 1e9 / records,
        rate: number(&summary["records_in_per_second"]),
        rejected: op["rejected"].as_u64().expect("a number"),
    }
}

/// Runs a job, and gives what it says of itself at its end.
fn summary(folder: &Path, job: &str) -> Value {
    let file = folder.join("job.toml");
    fs::write(&file, job).expect("a file can be written");
    let output = tidewheel().arg("run").arg(&file).arg("--json").output().expect("the program starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("the summary is JSON")
}
