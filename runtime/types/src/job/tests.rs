//! Tests of job files: one that uses everything, and every mistake with the exact text of its error.

mod durability;
mod function;
mod join;
mod settings;
mod source;
mod window;

use super::{
    AlignmentSpec, ComponentSpec, EventTimeSpec, ExchangeKind, Grant, JobMode, JobSpec, LimitsSpec, OnError,
    OperatorSpec, Options, RateLimit, WatermarkSpec, WindowAssigner,
};
use crate::Selector;
use proptest::collection::vec;
use proptest::prelude::{prop_assert, proptest};
use serde_json::json;
use std::time::Duration;

const EVERYTHING: &str = r#"
name = "shop"
max-parallelism = 64

[sinks.report]
connector = "file"
input     = "rfm"
path      = "report/"

[sinks.bad]
connector = "discard"
input     = ["orders.dead-letter", "rfm.dead-letter", "daily.late"]

[sources.orders]
connector  = "file"
path       = "orders.jsonl"
event-time = { json = "/ordered_at" }
key        = { json = "/user_id" }
watermark  = { out-of-orderness = "5s", idle-after = "30s", alignment = "shop", max-drift = "1m" }
rate-limit = { records = 1000, bytes = "1MiB" }
on-error   = "dead-letter"

[sources.clicks]
connector  = "nexmark"
event-time = { bytes = "1..9" }
rates.bid  = 3

[operators.daily]
component = "spend.wasm"
input     = ["rfm", "spread"]
key       = { bytes = "0..4" }
window    = { tumbling = "1d", offset = "8h" }
limits    = { memory = "512MiB", deadline = "2s", output = "1MiB", state = "64KiB", records = 100, log = 5 }
grants    = ["env:RATES", "env:RATES_KEY"]
on-error  = "skip"

[operators.rfm]
component = "rfm.wasm"
input     = "orders"
config    = { currency = "TWD", since = 1997-01-01, rates = [1, 0.5, true], deep = { er = "x" } }
on-error  = "dead-letter"

[operators.spread]
component = "spread.wasm"
input     = "clicks"
exchange  = "rebalance"
"#;

fn component(operator: &OperatorSpec) -> &ComponentSpec {
    operator.component().expect("it calls a component")
}

