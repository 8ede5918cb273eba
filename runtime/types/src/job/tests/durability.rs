//! The tables `[checkpoint]`, `[state]`, `[restart]` and `[capsules]`: their defaults, all their keys, and every mistake.

use super::super::{BackendSpec, CapsulesSpec, CheckpointSpec, RestartLimit, RestartSpec, RestartStrategy, StateSpec};
use super::{JobSpec, Mistake, check, with};

/// The job with these tables before its sinks, from line 8 on.
fn parse(tables: &str) -> JobSpec {
    JobSpec::parse(&with("[sinks.out]", &format!("{tables}\n[sinks.out]")), "job.toml").unwrap()
}

const EXPONENTIAL: RestartStrategy =
    RestartStrategy::Exponential { delay_ms: 1_000, delay_ms_max: 60_000, multiplier: 1.5 };

#[test]
fn without_the_tables_nothing_survives() {
    let spec = parse("");
    assert_eq!((spec.checkpoint, spec.state), (None, StateSpec { backend: BackendSpec::Memory, line: 0 }));
    assert_eq!(spec.restart, RestartSpec { strategy: RestartStrategy::None, max: None, line: 0 });
}

#[test]
fn capsules_are_kept_unless_told_otherwise() {
    assert_eq!(parse("").capsules, CapsulesSpec { keep: 10, bytes_max: 32 << 20 });
    let spec = parse("[capsules]\nkeep = 0\nbytes = '1MiB'");
    assert_eq!(spec.capsules, CapsulesSpec { keep: 0, bytes_max: 1 << 20 });
    let text = with("[sinks.out]", "[capsules]\nbytes = '0B'\n[sinks.out]");
    let error = JobSpec::parse(&text, "job.toml").unwrap_err().to_string();
    assert_eq!(error, "job.toml:9: \"bytes\" in [capsules]: has to be more than 0\n\nhint: keep = 0 keeps none");
}

#[test]
fn defaults_are_flinks() {
    let spec = parse("[checkpoint]\n[state]\nbackend = 'rocksdb'");
    let checkpoint = CheckpointSpec {
        interval_ms: 1_000,
        timeout_ms: 600_000,
        min_pause_ms: 0,
        store: None,
        keep: 3,
        tolerable_failures: None,
        line: 8,
    };
    assert_eq!(spec.checkpoint, Some(checkpoint));
    assert_eq!(spec.state, StateSpec { backend: BackendSpec::RocksDb { memory_bytes_max: 512 << 20 }, line: 9 });
    assert_eq!(spec.restart, RestartSpec { strategy: EXPONENTIAL, max: None, line: 0 });
    assert_eq!(parse("[restart]").restart, RestartSpec { strategy: EXPONENTIAL, max: None, line: 8 });
    assert_eq!(parse("[state]").state, StateSpec { backend: BackendSpec::Memory, line: 8 });
    assert_eq!(parse("[restart]\nstrategy = 'fixed'").restart.strategy, RestartStrategy::Fixed { delay_ms: 1_000 });
    assert_eq!(parse("[checkpoint]\n[restart]\nstrategy = 'none'").restart.strategy, RestartStrategy::None);
}

#[test]
fn all_that_can_be_said() {
    let spec = parse(
        "[checkpoint]\ninterval = '100ms'\ntimeout = '30s'\nmin-pause = '50ms'\nstore = 's3://bucket/job'\nkeep = 1\n\
         tolerable-failures = 0\n[state]\nbackend = 'rocksdb'\nmemory = '64MiB'\n[restart]\n\
         strategy = 'exponential'\ndelay = '100ms'\nmax-delay = '5s'\nmultiplier = 2\n\
         max = { restarts = 5, within = '10m' }",
    );
    let checkpoint = CheckpointSpec {
        interval_ms: 100,
        timeout_ms: 30_000,
        min_pause_ms: 50,
        store: Some("s3://bucket/job".to_owned()),
        keep: 1,
        tolerable_failures: Some(0),
        line: 8,
    };
    assert_eq!(spec.checkpoint, Some(checkpoint));
    assert_eq!(spec.state.backend, BackendSpec::RocksDb { memory_bytes_max: 64 << 20 });
    let strategy = RestartStrategy::Exponential { delay_ms: 100, delay_ms_max: 5_000, multiplier: 2.0 };
    let max = Some(RestartLimit { restarts: 5, within_ms: Some(600_000) });
    assert_eq!(spec.restart, RestartSpec { strategy, max, line: 18 });
}

