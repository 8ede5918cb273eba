//! What records, guests and components say is shown, never obeyed: nothing of it reaches the terminal as a command.

use std::fs;
use tidewheel_tests::{folder_with, guest, run};

/// Retitles a terminal, clears it, does so again in one byte, and writes from right to left.
const ATTACK: &str = "\x1b]0;pwned\x07\x1b[2J\u{9b}2J\u{202e}";
const SHOWN: &str = r"\u{1b}]0;pwned\u{7}\u{1b}[2J\u{9b}2J\u{202e}";

/// A job that hands lines to a fixture guest.
fn job(name: &str, more: &str) -> String {
    format!(
        "name = 'untrusted'
[sources.lines]
connector = 'file'
path = 'in.txt'
key = {{ bytes = '0..1' }}
[operators.guest]
component = '{}'
input = 'lines'
{more}
[sinks.out]
connector = 'discard'
input = 'guest'
",
        guest(name).display()
    )
}

/// Whether a terminal would do something with this text but show it.
fn is_harmless(text: &str) -> bool {
    !text.chars().any(|letter| (letter.is_control() && letter != '\n') || letter == '\u{202e}')
}

#[test]
fn a_record_in_an_error_is_shown() {
    let files = [("job.toml", job("map-state", "")), ("in.txt", format!("put a b\nrefuse {ATTACK}\n"))];
    let folder = folder_with(&[(files[0].0, &files[0].1), (files[1].0, &files[1].1)]);
    let ended = run(folder.path(), &["run", "job.toml"]);
    assert_eq!(ended.code, 1);
    assert!(ended.stderr.starts_with("error: operator \"guest\" rejected "), "{}", ended.stderr);
    assert!(ended.stderr.contains(SHOWN) && is_harmless(&ended.stderr), "{:?}", ended.stderr);
}

#[test]
fn a_line_of_the_log_is_one_line() {
    let job = job("echo", "config = { aloud = true }");
    let folder = folder_with(&[("job.toml", &job), ("in.txt", &format!("{ATTACK}\n"))]);
    let ended = run(folder.path(), &["run", "--quiet", "job.toml"]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(is_harmless(&ended.stderr), "{:?}", ended.stderr);
    // The guest writes the value on a line of its own, which could pass for one of the runtime's.
    let lines: Vec<&str> = ended.stderr.lines().collect();
    assert!(matches!(lines[..], [line] if line.contains(r"a value came:\n\")), "{lines:?}");
}

#[test]
fn what_a_component_says_of_itself_is_shown() {
    let mut component = fs::read(guest("echo")).unwrap();
    let version = component.windows(5).position(|bytes| bytes == b"1.2.3").expect("its version is in there");
    component[version..version + 5].copy_from_slice(b"\x1b[2J\n");
    let folder = folder_with(&[]);
    fs::write(folder.path().join("evil.wasm"), component).unwrap();
    let text = run(folder.path(), &["inspect", "evil.wasm"]);
    assert!(text.stdout.starts_with("operator  echo \\u{1b}[2J\nworld "), "{:?}", text.stdout);
    assert!(is_harmless(&text.stdout) && is_harmless(&text.stderr), "{text:?}");
    let json = run(folder.path(), &["inspect", "--json", "evil.wasm"]);
    let report: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(report["version"], "\x1b[2J\n");
    assert!(is_harmless(&json.stdout), "{json:?}");
}
