//! `tidewheel dev`: a job that goes on while its operators are edited, with the toolchains as they are here.

use crate::writing::{edit, in_folder, project, succeeds, text};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use tidewheel_tests::{folder_with, guest, repo_root, tidewheel};

/// Longer than a build takes on a busy machine: what takes longer hangs.
const TIMEOUT: Duration = Duration::from_secs(600);

/// A job that is worked on. It ends when dropped.
struct Developing {
    child: Child,
    folder: PathBuf,
}

impl Drop for Developing {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = Command::new("kill").args(["-s", "TERM", &self.child.id().to_string()]).status();
            let _ = self.child.wait();
        }
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

    // A component that would drop the state is refused before the job is stopped.
    edit(&source, "self.total", "self.sum");
    edit(&source, "total: Value", "sum: Value");
    developing.wait_until_said("state totals.total would be dropped");
    developing.wait(&"that the job goes on", || developing.said().matches("the job goes on as it was").count() == 2);
    assert!(!developing.said().contains("does not start"), "{}", developing.said());
    order(&folder, "3.jsonl", 1);
    edit(&source, "self.sum", "self.total");
    edit(&source, "sum: Value", "total: Value");
    edit(&source, "+ 1000 * order.cents;", "+ 2000 * order.cents;");
    developing.wait_for_result("{\"user\":\"ann\",\"cents\":9250}");
}

#[test]
fn a_project_that_uses_files_of_another_is_built_when_they_are_edited() {
    let made = project("sums", "rust", "keyed");
    let folder = made.path();
    let sdk = repo_root().display().to_string();
    let arguments = ["new", "euros", "--lang", "rust", "--world", "stateless", "--sdk", &sdk];
    succeeds(tidewheel().args(arguments).current_dir(folder).output().unwrap());
    fs::copy(folder.join("sums/Cargo.lock"), folder.join("euros/Cargo.lock")).unwrap();
    fs::create_dir(folder.join("orders")).unwrap();
    let euros = "[operators.euros]\ncomponent = 'euros/euros.wasm'\ninput = 'orders'\n[sinks.euros-out]\n\
                 connector = 'discard'\ninput = 'euros'\n[checkpoint]";
    let job = LIVE.replace("totals.wasm", "sums/sums.wasm").replace("[checkpoint]", euros);
    fs::write(folder.join("job.toml"), job).unwrap();
    // It lies in the first project, and is part of the second.
    let (shared, sums, euros) = ("sums/src/rate.rs", folder.join("sums/src/lib.rs"), folder.join("euros/src/lib.rs"));
    fs::write(folder.join(shared), "pub const RATE: u32 = 1;\n").unwrap();
    let text = fs::read_to_string(&euros).unwrap();
    fs::write(&euros, format!("{text}\ninclude!(\"../../{shared}\");\n")).unwrap();
    order(folder, "1.jsonl", 250);
    let developing = Developing::start(folder);
    developing.wait_for_result("{\"user\":\"ann\",\"cents\":250}");

    edit(&folder.join(shared), "= 1;", "= ;");
    developing.wait_until_said("the job goes on as it was");
    assert!(developing.said().contains("rate.rs:1"), "{}", developing.said());
    // What does not build is built again although another project was edited then.
    edit(&folder.join(shared), "= ;", "= 2;");
    edit(&sums, "+ order.cents;", "+ 1000 * order.cents;");
    order(folder, "2.jsonl", 7);
    developing.wait_for_result("{\"user\":\"ann\",\"cents\":7250}");
}

