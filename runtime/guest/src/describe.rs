//! What a component says of itself: from the contract's types to ours, and whether it makes sense.

use crate::bindings::description as wit;
use std::collections::HashSet;
use tidewheel_types::description::{HOST_OUTPUTS, Port, StateDecl, StateKind, TimerClock, TimerDecl};
use tidewheel_types::{Description, World};

/// Most inputs, and most timers: a byte says which.
const INPUTS_MAX: usize = 256;
const TIMERS_MAX: usize = 256;

/// Most outputs: a byte says which, and operators have more of their own.
const OUTPUTS_MAX: usize = 255;

/// Most states.
const STATES_MAX: usize = 1_000;

impl From<wit::Description> for Description {
    fn from(said: wit::Description) -> Self {
        Description {
            name: said.name,
            version: said.version,
            sdk: said.sdk,
            inputs: said.inputs.into_iter().map(port).collect(),
            outputs: said.outputs.into_iter().map(port).collect(),
            states: said.states.into_iter().map(state).collect(),
            timers: said.timers.into_iter().map(timer).collect(),
            options: said.options,
        }
    }
}

fn port(said: wit::Port) -> Port {
    Port { name: said.name, format: said.format, schema: said.schema }
}

fn state(said: wit::StateDecl) -> StateDecl {
    StateDecl {
        name: said.name,
        kind: match said.kind {
            wit::StateKind::Value => StateKind::Value,
            wit::StateKind::List => StateKind::List,
            wit::StateKind::Map => StateKind::Map,
            wit::StateKind::Aggregating => StateKind::Aggregating,
        },
        format: said.format,
        schema: said.schema,
        version: said.version,
        oldest: said.oldest,
        rides: said.rides,
        ttl_ms: said.ttl_ms,
        options: said.options,
    }
}

fn timer(said: wit::TimerDecl) -> TimerDecl {
    let clock = match said.clock {
        wit::Clock::Event => TimerClock::Event,
        wit::Clock::Processing => TimerClock::Processing,
    };
    TimerDecl { name: said.name, clock }
}

/// Checks that a description does not contradict itself or its world; says what is wrong.
pub(crate) fn check(description: &Description, world: World) -> Result<(), String> {
    if description.name.is_empty() {
        return Err("its name is empty".to_owned());
    }
    check_names("input", description.inputs.iter().map(|port| &port.name), INPUTS_MAX)?;
    check_names("output", description.outputs.iter().map(|port| &port.name), OUTPUTS_MAX)?;
    if let Some(port) = description.outputs.iter().find(|port| HOST_OUTPUTS.contains(&port.name.as_str())) {
        return Err(format!("it declares output {:?}, but that name is the host's: give it another one", port.name));
    }
    check_names("timer", description.timers.iter().map(|timer| &timer.name), TIMERS_MAX)?;
    check_names("state", description.states.iter().map(|state| &state.name), STATES_MAX)?;
    description.states.iter().try_for_each(|state| check_state(state, world))?;
    let riding = description.riding_states();
    if let Some(state) = description.states[riding..].iter().find(|state| state.rides) {
        let before = &description.states[riding].name;
        return Err(format!("state {:?} rides, but comes after {before:?}, which does not", state.name));
    }
    if world != World::Keyed && !description.timers.is_empty() {
        return Err(format!("it declares timers, but only world keyed has them and it is of world {world}"));
    }
    match (world, description.states.len()) {
        (World::Keyed, _) | (World::Stateless, 0) | (World::Aggregate, 1) => Ok(()),
        (World::Stateless, _) => Err("it declares states, but is of world stateless".to_owned()),
        (World::Aggregate, states) => {
            Err(format!("it declares {states} states, but world aggregate has exactly one, the accumulator"))
        }
    }
}

fn check_state(state: &StateDecl, world: World) -> Result<(), String> {
    let StateDecl { name, kind, version, oldest, rides, .. } = state;
    if oldest > version {
        return Err(format!("state {name:?} takes versions from {oldest} on, but is of version {version}"));
    }
    if (*kind == StateKind::Aggregating) != (world == World::Aggregate) {
        return Err(format!("state {name:?} is of a kind that world {world} does not have"));
    }
    if *rides && matches!(kind, StateKind::List | StateKind::Map) {
        return Err(format!("state {name:?} rides, but only values can"));
    }
    Ok(())
}

