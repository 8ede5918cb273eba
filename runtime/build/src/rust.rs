//! Rust: cargo makes core modules of a workspace's crates, which carry their world, as `wit-bindgen` puts it in.
//!
//! There are two toolchains. The Rust that is in use anyway, when it has the standard library for the target; rustup can add
//! it. Or Debian's packages, which have the library's source, from which cargo builds it along with the crates.

use crate::tool::{self, failed};
use crate::{BuildError, Built, component, place};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The target that operators are built for.
pub const TARGET: &str = "wasm32-unknown-unknown";

/// Debian's cargo, rustc, source of the standard library, and linker for WebAssembly.
pub const DEBIAN_PACKAGES: [&str; 4] = ["cargo-web", "rustc-web", "rust-web-src", "lld-19"];

/// What the cargo that runs this program passes on, and what must not reach the cargo that builds operators: they would
/// choose its compiler and flags for it.
const OUTER_VARIABLES: [&str; 10] = [
    "CARGO",
    "CARGO_BUILD_RUSTFLAGS",
    "CARGO_BUILD_TARGET",
    "CARGO_ENCODED_RUSTFLAGS",
    "RUSTC",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTC_WRAPPER",
    "RUSTDOC",
    "RUSTFLAGS",
    "RUSTUP_TOOLCHAIN",
];

/// A Rust toolchain that builds for WebAssembly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Toolchain {
    /// `cargo`, with the target's standard library.
    Default,
    /// Debian's `cargo`, which builds the standard library from source.
    Debian,
}

impl Toolchain {
    /// The toolchain that is there.
    ///
    /// # Errors
    /// When there is none; the error says what installs one.
    pub fn find() -> Result<Toolchain, BuildError> {
        if default_has_target() {
            return Ok(Toolchain::Default);
        }
        if debian_is_installed() {
            return Ok(Toolchain::Debian);
        }
        let apt_get = format!("sudo apt-get install --yes {}", DEBIAN_PACKAGES.join(" "));
        let (missing, rustup) = match is_there("rustc") {
            true => (format!("there is no Rust standard library for {TARGET}"), format!("rustup target add {TARGET}")),
            false => {
                let rustup = format!("curl --fail https://sh.rustup.rs | sh -s -- --target {TARGET}");
                ("there is no Rust (https://www.rust-lang.org/tools/install)".to_owned(), rustup)
            }
        };
        Err(BuildError::NoToolchain { missing, install: vec![rustup, apt_get] })
    }