#[test]
fn a_job_file_with_everything() {
    let mut spec = JobSpec::parse(EVERYTHING, "job.toml").unwrap();
    assert_eq!((spec.name.as_str(), spec.file.as_str(), spec.max_parallelism), ("shop", "job.toml", 64));

    let [orders, clicks] = spec.sources.as_mut_slice() else { panic!("two sources") };
    assert_eq!((orders.id.as_str(), orders.connector.as_str(), orders.line), ("orders", "file", 14));
    assert_eq!(orders.event_time, Some(EventTimeSpec::Place(Selector::json("/ordered_at").unwrap())));
    assert_eq!(orders.key, Some(Selector::json("/user_id").unwrap()));
    let alignment = Some(AlignmentSpec { group: "shop".to_owned(), max_drift_ms: 60_000 });
    let is_punctuated = false;
    let idle_after_ms = Some(30_000);
    assert_eq!(orders.watermark, WatermarkSpec { out_of_orderness_ms: 5_000, is_punctuated, idle_after_ms, alignment });
    assert_eq!(orders.rate_limit, RateLimit { records: Some(1_000), bytes: Some(1 << 20) });
    assert_eq!(clicks.rate_limit, RateLimit::default());
    assert_eq!(orders.on_error, OnError::DeadLetter);
    assert_eq!(orders.options.require::<String>("path").unwrap(), "orders.jsonl");
    assert_eq!(orders.options.finish(), Ok(()));
    assert_eq!(clicks.watermark, WatermarkSpec::default());
    let bytes = EventTimeSpec::Place(Selector::bytes("1..9").unwrap());
    assert_eq!((&clicks.event_time, &clicks.key), (&Some(bytes), &None));
    let rates: toml::Table = clicks.options.require("rates").unwrap();
    assert_eq!(rates["bid"].as_integer(), Some(3));

    let [daily, rfm, spread] = spec.operators.as_slice() else { panic!("three operators") };
    assert_eq!((daily.id.as_str(), component(daily).path.as_str(), daily.line), ("daily", "spend.wasm", 28));
    assert_eq!(daily.inputs.iter().map(ToString::to_string).collect::<Vec<_>>(), ["rfm", "spread"]);
    assert_eq!(daily.keys, [Selector::bytes("0..4").unwrap()]);
    let day = WindowAssigner::Tumbling { size_ms: 86_400_000, offset_ms: 28_800_000 };
    assert_eq!(daily.window.as_ref().map(|window| &window.assigner), Some(&day));
    let limits = LimitsSpec {
        memory_bytes_max: Some(512 << 20),
        deadline_ms_max: Some(2_000),
        output_bytes_max: Some(1 << 20),
        state_bytes_max: Some(64 << 10),
        records_max: Some(100),
        log_lines_max: Some(5),
    };
    let grants = ["RATES", "RATES_KEY"].map(|name| Grant::Env(name.to_owned()));
    assert_eq!((component(daily).grants.as_slice(), component(rfm).grants.as_slice()), (&grants[..], &[][..]));
    assert_eq!((component(daily).limits, daily.on_error), (limits, OnError::Skip));
    let config = json!({"currency": "TWD", "since": "1997-01-01", "rates": [1, 0.5, true], "deep": {"er": "x"}});
    assert_eq!(component(rfm).config, config);
    assert_eq!((component(rfm).limits, rfm.window.clone(), rfm.exchange), (LimitsSpec::default(), None, None));
    assert_eq!((spread.exchange, &component(spread).config), (Some(ExchangeKind::Rebalance), &json!({})));

    let [report, bad] = spec.sinks.as_mut_slice() else { panic!("two sinks") };
    assert_eq!((report.id.as_str(), report.connector.as_str(), report.line), ("report", "file", 5));
    assert_eq!(report.options.take::<String>("path").unwrap().as_deref(), Some("report/"));
    assert_eq!(bad.inputs[1].to_string(), "rfm.dead-letter");
    assert!(bad.inputs[1].is_dead_letter() && !bad.inputs[2].is_dead_letter());
}

#[test]
fn ascending_times_are_not_out_of_order() {
    let spec = JobSpec::parse(&with("key =", "watermark = { ascending = true }\nkey ="), "job.toml").unwrap();
    assert_eq!(spec.sources[0].watermark, WatermarkSpec::default());
}

#[test]
fn what_is_not_said_has_a_default() {
    let spec = JobSpec::parse(&with("", ""), "job.toml").unwrap();
    assert_eq!((spec.max_parallelism, spec.mode), (128, JobMode::Streaming));
    let spec = JobSpec::parse(&with("name =", "mode = 'batch'\nname ="), "job.toml").unwrap();
    assert_eq!(spec.mode, JobMode::Batch);
    assert_eq!(spec.sources[0].on_error, OnError::Fail);
    assert_eq!(spec.operators[0].on_error, OnError::Fail);
}

/// A correct job file of 11 lines, with `edit.0` replaced by `edit.1`, both in single-quoted form.
fn with(from: &str, to: &str) -> String {
    let lines = [
        "name = 'job'",
        "[sources.in]",
        "connector = 'stdin'",
        "key = { json = '/k' }",
        "[operators.count]",
        "component = 'count.wasm'",
        "input = 'in'",
        "[sinks.out]",
        "connector = 'stdout'",
        "input = 'count'",
    ];
    let text = lines.join("\n");
    assert!(text.contains(from), "{from}");
    text.replacen(from, to, 1)
}

/// (replaced, by what, the line and message, the hint or nothing)
type Mistake = (&'static str, &'static str, &'static str, &'static str);

#[track_caller]
fn check(mistakes: &[Mistake]) {
    for &(from, to, message, hint) in mistakes {
        let error = JobSpec::parse(&with(from, to), "job.toml").expect_err(to).to_string();
        let hint = if hint.is_empty() { String::new() } else { format!("\n\nhint: {hint}") };
        assert_eq!(error, format!("job.toml:{message}{hint}"), "\n{from} → {to}");
    }
}

