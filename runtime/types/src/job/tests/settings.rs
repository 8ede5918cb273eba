//! Settings of the command line: what they change, and every mistake.

use super::super::{BackendSpec, JobError, Panes, Trigger, WindowAssigner, WindowClock, WindowSpec};
use super::{JobSpec, component, with};

fn parse(settings: &[&str]) -> Result<JobSpec, JobError> {
    let settings: Vec<String> = settings.iter().map(|&setting| setting.to_owned()).collect();
    let file = with("input = 'in'", "input = 'in'\nwindow = { tumbling = '1d', offset = '8h' }");
    JobSpec::parse_with(&file, "job.toml", &settings)
}

#[test]
fn a_setting_goes_before_the_file() {
    let spec = parse(&["operators.count.component=new.wasm", "max-parallelism=64", "name = 'other'"]).unwrap();
    assert_eq!(
        (component(&spec.operators[0]).path.as_str(), spec.max_parallelism, spec.name.as_str()),
        ("new.wasm", 64, "other")
    );
    let spec = parse(&["operators.count.component=a=b.wasm", "operators.count.component=c d.wasm"]).unwrap();
    assert_eq!(component(&spec.operators[0]).path, "c d.wasm", "the last one counts");
}

#[test]
fn tables_are_made_and_replaced() {
    let spec = parse(&["checkpoint.interval=100ms", "state.backend=rocksdb", "state.memory=64MiB"]).unwrap();
    assert_eq!(spec.checkpoint.unwrap().interval_ms, 100);
    assert_eq!(spec.state.backend, BackendSpec::RocksDb { memory_bytes_max: 64 << 20 });
    let window = |setting| parse(&[setting]).unwrap().operators[0].window.clone();
    let (hour, shift) = (3_600_000, 8 * 3_600_000);
    let tumbling = |size_ms, offset_ms| {
        let (trigger, panes) = (Trigger::AtEnd, Panes::Accumulating);
        let assigner = WindowAssigner::Tumbling { size_ms, offset_ms };
        let clock = WindowClock::Event;
        Some(WindowSpec { assigner, clock, allowed_lateness_ms: 0, trigger, panes })
    };
    assert_eq!(window("operators.count.window.tumbling=12h"), tumbling(12 * hour, shift));
    assert_eq!(window("operators.count.window={ tumbling = \"1h\" }"), tumbling(hour, 0));
    let config = |setting| component(&parse(&[setting]).unwrap().operators[0]).config.to_string();
    assert_eq!(config("operators.count.config.a.\"b c\"=[1, 'x']"), r#"{"a":{"b c":[1,"x"]}}"#);
    assert_eq!(config("operators.count.config={ a = { b = 1 } }"), r#"{"a":{"b":1}}"#);
}

#[test]
fn mistakes() {
    for (setting, message) in [
        (
            "operators.count.component",
            "--set operators.count.component: no value\n\n\
             hint: write --set KEY=VALUE, such as --set operators.count.component=new.wasm",
        ),
        ("=x", "--set : is not a key\n\nhint: write the table's name and the key with a dot: TABLE.KEY"),
        ("a..b=x", "--set a..b: is not a key\n\nhint: write the table's name and the key with a dot: TABLE.KEY"),
        (
            "operators.cuont.component=x",
            "--set operators.cuont.component: the job has no operator \"cuont\"\n\nhint: did you mean \"count\"?",
        ),
        (
            "operators.count.compnent=x",
            "--set operators.count.compnent: unknown key \"compnent\" in [operators.count]\n\n\
             hint: did you mean \"component\"?",
        ),
        (
            "operators.count.component.x=1",
            "--set operators.count.component.x: \"component\" in [operators.count] is not a table",
        ),
        (
            "operators.count.component=7",
            "--set operators.count.component: \"component\" in [operators.count]: invalid type: integer `7`, expected a string",
        ),
        ("checkpoint.keep=0", "--set checkpoint.keep: \"keep\" in [checkpoint]: 0 is not a number from 1"),
        (
            "checkpoint={ kep = 1 }",
            "--set checkpoint: unknown key \"kep\" in [checkpoint]\n\nhint: did you mean \"keep\"?",
        ),
        ("restart.max={}", "--set restart.max: missing key \"restarts\" in [restart.max]"),
        (
            "operators.count.input=x",
            "job.toml: the input \"x\" of \"count\" is neither a source nor an operator\n\nhint: the only choice is \"in\"",
        ),
    ] {
        assert_eq!(parse(&[setting]).expect_err(setting).to_string(), message);
    }
}
