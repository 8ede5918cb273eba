//! `tidewheel check`: what is found without running, and that `run` finds it too before it begins.

use tidewheel_tests::{folder_with, guest, run};

/// Both commands must print exactly this error and end with code 2.
#[track_caller]
fn check_refused(job: &str, stderr: &str) {
    let folder = folder_with(&[("job.toml", job), ("in.txt", "one\n")]);
    for command in ["check", "run"] {
        let ended = run(folder.path(), &[command, "job.toml"]);
        assert_eq!((ended.code, ended.stdout.as_str(), ended.stderr.as_str()), (2, "", stderr), "{command}");
    }
    assert!(!folder.path().join("out").exists(), "nothing has been run");
}

fn with_guest(name: &str, config: &str) -> String {
    format!(
        "name = 'configured'
[sources.lines]
connector = 'file'
path = 'in.txt'
[operators.guest]
component = '{}'
input = 'lines'
config = {config}
[sinks.out]
connector = 'file'
input = 'guest'
path = 'out'
",
        guest(name).display()
    )
}

#[test]
fn a_config_that_the_component_refuses() {
    check_refused(
        &with_guest("echo", "{ refuse = true }"),
        "error: job.toml:5: operator \"guest\": `open` failed: this config is refused (code 1)\n",
    );
}

#[test]
fn a_component_of_a_source_that_does_not_fit() {
    let job = |name: &str, more: &str| {
        format!(
            "name = 'timed'
[sources.lines]
connector = 'file'
path = 'in.txt'
event-time = {{ component = '{}'{more} }}
[sinks.out]
connector = 'file'
input = 'lines'
path = 'out'
",
            guest(name).display()
        )
    };
    check_refused(
        &job("echo", ", config = { refuse = true }"),
        "error: job.toml:2: source \"lines\": `open` failed: this config is refused (code 1)\n",
    );
    let keyed = format!("{:?} is of world keyed", guest("timers").display().to_string());
    check_refused(
        &job("timers", ""),
        &format!(
            "error: job.toml:2: [sources.lines]: {keyed}, and the component of an event time is of world stateless\n"
        ),
    );
    let folder = folder_with(&[("job.toml", &job("echo", "")), ("in.txt", "one\n")]);
    assert_eq!(run(folder.path(), &["check", "job.toml"]).code, 0);
}

#[test]
fn a_component_that_traps_when_it_is_opened() {
    let folder = folder_with(&[("job.toml", &with_guest("trap", "{ open = true }")), ("in.txt", "one\n")]);
    let ended = run(folder.path(), &["check", "job.toml"]);
    assert_eq!(ended.code, 2);
    let start = "error: job.toml:5: operator \"guest\": `open` trapped: ";
    assert!(ended.stderr.starts_with(start) && ended.stderr.contains("\n  in "), "{}", ended.stderr);
}

#[test]
fn a_config_of_an_example_with_a_slip() {
    let example = tidewheel_tests::repo_root().join("guest-examples/rfm");
    let job = std::fs::read_to_string(example.join("job.toml")).unwrap();
    let job = job.replace("\"rfm.wasm\"", &format!("{:?}", example.join("rfm.wasm")));
    let job = job.replace("\"spend.wasm\"", &format!("{:?}", example.join("spend.wasm")));
    let job = job.replace("\"purchases.csv\"", &format!("{:?}", example.join("purchases.csv")));
    let folder = folder_with(&[("job.toml", &job.replace("lapse-days", "laps-days"))]);
    let ended = run(folder.path(), &["check", "job.toml"]);
    assert_eq!(ended.code, 2);
    let start = "error: job.toml:13: operator \"rfm\": `open` failed: ";
    assert!(ended.stderr.starts_with(start) && ended.stderr.contains("laps-days"), "{}", ended.stderr);
}

#[test]
fn two_readers_of_stdin() {
    let job = "name = 'greedy'
[sources.a]
connector = 'stdin'
[sources.b]
connector = 'stdin'
[sinks.out]
connector = 'discard'
input = ['a', 'b']
";
    check_refused(
        job,
        "error: job.toml:4: sources \"a\" and \"b\" both read stdin\n\nhint: let the readers of \"b\" read \"a\" too\n",
    );
}

#[test]
fn two_writers_of_a_folder() {
    let job = |one: &str, two: &str| {
        format!(
            "name = 'crowded'
[sources.lines]
connector = 'file'
path = 'in.txt'
[sinks.one]
connector = 'file'
input = 'lines'
path = '{one}'
[sinks.two]
connector = 'file'
input = 'lines'
path = '{two}'
format = 'lines'
"
        )
    };
    for same in ["out", "out/", "./out", "x/../out"] {
        check_refused(
            &job("out", same),
            &format!(
                "error: job.toml:12: \"path\" in [sinks.two]: sink \"one\" writes to {same:?} too\n\n\
                 hint: give each sink a folder of its own, or one sink both inputs: input = [\"…\", \"…\"]\n"
            ),
        );
    }
    let folder = folder_with(&[("job.toml", &job("out/one", "out/two")), ("in.txt", "one\n")]);
    assert_eq!(run(folder.path(), &["check", "job.toml"]).code, 0);
    // A link to a folder is that folder.
    let folder = folder_with(&[("job.toml", &job("there", "link")), ("in.txt", "one\n")]);
    std::fs::create_dir(folder.path().join("there")).unwrap();
    std::os::unix::fs::symlink("there", folder.path().join("link")).unwrap();
    assert_eq!(run(folder.path(), &["check", "job.toml"]).code, 2);
}
