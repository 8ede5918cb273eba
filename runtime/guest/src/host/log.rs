//! `interface log`: a guest's lines go to the host's log, with operator and worker; `blame` is kept for the trap, and so is the
//! last line of level error, which says why a guest gives up without a record to blame.
//!
//! Lines of a call may be held until it is over: then its caller, who knows where records came from, passes them on.

mod budget;

pub use budget::LogBudget;

use super::HostState;
use crate::bindings::log::{Host, Level as Said};
use budget::Taken;
use tracing::{Level, debug, enabled, error, info, trace, warn};

/// Longest message that is kept, in bytes.
const MESSAGE_BYTES_MAX: usize = 8 << 10;

/// Bytes of lines that are held. A call that logs more has its lines passed on as they are.
const HELD_BYTES_MAX: usize = 1 << 20;

/// What an instance logs.
pub(crate) struct Log {
    operator: String,
    worker: usize,
    budget: LogBudget,
    /// Whether the lines of calls are held.
    holds: bool,
    held: Vec<LogLine>,
    held_bytes: usize,
    /// Number of records in the call.
    records: u32,
    blamed: Option<Blamed>,
    /// The last that the guest has said of an error in this call.
    last_error: Option<String>,
}

/// A line that a guest has logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    level: Level,
    /// The record of the call that it is about.
    pub record: Option<u32>,
    /// What it says.
    pub message: String,
}

impl LogLine {
    /// Writes it to the log of the process. `place` is where its record came from.
    pub fn write(&self, operator: &str, worker: usize, place: Option<&str>) {
        let LogLine { level, record, message } = self;
        match *level {
            Level::ERROR => error!(target: "guest", operator, worker, record, place, "{message}"),
            Level::WARN => warn!(target: "guest", operator, worker, record, place, "{message}"),
            Level::INFO => info!(target: "guest", operator, worker, record, place, "{message}"),
            Level::DEBUG => debug!(target: "guest", operator, worker, record, place, "{message}"),
            Level::TRACE => trace!(target: "guest", operator, worker, record, place, "{message}"),
        }
    }
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
    pub(crate) fn new(operator: String, worker: usize, budget: LogBudget, holds: bool) -> Self {
        Log {
            operator,
            worker,
            budget,
            holds,
            held: Vec::new(),
            held_bytes: 0,
            records: 0,
            blamed: None,
            last_error: None,
        }
    }

    /// Starts a call with so many records: none is to blame yet.
    pub(crate) fn begin_call(&mut self, records: u32) {
        self.records = records;
        self.blamed = None;
        self.last_error = None;
    }

    /// Blames a record of the call; what is none is not worth failing for, since the guest is about to trap anyway.
    fn blame(&mut self, record: u32, message: String) {
        if record < self.records {
            self.blamed = Some(Blamed { record, message: shortened(message) });
        } else {
            self.last_error = Some(shortened(message));
        }
    }

    /// Who is to blame for the trap.
    pub(crate) fn take_blamed(&mut self) -> Option<Blamed> {
        self.blamed.take()
    }

    /// What the guest has said last of an error in this call.
    pub(crate) fn take_last_error(&mut self) -> Option<String> {
        self.last_error.take()
    }

    /// Whether lines are held that [`take_held`](Self::take_held) has not taken.
    pub(crate) fn has_held(&self) -> bool {
        !self.held.is_empty()
    }

    /// The lines that were held, in order.
    pub(crate) fn take_held(&mut self) -> Vec<LogLine> {
        self.held_bytes = 0;
        std::mem::take(&mut self.held)
    }

    /// Logs a line, unless there have been too many.
    fn add(&mut self, line: LogLine) {
        match self.budget.take() {
            Taken::Line => {}
            Taken::Dropped => return,
            Taken::FirstDropped { lines_max } => {
                let message = format!("more than its {lines_max} lines in a second: what it logs now is dropped");
                return self.pass_on(LogLine { level: Level::WARN, record: None, message });
            }
            Taken::LineAfter { dropped } => {
                let message = format!("{dropped} lines were dropped");
                self.pass_on(LogLine { level: Level::WARN, record: None, message });
            }
        }
        self.pass_on(line);
    }

