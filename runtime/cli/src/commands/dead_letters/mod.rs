//! `tidewheel dead-letters`: what was set aside, and how it becomes input again.

mod retry;
mod show;

use crate::args::{DeadLetters, Letters};
use anyhow::{Context, Result, anyhow};
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use tidewheel_types::dead_letter::DeadLetter;

/// Carries out the command.
pub(crate) fn execute(dead_letters: &DeadLetters) -> Result<()> {
    match dead_letters {
        DeadLetters::Show(show) => show::execute(show),
        DeadLetters::Retry(retry) => retry::execute(retry),
    }
}

/// Reads letters in the order of their files' names, and gives each to `take` with the line that it was read from; those
/// that were asked for.
fn read(letters: &Letters, mut take: impl FnMut(DeadLetter, &str) -> Result<()>) -> Result<()> {
    for path in files(&letters.path)? {
        read_file(&path, |letter, line| match &letters.operator {
            Some(operator) if *operator != letter.operator => Ok(()),
            _ => take(letter, line),
        })?;
    }
    Ok(())
}

fn read_file(path: &Path, mut take: impl FnMut(DeadLetter, &str) -> Result<()>) -> Result<()> {
    let cannot_read = || format!("cannot read {}", path.display());
    let lines = BufReader::new(File::open(path).with_context(cannot_read)?).split(b'\n');
    for (number, line) in lines.enumerate() {
        let line = line.with_context(cannot_read)?;
        let wrong = |reason: String| anyhow!("{}:{}: {reason}", path.display(), number + 1);
        let line = str::from_utf8(&line).map_err(|error| wrong(format!("it is not UTF-8: {error}")))?;
        let line = line.strip_suffix('\r').unwrap_or(line);
        if !line.trim().is_empty() {
            take(DeadLetter::parse(line.as_bytes()).map_err(wrong)?, line)?;
        }
    }
    Ok(())
}

/// A file, or those in a folder that are not hidden, as a sink's unfinished ones are, in the order of their names.
fn files(path: &Path) -> Result<Vec<PathBuf>> {
    let cannot_read = || format!("cannot read {}", path.display());
    if !fs::metadata(path).with_context(cannot_read)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = fs::read_dir(path).with_context(cannot_read)?;
    let paths = entries.map(|entry| Ok(entry.with_context(cannot_read)?.path())).collect::<Result<Vec<_>>>()?;
    let is_hidden = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
    let mut files: Vec<PathBuf> = paths.into_iter().filter(|path| path.is_file() && !is_hidden(path)).collect();
    files.sort();
    Ok(files)
}
