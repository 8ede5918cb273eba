//! What an operator does: every kind, and every mistake.

use super::super::{ChangedSpec, DeduplicateSpec, FunctionSpec, Keep};
use super::{JobSpec, check, with};
use crate::JsonPointer;
use crate::description::TimerClock;

const HOUR_MS: i64 = 3_600_000;

/// What the operator of a job does that has this in the place of its component.
fn function(line: &str) -> FunctionSpec {
    let text = with("component = 'count.wasm'", line);
    JobSpec::parse(&text, "job.toml").unwrap_or_else(|error| panic!("{error}")).operators.remove(0).function
}

#[test]
fn what_others_understand_is_handed_to_them_as_it_is() {
    let FunctionSpec::Filter(mut options) = function("filter = 'a > 3'") else { panic!("a filter") };
    assert_eq!(options.require::<String>("filter").unwrap(), "a > 3");
    assert_eq!(options.finish(), Ok(()));
    assert_eq!(options.error("filter", "no").to_string(), "job.toml:6: \"filter\" in [operators.count]: no");
    let FunctionSpec::Select(mut options) = function("select = { a = 'b' }") else { panic!("a projection") };
    assert!(options.is_table("select") && options.take_table("select").unwrap().is_some());
    let aggregate = function("aggregate = { n = 'count' }\nwindow = { tumbling = '1h' }");
    let FunctionSpec::Aggregate(mut options) = aggregate else { panic!("an aggregate") };
    assert_eq!(options.take_table("aggregate").unwrap().unwrap().keys().collect::<Vec<_>>(), ["n"]);
}

#[test]
fn one_record_in_a_time() {
    let deduplicate = |line: &str| match function(line) {
        FunctionSpec::Deduplicate(spec) => spec,
        other => panic!("{other:?}"),
    };
    let (keep, within_ms, clock) = (Keep::First, HOUR_MS, TimerClock::Event);
    let first = DeduplicateSpec { keep, within_ms, clock };
    assert_eq!(deduplicate("deduplicate = { keep = 'first', within = '1h' }"), first);
    let processing = DeduplicateSpec { clock: TimerClock::Processing, ..first };
    assert_eq!(deduplicate("deduplicate = { keep = 'first', within = '1h', clock = 'processing' }"), processing);
    let last = DeduplicateSpec { keep: Keep::Last, ..first };
    assert_eq!(deduplicate("deduplicate = { keep = 'last', within = '1h', clock = 'event' }"), last);
}

#[test]
fn records_that_have_changed() {
    let changed = |line: &str| match function(line) {
        FunctionSpec::Changed(spec) => spec,
        other => panic!("{other:?}"),
    };
    let fields = vec![JsonPointer::parse("/a").unwrap(), JsonPointer::parse("/b/c").unwrap()];
    let for_ever = ChangedSpec { fields, within_ms: None, clock: TimerClock::Event };
    assert_eq!(changed("changed = { fields = ['/a', '/b/c'] }"), for_ever);
    let for_days = ChangedSpec { within_ms: Some(48 * HOUR_MS), clock: TimerClock::Processing, ..for_ever };
    assert_eq!(changed("changed = { fields = ['/a', '/b/c'], within = '2d', clock = 'processing' }"), for_days);
}

#[test]
fn mistakes_in_what_an_operator_does() {
    check(&[
        (
            "component = 'count.wasm'",
            "",
            "5: [operators.count]: nothing says what the operator does",
            "add one of the keys component, filter, select, aggregate, deduplicate and changed",
        ),
        (
            "component = 'count.wasm'",
            "filtre = 'a'",
            "6: unknown key \"filtre\" in [operators.count]",
            "did you mean \"filter\"?",
        ),
        (
            "input = 'in'",
            "input = 'in'\nfilter = 'a'",
            "8: \"filter\" in [operators.count]: the operator has \"component\" already",
            "an operator does one thing: make another that reads its output",
        ),
        (
            "component = 'count.wasm'",
            "filter = 'a'\nconfig = {}",
            "7: \"config\" in [operators.count]: an operator with \"filter\" does not take it",
            "it goes with component",
        ),
        (
            "component = 'count.wasm'",
            "select = { a = 'a' }\nwindow = { tumbling = '1h' }",
            "7: \"window\" in [operators.count]: an operator with \"select\" does not take it",
            "it goes with component, aggregate",
        ),
        (
            "component = 'count.wasm'",
            "changed = { fields = ['/a'] }\nexchange = 'rebalance'",
            "7: \"exchange\" in [operators.count]: an operator with \"changed\" does not take it",
            "it goes with component, filter, select",
        ),
        (
            "component = 'count.wasm'",
            "deduplicate = 'first'",
            "6: \"deduplicate\" in [operators.count]: invalid type: string, expected a table",
            "",
        ),
        (
            "component = 'count.wasm'",
            "deduplicate = { within = '1h' }",
            "6: missing key \"keep\" in [operators.count.deduplicate]",
            "",
        ),
        (
            "component = 'count.wasm'",
            "deduplicate = { keep = 'first' }",
            "6: missing key \"within\" in [operators.count.deduplicate]",
            "",
        ),
        (
            "component = 'count.wasm'",
            "deduplicate = { keep = 'frist', within = '1h' }",
            "6: \"keep\" in [operators.count.deduplicate]: \"frist\" is not a choice",
            "did you mean \"first\"?",
        ),
        (
            "component = 'count.wasm'",
            "deduplicate = { keep = 'first', within = '0s' }",
            "6: \"within\" in [operators.count.deduplicate]: has to be more than 0",
            "",
        ),
        (
            "component = 'count.wasm'",
            "deduplicate = { keep = 'last', within = '1h', clock = 'processing' }",
            "6: \"clock\" in [operators.count.deduplicate]: the last record is the one with the latest event time: there \
             is no other clock",
            "",
        ),
        (
            "component = 'count.wasm'",
            "changed = { fields = [] }",
            "6: \"fields\" in [operators.count.changed]: an empty list",
            "",
        ),
        (
            "component = 'count.wasm'",
            "changed = { fields = ['a'] }",
            "6: \"fields\" in [operators.count.changed]: \"a\" is not a JSON pointer: expected one such as \"/user_id\" or \
             \"/user/id\"",
            "",
        ),
        (
            "component = 'count.wasm'",
            "changed = { fields = ['/a'], clock = 'event' }",
            "6: \"clock\" in [operators.count.changed]: without \"within\" there is no time",
            "",
        ),
    ]);
}
