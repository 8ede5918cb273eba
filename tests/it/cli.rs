//! The command line, through the real process: exit codes, and stderr to the letter.

use std::io::{Read, Write};
use std::process::{Command, Stdio};
use tidewheel_tests::{folder_with, guest, run, tidewheel};

/// A correct job, as soon as `echo.wasm` is there: lines in, the same lines out.
fn echo_job() -> String {
    let component = guest("echo");
    format!(
        "name = 'copy'
[sources.lines]
connector = 'stdin'
format = 'lines'
[operators.echo]
component = '{}'
input = 'lines'
[sinks.out]
connector = 'stdout'
input = 'echo'
",
        component.display()
    )
}

const WRONG_JOB: &str = "name = 'copy'
[sources.lines]
connector = 'stdin'
[operators.echo]
compnent = 'echo.wasm'
input = 'lines'
[sinks.out]
connector = 'stdout'
input = 'echo'
";

/// Runs `tidewheel` in a folder with these files; it must print exactly this error and end with code 2.
#[track_caller]
fn check_refused(files: &[(&str, &str)], arguments: &[&str], stderr: &str) {
    let folder = folder_with(files);
    let ended = run(folder.path(), arguments);
    assert_eq!((ended.code, ended.stdout.as_str(), ended.stderr.as_str()), (2, "", stderr));
}

#[test]
fn wrong_flags() {
    let more = "\nFor more information, try '--help'.\n";
    check_refused(
        &[],
        &["run", "--wrkers", "2", "job.toml"],
        &format!(
            "error: unexpected argument '--wrkers' found\n\n  tip: a similar argument exists: '--workers'\n\n\
             Usage: tidewheel run --workers <WORKERS> <JOB>\n{more}"
        ),
    );
    check_refused(
        &[],
        &["run", "--workers", "0", "job.toml"],
        &format!("error: invalid value '0' for '--workers <WORKERS>': number would be zero for non-zero type\n{more}"),
    );
    check_refused(
        &[],
        &["chek", "job.toml"],
        &format!(
            "error: unrecognized subcommand 'chek'\n\n  tip: some similar subcommands exist: 'checkpoints', 'check'\n\n\
             Usage: tidewheel [OPTIONS] <COMMAND>\n{more}"
        ),
    );
}

#[test]
fn help_is_complete() {
    let folder = folder_with(&[]);
    let help = run(folder.path(), &["--help"]);
    assert_eq!((help.code, help.stderr.as_str()), (0, ""));
    for command in
        ["run", "check", "inspect", "new", "build", "test", "dev", "jobs", "checkpoints", "savepoint", "stop", "state"]
    {
        assert!(help.stdout.contains(&format!("\n  {command} ")), "{}", help.stdout);
        assert_eq!(run(folder.path(), &[command, "--help"]).code, 0);
    }
    let nothing = run(folder.path(), &[]);
    assert_eq!((nothing.code, nothing.stderr), (2, help.stdout));
}

#[test]
fn wrong_job_files() {
    let missing = "error: cannot read job.toml: No such file or directory (os error 2)\n";
    let wrong =
        "error: job.toml:5: unknown key \"compnent\" in [operators.echo]\n\nhint: did you mean \"component\"?\n";
    for command in ["run", "check"] {
        check_refused(&[], &[command, "job.toml"], missing);
        check_refused(&[("job.toml", WRONG_JOB)], &[command, "job.toml"], wrong);
    }
    check_refused(
        &[("job.toml", &echo_job())],
        &["run", "--workers", "129", "job.toml"],
        "error: 129 workers for a job with max-parallelism = 128: each needs a key group\n",
    );
    check_refused(
        &[("job.toml", &echo_job())],
        &["run", "--json", "job.toml"],
        "error: job.toml:8: sink \"out\" writes to stdout, and so would --json\n\n\
         hint: run without --json, or use another sink\n",
    );
}

#[test]
fn flags_of_jobs_that_keep_what_they_have_done() {
    for (flags, named) in [
        (["--data-dir", "x"], "--data-dir"),
        (["--from-savepoint", "x"], "--from-savepoint"),
        (["--allow-drop", "x"], "--allow-drop"),
        (["--processes", "2"], "--processes"),
        (["--allow-duplicates", "--quiet"], "--allow-duplicates"),
    ] {
        let said = format!("error: {named} is for jobs that take checkpoints\n\nhint: add a table [checkpoint]\n");
        check_refused(&[("job.toml", &echo_job())], &[&["run", "job.toml"], &flags[..]].concat(), &said);
    }
}

#[test]
fn settings_go_before_the_file() {
    let job = echo_job().replace("echo.wasm", "nowhere.wasm");
    let component = guest("echo").display().to_string();
    let setting = format!("operators.echo.component={component}");
    let folder = folder_with(&[("job.toml", &job)]);
    let ended = run(folder.path(), &["check", "job.toml", "--set", &setting]);
    assert_eq!((ended.code, ended.stderr.as_str()), (0, "job.toml: ok (1 source, 1 operator, 1 sink)\n"));
    check_refused(
        &[("job.toml", &job)],
        &["run", "job.toml", "--set", "operators.ehco.component=x.wasm"],
        "error: --set operators.ehco.component: the job has no operator \"ehco\"\n\nhint: did you mean \"echo\"?\n",
    );
    let ended = run(folder.path(), &["check", "job.toml", "--set", "checkpoint.interval=9ms"]);
    assert_eq!(ended.code, 2);
    assert!(ended.stderr.starts_with("error: --set checkpoint.interval: \"interval\""), "{}", ended.stderr);
}

