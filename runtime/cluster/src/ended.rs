//! How the processes of an attempt ended, and which of them was the cause.
//!
//! When one process dies the others lose their peer and end as well, often within a millisecond and sometimes noticed
//! first. What a user must see is the first one's reason.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The most bytes of a reason that are sent.
const REASON_BYTES_MAX: usize = 64 << 10;

/// What a process says just before it ends by itself because something went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastWords {
    /// What went wrong, for the user.
    pub reason: String,
    /// Whether it went wrong here.
    pub kind: Kind,
    /// Whether another attempt may succeed.
    pub retryable: bool,
}

/// Whether a process is to blame for its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// It went wrong in this process.
    Cause,
    /// This process lost something that it needs, such as a peer: the reason is elsewhere.
    Consequence,
}

impl LastWords {
    /// Something went wrong in this process; another attempt may succeed.
    pub fn cause(reason: impl Into<String>) -> Self {
        LastWords { reason: reason.into(), kind: Kind::Cause, retryable: true }
    }

    /// Another process failed this one.
    pub fn consequence(reason: impl Into<String>) -> Self {
        LastWords { reason: reason.into(), kind: Kind::Consequence, retryable: true }
    }

    /// Says that no other attempt can succeed.
    pub fn for_good(self) -> Self {
        LastWords { retryable: false, ..self }
    }

    /// With a reason that fits into a message whatever its characters become in JSON.
    pub(crate) fn shortened(mut self) -> Self {
        if self.reason.len() > REASON_BYTES_MAX {
            let end = (0..=REASON_BYTES_MAX).rev().find(|end| self.reason.is_char_boundary(*end)).unwrap_or(0);
            self.reason.truncate(end);
            self.reason.push('…');
        }
        self
    }
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// By itself, with this code.
    Exited(i32),
    /// By this signal, from outside or from a crash.
    Signalled(i32),
    /// By its supervisor.
    Stopped,
}

/// The end of an attempt: the process that was its cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// The place of its command among those the supervisor was given.
    pub process: usize,
    /// How it ended.
    pub how: How,
    /// Its last words, or what the supervisor knows.
    pub reason: Option<String>,
    /// Whether another attempt may succeed.
    pub retryable: bool,
}

impl Ended {
    /// Whether all processes ended by themselves with nothing to complain of.
    pub fn is_success(&self) -> bool {
        self.how == How::Exited(0)
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} ", self.process)?;
        match self.how {
            How::Exited(0) => write!(f, "has finished")?,
            How::Exited(code) => write!(f, "ended with code {code}")?,
            How::Signalled(signal) => write!(f, "was ended by {}", Signal(signal))?,
            How::Stopped => write!(f, "was stopped")?,
        }
        match &self.reason {
            Some(reason) => write!(f, ": {reason}"),
            None => Ok(()),
        }
    }
}

/// A signal in words.
struct Signal(i32);

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = match self.0 {
            libc::SIGKILL => "SIGKILL (somebody killed it, or the kernel ran out of memory; `dmesg` tells)",
            libc::SIGSEGV => "SIGSEGV (a crash: it used memory that is not there)",
            libc::SIGBUS => "SIGBUS (a crash, or a full disk under a mapped file)",
            libc::SIGABRT => "SIGABRT (a crash: it gave up by itself)",
            libc::SIGILL => "SIGILL (a crash: an instruction that this machine does not have)",
            libc::SIGTERM => "SIGTERM (somebody asked it to end)",
            libc::SIGINT => "SIGINT (somebody interrupted it)",
            libc::SIGHUP => "SIGHUP (its terminal is gone)",
            other => return write!(f, "signal {other}"),
        };
        write!(f, "{words}")
    }
}

#[cfg(test)]
mod tests {
    use super::{Ended, How};

    #[test]
    fn ends_are_told_in_words() {
        let told = |how| Ended { process: 2, how, reason: None, retryable: true }.to_string();
        assert_eq!(
            told(How::Signalled(9)),
            "process 2 was ended by SIGKILL (somebody killed it, or the kernel ran out of memory; `dmesg` tells)"
        );
        assert_eq!(told(How::Signalled(64)), "process 2 was ended by signal 64");
        assert_eq!(told(How::Exited(0)), "process 2 has finished");
        assert_eq!(told(How::Stopped), "process 2 was stopped");
    }
}
