//! Builds the guest programs, with the crate that builds those of users.
//!
//! A guest workspace is not part of the host's: it builds for WebAssembly, with its own lock file. Every package of it
//! that is a `cdylib` becomes a component of the package's name.

use crate::{repository, toolchain};
use anyhow::{Context, Result, bail};
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use tidewheel_build::rust::Workspace;
use tidewheel_build::{Built, place};

/// A workspace of guest crates.
struct Guests {
    /// Its folder, from the root of the repository.
    folder: &'static str,
    /// Where the component of a package goes; the argument is the package's folder, from the workspace's.
    destination: fn(&Path) -> PathBuf,
}

const WORKSPACES: [Guests; 2] = [
    Guests { folder: "tests/guests", destination: |_| PathBuf::from("out") },
    // Beside the job file: `word-count/rust/...` goes to `word-count/`.
    Guests { folder: "guest-examples", destination: |package| package.iter().take(1).collect() },
];

/// Builds the components of all guest workspaces.
pub(crate) fn build() -> Result<()> {
    let toolchain = toolchain::find_or_install()?;
    // One folder for all guest workspaces, so that what they share is compiled once. Cargo then writes libraries of the
    // same name to the same file.
    let target_dir = target_directory()?.join("guests");
    let mut built = HashSet::new();
    for guests in &WORKSPACES {
        let folder = repository().join(guests.folder);
        let workspace = Workspace::read(&folder)?;
        if let Some(twice) = workspace.operators().iter().find(|operator| !built.insert(operator.name.clone())) {
            bail!(
                "there are two guest packages called {:?}: give the one in {} another name",
                twice.name,
                guests.folder
            );
        }
        workspace
            .compile(toolchain, &target_dir)
            .with_context(|| format!("cannot build the guests in {}", guests.folder))?;
        for operator in workspace.operators() {
            let component = operator.component(&target_dir)?;
            let destination = folder.join((guests.destination)(operator.folder.strip_prefix(&folder)?));
            tell(&place(&component, &destination, &operator.name)?);
        }
    }
    Ok(())
}

/// Says what has been built anew.
fn tell(built: &Built) {
    if built.changed {
        println!("{} ({} KiB)", built.path.display(), built.bytes.div_ceil(1024));
    }
}

/// Where the host's cargo puts what it builds.
pub(crate) fn target_directory() -> Result<PathBuf> {
    Ok(Workspace::read(&repository())?.target_directory().to_owned())
}
