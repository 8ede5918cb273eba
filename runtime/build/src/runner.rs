//! Runners: components that take the source of an operator when they start, for operators that are being edited.
//!
//! To put a module of Python into a component takes ten seconds, and it is the same component every time but for the module.
//! So that component is made once for each world, and kept; the sources are attached to it, as a custom section at its end.
//! The host hands them over before it asks anything else of the component.

use crate::output::find_made_of;
use crate::python::{Toolchain, inputs, name, nothing, whole};
use crate::{BuildError, Built, place};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use tidewheel_cache::CacheFolder;
use wasm_encoder::{ComponentSection, CustomSection};

/// The custom section with the sources, as the host knows it.
const SECTION: &str = "tidewheel-script";

/// How much of runners is kept: some twelve, of three worlds. They are other ones with each release of the SDK.
const BYTES_MAX: u64 = 256 << 20;

/// The runners of a user.
pub struct Runners<'a> {
    /// Where they are kept.
    folder: PathBuf,
    /// Tells the user what takes long, and why.
    tell: &'a dyn Fn(&str),
}

/// What the SDK says of the operators in a folder.
#[derive(Debug, Deserialize)]
pub(crate) struct Scripts {
    /// A digest of all that runners are made of.
    pub(crate) runner: String,
    pub(crate) operators: Vec<Scripted>,
}

/// An operator that may run in a runner.
#[derive(Debug, Deserialize)]
pub(crate) struct Scripted {
    pub(crate) module: String,
    pub(crate) world: String,
    #[serde(flatten)]
    pub(crate) how: How,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum How {
    /// With these sources: what the section holds.
    Script(serde_json::Value),
    /// Not at all, for this reason: it needs a component of its own.
    Whole(String),
}

impl<'a> Runners<'a> {
    /// Those in a folder, which is made if it is not there.
    pub fn new(folder: PathBuf, tell: &'a dyn Fn(&str)) -> Runners<'a> {
        Runners { folder, tell }
    }

    /// The runner of a world.
    fn get(&self, toolchain: &Toolchain, world: &str, digest: &str, project: &Path) -> Result<Vec<u8>, BuildError> {
        let name = format!("python-{world}-{digest}.wasm");
        let folder = CacheFolder::open(self.folder.clone(), BYTES_MAX);
        if let Some(runner) = folder.as_ref().ok().and_then(|folder| folder.read(&name)) {
            return Ok(runner);
        }
        (self.tell)(&format!("making what runs operators of world {world} in Python: once, then edits are quick"));
        let runner = toolchain.runner(world, project)?;
        if let Err(error) = folder.and_then(|folder| folder.write(&name, &runner)) {
            (self.tell)(&format!("it cannot be kept in {}, so edits take as long: {error}", self.folder.display()));
        }
        Ok(runner)
    }
}

/// Builds the operators of a folder into another: those that a runner can run into one with their sources, unless the whole
/// component of the same sources is there.
pub(crate) fn build(folder: &Path, out: &Path, runners: &Runners<'_>) -> Result<Vec<Built>, BuildError> {
    let toolchain = Toolchain::find(folder)?;
    let Scripts { runner, operators } = toolchain.scripts(folder)?;
    if operators.is_empty() {
        return Err(nothing(folder));
    }
    let build = |operator: &Scripted| {
        let name = name(&operator.module);
        match &operator.how {
            How::Script(script) => {
                let inputs = inputs(folder, operator, &runner);
                if let Some(built) = inputs.and_then(|inputs| find_made_of(inputs, out, &name)) {
                    return Ok(built);
                }
                let component = attach(runners.get(&toolchain, &operator.world, &runner, folder)?, script);
                place(&component, out, &name)
            }
            How::Whole(why) => {
                let words = format!("{why}: each edit makes the whole of {name}.wasm, which takes a while");
                whole(&toolchain, folder, out, operator, &runner, || (runners.tell)(&words))
            }
        }
    };
    operators.iter().map(build).collect()
}

/// A runner with sources at its end.
fn attach(mut runner: Vec<u8>, script: &serde_json::Value) -> Vec<u8> {
    let data = script.to_string().into_bytes();
    CustomSection { name: SECTION.into(), data: data.into() }.append_to_component(&mut runner);
    runner
}

#[cfg(test)]
mod tests {
    use super::{How, Scripts, attach};
    use wasmparser::{Parser, Payload};

    #[test]
    fn sources_are_attached_as_a_section() {
        let script = serde_json::json!({ "main": "count", "files": [["count.py", "x = \"\u{e4}\""]] });
        let component = attach(wat::parse_str("(component)").unwrap(), &script);
        let sections: Vec<_> = Parser::new(0)
            .parse_all(&component)
            .filter_map(|payload| match payload.unwrap() {
                Payload::CustomSection(section) => Some((section.name(), section.data())),
                _ => None,
            })
            .collect();
        assert_eq!(sections, [("tidewheel-script", script.to_string().as_bytes())]);
    }

    #[test]
    fn an_operator_is_a_script_or_needs_the_whole() {
        let said = r#"{"runner": "ab", "operators": [
            {"module": "a", "world": "keyed", "script": {"main": "a", "files": []}},
            {"module": "b", "world": "keyed", "whole": "b.py imports numpy"}]}"#;
        let Scripts { runner, operators } = serde_json::from_str(said).unwrap();
        assert_eq!((runner.as_str(), operators[0].world.as_str()), ("ab", "keyed"));
        assert!(matches!(&operators[0].how, How::Script(script) if script["main"] == "a"));
        assert!(matches!(&operators[1].how, How::Whole(why) if why == "b.py imports numpy"));
    }
}
