//! Side channels between two processes of one test, and with peers that misbehave.

use super::{Credit, Heartbeat, Loss, LostPeer, QUEUE_BYTES_MAX, SIDE_MESSAGE_BYTES_MAX, SideChannels, SideHandler};
use super::{Kind, SideSockets, put, read_frame};
use crate::stream::Stream;
use crate::{ClusterError, LastWords};
use proptest::prelude::{any, prop, proptest};
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// More than any of this takes on a busy machine.
const LIMIT: Duration = Duration::from_secs(20);

#[derive(Debug, PartialEq)]
enum Heard {
    Credit(usize, Credit),
    Message(usize, Vec<u8>),
    Lost(LostPeer),
}

struct Listening(Mutex<Sender<Heard>>);

impl Listening {
    fn tell(&self, heard: Heard) {
        // A test that has heard enough does not listen any more.
        let _ = self.0.lock().unwrap().send(heard);
    }
}

impl SideHandler for Listening {
    fn credit(&self, peer: usize, credit: Credit) {
        self.tell(Heard::Credit(peer, credit));
    }

    fn message(&self, peer: usize, message: &[u8]) {
        self.tell(Heard::Message(peer, message.to_vec()));
    }

    fn lost(&self, lost: LostPeer) {
        self.tell(Heard::Lost(lost));
    }
}

/// The side channels of process `own` of two, over this socket.
fn start(own: usize, socket: UnixStream, heartbeat: Heartbeat) -> (SideChannels, Receiver<Heard>) {
    let (sender, receiver) = mpsc::channel();
    let mut sockets = vec![Some(Stream::Unix(socket))];
    sockets.insert(own, None);
    let handler = Arc::new(Listening(Mutex::new(sender)));
    (SideChannels::start(SideSockets(sockets), heartbeat, handler).unwrap(), receiver)
}

/// Process 1 of two, and a socket in the place of process 0.
fn alone(heartbeat: Heartbeat) -> (SideChannels, Receiver<Heard>, UnixStream) {
    let (near, far) = UnixStream::pair().unwrap();
    let (channels, heard) = start(1, near, heartbeat);
    (channels, heard, far)
}

fn lost(heard: &Receiver<Heard>) -> Loss {
    match heard.recv_timeout(LIMIT).unwrap() {
        Heard::Lost(LostPeer { process: 0, loss }) => loss,
        other => panic!("not lost but {other:?}"),
    }
}

fn quick(interval_ms: u64, silence_ms: u64) -> Heartbeat {
    Heartbeat { interval: Duration::from_millis(interval_ms), silence_max: Duration::from_millis(silence_ms) }
}

#[test]
fn messages_arrive_in_order_and_a_goodbye_is_no_loss() {
    let (near, far) = UnixStream::pair().unwrap();
    let (zero, heard_by_zero) = start(0, near, Heartbeat::default());
    let (one, heard_by_one) = start(1, far, Heartbeat::default());
    for count in 0..1000u32 {
        zero.send(1, &count.to_le_bytes()).unwrap();
    }
    one.send(0, &[7; SIDE_MESSAGE_BYTES_MAX]).unwrap();
    for count in 0..1000u32 {
        assert_eq!(heard_by_one.recv_timeout(LIMIT).unwrap(), Heard::Message(0, count.to_le_bytes().to_vec()));
    }
    let long = Heard::Message(1, vec![7; SIDE_MESSAGE_BYTES_MAX]);
    assert!(heard_by_zero.recv_timeout(LIMIT).unwrap() == long);

    zero.send(1, b"last").unwrap();
    thread::scope(|scope| {
        let closing = scope.spawn(|| zero.close(LIMIT));
        assert_eq!(heard_by_one.recv_timeout(LIMIT).unwrap(), Heard::Message(0, b"last".to_vec()));
        assert!(one.close(LIMIT) && closing.join().unwrap(), "both have left");
    });
    assert!(matches!(zero.send(1, b"more"), Err(ClusterError::Gone { process: 1 })));
    drop((zero, one));
    assert_eq!(heard_by_zero.try_recv().ok(), None);
    assert_eq!(heard_by_one.try_recv().ok(), None);
}

