//! Fast copies of memory on AMD processors.
//!
//! A job copies every record a few times, in pieces of some 64 KiB. For those the C library uses `rep movsb`, which on
//! AMD's Zen processors is several times slower than a plain loop when source and destination lie unluckily to each
//! other (glibc bug 30994, mended in 2.40; Debian 12 has 2.36). A batch and a guest's memory lie as they lie for the
//! whole job, so the unlucky case stays: a job without state ran at 0.7 of its rate. The C library reads its settings
//! only when a program starts, so the program starts itself once more with the right one.

use std::env;
use std::fs;
use std::os::unix::process::CommandExt;
use std::process::Command;

const VARIABLE: &str = "GLIBC_TUNABLES";

/// Bytes from which `rep movsb` is used.
const SETTING: &str = "glibc.cpu.x86_rep_movsb_threshold";

/// More than anything is ever copied at once.
const NEVER: &str = "2000000000";

/// Replaces this process by itself with fast copies, where that helps and the user has not set it. If it cannot be
/// done, the job is slower, and that is all.
pub(crate) fn restart_with_fast_copies() {
    let given = env::var(VARIABLE).unwrap_or_default();
    if given.contains(SETTING) || !is_amd() {
        return;
    }
    let Ok(program) = env::current_exe() else { return };
    let separator = if given.is_empty() { "" } else { ":" };
    let mut arguments = env::args_os();
    let mut command = Command::new(program);
    command.env(VARIABLE, format!("{given}{separator}{SETTING}={NEVER}"));
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    let error = command.args(arguments).exec();
    tracing::debug!("cannot start again with fast copies: {error}");
}

fn is_amd() -> bool {
    fs::read_to_string("/proc/cpuinfo").is_ok_and(|text| text.contains("AuthenticAMD"))
}
