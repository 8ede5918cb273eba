//! What was expected of a step beside what came of it.

use super::case::{Content, Output, Rejected, Step, Timer};
use super::observed::{Observed, Rejection, Taken, Waiting};
use crate::values;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Something that came otherwise than expected.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Difference {
    /// The step, from 1, and the line it begins at.
    pub(super) step: usize,
    pub(super) line: usize,
    /// `outputs`, `rejected`, `timers` or `state.NAME`.
    pub(super) of: String,
    /// What was expected and is missing, as the case has it.
    pub(super) missing: Vec<Json>,
    /// What is there and was not expected.
    pub(super) unexpected: Vec<Json>,
    /// What is there and was expected.
    pub(super) matching: Vec<Json>,
    /// Places at which what is missing and what is there in its stead differ, or what else is to be said.
    pub(super) notes: Vec<String>,
}

/// Compares all that the step says something of. `main` is what its main output is called.
pub(super) fn compare(step: &Step, observed: &Observed, main: &str) -> Vec<Difference> {
    let mut differences = vec![outputs(step, &observed.outputs, main), rejected(&step.rejected, &observed.rejected)];
    differences.extend(step.timers.as_ref().map(|expected| timers(expected, &observed.timers)));
    let nothing = BTreeMap::new();
    for (name, expected) in &step.state {
        differences.push(state(name, &expected.entries, observed.state.get(name).unwrap_or(&nothing)));
    }
    differences.into_iter().flatten().map(|difference| Difference { line: step.line, ..difference }).collect()
}

/// Which of `expected` are met by which of `found`: as many as can be, since what is said of one may fit several.
fn pair<E, F>(expected: &[E], found: &[F], fits: impl Fn(&E, &F) -> bool) -> Pairs {
    let fitting: Vec<Vec<usize>> =
        expected.iter().map(|wanted| (0..found.len()).filter(|&other| fits(wanted, &found[other])).collect()).collect();
    let mut by = vec![None; found.len()];
    let missing = (0..expected.len()).filter(|&place| !meet(place, &fitting, &mut by)).collect();
    Pairs { by, missing, fitting }
}

/// Finds one that meets the expected one at `place`: the first that is free, or else one whose holder can have another one. It
/// goes along the shortest augmenting path; where there is none, no more can be met.
fn meet(place: usize, fitting: &[Vec<usize>], by: &mut [Option<usize>]) -> bool {
    // Of each that was found, which expected one has come upon it.
    let mut reached_by: Vec<Option<usize>> = vec![None; by.len()];
    let mut waiting = VecDeque::from([place]);
    while let Some(wanted) = waiting.pop_front() {
        for &other in &fitting[wanted] {
            if reached_by[other].is_some() {
                continue;
            }
            reached_by[other] = Some(wanted);
            match by[other] {
                Some(holder) => waiting.push_back(holder),
                None => {
                    take(other, &reached_by, by);
                    return true;
                }
            }
        }
    }
    false
}

/// Lets the one that has come upon what is free take it, then the one that has come upon what that has left, and so on.
fn take(free: usize, reached_by: &[Option<usize>], by: &mut [Option<usize>]) {
    let mut left = Some(free);
    while let Some(other) = left {
        left = by.iter().position(|holder| holder.is_some() && *holder == reached_by[other]);
        by[other] = reached_by[other];
    }
}

struct Pairs {
    /// Of each that was found, which expected one it meets.
    by: Vec<Option<usize>>,
    missing: Vec<usize>,
    /// Of each that is expected, which ones would meet it.
    fitting: Vec<Vec<usize>>,
}

impl Pairs {
    /// Exchanges what two are met by where that brings them into their order; `lane` says which of those found have one.
    fn put_in_order<L: PartialEq>(&mut self, lane: impl Fn(usize) -> L) {
        // Each exchange leaves fewer pairs that are out of their order.
        while let Some((one, other)) = self.exchangeable(&lane) {
            self.by.swap(one, other);
        }
    }

