//! C: the C compiler of Zig makes a core module of each operator, with bindings that are made anew each time.
//!
//! An operator is a `.c` file that includes the bindings of its world, `"stateless.h"`, `"keyed.h"` or `"aggregate.h"`. Other
//! `.c` files of the folder are compiled into each of them.

use crate::component::{self, CONTRACT, WORLDS};
use crate::error::cannot;
use crate::tool::{self, failed};
use crate::{BuildError, Built, place, python};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use wit_parser::Resolve;

/// The release of Zig that is known to work, of the Python package `ziglang`.
pub const ZIG: &str = "0.17.0";

/// A C compiler for WebAssembly, with its C library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Toolchain {
    /// The program and its first arguments, up to `cc`.
    zig: Vec<String>,
}

impl Toolchain {
    /// The one for a folder: `zig`, or that of a Python package, in the folder's own virtual environment, `.venv`, or the Python
    /// in use.
    ///
    /// # Errors
    /// When there is none; the error says what installs one.
    pub fn find(folder: &Path) -> Result<Toolchain, BuildError> {
        let own = folder.join(".venv/bin/python3");
        let own = own.to_string_lossy();
        let places = [&["zig"][..], &[&*own, "-m", "ziglang"], &["python3", "-m", "ziglang"]];
        places.into_iter().find_map(Toolchain::at).ok_or_else(|| {
            let missing = "there is no C compiler for WebAssembly, zig (https://ziglang.org/download)".to_owned();
            let install = vec![python::in_environment(folder, &format!("ziglang=={ZIG}"))];
            BuildError::NoToolchain { missing, install }
        })
    }

    /// The one that is run like this, if it is there.
    pub fn at(zig: &[&str]) -> Option<Toolchain> {
        let toolchain = Toolchain { zig: zig.iter().map(|&part| part.to_owned()).collect() };
        let status = toolchain.command().arg("version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success()).then_some(toolchain)
    }

    /// The operators of a folder: for each its name and its component.
    ///
    /// # Errors
    /// When the sources do not build, or do not fit the contract.
    pub fn components(&self, folder: &Path) -> Result<Vec<(String, Vec<u8>)>, BuildError> {
        let sources = Sources::read(folder)?;
        sources.operators.iter().map(|(path, world)| self.component(path, world, &sources.shared)).collect()
    }

    fn component(&self, source: &Path, world: &str, shared: &[PathBuf]) -> Result<(String, Vec<u8>), BuildError> {
        let (name, folder) = (file_stem(source), source.parent().unwrap_or(Path::new(".")));
        let scratch = tempfile::tempdir().map_err(cannot("write", &std::env::temp_dir()))?;
        write_bindings(world, scratch.path())?;
        let module = scratch.path().join(format!("{name}.wasm"));
        let mut zig = self.command();
        // Functions keep their names, which a backtrace needs.
        zig.args(["cc", "-target", "wasm32-wasi", "-mexec-model=reactor", "-O2", "-Wall", "-Wl,--strip-debug", "-I"]);
        zig.arg(scratch.path()).arg("-I").arg(folder).arg(source).args(shared);
        zig.arg(scratch.path().join(format!("{world}.c")));
        zig.arg(scratch.path().join(format!("{world}_component_type.o")));
        let status = tool::status(zig.arg("-o").arg(&module))?;
        if !status.success() {
            return Err(failed("zig cc", folder, status));
        }
        Ok((name, component::read(&module)?))
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.zig[0]);
        command.args(&self.zig[1..]);
        command
    }
}

/// Builds the operators of a folder into another.
pub(crate) fn build(folder: &Path, out: &Path) -> Result<Vec<Built>, BuildError> {
    let components = Toolchain::find(folder)?.components(folder)?;
    components.iter().map(|(name, component)| place(component, out, name)).collect()
}

