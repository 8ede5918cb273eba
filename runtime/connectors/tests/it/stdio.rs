//! `stdin` and `stdout`, in a process of their own: this test binary, started again.

use crate::harness::{Park, Shard, read_to_end, sink, source};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tidewheel_connectors::ConnectorError;
use tidewheel_types::SplitIndex;

/// Set in the process that is started; its value is what to do there.
const ROLE: &str = "TIDEWHEEL_TEST_STDIO";

/// Starts this binary again to do `role`.
fn child(role: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("the path of this program"));
    command.args(["--exact", "stdio::child_process", "--nocapture"]).env(ROLE, role);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Does nothing unless started by the tests below.
#[test]
fn child_process() {
    match std::env::var(ROLE).as_deref() {
        Ok("copy") => {
            let park = Park::new();
            let stdin = source("stdin", "format = 'jsonl'", Path::new("")).expect("a source");
            let mut reader = stdin.open(0, SplitIndex(0), None, park.waker()).expect("open");
            let error = stdin.open(0, SplitIndex(0), None, park.waker()).err().expect("a second reader");
            assert!(matches!(error, ConnectorError::Input { .. }), "{error}");
            let content = read_to_end(reader.as_mut(), &park, 1000).expect("readable");
            let lines: Vec<&str> = content.lines().into_iter().map(|(_, line)| line).collect();
            let stdout = sink("stdout", "", Path::new("")).expect("a sink");
            let mut shard = Shard::open(stdout.as_ref(), "abc", 0).expect("open");
            shard.write(&lines).expect("written");
            shard.write(&content.reasons()).expect("written");
            assert_eq!(shard.try_stage(1).expect("everything is written"), None);
        }
        Ok("end") => {
            let park = Park::new();
            let stdin = source("stdin", "", Path::new("")).expect("a source");
            let _reader = stdin.open(0, SplitIndex(0), None, park.waker()).expect("open");
        }
        _ => {}
    }
}

#[test]
fn lines_pass_through() {
    let mut process = child("copy").spawn().expect("started");
    process.stdin.take().expect("piped").write_all(b"{\"a\":1}\nx\n2").expect("written");
    let output = process.wait_with_output().expect("ended");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(text.contains("{\"a\":1}\n2\nstdin:2: expected value at column 1\n"), "{text}");
}

#[test]
fn a_reader_that_waits_for_input_does_not_stop_the_process_from_ending() {
    let mut process = child("end").spawn().expect("started");
    let input = process.stdin.take();
    let start = Instant::now();
    while process.try_wait().expect("a process").is_none() {
        assert!(start.elapsed() < Duration::from_secs(20), "it is still waiting for input");
        std::thread::sleep(Duration::from_millis(10));
    }
    drop(input);
}
