//! `select = { auction = "auction", cents = "price * 100" }`: a new object of what is computed of a record.

use crate::expression::{self, Expression, Record};
use crate::fields::{Fields, Found};
use crate::scalar;
use tidewheel_types::JsonPointer;
use tidewheel_types::job::{JobError, Options};

/// The fields of the objects that are made.
pub struct Select {
    places: Fields,
    fields: Vec<Field>,
    /// The places that expressions compute with, and not only copies are made of.
    computed: Vec<usize>,
}

struct Field {
    /// Its name as JSON, with what comes before and after it.
    name: Vec<u8>,
    /// As the user wrote it, for errors.
    text: String,
    content: Content,
}

enum Content {
    /// The JSON text at a place, as it is.
    Copy(usize),
    Compute(Expression),
}

impl Select {
    /// Takes the key `select` of an operator's table.
    pub fn parse(table: &mut Options) -> Result<Select, JobError> {
        let mut wanted = table.take_table("select")?.ok_or_else(|| table.missing("select"))?;
        let names: Vec<String> = wanted.keys().map(str::to_owned).collect();
        if names.is_empty() {
            return Err(table.error("select", "no fields"));
        }
        let (mut places, mut fields, mut computed) = (Fields::default(), Vec::new(), Vec::new());
        for name in names {
            let text: String = wanted.require(&name)?;
            let content = content(&text, &mut places).map_err(|message| wanted.error(&name, message))?;
            if let Content::Compute(expression) = &content {
                computed.extend_from_slice(expression.places());
            }
            let mut start = vec![if fields.is_empty() { b'{' } else { b',' }];
            scalar::write_text(&name, &mut start);
            start.push(b':');
            fields.push(Field { name: start, text, content });
        }
        Ok(Select { places, fields, computed })
    }

    /// Adds the object made of a record with this value to `out`; or says why there is none, and `out` is as it was.
    pub fn apply(&self, value: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
        let start = out.len();
        self.write(&self.places.find(value)?, out).inspect_err(|_| out.truncate(start))
    }

    fn write(&self, found: &Found<'_>, out: &mut Vec<u8>) -> Result<(), String> {
        let record = Record::new(found, &self.computed)?;
        for Field { name, text, content } in &self.fields {
            out.extend_from_slice(name);
            match content {
                Content::Compute(expression) => {
                    let written = expression.evaluate(&record).and_then(|value| expression::write(&value, out));
                    written.map_err(|reason| format!("{text:?}: {reason}"))?;
                }
                Content::Copy(place) => out.extend_from_slice(found[*place].unwrap_or("null").as_bytes()),
            }
        }
        out.push(b'}');
        Ok(())
    }
}

/// A JSON pointer, or an expression.
fn content(text: &str, places: &mut Fields) -> Result<Content, String> {
    if text.starts_with('/') {
        return JsonPointer::parse(text).and_then(|pointer| places.add(&pointer)).map(Content::Copy);
    }
    let expression = Expression::parse(text, places)?;
    Ok(expression.as_place().map_or(Content::Compute(expression), Content::Copy))
}

#[cfg(test)]
mod tests {
    use super::Select;
    use tidewheel_types::job::Options;

    fn try_parse(fields: &str) -> Result<Select, String> {
        let mut table = Options::parse(&format!("[s]\nselect = {fields}"), "job.toml").unwrap();
        let mut table = table.take_table("s").unwrap().unwrap();
        Select::parse(&mut table).map_err(|error| error.to_string())
    }

    #[track_caller]
    fn check(fields: &str, value: &str, expected: Result<&str, &str>) {
        let select = try_parse(fields).unwrap_or_else(|error| panic!("{fields}: {error}"));
        let mut out = b"before".to_vec();
        let applied = select.apply(value.as_bytes(), &mut out).map(|()| String::from_utf8(out.clone()).unwrap());
        let expected = expected.map(|made| format!("before{made}")).map_err(str::to_owned);
        assert_eq!(applied, expected, "{fields} of {value}");
        if applied.is_err() {
            assert_eq!(out, b"before");
        }
    }

    #[test]
    fn fields_come_in_the_order_of_the_file_and_copies_keep_their_digits() {
        check(
            "{ b = 'price * 100', a = 'price', c = '/seller/x~1y', d = 'gone', e = 'seller', \"q\\\"\" = '1.5' }",
            r#"{"price":19,"seller":{ "x/y": 1.50 }}"#,
            Ok(r#"{"b":1900,"a":19,"c":1.50,"d":null,"e":{ "x/y": 1.50 },"q\"":1.5}"#),
        );
        check(
            "{ a = '/n', b = 'm' }",
            r#"{"n":123456789012345678901234567890,"m":1.000}"#,
            Ok(r#"{"a":123456789012345678901234567890,"b":1.000}"#),
        );
    }

    #[test]
    fn everything_json_has_can_be_made() {
        check(
            "{ l = '[a, 2.0, true, null]', m = \"{'z': a, 'b': 'x'}\", s = \"s + '!'\", u = 'u', c = 'u - 1u' }",
            r#"{"a":-1,"s":"\u00e9\"","u":18446744073709551615}"#,
            Ok(
                r#"{"l":[-1,2.0,true,null],"m":{"b":"x","z":-1},"s":"é\"!","u":18446744073709551615,"c":18446744073709551614}"#,
            ),
        );
    }

    #[test]
    fn what_cannot_be_made_is_an_error_with_its_field() {
        check("{ a = 'b * 2' }", r#"{"b":"x"}"#, Err(r#""b * 2": cannot compute mul of string and int"#));
        check("{ a = '1.0 / b' }", r#"{"b":0.0}"#, Err(r#""1.0 / b": gives inf, which JSON has no word for"#));
        check("{ a = 'b' }", "x", Err("not JSON: expected value at line 1 column 1"));
    }

    #[test]
    fn mistakes_are_found_before_any_record() {
        for (fields, message) in [
            ("{}", "job.toml:2: \"select\" in [s]: no fields"),
            ("{ a = 3 }", "job.toml:2: \"a\" in [s.select]: invalid type: integer `3`, expected a string"),
            (
                "{ a = 'f(x)' }",
                "job.toml:2: \"a\" in [s.select]: \"f(x)\": there is no function \"f\": there are size, \
              contains, startsWith, endsWith, int, uint, double, string, bool",
            ),
        ] {
            assert_eq!(try_parse(fields).err().as_deref(), Some(message), "{fields}");
        }
    }
}
