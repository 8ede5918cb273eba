//! Stderr, shared by the live line, the log and everything else that is said.
//!
//! A live line is rewritten in place, so whoever else writes first has to take it away; the next refresh brings it
//! back. What is written here is for a person's eyes, so it is escaped here, whoever it comes from; only this file's
//! own commands reach the terminal as they are.

use crate::escape;
use std::io::{self, BufWriter, IsTerminal, StdoutLock, Write};
use std::ops::ControlFlow;
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
    let _ = write_lines(&format!("{}\n", escape::text(text)));
}

/// Shows `text` as the live line, cut at the terminal's width (wrapping is off for it).
pub(crate) fn show_live(text: &str) {
    let mut live = lock();
    *live = true;
    let _ = write!(io::stderr(), "{ERASE}\x1b[?7l{}\x1b[?7h", escape::line(text));
}

/// Takes the live line away.
pub(crate) fn clear_live() {
    let _ = write_lines("");
}

/// Writes lines that stay, in place of the live line.
fn write_lines(lines: &str) -> io::Result<()> {
    let mut live = lock();
    if std::mem::take(&mut *live) {
        io::stderr().write_all(ERASE.as_bytes())?;
    }
    io::stderr().write_all(lines.as_bytes())
}

/// Stderr for the log. Each write is one entry and becomes one line, whatever is in it.
pub(crate) struct LogLines;

impl Write for LogLines {
    fn write(&mut self, entry: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(entry);
        write_lines(&format!("{}\n", escape::line(text.trim_end_matches('\n'))))?;
        Ok(entry.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

fn lock() -> MutexGuard<'static, bool> {
    LIVE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Writes a text for people to stdout.
pub(crate) fn print(text: &str) -> io::Result<()> {
    write_data(&escape::text(text))
}

/// Writes JSON to stdout, and a line end.
pub(crate) fn print_json(json: &str) -> io::Result<()> {
    write_data(&format!("{}\n", escape::json(json)))
}

/// Many JSON values to stdout, one a line.
pub(crate) struct JsonLines {
    stdout: BufWriter<StdoutLock<'static>>,
}

impl JsonLines {
    pub(crate) fn new() -> JsonLines {
        JsonLines { stdout: BufWriter::new(io::stdout().lock()) }
    }

    /// Writes one, and says whether somebody still reads.
    pub(crate) fn print(&mut self, value: &serde_json::Value) -> io::Result<ControlFlow<()>> {
        let line = format!("{}\n", escape::json(&value.to_string()));
        reading(self.stdout.write_all(line.as_bytes()))
    }

    /// Writes what is left.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        reading(self.stdout.flush()).map(|_| ())
    }
}

/// A reader that has gone away (`| head`) is no error, and the end.
fn reading(written: io::Result<()>) -> io::Result<ControlFlow<()>> {
    match written {
        Ok(()) => Ok(ControlFlow::Continue(())),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ControlFlow::Break(())),
        Err(error) => Err(error),
    }
}

/// Writes to stdout.
fn write_data(data: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    reading(stdout.write_all(data.as_bytes()).and_then(|()| stdout.flush())).map(|_| ())
}
