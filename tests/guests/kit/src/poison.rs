//! What a poison record does, and a state that shows which records there have been, in which order.
//!
//! Nothing here depends on how records are put together in batches.

/// What is wrong with a frame when a record does not stop the call at once.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Spoilt {
    /// It is too big.
    Big,
    /// It breaks the contract.
    Broken,
}

/// Takes a record in. `trap`: panics; `blame`: names the record by `blame` before; `wrong`: names the first one; `loop`,
/// `memory` and `stack` go on for ever; `big` and `broken` spoil the frame. Everything else is harmless. It is a function of
/// its own in backtraces.
#[inline(never)]
pub fn swallow(value: &[u8], index: u32, blame: impl Fn(u32, &str)) -> Option<Spoilt> {
    match value {
        b"trap" => panic!("trapped"),
        b"blame" => blame(index, "it is poison"),
        b"wrong" => blame(0, "the first is poison"),
        b"loop" => loop {
            std::hint::spin_loop();
        },
        b"memory" => loop {
            std::mem::forget(std::hint::black_box(vec![1u8; 1 << 20]));
        },
        b"stack" => {
            dig(0);
        }
        b"big" => return Some(Spoilt::Big),
        b"broken" => return Some(Spoilt::Broken),
        _ => return None,
    }
    panic!("blamed");
}

/// Goes deeper and deeper.
#[inline(never)]
fn dig(depth: u64) -> u64 {
    let below = if std::hint::black_box(depth) < u64::MAX { dig(depth + 1) } else { 0 };
    std::hint::black_box([depth; 64])[below as usize % 64] + below
}

/// A frame with what is wrong with it. `good` is the frame as it would be.
pub fn spoil(spoilt: Option<Spoilt>, good: Vec<u8>) -> Vec<u8> {
    match spoilt {
        None => good,
        Some(Spoilt::Big) => vec![0; 1 << 20],
        Some(Spoilt::Broken) => vec![0xff; 64],
    }
}

/// What a key has seen: a hash of its records in their order, and whether one of them was `doom`.
#[derive(Clone, Copy)]
pub struct Seen {
    hash: u64,
    /// Whether this state lets a timer or window trap.
    pub is_doomed: bool,
}

impl Seen {
    /// What a cell says.
    pub fn read(cell: Option<&[u8]>) -> Seen {
        let Some(cell) = cell else { return Seen { hash: 0xcbf2_9ce4_8422_2325, is_doomed: false } };
        Seen { hash: u64::from_le_bytes(cell[..8].try_into().unwrap()), is_doomed: cell[8] != 0 }
    }

    /// Adds a record.
    pub fn add(&mut self, value: &[u8]) {
        for byte in value.iter().chain(&[0]) {
            self.hash = (self.hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
        self.is_doomed |= value == b"doom";
    }

    /// The cell.
    pub fn write(self) -> Vec<u8> {
        [&self.hash.to_le_bytes()[..], &[u8::from(self.is_doomed)]].concat()
    }
}
