//! Builds the guest programs, with the crate that builds those of users.
//!
//! A guest workspace in Rust is not part of the host's: it builds for WebAssembly, with its own lock file. Every package of it
//! that is a `cdylib` becomes a component of the package's name. What is in another language goes to the same folder, with the
//! language behind its name: `count.wasm`, `count-go.wasm`, `count-python.wasm`.

use crate::{languages, repository, setup, toolchain};
use anyhow::{Context, Result, anyhow, bail};
use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use tidewheel_build::rust::Workspace;
use tidewheel_build::{Built, javascript, place, python};

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

/// Folders, from the root of the repository, with folders `go` and `python`, and where the components go, from there.
const OTHERS: [(&str, &str); 4] = [
    ("guest-examples/word-count", ""),
    ("guest-examples/rfm", ""),
    ("guest-examples/swap", ""),
    ("tests/guests", "out"),
];

/// Builds the components of all guests.
pub(crate) fn build() -> Result<()> {
    build_rust()?;
    setup::to_build_guests()?;
    build_go()?;
    build_python()?;
    build_c_and_javascript()
}

/// Builds the components of guests in Rust.
pub(crate) fn build_rust() -> Result<()> {
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

fn build_go() -> Result<()> {
    let go = languages::go()?;
    for (folder, out) in OTHERS {
        let folder = repository().join(folder);
        for operator in go.operators(&folder.join("go"))? {
            tell(&place(&go.component(&operator)?, &folder.join(out), &format!("{}-go", operator.name))?);
        }
    }
    Ok(())
}

/// A component in Python takes some ten seconds to make, and is another one each time: it is made when something of it is newer.
fn build_python() -> Result<()> {
    let python = languages::python()?;
    let sdk = newest(&repository().join("sdk/python/src"))?.max(newest(&repository().join("wit"))?);
    let mut wanted = Vec::new();
    for (folder, out) in OTHERS {
        let folder = repository().join(folder);
        let (sources, out) = (folder.join("python"), folder.join(out));
        let newest = newest(&sources)?.max(sdk);
        for operator in python.operators(&sources)? {
            let name = format!("{}-python", operator.name);
            if !is_newer(&out.join(format!("{name}.wasm")), newest) {
                wanted.push((operator, out.clone(), name));
            }
        }
    }
    let make = |(operator, folder, name): &(python::Operator, PathBuf, String)| -> Result<()> {
        tell(&place(&python.component(operator)?, folder, name)?);
        Ok(())
    };
    let threads = std::thread::available_parallelism()?.get();
    for some in wanted.chunks(threads) {
        std::thread::scope(|scope| {
            let started: Vec<_> = some.iter().map(|one| scope.spawn(move || make(one))).collect();
            started.into_iter().try_for_each(|one| one.join().map_err(|_| anyhow!("a build has panicked"))?)
        })?;
    }
    Ok(())
}

fn build_c_and_javascript() -> Result<()> {
    let example = repository().join("guest-examples/word-count");
    for (name, component) in languages::c()?.components(&example.join("c"))? {
        tell(&place(&component, &example, &format!("{name}-c"))?);
    }
    // As in Python, a component is another one each time.
    let newest = newest(&example.join("js"))?.max(newest(&repository().join("wit"))?);
    if !["count-js.wasm", "split-js.wasm"].iter().all(|name| is_newer(&example.join(name), newest)) {
        let copy = languages::javascript(&example.join("js"), "word-count")?;
        for (name, component) in javascript::components(&copy)? {
            tell(&place(&component, &example, &format!("{name}-js"))?);
        }
    }
    Ok(())
}

/// Whether a component was made after this time.
fn is_newer(component: &Path, time: SystemTime) -> bool {
    fs::metadata(component).and_then(|made| made.modified()).is_ok_and(|made| made > time)
}

/// When the newest file in a folder, and below it, was written; what Python keeps for itself there does not count.
fn newest(folder: &Path) -> Result<SystemTime> {
    let mut newest = SystemTime::UNIX_EPOCH;
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        if path.ends_with("__pycache__") {
            continue;
        }
        newest = newest.max(if path.is_dir() { self::newest(&path)? } else { fs::metadata(&path)?.modified()? });
    }
    Ok(newest)
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
