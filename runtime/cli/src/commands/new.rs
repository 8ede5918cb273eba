//! `tidewheel new`: a project that builds, passes its tests and runs.
//!
//! What it is made of are the files in `templates`, which are part of this program. They are right as they stand, but for the
//! name of the project, which is `operator-name` in them (`operator_name` where it is that of a module), and for the place of
//! the SDK.

use crate::args::{Lang, New, WorldName};
use crate::terminal;
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};

/// The name of the project in a template, and in one of a module.
const NAME: &str = "operator-name";
const MODULE: &str = "operator_name";

/// A file of a project: its path, its text.
type File = (&'static str, &'static str);

/// A file of the templates.
macro_rules! template {
    ($path:literal) => {
        include_str!(concat!("../../templates/", $path))
    };
}

/// Makes the project.
pub(crate) fn execute(new: &New) -> Result<()> {
    let name = name(&new.folder)?;
    if new.folder.exists() {
        bail!("{} is there already\n\nhint: choose another name", new.folder.display());
    }
    let sdk = new.sdk.as_deref().map(|checkout| sdk(checkout, new.lang)).transpose()?;
    let files = common(new.world).into_iter().chain(sources(new.lang, new.world));
    for (path, text) in files {
        let named = |text: &str| text.replace(NAME, &name).replace(MODULE, &name.replace('-', "_"));
        write(&new.folder.join(named(path)), &with_sdk(path, &named(text), sdk.as_deref()))?;
    }
    let folder = new.folder.display();
    terminal::print(&format!(
        "{folder}: an operator of world {} in {}\n\n  cd {folder}\n{}  tidewheel test\n  tidewheel run job.toml\n",
        new.world.name(),
        new.lang.name(),
        before_tests(new.lang),
    ))?;
    Ok(())
}

/// What is to be done before a project of this language can be built.
fn before_tests(lang: Lang) -> &'static str {
    match lang {
        Lang::Rust | Lang::Go => "",
        Lang::Python => "  python3 -m venv .venv && .venv/bin/pip install -r requirements.txt\n",
    }
}

/// The files that are the same in each language.
fn common(world: WorldName) -> [File; 3] {
    let (job, case) = match world {
        WorldName::Stateless => (template!("common/job-stateless.toml"), template!("common/case-stateless.toml")),
        WorldName::Keyed => (template!("common/job-keyed.toml"), template!("common/case-keyed.toml")),
        WorldName::Aggregate => (template!("common/job-aggregate.toml"), template!("common/case-aggregate.toml")),
    };
    [("job.toml", job), ("tests/orders.toml", case), ("input.jsonl", template!("common/input.jsonl"))]
}

/// The files of a language.
fn sources(lang: Lang, world: WorldName) -> Vec<File> {
    match lang {
        Lang::Rust => {
            let operator = match world {
                WorldName::Stateless => template!("rust/stateless.rs"),
                WorldName::Keyed => template!("rust/keyed.rs"),
                WorldName::Aggregate => template!("rust/aggregate.rs"),
            };
            let manifest = ("Cargo.toml", template!("rust/Cargo.toml"));
            vec![manifest, ("src/lib.rs", operator), (".gitignore", template!("rust/gitignore"))]
        }
        Lang::Python => {
            let (operator, test) = match world {
                WorldName::Stateless => (template!("python/stateless.py"), template!("python/test_stateless.py")),
                WorldName::Keyed => (template!("python/keyed.py"), template!("python/test_keyed.py")),
                WorldName::Aggregate => (template!("python/aggregate.py"), template!("python/test_aggregate.py")),
            };
            let requirements = ("requirements.txt", template!("python/requirements.txt"));
            let ignored = (".gitignore", template!("python/gitignore"));
            vec![requirements, ("operator_name.py", operator), ("test_operator_name.py", test), ignored]
        }
        Lang::Go => {
            let (operator, test) = match world {
                WorldName::Stateless => (template!("go/stateless.go"), template!("go/stateless_test.go")),
                WorldName::Keyed => (template!("go/keyed.go"), template!("go/keyed_test.go")),
                WorldName::Aggregate => (template!("go/aggregate.go"), template!("go/aggregate_test.go")),
            };
            let module = ("go.mod", template!("go/go.mod"));
            vec![module, ("main.go", operator), ("main_test.go", test), (".gitignore", template!("go/gitignore"))]
        }
    }
}

/// The SDK in a checkout of this project's repository.
fn sdk(checkout: &Path, lang: Lang) -> Result<PathBuf> {
    let sdk = checkout.join("sdk").join(lang.name());
    match sdk.canonicalize() {
        Ok(sdk) => Ok(sdk),
        Err(_) => bail!(
            "there is no {}\n\nhint: --sdk takes the folder of a checkout of tidewheel's repository",
            sdk.display()
        ),
    }
}

/// The text of a file that says where the SDK is, with the place it is to be taken from; other texts stay as they are.
fn with_sdk(path: &str, text: &str, sdk: Option<&Path>) -> String {
    let Some(sdk) = sdk else { return text.to_owned() };
    match path {
        "Cargo.toml" => {
            let path = toml::Value::from(sdk.to_string_lossy().into_owned());
            text.replace("tidewheel = \"0.1\"", &format!("tidewheel = {{ path = {path} }}"))
        }
        "requirements.txt" => text.replace("tidewheel[build]", &format!("{}[build]", sdk.display())),
        "go.mod" => format!("{text}\nreplace github.com/tidewheel/tidewheel/sdk/go => {:?}\n", sdk.to_string_lossy()),
        _ => text.to_owned(),
    }
}

/// The name of the project: that of its folder. It becomes that of a package and of an operator in a job file.
fn name(folder: &Path) -> Result<String> {
    let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let is_letter = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-';
    match name.starts_with(|letter: char| letter.is_ascii_lowercase()) && name.chars().all(is_letter) {
        true => Ok(name),
        false => bail!("{name:?} is no name of a project: expected small letters, digits and \"-\", a letter first"),
    }
}

fn write(path: &Path, text: &str) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new(""));
    fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::{name, sources, with_sdk};
    use crate::args::{Lang, WorldName};
    use std::path::Path;

    #[test]
    fn names_are_those_of_packages() {
        for (folder, expected) in [("count", Some("count")), ("a/b/word-count2", Some("word-count2"))] {
            assert_eq!(name(Path::new(folder)).ok().as_deref(), expected, "{folder}");
        }
        for folder in ["", "..", "Count", "2count", "word_count", "count.rs", "-a"] {
            assert!(name(Path::new(folder)).is_err(), "{folder}");
        }
    }

    #[test]
    fn the_sdk_is_the_published_one_or_that_of_a_checkout() {
        for lang in [Lang::Rust, Lang::Python, Lang::Go] {
            let files = sources(lang, WorldName::Keyed);
            let place = Path::new("a/b");
            let changed = files.iter().filter(|(path, text)| with_sdk(path, text, Some(place)) != *text);
            assert_eq!(changed.count(), 1, "{lang:?}");
            assert!(files.iter().all(|(path, text)| with_sdk(path, text, None) == *text), "{lang:?}");
        }
    }
}
