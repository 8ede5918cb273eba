//! The rules of the house that a program can check: they are tests, so that they stay true.

use std::fs;
use std::path::{Path, PathBuf};
use tidewheel_tests::repo_root;

/// The layers of the host's crates: a crate may import only from lower ones, never from its own.
const LAYERS: [(&str, u8); 13] = [
    ("tidewheel-types", 0),
    ("tidewheel-crash-points", 0),
    ("tidewheel-cache", 0),
    ("tidewheel-state", 1),
    ("tidewheel-guest", 1),
    ("tidewheel-native", 1),
    ("tidewheel-build", 1),
    ("tidewheel-connectors", 1),
    ("tidewheel-checkpoint", 1),
    ("tidewheel-cluster", 1),
    ("tidewheel-engine", 2),
    ("tidewheel-server", 3),
    ("tidewheel-cli", 4),
];

/// Dependencies that belong to certain crates: one heavy dependency, one crate.
const OWNED: [(&str, &[&str]); 10] = [
    ("wasmtime", &["tidewheel-guest"]),
    ("cel", &["tidewheel-native"]),
    ("rocksdb", &["tidewheel-state"]),
    ("object_store", &["tidewheel-checkpoint"]),
    ("parquet", &["tidewheel-checkpoint"]),
    ("axum", &["tidewheel-server"]),
    ("reqwest", &["tidewheel-guest"]),
    ("timely", &["tidewheel-engine"]),
    ("clap", &["tidewheel-cli", "tidewheel-xtask"]),
    ("anyhow", &["tidewheel-cli", "tidewheel-xtask", "tidewheel-tests"]),
];

/// Everything visible in the root. `target` is cargo's and not part of the repository.
const TOP_LEVEL: [&str; 10] =
    ["Cargo.lock", "Cargo.toml", "LICENSE", "README.md", "guest-examples", "runtime", "sdk", "target", "tests", "wit"];

const FILE_LINES_MAX: usize = 600;

#[test]
fn nothing_else_is_at_the_top() {
    let mut strangers = Vec::new();
    for name in names_in(repo_root()) {
        if !name.starts_with('.') && !TOP_LEVEL.contains(&name.as_str()) {
            strangers.push(name);
        }
    }
    assert!(strangers.is_empty(), "only {TOP_LEVEL:?} belong into the root, not {strangers:?}");
}

#[test]
fn rust_files_say_what_they_are_for() {
    check_files("rs", |text| (!text.starts_with("//! ")).then(|| "does not open with a `//!` line".to_owned()));
}

#[test]
fn rust_files_are_short() {
    check_files("rs", |text| {
        let lines = text.lines().count();
        (lines > FILE_LINES_MAX).then(|| format!("has {lines} lines, more than {FILE_LINES_MAX}: split it"))
    });
}

#[test]
fn every_fixture_guest_is_used() {
    let sources = files("rs").into_iter().filter(|path| !path.starts_with(repo_root().join("tests/guests")));
    let sources: Vec<String> = sources.map(|path| fs::read_to_string(path).unwrap()).collect();
    let is_used = |name: &str| {
        let quoted = [format!("\"{name}\""), format!("\"{name}.wasm\""), format!("'{name}.wasm'")];
        sources.iter().any(|text| quoted.iter().any(|quoted| text.contains(quoted)))
    };
    let manifests = files("toml").into_iter().filter(|path| path.starts_with(repo_root().join("tests/guests")));
    let mut fixtures = 0;
    for manifest in manifests {
        let text = fs::read_to_string(&manifest).unwrap();
        // The workspace, and what the fixtures share, are none.
        if text.contains("cdylib") {
            let name = manifest.parent().unwrap().file_name().unwrap().to_string_lossy().into_owned();
            assert!(is_used(&name), "no test uses the fixture {name}");
            fixtures += 1;
        }
    }
    assert!(fixtures > 10, "the fixtures are found");
}

