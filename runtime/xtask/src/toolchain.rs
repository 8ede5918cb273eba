//! Installs a Rust toolchain that builds for WebAssembly, where there is none.
//!
//! rustup can add the target to the Rust that is in use; Debian's packages are another. What is there already comes
//! first, so that nothing is downloaded without need.

use crate::apt;
use anyhow::{Result, bail};
use std::time::{Duration, Instant};
use tidewheel_build::rust::{DEBIAN_PACKAGES, TARGET, Toolchain, command};

/// Where rustup gets nothing within this time, there is no way out to its server.
const RUSTUP_MS_MAX: u64 = 120_000;

/// The toolchain to use; installs one when there is none.
pub(crate) fn find_or_install() -> Result<Toolchain> {
    if let Ok(toolchain) = Toolchain::find() {
        return Ok(toolchain);
    }
    if add_target_with_rustup()
        && let Ok(toolchain) = Toolchain::find()
    {
        return Ok(toolchain);
    }
    let missing = format!("there is no Rust standard library for {TARGET}");
    apt::install(&DEBIAN_PACKAGES, &missing, &[&format!("rustup target add {TARGET}")])?;
    match Toolchain::find() {
        Ok(toolchain) => Ok(toolchain),
        Err(_) => bail!("apt-get has run, and yet the packages {} are not installed", DEBIAN_PACKAGES.join(", ")),
    }
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
