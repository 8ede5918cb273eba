//! Rows in pieces of memory that never move.

use crate::marks::{Marks, WORD_ROWS};
use std::ops::{Index, IndexMut};

/// Rows per piece: a power of two, so that finding one is a shift and a mask.
const PIECE_ROWS: usize = 1 << 12;

/// A row's place, for as long as the row is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RowId(pub(crate) u32);

impl RowId {
    /// The place of no row.
    pub(crate) const NONE: RowId = RowId(u32::MAX);

    fn piece(self) -> usize {
        self.0 as usize / PIECE_ROWS
    }

    fn within(self) -> usize {
        self.0 as usize % PIECE_ROWS
    }
}

/// Rows, each at the same place all its life.
///
/// Adding one never moves many others, as a growing `Vec` would, which at a million rows stops the worker for tens of
/// milliseconds. A piece without rows gives its memory back; rows that came together and go together, as those of a
/// window do, were given places in the same pieces.
#[derive(Debug)]
pub(crate) struct Rows<R> {
    pieces: Vec<Piece<R>>,
    /// The pieces that are not full.
    open: Vec<u32>,
    len: usize,
    marks: Marks,
}

#[derive(Debug)]
struct Piece<R> {
    slots: Vec<Slot<R>>,
    /// The first of the vacant slots, which are a list.
    vacant: Option<u16>,
    rows: u16,
}

#[derive(Debug)]
enum Slot<R> {
    Row(R),
    Vacant { next: Option<u16> },
}

impl<R> Rows<R> {
    /// No rows. Whether it is to be tracked which ones change.
    pub(crate) fn new(is_tracking: bool) -> Self {
        Rows { pieces: Vec::new(), open: Vec::new(), len: 0, marks: Marks::new(is_tracking) }
    }

    /// Number of rows.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        let piece_bytes = |piece: &Piece<R>| size_of::<Piece<R>>() + piece.slots.capacity() * size_of::<Slot<R>>();
        self.pieces.iter().map(piece_bytes).sum::<usize>() + self.marks.bytes()
    }

    /// Number of places that have been given, to rows that are there or not.
    pub(crate) fn places(&self) -> usize {
        self.pieces.len() * PIECE_ROWS
    }

    /// The row at a place, if there is one.
    pub(crate) fn get(&self, id: RowId) -> Option<&R> {
        match self.pieces.get(id.piece())?.slots.get(id.within())? {
            Slot::Row(row) => Some(row),
            Slot::Vacant { .. } => None,
        }
    }

    /// Notes that a row has changed.
    #[inline]
    pub(crate) fn touch(&mut self, id: RowId) {
        self.marks.touch(id);
    }

    /// Notes that all rows have changed.
    pub(crate) fn touch_all(&mut self) {
        for (number, piece) in self.pieces.iter().enumerate() {
            if usize::from(piece.rows) == PIECE_ROWS {
                // Its rows need not be looked at.
                self.marks.touch_words(number * PIECE_ROWS / WORD_ROWS, PIECE_ROWS / WORD_ROWS);
                continue;
            }
            for (within, slot) in piece.slots.iter().enumerate() {
                if let Slot::Row(_) = slot {
                    self.marks.touch(RowId((number * PIECE_ROWS + within) as u32));
                }
            }
        }
    }

    /// Number of rows that have changed.
    pub(crate) fn dirty(&self) -> usize {
        self.marks.dirty()
    }

    /// Hands out the rows that have changed since the last time, in the order of their places, and whether one was handed
    /// out before.
    pub(crate) fn save(&mut self, mut each: impl FnMut(&mut R, bool)) {
        let pieces = &mut self.pieces;
        self.marks.save(|word, mut dirty, saved| {
            let first = word * WORD_ROWS;
            let slots = &mut pieces[first / PIECE_ROWS].slots[first % PIECE_ROWS..];
            while dirty != 0 {
                let within = dirty.trailing_zeros() as usize;
                dirty &= dirty - 1;
                let Slot::Row(row) = &mut slots[within] else { unreachable!("{NO_ROW}") };
                each(row, saved >> within & 1 != 0);
            }
        });
    }

    /// Adds a row, and says where.
    ///
    /// # Panics
    /// If there would be 2³² rows, which is beyond 200 GiB of memory.
    #[inline]
    pub(crate) fn insert(&mut self, row: R) -> RowId {
        let number = self.open.last().copied().unwrap_or_else(|| self.add_piece());
        let piece = &mut self.pieces[number as usize];
        let within = match piece.vacant {
            Some(vacant) => {
                let slot = std::mem::replace(&mut piece.slots[usize::from(vacant)], Slot::Row(row));
                let Slot::Vacant { next } = slot else { unreachable!("the list holds vacant slots") };
                piece.vacant = next;
                usize::from(vacant)
            }
            None => {
                piece.slots.push(Slot::Row(row));
                piece.slots.len() - 1
            }
        };
        piece.rows += 1;
        if usize::from(piece.rows) == PIECE_ROWS {
            self.open.pop();
        }
        self.len += 1;
        let id = RowId((number as usize * PIECE_ROWS + within) as u32);
        self.marks.touch(id);
        id
    }

    /// Removes a row. Returns it, and whether it was handed out by [`save`](Self::save).
    pub(crate) fn remove(&mut self, id: RowId) -> (R, bool) {
        let piece = &mut self.pieces[id.piece()];
        let slot = &mut piece.slots[id.within()];
        assert!(matches!(slot, Slot::Row(_)), "{NO_ROW}");
        let row = std::mem::replace(slot, Slot::Vacant { next: piece.vacant.replace(id.within() as u16) });
        if usize::from(piece.rows) == PIECE_ROWS {
            self.open.push(id.piece() as u32);
        }
        piece.rows -= 1;
        if piece.rows == 0 {
            piece.slots = Vec::new();
            piece.vacant = None;
        }
        self.len -= 1;
        let Slot::Row(row) = row else { unreachable!("{NO_ROW}") };
        (row, self.marks.forget(id))
    }

    #[cold]
    fn add_piece(&mut self) -> u32 {
        let number = self.pieces.len();
        assert!((number + 1) * PIECE_ROWS <= RowId::NONE.0 as usize, "a worker holds less than 2^32 rows of a state");
        self.pieces.push(Piece { slots: Vec::new(), vacant: None, rows: 0 });
        self.open.push(number as u32);
        self.marks.grow((number + 1) * PIECE_ROWS);
        number as u32
    }
}