const MISTAKES: &[Mistake] = &[
    ("[sinks.out]", "[checkpoints]\n[sinks.out]", "8: unknown key \"checkpoints\"", "did you mean \"checkpoint\"?"),
    ("name =", "checkpoint = '1s'\nname =", "1: \"checkpoint\": invalid type: string, expected a table", ""),
    (
        "[sinks.out]",
        "[checkpoint]\nintervall = '1s'\n[sinks.out]",
        "9: unknown key \"intervall\" in [checkpoint]",
        "did you mean \"interval\"?",
    ),
    (
        "[sinks.out]",
        "[checkpoint]\ninterval = '9ms'\n[sinks.out]",
        "9: \"interval\" in [checkpoint]: has to be at least 10ms, the length of an epoch",
        "",
    ),
    (
        "[sinks.out]",
        "[checkpoint]\ntimeout = '0s'\n[sinks.out]",
        "9: \"timeout\" in [checkpoint]: has to be more than 0",
        "",
    ),
    (
        "[sinks.out]",
        "[checkpoint]\nstore = ''\n[sinks.out]",
        "9: \"store\" in [checkpoint]: is empty",
        "give a URL such as \"s3://bucket/job\", or a path",
    ),
    ("[sinks.out]", "[checkpoint]\nkeep = 0\n[sinks.out]", "9: \"keep\" in [checkpoint]: 0 is not a number from 1", ""),
    (
        "[sinks.out]",
        "[checkpoint]\ntolerable-failures = -1\n[sinks.out]",
        "9: \"tolerable-failures\" in [checkpoint]: -1 is not a number from 0",
        "",
    ),
    (
        "[sinks.out]",
        "[state]\nbackend = 'rocks'\n[sinks.out]",
        "9: \"backend\" in [state]: \"rocks\" is not a choice",
        "did you mean \"rocksdb\"?",
    ),
    (
        "[sinks.out]",
        "[state]\nmemory = '1GiB'\n[sinks.out]",
        "9: \"memory\" in [state]: only the backend \"rocksdb\" has a budget",
        "add backend = \"rocksdb\", or remove it: memory holds what it has to",
    ),
    (
        "[sinks.out]",
        "[state]\nbackend = 'rocksdb'\nmemory = '0B'\n[sinks.out]",
        "10: \"memory\" in [state]: has to be more than 0",
        "",
    ),
    (
        "[sinks.out]",
        "[restart]\nstrategy = 'exponentail'\n[sinks.out]",
        "9: \"strategy\" in [restart]: \"exponentail\" is not a choice",
        "did you mean \"exponential\"?",
    ),
    (
        "[sinks.out]",
        "[restart]\nstrategy = 'fixed'\nmultiplier = 2\n[sinks.out]",
        "10: unknown key \"multiplier\" in [restart]",
        "the choices are \"strategy\", \"delay\" and \"max\"",
    ),
    (
        "[sinks.out]",
        "[restart]\ndelay = '10s'\nmax-delay = '5s'\n[sinks.out]",
        "10: \"max-delay\" in [restart]: has to be at least \"delay\"",
        "",
    ),
    (
        "[sinks.out]",
        "[restart]\nmultiplier = 0.5\n[sinks.out]",
        "9: \"multiplier\" in [restart]: has to be at least 1",
        "",
    ),
    (
        "[sinks.out]",
        "[restart]\nmultiplier = 'two'\n[sinks.out]",
        "9: \"multiplier\" in [restart]: invalid type: string, expected a number",
        "",
    ),
    (
        "[sinks.out]",
        "[restart]\nmax = { within = '10m' }\n[sinks.out]",
        "9: missing key \"restarts\" in [restart.max]",
        "",
    ),
    (
        "[sinks.out]",
        "[restart]\nmax = { restarts = 0 }\n[sinks.out]",
        "9: \"restarts\" in [restart.max]: 0 is not a number from 1",
        "",
    ),
    (
        "[sinks.out]",
        "[restart]\nmax = { restarts = 3, within = '0s' }\n[sinks.out]",
        "9: \"within\" in [restart.max]: has to be more than 0",
        "",
    ),
];

#[test]
fn mistakes() {
    check(MISTAKES);
}
