//! Builds the guest programs: cargo makes core modules of the crates, `wit-component` makes components of those.
//!
//! A guest workspace is not part of the host's: it builds for WebAssembly, with its own lock file. Every package of it
//! that is a `cdylib` becomes a component of the package's name. A component that is as it was is not written again.

use crate::repository;
use crate::toolchain::{TARGET, Toolchain};
use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use wit_component::ComponentEncoder;

/// A workspace of guest crates.
struct Workspace {
    /// Its folder, from the root of the repository.
    folder: &'static str,
    /// Where the component of a package goes; the argument is the package's folder, from the workspace's.
    destination: fn(&Path) -> PathBuf,
}

const WORKSPACES: [Workspace; 2] = [
    Workspace { folder: "tests/guests", destination: |_| PathBuf::from("out") },
    // Beside the job file: `word-count/rust/...` goes to `word-count/`.
    Workspace { folder: "guest-examples", destination: |package| package.iter().take(1).collect() },
];

/// What `cargo metadata` says, as far as it is needed.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    target_directory: PathBuf,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    manifest_path: PathBuf,
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    crate_types: Vec<String>,
}

/// Builds the components of all guest workspaces.
pub(crate) fn build() -> Result<()> {
    let toolchain = Toolchain::find_or_install()?;
    let repository = repository();
    // One folder for all guest workspaces, so that what they share is compiled once. Cargo then writes libraries of the
    // same name to the same file.
    let target_dir = target_directory()?.join("guests");
    let mut built = HashSet::new();
    for workspace in &WORKSPACES {
        let folder = repository.join(workspace.folder);
        let packages = metadata(&folder)?.packages;
        if let Some(twice) = packages.iter().find(|package| !built.insert(package.name.clone())) {
            bail!(
                "there are two guest packages called {:?}: give the one in {} another name",
                twice.name,
                workspace.folder
            );
        }
        compile(&toolchain, &folder, &target_dir)
            .with_context(|| format!("cannot build the guests in {}", workspace.folder))?;
        for package in packages {
            write_component(&package, &folder, workspace.destination, &target_dir)
                .with_context(|| format!("cannot make a component of package {:?}", package.name))?;
        }
    }
    Ok(())
}

/// Where the host's cargo puts what it builds.
pub(crate) fn target_directory() -> Result<PathBuf> {
    Ok(metadata(&repository())?.target_directory)
}

/// Makes core modules of all packages of a workspace.
fn compile(toolchain: &Toolchain, folder: &Path, target_dir: &Path) -> Result<()> {
    let mut cargo = toolchain.build();
    // The manifest is named, or cargo would look for one further up and find the host's.
    cargo.arg("--manifest-path").arg(folder.join("Cargo.toml")).arg("--target-dir").arg(target_dir);
    let status = cargo.current_dir(folder).status().context("cannot run cargo build")?;
    if !status.success() {
        bail!("cargo build failed ({status})");
    }
    Ok(())
}

/// Makes a component of a package's core module, which carries its world, as `wit-bindgen` puts it in. A package that
/// is no `cdylib` is a library for others.
fn write_component(
    package: &Package,
    folder: &Path,
    destination: fn(&Path) -> PathBuf,
    target_dir: &Path,
) -> Result<()> {
    let is_guest = |target: &&Target| target.crate_types.iter().any(|ty| ty == "cdylib");
    let Some(library) = package.targets.iter().find(is_guest) else {
        return Ok(());
    };
    let module = target_dir.join(TARGET).join("release").join(format!("{}.wasm", library.name.replace('-', "_")));
    let module = fs::read(&module).with_context(|| format!("cannot read {}", module.display()))?;
    let component = ComponentEncoder::default().module(&module)?.validate(true).encode()?;
    let package_dir = package.manifest_path.parent().unwrap_or(folder).strip_prefix(folder)?;
    let path = folder.join(destination(package_dir)).join(format!("{}.wasm", package.name));
    if fs::read(&path).is_ok_and(|old| old == component) {
        return Ok(());
    }
    fs::create_dir_all(path.parent().context("a component has a folder")?)?;
    // Renamed into place: a test that runs meanwhile sees the old component or the new one.
    let temporary = path.with_extension("wasm.new");
    fs::write(&temporary, &component)?;
    fs::rename(&temporary, &path)?;
    println!("{} ({} KiB)", path.display(), component.len().div_ceil(1024));
    Ok(())
}

fn metadata(folder: &Path) -> Result<Metadata> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["metadata", "--no-deps", "--format-version", "1", "--manifest-path"]).arg(folder.join("Cargo.toml"));
    let output = cargo.stderr(Stdio::inherit()).output().context("cannot run cargo metadata")?;
    if !output.status.success() {
        bail!("cargo metadata failed in {}", folder.display());
    }
    serde_json::from_slice(&output.stdout).context("cannot read what cargo metadata says")
}