/// The `.c` files of a folder.
#[derive(Debug, Default, PartialEq, Eq)]
struct Sources {
    /// With the world of each.
    operators: Vec<(PathBuf, &'static str)>,
    shared: Vec<PathBuf>,
}

impl Sources {
    fn read(folder: &Path) -> Result<Sources, BuildError> {
        let mut sources = Sources::default();
        for entry in fs::read_dir(folder).map_err(cannot("read", folder))? {
            let path = entry.map_err(cannot("read", folder))?.path();
            if path.extension().is_some_and(|extension| extension == "c") {
                let text = fs::read_to_string(&path).map_err(cannot("read", &path))?;
                match world_of(&text) {
                    Some(world) => sources.operators.push((path, world)),
                    None => sources.shared.push(path),
                }
            }
        }
        if sources.operators.is_empty() {
            let fix = "include \"stateless.h\", \"keyed.h\" or \"aggregate.h\" in the operator's .c file";
            return Err(BuildError::Nothing { folder: folder.to_owned(), fix });
        }
        sources.operators.sort();
        sources.shared.sort();
        Ok(sources)
    }
}

/// The world whose bindings a source includes.
fn world_of(source: &str) -> Option<&'static str> {
    let includes = |world: &str| {
        let header = format!("\"{world}.h\"");
        source.lines().filter_map(|line| line.trim_start().strip_prefix("#include")).any(|it| it.trim() == header)
    };
    WORLDS.iter().map(|(_, world)| *world).find(|world| includes(world))
}

/// Writes the bindings of a world into a folder.
fn write_bindings(world: &str, folder: &Path) -> Result<(), BuildError> {
    let mut resolve = Resolve::default();
    let package = resolve.push_str("operator.wit", CONTRACT).expect("our own WIT is valid");
    let world = resolve.select_world(&[package], Some(world)).expect("our own world is there");
    let mut files = wit_bindgen_core::Files::default();
    let generated = wit_bindgen_c::Opts::default().build().generate(&mut resolve, world, &mut files);
    generated.expect("our own WIT has bindings for C");
    for (name, bytes) in files.iter() {
        let path = folder.join(name);
        fs::write(&path, bytes).map_err(cannot("write", &path))?;
    }
    Ok(())
}

/// `count` of `folder/count.c`.
fn file_stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::{Sources, Toolchain, world_of, write_bindings};
    use crate::BuildError;
    use std::fs;

    #[test]
    fn the_world_is_whose_bindings_are_included() {
        assert_eq!(world_of("#include <stdio.h>\n#include \"keyed.h\"\n"), Some("keyed"));
        assert_eq!(world_of("#include  \"stateless.h\" "), Some("stateless"));
        assert_eq!(world_of("// \"keyed.h\"\n#include \"frame.h\""), None);
    }

    #[test]
    fn other_sources_are_shared() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        write("frame.c", "#include \"frame.h\"");
        write("notes.txt", "#include \"keyed.h\"");
        assert!(matches!(Sources::read(folder.path()), Err(BuildError::Nothing { .. })));
        write("count.c", "#include \"keyed.h\"");
        let sources = Sources::read(folder.path()).unwrap();
        assert_eq!(sources.operators, [(folder.path().join("count.c"), "keyed")]);
        assert_eq!(sources.shared, [folder.path().join("frame.c")]);
    }

    #[test]
    fn there_are_bindings_for_every_world() {
        let folder = tempfile::tempdir().unwrap();
        for world in ["stateless", "keyed", "aggregate"] {
            write_bindings(world, folder.path()).unwrap();
            for file in [format!("{world}.h"), format!("{world}.c"), format!("{world}_component_type.o")] {
                assert!(folder.path().join(&file).is_file(), "{file}");
            }
        }
    }

    #[test]
    fn a_program_that_is_not_there_is_no_toolchain() {
        assert!(Toolchain::at(&["no-such-zig"]).is_none());
        assert!(Toolchain::at(&["false"]).is_none());
    }
}
