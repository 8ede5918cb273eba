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
    /// Number of records in the call.
    records: u32,
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
        Log { operator, worker, records: 0, blamed: None }
    }

    /// Starts a call with so many records: none is to blame yet.
    pub(crate) fn begin_call(&mut self, records: u32) {
        self.records = records;
        self.blamed = None;
    }

    /// Blames a record of the call; what is none is not worth failing for, since the guest is about to trap anyway.
    fn blame(&mut self, record: u32, message: String) {
        if record < self.records {
            self.blamed = Some(Blamed { record, message: shortened(message) });
        }
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
        self.log.blame(record, message);
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
    use super::{Log, MESSAGE_BYTES_MAX, shortened};

    #[test]
    fn only_a_record_of_the_call_can_be_blamed() {
        let mut log = Log::new("op".to_owned(), 0);
        log.begin_call(2);
        log.blame(1, "bad".to_owned());
        log.blame(2, "not there".to_owned());
        assert_eq!(log.take_blamed().map(|blamed| (blamed.record, blamed.message)), Some((1, "bad".to_owned())));
        log.blame(0, "bad".to_owned());
        log.begin_call(2);
        assert_eq!(log.take_blamed(), None);
    }

    #[test]
    fn a_message_is_cut_at_the_limit_and_not_within_a_character() {
        let at = "x".repeat(MESSAGE_BYTES_MAX);
        assert_eq!(shortened(at.clone()), at);
        let past = "x".repeat(MESSAGE_BYTES_MAX - 1) + "é";
        assert_eq!(shortened(past), "x".repeat(MESSAGE_BYTES_MAX - 1) + "…");
    }
}
