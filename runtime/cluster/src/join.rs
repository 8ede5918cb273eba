//! Connects the processes of an attempt with each other.
//!
//! Each process listens for those of higher index and connects to those of lower index: a data and a side connection for
//! every pair. Whoever cannot prove to be one of them is refused, each on a thread and a deadline of its own, so nobody
//! holds up another. A connection that is not proven makes place when there are too many: real ones take milliseconds.

use crate::ClusterError;
use crate::folder::{bind_in, connect_in};
use crate::handshake::{Member, Purpose, Refusal, answer, offer};
use crate::side::SideSockets;
use crate::stream::Stream;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{Shutdown, TcpListener, TcpStream, ToSocketAddrs};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// How long a connection may take to prove itself.
const HANDSHAKE_MAX: Duration = Duration::from_secs(5);

/// How many connections may be proving themselves at once.
const HANDSHAKES_MAX: usize = 128;

/// How often the listener looks for a new connection.
const ACCEPT_INTERVAL: Duration = Duration::from_millis(2);

/// How long a process waits before it tries again to reach another: at first, and at most.
const RETRY: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(250));

/// The stack of a thread that does one handshake.
const HANDSHAKE_STACK_BYTES: usize = 128 << 10;

/// Where the processes of an attempt meet.
#[derive(Debug)]
pub enum Meeting {
    /// On one machine: at Unix sockets in this folder, the job's data folder.
    Folder(PathBuf),
    /// On several: process *i* listens at the *i*th address, HOST:PORT.
    Hosts {
        /// Where this process listens: [`listen`].
        listener: TcpListener,
        /// Where each is reached, in order.
        addresses: Vec<String>,
    },
}

/// The connections of this process to all others.
#[derive(Debug)]
pub struct Peers {
    /// One to each, for records and progress.
    pub data: DataSockets,
    /// One to each, for credits and heartbeats: [`SideChannels::start`](crate::SideChannels::start) takes them.
    pub side: SideSockets,
}

impl Peers {
    /// This process's index.
    pub fn process(&self) -> usize {
        self.side.0.iter().position(Option::is_none).expect("a process has no connection to itself")
    }

    /// How many processes there are.
    pub fn processes(&self) -> usize {
        self.side.0.len()
    }
}

/// Connected, blocking sockets, by index of the process they lead to; there is none to this process itself. This is what
/// timely's `initialize_networking_from_sockets` takes.
#[derive(Debug)]
pub enum DataSockets {
    /// All on one machine.
    Unix(Vec<Option<UnixStream>>),
    /// On several.
    Tcp(Vec<Option<TcpStream>>),
}

/// Listens at `address` (HOST:PORT) for the processes of an attempt on other machines. Traffic between them is not
/// encrypted: use an address of a private network.
pub fn listen(address: &str) -> Result<TcpListener, ClusterError> {
    TcpListener::bind(address).map_err(|source| ClusterError::Listen { address: address.to_owned(), source })
}

/// Connects this process with all others of the attempt, within `limit`. To be called once an attempt.
pub fn join(member: &Member, meeting: Meeting, limit: Duration) -> Result<Peers, ClusterError> {
    assert!(member.process < member.processes, "a process is one of those of the attempt");
    let deadline = Instant::now() + limit;
    let is_folder = matches!(meeting, Meeting::Folder(_));
    let (listener, addresses) = open(member, meeting)?;
    let (outcomes, inbox) = mpsc::channel();
    let joining =
        Joining { member: Arc::new(member.clone()), outcomes, done: Arc::new(AtomicBool::new(false)), deadline };
    // However this function ends, the threads find out and end too.
    let _done = Done(Arc::clone(&joining.done));
    if let Some(listener) = listener {
        let joining = joining.clone();
        named("accept", move || joining.accept_all(&listener));
    }
    for (peer, address) in addresses.into_iter().enumerate() {
        for purpose in [Purpose::Data, Purpose::Side] {
            let (joining, address) = (joining.clone(), address.clone());
            named("connect", move || joining.reach(peer, purpose, &address));
        }
    }
    drop(joining.outcomes);

    let mut table = Table::new(member.processes);
    while !table.is_complete(member.process) {
        match inbox.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(Outcome::Outdated { peer, by }) => {
                return Err(ClusterError::Outdated { attempt: member.attempt, peer, by });
            }
            Ok(outcome) => table.take(outcome),
            Err(_) => return Err(table.missing(member.process, limit)),
        }
    }
    table.into_peers(is_folder)
}

