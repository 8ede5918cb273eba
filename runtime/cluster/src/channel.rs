//! The control channel between the supervisor and a worker process: messages both ways over a socket pair.
//!
//! A frame is a length (`u32`, little-endian) and that many bytes of JSON. Both ends are the same program, so the JSON
//! is whatever the message type makes of itself.

use crate::{ClusterError, LastWords};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::io::{self, Read, Write};
use std::marker::PhantomData;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// The most bytes of JSON in a message. The largest names all files that a job reads.
pub const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// How long a sender waits for a receiver that does not read. A process that is stopped must not stop its supervisor.
const SEND_MAX: Duration = Duration::from_secs(5);

/// One end of a control channel, which sends `Out` and receives `In`. Clones share it; any thread may use one.
pub struct Channel<Out, In> {
    shared: Arc<Shared>,
    types: PhantomData<fn(Out) -> In>,
}

struct Shared {
    /// For taking the channel apart while others read and write.
    socket: UnixStream,
    reader: Mutex<UnixStream>,
    writer: Mutex<UnixStream>,
}

/// What a frame holds.
#[derive(Serialize, Deserialize)]
pub(crate) enum Envelope<T> {
    Message(T),
    LastWords(LastWords),
}

impl<Out: Serialize, In: DeserializeOwned> Channel<Out, In> {
    /// The end of a connected socket.
    pub(crate) fn new(socket: UnixStream) -> io::Result<Self> {
        socket.set_write_timeout(Some(SEND_MAX))?;
        let (reader, writer) = (Mutex::new(socket.try_clone()?), Mutex::new(socket.try_clone()?));
        Ok(Channel { shared: Arc::new(Shared { socket, reader, writer }), types: PhantomData })
    }

    /// Both ends of a new channel within this process, for tests of what uses one.
    pub fn pair() -> io::Result<(Self, Channel<In, Out>)>
    where
        In: Serialize,
        Out: DeserializeOwned,
    {
        let (near, far) = UnixStream::pair()?;
        Ok((Channel::new(near)?, Channel::new(far)?))
    }

    /// Sends `message`. It waits 5 s at most for a receiver that does not read; the channel is broken then.
    pub fn send(&self, message: &Out) -> Result<(), ClusterError> {
        self.send_envelope(&Envelope::Message(message))
    }

    /// Says why this process is about to end.
    pub fn send_last_words(&self, words: LastWords) -> Result<(), ClusterError> {
        self.send_envelope(&Envelope::<&Out>::LastWords(words.shortened()))
    }

    /// The next message, or `None` when the other end is gone. Waits for it.
    pub fn receive(&self) -> Result<Option<In>, ClusterError> {
        loop {
            match self.receive_envelope()? {
                Some(Envelope::Message(message)) => return Ok(Some(message)),
                // Only a supervisor's end has use for them, and it reads envelopes.
                Some(Envelope::LastWords(_)) => {}
                None => return Ok(None),
            }
        }
    }

    pub(crate) fn receive_envelope(&self) -> Result<Option<Envelope<In>>, ClusterError> {
        let mut reader = lock(&self.shared.reader);
        let Some(frame) = read_frame(&mut *reader).map_err(|error| broken(&error))? else {
            return Ok(None);
        };
        let envelope = serde_json::from_slice(&frame);
        envelope
            .map(Some)
            .map_err(|error| ClusterError::Channel { reason: format!("a message makes no sense: {error}") })
    }

    fn send_envelope(&self, envelope: &Envelope<&Out>) -> Result<(), ClusterError> {
        // The length comes first; its place is kept.
        let mut frame = vec![0; 4];
        serde_json::to_writer(&mut frame, envelope)
            .map_err(|error| ClusterError::Channel { reason: format!("a message has no JSON form: {error}") })?;
        let bytes = frame.len() - 4;
        if bytes > MESSAGE_BYTES_MAX {
            return Err(ClusterError::TooLarge { bytes, bytes_max: MESSAGE_BYTES_MAX });
        }
        frame[..4].copy_from_slice(&(bytes as u32).to_le_bytes());
        let sent = lock(&self.shared.writer).write_all(&frame);
        sent.map_err(|error| {
            // Half a frame may be out: nothing that follows would be understood.
            self.close();
            broken(&error)
        })
    }
}

impl<Out, In> Channel<Out, In> {
    /// Takes the channel apart: both ends read its end, and nothing can be sent.
    pub fn close(&self) {
        // Fails only for a socket that the other end has taken apart already.
        let _ = self.shared.socket.shutdown(Shutdown::Both);
    }
}

impl<Out, In> Clone for Channel<Out, In> {
    fn clone(&self) -> Self {
        Channel { shared: Arc::clone(&self.shared), types: PhantomData }
    }
}

