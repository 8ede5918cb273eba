//! Where the event times of a source come from, and its watermarks.

use super::super::{ComponentSpec, EventTimeSpec, LimitsSpec, SourceSpec, WatermarkSpec};
use super::{JobSpec, Mistake, check, with};
use serde_json::json;

/// The source of a job that says this besides.
fn source(line: &str) -> SourceSpec {
    let text = with("key =", &format!("{line}\nkey ="));
    JobSpec::parse(&text, "job.toml").unwrap_or_else(|error| panic!("{error}")).sources.remove(0)
}

#[test]
fn event_times_may_come_from_a_component() {
    let plain = source("event-time = { component = 'times.wasm' }");
    let limits = LimitsSpec::default();
    let expected = ComponentSpec { path: "times.wasm".to_owned(), config: json!({}), limits, grants: Vec::new() };
    assert_eq!(plain.event_time, Some(EventTimeSpec::Component(expected)));
    assert_eq!(plain.watermark, WatermarkSpec::default());

    let configured = source(
        "event-time = { component = 'times.wasm', config = { json = '/at' }, limits = { deadline = '2s' } }\n\
         watermark = { punctuated = true, idle-after = '1s' }",
    );
    let called = configured.component().expect("it has a component");
    assert_eq!((&called.config, called.limits.deadline_ms_max), (&json!({"json": "/at"}), Some(2_000)));
    let watermark = WatermarkSpec { is_punctuated: true, idle_after_ms: Some(1_000), ..WatermarkSpec::default() };
    assert_eq!(configured.watermark, watermark);
    assert_eq!(source("event-time = { json = '/at' }").component(), None);
}

#[test]
fn a_setting_puts_another_component_there() {
    let text = with("key =", "event-time = { component = 'times.wasm' }\nkey =");
    let settings = ["sources.in.event-time.component=newer.wasm".to_owned()];
    let spec = JobSpec::parse_with(&text, "job.toml", &settings).unwrap();
    assert_eq!(spec.sources[0].component().map(|called| called.path.as_str()), Some("newer.wasm"));
}

#[test]
fn only_with_a_component_a_source_has_outputs_of_its_own() {
    let with_output = |line: &str| {
        let text = with("key =", &format!("{line}key =")).replace("input = 'in'", "input = 'in.heartbeats'");
        JobSpec::parse(&text, "job.toml").map(drop).map_err(|error| error.to_string())
    };
    // Which they are, the component says.
    assert_eq!(with_output("event-time = { component = 'times.wasm' }\n"), Ok(()));
    assert!(with_output("").unwrap_err().contains("the source \"in\" has no output \"heartbeats\""));
}

const MISTAKES: &[Mistake] = &[
    (
        "key =",
        "event-time = {}\nkey =",
        "4: \"event-time\" in [sources.in]: expected { json = \"/NAME\" }, { bytes = \"FROM..TO\" } or { component = \"FILE.wasm\" }",
        "",
    ),
    (
        "key =",
        "event-time = { componet = 'a.wasm' }\nkey =",
        "4: unknown key \"componet\" in [sources.in.event-time]",
        "did you mean \"component\"?",
    ),
    (
        "key =",
        "event-time = { component = 'a.wasm', json = '/at' }\nkey =",
        "4: unknown key \"json\" in [sources.in.event-time]",
        "the choices are \"component\", \"config\", \"limits\" and \"grants\"",
    ),
    (
        "key =",
        "event-time = { json = '/at', config = { a = 1 } }\nkey =",
        "4: unknown key \"config\" in [sources.in.event-time]",
        "the choices are \"component\", \"json\" and \"bytes\"",
    ),
    (
        "key =",
        "event-time = { component = 'a.wasm', limits = { memory = '0B' } }\nkey =",
        "4: \"memory\" in [sources.in.event-time.limits]: has to be more than 0",
        "",
    ),
    (
        "key =",
        "watermark = { punctuated = true }\nkey =",
        "4: \"punctuated\" in [sources.in.watermark]: there is no component that makes watermarks",
        "add event-time = { component = \"FILE.wasm\" } to the source",
    ),
    (
        "key =",
        "watermark = { punctuated = true, out-of-orderness = '1s' }\nkey =",
        "4: \"punctuated\" in [sources.in.watermark]: \"out-of-orderness\" makes watermarks of event times",
        "remove one of the two: without \"punctuated\" both count",
    ),
    (
        "key =",
        "watermark = { punctuated = true, ascending = true }\nkey =",
        "4: \"punctuated\" in [sources.in.watermark]: \"ascending\" makes watermarks of event times",
        "remove one of the two: without \"punctuated\" both count",
    ),
];

#[test]
fn mistakes() {
    check(MISTAKES);
}
