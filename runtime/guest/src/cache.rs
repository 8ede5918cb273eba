//! Compiled code on disk, so that a component is compiled once per machine.
//!
//! An entry is found by the component's digest and by what the code depends on besides it: wasmtime's version and the
//! engine's settings. It begins with a digest of itself; an entry that is damaged, foreign or not readable is as good
//! as none, and is written anew. There are never many: those that were not used for longest go. The cache only ever saves
//! time: no error of it fails anything.

use crate::component::Facts;
use sha2::{Digest, Sha256};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::PathBuf;
use tidewheel_cache::CacheFolder;
use tracing::{debug, warn};
use wasmtime::{Engine, component::Component};

/// The first bytes of an entry; the number is the version of its layout.
const MAGIC: &[u8; 16] = b"tidewheel-code-1";

const DIGEST_BYTES: usize = 32;

/// How much is kept: some thirty components in Python, or thousands in Rust.
const BYTES_MAX: u64 = 1 << 30;

/// The compiled components of a folder.
pub(crate) struct Cache {
    folder: CacheFolder,
    /// A hash of what code depends on besides the component.
    settings: u64,
}

impl Cache {
    /// The cache in `folder`, which is made if it is not there.
    pub(crate) fn open(folder: PathBuf, engine: &Engine) -> io::Result<Cache> {
        let folder = CacheFolder::open(folder, BYTES_MAX)?;
        let mut settings = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut settings);
        env!("CARGO_PKG_VERSION").hash(&mut settings);
        Ok(Cache { folder, settings: settings.finish() })
    }

    fn name(&self, digest: &str) -> String {
        format!("{digest}-{:016x}.code", self.settings)
    }

    /// The compiled component with this digest.
    pub(crate) fn load(&self, engine: &Engine, digest: &str) -> Option<(Component, Facts)> {
        let name = self.name(digest);
        let entry = self.folder.read(&name)?;
        let loaded = parse(&entry).and_then(|(facts, code)| {
            let facts = serde_json::from_slice(facts).ok()?;
            Some((deserialize(engine, code)?, facts))
        });
        if loaded.is_none() {
            let path = self.folder.path(&name);
            warn!(path = %path.display(), "the compiled component is damaged; it is compiled again");
        }
        loaded
    }

    /// Keeps a compiled component.
    pub(crate) fn store(&self, digest: &str, component: &Component, facts: &Facts) {
        let name = self.name(digest);
        let stored = component.serialize().map_err(io::Error::other).and_then(|code| {
            let facts = serde_json::to_vec(facts)?;
            self.folder.write(&name, &entry(&facts, &code))
        });
        if let Err(error) = stored {
            let path = self.folder.path(&name);
            debug!(path = %path.display(), %error, "the compiled component cannot be kept");
        }
    }
}

/// Facts and code as an entry: magic, digest of the rest, length of the facts, facts, code.
fn entry(facts: &[u8], code: &[u8]) -> Vec<u8> {
    let length = (facts.len() as u64).to_le_bytes();
    let rest = [&length, facts, code].concat();
    [&MAGIC[..], &Sha256::digest(&rest), &rest].concat()
}

/// Facts and code out of an entry, if it is what [`entry`] made.
fn parse(entry: &[u8]) -> Option<(&[u8], &[u8])> {
    let (digest, rest) = entry.strip_prefix(MAGIC)?.split_at_checked(DIGEST_BYTES)?;
    if Sha256::digest(rest)[..] != *digest {
        return None;
    }
    let (length, rest) = rest.split_first_chunk::<8>()?;
    rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)
}

#[allow(
    unsafe_code,
    reason = "running code from disk cannot be made safe by a check: whoever can write the folder can run code. The \
              folder is the user's own and closed to others; the digest finds damage, and wasmtime refuses code of \
              another version or other settings"
)]
fn deserialize(engine: &Engine, code: &[u8]) -> Option<Component> {
    // SAFETY: the code is what `Component::serialize` returned in a process of this user; its digest has been checked.
    unsafe { Component::deserialize(engine, code) }.ok()
}

#[cfg(test)]
mod tests {
    use super::{entry, parse};

    #[test]
    fn an_entry_is_read_back_and_every_damage_is_seen() {
        let whole = entry(b"facts", b"code");
        assert_eq!(parse(&whole), Some((&b"facts"[..], &b"code"[..])));
        for cut in 0..whole.len() {
            assert_eq!(parse(&whole[..cut]), None, "cut at {cut}");
        }
        for place in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[place] ^= 0x10;
            assert_eq!(parse(&damaged), None, "damaged at {place}");
        }
    }
}
