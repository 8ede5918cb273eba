//! What can go wrong when a component is built.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

/// An error of a build.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The folder holds nothing that is known.
    #[error(
        "there is no operator in {}: expected one of Cargo.toml (Rust), go.mod (Go), pyproject.toml or a .py file (Python), \
         package.json (JavaScript) or a .c file (C)",
        folder.display()
    )]
    NoProject {
        /// The folder.
        folder: PathBuf,
    },

    /// A toolchain is not there.
    #[error("{missing}; {}", Commands(install))]
    NoToolchain {
        /// What is missing, as a sentence.
        missing: String,
        /// Commands that install it, any one of them.
        install: Vec<String>,
    },

    /// Nobody wants any more what was being built.
    #[error("the build was stopped")]
    Stopped,

    /// A toolchain could not be started.
    #[error("cannot run {program}")]
    Run {
        /// What was to run.
        program: String,
        /// Why not.
        source: std::io::Error,
    },

    /// A toolchain ran and failed; it has said why on stderr.
    #[error("{program} failed in {} ({status})", folder.display())]
    Failed {
        /// What ran.
        program: String,
        /// Where.
        folder: PathBuf,
        /// How it ended.
        status: ExitStatus,
    },

    /// What a toolchain said of itself or of a folder cannot be understood.
    #[error("cannot understand what {program} says: {reason}")]
    Answer {
        /// What ran.
        program: String,
        /// What is wrong.
        reason: String,
    },

    /// There was nothing to make a component of.
    #[error("{} builds no component: {fix}", folder.display())]
    Nothing {
        /// The folder.
        folder: PathBuf,
        /// What to add.
        fix: &'static str,
    },

    /// A core module cannot be made a component.
    #[error("cannot make a component of {}", module.display())]
    Component {
        /// The core module.
        module: PathBuf,
        /// Why not.
        source: crate::component::ComponentError,
    },

    /// The component would take the place of what it is made of.
    #[error("the component would take the place of {}", module.display())]
    InItsPlace {
        /// The core module.
        module: PathBuf,
    },

    /// A file cannot be read or written.
    #[error("cannot {doing} {}", path.display())]
    File {
        /// "read" or "write".
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
}

/// A file cannot be read or written: `doing` is "read" or "write".
pub(crate) fn cannot(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> BuildError + use<> {
    let path = path.to_owned();
    move |source| BuildError::File { doing, path, source }
}

/// Commands to choose from, in a message.
struct Commands<'a>(&'a [String]);

impl fmt::Display for Commands<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.len() == 1 { "run this" } else { "run one of these" })?;
        f.write_str(", then try again:")?;
        self.0.iter().try_for_each(|command| write!(f, "\n  {command}"))
    }
}

#[cfg(test)]
mod tests {
    use super::BuildError;

    #[test]
    fn a_missing_toolchain_is_told_with_what_installs_it() {
        let error = |install: &[&str]| {
            let install = install.iter().map(|&command| command.to_owned()).collect();
            BuildError::NoToolchain { missing: "there is no Go".to_owned(), install }.to_string()
        };
        assert_eq!(error(&["a"]), "there is no Go; run this, then try again:\n  a");
        assert_eq!(error(&["a", "b"]), "there is no Go; run one of these, then try again:\n  a\n  b");
    }
}
