//! The server: [`run`] on a runtime of the caller's, [`Server`] on a thread of its own.

use crate::JobApi;
use crate::routes;
use std::io;
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

/// How long a server that is told to stop waits for its last answers to be taken.
const GRACE: Duration = Duration::from_secs(5);

/// How many calls may be under way; more wait.
const CALLS_MAX: usize = 32;

/// Offers `api` to whoever connects to `listener`, until `shutdown`; then finishes the answers under way. Who may connect
/// is the caller's to decide, by what the listener is bound to: there is no other check.
pub async fn run<L>(listener: L, shutdown: impl Future<Output = ()> + Send + 'static, api: Arc<dyn JobApi>)
where
    L: axum::serve::Listener,
    L::Addr: std::fmt::Debug,
{
    // It never ends with an error: accepting goes on whatever happens to a connection.
    let _ = axum::serve(listener, routes::router(api)).with_graceful_shutdown(shutdown).await;
}

/// A server on a thread of its own. Dropping it stops it.
#[derive(Debug)]
pub struct Server {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Offers `api` to whoever connects to `listener`.
    pub fn start(listener: UnixListener, api: Arc<dyn JobApi>) -> io::Result<Server> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(CALLS_MAX)
            .thread_name("api")
            .enable_all()
            .build()?;
        listener.set_nonblocking(true)?;
        let listener = {
            let _context = runtime.enter();
            tokio::net::UnixListener::from_std(listener)?
        };
        let (stop, stopped) = oneshot::channel();
        let serve = move || serve(runtime, listener, stopped, api);
        let thread = thread::Builder::new().name("api-server".to_owned()).spawn(serve)?;
        Ok(Server { stop: Some(stop), thread: Some(thread) })
    }

    /// Takes no more requests, waits until those under way are answered, 5 s at most, and ends.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // It can only have panicked, and has then said so.
            let _ = thread.join();
        }
    }
}

fn serve(runtime: Runtime, listener: tokio::net::UnixListener, stopped: oneshot::Receiver<()>, api: Arc<dyn JobApi>) {
    runtime.block_on(async {
        let (signal, signalled) = oneshot::channel();
        let shutdown = async {
            // The sender is dropped, or sends: either means stop.
            let _ = stopped.await;
            let _ = signal.send(());
        };
        let grace_over = async {
            let _ = signalled.await;
            tokio::time::sleep(GRACE).await;
        };
        tokio::select! {
            () = run(listener, shutdown, api) => {}
            () = grace_over => tracing::warn!("the last requests were not answered in {} s", GRACE.as_secs()),
        }
    });
    // A call that does not end, of a client that is gone, does not hold up the process.
    runtime.shutdown_background();
}
