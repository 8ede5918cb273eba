//! What a failed call says: whether its records may be to blame, and which.

use super::cuts::Failure;
use super::emit::Inherit;
use crate::error::CallFault;
use tidewheel_guest::{Export, GuestError, TrapCause};

/// Whether the records that `export` was called with may be to blame, and not how the instance was started.
pub(super) fn may_be(error: &GuestError, export: Export) -> bool {
    error.is_poison() && error.trap().is_none_or(|trap| trap.function == export.name())
}

/// What the search for the poison needs to know. The frame held `records`, which are those of `from`.
pub(super) fn failure(fault: &CallFault, from: &impl Inherit, records: usize) -> Failure {
    let CallFault::Guest(error) = fault else {
        return Failure { is_limit: matches!(fault, CallFault::Inherited { .. } | CallFault::Result(_)), blamed: None };
    };
    let Some(trap) = error.trap() else { return Failure { is_limit: false, blamed: None } };
    let blamed = trap.blamed.as_ref().map(|blamed| blamed.record as usize);
    Failure {
        is_limit: !matches!(trap.cause, TrapCause::Illegal(_)),
        blamed: blamed.filter(|&record| record < records).map(|record| from.place_of_record(record)),
    }
}

/// The fault in one line: the backtrace goes beside it.
pub(crate) fn reason(fault: &CallFault) -> String {
    match fault {
        CallFault::Guest(error) => match error.trap() {
            Some(trap) => {
                let said = trap.blamed.as_ref().map(|blamed| format!(": {}", blamed.message)).unwrap_or_default();
                format!("`{}` trapped: {}{said}", trap.function, trap.cause)
            }
            None => error.to_string(),
        },
        fault => fault.to_string(),
    }
}

/// The guest's functions at the trap, the innermost first.
pub(crate) fn backtrace(fault: &CallFault) -> &[String] {
    match fault {
        CallFault::Guest(error) => error.trap().map_or(&[], |trap| &trap.backtrace),
        _ => &[],
    }
}
