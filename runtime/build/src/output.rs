//! Components on disk.

use crate::BuildError;
use crate::error::cannot;
use sha2::{Digest, Sha256};
use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use wasm_encoder::{CustomSection, Encode};

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
    // Renamed into place: who reads meanwhile sees the old component or the new one. Under a name of its own, since another build
    // may do the same, and with what the user's mask leaves of the permissions, as of any other file.
    let prefix = format!(".{name}.wasm.");
    let mut temporary = tempfile::Builder::new()
        .prefix(&prefix)
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(folder)
        .map_err(cannot("write", folder))?;
    temporary.write_all(component).map_err(cannot("write", temporary.path()))?;
    temporary.persist(&path).map_err(|error| cannot("write", &path)(error.error))?;
    Ok(Built { path, bytes, changed: true })
}

/// The custom section, the last one, that says what a component was made of.
const INPUTS: &str = "tidewheel-inputs";

/// The id of custom sections.
const CUSTOM: u8 = 0;

/// A digest of all that a component is made of, this program among it. For languages whose tools take long and make another component of the same
/// sources each time.
pub(crate) struct Inputs(Sha256);

impl Inputs {
    pub(crate) fn new() -> Inputs {
        Inputs(Sha256::new()).with(env!("CARGO_PKG_VERSION"))
    }

    /// One more part. The order of parts counts.
    pub(crate) fn with(mut self, part: impl AsRef<[u8]>) -> Inputs {
        let part = part.as_ref();
        self.0.update((part.len() as u64).to_le_bytes());
        self.0.update(part);
        self
    }

    /// What a component that was made of them ends with.
    fn section(self) -> Vec<u8> {
        let mut bytes = vec![CUSTOM];
        CustomSection { name: INPUTS.into(), data: self.0.finalize().to_vec().into() }.encode(&mut bytes);
        bytes
    }
}

/// Puts the component that `make` makes of `inputs` into a folder, unless the one that is there was made of the same. It says what
/// it was made of only if that is known, and was the same before and after: sources are read while it is made, and may be edited.
pub(crate) fn place_made_of(
    inputs: impl Fn() -> Option<Inputs>,
    folder: &Path,
    name: &str,
    make: impl FnOnce() -> Result<Vec<u8>, BuildError>,
) -> Result<Built, BuildError> {
    let section = || inputs().map(Inputs::section);
    let before = section();
    if let Some(built) = before.as_ref().and_then(|section| made_of(section, folder, name)) {
        return Ok(built);
    }
    let component = make()?;
    match before.filter(|before| section().as_ref() == Some(before)) {
        Some(section) => place(&[component, section].concat(), folder, name),
        None => place(&component, folder, name),
    }
}

/// The component in a folder, if it was made of these.
pub(crate) fn find_made_of(inputs: Inputs, folder: &Path, name: &str) -> Option<Built> {
    made_of(&inputs.section(), folder, name)
}

fn made_of(section: &[u8], folder: &Path, name: &str) -> Option<Built> {
    let path = folder.join(format!("{name}.wasm"));
    let component = fs::read(&path).ok().filter(|component| component.ends_with(section))?;
    Some(Built { path, bytes: component.len(), changed: false })
}

#[cfg(test)]
mod tests {
    use super::{Inputs, find_made_of, place, place_made_of};
    use crate::BuildError;
    use std::cell::Cell;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;
    use wasmparser::{Parser, Payload};

    #[test]
    fn what_was_made_of_the_same_is_not_made_again() {
        let folder = tempfile::tempdir().unwrap();
        let made = |parts: &[&str], wat: &str| {
            let inputs = || Some(parts.iter().fold(Inputs::new(), |inputs, part| inputs.with(part)));
            let mut calls = 0;
            let make = || {
                calls += 1;
                Ok::<_, BuildError>(wat::parse_str(wat).unwrap())
            };
            let built = place_made_of(inputs, folder.path(), "count", make).unwrap();
            (calls, built)
        };
        let (calls, built) = made(&["a", "b"], "(component)");
        assert_eq!((calls, built.changed), (1, true));
        let component = std::fs::read(&built.path).unwrap();
        assert_eq!(component.len(), built.bytes);
        let names: Vec<String> = Parser::new(0)
            .parse_all(&component)
            .filter_map(|payload| match payload.unwrap() {
                Payload::CustomSection(section) => Some(section.name().to_owned()),
                _ => None,
            })
            .collect();
        assert_eq!(names, ["tidewheel-inputs"]);

        let again = made(&["a", "b"], "(component (core module))");
        assert_eq!((again.0, again.1.changed, again.1.bytes), (0, false, built.bytes));
        for other in [&["a"][..], &["ab"], &["", "ab"], &["b", "a"]] {
            assert_eq!(made(other, "(component)").0, 1, "{other:?}");
        }
        assert!(find_made_of(Inputs::new().with("b").with("a"), folder.path(), "count").is_some());
        assert!(find_made_of(Inputs::new().with("b").with("a"), folder.path(), "split").is_none());
        // One that was made otherwise says nothing of that.
        place(&wat::parse_str("(component)").unwrap(), folder.path(), "count").unwrap();
        assert_eq!(made(&["b", "a"], "(component)").0, 1);
    }

    #[test]
    fn what_was_made_while_its_sources_were_edited_is_made_again() {
        let folder = tempfile::tempdir().unwrap();
        let source = Cell::new("one");
        let inputs = || Some(Inputs::new().with(source.get()));
        let (made, calls) = (wat::parse_str("(component)").unwrap(), Cell::new(0));
        let build = |inputs: &dyn Fn() -> Option<Inputs>, edited: &'static str| {
            let make = || {
                source.set(edited);
                calls.set(calls.get() + 1);
                Ok::<_, BuildError>(made.clone())
            };
            place_made_of(inputs, folder.path(), "count", make).unwrap();
            calls.get()
        };
        assert_eq!(build(&inputs, "two"), 1);
        // Neither of what it was before nor of what it is now.
        source.set("one");
        assert_eq!(build(&inputs, "two"), 2);
        assert_eq!(build(&inputs, "two"), 3);
        assert_eq!(build(&inputs, "two"), 3);
        // Of what is not known it is made each time.
        assert_eq!((build(&|| None, "two"), build(&|| None, "two")), (4, 5));
        assert_eq!(build(&inputs, "two"), 6);
    }

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
        let other = out.join("other");
        std::fs::write(&other, "").unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&built.path), mode(&other), "who may read it is as of any file");
    }
}
