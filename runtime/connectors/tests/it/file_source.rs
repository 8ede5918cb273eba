//! Source `file`: formats, places of mistakes, patterns, compression.

use crate::harness::{Content, read_split, source};
use flate2::Compression;
use flate2::write::GzEncoder;
use std::fs;
use std::io::Write;
use tempfile::TempDir;
use tidewheel_connectors::{ConnectorError, NO_TIME};
use tidewheel_types::batch::RECORD_BYTES_MAX;

/// Reads a file with this content to its end, in small and in large reads, which must not differ.
fn check(name: &str, content: &[u8], options: &str) -> Result<Content, ConnectorError> {
    let folder = TempDir::new().expect("a folder");
    fs::write(folder.path().join(name), content).expect("a file");
    let text = format!("path = \"{name}\"\n{options}");
    let read = |bytes_max| {
        let source = source("file", &text, folder.path())?;
        assert_eq!(source.splits()?, [name]);
        read_split(source.as_ref(), 0, bytes_max)
    };
    let (small, large) = (read(1)?, read(1 << 20)?);
    assert_eq!(small.batch, large.batch);
    assert_eq!(small.malformed, large.malformed);
    assert!(large.batch.times.iter().all(|&time| time == NO_TIME));
    Ok(large)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("a vector takes everything");
    encoder.finish().expect("a vector takes everything")
}

