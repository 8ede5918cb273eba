//! The places of a record that a function uses, found in one pass over its JSON.
//!
//! Places that begin alike share their first steps, so each part of the record is looked at once; what no place leads to
//! is skipped. The record is read to its end all the same: whether it is JSON does not depend on the order of its fields.

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;
use tidewheel_types::JsonPointer;

/// Places below one object or array at most: they are marked in the bits of a number as they are found.
const CHILDREN_MAX: usize = 128;

/// Places in a record, each with a number.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fields {
    root: Node,
    len: usize,
}

/// The JSON text at each place; none where there is nothing, or `null`.
pub(crate) type Found<'v> = Vec<Option<&'v str>>;

/// A step that places share, and what comes below.
#[derive(Clone, Debug, Default)]
struct Node {
    /// The number of the place that ends here.
    place: Option<usize>,
    below: Vec<(Step, Node)>,
}

#[derive(Clone, Debug, PartialEq)]
struct Step {
    name: String,
    index: Option<usize>,
}

impl Fields {
    /// The number of the place that `pointer` leads to, which is added unless it is known.
    pub(crate) fn add(&mut self, pointer: &JsonPointer) -> Result<usize, String> {
        let mut node = &mut self.root;
        for (name, index) in pointer.steps() {
            let step = Step { name: name.to_owned(), index };
            let at = match node.below.iter().position(|(known, _)| *known == step) {
                Some(at) => at,
                None if node.below.len() == CHILDREN_MAX => {
                    return Err(format!("more than {CHILDREN_MAX} fields of one object"));
                }
                None => {
                    node.below.push((step, Node::default()));
                    node.below.len() - 1
                }
            };
            node = &mut node.below[at].1;
        }
        let next = self.len;
        let place = *node.place.get_or_insert(next);
        self.len = self.len.max(place + 1);
        Ok(place)
    }

    /// What is at the places of `value`; all at once, or the reason why it is not JSON.
    pub(crate) fn find<'v>(&self, value: &'v [u8]) -> Result<Found<'v>, String> {
        let mut found = vec![None; self.len];
        if self.len == 0 {
            return Ok(found);
        }
        let mut deserializer = serde_json::Deserializer::from_slice(value);
        Seek { node: &self.root, found: &mut found }
            .deserialize(&mut deserializer)
            .and_then(|()| deserializer.end())
            .map_err(|error| format!("not JSON: {error}"))?;
        Ok(found)
    }
}

/// Looks for the places from a node on.
struct Seek<'n, 'f, 'v> {
    node: &'n Node,
    found: &'f mut Found<'v>,
}

impl<'v> DeserializeSeed<'v> for Seek<'_, '_, 'v> {
    type Value = ();

    fn deserialize<D: Deserializer<'v>>(self, deserializer: D) -> Result<(), D::Error> {
        let Some(place) = self.node.place else { return deserializer.deserialize_any(self) };
        let raw = <&RawValue>::deserialize(deserializer)?.get();
        self.found[place] = Some(raw).filter(|&raw| raw != "null");
        if !self.node.below.is_empty() {
            // It has been read once, as a whole, so it is JSON.
            let _ = serde_json::Deserializer::from_str(raw).deserialize_any(self);
        }
        Ok(())
    }
}

/// A value that is neither object nor array has nothing below it.
impl<'v> Visitor<'v> for Seek<'_, '_, 'v> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'v>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen = 0u128;
        while let Some(which) = map.next_key_seed(Which(&self.node.below))? {
            // Of fields with the same name the first counts.
            match which.filter(|at| seen & 1 << at == 0) {
                Some(at) => {
                    seen |= 1 << at;
                    map.next_value_seed(Seek { node: &self.node.below[at].1, found: self.found })?;
                }
                None => _ = map.next_value::<IgnoredAny>()?,
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'v>>(self, mut seq: A) -> Result<(), A::Error> {
        for at in 0.. {
            let below = self.node.below.iter().find(|(step, _)| step.index == Some(at));
            let more = match below {
                Some((_, node)) => seq.next_element_seed(Seek { node, found: self.found })?,
                None => seq.next_element::<IgnoredAny>()?.map(drop),
            };
            if more.is_none() {
                break;
            }
        }
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

/// Which of the steps a field's name is.
struct Which<'n>(&'n [(Step, Node)]);

impl<'v> DeserializeSeed<'v> for Which<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'v>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Which<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.iter().position(|(step, _)| step.name == name))
    }
}

