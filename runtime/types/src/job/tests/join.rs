//! Joins of the job file: what they mean, and every mistake.

use super::super::{JoinKind, JoinSpec, JoinType};
use super::{JobSpec, with};

fn join(text: &str) -> Result<JoinSpec, String> {
    let sources = "[sources.other]\nconnector = 'nexmark'\nkey = { json = '/k' }\n[operators.count]";
    let file = with(
        "[operators.count]\ncomponent = 'count.wasm'\ninput = 'in'",
        &format!("{sources}\ninput = ['in', 'other']\njoin = {text}"),
    );
    let spec = JobSpec::parse(&file, "job.toml").map_err(|error| error.to_string())?;
    Ok(spec.operators[0].join.expect("the operator is a join"))
}

#[test]
fn every_kind() {
    let window = |size_ms, slide_ms, offset_ms| JoinKind::Window { size_ms, slide_ms, offset_ms };
    for (text, kind) in [
        ("interval = ['-5m', '10s']", JoinKind::Interval { lower_ms: -300_000, upper_ms: 10_000 }),
        ("window = { tumbling = '10s', offset = '1s' }", window(10_000, 10_000, 1_000)),
        ("window = { sliding = '10s', slide = '2s' }", window(10_000, 2_000, 0)),
        ("window = { session = '30m' }", JoinKind::Session { gap_ms: 1_800_000 }),
        ("temporal = true", JoinKind::Temporal),
        ("lookup = true", JoinKind::Lookup),
    ] {
        assert_eq!(join(&format!("{{ {text} }}")), Ok(JoinSpec { kind, outer: JoinType::Inner }), "{text}");
        let left = JoinSpec { kind, outer: JoinType::Left };
        assert_eq!(join(&format!("{{ {text}, type = 'left' }}")), Ok(left), "{text}");
    }
}

#[test]
fn mistakes() {
    let table = "[operators.count.join]";
    let windows = "a join takes tumbling, sliding and session windows of event time, which fire at their end";
    for (text, expected) in [
        ("{}", "\"join\" in [operators.count]: expected { interval = [\"FROM\", \"TO\"] }".to_owned()),
        ("{ temporal = true, lookup = true }", format!("\"lookup\" in {table}: a join is of one kind")),
        (
            "{ temporal = true, window = { session = '1m' } }",
            "\"join\" in [operators.count]: a join is of one kind".to_owned(),
        ),
        (
            "{ interval = ['5m', '-5m'] }",
            format!("\"interval\" in {table}: the first bound has to be at most the second"),
        ),
        (
            "{ temporal = true, type = 'full' }",
            format!("\"type\" in {table}: of the right side only what is looked up"),
        ),
        (
            "{ window = { session = { json = '/gap' } } }",
            format!("\"window\" in {table}: the gap of a join's sessions is the same for all records"),
        ),
        ("{ window = { count = 5 } }", format!("\"window\" in {table}: {windows}")),
        ("{ window = { session = '1m', clock = 'processing' } }", format!("\"window\" in {table}: {windows}")),
        ("{ window = { session = '1m', allowed-lateness = '1m' } }", format!("\"window\" in {table}: {windows}")),
        ("{ window = { tumbling = '1m', trigger = { early = '1s' } } }", format!("\"window\" in {table}: {windows}")),
    ] {
        let found = join(text).expect_err(text);
        assert!(
            found.starts_with("job.toml:") && found.contains(&expected),
            "{text}\nfound    {found}\nexpected {expected}"
        );
    }
}
