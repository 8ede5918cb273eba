//! What is wrong with a component is said when it is loaded; and compiled code is kept.

use crate::guests::{path, process, runtime, settings, trap, values};
use crate::modules::Module;
use crate::wit::{CONTRACT, dummy, dummy_beside};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use tidewheel_guest::{Component, GuestError, Runtime, RuntimeOptions};

fn refused(bytes: &[u8]) -> String {
    runtime().load_bytes("op.wasm", bytes).map(drop).unwrap_err().to_string()
}

/// The contract with something put in the place of something else.
fn changed(from: &str, to: &str) -> String {
    assert!(CONTRACT.contains(from), "the contract has no {from:?}");
    CONTRACT.replace(from, to)
}

#[test]
fn a_file_that_is_not_there() {
    let error = runtime().load(Path::new("no/such.wasm")).map(drop).unwrap_err();
    assert_eq!(error.to_string(), "cannot read component no/such.wasm");
}

#[test]
fn what_is_not_a_component_is_told_apart() {
    assert_eq!(
        refused(b"#!/bin/sh"),
        "op.wasm is not WebAssembly: give the path of a component, as an SDK's build makes it"
    );
    assert_eq!(refused(b""), refused(b"\0as"));
    let module = wat::parse_str("(module)").unwrap();
    assert!(refused(&module).starts_with("op.wasm is a core module, not a component: `tidewheel build op.wasm"));
    let mut broken = wat::parse_str("(component)").unwrap();
    broken.push(77);
    assert!(refused(&broken).starts_with("op.wasm is not a valid component: "));
}

#[test]
fn a_component_that_is_no_operator() {
    let error = refused(&wat::parse_str("(component)").unwrap());
    assert_eq!(
        error,
        "op.wasm is not an operator: it exports none of tidewheel:operator/transformer@0.1.0 (world stateless), \
         tidewheel:operator/processor@0.1.0 (world keyed), tidewheel:operator/aggregator@0.1.0 (world aggregate)"
    );
    let both = changed("world stateless { ", "world stateless { export aggregator; ");
    assert!(refused(&dummy(&both, "stateless")).ends_with("an operator is of one world"));
}

#[test]
fn another_version_of_the_contract() {
    let error = refused(&dummy(&changed("@0.1.0;", "@0.2.0;"), "keyed"));
    assert!(
        error
            .starts_with("op.wasm is built for tidewheel:operator/processor@0.2.0, but this host speaks version 0.1.0")
    );
    let newer = runtime().load_bytes("op.wasm", &dummy(&changed("@0.1.0;", "@0.1.9;"), "keyed")).map(drop);
    assert_eq!(trap(newer).function, "describe", "a newer 0.1.x is loaded");
}

#[test]
fn a_function_that_is_missing_or_another() {
    let open = "open: func(config: string, options: list<tuple<string, string>>) -> result<_, failure>;";
    let error = refused(&dummy(&changed(open, ""), "stateless"));
    assert_eq!(
        error,
        "op.wasm exports tidewheel:operator/transformer@0.1.0 without its function open: build it against the \
         contract's WIT"
    );
    let error = refused(&dummy(&changed(open, "open: func(config: u32);"), "stateless"));
    assert!(
        error.starts_with("op.wasm exports tidewheel:operator/transformer@0.1.0 with a function open of another type")
    );
    let migrate = "migrate: func(state: u32, version: u32, values: frame) -> result<frame, failure>;";
    assert!(refused(&dummy(&changed(migrate, ""), "aggregate")).contains("without its function migrate"));
}

#[test]
fn imports_that_the_host_does_not_offer() {
    let foreign = changed("world stateless { ", "world stateless { import shop: interface { buy: func(); } ");
    let error = refused(&dummy(&foreign, "stateless"));
    assert_eq!(
        error,
        "op.wasm imports shop, which this host does not offer: build it without that import, or link what it needs \
         into it"
    );
    let state = changed("world stateless { ", "world stateless { import state; ");
    assert!(
        refused(&dummy(&state, "stateless")).contains("state@0.1.0, which this host does not offer: only world keyed")
    );
    let unknown = changed("world stateless { ", "interface later { f: func(); } world stateless { import later; ");
    assert!(
        refused(&dummy(&unknown, "stateless")).contains("later@0.1.0, which this host does not offer: use a newer")
    );
    let mistyped = changed("blame: func(record-index: u32, message: string);", "blame: func();");
    assert!(refused(&dummy(&mistyped, "stateless")).starts_with("op.wasm imports something of another type"));
}

