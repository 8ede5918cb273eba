//! What is wrong with a job although each of its parts is right: two that get in each other's way, and a component that
//! refuses its config. Found before anything runs, by `check` and by `run`.

use anyhow::Result;
use std::ffi::OsString;
use std::path::{Component as Step, Path, PathBuf};
use tidewheel_engine::{Function, Plan};
use tidewheel_types::OperatorId;
use tidewheel_types::job::{JobError, JobSpec};

/// Checks `spec`, whose plan is `plan` and whose paths are relative to `folder`.
pub(crate) fn check(spec: &JobSpec, plan: &Plan, folder: &Path) -> Result<()> {
    refuse_two_readers_of_stdin(spec)?;
    refuse_two_writers_of_a_folder(spec, folder)?;
    for (id, function) in plan.functions() {
        open(spec, id, function)?;
    }
    Ok(())
}

/// Each would get some of the lines, and nobody knows which.
fn refuse_two_readers_of_stdin(spec: &JobSpec) -> Result<(), JobError> {
    let mut readers = spec.sources.iter().filter(|source| source.connector == "stdin");
    match (readers.next(), readers.next()) {
        (Some(first), Some(second)) => {
            let message = format!("sources {:?} and {:?} both read stdin", first.id.as_str(), second.id.as_str());
            let hint = format!("let the readers of {:?} read {:?} too", second.id.as_str(), first.id.as_str());
            Err(spec.error(second.line, message).with_hint(hint))
        }
        _ => Ok(()),
    }
}

/// The parts that they commit would have the same names.
fn refuse_two_writers_of_a_folder(spec: &JobSpec, folder: &Path) -> Result<(), JobError> {
    let mut written: Vec<(PathBuf, &str)> = Vec::new();
    for sink in spec.sinks.iter().filter(|sink| sink.connector == "file") {
        let mut options = sink.options.clone();
        let path: String = options.require("path")?;
        let place = resolved(&folder.join(&path));
        if let Some((_, other)) = written.iter().find(|(there, _)| *there == place) {
            let error = options.error("path", format!("sink {other:?} writes to {path:?} too"));
            let hint = "give each sink a folder of its own, or one sink both inputs: input = [\"…\", \"…\"]";
            return Err(error.with_hint(hint));
        }
        written.push((place, sink.id.as_str()));
    }
    Ok(())
}

/// The one name of a place that need not be there yet: what is there without links, the rest without dots.
fn resolved(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut there = path.as_path();
    let mut rest: Vec<OsString> = Vec::new();
    let mut resolved = loop {
        match (there.canonicalize(), there.parent()) {
            (Ok(place), _) => break place,
            (Err(_), Some(parent)) => {
                rest.extend(there.components().next_back().map(|step| step.as_os_str().to_owned()));
                there = parent;
            }
            (Err(_), None) => break there.to_owned(),
        }
    };
    for step in rest.iter().rev() {
        match Path::new(step).components().next() {
            Some(Step::ParentDir) => _ = resolved.pop(),
            _ => resolved.push(step),
        }
    }
    resolved
}

/// Makes an instance with the config of the part `id`, as every worker will.
fn open(spec: &JobSpec, id: &OperatorId, function: &Function) -> Result<(), JobError> {
    let sources = spec.sources.iter().filter(|it| it.component().is_some()).map(|it| ("source", &it.id, it.line));
    let operators = spec.operators.iter().filter(|it| it.component().is_some()).map(|it| ("operator", &it.id, it.line));
    let mut parts = sources.chain(operators);
    let (part, _, line) = parts.find(|(_, of, _)| *of == id).expect("a plan has the components of its spec");
    match function.component.instantiate(function.settings(id, 0)) {
        Ok(_) => Ok(()),
        Err(error) => Err(spec.error(line, format!("{part} {:?}: {error}", id.as_str()))),
    }
}

#[cfg(test)]
mod tests {
    use super::resolved;
    use std::path::Path;

    #[test]
    fn a_place_has_one_name() {
        let here = Path::new("/").canonicalize().unwrap();
        for name in ["/not-there/out", "/not-there/out/", "/not-there/./out", "/not-there/x/../out", "//not-there//out"]
        {
            assert_eq!(resolved(Path::new(name)), here.join("not-there/out"), "{name}");
        }
        assert_ne!(resolved(Path::new("/not-there/out")), resolved(Path::new("/not-there/out/sub")));
    }
}
