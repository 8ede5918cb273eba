//! Python: the SDK finds the operators of a folder, and has `componentize-py` put each of them into a component together with a
//! Python of its own.
//!
//! An operator is a module with a class that has one of the SDK's decorators, such as `@keyed`. Other modules of the folder are
//! what operators import. `count_words.py` becomes `count-words.wasm`.

use crate::component::CONTRACT;
use crate::error::cannot;
use crate::output::{Inputs, place_made_of};
use crate::runner::{How, Scripted, Scripts};
use crate::tool::{self, failed};
use crate::{BuildError, Built, stamp};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// The release of `componentize-py` that components are made with.
pub const COMPONENTIZE_PY: &str = "0.25.1";

/// The module of the SDK that makes components.
const BUILD: &str = "tidewheel.build";

/// What installs packages of Debian.
pub(crate) const APT_GET: &str = "sudo apt-get install --yes";

/// Says where a Python has its packages, a line each. The standard library is that of `componentize-py`.
const PACKAGES: &str = "import sys, sysconfig
standard = sysconfig.get_path('stdlib')
places = [place for place in sys.path if place and (not place.startswith(standard) or place.endswith('-packages'))]
print(*places, sep='\\n')";

/// Says whether a Python has all it takes.
const PROBE: &str = "import tidewheel.build; tidewheel.build.find_componentize_py()";

/// A Python with the SDK and `componentize-py`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Toolchain {
    python: PathBuf,
    /// Where the SDK's package lies, if it is not installed.
    sdk: Option<PathBuf>,
}

impl Toolchain {
    /// The toolchain for a folder: that of the folder's own virtual environment, `.venv`, or the Python in use.
    ///
    /// # Errors
    /// When there is none; the error says what installs one.
    pub fn find(folder: &Path) -> Result<Toolchain, BuildError> {
        let own = folder.join(".venv/bin/python3");
        let toolchain = Toolchain::at(&own, None).or_else(|| Toolchain::at(Path::new("python3"), None));
        toolchain.ok_or_else(|| {
            let missing = match [&own, Path::new("python3")].into_iter().find(|python| is_there(python)) {
                Some(python) => {
                    let python = python.display();
                    format!("{python} has not the package tidewheel with componentize-py {COMPONENTIZE_PY}")
                }
                None => "there is no Python (https://www.python.org/downloads)".to_owned(),
            };
            let requirements = folder.join("requirements.txt");
            let packages = match requirements.exists() {
                true => vec![format!("-r {}", requirements.display())],
                false => vec![
                    "'tidewheel[build]'".to_owned(),
                    "'CHECKOUT/sdk/python[build]'  # CHECKOUT is a clone of tidewheel's repository".to_owned(),
                ],
            };
            let install = packages.iter().map(|packages| in_environment(folder, packages)).collect();
            BuildError::NoToolchain { missing, install }
        })
    }