#[test]
fn a_peer_that_leaves_first_is_not_lost() {
    let (near, far) = UnixStream::pair().unwrap();
    let (zero, _) = start(0, near, quick(5, 60));
    let (one, heard) = start(1, far, quick(5, 60));
    drop(zero);
    // Longer than a silence that would be a loss.
    assert_eq!(heard.recv_timeout(Duration::from_millis(200)), Err(RecvTimeoutError::Timeout));
    assert!(one.close(LIMIT));
}

/// It says that it has no more to say, and listens on: the last counters may come after.
#[test]
fn one_that_leaves_first_still_hears_the_others() {
    let (channels, _heard, mut peer) = alone(quick(1000, 60_000));
    let mut goodbye = Vec::new();
    put(&mut goodbye, Kind::Goodbye, &[]);
    peer.write_all(&goodbye).unwrap();
    peer.shutdown(Shutdown::Write).unwrap();
    while !channels.link(0).outgoing().is_read {
        thread::yield_now();
    }
    channels.send(0, b"last").unwrap();
    let mut payload = Vec::new();
    let kinds: Vec<Kind> = std::iter::from_fn(|| read_frame(&mut peer, &mut payload).unwrap())
        .find(|kind| *kind != Kind::Heartbeat)
        .into_iter()
        .collect();
    assert!(kinds == [Kind::Message] && payload == b"last");
}

#[test]
fn credits_of_many_threads_add_up() {
    let (near, far) = UnixStream::pair().unwrap();
    let (zero, _) = start(0, near, Heartbeat::default());
    let (_one, heard) = start(1, far, Heartbeat::default());
    thread::scope(|scope| {
        for edge in 0..4u32 {
            let zero = &zero;
            scope.spawn(move || {
                for count in 0..10_000u64 {
                    zero.return_credit(1, Credit { edge, epoch: count % 3, bytes: count });
                }
            });
        }
    });
    let all: u64 = (0..10_000).sum();
    let (mut sums, mut messages) = ([[0; 3]; 4], 0);
    while sums.iter().any(|epochs| epochs.iter().sum::<u64>() < all) {
        let Heard::Credit(0, credit) = heard.recv_timeout(LIMIT).unwrap() else { panic!("only credits are sent") };
        sums[credit.edge as usize][credit.epoch as usize] += credit.bytes;
        messages += 1;
    }
    for epochs in sums {
        assert_eq!(epochs, [0, 1, 2].map(|epoch| (epoch..10_000).step_by(3).sum::<u64>()));
    }
    assert!(messages <= 40_000);
}

#[test]
fn a_peer_that_does_not_read_costs_bounded_memory_and_no_time() {
    let (channels, _heard, far) = alone(Heartbeat::default());
    let message = [0; SIDE_MESSAGE_BYTES_MAX];
    let started = Instant::now();
    let mut sent = 0;
    let full = loop {
        match channels.send(0, &message) {
            Ok(()) => sent += message.len(),
            Err(error) => break error,
        }
        assert!(sent < 16 << 20, "there is a limit");
    };
    assert!(matches!(full, ClusterError::QueueFull { process: 0, bytes } if bytes <= QUEUE_BYTES_MAX));
    assert!(started.elapsed() < LIMIT);
    // Credit is never refused.
    channels.return_credit(0, Credit { edge: 1, epoch: 2, bytes: 3 });
    channels.return_credit(0, Credit { edge: 1, epoch: 2, bytes: 4 });

    let mut reader = &far;
    let (mut payload, mut received) = (Vec::new(), 0);
    let credit = loop {
        match read_frame(&mut reader, &mut payload).unwrap().unwrap() {
            Kind::Message => received += payload.len(),
            Kind::Credits => break super::decode_credit(&payload),
            Kind::Heartbeat => {}
            Kind::Goodbye => panic!("nobody leaves"),
        }
    };
    assert_eq!((received, credit.bytes), (sent, 7), "nothing is lost, and credit is added up");
    assert!(matches!(
        channels.send(0, &[0; SIDE_MESSAGE_BYTES_MAX + 1]),
        Err(ClusterError::TooLarge { bytes_max: SIDE_MESSAGE_BYTES_MAX, .. })
    ));
}

