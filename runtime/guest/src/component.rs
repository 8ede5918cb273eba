//! A component: loaded, compiled, checked against the contract, and asked what it is.

mod check;
mod imports;

pub use imports::Import;

use crate::describe;
use crate::error::GuestError;
use crate::host::HostState;
use crate::instance::{Functions, Instance, InstanceSettings};
use crate::lines::Lines;
use crate::runtime::Runtime;
use crate::script::Script;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tidewheel_types::{Description, World};
use wasmparser::{KnownCustom, Name, Parser, Payload};
use wasmtime::component::InstancePre;

/// A compiled component that fulfils the contract of a world. Clones share it, on any thread.
#[derive(Clone)]
pub struct Component(Arc<Inner>);

struct Inner {
    runtime: Runtime,
    pre: InstancePre<HostState>,
    facts: Facts,
    digest: String,
    size_bytes: usize,
    /// Where it was loaded from, if that is a file.
    path: Option<PathBuf>,
    lines: Lines,
    /// The operator's source, if the component takes it when it starts.
    script: Option<Script>,
}

/// What is known of a component once it has been checked. Kept with the compiled code.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Facts {
    pub(crate) world: World,
    /// The interface it exports, with its version.
    pub(crate) interface: String,
    pub(crate) imports: Vec<Import>,
    pub(crate) description: Description,
    pub(crate) has_function_names: bool,
}

impl std::fmt::Debug for Component {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Component").field("name", &self.0.facts.description.name).finish_non_exhaustive()
    }
}

impl Component {
    /// Loads a component; errors call it `name`. `path` is where `bytes` are from.
    pub(crate) fn load(
        runtime: Runtime,
        name: &str,
        bytes: &[u8],
        path: Option<&Path>,
    ) -> Result<Component, GuestError> {
        let component = || name.to_owned();
        if Parser::is_core_wasm(bytes) {
            return Err(GuestError::CoreModule { component: component() });
        }
        if !Parser::is_component(bytes) {
            return Err(GuestError::NotWebAssembly { component: component() });
        }
        let (compiled, script) = Script::split(name, bytes)?;
        let digest = digest_of(bytes);
        // Code with a script may be another thing to the checks than the same without, so it is not kept as that.
        let key = if script.is_some() { digest_of(compiled) + "-script" } else { digest.clone() };
        let (pre, facts) = Self::compile(&runtime, name, compiled, &key, script.as_ref())?;
        let (size_bytes, path) = (bytes.len(), path.map(Path::to_owned));
        let lines = Lines::of(compiled);
        Ok(Component(Arc::new(Inner { runtime, pre, facts, digest, size_bytes, path, lines, script })))
    }

    /// Compiles and checks a component, or takes what is kept of that under `key`.
    fn compile(
        runtime: &Runtime,
        name: &str,
        bytes: &[u8],
        key: &str,
        script: Option<&Script>,
    ) -> Result<(InstancePre<HostState>, Facts), GuestError> {
        if let Some((compiled, mut facts)) = runtime.cache().and_then(|cache| cache.load(runtime.engine(), key)) {
            let pre = imports::link(runtime, name, &compiled)?;
            match script {
                // What was kept is the description of another script.
                Some(_) => {
                    facts.description = Self::describe(runtime, name, &pre, &facts.interface, facts.world, script)?
                }
                // It was made by a version of this host that may have known fewer rules.
                None => Self::check_description(name, &facts.description, facts.world)?,
            }
            return Ok((pre, facts));
        }
        let compiled = wasmtime::component::Component::from_binary(runtime.engine(), bytes)
            .map_err(|error| GuestError::Invalid { component: name.to_owned(), reason: format!("{error:#}") })?;
        let (world, interface) = check::world(runtime, name, &compiled)?;
        let imports = imports::check(runtime, name, &compiled, world)?;
        let pre = imports::link(runtime, name, &compiled)?;
        let description = Self::describe(runtime, name, &pre, &interface, world, script)?;
        let has_function_names = has_function_names(bytes);
        let facts = Facts { world, interface, imports, description, has_function_names };
        if let Some(cache) = runtime.cache() {
            cache.store(key, &compiled, &facts);
        }
        Ok((pre, facts))
    }

