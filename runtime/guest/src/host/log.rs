//! `interface log`: a guest's lines go to the host's log, with operator and worker; `blame` is kept for the trap.

use super::HostState;
use crate::bindings::log::{Host, Level};
use tracing::{debug, error, info, trace, warn};

/// Longest message that is kept, in bytes.
const MESSAGE_BYTES_MAX: usize = 8 << 10;

/// What an instance logs.
pub(crate) struct Log {
    operator: String,
    worker: usize,
    blamed: Option<Blamed>,
}

/// A record that the guest has named as the one to blame, just before it trapped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blamed {
    /// Index of the record in the batch.
    pub record: u32,
    /// What is wrong with it.
    pub message: String,
}

impl Log {
    pub(crate) fn new(operator: String, worker: usize) -> Self {
        Log { operator, worker, blamed: None }
    }

    /// Starts a call: nobody is to blame yet.
    pub(crate) fn begin_call(&mut self) {
        self.blamed = None;
    }

    /// Who is to blame for the trap.
    pub(crate) fn take_blamed(&mut self) -> Option<Blamed> {
        self.blamed.take()
    }
}

impl Host for HostState {
    fn write(&mut self, level: Level, record_index: Option<u32>, message: String) -> wasmtime::Result<()> {
        let Log { operator, worker, .. } = &self.log;
        let message = shortened(message);
        match level {
            Level::Error => error!(target: "guest", operator, worker, record = record_index, "{message}"),
            Level::Warn => warn!(target: "guest", operator, worker, record = record_index, "{message}"),
            Level::Info => info!(target: "guest", operator, worker, record = record_index, "{message}"),
            Level::Debug => debug!(target: "guest", operator, worker, record = record_index, "{message}"),
            Level::Trace => trace!(target: "guest", operator, worker, record = record_index, "{message}"),
        }
        Ok(())
    }

    fn blame(&mut self, record: u32, message: String) -> wasmtime::Result<()> {
        self.log.blamed = Some(Blamed { record, message: shortened(message) });
        Ok(())
    }
}

fn shortened(mut message: String) -> String {
    if message.len() > MESSAGE_BYTES_MAX {
        message.truncate(message.floor_char_boundary(MESSAGE_BYTES_MAX));
        message.push('…');
    }
    message
}

#[cfg(test)]
mod tests {
    use super::{MESSAGE_BYTES_MAX, shortened};

    #[test]
    fn a_message_is_cut_at_the_limit_and_not_within_a_character() {
        let at = "x".repeat(MESSAGE_BYTES_MAX);
        assert_eq!(shortened(at.clone()), at);
        let past = "x".repeat(MESSAGE_BYTES_MAX - 1) + "é";
        assert_eq!(shortened(past), "x".repeat(MESSAGE_BYTES_MAX - 1) + "…");
    }
}