#[test]
fn the_silent_are_lost_and_those_with_a_heartbeat_are_not() {
    let (near, far) = UnixStream::pair().unwrap();
    let (_zero, heard_by_zero) = start(0, near, quick(20, 500));
    let (_one, heard_by_one) = start(1, far, quick(20, 500));
    let (_channels, heard, _far) = alone(quick(20, 500));
    assert_eq!(lost(&heard), Loss::Silent(Duration::from_millis(500)));
    assert_eq!(heard_by_zero.recv_timeout(Duration::from_millis(500)), Err(RecvTimeoutError::Timeout));
    assert_eq!(heard_by_one.try_recv().ok(), None);
}

#[test]
fn heartbeats_come_in_time() {
    let (_channels, _heard, mut far) = alone(quick(10, 60_000));
    let mut beats = [0; 15];
    far.read_exact(&mut beats).unwrap();
    assert_eq!(beats, [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0]);
}

#[test]
fn a_peer_that_dies_is_lost_once() {
    let (channels, heard, far) = alone(quick(5, 60_000));
    drop(far);
    assert_eq!(lost(&heard), Loss::Closed);
    assert!(matches!(channels.send(0, b"hello"), Err(ClusterError::Gone { process: 0 })));
    channels.return_credit(0, Credit { edge: 0, epoch: 0, bytes: 1 });
    assert_eq!(heard.recv_timeout(Duration::from_millis(50)), Err(RecvTimeoutError::Timeout));

    let words = LastWords::from(LostPeer { process: 0, loss: Loss::Closed });
    assert_eq!(words, LastWords::consequence("process 0 is gone"));
}

#[test]
fn what_makes_no_sense_is_a_loss() {
    let long = (SIDE_MESSAGE_BYTES_MAX as u32 + 1).to_le_bytes();
    let garbled: [&[u8]; 5] = [
        &[0, 0, 0, 0, 0],
        &[9, 0, 0, 0, 0],
        &[Kind::Heartbeat as u8, 1, 0, 0, 0],
        &[Kind::Credits as u8, 21, 0, 0, 0],
        &[Kind::Message as u8, long[0], long[1], long[2], long[3]],
    ];
    for bytes in garbled {
        let (_channels, heard, mut far) = alone(Heartbeat::default());
        far.write_all(bytes).unwrap();
        assert_eq!(lost(&heard), Loss::Garbled, "{bytes:?}");
    }
    let (_channels, heard, mut far) = alone(Heartbeat::default());
    far.write_all(&[Kind::Message as u8, 9, 0, 0, 0, 1]).unwrap();
    drop(far);
    assert_eq!(lost(&heard), Loss::Closed, "an end within a frame");
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), kind in 0..6u8, length in 0..300u32) {
        let mut payload = Vec::new();
        let _ = read_frame(&mut bytes.as_slice(), &mut payload);
        let mut framed = vec![kind];
        framed.extend(length.to_le_bytes());
        framed.extend(&bytes);
        if let Ok(Some(_)) = read_frame(&mut framed.as_slice(), &mut payload) {
            assert_eq!(payload, &bytes[..length as usize]);
        }
    }

    #[test]
    fn what_is_written_is_read(messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 0..20)) {
        let mut frames = Vec::new();
        messages.iter().for_each(|message| put(&mut frames, Kind::Message, message));
        let (mut reader, mut payload) = (frames.as_slice(), Vec::new());
        for message in messages {
            assert!(read_frame(&mut reader, &mut payload).unwrap() == Some(Kind::Message));
            assert_eq!(payload, message);
        }
        assert!(read_frame(&mut reader, &mut payload).unwrap().is_none());
    }
}
