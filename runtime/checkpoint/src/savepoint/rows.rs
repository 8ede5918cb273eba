//! Going through rows, one row group in memory at a time.

use super::columns::ReadGroup;
use super::footer::{self, Footer, Piece};
use super::{Row, overlaps};
use crate::error::CheckpointError;
use crate::manifest::FileRef;
use crate::store::Store;
use bytes::{Buf, Bytes};
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::properties::ReaderProperties;
use parquet::file::reader::{ChunkReader, Length};
use parquet::file::serialized_reader::SerializedRowGroupReader;
use std::ops::Range;
use std::sync::Arc;

/// The rows of an operator in a range of key groups.
pub struct Rows {
    store: Store,
    operator: String,
    key_groups: Range<u16>,
    files: std::vec::IntoIter<FileRef>,
    /// The file that is being read, and which of its row groups is next.
    file: Option<(FileRef, Footer, usize)>,
    group: ReadGroup,
    /// The row of the group that is next.
    row: usize,
}

impl Rows {
    pub(super) fn new(store: Store, operator: String, key_groups: Range<u16>, files: Vec<FileRef>) -> Rows {
        let files = files.into_iter();
        Rows { store, operator, key_groups, files, file: None, group: ReadGroup::default(), row: 0 }
    }

    /// The next row; `None` after the last one.
    ///
    /// # Errors
    /// [`CheckpointError::Damaged`] if a file is not as it was written, or if the store refuses.
    #[expect(
        clippy::should_implement_trait,
        reason = "a row borrows from the group in memory: no iterator can give it"
    )]
    pub fn next(&mut self) -> Result<Option<Row<'_>>, CheckpointError> {
        let row = loop {
            let mut rest = self.row..self.group.rows();
            if let Some(row) = rest.find(|row| self.key_groups.contains(&self.group.key_group(*row))) {
                break row;
            }
            if !self.next_group()? {
                return Ok(None);
            }
        };
        self.row = row + 1;
        let named = || self.file.as_ref().map_or(String::new(), |(file, ..)| self.store.name_of(&file.name));
        self.group.row(row, &self.operator).map(Some).map_err(|what| CheckpointError::damaged(named(), what))
    }

    /// Reads the next row group that has rows in the range. `false` if there is none.
    fn next_group(&mut self) -> Result<bool, CheckpointError> {
        loop {
            let Some((file, footer, next)) = &mut self.file else {
                let Some(file) = self.files.next() else { return Ok(false) };
                let footer = footer::read(&self.store, &file)?;
                self.file = Some((file, footer, 0));
                continue;
            };
            let index = *next;
            let Some(group) = footer.groups.get(index) else {
                self.file = None;
                continue;
            };
            *next += 1;
            let (least, largest) = group.key_groups;
            if overlaps(&(least..largest.saturating_add(1)), &self.key_groups) {
                self.group = read_group(&self.store, file, footer, index)?;
                self.row = 0;
                return Ok(true);
            }
        }
    }
}

fn read_group(store: &Store, file: &FileRef, footer: &Footer, index: usize) -> Result<ReadGroup, CheckpointError> {
    let window = Arc::new(fetch(store, file, footer.groups[index].piece)?);
    let properties = Arc::new(ReaderProperties::builder().set_read_bloom_filter(false).build());
    let pages = footer.metadata.page_index_for_row_group(index);
    let group = SerializedRowGroupReader::new(window, footer.metadata.row_group(index), pages, properties);
    group.and_then(|group| ReadGroup::read(&group)).map_err(|source| failed(store, file, source))
}

/// Reads a piece of a file, and checks it.
fn fetch(store: &Store, file: &FileRef, piece: Piece) -> Result<Window, CheckpointError> {
    let bytes = store.get_range(&file.name, piece.start..piece.start + piece.bytes)?;
    let found = crc32c::crc32c(&bytes);
    if found != piece.crc32c {
        let what = format!(
            "the checksum of the {} bytes at {} is {found:08x}, not {:08x}",
            piece.bytes, piece.start, piece.crc32c
        );
        return Err(CheckpointError::damaged(store.name_of(&file.name), what));
    }
    Ok(Window { file_bytes: file.bytes, start: piece.start, bytes })
}

fn failed(store: &Store, file: &FileRef, source: ParquetError) -> CheckpointError {
    CheckpointError::Parquet { action: "read", file: store.name_of(&file.name), source }
}

/// A file of which a piece is in memory, as the Parquet reader wants to see it.
pub(super) struct Window {
    pub(super) file_bytes: u64,
    pub(super) start: u64,
    pub(super) bytes: Bytes,
}

impl Window {
    fn from(&self, start: u64) -> ParquetResult<Bytes> {
        let skipped = start.checked_sub(self.start).and_then(|skipped| usize::try_from(skipped).ok());
        let skipped = skipped.filter(|skipped| *skipped <= self.bytes.len());
        skipped.map(|skipped| self.bytes.slice(skipped..)).ok_or_else(|| outside(start))
    }
}

fn outside(start: u64) -> ParquetError {
    ParquetError::EOF(format!("byte {start} is not in this part of the file"))
}

impl Length for Window {
    fn len(&self) -> u64 {
        self.file_bytes
    }
}

impl ChunkReader for Window {
    type T = bytes::buf::Reader<Bytes>;

    fn get_read(&self, start: u64) -> ParquetResult<Self::T> {
        Ok(self.from(start)?.reader())
    }

    fn get_bytes(&self, start: u64, length: usize) -> ParquetResult<Bytes> {
        let bytes = self.from(start)?;
        if length > bytes.len() {
            return Err(outside(start + length as u64));
        }
        Ok(bytes.slice(..length))
    }
}
