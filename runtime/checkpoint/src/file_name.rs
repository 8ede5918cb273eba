//! What state files are called in the store.

use std::fmt;
use std::str::FromStr;

/// The folder of state files.
pub(crate) const FOLDER: &str = "files";

/// The name of a state file: who wrote it, and its running number there. Names are never used twice, so what a name
/// stands for never changes, and whether a file is older than another of the same writer is in their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileName {
    /// The attempt of the job that wrote it.
    pub attempt: u64,
    /// The worker, counted over all processes.
    pub worker: u32,
    /// Counts up over all files of this worker in this attempt, in the order in which checkpoints need them.
    pub number: u64,
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{FOLDER}/{}-{}-{}.sst", self.attempt, self.worker, self.number)
    }
}

/// The text is not the name of a state file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAFileName;

impl FromStr for FileName {
    type Err = NotAFileName;

    fn from_str(text: &str) -> Result<Self, NotAFileName> {
        let parse = || {
            let name = text.strip_prefix(FOLDER)?.strip_prefix('/')?.strip_suffix(".sst")?;
            let mut parts = name.split('-');
            let (attempt, worker, number) = (parts.next()?, parts.next()?, parts.next()?);
            let name =
                FileName { attempt: attempt.parse().ok()?, worker: worker.parse().ok()?, number: number.parse().ok()? };
            (name.to_string() == text).then_some(name)
        };
        parse().ok_or(NotAFileName)
    }
}

#[cfg(test)]
mod tests {
    use super::{FileName, NotAFileName};

    #[test]
    fn names_are_read_back_and_others_are_not() {
        let name = FileName { attempt: 3, worker: 12, number: 4711 };
        assert_eq!(name.to_string(), "files/3-12-4711.sst");
        assert_eq!("files/3-12-4711.sst".parse(), Ok(name));
        for other in ["files/3-12.sst", "files/3-12-1-1.sst", "files/03-12-1.sst", "3-1-2.sst", "files/a-b-c.sst", ""] {
            assert_eq!(other.parse::<FileName>(), Err(NotAFileName), "{other}");
        }
    }
}