    /// The toolchain of this Python, if it is one; `sdk` is where the SDK's package lies, if it is not installed.
    pub fn at(python: &Path, sdk: Option<&Path>) -> Option<Toolchain> {
        let toolchain = Toolchain { python: python.to_owned(), sdk: sdk.map(Path::to_owned) };
        let mut probe = toolchain.command();
        let status = probe.args(["-c", PROBE]).stdout(Stdio::null()).stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success()).then_some(toolchain)
    }

    /// The modules in a folder that are operators, each to be a component.
    ///
    /// # Errors
    /// When a module is not Python, or has more than one operator.
    pub fn operators(&self, folder: &Path) -> Result<Vec<Operator>, BuildError> {
        let output = tool::output(self.command().args(["-m", BUILD, "--list"]).arg(folder))?;
        if !output.status.success() {
            return Err(failed(BUILD, folder, output.status));
        }
        let said = String::from_utf8_lossy(&output.stdout);
        Ok(said
            .lines()
            .map(|module| Operator { name: name(module), module: folder.join(format!("{module}.py")) })
            .collect())
    }

    /// The component of a module.
    ///
    /// # Errors
    /// When none can be made of it; what is wrong is said on stderr.
    pub fn component(&self, operator: &Operator) -> Result<Vec<u8>, BuildError> {
        let folder = operator.module.parent().unwrap_or(Path::new(""));
        self.make(folder, |build| _ = build.arg(&operator.module))
    }

    /// The component that runs operators of a world whose sources are attached to it.
    pub(crate) fn runner(&self, world: &str, folder: &Path) -> Result<Vec<u8>, BuildError> {
        self.make(folder, |build| _ = build.args(["--runner", world]))
    }

    /// What a runner needs to know of the operators in a folder.
    pub(crate) fn scripts(&self, folder: &Path) -> Result<Scripts, BuildError> {
        let scratch = Scratch::new()?;
        let mut build = self.command();
        build.args(["-m", BUILD, "--scripts"]).arg(folder).arg("--wit").arg(scratch.contract());
        let output = tool::output(&mut build)?;
        if !output.status.success() {
            return Err(failed(BUILD, folder, output.status));
        }
        serde_json::from_slice(&output.stdout)
            .map_err(|error| BuildError::Answer { program: BUILD.to_owned(), reason: error.to_string() })
    }

    /// All that a component may be made of where it is not known what it imports: the files of the operator's folder, and the
    /// packages that are installed for this Python, and for the one in use, which `componentize-py` asks as well. None if a Python
    /// does not say what it has.
    fn everything(&self, folder: &Path) -> Option<Inputs> {
        let mut inputs = Inputs::new().with(stamp::of_folder(folder, &|path| is_no_input(folder, path)));
        let is_passed_over = |path: &Path| is_of_tools(&path.file_name().unwrap_or_default().to_string_lossy());
        for mut python in [self.command(), Command::new("python3")] {
            let said = match tool::output(python.args(["-c", PACKAGES])) {
                Ok(said) if said.status.success() => said,
                // Where there is no other Python its packages play no part.
                Err(BuildError::Run { .. }) => continue,
                _ => return None,
            };
            for place in String::from_utf8_lossy(&said.stdout).lines() {
                inputs = inputs.with(stamp::of_folder(Path::new(place), &is_passed_over));
            }
        }
        Some(inputs)
    }

    /// Has a component made, of what `say` adds to the command, in behalf of a folder.
    fn make(&self, folder: &Path, say: impl FnOnce(&mut Command)) -> Result<Vec<u8>, BuildError> {
        let scratch = Scratch::new()?;
        let component = scratch.0.path().join("component.wasm");
        let mut build = self.command();
        build.args(["-m", BUILD]).arg("--wit").arg(scratch.contract()).arg("--output").arg(&component);
        build.env("TMPDIR", scratch.temporary());
        say(&mut build);
        let status = tool::status(&mut build)?;
        if !status.success() {
            return Err(failed(BUILD, folder, status));
        }
        fs::read(&component).map_err(cannot("read", &component))
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.python);
        // What it would leave beside the sources is of no use to the next build, and what lies where the build was started is
        // no part of the SDK.
        command.env("PYTHONDONTWRITEBYTECODE", "1").env("PYTHONSAFEPATH", "1");
        if let Some(sdk) = &self.sdk {
            command.env("PYTHONPATH", sdk);
        }
        command
    }
}

/// A folder with the contract, where the SDK looks for it, and one for what is made on the way. Both are removed, however the build
/// ends.
struct Scratch(TempDir);

impl Scratch {
    fn new() -> Result<Scratch, BuildError> {
        let scratch = Scratch(tempfile::tempdir().map_err(cannot("write", &std::env::temp_dir()))?);
        for folder in [scratch.contract(), scratch.temporary()] {
            fs::create_dir(&folder).map_err(cannot("write", &folder))?;
        }
        let contract = scratch.contract().join("operator.wit");
        fs::write(&contract, CONTRACT).map_err(cannot("write", &contract))?;
        Ok(scratch)
    }

    fn contract(&self) -> PathBuf {
        self.0.path().join("wit")
    }

    fn temporary(&self) -> PathBuf {
        self.0.path().join("temporary")
    }
}

/// A module with an operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operator {
    /// The component's name.
    pub name: String,
    /// The module's file.
    pub module: PathBuf,
}

/// Builds the operators of a folder into another.
pub(crate) fn build(folder: &Path, out: &Path) -> Result<Vec<Built>, BuildError> {
    let toolchain = Toolchain::find(folder)?;
    let Scripts { runner, operators } = toolchain.scripts(folder)?;
    if operators.is_empty() {
        return Err(nothing(folder));
    }
    operators.iter().map(|operator| whole(&toolchain, folder, out, operator, &runner, || ())).collect()
}

