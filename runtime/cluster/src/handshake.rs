//! How two processes that have just been connected make sure of each other.
//!
//! ```text
//! connector ── hello: who I am, whom I mean, of which job and attempt, nonce ──▶ listener
//!           ◀── challenge: my verdict, nonce ──
//!           ── proof ──▶
//!           ◀── proof ──     the listener takes the connection
//! ```
//! A proof is the HMAC of a role, the hello and the challenge. It holds for one connection only, since either side puts
//! its own nonce in, and for one role only, so nobody can be made to prove something for somebody else. The connector
//! proves first: a stranger gets nothing out of a listener but its version, and, when it names the right place in the
//! right job, the attempt.
//!
//! All frames have a fixed size, so nothing that follows them is read by accident. The first ten bytes of a hello and a
//! challenge are the same in every version of the protocol.

use crate::Secret;
use crate::secret::{self, BYTES};
use crate::stream::Stream;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;
use std::io;
use std::time::Instant;

/// To be raised with every change of what is sent here or afterwards.
const VERSION: u16 = 1;

const MAGIC: [u8; 8] = *b"tidewhl\n";

/// Magic and version.
const PREFIX_BYTES: usize = 10;

const HELLO_BYTES: usize = PREFIX_BYTES + 1 + 3 * 4 + 8 + 2 * BYTES;

const CHALLENGE_BYTES: usize = PREFIX_BYTES + 1 + 8 + BYTES;

/// What this process is in its attempt.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Member {
    /// What distinguishes the job from all others.
    pub job: String,
    /// The number of the attempt.
    pub attempt: u64,
    /// This process's index.
    pub process: usize,
    /// How many processes there are.
    pub processes: usize,
    /// What they all know.
    pub secret: Secret,
}

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Records and progress.
    Data,
    /// Credits and heartbeats.
    Side,
    /// None: the connector only wants to know which attempt it is.
    Attempt,
}

/// Why a connection was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    Stranger,
    Version { theirs: u16 },
    Place,
    Job,
    Attempt { theirs: u64 },
    Secret,
    Silent,
    Closed,
    Evicted,
    Failed(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Stranger => write!(f, "it does not speak our protocol"),
            Refusal::Version { theirs } => write!(f, "it speaks version {theirs} of our protocol, not {VERSION}"),
            Refusal::Place => write!(f, "it is, or takes us for, another process of the attempt"),
            Refusal::Job => write!(f, "it belongs to another job, or has found other files for it to read"),
            Refusal::Attempt { theirs } => write!(f, "it belongs to attempt {theirs}"),
            Refusal::Secret => write!(f, "it does not know the attempt's secret"),
            Refusal::Silent => write!(f, "it did not say in time who it is"),
            Refusal::Closed => write!(f, "it closed the connection"),
            Refusal::Evicted => write!(f, "it made place for a newer connection"),
            Refusal::Failed(reason) => write!(f, "{reason}"),
        }
    }
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Refusal::Silent,
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
                Refusal::Closed
            }
            _ => Refusal::Failed(error.to_string()),
        }
    }
}

/// The two who make proofs.
#[derive(Clone, Copy)]
enum Role {
    Connector = 1,
    Listener = 2,
}

/// The first frame, decoded.
struct Hello {
    purpose: u8,
    from: u32,
    to: u32,
    processes: u32,
    attempt: u64,
    job: [u8; BYTES],
}

/// Verdicts of a challenge.
const GO_ON: u8 = 0;
const WRONG_PLACE: u8 = 1;
const WRONG_JOB: u8 = 2;
const WRONG_ATTEMPT: u8 = 3;
const WRONG_VERSION: u8 = 4;

/// The connector's part: makes sure that `stream` leads to process `to` of our attempt, and that it takes us. Returns the
/// listener's attempt.
pub(crate) fn offer(
    stream: &mut Stream,
    member: &Member,
    to: usize,
    purpose: Purpose,
    deadline: Instant,
) -> Result<u64, Refusal> {
    let hello = Hello {
        purpose: purpose as u8,
        from: index(member.process),
        to: index(to),
        processes: index(member.processes),
        attempt: member.attempt,
        job: job_digest(member),
    };
    let hello = hello.encode(&nonce()?);
    stream.write_before(deadline, &hello)?;
    let challenge: [u8; CHALLENGE_BYTES] = read_versioned(stream, deadline)?;
    let (verdict, attempt) = (challenge[PREFIX_BYTES], u64_at(&challenge, PREFIX_BYTES + 1));
    match verdict {
        GO_ON => {}
        WRONG_PLACE => return Err(Refusal::Place),
        WRONG_JOB => return Err(Refusal::Job),
        WRONG_ATTEMPT => return Err(Refusal::Attempt { theirs: attempt }),
        _ => return Err(Refusal::Stranger),
    }
    stream.write_before(deadline, &member.secret.proof(&[&[Role::Connector as u8], &hello, &challenge]))?;
    let mut proof = [0; BYTES];
    // A listener that does not believe our proof closes.
    stream.read_before(deadline, &mut proof)?;
    let is_proven = member.secret.is_proven(&[&[Role::Listener as u8], &hello, &challenge], &proof);
    if is_proven { Ok(attempt) } else { Err(Refusal::Secret) }
}

