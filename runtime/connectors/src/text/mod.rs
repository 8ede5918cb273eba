//! Records out of text: what the sources `file` and `stdin` share.
//!
//! A thread per split reads blocks of bytes ahead ([`blocks`]); on the worker's thread a [`TextReader`] cuts them into
//! records, with a [`Cutter`] for [`lines`] or for [`rows`] of a CSV file.

mod blocks;
mod cut;
mod fields;
mod format;
mod json;
mod lines;
mod rows;

pub(crate) use blocks::{Blocks, Input};
pub(crate) use format::TextFormat;

use crate::{ConnectorError, Malformed, ReadStatus, SplitReader};
use blocks::Next;
use cut::{Cutter, Output};
use lines::LineCutter;
use rows::RowCutter;
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
}

impl TextReader {
    /// A reader of `blocks`, which hold text of this format.
    pub(crate) fn new(name: String, source: u32, split: SplitIndex, blocks: Blocks, format: &TextFormat) -> Self {
        let cutter: Box<dyn Cutter> = match format {
            TextFormat::Lines => Box::new(LineCutter::any()),
            TextFormat::JsonLines => Box::new(LineCutter::json()),
            TextFormat::Csv(csv) => Box::new(RowCutter::new(csv.clone())),
        };
        TextReader { name, source, split: split.0, blocks, cutter, block: Vec::new(), position: 0 }
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
            self.position += self.cutter.cut(&self.block[self.position..], &mut output)?;
            if output.is_full() {
                return Ok(ReadStatus::Ready);
            }
            match self.blocks.next(&mut self.block)? {
                Next::Block => self.position = 0,
                Next::NotYet => return Ok(ReadStatus::Pending),
                Next::End => {
                    self.cutter.finish(&mut output)?;
                    return Ok(ReadStatus::End);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