const IN_TABLES: &[Mistake] = &[
    ("= 'job'", "= 'job", "1: invalid literal string, expected `'`", ""),
    ("name = 'job'", "", "1: missing key \"name\"", ""),
    ("'job'", "'my job'", "1: \"name\": \"my job\" is not a name: expected letters, digits, \"-\" and \"_\"", ""),
    ("'job'", "7", "1: \"name\": invalid type: integer `7`, expected a string", ""),
    ("name", "\nname = 'x'\nname", "3: duplicate key", ""),
    (
        "name = 'job'",
        "name = 'job'\nworker = 3",
        "2: unknown key \"worker\"",
        "the choices are \"name\", \"mode\", \"max-parallelism\", \"sources\", \"operators\", \"sinks\", \"checkpoint\", \"state\", \"restart\" and \"capsules\"",
    ),
    ("[sinks.out]", "[sink.out]", "8: unknown key \"sink\"", "did you mean \"sinks\"?"),
    ("[sinks.out]", "[[sinks]]", "8: \"sinks\": invalid type: array, expected a table", ""),
    (
        "[sources.in]",
        "[sources.'in put']",
        "2: [sources.\"in put\"]: \"in put\" is not a name: expected letters, digits, \"-\" and \"_\"",
        "",
    ),
    (
        "[sources.in]",
        "[sources]\ninn = 3\n[sources.in]",
        "3: \"inn\" in [sources]: invalid type: integer, expected a table",
        "",
    ),
    ("component =", "compnent =", "6: unknown key \"compnent\" in [operators.count]", "did you mean \"component\"?"),
    (
        "input = 'in'",
        "input = 'in'\ncompnent = 'x'",
        "8: unknown key \"compnent\" in [operators.count]",
        "did you mean \"component\"?",
    ),
    (
        "input = 'in'",
        "input = 'in'\nconfig = 'x'",
        "8: \"config\" in [operators.count]: invalid type: string, expected a table",
        "",
    ),
    (
        "input = 'in'",
        "input = 'in'\nconfig = { x = nan }",
        "8: \"x\" in [operators.count.config]: infinity and NaN cannot be written as JSON",
        "",
    ),
    ("connector = 'stdout'", "", "8: missing key \"connector\" in [sinks.out]", ""),
    ("connector = 'stdin'", "", "2: missing key \"connector\" in [sources.in]", ""),
    ("name =", "max-parallelism = 0\nname =", "1: \"max-parallelism\": 0 is not a number from 1 to 32768", ""),
    ("name =", "max-parallelism = 40000\nname =", "1: \"max-parallelism\": 40000 is not a number from 1 to 32768", ""),
    ("name =", "max-parallelism = '8'\nname =", "1: \"max-parallelism\": \"8\" is not a number from 1 to 32768", ""),
];

#[test]
fn mistakes_in_tables() {
    check(IN_TABLES);
}

