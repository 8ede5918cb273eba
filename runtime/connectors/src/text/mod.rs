//! Records out of text: what the sources `file` and `stdin` share.
//!
//! A thread per split reads blocks of bytes ahead ([`blocks`]); on the worker's thread a [`TextReader`] cuts them into
//! records, with a [`Cutter`] for [`lines`] or for [`rows`] of a CSV file.

mod blocks;
mod cut;
mod fields;
mod fingerprint;
mod format;
mod json;
mod lines;
mod rows;

pub(crate) use blocks::{Beginning, Blocks, Input};
pub(crate) use fingerprint::Fingerprint;
pub(crate) use format::TextFormat;

use crate::{ConnectorError, Malformed, Position, ReadStatus, SplitReader};
use blocks::Next;
use cut::{Cutter, Output, Place};
use lines::{LineCutter, LineKind};
use rows::RowCutter;
use serde::{Deserialize, Serialize};
use std::time::Instant;
use tidewheel_types::{Batch, SplitIndex};

/// Reads one split of text.
pub(crate) struct TextReader {
    /// The split's name, for what is malformed in it.
    name: String,
    source: u32,
    split: u32,
    blocks: Blocks,
    cutter: Box<dyn Cutter>,
    block: Vec<u8>,
    /// How much of `block` has been cut.
    position: usize,
    /// How much of the text has been cut.
    cut: u64,
    has_ended: bool,
}

/// Where a reader of text is: the text's next record begins there.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct TextPosition {
    /// Bytes of the text before it, decompressed, without a byte order mark.
    pub(crate) offset: u64,
    #[serde(flatten)]
    place: Place,
    /// The file it is in, once that has been opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    file: Option<Fingerprint>,
}

impl TextPosition {
    /// Where the text is to be read from.
    pub(crate) fn beginning(&self) -> Beginning {
        Beginning { offset: self.offset, file: self.file }
    }
}

impl TextReader {
    /// A reader of `blocks`, which hold text of this format, from where a reader like it was.
    pub(crate) fn new(
        name: String,
        (source, split): (u32, SplitIndex),
        blocks: Blocks,
        format: &TextFormat,
        position: Option<&TextPosition>,
    ) -> Result<Self, ConnectorError> {
        let mut cutter: Box<dyn Cutter> = match format {
            TextFormat::Lines => Box::new(LineCutter::new(LineKind::Any)),
            TextFormat::JsonLines => Box::new(LineCutter::new(LineKind::Json)),
            TextFormat::DeadLetters => Box::new(LineCutter::new(LineKind::DeadLetter)),
            TextFormat::Csv(csv) => Box::new(RowCutter::new(csv.clone())),
        };
        if let Some(position) = position {
            cutter.resume(&position.place, &name)?;
        }
        let cut = position.map_or(0, |position| position.offset);
        let (split, block) = (split.0, Vec::new());
        Ok(TextReader { name, source, split, blocks, cutter, block, position: 0, cut, has_ended: false })
    }
}

impl SplitReader for TextReader {
    fn read(
        &mut self,
        _now: Instant,
        bytes_max: usize,
        batch: &mut Batch,
        malformed: &mut Vec<Malformed>,
    ) -> Result<ReadStatus, ConnectorError> {
        let mut output = Output::new(&self.name, self.source, self.split, bytes_max, batch, malformed);
        loop {
            let cut = self.cutter.cut(&self.block[self.position..], &mut output)?;
            self.position += cut;
            self.cut += cut as u64;
            if output.is_full() {
                return Ok(ReadStatus::Ready);
            }
            match self.blocks.next(&mut self.block)? {
                Next::Block => self.position = 0,
                Next::NotYet => return Ok(ReadStatus::Pending),
                Next::End => {
                    self.cutter.finish(&mut output)?;
                    self.has_ended = true;
                    return Ok(ReadStatus::End);
                }
            }
        }
    }

    fn position(&self) -> Position {
        let place = self.cutter.place();
        // What was kept of the last record has become one at the end.
        let kept = if self.has_ended { 0 } else { place.bytes_kept };
        Position::of(&TextPosition { offset: self.cut - kept, place, file: self.blocks.file() })
    }
}

#[cfg(test)]
mod tests;
