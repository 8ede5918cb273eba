//! Writing an operator: `tidewheel new`, `build` and `test`, with the toolchains as they are here.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;
use tidewheel_tests::{build_dir, folder_with, python, repo_root, tidewheel};

/// A project of this world in a folder of its own, made by `tidewheel new` with the SDK of this repository.
pub(crate) fn project(name: &str, lang: &str, world: &str) -> TempDir {
    let folder = folder_with(&[]);
    let sdk = repo_root().display().to_string();
    let arguments = ["new", name, "--lang", lang, "--world", world, "--sdk", &sdk];
    let made = tidewheel().args(arguments).current_dir(folder.path()).output().expect("the program starts");
    assert!(made.status.success(), "{}", text(&made.stderr));
    if lang == "rust" {
        // The same releases as in the examples: what has been built of them is there already.
        fs::copy(repo_root().join("guest-examples/Cargo.lock"), folder.path().join(name).join("Cargo.lock")).unwrap();
    }
    folder
}

/// A command in `folder` that builds where the guests of this repository are built, with the toolchains that they are built
/// with.
pub(crate) fn in_folder(mut command: Command, folder: &Path) -> Command {
    let target = build_dir().parent().expect("programs lie in a folder of cargo's target folder").join("guests");
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"].iter().any(|prefix| name.starts_with(prefix)) {
            command.env_remove(&*name);
        }
    }
    let own = python().parent().expect("a program lies in a folder").to_owned();
    let programs = std::env::var_os("PATH").unwrap_or_default();
    let programs = std::env::join_paths(std::iter::once(own).chain(std::env::split_paths(&programs)));
    command.env("PATH", programs.expect("folders")).env("PYTHONPATH", repo_root().join("sdk/python/src"));
    command.env("PYTHONDONTWRITEBYTECODE", "1").env("CARGO_TARGET_DIR", target).env("XDG_RUNTIME_DIR", folder);
    command.current_dir(folder).stdin(Stdio::null());
    command
}