#[cfg(test)]
mod tests {
    use super::Fields;
    use proptest::prelude::{Strategy, prop_assert_eq, prop_oneof, proptest};
    use proptest::strategy::Just;
    use serde_json::Value;
    use tidewheel_types::JsonPointer;

    fn fields(pointers: &[&str]) -> Fields {
        let mut fields = Fields::default();
        for (place, pointer) in pointers.iter().enumerate() {
            assert_eq!(fields.add(&JsonPointer::parse(pointer).unwrap()), Ok(place));
        }
        fields
    }

    #[test]
    fn places_are_found_in_one_pass_and_null_is_nothing() {
        let fields = fields(&["/a/b", "/n", "/a", "/list/1", "/gone", "/list/1/x"]);
        let value = br#"{"z":[1],"a":{"b": 1.50,"c":"x"},"n":null,"list":[0,{"x":"\u0041"}],"a":7}"#;
        let expected =
            [Some("1.50"), None, Some(r#"{"b": 1.50,"c":"x"}"#), Some(r#"{"x":"\u0041"}"#), None, Some(r#""\u0041""#)];
        assert_eq!(fields.find(value).unwrap(), expected);
    }

    #[test]
    fn what_is_not_json_is_an_error_wherever_that_is() {
        let fields = fields(&["/a"]);
        for value in [&b""[..], b"{\"a\":1", b"{\"a\":1,\"b\":x}", b"{\"a\":1} 2", b"{\"a\":\"\xff\"}"] {
            let reason = fields.find(value).unwrap_err();
            assert!(reason.starts_with("not JSON: "), "{reason}");
        }
        assert_eq!(fields.find(b"3").unwrap(), [None], "nothing is below a number");
        assert_eq!(Fields::default().find(b"no JSON").unwrap(), [], "what is not used is not looked at");
    }

    #[test]
    fn the_same_place_has_one_number_and_one_object_not_too_many() {
        let mut fields = fields(&["/a", "/a/b"]);
        assert_eq!(fields.add(&JsonPointer::parse("/a").unwrap()), Ok(0));
        for at in 1..128 {
            fields.add(&JsonPointer::parse(&format!("/a{at}")).unwrap()).unwrap();
        }
        let error = fields.add(&JsonPointer::parse("/b").unwrap()).unwrap_err();
        assert_eq!(error, "more than 128 fields of one object");
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf =
            prop_oneof![Just(Value::Null), (-3i64..3).prop_map(Value::from), "[ab\"]{0,2}".prop_map(Value::from)];
        leaf.prop_recursive(3, 12, 3, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                proptest::collection::btree_map("[ab0]", inner, 0..3)
                    .prop_map(|map| Value::from(serde_json::Map::from_iter(map))),
            ]
        })
    }

    proptest! {
        #[test]
        fn agrees_with_a_tree(json in json(), pointers in proptest::collection::vec("(/[ab0]){0,3}", 1..5)) {
            let mut fields = Fields::default();
            let places: Vec<usize> =
                pointers.iter().map(|text| fields.add(&JsonPointer::parse(text).unwrap()).unwrap()).collect();
            let text = json.to_string();
            let found = fields.find(text.as_bytes()).unwrap();
            for (pointer, place) in pointers.iter().zip(places) {
                let parsed = found[place].map(|text| serde_json::from_str::<Value>(text).unwrap());
                prop_assert_eq!(parsed.as_ref(), json.pointer(pointer).filter(|value| !value.is_null()));
            }
        }
    }
}
