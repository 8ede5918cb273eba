//! The examples in every language, with one job file, one input and one expected output each; languages side by side in one
//! job; and one language that goes on from the state of another.

use crate::examples::{assert_same, example, expected, results_with};
use crate::live::Live;
use crate::misbehave::lines_in;
use crate::swap::Swap;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use tempfile::TempDir;
use tidewheel_tests::{folder_with, guest, run, tidewheel};

/// The languages with an SDK, as names of components end.
const WITH_SDK: [&str; 3] = ["", "-go", "-python"];

/// Those in which there is `word-count` alone.
const WITHOUT_SDK: [&str; 2] = ["-js", "-c"];

/// The settings that let operators be components of these languages.
fn settings(operators: &[(&str, &str, &str)]) -> Vec<String> {
    let component = |(operator, name, language): &(&str, &str, &str)| {
        ["--set".to_owned(), format!("operators.{operator}.component={name}{language}.wasm")]
    };
    operators.iter().flat_map(component).collect()
}

/// Runs an example with components of these languages, and compares what it writes.
fn check(folder: &TempDir, example: &str, operators: &[(&str, &str, &str)], workers: &[&str]) {
    let settings = settings(operators);
    for workers in workers {
        let mut arguments = vec!["job.toml", "--workers", workers];
        arguments.extend(settings.iter().map(String::as_str));
        let found = results_with(folder.path(), &arguments);
        assert_same(&found, &expected(example), &format!("{example}, {operators:?}, {workers} workers"));
        fs::remove_dir_all(folder.path().join("out")).expect("a folder can be removed");
    }
}

/// In each language, and with the operator of each feeding that of each other: in one job, too, three languages.
#[test]
fn word_count_is_the_same_in_every_language_and_in_any_two() {
    let folder = example("word-count");
    let languages = [&WITH_SDK[..], &WITHOUT_SDK].concat();
    for split in &languages {
        for count in &languages {
            let workers = if split == count { &["1", "3"][..] } else { &["2"] };
            check(&folder, "word-count", &[("split", "split", split), ("count", "count", count)], workers);
        }
    }
}

/// Timers, side outputs, a config, and windows of an aggregate.
#[test]
fn rfm_is_the_same_in_every_language() {
    let folder = example("rfm");
    for (rfm, spend) in [("-go", "-go"), ("-python", "-python"), ("-go", "-python"), ("", "-go")] {
        check(&folder, "rfm", &[("rfm", "rfm", rfm), ("spend", "spend", spend)], &["2"]);
    }
}

/// The format that a state declares is the contract: whatever language has written it, any other goes on from it.
#[test]
fn a_swap_from_one_language_to_another_keeps_the_state() {
    for language in WITH_SDK {
        check(&example("swap"), "swap", &[("total", "total-1", language)], &["2"]);
    }
    for (first, second) in [("1-python", "2"), ("1", "2-go"), ("1-go", "2-python")] {
        let swap = Swap::new();
        let savepoint = swap.run_version(first, 0..600, None);
        assert_eq!(swap.verdict(second, &savepoint), "migrate from version 1 to 2", "{first}, {second}");
        // What version 2 has written is read by that of another language, too.
        let third = if second == "2" { "2-python" } else { "2" };
        let savepoint = swap.run_version(second, 600..900, Some(&savepoint));
        assert_eq!(swap.verdict(third, &savepoint), "reuse", "{second}, {third}");
        swap.run_version(third, 900..swap.purchases.len(), Some(&savepoint));
        assert_eq!(swap.written(), swap.expected(&["600", "2"]), "{first}, {second}, {third}");
    }
}

/// The word counter without an end: each file of the folder `texts` is read when it starts, and a clock keeps it running.
const LIVE_WORD_COUNT: &str = "name = 'words'
[sources.lines]
connector = 'file'
path = 'texts/*.txt'
format = 'lines'
[sources.clock]
connector = 'nexmark'
rate = 1
[operators.split]
component = 'split.wasm'
input = 'lines'
[operators.count]
component = 'count.wasm'
input = 'split'
[sinks.counts]
connector = 'file'
input = 'count'
path = 'out/'
[sinks.nowhere]
connector = 'discard'
input = 'clock'
[checkpoint]
interval = '1s'
";

/// Without an SDK, too: what an operator says of its state in `describe` is all that there is to it.
#[test]
fn a_language_without_an_sdk_goes_on_from_the_state_of_others_and_they_from_its() {
    let folder = example("word-count");
    fs::write(folder.path().join("live.toml"), LIVE_WORD_COUNT).expect("written");
    fs::create_dir(folder.path().join("texts")).expect("a folder");
    let live = Live::new(folder, "live.toml", "words", "counts");
    let text = fs::read_to_string(live.path().join("input.txt")).expect("the example has its input");
    let languages = ["", "-js", "-c", "-python", "-js", "-go", "-c", ""];
    assert_eq!(text.lines().count(), languages.len(), "a line for each");
    for (turn, (line, language)) in text.lines().zip(languages).enumerate() {
        fs::write(live.path().join(format!("texts/{turn}.txt")), line).expect("written");
        let words = line.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty());
        let component = format!("operators.count.component=count{language}.wasm");
        let job = live.start(words.count() as u64, &["--set", &component]);
        live.stop(job);
    }
    assert_same(&live.written(), &expected("word-count"), "one language after the other");
}

