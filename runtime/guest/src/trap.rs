//! From wasmtime's error to ours: which limit it was, where the guest stood, and whom it blamed, or what it said.

use crate::error::{GuestError, Trap, TrapCause};
use crate::host::{HostCallError, HostState};
use crate::limits::Limits;
use rustc_demangle::demangle;
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
    match error.downcast_ref() {
        Some(HostCallError::Backend(source)) => return GuestError::State { function, source: source.clone() },
        Some(HostCallError::NoHttp(reason)) => return GuestError::Http { reason: reason.clone() },
        _ => {}
    }
    let (backtrace, addresses) = error.downcast_ref::<WasmBacktrace>().map(functions).unwrap_or_default();
    let (mut cause, blamed, said) = (cause(error, limits, host), host.log.take_blamed(), host.log.take_last_error());
    // A guest that gives up says why: of a record by blaming it, otherwise in its log.
    if let (TrapCause::Illegal(reason), None, Some(said)) = (&mut cause, &blamed, said)
        && error.downcast_ref() == Some(&wasmtime::Trap::UnreachableCodeReached)
    {
        *reason = format!("{reason}: {said}");
    }
    Trap { operator: operator.to_owned(), function, cause, backtrace, addresses, blamed }.into()
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
    let output_bytes_max = limits.output_bytes_max;
    match error.downcast_ref() {
        Some(HostCallError::TooMuchWritten { .. }) => return TrapCause::Output { output_bytes_max },
        Some(HostCallError::Unanswered) => {
            return TrapCause::Unanswered { deadline_ms_max: limits.deadline_ms_max };
        }
        Some(HostCallError::TooMuchReceived { .. }) => return TrapCause::Received { output_bytes_max },
        Some(HostCallError::TooMuchRead { .. }) => return TrapCause::StateRead { output_bytes_max },
        _ => {}
    }
    let reason = error.root_cause().to_string();
    if reason.contains(TOO_MUCH_PASSED) {
        return TrapCause::Output { output_bytes_max };
    }
    TrapCause::Illegal(reason.strip_prefix("wasm trap: ").unwrap_or(&reason).to_owned())
}

/// The names of the functions on the guest's stack, without those of a panic under way, a number where there is none; and
/// where they are in the component.
fn functions(backtrace: &WasmBacktrace) -> (Vec<String>, Vec<Option<u64>>) {
    let name = |frame: &wasmtime::FrameInfo| match frame.func_name() {
        // Without the hash that Rust's older mangling adds. What is not Rust stays as it is.
        Some(name) => format!("{:#}", demangle(name)),
        None => format!("function {}", frame.func_index()),
    };
    let address = |frame: &wasmtime::FrameInfo| frame.module_offset().map(|offset| offset as u64);
    let frames = backtrace.frames().iter().map(|frame| (name(frame), address(frame)));
    frames.skip_while(|(name, _)| is_of_a_panic(name)).unzip()
}

/// Whether a function of Rust's standard library runs between a panic and the trap it ends with.
pub(crate) fn is_of_a_panic(function: &str) -> bool {
    ["__rustc::", "core::panicking::", "std::panicking::", "std::sys::backtrace::"]
        .iter()
        .any(|module| function.trim_start_matches('<').starts_with(module))
}

#[cfg(test)]
mod tests {
    use super::{demangle, is_of_a_panic};

    #[test]
    fn names_are_as_the_source_has_them() {
        let name = |mangled| format!("{:#}", demangle(mangled));
        assert_eq!(name("_ZN4trap14swallow_poison17h1e1458e145971c16E"), "trap::swallow_poison");
        assert_eq!(name("_RNvNtCsgXGp5Oqx2Ny_4core9panicking9panic_fmt"), "core::panicking::panic_fmt");
        assert_eq!(name("main.process"), "main.process");
        assert!(is_of_a_panic("core::panicking::panic_fmt") && !is_of_a_panic("trap::swallow_poison"));
    }
}