const IN_VALUES: &[Mistake] = &[
    ("{ json = '/k' }", "'/k'", "4: \"key\" in [sources.in]: invalid type: string, expected a table", ""),
    ("{ json = '/k' }", "{ jsn = '/k' }", "4: unknown key \"jsn\" in [sources.in.key]", "did you mean \"json\"?"),
    (
        "{ json = '/k' }",
        "{ json = 'k' }",
        "4: \"json\" in [sources.in.key]: \"k\" is not a JSON pointer: expected one such as \"/user_id\" or \"/user/id\"",
        "",
    ),
    (
        "{ json = '/k' }",
        "{}",
        "4: \"key\" in [sources.in]: expected { json = \"/NAME\" } or { bytes = \"FROM..TO\" }",
        "",
    ),
    (
        "{ json = '/k' }",
        "{ json = '/k', bytes = '0..1' }",
        "4: \"key\" in [sources.in]: expected { json = \"/NAME\" } or { bytes = \"FROM..TO\" }",
        "",
    ),
    (
        "{ json = '/k' }",
        "{ bytes = '3..1' }",
        "4: \"bytes\" in [sources.in.key]: \"3..1\" is not a range of bytes: expected one such as \"9..17\"",
        "",
    ),
    (
        "key =",
        "event-time = { bytes = '0..4' }\nkey =",
        "4: \"event-time\" in [sources.in]: an event time has 8 bytes, not the 4 of 0..4",
        "",
    ),
    (
        "key =",
        "watermark = { idle = '3s' }\nkey =",
        "4: unknown key \"idle\" in [sources.in.watermark]",
        "the choices are \"out-of-orderness\", \"ascending\", \"punctuated\", \"idle-after\", \"alignment\" and \"max-drift\"",
    ),
    (
        "key =",
        "rate-limit = { records = 0 }\nkey =",
        "4: \"records\" in [sources.in.rate-limit]: has to be more than 0",
        "",
    ),
    (
        "key =",
        "rate-limit = {}\nkey =",
        "4: \"rate-limit\" in [sources.in]: expected { records = NUMBER }, { bytes = \"SIZE\" } or both",
        "",
    ),
    (
        "key =",
        "watermark = { idle-after = '0s' }\nkey =",
        "4: \"idle-after\" in [sources.in.watermark]: has to be more than 0",
        "",
    ),
    (
        "key =",
        "watermark = { ascending = true, out-of-orderness = '1s' }\nkey =",
        "4: \"ascending\" in [sources.in.watermark]: \"out-of-orderness\" says that times are not",
        "remove one of the two",
    ),
    ("key =", "watermark = { alignment = 'a' }\nkey =", "4: missing key \"max-drift\" in [sources.in.watermark]", ""),
    ("key =", "watermark = { max-drift = '1m' }\nkey =", "4: missing key \"alignment\" in [sources.in.watermark]", ""),
    (
        "key =",
        "watermark = { alignment = 'a b', max-drift = '1m' }\nkey =",
        "4: \"alignment\" in [sources.in.watermark]: \"a b\" is not a name: expected letters, digits, \"-\" and \"_\"",
        "",
    ),
    (
        "key =",
        "watermark = { out-of-orderness = 5 }\nkey =",
        "4: \"out-of-orderness\" in [sources.in.watermark]: invalid type: integer `5`, expected a string",
        "",
    ),
    (
        "key =",
        "watermark = { out-of-orderness = '5' }\nkey =",
        "4: \"out-of-orderness\" in [sources.in.watermark]: \"5\" is not a duration: expected one such as \"5s\", \"10ms\", \"90m\" or \"1d\"",
        "",
    ),
    (
        "key =",
        "watermark = { out-of-orderness = '5us' }\nkey =",
        "4: \"out-of-orderness\" in [sources.in.watermark]: \"5us\" is not a whole number of milliseconds",
        "",
    ),
    (
        "key =",
        "on-error = 'dead-leter'\nkey =",
        "4: \"on-error\" in [sources.in]: \"dead-leter\" is not a choice",
        "did you mean \"dead-letter\"?",
    ),
    (
        "key =",
        "on-error = 'retry'\nkey =",
        "4: \"on-error\" in [sources.in]: \"retry\" is not a choice",
        "the choices are \"fail\", \"skip\" and \"dead-letter\"",
    ),
    (
        "input = 'in'",
        "input = 'in'\nexchange = 'rebalence'",
        "8: \"exchange\" in [operators.count]: \"rebalence\" is not a choice",
        "did you mean \"rebalance\"?",
    ),
    (
        "input = 'in'",
        "input = 'in'\nkey = { json = '/k' }\nexchange = 'rebalance'",
        "9: \"exchange\" in [operators.count]: a key already says where records go",
        "remove one of the two",
    ),
    (
        "input = 'in'",
        "input = 'in'\nlimits = { memory = '0B' }",
        "8: \"memory\" in [operators.count.limits]: has to be more than 0",
        "",
    ),
    (
        "input = 'in'",
        "input = 'in'\nlimits = { memory = '1MB' }",
        "8: \"memory\" in [operators.count.limits]: \"1MB\" is not a size: expected one such as \"512B\", \"256KiB\", \"16MiB\" or \"1GiB\"",
        "",
    ),
    (
        "input = 'in'",
        "input = 'in'\n[operators.count.limits]\ndeadlin = '1s'",
        "9: unknown key \"deadlin\" in [operators.count.limits]",
        "did you mean \"deadline\"?",
    ),
    (
        "input = 'in'",
        "input = 'in'\ngrants = ['env:A', 'http://example.org']",
        "8: \"grants\" in [operators.count]: \"http://example.org\" is nothing that can be granted",
        "write \"env:NAME\" for an environment variable, \"http:HOST\" or \"http:HOST:PORT\" for requests",
    ),
    (
        "input = 'in'",
        "input = 'in'\ngrants = ['HOME']",
        "8: \"grants\" in [operators.count]: \"HOME\" is nothing that can be granted",
        "write \"env:NAME\" for an environment variable, \"http:HOST\" or \"http:HOST:PORT\" for requests",
    ),
    (
        "input = 'in'",
        "input = 'in'\ngrants = ['env:A', 'env:A']",
        "8: \"grants\" in [operators.count]: \"env:A\" is there twice",
        "",
    ),
];