const NO_ROW: &str = "an id is that of a row that is there";

impl<R> Index<RowId> for Rows<R> {
    type Output = R;

    #[inline]
    fn index(&self, id: RowId) -> &R {
        match &self.pieces[id.piece()].slots[id.within()] {
            Slot::Row(row) => row,
            Slot::Vacant { .. } => unreachable!("{NO_ROW}"),
        }
    }
}

impl<R> IndexMut<RowId> for Rows<R> {
    #[inline]
    fn index_mut(&mut self, id: RowId) -> &mut R {
        match &mut self.pieces[id.piece()].slots[id.within()] {
            Slot::Row(row) => row,
            Slot::Vacant { .. } => unreachable!("{NO_ROW}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{PIECE_ROWS, RowId, Rows, Slot};
    use crate::small_bytes::SmallBytes;

    #[test]
    fn a_row_stays_where_it_is_and_memory_goes_back() {
        let mut rows = Rows::new(false);
        let mut model: Vec<(RowId, usize)> = Vec::new();
        let mut number = 0;
        for round in 0..4 {
            while model.len() < 3 * PIECE_ROWS {
                model.push((rows.insert(number), number));
                number += 1;
            }
            // A step that shares no factor with the length comes everywhere; the last round leaves nothing.
            let mut place = 0;
            while model.len() > PIECE_ROWS * (3 - round) {
                place = (place + 7919) % model.len();
                let (id, row) = model.swap_remove(place);
                assert_eq!(rows[id], row);
                rows.remove(id);
            }
            assert!(model.iter().all(|&(id, row)| rows[id] == row));
            assert_eq!(rows.len(), model.len());
            assert!(rows.pieces.len() <= 3);
        }
        assert!(rows.bytes() < 1000);
    }

    #[test]
    fn rows_that_changed_come_out_once() {
        let mut rows = Rows::new(true);
        let ids: Vec<RowId> = (0..PIECE_ROWS + 10).map(|number| rows.insert(number)).collect();
        let saved = |rows: &mut Rows<usize>| {
            let mut saved = Vec::new();
            rows.save(|row, was_saved| saved.push((*row, was_saved)));
            saved
        };
        assert_eq!(saved(&mut rows), (0..PIECE_ROWS + 10).map(|number| (number, false)).collect::<Vec<_>>());
        assert_eq!((saved(&mut rows), rows.dirty()), (Vec::new(), 0));
        rows.touch(ids[70]);
        rows.touch(ids[PIECE_ROWS + 1]);
        rows.touch(ids[3]);
        assert_eq!(rows.remove(ids[3]), (3, true), "a snapshot has it");
        let place = rows.insert(7777);
        assert_eq!((place, rows.dirty()), (ids[3], 3));
        assert_eq!(saved(&mut rows), [(7777, false), (70, true), (PIECE_ROWS + 1, true)]);
        let new = rows.insert(1);
        assert_eq!(rows.remove(new), (1, false), "no snapshot has it");
        assert_eq!(saved(&mut rows), []);
        rows.touch_all();
        let all = (0..PIECE_ROWS + 10).map(|number| if number == 3 { 7777 } else { number });
        assert_eq!(saved(&mut rows), all.map(|number| (number, true)).collect::<Vec<_>>());
    }

    #[test]
    fn vacancy_costs_a_row_nothing() {
        assert_eq!(size_of::<Slot<SmallBytes<54>>>(), 56);
    }
}
