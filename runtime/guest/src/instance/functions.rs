//! The functions a component exports, looked up once per instance and checked against the contract.

use super::Export;
use crate::bindings::description::Description;
use crate::bindings::types::{Call, Failure};
use crate::error::GuestError;
use crate::host::HostState;
use tidewheel_types::World;
use wasmtime::Store;
use wasmtime::component::{ComponentNamedList, Lift, Lower, TypedFunc};

type Open = TypedFunc<(&'static str, &'static [(String, String)]), (Result<(), Failure>,)>;
type FrameFunction = TypedFunc<(Call, &'static [u8]), (Result<Vec<u8>, Failure>,)>;
type Migrate = TypedFunc<(u32, u32, &'static [u8]), (Result<Vec<u8>, Failure>,)>;
type Describe = TypedFunc<(), (Description,)>;

/// The functions of an instance.
pub(crate) struct Functions {
    open: Open,
    /// By [`Export`].
    frames: [Option<FrameFunction>; Export::ALL.len()],
    migrate: Option<Migrate>,
}

/// Where functions are looked for.
pub(crate) struct Lookup<'a> {
    pub(crate) store: &'a mut Store<HostState>,
    pub(crate) instance: &'a wasmtime::component::Instance,
    pub(crate) component: &'a str,
    pub(crate) interface: &'a str,
}

impl Functions {
    /// Finds the functions that a component of `world` exports with `interface`. `component` is for errors.
    pub(crate) fn find(
        store: &mut Store<HostState>,
        instance: &wasmtime::component::Instance,
        component: &str,
        interface: &str,
        world: World,
    ) -> Result<Functions, GuestError> {
        let mut lookup = Lookup { store, instance, component, interface };
        let exports: &[Export] = match world {
            World::Stateless => &[Export::Process],
            World::Keyed => &[Export::Process, Export::OnTimer],
            World::Aggregate => &[Export::Accumulate, Export::Merge, Export::Fire],
        };
        let mut frames = [None; Export::ALL.len()];
        for &export in exports {
            frames[export as usize] = Some(lookup.function(export.name())?);
        }
        let migrate = if world == World::Stateless { None } else { Some(lookup.function("migrate")?) };
        Ok(Functions { open: lookup.function("open")?, frames, migrate })
    }

    /// Finds `describe`, which is called once per component.
    pub(crate) fn describe(
        store: &mut Store<HostState>,
        instance: &wasmtime::component::Instance,
        component: &str,
        interface: &str,
    ) -> Result<Describe, GuestError> {
        Lookup { store, instance, component, interface }.function("describe")
    }

    pub(super) fn open(&self) -> Open {
        self.open
    }

    pub(super) fn frame(&self, export: Export) -> Option<FrameFunction> {
        self.frames[export as usize]
    }

    pub(super) fn migrate(&self) -> Option<Migrate> {
        self.migrate
    }
}

impl Lookup<'_> {
    pub(crate) fn function<Arguments, Results>(
        &mut self,
        function: &'static str,
    ) -> Result<TypedFunc<Arguments, Results>, GuestError>
    where
        Arguments: ComponentNamedList + Lower,
        Results: ComponentNamedList + Lift,
    {
        let (component, interface) = (|| self.component.to_owned(), || self.interface.to_owned());
        let store = &mut *self.store;
        let found = self
            .instance
            .get_export_index(&mut *store, None, self.interface)
            .and_then(|index| self.instance.get_export_index(&mut *store, Some(&index), function))
            .and_then(|index| self.instance.get_func(&mut *store, index));
        let found = found.ok_or_else(|| GuestError::MissingFunction {
            component: component(),
            interface: interface(),
            function,
        })?;
        found.typed(&*store).map_err(|error| GuestError::MistypedFunction {
            component: component(),
            interface: interface(),
            function,
            reason: format!("{error:#}"),
        })
    }
}
