//! The ticker: a thread that lets time pass for guests.
//!
//! Compiled code looks, at every loop and call, at a number that the engine counts up, and traps when it has passed the
//! instance's deadline. (Wasmtime calls that number an epoch; here an epoch is something else.) The ticker counts it up
//! every [`TICK_MS`] while a call is in flight, and sleeps without a timeout when none is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{Builder, JoinHandle, Thread, sleep};
use std::time::Duration;
use wasmtime::Engine;

/// How often the time is counted up.
pub(crate) const TICK_MS: u64 = 10;

/// Ticks after which a call that may take `deadline_ms` has surely had them: the first tick may come at once.
pub(crate) fn ticks(deadline_ms: u64) -> u64 {
    deadline_ms.div_ceil(TICK_MS) + 1
}

/// The ticker of an engine. It ends with this value.
pub(crate) struct Ticker {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    /// To wake it.
    handle: Thread,
}

#[derive(Default)]
struct Shared {
    in_flight: AtomicUsize,
    /// Whether the thread sleeps, or is about to. Whoever takes it back wakes the thread.
    parked: AtomicBool,
    ended: AtomicBool,
}

impl Ticker {
    /// Starts the ticker of `engine`.
    pub(crate) fn start(engine: Engine) -> std::io::Result<Ticker> {
        let shared = Arc::new(Shared::default());
        let of_thread = Arc::clone(&shared);
        let thread = Builder::new().name("guest-ticker".to_owned()).spawn(move || of_thread.run(&engine))?;
        Ok(Ticker { shared, handle: thread.thread().clone(), thread: Some(thread) })
    }

    /// Time passes until the guard is dropped.
    pub(crate) fn call(&self) -> InFlight<'_> {
        // In the total order of these operations, either this sees that the thread parks, or the thread sees this call.
        self.shared.in_flight.fetch_add(1, Ordering::SeqCst);
        if self.shared.parked.load(Ordering::SeqCst) && self.shared.parked.swap(false, Ordering::SeqCst) {
            self.handle.unpark();
        }
        InFlight(&self.shared)
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        self.handle.unpark();
        if let Some(thread) = self.thread.take() {
            // It cannot have panicked: it does nothing that could.
            let _ = thread.join();
        }
    }
}

/// A call under way.
pub(crate) struct InFlight<'a>(&'a Shared);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Shared {
    fn run(&self, engine: &Engine) {
        while !self.ended.load(Ordering::SeqCst) {
            if self.in_flight.load(Ordering::SeqCst) > 0 {
                sleep(Duration::from_millis(TICK_MS));
                engine.increment_epoch();
                continue;
            }
            self.parked.store(true, Ordering::SeqCst);
            // A thread that is unparked before it parks does not sleep, so the end is not missed either.
            if self.in_flight.load(Ordering::SeqCst) == 0 && !self.ended.load(Ordering::SeqCst) {
                std::thread::park();
            }
            self.parked.store(false, Ordering::SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Ticker, ticks};
    use std::sync::atomic::Ordering;
    use std::time::{Duration, Instant};
    use wasmtime::Engine;

    #[test]
    fn a_deadline_is_never_cut_short() {
        assert_eq!((ticks(0), ticks(1), ticks(10), ticks(11), ticks(5_000)), (1, 2, 2, 3, 501));
    }

    #[test]
    fn the_ticker_sleeps_while_no_call_is_in_flight() {
        let ticker = Ticker::start(Engine::default()).unwrap();
        let parks = |expected: bool| {
            let start = Instant::now();
            while ticker.shared.parked.load(Ordering::SeqCst) != expected {
                assert!(start.elapsed() < Duration::from_secs(10), "the ticker does not get to parked = {expected}");
                std::thread::sleep(Duration::from_millis(1));
            }
        };
        for _ in 0..3 {
            parks(true);
            let one = ticker.call();
            let two = ticker.call();
            parks(false);
            drop(one);
            std::thread::sleep(Duration::from_millis(30));
            assert!(!ticker.shared.parked.load(Ordering::SeqCst), "a call is still in flight");
            drop(two);
        }
    }
}
