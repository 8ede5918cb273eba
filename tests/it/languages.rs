//! The examples in every language, with one job file, one input and one expected output each; languages side by side in one
//! job; and one language that goes on from the state of another.

use crate::examples::{assert_same, example, expected, results_with};
use crate::swap::Swap;
use std::fs;
use tempfile::TempDir;

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
