//! Core modules into components.
//!
//! A module may carry its world, as `wit-bindgen` for Rust and C puts it in. Of one that does not, as Go's, the world is
//! known by what it exports. A module that imports WASI preview 1 gets an adapter of ours that needs nothing of the
//! machine: `wasi_adapter.wat` says what is behind each function.

use crate::error::cannot;
use crate::{BuildError, Built, place};
use std::fs;
use std::path::Path;
use wasmparser::{Parser, Payload};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// The contract.
pub(crate) const CONTRACT: &str = include_str!("../../../wit/operator.wit");

/// What the adapter imports, as WIT.
const ADAPTER_WIT: &str = "package tidewheel:wasi-adapter; world adapter { import tidewheel:operator/log@0.1.0; }";

/// The adapter, as text.
const ADAPTER: &str = include_str!("wasi_adapter.wat");

/// The module by whose name WASI preview 1 is imported.
const WASI_PREVIEW_1: &str = "wasi_snapshot_preview1";

/// The custom section that carries a module's world begins with this.
const WORLD_SECTION: &str = "component-type";

/// The interface that each world exports.
pub(crate) const WORLDS: [(&str, &str); 3] =
    [("transformer", "stateless"), ("processor", "keyed"), ("aggregator", "aggregate")];

/// Why a core module cannot be made a component.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ComponentError {
    /// It is no WebAssembly.
    #[error("it is not WebAssembly: {reason}")]
    NotWebAssembly {
        /// What is wrong with it.
        reason: String,
    },

    /// It is a component.
    #[error("it is a component already")]
    AlreadyComponent,

    /// It exports nothing of the contract.
    #[error(
        "it exports none of the contract's interfaces, transformer, processor or aggregator: import the SDK's package for \
         the world, and export an operator with it"
    )]
    NoWorld,

    /// It exports more than one world.
    #[error("it exports operators of two worlds, {first} and {second}: a component has one")]
    TwoWorlds {
        /// One of them.
        first: &'static str,
        /// The other.
        second: &'static str,
    },

    /// It does not fit its world.
    #[error("it does not fit the contract: {reason}")]
    Encoding {
        /// What does not fit.
        reason: String,
    },
}

/// The component of a core module.
///
/// # Errors
/// When the module is not one of the contract.
pub fn of_module(module: &[u8]) -> Result<Vec<u8>, ComponentError> {
    let found = Found::read(module)?;
    let mut module = module.to_vec();
    if !found.carries_world {
        let world = found.world()?;
        embed(&mut module, &[("operator.wit", CONTRACT)], world).map_err(encoding)?;
    }
    let mut encoder = ComponentEncoder::default();
    encoder.validate(true).module(&module).map_err(encoding)?;
    if found.imports_wasi {
        let mut adapter = wat::parse_str(ADAPTER).expect("the adapter is valid");
        embed(&mut adapter, &[("operator.wit", CONTRACT), ("adapter.wit", ADAPTER_WIT)], "adapter")
            .map_err(encoding)?;
        encoder.adapter(WASI_PREVIEW_1, &adapter).map_err(encoding)?;
    }
    encoder.encode().map_err(encoding)
}

/// Makes a component of a core module in a file, whatever tool has made that, and puts it into a folder under the same name.
///
/// # Errors
/// When the module is not one of the contract, or lies in that folder itself.
pub fn of_file(module: &Path, out: &Path) -> Result<Built, BuildError> {
    let name = module.file_stem().unwrap_or_default().to_string_lossy();
    let place_of = |path: &Path| path.canonicalize().ok();
    let is_there = place_of(&out.join(format!("{name}.wasm"))).is_some_and(|place| Some(place) == place_of(module));
    if is_there {
        return Err(BuildError::InItsPlace { module: module.to_owned() });
    }
    place(&read(module)?, out, &name)
}

/// The component of a core module in a file.
pub(crate) fn read(module: &Path) -> Result<Vec<u8>, BuildError> {
    let bytes = fs::read(module).map_err(cannot("read", module))?;
    of_module(&bytes).map_err(|source| BuildError::Component { module: module.to_owned(), source })
}

/// Puts a world of the last of some packages into a module.
fn embed(module: &mut Vec<u8>, packages: &[(&str, &str)], world: &str) -> Result<(), impl std::fmt::Display + use<>> {
    let mut resolve = Resolve::default();
    let mut last = None;
    for (name, source) in packages {
        last = Some(resolve.push_str(name, source).expect("our own WIT is valid"));
    }
    let world =
        resolve.select_world(&[last.expect("there is a package")], Some(world)).expect("our own world is there");
    embed_component_metadata(module, &resolve, world, StringEncoding::UTF8)
}

/// The whole chain of causes: the first says where, the last what.
fn encoding(error: impl std::fmt::Display) -> ComponentError {
    ComponentError::Encoding { reason: format!("{error:#}") }
}

/// What a module says of itself.
#[derive(Default)]
struct Found {
    carries_world: bool,
    imports_wasi: bool,
    /// Worlds of which it exports something.
    worlds: Vec<&'static str>,
}