    /// Two of one lane that are out of their order, and fit as well the other way round.
    fn exchangeable<L: PartialEq>(&self, lane: impl Fn(usize) -> L) -> Option<(usize, usize)> {
        for other in 0..self.by.len() {
            for one in 0..other {
                let (Some(first), Some(second)) = (self.by[one], self.by[other]) else { continue };
                let fits = self.fitting[first].contains(&other) && self.fitting[second].contains(&one);
                if first > second && fits && lane(one) == lane(other) {
                    return Some((one, other));
                }
            }
        }
        None
    }

    /// The difference, if there is one.
    fn difference(self, of: &str, expected: &[Json], found: &[Json], notes: Vec<String>) -> Option<Difference> {
        let which = |is_met: bool| {
            let found = found.iter().zip(&self.by).filter(move |(_, by)| by.is_some() == is_met);
            found.map(|(found, _)| found.clone()).collect::<Vec<_>>()
        };
        let missing: Vec<Json> = self.missing.iter().map(|&place| expected[place].clone()).collect();
        let unexpected = which(false);
        if missing.is_empty() && unexpected.is_empty() && notes.is_empty() {
            return None;
        }
        let mut notes = notes;
        if let ([missing], [unexpected]) = (&missing[..], &unexpected[..]) {
            differing(missing, unexpected, "", &mut notes);
        }
        let matching = which(true);
        Some(Difference { step: 0, line: 0, of: of.to_owned(), missing, unexpected, matching, notes })
    }
}

fn outputs(step: &Step, found: &[Taken], main: &str) -> Option<Difference> {
    let expected = &step.outputs;
    let mut pairs = pair(expected, found, |wanted, taken| fits(wanted, taken, main));
    pairs.put_in_order(|at| (&found[at].output, &found[at].key));
    let mut notes = Vec::new();
    // Of one key, in one output, the order counts; between keys there is none.
    let mut last: BTreeMap<(&str, &[u8]), usize> = BTreeMap::new();
    for (taken, by) in found.iter().zip(&pairs.by) {
        let Some(by) = *by else { continue };
        let before = last.insert((&taken.output, &taken.key), by);
        if before.is_some_and(|before| before > by) {
            let key = values::cell(&values::key(&taken.key));
            notes.push(format!("the records of key {key:?} came in another order"));
        }
    }
    notes.dedup();
    let wanted: Vec<Json> = expected.iter().map(output_json).collect();
    // A field that is expected nowhere would only be in the way.
    let names: BTreeSet<&String> = wanted.iter().filter_map(Json::as_object).flat_map(Map::keys).collect();
    let shown = |taken: &Taken| match taken.to_json(main) {
        Json::Object(fields) if !names.is_empty() => {
            let fields =
                fields.into_iter().filter(|(name, _)| names.contains(name) || name == "value" || name == "output");
            Json::Object(fields.collect())
        }
        shown => shown,
    };
    let shown: Vec<Json> = found.iter().map(shown).collect();
    pairs.difference("outputs", &wanted, &shown, notes)
}

fn fits(wanted: &Output, taken: &Taken, main: &str) -> bool {
    let output = wanted.output.as_deref().filter(|name| *name != main).unwrap_or("");
    let is_value = match &wanted.value {
        None => true,
        Some(Content::Bytes(bytes)) => *bytes == taken.bytes,
        Some(Content::Value(value)) => equal(value, &taken.value),
        Some(Content::Text(text)) => serde_json::from_str(text).is_ok_and(|value| equal(&value, &taken.value)),
    };
    output == taken.output
        && is_value
        && wanted.key.as_ref().is_none_or(|key| *key == taken.key)
        && wanted.time.is_none_or(|time| time == taken.time)
}