#[test]
fn a_describe_that_traps() {
    for world in ["stateless", "keyed", "aggregate"] {
        let trapped = trap(runtime().load_bytes("op.wasm", &dummy(CONTRACT, world)));
        assert_eq!((trapped.operator.as_str(), trapped.function), ("op.wasm", "describe"), "{world}");
    }
}

/// A component with a script at its end.
fn scripted(mut component: Vec<u8>, script: &str) -> Vec<u8> {
    let name = "tidewheel-script";
    component.extend([0, (1 + name.len() + script.len()) as u8, name.len() as u8]);
    component.extend([name.as_bytes(), script.as_bytes()].concat());
    component
}

#[test]
fn a_script_is_given_before_describe() {
    let script = r#"{"main":"a","files":[["a.py","x = 1"]]}"#;
    let wit = "package tidewheel:dev@0.1.0;
        interface script { load: func(files: list<tuple<string, string>>, main: string) -> result<_, string>; }
        world runner { include tidewheel:operator/stateless@0.1.0; export script; }";
    let runner = dummy_beside(wit, "runner");
    let load = |bytes: &[u8]| runtime().load_bytes("op.wasm", bytes).map(drop);
    assert_eq!(trap(load(&runner)).function, "describe", "without a script there is nothing to load");
    let trapped = load(&scripted(runner.clone(), script)).unwrap_err();
    assert!(!trapped.is_poison(), "no record is to blame");
    assert_eq!(trapped.trap().unwrap().function, "load");
    assert_eq!(
        refused(&scripted(dummy(CONTRACT, "stateless"), script)),
        "op.wasm exports tidewheel:dev/script@0.1.0 without its function load: build it against the contract's WIT"
    );
    assert_eq!(
        refused(&scripted(runner, "{}")),
        "op.wasm is not a valid component: its section tidewheel-script cannot be read: missing field `main` at line 1 \
         column 2"
    );
}

#[test]
fn a_describe_that_contradicts_the_host() {
    // One output, whose name is at 208.
    let describe = "
        (i32.store (i32.const 400) (i32.const 208)) (i32.store (i32.const 404) (i32.const 4))
        (i32.store (i32.const 96) (i32.const 400)) (i32.store (i32.const 100) (i32.const 1))";
    let load = |fields| Module { fields, describe, ..Module::default() }.load();
    let error = load("(data (i32.const 208) \"late\")").unwrap_err();
    let problem = "it declares output \"late\", but that name is the host's: give it another one";
    assert_eq!(error.to_string(), format!("text.wasm describes itself wrongly: {problem}"));
    assert_eq!(load("(data (i32.const 208) \"gate\")").unwrap().description().outputs[0].name, "gate");
}

/// The files of a folder, and what is in them.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    entries.map(|entry| (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap())).collect()
}

fn load_with_cache(folder: &Path) -> Component {
    let runtime = Runtime::new(RuntimeOptions { cache_dir: Some(folder.to_owned()) }).unwrap();
    runtime.load(&path("echo")).unwrap()
}

#[test]
fn compiled_code_is_kept_and_what_is_damaged_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("some/where");
    let first = load_with_cache(&cache);
    let [(name, kept)] = &files(&cache)[..] else { panic!("one file") };
    assert!(name.starts_with(first.digest()));
    let file = cache.join(name);
    // One that is written anew is another file.
    let number = || std::fs::metadata(&file).unwrap().ino();
    let number_first = number();

    let second = load_with_cache(&cache);
    assert_eq!(number(), number_first, "it is not compiled again");
    assert_eq!(second.description(), first.description());
    assert_eq!((second.imports(), second.world()), (first.imports(), first.world()));
    assert!(second.has_function_names());
    let mut instance = second.instantiate(settings("echo")).unwrap();
    assert_eq!(values(&process(&mut instance, &[b"hello"]).unwrap()), [b"hello"]);

    let mut flipped = kept.clone();
    *flipped.last_mut().unwrap() ^= 1;
    for damaged in [&b""[..], b"something else", &kept[..kept.len() / 2], &flipped] {
        std::fs::write(&file, damaged).unwrap();
        assert_eq!(load_with_cache(&cache).description(), first.description());
        assert_eq!(std::fs::read(&file).unwrap().len(), kept.len(), "it is kept again");
    }
    assert_eq!(files(&cache).len(), 1, "no temporary file is left");
}

#[test]
fn a_cache_that_cannot_be_written_fails_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    assert_eq!(load_with_cache(&file.join("below")).description().name, "echo");
}

#[test]
fn errors_are_typed() {
    let error = runtime().load_bytes("x", b"").map(drop).unwrap_err();
    assert!(matches!(error, GuestError::NotWebAssembly { .. }) && !error.is_poison());
}
