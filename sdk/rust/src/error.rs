//! What an operator returns when it cannot do its work: a rejected record, or a failed call.

use crate::wit::keyed::tidewheel::operator::types::Failure;
use std::fmt;

/// The result of an operator's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a record, or the call as a whole, could not be processed.
///
/// Every `std::error::Error` becomes one that *rejects the record at hand* with the error's text, so `?` does the
/// right thing for bad input. Nothing that the record did counts: not what it emitted, not its state, not its timers.
/// What happens to a rejected record is the job's choice (`on-error`).
pub struct Error {
    kind: ErrorKind,
    message: String,
}

/// What an [`Error`] does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The record at hand is refused; the others go on.
    Reject,
    /// The job fails.
    Fail,
    /// The whole call may be tried again later.
    RetryLater,
}

impl Error {
    /// Refuses the record at hand, with the reason.
    pub fn reject(reason: impl fmt::Display) -> Error {
        Error { kind: ErrorKind::Reject, message: reason.to_string() }
    }

    /// Fails the job: nothing can be right any more, whatever the record.
    pub fn fail(message: impl fmt::Display) -> Error {
        Error { kind: ErrorKind::Fail, message: message.to_string() }
    }

    /// Asks for the whole call to be made again later. Nothing it did so far counts.
    pub fn retry_later(message: impl fmt::Display) -> Error {
        Error { kind: ErrorKind::RetryLater, message: message.to_string() }
    }

    /// What this error does.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Why.
    pub fn message(&self) -> &str {
        &self.message
    }
}

/// `Error` is no `std::error::Error` itself; otherwise this conversion could not exist.
impl<E: std::error::Error> From<E> for Error {
    fn from(error: E) -> Error {
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            message.push_str(": ");
            message.push_str(&cause.to_string());
            source = cause.source();
        }
        Error { kind: ErrorKind::Reject, message }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.message)
    }
}

/// Where there is no record to refuse, a rejection fails the call.
impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        let code = match error.kind {
            ErrorKind::Reject | ErrorKind::Fail => 1,
            ErrorKind::RetryLater => 2,
        };
        Failure { code, message: error.message }
    }
}

#[cfg(test)]
mod tests {
    use super::{Error, ErrorKind, Result};
    use crate::wit::keyed::tidewheel::operator::types::Failure;

    #[test]
    fn any_error_rejects_the_record() {
        fn parse(text: &str) -> Result<u32> {
            Ok(text.parse::<u32>()?)
        }
        let error = parse("x").unwrap_err();
        assert_eq!((error.kind(), error.message()), (ErrorKind::Reject, "invalid digit found in string"));
    }

    #[test]
    fn failures_carry_the_code_of_the_contract() {
        assert_eq!(Failure::from(Error::fail("a")).code, 1);
        assert_eq!(Failure::from(Error::retry_later("a")).code, 2);
    }
}
