//! Source `file`: a file, or a pattern of files; each is a split.

use crate::text::{Beginning, Blocks, Fingerprint, Input, TextFormat, TextPosition, TextReader};
use crate::{ConnectorError, Position, Source, SplitReader, Waker};
use flate2::bufread::MultiGzDecoder;
use glob::{MatchOptions, glob_with};
use std::fs::{self, File};
use std::io::{self, BufReader, ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use tidewheel_types::SplitIndex;

/// Files at most: all are read at the same time, with a thread each.
const FILES_MAX: usize = 4096;
/// Compressed bytes that are read at a time.
const COMPRESSED_BYTES: usize = 64 << 10;
const GZIP_MAGIC: &[u8] = b"\x1F\x8B";

/// Reads the files that a path names.
pub(super) struct FileSource {
    folder: PathBuf,
    /// File or pattern, as the job file writes it.
    path: String,
    format: TextFormat,
    /// The files, once they have been looked up.
    files: OnceLock<Vec<PathBuf>>,
}

impl FileSource {
    /// A source of the files at `path`, which is relative to `folder`.
    pub(super) fn new(folder: &Path, path: &str, format: TextFormat) -> Self {
        FileSource { folder: folder.to_owned(), path: path.to_owned(), format, files: OnceLock::new() }
    }

    /// The files, looked up the first time.
    fn files(&self) -> Result<&[PathBuf], ConnectorError> {
        if let Some(files) = self.files.get() {
            return Ok(files);
        }
        let files = self.find_files()?;
        Ok(self.files.get_or_init(|| files))
    }

    fn find_files(&self) -> Result<Vec<PathBuf>, ConnectorError> {
        let path = self.folder.join(&self.path);
        // A file whose name looks like a pattern is still a file.
        if path.is_file() || !self.path.contains(['*', '?', '[']) {
            check_readable(&path)?;
            return Ok(vec![path]);
        }
        let error = |reason: String, hint: &str| ConnectorError::Input {
            path: path.display().to_string(),
            reason,
            hint: hint.to_owned(),
        };
        // The folder is no pattern, whatever its name.
        let pattern = Path::new(&glob::Pattern::escape(&self.folder.to_string_lossy())).join(&self.path);
        // Files that begin with a dot are hidden: a sink's unfinished files are.
        let options = MatchOptions { require_literal_leading_dot: true, ..MatchOptions::default() };
        let matches = glob_with(&pattern.to_string_lossy(), options)
            .map_err(|wrong| error(format!("not a pattern: {}", wrong.msg), "* stands for any part of a name"))?;
        let mut files = Vec::new();
        for file in matches {
            let file = file.map_err(|error| {
                let folder = error.path().to_owned();
                open_error(&folder, error.into())
            })?;
            if file.is_file() {
                if file.to_str().is_none() {
                    let hint = "it is by its name that a checkpoint finds it again: rename it";
                    return Err(error(format!("the name of {} is not UTF-8", file.display()), hint));
                }
                check_readable(&file)?;
                files.push(file);
            }
        }
        files.sort();
        match files.len() {
            0 => Err(error("no file matches this pattern".to_owned(), "a path is relative to the job file's folder")),
            1..=FILES_MAX => Ok(files),
            many => Err(error(format!("{many} files match, more than {FILES_MAX}"), "join them, or use several jobs")),
        }
    }

    /// A file as a person knows it: as the job file names it, where it can.
    fn name_of(&self, file: &Path) -> String {
        file.strip_prefix(&self.folder).unwrap_or(file).display().to_string()
    }
}

impl Source for FileSource {
    fn splits(&self) -> Result<Vec<String>, ConnectorError> {
        Ok(self.files()?.iter().map(|file| self.name_of(file)).collect())
    }

    fn use_splits(&self, names: &[String]) {
        // Looked up already: by the one that has found them.
        let _ = self.files.set(names.iter().map(|name| self.folder.join(name)).collect());
    }

    fn has_keys(&self) -> bool {
        self.format == TextFormat::DeadLetters
    }

    fn open(
        &self,
        source: u32,
        split: SplitIndex,
        position: Option<&Position>,
        waker: Waker,
    ) -> Result<Box<dyn SplitReader>, ConnectorError> {
        let file = self.files()?[split.0 as usize].clone();
        let name = self.name_of(&file);
        let position: Option<TextPosition> = position.map(|position| position.read(&name)).transpose()?;
        if position.is_some() {
            check_seekable(&file)?;
        }
        let beginning = position.as_ref().map_or(Beginning::default(), TextPosition::beginning);
        let blocks = Blocks::start(&name, move || FileInput::open(file), beginning, waker)?;
        Ok(Box::new(TextReader::new(name, (source, split), blocks, &self.format, position.as_ref())?))
    }
}

/// Says early, and for all files at once, that one cannot be read.
fn check_readable(path: &Path) -> Result<(), ConnectorError> {
    let metadata = fs::metadata(path).map_err(|error| open_error(path, error))?;
    if metadata.is_dir() {
        return Err(ConnectorError::Input {
            path: path.display().to_string(),
            reason: "is a folder".to_owned(),
            hint: "name its files with a pattern, such as *.jsonl".to_owned(),
        });
    }
    // Opening a pipe would wait for its writer, and closing it again would end it.
    if metadata.is_file() {
        File::open(path).map_err(|error| open_error(path, error))?;
    }
    Ok(())
}

/// Says that a job cannot go on in what is read only once.
fn check_seekable(path: &Path) -> Result<(), ConnectorError> {
    let metadata = fs::metadata(path).map_err(|error| open_error(path, error))?;
    match metadata.is_file() {
        true => Ok(()),
        false => Err(ConnectorError::Input {
            path: path.display().to_string(),
            reason: "is no regular file: what was read from it before cannot be read again".to_owned(),
            hint: "write the input to a file first, and read that".to_owned(),
        }),
    }
}

fn open_error(path: &Path, source: io::Error) -> ConnectorError {
    let hint = match source.kind() {
        ErrorKind::NotFound => "a path is relative to the job file's folder",
        ErrorKind::PermissionDenied => "allow the user of this process to read it",
        _ => "check the path",
    };
    ConnectorError::Open { action: "open", path: path.display().to_string(), hint: hint.to_owned(), source }
}

/// The bytes of a file, decompressed when it is compressed.
struct FileInput {
    path: PathBuf,
    content: Content,
}

enum Content {
    Plain(Counted),
    Gzip(MultiGzDecoder<BufReader<Counted>>),
}

impl FileInput {
    /// Opens a file. It is compressed when its first bytes or its ending say so.
    fn open(path: PathBuf) -> Result<Self, ConnectorError> {
        let mut file = File::open(&path).map_err(|error| open_error(&path, error))?;
        let mut start = Vec::new();
        let magic_len = GZIP_MAGIC.len() as u64;
        file.by_ref().take(magic_len).read_to_end(&mut start).map_err(|error| read_error(&path, 0, error))?;
        let is_gzip = start == GZIP_MAGIC || path.extension().is_some_and(|ending| ending == "gz");
        let counted = Counted { inner: io::Cursor::new(start).chain(file), bytes: 0 };
        let content = match is_gzip {
            true => Content::Gzip(MultiGzDecoder::new(BufReader::with_capacity(COMPRESSED_BYTES, counted))),
            false => Content::Plain(counted),
        };
        Ok(FileInput { path, content })
    }
}

impl Input for FileInput {
    fn read(&mut self, block: &mut [u8]) -> Result<usize, ConnectorError> {
        loop {
            let (result, offset) = match &mut self.content {
                Content::Plain(file) => (file.read(block), file.bytes),
                Content::Gzip(decoder) => {
                    let result = decoder.read(block);
                    let buffer = decoder.get_ref();
                    (result, buffer.get_ref().bytes - buffer.buffer().len() as u64)
                }
            };
            match result {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => return result.map_err(|error| read_error(&self.path, offset, error)),
            }
        }
    }

    fn recognise(&self, expected: Option<Fingerprint>) -> Result<Option<Fingerprint>, ConnectorError> {
        let file = match &self.content {
            Content::Plain(counted) => counted.file(),
            Content::Gzip(decoder) => decoder.get_ref().get_ref().file(),
        };
        let changed = |reason: String| ConnectorError::Input {
            path: self.path.display().to_string(),
            reason: format!("is not the file that the job was reading when its checkpoint was taken: {reason}"),
            hint: "put that file back, or start the job anew without the checkpoint".to_owned(),
        };
        let as_error = |error| read_error(&self.path, 0, error);
        // A pipe has nothing to be recognised by, and is not read again.
        let Some(found) = Fingerprint::of(file).map_err(as_error)? else { return Ok(None) };
        let difference = expected.map_or(Ok(None), |expected| found.difference(file, expected)).map_err(as_error)?;
        difference.map_or(Ok(Some(found)), |reason| Err(changed(reason)))
    }

    /// A plain file is not read for that.
    fn skip(&mut self, bytes: u64) -> Result<u64, ConnectorError> {
        let Content::Plain(counted) = &mut self.content else { return self.read_over(bytes) };
        counted.seek(bytes).map_err(|error| read_error(&self.path, counted.bytes, error))
    }
}

fn read_error(path: &Path, offset: u64, source: io::Error) -> ConnectorError {
    ConnectorError::Read { path: path.display().to_string(), offset, source }
}

impl Counted {
    fn file(&self) -> &File {
        self.inner.get_ref().1
    }

    /// Passes over the next `bytes`, or those that are there; returns how many.
    fn seek(&mut self, bytes: u64) -> io::Result<u64> {
        let mut start = Vec::new();
        self.inner.get_mut().0.take(bytes).read_to_end(&mut start)?;
        let file = &mut self.inner.get_mut().1;
        let rest = file.metadata()?.len().saturating_sub(file.stream_position()?).min(bytes - start.len() as u64);
        file.seek(SeekFrom::Current(rest as i64))?;
        let skipped = start.len() as u64 + rest;
        self.bytes += skipped;
        Ok(skipped)
    }
}

/// A file of which it is known how much has been read.
struct Counted {
    inner: io::Chain<io::Cursor<Vec<u8>>, File>,
    bytes: u64,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.bytes += count as u64;
        Ok(count)
    }
}
