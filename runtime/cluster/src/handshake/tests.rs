//! Handshakes between members, and with everybody else.

use super::{BYTES, CHALLENGE_BYTES, HELLO_BYTES, Member, Purpose, Refusal, answer, offer};
use crate::Secret;
use crate::stream::Stream;
use proptest::prelude::{ProptestConfig, any, prop, proptest};
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

/// More than a handshake takes on a busy machine.
const LIMIT: Duration = Duration::from_secs(10);

fn member(process: usize) -> Member {
    Member { job: "job".to_owned(), attempt: 7, process, processes: 3, secret: "ab".repeat(32).parse().unwrap() }
}

type Answer = Result<(usize, Purpose), Refusal>;

/// What a connector makes of a listener, and the other way round.
fn meet(connector: &Member, listener: &Member, to: usize) -> (Result<u64, Refusal>, Answer) {
    let (near, far) = UnixStream::pair().unwrap();
    let deadline = Instant::now() + LIMIT;
    thread::scope(|scope| {
        let answered = scope.spawn(move || answer(&mut Stream::Unix(far), listener, deadline, || true));
        let offered = offer(&mut Stream::Unix(near), connector, to, Purpose::Side, deadline);
        (offered, answered.join().unwrap())
    })
}

/// What a listener, process 0, makes of someone who sends `bytes`, and what it says.
fn receive(bytes: &[u8]) -> (Answer, Vec<u8>) {
    let (mut stranger, socket) = UnixStream::pair().unwrap();
    stranger.write_all(bytes).unwrap();
    stranger.shutdown(Shutdown::Write).unwrap();
    let answered = answer(&mut Stream::Unix(socket), &member(0), Instant::now() + LIMIT, || true);
    let mut said = Vec::new();
    // A reset, of a listener that left some of it unread, is an end as well.
    let _ = stranger.read_to_end(&mut said);
    (answered, said)
}

/// Two members through somebody who copies, counting from zero, every byte of both directions in the order of the
/// protocol, and changes it with `change`. Returns the copy of what the connector said too.
fn meet_through(change: impl Fn(usize, u8) -> u8) -> (Result<u64, Refusal>, Answer, Vec<u8>) {
    let ((near, mut near_middle), (mut far_middle, far)) = (UnixStream::pair().unwrap(), UnixStream::pair().unwrap());
    let deadline = Instant::now() + LIMIT;
    thread::scope(|scope| {
        let answered = scope.spawn(move || answer(&mut Stream::Unix(far), &member(0), deadline, || true));
        let offered = scope.spawn(move || offer(&mut Stream::Unix(near), &member(1), 0, Purpose::Data, deadline));
        let (mut place, mut said) = (0, Vec::new());
        let frames = [(HELLO_BYTES, true), (CHALLENGE_BYTES, false), (BYTES, true), (BYTES, false)];
        for (size, is_from_connector) in frames {
            let (from, to) = if is_from_connector {
                (&mut near_middle, &mut far_middle)
            } else {
                (&mut far_middle, &mut near_middle)
            };
            let mut frame = vec![0; size];
            if from.read_exact(&mut frame).is_err() {
                break;
            }
            if is_from_connector {
                said.extend(&frame);
            }
            for byte in &mut frame {
                *byte = change(place, *byte);
                place += 1;
            }
            if to.write_all(&frame).is_err() {
                break;
            }
        }
        drop((near_middle, far_middle));
        (offered.join().unwrap(), answered.join().unwrap(), said)
    })
}

#[test]
fn members_agree_and_nothing_that_follows_is_read() {
    let (near, far) = UnixStream::pair().unwrap();
    let deadline = Instant::now() + LIMIT;
    let listener = thread::spawn(move || {
        let mut stream = Stream::Unix(far);
        let answered = answer(&mut stream, &member(1), deadline, || true);
        stream.write_all(b"after").unwrap();
        (answered, stream)
    });
    let mut stream = Stream::Unix(near);
    offer(&mut stream, &member(2), 1, Purpose::Data, deadline).unwrap();
    let mut after = [0; 5];
    stream.read_exact(&mut after).unwrap();
    assert_eq!(&after, b"after");
    assert_eq!(listener.join().unwrap().0, Ok((2, Purpose::Data)));
}

#[test]
fn whoever_is_no_member_is_refused_and_told_why() {
    let other = |change: fn(&mut Member)| {
        let mut other = member(1);
        change(&mut other);
        other
    };
    let refused = |connector: &Member, to| {
        let (offered, answered) = meet(connector, &member(0), to);
        (offered.unwrap_err(), answered.unwrap_err())
    };
    let job = other(|member| member.job = "another".to_owned());
    assert_eq!(refused(&job, 0), (Refusal::Job, Refusal::Job));
    let old = other(|member| member.attempt = 6);
    assert_eq!(refused(&old, 0), (Refusal::Attempt { theirs: 7 }, Refusal::Attempt { theirs: 6 }));
    let ignorant = other(|member| member.secret = Secret::generate().unwrap());
    assert_eq!(refused(&ignorant, 0), (Refusal::Closed, Refusal::Secret));
    let lost = other(|_| {});
    assert_eq!(refused(&lost, 2), (Refusal::Place, Refusal::Place), "it looks for another process");
    let larger = other(|member| member.processes = 4);
    assert_eq!(refused(&larger, 0), (Refusal::Place, Refusal::Place));
    let same = other(|member| member.process = 0);
    assert_eq!(refused(&same, 0), (Refusal::Place, Refusal::Place));
    let beyond = other(|member| member.process = 3);
    assert_eq!(refused(&beyond, 0), (Refusal::Place, Refusal::Place));
}

