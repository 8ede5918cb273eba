//! Ctrl-C and `kill`.

use crate::terminal;
use anyhow::{Context, Result};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;

/// From now on either signal ends the process, with the exit code that shells expect (128 and the signal's number).
/// What the job has written since its last commit stays invisible.
pub(crate) fn end_on_signal() -> Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM]).context("cannot listen for signals")?;
    let watch = move || {
        if let Some(signal) = signals.forever().next() {
            let name = if signal == SIGINT { "interrupted" } else { "terminated" };
            terminal::say(&format!("{name}: output that was not committed is dropped"));
            signal_hook::low_level::exit(128 + signal);
        }
    };
    thread::Builder::new().name("signals".to_owned()).spawn(watch).context("cannot start a thread")?;
    Ok(())
}

/// From now on either signal sets the flag, and does nothing else.
pub(crate) fn note_signals() -> Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&flag)).context("cannot listen for signals")?;
    }
    Ok(flag)
}
