//! A connection to a peer: a Unix socket on one machine, TCP between several.

use crate::sys;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// A connected socket of either kind.
#[derive(Debug)]
pub(crate) enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl Stream {
    /// Sends what is written at once, and finds out about a machine that is gone.
    pub(crate) fn tune(&self) -> io::Result<()> {
        match self {
            Stream::Unix(_) => Ok(()),
            Stream::Tcp(tcp) => tcp.set_nodelay(true).and_then(|()| sys::keep_alive(tcp)),
        }
    }

    pub(crate) fn into_unix(self) -> Option<UnixStream> {
        match self {
            Stream::Unix(unix) => Some(unix),
            Stream::Tcp(_) => None,
        }
    }

    pub(crate) fn into_tcp(self) -> Option<TcpStream> {
        match self {
            Stream::Unix(_) => None,
            Stream::Tcp(tcp) => Some(tcp),
        }
    }

    pub(crate) fn try_clone(&self) -> io::Result<Stream> {
        match self {
            Stream::Unix(unix) => unix.try_clone().map(Stream::Unix),
            Stream::Tcp(tcp) => tcp.try_clone().map(Stream::Tcp),
        }
    }

    pub(crate) fn shutdown(&self, how: Shutdown) {
        // Fails only for a socket that the peer has taken apart.
        let _ = match self {
            Stream::Unix(unix) => unix.shutdown(how),
            Stream::Tcp(tcp) => tcp.shutdown(how),
        };
    }

    /// Blocks, for `limit` at most in each read and write. `None`: for ever.
    pub(crate) fn set_limit(&self, limit: Option<Duration>) -> io::Result<()> {
        match self {
            Stream::Unix(unix) => {
                unix.set_nonblocking(false)?;
                unix.set_read_timeout(limit)?;
                unix.set_write_timeout(limit)
            }
            Stream::Tcp(tcp) => {
                tcp.set_nonblocking(false)?;
                tcp.set_read_timeout(limit)?;
                tcp.set_write_timeout(limit)
            }
        }
    }

    /// Fills `bytes` before `deadline`, however slowly they trickle in. Reads nothing beyond them.
    pub(crate) fn read_before(&mut self, deadline: Instant, bytes: &mut [u8]) -> io::Result<()> {
        let mut filled = 0;
        while filled < bytes.len() {
            self.set_limit(Some(left(deadline)?))?;
            match self.read(&mut bytes[filled..]) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Writes `bytes` before `deadline`.
    pub(crate) fn write_before(&mut self, deadline: Instant, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            self.set_limit(Some(left(deadline)?))?;
            match self.write(bytes) {
                Ok(written) => bytes = &bytes[written..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}

impl Read for Stream {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Unix(unix) => unix.read(bytes),
            Stream::Tcp(tcp) => tcp.read(bytes),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Unix(unix) => unix.write(bytes),
            Stream::Tcp(tcp) => tcp.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
