//! The example `swap` from the command line: an operator is swapped at savepoints, and what it has kept stays.

use crate::examples::example;
use serde_json::{Value, json};
use std::fs;
use std::ops::Range;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tidewheel_tests::{Ended, python, tidewheel};

/// Longer than anything here takes, on a busy machine too: what takes longer hangs.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The example in a folder of its own, which is its registry's home, too.
pub(crate) struct Swap {
    folder: TempDir,
    /// The purchases, without the line that names the columns.
    pub(crate) purchases: Vec<String>,
    columns: String,
}

impl Swap {
    pub(crate) fn new() -> Swap {
        let folder = example("swap");
        fs::create_dir(folder.path().join("days")).expect("a folder");
        let text = fs::read_to_string(folder.path().join("purchases.csv")).expect("the example has its input");
        let mut lines = text.lines().map(str::to_owned);
        let columns = lines.next().expect("the columns");
        Swap { folder, purchases: lines.collect(), columns }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = tidewheel();
        command.args(arguments).current_dir(self.path()).env("XDG_RUNTIME_DIR", self.path());
        command
    }

    fn run(&self, arguments: &[&str]) -> Ended {
        let output = self.command(arguments).output().expect("the program starts");
        let text = |bytes| String::from_utf8(bytes).expect("text");
        Ended { code: output.status.code().unwrap_or(-1), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// What the program writes to stdout.
    #[track_caller]
    fn tell(&self, arguments: &[&str]) -> String {
        let ended = self.run(arguments);
        assert_eq!(ended.code, 0, "{arguments:?}: {}", ended.stderr);
        ended.stdout
    }

    /// Lets version `version`, such as `2` or `2-go`, take the purchases `days`, and gives the job, which goes on.
    fn start_version(&self, version: &str, days: Range<usize>, arguments: &[&str]) -> Running {
        let count = days.len();
        let day = format!("{}\n{}\n", self.columns, self.purchases[days].join("\n"));
        fs::write(self.path().join(format!("days/{version}.csv")), day).expect("written");
        let component = format!("operators.total.component=total-{version}.wasm");
        let arguments = [&["run", "live.toml", "--quiet", "--set", &component], arguments].concat();
        let stderr = fs::File::create(self.path().join("stderr")).expect("a file");
        let job = Running(self.command(&arguments).stderr(stderr).stdout(Stdio::null()).spawn().expect("it starts"));
        let began = Instant::now();
        while self.records_of("totals") != Some(count as u64) {
            assert!(began.elapsed() < TIMEOUT, "{}", fs::read_to_string(self.path().join("stderr")).expect("text"));
        }
        job
    }

    /// The same, from a savepoint if there is one; gives the savepoint it is stopped with.
    pub(crate) fn run_version(&self, version: &str, days: Range<usize>, from: Option<&str>) -> String {
        let from: Vec<&str> = from.iter().flat_map(|&url| ["--from-savepoint", url]).collect();
        let mut job = self.start_version(version, days, &from);
        let taken: Value =
            serde_json::from_str(&self.tell(&["stop", "swap-live", "--savepoint", "--json"])).expect("JSON");
        assert!(job.0.wait().expect("it ends").success());
        taken["url"].as_str().expect("a URL").to_owned()
    }

    /// How many records a sink has taken, if the job runs.
    fn records_of(&self, sink: &str) -> Option<u64> {
        let jobs: Value = serde_json::from_str(&self.tell(&["jobs", "--json"])).expect("JSON");
        let parts = jobs[0]["status"]["parts"].as_array()?.clone();
        parts.iter().find(|part| part["name"] == sink)?["records_in"].as_u64()
    }

    /// What the job has written, sorted.
    pub(crate) fn written(&self) -> Vec<String> {
        let parts = fs::read_dir(self.path().join("out")).expect("the sink's folder").flatten();
        let mut lines: Vec<String> = parts
            .flat_map(|part| {
                let text = fs::read_to_string(part.path()).expect("text");
                text.lines().map(str::to_owned).collect::<Vec<_>>()
            })
            .collect();
        lines.sort_unstable();
        lines
    }

    /// What it should have written, when the versions take over at these purchases.
    pub(crate) fn expected(&self, swaps: &[&str]) -> Vec<String> {
        let output = Command::new(python()).arg("expected.py").args(swaps).current_dir(self.path()).output();
        let text = String::from_utf8(output.expect("Python runs").stdout).expect("text");
        text.lines().map(str::to_owned).collect()
    }

    /// What becomes of the state `total` of a savepoint with version `version`, in a word.
    pub(crate) fn verdict(&self, version: &str, url: &str) -> String {
        let component = format!("operators.total.component=total-{version}.wasm");
        let table = self.tell(&["check", "live.toml", "--set", &component, "--from-savepoint", url]);
        let (heading, row) = table.trim_end().split_once('\n').expect("a table");
        assert_eq!(heading.split_whitespace().collect::<Vec<_>>(), ["OPERATOR", "STATE", "VERDICT"]);
        row.strip_prefix("total     total  ").unwrap_or_else(|| panic!("{row}")).to_owned()
    }

    /// What a savepoint holds for a customer.
    fn value(&self, customer: &str, url: &str) -> Value {
        let told = self.tell(&["state", "get", "total.total", customer, "--savepoint", url, "--json"]);
        serde_json::from_str(&told).unwrap_or_else(|error| panic!("{error}: {told}"))
    }
}

/// Ended when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Its workers die with it.
        let _ = self.0.kill();
        let _ = self.0.wait();
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
            let mut job = swap.start_version(version, days, &["--set", backend]);
            swap.tell(&["stop", "swap-live"]);
            assert!(job.0.wait().expect("it ends").success());
        }
        assert_eq!(swap.written(), swap.expected(&["600", "2", "900", "3"]), "{backend}");
    }
}