/// What is expected, in the form of [`Taken::to_json`].
fn output_json(wanted: &Output) -> Json {
    let mut fields = Map::new();
    let value = wanted.value.as_ref().map(|value| match value {
        Content::Value(value) => value.clone(),
        Content::Text(text) => serde_json::from_str(text).unwrap_or_default(),
        Content::Bytes(bytes) => values::in_hex(bytes),
    });
    fields.extend(value.map(|value| ("value".to_owned(), value)));
    fields.extend(wanted.key.as_ref().map(|key| ("key".to_owned(), values::key(key))));
    fields.extend(wanted.time.map(|time| ("time".to_owned(), values::time(time))));
    fields.extend(wanted.output.as_ref().map(|output| ("output".to_owned(), output.as_str().into())));
    Json::Object(fields)
}

fn rejected(expected: &[Rejected], found: &[Rejection]) -> Option<Difference> {
    let pairs = pair(expected, found, |wanted, rejection| {
        let key = wanted.key.as_ref().map(|key| values::cell(&values::key(key)));
        wanted.reason.as_ref().is_none_or(|reason| rejection.reason.contains(reason))
            && key.is_none_or(|key| rejection.key.as_ref() == Some(&key))
            && wanted.value.as_ref().is_none_or(|value| equal(value, &rejection.value))
    });
    let wanted = expected.iter().map(|wanted| {
        let fields = [
            ("value", wanted.value.clone()),
            ("key", wanted.key.as_ref().map(|key| values::key(key))),
            ("reason", wanted.reason.as_ref().map(|reason| reason.as_str().into())),
        ];
        let fields = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        Json::Object(fields.collect())
    });
    let shown = found.iter().map(|rejection| {
        let Rejection { reason, key, value } = rejection;
        match key {
            Some(key) => json!({ "value": value, "key": key, "reason": reason }),
            None => json!({ "value": value, "reason": reason }),
        }
    });
    let (wanted, shown): (Vec<_>, Vec<_>) = (wanted.collect(), shown.collect());
    pairs.difference("rejected", &wanted, &shown, Vec::new())
}

fn timers(expected: &[Timer], found: &[Waiting]) -> Option<Difference> {
    let pairs = pair(expected, found, |wanted, waiting| {
        wanted.timer.as_ref().is_none_or(|timer| *timer == waiting.timer)
            && wanted.key.as_ref().is_none_or(|key| *key == waiting.key)
            && wanted.time == Some(waiting.time)
    });
    let wanted = expected.iter().map(|wanted| {
        let fields = [
            ("timer", wanted.timer.as_ref().map(|timer| timer.as_str().into())),
            ("key", wanted.key.as_ref().map(|key| values::key(key))),
            ("time", wanted.time.map(values::time)),
        ];
        let fields = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        Json::Object(fields.collect())
    });
    let shown = found.iter().map(|waiting| {
        json!({ "timer": waiting.timer, "key": values::key(&waiting.key), "time": values::time(waiting.time) })
    });
    let (wanted, shown): (Vec<_>, Vec<_>) = (wanted.collect(), shown.collect());
    pairs.difference("timers", &wanted, &shown, Vec::new())
}

/// The whole of a state: what is not listed is not to be there.
fn state(name: &str, expected: &BTreeMap<String, Json>, found: &BTreeMap<String, Json>) -> Option<Difference> {
    let entries = |of: &BTreeMap<String, Json>| -> Vec<(String, Json)> {
        of.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
    };
    let (expected, found) = (entries(expected), entries(found));
    let pairs = pair(&expected, &found, |wanted, there| wanted.0 == there.0 && equal(&wanted.1, &there.1));
    let shown = |entries: &[(String, Json)]| -> Vec<Json> {
        entries.iter().map(|(key, value)| json!({ key.as_str(): value })).collect()
    };
    pairs.difference(&format!("state.{name}"), &shown(&expected), &shown(&found), Vec::new())
}

/// Whether two values are the same; `5` is `5.0`.
fn equal(one: &Json, other: &Json) -> bool {
    match (one, other) {
        (Json::Number(a), Json::Number(b)) => a == b || (a.is_f64() != b.is_f64() && a.as_f64() == b.as_f64()),
        (Json::Array(a), Json::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
        (Json::Object(a), Json::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| equal(a, b)))
        }
        _ => one == other,
    }
}

