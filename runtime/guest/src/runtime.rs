//! The runtime of components: wasmtime with our settings, the host functions, the ticker and the cache of code.

use crate::bindings::Keyed;
use crate::cache::Cache;
use crate::component::Component;
use crate::deadline::Ticker;
use crate::error::GuestError;
use crate::host::HostState;
use crate::host::http::Client;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use wasmtime::component::{HasSelf, Linker};
use wasmtime::{Config, Engine, WasmBacktraceDetails};

/// Settings of a runtime.
#[derive(Clone, Debug, Default)]
pub struct RuntimeOptions {
    /// Where compiled code is kept; `None` keeps none.
    pub cache_dir: Option<PathBuf>,
}

/// Loads and runs components. A process has one; clones share it.
#[derive(Clone)]
pub struct Runtime(Arc<Inner>);

struct Inner {
    engine: Engine,
    linker: Linker<HostState>,
    ticker: Ticker,
    cache: Option<Cache>,
    http: Arc<Client>,
}

impl Runtime {
    /// Starts a runtime.
    pub fn new(options: RuntimeOptions) -> Result<Runtime, GuestError> {
        let start = |error: wasmtime::Error| GuestError::Start { reason: error.to_string() };
        let engine = Engine::new(&config()).map_err(start)?;
        let mut linker = Linker::new(&engine);
        Keyed::add_to_linker::<HostState, HasSelf<HostState>>(&mut linker, |host| host).map_err(start)?;
        let io = |error: std::io::Error| GuestError::Start { reason: error.to_string() };
        let ticker = Ticker::start(engine.clone()).map_err(io)?;
        let cache = options.cache_dir.and_then(|folder| {
            let opened = Cache::open(folder.clone(), &engine);
            opened
                .inspect_err(|error| {
                    tracing::warn!(folder = %folder.display(), %error, "compiled components cannot be kept here");
                })
                .ok()
        });
        Ok(Runtime(Arc::new(Inner { engine, linker, ticker, cache, http: Arc::default() })))
    }

    /// Loads the component in the file `path`.
    pub fn load(&self, path: &Path) -> Result<Component, GuestError> {
        let read = std::fs::read(path).map_err(|source| GuestError::Read { path: path.to_owned(), source });
        Component::load(self.clone(), &path.display().to_string(), &read?, Some(path))
    }

    /// Loads a component; errors call it `name`.
    pub fn load_bytes(&self, name: &str, bytes: &[u8]) -> Result<Component, GuestError> {
        Component::load(self.clone(), name, bytes, None)
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.0.engine
    }

    pub(crate) fn linker(&self) -> &Linker<HostState> {
        &self.0.linker
    }

    pub(crate) fn ticker(&self) -> &Ticker {
        &self.0.ticker
    }

    pub(crate) fn http(&self) -> &Arc<Client> {
        &self.0.http
    }

    pub(crate) fn cache(&self) -> Option<&Cache> {
        self.0.cache.as_ref()
    }
}

/// Settings under which a call with the same arguments gives the same result on every machine, and can be stopped.
fn config() -> Config {
    let mut config = Config::new();
    config.cranelift_nan_canonicalization(true);
    config.wasm_relaxed_simd(true).relaxed_simd_deterministic(true);
    config.epoch_interruption(true);
    // Names of functions, without lines: looking these up in debug information is slow, and it is seldom there.
    config.wasm_backtrace_details(WasmBacktraceDetails::Disable);
    config
}
