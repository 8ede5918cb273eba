//! The side connections between processes: credits that return, small messages, and a heartbeat a second.
//!
//! They are apart from the data connections because a credit must get through when those are full. Each peer has a thread
//! that writes and one that reads; a sender only leaves its message with the former and never waits.
//!
//! A frame is a kind (one byte), a length (`u32`, little-endian) and as many bytes.

use crate::stream::Stream;
use crate::{ClusterError, LastWords};
use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, BufReader, Read, Write};
use std::net::Shutdown;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

/// The most bytes of a message.
pub const SIDE_MESSAGE_BYTES_MAX: usize = 64 << 10;

/// How many bytes of messages may wait for a peer.
const QUEUE_BYTES_MAX: usize = 1 << 20;

const HEADER_BYTES: usize = 5;

/// Edge, epoch and bytes.
const CREDIT_BYTES: usize = 4 + 8 + 8;

/// How often a process says that it is alive, and after what silence of a peer it takes it for lost.
#[derive(Debug, Clone, Copy)]
pub struct Heartbeat {
    /// The longest it says nothing.
    pub interval: Duration,
    /// The longest a peer may say nothing.
    pub silence_max: Duration,
}

impl Default for Heartbeat {
    fn default() -> Self {
        Heartbeat { interval: Duration::from_secs(1), silence_max: Duration::from_secs(30) }
    }
}

/// Bytes that the receiver of an edge has taken: its sender may send as many again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Credit {
    /// The edge.
    pub edge: u32,
    /// The epoch they were sent in.
    pub epoch: u64,
    /// How many.
    pub bytes: u64,
}

/// What is done with what comes from peers. It is called on the thread that reads from the peer and holds up what follows
/// from the same peer only, so it must not wait.
pub trait SideHandler: Send + Sync + 'static {
    /// A peer returns credit.
    fn credit(&self, peer: usize, credit: Credit);
    /// A peer has sent a message.
    fn message(&self, peer: usize, message: &[u8]);
    /// A peer is lost: called once for each that is.
    fn lost(&self, lost: LostPeer);
}

/// A peer that is gone without goodbye.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostPeer {
    /// Its index.
    pub process: usize,
    /// What happened.
    pub loss: Loss,
}

/// How a peer was lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Loss {
    /// It has said, or read, nothing for so long.
    Silent(Duration),
    /// Its end of the connection is closed: most likely it has died.
    Closed,
    /// The connection failed, for this reason.
    Failed(String),
    /// It sends what makes no sense.
    Garbled,
}

impl fmt::Display for LostPeer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} ", self.process)?;
        match &self.loss {
            Loss::Silent(time) => write!(f, "has been silent for {time:?}"),
            Loss::Closed => write!(f, "is gone"),
            Loss::Failed(reason) => write!(f, "cannot be reached any more: {reason}"),
            Loss::Garbled => write!(f, "sends what makes no sense"),
        }
    }
}

impl From<LostPeer> for LastWords {
    /// What this process says when it ends for the loss: that it is not to blame.
    fn from(lost: LostPeer) -> Self {
        LastWords::consequence(lost.to_string())
    }
}

/// Connected side sockets, by index of the process they lead to.
#[derive(Debug)]
pub struct SideSockets(pub(crate) Vec<Option<Stream>>);

/// The side connections of this process to all others. When it is dropped it says goodbye without waiting.
pub struct SideChannels {
    links: Vec<Option<Arc<Link>>>,
}

/// What the threads of one peer and its senders share.
struct Link {
    process: usize,
    heartbeat: Heartbeat,
    socket: Stream,
    outgoing: Mutex<Outgoing>,
    changed: Condvar,
    handler: Arc<dyn SideHandler>,
    is_told: AtomicBool,
}

/// What waits for a peer's writer.
#[derive(Default)]
struct Outgoing {
    /// Whole frames.
    frames: Vec<u8>,
    /// Bytes by edge and epoch. Only open epochs have any, so there are few.
    credits: BTreeMap<(u32, u64), u64>,
    /// We leave: say goodbye when all is sent.
    is_leaving: bool,
    /// The peer is lost, or does not listen any more: nothing can be sent.
    is_gone: bool,
    /// The reader has ended.
    is_read: bool,
    /// The writer has ended.
    is_written: bool,
}

/// What a frame holds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Heartbeat = 1,
    Credits = 2,
    Message = 3,
    Goodbye = 4,
}

