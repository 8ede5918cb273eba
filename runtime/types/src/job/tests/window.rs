//! Windows of the job file: what they mean, and every mistake.

use super::super::{Panes, SessionGap, Trigger, WindowAssigner, WindowClock, WindowSpec};
use super::{JobSpec, with};
use crate::Selector;

fn window(text: &str) -> Result<WindowSpec, String> {
    let file = with("input = 'in'", &format!("input = 'in'\nwindow = {text}"));
    let spec = JobSpec::parse(&file, "job.toml").map_err(|error| error.to_string())?;
    Ok(spec.operators[0].window.clone().expect("the operator has a window"))
}

/// Windows that fire at their end, and of which everything is kept until then.
fn plain(assigner: WindowAssigner) -> WindowSpec {
    let (clock, trigger, panes) = (WindowClock::Event, Trigger::AtEnd, Panes::Accumulating);
    WindowSpec { assigner, clock, allowed_lateness_ms: 0, trigger, panes }
}

#[test]
fn every_kind() {
    let (size_ms, slide_ms) = (10_000, 2_000);
    let gap = Selector::json("/gap").expect("it is a pointer");
    for (text, assigner) in [
        ("{ tumbling = '10s' }", WindowAssigner::Tumbling { size_ms, offset_ms: 0 }),
        ("{ tumbling = '10s', offset = '2s' }", WindowAssigner::Tumbling { size_ms, offset_ms: 2_000 }),
        ("{ sliding = '10s', slide = '2s' }", WindowAssigner::Sliding { size_ms, slide_ms, offset_ms: 0 }),
        (
            "{ sliding = '10s', slide = '2s', offset = '1s', panes = 'discarding' }",
            WindowAssigner::Sliding { size_ms, slide_ms, offset_ms: 1_000 },
        ),
        ("{ session = '10s' }", WindowAssigner::Session { gap: SessionGap::Fixed(10_000) }),
        ("{ session = { json = '/gap' } }", WindowAssigner::Session { gap: SessionGap::Field(gap) }),
        ("{ count = 100 }", WindowAssigner::Count { size: 100, slide: 100 }),
        ("{ count = 100, slide = 10 }", WindowAssigner::Count { size: 100, slide: 10 }),
    ] {
        let expected = match text.contains("discarding") {
            true => WindowSpec { panes: Panes::Discarding, ..plain(assigner) },
            false => plain(assigner),
        };
        assert_eq!(window(text), Ok(expected), "{text}");
    }
    assert_eq!(
        window("{ global = true, trigger = { count = 5 }, panes = 'discarding' }"),
        Ok(WindowSpec { trigger: Trigger::Count(5), panes: Panes::Discarding, ..plain(WindowAssigner::Global) })
    );
    let tumbling = plain(WindowAssigner::Tumbling { size_ms, offset_ms: 0 });
    assert_eq!(
        window("{ tumbling = '10s', allowed-lateness = '1m' }"),
        Ok(WindowSpec { allowed_lateness_ms: 60_000, ..tumbling })
    );
}