#[test]
fn a_listener_without_the_secret_is_not_believed() {
    let (near, mut far) = UnixStream::pair().unwrap();
    let listener = thread::spawn(move || {
        let mut hello = [0; HELLO_BYTES];
        far.read_exact(&mut hello).unwrap();
        far.write_all(&super::challenge(super::GO_ON, 7, &[1; BYTES])).unwrap();
        let mut proof = [0; BYTES];
        far.read_exact(&mut proof).unwrap();
        // The best it has: what it was given.
        far.write_all(&proof).unwrap();
    });
    let deadline = Instant::now() + LIMIT;
    let offered = offer(&mut Stream::Unix(near), &member(1), 0, Purpose::Data, deadline);
    assert_eq!(offered, Err(Refusal::Secret));
    listener.join().unwrap();
}

#[test]
fn another_version_learns_ours() {
    let (near, mut far) = UnixStream::pair().unwrap();
    let mut hello = super::MAGIC.to_vec();
    hello.extend([9, 0]);
    far.write_all(&hello).unwrap();
    let answered = answer(&mut Stream::Unix(near), &member(0), Instant::now() + LIMIT, || true);
    assert_eq!(answered, Err(Refusal::Version { theirs: 9 }));
    let mut said = Vec::new();
    far.read_to_end(&mut said).unwrap();
    assert_eq!((&said[..8], said[8]), (&super::MAGIC[..], 1));
}

#[test]
fn a_recorded_handshake_is_worth_nothing() {
    let (offered, answered, said) = meet_through(|_, byte| byte);
    assert_eq!((offered, answered), (Ok(7), Ok((1, Purpose::Data))));
    assert_eq!(said.len(), HELLO_BYTES + BYTES);
    assert_eq!(receive(&said).0, Err(Refusal::Secret), "the nonce is another");

    let (mut stranger, socket) = UnixStream::pair().unwrap();
    stranger.write_all(&said).unwrap();
    let next = Member { attempt: 8, ..member(0) };
    let answered = answer(&mut Stream::Unix(socket), &next, Instant::now() + LIMIT, || true);
    assert_eq!(answered, Err(Refusal::Attempt { theirs: 7 }));
}

#[test]
fn an_evicted_connection_is_not_taken() {
    let (near, far) = UnixStream::pair().unwrap();
    let deadline = Instant::now() + LIMIT;
    let connector = thread::spawn(move || offer(&mut Stream::Unix(near), &member(1), 0, Purpose::Data, deadline));
    assert_eq!(answer(&mut Stream::Unix(far), &member(0), deadline, || false), Err(Refusal::Evicted));
    assert_eq!(connector.join().unwrap(), Err(Refusal::Closed));
}

#[test]
fn the_silent_are_given_up_in_time() {
    let (_, _, said) = meet_through(|_, byte| byte);
    for length in [0, 1, 9, 10, 50, HELLO_BYTES, HELLO_BYTES + BYTES - 1] {
        let (mut stranger, socket) = UnixStream::pair().unwrap();
        stranger.write_all(&said[..length]).unwrap();
        let started = Instant::now();
        let answered = answer(&mut Stream::Unix(socket), &member(0), started + Duration::from_millis(30), || true);
        assert_eq!(answered, Err(Refusal::Silent), "after {length} bytes");
        assert!(started.elapsed() < LIMIT);
    }
    let (near, _far) = UnixStream::pair().unwrap();
    let deadline = Instant::now() + Duration::from_millis(30);
    assert_eq!(offer(&mut Stream::Unix(near), &member(1), 0, Purpose::Data, deadline), Err(Refusal::Silent));
}

#[test]
fn a_handshake_that_trickles_in_has_the_same_deadline() {
    let (_, _, said) = meet_through(|_, byte| byte);
    let (mut stranger, socket) = UnixStream::pair().unwrap();
    let trickle = thread::spawn(move || {
        for byte in said.iter().cycle() {
            if stranger.write_all(&[*byte]).is_err() {
                break;
            }
            thread::sleep(Duration::from_millis(5));
        }
    });
    let mut socket = Stream::Unix(socket);
    let answered = answer(&mut socket, &member(0), Instant::now() + Duration::from_millis(100), || true);
    assert_eq!(answered, Err(Refusal::Silent));
    drop(socket);
    trickle.join().unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn random_bytes_get_nobody_in(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        begins_well: bool,
    ) {
        let mut sent = Vec::new();
        if begins_well {
            sent.extend(super::MAGIC);
            sent.extend([1, 0]);
        }
        sent.extend(&bytes);
        let (answered, said) = receive(&sent);
        assert!(answered.is_err());
        assert!(said.len() <= CHALLENGE_BYTES, "no stranger gets a proof");
    }

    #[test]
    fn a_handshake_cut_anywhere_is_refused(length in 0..HELLO_BYTES + BYTES) {
        let (_, _, said) = meet_through(|_, byte| byte);
        assert_eq!(receive(&said[..length]).0, Err(Refusal::Closed));
    }

    #[test]
    fn a_changed_bit_anywhere_is_noticed(
        at in 0..HELLO_BYTES + CHALLENGE_BYTES + 2 * BYTES,
        bit in 0..8u32,
    ) {
        let (offered, answered, _) = meet_through(|place, byte| if place == at { byte ^ (1 << bit) } else { byte });
        assert!(offered.is_err(), "the connector is never sure");
        // Only the last frame is not the listener's to check.
        assert_eq!(answered.is_ok(), at >= HELLO_BYTES + CHALLENGE_BYTES + BYTES);
    }
}
