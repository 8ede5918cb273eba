//! A script: the sources of an operator, attached to a component that takes them when it starts.
//!
//! To make a component of an operator in Python takes ten seconds, so `tidewheel dev` makes one component, the runner, once,
//! and attaches the sources to it: a custom section at its end, with JSON. The whole file is a component like any other, and
//! goes wherever one goes. It exports the interface [`INTERFACE`] besides that of its world; every running copy is given the
//! sources before anything else is asked of it. What is compiled is the runner alone, so that an edit compiles nothing.

use crate::error::GuestError;
use crate::host::HostState;
use crate::instance::{InstanceSettings, Lookup};
use serde::Deserialize;
use wasmparser::BinaryReader;
use wasmtime::Store;
use wasmtime::component::{Instance, TypedFunc};

/// The custom section with a script.
const SECTION: &str = "tidewheel-script";

/// The id of custom sections.
const CUSTOM: u8 = 0;

/// What comes before the sections of a component.
const HEADER_BYTES: usize = 8;

/// The interface that takes a script.
const INTERFACE: &str = "tidewheel:dev/script@0.1.0";

type Load = TypedFunc<(&'static [(String, String)], &'static str), (Result<(), String>,)>;

/// The sources of an operator.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Script {
    /// The module with the operator.
    main: String,
    /// Paths and texts.
    files: Vec<(String, String)>,
}

impl Script {
    /// Splits a component of these bytes into what is compiled and the script, if one is attached. Errors call it `name`.
    pub(crate) fn split<'a>(name: &str, bytes: &'a [u8]) -> Result<(&'a [u8], Option<Script>), GuestError> {
        let Some((start, data)) = find(bytes) else { return Ok((bytes, None)) };
        let script = serde_json::from_slice(data).map_err(|error| GuestError::Invalid {
            component: name.to_owned(),
            reason: format!("its section {SECTION} cannot be read: {error}"),
        })?;
        Ok((&bytes[..start], Some(script)))
    }

    /// Gives it to a running copy that has just been made.
    pub(crate) fn load(
        &self,
        store: &mut Store<HostState>,
        instance: &Instance,
        component: &str,
        settings: &InstanceSettings,
    ) -> Result<(), GuestError> {
        let load: Load = Lookup { store, instance, component, interface: INTERFACE }.function("load")?;
        settings.restart_deadline(store);
        let loaded = load.call(&mut *store, (&self.files, &self.main));
        let (loaded,) = loaded.map_err(|error| settings.trapped(&error, "load", store))?;
        loaded.map_err(|reason| GuestError::Script { component: component.to_owned(), reason })
    }
}

/// Where the last section of a component begins, and its data, if that is a script.
fn find(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut sections = BinaryReader::new(bytes.get(HEADER_BYTES..)?, 0);
    let mut last = None;
    while !sections.eof() {
        let start = bytes.len() - sections.bytes_remaining();
        let (id, size) = (sections.read_u8().ok()?, sections.read_var_u32().ok()?);
        last = Some((start, id, sections.read_bytes(size as usize).ok()?));
    }
    let (start, _, section) = last.filter(|(_, id, _)| *id == CUSTOM)?;
    let mut section = BinaryReader::new(section, 0);
    let name = section.read_string().ok()?;
    let data = section.read_bytes(section.bytes_remaining()).ok()?;
    (name == SECTION).then_some((start, data))
}

#[cfg(test)]
mod tests {
    use super::{SECTION, Script, find};

    /// A component that has a module in it, and custom sections of these names and data at its end.
    fn component(sections: &[(&str, &str)]) -> Vec<u8> {
        let mut bytes = wat::parse_str("(component (core module (@custom \"tidewheel-script\" \"inside\")))").unwrap();
        for (name, data) in sections {
            bytes.extend([0, (1 + name.len() + data.len()) as u8, name.len() as u8]);
            bytes.extend([name.as_bytes(), data.as_bytes()].concat());
        }
        bytes
    }

    #[test]
    fn a_script_is_the_last_section() {
        let plain = component(&[]);
        assert_eq!(find(&plain), None);
        assert_eq!(find(&component(&[(SECTION, "x"), ("other", "y")])), None);
        assert_eq!(find(&component(&[("other", "y")])), None);
        let text = r#"{"main":"a","files":[["a.py","x = 1"]]}"#;
        let script = Script { main: "a".to_owned(), files: vec![("a.py".to_owned(), "x = 1".to_owned())] };
        assert_eq!(Script::split("c", &component(&[(SECTION, text)])).unwrap(), (&*plain, Some(script)));
    }

    #[test]
    fn what_is_cut_or_no_script_is_no_panic() {
        let whole = component(&[(SECTION, r#"{"main":"a"}"#)]);
        let error = Script::split("c", &whole).unwrap_err().to_string();
        assert!(
            error.starts_with("c is not a valid component: its section tidewheel-script cannot be read"),
            "{error}"
        );
        for end in 0..whole.len() {
            assert_eq!(find(&whole[..end]), None, "cut at {end}");
        }
    }
}