fn check_names<'a>(what: &str, names: impl ExactSizeIterator<Item = &'a String>, max: usize) -> Result<(), String> {
    if names.len() > max {
        return Err(format!("it declares {} {what}s, but may have {max}", names.len()));
    }
    let mut seen = HashSet::new();
    for name in names {
        if name.is_empty() {
            return Err(format!("the name of {what} {} is empty", seen.len()));
        }
        if !seen.insert(name) {
            return Err(format!("it declares {what} {name:?} twice"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::check;
    use tidewheel_types::description::{Port, StateDecl, StateKind, TimerClock, TimerDecl};
    use tidewheel_types::{Description, World};

    fn state(name: &str, kind: StateKind, rides: bool) -> StateDecl {
        StateDecl {
            name: name.to_owned(),
            kind,
            format: "raw".to_owned(),
            schema: String::new(),
            version: 1,
            oldest: 1,
            rides,
            ttl_ms: 0,
            options: Vec::new(),
        }
    }

    fn keyed(states: Vec<StateDecl>) -> Description {
        Description { name: "op".to_owned(), states, ..Description::default() }
    }

    #[test]
    fn a_sound_description_passes() {
        let states = vec![state("a", StateKind::Value, true), state("b", StateKind::Map, false)];
        assert_eq!(check(&keyed(states), World::Keyed), Ok(()));
        assert_eq!(check(&keyed(Vec::new()), World::Stateless), Ok(()));
        assert_eq!(check(&keyed(vec![state("sum", StateKind::Aggregating, true)]), World::Aggregate), Ok(()));
    }

    #[test]
    fn every_contradiction_is_named() {
        let problem = |states, world| check(&keyed(states), world).unwrap_err();
        let (value, map) = (StateKind::Value, StateKind::Map);
        assert_eq!(check(&Description::default(), World::Keyed).unwrap_err(), "its name is empty");
        let order = problem(vec![state("m", map, false), state("v", value, true)], World::Keyed);
        assert_eq!(order, "state \"v\" rides, but comes after \"m\", which does not");
        let twice = problem(vec![state("v", value, true), state("v", value, true)], World::Keyed);
        assert_eq!(twice, "it declares state \"v\" twice");
        assert_eq!(problem(vec![state("", value, true)], World::Keyed), "the name of state 0 is empty");
        assert_eq!(problem(vec![state("m", map, true)], World::Keyed), "state \"m\" rides, but only values can");
        let old = StateDecl { oldest: 2, ..state("v", value, true) };
        assert_eq!(problem(vec![old], World::Keyed), "state \"v\" takes versions from 2 on, but is of version 1");
        assert!(problem(vec![state("v", value, true)], World::Stateless).contains("world stateless"));
        assert!(problem(vec![state("v", value, true)], World::Aggregate).contains("does not have"));
        assert!(problem(Vec::new(), World::Aggregate).contains("exactly one"));
        assert!(problem(vec![state("s", StateKind::Aggregating, true)], World::Keyed).contains("does not have"));
    }

    #[test]
    fn outputs_are_not_called_as_those_of_the_host() {
        let problem = |name: &str| {
            let outputs = ["main", name].map(|name| Port { name: name.to_owned(), ..Port::default() }).to_vec();
            check(&Description { outputs, ..keyed(Vec::new()) }, World::Stateless)
        };
        let expected =
            |name: &str| Err(format!("it declares output {name:?}, but that name is the host's: give it another one"));
        assert_eq!(problem("late"), expected("late"));
        assert_eq!(problem("dead-letter"), expected("dead-letter"));
        assert_eq!(problem("later"), Ok(()));
    }

    #[test]
    fn ports_and_timers_have_limits() {
        let ports = |count: usize| -> Vec<Port> {
            (0..count).map(|index| Port { name: index.to_string(), ..Port::default() }).collect()
        };
        let with = |outputs| Description { outputs, ..keyed(Vec::new()) };
        assert_eq!(check(&with(ports(255)), World::Stateless), Ok(()));
        let problem = check(&with(ports(256)), World::Stateless).unwrap_err();
        assert_eq!(problem, "it declares 256 outputs, but may have 255");
        let timers = vec![TimerDecl { name: "t".to_owned(), clock: TimerClock::Event }];
        let problem = check(&Description { timers, ..keyed(Vec::new()) }, World::Stateless).unwrap_err();
        assert!(problem.contains("only world keyed"));
    }
}
