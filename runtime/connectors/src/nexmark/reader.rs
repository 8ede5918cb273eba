//! Reads one split of the generator: every `splits`-th event, as fast as asked or at a rate.

use super::Settings;
use super::event::Kind;
use super::form::{Form, Json, Packed};
use super::pace::Pace;
use crate::{ConnectorError, Malformed, Position, ReadStatus, SplitReader};
use serde::{Deserialize, Serialize};
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;
use tidewheel_types::batch::RECORD_OVERHEAD_BYTES;
use tidewheel_types::{Batch, Origin, SplitIndex};

/// The form of the values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Packed,
    Json,
}

/// Where a reader is.
#[derive(Serialize, Deserialize)]
pub(super) struct EventPosition {
    /// Number of the next event.
    pub(super) next: u64,
}

/// Generates the events of one split.
pub(super) struct Reader {
    settings: Arc<Settings>,
    pace: Option<Pace>,
    source: u32,
    split: u32,
    /// Number of the next event.
    next: u64,
    /// Where events go that nobody asked for. They stand in for input from outside, so they are made all the same.
    unwanted: Vec<u8>,
}

impl Reader {
    /// A reader whose next event has number `next`, one of its split's.
    pub(super) fn new(settings: Arc<Settings>, pace: Option<Pace>, source: u32, split: SplitIndex, next: u64) -> Self {
        if let Some(pace) = &pace {
            pace.begin_at(next);
        }
        Reader { settings, pace, source, split: split.0, next, unwanted: Vec::new() }
    }

    /// Generates events before number `end` until about `bytes_max` bytes have been made, kept or not.
    fn generate<F: Form>(&mut self, end: u64, bytes_max: usize, batch: &mut Batch) {
        let Settings { parameters, wanted, splits, .. } = *self.settings;
        let mut bytes_made = 0;
        let mut index = self.next;
        while index < end && bytes_made < bytes_max {
            let kind = Kind::of(index);
            let is_wanted = wanted.contains(kind);
            let bytes = if is_wanted { batch.values.bytes_mut() } else { &mut self.unwanted };
            let bytes_before = bytes.len();
            parameters.write::<F>(index, kind, bytes);
            bytes_made += bytes.len() - bytes_before + RECORD_OVERHEAD_BYTES;
            if is_wanted {
                batch.values.end_entry();
                batch.keys.end_entry();
                let origin = Origin { offset: index, source: self.source, split: self.split };
                batch.end_record(parameters.time_ms(index) as i64, origin);
            } else {
                black_box(&mut self.unwanted).clear();
            }
            index += u64::from(splits);
        }
        self.next = index;
    }
}

impl SplitReader for Reader {
    fn read(
        &mut self,
        now: Instant,
        bytes_max: usize,
        batch: &mut Batch,
        _malformed: &mut Vec<Malformed>,
    ) -> Result<ReadStatus, ConnectorError> {
        let events_max = self.settings.events_max;
        let due = self.pace.as_ref().map_or(u64::MAX, |pace| pace.due(now));
        let end = due.min(events_max);
        match self.settings.format {
            Format::Packed => self.generate::<Packed>(end, bytes_max, batch),
            Format::Json => self.generate::<Json>(end, bytes_max, batch),
        }
        Ok(match &self.pace {
            _ if self.next >= events_max => ReadStatus::End,
            Some(pace) if self.next >= due => ReadStatus::Wait(pace.until(self.next, now)),
            _ => ReadStatus::Ready,
        })
    }

    fn position(&self) -> Position {
        Position::of(&EventPosition { next: self.next })
    }
}
