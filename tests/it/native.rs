//! Jobs that need no code, from the command line.

use crate::examples::{assert_same, oracle, results};
use crate::readme::{blocks, read};
use crate::recovery::{tell, url};
use serde_json::{Value, json};
use std::path::Path;
use tidewheel_tests::survival::{Running, committed, finished, wait_until};
use tidewheel_tests::{folder_with, run};

/// The job that the README shows.
fn job() -> String {
    let page = read(Path::new("README.md"));
    blocks(&page, "toml").into_iter().find(|block| block.contains("filter =")).expect("it is shown")
}

#[test]
fn the_job_of_the_readme_does_what_it_says() {
    let bids = [
        r#"{"at":1000,"auction":7,"price":101,"channel":"a","seller":{"city":"Bern"}}"#,
        r#"{"at":1500,"auction":8,"price":90,"channel":"a"}"#,
        r#"{"at":2000,"auction":7,"price":102,"channel":"Google"}"#,
        r#"{"at":3000,"auction":7,"channel":"b"}"#,
        r#"{"at":4000,"auction":7,"price":150}"#,
        r#"{"at":3601000,"auction":7,"price":101}"#,
        r#"{"at":3601000,"auction":9,"price":9007199254740993,"channel":"a"}"#,
    ];
    let folder = folder_with(&[("job.toml", &job()), ("bids.jsonl", &bids.join("\n"))]);
    let ended = run(folder.path(), &["check", "job.toml"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (0, "job.toml: ok (1 source, 4 operators, 2 sinks)\n"));
    let ended = run(folder.path(), &["run", "job.toml", "--quiet"]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert_eq!(
        ended.stdout,
        "{\"auction\":7,\"cents\":10100,\"city\":\"Bern\"}\n\
         {\"auction\":7,\"cents\":10100,\"city\":null}\n\
         {\"auction\":9,\"cents\":900719925474099300,\"city\":null}\n"
    );
    let bad = committed(&folder.path().join("bad"));
    let [letter] = bad.as_slice() else { panic!("{bad:?}") };
    let letter: Value = serde_json::from_str(letter).expect("JSON");
    let place = json!([letter["operator"], letter["split"], letter["offset"], letter["key"], letter["value"]]);
    assert_eq!(place, json!(["dear", "bids.jsonl", 4, "7", bids[3]]));
    assert_eq!(letter["reason"], "cannot compare null with int");
}

#[test]
fn a_mistake_in_an_expression_has_its_line() {
    for (from, to, start) in [
        (
            "price > 100",
            "price >",
            "error: job.toml:10: \"filter\" in [operators.dear]: \"price > && channel != 'Google'\" is not an expression: ",
        ),
        (
            "price * 100",
            "round(price)",
            "error: job.toml:15: \"cents\" in [operators.cents.select]: \"round(price)\": there is no function \"round\"",
        ),
        (
            "input = \"cents\"",
            "input = \"cents\"\nconfig = {}",
            "error: job.toml:21: \"config\" in [operators.news]: an operator with \"changed\" does not take it\n\n\
             hint: it goes with component\n",
        ),
    ] {
        let folder = folder_with(&[("job.toml", &job().replace(from, to)), ("bids.jsonl", "")]);
        let ended = run(folder.path(), &["check", "job.toml"]);
        assert_eq!(ended.code, 2, "{}", ended.stderr);
        assert!(ended.stderr.starts_with(start), "{}", ended.stderr);
    }
}

/// Bids of few auctions, of which each passes once.
const ONCE: &str = r#"name = "once"

[sources.bids]
connector = "nexmark"
events = ["bid"]
rate = 20000
format = "json"
key = { json = "/auction" }

[operators.once]
changed = { fields = ["/auction", "/channel"] }
input = "bids"

[sinks.out]
connector = "file"
input = "once"
path = "out/"

[checkpoint]
interval = "50ms"
"#;

/// State of an operator without a component is looked at and judged as any other.
#[test]
fn what_is_remembered_is_in_savepoints() {
    let folder = folder_with(&[("job.toml", ONCE)]);
    let running = Running::start(folder.path(), &[]);
    wait_until("it has committed something", || !finished(&folder.path().join("out")).is_empty());
    let url = url(&tell(folder.path(), &["stop", ".tidewheel/once", "--savepoint", "--json"]));
    running.wait(folder.path());
    let bid: Value = serde_json::from_str(&committed(&folder.path().join("out"))[0]).expect("JSON");
    let auction = bid["auction"].to_string();
    let told = tell(folder.path(), &["state", "get", "once.last", &auction, "--savepoint", &url, "--json"]);
    let told: Value = serde_json::from_str(&told).expect("JSON");
    assert_eq!(told[0]["value"][0], bid["auction"], "{told}");
    assert!(told[0]["value"][1].is_string(), "{told}");
    let listed = tell(folder.path(), &["check", "job.toml", "--from-savepoint", &url]);
    assert!(listed.contains("once") && listed.contains("last") && listed.contains("reuse"), "{listed}");
    let other = "operators.once.changed.fields=['/auction']";
    let ended = run(folder.path(), &["check", "job.toml", "--set", other, "--from-savepoint", &url]);
    assert_eq!(ended.code, 2, "{}", ended.stderr);
    assert!(ended.stderr.contains("[/auction, /channel]"), "{}", ended.stderr);
    let ended = run(
        folder.path(),
        &[
            "run",
            "job.toml",
            "--quiet",
            "--data-dir",
            "next",
            "--from-savepoint",
            &url,
            "--set",
            "sources.bids.events-max=1000",
        ],
    );
    assert_eq!(ended.code, 0, "{}", ended.stderr);
}

/// Counts of the bids of auctions in windows.
const COUNTS: &str = r#"name = "counts"

[sources.bids]
connector = "nexmark"
events = ["bid"]
rate = 20000
format = "json"
key = { json = "/auction" }

[operators.counts]
aggregate = { bids = "count" }
window = { tumbling = "1s" }
input = "bids"

[sinks.out]
connector = "file"
input = "counts"
path = "out/"

[checkpoint]
interval = "50ms"
"#;

/// Nothing is begun, and all that is wrong is told, once.
#[test]
fn a_snapshot_that_does_not_fit_is_told_once() {
    let folder = folder_with(&[("job.toml", COUNTS)]);
    let running = Running::start(folder.path(), &[]);
    wait_until("it has committed something", || !finished(&folder.path().join("out")).is_empty());
    let url = url(&tell(folder.path(), &["stop", ".tidewheel/counts", "--savepoint", "--json"]));
    running.wait(folder.path());
    let other = ["--set", "operators.counts.window.tumbling='2s'", "--set", "max-parallelism=64"];
    let from = ["--from-savepoint", &url];
    let checked = run(folder.path(), &[&["check", "job.toml"][..], &other, &from].concat());
    assert_eq!((checked.code, checked.stdout.matches("refused").count()), (2, 2), "{}", checked.stdout);
    let anew = ["run", "job.toml", "--data-dir", "next"];
    let ran = run(folder.path(), &[&anew[..], &other, &from].concat());
    // From its own newest checkpoint.
    let again = run(folder.path(), &[&["run", "job.toml"][..], &other].concat());
    for ended in [checked, ran, again] {
        let windows = "its windows are 1000 ms long in the snapshot, and the job declares 2000 ms long";
        let told = [windows, "max-parallelism = 64", "error: "].map(|text| ended.stderr.matches(text).count());
        assert_eq!((ended.code, told), (2, [1, 1, 2]), "{}", ended.stderr);
    }
}

/// Each window fires once, whatever the order, and the one checkpoint is that of the end.
#[test]
fn a_batch_job_fires_once_at_the_end() {
    let bids = |mode: &str| {
        format!(
            "name = \"batch\"\nmode = \"{mode}\"\n[sources.bids]\nconnector = \"file\"\npath = \"bids.jsonl\"\n\
             event-time = {{ json = \"/at\" }}\nkey = {{ json = \"/auction\" }}\nrate-limit = {{ records = 5000 }}\n\
             watermark = {{ out-of-orderness = \"0s\" }}\n\
             [operators.counts]\ninput = \"bids\"\naggregate = {{ bids = \"count\" }}\n\
             window = {{ tumbling = \"1s\", allowed-lateness = \"1h\" }}\n\
             [sinks.out]\nconnector = \"file\"\ninput = \"counts\"\npath = \"out/\"\n[checkpoint]\ninterval = \"10ms\"\n"
        )
    };
    // From late to early: 100 of each second.
    let lines = (0..2_000).rev().map(|number| format!("{{\"at\":{},\"auction\":7}}", number * 10));
    let lines = lines.collect::<Vec<_>>().join("\n");
    let ran = ["batch", "streaming"].map(|mode| {
        let folder = folder_with(&[("job.toml", &bids(mode)), ("bids.jsonl", &lines)]);
        let ended = run(folder.path(), &["run", "job.toml", "--quiet"]);
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        let slots = std::fs::read_dir(folder.path().join(".tidewheel/batch/checkpoints/slots")).expect("slots");
        let names = slots.flatten().map(|slot| slot.file_name().to_string_lossy().into_owned());
        let digits = names.map(|name| name.chars().filter(char::is_ascii_digit).collect::<String>());
        let newest = digits.filter_map(|digits| digits.parse::<u64>().ok()).max();
        (committed(&folder.path().join("out")), newest)
    });
    let [(batch, batch_slot), (streaming, streaming_slot)] = ran;
    assert_eq!(batch.len(), 20, "{batch:?}");
    assert!(batch.iter().all(|result| result.contains("\"bids\":100}")), "{batch:?}");
    // That the attempt has begun, its last checkpoint, and that its output is committed.
    assert_eq!(batch_slot, Some(3));
    assert!(streaming.len() > 20 && streaming_slot > Some(3), "{} results, slot {streaming_slot:?}", streaming.len());
}

/// Bids of every bidder in some windows, without a component.
const BIDS_OF_BIDDERS: &str = r#"name = "bids"

[sources.bids]
connector = "nexmark"
events-max = 200000
events = ["bid"]
format = "json"
splits = 3
key = { json = "/bidder" }

[operators.count]
input = "bids"
aggregate = { num = "count" }
window = WINDOW

[sinks.out]
connector = "file"
input = "count"
path = "out/"
"#;

#[test]
fn aggregates_run_in_every_window() {
    for (window, fixture) in
        [("{ tumbling = \"10s\" }", "q12.200000.jsonl.gz"), ("{ session = \"10s\" }", "q11.200000.jsonl.gz")]
    {
        let folder = folder_with(&[("job.toml", &BIDS_OF_BIDDERS.replace("WINDOW", window))]);
        for workers in ["1", "2"] {
            let found = results(folder.path(), "job.toml", workers).iter().map(|line| as_in_nexmark(line)).collect();
            assert_same(&sorted(found), &oracle(fixture), &format!("{window}, {workers} workers"));
            std::fs::remove_dir_all(folder.path().join("out")).expect("a folder can be removed");
        }
    }
}

/// A result as the fixtures have it.
fn as_in_nexmark(line: &str) -> String {
    let result: Value = serde_json::from_str(line).expect("JSON");
    let bidder = result["key"].as_str().expect("a key is text");
    let [num, start, end] = ["num", "window_start", "window_end"].map(|field| &result[field]);
    format!("{{\"bidder\":{bidder},\"num\":{num},\"window_start\":{start},\"window_end\":{end}}}")
}

fn sorted(mut lines: Vec<String>) -> Vec<String> {
    lines.sort_unstable();
    lines
}

/// What every function gives, over sliding windows, and which record it refuses.
#[test]
fn aggregates_are_shown_with_their_key_and_window() {
    let job = r#"name = "prices"
[sources.bids]
connector = "file"
path = "bids.jsonl"
event-time = { json = "/at" }
key = { json = "/auction" }

[operators.prices]
input = "bids"
window = { sliding = "10s", slide = "5s" }
on-error = "dead-letter"

[operators.prices.aggregate]
bids = "count"
total = { sum = "/price" }
lowest = { min = "/price" }
mean = { avg = "/price" }
bidders = { distinct = "/bidder" }

[sinks.out]
connector = "stdout"
input = "prices"

[sinks.bad]
connector = "discard"
input = "prices.dead-letter"
"#;
    let bids = [
        r#"{"at":1000,"auction":7,"price":100,"bidder":"a"}"#,
        r#"{"at":2000,"auction":7,"price":50,"bidder":"b"}"#,
        r#"{"at":3000,"auction":7,"price":"dear"}"#,
        r#"{"at":7000,"auction":7,"price":90,"bidder":"a"}"#,
    ];
    let folder = folder_with(&[("job.toml", job), ("bids.jsonl", &bids.join("\n"))]);
    let ended = run(folder.path(), &["run", "job.toml", "--quiet"]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let window = |start: i64, fields: &str| {
        format!("{{\"key\":\"7\",\"window_start\":{start},\"window_end\":{},{fields}}}\n", start + 10_000)
    };
    assert_eq!(
        ended.stdout,
        [
            window(-5_000, r#""bids":2,"total":150,"lowest":50,"mean":75.0,"bidders":2"#),
            window(0, r#""bids":3,"total":240,"lowest":50,"mean":80.0,"bidders":2"#),
            window(5_000, r#""bids":1,"total":90,"lowest":90,"mean":90.0,"bidders":1"#),
        ]
        .concat()
    );
}
