//! Values of state that were written under an older schema version, and the calls that take them to the newest.

use super::{Call, Instance};
use crate::error::GuestError;
use crate::frame::{FrameWriter, column};
use crate::limits::piece_deadline_ms;
use crate::output::check_migrated;
use std::ops::Range;
use tidewheel_types::keyed_state::{Cells, StateIndex};

/// Most bytes of values that one call is given, if there is more than one value.
const CALL_BYTES_MAX: usize = 4 << 20;

/// What comes out may be so many times as long as what goes in, or the call is made again with less.
const GROWTH: usize = 4;

/// What is called.
const FUNCTION: &str = "migrate";

/// Values that are to go into a call.
struct Piece {
    range: Range<usize>,
    /// How many the call had that failed first, of which it is a piece; none: no call has failed.
    of: Option<usize>,
}

impl Instance {
    /// Takes values of `state` that were written under an older schema version to the newest, in as many calls as fit
    /// the limits. A call that traps or breaks the contract is halved until the value to blame is alone; the error names
    /// it. An error that the guest returns is about the version as a whole, and ends it at once.
    ///
    /// # Panics
    /// If a value is absent.
    pub fn migrate(&mut self, state: StateIndex, version: u32, values: &Cells) -> Result<Cells, GuestError> {
        self.migrate_pieces((state, version), values, None)
    }

    /// As [`migrate`](Self::migrate), but goes on without the values to blame: these are absent, and beside the others it is
    /// said which they are and why.
    ///
    /// # Panics
    /// If a value is absent.
    pub fn migrate_good(
        &mut self,
        state: StateIndex,
        version: u32,
        values: &Cells,
    ) -> Result<(Cells, Vec<(usize, GuestError)>), GuestError> {
        let mut poison = Vec::new();
        let migrated = self.migrate_pieces((state, version), values, Some(&mut poison))?;
        Ok((migrated, poison))
    }

    /// Without `poison` the first value to blame is the error.
    fn migrate_pieces(
        &mut self,
        (state, version): (StateIndex, u32),
        values: &Cells,
        mut poison: Option<&mut Vec<(usize, GuestError)>>,
    ) -> Result<Cells, GuestError> {
        assert!((0..values.len()).all(|index| values.get(index).is_some()), "only values that are there are migrated");
        let mut migrated = Cells::default();
        // In order: the last piece is the next.
        let calls = self.calls(values).into_iter().rev();
        let mut pieces: Vec<Piece> = calls.map(|range| Piece { range, of: None }).collect();
        while let Some(Piece { range, of }) = pieces.pop() {
            let error = match self.migrate_piece((state, version), values, range.clone(), of) {
                Ok(cells) => {
                    (0..cells.len()).for_each(|index| migrated.push(cells.get(index)));
                    continue;
                }
                Err(error) => error,
            };
            let is_of_values = error.is_poison() && error.trap().is_none_or(|trap| trap.function == FUNCTION);
            if !is_of_values || range.is_empty() {
                return Err(self.not_migrated(state, version, range, error));
            }
            match (range.len(), of, &mut poison) {
                (2.., ..) => {
                    let (middle, of) = (range.start + range.len() / 2, of.or(Some(range.len())));
                    pieces.extend([middle..range.end, range.start..middle].map(|range| Piece { range, of }));
                }
                // The instance may have been at the end of its memory by what came before.
                (_, None, _) => pieces.push(Piece { range, of: Some(1) }),
                (_, Some(_), None) => return Err(self.not_migrated(state, version, range, error)),
                (_, Some(_), Some(poison)) => {
                    poison.push((range.start, self.not_migrated(state, version, range, error)));
                    migrated.push(None);
                }
            }
        }
        Ok(migrated)
    }

    /// A call with the values `range`, a piece of so many in a call that failed.
    fn migrate_piece(
        &mut self,
        (state, version): (StateIndex, u32),
        values: &Cells,
        range: Range<usize>,
        of: Option<usize>,
    ) -> Result<Cells, GuestError> {
        let Some(of) = of else { return self.migrate_range(state, version, values, range) };
        // In a fresh instance: nothing that came before may be to blame.
        self.recycle()?;
        let deadline_ms_max = self.settings.limits.deadline_ms_max;
        self.set_deadline_ms(piece_deadline_ms(range.len(), of, deadline_ms_max));
        let migrated = self.migrate_range(state, version, values, range);
        self.set_deadline_ms(deadline_ms_max);
        migrated
    }

    /// Which values go into a call: as many as are not too many bytes, or one.
    fn calls(&self, values: &Cells) -> Vec<Range<usize>> {
        let output_bytes_max = usize::try_from(self.settings.limits.output_bytes_max).unwrap_or(usize::MAX);
        let bytes_max = CALL_BYTES_MAX.min(output_bytes_max / GROWTH);
        // With what a value costs besides its bytes: its end.
        let bytes = |index: usize| values.get(index).map_or(0, <[u8]>::len) + size_of::<u32>();
        let (mut calls, mut start, mut sum) = (Vec::new(), 0, 0);
        for index in 0..values.len() {
            if index > start && sum + bytes(index) > bytes_max {
                calls.push(start..index);
                (start, sum) = (index, 0);
            }
            sum += bytes(index);
        }
        // Without any value there is a call all the same, which says whether the world has such a function.
        if start < values.len() || values.is_empty() {
            calls.push(start..values.len());
        }
        calls
    }

    fn migrate_range(
        &mut self,
        state: StateIndex,
        version: u32,
        values: &Cells,
        range: Range<usize>,
    ) -> Result<Cells, GuestError> {
        let world = self.component.world();
        let start = if range.start == 0 { 0 } else { values.ends[range.start - 1] };
        let ends: Vec<u32> = values.ends[range.clone()].iter().map(|end| end - start).collect();
        let bytes = &values.bytes[start as usize..][..ends.last().map_or(0, |&end| end as usize)];
        let mut input = std::mem::take(&mut self.frame);
        let mut writer = FrameWriter::new(&mut input, &[column::CELL_ENDS, column::CELLS]);
        writer.numbers(column::CELL_ENDS, &ends);
        writer.numbers(column::CELLS, bytes);
        writer.finish();
        let migrated = self.enter(FUNCTION, Call::NONE, 0, |live| {
            let function = live.functions.migrate();
            let function = function.ok_or(GuestError::NotInWorld { world, function: FUNCTION })?;
            Ok(function.call(&mut live.store, (state.0, version, &input)).map(|(result,)| result))
        });
        self.frame = input;
        check_migrated(&migrated?, range.len()).map_err(|source| self.broken(FUNCTION, source))
    }

    /// The error with what it is about; that of a caller who should not have called stays as it is.
    fn not_migrated(&self, state: StateIndex, version: u32, range: Range<usize>, error: GuestError) -> GuestError {
        if matches!(error, GuestError::NotInWorld { .. }) {
            return error;
        }
        let declared = self.component.description().states.get(state.0 as usize);
        let state = declared.map_or_else(|| format!("of number {}", state.0), |state| state.name.clone());
        let value = (range.len() == 1 && error.is_poison()).then_some(range.start);
        GuestError::Migrate { state, version, value, source: Box::new(error) }
    }
}