#[test]
fn a_job_comes_to_run_while_an_edit_is_built() {
    let made = project("totals", "rust", "keyed");
    let folder = made.path().join("totals");
    fs::create_dir(folder.join("orders")).unwrap();
    fs::write(folder.join("job.toml"), LIVE).unwrap();
    order(&folder, "1.jsonl", 250);
    // Each build says that it has begun, and waits until it may go on.
    fs::write(folder.join("build.rs"), TURNSTILE).unwrap();
    let (begun, go) = (folder.join("begun"), folder.join("go"));
    let developing = Developing::start(&folder);
    developing.wait("the first build", || begun.exists());
    fs::remove_file(&begun).unwrap();
    // It is seen as soon as the first build is over, when the job is being started.
    edit(&folder.join("src/lib.rs"), "+ order.cents;", "+ 2 * order.cents;");
    fs::write(&go, "").unwrap();
    developing.wait("the second build", || begun.exists());
    developing.wait_for_result("{\"user\":\"ann\",\"cents\":500}");
    developing.wait_until_said("the job runs");
    assert!(!go.exists(), "the second build waits");
}

/// A build script that is run at each edit and waits for the file `go`, which it removes.
const TURNSTILE: &str = "fn main() {
    println!(\"cargo::rerun-if-changed=src\");
    std::fs::write(\"begun\", \"\").unwrap();
    while std::fs::remove_file(\"go\").is_err() {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}
";

#[test]
fn what_fails_at_every_start_can_be_mended() {
    let made = project("totals", "rust", "keyed");
    let folder = made.path().join("totals");
    fs::create_dir(folder.join("orders")).unwrap();
    fs::write(folder.join("job.toml"), LIVE).unwrap();
    order(&folder, "1.jsonl", 250);
    // Where the sink's folder is to be: it is tried again and again.
    fs::write(folder.join("totals"), "").unwrap();
    let source = folder.join("src/lib.rs");
    let developing = Developing::start(&folder);
    developing.wait_until_said("attempt 1 failed: ");
    developing.wait_until_said("the job does not start: waiting for an edit");
    fs::remove_file(folder.join("totals")).unwrap();
    edit(&source, "+ order.cents;", "+ 2 * order.cents;");
    developing.wait_for_result("{\"user\":\"ann\",\"cents\":500}");

    // One that fails of each record: it goes back to the one before, or waits to be mended, whichever is seen first.
    edit(&source, "ctx.emit(", DOOM);
    order(&folder, "2.jsonl", 7);
    developing.wait_until_said("doom");
    edit(&source, DOOM, "ctx.emit(");
    developing.wait_for_result("{\"user\":\"ann\",\"cents\":514}");
}

/// What an operator does that fails of each record.
const DOOM: &str = "if cents > 0 { return Err(tidewheel::Error::fail(\"doom\")); }\n        ctx.emit(";

#[test]
fn a_signal_does_not_wait_for_a_build() {
    let folder = folder_with(&[("totals.py", ""), ("job.toml", LIVE)]);
    fs::create_dir_all(folder.path().join("orders")).unwrap();
    order(folder.path(), "1.jsonl", 250);
    // A Python whose build never ends, and which starts another process.
    let (python, pids) = (folder.path().join(".venv/bin/python3"), folder.path().join("pids"));
    let script = "#!/bin/sh\ncase \"$*\" in *find_componentize_py*) exit 0;; esac\nsleep 600 &\necho $$ $! > pids.new\n\
                  mv pids.new pids\nwait\n";
    fs::create_dir_all(python.parent().unwrap()).unwrap();
    fs::write(&python, script).unwrap();
    fs::set_permissions(&python, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let mut developing = Developing::start(folder.path());
    developing.wait("the build", || pids.exists());
    let running = fs::read_to_string(&pids).unwrap();
    let signalled = Command::new("kill").args(["-s", "INT", &developing.child.id().to_string()]).status().unwrap();
    assert!(signalled.success());
    let began = Instant::now();
    assert!(developing.child.wait().unwrap().success(), "{}", developing.said());
    assert!(began.elapsed() < Duration::from_secs(60), "it has waited for the build");
    for pid in running.split_whitespace() {
        // One that nobody waits for any more may be there, but is dead.
        let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        assert!(state.is_empty() || state.contains(") Z "), "{state}");
    }
    let said = developing.said();
    assert!(!said.contains("error") && !said.contains("the job runs"), "{said}");
    assert!(!folder.path().join(".tidewheel").exists(), "the job was not started, and nothing is left behind");
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