impl Found {
    fn read(module: &[u8]) -> Result<Found, ComponentError> {
        let broken =
            |error: wasmparser::BinaryReaderError| ComponentError::NotWebAssembly { reason: error.to_string() };
        let mut found = Found::default();
        for payload in Parser::new(0).parse_all(module) {
            match payload.map_err(broken)? {
                Payload::Version { encoding: wasmparser::Encoding::Component, .. } => {
                    return Err(ComponentError::AlreadyComponent);
                }
                Payload::CustomSection(section) => found.carries_world |= section.name().starts_with(WORLD_SECTION),
                Payload::ImportSection(imports) => {
                    for import in imports.into_imports() {
                        found.imports_wasi |= import.map_err(broken)?.module == WASI_PREVIEW_1;
                    }
                }
                Payload::ExportSection(exports) => {
                    for export in exports {
                        found.note_export(export.map_err(broken)?.name);
                    }
                }
                _ => {}
            }
        }
        Ok(found)
    }

    /// An exported function is called `tidewheel:operator/INTERFACE@VERSION#FUNCTION`.
    fn note_export(&mut self, name: &str) {
        let Some((_, interface)) = name.split_once("tidewheel:operator/") else { return };
        let interface = interface.split(['@', '#']).next().unwrap_or_default();
        let Some((_, world)) = WORLDS.iter().find(|(exported, _)| *exported == interface) else { return };
        if !self.worlds.contains(world) {
            self.worlds.push(world);
        }
    }

    fn world(&self) -> Result<&'static str, ComponentError> {
        match self.worlds[..] {
            [] => Err(ComponentError::NoWorld),
            [world] => Ok(world),
            [first, second, ..] => Err(ComponentError::TwoWorlds { first, second }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{ADAPTER, ComponentError, of_module};

    /// A module of world `stateless` that exports what the encoder asks for, and `body` besides.
    fn module(body: &str) -> Vec<u8> {
        let wat = format!(
            r#"(module
                {body}
                (memory (export "memory") 1)
                (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) unreachable)
                (func (export "tidewheel:operator/transformer@0.1.0#describe") (result i32) unreachable)
                (func (export "tidewheel:operator/transformer@0.1.0#open") (param i32 i32 i32 i32) (result i32)
                    unreachable)
                (func (export "tidewheel:operator/transformer@0.1.0#process") (param i64 i64 i64 i32 i32) (result i32)
                    unreachable))"#
        );
        wat::parse_str(wat).unwrap()
    }

    /// The imports of a component, by name.
    fn imports(component: &[u8]) -> Vec<String> {
        let mut names = Vec::new();
        let mut depth = 0;
        for payload in wasmparser::Parser::new(0).parse_all(component) {
            match payload.unwrap() {
                wasmparser::Payload::Version { .. } => depth += 1,
                wasmparser::Payload::End(_) => depth -= 1,
                wasmparser::Payload::ComponentImportSection(section) if depth == 1 => {
                    names.extend(section.into_iter().map(|import| import.unwrap().name.name.to_owned()));
                }
                _ => {}
            }
        }
        names
    }

    #[test]
    fn the_world_is_known_by_the_exports() {
        let component = of_module(&module("")).unwrap();
        assert!(!imports(&component).iter().any(|name| name.contains("log") || name.contains("wasi")));
        assert!(matches!(of_module(&component), Err(ComponentError::AlreadyComponent)));
        assert!(matches!(of_module(&wat::parse_str("(module)").unwrap()), Err(ComponentError::NoWorld)));
        assert!(matches!(of_module(b"text"), Err(ComponentError::NotWebAssembly { .. })));
        let two = module(r#"(func (export "tidewheel:operator/processor@0.1.0#migrate"))"#);
        assert!(matches!(of_module(&two), Err(ComponentError::TwoWorlds { first: "keyed", second: "stateless" })));
    }

    #[test]
    fn a_module_that_does_not_fit_is_told_why() {
        let unknown = module(r#"(import "elsewhere" "x" (func))"#);
        let error = of_module(&unknown).unwrap_err().to_string();
        assert!(error.starts_with("it does not fit the contract: ") && error.contains("elsewhere"), "{error}");
    }

    #[test]
    fn wasi_becomes_the_log_and_nothing_else() {
        let write = r#"(import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))"#;
        let component = of_module(&module(write)).unwrap();
        let names = imports(&component);
        assert!(names.iter().any(|name| name.starts_with("tidewheel:operator/log")), "{names:?}");
        assert!(!names.iter().any(|name| name.contains("wasi")), "{names:?}");
    }

    #[test]
    fn every_function_of_preview_1_is_answered() {
        let adapter = wat::parse_str(ADAPTER).unwrap();
        let mut exported = Vec::new();
        for payload in wasmparser::Parser::new(0).parse_all(&adapter) {
            if let wasmparser::Payload::ExportSection(exports) = payload.unwrap() {
                exported.extend(exports.into_iter().map(|export| export.unwrap().name.to_owned()));
            }
        }
        let families = ["args", "clock", "environ", "fd", "path", "poll", "proc", "random", "sched", "sock"];
        let of_wasi = |name: &&String| families.iter().any(|family| name.starts_with(&format!("{family}_")));
        assert_eq!(exported.iter().filter(of_wasi).count(), 46);
    }
}
