//! Reading ahead: a thread that turns an input into blocks of bytes, a few of them in advance.

use super::Fingerprint;
use crate::thread::spawn;
use crate::{ConnectorError, Waker};
use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded};
use std::sync::{Arc, OnceLock};

/// Bytes of a block at most.
const BLOCK_BYTES_MAX: usize = 128 << 10;
/// Blocks that wait to be cut. With the one being filled and the one being cut a split holds 512 KiB.
const BLOCKS_AHEAD: usize = 2;
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// Where bytes come from. Used on a thread of its own: it may block.
pub(crate) trait Input: Send + 'static {
    /// Reads some bytes; 0 is the end.
    fn read(&mut self, block: &mut [u8]) -> Result<usize, ConnectorError>;

    /// Passes over the next `bytes`, which are there unless the input has changed; returns how many there were.
    fn skip(&mut self, bytes: u64) -> Result<u64, ConnectorError> {
        self.read_over(bytes)
    }

    /// What it is recognised by, if there is such a thing; an error when that is not `expected`.
    fn recognise(&self, expected: Option<Fingerprint>) -> Result<Option<Fingerprint>, ConnectorError>;

    /// Does so by reading them.
    fn read_over(&mut self, bytes: u64) -> Result<u64, ConnectorError> {
        let mut skipped = 0;
        let mut block = vec![0; BLOCK_BYTES_MAX];
        while skipped < bytes {
            let wanted = usize::try_from(bytes - skipped).unwrap_or(usize::MAX).min(block.len());
            match self.read(&mut block[..wanted])? {
                0 => break,
                count => skipped += count as u64,
            }
        }
        Ok(skipped)
    }
}

/// The blocks of one split.
pub(crate) struct Blocks {
    name: String,
    full: Receiver<Message>,
    /// Blocks that have been cut, to be filled again.
    spent: Sender<Vec<u8>>,
    beginning: Beginning,
    /// The file, once it has been opened.
    opened: Arc<OnceLock<Option<Fingerprint>>>,
}

/// Where in which file reading begins.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Beginning {
    /// Bytes of the text before it.
    pub(crate) offset: u64,
    /// What the file is recognised by, if it was read before.
    pub(crate) file: Option<Fingerprint>,
}

enum Message {
    Block(Vec<u8>),
    End(Result<(), ConnectorError>),
}

/// What there is to cut.
pub(super) enum Next {
    Block,
    NotYet,
    End,
}

impl Blocks {
    /// Starts a thread that opens an input and reads it from `beginning` to its end, or until the blocks are dropped.
    /// `waker` is called after each block.
    pub(crate) fn start<I: Input>(
        name: &str,
        open: impl FnOnce() -> Result<I, ConnectorError> + Send + 'static,
        beginning: Beginning,
        waker: Waker,
    ) -> Result<Self, ConnectorError> {
        let (full_sender, full) = bounded(BLOCKS_AHEAD);
        let (spent, spent_receiver) = bounded(BLOCKS_AHEAD + 2);
        let (wake_at_end, split) = (waker.clone(), name.to_owned());
        let opened = Arc::new(OnceLock::new());
        let opened_input = opened.clone();
        spawn(name, wake_at_end, move || {
            let start = |mut input: I| {
                let file = input.recognise(beginning.file)?;
                opened_input.get_or_init(|| file);
                let block = read_from(&mut input, beginning.offset, &split)?;
                pump(input, block, &full_sender, &spent_receiver, &waker)
            };
            let result = open().and_then(start);
            // Without a receiver nobody wants to know how it ended.
            let _ = full_sender.send(Message::End(result));
        })?;
        Ok(Blocks { name: name.to_owned(), full, spent, beginning, opened })
    }

    /// The file that is read, as far as it is known.
    pub(super) fn file(&self) -> Option<Fingerprint> {
        self.opened.get().copied().unwrap_or(self.beginning.file)
    }

    /// Puts the next block in the place of `block`, which has been cut to its end.
    pub(super) fn next(&self, block: &mut Vec<u8>) -> Result<Next, ConnectorError> {
        match self.full.try_recv() {
            Ok(Message::Block(next)) => {
                // There is room for every block; if the thread has ended it needs none.
                let _ = self.spent.try_send(std::mem::replace(block, next));
                Ok(Next::Block)
            }
            Ok(Message::End(result)) => result.map(|()| Next::End),
            Err(TryRecvError::Empty) => Ok(Next::NotYet),
            Err(TryRecvError::Disconnected) => {
                Err(ConnectorError::Stopped { what: format!("the thread that reads {}", self.name) })
            }
        }
    }
}

/// Reads `input` to its end, after `block`.
fn pump(
    mut input: impl Input,
    mut block: Vec<u8>,
    full: &Sender<Message>,
    spent: &Receiver<Vec<u8>>,
    waker: &Waker,
) -> Result<(), ConnectorError> {
    loop {
        if !block.is_empty() {
            if full.send(Message::Block(block)).is_err() {
                return Ok(());
            }
            waker();
        }
        block = spent.try_recv().unwrap_or_default();
        if read_block(&mut input, &mut block)? == 0 {
            return Ok(());
        }
    }
}

/// Reads the first block from byte `offset` on, which does not count a byte order mark.
fn read_from(input: &mut impl Input, offset: u64, split: &str) -> Result<Vec<u8>, ConnectorError> {
    let mut start = read_start(input)?;
    let in_start = start.len().min(usize::try_from(offset).unwrap_or(usize::MAX));
    start.drain(..in_start);
    let rest = offset - in_start as u64;
    let skipped = input.skip(rest)?;
    if skipped < rest {
        return Err(ConnectorError::Input {
            path: split.to_owned(),
            reason: format!(
                "has {} bytes, and a checkpoint says that {offset} have been read",
                offset - rest + skipped
            ),
            hint: "a file must not change while a job reads it: put back what the job was reading".to_owned(),
        });
    }
    Ok(start)
}

/// Reads until it is clear whether the input begins with a byte order mark.
fn read_start(input: &mut impl Input) -> Result<Vec<u8>, ConnectorError> {
    let mut start = Vec::new();
    loop {
        let mut block = Vec::new();
        let count = read_block(input, &mut block)?;
        start.append(&mut block);
        if start.starts_with(BYTE_ORDER_MARK) {
            start.drain(..BYTE_ORDER_MARK.len());
            return Ok(start);
        }
        if count == 0 || !BYTE_ORDER_MARK.starts_with(&start) {
            return Ok(start);
        }
    }
}

/// Fills `block` with what one read gives.
fn read_block(input: &mut impl Input, block: &mut Vec<u8>) -> Result<usize, ConnectorError> {
    block.resize(BLOCK_BYTES_MAX, 0);
    let count = input.read(block)?;
    block.truncate(count);
    Ok(count)
}
