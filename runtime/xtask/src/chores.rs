//! Tests and benchmarks: everything built and run, nothing to set up before.

use crate::{guests, languages, repository, setup};
use anyhow::{Context, Result, bail};
use std::path::Path;
use std::process::Command;

/// Builds everything and passes every test.
pub(crate) fn test() -> Result<()> {
    cargo(&["fmt", "--all", "--check"])?;
    setup::to_build()?;
    setup::to_test()?;
    guests::build()?;
    build_all()?;
    cargo(&["test", "--release", "--workspace"])?;
    languages::test()?;
    // The examples' operators also run natively, in plain unit tests.
    let examples = repository().join("guest-examples/Cargo.toml");
    let target = guests::target_directory()?.join("examples");
    run(own_cargo().args(["test", "--release", "--manifest-path"]).arg(examples).arg("--target-dir").arg(target))
}

/// Measures what `runtime/BENCHMARKS.md` says; `parts` of it, or everything. Beside another engine only if its `harness`
/// is given.
pub(crate) fn bench(parts: &[String], harness: Option<&Path>, events: Option<u64>) -> Result<()> {
    setup::to_build()?;
    guests::build()?;
    build_all()?;
    let mut bench = Command::new(guests::target_directory()?.join("release/bench"));
    bench.args(parts);
    if let Some(harness) = harness {
        bench.arg("--harness").arg(harness);
    }
    if let Some(events) = events {
        bench.arg("--events").arg(events.to_string());
    }
    run(&mut bench)
}

/// Kills a job again and again; `settings` are flags that may have a value.
pub(crate) fn soak(settings: &[(&str, Option<String>)]) -> Result<()> {
    setup::to_build()?;
    guests::build()?;
    build_all()?;
    let given = settings.iter().filter_map(|(flag, value)| Some([(*flag).to_owned(), value.clone()?]));
    run(Command::new(guests::target_directory()?.join("release/soak")).args(given.flatten()))
}

/// Builds programs and tests. Always all of them: cargo chooses the features of dependencies by what is built, and
/// wasmtime, which takes long, would be built once for every choice.
pub(crate) fn build_all() -> Result<()> {
    cargo(&["build", "--release", "--workspace", "--all-targets"])
}

fn cargo(arguments: &[&str]) -> Result<()> {
    run(own_cargo().args(arguments).current_dir(repository()))
}

/// The cargo that runs this program.
fn own_cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot run {:?}", command.get_program()))?;
    if !status.success() {
        bail!("{:?} failed ({status})", command.get_program());
    }
    Ok(())
}
