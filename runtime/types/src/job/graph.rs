//! Do the tables of a job file fit together? Everything that can be told without a component or a connector.

use super::{DEAD_LETTER, InputRef, JobError, JobSpec, OnError};
use crate::OperatorId;
use std::collections::HashMap;

/// What a name stands for.
#[derive(Clone, Copy)]
struct Part {
    kind: Kind,
    line: usize,
    on_error: OnError,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Source {
        /// Its outputs are those that its component declares.
        has_component: bool,
    },
    Operator,
    Sink,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Source { .. } => "a source",
            Kind::Operator => "an operator",
            Kind::Sink => "a sink",
        }
    }
}

/// Checks names, inputs, cycles and dead letters, in this order, and reports the first mistake.
pub(super) fn check(spec: &JobSpec) -> Result<(), JobError> {
    if spec.sources.is_empty() {
        return Err(spec.error(1, "the job has no source").with_hint("add a table [sources.NAME] with a connector"));
    }
    if spec.sinks.is_empty() {
        let hint = "add a table [sinks.NAME] with a connector and an input";
        return Err(spec.error(1, "the job has no sink").with_hint(hint));
    }
    let parts = parts(spec)?;
    for (consumer, inputs) in consumers(spec) {
        for input in inputs {
            check_input(spec, &parts, consumer, input)?;
        }
    }
    check_cycles(spec)?;
    check_dead_letters(spec, &parts)
}

/// Everything with a name: sources, operators and sinks share one name space.
fn parts(spec: &JobSpec) -> Result<HashMap<&OperatorId, Part>, JobError> {
    let sources = spec.sources.iter().map(|it| {
        let kind = Kind::Source { has_component: it.component().is_some() };
        (&it.id, Part { kind, line: it.line, on_error: it.on_error })
    });
    let operators =
        spec.operators.iter().map(|it| (&it.id, Part { kind: Kind::Operator, line: it.line, on_error: it.on_error }));
    let sinks = spec.sinks.iter().map(|it| (&it.id, Part { kind: Kind::Sink, line: it.line, on_error: OnError::Fail }));
    let mut parts: HashMap<&OperatorId, Part> = HashMap::new();
    for (id, part) in sources.chain(operators).chain(sinks) {
        if let Some(first) = parts.insert(id, part) {
            // The tables may stand in any order in the file.
            let (first, second) = if first.line < part.line { (first, part) } else { (part, first) };
            let message = format!("\"{id}\" is already the name of {} on line {}", first.kind.name(), first.line);
            return Err(spec
                .error(second.line, message)
                .with_hint("give every source, operator and sink its own name"));
        }
    }
    Ok(parts)
}

fn consumers(spec: &JobSpec) -> impl Iterator<Item = (&OperatorId, &[InputRef])> {
    let operators = spec.operators.iter().map(|operator| (&operator.id, operator.inputs.as_slice()));
    operators.chain(spec.sinks.iter().map(|sink| (&sink.id, sink.inputs.as_slice())))
}

fn check_input(
    spec: &JobSpec,
    parts: &HashMap<&OperatorId, Part>,
    consumer: &OperatorId,
    input: &InputRef,
) -> Result<(), JobError> {
    let from = &input.from;
    let Some(part) = parts.get(from) else {
        let sources = spec.sources.iter().map(|source| source.id.as_str());
        let operators =
            spec.operators.iter().map(|operator| operator.id.as_str()).filter(|&id| id != consumer.as_str());
        let message = format!("the input \"{input}\" of \"{consumer}\" is neither a source nor an operator");
        return Err(spec.error(input.line, message).with_choices(from.as_str(), sources.chain(operators)));
    };
    if part.kind == Kind::Sink {
        return Err(
            spec.error(input.line, format!("the input \"{input}\" of \"{consumer}\" is a sink, which has no output"))
        );
    }
    match &input.output {
        Some(output) if output == DEAD_LETTER && part.on_error != OnError::DeadLetter => {
            let message = format!("\"{consumer}\" reads \"{input}\", but \"{from}\" sends nothing there");
            Err(spec.error(input.line, message).with_hint(format!("add on-error = \"dead-letter\" to \"{from}\"")))
        }
        Some(output) if output != DEAD_LETTER && part.kind == (Kind::Source { has_component: false }) => {
            let message =
                format!("\"{consumer}\" reads \"{input}\", but the source \"{from}\" has no output \"{output}\"");
            Err(spec.error(input.line, message).with_choices(output, [DEAD_LETTER]))
        }
        _ => Ok(()),
    }
}

/// Fails when an operator's output comes back to it, and names the way round.
fn check_cycles(spec: &JobSpec) -> Result<(), JobError> {
    let index: HashMap<&OperatorId, usize> = spec.operators.iter().enumerate().map(|(at, it)| (&it.id, at)).collect();
    let upstream = |at: usize| spec.operators[at].inputs.iter().filter_map(|input| index.get(&input.from).copied());
    // An operator without unfinished operators upstream is finished; what is left when none can be is on, or behind, a
    // cycle.
    let mut unfinished: Vec<usize> = (0..spec.operators.len()).collect();
    loop {
        let before = unfinished.len();
        let blocked = unfinished.clone();
        unfinished.retain(|&at| upstream(at).any(|input| blocked.contains(&input)));
        match unfinished.first() {
            None => return Ok(()),
            Some(&first) if unfinished.len() == before => return Err(cycle_error(spec, &unfinished, first, upstream)),
            Some(_) => {}
        }
    }
}

/// Walks up from `start` among operators that all have one of themselves upstream, until an operator comes again.
fn cycle_error<U: Iterator<Item = usize>>(
    spec: &JobSpec,
    unfinished: &[usize],
    start: usize,
    upstream: impl Fn(usize) -> U,
) -> JobError {
    let mut walk = vec![start];
    let first = loop {
        let at = walk[walk.len() - 1];
        let next = upstream(at).find(|input| unfinished.contains(input)).expect("it has one upstream");
        if let Some(first) = walk.iter().position(|&seen| seen == next) {
            break first;
        }
        walk.push(next);
    };
    // Upstream backwards is the way the records go; the cycle is named from its operator that stands first in the file.
    let mut cycle: Vec<usize> = walk[first..].iter().rev().copied().collect();
    let smallest = (0..cycle.len()).min_by_key(|&at| cycle[at]).expect("a cycle is not empty");
    cycle.rotate_left(smallest);
    let names: Vec<String> =
        cycle.iter().chain(&cycle[..1]).map(|&at| format!("\"{}\"", spec.operators[at].id)).collect();
    spec.error(spec.operators[cycle[0]].line, format!("the job runs in a circle: {}", names.join(" → ")))
}

/// Whoever sends bad records away has to say where to.
fn check_dead_letters(spec: &JobSpec, parts: &HashMap<&OperatorId, Part>) -> Result<(), JobError> {
    let senders = parts.iter().filter(|(_, part)| part.on_error == OnError::DeadLetter);
    let unread = senders.filter(|(id, _)| {
        let mut inputs = consumers(spec).flat_map(|(_, inputs)| inputs);
        !inputs.any(|input| input.is_dead_letter() && input.from == ***id)
    });
    match unread.min_by_key(|(_, part)| part.line) {
        None => Ok(()),
        Some((id, part)) => {
            let message = format!("\"{id}\" sends bad records to \"{id}.{DEAD_LETTER}\", and nothing reads that");
            let hint = format!("add a sink with input = \"{id}.{DEAD_LETTER}\"");
            Err(spec.error(part.line, message).with_hint(hint))
        }
    }
}