#[test]
fn mistakes_in_values() {
    check(IN_VALUES);
}

const IN_THE_GRAPH: &[Mistake] = &[
    (
        "[sources.in]\nconnector = 'stdin'\nkey = { json = '/k' }",
        "",
        "1: the job has no source",
        "add a table [sources.NAME] with a connector",
    ),
    (
        "[sinks.out]\nconnector = 'stdout'\ninput = 'count'",
        "",
        "1: the job has no sink",
        "add a table [sinks.NAME] with a connector and an input",
    ),
    (
        "[sinks.out]",
        "[sinks.in]",
        "8: \"in\" is already the name of a source on line 2",
        "give every source, operator and sink its own name",
    ),
    (
        "[sinks.out]",
        "[sources.count]\nconnector = 'stdin'\n[sinks.out]",
        "8: \"count\" is already the name of an operator on line 5",
        "give every source, operator and sink its own name",
    ),
    ("[sinks.out]", "[operators.count]", "8: duplicate key", ""),
    ("input = 'in'", "", "5: missing key \"input\" in [operators.count]", ""),
    ("input = 'count'", "", "8: missing key \"input\" in [sinks.out]", ""),
    ("input = 'in'", "input = []", "7: \"input\" in [operators.count]: an empty list", ""),
    (
        "input = 'in'",
        "input = 3",
        "7: \"input\" in [operators.count]: invalid type: integer, expected a name or a list of names",
        "",
    ),
    ("input = 'in'", "input = ['in', 3]", "7: \"input\" in [operators.count]: 3 is not a name", ""),
    ("input = 'in'", "input = ['in', 'in']", "7: \"input\" in [operators.count]: \"in\" is there twice", ""),
    (
        "input = 'in'",
        "input = 'in.a.b'",
        "7: \"input\" in [operators.count]: \"in.a.b\" is not an output: expected \"NAME\" or \"NAME.OUTPUT\"",
        "",
    ),
    (
        "input = 'in'",
        "input = 'in.'",
        "7: \"input\" in [operators.count]: \"in.\" is not an output: expected \"NAME\" or \"NAME.OUTPUT\"",
        "",
    ),
    (
        "input = 'count'",
        "input = 'cuont'",
        "10: the input \"cuont\" of \"out\" is neither a source nor an operator",
        "did you mean \"count\"?",
    ),
    (
        "input = 'in'",
        "input = 'orders'",
        "7: the input \"orders\" of \"count\" is neither a source nor an operator",
        "the only choice is \"in\"",
    ),
    ("input = 'in'", "input = 'out'", "7: the input \"out\" of \"count\" is a sink, which has no output", ""),
    (
        "input = 'in'",
        "input = 'in.late'",
        "7: \"count\" reads \"in.late\", but the source \"in\" has no output \"late\"",
        "the only choice is \"dead-letter\"",
    ),
    (
        "input = 'in'",
        "input = 'in.dead-leter'",
        "7: \"count\" reads \"in.dead-leter\", but the source \"in\" has no output \"dead-leter\"",
        "did you mean \"dead-letter\"?",
    ),
    (
        "input = 'count'",
        "input = 'count.dead-letter'",
        "10: \"out\" reads \"count.dead-letter\", but \"count\" sends nothing there",
        "add on-error = \"dead-letter\" to \"count\"",
    ),
    (
        "key =",
        "on-error = 'dead-letter'\nkey =",
        "2: \"in\" sends bad records to \"in.dead-letter\", and nothing reads that",
        "add a sink with input = \"in.dead-letter\"",
    ),
    (
        "input = 'in'",
        "input = 'in'\non-error = 'dead-letter'",
        "5: \"count\" sends bad records to \"count.dead-letter\", and nothing reads that",
        "add a sink with input = \"count.dead-letter\"",
    ),
    ("input = 'in'", "input = ['in', 'count']", "5: the job runs in a circle: \"count\" → \"count\"", ""),
    (
        "input = 'in'",
        "input = 'c'\n[operators.a]\ncomponent = 'x'\ninput = ['count.late', 'in']\n[operators.b]\ncomponent = 'x'\ninput = 'a'\n[operators.c]\ncomponent = 'x'\ninput = ['in', 'b']\n[operators.behind]\ncomponent = 'x'\ninput = 'c'",
        "5: the job runs in a circle: \"count\" → \"a\" → \"b\" → \"c\" → \"count\"",
        "",
    ),
    (
        "[operators.count]\ncomponent = 'count.wasm'\ninput = 'in'",
        "[operators.count]\ncomponent = 'x'\ninput = 'a'\n[operators.a]\ncomponent = 'x'\ninput = 'b'\n[operators.b]\ncomponent = 'x'\ninput = 'a'",
        "8: the job runs in a circle: \"a\" → \"b\" → \"a\"",
        "",
    ),
];

