//! The first error of any worker ends the process, at once and with its reason, whatever the other workers wait for.

use std::io::Read;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tidewheel_tests::{folder_with, tidewheel};

/// Longer than any of these takes on a busy machine. Without the end of the process the other worker waits for ever.
const TIMEOUT: Duration = Duration::from_secs(15);

/// Runs `command` to its end: its exit code and what it wrote to stderr.
#[track_caller]
fn end_of(command: &mut Command) -> (Option<i32>, String) {
    let mut process = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the program starts");
    let began = Instant::now();
    let status = loop {
        if let Some(status) = process.try_wait().expect("a child can be waited for") {
            break status;
        }
        if began.elapsed() > TIMEOUT {
            process.kill().expect("a child can be killed");
            panic!("the process hangs");
        }
        std::thread::park_timeout(Duration::from_millis(5));
    };
    let mut stderr = String::new();
    process.stderr.take().expect("a pipe").read_to_string(&mut stderr).expect("stderr is text");
    (status.code(), stderr)
}

/// The faulty program with this fault: its error, without the place where it panicked.
#[track_caller]
fn check_faulty(fault: &str, start: &str, end: &str) {
    let (code, stderr) = end_of(Command::new(env!("CARGO_BIN_EXE_faulty")).arg(fault).stdin(Stdio::null()));
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.starts_with(start) && stderr.ends_with(end), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "the first error and nothing else: {stderr}");
}

#[test]
fn a_panic_of_a_worker_ends_the_process_with_its_reason() {
    for fault in ["panic", "panic-at-start"] {
        check_faulty(fault, "error: worker 1 panicked at tests/src/bin/faulty.rs:", ": split 1 is rotten\n");
    }
}

#[test]
fn an_error_of_a_worker_ends_the_process_with_its_reason() {
    for fault in ["error", "error-at-start"] {
        check_faulty(fault, "error: \"in\": split 1 has stopped\n", "");
    }
}

/// `on-error = "fail"`, with standard input still open: the reader waits for more, and is not waited for.
#[test]
fn malformed_input_ends_a_job_that_does_not_want_it() {
    let job = "name = 'strict'
[sources.lines]
connector = 'stdin'
format = 'jsonl'
[sinks.out]
connector = 'discard'
input = 'lines'
";
    let folder = folder_with(&[("job.toml", job)]);
    let (stdin, mut input) = std::io::pipe().expect("a pipe");
    std::io::Write::write_all(&mut input, b"{}\n{\"a\": \n").expect("the pipe takes it");
    let mut command = tidewheel();
    let (code, stderr) = end_of(command.args(["run", "--workers", "2", "job.toml"]).current_dir(&folder).stdin(stdin));
    drop(input);
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.starts_with("error: source \"lines\": stdin:2: "), "{stderr}");
    assert!(stderr.contains("on-error"), "it says what to do: {stderr}");
}

/// With checkpoints, too: every attempt would meet the record again.
#[test]
fn a_record_that_a_sink_cannot_write_ends_a_job_that_restarts() {
    let job = "name = 'strict'
[sources.lines]
connector = 'file'
path = 'lines.txt'
[sinks.out]
connector = 'file'
input = 'lines'
path = 'out'
[checkpoint]
[restart]
strategy = 'fixed'
delay = '1ms'
";
    let folder = folder_with(&[("job.toml", job)]);
    std::fs::write(folder.path().join("lines.txt"), b"{}\n\"\xff\"\n").expect("a file");
    let mut command = tidewheel();
    let (code, stderr) = end_of(command.args(["run", "job.toml"]).current_dir(&folder));
    assert_eq!(code, Some(1), "{stderr}");
    assert!(
        stderr.contains("cannot write a record of source 0, split 0, offset 2: its value is not UTF-8"),
        "{stderr}"
    );
    assert!(!stderr.contains("starting again"), "{stderr}");
}

/// A job of one worker over these lines with `operator`: its error.
#[track_caller]
fn check_operator(component: &str, operator: &str, lines: &str, start: &str, hint: &str) {
    let job = format!(
        "name = 'operator'\n[sources.lines]\nconnector = 'file'\npath = 'lines.txt'\n\
         key = {{ bytes = '0..1' }}\n[sinks.out]\nconnector = 'discard'\n\
         input = 'op'\n[operators.op]\ncomponent = '{}'\ninput = 'lines'\n{operator}\n",
        tidewheel_tests::guest(component).display()
    );
    let folder = folder_with(&[("job.toml", &job), ("lines.txt", lines)]);
    let mut command = tidewheel();
    let (code, stderr) = end_of(command.args(["run", "job.toml"]).current_dir(&folder));
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.starts_with(start) && stderr.contains(hint), "{stderr}");
}

/// Found among good ones before the job fails, so that the error can name it.
#[test]
fn a_poison_record_is_named_by_the_error_it_ends_a_job_with() {
    let start = "error: operator \"op\" cannot process lines.txt:3: `process` trapped";
    check_operator("poison-keyed", "", "good\nfine\ntrap\nelse\n", start, "on-error");
}

#[test]
fn timers_that_lead_nowhere_end_a_job() {
    let start = "error: operator \"op\": its timers set timers that are due at once";
    for config in ["until = 9_000_000_000_000_000_000", "until = 9_000_000_000_000_000_000, at-once = 1"] {
        check_operator("alarm", &format!("config = {{ {config} }}"), "one\ntwo\n", start, "timers after the watermark");
    }
}