/// Builds the component of one operator, unless the one that is there was made of the same: that takes ten seconds, and makes
/// another component each time, since it is the memory of a Python that has imported everything. `tell` is called before.
pub(crate) fn whole(
    toolchain: &Toolchain,
    folder: &Path,
    out: &Path,
    operator: &Scripted,
    runner: &str,
    tell: impl FnOnce(),
) -> Result<Built, BuildError> {
    let (name, module) = (name(&operator.module), folder.join(format!("{}.py", operator.module)));
    let inputs = || {
        let everything =
            || Some(toolchain.everything(folder)?.with(runner).with(&operator.world).with(&operator.module));
        inputs(folder, operator, runner).or_else(everything)
    };
    place_made_of(inputs, out, &name, || {
        tell();
        toolchain.component(&Operator { name: name.clone(), module })
    })
}

/// What the component of an operator is made of, if its sources are known; `runner` is a digest of what is the same for all. The
/// other modules of the folder are among it: there are ways to import one that are not seen.
pub(crate) fn inputs(folder: &Path, operator: &Scripted, runner: &str) -> Option<Inputs> {
    let is_no_module =
        |path: &Path| is_no_input(folder, path) || (path.is_file() && path.extension() != Some("py".as_ref()));
    match &operator.how {
        How::Script(script) => {
            let inputs = Inputs::new().with(runner).with(&operator.world).with(script.to_string());
            Some(inputs.with(stamp::of_folder(folder, &is_no_module)))
        }
        How::Whole(_) => None,
    }
}

/// Whether a file of an operator's folder is none of what a component is made of: what is made of it, and its cases.
fn is_no_input(folder: &Path, path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let is_python = name.ends_with(".py");
    is_of_tools(&name)
        || name.ends_with(".wasm")
        || path == folder.join("job.toml")
        || (path.starts_with(folder.join("tests")) && path.is_file() && !is_python)
}

/// Whether tools write it, or the system: no Python is imported from there.
fn is_of_tools(name: &str) -> bool {
    name.starts_with('.') || name == "__pycache__"
}

/// The command that installs packages in a folder's own virtual environment: a system's Python takes none.
pub(crate) fn in_environment(folder: &Path, packages: &str) -> String {
    let environment = folder.join(".venv").display().to_string();
    let python = if is_there("python3") { String::new() } else { format!("{APT_GET} python3 python3-venv && ") };
    format!("{python}python3 -m venv {environment} && {environment}/bin/pip install {packages}")
}

/// Whether a program can be run at all.
pub(crate) fn is_there(program: impl AsRef<OsStr>) -> bool {
    let mut command = Command::new(program);
    command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

/// The error of a folder without operators.
pub(crate) fn nothing(folder: &Path) -> BuildError {
    let fix = "give a class at the top of a module one of the SDK's decorators, such as @keyed";
    BuildError::Nothing { folder: folder.to_owned(), fix }
}

/// The name of a module's component: words of a module's name have a `_` between them, those of a component's a `-`.
pub(crate) fn name(module: &str) -> String {
    module.replace('_', "-")
}

#[cfg(test)]
mod tests {
    use super::{COMPONENTIZE_PY, Toolchain, name};
    use crate::BuildError;
    use std::path::Path;

    #[test]
    fn a_component_is_called_as_its_module() {
        assert_eq!(name("count"), "count");
        assert_eq!(name("total_1"), "total-1");
    }

    #[test]
    fn the_sdk_names_the_same_release() {
        for text in [
            include_str!("../../../sdk/python/src/tidewheel/build.py"),
            include_str!("../../../sdk/python/pyproject.toml"),
        ] {
            assert!(text.contains(COMPONENTIZE_PY));
        }
    }

    #[test]
    fn a_python_without_the_sdk_is_no_toolchain() {
        let nowhere = tempfile::tempdir().unwrap();
        assert!(Toolchain::at(Path::new("no-such-python"), None).is_none());
        assert!(Toolchain::at(Path::new("python3"), Some(nowhere.path())).is_none());
        assert!(Toolchain::at(Path::new("true"), None).is_some(), "any program that says yes");
    }

    #[test]
    fn what_is_missing_is_told_with_what_installs_it() {
        let folder = tempfile::tempdir().unwrap();
        match Toolchain::find(folder.path()) {
            // It is installed here.
            Ok(toolchain) => assert!(toolchain.operators(folder.path()).unwrap().is_empty()),
            Err(error) => {
                assert!(matches!(error, BuildError::NoToolchain { .. }), "{error}");
                assert!(error.to_string().contains(".venv/bin/pip install 'tidewheel[build]'"), "{error}");
            }
        }
    }
}