    /// Holds a line that is about a record, and those after it; writes others at once.
    fn pass_on(&mut self, line: LogLine) {
        // Outside a call there is nobody to take it.
        let is_held = self.holds && self.records > 0 && (line.record.is_some() || self.has_held());
        if !is_held {
            return line.write(&self.operator, self.worker, None);
        }
        self.held_bytes += line.message.len() + size_of::<LogLine>();
        self.held.push(line);
        if self.held_bytes > HELD_BYTES_MAX {
            self.take_held().iter().for_each(|line| line.write(&self.operator, self.worker, None));
        }
    }
}

impl Host for HostState {
    fn write(&mut self, level: Said, record: Option<u32>, message: String) -> wasmtime::Result<()> {
        let (level, is_wanted) = match level {
            Said::Error => (Level::ERROR, enabled!(target: "guest", Level::ERROR)),
            Said::Warn => (Level::WARN, enabled!(target: "guest", Level::WARN)),
            Said::Info => (Level::INFO, enabled!(target: "guest", Level::INFO)),
            Said::Debug => (Level::DEBUG, enabled!(target: "guest", Level::DEBUG)),
            Said::Trace => (Level::TRACE, enabled!(target: "guest", Level::TRACE)),
        };
        let message = shortened(message);
        // Also of what nobody wants to read, or of what is too much. What is about a record may be about one that is dealt with.
        if level == Level::ERROR && record.is_none() {
            self.log.last_error = Some(message.clone());
        }
        if is_wanted {
            self.log.add(LogLine { level, record, message });
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
        message.shrink_to_fit();
    }
    message
}

#[cfg(test)]
mod tests {
    use super::{HELD_BYTES_MAX, Log, LogBudget, LogLine, MESSAGE_BYTES_MAX, shortened};
    use tracing::Level;

    fn log(lines_max: u64, holds: bool) -> Log {
        Log::new("op".to_owned(), 0, LogBudget::new(lines_max), holds)
    }

    fn line(record: Option<u32>, message: &str) -> LogLine {
        LogLine { level: Level::INFO, record, message: message.to_owned() }
    }

    #[test]
    fn only_a_record_of_the_call_can_be_blamed() {
        let mut log = log(1, false);
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

    #[test]
    fn lines_about_records_are_held_and_those_after_them() {
        let mut holding = log(100, true);
        holding.add(line(Some(0), "outside a call"));
        holding.begin_call(2);
        holding.add(line(None, "before"));
        holding.add(line(Some(1), "about a record"));
        holding.add(line(None, "after"));
        let held: Vec<_> = holding.take_held().into_iter().map(|line| (line.record, line.message)).collect();
        assert_eq!(held, [(Some(1), "about a record".to_owned()), (None, "after".to_owned())]);
        assert!(!holding.has_held());
        let mut passing = log(100, false);
        passing.begin_call(2);
        passing.add(line(Some(1), "about a record"));
        assert!(!passing.has_held());
    }

    #[test]
    fn no_more_is_held_than_there_is_room_for() {
        let mut log = log(u64::MAX, true);
        log.begin_call(1);
        let long = "x".repeat(MESSAGE_BYTES_MAX);
        for _ in 0..1_000 {
            log.add(line(Some(0), &long));
            assert!(log.held.len() * MESSAGE_BYTES_MAX <= HELD_BYTES_MAX);
        }
    }

    #[test]
    fn what_is_too_much_is_dropped_and_said_once() {
        let mut log = log(3, true);
        log.begin_call(1);
        (0..10).for_each(|number| log.add(line(Some(0), &number.to_string())));
        let held: Vec<_> = log.take_held().into_iter().map(|line| line.message).collect();
        assert_eq!(held, ["0", "1", "2", "more than its 3 lines in a second: what it logs now is dropped"]);
        assert_eq!(log.budget.dropped(), 7);
    }
}
