//! WASI, as far as a guest gets it: clocks and random numbers made from the call's arguments, and of the environment what
//! the job grants.
//!
//! Components built with a WASI standard library import some ten interfaces, and use few. What is not answered here
//! links to a function that traps with its name.

use super::{HostCallError, HostState};
use wasmtime::Engine;
use wasmtime::component::types::{ComponentInstance, ComponentItem};
use wasmtime::component::{Linker, LinkerInstance, ResourceType, Val};

/// Most random bytes that a guest gets in one host call.
const RANDOM_BYTES_MAX: u64 = 1 << 20;

const NANOSECONDS_PER_MS: u64 = 1_000_000;

/// The namespace of WASI's packages.
const NAMESPACE: &str = "wasi:";

/// The machine as a guest sees it: a clock that stands still during a call, and random numbers that repeat with it.
#[derive(Debug, Default)]
pub(crate) struct Virtual {
    now_ms: u64,
    seed: u64,
    /// The variables that are granted.
    environment: Vec<(String, String)>,
}

impl Virtual {
    /// One with these variables in its environment.
    pub(crate) fn new(environment: Vec<(String, String)>) -> Self {
        Virtual { environment, ..Virtual::default() }
    }

    /// Starts a call.
    pub(crate) fn begin_call(&mut self, now: i64, seed: u64) {
        // Time before 1970 cannot be said in WASI.
        self.now_ms = u64::try_from(now).unwrap_or(0);
        self.seed = seed;
    }

