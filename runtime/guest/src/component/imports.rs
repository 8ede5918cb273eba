//! What a component imports: whether the host offers it, and how it is linked.

use super::check::{is_spoken, of_contract, other_version};
use crate::error::GuestError;
use crate::host::{HostState, wasi};
use crate::runtime::Runtime;
use serde::{Deserialize, Serialize};
use tidewheel_types::World;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, InstancePre};

/// An interface that a component imports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Import {
    /// Its name, with its version.
    pub name: String,
    /// Whether the host answers its functions; else they trap.
    pub provided: bool,
}

/// The interfaces of the contract that components of every world may import.
const FOR_ALL: [&str; 5] = ["log", "metrics", "http", "types", "description"];

/// The interface that those of world `keyed` may import besides.
const FOR_KEYED: &str = "state";

/// Checks that the host knows everything a component imports.
pub(super) fn check(
    runtime: &Runtime,
    name: &str,
    component: &Component,
    world: World,
) -> Result<Vec<Import>, GuestError> {
    let ty = component.component_type();
    let mut imports = Vec::new();
    for (import, item) in ty.imports(runtime.engine()) {
        let provided = match of_contract(import) {
            Some((_, version)) if !is_spoken(version) => return Err(other_version(name, import)),
            Some((interface, _)) if FOR_ALL.contains(&interface) => true,
            Some((FOR_KEYED, _)) if world == World::Keyed => true,
            Some((FOR_KEYED, _)) => return Err(unknown(name, import, "only world keyed has state; build it for that")),
            Some(_) => return Err(unknown(name, import, "use a newer host, or an older SDK")),
            None if wasi::is_wasi(import) && matches!(item.ty, ComponentItem::ComponentInstance(_)) => {
                wasi::is_offered(import)
            }
            None => return Err(unknown(name, import, "build it without that import, or link what it needs into it")),
        };
        imports.push(Import { name: import.to_owned(), provided });
    }
    Ok(imports)
}

/// Links a component whose imports have been checked.
pub(super) fn link(runtime: &Runtime, name: &str, component: &Component) -> Result<InstancePre<HostState>, GuestError> {
    let mistyped = |error: wasmtime::Error| GuestError::MistypedImport {
        component: name.to_owned(),
        reason: format!("{error:#}"),
    };
    let ty = component.component_type();
    let mut linker = runtime.linker().clone();
    for (import, item) in ty.imports(runtime.engine()) {
        if let (true, ComponentItem::ComponentInstance(instance)) = (wasi::is_wasi(import), &item.ty) {
            wasi::link(&mut linker, runtime.engine(), import, instance).map_err(mistyped)?;
        }
    }
    linker.instantiate_pre(component).map_err(mistyped)
}

fn unknown(component: &str, import: &str, fix: &'static str) -> GuestError {
    GuestError::UnknownImport { component: component.to_owned(), import: import.to_owned(), fix }
}
