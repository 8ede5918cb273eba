//! The loop of writing an operator: `tidewheel new`, `build`, `test` and `dev`, with the toolchains as they are here.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tidewheel_tests::{build_dir, folder_with, guest, python, repo_root, tidewheel};

/// Longer than a build takes on a busy machine: what takes longer hangs.
const TIMEOUT: Duration = Duration::from_secs(600);

/// A project of this world in a folder of its own, made by `tidewheel new` with the SDK of this repository.
fn project(name: &str, lang: &str, world: &str) -> TempDir {
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
fn in_folder(mut command: Command, folder: &Path) -> Command {
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
fn succeeds(output: Output) -> String {
    assert!(output.status.success(), "{}\n{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

fn text(bytes: &[u8]) -> String {
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

/// A job that is worked on. It ends when dropped.
struct Developing {
    child: Child,
    folder: PathBuf,
}

impl Drop for Developing {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-s", "TERM", &self.child.id().to_string()]).status();
        let _ = self.child.wait();
    }
}

impl Developing {
    fn start(folder: &Path) -> Developing {
        Self::start_with(folder, &[])
    }

    /// The same with these paths in its environment.
    fn start_with(folder: &Path, environment: &[(&str, &Path)]) -> Developing {
        let mut command = tidewheel();
        command.args(["dev", "job.toml"]).envs(environment.iter().copied());
        let stderr = fs::File::create(folder.join("stderr")).expect("a file");
        let child = in_folder(command, folder).stderr(stderr).stdout(Stdio::null()).spawn().expect("it starts");
        Developing { child, folder: folder.to_owned() }
    }

    /// Waits until the job has published this line.
    #[track_caller]
    fn wait_for_result(&self, line: &str) {
        self.wait(&format!("the result {line}"), || {
            let parts = fs::read_dir(self.folder.join("totals")).into_iter().flatten().flatten();
            let is_there = |part: fs::DirEntry| {
                let name = part.file_name().to_string_lossy().starts_with("part-");
                name && fs::read_to_string(part.path()).is_ok_and(|text| text.lines().any(|it| it == line))
            };
            parts.map(is_there).any(|it| it)
        });
    }

    /// Waits until it has said this.
    #[track_caller]
    fn wait_until_said(&self, words: &str) {
        self.wait(&format!("{words:?}"), || self.said().contains(words));
    }

    fn said(&self) -> String {
        fs::read_to_string(self.folder.join("stderr")).expect("text")
    }

    #[track_caller]
    fn wait(&self, what: &str, mut is_so: impl FnMut() -> bool) {
        let began = Instant::now();
        while !is_so() {
            assert!(began.elapsed() < TIMEOUT, "waited in vain for {what}: {}", self.said());
            thread::park_timeout(Duration::from_millis(10));
        }
    }
}

/// A job without an end: each file of the folder `orders` is read when it starts, and a clock keeps it running.
const LIVE: &str = "name = 'live'
[sources.orders]
connector = 'file'
path = 'orders/*.jsonl'
event-time = { json = '/at' }
key = { json = '/user' }
[sources.clock]
connector = 'nexmark'
rate = 1
[operators.totals]
component = 'totals.wasm'
input = 'orders'
[sinks.totals-out]
connector = 'file'
input = 'totals'
path = 'totals/'
[sinks.nowhere]
connector = 'discard'
input = 'clock'
[checkpoint]
interval = '100ms'
";

fn order(folder: &Path, file: &str, cents: u32) {
    let order = format!("{{\"user\":\"ann\",\"cents\":{cents},\"at\":\"2024-01-01T10:00:00Z\"}}\n");
    fs::write(folder.join("orders").join(file), order).expect("written");
}

/// The source of the operator, in which `from` becomes `to`.
fn edit(source: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(source).expect("text");
    assert!(text.contains(from), "{text}");
    fs::write(source, text.replace(from, to)).expect("written");
}

#[test]
fn a_job_goes_on_with_an_edited_operator_and_its_state() {
    let made = project("totals", "rust", "keyed");
    let folder = made.path().join("totals");
    fs::create_dir(folder.join("orders")).unwrap();
    fs::write(folder.join("job.toml"), LIVE).unwrap();
    order(&folder, "1.jsonl", 250);
    let source = folder.join("src/lib.rs");
    let developing = Developing::start(&folder);
    developing.wait_for_result("{\"user\":\"ann\",\"cents\":250}");

    // What does not build leaves the job as it is.
    edit(&source, "+ order.cents;", "+ order.cent;");
    developing.wait_until_said("the job goes on as it was");
    assert!(developing.said().contains("no field `cent`"), "{}", developing.said());

    // Now it does, and is another one: what ann has spent so far counts.
    order(&folder, "2.jsonl", 7);
    edit(&source, "+ order.cent;", "+ 1000 * order.cents;");
    developing.wait_for_result("{\"user\":\"ann\",\"cents\":7250}");
    developing.wait_until_said("the job goes on with what is new");

    // A component that would drop the state: the job goes on with the one before.
    edit(&source, "self.total", "self.sum");
    edit(&source, "total: Value", "sum: Value");
    developing.wait_until_said("it goes on as it was");
    order(&folder, "3.jsonl", 1);
    edit(&source, "self.sum", "self.total");
    edit(&source, "sum: Value", "total: Value");
    edit(&source, "+ 1000 * order.cents;", "+ 2000 * order.cents;");
    developing.wait_for_result("{\"user\":\"ann\",\"cents\":9250}");
}

/// A job whose operator counts each order a thousand times from some moment on.
#[track_caller]
fn check_dev(lang: &str, source: &str, from: &str, to: &str) {
    let made = project("totals", lang, "keyed");
    let folder = made.path().join("totals");
    fs::create_dir(folder.join("orders")).unwrap();
    fs::write(folder.join("job.toml"), LIVE).unwrap();
    order(&folder, "1.jsonl", 250);
    let developing = Developing::start(&folder);
    developing.wait_for_result("{\"user\":\"ann\",\"cents\":250}");
    order(&folder, "2.jsonl", 7);
    edit(&folder.join(source), from, to);
    developing.wait_for_result("{\"user\":\"ann\",\"cents\":7250}");
}

#[test]
fn a_job_goes_on_with_an_edited_operator_in_go() {
    check_dev("go", "main.go", "+ order.Value.Cents", "+ 1000*order.Value.Cents");
}

/// What it is answered over HTTP is that nothing is granted.
const ASKS: &str = "from tidewheel import http

FACTOR = 500


def asked() -> int:
    (answer,) = http.send_all([http.Request('GET', 'http://localhost/')])
    return 2 if isinstance(answer, http.HttpError) and answer.kind == 'not_granted' else 0
";

#[test]
fn a_job_goes_on_with_an_edited_operator_in_python() {
    let made = project("totals", "python", "keyed");
    let (folder, cache) = (made.path().join("totals"), made.path().join("cache"));
    let (source, helper) = (folder.join("totals.py"), folder.join("shop/prices.py"));
    ["orders", "shop"].iter().for_each(|name| fs::create_dir(folder.join(name)).unwrap());
    fs::write(folder.join("shop/__init__.py"), "").unwrap();
    fs::write(&helper, "FACTOR = 1\n").unwrap();
    edit(&source, "\n\n@dataclass\nclass Order", "\nfrom shop.prices import FACTOR\n\n@dataclass\nclass Order");
    edit(&source, "+ order.value.cents", "+ FACTOR * order.value.cents");
    fs::write(folder.join("job.toml"), LIVE).unwrap();
    order(&folder, "1.jsonl", 250);
    let developing = Developing::start_with(&folder, &[("XDG_CACHE_HOME", cache.as_path())]);
    developing.wait_for_result("{\"user\":\"ann\",\"cents\":250}");

    // What is no Python leaves the job as it is, and so does what fails when it is imported.
    let text = fs::read_to_string(&source).unwrap();
    let line = 1 + text.lines().position(|line| line.contains("+ FACTOR")).expect("it was written");
    edit(&source, "+ FACTOR *", "+ FACTOR * *");
    developing.wait_until_said(&format!("totals.py:{line}: invalid syntax\n"));
    developing.wait_until_said("the job goes on as it was");
    fs::write(&source, text.clone() + "nothing = undefined\n").unwrap();
    developing.wait_until_said(&format!("'undefined' is not defined\n  at totals.py:{} in", 1 + text.lines().count()));

    // An edit of what the operator imports makes it another one, with the same component around it; that has all of the SDK.
    order(&folder, "2.jsonl", 7);
    fs::write(&helper, ASKS).unwrap();
    let asks = [("import FACTOR", "import FACTOR, asked"), ("+ FACTOR *", "+ FACTOR * asked() *")];
    fs::write(&source, asks.iter().fold(text, |text, (from, to)| text.replace(from, to))).unwrap();
    developing.wait_for_result("{\"user\":\"ann\",\"cents\":7250}");
    developing.wait_until_said("the job goes on with what is new");
    let said = developing.said();
    assert_eq!(said.matches("making what runs operators of world keyed in Python").count(), 1, "{said}");
    let runners: Vec<_> = fs::read_dir(cache.join("tidewheel/runners")).unwrap().flatten().collect();
    assert_eq!(runners.len(), 1, "{runners:?}");
    let component = fs::read(folder.join(".tidewheel/dev-live/built/totals.wasm")).unwrap();
    assert!(component.starts_with(&fs::read(runners[0].path()).unwrap()), "it is the runner, and the sources");

    // What the runner does not have is told, and works.
    order(&folder, "3.jsonl", 1);
    fs::write(&helper, "import os\nFACTOR = len(os.sep)\nasked = lambda: FACTOR\n").unwrap();
    developing.wait_until_said("shop/prices.py imports os: each edit makes the whole of totals.wasm");
    developing.wait_for_result("{\"user\":\"ann\",\"cents\":7251}");
}

#[test]
fn what_dev_refuses() {
    let job = "name = 'x'\n[sources.a]\nconnector = 'stdin'\nformat = 'lines'\n[operators.echo]\ncomponent = 'echo.wasm'\n\
               input = 'a'\n[sinks.b]\nconnector = 'discard'\ninput = 'echo'\n";
    let of_a_file = job.replace("'stdin'", "'file'\npath = 'in.txt'");
    let component = format!("operators.echo.component={}", guest("echo").display());
    for (job, said) in [
        (
            job,
            "error: job.toml:2: source \"a\" reads stdin, which cannot be read again\n\nhint: let it read a file while you \
               develop\n",
        ),
        (
            &of_a_file,
            "error: job.toml: there are no sources of an operator beside its component\n\nhint: say where they are, \
                      with --source OPERATOR=FOLDER\n",
        ),
    ] {
        let folder = folder_with(&[("job.toml", job)]);
        let mut command = tidewheel();
        command.args(["dev", "job.toml", "--set", &component]);
        let output = in_folder(command, folder.path()).output().expect("the program starts");
        assert_eq!((text(&output.stderr).as_str(), output.status.code()), (said, Some(2)));
    }
}
