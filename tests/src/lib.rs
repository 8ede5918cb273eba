//! What the tests of the whole program share: the built binary, the repository, folders with files in them.

mod network;
pub mod survival;

pub use network::Network;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// The root of the repository.
pub fn repo_root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this package is a folder of the repository")
}

/// The folder that cargo builds programs into. The benchmarks are there themselves, tests are in its `deps`.
///
/// # Panics
/// If the operating system does not tell where the running program is.
pub fn build_dir() -> PathBuf {
    let own = std::env::current_exe().expect("the operating system knows the running program");
    let folder = own.parent().expect("a program lies in a folder");
    if folder.ends_with("deps") { folder.parent().expect("`deps` lies in a folder") } else { folder }.to_owned()
}

/// The `tidewheel` program, to be given arguments. Compiled components are kept beside it, so that the user's cache
/// neither helps nor harms a test.
///
/// # Panics
/// If the program has not been built.
pub fn tidewheel() -> Command {
    let program = build_dir().join("tidewheel");
    assert!(program.exists(), "{} is missing: run `cargo xtask test`", program.display());
    let mut command = Command::new(program);
    command.env("XDG_CACHE_HOME", build_dir().join("tidewheel-cache")).env_remove("RUST_LOG").stdin(Stdio::null());
    command
}

/// How a program ended.
#[derive(Debug, PartialEq, Eq)]
pub struct Ended {
    /// Its exit code; -1 when a signal ended it.
    pub code: i32,
    /// What it wrote to stdout.
    pub stdout: String,
    /// What it wrote to stderr.
    pub stderr: String,
}

/// Runs `tidewheel` with these arguments in `folder`, to its end.
///
/// # Panics
/// If the program cannot be started, or writes something that is not text.
pub fn run(folder: &Path, arguments: &[&str]) -> Ended {
    let output = tidewheel().args(arguments).current_dir(folder).output().expect("the program starts");
    Ended {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).expect("stdout is text"),
        stderr: String::from_utf8(output.stderr).expect("stderr is text"),
    }
}

/// A new folder with these files, removed when dropped.
///
/// # Panics
/// If the files cannot be written.
pub fn folder_with(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    for (name, content) in files {
        std::fs::write(folder.path().join(name), content).expect("a file can be written");
    }
    folder
}

/// The fixture guest called `name`, built.
///
/// # Panics
/// If it has not been built.
pub fn guest(name: &str) -> PathBuf {
    let component = repo_root().join("tests/guests/out").join(name).with_extension("wasm");
    assert!(component.exists(), "{} is missing: run `cargo xtask test`", component.display());
    component
}

/// A Python that has `pyarrow`, to read what was written with something that shares nothing with it. `cargo xtask
/// setup` puts it into cargo's target folder.
///
/// # Panics
/// If it has not been set up.
pub fn python() -> PathBuf {
    let target = build_dir().parent().expect("cargo builds into a folder of its target folder").to_owned();
    let python = target.join("python/bin/python3");
    assert!(python.exists(), "{} is missing: run `cargo xtask setup`", python.display());
    python
}

/// The SDK's README, whose example is compiled as a test of the documentation.
#[cfg(doctest)]
#[doc = include_str!("../../sdk/README.md")]
struct SdkReadme;
