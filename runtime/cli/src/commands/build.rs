//! `tidewheel build`: components of a project's sources, by the toolchain of its language, or of a core module.

use crate::args::Build;
use crate::{BuildFailed, render, terminal};
use anyhow::{Result, bail};
use std::path::Path;
use tidewheel_build::{BuildError, Built, Project, Runners};

/// Builds the project's operators, and prints where they are.
pub(crate) fn execute(build: &Build) -> Result<()> {
    let built = match build.project.is_file() {
        true => vec![module(&build.project, build.out.as_deref())?],
        false => project(&build.project, build.out.as_deref().unwrap_or(&build.project))?,
    };
    for built in built {
        let note = if built.changed { "" } else { ", as before" };
        terminal::print(&format!("{}\n", built.path.display()))?;
        let size = render::bytes(u64::try_from(built.bytes).unwrap_or(u64::MAX));
        terminal::say(&format!("{}: {size}{note}", built.path.display()));
    }
    Ok(())
}

/// Makes a component of a core module.
fn module(module: &Path, out: Option<&Path>) -> Result<Built> {
    match tidewheel_build::of_file(module, out.or(module.parent()).unwrap_or(Path::new(""))) {
        Err(error @ BuildError::InItsPlace { .. }) => {
            bail!("{error}\n\nhint: say where it is to go, with --out FOLDER")
        }
        built => Ok(built?),
    }
}

/// Builds the project in a folder, its components into another.
pub(super) fn project(folder: &Path, out: &Path) -> Result<Vec<Built>> {
    Project::open(folder)?.build(out).map_err(said)
}

/// The same for one that is being edited.
pub(super) fn edited(folder: &Path, out: &Path, runners: &Runners<'_>) -> Result<Vec<Built>> {
    Project::open(folder)?.build_edited(out, runners).map_err(said)
}

fn said(error: BuildError) -> anyhow::Error {
    match error {
        // It was rightly asked for, and the compiler has said what is wrong.
        error @ BuildError::Failed { .. } => BuildFailed(error).into(),
        error => error.into(),
    }
}