impl<Out, In> std::fmt::Debug for Channel<Out, In> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Channel").field("socket", &self.shared.socket).finish()
    }
}

/// The bytes of the next frame; `None` at an end between two frames.
fn read_frame(reader: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    let mut filled = 0;
    while filled < length.len() {
        match reader.read(&mut length[filled..]) {
            Ok(0) if filled == 0 => return Ok(None),
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // The other end died with something of ours unread.
            Err(error) if filled == 0 && error.kind() == io::ErrorKind::ConnectionReset => return Ok(None),
            Err(error) => return Err(error),
        }
    }
    let bytes = u32::from_le_bytes(length) as usize;
    if bytes > MESSAGE_BYTES_MAX {
        let reason = format!("a message announces {bytes} bytes, more than {MESSAGE_BYTES_MAX}");
        return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
    }
    let mut frame = vec![0; bytes];
    reader.read_exact(&mut frame)?;
    Ok(Some(frame))
}

fn broken(error: &io::Error) -> ClusterError {
    let reason = match error.kind() {
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => "the other end is gone".to_owned(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => format!("the other end has not read for {SEND_MAX:?}"),
        io::ErrorKind::UnexpectedEof => "it ended within a message".to_owned(),
        _ => error.to_string(),
    };
    ClusterError::Channel { reason }
}

/// What a channel's locks guard stays whole when a holder panics: a socket.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::{Channel, MESSAGE_BYTES_MAX, read_frame};
    use crate::{ClusterError, LastWords};
    use proptest::prelude::{any, proptest};
    use std::io::Write;
    use std::os::unix::net::UnixStream;
    use std::thread;

    type Pair = (Channel<String, u64>, Channel<u64, String>);

    #[test]
    fn messages_go_both_ways_from_many_threads() {
        let (near, far): Pair = Channel::pair().unwrap();
        let senders: Vec<_> = (0..4)
            .map(|sender| {
                let near = near.clone();
                thread::spawn(move || (0..100).for_each(|_| near.send(&format!("{sender}").repeat(5000)).unwrap()))
            })
            .collect();
        let answers = {
            let near = near.clone();
            thread::spawn(move || (0..400).for_each(|count| assert_eq!(near.receive().unwrap(), Some(count))))
        };
        for count in 0..400 {
            let message = far.receive().unwrap().unwrap();
            assert_eq!(message.len(), 5000);
            assert!(message.bytes().all(|byte| byte == message.as_bytes()[0]), "no two messages are mixed");
            far.send(&count).unwrap();
        }
        answers.join().unwrap();
        senders.into_iter().for_each(|sender| sender.join().unwrap());
        drop(near);
        assert_eq!(far.receive().unwrap(), None, "the other end is gone");
    }

    #[test]
    fn a_message_has_a_limit() {
        let (near, far): Pair = Channel::pair().unwrap();
        // {"Message":"…"} around it.
        let most = MESSAGE_BYTES_MAX - 14;
        let receiver = thread::spawn(move || far.receive().unwrap().unwrap().len());
        near.send(&"x".repeat(most)).unwrap();
        assert_eq!(receiver.join().unwrap(), most);
        let error = near.send(&"x".repeat(most + 1)).unwrap_err();
        assert!(matches!(error, ClusterError::TooLarge { bytes, .. } if bytes == MESSAGE_BYTES_MAX + 1));
    }

    #[test]
    fn what_is_no_message_is_an_error() {
        let garbled = |bytes: &[u8]| {
            let (mut stranger, socket) = UnixStream::pair().unwrap();
            stranger.write_all(bytes).unwrap();
            drop(stranger);
            Channel::<u64, u64>::new(socket).unwrap().receive().unwrap_err().to_string()
        };
        assert!(garbled(&[2, 0, 0, 0, b'{', b'?']).contains("makes no sense"));
        assert!(garbled(&[0xff; 8]).contains("announces 4294967295 bytes"));
        assert!(garbled(&[9, 0, 0, 0, b'{']).contains("it ended within a message"));
        assert!(garbled(&[9, 0]).contains("it ended within a message"));
    }

    #[test]
    fn long_last_words_are_cut_not_lost() {
        let (near, far): Pair = Channel::pair().unwrap();
        near.send_last_words(LastWords::cause("\u{1F980}".repeat(1 << 20))).unwrap();
        near.send(&"after".to_owned()).unwrap();
        assert_eq!(far.receive().unwrap().as_deref(), Some("after"), "a worker has no use for last words");
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(bytes: Vec<u8>, small in any::<u8>()) {
            let _ = read_frame(&mut bytes.as_slice());
            let mut framed = vec![small, 0, 0, 0];
            framed.extend(&bytes);
            if let Ok(Some(frame)) = read_frame(&mut framed.as_slice()) {
                assert_eq!(frame, &bytes[..usize::from(small)]);
            }
        }
    }
}