/// Variables come by the options of `open`, and no others are seen.
#[test]
fn an_operator_in_any_language_sees_the_variables_it_is_granted() {
    for language in ["-sdk", "-go", "-python"] {
        let job = format!(
            "name = 'granted'
[sources.lines]
connector = 'file'
path = 'in.txt'
format = 'lines'
[operators.op]
component = '{}'
input = 'lines'
grants = ['env:TOKEN', 'env:OTHER']
[sinks.out]
connector = 'file'
input = 'op'
path = 'out/'
format = 'lines'
",
            guest(&format!("marks{language}")).display()
        );
        let folder = folder_with(&[("job.toml", &job), ("in.txt", "env:TOKEN\nenv:OTHER\nenv:HIDDEN\n")]);
        let mut command = tidewheel();
        command.args(["run", "-q", "job.toml"]).envs([("TOKEN", "s3cret"), ("OTHER", "7"), ("HIDDEN", "x")]);
        let output = command.current_dir(folder.path()).output().expect("the program starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(lines_in(&folder.path().join("out")), ["7", "none", "s3cret"], "marks{language}");
    }
}

/// What Go's runtime gives up for is told as a panic is, with the record that was at hand: the dead letter has it, and calls
/// that fail for different reasons are kept in a capsule each.
#[test]
fn what_ends_a_program_in_go_is_the_reason_why_its_record_is_set_aside() {
    let job = format!(
        "name = 'fatal'
[sources.lines]
connector = 'file'
path = 'in.txt'
format = 'lines'
[operators.op]
component = '{}'
input = 'lines'
on-error = 'dead-letter'
[sinks.out]
connector = 'file'
input = 'op'
path = 'out/'
format = 'lines'
[sinks.letters]
connector = 'file'
input = 'op.dead-letter'
path = 'letters/'
",
        guest("fatal-go").display()
    );
    let lines = "one\ndeadlock\ntwo\ngoroutine lost\nexit\npanic odd\nthree\ngoroutine lost\n";
    let folder = folder_with(&[("job.toml", &job), ("in.txt", lines)]);
    let output = tidewheel().args(["run", "-q", "job.toml"]).current_dir(folder.path()).output().expect("it starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(lines_in(&folder.path().join("out")), ["one", "three", "two"]);
    let letters: Vec<Value> = lines_in(&folder.path().join("letters"))
        .iter()
        .map(|line| serde_json::from_str(line).expect("a dead letter is JSON"))
        .collect();
    let reason_of = |value: &str| {
        let letter = letters.iter().find(|letter| letter["value"] == value).expect("it is set aside");
        let reason = letter["reason"].as_str().expect("text");
        reason.strip_prefix("`process` trapped: wasm `unreachable` instruction executed: ").unwrap_or(reason).to_owned()
    };
    assert_eq!(reason_of("deadlock"), "fatal error: all goroutines are asleep - deadlock!");
    assert_eq!(reason_of("goroutine lost"), "panic: lost");
    assert_eq!(reason_of("exit"), "the program has ended: an operator does not call os.Exit");
    let panicked = reason_of("panic odd");
    assert!(panicked.starts_with("panicked: odd\n  at main.do ("), "{panicked}");
    let capsules: BTreeSet<&str> = letters.iter().filter_map(|letter| letter["capsule"].as_str()).collect();
    assert_eq!((letters.len(), capsules.len()), (5, 4), "one for each reason");
}

/// The same where there is no record to blame.
#[test]
fn what_ends_a_program_in_go_while_it_is_opened_is_the_reason_why_the_job_does_not_start() {
    let deadlock = "fatal error: all goroutines are asleep - deadlock!";
    let exit = "the program has ended: an operator does not call os.Exit";
    for (does, reason) in [
        ("panic early", "panicked: early\n  at main.do ("),
        ("goroutine early", "panic: early\n"),
        ("deadlock", deadlock),
        ("exit", exit),
    ] {
        let job = format!(
            "name = 'fatal'
[sources.lines]
connector = 'file'
path = 'in.txt'
[operators.op]
component = '{}'
input = 'lines'
config = {{ do = '{does}' }}
[sinks.out]
connector = 'discard'
input = 'op'
",
            guest("fatal-go").display()
        );
        let ended = run(folder_with(&[("job.toml", &job), ("in.txt", "one\n")]).path(), &["run", "-q", "job.toml"]);
        let expected = format!("`open` trapped: wasm `unreachable` instruction executed: {reason}");
        assert!(ended.code != 0 && ended.stderr.contains(&expected), "{does}: {}", ended.stderr);
    }
}
