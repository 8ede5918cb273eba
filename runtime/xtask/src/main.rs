//! `cargo xtask`: the chores of this repository, as one program.
//!
//! [`setup`], [`toolchain`] and [`languages`] find, or install with [`apt`] and other clients, what is needed; [`guests`] builds
//! the guest programs; [`chores`] and [`demo`] are the commands of the README.

mod apt;
mod chores;
mod demo;
mod guests;
mod languages;
mod setup;
mod toolchain;

use clap::{Args, Parser, Subcommand};
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
    /// Install what a build and the tests need, as far as it is missing. The other chores do what they need of it.
    Setup,
    /// Build the guest programs in all languages: the examples, and the fixtures of the tests.
    Guests,
    /// Build everything needed, run the main example and show the best customers.
    Demo,
    /// Build everything and pass every test.
    Test,
    /// Measure what runtime/BENCHMARKS.md says.
    Bench(Bench),
    /// Kill a job's worker processes hundreds of times: what it commits has to be what an undisturbed run commits.
    Soak(Soak),
}

#[derive(Args)]
struct Bench {
    /// Which parts: boundary, languages, throughput, native, latency, memory, leak, state, checkpoints, flink. All but
    /// flink, if none is named.
    parts: Vec<String>,

    /// For flink and checkpoints: the folder with the other engine's harness, `setup.sh` and `run.sh QUERY EVENTS
    /// PARALLELISM BACKEND`.
    #[arg(long, value_name = "FOLDER")]
    harness: Option<PathBuf>,

    /// For flink and checkpoints: events of each run, instead of so many that it takes some seconds.
    #[arg(long)]
    events: Option<u64>,
}

#[derive(Args)]
struct Soak {
    /// Kills for each backend and number of processes; 200, if left out.
    #[arg(long)]
    kills: Option<u64>,

    /// Chooses every kill. It is printed; the same number makes the same kills.
    #[arg(long)]
    seed: Option<u64>,

    /// Worker processes of the job; one job with 1 and one with 2, if left out.
    #[arg(long)]
    processes: Option<u64>,

    /// Workers in each process.
    #[arg(long)]
    workers: Option<u64>,

    /// `memory` or `rocksdb`; both, if left out.
    #[arg(long)]
    backend: Option<String>,
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().chore {
        Chore::Setup => setup::to_build().and_then(|()| setup::to_build_guests()).and_then(|()| setup::to_test()),
        Chore::Guests => guests::build(),
        Chore::Demo => demo::run(),
        Chore::Test => chores::test(),
        Chore::Bench(Bench { parts, harness, events }) => chores::bench(&parts, harness.as_deref(), events),
        Chore::Soak(Soak { kills, seed, processes, workers, backend }) => {
            let number = |number: Option<u64>| number.map(|number| number.to_string());
            chores::soak(&[
                ("--kills", number(kills)),
                ("--seed", number(seed)),
                ("--processes", number(processes)),
                ("--workers", number(workers)),
                ("--backend", backend),
            ])
        }
    }
}

/// The root of the repository.
fn repository() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
        .canonicalize()
        .expect("the sources this program was built from are still there")
}
