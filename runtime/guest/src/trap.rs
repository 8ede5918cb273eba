//! From wasmtime's error to ours: which limit it was, where the guest stood, and whom it blamed.

use crate::error::{GuestError, Trap, TrapCause};
use crate::host::{HostCallError, HostState};
use crate::limits::Limits;
use wasmtime::WasmBacktrace;

/// What wasmtime says when a guest passes more bytes than the store allows. It has no type that can be asked for; a
/// test holds the text to it.
const TOO_MUCH_PASSED: &str = "fuel allocated for hostcalls has been exhausted";

/// Why a call of `function`, or making the instance it is for, did not return.
pub(crate) fn trapped(
    error: &wasmtime::Error,
    operator: &str,
    function: &'static str,
    limits: &Limits,
    host: &mut HostState,
) -> GuestError {
    let backtrace = error.downcast_ref::<WasmBacktrace>().map(function_names).unwrap_or_default();
    let cause = cause(error, limits, host);
    Trap { operator: operator.to_owned(), function, cause, backtrace, blamed: host.log.take_blamed() }.into()
}

fn cause(error: &wasmtime::Error, limits: &Limits, host: &HostState) -> TrapCause {
    let trap = error.downcast_ref::<wasmtime::Trap>();
    if trap == Some(&wasmtime::Trap::Interrupt) {
        return TrapCause::Deadline { deadline_ms_max: limits.deadline_ms_max };
    }
    // A guest that is refused memory usually says so by a panic.
    if host.memory.exceeded() {
        return TrapCause::Memory { memory_bytes_max: limits.memory_bytes_max };
    }
    let too_much_written = matches!(error.downcast_ref::<HostCallError>(), Some(HostCallError::TooMuchWritten { .. }));
    let reason = error.root_cause().to_string();
    if too_much_written || reason.contains(TOO_MUCH_PASSED) {
        return TrapCause::Output { output_bytes_max: limits.output_bytes_max };
    }
    TrapCause::Illegal(reason.strip_prefix("wasm trap: ").unwrap_or(&reason).to_owned())
}

/// The names of the functions on the guest's stack, as its compiler wrote them; a number where there is none.
fn function_names(backtrace: &WasmBacktrace) -> Vec<String> {
    let name = |frame: &wasmtime::FrameInfo| match frame.func_name() {
        Some(name) => without_hash(name).to_owned(),
        None => format!("function {}", frame.func_index()),
    };
    backtrace.frames().iter().map(name).collect()
}

/// `crate::function` out of `crate::function::h0123456789abcdef`, as Rust's older mangling has it.
fn without_hash(name: &str) -> &str {
    match name.rsplit_once("::h") {
        Some((function, hash)) if hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()) => function,
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::without_hash;

    #[test]
    fn a_hash_is_taken_off() {
        assert_eq!(without_hash("trap::swallow_poison::h0123456789abcdef"), "trap::swallow_poison");
        assert_eq!(without_hash("trap::hello"), "trap::hello");
        assert_eq!(without_hash("main.process"), "main.process");
    }
}