/// Asks process 0, which listens at `address`, for the number of the attempt that it joins just now. For processes on
/// other machines, which share a secret with it but have no other way to know; `member.attempt` does not matter.
pub fn ask_attempt(member: &Member, address: &str, limit: Duration) -> Result<u64, ClusterError> {
    let (until, mut pause) = (Instant::now() + limit, RETRY.0);
    let address = Address::Host(address.to_owned());
    loop {
        let deadline = until.min(Instant::now() + HANDSHAKE_MAX);
        let asked = address.connect(deadline).map_err(Refusal::from);
        match asked.and_then(|mut stream| offer(&mut stream, member, 0, Purpose::Attempt, deadline)) {
            Ok(attempt) => return Ok(attempt),
            Err(refusal) if Instant::now() + pause >= until => {
                return Err(ClusterError::Missing { peers: vec![0], limit, refusals: vec![refusal.to_string()] });
            }
            Err(_) => thread::sleep(pause),
        }
        pause = (pause * 2).min(RETRY.1);
    }
}

/// What this process listens on.
enum Listener {
    Unix(UnixListener),
    Tcp(TcpListener),
}

/// Where another process is reached.
#[derive(Clone)]
enum Address {
    Socket { folder: PathBuf, name: String },
    Host(String),
}

/// Listens, unless there is nobody of higher index, and says where the processes of lower index are.
fn open(member: &Member, meeting: Meeting) -> Result<(Option<Listener>, Vec<Address>), ClusterError> {
    let is_last = member.process + 1 == member.processes;
    match meeting {
        Meeting::Folder(folder) => {
            let name = |process: usize| format!("process-{process}.sock");
            let listener = if is_last { None } else { Some(bind_in(&folder, &name(member.process))?) };
            let address = |process| Address::Socket { folder: folder.clone(), name: name(process) };
            Ok((listener.map(Listener::Unix), (0..member.process).map(address).collect()))
        }
        Meeting::Hosts { listener, addresses } => {
            assert_eq!(addresses.len(), member.processes, "every process has an address");
            let addresses = addresses.into_iter().take(member.process).map(Address::Host).collect();
            Ok(((!is_last).then_some(Listener::Tcp(listener)), addresses))
        }
    }
}

impl Listener {
    fn accept(&self) -> io::Result<Stream> {
        match self {
            Listener::Unix(unix) => unix.accept().map(|(stream, _)| Stream::Unix(stream)),
            Listener::Tcp(tcp) => tcp.accept().map(|(stream, _)| Stream::Tcp(stream)),
        }
    }

    fn set_nonblocking(&self) -> io::Result<()> {
        match self {
            Listener::Unix(unix) => unix.set_nonblocking(true),
            Listener::Tcp(tcp) => tcp.set_nonblocking(true),
        }
    }
}

impl Address {
    fn connect(&self, deadline: Instant) -> io::Result<Stream> {
        match self {
            Address::Socket { folder, name } => connect_in(folder, name).map(Stream::Unix),
            Address::Host(host) => {
                let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
                for address in host.to_socket_addrs()? {
                    let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
                    match TcpStream::connect_timeout(&address, left) {
                        Ok(stream) => return Ok(Stream::Tcp(stream)),
                        Err(error) => last = error,
                    }
                }
                Err(last)
            }
        }
    }
}

