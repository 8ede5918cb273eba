//! A folder with the sources of operators: what language it is, and how it is built.

use crate::{BuildError, Built, Runners, c, go, javascript, python, runner, rust};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// A language that operators are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// A folder with a `Cargo.toml`.
    Rust,
    /// A folder with a `go.mod`, or with `.go` files of a module that begins further up.
    Go,
    /// A folder with a `pyproject.toml`, or with `.py` files.
    Python,
    /// A folder with a `package.json`.
    JavaScript,
    /// A folder with `.c` files.
    C,
}

impl Language {
    /// The language of a folder, by the file that its own tools look for; if there is none, by the sources.
    pub fn of(folder: &Path) -> Option<Language> {
        let manifests = [
            ("Cargo.toml", Language::Rust),
            ("go.mod", Language::Go),
            ("pyproject.toml", Language::Python),
            ("package.json", Language::JavaScript),
        ];
        if let Some((_, language)) = manifests.iter().find(|(name, _)| folder.join(name).is_file()) {
            return Some(*language);
        }
        let sources = [("go", Language::Go), ("py", Language::Python), ("c", Language::C)];
        let names: Vec<PathBuf> = fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path()).collect();
        let has = |extension: &str| names.iter().any(|path| path.extension().is_some_and(|it| it == extension));
        sources.iter().find(|(extension, _)| has(extension)).map(|(_, language)| *language)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Language::Rust => "Rust",
            Language::Go => "Go",
            Language::Python => "Python",
            Language::JavaScript => "JavaScript",
            Language::C => "C",
        }
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A folder with the sources of one or more operators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Project {
    folder: PathBuf,
    language: Language,
}

impl Project {
    /// The project in a folder.
    ///
    /// # Errors
    /// When there is none.
    pub fn open(folder: &Path) -> Result<Project, BuildError> {
        match Language::of(folder) {
            Some(language) => Ok(Project { folder: folder.to_owned(), language }),
            None => Err(BuildError::NoProject { folder: folder.to_owned() }),
        }
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Its language.
    pub fn language(&self) -> Language {
        self.language
    }

    /// Builds its operators, each into `NAME.wasm` in the folder `out`. Compilers talk on stderr.
    ///
    /// # Errors
    /// When the toolchain is missing, which the error says how to install, or when the sources do not build.
    pub fn build(&self, out: &Path) -> Result<Vec<Built>, BuildError> {
        match self.language {
            Language::Rust => rust::build(&self.folder, out),
            Language::Go => go::build(&self.folder, out),
            Language::Python => python::build(&self.folder, out),
            Language::JavaScript => javascript::build(&self.folder, out),
            Language::C => c::build(&self.folder, out),
        }
    }

    /// The same for operators that are being edited, which is quicker in Python: their components are runners with the sources.
    ///
    /// # Errors
    /// As of [`build`](Self::build).
    pub fn build_edited(&self, out: &Path, runners: &Runners<'_>) -> Result<Vec<Built>, BuildError> {
        match self.language {
            Language::Python => runner::build(&self.folder, out, runners),
            _ => self.build(out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Language, Project};
    use crate::BuildError;
    use std::fs;

    #[test]
    fn a_folder_is_what_its_files_are() {
        for (files, language) in [
            (&["Cargo.toml", "tool.py"][..], Some(Language::Rust)),
            (&["go.mod"], Some(Language::Go)),
            (&["count.go"], Some(Language::Go)),
            (&["pyproject.toml"], Some(Language::Python)),
            (&["count.py"], Some(Language::Python)),
            (&["package.json", "count.js"], Some(Language::JavaScript)),
            (&["count.c"], Some(Language::C)),
            (&["notes.txt"], None),
            (&[], None),
        ] {
            let folder = tempfile::tempdir().unwrap();
            for file in files {
                fs::write(folder.path().join(file), "").unwrap();
            }
            assert_eq!(Language::of(folder.path()), language, "{files:?}");
            match language {
                Some(language) => assert_eq!(Project::open(folder.path()).unwrap().language(), language),
                None => assert!(matches!(Project::open(folder.path()), Err(BuildError::NoProject { .. }))),
            }
        }
    }
}
