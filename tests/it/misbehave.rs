//! Guests that misbehave, as a user meets them: dead letters that are looked at and come again, calls that are made again,
//! limits and grants.

use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use tidewheel_tests::{Ended, folder_with, guest, run, tidewheel};

/// A job over numbers, whose odd ones go to an output of their own; `SOURCES` and `INPUT` are put in by the tests.
const PARITY: &str = "name = 'parity'
[sources.lines]
connector = 'file'
path = 'in.txt'
SOURCES
[operators.parity]
component = 'COMPONENT'
input = INPUT
on-error = 'dead-letter'
[sinks.out]
connector = 'file'
input = ['parity', 'parity.odd']
path = 'out'
format = 'lines'
[sinks.bad]
connector = 'file'
input = 'parity.dead-letter'
path = 'bad'
";

fn job(text: &str, component: &Path, sources: &str, input: &str) -> String {
    let text = text.replace("COMPONENT", &component.display().to_string());
    text.replace("SOURCES", sources).replace("INPUT", input)
}

/// The lines of all visible files in a folder, sorted.
pub(crate) fn lines_in(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let files = entries.map(|entry| entry.unwrap().path());
    let visible = files.filter(|path| !path.file_name().unwrap().to_string_lossy().starts_with('.'));
    let texts: Vec<String> = visible.map(|path| fs::read_to_string(path).unwrap()).collect();
    let mut lines: Vec<String> = texts.iter().flat_map(|text| text.lines()).map(str::to_owned).collect();
    lines.sort();
    lines
}

#[track_caller]
fn succeeds(folder: &Path, arguments: &[&str]) -> Ended {
    let ended = run(folder, arguments);
    assert_eq!(ended.code, 0, "{arguments:?}: {}", ended.stderr);
    ended
}

#[test]
fn dead_letters_are_shown_and_become_input_again() {
    let text = job(PARITY, &guest("parity"), "", "'lines'");
    let folder = folder_with(&[("job.toml", &text), ("in.txt", "1\none\n2\ntwo\n")]);
    succeeds(folder.path(), &["run", "-q", "job.toml"]);
    assert_eq!(lines_in(&folder.path().join("out")), ["1", "2"]);

    let table = succeeds(folder.path(), &["dead-letters", "show", "bad"]).stdout;
    let rows: Vec<Vec<&str>> =
        table.lines().map(|line| line.split("  ").filter(|cell| !cell.is_empty()).map(str::trim).collect()).collect();
    assert_eq!(rows[0], ["OPERATOR", "WHAT", "KEY", "VALUE", "REASON"]);
    assert_eq!(
        rows[1..],
        [["parity", "in.txt:2", "one", "not a number"], ["parity", "in.txt:4", "two", "not a number"]]
    );
    let json = succeeds(folder.path(), &["dead-letters", "show", "bad", "--json"]).stdout;
    let letters: Vec<Value> = json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((letters.len(), &letters[1]["offset"], &letters[1]["source"]), (2, &4.into(), &"lines".into()));
    let details = succeeds(folder.path(), &["dead-letters", "show", "bad", "--details"]).stdout;
    assert!(details.contains("\nwhat       in.txt:2\nsource     lines\n"), "{details}");
    assert_eq!(
        succeeds(folder.path(), &["dead-letters", "show", "bad", "--operator", "other"]).stdout.lines().count(),
        1
    );

    // In a folder of their own they are written once, however often one asks.
    let written = succeeds(folder.path(), &["dead-letters", "retry", "bad", "--to", "again"]);
    assert!(written.stderr.contains("retry-1.jsonl: 2 records of bad"), "{}", written.stderr);
    let report = succeeds(folder.path(), &["dead-letters", "retry", "bad", "--to", "again", "--json"]).stdout;
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!((&report["file"], &report["records"], &report["already-there"]), (&Value::Null, &0.into(), &2.into()));
    let refused = run(folder.path(), &["dead-letters", "retry", "bad", "--to", "bad"]);
    assert!(refused.code == 2 && refused.stderr.contains("give another folder with --to"), "{}", refused.stderr);

    // An operator may have been given two records that are the same to the letter: neither is the other.
    let letter = fs::read_to_string(folder.path().join("again/retry-1.jsonl")).unwrap();
    let letter = letter.lines().next().unwrap();
    fs::create_dir(folder.path().join("twins")).unwrap();
    fs::write(folder.path().join("twins/part.jsonl"), format!("{letter}\n{letter}\n")).unwrap();
    for records in [2, 0] {
        let report =
            succeeds(folder.path(), &["dead-letters", "retry", "twins", "--to", "twins-again", "--json"]).stdout;
        assert_eq!(serde_json::from_str::<Value>(&report).unwrap()["records"], records, "{report}");
    }

    // What reads them gets what the operator got: this one takes any text.
    let again = "[sources.again]\nconnector = 'file'\npath = 'again/*.jsonl'\nformat = 'dead-letters'";
    let mended = job(PARITY, &guest("echo"), again, "['again']").replace("'parity', 'parity.odd'", "'parity'");
    let mended =
        mended.replace("[sources.lines]\nconnector = 'file'\npath = 'in.txt'\n", "").replace("'bad'", "'bad-again'");
    fs::write(folder.path().join("mended.toml"), mended).unwrap();
    succeeds(folder.path(), &["run", "-q", "mended.toml"]);
    assert_eq!(lines_in(&folder.path().join("out")), ["1", "2", "one", "two"]);
}

