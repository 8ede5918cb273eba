//! `tidewheel test`: cases against real components, what passes, what fails and how it is told.

use tempfile::TempDir;
use tidewheel_tests::{Ended, folder_with, guest, repo_root, run};

/// Runs one case of a fixture guest.
fn test_case(guest_name: &str, text: &str) -> (TempDir, Ended) {
    let folder = folder_with(&[("case.toml", text)]);
    let component = guest(guest_name).display().to_string();
    let ended = run(folder.path(), &["test", "case.toml", "--component", &component]);
    (folder, ended)
}

#[track_caller]
fn check_passes(guest_name: &str, text: &str) {
    let (_folder, ended) = test_case(guest_name, text);
    let steps = text.matches("[[step]]").count();
    let ok = format!("case.toml: ok ({steps} step{})\n", if steps == 1 { "" } else { "s" });
    assert_eq!((ended.code, ended.stdout.as_str(), ended.stderr.as_str()), (0, ok.as_str(), ""));
}

#[track_caller]
fn check_fails(guest_name: &str, text: &str, stdout: &str) {
    let (_folder, ended) = test_case(guest_name, text);
    assert_eq!((ended.stdout.as_str(), ended.code), (stdout, 1), "{}", ended.stderr);
    assert_eq!(ended.stderr, "error: the case failed\n");
}

#[test]
fn records_states_and_timers_by_either_clock() {
    check_passes(
        "timers",
        "
[[step]]
now = 2024-01-01T00:00:00Z
records = [
    { key = 'a', value = 'a set event 1704070800000' },
    { key = 'a', value = 'a set first 1704067230000' },
    { key = 'b', value = 'b set second 1704067230000' },
]
state.fired = {}
timers = [
    { timer = 'event', key = 'a', time = 2024-01-01T01:00:00Z },
    { timer = 'first', key = 'a', time = 2024-01-01T00:00:30Z },
    { timer = 'second', key = 'b', time = '2024-01-01T00:00:30Z' },
]

[[step]]
now = 2024-01-01T00:00:30Z
outputs = [
    { key = 'a', value = '1 first 1704067230000 1704067230000' },
    { key = 'b', value = '1 second 1704067230000 1704067230000' },
]
state.fired = { a = 1, b = 1 }
timers = [{ timer = 'event', key = 'a', time = 2024-01-01T01:00:00Z }]

[[step]]
watermark = 2024-01-01T00:59:59Z

[[step]]
watermark = 2024-01-01T01:00:00Z
outputs = [{ key = 'a', time = 2024-01-01T01:00:00Z, value = '2 event 1704070800000 1704067230000' }]
state.fired.a = 2
state.fired.b = 1
timers = []
",
    );
}

#[test]
fn windows_late_records_and_what_windows_hold() {
    check_passes(
        "sum",
        "
window = { tumbling = '1h' }

[[step]]
records = [
    { key = 'a', time = 2024-01-01T00:10:00Z, hex = '0100000000000000' },
    { key = 'a', time = 2024-01-01T00:50:00Z, hex = '0200000000000000' },
    { key = 'a', time = 2024-01-01T01:50:00Z, hex = '0400000000000000' },
]
state.sum.a = { '2024-01-01T00:00:00Z' = { hex = '0300000000000000' }, '2024-01-01T01:00:00Z' = { hex = '0400000000000000' } }

[[step]]
watermark = 2024-01-01T01:00:00Z
outputs = [{ key = 'a', hex = '0300000000000000' }]

[[step]]
records = [{ key = 'a', time = 2024-01-01T00:59:00Z, hex = '0800000000000000' }]
outputs = [{ output = 'late', key = 'a' }]

[[step]]
watermark = 'end'
outputs = [{ hex = '0400000000000000' }]
state.sum = {}
",
    );
}

#[test]
fn side_outputs_and_records_that_are_rejected() {
    check_passes(
        "parity",
        "
[[step]]
records = [{ value = '4' }, { value = '7' }, { value = 'seven' }]
outputs = [{ value = 4 }, { output = 'odd', value = 7 }]
rejected = [{ value = 'seven' }]
",
    );
}