/// What comes of a connection.
enum Outcome {
    Joined {
        peer: usize,
        purpose: Purpose,
        stream: Stream,
    },
    Refused {
        who: String,
        refusal: Refusal,
    },
    /// Where we connected to there is a process of a later attempt.
    Outdated {
        peer: usize,
        by: u64,
    },
}

/// What the threads that make connections share.
#[derive(Clone)]
struct Joining {
    member: Arc<Member>,
    outcomes: Sender<Outcome>,
    done: Arc<AtomicBool>,
    deadline: Instant,
}

/// Tells the threads that nobody waits for them any more.
struct Done(Arc<AtomicBool>);

impl Drop for Done {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

impl Joining {
    /// Connects to `peer`, again and again until it has worked: the peer may not be there yet, or its predecessor still.
    /// A peer of a later attempt shows that there is no use in waiting.
    fn reach(&self, peer: usize, purpose: Purpose, address: &Address) {
        let mut pause = RETRY.0;
        while self.is_wanted() {
            let deadline = self.deadline.min(Instant::now() + HANDSHAKE_MAX);
            let reached = address
                .connect(deadline)
                .map_err(Refusal::from)
                .and_then(|mut stream| offer(&mut stream, &self.member, peer, purpose, deadline).map(|_| stream));
            match reached {
                Ok(stream) => return self.tell(Outcome::Joined { peer, purpose, stream }),
                Err(Refusal::Attempt { theirs }) if theirs > self.member.attempt => {
                    return self.tell(Outcome::Outdated { peer, by: theirs });
                }
                Err(refusal) => self.tell(Outcome::Refused { who: format!("process {peer}"), refusal }),
            }
            thread::sleep(pause);
            pause = (pause * 2).min(RETRY.1);
        }
    }

    fn accept_all(&self, listener: &Listener) {
        let failed = |error: &io::Error| Outcome::Refused {
            who: "a connection".to_owned(),
            refusal: Refusal::Failed(error.to_string()),
        };
        if let Err(error) = listener.set_nonblocking() {
            return self.tell(failed(&error));
        }
        let mut pending: VecDeque<Claim> = VecDeque::new();
        while self.is_wanted() {
            match listener.accept() {
                Ok(stream) => {
                    pending.retain(Claim::is_pending);
                    if pending.len() >= HANDSHAKES_MAX
                        && let Some(oldest) = pending.pop_front()
                    {
                        oldest.evict();
                    }
                    match stream.try_clone() {
                        Ok(copy) => {
                            let claim = Claim(Arc::new(Mutex::new(Some(copy))));
                            pending.push_back(claim.clone());
                            self.receive(stream, claim);
                        }
                        Err(error) => self.tell(failed(&error)),
                    }
                }
                Err(error) => {
                    if error.kind() != io::ErrorKind::WouldBlock {
                        self.tell(failed(&error));
                    }
                    thread::sleep(ACCEPT_INTERVAL);
                }
            }
        }
        pending.iter().for_each(Claim::evict);
    }

    /// Finds out who has connected, on a thread of its own.
    fn receive(&self, mut stream: Stream, claim: Claim) {
        let joining = self.clone();
        let deadline = self.deadline.min(Instant::now() + HANDSHAKE_MAX);
        let handshake = move || {
            let answered = answer(&mut stream, &joining.member, deadline, || claim.take().is_some());
            let outcome = match answered {
                Ok((peer, purpose)) => Outcome::Joined { peer, purpose, stream },
                Err(refusal) => Outcome::Refused { who: "a stranger".to_owned(), refusal },
            };
            // Whatever came of it, it is not pending.
            claim.take();
            joining.tell(outcome);
        };
        let thread = thread::Builder::new().name("tidewheel:handshake".to_owned()).stack_size(HANDSHAKE_STACK_BYTES);
        if let Err(error) = thread.spawn(handshake) {
            let refusal = Refusal::Failed(format!("there is no thread for it: {error}"));
            self.tell(Outcome::Refused { who: "a connection".to_owned(), refusal });
        }
    }