/// The listener's part: finds out which process of our attempt is at the other end of `stream`, and what for. Just
/// before it takes the connection it asks whether it may.
pub(crate) fn answer(
    stream: &mut Stream,
    member: &Member,
    deadline: Instant,
    may_take: impl FnOnce() -> bool,
) -> Result<(usize, Purpose), Refusal> {
    let hello: [u8; HELLO_BYTES] = match read_versioned(stream, deadline) {
        Ok(hello) => hello,
        Err(refusal) => {
            if matches!(refusal, Refusal::Version { .. }) {
                // So that the user of the other version learns of ours. It may be gone already.
                let _ = stream.write_before(deadline, &challenge(WRONG_VERSION, 0, &[0; BYTES]));
            }
            return Err(refusal);
        }
    };
    let (verdict, greeted) = judge(&Hello::decode(&hello), member);
    let attempt = if verdict == WRONG_ATTEMPT || verdict == GO_ON { member.attempt } else { 0 };
    let challenge = challenge(verdict, attempt, &nonce()?);
    stream.write_before(deadline, &challenge)?;
    let (from, purpose) = greeted?;
    let mut proof = [0; BYTES];
    stream.read_before(deadline, &mut proof)?;
    if !member.secret.is_proven(&[&[Role::Connector as u8], &hello, &challenge], &proof) {
        return Err(Refusal::Secret);
    }
    if !may_take() {
        return Err(Refusal::Evicted);
    }
    stream.write_before(deadline, &member.secret.proof(&[&[Role::Listener as u8], &hello, &challenge]))?;
    Ok((from, purpose))
}

/// The verdict on a hello, and, if it is good, whose it is.
fn judge(hello: &Hello, member: &Member) -> (u8, Result<(usize, Purpose), Refusal>) {
    let purposes = [Purpose::Data, Purpose::Side, Purpose::Attempt];
    let purpose = purposes.into_iter().find(|purpose| *purpose as u8 == hello.purpose);
    // Processes connect to those of lower index.
    let is_in_place = hello.to == index(member.process)
        && hello.processes == index(member.processes)
        && hello.from > hello.to
        && hello.from < hello.processes;
    match purpose {
        Some(purpose) if is_in_place => {
            if hello.job != job_digest(member) {
                (WRONG_JOB, Err(Refusal::Job))
            } else if hello.attempt != member.attempt && purpose != Purpose::Attempt {
                (WRONG_ATTEMPT, Err(Refusal::Attempt { theirs: hello.attempt }))
            } else {
                (GO_ON, Ok((hello.from as usize, purpose)))
            }
        }
        _ => (WRONG_PLACE, Err(Refusal::Place)),
    }
}

impl Hello {
    fn encode(&self, nonce: &[u8; BYTES]) -> [u8; HELLO_BYTES] {
        frame(&[
            &MAGIC,
            &VERSION.to_le_bytes(),
            &[self.purpose],
            &self.from.to_le_bytes(),
            &self.to.to_le_bytes(),
            &self.processes.to_le_bytes(),
            &self.attempt.to_le_bytes(),
            &self.job,
            nonce,
        ])
    }

    fn decode(bytes: &[u8; HELLO_BYTES]) -> Hello {
        let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
        Hello {
            purpose: bytes[PREFIX_BYTES],
            from: word(PREFIX_BYTES + 1),
            to: word(PREFIX_BYTES + 5),
            processes: word(PREFIX_BYTES + 9),
            attempt: u64_at(bytes, PREFIX_BYTES + 13),
            job: bytes[PREFIX_BYTES + 21..PREFIX_BYTES + 21 + BYTES].try_into().expect("a digest"),
        }
    }
}

fn challenge(verdict: u8, attempt: u64, nonce: &[u8; BYTES]) -> [u8; CHALLENGE_BYTES] {
    frame(&[&MAGIC, &VERSION.to_le_bytes(), &[verdict], &attempt.to_le_bytes(), nonce])
}

/// A frame of fixed size made of its parts.
fn frame<const SIZE: usize>(parts: &[&[u8]]) -> [u8; SIZE] {
    parts.concat().try_into().expect("the parts of a frame have fixed sizes")
}

/// Reads a frame that begins with magic and version, and nothing more when these are wrong.
fn read_versioned<const SIZE: usize>(stream: &mut Stream, deadline: Instant) -> Result<[u8; SIZE], Refusal> {
    let mut frame = [0; SIZE];
    stream.read_before(deadline, &mut frame[..PREFIX_BYTES])?;
    if frame[..MAGIC.len()] != MAGIC {
        return Err(Refusal::Stranger);
    }
    let theirs = u16::from_le_bytes([frame[8], frame[9]]);
    if theirs != VERSION {
        return Err(Refusal::Version { theirs });
    }
    stream.read_before(deadline, &mut frame[PREFIX_BYTES..])?;
    Ok(frame)
}

fn nonce() -> Result<[u8; BYTES], Refusal> {
    secret::random().map_err(|error| Refusal::Failed(error.to_string()))
}

fn job_digest(member: &Member) -> [u8; BYTES] {
    Sha256::digest(member.job.as_bytes()).into()
}

fn index(process: usize) -> u32 {
    u32::try_from(process).expect("an attempt has few processes")
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

#[cfg(test)]
mod tests;
