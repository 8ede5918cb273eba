//! Which world a component is of, by the interface it exports.

use crate::bindings::{PACKAGE, VERSION};
use crate::error::GuestError;
use crate::runtime::Runtime;
use tidewheel_types::World;
use wasmtime::component::Component;

/// An interface of the contract: `processor` and `0.1.0` of `tidewheel:operator/processor@0.1.0`.
pub(super) fn of_contract(name: &str) -> Option<(&str, &str)> {
    let interface = name.strip_prefix(PACKAGE)?.strip_prefix('/')?;
    Some(interface.split_once('@').unwrap_or((interface, "")))
}

/// Whether this host speaks a version of the contract: those that differ in the last number alone are compatible.
pub(super) fn is_spoken(version: &str) -> bool {
    let line = |version: &str| version.rsplit_once('.').map(|(line, _)| line.to_owned());
    line(version) == line(VERSION)
}

/// The world of a component, and the name of the interface it exports.
pub(super) fn world(runtime: &Runtime, name: &str, component: &Component) -> Result<(World, String), GuestError> {
    let ty = component.component_type();
    let mut found: Option<(World, String)> = None;
    for (export, _) in ty.exports(runtime.engine()) {
        let Some((interface, version)) = of_contract(export) else { continue };
        let Some(world) = World::ALL.into_iter().find(|world| world.interface() == interface) else { continue };
        if !is_spoken(version) {
            return Err(other_version(name, export));
        }
        if let Some((_, first)) = found {
            let second = export.to_owned();
            return Err(GuestError::SeveralInterfaces { component: name.to_owned(), first, second });
        }
        found = Some((world, export.to_owned()));
    }
    found.ok_or_else(|| {
        let expected = World::ALL.map(|world| format!("{PACKAGE}/{}@{VERSION} (world {world})", world.interface()));
        GuestError::NoInterface { component: name.to_owned(), expected: expected.join(", ") }
    })
}

/// The error for an import or export of a version that this host does not speak.
pub(super) fn other_version(component: &str, found: &str) -> GuestError {
    GuestError::OtherVersion { component: component.to_owned(), found: found.to_owned(), spoken: VERSION }
}

#[cfg(test)]
mod tests {
    use super::{is_spoken, of_contract};

    #[test]
    fn versions_of_one_line_are_compatible() {
        assert!(is_spoken("0.1.0") && is_spoken("0.1.7"));
        assert!(!is_spoken("0.2.0") && !is_spoken("1.1.0") && !is_spoken(""));
        assert_eq!(of_contract("tidewheel:operator/log@0.1.0"), Some(("log", "0.1.0")));
        assert_eq!(of_contract("tidewheel:operators/log@0.1.0"), None);
    }
}
