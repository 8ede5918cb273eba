//! The other processes of a job: how timely reaches them, the credit that goes back to them, what they count, and the
//! end of this process when one of them is lost.
//!
//! Records and progress go by timely's own threads. All else goes by the side channels, which get through when those are
//! full: credit to whoever sent the bytes, and counters to process 0, which tells the user.

use crate::credit::{Credit, GiveBack};
use crate::error::EngineError;
use crate::fatal;
use crate::metrics::{JobMetrics, PeerMessage};
use std::any::Any;
use std::io;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tidewheel_cluster::{
    ClusterError, Credit as SideCredit, DataSockets, Heartbeat, Loss, LostPeer, SideChannels, SideHandler, SideSockets,
};
use tidewheel_types::Epoch;
use timely::CommunicationConfig;
use timely::communication::allocator::zero_copy::initialize::initialize_networking_from_sockets;
use timely::communication::allocator::zero_copy::stream::Stream;
use timely::communication::allocator::{AllocatorBuilder, ProcessBuilder};
use timely::communication::initialize::Hooks;

/// How often a process tells what it counts.
const COUNTERS_INTERVAL: Duration = Duration::from_millis(500);

/// How long a process that has finished waits for the others to say the same.
const LEAVE_MAX: Duration = Duration::from_secs(60);

/// What timely starts the workers of a process with, and what it holds on to until they have ended.
type Workers = (Vec<AllocatorBuilder>, Box<dyn Any + Send>);

/// The ways between `workers` threads of this process, and to those of others if there are any.
pub(crate) fn connect_workers(workers: usize, process: usize, data: Option<DataSockets>) -> Result<Workers, String> {
    match (data, workers) {
        (None, 1) => CommunicationConfig::Thread.try_build(),
        (None, workers) => CommunicationConfig::Process(workers).try_build(),
        (Some(DataSockets::Unix(sockets)), workers) => connect_processes(workers, process, sockets),
        (Some(DataSockets::Tcp(sockets)), workers) => connect_processes(workers, process, sockets),
    }
}

fn connect_processes<S: Stream + 'static>(
    workers: usize,
    process: usize,
    sockets: Vec<Option<S>>,
) -> Result<Workers, String> {
    let hooks = Hooks::default();
    // Between threads of one process parcels change hands without a copy.
    let local = ProcessBuilder::new_typed_vector(workers, hooks.refill.clone(), hooks.spill.clone());
    let connected = initialize_networking_from_sockets(local, sockets, process, workers, hooks);
    let (builders, threads) = connected.map_err(|error: io::Error| error.to_string())?;
    Ok((builders.into_iter().map(AllocatorBuilder::Tcp).collect(), Box::new(threads)))
}

/// The way of credit back to other processes, open before the first record moves.
#[derive(Default)]
pub(crate) struct CreditReturn(OnceLock<Arc<SideChannels>>);

impl GiveBack for CreditReturn {
    fn give_back(&self, process: u32, edge: u32, epoch: Epoch, bytes: u64) {
        let side = self.0.get().expect("side channels are there before the workers are");
        side.return_credit(process as usize, SideCredit { edge, epoch, bytes });
    }
}

/// The side channels to the other processes.
pub(crate) struct Peers {
    side: Arc<SideChannels>,
    /// Tells process 0 what this one counts, until the sender is dropped; process 0 has none.
    counting: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Peers {
    /// Begins to listen to the other processes. `credits` are this process's edges, and `returning` their way back.
    pub(crate) fn start(
        sockets: SideSockets,
        process: usize,
        credits: Vec<Arc<Credit>>,
        metrics: &Arc<JobMetrics>,
        returning: &CreditReturn,
    ) -> Result<Peers, EngineError> {
        let handler = Handler { credits, metrics: metrics.clone() };
        let side = SideChannels::start(sockets, Heartbeat::default(), Arc::new(handler))?;
        let side = Arc::new(side);
        // It is set once: a process starts one job.
        let _ = returning.0.set(side.clone());
        let counting = (process != 0).then(|| count(side.clone(), metrics.clone()));
        Ok(Peers { side, counting: counting.transpose()? })
    }

    /// Leaves the job, all of this process's work done: the last counters go out, and those of the others come in.
    pub(crate) fn leave(mut self) {
        if let Some((stop, thread)) = self.counting.take() {
            drop(stop);
            // A panic of a thread of the job ends the process.
            let _ = thread.join();
        }
        if !self.side.close(LEAVE_MAX) {
            tracing::warn!("a process of the job has not said that it has finished: counters may be incomplete");
        }
    }
}

/// Starts the thread that tells process 0 what this process counts.
fn count(side: Arc<SideChannels>, metrics: Arc<JobMetrics>) -> Result<(Sender<()>, JoinHandle<()>), EngineError> {
    let (stop, stopped) = mpsc::channel::<()>();
    let thread = thread::Builder::new().name("tidewheel:counters".to_owned()).spawn(move || {
        while stopped.recv_timeout(COUNTERS_INTERVAL) == Err(RecvTimeoutError::Timeout) {
            tell_counters(&side, &metrics);
        }
        tell_counters(&side, &metrics);
    });
    Ok((stop, thread.map_err(|error| EngineError::Start(error.to_string()))?))
}

fn tell_counters(side: &SideChannels, metrics: &JobMetrics) {
    let tell = |message: &PeerMessage| {
        let told = side.send(0, &message.to_bytes());
        if let Err(error) = &told {
            tracing::debug!("process 0 does not hear what is counted here: {error}");
        }
        told
    };
    for mut node in metrics.own() {
        let message = PeerMessage::Node(node.clone());
        if let Err(ClusterError::TooLarge { .. }) = tell(&message) {
            // Of these it has too many.
            node.counters.metrics.clear();
            let _ = tell(&PeerMessage::Node(node));
        }
    }
    metrics.own_claims().iter().for_each(|claims| _ = tell(claims));
}

/// What is done with what comes from other processes.
struct Handler {
    credits: Vec<Arc<Credit>>,
    metrics: Arc<JobMetrics>,
}

impl SideHandler for Handler {
    fn credit(&self, peer: usize, credit: SideCredit) {
        match self.credits.get(credit.edge as usize) {
            Some(edge) => edge.given_back(credit.epoch, credit.bytes),
            None => self.lost(LostPeer { process: peer, loss: Loss::Garbled }),
        }
    }

    fn message(&self, peer: usize, message: &[u8]) {
        match PeerMessage::from_bytes(message) {
            Some(told) => self.metrics.told(peer, told),
            None => self.lost(LostPeer { process: peer, loss: Loss::Garbled }),
        }
    }

    fn lost(&self, lost: LostPeer) {
        fatal::fail(EngineError::PeerLost(lost.to_string()))
    }
}
