//! Lines: any bytes, JSON, or dead letters that are records again.

use super::cut::{Cutter, MALFORMED_BYTES_MAX, Output, Place};
use super::json;
use crate::ConnectorError;
use memchr::memchr;
use tidewheel_types::batch::RECORD_BYTES_MAX;
use tidewheel_types::dead_letter::DeadLetter;

/// Cuts at line ends, `\n` or `\r\n`. The last line needs none.
pub(super) struct LineCutter {
    kind: LineKind,
    /// Number of the line that is cut next, from 1.
    number: u64,
    /// The beginning of that line, when a block ended in it.
    start: Vec<u8>,
    /// Bytes of that line that have been dealt with.
    bytes_kept: u64,
    /// Whether that line is longer than a record may be; then `start` holds no more than is kept of it.
    is_too_long: bool,
}

/// What a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LineKind {
    /// Any bytes.
    Any,
    /// A JSON value; empty lines are skipped.
    Json,
    /// A dead letter, of which the record is taken that was set aside; empty lines are skipped.
    DeadLetter,
}

impl LineCutter {
    /// Every line is one of these.
    pub(super) fn new(kind: LineKind) -> Self {
        LineCutter { kind, number: 1, start: Vec::new(), bytes_kept: 0, is_too_long: false }
    }

    /// Keeps part of a line whose end is not at hand.
    fn keep(&mut self, piece: &[u8]) {
        self.bytes_kept += piece.len() as u64;
        if self.is_too_long {
            return;
        }
        // One byte more, for a line of the greatest length that ends in `\r\n`.
        if self.start.len() + piece.len() > RECORD_BYTES_MAX + 1 {
            self.is_too_long = true;
            self.start.extend_from_slice(&piece[..piece.len().min(MALFORMED_BYTES_MAX)]);
            self.start.truncate(MALFORMED_BYTES_MAX);
            self.start.shrink_to_fit();
        } else {
            self.start.extend_from_slice(piece);
        }
    }

    /// Ends the line that was kept.
    fn end_kept(&mut self, output: &mut Output<'_>) {
        let mut line = std::mem::take(&mut self.start);
        self.end_line(&line, output);
        line.clear();
        self.start = line;
        self.bytes_kept = 0;
        self.is_too_long = false;
    }

    fn end_line(&mut self, line: &[u8], output: &mut Output<'_>) {
        let number = self.number;
        self.number += 1;
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if self.is_too_long || line.len() > RECORD_BYTES_MAX {
            output.malformed(
                number,
                line,
                format_args!("line is longer than {} MiB", RECORD_BYTES_MAX.div_ceil(1 << 20)),
            );
        } else if self.kind == LineKind::Any {
            output.record(number, line);
        } else if !line.trim_ascii().is_empty() {
            let read = match self.kind {
                LineKind::DeadLetter => DeadLetter::parse(line).and_then(|letter| output.letter(number, &letter)),
                _ => json::check(line).map(|()| output.record(number, line)),
            };
            if let Err(reason) = read {
                output.malformed(number, line, reason);
            }
        }
    }
}

impl Cutter for LineCutter {
    fn cut(&mut self, input: &[u8], output: &mut Output<'_>) -> Result<usize, ConnectorError> {
        let mut position = 0;
        while position < input.len() && !output.is_full() {
            let rest = &input[position..];
            let Some(len) = memchr(b'\n', rest) else {
                self.keep(rest);
                return Ok(input.len());
            };
            if self.start.is_empty() && !self.is_too_long {
                self.end_line(&rest[..len], output);
            } else {
                self.keep(&rest[..len]);
                self.end_kept(output);
            }
            position += len + 1;
        }
        Ok(position)
    }

    fn finish(&mut self, output: &mut Output<'_>) -> Result<(), ConnectorError> {
        if !self.start.is_empty() {
            self.end_kept(output);
        }
        Ok(())
    }

    fn place(&self) -> Place {
        Place { line: self.number, bytes_kept: self.bytes_kept, columns: None }
    }

    fn resume(&mut self, place: &Place, _name: &str) -> Result<(), ConnectorError> {
        self.number = place.line;
        Ok(())
    }
}
