//! Components on disk.

use crate::BuildError;
use crate::error::cannot;
use std::fs;
use std::path::{Path, PathBuf};

/// A component that was built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Built {
    /// Where it is.
    pub path: PathBuf,
    /// Its size.
    pub bytes: usize,
    /// Whether it is another one than before; one that is as it was is not written again.
    pub changed: bool,
}

/// Puts a component into a folder, as `NAME.wasm`.
///
/// # Errors
/// When it cannot be written.
pub fn place(component: &[u8], folder: &Path, name: &str) -> Result<Built, BuildError> {
    let path = folder.join(format!("{name}.wasm"));
    let bytes = component.len();
    if fs::read(&path).is_ok_and(|old| old == component) {
        return Ok(Built { path, bytes, changed: false });
    }
    fs::create_dir_all(folder).map_err(cannot("write", folder))?;
    // Renamed into place: who reads meanwhile sees the old component or the new one.
    let temporary = path.with_extension("wasm.new");
    fs::write(&temporary, component).map_err(cannot("write", &temporary))?;
    fs::rename(&temporary, &path).map_err(cannot("write", &path))?;
    Ok(Built { path, bytes, changed: true })
}

#[cfg(test)]
mod tests {
    use super::place;

    #[test]
    fn a_component_that_is_as_it_was_is_not_written_again() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        assert!(place(b"one", &out, "count").unwrap().changed);
        assert!(!place(b"one", &out, "count").unwrap().changed);
        let built = place(b"three", &out, "count").unwrap();
        assert!(built.changed);
        assert_eq!((std::fs::read(&built.path).unwrap(), built.bytes), (b"three".to_vec(), 5));
        assert_eq!(std::fs::read_dir(&out).unwrap().count(), 1);
    }
}