#[test]
fn joins_have_two_inputs() {
    check_passes(
        "pair-text",
        "
join = { interval = ['0s', '1h'], type = 'left' }

[[step]]
records = [
    { input = 'left', key = 'a', time = 2024-01-01T00:00:00Z, value = 'order' },
    { input = 'right', key = 'a', time = 2024-01-01T00:10:00Z, value = 'payment' },
    { input = 'left', key = 'b', time = 2024-01-01T00:00:00Z, value = 'lonely' },
]
outputs = [{ key = 'a', value = 'order+payment' }]

[[step]]
watermark = 2024-01-01T01:00:00Z
outputs = [{ key = 'b', value = 'lonely+-' }]
",
    );
}

#[test]
fn what_differs_is_told() {
    check_fails(
        "timers",
        "
[[step]]
records = [{ key = 'a', value = 'a set event 5' }, { key = 'b', value = 'b set event 6' }]

[[step]]
watermark = 1970-01-01T00:00:00.007Z
outputs = [{ key = 'a', value = '1 event 5 0' }, { key = 'b', value = '2 event 6 0' }]
state.fired = { a = 1, c = 2 }
timers = []
",
        "case.toml: failed
  step 2 (line 5): outputs
      {\"key\":\"a\",\"value\":\"1 event 5 0\"}
    - {\"key\":\"b\",\"value\":\"2 event 6 0\"}
    + {\"key\":\"b\",\"value\":\"1 event 6 0\"}
    /value: expected \"2 event 6 0\", found \"1 event 6 0\"
  step 2 (line 5): state.fired
      {\"a\":1}
    - {\"c\":2}
    + {\"b\":1}
    /c is missing
",
    );
}

#[test]
fn what_an_instance_keeps_is_found() {
    let case = "
[[step]]
records = [{ value = '0' }]
outputs = [{ value = 1 }]

[[step]]
records = [{ value = '0' }]
outputs = [{ value = 2 }]
";
    check_fails(
        "grow-memory",
        case,
        "case.toml: failed
  step 2 (line 6): outputs
    - {\"value\":2}
    + {\"value\":1}
    /value: expected 2, found 1
  hint: it passes when one instance serves all calls: something is kept in a field or a global that should be declared state
",
    );
    check_fails(
        "grow-memory",
        &case.replace("2 }", "1 }"),
        "case.toml: failed
  step 2 (line 6): outputs
    - {\"value\":1}
    + {\"value\":2}
    /value: expected 1, found 2
  hint: it passes when each record has an instance of its own: what one leaves in a field or a global changes what comes of \
the next, or the records of a batch are mixed up
",
    );
}

#[test]
fn an_error_that_ends_the_job_fails_the_case_alone() {
    let step = "[[step]]\nrecords = [{ value = 'fail' }]\n";
    let good = "[[step]]\nrecords = [{ value = 'one' }]\noutputs = [{ value = 'one' }]\n";
    let folder = folder_with(&[]);
    std::fs::create_dir(folder.path().join("tests")).unwrap();
    for (name, text) in [("a.toml", step), ("b.toml", good), ("notes.txt", "")] {
        std::fs::write(folder.path().join("tests").join(name), text).unwrap();
    }
    let component = guest("trap").display().to_string();
    let ended = run(folder.path(), &["test", "--component", &component]);
    let said = "./tests/a.toml: failed
  operator \"trap\": `process` failed: cannot go on (code 1)
./tests/b.toml: ok (1 step)
";
    assert_eq!((ended.stdout.as_str(), ended.code), (said, 1), "{}", ended.stderr);
    assert_eq!(ended.stderr, "error: 1 of 2 cases failed\n");
    let json = run(folder.path(), &["test", "--json", "--component", &component]);
    let reports: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(
        (json.code, reports[0]["passed"].as_bool(), reports[1]["passed"].as_bool()),
        (1, Some(false), Some(true))
    );
    assert!(reports[0]["error"].as_str().unwrap().ends_with("cannot go on (code 1)"), "{reports}");
}

#[test]
fn mistakes_of_a_case_are_told_with_their_line() {
    for (guest_name, case, said) in [
        (
            "echo",
            "[[step]]\noutput = []\n",
            "case.toml:2: unknown field `output`, expected one of `now`, `http`, `records`, \
          `watermark`, `outputs`, `rejected`, `state`, `timers`",
        ),
        (
            "echo",
            "widow = 5\n[[step]]\n",
            "case.toml:1: unknown key \"widow\" in [operators.echo]\n\n  hint: did you mean \
          \"window\"?",
        ),
        (
            "timers",
            "[[step]]\nrecords = [{ value = 'a' }]\n",
            "case.toml:2: a record has no \"key\", and the operator works \
          by key\n\n  hint: give each record one, or say before the first step where it is: key = { json = \"/…\" }",
        ),
        (
            "timers",
            "[[step]]\nrecords = [{ key = 'a', value = 5 }]\n",
            "case.toml:2: record 1: 5 cannot be written in the \
          input's format, \"text\": give its bytes, as hex = \"…\"",
        ),
        (
            "timers",
            "[[step]]\nrecords = []\nstate.fierd = {}\n",
            "case.toml:3: the operator has no state \"fierd\"\n\n  hint: did you mean \
          \"fired\"?",
        ),
        (
            "timers",
            "[[step]]\ntimers = [\n  { timer = 'event', key = 'a', time = 5 },\n  { timer = 'evnt', key = 'a', time = 5 },\n]\n",
            "case.toml:4: the operator has no timer \"evnt\"\n\n  hint: did you mean \"event\"?",
        ),
        (
            "parity",
            "[[step]]\noutputs = [{ value = 4 },\n{ output = 'od', value = 5 }]\nstate.odd = {}\n",
            "case.toml:3: the operator has no output \"od\"\n\n  hint: did you mean \"odd\"?",
        ),
        (
            "timers",
            "[[step]]\nnow = 5\n[[step]]\nnow = 4\n",
            "case.toml:3: \"now\" is before that of an earlier step: the \
          clock does not go back",
        ),
    ] {
        check_fails(guest_name, case, &format!("case.toml: failed\n  {said}\n"));
    }
}

#[test]
fn requests_are_answered_by_the_case() {
    let ask =
        |url: &str, told: &str| format!("records = [{{ value = 'GET {url}' }}]\noutputs = [{{ value = '{told}' }}]\n");
    let case = |told: &str| {
        let rates =
            "http = [{ url = \"https://rates.example.org/usd\", body = \"0.93\", headers = { X-Age = \"5\" } }]\n";
        let away = "http = [{ url = \"https://rates.example.org/usd\", problem = \"not-reached\" }]\n";
        [
            format!("[[step]]\n{rates}{}", ask("https://rates.example.org/usd", told)),
            format!("[[step]]\n{away}{}", ask("https://rates.example.org/usd", "problem 3: the case says not-reached")),
        ]
        .concat()
    };
    check_passes("requests", &case("200 x-age=5 0.93"));
    let told = test_case("requests", &case("200 x-age=5 0.94")).1.stdout;
    assert!(told.contains("- ") && told.contains("200 x-age=5 0.93"), "{told}");
    let other = format!("[[step]]\nhttp = [{{ url = \"http://a/\" }}]\n{}", ask("http://b/", "-"));
    let told = test_case("requests", &other).1.stdout;
    assert!(told.contains("the case does not answer GET http://b/"), "{told}");
}

#[test]
fn what_is_wrong_with_the_operator_is_told_where_its_keys_begin() {
    let component = guest("timers").display().to_string();
    let said = format!(
        "case.toml: failed
  case.toml:2: [operators.timers]: {component:?} is of world keyed: it is made for single records and may set timers, and with \
         a \"window\" nothing but windows fires: make it a process_window operator of the SDK, or remove the \"window\"
"
    );
    check_fails("timers", "# Hours.\nwindow = { tumbling = '1h' }\n\n[[step]]\n", &said);
}

#[test]
fn what_is_said_loosely_does_not_take_what_others_need() {
    check_passes(
        "parity",
        "
[[step]]
records = [{ key = 'a', value = '4' }, { key = 'b', value = '6' }, { key = 'b', value = '8' }]
outputs = [{}, { key = 'b', value = 8 }, { key = 'a' }]
",
    );
}

#[test]
fn the_examples_can_be_tested() {
    let component = repo_root().join("guest-examples/word-count/count.wasm");
    let case = format!(
        "component = '{}'
[[step]]
records = [{{ key = 'tide', value = 'tide' }}, {{ key = 'tide', value = 'tide' }}]
outputs = [{{ value = {{ word = 'tide', count = 1 }} }}, {{ value = {{ word = 'tide', count = 2 }} }}]
state.count.tide = 2
",
        component.display()
    );
    let folder = folder_with(&[("count.toml", &case)]);
    let ended = run(folder.path(), &["test", "count.toml"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (0, "count.toml: ok (1 step)\n"), "{}", ended.stderr);
}
