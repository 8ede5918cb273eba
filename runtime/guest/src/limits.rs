//! What a guest may use: memory, time, and bytes of output, each a number with a default.

use wasmtime::ResourceLimiter;

/// The limits of one instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes of memory.
    pub memory_bytes_max: u64,
    /// Longest time a call may take, in milliseconds. It is measured in ticks of 10 ms.
    pub deadline_ms_max: u64,
    /// Most bytes that a call may return, and that it may hand over in a host call.
    pub output_bytes_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { memory_bytes_max: 256 << 20, deadline_ms_max: 5_000, output_bytes_max: 16 << 20 }
    }
}

/// Most entries of a table: functions that are called by pointer.
const TABLE_ENTRIES_MAX: usize = 1 << 20;

/// Counts the memory of an instance, and refuses to let it grow past the limit.
#[derive(Debug)]
pub(crate) struct MemoryLimiter {
    bytes_max: usize,
    bytes: usize,
    /// By how much the memory is about to grow, should the growth fail after all.
    growing_by: usize,
    /// Whether the guest has asked for more since this was last [cleared](Self::clear_exceeded).
    exceeded: bool,
}

impl MemoryLimiter {
    pub(crate) fn new(limits: &Limits) -> Self {
        let bytes_max = usize::try_from(limits.memory_bytes_max).unwrap_or(usize::MAX);
        MemoryLimiter { bytes_max, bytes: 0, growing_by: 0, exceeded: false }
    }

    /// The bytes of all memories of the instance.
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
}

impl ResourceLimiter for MemoryLimiter {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let growing_by = desired.saturating_sub(current);
        if self.bytes.saturating_add(growing_by) > self.bytes_max {
            self.exceeded = true;
            self.growing_by = 0;
            return Ok(false);
        }
        self.bytes += growing_by;
        self.growing_by = growing_by;
        Ok(true)
    }

    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        // Growth that was refused above comes here, too; nothing has been added for it.
        self.bytes -= std::mem::take(&mut self.growing_by);
        Ok(())
    }

    fn table_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= TABLE_ENTRIES_MAX)
    }
}
