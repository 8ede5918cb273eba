//! What a file is recognised by, when a job goes on reading it after a restart.

use flate2::Crc;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Bytes at a file's beginning that are compared at most.
const START_BYTES_MAX: u64 = 4096;

/// Size and beginning of a file. A file that records are appended to is still the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Fingerprint {
    /// Its size as it stands on disk.
    file_bytes: u64,
    /// How many bytes at its beginning have the checksum.
    start_bytes: u64,
    start_crc32: u32,
}

impl Fingerprint {
    /// That of `file`; `None` when it is no regular file, which has nothing to be recognised by.
    pub(crate) fn of(file: &File) -> io::Result<Option<Self>> {
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Ok(None);
        }
        let file_bytes = metadata.len();
        Self::with_start(file, file_bytes, file_bytes.min(START_BYTES_MAX)).map(Some)
    }

    fn with_start(file: &File, file_bytes: u64, start_bytes: u64) -> io::Result<Self> {
        let mut start = vec![0; start_bytes as usize];
        file.read_exact_at(&mut start, 0)?;
        let mut crc = Crc::new();
        crc.update(&start);
        Ok(Fingerprint { file_bytes, start_bytes, start_crc32: crc.sum() })
    }

    /// Why `file`, which has this size and beginning, is not the one that had `expected`; or nothing.
    pub(crate) fn difference(self, file: &File, expected: Fingerprint) -> io::Result<Option<String>> {
        let Fingerprint { file_bytes, start_bytes, start_crc32 } = expected;
        if self.file_bytes < file_bytes {
            return Ok(Some(format!("it has {} bytes on disk and had {file_bytes}", self.file_bytes)));
        }
        let start = Self::with_start(file, file_bytes, start_bytes.min(START_BYTES_MAX))?;
        Ok((start.start_crc32 != start_crc32).then(|| format!("its first {start_bytes} bytes have changed")))
    }
}