    /// The next random number of the call: SplitMix64, by Sebastiano Vigna.
    fn random(&mut self) -> u64 {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.seed;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn random_bytes(&mut self, count: u64) -> Vec<u8> {
        let words = std::iter::repeat_with(|| self.random()).flat_map(u64::to_le_bytes);
        words.take(count as usize).collect()
    }

    /// The answer of a function that this host offers.
    fn answer(&mut self, interface: &str, function: &str, arguments: &[Val]) -> Option<Val> {
        let now_ns = self.now_ms.saturating_mul(NANOSECONDS_PER_MS);
        let answer = match (interface, function, arguments) {
            ("clocks/monotonic-clock", "now", []) => Val::U64(now_ns),
            ("clocks/monotonic-clock", "resolution", []) => Val::U64(NANOSECONDS_PER_MS),
            ("clocks/wall-clock", "now", []) => datetime(now_ns),
            ("clocks/wall-clock", "resolution", []) => datetime(NANOSECONDS_PER_MS),
            ("random/random", "get-random-u64", []) | ("random/insecure", "get-insecure-random-u64", []) => {
                Val::U64(self.random())
            }
            ("random/random", "get-random-bytes", [Val::U64(count)])
            | ("random/insecure", "get-insecure-random-bytes", [Val::U64(count)])
                if *count <= RANDOM_BYTES_MAX =>
            {
                Val::List(self.random_bytes(*count).into_iter().map(Val::U8).collect())
            }
            ("random/insecure-seed", "insecure-seed", []) => {
                Val::Tuple(vec![Val::U64(self.random()), Val::U64(self.random())])
            }
            ("cli/environment", "get-environment", []) => Val::List(self.environment.iter().map(variable).collect()),
            ("cli/environment", "get-arguments", []) => Val::List(Vec::new()),
            ("cli/environment", "initial-cwd", []) => Val::Option(None),
            _ => return None,
        };
        Some(answer)
    }
}

fn variable((name, value): &(String, String)) -> Val {
    Val::Tuple(vec![Val::String(name.clone()), Val::String(value.clone())])
}

fn datetime(ns: u64) -> Val {
    let (seconds, nanoseconds) = (ns / 1_000_000_000, (ns % 1_000_000_000) as u32);
    let fields = [("seconds", Val::U64(seconds)), ("nanoseconds", Val::U32(nanoseconds))];
    Val::Record(fields.map(|(name, value)| (name.to_owned(), value)).into())
}

/// Whether an import is one of WASI.
pub(crate) fn is_wasi(import: &str) -> bool {
    import.starts_with(NAMESPACE)
}

/// Interfaces of WASI whose functions are answered, so that a guest may well use them.
const OFFERED: [&str; 6] = [
    "cli/environment",
    "clocks/monotonic-clock",
    "clocks/wall-clock",
    "random/insecure",
    "random/insecure-seed",
    "random/random",
];

/// Whether the functions of an interface of WASI are answered.
pub(crate) fn is_offered(import: &str) -> bool {
    OFFERED.contains(&interface(import))
}

/// `clocks/wall-clock` out of `wasi:clocks/wall-clock@0.2.6`.
fn interface(import: &str) -> &str {
    let name = import.strip_prefix(NAMESPACE).unwrap_or(import);
    name.split_once('@').map_or(name, |(name, _)| name)
}

/// Links an interface of WASI that a component imports: what is answered, and for the rest functions that trap.
pub(crate) fn link(
    linker: &mut Linker<HostState>,
    engine: &Engine,
    import: &str,
    ty: &ComponentInstance,
) -> wasmtime::Result<()> {
    let mut instance = linker.instance(import)?;
    for (name, item) in ty.exports(engine) {
        match item.ty {
            ComponentItem::ComponentFunc(_) => link_function(&mut instance, import, name)?,
            // No function that makes one returns, so this type has no values.
            ComponentItem::Resource(_) => {
                instance.resource(name, ResourceType::host::<Virtual>(), |_, _| Ok(()))?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn link_function(instance: &mut LinkerInstance<'_, HostState>, import: &str, name: &str) -> wasmtime::Result<()> {
    let (interface, function) = (interface(import).to_owned(), name.to_owned());
    let full_name = format!("{import}#{name}");
    instance.func_new(name, move |mut store, _, arguments, results| {
        let answer = store.data_mut().machine.answer(&interface, &function, arguments);
        match (answer, results) {
            (Some(answer), [result]) => {
                *result = answer;
                Ok(())
            }
            _ => Err(HostCallError::NotOffered { function: full_name.clone() }.into()),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::{RANDOM_BYTES_MAX, Virtual, interface, is_offered};
    use wasmtime::component::Val;

    #[test]
    fn a_call_sees_the_time_and_the_random_numbers_of_its_arguments() {
        let answers = |now, seed| {
            let mut machine = Virtual::default();
            machine.begin_call(now, seed);
            let mut answer = |interface, function| machine.answer(interface, function, &[]).unwrap();
            [
                answer("clocks/monotonic-clock", "now"),
                answer("clocks/wall-clock", "now"),
                answer("random/random", "get-random-u64"),
                answer("random/insecure-seed", "insecure-seed"),
            ]
        };
        assert_eq!(answers(1_234, 7), answers(1_234, 7));
        assert_eq!(answers(1_234, 7)[0], Val::U64(1_234_000_000));
        assert_eq!(answers(-5, 7)[0], Val::U64(0));
        assert_ne!(answers(1_234, 7)[2], answers(1_234, 8)[2]);
        let Val::Record(fields) = &answers(1_234, 7)[1] else { panic!("a record") };
        assert_eq!((&fields[0].1, &fields[1].1), (&Val::U64(1), &Val::U32(234_000_000)));
    }

    #[test]
    fn the_environment_is_what_is_granted() {
        let environment = |machine: &mut Virtual| machine.answer("cli/environment", "get-environment", &[]);
        assert_eq!(environment(&mut Virtual::default()), Some(Val::List(Vec::new())));
        let text = |text: &str| Val::String(text.to_owned());
        let granted = Val::List(vec![Val::Tuple(vec![text("KEY"), text("7")])]);
        assert_eq!(environment(&mut Virtual::new(vec![("KEY".to_owned(), "7".to_owned())])), Some(granted));
    }

    #[test]
    fn random_bytes_have_a_limit() {
        let mut machine = Virtual::default();
        let mut bytes = |count| machine.answer("random/random", "get-random-bytes", &[Val::U64(count)]);
        let Some(Val::List(list)) = bytes(RANDOM_BYTES_MAX) else { panic!("a list") };
        assert_eq!(list.len() as u64, RANDOM_BYTES_MAX);
        assert!(bytes(RANDOM_BYTES_MAX + 1).is_none());
    }

    #[test]
    fn versions_do_not_matter() {
        assert_eq!(interface("wasi:clocks/wall-clock@0.2.6"), "clocks/wall-clock");
        assert!(is_offered("wasi:random/random@0.2.0") && !is_offered("wasi:cli/stdout@0.2.0"));
    }
}
