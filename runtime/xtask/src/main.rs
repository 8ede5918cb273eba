//! `cargo xtask`: the chores of this repository, as one program.
//!
//! [`guests`] builds the guest programs, with what [`toolchain`] finds; [`chores`] are the commands of the README.

mod chores;
mod guests;
mod toolchain;

use clap::{Parser, Subcommand};
use std::path::PathBuf;

/// The chores of this repository.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Build the guest programs: the examples, and the fixtures of the tests.
    Guests,
    /// Build everything needed and run the main example.
    Demo,
    /// Build everything and pass every test.
    Test,
    /// Measure what runtime/BENCHMARKS.md says.
    Bench {
        /// Which parts: throughput, native, latency, memory. All, if none is named.
        parts: Vec<String>,
    },
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().chore {
        Chore::Guests => guests::build(),
        Chore::Demo => chores::demo(),
        Chore::Test => chores::test(),
        Chore::Bench { parts } => chores::bench(&parts),
    }
}

/// The root of the repository.
fn repository() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
        .canonicalize()
        .expect("the sources this program was built from are still there")
}
