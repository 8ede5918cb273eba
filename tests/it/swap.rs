//! The example `swap` from the command line: an operator is swapped at savepoints, and what it has kept stays.

use crate::examples::example;
use crate::live::{Live, Running};
use serde_json::{Value, json};
use std::fs;
use std::ops::Range;
use std::process::Command;
use tidewheel_tests::python;

/// The example in a folder of its own.
pub(crate) struct Swap {
    live: Live,
    /// The purchases, without the line that names the columns.
    pub(crate) purchases: Vec<String>,
    columns: String,
}

impl Swap {
    pub(crate) fn new() -> Swap {
        let live = Live::new(example("swap"), "live.toml", "swap-live", "totals");
        fs::create_dir(live.path().join("days")).expect("a folder");
        let text = fs::read_to_string(live.path().join("purchases.csv")).expect("the example has its input");
        let mut lines = text.lines().map(str::to_owned);
        let columns = lines.next().expect("the columns");
        Swap { live, purchases: lines.collect(), columns }
    }

    /// Lets version `version`, such as `2` or `2-go`, take the purchases `days`, and gives the job, which goes on.
    fn start_version(&self, version: &str, days: Range<usize>, arguments: &[&str]) -> Running {
        let count = days.len();
        let day = format!("{}\n{}\n", self.columns, self.purchases[days].join("\n"));
        fs::write(self.live.path().join(format!("days/{version}.csv")), day).expect("written");
        let component = format!("operators.total.component=total-{version}.wasm");
        self.live.start(count as u64, &[&["--set", &component], arguments].concat())
    }

    /// The same, from a savepoint if there is one; gives the savepoint it is stopped with.
    pub(crate) fn run_version(&self, version: &str, days: Range<usize>, from: Option<&str>) -> String {
        let from: Vec<&str> = from.iter().flat_map(|&url| ["--from-savepoint", url]).collect();
        let job = self.start_version(version, days, &from);
        self.live.stop_with_savepoint(job)
    }

    /// What the job has written, sorted.
    pub(crate) fn written(&self) -> Vec<String> {
        self.live.written()
    }

    /// What it should have written, when the versions take over at these purchases.
    pub(crate) fn expected(&self, swaps: &[&str]) -> Vec<String> {
        let output = Command::new(python()).arg("expected.py").args(swaps).current_dir(self.live.path()).output();
        let text = String::from_utf8(output.expect("Python runs").stdout).expect("text");
        text.lines().map(str::to_owned).collect()
    }

    /// What becomes of the state `total` of a savepoint with version `version`, in a word.
    pub(crate) fn verdict(&self, version: &str, url: &str) -> String {
        let component = format!("operators.total.component=total-{version}.wasm");
        let table = self.live.tell(&["check", "live.toml", "--set", &component, "--from-savepoint", url]);
        let (heading, row) = table.trim_end().split_once('\n').expect("a table");
        assert_eq!(heading.split_whitespace().collect::<Vec<_>>(), ["OPERATOR", "STATE", "VERDICT"]);
        row.strip_prefix("total     total  ").unwrap_or_else(|| panic!("{row}")).to_owned()
    }

    /// What a savepoint holds for a customer.
    fn value(&self, customer: &str, url: &str) -> Value {
        let told = self.live.tell(&["state", "get", "total.total", customer, "--savepoint", url, "--json"]);
        serde_json::from_str(&told).unwrap_or_else(|error| panic!("{error}: {told}"))
    }
}

#[test]
fn an_operator_is_swapped_twice_and_its_state_is_kept() {
    let swap = Swap::new();
    let all = swap.purchases.len();
    let first = swap.run_version("1", 0..600, None);
    assert_eq!(swap.verdict("1", &first), "reuse");
    assert_eq!(swap.verdict("2", &first), "migrate from version 1 to 2");
    let second = swap.run_version("2", 600..900, Some(&first));
    assert_eq!(swap.verdict("3", &second), "migrate from version 2 to 3");
    swap.run_version("3", 900..all, Some(&second));
    assert_eq!(swap.written(), swap.expected(&["600", "2", "900", "3"]));

    // This customer has bought once, for 6.79 dollars: nobody but `migrate` has touched the value since. It is 600 cents in
    // 0 purchases then, as postcard has them.
    let [old, new] = [&first, &second].map(|url| swap.value("00050", url)[0].clone());
    assert_eq!((&old["version"], &old["value"]), (&json!(1), &json!(6)));
    assert_eq!((&new["version"], &new["value"]), (&json!(2), &json!({ "hex": "b00900" })));
}

/// Version 3 meets values of version 1.
#[test]
fn a_version_can_be_passed_over() {
    let swap = Swap::new();
    let first = swap.run_version("1", 0..600, None);
    assert_eq!(swap.verdict("3", &first), "migrate from version 1 to 3");
    swap.run_version("3", 600..swap.purchases.len(), Some(&first));
    assert_eq!(swap.written(), swap.expected(&["600", "3"]));
}

/// Without a savepoint: each version goes on from the checkpoint with which the one before was stopped.
#[test]
fn an_operator_is_swapped_where_the_job_was_stopped() {
    for backend in ["state.backend=memory", "state.backend=rocksdb"] {
        let swap = Swap::new();
        for (version, days) in [("1", 0..600), ("2", 600..900), ("3", 900..swap.purchases.len())] {
            let job = swap.start_version(version, days, &["--set", backend]);
            swap.live.stop(job);
        }
        assert_eq!(swap.written(), swap.expected(&["600", "2", "900", "3"]), "{backend}");
    }
}
