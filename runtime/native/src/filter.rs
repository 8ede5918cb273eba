//! `filter = "auction % 123 == 0"`: which records go on.

use crate::expression::{Expression, Record};
use crate::fields::Fields;
use cel::Value;
use tidewheel_types::job::{JobError, Options};

/// A condition on a record.
pub struct Filter {
    fields: Fields,
    condition: Expression,
}

impl Filter {
    /// Takes the key `filter` of an operator's table.
    pub fn parse(table: &mut Options) -> Result<Filter, JobError> {
        let text: String = table.require("filter")?;
        let mut fields = Fields::default();
        let condition = Expression::parse(&text, &mut fields).map_err(|message| table.error("filter", message))?;
        Ok(Filter { fields, condition })
    }

    /// Whether a record with this value goes on; or why that cannot be told.
    pub fn keeps(&self, value: &[u8]) -> Result<bool, String> {
        let record = Record::new(&self.fields.find(value)?, self.condition.places())?;
        match self.condition.evaluate(&record)? {
            Value::Bool(keeps) => Ok(keeps),
            other => Err(format!("the condition gives {}, not true or false", other.type_of())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Filter;
    use proptest::prelude::{prop_assert_eq, proptest};
    use tidewheel_types::job::Options;

    fn try_parse(condition: &str) -> Result<Filter, String> {
        let text = format!("\n[f]\nfilter = {}", toml_text(condition));
        let mut table = Options::parse(&text, "job.toml").unwrap().take_table("f").unwrap().unwrap();
        Filter::parse(&mut table).map_err(|error| error.to_string())
    }

    /// A basic string of TOML, which a JSON string is.
    fn toml_text(text: &str) -> String {
        serde_json::to_string(text).unwrap()
    }

    fn filter(condition: &str) -> Filter {
        try_parse(condition).unwrap_or_else(|error| panic!("{condition}: {error}"))
    }

    const BID: &str = r#"{"auction":1107,"price":250,"channel":"Google","at":1.5,"big":9007199254740993,
        "huge":18446744073709551615,"tags":["a","b"],"seller":{"city":"Bern","zip":null},"none":null,"é":true}"#;

    #[test]
    fn records_for_which_the_condition_holds_are_kept() {
        for (condition, keeps) in [
            ("auction % 123 == 0", true),
            ("auction % 123 == 0 && channel != 'Google'", false),
            ("price > 249 && price < 250.5", true),
            ("big == 9007199254740993 && big != 9007199254740992", true),
            ("huge == 18446744073709551615u", true),
            ("at * 2.0 == 3.0", true),
            ("double(price) * 1.5 == 375.0", true),
            ("channel.startsWith('Goo') && channel.endsWith('gle') && channel.contains('oog')", true),
            ("size(tags) == 2 && tags[1] == 'b' && 'a' in tags", true),
            ("tags.exists(tag, tag == 'b') && tags.all(tag, size(tag) == 1)", true),
            ("tags.exists(tag, tag == channel)", false),
            ("seller.city == 'Bern'", true),
            ("has(seller.city) && !has(seller.zip) && !has(seller.street.name)", true),
            ("seller.zip == null && none == null && not_there == null && seller.street.name == null", true),
            ("not_there == 3", false),
            ("not_there != 3", true),
            ("not_there > 3 || price == 250", true),
            ("channel in ['Apple', 'Google']", true),
            ("price > 100 ? channel == 'Google' : false", true),
            ("true", true),
            ("é", true),
        ] {
            // A name of a field that is no identifier of the language is an error, as any other that cannot be read.
            match try_parse(condition) {
                Ok(filter) => assert_eq!(filter.keeps(BID.as_bytes()), Ok(keeps), "{condition}"),
                Err(error) => assert!(condition == "é" && error.contains("is not an expression"), "{error}"),
            }
        }
    }

    #[test]
    fn what_cannot_be_told_is_an_error_with_its_reason() {
        for (condition, value, reason) in [
            ("a > 3", "{}", "cannot compare null with int"),
            ("3 <= a", r#"{"a":"3"}"#, "cannot compare int with string"),
            ("a + 1 == 3", "{}", "cannot compute add of null and int"),
            ("a % 2 == 1", r#"{"a":1.5}"#, "cannot compute rem of float and int"),
            ("a * 2 == 1", r#"{"a":9223372036854775807}"#, "mul goes beyond 64 bits"),
            ("1 / a == 1", r#"{"a":0}"#, "division by zero"),
            ("1 % a == 1", r#"{"a":0}"#, "remainder of a division by zero"),
            ("a % -1 == 0", r#"{"a":-9223372036854775808}"#, "rem goes beyond 64 bits"),
            ("a", r#"{"a":3}"#, "the condition gives int, not true or false"),
            ("a", "{}", "the condition gives null, not true or false"),
            (
                "a == 1",
                r#"{"a":18446744073709551616}"#,
                "cannot compute with 18446744073709551616, an integer of more than 64 bits",
            ),
        ] {
            assert_eq!(filter(condition).keeps(value.as_bytes()), Err(reason.to_owned()), "{condition} of {value}");
        }
        let reason = filter("a == 1").keeps(b"no JSON").unwrap_err();
        assert!(reason.starts_with("not JSON: "), "{reason}");
        let deep = format!("{{\"a\":{}1{}}}", "[".repeat(5_000), "]".repeat(5_000));
        assert_eq!(filter("a == 1").keeps(deep.as_bytes()), Err("a value is nested more than 100 deep".to_owned()));
    }

    #[test]
    fn mistakes_are_found_before_any_record() {
        for (condition, start) in [
            ("auction %% 3", "job.toml:3: \"filter\" in [f]: \"auction %% 3\" is not an expression: column "),
            ("", "job.toml:3: \"filter\" in [f]: \"\" is not an expression: column "),
            (
                "lower(a) == 'x'",
                "job.toml:3: \"filter\" in [f]: \"lower(a) == 'x'\": there is no function \"lower\": there are size, ",
            ),
            (
                "a.all(x, b.all(y, x == y))",
                "job.toml:3: \"filter\" in [f]: \"a.all(x, b.all(y, x == y))\": a macro within a macro is not offered",
            ),
            (
                "size(a.map(x, x)) == 1",
                "job.toml:3: \"filter\" in [f]: \"size(a.map(x, x)) == 1\": of the macros there are has, all, exists",
            ),
            ("A{b: 1} == c", "job.toml:3: \"filter\" in [f]: \"A{b: 1} == c\": there is no type \"A\""),
        ] {
            let error = try_parse(condition).err().unwrap_or_else(|| panic!("{condition}"));
            assert!(error.starts_with(start), "{condition}: {error}");
        }
        let deep = format!("{}a{}", "(".repeat(500), ")".repeat(500));
        assert!(try_parse(&deep).is_err(), "the parser has a limit");
    }

    proptest! {
        #[test]
        fn no_record_breaks_it(value: Vec<u8>, a in "[0-9e.+\\-\"\\[{}\\]a,:ntfu]{0,12}") {
            let filter = filter("a % 3 == 1 || b.c[a] < 4.5 && size(b) > 2 || b.exists(x, x == a)");
            let _ = filter.keeps(&value);
            let _ = filter.keeps(format!("{{\"a\":{a},\"b\":{a}}}").as_bytes());
        }

        #[test]
        fn remainders_are_those_of_rust(a: i64, b in 1i64..1_000) {
            let value = format!("{{\"a\":{a},\"b\":{b}}}");
            prop_assert_eq!(filter("a % b == 0").keeps(value.as_bytes()), Ok(a % b == 0));
            prop_assert_eq!(filter("a >= b").keeps(value.as_bytes()), Ok(a >= b));
        }
    }
}