#[test]
fn json_lines_are_checked_and_empty_ones_skipped() {
    let text = b"\xEF\xBB\xBF{\"a\":1}\r\n\n  \n{\"a\":\n[2]";
    let content = check("a.jsonl", text, "").expect("readable");
    assert_eq!(content.lines(), [(1, r#"{"a":1}"#), (5, "[2]")]);
    assert_eq!(content.reasons(), ["a.jsonl:4: EOF while parsing a value at column 5"]);
    assert_eq!(content.malformed[0].bytes, b"{\"a\":");
    assert_eq!(content.malformed[0].offset, 4);
}

#[test]
fn plain_lines_are_kept_as_they_are() {
    let content = check("a.txt", b"one\r\n\nthree \xC3\xA9\n", "").expect("readable");
    assert_eq!(content.lines(), [(1, "one"), (2, ""), (3, "three \u{e9}")]);
    let empty = check("a.txt", b"", "").expect("readable");
    assert_eq!(empty.lines(), []);
}

#[test]
fn lines_longer_than_a_record_are_cut() {
    let max = RECORD_BYTES_MAX;
    let mut text = vec![b'x'; max];
    text.extend_from_slice(b"\r\n");
    text.resize(text.len() + max + 1, b'y');
    text.extend_from_slice(b"\nend\n");
    let content = check("a.txt", &text, "").expect("readable");
    assert_eq!(content.batch.values.iter().map(<[u8]>::len).collect::<Vec<_>>(), [max, 3]);
    assert_eq!(content.reasons(), ["a.txt:2: line is longer than 16 MiB"]);
    assert_eq!(content.malformed[0].bytes, vec![b'y'; 64 << 10]);
}

#[test]
fn rows_become_objects_with_typed_fields() {
    let text = b"id,name,price,paid\r\n1,\"a \"\"b\"\"\nc\",2.50,true\r\n\r\n2,d,,\r\n";
    let options = "types = { id = 'integer', price = 'number', paid = 'boolean' }";
    let content = check("a.csv", text, options).expect("readable");
    let expected = [
        (2, r#"{"id":1,"name":"a \"b\"\nc","price":2.50,"paid":true}"#),
        (5, r#"{"id":2,"name":"d","price":null,"paid":null}"#),
    ];
    assert_eq!(content.lines(), expected);
    assert_eq!(content.reasons(), [""; 0]);
}

#[test]
fn rows_that_do_not_fit_are_malformed() {
    let text = b"id;name\n1;a;b\nx;\"c\nd\"\n2;\xFF\n3;ok\n4;\"open\n5;e\n";
    let content = check("a.csv", text, "delimiter = ';'\ntypes = { id = 'integer' }").expect("readable");
    assert_eq!(content.lines(), [(6, r#"{"id":3,"name":"ok"}"#)]);
    let expected = [
        "a.csv:2: row has 3 columns, the header 2",
        "a.csv:3: column \"id\": \"x\" is not an integer of 64 bits",
        "a.csv:5: column \"name\": invalid UTF-8",
        "a.csv:7: a quote that opens in this row is never closed",
    ];
    assert_eq!(content.reasons(), expected);
    assert_eq!(content.malformed[1].bytes, b"x;\"c\nd\"");
    assert_eq!(content.malformed[3].bytes, b"4;\"open\n5;e");
}

#[test]
fn a_row_longer_than_a_record_is_cut() {
    let mut text = b"a,b\n1,".to_vec();
    text.resize(text.len() + RECORD_BYTES_MAX + 1, b'x');
    text.extend_from_slice(b"\n2,y\n");
    let content = check("a.csv", &text, "").expect("readable");
    assert_eq!(content.lines(), [(3, r#"{"a":"2","b":"y"}"#)]);
    assert_eq!(content.malformed[0].offset, 2);
    assert_eq!(content.malformed[0].bytes.len(), 64 << 10);
}

#[test]
fn a_wrong_header_is_an_error() {
    let error = |text: &[u8], options: &str| check("a.csv", text, options).err().expect("an error").to_string();
    let unknown = error(b"id,name\n", "types = { idd = 'integer' }");
    assert!(unknown.starts_with("a.csv:1: no column is called \"idd\""), "{unknown}");
    assert!(error(b"\n\na,a\n", "").starts_with("a.csv:3: two columns are called \"a\""));
    assert!(error(b"a,\xFF\n", "").starts_with("a.csv:1: name 2 of a column is not UTF-8"));
    assert_eq!(check("a.csv", b"", "").expect("an empty file").lines(), []);
}

#[test]
fn gzip_is_known_by_content_or_ending() {
    let mut two_members = gzip(b"one\ntw");
    two_members.extend(gzip(b"o\n"));
    for name in ["a.txt", "a.txt.gz"] {
        assert_eq!(check(name, &two_members, "").expect("readable").lines(), [(1, "one"), (2, "two")]);
    }
    let text: String = (0..200_000).map(|line| format!("line {line}\n")).collect();
    let content = check("a.txt.gz", &gzip(text.as_bytes()), "").expect("readable");
    assert_eq!(content.batch.len(), 200_000);
    assert_eq!(content.lines()[199_999], (200_000, "line 199999"));
}

#[test]
fn broken_gzip_is_an_error_with_its_place() {
    let whole = gzip(b"one\ntwo\n");
    let Err(ConnectorError::Read { path, offset, .. }) = check("a.txt.gz", &whole[..whole.len() - 4], "") else {
        panic!("a truncated file is an error");
    };
    assert!(path.ends_with("a.txt.gz"));
    assert_eq!(offset, whole.len() as u64 - 4);
    assert!(matches!(check("a.txt.gz", b"plain text", ""), Err(ConnectorError::Read { .. })));
}

#[test]
fn a_pattern_names_files_in_order() {
    let folder = TempDir::new().expect("a folder");
    // The folder's own name is not part of the pattern.
    let folder = folder.path().join("a[b]");
    fs::create_dir_all(folder.join("in/c.txt")).expect("a folder");
    for name in ["b.txt", "a.txt", ".hidden.txt", "d.csv"] {
        fs::write(folder.join("in").join(name), name).expect("a file");
    }
    let files = source("file", "path = 'in/*.txt'", &folder).expect("a source");
    assert_eq!(files.splits().expect("files"), ["in/a.txt", "in/b.txt"]);
    let content = read_split(files.as_ref(), 1, 1000).expect("readable");
    assert_eq!(content.lines(), [(1, "b.txt")]);
    assert_eq!(content.batch.origins[0].split, 1);
}

#[test]
fn what_cannot_be_read_is_said_before_the_job_runs() {
    let folder = TempDir::new().expect("a folder");
    fs::create_dir(folder.path().join("a.txt")).expect("a folder");
    let error = |path: &str| {
        let source = source("file", &format!("path = '{path}'"), folder.path()).expect("a source");
        source.splits().expect_err("an error").to_string()
    };
    assert!(error("*.jsonl").contains("*.jsonl: no file matches this pattern\n\nhint: "), "{}", error("*.jsonl"));
    assert!(error("b.txt").starts_with("cannot open "), "{}", error("b.txt"));
    assert!(error("a.txt").contains("is a folder\n\nhint: name its files with a pattern"), "{}", error("a.txt"));
    assert!(error("***.txt").contains("not a pattern"), "{}", error("***.txt"));
}

#[test]
fn a_pattern_matches_at_most_4096_files() {
    let folder = TempDir::new().expect("a folder");
    for number in 0..4096 {
        fs::write(folder.path().join(format!("{number}.txt")), "").expect("a file");
    }
    let splits = || source("file", "path = '*.txt'", folder.path()).expect("a source").splits();
    assert_eq!(splits().expect("files").len(), 4096);
    fs::write(folder.path().join("more.txt"), "").expect("a file");
    let error = splits().expect_err("too many").to_string();
    assert!(error.contains("4097 files match, more than 4096"), "{error}");
}

#[test]
fn options_are_checked() {
    let folder = TempDir::new().expect("a folder");
    let error = |text: &str| source("file", text, folder.path()).err().expect("an error").to_string();
    assert!(error("").contains("missing key \"path\""));
    assert!(error("path = 'a.csv'\ntpyes = {}").contains("did you mean \"types\"?"));
}