#[track_caller]
pub(crate) fn succeeds(output: Output) -> String {
    assert!(output.status.success(), "{}\n{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Makes a project, and does with it what its user does first.
#[track_caller]
fn check_new(name: &str, lang: &str, world: &str, unit_tests: &[&str], results: &[&str]) {
    let folder = project(name, lang, world);
    let project = folder.path().join(name);
    let run = |arguments: &[&str]| {
        let mut command = tidewheel();
        command.args(arguments);
        in_folder(command, &project).output().expect("the program starts")
    };
    if lang != "python" {
        // It takes long to build one in Python once more.
        let mut command = tidewheel();
        command.args(["build", name]);
        succeeds(in_folder(command, folder.path()).output().expect("the program starts"));
    }
    let said = succeeds(run(&["test"]));
    assert!(said.starts_with(&format!("./tests/orders.toml: ok ({} step", steps(&project))), "{said}");
    let mut lines: Vec<String> = succeeds(run(&["run", "job.toml", "--quiet"])).lines().map(str::to_owned).collect();
    lines.sort_unstable();
    assert_eq!(lines, results);
    let mut command = Command::new(unit_tests[0]);
    command.args(&unit_tests[1..]).env_remove("LD_LIBRARY_PATH");
    succeeds(in_folder(command, &project).output().expect("the language's own tests start"));
}

fn steps(project: &Path) -> usize {
    fs::read_to_string(project.join("tests/orders.toml")).expect("a case").matches("[[step]]").count()
}

const KEYED: [&str; 4] = [
    "{\"user\":\"ann\",\"cents\":250}",
    "{\"user\":\"ann\",\"cents\":300}",
    "{\"user\":\"bob\",\"cents\":100}",
    "{\"user\":\"bob\",\"cents\":1099}",
];

#[test]
fn a_new_keyed_operator_in_rust_is_right_at_once() {
    check_new("new-keyed", "rust", "keyed", &["cargo", "test", "--release"], &KEYED);
}

const AGGREGATE: [&str; 3] =
    ["{\"user\":\"ann\",\"cents\":300}", "{\"user\":\"bob\",\"cents\":100}", "{\"user\":\"bob\",\"cents\":999}"];

#[test]
fn a_new_aggregate_in_rust_is_right_at_once() {
    check_new("new-aggregate", "rust", "aggregate", &["cargo", "test", "--release"], &AGGREGATE);
}

const STATELESS: [&str; 4] = [
    "{\"user\":\"ann\",\"euros\":0.5}",
    "{\"user\":\"ann\",\"euros\":2.5}",
    "{\"user\":\"bob\",\"euros\":1.0}",
    "{\"user\":\"bob\",\"euros\":9.99}",
];

#[test]
fn a_new_stateless_operator_in_rust_is_right_at_once() {
    check_new("new-stateless", "rust", "stateless", &["cargo", "test", "--release"], &STATELESS);
}

const GO_TEST: [&str; 3] = ["go", "test", "./..."];

#[test]
fn new_operators_in_go_are_right_at_once() {
    check_new("new-keyed", "go", "keyed", &GO_TEST, &KEYED);
    check_new("new-aggregate", "go", "aggregate", &GO_TEST, &AGGREGATE);
    // Go writes a whole number without its point.
    let lines = STATELESS.map(|line| line.replace("1.0", "1"));
    check_new("new-stateless", "go", "stateless", &GO_TEST, &lines.each_ref().map(String::as_str));
}

const PYTEST: [&str; 6] = ["python3", "-m", "pytest", "--quiet", "-p", "no:cacheprovider"];

#[test]
fn new_operators_in_python_are_right_at_once() {
    check_new("new-keyed", "python", "keyed", &PYTEST, &KEYED);
    check_new("new-aggregate", "python", "aggregate", &PYTEST, &AGGREGATE);
    check_new("new-stateless", "python", "stateless", &PYTEST, &STATELESS);
}

#[test]
fn what_new_refuses() {
    let folder = folder_with(&[]);
    fs::create_dir(folder.path().join("there")).unwrap();
    for (arguments, said) in [
        (&["new", "there", "--lang", "rust"][..], "error: there is there already\n\nhint: choose another name\n"),
        (
            &["new", "Two", "--lang", "rust"],
            "error: \"Two\" is no name of a project: expected small letters, digits and \"-\", a letter first\n",
        ),
        (
            &["new", "two", "--lang", "rust", "--sdk", "nowhere"],
            "error: there is no nowhere/sdk/rust\n\nhint: --sdk takes the folder of a checkout of tidewheel's repository\n",
        ),
    ] {
        let output = tidewheel().args(arguments).current_dir(folder.path()).output().expect("the program starts");
        assert_eq!((text(&output.stderr).as_str(), output.status.code()), (said, Some(2)));
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left behind");
}

#[test]
fn a_project_without_an_sdk_takes_the_published_one() {
    let folder = folder_with(&[]);
    let made = tidewheel().args(["new", "x", "--lang", "rust"]).current_dir(folder.path()).output().unwrap();
    succeeds(made);
    let manifest = fs::read_to_string(folder.path().join("x/Cargo.toml")).unwrap();
    assert!(manifest.contains("\ntidewheel = \"0.1\"\n"), "{manifest}");
}

#[test]
fn what_build_refuses() {
    let folder = folder_with(&[]);
    let build = |arguments: &[&str]| {
        let mut command = tidewheel();
        command.arg("build").args(arguments);
        in_folder(command, folder.path()).output().expect("the program starts")
    };
    let nothing = build(&[]);
    assert_eq!(nothing.status.code(), Some(2));
    assert!(text(&nothing.stderr).starts_with("error: there is no operator in .: expected one of Cargo.toml (Rust)"));
    fs::create_dir(folder.path().join("src")).unwrap();
    let manifest = "[package]\nname = 'broken'\nversion = '0.1.0'\nedition = '2024'\n[workspace]\n[lib]\n\
                    crate-type = ['cdylib']\n";
    fs::write(folder.path().join("Cargo.toml"), manifest).unwrap();
    fs::write(folder.path().join("src/lib.rs"), "this is no Rust").unwrap();
    let broken = build(&[]);
    // It was rightly asked for.
    assert_eq!(broken.status.code(), Some(1));
    let said = text(&broken.stderr);
    assert!(said.contains("src/lib.rs:1:") && said.contains("error: cargo build failed in ."), "{said}");
}

/// The source of the operator, in which `from` becomes `to`.
pub(crate) fn edit(source: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(source).expect("text");
    assert!(text.contains(from), "{text}");
    fs::write(source, text.replace(from, to)).expect("written");
}

#[test]
fn an_operator_in_python_is_tested_without_making_its_component() {
    let made = project("totals", "python", "keyed");
    let folder = made.path().join("totals");
    let tidewheel_in = |arguments: &[&str]| {
        let mut command = tidewheel();
        command.args(arguments);
        in_folder(command, &folder).output().expect("the program starts")
    };
    let component = || fs::read(folder.join("totals.wasm")).unwrap();
    let is_runner = || component().windows(SCRIPT.len()).any(|bytes| bytes == SCRIPT);
    succeeds(tidewheel_in(&["test"]));
    assert!(is_runner());
    let first = component();
    let again = tidewheel_in(&["test"]);
    assert_eq!(text(&again.stderr), "", "nothing is made");
    succeeds(again);
    assert!(component() == first);

    // What was built whole is what is tested, as long as its sources are the same.
    succeeds(tidewheel_in(&["build"]));
    assert!(!is_runner());
    let whole = component();
    succeeds(tidewheel_in(&["test"]));
    assert!(component() == whole);
    let again = tidewheel_in(&["build"]);
    assert!(text(&again.stderr).ends_with(", as before\n"), "{}", text(&again.stderr));
    assert!(component() == whole, "it would be another one if it were made again");
    edit(&folder.join("totals.py"), "+ order.value.cents", "+ 2 * order.value.cents");
    let edited = tidewheel_in(&["test"]);
    assert_eq!(edited.status.code(), Some(1), "{}", text(&edited.stdout));
    assert!(text(&edited.stdout).contains("tests/orders.toml: failed") && is_runner());

    // One that needs more than a runner has is made whole, and once as well.
    edit(&folder.join("totals.py"), "+ 2 * order.value.cents", "+ len(os.sep) * order.value.cents");
    edit(&folder.join("totals.py"), "\n\n@dataclass\nclass Order", "\nimport os\n\n@dataclass\nclass Order");
    let whole = tidewheel_in(&["test"]);
    assert!(text(&whole.stderr).contains("totals.py imports os"), "{}", text(&whole.stderr));
    succeeds(whole);
    let made = component();
    edit(&folder.join("tests/orders.toml"), "[[step]]", "# An edit.\n[[step]]");
    let again = tidewheel_in(&["test"]);
    assert_eq!(text(&again.stderr), "", "nothing is made");
    succeeds(again);
    assert!(component() == made);
    fs::write(folder.join("other.py"), "").unwrap();
    assert!(!text(&tidewheel_in(&["build"]).stderr).contains("as before"));
}

/// The name of the section with the sources of a runner.
const SCRIPT: &[u8] = b"tidewheel-script";

#[test]
fn a_component_in_javascript_is_made_once_of_the_same_sources() {
    let sources =
        build_dir().parent().expect("cargo builds into a folder of its target folder").join("javascript/word-count");
    assert!(sources.exists(), "{} is missing: run `cargo xtask guests`", sources.display());
    let folder = folder_with(&[]);
    let build = || {
        let mut command = tidewheel();
        command.arg("build").arg(&sources).arg("--out").arg("out");
        let output = in_folder(command, folder.path()).output().expect("the program starts");
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stderr)
    };
    assert!(!build().contains("as before"));
    let made = fs::read(folder.path().join("out/count.wasm")).unwrap();
    assert_eq!(build().matches(", as before\n").count(), 2);
    assert!(fs::read(folder.path().join("out/count.wasm")).unwrap() == made);
    let inspected = tidewheel().args(["inspect", "out/count.wasm"]).current_dir(folder.path()).output().unwrap();
    assert!(succeeds(inspected).contains("world     keyed"));
}

#[test]
fn a_core_module_becomes_a_component() {
    let folder = folder_with(&[]);
    let module = build_dir()
        .parent()
        .expect("it is in cargo's target folder")
        .join("guests/wasm32-unknown-unknown/release/echo.wasm");
    fs::copy(module, folder.path().join("echo.wasm")).unwrap();
    let run = |arguments: &[&str]| tidewheel().args(arguments).current_dir(folder.path()).output().unwrap();
    let refused = run(&["build", "echo.wasm"]);
    let said =
        "error: the component would take the place of echo.wasm\n\nhint: say where it is to go, with --out FOLDER\n";
    assert_eq!((text(&refused.stderr).as_str(), refused.status.code()), (said, Some(2)));
    assert_eq!(succeeds(run(&["build", "echo.wasm", "--out", "out"])), "out/echo.wasm\n");
    assert!(succeeds(run(&["inspect", "out/echo.wasm"])).starts_with("operator  echo"));
    let again = run(&["build", "out/echo.wasm", "--out", "."]);
    assert!(text(&again.stderr).contains("cannot make a component of out/echo.wasm: it is a component already"));
}
