//! The end of a process on the first error of any of its workers.
//!
//! A worker that stops would leave its peers waiting for ever, and timely has no way to take a dataflow apart under
//! way. So the first error, or panic, of any thread of a job is told to the process's handler, and the process ends at
//! once, without running destructors: they might wait for threads that wait for us. Nothing is lost by that: what
//! counts is what has been committed.

use crate::EngineError;
use std::panic::{self, PanicHookInfo};
use std::sync::OnceLock;
use std::thread::{self, ThreadId};

/// Told the first error. It runs on the failing thread, once, just before the process ends with the code it returns.
pub type FatalHandler = Box<dyn Fn(&EngineError) -> i32 + Send + Sync>;

static HANDLER: OnceLock<FatalHandler> = OnceLock::new();

/// The first failing thread: only its error is told.
static FIRST: OnceLock<ThreadId> = OnceLock::new();

/// Threads with these name prefixes belong to a job: timely's workers and the connectors' readers and writers.
const JOB_THREADS: [&str; 2] = ["timely:", "tidewheel:"];

/// Timely's threads that write to another process, whose index follows, and read from it; and how the message of their
/// panic begins when the connection breaks, which timely promises to keep.
const LINK_THREADS: [&str; 2] = ["timely:send-", "timely:recv-"];
const LINK_BROKEN: &str = "timely communication error:";

/// Sets what happens with the first error of a job, for the whole process. Without it the error is printed and the
/// process ends with code 1.
pub fn on_fatal(handler: FatalHandler) {
    // The first handler stays: a process has one.
    let _ = HANDLER.set(handler);
}

/// Makes a panic on any thread of a job the end of the process. Other threads' panics stay what they are.
pub(crate) fn watch_panics() {
    static WATCHING: OnceLock<()> = OnceLock::new();
    WATCHING.get_or_init(|| {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let current = thread::current();
            match current.name().filter(|name| JOB_THREADS.iter().any(|prefix| name.starts_with(prefix))) {
                Some(name) => fail(panicked(name, info)),
                None => previous(info),
            }
        }));
    });
}

fn panicked(thread: &str, info: &PanicHookInfo<'_>) -> EngineError {
    let place = info.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
    let message = info.payload_as_str().unwrap_or("no message").to_owned();
    if let Some(peer) = LINK_THREADS.iter().find_map(|prefix| thread.strip_prefix(prefix))
        && let Some(reason) = message.strip_prefix(LINK_BROKEN)
    {
        return EngineError::PeerLost(format!("process {peer} is gone:{reason}"));
    }
    let thread = match thread.strip_prefix("timely:work-") {
        Some(worker) => format!("worker {worker}"),
        None => format!("thread {thread:?}"),
    };
    EngineError::Panicked { thread, place, message }
}

/// Ends the process because of `error`.
#[allow(unsafe_code, reason = "_exit is the only way out that waits for no other thread")]
pub(crate) fn fail(error: EngineError) -> ! {
    let mut is_first_call = false;
    let first = *FIRST.get_or_init(|| {
        is_first_call = true;
        thread::current().id()
    });
    if first != thread::current().id() {
        // The first failing thread is about to end the process, and us with it.
        loop {
            thread::park();
        }
    }
    let code = match HANDLER.get() {
        // The handler itself has failed: there is nothing left to say it with.
        _ if !is_first_call => 1,
        Some(handler) => handler(&error),
        None => {
            eprintln!("error: {error}");
            1
        }
    };
    // SAFETY: `_exit` takes any value and does not return.
    unsafe { libc::_exit(code) }
}
