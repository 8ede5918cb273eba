//! Stderr, shared by the live line, the log and everything else that is said.
//!
//! A live line is rewritten in place, so whoever else writes first has to take it away; the next refresh brings it
//! back.

use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Whether a live line stands on the terminal.
static LIVE: Mutex<bool> = Mutex::new(false);

/// Back to the start of the line and erase it.
const ERASE: &str = "\r\x1b[K";

/// Whether stderr is a terminal that can rewrite a line.
pub(crate) fn is_live() -> bool {
    io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Writes `text` and a line end to stderr.
pub(crate) fn say(text: &str) {
    // When stderr is closed there is nobody to tell.
    let _ = writeln!(Stderr, "{text}");
}

/// Shows `text` as the live line, cut at the terminal's width (wrapping is off for it).
pub(crate) fn show_live(text: &str) {
    let mut live = lock();
    *live = true;
    let _ = write!(io::stderr(), "{ERASE}\x1b[?7l{text}\x1b[?7h");
}

/// Takes the live line away.
pub(crate) fn clear_live() {
    let _ = Stderr.write(b"");
}

/// Stderr for lines that stay.
pub(crate) struct Stderr;

impl Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut live = lock();
        if std::mem::take(&mut *live) {
            io::stderr().write_all(ERASE.as_bytes())?;
        }
        io::stderr().write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

fn lock() -> MutexGuard<'static, bool> {
    LIVE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Writes data to stdout. A reader that has gone away (`| head`) is no error.
pub(crate) fn print(data: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(data.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}