    /// Makes an instance that serves for nothing but to check the functions' types and to call `describe`.
    fn describe(
        runtime: &Runtime,
        name: &str,
        pre: &InstancePre<HostState>,
        interface: &str,
        world: World,
        script: Option<&Script>,
    ) -> Result<Description, GuestError> {
        let settings = InstanceSettings { operator: name.to_owned(), ..InstanceSettings::default() };
        let mut store = settings.store(runtime, &[], false);
        let _in_flight = runtime.ticker().call();
        let instance = pre.instantiate(&mut store).map_err(|error| settings.trapped(&error, "start", &mut store))?;
        if let Some(script) = script {
            script.load(&mut store, &instance, name, &settings)?;
            settings.restart_deadline(&mut store);
        }
        Functions::find(&mut store, &instance, name, interface, world)?;
        let describe = Functions::describe(&mut store, &instance, name, interface)?;
        let called = describe.call(&mut store, ());
        let (said,) = called.map_err(|error| settings.trapped(&error, "describe", &mut store))?;
        let description = Description::from(said);
        Self::check_description(name, &description, world)?;
        Ok(description)
    }

    fn check_description(name: &str, description: &Description, world: World) -> Result<(), GuestError> {
        describe::check(description, world)
            .map_err(|problem| GuestError::Description { component: name.to_owned(), problem })
    }

    /// The world whose contract it fulfils.
    pub fn world(&self) -> World {
        self.0.facts.world
    }

    /// What it says of itself.
    pub fn description(&self) -> &Description {
        &self.0.facts.description
    }

    /// SHA-256 of the component, in hexadecimal.
    pub fn digest(&self) -> &str {
        &self.0.digest
    }

    /// The interfaces it imports.
    pub fn imports(&self) -> &[Import] {
        &self.0.facts.imports
    }

    /// Whether it has kept the names of its functions; without them a backtrace says little.
    pub fn has_function_names(&self) -> bool {
        self.0.facts.has_function_names
    }

    /// The size of the component, not compiled.
    pub fn size_bytes(&self) -> usize {
        self.0.size_bytes
    }

    /// The file that it was loaded from, if it was one.
    pub fn path(&self) -> Option<&Path> {
        self.0.path.as_deref()
    }

    /// Makes an instance and opens it.
    pub fn instantiate(&self, settings: InstanceSettings) -> Result<Instance, GuestError> {
        Instance::new(self.clone(), settings).map_err(|error| self.located(error))
    }

    /// An error of an instance with the lines of the source in its backtrace, if the component has debug information. To
    /// look them up takes some milliseconds, so it is left to whoever shows them.
    pub fn located(&self, mut error: GuestError) -> GuestError {
        self.0.lines.locate(&mut error);
        error
    }

    pub(crate) fn runtime(&self) -> &Runtime {
        &self.0.runtime
    }

    pub(crate) fn pre(&self) -> &InstancePre<HostState> {
        &self.0.pre
    }

    pub(crate) fn script(&self) -> Option<&Script> {
        self.0.script.as_ref()
    }

    pub(crate) fn facts(&self) -> &Facts {
        &self.0.facts
    }
}

/// What a component of these bytes has for a digest.
pub(crate) fn digest_of(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("a string takes everything");
        hex
    })
}

/// Whether any core module in the component has a `name` section with names of functions.
fn has_function_names(bytes: &[u8]) -> bool {
    Parser::new(0).parse_all(bytes).any(|payload| {
        let Ok(Payload::CustomSection(section)) = payload else { return false };
        let KnownCustom::Name(names) = section.as_known() else { return false };
        names.into_iter().any(|names| matches!(names, Ok(Name::Function(functions)) if functions.count() > 0))
    })
}
