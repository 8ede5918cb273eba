//! The threads that wait for stores: one small tokio runtime for the whole process.

use crate::error::CheckpointError;
use std::future::Future;
use std::sync::OnceLock;
use tokio::runtime::{Builder, Runtime};

/// Stores are waited for, not computed with.
const THREADS: usize = 2;

static RUNTIME: OnceLock<Runtime> = OnceLock::new();

/// Starts the runtime if it is not there.
pub(crate) fn start() -> Result<&'static Runtime, CheckpointError> {
    if let Some(runtime) = RUNTIME.get() {
        return Ok(runtime);
    }
    let runtime = Builder::new_multi_thread()
        .worker_threads(THREADS)
        .thread_name("store")
        .enable_all()
        .build()
        .map_err(|source| CheckpointError::Threads { source })?;
    // Another thread may have been faster; then this one's is dropped.
    Ok(RUNTIME.get_or_init(|| runtime))
}

/// Waits until `future` is done.
pub(crate) fn wait<T>(runtime: &Runtime, future: impl Future<Output = T>) -> T {
    runtime.block_on(future)
}
