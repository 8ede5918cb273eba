//! Components made from WIT text, for what no sound toolchain makes.

use wit_component::{ComponentEncoder, StringEncoding, dummy_module, embed_component_metadata};
use wit_parser::{LiftLowerAbi, ManglingAndAbi, Resolve};

/// The contract.
pub(crate) const CONTRACT: &str = include_str!("../../../../wit/operator.wit");

/// A component of a world whose every function traps. `wit` is the source of a package.
pub(crate) fn dummy(wit: &str, world: &str) -> Vec<u8> {
    dummy_in(Resolve::default(), wit, world)
}

/// The same; `wit` uses the packages of the contract.
pub(crate) fn dummy_beside(wit: &str, world: &str) -> Vec<u8> {
    let mut resolve = Resolve::default();
    resolve.push_str("operator.wit", CONTRACT).unwrap();
    dummy_in(resolve, wit, world)
}

fn dummy_in(mut resolve: Resolve, wit: &str, world: &str) -> Vec<u8> {
    let package = resolve.push_str("test.wit", wit).unwrap();
    let world = resolve.select_world(&[package], Some(world)).unwrap();
    let mut module = dummy_module(&resolve, world, ManglingAndAbi::Legacy(LiftLowerAbi::Sync));
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    encoded(&module)
}

/// A component of a core module in text form. `wit` uses the packages of the contract.
pub(crate) fn of_text(wit: &str, world: &str, module: &str) -> Vec<u8> {
    let mut resolve = Resolve::default();
    resolve.push_str("operator.wit", CONTRACT).unwrap();
    let package = resolve.push_str("test.wit", wit).unwrap();
    let world = resolve.select_world(&[package], Some(world)).unwrap();
    let mut module = wat::parse_str(module).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    encoded(&module)
}

fn encoded(module: &[u8]) -> Vec<u8> {
    ComponentEncoder::default().module(module).unwrap().validate(true).encode().unwrap()
}