#[test]
fn mistakes() {
    let table = "[operators.count.window]";
    for (text, expected) in [
        ("{ tumbling = '0s' }", format!("\"tumbling\" in {table}: the size of a window has to be more than 0")),
        ("{ tumbling = '-5s' }", format!("\"tumbling\" in {table}: \"-5s\" is a negative duration")),
        ("{ tumbling = '1h', offset = '1h' }", format!("\"offset\" in {table}: has to be less than the window's size")),
        (
            "{}",
            "\"window\" in [operators.count]: expected one such as { tumbling = \"SIZE\" }\n\n\
             hint: the kinds of windows are tumbling, sliding, session, count and global"
                .to_owned(),
        ),
        ("{ tumblin = '1h' }", format!("unknown key \"tumblin\" in {table}\n\nhint: did you mean \"tumbling\"?")),
        ("{ tumbling = '1h', session = '1m' }", format!("\"session\" in {table}: a window is of one kind")),
        ("{ tumbling = '1h', slide = '1m' }", format!("unknown key \"slide\" in {table}")),
        ("{ sliding = '1h' }", format!("missing key \"slide\" in {table}")),
        ("{ sliding = '1h', slide = '0s' }", format!("\"slide\" in {table}: has to be more than 0")),
        (
            "{ sliding = '1h', slide = '1m', offset = '1m' }",
            format!("\"offset\" in {table}: has to be less than the slide"),
        ),
        ("{ session = '0s' }", format!("\"session\" in {table}: the gap of a session has to be more than 0")),
        ("{ session = { bytes = '0..4' } }", format!("\"session\" in {table}: a gap has 8 bytes, not the 4 of 0..4")),
        ("{ count = 0 }", format!("\"count\" in {table}: has to be more than 0")),
        ("{ count = 5, slide = 6 }", format!("\"slide\" in {table}: has to be at most the window's size")),
        (
            "{ count = 5, trigger = { count = 2 } }",
            format!("\"trigger\" in {table}: a window of so many records fires when it has them"),
        ),
        (
            "{ count = 5, allowed-lateness = '1s' }",
            format!("\"allowed-lateness\" in {table}: nothing is late for a window that has no end in time"),
        ),
        (
            "{ global = true }",
            format!(
                "\"global\" in {table}: a window without an end fires by a trigger alone\n\n\
                 hint: add trigger = {{ count = 100 }}"
            ),
        ),
        ("{ global = false }", format!("\"global\" in {table}: is true, or not there")),
        (
            "{ tumbling = '1h', trigger = {} }",
            format!(
                "\"trigger\" in {table}: expected {{ count = RECORDS }}, {{ every = \"TIME\" }} or {{ early = \"TIME\" }}"
            ),
        ),
        (
            "{ tumbling = '1h', trigger = { every = '0s' } }",
            "\"every\" in [operators.count.window.trigger]: has to be more than 0".to_owned(),
        ),
        (
            "{ tumbling = '1h', clock = 'processing', allowed-lateness = '1s' }",
            format!("\"allowed-lateness\" in {table}: nothing is late in processing time"),
        ),
        (
            "{ tumbling = '1h', clock = 'processing', trigger = { early = '1s' } }",
            format!("\"trigger\" in {table}: it has processing time already\n\nhint: write {{ every = \"TIME\" }}"),
        ),
        ("{ tumbling = '1h', panes = 'none' }", format!("\"panes\" in {table}: \"none\" is not a choice")),
    ] {
        let found = window(text).expect_err(text);
        let expected = format!("job.toml:8: {expected}");
        assert!(found.starts_with(&expected), "{text}\nfound    {found}\nexpected {expected}");
    }
}

/// What is kept under one of them another could not read, or would never let go of.
#[test]
fn windows_whose_state_means_something_else_have_another_shape() {
    let shape =
        |more: &str| window(&format!("{{ tumbling = '1h'{more} }}")).unwrap_or_else(|error| panic!("{error}")).shape();
    let all = [
        "",
        ", clock = 'processing'",
        ", trigger = { count = 3 }",
        ", trigger = { every = '1m' }",
        ", trigger = { early = '1m' }",
        ", allowed-lateness = '1m'",
    ];
    for (place, one) in all.iter().enumerate() {
        for (other_place, other) in all.iter().enumerate() {
            assert_eq!(shape(one) == shape(other), place == other_place, "{one} and {other}");
        }
    }
    assert_eq!(shape(", trigger = { count = 3 }"), shape(", trigger = { count = 4 }"));
    assert_eq!(shape(", allowed-lateness = '1m'"), shape(", allowed-lateness = '2m'"));
    assert_eq!(shape(", allowed-lateness = '1m', panes = 'discarding'"), shape(""));
    assert!(shape(", clock = 'processing'").outlives_event_time && !shape("").outlives_event_time);
    assert!(window("{ count = 3 }").expect("it is one").shape().outlives_event_time);
}
