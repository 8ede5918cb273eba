//! From a job's components to the projects they are built of.

use anyhow::{Result, anyhow, bail};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use tidewheel_build::Language;
use tidewheel_types::job::{JobSpec, nearest};

/// How many folders below that of a component its sources may be.
const DEPTH_MAX: usize = 3;

/// A project, with the operators whose components it builds.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Watched {
    pub(super) folder: PathBuf,
    /// The name of an operator, and that of its component.
    pub(super) operators: Vec<(String, String)>,
}

/// The projects of a job's operators; `said` are `OPERATOR=FOLDER`. Operators whose component has no project beside it run as
/// they are.
pub(super) fn of_job(spec: &JobSpec, folder: &Path, said: &[String]) -> Result<Vec<Watched>> {
    let said = said.iter().map(|said| split(spec, said)).collect::<Result<Vec<_>>>()?;
    let mut watched: Vec<Watched> = Vec::new();
    for operator in &spec.operators {
        let Some(component) = operator.component() else { continue };
        let path = folder.join(&component.path);
        let named = said.iter().find(|(name, _)| *name == operator.id.as_str());
        let Some(name) = path.file_stem().map(|name| name.to_string_lossy().into_owned()) else { continue };
        let Some(project) = named.map(|(_, folder)| folder.to_path_buf()).or_else(|| find(&path)) else { continue };
        let entry = (operator.id.to_string(), name);
        match watched.iter_mut().find(|it| it.folder == project) {
            Some(it) => it.operators.push(entry),
            None => watched.push(Watched { folder: project, operators: vec![entry] }),
        }
    }
    if watched.is_empty() {
        bail!(
            "{}: there are no sources of an operator beside its component\n\nhint: say where they are, with --source \
             OPERATOR=FOLDER",
            spec.file
        );
    }
    Ok(watched)
}

/// An operator of the job and a folder.
fn split<'a>(spec: &JobSpec, said: &'a str) -> Result<(&'a str, &'a Path)> {
    let (operator, folder) =
        said.split_once('=').ok_or_else(|| anyhow!("--source {said}: expected OPERATOR=FOLDER"))?;
    let names = || spec.operators.iter().filter(|it| it.component().is_some()).map(|it| it.id.as_str());
    if !names().any(|name| name == operator) {
        let hint = nearest(operator, names()).map(|name| format!("\n\nhint: did you mean {name:?}?"));
        bail!("--source {said}: no operator {operator:?} has a component{}", hint.unwrap_or_default());
    }
    Ok((operator, Path::new(folder)))
}

/// The project of a component: the folder it lies in, or one below that is called as it is. Of several, in languages side
/// by side, the first.
fn find(component: &Path) -> Option<PathBuf> {
    let (folder, name) = (component.parent()?, component.file_stem()?);
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    if Language::of(folder).is_some() {
        return Some(folder.to_owned());
    }
    let mut found = Vec::new();
    find_below(folder, name, DEPTH_MAX, &mut found);
    // In the order of Rust, Go, Python: Rust is the one that is built fastest.
    found.into_iter().min_by_key(|(language, folder)| (rank(*language), folder.clone())).map(|(_, folder)| folder)
}

fn rank(language: Language) -> usize {
    [Language::Rust, Language::Go, Language::Python].iter().position(|it| *it == language).unwrap_or(usize::MAX)
}

fn find_below(folder: &Path, name: &OsStr, depth: usize, found: &mut Vec<(Language, PathBuf)>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        if !path.is_dir() || super::watch::is_passed_over(&entry.file_name()) {
            continue;
        }
        if entry.file_name() == name
            && let Some(language) = Language::of(&path)
        {
            found.push((language, path));
        } else if depth > 1 {
            find_below(&path, name, depth - 1, found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Watched, of_job};
    use std::fs;
    use std::path::Path;
    use tidewheel_types::job::JobSpec;

    const JOB: &str = "name = 'j'
[sources.a]
connector = 'stdin'
[operators.split]
component = 'split.wasm'
input = 'a'
[operators.count]
component = 'count.wasm'
input = 'split'
[sinks.b]
connector = 'stdout'
input = 'count'
";

    fn folder_with(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        folder
    }

    fn found(folder: &Path, said: &[&str]) -> Result<Vec<Watched>, String> {
        let spec = JobSpec::parse(JOB, "job.toml").unwrap();
        let said: Vec<String> = said.iter().map(|said| (*said).to_owned()).collect();
        of_job(&spec, folder, &said).map_err(|error| error.to_string())
    }

    fn watched(folder: &Path, operators: &[&str]) -> Watched {
        let operators = operators.iter().map(|name| ((*name).to_owned(), (*name).to_owned())).collect();
        Watched { folder: folder.to_owned(), operators }
    }

    #[test]
    fn sources_lie_beside_components() {
        let one = folder_with(&["Cargo.toml"]);
        assert_eq!(found(one.path(), &[]), Ok(vec![watched(one.path(), &["split", "count"])]));
        let side_by_side = folder_with(&["go/count/go.mod", "rust/count/Cargo.toml", "python/split/split.py"]);
        let (split, count) = (side_by_side.path().join("python/split"), side_by_side.path().join("rust/count"));
        assert_eq!(found(side_by_side.path(), &[]), Ok(vec![watched(&split, &["split"]), watched(&count, &["count"])]));
        let hidden = folder_with(&["target/count/Cargo.toml", ".x/count/Cargo.toml", "a/b/c/count/Cargo.toml"]);
        assert!(found(hidden.path(), &[]).is_err_and(|error| error.starts_with("job.toml: there are no sources")));
    }

    #[test]
    fn or_where_it_is_said() {
        let empty = folder_with(&[]);
        assert_eq!(found(empty.path(), &["count=x/y"]), Ok(vec![watched(Path::new("x/y"), &["count"])]));
        assert!(found(empty.path(), &["count"]).is_err_and(|error| error.contains("expected OPERATOR=FOLDER")));
        assert!(found(empty.path(), &["cuont=x"]).is_err_and(|error| error.ends_with("did you mean \"count\"?")));
    }
}