/// Says at which places two values differ.
fn differing(missing: &Json, there: &Json, at: &str, notes: &mut Vec<String>) {
    match (missing, there) {
        (Json::Object(wanted), Json::Object(found)) => {
            for (key, value) in wanted {
                let at = format!("{at}/{key}");
                match found.get(key) {
                    Some(other) => differing(value, other, &at, notes),
                    None => notes.push(format!("{at} is missing")),
                }
            }
            // Of a record as a whole only what is expected counts.
            let extra = found.keys().filter(|key| !at.is_empty() && !wanted.contains_key(*key));
            notes.extend(extra.map(|key| format!("{at}/{key} was not expected")));
        }
        (Json::Array(wanted), Json::Array(found)) if wanted.len() == found.len() => {
            let pairs = wanted.iter().zip(found).enumerate();
            pairs.for_each(|(index, (wanted, found))| differing(wanted, found, &format!("{at}/{index}"), notes));
        }
        _ if equal(missing, there) => {}
        // The reason of a rejection is compared in part.
        (Json::String(part), Json::String(whole)) if at == "/reason" && whole.contains(part.as_str()) => {}
        _ => notes.push(format!("{at}: expected {missing}, found {there}")),
    }
}

#[cfg(test)]
mod tests {
    use super::{compare, equal};
    use crate::commands::test::case::Case;
    use crate::commands::test::observed::{Observed, Taken};
    use serde_json::{Value as Json, json};
    use std::path::Path;

    fn taken(output: &str, key: &str, value: Json) -> Taken {
        let bytes = value.to_string().into_bytes();
        Taken { output: output.to_owned(), key: key.as_bytes().to_vec(), time: 0, bytes, value }
    }

    /// What differs when `step` is expected and these records come.
    fn differences(step: &str, outputs: Vec<Taken>) -> Vec<super::Difference> {
        let case = Case::parse(&format!("[[step]]\n{step}\n"), Path::new("a.toml")).unwrap();
        compare(&case.steps[0], &Observed { outputs, ..Observed::default() }, "main")
    }

    #[test]
    fn only_what_is_said_of_a_record_is_compared() {
        let found = || vec![taken("", "a", json!({ "n": 1 })), taken("late", "b", json!(2))];
        for step in [
            "outputs = [{ value = { n = 1 } }, { output = 'late' }]",
            "outputs = [{ output = 'late', value = 2.0 }, { output = 'main', key = 'a', time = 1970-01-01T00:00:00Z }]",
            "outputs = [{ json = '{\"n\":1}' }, { output = 'late', hex = '32' }]",
        ] {
            assert_eq!(differences(step, found()), [], "{step}");
        }
        for step in
            ["", "outputs = [{}, {}]", "outputs = [{ key = 'a' }]", "outputs = [{}, { output = 'late', time = 1 }]"]
        {
            assert_eq!(differences(step, found()).len(), 1, "{step}");
        }
    }

    #[test]
    fn the_order_counts_within_a_key() {
        let step = "outputs = [{ value = 1 }, { value = 2 }]";
        assert_eq!(differences(step, vec![taken("", "b", json!(2)), taken("", "a", json!(1))]), []);
        let swapped = differences(step, vec![taken("", "a", json!(2)), taken("", "a", json!(1))]);
        assert_eq!(swapped[0].notes, ["the records of key \"a\" came in another order"]);
    }

