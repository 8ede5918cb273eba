//! `tidewheel dead-letters retry`: a file of those letters that were records, for a source to read.

use super::{files, read, read_file};
use crate::args::DeadLettersRetry;
use crate::terminal;
use anyhow::{Context, Result, anyhow, bail};
use serde::Serialize;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use tidewheel_types::dead_letter::DeadLetter;

/// What has been done.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Report {
    /// The file; none when there was nothing to write.
    file: Option<PathBuf>,
    /// Records in it.
    records: usize,
    /// Letters that files in the folder had already.
    already_there: usize,
    /// Timers, windows and values of state, which cannot be input.
    left_out: usize,
}

/// Where a letter's record came from, in the order in which records are read: source, split, offset.
type Place = (Option<String>, Option<String>, Option<u64>);

/// Writes a file with the letters that are not in one already, in the order in which their records were read.
pub(super) fn execute(retry: &DeadLettersRetry) -> Result<()> {
    let (from, to) = (&retry.letters.path, &retry.to);
    if is_same(from, to) {
        bail!("{} is where the dead letters are: give another folder with --to", to.display());
    }
    let mut report = Report::default();
    let mut there = letters_in(to)?;
    let mut letters: Vec<(Place, String)> = Vec::new();
    read(&retry.letters, |letter, line| {
        match (letter.was_record(), there.get_mut(line).filter(|times| **times > 0)) {
            (false, _) => report.left_out += 1,
            (true, Some(times)) => {
                *times -= 1;
                report.already_there += 1;
            }
            (true, None) => letters.push((place(letter), line.to_owned())),
        }
        Ok(())
    })?;
    letters.sort();
    report.records = letters.len();
    if !letters.is_empty() {
        report.file = Some(write(to, letters.iter().map(|(_, line)| line.as_str()))?);
    }
    if retry.json {
        return Ok(terminal::print_json(&serde_json::to_string(&report)?)?);
    }
    terminal::say(&text(&report, from));
    Ok(())
}

fn place(letter: DeadLetter) -> Place {
    (letter.source, letter.split, letter.offset)
}

/// Whether both are the same folder, or the second is where the file is that the first names.
fn is_same(from: &Path, to: &Path) -> bool {
    let folder = if from.is_dir() { Some(from) } else { from.parent() };
    let folder = folder.map(|folder| if folder.as_os_str().is_empty() { Path::new(".") } else { folder });
    match (folder.map(Path::canonicalize), to.canonicalize()) {
        (Some(Ok(from)), Ok(to)) => from == to,
        _ => false,
    }
}

/// The letters that are in files of the folder, as they are written there, and how often: of a record that an operator made
/// several of, letters may be the same to the letter.
fn letters_in(folder: &Path) -> Result<HashMap<String, usize>> {
    let mut lines = HashMap::new();
    if folder.exists() {
        for path in files(folder)? {
            read_file(&path, |_, line| {
                *lines.entry(line.to_owned()).or_default() += 1;
                Ok(())
            })?;
        }
    }
    Ok(lines)
}

/// Writes lines to a new file, which appears when it is whole.
fn write<'a>(folder: &Path, lines: impl Iterator<Item = &'a str>) -> Result<PathBuf> {
    let cannot_write = || format!("cannot write to {}", folder.display());
    fs::create_dir_all(folder).with_context(cannot_write)?;
    let text: String = lines.flat_map(|line| [line, "\n"]).collect();
    for number in 1u32.. {
        let (path, unfinished) =
            (folder.join(format!("retry-{number}.jsonl")), folder.join(format!(".retry-{number}")));
        match File::create_new(&unfinished) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => continue,
            file => {
                let mut file = file.with_context(cannot_write)?;
                let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
                // A link, unlike a name given anew, takes no other file's place.
                let named = written.and_then(|()| fs::hard_link(&unfinished, &path));
                let _ = fs::remove_file(&unfinished);
                match named {
                    Err(error) if error.kind() == ErrorKind::AlreadyExists => continue,
                    named => named.with_context(cannot_write)?,
                }
                return Ok(path);
            }
        }
    }
    Err(anyhow!("{} has a file under every name", folder.display()))
}

fn text(report: &Report, from: &Path) -> String {
    let mut text = match &report.file {
        Some(file) => format!("{}: {} records of {}", file.display(), report.records, from.display()),
        None => format!("nothing to write: no record in {} that is not there already", from.display()),
    };
    if report.already_there > 0 {
        text.push_str(&format!("\n{} are in a file there already", report.already_there));
    }
    if report.left_out > 0 {
        text.push_str(&format!("\n{} are timers, windows or values of state, which cannot be input", report.left_out));
    }
    text
}