#[test]
fn mistakes_in_the_graph() {
    check(IN_THE_GRAPH);
}

#[test]
fn options_of_a_connector() {
    let options = || {
        let text = "name = 'job'\n[sources.in]\nconnector = 'nexmark'\nrate = 'fast'\nevents = ['bid']\nevery = '90s'\n[sinks.out]\nconnector = 'x'\ninput = 'in'";
        JobSpec::parse(text, "job.toml").unwrap().sources.remove(0).options
    };
    let error = options().take::<u64>("rate").unwrap_err();
    assert_eq!(error.to_string(), "job.toml:4: \"rate\" in [sources.in]: invalid type: string \"fast\", expected u64");
    let error = options().require::<u64>("limit").unwrap_err();
    assert_eq!(error.to_string(), "job.toml:2: missing key \"limit\" in [sources.in]");
    assert_eq!(options().take_duration("every").unwrap(), Some(Duration::from_secs(90)));
    let error = options().table_error("has no end");
    assert_eq!(error.to_string(), "job.toml:2: [sources.in]: has no end");

    let mut options = options();
    assert_eq!(options.take::<String>("rates").unwrap(), None);
    assert_eq!(options.take::<Vec<String>>("events").unwrap(), Some(vec!["bid".to_owned()]));
    assert_eq!(options.take::<String>("events").unwrap(), None);
    assert_eq!(options.error("events", "too many").line, 5);
    let error = options.finish().unwrap_err();
    assert_eq!(error.to_string(), "job.toml:4: unknown key \"rate\" in [sources.in]\n\nhint: did you mean \"rates\"?");
}

#[test]
fn options_of_a_whole_document() {
    let mut options = Options::parse("a = 1\nb = '16MiB'\n", "options.toml").unwrap();
    assert_eq!(options.require::<u8>("a").unwrap(), 1);
    assert_eq!(options.take_bytes("b").unwrap(), Some(16 << 20));
    assert_eq!(options.finish(), Ok(()));
    let error = Options::parse("a = 1\nb = 99999999999999999999", "options.toml").unwrap_err();
    assert_eq!((error.line, error.file.as_str()), (2, "options.toml"));
}

#[test]
fn deep_nesting_is_an_error() {
    for text in [format!("a{} = 1", ".a".repeat(100_000)), format!("a = {}", "[".repeat(100_000))] {
        assert!(JobSpec::parse(&text, "job.toml").is_err());
    }
}

proptest! {
    #[test]
    fn damaged_files_never_panic(damage in vec((0..EVERYTHING.len(), 0..8_usize, "[\\[\\]{}='\"\\.,#a0\n]{0,3}"), 1..4)) {
        let mut text = EVERYTHING.to_owned();
        for (at, length, replacement) in damage {
            let at = at.min(text.len());
            text.replace_range(at..(at + length).min(text.len()), &replacement);
        }
        if let Err(error) = JobSpec::parse(&text, "job.toml") {
            prop_assert!((1..=text.lines().count() + 1).contains(&error.line), "{error}");
        }
    }
}