    #[test]
    fn what_is_said_loosely_leaves_to_others_what_they_need() {
        let one = || vec![taken("", "a", json!(1)), taken("", "b", json!(2))];
        for step in [
            "outputs = [{ key = 'a' }, { value = 2 }]",
            "outputs = [{}, { key = 'a' }]",
            "outputs = [{}, { value = 1 }]",
            "outputs = [{ value = 2 }, {}]",
        ] {
            assert_eq!(differences(step, one()), [], "{step}");
        }
        // Along a path over several.
        let three = vec![taken("", "a", json!(1)), taken("", "b", json!(1)), taken("", "b", json!(2))];
        assert_eq!(differences("outputs = [{ value = 1 }, {}, { key = 'a' }]", three), []);
        let of_one_key = || (1..=3).map(|n| taken("", "a", json!(n))).collect::<Vec<_>>();
        for (step, is_in_order) in [
            ("outputs = [{}, { value = 2 }, {}]", true),
            ("outputs = [{ value = 1 }, {}, {}]", true),
            ("outputs = [{}, {}, { value = 1 }]", false),
        ] {
            assert_eq!(differences(step, of_one_key()).is_empty(), is_in_order, "{step}");
        }
        let left = differences("outputs = [{ value = 3 }, {}, {}]", one());
        assert_eq!((left[0].missing.as_slice(), left[0].unexpected.len()), (&[json!({ "value": 3 })][..], 0));
    }

    #[test]
    fn as_many_are_met_as_can_be() {
        // All ways in which four may fit four: there is a better pairing for none of them.
        for bits in 0..1u32 << 16 {
            let fits = |wanted: usize, found: usize| bits >> (4 * wanted + found) & 1 == 1;
            let pairs = super::pair(&[0, 1, 2, 3], &[0, 1, 2, 3], |&wanted, &found| fits(wanted, found));
            let met: Vec<(usize, usize)> =
                pairs.by.iter().enumerate().filter_map(|(found, by)| by.map(|wanted| (wanted, found))).collect();
            assert!(met.iter().all(|&(wanted, found)| fits(wanted, found)), "{bits:x}");
            assert_eq!(met.len() + pairs.missing.len(), 4, "{bits:x}");
            assert!(pairs.missing.iter().all(|wanted| met.iter().all(|(other, _)| other != wanted)), "{bits:x}");
            assert_eq!(met.len(), most(0, 0, &fits), "{bits:x}");
        }
    }

    /// How many of those from `wanted` on can be met, at most, when these are `taken`.
    fn most(wanted: usize, taken: u32, fits: &impl Fn(usize, usize) -> bool) -> usize {
        if wanted == 4 {
            return 0;
        }
        let free = (0..4).filter(|found| taken >> found & 1 == 0 && fits(wanted, *found));
        let with = free.map(|found| 1 + most(wanted + 1, taken | 1 << found, fits));
        with.chain([most(wanted + 1, taken, fits)]).max().unwrap_or(0)
    }

    #[test]
    fn a_single_difference_is_told_by_its_place() {
        let step = "outputs = [{ value = { a = { b = [1, 2] }, c = 'x' } }]";
        let found = differences(step, vec![taken("", "k", json!({ "a": { "b": [1, 3] }, "d": 1 }))]);
        let said = ["/value/a/b/1: expected 2, found 3", "/value/c is missing", "/value/d was not expected"];
        assert_eq!(found[0].notes, said);
    }

    #[test]
    fn states_are_compared_whole() {
        let case = Case::parse("[[step]]\nstate.n = { a = 1 }\nstate.m = {}\n", Path::new("a.toml")).unwrap();
        let with = |entries: &[(&str, i64)]| {
            let entries = entries.iter().map(|&(key, value)| (key.to_owned(), json!(value))).collect();
            let state = [("n".to_owned(), entries), ("m".to_owned(), Default::default())].into();
            compare(&case.steps[0], &Observed { state, ..Observed::default() }, "main")
        };
        assert_eq!(with(&[("a", 1)]), []);
        let found = with(&[("a", 2), ("b", 1)]);
        assert_eq!((found.len(), found[0].of.as_str()), (1, "state.n"));
        assert_eq!((found[0].missing.as_slice(), found[0].unexpected.len()), (&[json!({ "a": 1 })][..], 2));
    }

    #[test]
    fn numbers_are_equal_whatever_their_form() {
        assert!(equal(&json!([5, { "a": 0.5 }]), &json!([5.0, { "a": 0.5 }])));
        assert!(!equal(&json!(5), &json!("5")) && !equal(&json!(u64::MAX), &json!(u64::MAX - 1)));
    }
}