impl SideChannels {
    /// Starts to listen to all peers, and to tell them that we are alive.
    pub fn start(
        sockets: SideSockets,
        heartbeat: Heartbeat,
        handler: Arc<dyn SideHandler>,
    ) -> Result<SideChannels, ClusterError> {
        let broken = |error: io::Error| ClusterError::Channel { reason: error.to_string() };
        let mut links = Vec::new();
        for (process, socket) in sockets.0.into_iter().enumerate() {
            let Some(socket) = socket else {
                links.push(None);
                continue;
            };
            socket.set_limit(Some(heartbeat.silence_max)).map_err(broken)?;
            let (reader, writer) = (socket.try_clone().map_err(broken)?, socket.try_clone().map_err(broken)?);
            let link = Arc::new(Link {
                process,
                heartbeat,
                socket,
                outgoing: Mutex::default(),
                changed: Condvar::new(),
                handler: Arc::clone(&handler),
                is_told: AtomicBool::new(false),
            });
            let (reading, writing) = (Arc::clone(&link), Arc::clone(&link));
            named("side-read", move || reading.read_from(reader));
            named("side-write", move || writing.write_to(writer));
            links.push(Some(link));
        }
        Ok(SideChannels { links })
    }

    /// Returns credit to the process that sent the bytes. What has not gone out yet is added up, so this never fails for
    /// want of room. A peer that is gone needs none.
    pub fn return_credit(&self, peer: usize, credit: Credit) {
        let link = self.link(peer);
        let mut outgoing = link.outgoing();
        if !outgoing.is_gone && !outgoing.is_leaving {
            *outgoing.credits.entry((credit.edge, credit.epoch)).or_default() += credit.bytes;
            link.changed.notify_all();
        }
    }

    /// Sends a small message, without waiting: it fails when a mebibyte waits for the peer already.
    pub fn send(&self, peer: usize, message: &[u8]) -> Result<(), ClusterError> {
        if message.len() > SIDE_MESSAGE_BYTES_MAX {
            return Err(ClusterError::TooLarge { bytes: message.len(), bytes_max: SIDE_MESSAGE_BYTES_MAX });
        }
        let link = self.link(peer);
        let mut outgoing = link.outgoing();
        if outgoing.is_gone || outgoing.is_leaving {
            return Err(ClusterError::Gone { process: peer });
        }
        let bytes = outgoing.frames.len();
        if bytes + HEADER_BYTES + message.len() > QUEUE_BYTES_MAX {
            return Err(ClusterError::QueueFull { process: peer, bytes });
        }
        put(&mut outgoing.frames, Kind::Message, message);
        link.changed.notify_all();
        Ok(())
    }

    /// Sends what waits, says goodbye, and waits for the others to do the same, for `limit` at most. From now on no peer
    /// is reported lost. Returns whether all have left.
    pub fn close(&self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        let links = || self.links.iter().flatten();
        links().for_each(|link| link.leave());
        links().all(|link| link.wait_for_end(deadline))
    }

    fn link(&self, peer: usize) -> &Link {
        self.links[peer].as_ref().expect("a process has no connection to itself")
    }
}

impl Drop for SideChannels {
    fn drop(&mut self) {
        self.links.iter().flatten().for_each(|link| link.leave());
    }
}

