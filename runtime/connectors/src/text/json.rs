//! JSON as text: checking it, and writing strings.

use serde::de::IgnoredAny;

/// Checks that `bytes` are one JSON value in UTF-8; otherwise says what is wrong, with the column.
pub(super) fn check(bytes: &[u8]) -> Result<(), String> {
    let text =
        std::str::from_utf8(bytes).map_err(|error| format!("invalid UTF-8 at column {}", error.valid_up_to() + 1))?;
    match serde_json::from_str::<IgnoredAny>(text) {
        Ok(IgnoredAny) => Ok(()),
        Err(error) => {
            // The line that the parser counts is always the first.
            let message = error.to_string();
            let place = format!(" at line {} column {}", error.line(), error.column());
            let reason = message.strip_suffix(&place).unwrap_or(&message);
            Err(format!("{reason} at column {}", error.column()))
        }
    }
}

/// Writes `text` as a JSON string.
pub(super) fn write_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|&byte| byte < 0x20 || byte == b'"' || byte == b'\\') {
        out.extend_from_slice(&rest[..at]);
        write_escape(rest[at], out);
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

fn write_escape(byte: u8, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    match byte {
        b'"' => out.extend_from_slice(b"\\\""),
        b'\\' => out.extend_from_slice(b"\\\\"),
        b'\n' => out.extend_from_slice(b"\\n"),
        b'\r' => out.extend_from_slice(b"\\r"),
        b'\t' => out.extend_from_slice(b"\\t"),
        _ => {
            out.extend_from_slice(b"\\u00");
            out.extend_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{check, write_string};
    use proptest::prelude::{any, prop_assert_eq, proptest};

    #[test]
    fn says_what_is_wrong_and_where() {
        assert_eq!(check(br#" {"a": [1, "x"]} "#), Ok(()));
        let cases: [(&[u8], &str); 4] = [
            (br#"{"a": }"#, "expected value at column 7"),
            (br#"{"a": 1} x"#, "trailing characters at column 10"),
            (br#"{"a": 1"#, "EOF while parsing an object at column 7"),
            (b"\"\xFF\"", "invalid UTF-8 at column 2"),
        ];
        for (bytes, reason) in cases {
            assert_eq!(check(bytes), Err(reason.to_owned()));
        }
    }

    proptest! {
        #[test]
        fn strings_are_read_back(text in any::<String>()) {
            let mut out = Vec::new();
            write_string(&text, &mut out);
            prop_assert_eq!(serde_json::from_slice::<String>(&out).expect("JSON"), text);
        }
    }
}
