//! Threads of connectors: what waits for a disk or a pipe runs on one.

use crate::{ConnectorError, Waker};
use std::thread::Builder;

/// What connectors keep is on the heap.
const STACK_BYTES: usize = 256 << 10;

/// The engine ends the process when a thread whose name begins so panics, and says why.
const THREAD_NAME: &str = "tidewheel:io";

/// Runs `body` on a thread, which the process does not wait for when it ends. `what` names its work, for errors.
///
/// The waker is called when the thread has ended, even by a panic, and everything `body` owns has been dropped: whoever
/// waits for it finds its channels closed.
pub(crate) fn spawn(what: &str, waker: Waker, body: impl FnOnce() + Send + 'static) -> Result<(), ConnectorError> {
    let run = move || {
        let _wake = WakeOnDrop(waker);
        body();
    };
    match Builder::new().name(THREAD_NAME.to_owned()).stack_size(STACK_BYTES).spawn(run) {
        Ok(_) => Ok(()),
        Err(source) => Err(ConnectorError::Open {
            action: "start a thread for",
            path: what.to_owned(),
            hint: "allow this process more threads, or use fewer files".to_owned(),
            source,
        }),
    }
}

struct WakeOnDrop(Waker);

impl Drop for WakeOnDrop {
    fn drop(&mut self) {
        (self.0)();
    }
}
