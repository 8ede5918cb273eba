//! JavaScript and TypeScript: `esbuild` bundles an operator with what it imports, `componentize-qjs` puts that and QuickJS into a
//! component. Both are packages of npm, which the folder's `package.json` has to name.
//!
//! An operator is a `.ts` or `.js` file that exports the interface of its world, such as `export const processor`. Other files are
//! what operators import.

use crate::component::{CONTRACT, WORLDS};
use crate::error::cannot;
use crate::rust::{cannot_run, failed};
use crate::{BuildError, Built, place};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What makes components, and the release of it that is known to work.
const COMPONENTIZE: (&str, &str) = ("componentize-qjs", "0.4.5");

/// What bundles, and the release of it that is known to work.
const BUNDLE: (&str, &str) = ("esbuild", "0.28.2");

/// The operators of a folder, by name: their components.
///
/// # Errors
/// When the packages that build them are not installed, or the sources do not build.
pub fn components(folder: &Path) -> Result<Vec<(String, Vec<u8>)>, BuildError> {
    let (bundle, componentize) = (tool(folder, BUNDLE)?, tool(folder, COMPONENTIZE)?);
    let operators = operators(folder)?;
    let scratch = tempfile::tempdir().map_err(cannot("write", &std::env::temp_dir()))?;
    let contract = scratch.path().join("wit");
    fs::create_dir(&contract).map_err(cannot("write", &contract))?;
    fs::write(contract.join("operator.wit"), CONTRACT).map_err(cannot("write", &contract))?;
    let component = |(source, world): &(PathBuf, &str)| {
        let name = source.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let (script, component) =
            (scratch.path().join(format!("{name}.js")), scratch.path().join(format!("{name}.wasm")));
        let mut bundling = Command::new(&bundle);
        bundling.arg(source).args(["--bundle", "--format=esm", "--log-level=warning"]);
        run(bundling.arg(format!("--outfile={}", script.display())), folder)?;
        let mut making = Command::new(&componentize);
        // Without `--sync` the component needs a host with asynchronous calls.
        making.args(["--stub-wasi", "--sync", "--world", world, "--wit"]).arg(&contract);
        run(making.arg("--js").arg(&script).arg("-o").arg(&component), folder)?;
        Ok((name, fs::read(&component).map_err(cannot("read", &component))?))
    };
    operators.iter().map(component).collect()
}

/// Builds the operators of a folder into another.
pub(crate) fn build(folder: &Path, out: &Path) -> Result<Vec<Built>, BuildError> {
    components(folder)?.iter().map(|(name, component)| place(component, out, name)).collect()
}

/// The operators of a folder, with the world of each.
fn operators(folder: &Path) -> Result<Vec<(PathBuf, &'static str)>, BuildError> {
    let mut operators = Vec::new();
    for entry in fs::read_dir(folder).map_err(cannot("read", folder))? {
        let path = entry.map_err(cannot("read", folder))?.path();
        if path.extension().is_some_and(|extension| extension == "ts" || extension == "js") {
            let source = fs::read_to_string(&path).map_err(cannot("read", &path))?;
            operators.extend(world_of(&source).map(|world| (path, world)));
        }
    }
    if operators.is_empty() {
        let fix = "let a .ts or .js file export the interface of its world, such as `export const processor`";
        return Err(BuildError::Nothing { folder: folder.to_owned(), fix });
    }
    operators.sort();
    Ok(operators)
}

/// The world whose interface a source exports.
fn world_of(source: &str) -> Option<&'static str> {
    let exports = |interface: &str| {
        source
            .lines()
            .filter_map(|line| line.trim_start().strip_prefix("export const "))
            .any(|rest| rest.strip_prefix(interface).is_some_and(|rest| rest.trim_start().starts_with(['=', ':'])))
    };
    WORLDS.iter().find(|(interface, _)| exports(interface)).map(|(_, world)| *world)
}

/// A program of a package of npm, which is installed in the folder.
fn tool(folder: &Path, (package, version): (&str, &str)) -> Result<PathBuf, BuildError> {
    let program = folder.join("node_modules/.bin").join(package);
    if program.is_file() {
        return Ok(fs::canonicalize(&program).unwrap_or(program));
    }
    let missing = format!("{} has no package {package} installed", folder.display());
    let install = vec![
        format!("npm install --prefix {}", folder.display()),
        format!("npm install --prefix {} --save-dev {package}@{version}", folder.display()),
    ];
    Err(BuildError::NoToolchain { missing, install })
}

/// Runs a program; what it says goes to stderr.
fn run(command: &mut Command, folder: &Path) -> Result<(), BuildError> {
    let program = command.get_program().to_owned();
    let output = command.stderr(std::process::Stdio::inherit()).output().map_err(cannot_run(&program))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(failed(&program.to_string_lossy(), folder, output.status)),
    }
}

#[cfg(test)]
mod tests {
    use super::{components, operators, world_of};
    use crate::BuildError;
    use std::fs;

    #[test]
    fn the_world_is_whose_interface_is_exported() {
        assert_eq!(world_of("export const processor = {\n"), Some("keyed"));
        assert_eq!(world_of("export const transformer: Transformer = {};"), Some("stateless"));
        assert_eq!(world_of("// processor\nexport const processors = 1;\nconst processor = 2;"), None);
    }

    #[test]
    fn files_without_an_interface_are_no_operators() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        write("frame.ts", "export class FrameReader {}");
        assert!(matches!(operators(folder.path()), Err(BuildError::Nothing { .. })));
        write("count.ts", "export const processor = {};");
        write("split.js", "export const transformer = {};");
        let found = operators(folder.path()).unwrap();
        assert_eq!(found, [(folder.path().join("count.ts"), "keyed"), (folder.path().join("split.js"), "stateless")]);
    }

    #[test]
    fn packages_that_are_missing_are_told_with_what_installs_them() {
        let folder = tempfile::tempdir().unwrap();
        let error = components(folder.path()).unwrap_err().to_string();
        assert!(error.contains("no package esbuild installed") && error.contains("npm install"), "{error}");
    }
}
