//! Writing the rows of one task.

use super::columns::{self, NewGroup};
use super::footer::{self, Piece, RowGroup};
use super::{FOLDER, Row};
use crate::error::CheckpointError;
use crate::manifest::FileRef;
use crate::store::{Store, Upload};
use parquet::errors::ParquetError;
use parquet::file::writer::SerializedFileWriter;
use std::io::{self, Write};

/// Most rows of a row group.
const GROUP_ROWS_MAX: usize = 1 << 16;

/// A row group ends after so many bytes of keys and values. With one value more, which may be as large as a value may
/// be, this is what each side holds.
const GROUP_BYTES: usize = 8 << 20;

/// Writes the rows of an operator on one worker into a file of a savepoint. They belong in the order of key groups, so
/// that a row group has few of them.
pub struct Writer {
    store: Store,
    name: String,
    operator: String,
    file: SerializedFileWriter<Pieces>,
    group: NewGroup,
    groups: Vec<RowGroup>,
}

impl Writer {
    /// Begins the file of an operator on a worker. One that an unfinished savepoint left is replaced.
    ///
    /// # Errors
    /// If the store refuses.
    pub fn new(store: &Store, operator: &str, worker: usize) -> Result<Writer, CheckpointError> {
        let name = format!("{FOLDER}/{operator}-{worker}.parquet");
        let pieces = Pieces { upload: store.writer(&name)?, begun: 0, written: 0, crc32c: 0 };
        let file = SerializedFileWriter::new(pieces, columns::schema(), columns::properties())
            .map_err(|source| failed(store, &name, source))?;
        let (store, operator) = (store.clone(), operator.to_owned());
        Ok(Writer { store, name, operator, file, group: NewGroup::default(), groups: Vec::new() })
    }

    /// Adds a row.
    ///
    /// # Errors
    /// If the store refuses.
    pub fn push(&mut self, row: &Row<'_>) -> Result<(), CheckpointError> {
        self.group.push(row);
        if self.group.rows() >= GROUP_ROWS_MAX || self.group.bytes() >= GROUP_BYTES {
            self.end_group()?;
        }
        Ok(())
    }

    /// Completes the file, and says what it is.
    ///
    /// # Errors
    /// If the store refuses.
    pub fn finish(mut self) -> Result<FileRef, CheckpointError> {
        if self.group.rows() > 0 {
            self.end_group()?;
        }
        let Writer { store, name, mut file, groups, .. } = self;
        file.append_key_value_metadata(footer::metadata(&groups));
        let pieces = file.into_inner().map_err(|source| failed(&store, &name, source))?;
        let (bytes, crc32c) = pieces.upload.finish()?;
        Ok(FileRef { name, bytes, crc32c })
    }

    fn end_group(&mut self) -> Result<(), CheckpointError> {
        let (rows, key_groups) = (self.group.rows() as u64, self.group.key_groups());
        let (group, operator, file) = (&mut self.group, &self.operator, &mut self.file);
        let written = file.next_row_group().and_then(|writer| group.write(operator, writer));
        let written = written.and_then(|()| Ok(self.file.flush()?));
        written.map_err(|source| failed(&self.store, &self.name, source))?;
        let piece = self.file.inner_mut().cut();
        self.groups.push(RowGroup { rows, key_groups, piece });
        Ok(())
    }
}

fn failed(store: &Store, name: &str, source: ParquetError) -> CheckpointError {
    CheckpointError::Parquet { action: "write", file: store.name_of(name), source }
}

/// A file on its way into the store, and the checksum of its bytes since the last cut.
struct Pieces {
    upload: Upload,
    begun: u64,
    written: u64,
    crc32c: u32,
}

impl Pieces {
    /// What was written since the last cut.
    fn cut(&mut self) -> Piece {
        let piece = Piece { start: self.begun, bytes: self.written - self.begun, crc32c: self.crc32c };
        (self.begun, self.crc32c) = (self.written, 0);
        piece
    }
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.upload.write(bytes)?;
        self.written += written as u64;
        self.crc32c = crc32c::crc32c_append(self.crc32c, &bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.upload.flush()
    }
}
