//! Lines of source: where in it a component stood, if it has kept its debug information.

use crate::error::{GuestError, Trap};
use crate::trap::is_of_a_panic;
use addr2line::Context;
use addr2line::gimli::{Dwarf, EndianSlice, Error, LittleEndian, SectionId};
use hashbrown::HashMap;
use rustc_demangle::demangle;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};
use wasmparser::{Parser, Payload};

/// What the names of sections with debug information begin with.
const DEBUG: &str = ".debug_";

type Bytes<'a> = EndianSlice<'a, LittleEndian>;

/// The debug information of a component.
#[derive(Default)]
pub(crate) struct Lines {
    modules: Vec<Module>,
    /// What has been looked up, by address: where a component has trapped once it often does again.
    known: Mutex<HashMap<u64, Vec<String>>>,
}

/// That of one of its core modules.
struct Module {
    /// The place of its code in the component.
    code: Range<u64>,
    sections: Vec<(String, Vec<u8>)>,
}

impl Lines {
    /// Those of a component of these bytes; it has been checked.
    pub(crate) fn of(component: &[u8]) -> Lines {
        let (mut modules, mut code, mut sections) = (Vec::new(), 0..0, Vec::new());
        for payload in Parser::new(0).parse_all(component).map_while(Result::ok) {
            match payload {
                Payload::CodeSectionStart { range, .. } => code = range.start..range.end,
                Payload::CustomSection(section) if section.name().starts_with(DEBUG) => {
                    sections.push((section.name().to_owned(), section.data().to_vec()));
                }
                // Of a core module, or of the component, which has no code of its own.
                Payload::End(_) => {
                    let (code, sections) = (std::mem::replace(&mut code, 0..0), std::mem::take(&mut sections));
                    if !code.is_empty() && !sections.is_empty() {
                        modules.push(Module { code, sections });
                    }
                }
                _ => {}
            }
        }
        Lines { modules, ..Lines::default() }
    }

    /// Adds lines, and functions that were inlined, to the backtrace of the error, if it has one.
    pub(crate) fn locate(&self, error: &mut GuestError) {
        let Some(trap) = error.trap_mut().filter(|_| !self.modules.is_empty()) else { return };
        let Trap { backtrace, addresses, .. } = trap;
        if addresses.is_empty() {
            return;
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut contexts: Vec<Option<Context<Bytes<'_>>>> = self.modules.iter().map(|_| None).collect();
        let mut located = Vec::new();
        for (name, address) in backtrace.drain(..).zip(addresses.drain(..)) {
            let Some(address) = address else {
                located.push(name);
                continue;
            };
            let functions = known.entry(address).or_insert_with(|| self.functions(address, name, &mut contexts));
            located.extend(functions.iter().cloned());
        }
        *backtrace = located.into_iter().skip_while(|name| is_of_a_panic(name)).collect();
    }

    /// The functions at an address, the innermost first; the outermost has this name.
    fn functions<'a>(&'a self, address: u64, name: String, contexts: &mut [Option<Context<Bytes<'a>>>]) -> Vec<String> {
        let module = self.modules.iter().position(|module| module.code.contains(&address));
        let found = module.and_then(|index| {
            let module = &self.modules[index];
            if contexts[index].is_none() {
                contexts[index] = module.context().ok();
            }
            functions(contexts[index].as_ref()?, address - module.code.start).ok()
        });
        match found {
            Some(found) if !found.is_empty() => {
                found.into_iter().map(|(inlined, line)| inlined.unwrap_or_else(|| name.clone()) + &line).collect()
            }
            _ => vec![name],
        }
    }
}

impl Module {
    fn context(&self) -> Result<Context<Bytes<'_>>, Error> {
        let section = |id: SectionId| -> Result<_, Error> {
            let section = self.sections.iter().find(|(name, _)| name == id.name());
            Ok(EndianSlice::new(section.map_or(&[][..], |(_, bytes)| bytes), LittleEndian))
        };
        Context::from_dwarf(Dwarf::load(section)?)
    }
}

/// The functions at an address of a module's code: their names, where they have some, and lines, where these are known.
fn functions(context: &Context<Bytes<'_>>, address: u64) -> Result<Vec<(Option<String>, String)>, Error> {
    let (mut frames, mut functions) = (context.find_frames(address).skip_all_loads()?, Vec::new());
    while let Some(frame) = frames.next()? {
        let name = frame.function.and_then(|function| Some(format!("{:#}", demangle(&function.raw_name().ok()?))));
        let line = frame.location.and_then(|location| Some(format!(" ({}:{})", location.file?, location.line?)));
        functions.push((name, line.unwrap_or_default()));
    }
    Ok(functions)
}
