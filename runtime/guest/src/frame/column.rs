//! Ids of the columns of a frame. A guest's frame may have those of the second group, those of the first that both have,
//! and ids from [`EXPERIMENTS`] up.

/// `i64` per record: event times.
pub const TIMES: u32 = 1;
/// `u32` per group, in world `stateless` and out of a guest per record: ends in [`KEYS`].
pub const KEY_ENDS: u32 = 2;
/// Keys.
pub const KEYS: u32 = 3;
/// `u32` per group: number of records up to its end.
pub const RECORD_ENDS: u32 = 4;
/// `u32` per cell: ends in [`CELLS`]; bit 31 marks a cell without a value.
pub const CELL_ENDS: u32 = 5;
/// Cells: the states that ride, or accumulators.
pub const CELLS: u32 = 6;
/// `u32` per record: ends in [`VALUES`].
pub const VALUE_ENDS: u32 = 7;
/// Values.
pub const VALUES: u32 = 8;
/// `u8` per record: index of the input; in `on-timer` the timer's slot.
pub const INPUTS: u32 = 9;
/// `[i64; 2]` per group: start and end of its window.
pub const WINDOWS: u32 = 10;
/// `u8` per group: whether it is the first and the last part of its window.
pub const GROUP_FLAGS: u32 = 11;
/// `u32` per record: number of headers up to its last.
pub const HEADER_RECORD_ENDS: u32 = 12;
/// `[u32; 2]` per header: ends of name and value in [`HEADER_BYTES`].
pub const HEADER_ENDS: u32 = 13;
/// Names and values of headers.
pub const HEADER_BYTES: u32 = 14;
/// `u8` per record: what it says about the one before it with the same key.
pub const CHANGES: u32 = 15;

/// `u32` per record emitted: index of the record or group it was made from.
pub const SOURCES: u32 = 16;
/// `u8` per record emitted: index of the output.
pub const OUTPUTS: u32 = 17;
/// `{u32 cell | op << 28, u32 end}` per write, in order: ends in [`WRITE_BYTES`].
pub const WRITES: u32 = 18;
/// What is written.
pub const WRITE_BYTES: u32 = 19;
/// `{u32 group, u16 slot, u16 op, i64 time}` per timer.
pub const TIMERS: u32 = 20;
/// `{u32 record, u32 end}` per refused record: ends in [`REASONS`].
pub const REJECTED: u32 = 21;
/// Why records were refused.
pub const REASONS: u32 = 22;
/// `{u32 record, u32 0, i64 time}` per mark: after that record none at or below that time will come.
pub const MARKS: u32 = 23;

/// Ids from here up are free for experiments; the host skips them.
pub const EXPERIMENTS: u32 = 0x8000_0000;
