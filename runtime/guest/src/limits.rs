//! What a guest may use: memory, time, bytes of output and of state, lines of log, each a number with a default.

use serde::{Deserialize, Serialize};
use wasmtime::ResourceLimiter;

/// The limits of one instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Most bytes of memory, tables included.
    pub memory_bytes_max: u64,
    /// Longest time a call may take, in milliseconds. It is measured in ticks of 10 ms.
    pub deadline_ms_max: u64,
    /// Most bytes that a call may return, that it may hand over in host calls, and that one of these may read of state.
    pub output_bytes_max: u64,
    /// Most bytes that a key may have in all states of the operator together, keys of map entries included; in world
    /// `aggregate` most bytes of an accumulator. A call that writes beyond it fails. `None`: there is no such limit.
    pub state_bytes_max: Option<u64>,
    /// Most records that a call gets. Whoever makes the calls keeps to it.
    pub records_max: u64,
    /// Most lines that all instances with one [`LogBudget`](crate::LogBudget) may log in a second.
    pub log_lines_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            memory_bytes_max: 256 << 20,
            deadline_ms_max: 5_000,
            output_bytes_max: 16 << 20,
            state_bytes_max: None,
            records_max: 1 << 14,
            log_lines_max: 1_000,
        }
    }
}

/// Least deadline of a piece of a call, in ms: starting up takes an instance some time, whatever it is given.
pub const PIECE_DEADLINE_MS_MIN: u64 = 50;

/// How long a call may take with `part` of the `whole` records of one that failed: its share of the whole deadline, and all
/// of it for a record alone, so that a record that loops costs about three deadlines and not one per halving.
pub fn piece_deadline_ms(part: usize, whole: usize, deadline_ms_max: u64) -> u64 {
    if part <= 1 || part >= whole {
        return deadline_ms_max;
    }
    let share = u128::from(deadline_ms_max) * part as u128 / whole as u128;
    (share as u64).clamp(PIECE_DEADLINE_MS_MIN.min(deadline_ms_max), deadline_ms_max)
}

/// What an entry of a table counts in bytes: no kind of reference takes more.
const TABLE_ENTRY_BYTES: usize = 16;

/// Most core instances that a component may consist of. A component of a large language runtime has some dozen, each
/// with a memory and a table at the most. What these cost the host besides their bytes is not counted.
const CORE_INSTANCES_MAX: usize = 100;

/// Counts the memories and tables of an instance, and refuses to let them grow past the limit.
#[derive(Debug)]
pub(crate) struct MemoryLimiter {
    bytes_max: usize,
    bytes: usize,
    /// By how many bytes a memory or table is about to grow, should the growth fail after all.
    growing_by: usize,
    /// Whether the guest has asked for more since this was last [cleared](Self::clear_exceeded).
    exceeded: bool,
}

impl MemoryLimiter {
    pub(crate) fn new(limits: &Limits) -> Self {
        let bytes_max = usize::try_from(limits.memory_bytes_max).unwrap_or(usize::MAX);
        MemoryLimiter { bytes_max, bytes: 0, growing_by: 0, exceeded: false }
    }

    /// The bytes of all memories and tables of the instance.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether the guest has been refused memory in this call.
    pub(crate) fn exceeded(&self) -> bool {
        self.exceeded
    }

    pub(crate) fn clear_exceeded(&mut self) {
        self.exceeded = false;
    }

    /// Whether there is room for so many bytes more, which are then taken.
    fn grow(&mut self, growing_by: usize) -> bool {
        let fits = self.bytes.saturating_add(growing_by) <= self.bytes_max;
        self.growing_by = if fits { growing_by } else { 0 };
        self.bytes += self.growing_by;
        self.exceeded |= !fits;
        fits
    }

    /// What was about to grow has not. Growth that was refused comes here, too; nothing has been taken for it.
    fn shrink_back(&mut self) {
        self.bytes -= std::mem::take(&mut self.growing_by);
    }
}

impl ResourceLimiter for MemoryLimiter {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.grow(desired.saturating_sub(current)))
    }

    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.shrink_back();
        Ok(())
    }

    fn table_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.grow(desired.saturating_sub(current).saturating_mul(TABLE_ENTRY_BYTES)))
    }

    fn table_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.shrink_back();
        Ok(())
    }

    fn instances(&self) -> usize {
        CORE_INSTANCES_MAX
    }

    fn memories(&self) -> usize {
        CORE_INSTANCES_MAX
    }

    fn tables(&self) -> usize {
        CORE_INSTANCES_MAX
    }
}