#[test]
fn what_is_no_dead_letter_is_refused_with_its_place() {
    let folder = folder_with(&[("in.txt", "{}\n")]);
    let ended = run(folder.path(), &["dead-letters", "show", "in.txt"]);
    let start = "error: in.txt:1: it is no dead letter: ";
    assert!(ended.code == 2 && ended.stderr.starts_with(start), "{}", ended.stderr);
    let letter = br#"{"operator":"a","reason":"b","key":"","value":""}"#;
    fs::write(folder.path().join("in.txt"), [letter, &b"\r\n\n"[..], letter, b"\n{\"operator\":\"\xff\"}\n"].concat())
        .unwrap();
    for command in [&["show", "in.txt"][..], &["show", "in.txt", "--json"], &["retry", "in.txt", "--to", "again"]] {
        let ended = run(folder.path(), &[&["dead-letters"], command].concat());
        let start = "error: in.txt:4: it is not UTF-8: ";
        assert!(ended.code == 2 && ended.stderr.starts_with(start), "{command:?}: {}", ended.stderr);
    }
}

/// A job whose operator panics of `poison`.
const TRAP: &str = "name = 'trap'
[sources.lines]
connector = 'file'
path = 'in.txt'
[operators.op]
component = 'COMPONENT'
input = INPUT
SOURCES
[sinks.out]
connector = 'file'
input = 'op'
path = 'out'
format = 'lines'
";

/// The one capsule in the data folder of job `trap`.
fn capsule(folder: &Path) -> PathBuf {
    let capsules: Vec<_> = fs::read_dir(folder.join(".tidewheel/trap/capsules")).unwrap().collect();
    assert_eq!(capsules.len(), 1);
    capsules.into_iter().next().unwrap().unwrap().path()
}

#[test]
fn a_failed_call_is_kept_and_made_again() {
    for checkpoint in ["", "[checkpoint]\n"] {
        let text = job(TRAP, &guest("trap"), "", "'lines'") + checkpoint;
        let folder = folder_with(&[("job.toml", &text), ("in.txt", "fine\npoison\n")]);
        let failed = run(folder.path(), &["run", "-q", "job.toml"]);
        let path = capsule(folder.path());
        let hint = format!("`tidewheel replay {}` makes it again", path.display());
        let is_said = failed.stderr.contains(&hint) || failed.stderr.contains("/capsules/op-1.capsule` makes it again");
        assert!(failed.code == 1 && is_said, "{}", failed.stderr);

        let path = path.display().to_string();
        let elsewhere = folder_with(&[]);
        let replayed = run(elsewhere.path(), &["replay", &path]);
        assert_eq!((replayed.code, replayed.stderr.as_str()), (1, ""));
        for said in [
            "\ncall       process of in.txt:2\n",
            "\nvalue      poison\n",
            "it failed again: `process` trapped: ",
            "to blame is record 0 of the batch: tasted of almonds",
            "in trap::swallow_poison (",
            "trap/src/lib.rs:",
        ] {
            assert!(replayed.stdout.contains(said), "{said}: {}", replayed.stdout);
        }
        let mended = guest("echo").display().to_string();
        let replayed = run(elsewhere.path(), &["replay", &path, "--component", &mended, "--json"]);
        let report: Value = serde_json::from_str(&replayed.stdout).unwrap();
        assert_eq!((replayed.code, &report["failed-again"], &report["operator"]), (0, &false.into(), &"op".into()));
        let none = run(elsewhere.path(), &["replay", &mended]);
        assert!(none.code == 2 && none.stderr.contains("it is not a capsule"), "{}", none.stderr);
    }
}