    /// A `cargo build` in release mode for [`TARGET`].
    fn build(self) -> Command {
        let mut cargo = match self {
            Toolchain::Default => command("cargo"),
            Toolchain::Debian => command("/usr/bin/cargo"),
        };
        if self == Toolchain::Debian {
            // `-Z build-std` is not stable; the variable lets a stable cargo and rustc take it. The library path is
            // the outer toolchain's, whose libraries have the names of Debian's.
            cargo.env("RUSTC_BOOTSTRAP", "1").env("RUSTC", "/usr/bin/rustc").env_remove("LD_LIBRARY_PATH");
            cargo.args(["-Z", "build-std=std,panic_abort"]);
            cargo.args(["--config", r#"target.wasm32-unknown-unknown.linker="wasm-ld-19""#]);
        }
        cargo.args(["build", "--release", "--target", TARGET]);
        cargo
    }
}

/// A command that does not notice that a cargo runs this program.
pub fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    for variable in OUTER_VARIABLES {
        command.env_remove(variable);
    }
    command
}

fn is_there(program: &str) -> bool {
    command(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

fn default_has_target() -> bool {
    let output = command("rustc").args(["--print", "target-libdir", "--target", TARGET]).stderr(Stdio::null()).output();
    output.is_ok_and(|output| {
        output.status.success() && Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir()
    })
}

fn debian_is_installed() -> bool {
    let mut query = command("dpkg-query");
    query.args(["--show", "--showformat", "${db:Status-Status}\n"]).args(DEBIAN_PACKAGES).stderr(Stdio::null());
    query.output().is_ok_and(|output| {
        let text = String::from_utf8_lossy(&output.stdout);
        text.lines().filter(|status| *status == "installed").count() == DEBIAN_PACKAGES.len()
    })
}

/// What `cargo metadata` says, as far as it is needed.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<MetadataPackage>,
    target_directory: PathBuf,
}

#[derive(Deserialize)]
struct MetadataPackage {
    name: String,
    manifest_path: PathBuf,
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    crate_types: Vec<String>,
}

/// A folder with a `Cargo.toml`: a package, or a workspace of them.
#[derive(Debug)]
pub struct Workspace {
    folder: PathBuf,
    target_directory: PathBuf,
    operators: Vec<Operator>,
}

/// A package that is a `cdylib`, and so becomes a component; others are libraries for it.
#[derive(Debug)]
pub struct Operator {
    /// The package's name, and the component's.
    pub name: String,
    /// The package's folder.
    pub folder: PathBuf,
    /// The name of its library.
    library: String,
}

impl Workspace {
    /// Reads what is in a folder. If it is a package it is that one alone, whatever workspace it is in.
    ///
    /// # Errors
    /// When cargo cannot read it.
    pub fn read(folder: &Path) -> Result<Workspace, BuildError> {
        let manifest = folder.join("Cargo.toml");
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.args(["metadata", "--no-deps", "--format-version", "1", "--manifest-path"]).arg(&manifest);
        let output = tool::output(&mut cargo)?;
        if !output.status.success() {
            return Err(failed("cargo metadata", folder, output.status));
        }
        let metadata: Metadata = serde_json::from_slice(&output.stdout)
            .map_err(|error| BuildError::Answer { program: "cargo metadata".to_owned(), reason: error.to_string() })?;
        let manifest = manifest.canonicalize().unwrap_or(manifest);
        let own = metadata.packages.iter().any(|package| package.manifest_path == manifest);
        let packages = metadata.packages.into_iter().filter(|package| !own || package.manifest_path == manifest);
        let operators = packages.filter_map(|package| {
            let is_operator = |target: &Target| target.crate_types.iter().any(|ty| ty == "cdylib");
            let library = package.targets.into_iter().find(is_operator)?.name.replace('-', "_");
            let folder = package.manifest_path.parent().unwrap_or(folder).to_owned();
            Some(Operator { name: package.name, folder, library })
        });
        let operators = operators.collect();
        Ok(Workspace { folder: folder.to_owned(), target_directory: metadata.target_directory, operators })
    }

    /// Its operators.
    pub fn operators(&self) -> &[Operator] {
        &self.operators
    }

    /// Where cargo puts what it builds, if nothing else is said.
    pub fn target_directory(&self) -> &Path {
        &self.target_directory
    }

    /// Makes core modules of all packages, in a folder of cargo's.
    ///
    /// # Errors
    /// When a package does not build.
    pub fn compile(&self, toolchain: Toolchain, target_directory: &Path) -> Result<(), BuildError> {
        let mut cargo = toolchain.build();
        // The manifest is named, or cargo would look for one further up and find another.
        cargo.arg("--manifest-path").arg("Cargo.toml").arg("--target-dir").arg(target_directory);
        let status = tool::status(cargo.current_dir(&self.folder))?;
        if status.success() { Ok(()) } else { Err(failed("cargo build", &self.folder, status)) }
    }
}

impl Operator {
    /// The component, of a core module that was [compiled](Workspace::compile) into a folder of cargo's.
    ///
    /// # Errors
    /// When the module does not fit the contract.
    pub fn component(&self, target_directory: &Path) -> Result<Vec<u8>, BuildError> {
        let modules = target_directory.join(TARGET).join("release");
        component::read(&modules.join(format!("{}.wasm", self.library)))
    }
}

/// Builds the operators of a folder into another.
pub(crate) fn build(folder: &Path, out: &Path) -> Result<Vec<Built>, BuildError> {
    // First of all: without one the workspace cannot be read either.
    let toolchain = Toolchain::find()?;
    let workspace = Workspace::read(folder)?;
    if workspace.operators.is_empty() {
        let fix = "add crate-type = [\"cdylib\", \"rlib\"] to the [lib] of its Cargo.toml";
        return Err(BuildError::Nothing { folder: folder.to_owned(), fix });
    }
    let target_directory = &workspace.target_directory;
    workspace.compile(toolchain, target_directory)?;
    let components = workspace.operators.iter();
    components.map(|operator| place(&operator.component(target_directory)?, out, &operator.name)).collect()
}

#[cfg(test)]
mod tests {
    use super::Workspace;
    use crate::BuildError;
    use std::fs;

    fn write(folder: &std::path::Path, name: &str, text: &str) {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn operators_are_the_packages_that_are_cdylibs() {
        let folder = tempfile::tempdir().unwrap();
        let workspace = folder.path();
        write(workspace, "Cargo.toml", "[workspace]\nresolver = \"3\"\nmembers = [\"count\", \"shared\"]");
        let package = |name: &str| format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n");
        write(workspace, "count/Cargo.toml", &(package("the-count") + "[lib]\ncrate-type = [\"cdylib\", \"rlib\"]"));
        write(workspace, "shared/Cargo.toml", &package("shared"));
        for name in ["count", "shared"] {
            write(workspace, &format!("{name}/src/lib.rs"), "");
        }
        let names = |folder: &std::path::Path| -> Vec<String> {
            let found = Workspace::read(folder).unwrap();
            found.operators().iter().map(|operator| format!("{} {}", operator.name, operator.library)).collect()
        };
        assert_eq!(names(workspace), ["the-count the_count"]);
        assert_eq!(names(&workspace.join("count")), ["the-count the_count"]);
        assert!(names(&workspace.join("shared")).is_empty());
        let error = super::build(&workspace.join("shared"), workspace).unwrap_err();
        assert!(matches!(error, BuildError::Nothing { .. }));
    }
}
