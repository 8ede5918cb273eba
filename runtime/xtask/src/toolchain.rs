//! Finds, or installs, a Rust toolchain that builds for WebAssembly.
//!
//! There are two. The Rust that is in use anyway, when it has the standard library for the target; rustup can add it.
//! Or Debian's packages, which have the library's source, from which cargo builds it along with the guests. What is
//! there already comes first, so that nothing is downloaded without need.

use crate::apt;
use anyhow::{Result, bail};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The target that guests are built for.
pub(crate) const TARGET: &str = "wasm32-unknown-unknown";

/// Debian's cargo, rustc, source of the standard library, and linker for WebAssembly.
const DEBIAN_PACKAGES: [&str; 4] = ["cargo-web", "rustc-web", "rust-web-src", "lld-19"];

/// Where rustup gets nothing within this time, there is no way out to its server.
const RUSTUP_MS_MAX: u64 = 120_000;

/// What the cargo that runs this program passes on, and what must not reach the cargo that builds guests: they would
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
pub(crate) enum Toolchain {
    /// `cargo`, with the target's standard library.
    Default,
    /// Debian's `cargo`, which builds the standard library from source.
    Debian,
}

impl Toolchain {
    /// The toolchain to use; installs one when there is none.
    pub(crate) fn find_or_install() -> Result<Toolchain> {
        if default_has_target() {
            return Ok(Toolchain::Default);
        }
        if debian_is_installed() {
            return Ok(Toolchain::Debian);
        }
        if add_target_with_rustup() && default_has_target() {
            return Ok(Toolchain::Default);
        }
        let missing = format!("there is no Rust standard library for {TARGET}");
        apt::install(&DEBIAN_PACKAGES, &missing, &[&format!("rustup target add {TARGET}")])?;
        if !debian_is_installed() {
            bail!("apt-get has run, and yet the packages {} are not installed", DEBIAN_PACKAGES.join(", "));
        }
        Ok(Toolchain::Debian)
    }

    /// A `cargo build` in release mode for [`TARGET`].
    pub(crate) fn build(self) -> Command {
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
fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    for variable in OUTER_VARIABLES {
        command.env_remove(variable);
    }
    command
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

/// Whether rustup could add the target.
fn add_target_with_rustup() -> bool {
    let mut rustup = command("rustup");
    rustup.args(["target", "add", TARGET]);
    let Ok(mut child) = rustup.spawn() else {
        return false;
    };
    eprintln!("running: rustup target add {TARGET}");
    let start = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return status.success(),
            Ok(None) if start.elapsed() < Duration::from_millis(RUSTUP_MS_MAX) => {
                std::thread::sleep(Duration::from_millis(50));
            }
            Ok(None) | Err(_) => {
                eprintln!("rustup has not been able to get the target within {RUSTUP_MS_MAX} ms");
                // It may have ended by itself meanwhile, which is as good.
                let _ = child.kill();
                let _ = child.wait();
                return false;
            }
        }
    }
}