#[test]
fn what_a_guest_logs_and_why_it_panics_is_said_with_the_record() {
    let text = job(TRAP, &guest("trap"), "on-error = 'skip'", "'lines'");
    let folder = folder_with(&[("job.toml", &text), ("in.txt", "fine\npoison\n")]);
    let ended = succeeds(folder.path(), &["run", "-q", "job.toml"]);
    let line =
        ended.stderr.lines().find(|line| line.contains("is set aside")).unwrap_or_else(|| panic!("{}", ended.stderr));
    for said in [
        "WARN guest: in.txt:2 is set aside: `process` trapped: ",
        ": tasted of almonds, in trap::swallow_poison",
        "operator=\"op\"",
        "worker=0",
        "place=\"lines in.txt:2\"",
    ] {
        assert!(line.contains(said), "{said}: {line}");
    }
}

#[test]
fn lines_of_a_guest_name_the_record_and_are_not_more_than_they_may_be() {
    let keyed = TRAP.replace("path = 'in.txt'", "path = 'in.txt'\nkey = { bytes = '0..1' }");
    let more = "on-error = 'skip'\nconfig = { does = 'process log' }\nlimits = { deadline = '100ms', log = 2 }";
    let text = job(&keyed, &guest("evil"), more, "'lines'");
    let folder = folder_with(&[("job.toml", &text), ("in.txt", "x\n")]);
    let ended = succeeds(folder.path(), &["run", "-q", "job.toml"]);
    let lines: Vec<&str> = ended.stderr.lines().filter(|line| line.contains("guest:")).collect();
    let first = lines.first().unwrap_or_else(|| panic!("{}", ended.stderr));
    for said in ["ERROR guest: xxx", "operator=\"op\"", "worker=0", "record=0", "place=\"lines in.txt:1\""] {
        assert!(first.contains(said), "{said}: {}", &first[first.len().saturating_sub(200)..]);
    }
    assert!(lines.iter().any(|line| line.contains("more than its 2 lines in a second")), "{} lines", lines.len());
    // It takes some tenths of a second, and would log for as long as it is let.
    assert!(lines.len() < 50, "{} lines", lines.len());
}

#[test]
fn limits_and_grants_are_shown_by_check() {
    let more = "limits = { memory = '64MiB', state = '1KiB', log = 7 }\ngrants = ['env:TOKEN']";
    let text = job(TRAP, &guest("echo"), more, "'lines'");
    let folder = folder_with(&[("job.toml", &text), ("in.txt", "fine\n")]);
    let ended = run(folder.path(), &["check", "job.toml"]);
    let said = "error: job.toml:5: [operators.op] is granted \"env:TOKEN\", but TOKEN is not set\n\n\
                hint: set TOKEN where the job is run, or remove the grant\n";
    assert_eq!((ended.code, ended.stderr.as_str()), (2, said));
    let output = tidewheel().args(["check", "job.toml"]).env("TOKEN", "x").current_dir(folder.path()).output().unwrap();
    let table = String::from_utf8(output.stdout).unwrap();
    let expected = "OPERATOR  MEMORY    DEADLINE  OUTPUT    STATE    RECORDS  LOG  GRANTS
op        64.0 MiB  5.0 s     16.0 MiB  1.0 KiB  16,384   7/s  env:TOKEN
";
    assert_eq!((output.status.code(), table.as_str()), (Some(0), expected));
}

/// What is in the environment of the process is not what a guest sees.
#[test]
fn a_guest_sees_what_it_is_granted_of_the_environment() {
    let keyed = TRAP.replace("path = 'in.txt'", "path = 'in.txt'\nkey = { bytes = '0..1' }");
    let text = job(&keyed, &guest("evil"), "grants = ['env:TOKEN']", "'lines'");
    let folder = folder_with(&[("job.toml", &text), ("in.txt", "x\n")]);
    let mut command = tidewheel();
    command.args(["run", "-q", "job.toml"]).env("TOKEN", "s3cret").env("OTHER", "hidden").current_dir(folder.path());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(lines_in(&folder.path().join("out")), ["env:TOKEN=s3cret"]);
}