#[test]
fn check_says_that_a_job_is_correct() {
    let folder = folder_with(&[("job.toml", &echo_job())]);
    let ended = run(folder.path(), &["check", "job.toml"]);
    let said = "job.toml: ok (1 source, 1 operator, 1 sink)\n";
    assert_eq!((ended.code, ended.stderr.as_str()), (0, said));
    assert!(ended.stdout.starts_with("OPERATOR  MEMORY "), "{}", ended.stdout);
}

#[test]
fn run_copies_stdin_to_stdout() {
    let folder = folder_with(&[("job.toml", &echo_job())]);
    let mut job = tidewheel()
        .args(["run", "job.toml"])
        .current_dir(folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    job.stdin.take().unwrap().write_all(b"one\ntwo\nthree\n").unwrap();
    let output = job.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(0), &b"one\ntwo\nthree\n"[..]), "{stderr}");
    // The time differs from run to run; without a terminal there is no live line.
    let (table, last) = stderr.trim_end().rsplit_once('\n').unwrap();
    assert_eq!(
        table,
        "NAME   KIND      IN  OUT  REJECTED  MALFORMED  LATE\n\
         lines  source          3                    0\n\
         echo   operator   3    3         0                0\n\
         out    sink       3\n"
    );
    assert!(last.starts_with("copy: 3 records in, 3 out in 0."), "{last}");
}

#[test]
fn run_prints_its_summary_as_json() {
    let job = echo_job().replace("'stdout'", "'discard'");
    let folder = folder_with(&[("job.toml", &job)]);
    let ended = run(folder.path(), &["run", "--json", "job.toml"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
    let summary: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!((summary["job"].as_str(), summary["records_in"].as_u64()), (Some("copy"), Some(0)));
    let kinds: Vec<_> = summary["parts"].as_array().unwrap().iter().map(|part| &part["kind"]).collect();
    assert_eq!(kinds, ["source", "operator", "sink"]);
    let quiet = run(folder.path(), &["run", "--quiet", "job.toml"]);
    assert_eq!((quiet.code, quiet.stdout.as_str(), quiet.stderr.as_str()), (0, "", ""));
}

#[test]
fn run_shows_what_components_count_themselves() {
    let job = echo_job().replace("'stdout'", "'discard'").replace("'stdin'", "'file'\npath = 'in.txt'");
    let job = job.replace("input = 'lines'", "input = 'lines'\nconfig = { chatty = true }");
    let folder = folder_with(&[("job.toml", &job), ("in.txt", "one\ntwo\nthree\n")]);
    let ended = run(folder.path(), &["run", "--log-level", "warn", "job.toml"]);
    let (tables, _) = ended.stderr.trim_end().rsplit_once('\n').unwrap();
    let (_, metrics) = tables.split_once("\n\n").expect("a second table");
    assert_eq!(
        metrics,
        "NAME  METRIC      VALUE\n\
         echo  batch-size  3 on worker 0\n\
         echo  records     3\n"
    );
}

#[test]
fn signals_end_a_job() {
    for (signal, name, code) in [("INT", "interrupted", 130), ("TERM", "terminated", 143)] {
        let folder = folder_with(&[("job.toml", &echo_job())]);
        let mut job = tidewheel()
            .args(["run", "--quiet", "job.toml"])
            .current_dir(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Its input stays open, so the job has no end; that a record came through says that it runs.
        let mut stdin = job.stdin.take().unwrap();
        stdin.write_all(b"one\n").unwrap();
        let mut record = [0; 4];
        job.stdout.as_mut().unwrap().read_exact(&mut record).unwrap();
        assert_eq!(&record, b"one\n");
        let sent = Command::new("kill").args(["-s", signal, &job.id().to_string()]).status().unwrap();
        assert!(sent.success());
        let mut stderr = String::new();
        job.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        assert_eq!(stderr, format!("{name}: output that was not committed is dropped\n"));
        assert_eq!(job.wait().unwrap().code(), Some(code));
    }
}

#[test]
fn inspect_refuses_what_is_no_component() {
    check_refused(
        &[],
        &["inspect", "x.wasm"],
        "error: cannot read component x.wasm: No such file or directory (os error 2)\n",
    );
    check_refused(
        &[("x.wasm", "not WebAssembly")],
        &["inspect", "x.wasm"],
        "error: x.wasm is not WebAssembly: give the path of a component, as an SDK's build makes it\n",
    );
    check_refused(
        &[("x.wasm", "\0asm\x01\0\0\0")],
        &["inspect", "x.wasm"],
        "error: x.wasm is a core module, not a component: `tidewheel build x.wasm --out FOLDER` makes one \
         of it\n",
    );
    let job = WRONG_JOB.replace("compnent", "component");
    for command in ["run", "check"] {
        check_refused(
            &[("job.toml", &job), ("echo.wasm", "not WebAssembly")],
            &[command, "job.toml"],
            "error: operator \"echo\": echo.wasm is not WebAssembly: give the path of a component, as an SDK's build \
             makes it\n",
        );
    }
}

#[test]
fn inspect_says_what_a_component_is() {
    let folder = folder_with(&[]);
    let component = guest("echo").display().to_string();
    let text = run(folder.path(), &["inspect", &component]);
    assert_eq!((text.code, text.stderr.as_str()), (0, ""));
    assert!(text.stdout.starts_with("operator  echo 1.2.3\nworld     stateless\n"), "{}", text.stdout);
    assert!(text.stdout.contains("\nIMPORT\ntidewheel:operator/log@0.1.0\n"), "{}", text.stdout);
    let json = run(folder.path(), &["inspect", "--json", &component]);
    let report: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!((report["name"].as_str(), report["world"].as_str()), (Some("echo"), Some("stateless")));
    assert_eq!(report["imports"][0]["provided"], true);
}