impl Link {
    fn outgoing(&self) -> MutexGuard<'_, Outgoing> {
        self.outgoing.lock().expect("nothing panics while it holds this lock")
    }

    fn leave(&self) {
        self.outgoing().is_leaving = true;
        self.changed.notify_all();
    }

    fn wait_for_end(&self, deadline: Instant) -> bool {
        let mut outgoing = self.outgoing();
        while !(outgoing.is_read && outgoing.is_written) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let waited = self.changed.wait_timeout(outgoing, left);
            outgoing = waited.expect("nothing panics while it holds this lock").0;
        }
        true
    }

    /// Writes what is left for it, in one piece as far as it has come together, and a heartbeat when there is nothing.
    fn write_to(&self, mut stream: Stream) {
        let mut bytes = Vec::new();
        loop {
            let is_last = self.next_bytes(&mut bytes);
            if bytes.is_empty() && is_last {
                break;
            }
            if let Err(error) = stream.write_all(&bytes) {
                self.writing_failed(&error);
                break;
            }
            if is_last {
                break;
            }
        }
        // The peer reads an end after the goodbye; we go on reading.
        stream.shutdown(Shutdown::Write);
        self.outgoing().is_written = true;
        self.changed.notify_all();
    }

    /// Waits for something to write, puts it into `bytes` and returns whether nothing comes after it.
    fn next_bytes(&self, bytes: &mut Vec<u8>) -> bool {
        bytes.clear();
        let mut outgoing = self.outgoing();
        let has_work = |outgoing: &Outgoing| {
            outgoing.is_gone || outgoing.is_leaving || !outgoing.frames.is_empty() || !outgoing.credits.is_empty()
        };
        let deadline = Instant::now() + self.heartbeat.interval;
        while !has_work(&outgoing) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                put(bytes, Kind::Heartbeat, &[]);
                return false;
            }
            let waited = self.changed.wait_timeout(outgoing, left);
            outgoing = waited.expect("nothing panics while it holds this lock").0;
        }
        if outgoing.is_gone {
            return true;
        }
        std::mem::swap(bytes, &mut outgoing.frames);
        let credits = std::mem::take(&mut outgoing.credits);
        let is_leaving = outgoing.is_leaving;
        drop(outgoing);
        put_credits(bytes, credits);
        if is_leaving {
            put(bytes, Kind::Goodbye, &[]);
        }
        is_leaving
    }

    fn writing_failed(&self, error: &io::Error) {
        match error.kind() {
            // Why the peer is gone is the reader's to find out: there may be a goodbye to read.
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => self.outgoing().is_gone = true,
            _ => self.lose(self.loss(error)),
        }
    }

    fn read_from(&self, stream: Stream) {
        let mut reader = BufReader::new(stream);
        let mut payload = Vec::new();
        let mut has_left = false;
        let loss = loop {
            match read_frame(&mut reader, &mut payload) {
                Ok(Some(Kind::Heartbeat)) => {}
                Ok(Some(Kind::Message)) => self.handler.message(self.process, &payload),
                Ok(Some(Kind::Credits)) => {
                    for credit in payload.chunks_exact(CREDIT_BYTES) {
                        self.handler.credit(self.process, decode_credit(credit));
                    }
                }
                // It says nothing more, and listens until we have left too.
                Ok(Some(Kind::Goodbye)) => has_left = true,
                Ok(None) => break Loss::Closed,
                Err(error) => break self.loss(&error),
            }
        };
        if !has_left {
            self.lose(loss);
        }
        self.outgoing().is_read = true;
        self.changed.notify_all();
    }

    fn loss(&self, error: &io::Error) -> Loss {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Loss::Silent(self.heartbeat.silence_max),
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => Loss::Closed,
            io::ErrorKind::InvalidData => Loss::Garbled,
            _ => Loss::Failed(error.to_string()),
        }
    }

    /// Reports the peer as lost, once, unless we are leaving ourselves.
    fn lose(&self, loss: Loss) {
        let is_leaving = {
            let mut outgoing = self.outgoing();
            outgoing.is_gone = true;
            outgoing.is_leaving
        };
        self.changed.notify_all();
        self.socket.shutdown(Shutdown::Both);
        if !is_leaving && !self.is_told.swap(true, Ordering::AcqRel) {
            self.handler.lost(LostPeer { process: self.process, loss });
        }
    }
}

fn put(frames: &mut Vec<u8>, kind: Kind, payload: &[u8]) {
    frames.push(kind as u8);
    frames.extend((payload.len() as u32).to_le_bytes());
    frames.extend(payload);
}

fn put_credits(frames: &mut Vec<u8>, credits: BTreeMap<(u32, u64), u64>) {
    let encode = |((edge, epoch), bytes): ((u32, u64), u64)| {
        let mut credit = Vec::with_capacity(CREDIT_BYTES);
        credit.extend(edge.to_le_bytes());
        credit.extend(epoch.to_le_bytes());
        credit.extend(bytes.to_le_bytes());
        credit
    };
    let credits: Vec<u8> = credits.into_iter().flat_map(encode).collect();
    let most = SIDE_MESSAGE_BYTES_MAX / CREDIT_BYTES * CREDIT_BYTES;
    credits.chunks(most).for_each(|piece| put(frames, Kind::Credits, piece));
}

fn decode_credit(bytes: &[u8]) -> Credit {
    let long = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
    let edge = u32::from_le_bytes(bytes[..4].try_into().expect("four bytes"));
    Credit { edge, epoch: long(4), bytes: long(12) }
}

/// Reads the next frame's payload; `None` at an end between two frames.
fn read_frame(reader: &mut impl Read, payload: &mut Vec<u8>) -> io::Result<Option<Kind>> {
    let mut header = [0; HEADER_BYTES];
    loop {
        match reader.read(&mut header[..1]) {
            Ok(0) => return Ok(None),
            Ok(_) => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    reader.read_exact(&mut header[1..])?;
    let bytes = u32::from_le_bytes(header[1..].try_into().expect("four bytes")) as usize;
    let kinds = [Kind::Heartbeat, Kind::Credits, Kind::Message, Kind::Goodbye];
    let kind = kinds.into_iter().find(|kind| *kind as u8 == header[0]);
    let fits = |kind: &Kind| match kind {
        Kind::Heartbeat | Kind::Goodbye => bytes == 0,
        Kind::Credits => bytes.is_multiple_of(CREDIT_BYTES) && bytes <= SIDE_MESSAGE_BYTES_MAX,
        Kind::Message => bytes <= SIDE_MESSAGE_BYTES_MAX,
    };
    let Some(kind) = kind.filter(fits) else { return Err(io::ErrorKind::InvalidData.into()) };
    payload.resize(bytes, 0);
    reader.read_exact(payload)?;
    Ok(Some(kind))
}

fn named(name: &str, run: impl FnOnce() + Send + 'static) {
    let name = format!("tidewheel:{name}");
    thread::Builder::new().name(name).spawn(run).expect("the system has room for a few threads");
}

#[cfg(test)]
mod tests;
