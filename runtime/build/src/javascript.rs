//! JavaScript and TypeScript: `esbuild` bundles an operator with what it imports, `componentize-qjs` puts that and QuickJS into a
//! component. Both are packages of npm, which the folder's `package.json` has to name.
//!
//! An operator is a `.ts` or `.js` file that exports the interface of its world, such as `export const processor`. Other files are
//! what operators import.

use crate::component::{CONTRACT, WORLDS};
use crate::error::cannot;
use crate::output::{Inputs, place_made_of};
use crate::python::{APT_GET, is_there};
use crate::tool::{self, failed};
use crate::{BuildError, Built};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// What makes components, and the release of it that is known to work.
const COMPONENTIZE: (&str, &str) = ("componentize-qjs", "0.4.5");

/// What bundles, and the release of it that is known to work.
const BUNDLE: (&str, &str) = ("esbuild", "0.28.2");

/// The packages that build a folder, and where they do so.
struct Toolchain<'a> {
    folder: &'a Path,
    bundle: PathBuf,
    componentize: PathBuf,
    /// What says which release of it is installed.
    release: Vec<u8>,
    scratch: TempDir,
}

/// An operator and what it imports, in one script.
struct Bundle {
    name: String,
    world: &'static str,
    file: PathBuf,
}

/// The operators of a folder, by name: their components.
///
/// # Errors
/// When the packages that build them are not installed, or the sources do not build.
pub fn components(folder: &Path) -> Result<Vec<(String, Vec<u8>)>, BuildError> {
    let toolchain = Toolchain::find(folder)?;
    let component = |bundle: Bundle| Ok((bundle.name.clone(), toolchain.component(&bundle)?));
    toolchain.bundles()?.into_iter().map(component).collect()
}

/// Builds the operators of a folder into another. Of the same script no component is made again: it would be another one.
pub(crate) fn build(folder: &Path, out: &Path) -> Result<Vec<Built>, BuildError> {
    let toolchain = Toolchain::find(folder)?;
    let build = |bundle: Bundle| {
        let script = fs::read(&bundle.file).map_err(cannot("read", &bundle.file))?;
        // It is made of the bundle, which nobody edits.
        let inputs = || Inputs::new().with(CONTRACT).with(&toolchain.release).with(bundle.world).with(&script);
        place_made_of(|| Some(inputs()), out, &bundle.name, || toolchain.component(&bundle))
    };
    toolchain.bundles()?.into_iter().map(build).collect()
}

impl<'a> Toolchain<'a> {
    /// The packages that are installed in a folder.
    fn find(folder: &'a Path) -> Result<Toolchain<'a>, BuildError> {
        if !is_there("node") {
            let missing = "there is no Node.js (https://nodejs.org/en/download)".to_owned();
            return Err(BuildError::NoToolchain { missing, install: vec![format!("{APT_GET} nodejs npm")] });
        }
        let (bundle, componentize) = (tool(folder, BUNDLE)?, tool(folder, COMPONENTIZE)?);
        let scratch = tempfile::tempdir().map_err(cannot("write", &std::env::temp_dir()))?;
        let contract = scratch.path().join("wit");
        fs::create_dir(&contract).map_err(cannot("write", &contract))?;
        fs::write(contract.join("operator.wit"), CONTRACT).map_err(cannot("write", &contract))?;
        let manifest = folder.join("node_modules").join(COMPONENTIZE.0).join("package.json");
        let release = fs::read(&manifest).map_err(cannot("read", &manifest))?;
        Ok(Toolchain { folder, bundle, componentize, release, scratch })
    }

    /// The operators of the folder.
    fn bundles(&self) -> Result<Vec<Bundle>, BuildError> {
        operators(self.folder)?.into_iter().map(|(source, world)| self.bundle(&source, world)).collect()
    }

    fn bundle(&self, source: &Path, world: &'static str) -> Result<Bundle, BuildError> {
        let name = source.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let file = self.scratch.path().join(format!("{name}.js"));
        let mut bundling = Command::new(&self.bundle);
        bundling.arg(source).args(["--bundle", "--format=esm", "--log-level=warning"]);
        run(bundling.arg(format!("--outfile={}", file.display())), self.folder)?;
        Ok(Bundle { name, world, file })
    }

    fn component(&self, bundle: &Bundle) -> Result<Vec<u8>, BuildError> {
        let component = self.scratch.path().join(format!("{}.wasm", bundle.name));
        let mut making = Command::new(&self.componentize);
        // Without `--sync` the component needs a host with asynchronous calls.
        making.args(["--stub-wasi", "--sync", "--world", bundle.world, "--wit"]).arg(self.scratch.path().join("wit"));
        making.env("TMPDIR", self.scratch.path());
        run(making.arg("--js").arg(&bundle.file).arg("-o").arg(&component), self.folder)?;
        fs::read(&component).map_err(cannot("read", &component))
    }
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
    if !is_there("npm") {
        let missing = "there is no npm (https://nodejs.org/en/download)".to_owned();
        return Err(BuildError::NoToolchain { missing, install: vec![format!("{APT_GET} npm")] });
    }
    let missing = format!("{} has no package {package} installed", folder.display());
    let install = vec![
        format!("npm install --prefix {}", folder.display()),
        format!("npm install --prefix {} --save-dev {package}@{version}", folder.display()),
    ];
    Err(BuildError::NoToolchain { missing, install })
}

/// Runs a program; what it says goes to stderr, since stdout is for data.
fn run(command: &mut Command, folder: &Path) -> Result<(), BuildError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = tool::output(command)?;
    match output.status.success() {
        true => Ok(()),
        false => Err(failed(&program, folder, output.status)),
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
        let error = components(folder.path()).unwrap_err();
        assert!(matches!(error, BuildError::NoToolchain { .. }), "{error}");
        // Whether it is Node.js, npm or a package that is missing here.
        assert!(error.to_string().contains("npm"), "{error}");
    }
}