    fn is_wanted(&self) -> bool {
        !self.done.load(Ordering::Acquire) && Instant::now() < self.deadline
    }

    fn tell(&self, outcome: Outcome) {
        // When all have joined, or the limit is over, nobody listens, and the connection is closed.
        let _ = self.outcomes.send(outcome);
    }
}

/// The right to go on with a connection: whoever takes the copy of its socket decides what becomes of it.
#[derive(Clone)]
struct Claim(Arc<Mutex<Option<Stream>>>);

impl Claim {
    fn take(&self) -> Option<Stream> {
        self.0.lock().expect("nothing panics while it holds this lock").take()
    }

    fn is_pending(&self) -> bool {
        self.0.lock().expect("nothing panics while it holds this lock").is_some()
    }

    /// Makes its thread give up at once, unless it has taken the connection.
    fn evict(&self) {
        if let Some(stream) = self.take() {
            stream.shutdown(Shutdown::Both);
        }
    }
}

/// The connections so far, and what else was heard.
struct Table {
    data: Vec<Option<Stream>>,
    side: Vec<Option<Stream>>,
    /// The latest refusal of each, and how many there were.
    refused: BTreeMap<String, (Refusal, usize)>,
}

impl Table {
    fn new(processes: usize) -> Self {
        let none = || (0..processes).map(|_| None).collect();
        Table { data: none(), side: none(), refused: BTreeMap::new() }
    }

    fn take(&mut self, outcome: Outcome) {
        match outcome {
            // A peer that connects again has not heard that it was taken: its latest connection counts.
            Outcome::Joined { peer, purpose: Purpose::Data, stream } => self.data[peer] = Some(stream),
            Outcome::Joined { peer, purpose: Purpose::Side, stream } => self.side[peer] = Some(stream),
            // It knows now, and has no use for the connection.
            Outcome::Joined { purpose: Purpose::Attempt, .. } | Outcome::Outdated { .. } => {}
            Outcome::Refused { who, refusal } => {
                tracing::debug!("{who} was refused: {refusal}");
                let times = self.refused.get(&who).map_or(0, |(_, times)| *times);
                self.refused.insert(who, (refusal, times + 1));
            }
        }
    }

    fn absent(&self, own: usize) -> Vec<usize> {
        let is_there = |peer: &usize| self.data[*peer].is_some() && self.side[*peer].is_some();
        (0..self.data.len()).filter(|peer| *peer != own && !is_there(peer)).collect()
    }

    fn is_complete(&self, own: usize) -> bool {
        self.absent(own).is_empty()
    }

    fn missing(&self, own: usize, limit: Duration) -> ClusterError {
        let refusals = self.refused.iter().map(|(who, (last, times))| format!("{who}: {last} ({times} times)"));
        ClusterError::Missing { peers: self.absent(own), limit, refusals: refusals.collect() }
    }

    fn into_peers(self, is_folder: bool) -> Result<Peers, ClusterError> {
        let broken = |source: io::Error| ClusterError::Channel { reason: source.to_string() };
        for stream in self.data.iter().chain(&self.side).flatten() {
            stream.set_limit(None).and_then(|()| stream.tune()).map_err(broken)?;
        }
        let data = if is_folder {
            DataSockets::Unix(self.data.into_iter().map(|stream| stream.and_then(Stream::into_unix)).collect())
        } else {
            DataSockets::Tcp(self.data.into_iter().map(|stream| stream.and_then(Stream::into_tcp)).collect())
        };
        Ok(Peers { data, side: SideSockets(self.side) })
    }
}

fn named(name: &str, run: impl FnOnce() + Send + 'static) {
    let name = format!("tidewheel:{name}");
    thread::Builder::new().name(name).spawn(run).expect("the system has room for a few threads");
}