#[test]
fn nothing_is_left_for_later() {
    let macros = ["todo", "unimplemented", "dbg"].map(|name| format!("{name}!("));
    check_files("rs", |text| macros.iter().find(|word| text.contains(*word)).map(|word| format!("contains {word}…)")));
}

#[test]
fn nothing_names_a_machine() {
    let homes = ["home", "root", "Users", "work"].map(|top| format!("/{top}/"));
    for extension in ["rs", "toml", "md", "wit", "py", "sh"] {
        check_files(extension, |text| {
            homes
                .iter()
                .find(|path| text.contains(*path))
                .map(|path| format!("contains a path of one machine, {path}…"))
        });
    }
}

#[test]
fn crates_import_from_lower_layers_only() {
    let layer = |name: &str| LAYERS.iter().find(|(krate, _)| *krate == name).map(|(_, layer)| *layer);
    let mut wrong = Vec::new();
    let mut seen = 0;
    for (krate, dependencies) in crates() {
        seen += usize::from(layer(&krate).is_some());
        for dependency in dependencies {
            let Some(below) = layer(&dependency) else { continue };
            let allowed = match layer(&krate) {
                Some(own) => below < own,
                // The SDK is built into guests and knows nothing of the host; chores and tests stand outside.
                None => krate == "tidewheel-tests" || krate == "tidewheel-xtask",
            };
            if !allowed {
                wrong.push(format!("{krate} must not import {dependency}"));
            }
        }
    }
    assert_eq!(seen, LAYERS.len(), "every crate of the layer table is there");
    assert!(wrong.is_empty(), "against the layers of runtime/ARCHITECTURE.md:\n{}", wrong.join("\n"));
}

#[test]
fn heavy_dependencies_have_one_owner() {
    let mut wrong = Vec::new();
    for (krate, dependencies) in crates() {
        for (heavy, owners) in OWNED {
            if dependencies.iter().any(|dependency| dependency == heavy) && !owners.contains(&krate.as_str()) {
                wrong.push(format!("{krate} imports {heavy}, which only {owners:?} may"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The workspace's crates, each with all its dependencies of every kind.
fn crates() -> Vec<(String, Vec<String>)> {
    let manifests = files("toml").into_iter().filter(|path| path.ends_with("Cargo.toml"));
    let tables = manifests.map(|path| {
        let text = fs::read_to_string(&path).unwrap();
        text.parse::<toml::Table>().unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    });
    let packages = tables.filter_map(|manifest| {
        let name = manifest.get("package")?.get("name")?.as_str()?.to_owned();
        let mut dependencies = Vec::new();
        collect_dependencies(&manifest, &mut dependencies);
        Some((name, dependencies))
    });
    packages.collect()
}

/// Adds the names in `[dependencies]`, `[dev-dependencies]`, `[target.'cfg(unix)'.dependencies]` and so on.
fn collect_dependencies(table: &toml::Table, dependencies: &mut Vec<String>) {
    for (key, value) in table {
        let Some(table) = value.as_table() else { continue };
        if key.ends_with("dependencies") {
            dependencies.extend(table.keys().cloned());
        } else {
            collect_dependencies(table, dependencies);
        }
    }
}

/// Applies `fault` to the text of all files with this extension and fails with all that it finds.
#[track_caller]
fn check_files(extension: &str, fault: impl Fn(&str) -> Option<String>) {
    let faults: Vec<String> = files(extension)
        .iter()
        .filter_map(|path| {
            let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let name = path.strip_prefix(repo_root()).unwrap().display();
            fault(&text).map(|fault| format!("{name} {fault}"))
        })
        .collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// All files of the repository with this extension, without build output and hidden folders.
fn files(extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![repo_root().to_owned()];
    while let Some(folder) = folders.pop() {
        for name in names_in(&folder) {
            let path = folder.join(&name);
            if path.is_dir() {
                if !name.starts_with('.') && name != "target" {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|it| it == extension) {
                found.push(path);
            }
        }
    }
    assert!(!found.is_empty() || extension == "sh" || extension == "py", "there are .{extension} files");
    found
}

fn names_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().expect("names are text")).collect();
    names.sort();
    names
}
