//! Bytes that are appended and read, in pieces of memory that are used again.
//!
//! What is frozen comes and goes many times a second, and differs in size. In one piece it would be moved as it grows, and
//! allocators keep what is freed for a while, some of each size: that was measured to be more than all that was frozen.

use std::sync::{Arc, Mutex, PoisonError};

/// Bytes of a piece: many rows, and little to leave vacant at the end of the last one.
const PIECE_BYTES: usize = 128 << 10;

/// Bytes of a piece at most that is for all of it: places in it are numbers of 32 bits.
const WHOLE_BYTES_MAX: usize = 1 << 30;

/// Pieces that are not in use.
pub(crate) struct PiecePool {
    vacant: Mutex<Vec<Vec<u8>>>,
    vacant_max: usize,
}

impl PiecePool {
    /// No pieces yet. It will keep at most so many bytes of those that are not in use.
    pub(crate) fn new(bytes_max: usize) -> Self {
        PiecePool { vacant: Mutex::default(), vacant_max: bytes_max / PIECE_BYTES }
    }

    fn take(&self) -> Option<Vec<u8>> {
        self.vacant.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn put_back(&self, pieces: impl Iterator<Item = Vec<u8>>) {
        let mut vacant = self.vacant.lock().unwrap_or_else(PoisonError::into_inner);
        for mut piece in pieces.filter(|piece| piece.capacity() == PIECE_BYTES) {
            if vacant.len() < self.vacant_max {
                piece.clear();
                vacant.push(piece);
            }
        }
    }
}

/// Byte strings, each in one piece.
pub(crate) struct Pieces {
    pieces: Vec<Vec<u8>>,
    len: usize,
    piece_bytes: usize,
    pool: Arc<PiecePool>,
}

/// Where a byte string begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PiecePlace {
    piece: u32,
    offset: u32,
}

impl Pieces {
    /// Nothing yet. Memory comes from the pool if it has some, and goes there in the end.
    pub(crate) fn new(pool: &Arc<PiecePool>) -> Self {
        Pieces { pieces: Vec::new(), len: 0, piece_bytes: PIECE_BYTES, pool: Arc::clone(pool) }
    }

    /// Nothing yet, of what will be so many bytes, about: mostly in one piece, which takes the system less time than many do
    /// and is not kept.
    pub(crate) fn of_bytes(bytes: usize, pool: &Arc<PiecePool>) -> Self {
        let mut pieces = Pieces::new(pool);
        pieces.piece_bytes = bytes.clamp(PIECE_BYTES, WHOLE_BYTES_MAX);
        pieces
    }

    /// Adds a byte string of two parts, less than 4 GiB together.
    #[inline]
    pub(crate) fn push(&mut self, first: &[u8], second: &[u8]) {
        let len = first.len() + second.len();
        let piece = match self.pieces.last() {
            Some(piece) if piece.capacity() - piece.len() >= len => self.pieces.last_mut().expect("there is one"),
            _ => self.add_piece(len),
        };
        piece.extend_from_slice(first);
        piece.extend_from_slice(second);
        self.len += 1;
    }

    /// Number of byte strings.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The bytes from a place on to the end of its piece.
    #[inline]
    pub(crate) fn at(&self, place: PiecePlace) -> &[u8] {
        &self.pieces[place.piece as usize][place.offset as usize..]
    }

    /// Hands out where each byte string begins, in the order in which they were added. `each` is told the place and what
    /// is there, and says how long the byte string is.
    pub(crate) fn for_each(&self, mut each: impl FnMut(PiecePlace, &[u8]) -> usize) {
        for (piece, number) in self.pieces.iter().zip(0u32..) {
            let mut offset = 0;
            while offset < piece.len() {
                offset += each(PiecePlace { piece: number, offset: offset as u32 }, &piece[offset..]);
            }
        }
    }

    #[cold]
    fn add_piece(&mut self, len: usize) -> &mut Vec<u8> {
        let from_pool = if len.max(self.piece_bytes) <= PIECE_BYTES { self.pool.take() } else { None };
        self.pieces.push(from_pool.unwrap_or_else(|| Vec::with_capacity(len.max(self.piece_bytes))));
        self.pieces.last_mut().expect("it was just added")
    }
}

impl Drop for Pieces {
    fn drop(&mut self) {
        self.pool.put_back(self.pieces.drain(..));
    }
}

#[cfg(test)]
mod tests {
    use super::{PIECE_BYTES, PiecePool, Pieces};
    use std::sync::Arc;

    #[test]
    fn what_was_added_is_there_and_its_memory_is_used_again_within_bounds() {
        let pool = Arc::new(PiecePool::new(2 * PIECE_BYTES));
        for _ in 0..2 {
            let mut pieces = Pieces::new(&pool);
            let long = vec![7; PIECE_BYTES + 1];
            let added: Vec<&[u8]> = (0..9).map(|n| if n == 4 { &long[..] } else { &long[..PIECE_BYTES / 2] }).collect();
            added.iter().for_each(|bytes| pieces.push(&bytes[..1], &bytes[1..]));
            let mut places = Vec::new();
            pieces.for_each(|place, bytes| {
                let len = added[places.len()].len();
                assert_eq!(bytes[..len], *added[places.len()]);
                places.push(place);
                len
            });
            assert_eq!((places.len(), pieces.len()), (added.len(), added.len()));
            assert!(places.iter().zip(&added).all(|(&place, bytes)| pieces.at(place).starts_with(bytes)));
            drop(pieces);
            // The long one has a piece of its own, which is not kept.
            assert_eq!(pool.vacant.lock().unwrap().len(), 2);
        }
    }
}
