//! Rows of a CSV file, made into compact JSON objects.

use super::cut::{Cutter, MALFORMED_BYTES_MAX, Output, Place};
use super::fields::Header;
use super::format::CsvFormat;
use crate::ConnectorError;
use csv_core::{ReadRecordResult, Reader, ReaderBuilder};
use memchr::memchr_iter;
use tidewheel_types::batch::RECORD_BYTES_MAX;

const FIELD_BYTES_START: usize = 4 << 10;
const FIELDS_START: usize = 64;
/// Columns at most.
const FIELDS_MAX: usize = 64 << 10;

/// Cuts rows. The first one names the columns.
pub(super) struct RowCutter {
    format: CsvFormat,
    reader: Reader,
    header: Option<Header>,
    /// Number of the line that is read next, from 1.
    line: u64,
    row: Row,
    fields: Fields,
}

/// The row that is being read.
#[derive(Default)]
struct Row {
    /// Whether it has begun; otherwise the next byte that is no line end begins it.
    has_begun: bool,
    /// The line it begins on.
    line: u64,
    /// Bytes of it that have been dealt with.
    bytes: u64,
    /// The row as it stands, as much as is kept of it.
    raw: Vec<u8>,
    /// Whether it is larger than a record may be, or has too many fields.
    is_too_long: bool,
}

/// The unquoted fields of a row.
struct Fields {
    bytes: Vec<u8>,
    bytes_len: usize,
    ends: Vec<usize>,
    ends_len: usize,
}

impl RowCutter {
    pub(super) fn new(format: CsvFormat) -> Self {
        let mut reader = ReaderBuilder::new().delimiter(format.delimiter).build();
        // A byte order mark is left out before; a second one is content, wherever a reader begins.
        reader.read_record(b"\n", &mut [], &mut []);
        RowCutter {
            reader,
            format,
            header: None,
            line: 1,
            row: Row::default(),
            fields: Fields {
                bytes: vec![0; FIELD_BYTES_START],
                bytes_len: 0,
                ends: vec![0; FIELDS_START],
                ends_len: 0,
            },
        }
    }

    /// Skips what lies between rows: line ends and empty lines.
    fn skip_line_ends(&mut self, input: &[u8]) -> usize {
        let skipped = input.iter().take_while(|byte| matches!(byte, b'\n' | b'\r')).count();
        self.line += memchr_iter(b'\n', &input[..skipped]).count() as u64;
        skipped
    }

    /// Reads on in a row; returns how much of `input` was read, and whether the row has ended.
    fn read_row(&mut self, input: &[u8]) -> (usize, bool) {
        let row = &mut self.row;
        if !row.has_begun {
            row.begin(self.line);
        }
        let mut position = 0;
        loop {
            let (bytes, ends) = self.fields.room();
            let (result, read, written, ended) = self.reader.read_record(&input[position..], bytes, ends);
            position += read;
            self.fields.bytes_len += written;
            self.fields.ends_len += ended;
            let has_room = match result {
                ReadRecordResult::OutputFull => self.fields.grow_bytes(),
                ReadRecordResult::OutputEndsFull => self.fields.grow_ends(),
                ReadRecordResult::InputEmpty | ReadRecordResult::Record | ReadRecordResult::End => {
                    let kept = position.min(MALFORMED_BYTES_MAX.saturating_sub(row.raw.len()));
                    row.raw.extend_from_slice(&input[..kept]);
                    row.bytes += position as u64;
                    self.line += memchr_iter(b'\n', &input[..position]).count() as u64;
                    return (position, result == ReadRecordResult::Record);
                }
            };
            if !has_room {
                row.is_too_long = true;
                self.fields.clear();
            }
        }
    }

    /// Makes a record, or the header, of a row that has ended.
    fn end_row(&mut self, output: &mut Output<'_>) -> Result<(), ConnectorError> {
        let row = &mut self.row;
        row.has_begun = false;
        let raw = row.raw.trim_ascii_end();
        if row.is_too_long {
            let reason =
                format!("row has more than {} MiB or {FIELDS_MAX} columns", RECORD_BYTES_MAX.div_ceil(1 << 20));
            if self.header.is_none() {
                return Err(Header::error(output.name(), row.line, reason));
            }
            output.malformed(row.line, raw, reason);
        } else if let Some(header) = &self.header {
            match header.write_object(self.fields.iter(), output.value()) {
                Ok(()) => output.end_record(row.line),
                Err(reason) => output.malformed(row.line, raw, reason),
            }
        } else {
            self.header = Some(Header::new(self.fields.iter(), &self.format.types, output.name(), row.line)?);
        }
        self.fields.clear();
        Ok(())
    }
}

impl Cutter for RowCutter {
    fn cut(&mut self, input: &[u8], output: &mut Output<'_>) -> Result<usize, ConnectorError> {
        let mut position = 0;
        while position < input.len() && !output.is_full() {
            if !self.row.has_begun {
                position += self.skip_line_ends(&input[position..]);
                if position == input.len() {
                    break;
                }
            }
            let (read, has_ended) = self.read_row(&input[position..]);
            position += read;
            if has_ended {
                self.end_row(output)?;
            }
        }
        Ok(position)
    }

    fn finish(&mut self, output: &mut Output<'_>) -> Result<(), ConnectorError> {
        if !self.row.has_begun {
            return Ok(());
        }
        // A line end completes the last row, unless it is in quotes.
        let (_, has_ended) = self.read_row(b"\n");
        if has_ended {
            return self.end_row(output);
        }
        let row = &self.row;
        output.malformed(row.line, row.raw.trim_ascii_end(), "a quote that opens in this row is never closed");
        Ok(())
    }

    fn place(&self) -> Place {
        let (line, bytes_kept) = if self.row.has_begun { (self.row.line, self.row.bytes) } else { (self.line, 0) };
        Place { line, bytes_kept, columns: self.header.as_ref().map(Header::names) }
    }

    fn resume(&mut self, place: &Place, name: &str) -> Result<(), ConnectorError> {
        self.line = place.line;
        if let Some(columns) = &place.columns {
            self.header = Some(Header::new(columns.iter().map(String::as_bytes), &self.format.types, name, 1)?);
        }
        Ok(())
    }
}

impl Row {
    fn begin(&mut self, line: u64) {
        self.has_begun = true;
        self.line = line;
        self.bytes = 0;
        self.raw.clear();
        self.is_too_long = false;
    }
}

impl Fields {
    fn room(&mut self) -> (&mut [u8], &mut [usize]) {
        (&mut self.bytes[self.bytes_len..], &mut self.ends[self.ends_len..])
    }

    /// Makes more room; says whether a row may have that much.
    fn grow_bytes(&mut self) -> bool {
        let may_grow = self.bytes.len() < RECORD_BYTES_MAX;
        if may_grow {
            self.bytes.resize((self.bytes.len() * 2).min(RECORD_BYTES_MAX), 0);
        }
        may_grow
    }

    /// Makes more room; says whether a row may have that much.
    fn grow_ends(&mut self) -> bool {
        let may_grow = self.ends.len() < FIELDS_MAX;
        if may_grow {
            self.ends.resize((self.ends.len() * 2).min(FIELDS_MAX), 0);
        }
        may_grow
    }

    fn clear(&mut self) {
        self.bytes_len = 0;
        self.ends_len = 0;
    }

    fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        (0..self.ends_len).map(|field| {
            let start = if field == 0 { 0 } else { self.ends[field - 1] };
            &self.bytes[start..self.ends[field]]
        })
    }
}
