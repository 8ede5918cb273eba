//! The fixtures, and what tests need to call them.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use tidewheel_guest::{
    Call, CallShape, Component, Export, FrameWriter, GuestError, Instance, InstanceSettings, Limits, Output, Runtime,
    RuntimeOptions, Trap, column,
};

/// The runtime that all tests share, as the operators of a process do.
pub(crate) fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| Runtime::new(RuntimeOptions::default()).expect("a runtime starts"))
}

/// The file of a fixture.
pub(crate) fn path(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../tests/guests/out/{name}.wasm"));
    assert!(path.exists(), "{} is not there: run `cargo xtask guests` first", path.display());
    path
}

/// The fixture of this name.
pub(crate) fn component(name: &str) -> Component {
    runtime().load(&path(name)).expect("a fixture loads")
}

/// Settings for an instance called `name`.
pub(crate) fn settings(name: &str) -> InstanceSettings {
    InstanceSettings { operator: name.to_owned(), config: "null".to_owned(), ..InstanceSettings::default() }
}

/// An instance of a fixture with a config.
pub(crate) fn configured(name: &str, config: &str) -> Result<Instance, GuestError> {
    component(name).instantiate(InstanceSettings { config: config.to_owned(), ..settings(name) })
}

/// An instance of a fixture with limits.
pub(crate) fn limited(name: &str, limits: Limits) -> Instance {
    component(name).instantiate(InstanceSettings { limits, ..settings(name) }).expect("a fixture opens")
}

/// An instance of a fixture.
pub(crate) fn instance(name: &str) -> Instance {
    limited(name, Limits::default())
}

pub(crate) const CALL: Call = Call { now: 1_000, watermark: 0, seed: 7 };

/// A frame of records for world `stateless`.
pub(crate) fn records(values: &[&[u8]]) -> Vec<u8> {
    let mut frame = Vec::new();
    let mut writer = FrameWriter::new(&mut frame, &[column::TIMES, column::VALUE_ENDS, column::VALUES]);
    writer.numbers(column::TIMES, &vec![0i64; values.len()]);
    write_entries(&mut writer, column::VALUE_ENDS, values);
    writer.finish();
    frame
}

/// Writes the columns `ends` and the next.
pub(crate) fn write_entries(writer: &mut FrameWriter<'_>, ends: u32, entries: &[&[u8]]) {
    let lengths = entries.iter().scan(0u32, |end, entry| {
        *end += entry.len() as u32;
        Some(*end)
    });
    writer.numbers(ends, &lengths.collect::<Vec<_>>());
    writer.numbers(ends + 1, &entries.concat());
}

/// Calls `process` of world `stateless`.
pub(crate) fn process(instance: &mut Instance, values: &[&[u8]]) -> Result<Output, GuestError> {
    let shape = CallShape { records: values.len() as u32, ..CallShape::default() };
    instance.call(Export::Process, CALL, &records(values), &shape)
}

/// The values that were emitted.
pub(crate) fn values(output: &Output) -> Vec<Vec<u8>> {
    (0..output.len()).map(|index| output.value(index).to_vec()).collect()
}

/// The trap that a call ended with.
pub(crate) fn trap<T>(result: Result<T, GuestError>) -> Trap {
    match result {
        Err(GuestError::Trapped(trap)) => *trap,
        Err(error) => panic!("not a trap: {error}"),
        Ok(_) => panic!("not a trap"),
    }
}
